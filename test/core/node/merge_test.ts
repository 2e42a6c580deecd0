import assert from "node:assert/strict";
import fc from "fast-check";
import { compareUtf8 } from "../../../core/base/bytes.ts";
import type { LogIndex, Term } from "../../../core/base/ids.ts";
import { mergeRanges } from "../../../core/node/merge.ts";
import type { KeyValue, Response } from "../../../core/wire/requests.ts";

type Values = Extract<Response, { kind: "values" }>;

const version = { term: 1 as Term, index: 1 as LogIndex };
const item = (key: string): KeyValue => ({ key, value: new Uint8Array(3), version });

/** One partition's honest answer: its keys in order, at most `limit`, with where to go on. */
function answer(keys: string[], start: string, end: string | null, limit: number, reverse: boolean): Values {
  const inside = keys.filter((k) => compareUtf8(k, start) >= 0 && (end === null || compareUtf8(k, end) < 0));
  inside.sort(reverse ? (a, b) => compareUtf8(b, a) : compareUtf8);
  const taken = inside.slice(0, limit);
  const rest = inside.slice(limit);
  const next = rest.length === 0 ? null : reverse ? taken[taken.length - 1]! : rest[0]!;
  return { kind: "values", items: taken.map(item), next, ageUs: 0 };
}

Deno.test("mergeRanges() pages over all partitions and meets every key once, in order, either way", () => {
  const keys = fc.uniqueArray(fc.string({ unit: "grapheme", minLength: 1, maxLength: 3 }), { maxLength: 40 });
  fc.assert(
    fc.property(
      keys,
      fc.integer({ min: 1, max: 7 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 5 }),
      (all, limit, reverse, parts) => {
        const partitions: string[][] = Array.from({ length: parts }, () => []);
        all.forEach((k, i) => partitions[i % parts]!.push(k));
        const met: string[] = [];
        let start = "";
        let end: string | null = null;
        for (let page = 0; page < 200; page++) {
          const merged: Values = mergeRanges(
            { limit, reverse },
            partitions.map((p) => answer(p, start, end, limit, reverse)),
          );
          assert.ok(merged.items.length <= limit);
          met.push(...merged.items.map((i) => i.key));
          if (merged.next === null) break;
          if (reverse) end = merged.next;
          else start = merged.next;
        }
        const sorted = [...all].sort(compareUtf8);
        assert.deepEqual(met, reverse ? sorted.reverse() : sorted);
      },
    ),
  );
});

Deno.test("mergeRanges() tells the greatest age of its parts", () => {
  const part = (ageUs: number): Values => ({ kind: "values", items: [], next: null, ageUs });
  assert.equal(mergeRanges({ limit: 5, reverse: false }, [part(3), part(9), part(1)]).ageUs, 9);
});
