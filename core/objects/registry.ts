/**
 * The row that says that a segment lives (rows.ts, letter s): all that whoever holds fragments of it needs to know about it.
 * It never has the segment's key. Strict and bounded as all records are (records.ts).
 */
import { LIMITS } from "../base/limits.ts";
import { encode } from "../wire/cbor.ts";
import type { Scheme } from "../wire/objects.ts";
import { decodeRecord, readScheme, schemeWire } from "./records.ts";

export interface SegmentRecord {
  /** Of plaintext. Of a pending one as many as were written when it was registered: it may have more, and fewer. */
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly scheme: Scheme;
  /** The object that it is part of, for people who look into the registry. */
  readonly bucket: string;
  readonly key: string;
  /** It is still being written, and its row goes by itself when nobody keeps it alive. */
  readonly pending: boolean;
}

const SEGMENT_FORMAT = 1;

export function encodeSegmentRecord(record: SegmentRecord): Uint8Array {
  const { bytes, chunkBytes, scheme, bucket, key, pending } = record;
  return encode([SEGMENT_FORMAT, bytes, chunkBytes, schemeWire(scheme), bucket, key, pending]);
}

/** @throws {WireError} when `bytes` is no such record */
export function decodeSegmentRecord(bytes: Uint8Array): SegmentRecord {
  return decodeRecord(bytes, SEGMENT_FORMAT, 7, (reader) => {
    const record = {
      bytes: reader.integer(LIMITS.segmentBytesMax),
      chunkBytes: reader.integer(LIMITS.chunkBytesMax),
      scheme: readScheme(reader),
      bucket: reader.text(LIMITS.bucketNameBytesMax),
      key: reader.text(LIMITS.objectKeyBytesMax),
      pending: reader.boolean(),
    };
    if (record.chunkBytes === 0 || (record.bytes === 0 && !record.pending)) {
      reader.fail("invalid", "A segment and its chunks are not empty");
    }
    if (record.bytes > record.chunkBytes * LIMITS.segmentChunksMax) {
      reader.fail("range", `A segment of ${record.bytes} bytes has chunks of more than ${record.chunkBytes}`);
    }
    return record;
  });
}
