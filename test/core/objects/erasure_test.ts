import assert from "node:assert/strict";
import { ReedSolomonErasure } from "@digitaldefiance/reed-solomon-erasure.wasm";
import fc from "fast-check";
import { erasureCoder } from "../../../core/objects/erasure.ts";

/** Where the library's own binary is. */
const WASM = new URL(import.meta.resolve("@digitaldefiance/reed-solomon-erasure.wasm/wasm"));

/** Shards of one length, and how many more are to be made of them. */
const stripes = fc.tuple(
  fc.integer({ min: 1, max: 12 }),
  fc.integer({ min: 1, max: 6 }),
  fc.integer({ min: 1, max: 70 }),
)
  .chain(([data, parity, length]) =>
    fc.record({
      parity: fc.constant(parity),
      shards: fc.array(fc.uint8Array({ minLength: length, maxLength: length }), {
        minLength: data,
        maxLength: data,
      }),
    })
  );

Deno.test("erasureCoder makes the very bytes of the library that others use", () => {
  const library = ReedSolomonErasure.fromBytes(Deno.readFileSync(WASM));
  fc.assert(fc.property(stripes, ({ shards, parity }) => {
    const length = shards[0]!.length, all = new Uint8Array(length * (shards.length + parity));
    for (const [index, shard] of shards.entries()) all.set(shard, index * length);
    assert.equal(library.encode(all, shards.length, parity), ReedSolomonErasure.RESULT_OK);
    const made = erasureCoder.encode(shards, parity);
    for (const [index, shard] of made.entries()) {
      const from = (shards.length + index) * length;
      assert.deepEqual(shard, all.slice(from, from + length));
    }
  }));
});

Deno.test("erasureCoder gives the data back from any shards that are enough", () => {
  fc.assert(
    fc.property(stripes, fc.infiniteStream(fc.nat()), ({ shards, parity }, random) => {
      const all: (Uint8Array | null)[] = [...shards, ...erasureCoder.encode(shards, parity)];
      for (let lost = 0; lost < parity; lost++) all[random.next().value! % all.length] = null;
      assert.deepEqual(erasureCoder.reconstruct(all, shards.length), shards);
    }),
  );
});

Deno.test("erasureCoder gives every one of 4 + 3 back, whichever three are lost", () => {
  const shards = Array.from(
    { length: 4 },
    (_, j) => Uint8Array.from({ length: 9 }, (_, i) => 31 * i + 57 * j),
  );
  const all = [...shards, ...erasureCoder.encode(shards, 3)];
  let patterns = 0;
  for (let lost = 0; lost < 128; lost++) {
    if (lost.toString(2).replaceAll("0", "").length !== 3) continue;
    const there = all.map((shard, index) => (lost >> index & 1) === 1 ? null : shard);
    assert.deepEqual(erasureCoder.reconstruct(there, 4), shards, `lost ${lost.toString(2)}`);
    patterns++;
  }
  assert.equal(patterns, 35);
});

Deno.test("erasureCoder refuses too few shards, and such as are no stripe", () => {
  const shards = [Uint8Array.of(1, 2), Uint8Array.of(3, 4)];
  const [parity] = erasureCoder.encode(shards, 1);
  assert.throws(() => erasureCoder.reconstruct([null, null, parity!], 2), RangeError);
  assert.throws(() => erasureCoder.encode([Uint8Array.of(1), Uint8Array.of(1, 2)], 1), RangeError);
  assert.throws(() => erasureCoder.encode([new Uint8Array(0)], 1), RangeError);
  assert.throws(() => erasureCoder.encode([], 1), RangeError);
});
