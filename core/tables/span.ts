/** Spans of keys that are deleted as a whole. */
import { compareBytes } from "../base/bytes.ts";

/** `start` is included, `end` is not. */
export interface Span {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}

/** The same keys in spans that are sorted, apart from each other and not empty. */
export function unionOf(spans: Iterable<Span>): Span[] {
  const sorted = [...spans].filter(({ start, end }) => compareBytes(start, end) < 0)
    .sort((a, b) => compareBytes(a.start, b.start));
  const union: { start: Uint8Array; end: Uint8Array }[] = [];
  for (const { start, end } of sorted) {
    const last = union[union.length - 1];
    if (last === undefined || compareBytes(last.end, start) < 0) union.push({ start, end });
    else if (compareBytes(last.end, end) < 0) last.end = end;
  }
  return union;
}

/** The span of a union that holds `key`. */
export function spanOver(union: readonly Span[], key: Uint8Array): Span | null {
  let low = 0, high = union.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(union[middle]!.end, key) <= 0) low = middle + 1;
    else high = middle;
  }
  const found = union[low];
  return found !== undefined && compareBytes(found.start, key) <= 0 ? found : null;
}

/** What of a union lies from `from` up to `to`, which is not included; null: without that bound. */
export function clipped(union: readonly Span[], from: Uint8Array | null, to: Uint8Array | null): Span[] {
  const parts: Span[] = [];
  for (const span of union) {
    const start = from !== null && compareBytes(span.start, from) < 0 ? from : span.start;
    const end = to !== null && compareBytes(to, span.end) < 0 ? to : span.end;
    if (compareBytes(start, end) < 0) parts.push({ start, end });
  }
  return parts;
}
