import assert from "node:assert/strict";
import fc from "fast-check";
import { Random } from "../../../core/base/random.ts";

const draw = (random: Random, count: number) => Array.from({ length: count }, () => random.uint32());

/** sfc32 as its author states it, on 32-bit words kept in an array. */
function* sfc32Twin(a: number, b: number, c: number): Generator<number> {
  const s = Uint32Array.of(a, b, c, 1);
  for (let i = 0;; i++) {
    const out = Uint32Array.of(s[0]! + s[1]! + s[3]!)[0]!;
    const rotated = (BigInt(s[2]!) << 21n | BigInt(s[2]!) >> 11n) & 0xffff_ffffn;
    s.set([s[1]! ^ (s[1]! >>> 9), s[2]! + s[2]! * 8, Number(rotated) + out, s[3]! + 1]);
    if (i >= 12) yield out;
  }
}

Deno.test("Random.uint32() is sfc32, seeded with the seed's two words and a constant", () => {
  fc.assert(fc.property(fc.maxSafeNat(), (seed) => {
    const twin = sfc32Twin(seed % 2 ** 32, Math.floor(seed / 2 ** 32), 0x9e3779b9);
    assert.deepEqual(draw(Random.fromSeed(seed), 20), Array.from({ length: 20 }, () => twin.next().value));
  }));
});

Deno.test("Random gives its pinned vectors: whoever changes a stream changes every recorded run", () => {
  const PINNED: readonly [string, readonly number[]][] = [
    ["seed 0", [0x5515bf5a, 0x760ecfff, 0x1b36c8e1, 0xc4b53e58]],
    ["seed 7", [0x05fed810, 0xa9da6ebf, 0xb16fceb4, 0x90b5ef7f]],
    ["seed 2^53 - 1", [0xfd6feaa6, 0x10e016bb, 0xc0b78a27, 0xf3a89be6]],
    ["seed 7, node", [0x1f342e7d, 0xc7452e33, 0x6e60ae1d, 0x92ebc27b]],
    ["seed 7, node, election", [0x8d9f8557, 0xf9c9eb82, 0xe5903433, 0x510f0757]],
    ["seed 7, étoile ✨", [0x0ebe47bd, 0xa6ee3130, 0x0c833aa9, 0xd4779e7d]],
  ];
  const streams: readonly Random[] = [
    Random.fromSeed(0),
    Random.fromSeed(7),
    Random.fromSeed(Number.MAX_SAFE_INTEGER),
    Random.fromSeed(7).fork("node"),
    Random.fromSeed(7).fork("node").fork("election"),
    Random.fromSeed(7).fork("étoile ✨"),
  ];
  assert.deepEqual(streams.map((stream) => draw(stream, 4)), PINNED.map(([, values]) => values));
});

Deno.test("Random.fork() depends on seed and label, not on what was drawn", () => {
  fc.assert(fc.property(fc.maxSafeNat(), fc.string(), fc.nat({ max: 20 }), (seed, label, draws) => {
    const fresh = Random.fromSeed(seed);
    const used = Random.fromSeed(seed);
    draw(used, draws);
    assert.deepEqual(draw(fresh.fork(label), 4), draw(used.fork(label), 4));
    assert.notDeepEqual(draw(fresh.fork(label), 4), draw(fresh.fork(label + "x"), 4));
  }));
});

Deno.test("Random.below() stays below its bound and reaches every value of a small one", () => {
  fc.assert(fc.property(fc.maxSafeNat(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, bound) => {
    const random = Random.fromSeed(seed);
    for (let i = 0; i < 20; i++) {
      const value = random.below(bound);
      assert.ok(Number.isInteger(value) && value >= 0 && value < bound);
    }
  }));
  const seen = new Set(Array.from(
    { length: 200 },
    (() => {
      const random = Random.fromSeed(1);
      return () => random.below(6);
    })(),
  ));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5]);
});

Deno.test("Random.below() takes what lies in whole multiples of the bound, so that no value is likelier", () => {
  // Of bound 3·2^30 a quarter of the draws must be drawn again; without that 0 to 2^30 would come twice as often.
  const bound = 3 * 2 ** 30;
  const raw = Random.fromSeed(5);
  const expected: number[] = [];
  while (expected.length < 100) {
    const x = raw.uint32();
    if (x < bound) expected.push(x);
  }
  const random = Random.fromSeed(5);
  assert.deepEqual(Array.from({ length: 100 }, () => random.below(bound)), expected);
});

Deno.test("Random refuses seeds and bounds that are none", () => {
  for (const seed of [-1, 0.5, NaN, 2 ** 53]) assert.throws(() => Random.fromSeed(seed), RangeError);
  for (const bound of [0, -1, 1.5, 2 ** 32 + 1, NaN]) {
    assert.throws(() => Random.fromSeed(1).below(bound), RangeError);
  }
});

Deno.test("Random.between() includes both ends, chance() keeps to its ratio, pick() and shuffle() to their items", () => {
  const random = Random.fromSeed(3);
  const values = Array.from({ length: 200 }, () => random.between(5, 7));
  assert.deepEqual([...new Set(values)].sort(), [5, 6, 7]);
  assert.equal(Array.from({ length: 50 }, () => random.chance(0, 3)).filter(Boolean).length, 0);
  assert.equal(Array.from({ length: 50 }, () => random.chance(3, 3)).filter(Boolean).length, 50);
  const items = Array.from({ length: 50 }, (_, i) => i);
  const shuffled = random.shuffle([...items]);
  assert.notDeepEqual(shuffled, items);
  assert.deepEqual([...shuffled].sort((a, b) => a - b), items);
  assert.ok(items.includes(random.pick(items)));
});
