/**
 * The bytes of a simulated journal: as they were meant, as a crash leaves them, and as damage leaves them. The format
 * and its rules J1 to J9 are those of core/wire/journal.ts.
 */
import { concatBytes, writeUint32 } from "../core/base/bytes.ts";
import { hashString32 } from "../core/base/hash.ts";
import type { NodeId } from "../core/base/ids.ts";
import { unreachable } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import { OPEN_VAULT, SALT_BYTES, SECRET_BYTES, Vault } from "../core/base/vault.ts";
import {
  encodeMark,
  encodeRecords,
  encodeSeal,
  encodeSegmentHeader,
  type RecordsOptions,
  SEGMENT_HEADER_BYTES,
} from "../core/wire/journal.ts";
import { OPENING_BYTES, recordCipher } from "../core/wire/journal_cipher.ts";
import type { JournalRecord } from "../core/wire/kernel.ts";

/** What simulated disks are encrypted with: a network that has changed its keys, and changes them again with each segment. */
export const DISK_KEYS = new Vault(
  new Map([1, 2, 3].map((id) => [id, new Uint8Array(SECRET_BYTES).fill(id)])),
  3,
);

/** A checkpoint's mark holds no record, only how many its head has; a seal holds nothing. */
export type Content =
  | { readonly kind: "live"; readonly record: JournalRecord }
  | { readonly kind: "head"; readonly record: JournalRecord }
  | { readonly kind: "mark"; readonly headRecords: number }
  | { readonly kind: "seal" };

/** One record of a journal, not encoded yet. */
export interface Item {
  readonly content: Content;
  /** The node's own count of persist records up to this one, in this life. */
  readonly number: number;
  /** The last sequence that was durable when this was written. */
  readonly durableUpTo: number;
  /** In which opening of the file, counted over all lives (C1 in core/wire/journal_cipher.ts). */
  readonly opening: number;
}

/** A segment as the node meant it. */
export interface WrittenSegment extends SegmentPlace {
  readonly items: readonly Item[];
  readonly bytes: Uint8Array;
  /** Where each record begins; one more for the end. */
  readonly starts: readonly number[];
}

export interface SegmentPlace {
  readonly node: NodeId;
  readonly number: number;
  readonly firstSequence: number;
  /** OPEN_VAULT: nothing is encrypted. */
  readonly keys: Vault;
}

export function segmentName(number: number): string {
  return `segment ${number}`;
}

export function writeSegment(
  { node, number, firstSequence, keys }: SegmentPlace,
  items: readonly Item[],
): WrittenSegment {
  const salt = hashString32(node, number), key = keys === OPEN_VAULT ? null : keyOf(keys, { salt, number });
  const header = encodeSegmentHeader({ node, segment: number, firstSequence, salt, key });
  const parts = [header], starts = [SEGMENT_HEADER_BYTES];
  let opening = 0, cipher: RecordsOptions["cipher"] = null;
  for (const [i, item] of items.entries()) {
    if (key !== null && item.opening !== opening) {
      const drawn = new Uint8Array(OPENING_BYTES);
      writeUint32(drawn, 0, opening = item.opening);
      cipher = recordCipher(keys, { key, header, opening: drawn });
    }
    const bytes = encodeItem(item, {
      firstSequence: firstSequence + i,
      durableUpTo: item.durableUpTo,
      salt,
      cipher,
    });
    parts.push(bytes);
    starts.push(starts[i]! + bytes.length);
  }
  return { node, number, firstSequence, keys, items, bytes: concatBytes(parts), starts };
}

function keyOf(keys: Vault, { salt, number }: { salt: number; number: number }) {
  const generations = keys.generations(), drawn = new Uint8Array(SALT_BYTES);
  writeUint32(drawn, 0, salt);
  writeUint32(drawn, 4, number);
  return { generation: generations[number % generations.length]!, salt: drawn };
}

/** What blocks that an earlier segment gave back may hold: records much like these, under that segment's salt. */
export function staleSegment(segment: WrittenSegment): Uint8Array {
  return writeSegment({ ...segment, number: segment.number + 1_000_000 }, segment.items).bytes;
}

export interface CrashOptions {
  /** Bytes from the start that are durable. */
  readonly durable: number;
  readonly random: Random;
  /** What the blocks held before; null: zeros. */
  readonly stale: Uint8Array | null;
}

/**
 * A file after a crash. What was not synced lies in sectors, or in pages of several; each of them reached the disk or
 * still holds what it held before, whatever became of those before it. The file is filled with zeros ahead of its end,
 * or its length is old, at any byte after what is durable.
 */
export function crashedBytes(written: Uint8Array, { durable, random, stale }: CrashOptions): Uint8Array {
  const block = random.chance(1, 2) ? 512 : 4096;
  // Of four blocks, about: none, as when power is cut at once; all, as when the kernel had written them back.
  const reached = random.below(5);
  const end = random.chance(3, 4)
    ? Math.ceil(written.length / block) * block + block * random.below(3)
    : random.between(durable, written.length);
  const bytes = new Uint8Array(end);
  bytes.set(written.subarray(0, Math.min(durable, end)));
  for (let from = durable; from < end;) {
    const to = Math.min(end, (Math.floor(from / block) + 1) * block);
    const source = random.below(4) < reached ? written : stale;
    if (source !== null && from < source.length) {
      bytes.set(source.subarray(from, Math.min(to, source.length)), from);
    }
    from = to;
  }
  return bytes;
}

/**
 * A file after the process alone died: `end` bytes were written, and stay in the page cache. Behind them are the zeros that
 * the file was filled with, or nothing.
 */
export function cachedBytes(written: Uint8Array, end: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(end + (random.chance(3, 4) ? 4096 * random.below(3) : 0));
  bytes.set(written.subarray(0, end));
  return bytes;
}

/** A segment of which nothing is durable: its header alone, perhaps torn; null where the file does not exist. */
export function crashedHeader(written: Uint8Array, random: Random): Uint8Array | null {
  if (random.chance(1, 3)) return null;
  const header = written.slice(0, random.below(SEGMENT_HEADER_BYTES + 1));
  if (random.chance(1, 2)) header.fill(0);
  return header;
}

/** Bytes that took the place of others that were durable. */
export interface Scar {
  readonly segment: number;
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** Writes the scars of a segment over its bytes. */
export function scarred(bytes: Uint8Array, segment: number, scars: readonly Scar[]): void {
  for (const scar of scars) {
    if (scar.segment === segment) bytes.set(scar.bytes, scar.at);
  }
}

/** How a disk goes wrong without telling. */
export type Damage =
  /** Bits flip, or a sector is overwritten with something else. */
  | "rot"
  /** A write lands elsewhere: its own place keeps what was there, another is overwritten. */
  | "misdirect"
  /** A write that was reported durable never happened. */
  | "lost-write";

/** The part of a segment, from `from` to `end`, that damage may strike. */
export interface Target {
  readonly segment: WrittenSegment;
  /** Its bytes as they are on the disk now. */
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly end: number;
}

const SECTOR_BYTES = 512;

/** What `damage` does to one of the targets. Every scar changes at least one byte of its target. */
export function damaged(damage: Damage, targets: readonly Target[], random: Random): Scar[] {
  const target = random.pick(targets);
  switch (damage) {
    case "rot":
      return [random.chance(1, 2) ? flippedBits(target, random) : garbage(target, random)];
    case "lost-write":
      return unwritten(target, random);
    case "misdirect": {
      const scars = unwritten(target, random), victim = random.pick(targets);
      const from = scars[0]?.at ?? target.from, length = scars[0]?.bytes.length ?? SECTOR_BYTES;
      const strayed = target.segment.bytes.slice(from, from + length);
      return [...scars, ...overwritten(victim, sectorIn(victim, random), strayed)];
    }
  }
}

function flippedBits({ segment, bytes, from, end }: Target, random: Random): Scar {
  const at = from + random.below(end - from), length = Math.min(end - at, 1 + random.below(8));
  const rotten = bytes.slice(at, at + length);
  for (let i = 0; i < length; i++) {
    if (i === 0 || random.chance(1, 2)) rotten[i] = rotten[i]! ^ (1 << random.below(8));
  }
  return { segment: segment.number, at, bytes: rotten };
}

function garbage(target: Target, random: Random): Scar {
  const at = sectorIn(target, random);
  const noise = new Uint8Array(SECTOR_BYTES);
  if (random.chance(1, 2)) { for (let i = 0; i < noise.length; i++) noise[i] = random.below(256); }
  return overwritten(target, at, noise)[0] ?? flippedBits(target, random);
}

/** The records that one write brought, as if it had not: zeros, as the file was filled with. */
function unwritten(target: Target, random: Random): Scar[] {
  const { starts } = target.segment;
  const whole = starts.findLastIndex((start) => start <= target.end);
  const least = Math.max(0, starts.findIndex((start) => start >= target.from));
  if (whole <= least) return [flippedBits(target, random)];
  const first = random.between(least, whole - 1), last = Math.min(whole, first + 1 + random.below(3));
  return overwritten(target, starts[first]!, new Uint8Array(starts[last]! - starts[first]!));
}

/** At most one scar; none where these bytes are there already. */
function overwritten({ segment, bytes, end }: Target, at: number, by: Uint8Array): Scar[] {
  const length = Math.min(by.length, end - at), before = bytes.subarray(at, at + length);
  if (length <= 0 || before.every((byte, i) => byte === by[i])) return [];
  return [{ segment: segment.number, at, bytes: by.slice(0, length) }];
}

/** Where a sector of the target begins, or the target within it. */
function sectorIn({ from, end }: Target, random: Random): number {
  const at = from + random.below(end - from);
  return Math.max(from, at - at % SECTOR_BYTES);
}

function encodeItem({ content }: Item, options: RecordsOptions): Uint8Array {
  switch (content.kind) {
    case "live":
    case "head":
      return encodeRecords([content.record], { ...options, head: content.kind === "head" });
    case "mark":
      return encodeMark(content.headRecords, options);
    case "seal":
      return encodeSeal(options);
    default:
      return unreachable(content);
  }
}
