/**
 * What one right covers. A right on "so://bucket/prefix" is one on objects: "so://" covers all, "so://maps" those of all
 * buckets whose names begin so, "so://maps/" those of one bucket, "so://maps/2026/" those of its keys. Behind it are rows
 * of the catalog (core/objects/rows.ts), and the prefix is put in the words of each kind of rows: "so://maps/2026/" covers
 * the rows of versions that begin with "U+0001 v maps NUL 2026/". A segment's row is covered as the object's is that it names.
 */
import { compareUtf8, prefixEnd } from "../base/bytes.ts";
import { segmentOfRow } from "../objects/rows.ts";
import { isRow, ROW_MARK } from "../wire/rows.ts";
import type { Right } from "../wire/security.ts";

export type Use = "read" | "write";

const OBJECTS = "so://";
/** Rows of objects: newest and older versions, pages of segments, uploads, parts, garbage. */
const OF_OBJECTS = "ovmupg";
/** Before the bucket's name in the row of a fence: the mark, the letter and four digits. */
const FENCED = 6;

/** `prefix` lies within `outer`, where rights on keys and on objects are two worlds (Z6). */
export function within(prefix: string, outer: string): boolean {
  return outer === "" || (isOfObjects(prefix) === isOfObjects(outer) && prefix.startsWith(outer));
}

/** What a row stands for, as rights on it are written; a name that is no row, and a row that is of no bucket, as it is. */
export function nameShown(named: string): string {
  if (!isRow(named)) return named;
  const name = asObjectRow(named);
  const kind = name.charAt(1);
  if (kind === "b" || kind === "f") return `${OBJECTS}${name.slice(kind === "b" ? 2 : FENCED)}`;
  if (kind === "" || !OF_OBJECTS.includes(kind)) return name;
  const [bucket = "", key] = name.slice(2).split("\0");
  return key === undefined ? `${OBJECTS}${bucket}` : `${OBJECTS}${bucket}/${key}`;
}

/** Whether it covers some objects: with it chunks may be asked for (Z7). */
export function coversObjects(right: Right, use: Use): boolean {
  return right[use] && (right.prefix === "" || isOfObjects(right.prefix));
}

/** The access key whose S3 secret the row `name` is (Z8); null: it is another name. */
export function secretOwner(name: string): string | null {
  return name.startsWith(`${ROW_MARK}k`) ? name.slice(2) : null;
}

/** Whether it covers a key, a lease's name or a row. Not those of secrets. */
export function coversKey(right: Right, use: Use, named: string): boolean {
  if (!isRow(named)) return right[use] && !isOfObjects(right.prefix) && named.startsWith(right.prefix);
  const name = asObjectRow(named);
  const kind = name.charAt(1);
  const bucket = kind === "b" ? name.slice(2) : kind === "f" ? name.slice(FENCED) : null;
  // No bucket's name has a slash, after which another one's keys would begin.
  if (bucket?.includes("/") === true) return right[use] && right.prefix === "";
  // Who writes an object reads what the bucket says, and makes sure that it is not being removed.
  if (bucket !== null && use === "read" && (right.read || right.write) && touchesBucket(right, bucket)) {
    return true;
  }
  if (!right[use]) return false;
  if (right.prefix === "") return true;
  if (!isOfObjects(right.prefix)) return false;
  if (bucket !== null) return `${OBJECTS}${bucket}/`.startsWith(right.prefix);
  return OF_OBJECTS.includes(kind) && kind !== "" && name.startsWith(rowPrefix(right.prefix, kind));
}

/** Whether it lets all be read from `start` up to but without `end`, in the order of UTF-8; none of a span over secrets. */
export function coversSpan(right: Right, start: string, end: string | null): boolean {
  if (!right.read) return false;
  if (!isRow(start)) return !isOfObjects(right.prefix) && holdsSpan(right.prefix, start, end);
  const kind = start.charAt(1);
  // One kind of rows: else it might run into the secrets.
  if (kind === "" || kind === "k" || !holdsSpan(ROW_MARK + kind, start, end)) return false;
  if (right.prefix === "") return true;
  if (!isOfObjects(right.prefix)) return false;
  if (kind === "s") return right.prefix === OBJECTS;
  // Names of buckets: a right within one of them does not cover others that begin with its name.
  if (kind === "b" && bucketEnd(right.prefix) >= 0) return false;
  return (kind === "b" || OF_OBJECTS.includes(kind)) && holdsSpan(rowPrefix(right.prefix, kind), start, end);
}

/** True where every key from `start` up to but without `end`, in the order of their UTF-8 forms, begins with `prefix`. */
export function holdsSpan(prefix: string, start: string, end: string | null): boolean {
  if (!start.startsWith(prefix)) return false;
  const beyond = prefixEnd(prefix);
  return beyond === null || (end !== null && compareUtf8(end, beyond) <= 0);
}

/** The row of a segment as that of the object which it is part of (Z7); any other as it is. What names no object is covered with all. */
function asObjectRow(row: string): string {
  return row.charAt(1) === "s" ? `${ROW_MARK}o${segmentOfRow(row)?.owner ?? ""}` : row;
}

function isOfObjects(prefix: string): boolean {
  return prefix.startsWith(OBJECTS);
}

/** Where the name of the bucket ends in a prefix on objects; -1 where it may go on. */
function bucketEnd(prefix: string): number {
  return prefix.indexOf("/", OBJECTS.length);
}

/** Some of what is in the bucket is covered. */
function touchesBucket({ prefix }: Right, bucket: string): boolean {
  const whole = `${OBJECTS}${bucket}/`;
  return isOfObjects(prefix) && (prefix.startsWith(whole) || whole.startsWith(prefix));
}

/** What rows of this kind begin with that stand for what `prefix` is on. */
function rowPrefix(prefix: string, kind: string): string {
  const end = bucketEnd(prefix);
  const rest = end < 0
    ? prefix.slice(OBJECTS.length)
    : `${prefix.slice(OBJECTS.length, end)}\0${prefix.slice(end + 1)}`;
  return ROW_MARK + kind + rest;
}
