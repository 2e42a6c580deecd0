/**
 * What crosses borders about the bulk of objects: how a chunk is made redundant, what names a fragment of one, and what
 * a node asks of its disk. The catalog has the rest, as rows (core/objects/records.ts).
 */
import type { PartitionId } from "../base/ids.ts";

/**
 * replicated: `copies` equal fragments of each chunk. striped: `data` fragments that hold the chunk and `parity` made of
 * them (Reed-Solomon), any `data` of which give it back.
 */
export type Scheme =
  | { readonly kind: "replicated"; readonly copies: number }
  | { readonly kind: "striped"; readonly data: number; readonly parity: number };

/**
 * A segment is a run of chunks written by one writer under one key of its own; its id comes of what is drawn at random and is
 * never used again, whatever becomes of the write. It belongs to the partition of the object that it is part of.
 */
export interface SegmentId {
  readonly partition: PartitionId;
  /** 32 hexadecimal digits. */
  readonly segment: string;
}

/** What a writer shows to store a segment's chunks (core/objects/segment_id.ts). */
export const WRITE_TOKEN_BYTES = 64;

/** One fragment of one chunk. */
export interface FragmentId extends SegmentId {
  /** From 0. */
  readonly chunk: number;
  /** Which of the stripe's fragments, from 0, data before parity; always 0 where chunks are replicated. */
  readonly index: number;
}

/**
 * What a node asks of its disk (Effects.chunkOps). `op` names the operation in its result; the host may do them in any
 * order, but does what is asked about one fragment in the order asked.
 */
export type ChunkOp =
  /** The whole file of a fragment. Answered when it is durable; what stood there before is replaced. */
  | { readonly kind: "write"; readonly op: number; readonly fragment: FragmentId; readonly bytes: Uint8Array }
  /** `rare`: it is hardly there, and a disk that can tell quickly that it is not does. */
  | { readonly kind: "read"; readonly op: number; readonly fragment: FragmentId; readonly rare?: true }
  | { readonly kind: "remove"; readonly op: number; readonly fragments: readonly FragmentId[] }
  /** Up to `max` fragments of a partition in the order of compareFragments(), after `after` (null: from the first). */
  | {
    readonly kind: "list";
    readonly op: number;
    readonly partition: PartitionId;
    readonly after: FragmentId | null;
    readonly max: number;
  }
  /** Everything in a partition's folder whose name is none of a fragment is cleared away, and all partitions that hold any are named. */
  | { readonly kind: "partitions"; readonly op: number };

export type ChunkResult =
  | { readonly kind: "written"; readonly op: number }
  /** `bytes` null: there is no such file. */
  | { readonly kind: "read"; readonly op: number; readonly bytes: Uint8Array | null }
  | { readonly kind: "removed"; readonly op: number }
  | {
    readonly kind: "listed";
    readonly op: number;
    readonly fragments: readonly ListedFragment[];
    /** Nothing comes after these. */
    readonly done: boolean;
  }
  | { readonly kind: "partitions"; readonly op: number; readonly partitions: readonly PartitionId[] }
  | {
    readonly kind: "failed";
    readonly op: number;
    readonly reason: "no-space" | "disk";
    readonly message: string;
  };

export interface ListedFragment {
  readonly fragment: FragmentId;
  /** Of the file. */
  readonly bytes: number;
  /** Since it was written, by the host's clock: never negative. */
  readonly ageMs: number;
}

/** What a node knows of the objects' fragments on its own disk and of what it lacks. */
export interface ChunkStatus {
  readonly fragments: number;
  readonly bytes: number;
  /** Fragments that it should hold and does not, as the last look found and what was mended since; and their bytes. */
  readonly missing: number;
  readonly missingBytes: number;
  /** Fragments that cannot be had from anywhere now. */
  readonly lost: number;
  /** Fragments that it holds and should not, until those who should have them. */
  readonly surplus: number;
  /** Of this life: */
  readonly repaired: number;
  readonly repairedBytes: number;
  /** What was fetched from others for it. */
  readonly fetchedBytes: number;
  readonly rotten: number;
  readonly removed: number;
  /** Scrubbed of `fragments` in the round under way, and whole rounds so far. */
  readonly scrubbed: number;
  readonly scrubs: number;
  /** Whole seconds, repair at the rate of late; 0: nothing is missing; null: not known. */
  readonly secondsLeft: number | null;
  /** False: not every partition was looked at since the members changed last. */
  readonly looked: boolean;
}

/** Of a node that holds none, or does not know yet. */
export const NO_CHUNKS: ChunkStatus = {
  fragments: 0,
  bytes: 0,
  missing: 0,
  missingBytes: 0,
  lost: 0,
  surplus: 0,
  repaired: 0,
  repairedBytes: 0,
  fetchedBytes: 0,
  rotten: 0,
  removed: 0,
  scrubbed: 0,
  scrubs: 0,
  secondsLeft: null,
  looked: false,
};
