import assert from "node:assert/strict";
import fc from "fast-check";
import { Random } from "../../core/base/random.ts";
import { crashedBytes } from "../../sim/journal_bytes.ts";

/** Bytes that are nowhere zero and nowhere what stale ones are. */
const written = (length: number) => Uint8Array.from({ length }, (_, i) => 1 + (i % 100));
const stale = (length: number) => Uint8Array.from({ length }, (_, i) => 101 + (i % 100));

Deno.test("crashedBytes() keeps what is durable, and of the rest whole sectors in any order", () => {
  const seen = { overtaken: 0, short: 0, filled: 0, stale: 0, allKept: 0, allLost: 0 };
  fc.assert(
    fc.property(fc.nat(1e9), fc.nat(20_000), fc.nat(20_000), fc.boolean(), (seed, a, b, hasStale) => {
      const durable = Math.min(a, b), meant = written(Math.max(a, b));
      const old = hasStale ? stale(meant.length) : null;
      const bytes = crashedBytes(meant, { durable, random: Random.fromSeed(seed), stale: old });
      assert.ok(bytes.length >= durable);
      assert.deepEqual(bytes.subarray(0, durable), meant.subarray(0, durable));
      // Within a sector all is new or all is old: a drive writes sectors whole.
      let lost = 0, kept = 0, overtaken = false;
      for (let at = durable; at < Math.min(bytes.length, meant.length); at++) {
        const isNew = bytes[at] === meant[at];
        assert.ok(isNew || bytes[at] === 0 || bytes[at] === old?.[at]);
        if (at % 512 !== 0 && at > durable) {
          assert.equal(isNew, bytes[at - 1] === meant[at - 1], `byte ${at}`);
        }
        if (isNew) kept++;
        else lost++;
        if (isNew && lost > 0) overtaken = true;
        if (!isNew && bytes[at] !== 0) seen.stale++;
      }
      for (let at = meant.length; at < bytes.length; at++) assert.equal(bytes[at], 0);
      if (overtaken) seen.overtaken++;
      if (bytes.length < meant.length) seen.short++;
      if (bytes.length > meant.length) seen.filled++;
      if (lost === 0 && kept > 512) seen.allKept++;
      if (kept === 0 && lost > 512) seen.allLost++;
    }),
    { numRuns: 400 },
  );
  for (const [what, times] of Object.entries(seen)) assert.ok(times > 5, `${what} came up ${times} times`);
});
