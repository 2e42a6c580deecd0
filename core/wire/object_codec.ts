/**
 * Encoded form of what concerns the bulk of objects: [tag, field, …] in the order of the declarations in objects.ts,
 * messages.ts and requests.ts. A segment's id travels as its 16 bytes. The bytes of fragments and chunks come out as views of
 * what was decoded, as all bytes do.
 */
import { unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Reader, Wire } from "./cbor.ts";
import { listWire, readList } from "./lists.ts";
import type { Message, MessageOf } from "./messages.ts";
import {
  type ChunkOp,
  type ChunkResult,
  type ChunkStatus,
  type FragmentId,
  type ListedFragment,
  type Scheme,
  type SegmentId,
  WRITE_TOKEN_BYTES,
} from "./objects.ts";
import type { ChunkRequestOp } from "./requests.ts";
import { CHUNK_FAILURE, CHUNK_OP, CHUNK_RESULT, FRAGMENT_OUTCOME, MESSAGE, OP, SCHEME } from "./tags.ts";

const FIELDS_MAX = 16;
const CHUNK_NUMBER_MAX = 0xffff_ffff;
const SEGMENT_BYTES = 16;

// ---- names

export function schemeWire(scheme: Scheme): Wire {
  switch (scheme.kind) {
    case "replicated":
      return [SCHEME.replicated, scheme.copies];
    case "striped":
      return [SCHEME.striped, scheme.data, scheme.parity];
    default:
      return unreachable(scheme);
  }
}
/** One that can be used: at least one copy, or one fragment of either sort, and no more than the limits allow. */
export function readScheme(reader: Reader): Scheme {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case SCHEME.replicated: {
      reader.expectArity(arity, 2);
      const copies = reader.integer(LIMITS.copiesMax);
      if (copies === 0) reader.fail("range", "A chunk has no copy");
      return { kind: "replicated", copies };
    }
    case SCHEME.striped: {
      reader.expectArity(arity, 3);
      const data = reader.integer(LIMITS.stripeMax), parity = reader.integer(LIMITS.stripeMax);
      if (data === 0 || parity === 0 || data + parity > LIMITS.stripeMax) {
        reader.fail("range", `A stripe has ${data} + ${parity} fragments, of ${LIMITS.stripeMax} at most`);
      }
      return { kind: "striped", data, parity };
    }
    default:
      return reader.fail("kind", `No scheme has the tag ${tag}`);
  }
}

/** @throws {TypeError} where it is no segment's id */
function segmentBytes(segment: string): Uint8Array {
  if (!/^[0-9a-f]{32}$/.test(segment)) {
    throw new TypeError(
      `A segment's id has 32 hexadecimal digits in lower case, not ${JSON.stringify(segment)}`,
    );
  }
  return Uint8Array.fromHex(segment);
}

export function segmentWire({ partition, segment }: SegmentId): Wire {
  return [partition, segmentBytes(segment)];
}
export function readSegment(reader: Reader): SegmentId {
  reader.tuple(2);
  return { partition: reader.partition(), segment: readSegmentName(reader) };
}

export function fragmentWire({ partition, segment, chunk, index }: FragmentId): Wire {
  return [partition, segmentBytes(segment), chunk, index];
}
export function readFragment(reader: Reader): FragmentId {
  reader.tuple(4);
  return {
    partition: reader.partition(),
    segment: readSegmentName(reader),
    chunk: reader.integer(CHUNK_NUMBER_MAX),
    index: reader.integer(LIMITS.stripeMax - 1),
  };
}

function readSegmentName(reader: Reader): string {
  const bytes = reader.bytes(SEGMENT_BYTES);
  if (bytes.length !== SEGMENT_BYTES) reader.fail("invalid", `A segment's id has ${bytes.length} bytes`);
  return bytes.toHex();
}

function readFragmentBytes(reader: Reader): Uint8Array {
  return reader.bytes(LIMITS.fragmentBytesMax);
}

// ---- between peers

export type FragmentMessage = MessageOf<
  | "fragment-put"
  | "fragment-put-reply"
  | "fragment-get"
  | "fragment-get-reply"
  | "fragment-check"
  | "fragment-check-reply"
  | "segments-gone"
>;

export function fragmentMessageWire(message: FragmentMessage): Wire {
  switch (message.kind) {
    case "fragment-put":
      return [MESSAGE["fragment-put"], message.id, fragmentWire(message.fragment), message.bytes];
    case "fragment-put-reply":
      return [MESSAGE["fragment-put-reply"], message.id, FRAGMENT_OUTCOME.codes[message.outcome]];
    case "fragment-get":
      return [MESSAGE["fragment-get"], message.id, fragmentWire(message.fragment)];
    case "fragment-get-reply":
      return [MESSAGE["fragment-get-reply"], message.id, message.bytes];
    case "fragment-check":
      return [
        MESSAGE["fragment-check"],
        message.id,
        listWire(message.fragments, fragmentWire),
        ...(message.verify ? [true] : []),
      ];
    case "fragment-check-reply":
      return [MESSAGE["fragment-check-reply"], message.id, message.held];
    case "segments-gone":
      return [MESSAGE["segments-gone"], listWire(message.segments, segmentWire)];
    default:
      return unreachable(message);
  }
}

export function readFragmentMessage(reader: Reader, arity: number, tag: number): Message {
  switch (tag) {
    case MESSAGE["fragment-put"]:
      reader.expectArity(arity, 4);
      return {
        kind: "fragment-put",
        id: reader.integer(),
        fragment: readFragment(reader),
        bytes: readFragmentBytes(reader),
      };
    case MESSAGE["fragment-put-reply"]:
      reader.expectArity(arity, 3);
      return {
        kind: "fragment-put-reply",
        id: reader.integer(),
        outcome: reader.choice(FRAGMENT_OUTCOME.names),
      };
    case MESSAGE["fragment-get"]:
      reader.expectArity(arity, 3);
      return { kind: "fragment-get", id: reader.integer(), fragment: readFragment(reader) };
    case MESSAGE["fragment-get-reply"]:
      reader.expectArity(arity, 3);
      return {
        kind: "fragment-get-reply",
        id: reader.integer(),
        bytes: reader.skipNull() ? null : readFragmentBytes(reader),
      };
    case MESSAGE["fragment-check"]: {
      if (arity !== 4) reader.expectArity(arity, 3);
      const id = reader.integer(), fragments = readList(reader, LIMITS.fragmentsPerCheckMax, readFragment);
      if (arity === 3) return { kind: "fragment-check", id, fragments };
      if (!reader.boolean()) return reader.fail("invalid", "What is not to be verified does not say so");
      return { kind: "fragment-check", id, fragments, verify: true };
    }
    case MESSAGE["fragment-check-reply"]:
      reader.expectArity(arity, 3);
      return {
        kind: "fragment-check-reply",
        id: reader.integer(),
        held: readList(reader, LIMITS.fragmentsPerCheckMax, (r) => r.boolean()),
      };
    case MESSAGE["segments-gone"]:
      reader.expectArity(arity, 2);
      return { kind: "segments-gone", segments: readSegments(reader) };
    default:
      return reader.fail("kind", `No message has the tag ${tag}`);
  }
}

function readSegments(reader: Reader): SegmentId[] {
  return readList(reader, LIMITS.segmentsPerHintMax, readSegment);
}

// ---- asked by clients

export function chunkRequestWire(op: ChunkRequestOp): Wire {
  switch (op.kind) {
    case "chunk-put":
      return [OP["chunk-put"], segmentWire(op.segment), op.chunk, schemeWire(op.scheme), op.token, op.bytes];
    case "chunk-get":
      return [
        OP["chunk-get"],
        segmentWire(op.segment),
        op.chunk,
        schemeWire(op.scheme),
        op.length,
        op.attempt,
      ];
    case "segments-gone":
      return [OP["segments-gone"], listWire(op.segments, segmentWire)];
    default:
      return unreachable(op);
  }
}

export function readChunkRequest(reader: Reader, arity: number, tag: number): ChunkRequestOp {
  switch (tag) {
    case OP["chunk-put"]:
      reader.expectArity(arity, 6);
      return {
        kind: "chunk-put",
        ...readChunkName(reader),
        token: readToken(reader),
        bytes: readFragmentBytes(reader),
      };
    case OP["chunk-get"]:
      reader.expectArity(arity, 6);
      return {
        kind: "chunk-get",
        ...readChunkName(reader),
        length: reader.integer(LIMITS.fragmentBytesMax),
        attempt: reader.integer(LIMITS.readAttemptsMax),
      };
    case OP["segments-gone"]:
      reader.expectArity(arity, 2);
      return { kind: "segments-gone", segments: readSegments(reader) };
    default:
      return reader.fail("kind", `No request has the tag ${tag}`);
  }
}

function readChunkName(reader: Reader): { segment: SegmentId; chunk: number; scheme: Scheme } {
  return {
    segment: readSegment(reader),
    chunk: reader.integer(CHUNK_NUMBER_MAX),
    scheme: readScheme(reader),
  };
}

function readToken(reader: Reader): Uint8Array {
  const token = reader.bytes(WRITE_TOKEN_BYTES);
  if (token.length !== WRITE_TOKEN_BYTES) {
    reader.fail("invalid", `A write token has ${WRITE_TOKEN_BYTES} bytes, not ${token.length}`);
  }
  return token;
}

export function readSealedChunk(reader: Reader): Uint8Array {
  return readFragmentBytes(reader);
}

// ---- asked of the disk

/** Only to be compared: nobody reads it back. */
export function chunkOpWire(op: ChunkOp): Wire {
  switch (op.kind) {
    case "write":
      return [CHUNK_OP.write, op.op, fragmentWire(op.fragment), op.bytes];
    case "read":
      return [CHUNK_OP.read, op.op, fragmentWire(op.fragment)];
    case "remove":
      return [CHUNK_OP.remove, op.op, listWire(op.fragments, fragmentWire)];
    case "list":
      return [CHUNK_OP.list, op.op, op.partition, op.after === null ? null : fragmentWire(op.after), op.max];
    case "partitions":
      return [CHUNK_OP.partitions, op.op];
    default:
      return unreachable(op);
  }
}

export function chunkResultWire(result: ChunkResult): Wire {
  switch (result.kind) {
    case "written":
    case "removed":
      return [CHUNK_RESULT[result.kind], result.op];
    case "read":
      return [CHUNK_RESULT.read, result.op, result.bytes];
    case "listed":
      return [CHUNK_RESULT.listed, result.op, listWire(result.fragments, listedWire), result.done];
    case "partitions":
      return [CHUNK_RESULT.partitions, result.op, result.partitions];
    case "failed":
      return [CHUNK_RESULT.failed, result.op, CHUNK_FAILURE.codes[result.reason], result.message];
    default:
      return unreachable(result);
  }
}
/** For recordings. What a disk gave may be of any length: a rotten file, too, was read. */
export function readChunkResult(reader: Reader): ChunkResult {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  const op = reader.integer();
  switch (tag) {
    case CHUNK_RESULT.written:
      reader.expectArity(arity, 2);
      return { kind: "written", op };
    case CHUNK_RESULT.read:
      reader.expectArity(arity, 3);
      return { kind: "read", op, bytes: reader.skipNull() ? null : reader.bytes() };
    case CHUNK_RESULT.removed:
      reader.expectArity(arity, 2);
      return { kind: "removed", op };
    case CHUNK_RESULT.listed:
      reader.expectArity(arity, 4);
      return {
        kind: "listed",
        op,
        fragments: readList(reader, LIMITS.fragmentsPerCheckMax, readListed),
        done: reader.boolean(),
      };
    case CHUNK_RESULT.partitions:
      reader.expectArity(arity, 3);
      return {
        kind: "partitions",
        op,
        partitions: readList(reader, LIMITS.partitionsMax + 1, (r) => r.partition()),
      };
    case CHUNK_RESULT.failed:
      reader.expectArity(arity, 4);
      return { kind: "failed", op, reason: reader.choice(CHUNK_FAILURE.names), message: reader.text() };
    default:
      return reader.fail("kind", `No result of a disk has the tag ${tag}`);
  }
}

function listedWire({ fragment, bytes, ageMs }: ListedFragment): Wire {
  return [fragmentWire(fragment), bytes, ageMs];
}
function readListed(reader: Reader): ListedFragment {
  reader.tuple(3);
  return { fragment: readFragment(reader), bytes: reader.integer(), ageMs: reader.integer() };
}

// ---- status

const STATUS_FIELDS = [
  "fragments",
  "bytes",
  "missing",
  "missingBytes",
  "lost",
  "surplus",
  "repaired",
  "repairedBytes",
  "fetchedBytes",
  "rotten",
  "removed",
  "scrubbed",
  "scrubs",
] as const satisfies readonly (keyof ChunkStatus)[];

export function chunkStatusWire(status: ChunkStatus): Wire {
  return [...STATUS_FIELDS.map((field) => status[field]), status.secondsLeft, status.looked];
}
export function readChunkStatus(reader: Reader): ChunkStatus {
  reader.tuple(STATUS_FIELDS.length + 2);
  return {
    fragments: reader.integer(),
    bytes: reader.integer(),
    missing: reader.integer(),
    missingBytes: reader.integer(),
    lost: reader.integer(),
    surplus: reader.integer(),
    repaired: reader.integer(),
    repairedBytes: reader.integer(),
    fetchedBytes: reader.integer(),
    rotten: reader.integer(),
    removed: reader.integer(),
    scrubbed: reader.integer(),
    scrubs: reader.integer(),
    secondsLeft: reader.skipNull() ? null : reader.integer(),
    looked: reader.boolean(),
  };
}
