import { hashString32 } from "../base/hash.ts";
import type { PartitionId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";

/**
 * The data partition, 1 to `partitions`, that holds `key`, be it the name of a key, of a lease or of a row.
 *
 * As in Redis Cluster, a key with a tag in braces goes where the tag goes: what is inside the first `{` and the next
 * `}`, when not empty, is hashed in place of the whole key. The rows of objects (core/objects/rows.ts), which begin with
 * U+0001 and a letter, know no tags, for braces in the name of an object mean nothing:
 *
 * - o v m u p g: hashed is what they all begin with, "bucket NUL key", so that all rows of one object lie together
 * - s f: where the row says, in four hexadecimal digits behind the letter
 * - any other, and any that is not as it should be: hashed as a whole
 *
 * @throws {RangeError} when `partitions` is not an integer from 1 to LIMITS.partitionsMax
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(partitionOf("{orion}/betelgeuse", 64), partitionOf("{orion}/rigel", 64));
 * assert.equal(partitionOf("\u0001omaps\0orion.jpg", 64), partitionOf("\u0001vmaps\0orion.jpg\0" + "00ff", 64));
 * assert.equal(partitionOf("\u0001s002a" + "0".repeat(32), 64), 42);
 * ```
 */
export function partitionOf(key: string, partitions: number): PartitionId {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > LIMITS.partitionsMax) {
    throw new RangeError(`There are 1 to ${LIMITS.partitionsMax} partitions, not ${partitions}`);
  }
  if (key.charCodeAt(0) === ROW_MARK) return partitionOfRow(key, partitions);
  return hashed(taggedPart(key), partitions);
}

const ROW_MARK = 1;
const OF_OBJECTS = "ovmupg";
const NAMED_PLACE = /^[0-9a-f]{4}$/;

function partitionOfRow(row: string, partitions: number): PartitionId {
  const letter = row.charAt(1);
  if (letter !== "" && OF_OBJECTS.includes(letter)) return hashed(objectPart(row), partitions);
  if (letter === "s" || letter === "f") {
    const place = row.slice(2, 6);
    const named = NAMED_PLACE.test(place) ? parseInt(place, 16) : 0;
    if (named >= 1 && named <= partitions) return named as PartitionId;
  }
  return hashed(row, partitions);
}

/** "bucket NUL key" of a row that may have more behind a second NUL. */
function objectPart(row: string): string {
  const bucketEnd = row.indexOf("\0", 2);
  const keyEnd = bucketEnd < 0 ? -1 : row.indexOf("\0", bucketEnd + 1);
  return keyEnd < 0 ? row.slice(2) : row.slice(2, keyEnd);
}

function hashed(text: string, partitions: number): PartitionId {
  return (hashString32(text) % partitions + 1) as PartitionId;
}

function taggedPart(key: string): string {
  const open = key.indexOf("{");
  if (open < 0) return key;
  const close = key.indexOf("}", open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}
