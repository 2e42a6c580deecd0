/** fast-check arbitraries of what concerns the bulk of objects. */
import fc from "fast-check";
import { LIMITS } from "../../core/base/limits.ts";
import type { FragmentMessage } from "../../core/wire/object_codec.ts";
import {
  type ChunkResult,
  type ChunkStatus,
  type FragmentId,
  type ListedFragment,
  type Scheme,
  type SegmentId,
  WRITE_TOKEN_BYTES,
} from "../../core/wire/objects.ts";
import type { ChunkRequestOp } from "../../core/wire/requests.ts";
import {
  type Arb,
  arbBytes,
  arbHex32,
  arbInteger,
  arbPartition,
  arbText,
  list,
  orNull,
  whole,
} from "./arbitrary_basics.ts";

const kind = <K extends string>(name: K): Arb<K> => fc.constant(name);

export const arbScheme: Arb<Scheme> = fc.oneof(
  whole<Scheme & { kind: "replicated" }>({
    kind: kind("replicated"),
    copies: fc.integer({ min: 1, max: LIMITS.copiesMax }),
  }),
  fc.integer({ min: 1, max: LIMITS.stripeMax - 1 }).chain((data) =>
    whole<Scheme & { kind: "striped" }>({
      kind: kind("striped"),
      data: fc.constant(data),
      parity: fc.integer({ min: 1, max: LIMITS.stripeMax - data }),
    })
  ),
);

export const arbSegment: Arb<SegmentId> = whole<SegmentId>({ partition: arbPartition, segment: arbHex32 });

const arbChunk = fc.oneof(fc.nat({ max: 1024 }), fc.nat({ max: 0xffff_ffff }));
export const arbFragment: Arb<FragmentId> = whole<FragmentId>({
  partition: arbPartition,
  segment: arbHex32,
  chunk: arbChunk,
  index: fc.nat({ max: LIMITS.stripeMax - 1 }),
});

export const CHUNK_OPS: { [K in ChunkRequestOp["kind"]]: Arb<Extract<ChunkRequestOp, { kind: K }>> } = {
  "chunk-put": whole({
    kind: kind("chunk-put"),
    segment: arbSegment,
    chunk: arbChunk,
    scheme: arbScheme,
    token: fc.uint8Array({ minLength: WRITE_TOKEN_BYTES, maxLength: WRITE_TOKEN_BYTES }),
    bytes: arbBytes,
  }),
  "chunk-get": whole({
    kind: kind("chunk-get"),
    segment: arbSegment,
    chunk: arbChunk,
    scheme: arbScheme,
    length: fc.nat({ max: LIMITS.fragmentBytesMax }),
    attempt: fc.nat({ max: LIMITS.readAttemptsMax }),
  }),
  "segments-gone": whole({ kind: kind("segments-gone"), segments: list(arbSegment) }),
};

export const FRAGMENT_MESSAGES: {
  [K in FragmentMessage["kind"]]: Arb<Extract<FragmentMessage, { kind: K }>>;
} = {
  "fragment-put": whole({
    kind: kind("fragment-put"),
    id: arbInteger,
    fragment: arbFragment,
    bytes: arbBytes,
  }),
  "fragment-put-reply": whole({
    kind: kind("fragment-put-reply"),
    id: arbInteger,
    outcome: fc.constantFrom("stored", "no-space", "failed", "refused"),
  }),
  "fragment-get": whole({ kind: kind("fragment-get"), id: arbInteger, fragment: arbFragment }),
  "fragment-get-reply": whole({ kind: kind("fragment-get-reply"), id: arbInteger, bytes: orNull(arbBytes) }),
  "fragment-check": fc.oneof(
    whole({ kind: kind("fragment-check"), id: arbInteger, fragments: list(arbFragment) }),
    whole({
      kind: kind("fragment-check"),
      id: arbInteger,
      fragments: list(arbFragment),
      verify: fc.constant<true>(true),
    }),
  ),
  "fragment-check-reply": whole({
    kind: kind("fragment-check-reply"),
    id: arbInteger,
    held: list(fc.boolean()),
  }),
  "segments-gone": whole({ kind: kind("segments-gone"), segments: list(arbSegment) }),
};

const RESULTS: { [K in ChunkResult["kind"]]: Arb<Extract<ChunkResult, { kind: K }>> } = {
  "written": whole({ kind: kind("written"), op: arbInteger }),
  "read": whole({ kind: kind("read"), op: arbInteger, bytes: orNull(arbBytes) }),
  "removed": whole({ kind: kind("removed"), op: arbInteger }),
  "listed": whole({
    kind: kind("listed"),
    op: arbInteger,
    fragments: list(
      whole<ListedFragment>({ fragment: arbFragment, bytes: arbInteger, ageMs: arbInteger }),
    ),
    done: fc.boolean(),
  }),
  "partitions": whole({ kind: kind("partitions"), op: arbInteger, partitions: list(arbPartition) }),
  "failed": whole({
    kind: kind("failed"),
    op: arbInteger,
    reason: fc.constantFrom("no-space", "disk"),
    message: arbText,
  }),
};
export const arbChunkResult: Arb<ChunkResult> = fc.oneof(...Object.values<Arb<ChunkResult>>(RESULTS));

export const arbChunkStatus: Arb<ChunkStatus> = whole<ChunkStatus>({
  fragments: arbInteger,
  bytes: arbInteger,
  missing: arbInteger,
  missingBytes: arbInteger,
  lost: arbInteger,
  surplus: arbInteger,
  repaired: arbInteger,
  repairedBytes: arbInteger,
  fetchedBytes: arbInteger,
  rotten: arbInteger,
  removed: arbInteger,
  scrubbed: arbInteger,
  scrubs: arbInteger,
  secondsLeft: orNull(arbInteger),
  looked: fc.boolean(),
});
