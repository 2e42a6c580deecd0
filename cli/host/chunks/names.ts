/**
 * What files of fragments are called: FOLDER/<partition>/<segment>-<chunk>-<index>, all in lower hexadecimal digits of
 * fixed length, so that names sort as compareFragments() has it. Nothing else is believed to be one.
 */
import { type PartitionId, partitionId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import type { FragmentId } from "../../../core/wire/objects.ts";

const NAME = /^([0-9a-f]{32})-([0-9a-f]{8})-([0-9a-f]{2})$/;
const FOLDER = /^[0-9a-f]{4}$/;
/** Of a file that is being written, behind the name that it will have. */
export const UNFINISHED = ".new";

export function fileName({ segment, chunk, index }: FragmentId): string {
  return `${segment}-${hex(chunk, 8)}-${hex(index, 2)}`;
}

/** null: no fragment is called so. */
export function parseFileName(partition: PartitionId, name: string): FragmentId | null {
  const match = NAME.exec(name);
  if (match === null) return null;
  const chunk = parseInt(match[2]!, 16), index = parseInt(match[3]!, 16);
  return index < LIMITS.stripeMax ? { partition, segment: match[1]!, chunk, index } : null;
}

/** It was being written when a process ended. */
export function isUnfinished(partition: PartitionId, name: string): boolean {
  return name.endsWith(UNFINISHED) && parseFileName(partition, name.slice(0, -UNFINISHED.length)) !== null;
}

export function folderName(partition: PartitionId): string {
  return hex(partition, 4);
}

/** null: no partition's folder is called so. */
export function parseFolderName(name: string): PartitionId | null {
  const number = FOLDER.test(name) ? parseInt(name, 16) : 0;
  return number >= 1 && number <= LIMITS.partitionsMax ? partitionId(number) : null;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
