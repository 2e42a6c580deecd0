/** The records of uploads, of their parts, and of what is left to be removed. */
import { LIMITS } from "../base/limits.ts";
import { encode, type Reader } from "../wire/cbor.ts";
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
import { contentWire, DRAW_BYTES, PAGES_MAX, readContent } from "./records_version.ts";
import type { Content, Part, Upload } from "./types.ts";

/**
 * What is left to be removed. content: the segments of a version that is gone, and their rows. claim: a version that is being
 * made; where it never comes to be, its pages are removed and, where `owns`, its segments. parts: the parts of an upload that is
 * gone; the segments of those in `keep` live on in a version. `draw` names the pages: see drawOf().
 */
export type Garbage =
  | { readonly kind: "content"; readonly draw: string; readonly content: Content }
  | {
    readonly kind: "claim";
    readonly draw: string;
    readonly pages: number;
    readonly owns: boolean;
    readonly startedMs: number;
  }
  | { readonly kind: "parts"; readonly upload: string; readonly keep: readonly number[] };

const UPLOAD_FORMAT = 1, PART_FORMAT = 1, GARBAGE_FORMAT = 1;
const CONTENT = 1, CLAIM = 2, PARTS = 3;
const KEEP_BYTES = Math.ceil((LIMITS.uploadPartsMax + 1) / 8);

/** Bucket, key and id are in the row's name. */
export function encodeUpload(upload: Upload): Uint8Array {
  return encode([
    UPLOAD_FORMAT,
    upload.startedMs,
    upload.owner,
    listWire(upload.metadata, pairWire),
    listWire(upload.tags, pairWire),
  ]);
}

/** @throws {WireError} when `bytes` is no upload */
export function decodeUpload(name: Pick<Upload, "bucket" | "key" | "id">, bytes: Uint8Array): Upload {
  return decodeRecord(bytes, UPLOAD_FORMAT, 5, (reader) => ({
    ...name,
    startedMs: reader.integer(),
    owner: readName(reader),
    metadata: readList(reader, PAIRS_MAX, readPair),
    tags: readList(reader, LIMITS.tagsMax, readPair),
  }));
}

export function encodePart(part: Part): Uint8Array {
  return encode([
    PART_FORMAT,
    part.number,
    part.bytes,
    hexWire(part.etag),
    part.modifiedMs,
    listWire(part.segments, segmentWire),
  ]);
}

/** @throws {WireError} when `bytes` is no part */
export function decodePart(bytes: Uint8Array): Part {
  return decodeRecord(bytes, PART_FORMAT, 6, (reader) => {
    const number = readPartNumber(reader);
    const length = reader.integer(LIMITS.objectBytesMax);
    const etag = readHex(reader), modifiedMs = reader.integer();
    const segments = readList(reader, LIMITS.segmentsPerRowMax, readSegment);
    const held = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    if (held !== length) reader.fail("invalid", `A part of ${length} bytes has ${held}`);
    return { number, bytes: length, etag, modifiedMs, segments };
  });
}

export function encodeGarbage(garbage: Garbage): Uint8Array {
  switch (garbage.kind) {
    case "content":
      return encode([GARBAGE_FORMAT, CONTENT, hexWire(garbage.draw), contentWire(garbage.content), 0, 0]);
    case "claim": {
      const { draw, pages, owns, startedMs } = garbage;
      return encode([GARBAGE_FORMAT, CLAIM, hexWire(draw), pages, owns, startedMs]);
    }
    case "parts":
      return encode([GARBAGE_FORMAT, PARTS, hexWire(garbage.upload), bitsOf(garbage.keep), 0, 0]);
  }
}

/** @throws {WireError} when `bytes` is no such record */
export function decodeGarbage(bytes: Uint8Array): Garbage {
  return decodeRecord(bytes, GARBAGE_FORMAT, 6, (reader): Garbage => {
    const code = reader.integer(), id = readHex(reader, code === PARTS ? 16 : DRAW_BYTES);
    if (code === CLAIM) {
      const pages = reader.integer(PAGES_MAX);
      return { kind: "claim", draw: id, pages, owns: reader.boolean(), startedMs: reader.integer() };
    }
    const garbage: Garbage = code === CONTENT
      ? { kind: "content", draw: id, content: readContent(reader) }
      : code === PARTS
      ? { kind: "parts", upload: id, keep: readBits(reader) }
      : reader.fail("kind", `No garbage has the code ${code}`);
    reader.integer(0);
    reader.integer(0);
    return garbage;
  });
}

function readPartNumber(reader: Reader): number {
  const number = reader.integer(LIMITS.uploadPartsMax);
  if (number === 0) reader.fail("invalid", "Parts are numbered from 1");
  return number;
}

/** A bit for each number, without zeros at the end. */
function bitsOf(numbers: readonly number[]): Uint8Array {
  const bits = new Uint8Array(numbers.length === 0 ? 0 : (Math.max(...numbers) >> 3) + 1);
  for (const number of numbers) bits[number >> 3]! |= 1 << (number & 7);
  return bits;
}
function readBits(reader: Reader): number[] {
  const bits = reader.bytes(KEEP_BYTES), numbers: number[] = [];
  if (bits.at(-1) === 0) reader.fail("invalid", "A set of numbers ends with a zero byte");
  bits.forEach((byte, i) => {
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit & 1) === 1) numbers.push(8 * i + bit);
  });
  return numbers;
}
