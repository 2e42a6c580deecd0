/**
 * The body of an object or a part on its way into segments, before any row of the catalog names it.
 *
 * Invariants
 *  W1  No two chunks are sealed under one key and number: a segment's key and secret are drawn for one draft, and each chunk of it is
 *      sealed once.
 *  W2  A draft of more than a few chunks is registered before the first chunk past them: holders keep what has a row. The row goes
 *      by itself when nobody keeps it alive. It is only ever made where it is absent, so that an attempt that comes late cannot
 *      give a committed segment an end.
 *  W3  What is given up before it was committed leaves nothing that does not go by itself.
 */
import { createHash } from "node:crypto";
import { LIMITS } from "../../base/limits.ts";
import type { Scheme, SegmentId } from "../../wire/objects.ts";
import type { Op, TransactItem, TransactOp } from "../../wire/requests.ts";
import { sealChunk, SEGMENT_KEY_BYTES } from "../chunk_seal.ts";
import { encodeSegmentRecord } from "../registry.ts";
import { segmentRow } from "../rows.ts";
import { drawnSegment, SEGMENT_SECRET_BYTES } from "../segment_id.ts";
import { ObjectError, type Program, type Segment } from "../types.ts";
import { ask, askAll, begin, drop, errorOf, now, outcomeOf, random, readBody, strange, wait } from "./ask.ts";
import { bare } from "./conditions.ts";
import type { Place, World } from "./world.ts";

/** Where the bytes come from: exactly as many as asked for, fewer only at the end. */
export interface Source {
  read(bytes: number): Program<Uint8Array>;
}
/** The body that the driver has. */
export const BODY: Source = { read: readBody };

export interface Draft {
  /** The whole content, where it is small enough to lie in its row; then there are no segments. */
  readonly inline: Uint8Array | null;
  readonly segments: readonly Segment[];
  readonly proofs: Proofs;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly md5: string;
  /** The segments have rows, which end by themselves. */
  readonly registered: boolean;
  readonly startedMs: number;
}

/** By the ids of the segments that one wrote: that they are its own (N2 in segment_id.ts). */
export type Proofs = ReadonlyMap<string, Uint8Array>;

export interface DraftOptions {
  readonly scheme: Scheme;
  /** Announced; null: until the body ends. */
  readonly bytes: number | null;
  readonly bytesMax: number;
  /** Small contents may lie in a row. */
  readonly inline: boolean;
  readonly md5?: string | undefined;
}

/**
 * Writes the body. Nothing names it yet: it is to be committed, or discarded.
 * @throws {ObjectError} "invalid" where it is not as long as announced, "bad-digest", "too-large"; and whatever keeps chunks
 * from being stored
 */
export function* writeDraft(
  world: World,
  place: Place,
  source: Source,
  options: DraftOptions,
): Program<Draft> {
  const { bytes, bytesMax } = options;
  if (bytes !== null && bytes > bytesMax) throw tooLong(bytes, bytesMax);
  const writer = new Writer(world, place, options);
  try {
    return yield* writer.write(source);
  } catch (error) {
    yield* writer.giveUp();
    throw error;
  }
}

/** W3: removes what was registered, and lets the holders know. Where that fails, it ends by itself. */
export function* discard(place: Place, draft: Pick<Draft, "segments" | "registered">): Program<void> {
  if (draft.registered) yield* askAll(removalsOf(place, draft.segments));
  yield* hintGone(place, draft.segments);
}

/** Deletes of the rows of segments, in as many transactions as it takes. */
export function removalsOf(place: Place, segments: readonly Segment[], rows = REMOVED_AT_ONCE): TransactOp[] {
  const ops: TransactOp[] = [];
  for (let i = 0; i < segments.length; i += rows) {
    const then = segments.slice(i, i + rows).map(({ id }): TransactItem => ({
      kind: "delete",
      key: segmentRow(place, id),
    }));
    ops.push({ kind: "transact", conditions: [], then, otherwise: [] });
  }
  return ops;
}

/** Tells the holders that these rows are gone; a hint that is lost costs only time. */
export function* hintGone(place: Place, segments: readonly Segment[]): Program<void> {
  for (let i = 0; i < segments.length; i += LIMITS.segmentsPerHintMax) {
    const gone = segments.slice(i, i + LIMITS.segmentsPerHintMax).map(({ id }) => segmentIdOf(place, id));
    yield* drop(yield* begin({ kind: "segments-gone", segments: gone }));
  }
}

/** The rows that say that these segments live, for good. */
export function livingRows(place: Place, segments: readonly Segment[], proofs: Proofs): TransactItem[] {
  return segments.map((segment) => ({
    kind: "put",
    key: segmentRow(place, segment.id),
    value: recordOf(segment, proofs, false),
  }));
}

const REMOVED_AT_ONCE = 100;
const REGISTER_ATTEMPTS = 3;

class Writer {
  readonly #world: World;
  readonly #place: Place;
  readonly #options: DraftOptions;
  readonly #md5 = createHash("md5");
  readonly #segments: (Segment & { bytes: number })[] = [];
  readonly #proofs = new Map<string, Uint8Array>();
  /** Of the last segment. No row has it. */
  #token: Uint8Array = new Uint8Array(0);
  /** Chunks under way, the oldest first. */
  readonly #tickets: number[] = [];
  #registered = 0;
  #keptMs = 0;
  #bytes = 0;
  #chunks = 0;

  constructor(world: World, place: Place, options: DraftOptions) {
    this.#world = world;
    this.#place = place;
    this.#options = options;
  }

  *write(source: Source): Program<Draft> {
    const { chunkBytes, inlineBytes } = this.#world.sizes;
    const startedMs = yield* now();
    this.#keptMs = startedMs;
    let chunk = yield* source.read(chunkBytes);
    const inline = this.#options.inline && chunk.length <= inlineBytes && chunk.length < chunkBytes;
    if (inline) {
      // The row keeps it, and nobody says how long the body's own bytes stay as they are.
      chunk = chunk.slice();
      this.#count(chunk);
    } else {
      while (chunk.length > 0) {
        this.#count(chunk);
        yield* this.#put(chunk);
        if (chunk.length < chunkBytes) break;
        chunk = yield* source.read(chunkBytes);
      }
      while (this.#tickets.length > 0) yield* this.#stored();
    }
    return {
      inline: inline ? chunk : null,
      segments: this.#segments,
      proofs: this.#proofs,
      bytes: this.#bytes,
      md5: this.#end(),
      registered: this.#registered > 0,
      startedMs,
    };
  }

  *giveUp(): Program<void> {
    const dropped = this.#tickets.splice(0);
    this.#world.room.give(dropped.length);
    for (const ticket of dropped) yield* drop(ticket);
    yield* discard(this.#place, { segments: this.#segments, registered: this.#registered > 0 });
  }

  #count(chunk: Uint8Array): void {
    const { bytes, bytesMax } = this.#options;
    this.#bytes += chunk.length;
    this.#md5.update(chunk);
    if (this.#bytes > bytesMax) throw tooLong(this.#bytes, bytesMax);
    if (bytes !== null && this.#bytes > bytes) throw otherLength(`more than ${bytes}`, bytes);
  }

  /** The digest of all, once it is known that it is all. */
  #end(): string {
    const { bytes, md5 } = this.#options;
    if (bytes !== null && this.#bytes !== bytes) throw otherLength(`${this.#bytes}`, bytes);
    const found = this.#md5.digest("hex");
    if (md5 === undefined || bare(md5).toLowerCase() === found) return found;
    throw new ObjectError(
      "bad-digest",
      `The body's MD5 is ${found}, not ${md5} as announced; it was changed on the way. Nothing was stored; send it again`,
    );
  }

  *#put(plaintext: Uint8Array): Program<void> {
    const segment = yield* this.#segment();
    const chunk = segment.bytes / segment.chunkBytes;
    segment.bytes += plaintext.length;
    this.#chunks++;
    yield* this.#register();
    yield* this.#keepAlive();
    const { sizes, room } = this.#world;
    while (this.#tickets.length >= sizes.putsUnderWay || !room.mayBegin(this.#tickets.length)) {
      yield* this.#stored();
    }
    const bytes = sealChunk(segment.key, segment.id, chunk, plaintext);
    const op: Op = {
      kind: "chunk-put",
      segment: segmentIdOf(this.#place, segment.id),
      chunk,
      scheme: segment.scheme,
      token: this.#token,
      bytes,
    };
    this.#tickets.push(yield* begin(op));
    room.take();
  }

  /** The one that the next chunk goes to. */
  *#segment(): Program<Segment & { bytes: number }> {
    const { chunkBytes, segmentBytes } = this.#world.sizes;
    const last = this.#segments.at(-1);
    if (last !== undefined && last.bytes < segmentBytes) return last;
    const drawn = yield* random(SEGMENT_SECRET_BYTES + SEGMENT_KEY_BYTES);
    const { id, proof, token } = drawnSegment(drawn.subarray(0, SEGMENT_SECRET_BYTES), this.#place);
    this.#proofs.set(id, proof);
    this.#token = token;
    const segment = {
      id,
      key: drawn.slice(SEGMENT_SECRET_BYTES),
      bytes: 0,
      chunkBytes,
      scheme: this.#options.scheme,
    };
    this.#segments.push(segment);
    return segment;
  }

  /** W2. */
  *#register(): Program<void> {
    const { chunkBytes, unregisteredChunks } = this.#world.sizes;
    const chunks = Math.max(this.#chunks, Math.ceil((this.#options.bytes ?? 0) / chunkBytes));
    if (chunks <= unregisteredChunks) return;
    for (; this.#registered < this.#segments.length; this.#registered++) {
      const value = recordOf(this.#segments[this.#registered]!, this.#proofs, true);
      yield* register(this.#world, segmentRow(this.#place, this.#segments[this.#registered]!.id), value);
    }
  }

  *#keepAlive(): Program<void> {
    if (this.#registered === 0) return;
    const nowMs = yield* now();
    if (nowMs - this.#keptMs < this.#world.sizes.keepAliveMs) return;
    const rows = this.#segments.slice(0, this.#registered);
    const responses = yield* askAll(
      rows.map(({ id }) => ({ kind: "keep-alive", lease: segmentRow(this.#place, id) })),
    );
    for (const response of responses) {
      if (response.kind === "written" || outcomeOf(response) === "unknown") continue;
      if (response.kind === "refused" && response.reason === "not-found") throw tookTooLong();
      throw strange(response);
    }
    this.#keptMs = nowMs;
  }

  /** The oldest chunk under way is durable. */
  *#stored(): Program<void> {
    const ticket = this.#tickets.shift()!;
    this.#world.room.give(1);
    const response = yield* wait(ticket);
    if (response.kind === "stored") return;
    throw response.kind === "refused" ? errorOf(response, { conflict: "too-small" }) : strange(response);
  }
}

function* register(world: World, key: string, value: Uint8Array): Program<void> {
  for (let attempt = 1;; attempt++) {
    const response = yield* ask({
      kind: "cas",
      key,
      expect: { kind: "absent" },
      value,
      ttlMs: world.sizes.registeredMs,
    });
    // Where it is there already, an attempt before made it: nobody else draws this id.
    if (response.kind === "cas") return;
    if (outcomeOf(response) === "known" || attempt === REGISTER_ATTEMPTS) throw strange(response);
  }
}

function recordOf(segment: Segment, proofs: Proofs, pending: boolean): Uint8Array {
  return encodeSegmentRecord({
    bytes: segment.bytes,
    chunkBytes: segment.chunkBytes,
    scheme: segment.scheme,
    proof: proofs.get(segment.id)!,
    pending,
  });
}

export function segmentIdOf(place: Place, segment: string): SegmentId {
  return { partition: place.partition, segment };
}

export function tookTooLong(): ObjectError {
  return new ObjectError(
    "unavailable",
    "The write took so long that what was stored of it has been given up; nothing was changed. Write it again, or in parts",
  );
}
function tooLong(bytes: number, max: number): ObjectError {
  return new ObjectError(
    "too-large",
    `A body has at most ${max} bytes here, not ${bytes}; write it in several parts or objects`,
  );
}
function otherLength(found: string, announced: number): ObjectError {
  return new ObjectError(
    "invalid",
    `The body has ${found} bytes where ${announced} were announced; nothing was stored`,
  );
}
