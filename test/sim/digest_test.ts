import assert from "node:assert/strict";
import fc from "fast-check";
import { Digest, DIGEST_INTERVAL, firstDifferingInterval } from "../../sim/digest.ts";

function run(events: number, odd: number | null): Digest {
  const digest = new Digest();
  for (let i = 0; i < events; i++) digest.add(i * 10, i, i % 7, i % 5, i === odd ? 1 : 0);
  return digest;
}

Deno.test("Digest has a pinned value", () => {
  assert.equal(new Digest().hex(), "243f6a8885a308d313198a2e03707344");
  assert.equal(run(3, null).hex(), run(3, null).hex());
  const digest = new Digest();
  digest.add(2 ** 40 + 5, 1, 2, 3, 4);
  assert.equal(digest.hex(), PINNED);
});
const PINNED = "9549cce901eaa5e1a84f870c1d10ead1";

Deno.test("Digest changes with each part of an event", () => {
  const base = [5, 6, 7, 8, 9] as const;
  const hex = (parts: readonly number[]) => {
    const digest = new Digest();
    digest.add(parts[0]!, parts[1]!, parts[2]!, parts[3]!, parts[4]!);
    return digest.hex();
  };
  const seen = new Set([hex(base)]);
  for (let i = 0; i < 5; i++) seen.add(hex(base.map((part, j) => j === i ? part + 1 : part)));
  seen.add(hex([5 + 2 ** 32, 6, 7, 8, 9]));
  assert.equal(seen.size, 7);
});

Deno.test("firstDifferingInterval() finds the interval of the first differing event", () => {
  const events = DIGEST_INTERVAL * 9 + 100;
  const left = run(events, null).checkpoints;
  fc.assert(
    fc.property(fc.integer({ min: 0, max: events - 1 }), (odd) => {
      assert.equal(
        firstDifferingInterval(left, run(events, odd).checkpoints),
        Math.floor(odd / DIGEST_INTERVAL),
      );
    }),
    { numRuns: 20 },
  );
  assert.equal(firstDifferingInterval(left, left), 9);
});
