/**
 * The rows of objects lie among the keys of users, in a space of their own: they begin with U+0001 (core/objects/rows.ts has
 * their names). Nobody meets them by chance: a range or a watch that begins before them passes them over, and one that
 * begins among them ends there.
 */
import { compareUtf8 } from "../base/bytes.ts";

export const ROW_MARK = "\u0001";
/** Before every key behind the rows, and behind every row. */
export const ROWS_END = "\u0002";

export function isRow(key: string): boolean {
  return key.startsWith(ROW_MARK);
}

/**
 * Where a range or watch from `start` to `end` begins so that it shows no rows: behind them, where it would run into
 * them. So keys that begin with U+0000, which hardly anybody has, are shown by ranges that end before the rows alone. A
 * span that begins among the rows is asked for by who knows them, and is left as it is.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(startPastRows("", null), "\u0002");
 * assert.equal(startPastRows("star/", null), "star/");
 * assert.equal(startPastRows("", "\u0001"), "");
 * ```
 */
export function startPastRows(start: string, end: string | null): string {
  if (isRow(start) || start >= ROWS_END) return start;
  return end === null || compareUtf8(end, ROW_MARK) > 0 ? ROWS_END : start;
}
