/** A range over all partitions, put together from the answers of each. */
import { compareUtf8, utf8Length } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import type { KeyValue, RangeOp, Response } from "../wire/requests.ts";

type Values = Extract<Response, { kind: "values" }>;

/**
 * Merges one answer per partition into one page, sorted. An answer with `next` is complete only up to there, so the
 * page ends at the nearest such bound, at `limit` items, or at LIMITS.rangeBytesMax.
 */
export function mergeRanges(op: Pick<RangeOp, "limit" | "reverse">, parts: readonly Values[]): Values {
  const order = op.reverse ? (a: string, b: string) => compareUtf8(b, a) : compareUtf8;
  let bound: string | null = null;
  let ageUs = 0;
  const all: KeyValue[] = [];
  for (const part of parts) {
    if (part.next !== null && (bound === null || order(part.next, bound) < 0)) bound = part.next;
    ageUs = Math.max(ageUs, part.ageUs);
    for (const item of part.items) all.push(item);
  }
  all.sort((a, b) => order(a.key, b.key));
  const items: KeyValue[] = [];
  let bytes = 0;
  for (const item of all) {
    // Reversed, `next` is an excluded end, so the item at the bound itself has been read.
    if (bound !== null && (op.reverse ? order(item.key, bound) > 0 : order(item.key, bound) >= 0)) break;
    bytes += utf8Length(item.key) + (item.value?.length ?? 0);
    if (items.length === op.limit || (items.length > 0 && bytes > LIMITS.rangeBytesMax)) {
      return { kind: "values", items, next: op.reverse ? items[items.length - 1]!.key : item.key, ageUs };
    }
    items.push(item);
  }
  return { kind: "values", items, next: bound, ageUs };
}
