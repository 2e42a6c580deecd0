/**
 * Reading objects. head() says what there is and which part of it is asked for; getBody() then hands that part to the driver.
 */
import { WireError } from "../../wire/cbor.ts";
import type { KeyValue } from "../../wire/requests.ts";
import { openChunk } from "../chunk_seal.ts";
import { readAttempts, sealedBytesOf } from "../fragment.ts";
import { tryDecode } from "../records.ts";
import { decodePage, drawOf, isVersionId } from "../records_version.ts";
import { bucketRow, newestRow, pageRow, versionRow } from "../rows.ts";
import {
  type GetOptions,
  ObjectError,
  type ObjectVersion,
  type Program,
  type Segment,
  type Span,
} from "../types.ts";
import { begin, drop, errorOf, getRow, strange, wait, writeBody } from "./ask.ts";
import { getBucket } from "./bucket_row.ts";
import { damagedRow, newestOf, sameRow, type VersionRow, versionRowOf } from "./change.ts";
import { judgeRead } from "./conditions.ts";
import { segmentIdOf, type Source } from "./draft.ts";
import { checkKey, quote } from "./names.ts";
import type { Place, World } from "./world.ts";

/**
 * The newest version, or the one named, and what of it is asked for.
 * @throws {ObjectError} "deleted" with the marker; "no-such-key", "no-such-version", "range", "not-modified", "precondition"
 */
export function* head(world: World, options: GetOptions): Program<{ version: ObjectVersion; span: Span }> {
  const { version } = yield* resolve(world, options);
  if (version.deleted) throw deletedError(options, version);
  judgeRead(options.conditions, options.key, version);
  return { version, span: spanOf(options, version) };
}

/** The row of the newest version, or of the one named, delete markers included. */
export function* resolve(
  world: World,
  options: Pick<GetOptions, "bucket" | "key" | "version">,
): Program<VersionRow> {
  const { bucket, key, version } = options;
  checkKey(key);
  const place = yield* world.place(bucket, key);
  const newestValue = yield* getRow(newestRow(bucket, key));
  const found = version === undefined
    ? newestOf(place, newestValue)
    : yield* findVersion(place, newestValue, version);
  if (found !== null) return found;
  // What is there has a bucket (B1): only who finds nothing is told which of the two is missing.
  yield* getBucket(bucket);
  throw version === undefined
    ? new ObjectError("no-such-key", `There is no object ${quote(key)} in the bucket ${quote(bucket)}`)
    : new ObjectError("no-such-version", `The object ${quote(key)} has no version ${quote(version)}`);
}

/** The version of that id ("null": the null version), given the newest row; null: there is none. */
export function* findVersion(
  place: Place,
  newestValue: KeyValue | null,
  version: string,
): Program<VersionRow | null> {
  let newest = newestValue;
  for (let attempt = 0; attempt < MOVES_MAX; attempt++) {
    const record = newestOf(place, newest);
    if (record === null) return null;
    const asked = version === "null" ? record.olderNull : version;
    if (version === "null" ? record.version.isNull : record.version.id === version) return record;
    if (asked === null || !isVersionId(asked)) return null;
    const older = yield* getRow(versionRow(place.bucket, place.key, asked));
    if (older !== null) return versionRowOf(place, older);
    // Between the two looks it may have moved from one place to the other; then the newest row is not as it was.
    const again = yield* getRow(newestRow(place.bucket, place.key));
    if (sameRow(again, newest)) return null;
    newest = again;
  }
  throw new ObjectError(
    "unavailable",
    `The object ${quote(place.key)} is being changed so often that its version ${
      quote(version)
    } could not be found; try again`,
  );
}
const MOVES_MAX = 20;

/** @throws {ObjectError} "range", "invalid-part" */
export function spanOf({ range, part, key }: GetOptions, version: ObjectVersion): Span {
  const { bytes } = version;
  if (part !== undefined) return partSpan(key, part, version);
  if (range === undefined) return { start: 0, end: bytes };
  const beyond = range.kind === "from" ? range.start >= bytes : range.bytes === 0 || bytes === 0;
  if (beyond || (range.kind === "from" && range.end !== null && range.end < range.start)) {
    throw new ObjectError(
      "range",
      `The object ${quote(key)} has ${bytes} bytes, none of them in that range`,
      version,
    );
  }
  if (range.kind === "last") return { start: Math.max(0, bytes - range.bytes), end: bytes };
  return { start: range.start, end: range.end === null ? bytes : Math.min(bytes, range.end + 1) };
}

function partSpan(key: string, part: number, { bytes, parts }: ObjectVersion): Span {
  const sizes = parts.length === 0 ? [bytes] : parts;
  const size = sizes[part - 1];
  if (size === undefined) {
    throw new ObjectError("range", `The object ${quote(key)} has ${sizes.length} parts, and no part ${part}`);
  }
  const start = sizes.slice(0, part - 1).reduce((sum, bytes) => sum + bytes, 0);
  return { start, end: start + size };
}

/** Hands `span` of a version that was just found to the driver, in pieces of at most a chunk. */
export function* getBody(
  world: World,
  options: { readonly bucket: string; readonly key: string },
  version: ObjectVersion,
  span: Span,
): Program<void> {
  const reader = yield* openVersion(world, options, version, span);
  try {
    for (let piece = yield* reader.next(); piece !== null; piece = yield* reader.next()) {
      yield* writeBody(piece);
    }
  } catch (error) {
    yield* reader.close();
    throw error;
  }
}

export function* openVersion(
  world: World,
  { bucket, key }: { readonly bucket: string; readonly key: string },
  version: ObjectVersion,
  span: Span,
): Program<ContentReader> {
  return new ContentReader(world, yield* world.place(bucket, key), version, span);
}

interface Piece {
  readonly segment: Segment;
  readonly chunk: number;
  /** What of the chunk's plaintext is asked for. */
  readonly from: number;
  readonly to: number;
}

/** A part of a version's content, chunk by chunk, with some chunks asked for ahead. Also the body of a copy. */
export class ContentReader implements Source {
  readonly #world: World;
  readonly #place: Place;
  readonly #version: ObjectVersion;
  readonly #span: Span;
  /** Where the next segment begins in the content, and the next page. */
  #at = 0;
  #page = 0;
  #segments: readonly Segment[] = [];
  #segment = 0;
  #chunk = 0;
  #under: { readonly piece: Piece; readonly ticket: number }[] = [];
  #ended = false;
  /** For read(): what was taken and not yet handed on. */
  #kept: Uint8Array[] = [];
  #keptBytes = 0;

  constructor(world: World, place: Place, version: ObjectVersion, span: Span) {
    this.#world = world;
    this.#place = place;
    this.#version = version;
    this.#span = span;
    const { content } = version;
    if (content.kind === "segments") this.#segments = content.segments;
  }

  /** The next bytes; null at the end. @throws {ObjectError} "damaged"; where the version was removed meanwhile, what is there now */
  *next(): Program<Uint8Array | null> {
    const { content } = this.#version;
    if (content.kind === "inline") {
      if (this.#ended) return null;
      this.#ended = true;
      const { start, end } = this.#span;
      return start < end ? content.bytes.slice(start, end) : null;
    }
    const { sizes, room } = this.#world;
    while (
      !this.#ended && this.#under.length < sizes.getsUnderWay && room.mayBegin(this.#under.length)
    ) {
      const piece = yield* this.#nextPiece();
      if (piece === null) this.#ended = true;
      else {
        this.#under.push({ piece, ticket: yield* this.#begin(piece, 0) });
        room.take();
      }
    }
    const first = this.#under.shift();
    if (first !== undefined) room.give(1);
    return first === undefined ? null : yield* this.#take(first.piece, first.ticket);
  }

  *read(bytes: number): Program<Uint8Array> {
    while (this.#keptBytes < bytes) {
      const piece = yield* this.next();
      if (piece === null) break;
      this.#kept.push(piece);
      this.#keptBytes += piece.length;
    }
    const taken = new Uint8Array(Math.min(bytes, this.#keptBytes));
    for (let at = 0; at < taken.length;) {
      const piece = this.#kept[0]!, part = piece.subarray(0, taken.length - at);
      taken.set(part, at);
      at += part.length;
      if (part.length === piece.length) this.#kept.shift();
      else this.#kept[0] = piece.subarray(part.length);
    }
    this.#keptBytes -= taken.length;
    return taken;
  }

  *close(): Program<void> {
    const dropped = this.#under;
    this.#under = [];
    this.#world.room.give(dropped.length);
    for (const { ticket } of dropped) yield* drop(ticket);
    this.#ended = true;
  }

  *#begin({ segment, chunk }: Piece, attempt: number): Program<number> {
    return yield* begin({
      kind: "chunk-get",
      segment: segmentIdOf(this.#place, segment.id),
      chunk,
      scheme: segment.scheme,
      length: sealedBytesOf(segment, chunk),
      attempt,
    });
  }

  *#take(piece: Piece, ticket: number): Program<Uint8Array> {
    const { segment, chunk, from, to } = piece;
    let response = yield* wait(ticket);
    if (response.kind === "refused") {
      yield* this.#checkThere();
      throw errorOf(response, { notFound: "damaged" });
    }
    if (response.kind !== "chunk") throw strange(response);
    for (let attempt = 1;; attempt++) {
      if (response.kind === "chunk") {
        const plaintext = openChunk(segment.key, segment.id, chunk, response.bytes);
        if (plaintext !== null && plaintext.length + PAST_PLAINTEXT === sealedBytesOf(segment, chunk)) {
          return plaintext.subarray(from, to);
        }
      }
      if (attempt > readAttempts(segment.scheme)) break;
      // It is whole as it was put there, and not what was written: others may hold that.
      response = yield* wait(yield* this.#begin(piece, attempt));
    }
    throw new ObjectError(
      "damaged",
      `Chunk ${chunk} of segment ${segment.id} of the object ${
        quote(this.#place.key)
      } is not what was written, whichever of its holders is asked`,
    );
  }

  /** Whether what is being read is still there. */
  *#checkThere(): Program<void> {
    const { key } = this.#place;
    const bucket = yield* getRow(bucketRow(this.#place.bucket));
    const newest = bucket === null ? null : yield* getRow(newestRow(this.#place.bucket, key));
    if (newest === null) {
      throw new ObjectError("no-such-key", `The object ${quote(key)} was removed while it was being read`);
    }
    if ((yield* findVersion(this.#place, newest, this.#version.id)) !== null) return;
    throw new ObjectError(
      "unavailable",
      `The version of ${quote(key)} that was being read was replaced or removed meanwhile; read it again`,
    );
  }

  *#nextPiece(): Program<Piece | null> {
    const { start, end } = this.#span;
    while (this.#at < end) {
      const segment = yield* this.#currentSegment();
      if (segment === null) throw this.#tooShort();
      const chunkStart = this.#at + this.#chunk * segment.chunkBytes;
      const chunkEnd = Math.min(chunkStart + segment.chunkBytes, this.#at + segment.bytes);
      if (this.#at + segment.bytes <= start || chunkStart >= this.#at + segment.bytes) {
        this.#at += segment.bytes;
        this.#segment++;
        this.#chunk = 0;
      } else if (chunkEnd <= start) {
        this.#chunk = Math.floor((start - this.#at) / segment.chunkBytes);
      } else if (chunkStart >= end) return null;
      else {
        const chunk = this.#chunk++;
        const from = Math.max(0, start - chunkStart), to = Math.min(chunkEnd, end) - chunkStart;
        return { segment, chunk, from, to };
      }
    }
    return null;
  }

  *#currentSegment(): Program<Segment | null> {
    const { content, id } = this.#version;
    const pages = content.kind === "segments" ? content.pages : 0;
    while (this.#segment >= this.#segments.length) {
      if (this.#page === pages) return null;
      const { bucket, key } = this.#place;
      const found = yield* getRow(pageRow(bucket, key, drawOf(id), this.#page++));
      if (found === null) {
        yield* this.#checkThere();
        throw this.#tooShort();
      }
      const segments = tryDecode(() => decodePage(found.value ?? new Uint8Array(0)));
      if (segments instanceof WireError) {
        throw damagedRow(`the segments of the object ${quote(key)}`, segments);
      }
      this.#segments = segments;
      this.#segment = 0;
    }
    return this.#segments[this.#segment]!;
  }

  #tooShort(): ObjectError {
    return new ObjectError(
      "damaged",
      `The object ${
        quote(this.#place.key)
      } has ${this.#version.bytes} bytes, and only ${this.#at} of them are listed`,
    );
  }
}

/** Bytes of a sealed chunk past its plaintext. */
const PAST_PLAINTEXT = sealedBytesOf({ bytes: 0, chunkBytes: 1 }, 0);

export function deletedError(
  { bucket, key, version: asked }: Pick<GetOptions, "bucket" | "key" | "version">,
  marker: ObjectVersion,
): ObjectError {
  return new ObjectError(
    "deleted",
    asked === undefined
      ? `The object ${quote(key)} in the bucket ${
        quote(bucket)
      } was deleted; older versions of it can be had by their ids`
      : `The version ${quote(asked)} of the object ${quote(key)} is a delete marker`,
    marker,
  );
}
