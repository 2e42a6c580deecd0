import assert from "node:assert/strict";
import fc from "fast-check";
import { Random } from "../../../core/base/random.ts";

const take = (random: Random, count: number) => Array.from({ length: count }, () => random.uint32());

/** sfc32 as published, in exact arithmetic. */
function naiveSfc32(a: bigint, b: bigint, c: bigint): () => number {
  const mask = 0xffff_ffffn;
  let counter = 1n;
  const next = () => {
    const out = (a + b + counter) & mask;
    counter = (counter + 1n) & mask;
    a = b ^ (b >> 9n);
    b = (c + (c << 3n)) & mask;
    c = (((c << 21n) | (c >> 11n)) + out) & mask;
    return Number(out);
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

Deno.test("Random is sfc32, seeded with both halves of the seed", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (seed) => {
    const next = naiveSfc32(BigInt(seed) & 0xffff_ffffn, BigInt(seed) >> 32n, 0x9e3779b9n);
    assert.deepEqual(take(Random.fromSeed(seed), 20), Array.from({ length: 20 }, next));
  }));
});

Deno.test("Random streams are pinned: a change of them voids every recorded digest", () => {
  assert.deepEqual(take(Random.fromSeed(0), 4), PINNED.seed0);
  assert.deepEqual(take(Random.fromSeed(7), 4), PINNED.seed7);
  assert.deepEqual(take(Random.fromSeed(2 ** 40 + 7), 4), PINNED.seedHigh);
  assert.deepEqual(take(Random.fromSeed(7).fork("network"), 4), PINNED.network);
  assert.deepEqual(take(Random.fromSeed(7).fork("node").fork("sirius"), 4), PINNED.sirius);
});

Deno.test("Random#fork() depends on seed and label, not on what was drawn", () => {
  fc.assert(fc.property(fc.maxSafeNat(), fc.string(), fc.nat(50), (seed, label, drawn) => {
    const fresh = Random.fromSeed(seed), used = Random.fromSeed(seed);
    take(used, drawn);
    used.fork("another");
    assert.deepEqual(take(used.fork(label), 5), take(fresh.fork(label), 5));
  }));
});

Deno.test("Random#fork() gives streams that differ from each other and from their parent", () => {
  const root = Random.fromSeed(1);
  const streams = [root, ...Array.from({ length: 2000 }, (_, i) => root.fork(`node ${i}`))];
  const seen = new Set(streams.map((random) => take(random, 2).join()));
  assert.equal(seen.size, streams.length);
});

Deno.test("Random#below() stays below, reaches everything and refuses a bad bound", () => {
  const random = Random.fromSeed(3);
  for (const bound of [1, 2, 3, 7, 10]) {
    const seen = new Set(Array.from({ length: 400 }, () => random.below(bound)));
    assert.deepEqual([...seen].sort((a, b) => a - b), Array.from({ length: bound }, (_, i) => i));
  }
  fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (bound) => {
    const x = random.below(bound);
    return Number.isInteger(x) && x >= 0 && x < bound;
  }));
  for (const bad of [0, -1, 1.5, NaN, 2 ** 32 + 1]) assert.throws(() => random.below(bad), RangeError);
});

Deno.test("Random#below() draws again where the last stretch of the range would favour small numbers", () => {
  // With this bound nearly a third of all draws are refused, so about that many more are needed.
  const bound = 0xb000_0000, random = Random.fromSeed(5), twin = Random.fromSeed(5);
  let drawn = 0;
  for (let i = 0; i < 1000; i++) {
    const x = random.below(bound);
    let y = twin.uint32();
    for (drawn++; y >= bound; drawn++) y = twin.uint32();
    assert.equal(x, y);
  }
  assert.ok(drawn > 1300 && drawn < 1700, `${drawn} draws`);
});

Deno.test("Random#between() and chance() keep their bounds", () => {
  const random = Random.fromSeed(4);
  const seen = new Set(Array.from({ length: 200 }, () => random.between(-1, 1)));
  assert.deepEqual([...seen].sort((a, b) => a - b), [-1, 0, 1]);
  assert.equal(random.between(5, 5), 5);
  for (let i = 0; i < 100; i++) {
    assert.equal(random.chance(0, 10), false);
    assert.equal(random.chance(10, 10), true);
  }
  let hits = 0;
  for (let i = 0; i < 10_000; i++) if (random.chance(1, 4)) hits++;
  assert.ok(hits > 2300 && hits < 2700, `${hits} of 10,000`);
});

Deno.test("Random#shuffle() permutes in place, and pick() takes one of the items", () => {
  fc.assert(fc.property(fc.nat(), fc.array(fc.integer(), { minLength: 1 }), (seed, items) => {
    const random = Random.fromSeed(seed), copy = [...items];
    assert.equal(random.shuffle(copy), copy);
    assert.deepEqual(copy.toSorted(), items.toSorted());
    assert.ok(items.includes(random.pick(items)));
  }));
  const orders = new Set(Array.from({ length: 300 }, (_, i) => Random.fromSeed(i).shuffle([1, 2, 3]).join()));
  assert.equal(orders.size, 6);
});

Deno.test("Random.fromSeed() refuses what is no seed", () => {
  for (const bad of [-1, 0.5, NaN, 2 ** 53]) assert.throws(() => Random.fromSeed(bad), RangeError);
});

const PINNED = {
  seed0: [0x5515bf5a, 0x760ecfff, 0x1b36c8e1, 0xc4b53e58],
  seed7: [0x05fed810, 0xa9da6ebf, 0xb16fceb4, 0x90b5ef7f],
  seedHigh: [0x11069ae1, 0xa69e6119, 0xc1a85061, 0x0efd2ed5],
  network: [0x8f48f0c7, 0xdc1d32c4, 0x228e67a8, 0xd1b72983],
  sirius: [0x78f6b5de, 0xc2b8cf6a, 0xf3405761, 0x35d0c0f0],
};
