/** The records of versions, newest and older alike, and of pages of segments. */
import { LIMITS } from "../base/limits.ts";
import { encode, type Reader, type Wire } from "../wire/cbor.ts";
import { listWire, readList } from "../wire/lists.ts";
import {
  decodeRecord,
  hexWire,
  PAIRS_MAX,
  pairWire,
  readHex,
  readName,
  readPair,
  readSegment,
  segmentWire,
} from "./records.ts";
import type { Content, ObjectVersion, Segment } from "./types.ts";

export interface VersionRecord {
  readonly version: ObjectVersion;
  /** In the newest row: the id of the null version among the older ones, as far as is known. It may be gone. */
  readonly olderNull: string | null;
  /** The upload that it was made of, so that an upload may be completed twice. */
  readonly upload: string | null;
}

const VERSION_FORMAT = 1, PAGE_FORMAT = 1;
const INLINE = 1, SEGMENTS = 2;
const SEQUENCE_END = 2 ** 48;
/** Pages of the largest object: its parts, and a segment more for each GiB. */
export const PAGES_MAX = 16;
/** What is drawn at random for each version. */
export const DRAW_BYTES = 10;

/** The id of a version: 12 digits that fall as the sequence rises, so that rows sort newest first, and 20 drawn at random. */
export function versionId(sequence: number, draw: string): string {
  return (SEQUENCE_END - 1 - sequence).toString(16).padStart(12, "0") + draw;
}
/** The part that was drawn. A write keeps it however often it tries for a sequence, and its pages are named by it. */
export function drawOf(version: string): string {
  return version.slice(-2 * DRAW_BYTES);
}
export function isVersionId(text: string): boolean {
  return /^[0-9a-f]{32}$/.test(text);
}

export function encodeVersion({ version, olderNull, upload }: VersionRecord): Uint8Array {
  return encode([
    VERSION_FORMAT,
    hexWire(version.id),
    version.sequence,
    version.isNull,
    version.deleted,
    version.bytes,
    version.etag,
    version.modifiedMs,
    version.owner,
    listWire(version.metadata, pairWire),
    listWire(version.tags, pairWire),
    contentWire(version.content),
    runsOf(version.parts),
    olderNull === null ? null : hexWire(olderNull),
    upload === null ? null : hexWire(upload),
  ]);
}

/** @throws {WireError} when `bytes` is no version */
export function decodeVersion(bytes: Uint8Array): VersionRecord {
  return decodeRecord(bytes, VERSION_FORMAT, 15, (reader) => {
    const version = {
      id: readHex(reader),
      sequence: reader.integer(SEQUENCE_END - 1),
      isNull: reader.boolean(),
      deleted: reader.boolean(),
      bytes: reader.integer(LIMITS.objectBytesMax),
      etag: readName(reader),
      modifiedMs: reader.integer(),
      owner: readName(reader),
      metadata: readList(reader, PAIRS_MAX, readPair),
      tags: readList(reader, LIMITS.tagsMax, readPair),
      content: readContent(reader),
      parts: readRuns(reader),
    };
    checkBytes(reader, version);
    return { version, olderNull: idOrNull(reader), upload: idOrNull(reader) };
  });
}

export function encodePage(segments: readonly Segment[]): Uint8Array {
  return encode([PAGE_FORMAT, listWire(segments, segmentWire)]);
}

/** @throws {WireError} when `bytes` is no page */
export function decodePage(bytes: Uint8Array): Segment[] {
  return decodeRecord(
    bytes,
    PAGE_FORMAT,
    2,
    (reader) => readList(reader, LIMITS.segmentsPerPageMax, readSegment),
  );
}

export function contentWire(content: Content): Wire {
  return content.kind === "inline"
    ? [INLINE, content.bytes, 0]
    : [SEGMENTS, listWire(content.segments, segmentWire), content.pages];
}
export function readContent(reader: Reader): Content {
  reader.tuple(3);
  const code = reader.integer();
  if (code === INLINE) {
    const bytes = reader.bytes(LIMITS.inlineBytesMax);
    reader.integer(0);
    return { kind: "inline", bytes };
  }
  if (code !== SEGMENTS) reader.fail("kind", `No content has the code ${code}`);
  const segments = readList(reader, LIMITS.segmentsPerRowMax, readSegment);
  const pages = reader.integer(PAGES_MAX);
  if ((segments.length === 0) === (pages === 0)) {
    reader.fail("invalid", `A content has ${segments.length} segments and ${pages} pages`);
  }
  return { kind: "segments", segments, pages };
}

/** What lies in the row itself has as many bytes as it says. */
function checkBytes(reader: Reader, version: ObjectVersion): void {
  const { content, bytes } = version;
  if (content.kind === "segments" && content.pages > 0) return;
  const held = content.kind === "inline"
    ? content.bytes.length
    : content.segments.reduce((sum, segment) => sum + segment.bytes, 0);
  if (held !== bytes) reader.fail("invalid", `A version of ${bytes} bytes has ${held}`);
}

/** Parts are mostly of one size: how many of which. */
function runsOf(parts: readonly number[]): [number, number][] {
  const runs: [number, number][] = [];
  for (const bytes of parts) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === bytes) last[0]++;
    else runs.push([1, bytes]);
  }
  return runs;
}
function readRuns(reader: Reader): number[] {
  const parts: number[] = [];
  for (let left = reader.array(LIMITS.uploadPartsMax); left > 0; left--) {
    reader.tuple(2);
    const count = reader.integer(LIMITS.uploadPartsMax - parts.length), bytes = reader.integer();
    if (count === 0 || (parts.length > 0 && parts.at(-1) === bytes)) {
      reader.fail("invalid", "Parts are counted in the longest runs");
    }
    for (let i = 0; i < count; i++) parts.push(bytes);
  }
  return parts;
}

function idOrNull(reader: Reader): string | null {
  return reader.skipNull() ? null : readHex(reader);
}
