/** fast-check arbitraries of what objects' rows hold. */
import fc from "fast-check";
import type { Garbage } from "../../core/objects/records_upload.ts";
import type { Segment } from "../../core/objects/types.ts";

export const COUNT = fc.nat(), ID = fc.stringMatching(/^[0-9a-f]{32}$/);
export const DRAW = fc.stringMatching(/^[0-9a-f]{20}$/);
export const TEXT = fc.string({ unit: "grapheme", maxLength: 20 });
export const PAIRS = fc.array(fc.tuple(TEXT, TEXT), { maxLength: 5 });
const SCHEME = fc.oneof(
  fc.record({ kind: fc.constant("replicated" as const), copies: fc.integer({ min: 1, max: 8 }) }),
  fc.record({
    kind: fc.constant("striped" as const),
    data: fc.integer({ min: 1, max: 20 }),
    parity: fc.integer({ min: 1, max: 12 }),
  }),
);
export const SEGMENT: fc.Arbitrary<Segment> = fc.record({
  id: ID,
  key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  bytes: fc.integer({ min: 1, max: 2 ** 30 }),
  chunkBytes: fc.integer({ min: 1, max: 2 ** 20 }),
  scheme: SCHEME,
});
const NULLABLE = fc.option(COUNT);
export const BUCKET = fc.record({
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
export const VERSION = fc.record({
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
export const GARBAGE: fc.Arbitrary<Garbage> = fc.oneof(
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

export const UPLOAD = fc.record({ startedMs: COUNT, owner: TEXT, metadata: PAIRS, tags: PAIRS });
export const PART = fc.record({
  number: fc.integer({ min: 1, max: 10_000 }),
  etag: ID,
  modifiedMs: COUNT,
  segments: fc.array(SEGMENT, { maxLength: 10 }),
}).map((part) => ({ ...part, bytes: part.segments.reduce((sum, { bytes }) => sum + bytes, 0) }));
