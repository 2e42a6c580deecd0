/**
 * A key's record: one row of the table of values or of the history.
 *
 *     seal u32, flags u8, term u64, index u64, history limit u16, history count u16, length of lease u16, lease, value
 *
 * A deleted key whose history is kept leaves a record without value, which reads as absent.
 */
import { EMPTY_BYTES, utf8Decode, utf8Encode } from "../base/bytes.ts";
import type { LogIndex, Term } from "../base/ids.ts";
import type { KeyValue, Version } from "../wire/requests.ts";
import { readUint64, SEAL_BYTES, writeUint64 } from "./rows.ts";
import type { Slab } from "./slab.ts";

const DELETED = 1;
/** The lease is the key's own (ttlMs) and goes with it. */
const OWN_LEASE = 2;

const FLAGS_AT = SEAL_BYTES, TERM_AT = FLAGS_AT + 1, INDEX_AT = TERM_AT + 8, LIMIT_AT = INDEX_AT + 8;
const COUNT_AT = LIMIT_AT + 2, LEASE_AT = COUNT_AT + 2, FIXED_BYTES = LEASE_AT + 2;

/** Which lease a key goes with: none, one of its own, or a granted one. */
export type Attachment =
  | { readonly kind: "none" }
  | { readonly kind: "own"; readonly ttlMs: number }
  | { readonly kind: "granted"; readonly lease: string };

export interface NewRecord {
  readonly version: Version;
  /** null: deleted, and kept for its history. */
  readonly value: Uint8Array | null;
  readonly historyLimit: number;
  readonly historyCount: number;
  readonly attachment: Attachment;
}

/** The row of a record, not sealed yet. */
export function encodeRecord(record: NewRecord, slab: Slab): Uint8Array {
  const { version, value, attachment } = record;
  const lease = attachment.kind === "granted" ? utf8Encode(attachment.lease) : EMPTY_BYTES;
  const row = slab.take(FIXED_BYTES + lease.length + (value === null ? 0 : value.length));
  row[FLAGS_AT] = (value === null ? DELETED : 0) | (attachment.kind === "own" ? OWN_LEASE : 0);
  writeUint64(row, TERM_AT, version.term);
  writeUint64(row, INDEX_AT, version.index);
  writeUint16(row, LIMIT_AT, record.historyLimit);
  writeUint16(row, COUNT_AT, record.historyCount);
  writeUint16(row, LEASE_AT, lease.length);
  if (lease.length > 0) row.set(lease, FIXED_BYTES);
  if (value !== null && value.length > 0) row.set(value, FIXED_BYTES + lease.length);
  return row;
}

export function isDeleted(row: Uint8Array): boolean {
  return (row[FLAGS_AT]! & DELETED) !== 0;
}

export function hasOwnLease(row: Uint8Array): boolean {
  return (row[FLAGS_AT]! & OWN_LEASE) !== 0;
}

/** The granted lease that the record goes with, or null. */
export function leaseOf(row: Uint8Array): string | null {
  const length = readUint16(row, LEASE_AT);
  return length === 0 ? null : utf8Decode(row.subarray(FIXED_BYTES, FIXED_BYTES + length));
}

export function termOf(row: Uint8Array): Term {
  return readUint64(row, TERM_AT) as Term;
}

export function indexOf(row: Uint8Array): LogIndex {
  return readUint64(row, INDEX_AT) as LogIndex;
}

export function historyLimitOf(row: Uint8Array): number {
  return readUint16(row, LIMIT_AT);
}

export function historyCountOf(row: Uint8Array): number {
  return readUint16(row, COUNT_AT);
}

/** The value as a view of the row, or null where deleted. */
export function valueOf(row: Uint8Array): Uint8Array | null {
  return isDeleted(row) ? null : row.subarray(FIXED_BYTES + readUint16(row, LEASE_AT));
}

export function valueLengthOf(row: Uint8Array): number {
  return row.length - FIXED_BYTES - readUint16(row, LEASE_AT);
}

/** What a read answers of a record. */
export function keyValueOf(key: string, row: Uint8Array, keysOnly = false): KeyValue {
  return {
    key,
    value: keysOnly ? null : valueOf(row),
    version: { term: termOf(row), index: indexOf(row) },
  };
}

function readUint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}
