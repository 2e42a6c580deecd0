/**
 * The bytes of an audit log's file.
 *
 *     file   header of 64 bytes: magic | u32 format | u32 generation | salt of 32 bytes | u32 CRC-32 | zeros
 *            line …
 *     line   u32 length | u32 CRC-32 of what follows | u64 number | payload
 *
 * Numbers are big-endian; lines are numbered from 0. Checksums start from the first four bytes of the salt. A payload is
 * [time, node, who, from, what, outcome] in CBOR, encrypted like a record of the journal (core/wire/journal_cipher.ts)
 * unless the generation is 0.
 *
 *  A1  What a crash leaves is the beginning of what was to be written, or zeros: lines up to the first that cannot be
 *      read are whole. If what follows is no torn end, it is damage, and told.
 */
import { equalBytes, isZero, readUint32, utf8Encode, writeUint32 } from "../../core/base/bytes.ts";
import { crc32 } from "../../core/base/hash.ts";
import { SALT_BYTES, UnknownKeyError, type Vault } from "../../core/base/vault.ts";
import { encode, WireError } from "../../core/wire/cbor.ts";
import { placeOf, type RecordCipher, recordCipher } from "../../core/wire/journal_cipher.ts";
import type { AuditEvent } from "../../core/wire/requests.ts";
import { auditEventWire, decodeWith, readAuditEvent } from "../../core/wire/shared_codec.ts";

const MAGIC = utf8Encode("SPOPAUD\n");
const FORMAT = 1;
export const AUDIT_HEADER_BYTES = 64;
const SALT_AT = 16;
const CHECKSUM_AT = SALT_AT + SALT_BYTES;
const LINE_HEADER_BYTES = 16;
const LINE_BYTES_MAX = 64 * 1024;

export interface AuditHeader {
  /** 0: nothing is encrypted. */
  readonly generation: number;
  /** SALT_BYTES, drawn at random. */
  readonly salt: Uint8Array;
}

/** To write lines to one file. */
export interface LineOptions extends AuditHeader {
  readonly number: number;
  readonly cipher: RecordCipher | null;
}

/** What could be read of one file. */
export interface AuditFile {
  /** null: not even its header. */
  readonly header: AuditHeader | null;
  /** Oldest first. */
  readonly events: readonly AuditEvent[];
  /** Where the last whole line ends. */
  readonly end: number;
  /** Why what follows cannot be read; null: nothing does but a torn end. */
  readonly unread: string | null;
}

export function encodeAuditHeader({ generation, salt }: AuditHeader): Uint8Array {
  const bytes = new Uint8Array(AUDIT_HEADER_BYTES);
  bytes.set(MAGIC);
  writeUint32(bytes, 8, FORMAT);
  writeUint32(bytes, 12, generation);
  bytes.set(salt, SALT_AT);
  writeUint32(bytes, CHECKSUM_AT, crc32(bytes.subarray(8, CHECKSUM_AT)));
  return bytes;
}

/**
 * Of the file with this header. `opening`: drawn for this opening of it, null where it is only read.
 * @throws {UnknownKeyError}
 */
export function auditCipher(vault: Vault, { generation, salt }: AuditHeader, opening: Uint8Array | null) {
  const key = generation === 0 ? null : { generation, salt };
  return recordCipher(vault, {
    purpose: "audit",
    key,
    header: encodeAuditHeader({ generation, salt }),
    opening,
  });
}

export function encodeLine(event: AuditEvent, { number, salt, cipher }: LineOptions): Uint8Array {
  const text = encode(auditEventWire(event));
  const payload = cipher === null ? text : cipher.encrypt(placeOf(number), text);
  const bytes = new Uint8Array(LINE_HEADER_BYTES + payload.length);
  writeUint32(bytes, 0, payload.length);
  writeUint32(bytes, 12, number);
  bytes.set(payload, LINE_HEADER_BYTES);
  writeUint32(bytes, 4, crc32(bytes.subarray(8), readUint32(salt, 0)));
  return bytes;
}

export function readAuditFile(bytes: Uint8Array, vault: Vault): AuditFile {
  const nothing = { header: null, events: [], end: 0 };
  if (bytes.length < AUDIT_HEADER_BYTES || isZero(bytes, 0)) return { ...nothing, unread: null };
  if (!equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) {
    return { ...nothing, unread: "it is no audit log" };
  }
  if (readUint32(bytes, CHECKSUM_AT) !== crc32(bytes.subarray(8, CHECKSUM_AT))) {
    return { ...nothing, unread: "its header is damaged" };
  }
  const format = readUint32(bytes, 8);
  if (format !== FORMAT) {
    return { ...nothing, unread: `it has format ${format} and this build reads ${FORMAT}` };
  }
  const header = { generation: readUint32(bytes, 12), salt: bytes.slice(SALT_AT, CHECKSUM_AT) };
  if (header.generation === 0 && vault.current !== 0) {
    return { ...nothing, unread: "it is not encrypted, and the network is private" };
  }
  try {
    return { header, ...readLines(bytes, header, auditCipher(vault, header, null)) };
  } catch (error) {
    if (!(error instanceof UnknownKeyError)) throw error;
    return { header, events: [], end: bytes.length, unread: error.message };
  }
}

function readLines(bytes: Uint8Array, { salt }: AuditHeader, cipher: RecordCipher | null) {
  const events: AuditEvent[] = [];
  let at = AUDIT_HEADER_BYTES;
  const ended = (unread: string | null) => ({ events, end: at, unread });
  while (at < bytes.length) {
    if (isZero(bytes, at) || at + LINE_HEADER_BYTES > bytes.length) return ended(null);
    const length = readUint32(bytes, at), end = at + LINE_HEADER_BYTES + length;
    const damaged = `it is damaged at byte ${at}`;
    if (length > LINE_BYTES_MAX) return ended(damaged);
    if (end > bytes.length) return ended(null);
    const number = readUint32(bytes, at + 12);
    if (
      crc32(bytes.subarray(at + 8, end), readUint32(salt, 0)) !== readUint32(bytes, at + 4) ||
      number !== events.length
    ) return ended(damaged);
    const payload = bytes.subarray(at + LINE_HEADER_BYTES, end);
    const text = cipher === null ? payload : cipher.decrypt(placeOf(number), payload);
    const event = text === null ? null : eventOf(text);
    if (event === null) return ended(`${damaged}: the line is not as it was written`);
    events.push(event);
    at = end;
  }
  return ended(null);
}

function eventOf(text: Uint8Array): AuditEvent | null {
  try {
    return decodeWith(text, readAuditEvent);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return null;
  }
}
