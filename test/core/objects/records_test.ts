import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeBucket, encodeBucket } from "../../../core/objects/records.ts";
import {
  decodeGarbage,
  decodePart,
  decodeUpload,
  encodeGarbage,
  encodePart,
  encodeUpload,
  type Garbage,
} from "../../../core/objects/records_upload.ts";
import {
  decodePage,
  decodeVersion,
  drawOf,
  encodePage,
  encodeVersion,
  versionId,
} from "../../../core/objects/records_version.ts";
import type { Segment } from "../../../core/objects/types.ts";
import { WireError } from "../../../core/wire/cbor.ts";

const COUNT = fc.nat(), ID = fc.stringMatching(/^[0-9a-f]{32}$/), DRAW = fc.stringMatching(/^[0-9a-f]{20}$/);
const TEXT = fc.string({ unit: "grapheme", maxLength: 20 });
const PAIRS = fc.array(fc.tuple(TEXT, TEXT), { maxLength: 5 });
const SCHEME = fc.oneof(
  fc.record({ kind: fc.constant("replicated" as const), copies: fc.integer({ min: 1, max: 8 }) }),
  fc.record({
    kind: fc.constant("striped" as const),
    data: fc.integer({ min: 1, max: 20 }),
    parity: fc.integer({ min: 1, max: 12 }),
  }),
);
const SEGMENT: fc.Arbitrary<Segment> = fc.record({
  id: ID,
  key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  bytes: fc.integer({ min: 1, max: 2 ** 30 }),
  chunkBytes: fc.integer({ min: 1, max: 2 ** 20 }),
  scheme: SCHEME,
});
const NULLABLE = fc.option(COUNT);
const BUCKET = fc.record({
  bucket: fc.record({
    name: fc.constant("maps"),
    createdMs: COUNT,
    owner: TEXT,
    scheme: fc.option(SCHEME),
    versioning: fc.constantFrom("off" as const, "enabled" as const, "suspended" as const),
    lifecycle: fc.array(
      fc.record({
        id: TEXT,
        enabled: fc.boolean(),
        prefix: TEXT,
        tags: PAIRS,
        sizeMin: NULLABLE,
        sizeMax: NULLABLE,
        expireDays: NULLABLE,
        expireDateMs: NULLABLE,
        expireMarkers: fc.boolean(),
        noncurrentDays: NULLABLE,
        noncurrentKept: NULLABLE,
        abortUploadDays: NULLABLE,
      }),
      { maxLength: 3 },
    ),
    cors: fc.array(
      fc.record({
        id: TEXT,
        origins: fc.array(TEXT),
        methods: fc.array(TEXT),
        headers: fc.array(TEXT),
        expose: fc.array(TEXT),
        maxAgeSeconds: NULLABLE,
      }),
      { maxLength: 3 },
    ),
    tags: PAIRS,
  }),
  removal: fc.option(ID),
});
const VERSION = fc.record({
  segments: fc.array(SEGMENT, { minLength: 1, maxLength: 64 }),
  inline: fc.uint8Array({ maxLength: 4096 }),
  pages: fc.nat({ max: 16 }),
  kind: fc.constantFrom("inline", "segments", "pages"),
  rest: fc.record({
    id: ID,
    sequence: fc.nat({ max: 2 ** 40 }),
    isNull: fc.boolean(),
    deleted: fc.boolean(),
    etag: TEXT,
    modifiedMs: COUNT,
    owner: TEXT,
    metadata: PAIRS,
    tags: PAIRS,
    parts: fc.array(fc.constantFrom(5, 6, 7), { maxLength: 200 }),
  }),
  olderNull: fc.option(ID),
  upload: fc.option(ID),
}).map(({ segments, inline, pages, kind, rest, olderNull, upload }) => {
  const sum = segments.reduce((total, { bytes }) => total + bytes, 0);
  const content = kind === "inline"
    ? { kind: "inline" as const, bytes: inline }
    : kind === "segments" || pages === 0
    ? { kind: "segments" as const, segments, pages: 0 }
    : { kind: "segments" as const, segments: [], pages };
  const bytes = kind === "inline" ? inline.length : sum;
  return { version: { ...rest, bytes, content }, olderNull, upload };
});
const GARBAGE: fc.Arbitrary<Garbage> = fc.oneof(
  fc.record({
    kind: fc.constant("content" as const),
    draw: DRAW,
    content: fc.array(SEGMENT, { minLength: 1, maxLength: 5 }).map((segments) => ({
      kind: "segments" as const,
      segments,
      pages: 0,
    })),
  }),
  fc.record({
    kind: fc.constant("claim" as const),
    draw: DRAW,
    pages: fc.nat({ max: 16 }),
    owns: fc.boolean(),
    startedMs: COUNT,
  }),
  fc.record({
    kind: fc.constant("parts" as const),
    upload: ID,
    keep: fc.uniqueArray(fc.integer({ min: 1, max: 10_000 })).map((list) => list.sort((a, b) => a - b)),
  }),
);

/** What is encoded comes back; what is cut short, goes on or is changed is refused with WireError, or is another record. */
function assertCodec<T>(
  arbitrary: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
): void {
  fc.assert(
    fc.property(arbitrary, fc.nat(), fc.nat({ max: 255 }), (value, at, byte) => {
      const bytes = encode(value);
      assert.deepEqual(decode(bytes), structuredClone(value));
      assert.throws(() => decode(bytes.slice(0, at % bytes.length)), WireError);
      assert.throws(() => decode(Uint8Array.of(...bytes, byte)), WireError);
      const changed = bytes.slice();
      changed[at % bytes.length] = byte;
      try {
        assert.deepEqual(encode(decode(changed)), changed, "One record has one form");
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
}

Deno.test("records of buckets, versions, pages, uploads, parts and garbage come back as they were, and nothing else does", () => {
  assertCodec(BUCKET, encodeBucket, (bytes) => decodeBucket("maps", bytes));
  assertCodec(VERSION, encodeVersion, decodeVersion);
  assertCodec(fc.array(SEGMENT, { maxLength: 100 }), encodePage, decodePage);
  const name = { bucket: "maps", key: "a", id: "0".repeat(32) };
  assertCodec(
    fc.record({ startedMs: COUNT, owner: TEXT, metadata: PAIRS, tags: PAIRS }).map((rest) => ({
      ...name,
      ...rest,
    })),
    encodeUpload,
    (bytes) => decodeUpload(name, bytes),
  );
  assertCodec(
    fc.record({
      number: fc.integer({ min: 1, max: 10_000 }),
      etag: ID,
      modifiedMs: COUNT,
      segments: fc.array(SEGMENT, { maxLength: 10 }),
    }).map((part) => ({ ...part, bytes: part.segments.reduce((sum, { bytes }) => sum + bytes, 0) })),
    encodePart,
    decodePart,
  );
  assertCodec(GARBAGE, encodeGarbage, decodeGarbage);
});

Deno.test("ids of versions sort the newest first, whatever was drawn", () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 40 }), fc.nat({ max: 2 ** 40 }), DRAW, DRAW, (a, b, x, y) => {
    const [first, second] = [versionId(a, x), versionId(b, y)];
    assert.equal(first.length, 32);
    assert.equal(drawOf(first), x);
    if (a !== b) assert.equal(first < second, a > b);
  }));
});
