/** What a data partition answers without changing. */
import { unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { GetOp, HistoryOp, KeyValue, RangeOp, ReadOp, Response } from "../wire/requests.ts";
import type { KeySpace } from "./key_space.ts";
import { isDeleted, keyValueOf, termOf, valueLengthOf } from "./record.ts";
import { type Rows, textOf, VALUE } from "./rows.ts";

/** What an item of an answer takes beside its key and value. */
const ITEM_BYTES = 32;
/** A page ends after this many records even if most of them are deleted keys whose history is kept. */
const SCANNED_MAX = 10 * LIMITS.rangeItemsMax;

/** Answers from the applied state. `ageUs` is what the answer is to say of its age. */
export function read(rows: Rows, keys: KeySpace, op: ReadOp, ageUs: number): Response {
  switch (op.kind) {
    case "get":
      return op.version === undefined
        ? { kind: "value", found: keys.get(op.key), ageUs }
        : getVersion(keys, op, ageUs);
    case "history":
      return history(rows, keys, op, ageUs);
    case "range":
      return range(rows, op, ageUs);
    default:
      return unreachable(op);
  }
}

function getVersion(keys: KeySpace, op: GetOp, ageUs: number): Response {
  const { term, index } = op.version!;
  const row = keys.findVersion(op.key, index);
  if (row === null || termOf(row) !== term) {
    return {
      kind: "refused",
      reason: "not-found",
      message: `The key ${JSON.stringify(op.key)} has no version ${term}.${index} any more, or never had. ` +
        `Ask for its history to see what is kept`,
    };
  }
  return { kind: "value", found: isDeleted(row) ? null : keyValueOf(op.key, row), ageUs };
}

/**
 * Newest first, deletions as null. Where all of it would be too long, `next` is the version ("term.index") of the
 * newest one that was left out.
 */
function history(rows: Rows, keys: KeySpace, op: HistoryOp, ageUs: number): Response {
  const items: KeyValue[] = [];
  const newest = rows.get(rows.key(VALUE, op.key));
  if (newest === null) return { kind: "values", items, next: null, ageUs };
  items.push(keyValueOf(op.key, newest));
  let bytes = costOf(op.key, newest);
  for (const row of keys.historyOf(op.key, true)) {
    const item = keyValueOf(op.key, row);
    bytes += costOf(op.key, row);
    if (bytes > LIMITS.rangeBytesMax) {
      return { kind: "values", items, next: `${item.version.term}.${item.version.index}`, ageUs };
    }
    items.push(item);
  }
  return { kind: "values", items, next: null, ageUs };
}

function range(rows: Rows, op: RangeOp, ageUs: number): Response {
  const items: KeyValue[] = [];
  const span = {
    start: rows.key(VALUE, op.start),
    end: op.end === null ? rows.endOf(VALUE) : rows.key(VALUE, op.end),
    reverse: op.reverse,
  };
  const limit = Math.min(op.limit, LIMITS.rangeItemsMax);
  let bytes = 0, scanned = 0, last = "";
  for (const [rowKey, row] of rows.tables.range(span)) {
    const key = textOf(rowKey), deleted = isDeleted(row);
    const cost = op.keysOnly ? ITEM_BYTES + key.length : costOf(key, row);
    const full = !deleted &&
      (items.length === limit || (bytes + cost > LIMITS.rangeBytesMax && items.length > 0));
    if (full || scanned === SCANNED_MAX) {
      return { kind: "values", items, next: op.reverse ? last : key, ageUs };
    }
    scanned++;
    last = key;
    if (deleted) continue;
    bytes += cost;
    items.push(keyValueOf(key, row, op.keysOnly));
  }
  return { kind: "values", items, next: null, ageUs };
}

function costOf(key: string, row: Uint8Array): number {
  return ITEM_BYTES + key.length + valueLengthOf(row);
}
