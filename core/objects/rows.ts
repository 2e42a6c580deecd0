/**
 * The names of objects' rows in the catalog. All begin with U+0001, which no other key may, and a letter.
 *
 *     b bucket                             the bucket
 *     o bucket NUL key                     the newest version
 *     v bucket NUL key NUL version         an older version; newer ones sort first
 *     m bucket NUL key NUL draw NUL page    segments of a content that has many; `draw`: the version's last 20 digits
 *     u bucket NUL key NUL upload          an upload of parts
 *     p bucket NUL key NUL upload NUL part     a part of it
 *     g bucket NUL key NUL id              what is left to be removed of something deleted
 *     s partition segment NUL bucket NUL key   a living segment, and the object that it is part of
 *     f partition bucket                   no objects are to be made in the bucket: it is being removed
 *     k access-key                         the secret with which an access key signs S3 requests
 *
 * All rows of one object lie in one partition, that of the hash of "bucket NUL key"; those of segments and fences lie in the
 * partition that they name. partitionOf() in core/placement/key.ts keeps to it.
 */
import type { PartitionId } from "../base/ids.ts";

const MARK = "\u0001";

export function bucketRow(bucket: string): string {
  return `${MARK}b${bucket}`;
}
export function newestRow(bucket: string, key: string): string {
  return `${MARK}o${bucket}\0${key}`;
}
export function versionRow(bucket: string, key: string, version: string): string {
  return `${MARK}v${bucket}\0${key}\0${version}`;
}
export function pageRow(bucket: string, key: string, draw: string, page: number): string {
  return `${MARK}m${bucket}\0${key}\0${draw}\0${hex(page, 4)}`;
}
export function uploadRow(bucket: string, key: string, upload: string): string {
  return `${MARK}u${bucket}\0${key}\0${upload}`;
}
export function partRow(bucket: string, key: string, upload: string, part: number): string {
  return `${MARK}p${bucket}\0${key}\0${upload}\0${String(part).padStart(5, "0")}`;
}
export function garbageRow(bucket: string, key: string, id: string): string {
  return `${MARK}g${bucket}\0${key}\0${id}`;
}
export function segmentRow(
  { partition, bucket, key }: {
    readonly partition: PartitionId;
    readonly bucket: string;
    readonly key: string;
  },
  segment: string,
): string {
  return `${segmentRows(partition, segment)}\0${bucket}\0${key}`;
}
/** What the rows of a segment begin with: one, unless somebody means ill. "": those of all segments of the partition. */
export function segmentRows(partition: PartitionId, segment = ""): string {
  return `${MARK}s${hex(partition, 4)}${segment}`;
}
/** Past all rows of the segment, and before those of any other. */
export function segmentRowsEnd(partition: PartitionId, segment: string): string {
  return `${segmentRows(partition, segment)}\u0001`;
}
/** `owner`: "bucket NUL key". null: it is no such row. */
export function segmentOfRow(row: string): { readonly segment: string; readonly owner: string } | null {
  const [, segment, owner] = SEGMENT_ROW.exec(row) ?? [];
  return segment === undefined || owner === undefined ? null : { segment, owner };
}
export function fenceRow(partition: PartitionId, bucket: string): string {
  return `${MARK}f${hex(partition, 4)}${bucket}`;
}
export function secretRow(access: string): string {
  return `${MARK}k${access}`;
}

// deno-lint-ignore no-control-regex
const SEGMENT_ROW = /^\u0001s[0-9a-f]{4}([0-9a-f]{32})\0(.*)$/s;

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
