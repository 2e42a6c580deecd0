import assert from "node:assert/strict";
import type { PartitionId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import type { ChunkOp, ChunkResult, FragmentId } from "../../../core/wire/objects.ts";
import { ChunkDisk, DEFAULT_CHUNK_DISK } from "../../../sim/objects/chunk_disk.ts";

function fragment(segment: number, chunk = 0, index = 0, partition = 1): FragmentId {
  return {
    partition: partition as PartitionId,
    segment: segment.toString(16).padStart(32, "0"),
    chunk,
    index,
  };
}
const bytes = (...values: number[]) => Uint8Array.from(values);

/** Does what is asked at once, one after the other. */
function ask(disk: ChunkDisk, ops: readonly ChunkOp[], now: number): ChunkResult[] {
  const work = disk.submit(ops, now).sort((a, b) => a.at - b.at);
  return work.map((entry) => disk.finish(entry, entry.at, entry.at));
}

Deno.test("ChunkDisk keeps what is written, lists it in order and page by page, and removes it", () => {
  const disk = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(1));
  const names = [fragment(2, 0), fragment(1, 16), fragment(1, 2, 1), fragment(1, 2, 0)];
  for (const [op, name] of names.entries()) {
    assert.deepEqual(ask(disk, [{ kind: "write", op, fragment: name, bytes: bytes(op) }], 0), [{
      kind: "written",
      op,
    }]);
  }
  const partition = 1 as PartitionId;
  const [first] = ask(disk, [{ kind: "list", op: 9, partition, after: null, max: 3 }], 2_000_000);
  if (first?.kind !== "listed") return assert.fail(first?.kind);
  assert.deepEqual(first.fragments.map((f) => f.fragment), [names[3], names[2], names[1]]);
  assert.ok(!first.done && first.fragments.every((f) => f.ageMs >= 1_900 && f.bytes === 1));
  const [rest] = ask(disk, [{ kind: "list", op: 9, partition, after: names[1]!, max: 3 }], 2_000_000);
  assert.ok(rest?.kind === "listed" && rest.done && rest.fragments.length === 1);
  ask(disk, [{ kind: "remove", op: 1, fragments: names }], 3_000_000);
  assert.deepEqual(ask(disk, [{ kind: "partitions", op: 2 }], 4_000_000), [
    { kind: "partitions", op: 2, partitions: [] },
  ]);
});

Deno.test("K1: what is asked about one fragment is done in the order asked", () => {
  for (let seed = 0; seed < 50; seed++) {
    const disk = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(seed));
    const [write, read, remove, again] = disk.submit([
      { kind: "write", op: 0, fragment: fragment(1), bytes: bytes(7) },
      { kind: "read", op: 1, fragment: fragment(1) },
      { kind: "remove", op: 2, fragments: [fragment(2), fragment(1)] },
      { kind: "read", op: 3, fragment: fragment(1) },
    ], 0);
    assert.ok(write!.at <= read!.at && read!.at <= remove!.at && remove!.at <= again!.at);
  }
});

Deno.test("K2: a stop keeps or loses what was not answered, tears it only where power failed, and keeps the rest", () => {
  const seen = { process: new Set<string>(), power: new Set<string>(), over: new Set<string>() };
  for (let seed = 0; seed < 200; seed++) {
    for (const kind of ["process", "power"] as const) {
      const disk = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(seed));
      ask(disk, [{ kind: "write", op: 0, fragment: fragment(1), bytes: bytes(1, 1, 1) }], 0);
      disk.submit([{ kind: "write", op: 1, fragment: fragment(2), bytes: bytes(2, 2, 2) }], 10_000);
      disk.submit([{ kind: "write", op: 2, fragment: fragment(1), bytes: bytes(3, 3, 3) }], 10_000);
      disk.stop(kind, 11_000, 11_000);
      const file = disk.stored(fragment(2)), found = disk.read(fragment(2));
      seen[kind].add(found === null ? "lost" : found.join() === "2,2,2" ? "kept" : "torn");
      assert.equal(file?.harm?.kind === "torn", file !== null && found!.join() !== "2,2,2");
      if (kind === "power") seen.over.add(disk.read(fragment(1))!.join());
    }
  }
  assert.deepEqual([...seen.process].sort(), ["kept", "lost"]);
  assert.deepEqual([...seen.power].sort(), ["kept", "lost", "torn"]);
  assert.deepEqual([...seen.over].sort(), ["1,1,1", "3,3,3"]);
});

Deno.test("K3: a loss of power may bring back what was removed just now, and nothing older", () => {
  let back = 0;
  for (let seed = 0; seed < 100; seed++) {
    const disk = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(seed));
    for (const n of [1, 2]) ask(disk, [{ kind: "write", op: n, fragment: fragment(n), bytes: bytes(n) }], 0);
    ask(disk, [{ kind: "remove", op: 3, fragments: [fragment(1)] }], 1_000_000);
    ask(disk, [{ kind: "remove", op: 4, fragments: [fragment(2)] }], 9_000_000);
    disk.stop("power", 10_000_000, 10_000_000);
    assert.equal(disk.stored(fragment(1)), null);
    if (disk.stored(fragment(2)) !== null) back++;
  }
  assert.ok(back > 5 && back < 60, `${back} of 100 came back`);
});

Deno.test("ChunkDisk fails what does not fit, and takes it again when something was removed", () => {
  const disk = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(1));
  disk.room = 4;
  const write = (op: number, n: number) =>
    ask(disk, [{ kind: "write", op, fragment: fragment(n), bytes: bytes(1, 2, 3) }], op * 100_000)[0]!.kind;
  assert.equal(write(1, 1), "written");
  assert.equal(write(2, 2), "failed");
  ask(disk, [{ kind: "remove", op: 3, fragments: [fragment(1)] }], 300_000);
  assert.equal(write(4, 2), "written");
});

Deno.test("ChunkDisk makes again what it need not keep, byte for byte, and keeps what differs", () => {
  const derive = ({ chunk }: FragmentId) => bytes(chunk, chunk);
  const disk = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(1), { derive });
  ask(disk, [{ kind: "write", op: 1, fragment: fragment(1, 5), bytes: bytes(5, 5) }], 0);
  ask(disk, [{ kind: "write", op: 2, fragment: fragment(1, 6), bytes: bytes(6, 7) }], 0);
  assert.equal(disk.stored(fragment(1, 5))!.bytes, null);
  assert.deepEqual(disk.read(fragment(1, 5)), bytes(5, 5));
  assert.deepEqual(disk.read(fragment(1, 6)), bytes(6, 7));
  disk.rot(fragment(1, 5), 100);
  assert.notDeepEqual(disk.read(fragment(1, 5)), bytes(5, 5));
  assert.equal(disk.stored(fragment(1, 5))!.harm!.kind, "rot");
});
