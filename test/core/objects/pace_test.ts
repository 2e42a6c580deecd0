import fc from "fast-check";
import assert from "node:assert/strict";
import type { Instant } from "../../../core/base/ids.ts";
import { Bucket, RecentRate } from "../../../core/objects/pace.ts";

const at = (us: number) => us as Instant;
const S = 1_000_000;

/** Begins things of these sizes, one after the other as soon as it may; the time at which the last began. */
function beginAll(bucket: Bucket, sizes: readonly number[], halved: boolean): number {
  let now = 5 * S, wakes = 0;
  for (const size of sizes) {
    while (!bucket.mayBegin(at(now), halved)) {
      assert.ok(++wakes < 100 * sizes.length, "it need not be asked often");
      now = Math.max(now + 1, bucket.readyAt(at(now)));
    }
    bucket.pay(size);
  }
  return now - 5 * S;
}

Deno.test("Bucket lets no more begin than its rate, a second's worth and one thing more; and no less", () => {
  fc.assert(fc.property(
    fc.integer({ min: 10, max: 100_000_000 }),
    fc.array(fc.integer({ min: 1, max: 2_000_000 }), { minLength: 1, maxLength: 50 }),
    fc.boolean(),
    (rate, sizes, halved) => {
      const took = beginAll(new Bucket(rate), sizes, halved);
      const before = sizes.slice(0, -1).reduce((sum, size) => sum + size, 0);
      const least = Math.max(0, (before - rate) * S / rate * (halved ? 2 : 1));
      assert.ok(took >= least * 0.999 - 2, `${took} µs, not less than ${least}`);
      assert.ok(
        took <= least * 1.01 + 2 * S / rate + 1_000 + sizes.length * 10,
        `${took} µs, about ${least}`,
      );
    },
  ));
});

Deno.test("Bucket takes back what something did not cost", () => {
  const bucket = new Bucket(1000);
  assert.ok(bucket.mayBegin(at(S), false));
  bucket.pay(5000);
  assert.ok(!bucket.mayBegin(at(S), false));
  bucket.pay(-4500);
  assert.ok(bucket.mayBegin(at(S), false));
});

Deno.test("RecentRate tells the bytes a second of the last ten seconds, and nothing of what is longer ago", () => {
  const rate = new RecentRate();
  assert.equal(rate.bytesPerSecond(at(0)), null);
  for (let i = 0; i < 200; i++) rate.add(50, at(3 * S + i * 100_000)); // 500 a second for 20 s
  const told = rate.bytesPerSecond(at(23 * S - 1))!;
  assert.ok(told >= 480 && told <= 520, `${told}`);
  assert.ok(rate.bytesPerSecond(at(28 * S))! < 300);
  assert.equal(rate.bytesPerSecond(at(34 * S)), null);
  rate.add(700, at(40 * S));
  assert.equal(rate.bytesPerSecond(at(41 * S)), 700);
});
