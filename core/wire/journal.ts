/**
 * The journal's bytes. A journal is a row of segments (files), each begun by a checkpoint:
 *
 *     segment  header of 128 bytes: magic | u32 format | u32 salt | u32 CRC-32 | [node, number, first sequence] | zeros
 *              head record …   what the checkpoint says: the whole state at the end of one step
 *              live record …   what happened since, the checkpoint's mark and seals somewhere among it
 *     record   u32 length | u32 CRC-32 of what follows | u64 sequence | u32 unsynced | u32 part | payload
 *
 * Numbers are big-endian. Sequences count every record of the journal, head records, marks and seals included, over all
 * segments and over all lives of the node. `unsynced` says how many of the records before this one were not known to
 * be durable when it was written, so each record also proves what had been durable by then. Checksums of records start
 * from the segment's salt, a number drawn at random, so neither a stale block of another segment nor a record forged
 * within a user's value passes for a record.
 *
 * What the host keeps, and recovery (journal_recovery.ts) relies on
 *  J1  Records are appended in the order of their sequences, and a record is reported durable only after it and all
 *      before it are.
 *  J2  A segment is synced to its end before the next one is created. A new one's header is synced, and so is its
 *      directory, before anything is written behind it.
 *  J3  The mark is written when the head is durable and the tables are durable as they were when the checkpoint was
 *      asked for. Until then the older segments stay, and live records go into the new segment after its head.
 *  J4  Older segments are deleted, oldest first, when the mark is durable.
 *  J5  After recovery the host cuts the tail that was reported, deletes a segment cut at 0, and syncs what is left
 *      before the node starts: a record that was read back may be acted upon.
 *
 *  J8  When a sync has completed and no record follows for a moment, and when the journal is closed, a seal is written:
 *      a record that says nothing, but whose `unsynced` proves all before it. It needs no sync of its own: where it is
 *      lost, the end is as unproven as it would be without.
 *  J9  Before the node starts, what no record proves (`append.unproven` of a recovery) is written again and synced:
 *      after a sync that failed, pages may be in memory, taken for clean, that the disk never got.
 *
 * Versions
 *  1   has no seals, and members of its views have no disk.
 *  2   Segments of version 1 are read, never appended to: the node goes on in a new segment without a head, and the
 *      next checkpoint leaves version 2 alone. A newer version is refused.
 *
 * What follows
 *  J6  Recovery starts at the newest segment with a mark (or at number 1, before which there is nothing): its head
 *      and all live records from there on. The heads of later segments are skipped: they repeat what the older
 *      segments say. So a crash while a checkpoint is written loses nothing, whatever came after its head.
 *  J7  A record that cannot be read is the torn end of what a crash interrupted, and cut, only where it lies in the
 *      last segment and no later record proves that it had been durable. A disk may keep a later page of the
 *      interrupted write and lose an earlier one: whole records behind a torn one are cut with it, none of them was
 *      reported durable. Everything else is damage, and recovery refuses to guess.
 */
import { equalBytes, readUint32, utf8Encode, writeUint32 } from "../base/bytes.ts";
import { crc32 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { encode, Reader, WireError } from "./cbor.ts";
import type { JournalRecord } from "./kernel.ts";
import { recordWire } from "./record_codec.ts";

/** Raised with every change of the format that an older build could misread. */
export const JOURNAL_VERSION = 2;
/** The oldest that is still read. */
const JOURNAL_VERSION_MIN = 1;

/** Which part of a segment a record belongs to. */
export const PART = { live: 0, head: 1, mark: 2, seal: 3 } as const;
export type Part = typeof PART[keyof typeof PART];

const MAGIC = utf8Encode("SPOPJRN\n");
/** Of which the first 20 are magic, format, salt and checksum. */
export const SEGMENT_HEADER_BYTES = 128;
const SEGMENT_BODY_AT = 20;
/** What each record takes beside its payload. */
export const RECORD_HEADER_BYTES = 24;
/** What a seal takes, and no other record. */
export const SEAL_BYTES = RECORD_HEADER_BYTES + 1;

export interface SegmentHeader {
  readonly node: NodeId;
  /** 1 for the first segment of a journal, then one more for each. */
  readonly segment: number;
  /** The sequence of the first record in it. */
  readonly firstSequence: number;
  /** 32 bits drawn at random. */
  readonly salt: number;
  /** JOURNAL_VERSION unless it says otherwise. */
  readonly version?: number;
}

export interface RecordsOptions {
  /** The sequence of the first record; the others follow. The first of a journal is 1. */
  readonly firstSequence: number;
  /** The last sequence known to be durable. */
  readonly durableUpTo: number;
  /** Of the segment they are written to. */
  readonly salt: number;
  /** True for the records of a checkpoint at the start of its segment. */
  readonly head?: boolean;
}

/** The first bytes of a segment. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  bytes.set(MAGIC);
  writeUint32(bytes, 8, header.version ?? JOURNAL_VERSION);
  writeUint32(bytes, 12, header.salt);
  bytes.set(encode([header.node, header.segment, header.firstSequence]), SEGMENT_BODY_AT);
  writeUint32(bytes, 16, headerChecksum(bytes));
  return bytes;
}

/**
 * The bytes of `records`, to be appended with one write.
 * @throws {RangeError} when one is above LIMITS.journalRecordBytesMax
 */
export function encodeRecords(records: readonly JournalRecord[], options: RecordsOptions): Uint8Array {
  const part = options.head === true ? PART.head : PART.live;
  const encoded: Uint8Array[] = [];
  let total = 0;
  for (let i = 0; i < records.length; i++) {
    const bytes = encode(recordWire(records[i]!), RECORD_HEADER_BYTES);
    closeRecord(bytes, part, options.firstSequence + i, options);
    encoded.push(bytes);
    total += bytes.length;
  }
  if (encoded.length === 1) return encoded[0]!;
  const out = new Uint8Array(total);
  let at = 0;
  for (const bytes of encoded) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

/**
 * The record that makes a checkpoint count (J3). Takes one sequence, `firstSequence`. `headRecords` is how many its
 * head has.
 */
export function encodeMark(headRecords: number, options: RecordsOptions): Uint8Array {
  const bytes = encode([headRecords], RECORD_HEADER_BYTES);
  closeRecord(bytes, PART.mark, options.firstSequence, options);
  return bytes;
}

/** A seal (J8). Takes one sequence, `firstSequence`; proves all up to `durableUpTo`. */
export function encodeSeal(options: RecordsOptions): Uint8Array {
  const bytes = encode([], RECORD_HEADER_BYTES);
  closeRecord(bytes, PART.seal, options.firstSequence, options);
  return bytes;
}

function closeRecord(bytes: Uint8Array, part: Part, sequence: number, options: RecordsOptions): void {
  const length = bytes.length - RECORD_HEADER_BYTES;
  if (length > LIMITS.journalRecordBytesMax) {
    throw new RangeError(`A journal record holds up to ${LIMITS.journalRecordBytesMax} bytes, not ${length}`);
  }
  writeUint32(bytes, 0, length);
  writeUint32(bytes, 8, Math.floor(sequence / 0x1_0000_0000));
  writeUint32(bytes, 12, sequence);
  writeUint32(bytes, 16, Math.min(0xffff_ffff, sequence - 1 - options.durableUpTo));
  writeUint32(bytes, 20, part);
  writeUint32(bytes, 4, crc32(bytes.subarray(8), options.salt));
}

/** A record as it lies in a segment. */
export interface RawRecord {
  readonly sequence: number;
  readonly durableUpTo: number;
  readonly part: Part;
  readonly payload: Uint8Array;
  /** Where the next record begins. */
  readonly end: number;
}

/** The record that begins at `at`; null unless it is whole and its checksum right. */
export function readRawRecord(bytes: Uint8Array, at: number, salt: number): RawRecord | null {
  if (at + RECORD_HEADER_BYTES >= bytes.length) return null;
  const length = readUint32(bytes, at);
  const end = at + RECORD_HEADER_BYTES + length;
  if (length < 1 || length > LIMITS.journalRecordBytesMax || end > bytes.length) return null;
  const part = readUint32(bytes, at + 20);
  if (part > PART.seal) return null;
  if (crc32(bytes.subarray(at + 8, end), salt) !== readUint32(bytes, at + 4)) return null;
  const sequence = sequenceAt(bytes, at);
  const durableUpTo = sequence - 1 - readUint32(bytes, at + 16);
  const payload = bytes.subarray(at + RECORD_HEADER_BYTES, end);
  return { sequence, durableUpTo, part: part as Part, payload, end };
}

/**
 * True where, at or after `from`, a whole record proves that the one with `sequence` had been durable (J7). Whole
 * records are looked for at every byte, since a damaged length leaves no other way to find the next.
 */
export function provesDurable(
  bytes: Uint8Array,
  { from, sequence, salt }: { from: number; sequence: number; salt: number },
): boolean {
  const last = bytes.length - RECORD_HEADER_BYTES;
  for (let at = from; at < last; at++) {
    const found = sequenceAt(bytes, at);
    // Cheap tests first: only what could be such a record has its checksum computed.
    if (found <= sequence || found - sequence > bytes.length) continue;
    if (found - 1 - readUint32(bytes, at + 16) < sequence) continue;
    if (readRawRecord(bytes, at, salt) !== null) return true;
  }
  return false;
}

/**
 * Where the record with `sequence` begins in a segment whose records up to it are whole, `first` being the sequence
 * of the first.
 */
export function offsetOfRecord(
  bytes: Uint8Array,
  { first, sequence }: { first: number; sequence: number },
): number {
  let at = SEGMENT_HEADER_BYTES;
  for (let passed = first; passed < sequence; passed++) at += RECORD_HEADER_BYTES + readUint32(bytes, at);
  return at;
}

function sequenceAt(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at + 8) * 0x1_0000_0000 + readUint32(bytes, at + 12);
}

/** What the first bytes of a segment say. damaged: not a whole header. */
export type SegmentStart =
  | { readonly kind: "segment"; readonly header: Required<SegmentHeader> }
  | { readonly kind: "version"; readonly version: number }
  | { readonly kind: "damaged" };

export function readSegmentHeader(bytes: Uint8Array): SegmentStart {
  const damaged = { kind: "damaged" } as const;
  if (bytes.length < SEGMENT_HEADER_BYTES) return damaged;
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) return damaged;
  if (readUint32(bytes, 16) !== headerChecksum(bytes)) return damaged;
  const version = readUint32(bytes, 8);
  if (version < JOURNAL_VERSION_MIN || version > JOURNAL_VERSION) return { kind: "version", version };
  const reader = new Reader(bytes.subarray(SEGMENT_BODY_AT, SEGMENT_HEADER_BYTES));
  try {
    reader.tuple(3);
    const header = { node: reader.nodeId(), segment: reader.integer(), firstSequence: reader.integer() };
    return { kind: "segment", header: { ...header, salt: readUint32(bytes, 12), version } };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return damaged;
  }
}

/** Of all but the magic and the checksum itself. */
function headerChecksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(SEGMENT_BODY_AT, SEGMENT_HEADER_BYTES), crc32(bytes.subarray(8, 16)));
}
