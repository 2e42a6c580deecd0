import assert from "node:assert/strict";
import fc from "fast-check";
import { type AskRange, mergedRange } from "../../cli/client/range.ts";
import { prefixEnd } from "../../cli/client/keys.ts";
import { compareUtf8 } from "../../core/base/bytes.ts";
import type { LogIndex, Term } from "../../core/base/ids.ts";
import { partitionOf } from "../../core/placement/key.ts";
import type { KeyValue } from "../../core/wire/requests.ts";

const version = { term: 1 as Term, index: 1 as LogIndex };

/** Answers as partitions do, but with pages of at most `pageMax` and never all at once. */
function askOf(keys: readonly string[], partitions: number, pageMax: number): AskRange {
  return async ({ start, end, limit, reverse, partition }) => {
    await Promise.resolve();
    const found = keys
      .filter((key) => partitionOf(key, partitions) === partition)
      .filter((key) => compareUtf8(key, start) >= 0 && (end === null || compareUtf8(key, end) < 0))
      .sort((a, b) => reverse ? compareUtf8(b, a) : compareUtf8(a, b));
    const page = found.slice(0, Math.min(limit, pageMax));
    const items: KeyValue[] = page.map((key) => ({ key, value: null, version }));
    const next = page.length === found.length ? null : reverse ? page.at(-1)! : found[page.length]!;
    return { kind: "values", items, next, ageUs: 0 };
  };
}

Deno.test("mergedRange() gives what a sorted list gives, in both directions", async () => {
  const keys = fc.uniqueArray(fc.string({ unit: "binary", minLength: 1, maxLength: 4 }), { maxLength: 60 });
  const wellFormed = keys.map((all) => all.filter((key) => key.isWellFormed()));
  await fc.assert(
    fc.asyncProperty(
      wellFormed,
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 4 }),
      fc.boolean(),
      async (all, partitions, pageMax, reverse) => {
        const wanted = {
          kind: "range",
          start: "b",
          end: null,
          reverse,
          keysOnly: true,
          read: "linearizable",
        } as const;
        const seen: string[] = [];
        for await (const { key } of mergedRange(askOf(all, partitions, pageMax), wanted, partitions)) {
          seen.push(key);
        }
        const expected = all.filter((key) => compareUtf8(key, "b") >= 0).sort(compareUtf8);
        assert.deepEqual(seen, reverse ? expected.reverse() : expected);
      },
    ),
  );
});

Deno.test("prefixEnd() is the first key after all that begin with the prefix", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 4 }),
      fc.string({ unit: "binary", maxLength: 4 }),
      (prefix, other) => {
        fc.pre(prefix.isWellFormed() && other.isWellFormed());
        const end = prefixEnd(prefix);
        const within = compareUtf8(other, prefix) >= 0 && (end === null || compareUtf8(other, end) < 0);
        assert.equal(within, other.startsWith(prefix));
        assert.equal(end === null || compareUtf8(prefix + other, end) < 0, true);
      },
    ),
    { numRuns: 500 },
  );
  assert.equal(prefixEnd("\ud7ff"), "\ue000");
  assert.equal(prefixEnd("\u{10ffff}"), null);
});
