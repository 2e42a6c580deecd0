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
 *     s partition segment                  a living segment
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
export function segmentRow(partition: PartitionId, segment: string): string {
  return `${MARK}s${hex(partition, 4)}${segment}`;
}
export function fenceRow(partition: PartitionId, bucket: string): string {
  return `${MARK}f${hex(partition, 4)}${bucket}`;
}
export function secretRow(access: string): string {
  return `${MARK}k${access}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
