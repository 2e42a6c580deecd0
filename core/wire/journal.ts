/**
 * The journal's bytes. A journal is a row of segments (files), each begun by a checkpoint:
 *
 *     segment  header of 128 bytes: magic | u32 format | u32 generation | u32 CRC-32 | salt of 32 bytes | u32 number |
 *                u64 first sequence | node, in 64 bytes of ASCII and zeros
 *              head record …   what the checkpoint says: the whole state at the end of one step
 *              live record …   what happened since, the checkpoint's mark and seals somewhere among it
 *     record   u32 length | u32 CRC-32 of what follows | u64 sequence | u32 unsynced | u32 part | payload
 *     payload  what a batch says: one or more of the node's records (kernel.ts), one behind the other
 *
 * Numbers are big-endian. Sequences count every record of the journal, head records, marks and seals included, over all
 * segments and over all lives of the node. `unsynced` says how many of the records before this one were not known to
 * be durable when it was written, so each record also proves what had been durable by then. Checksums of records start
 * from the first four bytes of the segment's salt, drawn at random, so neither a stale block of another segment nor a
 * record forged within a user's value passes for a record.
 *
 * In a network with keys payloads are encrypted (journal_cipher.ts) under a key of the segment, which is made of the
 * secret of the generation and the salt that its header names (base/vault.ts). Checksums are over the encrypted bytes:
 * J1 to J9 need no key. What is written together is one batch, since to encrypt costs more a call than a byte: of
 * records of 256 bytes, on one core, 6 to 10 µs for one alone, 2 µs each for 8 in a batch and 0.4 µs each for 64.
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
 *  2   has another header: magic | u32 format | u32 salt | u32 CRC-32 | [node, number, first sequence] | zeros; and one
 *      record of the node in each record. Nothing is encrypted.
 *  3   Segments of versions 1 and 2, and those of another key generation than the current one, are read, never appended
 *      to: the node goes on in a new segment without a head, and the next checkpoint leaves that alone. A newer version
 *      is refused.
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
import { concatBytes, equalBytes, readUint32, utf8Encode, writeUint32 } from "../base/bytes.ts";
import { crc32 } from "../base/hash.ts";
import { isNodeId, type NodeId } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import { SALT_BYTES } from "../base/vault.ts";
import { encode, Reader, WireError } from "./cbor.ts";
import { ENCRYPTION_BYTES, type RecordCipher } from "./journal_cipher.ts";
import type { JournalRecord } from "./kernel.ts";
import { recordWire } from "./record_codec.ts";

/** Raised with every change of the format that an older build could misread. */
export const JOURNAL_VERSION = 3;
/** The oldest that is still read. */
const JOURNAL_VERSION_MIN = 1;

/** Which part of a segment a record belongs to. */
export const PART = { live: 0, head: 1, mark: 2, seal: 3 } as const;
export type Part = typeof PART[keyof typeof PART];

const MAGIC = utf8Encode("SPOPJRN\n");
export const SEGMENT_HEADER_BYTES = 128;
/** Where what the checksum covers goes on behind it. */
const SEGMENT_BODY_AT = 20;
const NUMBER_AT = SEGMENT_BODY_AT + SALT_BYTES;
const FIRST_AT = NUMBER_AT + 4;
const NODE_AT = FIRST_AT + 8;
/** What each record takes beside its payload. */
export const RECORD_HEADER_BYTES = 24;

/** What a seal takes, and no other record of the same segment. */
export function sealBytes(encrypted: boolean): number {
  return RECORD_HEADER_BYTES + 1 + (encrypted ? ENCRYPTION_BYTES : 0);
}

export interface SegmentHeader {
  readonly node: NodeId;
  /** 1 for the first segment of a journal, then one more for each. */
  readonly segment: number;
  /** The sequence of the first record in it. */
  readonly firstSequence: number;
  /** 32 bits drawn at random; of an encrypted segment the first of its key's salt. */
  readonly salt: number;
  /** null or none: nothing is encrypted. */
  readonly key?: SegmentKey | null;
  /** JOURNAL_VERSION unless it says otherwise. */
  readonly version?: number;
}

/** What the key of a segment is made of, beside the generation's secret. */
export interface SegmentKey {
  readonly generation: number;
  /** SALT_BYTES, drawn at random. */
  readonly salt: Uint8Array;
}

export interface RecordsOptions {
  /** The sequence of the first record; the others follow. The first of a journal is 1. */
  readonly firstSequence: number;
  /** The last sequence known to be durable. */
  readonly durableUpTo: number;
  /** Of the segment they are written to. */
  readonly salt: number;
  /** Of that segment; null or none: nothing is encrypted. */
  readonly cipher?: RecordCipher | null;
  /** True for the records of a checkpoint at the start of its segment. */
  readonly head?: boolean;
}

/** The first bytes of a segment, as this build writes them. */
export function encodeSegmentHeader(
  { node, segment, firstSequence, salt, key = null }: SegmentHeader,
): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  bytes.set(MAGIC);
  writeUint32(bytes, 8, JOURNAL_VERSION);
  if (key === null) writeUint32(bytes, SEGMENT_BODY_AT, salt);
  else {
    invariant(key.salt.length === SALT_BYTES, "K1: the salt of a segment's key has its full length");
    invariant(readUint32(key.salt, 0) === salt, "A segment's salt begins its key's");
    writeUint32(bytes, 12, key.generation);
    bytes.set(key.salt, SEGMENT_BODY_AT);
  }
  writeUint32(bytes, NUMBER_AT, segment);
  writeUint64(bytes, FIRST_AT, firstSequence);
  bytes.set(utf8Encode(node), NODE_AT);
  writeUint32(bytes, 16, headerChecksum(bytes));
  return bytes;
}

/**
 * The payload of a record of the node, to be written with others in a batch.
 * @throws {RangeError} when it is above LIMITS.journalRecordBytesMax
 */
export function encodeRecord(record: JournalRecord): Uint8Array {
  const bytes = encode(recordWire(record));
  checkLength(bytes.length);
  return bytes;
}

/**
 * What was encoded by encodeRecord(), as one record of the journal. Takes one sequence, `firstSequence`.
 * @throws {RangeError} when all together are above LIMITS.journalRecordBytesMax
 */
export function encodeBatch(records: readonly Uint8Array[], options: RecordsOptions): Uint8Array {
  const payload = records.length === 1 ? records[0]! : concatBytes(records);
  return closedRecord(payload, options.head === true ? PART.head : PART.live, options.firstSequence, options);
}

/**
 * The bytes of `records`, each a record of the journal of its own, to be appended with one write.
 * @throws {RangeError} when one is above LIMITS.journalRecordBytesMax
 */
export function encodeRecords(records: readonly JournalRecord[], options: RecordsOptions): Uint8Array {
  const { firstSequence } = options;
  return concatBytes(
    records.map((record, i) =>
      encodeBatch([encodeRecord(record)], { ...options, firstSequence: firstSequence + i })
    ),
  );
}

/**
 * The record that makes a checkpoint count (J3). Takes one sequence, `firstSequence`. `headRecords` is how many its
 * head has.
 */
export function encodeMark(headRecords: number, options: RecordsOptions): Uint8Array {
  return closedRecord(encode([headRecords]), PART.mark, options.firstSequence, options);
}

/** A seal (J8). Takes one sequence, `firstSequence`; proves all up to `durableUpTo`. */
export function encodeSeal(options: RecordsOptions): Uint8Array {
  return closedRecord(encode([]), PART.seal, options.firstSequence, options);
}

function closedRecord(
  payload: Uint8Array,
  part: Part,
  sequence: number,
  { durableUpTo, salt, cipher = null }: RecordsOptions,
): Uint8Array {
  checkLength(payload.length);
  const length = payload.length + (cipher === null ? 0 : ENCRYPTION_BYTES);
  const bytes = new Uint8Array(RECORD_HEADER_BYTES + length);
  writeUint32(bytes, 0, length);
  writeUint64(bytes, 8, sequence);
  writeUint32(bytes, 16, Math.min(0xffff_ffff, sequence - 1 - durableUpTo));
  writeUint32(bytes, 20, part);
  const body = cipher === null ? payload : cipher.encrypt(bytes.subarray(8, RECORD_HEADER_BYTES), payload);
  bytes.set(body, RECORD_HEADER_BYTES);
  writeUint32(bytes, 4, crc32(bytes.subarray(8), salt));
  return bytes;
}

function checkLength(length: number): void {
  if (length <= LIMITS.journalRecordBytesMax) return;
  throw new RangeError(`A journal record holds up to ${LIMITS.journalRecordBytesMax} bytes, not ${length}`);
}

/** A record as it lies in a segment. */
export interface RawRecord {
  readonly sequence: number;
  readonly durableUpTo: number;
  readonly part: Part;
  /** What the payload is bound to when it is encrypted: sequence, unsynced and part as they lie there. */
  readonly place: Uint8Array;
  /** As it lies there, perhaps encrypted. */
  readonly payload: Uint8Array;
  /** Where the next record begins. */
  readonly end: number;
}

/** The record that begins at `at`; null unless it is whole and its checksum right. */
export function readRawRecord(bytes: Uint8Array, at: number, salt: number): RawRecord | null {
  if (at + RECORD_HEADER_BYTES >= bytes.length) return null;
  const length = readUint32(bytes, at);
  const end = at + RECORD_HEADER_BYTES + length;
  if (length < 1 || length > LIMITS.journalRecordBytesMax + ENCRYPTION_BYTES || end > bytes.length) {
    return null;
  }
  const part = readUint32(bytes, at + 20);
  if (part > PART.seal) return null;
  if (crc32(bytes.subarray(at + 8, end), salt) !== readUint32(bytes, at + 4)) return null;
  const sequence = sequenceAt(bytes, at);
  const durableUpTo = sequence - 1 - readUint32(bytes, at + 16);
  const place = bytes.subarray(at + 8, at + RECORD_HEADER_BYTES);
  const payload = bytes.subarray(at + RECORD_HEADER_BYTES, end);
  return { sequence, durableUpTo, part: part as Part, place, payload, end };
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
  return readUint64(bytes, at + 8);
}

function readUint64(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) * 0x1_0000_0000 + readUint32(bytes, at + 4);
}

function writeUint64(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at, Math.floor(value / 0x1_0000_0000));
  writeUint32(bytes, at + 4, value);
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
  const header = version < 3 ? readPlainHeader(bytes) : readHeader(bytes);
  return header === null ? damaged : { kind: "segment", header: { ...header, version } };
}

type HeaderFields = Omit<Required<SegmentHeader>, "version">;

/** The checksum was right; null: what no build writes. */
function readHeader(bytes: Uint8Array): HeaderFields | null {
  const name = bytes.subarray(NODE_AT, SEGMENT_HEADER_BYTES), length = name.indexOf(0);
  const node = String.fromCharCode(...(length < 0 ? name : name.subarray(0, length)));
  const segment = readUint32(bytes, NUMBER_AT), firstSequence = readUint64(bytes, FIRST_AT);
  if (!isNodeId(node) || !Number.isSafeInteger(firstSequence)) return null;
  const generation = readUint32(bytes, 12), salt = readUint32(bytes, SEGMENT_BODY_AT);
  const key = generation === 0
    ? null
    : { generation, salt: bytes.slice(SEGMENT_BODY_AT, SEGMENT_BODY_AT + SALT_BYTES) };
  return { node, segment, firstSequence, salt, key };
}

/** Of versions 1 and 2. */
function readPlainHeader(bytes: Uint8Array): HeaderFields | null {
  const reader = new Reader(bytes.subarray(SEGMENT_BODY_AT, SEGMENT_HEADER_BYTES));
  try {
    reader.tuple(3);
    const header = { node: reader.nodeId(), segment: reader.integer(), firstSequence: reader.integer() };
    return { ...header, salt: readUint32(bytes, 12), key: null };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return null;
  }
}

/** Of all but the magic and the checksum itself. */
function headerChecksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(SEGMENT_BODY_AT, SEGMENT_HEADER_BYTES), crc32(bytes.subarray(8, 16)));
}
