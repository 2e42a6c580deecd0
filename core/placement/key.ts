import { hashString32 } from "../base/hash.ts";
import type { PartitionId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";

/**
 * The data partition, 1 to `partitions`, that holds `key`. As in Redis Cluster, a key with a tag in braces goes where
 * the tag goes: what is inside the first `{` and the next `}`, when not empty, is hashed in place of the whole key.
 *
 * @throws {RangeError} when `partitions` is not an integer from 1 to LIMITS.partitionsMax
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(partitionOf("{orion}/betelgeuse", 64), partitionOf("{orion}/rigel", 64));
 * ```
 */
export function partitionOf(key: string, partitions: number): PartitionId {
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > LIMITS.partitionsMax) {
    throw new RangeError(`There are 1 to ${LIMITS.partitionsMax} partitions, not ${partitions}`);
  }
  return (hashString32(hashedPart(key)) % partitions + 1) as PartitionId;
}

function hashedPart(key: string): string {
  const open = key.indexOf("{");
  if (open < 0) return key;
  const close = key.indexOf("}", open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : key;
}
