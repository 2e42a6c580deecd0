import assert from "node:assert/strict";
import { copy, createBucket, getBody, head, put, World } from "../../../../core/objects/programs/programs.ts";
import { ChunkRoom } from "../../../../core/objects/programs/world.ts";
import type { Program } from "../../../../core/objects/types.ts";
import { partitionOf } from "../../../../core/placement/key.ts";
import { bytesOf, Network, Run, SMALL } from "./network.ts";

const BYTES = 1000, MAX = 4;

Deno.test("programs that share room have a chunk each under way and no more than fit besides, and give all back", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const network = new Network({ seed }), room = new ChunkRoom(MAX), bucket = "maps";
    network.run(createBucket(bucket, {}));
    network.run(put(network.world, { bucket, key: "a", bytes: BYTES }), bytesOf(BYTES));
    network.refused = seed % 2 === 0 ? 20 : 0;
    const world = new World({ partitionOf, sizes: SMALL, room });
    let most = 0;
    network.intercept = () => {
      most = Math.max(most, room.taken);
      return null;
    };
    const runs = Array.from({ length: 9 }, (_, i) => {
      if (i % 3 === 0) return new Run(network, reading(world, bucket));
      return i % 3 === 1
        ? new Run(network, put(world, { bucket, key: `b${i}`, bytes: BYTES }), bytesOf(BYTES, i))
        : new Run(network, copy(world, { bucket, key: "a" }, { bucket, key: `c${i}` }));
    });
    network.interleave(runs);
    // A copy reads and writes.
    assert.ok(most > MAX && most < MAX + runs.length + 3, `seed ${seed}: ${most}`);
    assert.equal(room.taken, 0, `seed ${seed}`);
    if (seed % 2 === 1) {
      for (const run of runs) run.value();
      assert.deepEqual(Uint8Array.from(runs[0]!.written), bytesOf(BYTES));
    }
  }
});

function* reading(world: World, bucket: string): Program<void> {
  const { version, span } = yield* head(world, { bucket, key: "a" });
  yield* getBody(world, { bucket, key: "a" }, version, span);
}
