/**
 * Objects' rows as bytes: CBOR arrays by position, the first item the number of the format. Decoding is strict and bounded; what
 * does not decode is damaged, and whoever finds it says so of that row alone.
 *
 * Here: what the records share, and the bucket's. records_version.ts: versions and pages. records_upload.ts: uploads, parts and
 * what is left to be removed.
 */
import { LIMITS } from "../base/limits.ts";
import { encode, Reader, type Wire, WireError } from "../wire/cbor.ts";
import { listWire, readList } from "../wire/lists.ts";
import { readScheme, schemeWire } from "../wire/object_codec.ts";
import type { Bucket, CorsRule, LifecycleRule, Pair, Segment, Versioning } from "./types.ts";

export { readScheme, schemeWire };

export interface BucketRecord {
  readonly bucket: Bucket;
  /** Names the removal that is under way, if one is: see programs/buckets.ts. */
  readonly removal: string | null;
}

const BUCKET_FORMAT = 1;
const VERSIONING: readonly Versioning[] = ["off", "enabled", "suspended"];
const KEY_BYTES = 32;
/** Names of metadata, tags, rules and owners; values are bounded by the sum that the programs check. */
const NAME_BYTES_MAX = 1024;

export function encodeBucket({ bucket, removal }: BucketRecord): Uint8Array {
  return encode([
    BUCKET_FORMAT,
    bucket.createdMs,
    bucket.owner,
    bucket.scheme === null ? null : schemeWire(bucket.scheme),
    VERSIONING.indexOf(bucket.versioning),
    listWire(bucket.lifecycle, lifecycleWire),
    listWire(bucket.cors, corsWire),
    listWire(bucket.tags, pairWire),
    removal === null ? null : hexWire(removal),
  ]);
}

/** @throws {WireError} when `bytes` is no bucket */
export function decodeBucket(name: string, bytes: Uint8Array): BucketRecord {
  return decodeRecord(bytes, BUCKET_FORMAT, 9, (reader) => ({
    bucket: {
      name,
      createdMs: reader.integer(),
      owner: readName(reader),
      scheme: reader.skipNull() ? null : readScheme(reader),
      versioning: reader.choice(VERSIONING),
      lifecycle: readList(reader, LIMITS.lifecycleRulesMax, readLifecycle),
      cors: readList(reader, LIMITS.corsRulesMax, readCors),
      tags: readList(reader, LIMITS.bucketTagsMax, readPair),
    },
    removal: reader.skipNull() ? null : readHex(reader),
  }));
}

/** Reads one whole record: an array of `arity` items, the first of which is its format. */
export function decodeRecord<T>(
  bytes: Uint8Array,
  format: number,
  arity: number,
  read: (reader: Reader) => T,
): T {
  const reader = new Reader(bytes);
  const count = reader.array();
  const found = reader.integer();
  if (found !== format) {
    reader.fail("version", `The record has format ${found}, and this version reads format ${format}`);
  }
  reader.expectArity(count, arity);
  const value = read(reader);
  reader.end();
  return value;
}

/** What `decode` gives, or why the bytes are not what they should be. */
export function tryDecode<T>(decode: () => T): T | WireError {
  try {
    return decode();
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}

export function segmentWire(segment: Segment): Wire {
  return [hexWire(segment.id), segment.key, segment.bytes, segment.chunkBytes, schemeWire(segment.scheme)];
}
export function readSegment(reader: Reader): Segment {
  reader.tuple(5);
  const id = readHex(reader);
  const key = reader.bytes(KEY_BYTES);
  if (key.length !== KEY_BYTES) {
    reader.fail("invalid", `A segment's key has ${KEY_BYTES} bytes, not ${key.length}`);
  }
  const bytes = reader.integer(LIMITS.segmentBytesMax), chunkBytes = reader.integer(LIMITS.chunkBytesMax);
  if (bytes === 0 || chunkBytes === 0) reader.fail("invalid", "A segment and its chunks are not empty");
  return { id, key, bytes, chunkBytes, scheme: readScheme(reader) };
}

export function pairWire(pair: Pair): Wire {
  return [pair[0], pair[1]];
}
export function readPair(reader: Reader): Pair {
  reader.tuple(2);
  return [readName(reader), reader.text(LIMITS.metadataBytesMax)];
}
/** As many as metadata of the largest size can have. */
export const PAIRS_MAX = LIMITS.metadataBytesMax;

export function readName(reader: Reader): string {
  return reader.text(NAME_BYTES_MAX);
}

/** Hexadecimal digits as half as many bytes. */
export function hexWire(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
/** An id of `length` bytes: 16, unless it says otherwise. */
export function readHex(reader: Reader, length = 16): string {
  const bytes = reader.bytes(length);
  if (bytes.length !== length) reader.fail("invalid", `An id has ${length} bytes, not ${bytes.length}`);
  return hexOf(bytes);
}
export function hexOf(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex;
}

function lifecycleWire(rule: LifecycleRule): Wire {
  return [
    rule.id,
    rule.enabled,
    rule.prefix,
    listWire(rule.tags, pairWire),
    rule.sizeMin,
    rule.sizeMax,
    rule.expireDays,
    rule.expireDateMs,
    rule.expireMarkers,
    rule.noncurrentDays,
    rule.noncurrentKept,
    rule.abortUploadDays,
  ];
}
function readLifecycle(reader: Reader): LifecycleRule {
  reader.tuple(12);
  return {
    id: readName(reader),
    enabled: reader.boolean(),
    prefix: reader.text(LIMITS.objectKeyBytesMax),
    tags: readList(reader, LIMITS.tagsMax, readPair),
    sizeMin: readCount(reader),
    sizeMax: readCount(reader),
    expireDays: readCount(reader),
    expireDateMs: readCount(reader),
    expireMarkers: reader.boolean(),
    noncurrentDays: readCount(reader),
    noncurrentKept: readCount(reader),
    abortUploadDays: readCount(reader),
  };
}
function readCount(reader: Reader): number | null {
  return reader.skipNull() ? null : reader.integer();
}

function corsWire(rule: CorsRule): Wire {
  return [rule.id, rule.origins, rule.methods, rule.headers, rule.expose, rule.maxAgeSeconds];
}
function readCors(reader: Reader): CorsRule {
  reader.tuple(6);
  return {
    id: readName(reader),
    origins: readNames(reader),
    methods: readNames(reader),
    headers: readNames(reader),
    expose: readNames(reader),
    maxAgeSeconds: readCount(reader),
  };
}
function readNames(reader: Reader): string[] {
  return readList(reader, LIMITS.corsRulesMax, readName);
}
