/**
 * The row that says that a segment lives (rows.ts, letter s): all that whoever holds fragments of it needs to know about it.
 * It never has the segment's key. Strict and bounded as all records are (records.ts). Its name says which object the segment is
 * part of, so that who may write that object writes it, and nobody else.
 *
 * R1. Who may read an object knows its segments' ids and may make rows of these, of objects of its own. Of several rows of a
 *     segment the owner's counts (N2 in segment_id.ts): so nobody else changes what is wanted of it.
 * R2. Any row keeps a segment alive, also one that cannot be read. Where there are several and none is the owner's, nothing is
 *     known of the segment but that.
 */
import { LIMITS } from "../base/limits.ts";
import { encode } from "../wire/cbor.ts";
import type { Scheme } from "../wire/objects.ts";
import type { KeyValue } from "../wire/requests.ts";
import { decodeRecord, readScheme, schemeWire, tryDecode } from "./records.ts";
import { segmentOfRow } from "./rows.ts";
import { isOwner, PROOF_BYTES } from "./segment_id.ts";

export interface SegmentRecord {
  /** Of plaintext. Of a pending one as many as were written when it was registered: it may have more, and fewer. */
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly scheme: Scheme;
  /** That the row is its owner's (N2). */
  readonly proof: Uint8Array;
  /** It is still being written, and its row goes by itself when nobody keeps it alive. */
  readonly pending: boolean;
}

const SEGMENT_FORMAT = 1;

export function encodeSegmentRecord(record: SegmentRecord): Uint8Array {
  const { bytes, chunkBytes, scheme, proof, pending } = record;
  return encode([SEGMENT_FORMAT, bytes, chunkBytes, schemeWire(scheme), proof, pending]);
}

/** @throws {WireError} when `bytes` is no such record */
export function decodeSegmentRecord(bytes: Uint8Array): SegmentRecord {
  return decodeRecord(bytes, SEGMENT_FORMAT, 6, (reader) => {
    const record = {
      bytes: reader.integer(LIMITS.segmentBytesMax),
      chunkBytes: reader.integer(LIMITS.chunkBytesMax),
      scheme: readScheme(reader),
      proof: reader.bytes(PROOF_BYTES),
      pending: reader.boolean(),
    };
    if (record.proof.length !== PROOF_BYTES) {
      reader.fail("invalid", `A proof has ${PROOF_BYTES} bytes, not ${record.proof.length}`);
    }
    if (record.chunkBytes === 0 || (record.bytes === 0 && !record.pending)) {
      reader.fail("invalid", "A segment and its chunks are not empty");
    }
    if (record.bytes > record.chunkBytes * LIMITS.segmentChunksMax) {
      reader.fail("range", `A segment of ${record.bytes} bytes has chunks of more than ${record.chunkBytes}`);
    }
    return record;
  });
}

/** A segment that has rows. */
export interface Registered {
  readonly segment: string;
  /** null: it cannot be read, or told which of several is right (R2). */
  readonly record: SegmentRecord | null;
  /** Of which row `record` is; null: of the owner's, which was told from others. */
  readonly row: KeyValue | null;
}

/**
 * The segments that these rows are of, in their order. `before`: the last one of the rows that come right before these. Names
 * that are none of a segment stand for nothing.
 */
export function registeredOf(rows: readonly KeyValue[], before: Registered | null = null): Registered[] {
  const found: Registered[] = before === null ? [] : [before];
  for (const row of rows) {
    const named = segmentOfRow(row.key), last = found.at(-1);
    if (named === null || row.value === null) continue;
    if (last?.segment !== named.segment) {
      found.push({ segment: named.segment, record: recordOf(row), row });
    } else if (last.row !== null || last.record === null) {
      const owners = ownersOf(last.row) ?? ownersOf(row);
      found[found.length - 1] = { segment: last.segment, record: owners, row: null };
    }
  }
  return found;
}

function recordOf({ value }: KeyValue): SegmentRecord | null {
  const record = tryDecode(() => decodeSegmentRecord(value ?? new Uint8Array(0)));
  return record instanceof Error ? null : record;
}

/** R1. null: it is none, or not the owner's. */
function ownersOf(row: KeyValue | null): SegmentRecord | null {
  const named = row === null ? null : segmentOfRow(row.key), record = row === null ? null : recordOf(row);
  return named !== null && record !== null && isOwner(named.segment, record.proof, named.owner)
    ? record
    : null;
}
