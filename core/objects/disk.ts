/**
 * The disk that holds fragments, as callbacks over Effects.chunkOps and the input "chunks".
 *
 * C1. Every operation ends in exactly one call back, in the step that brings its result; never within the call that asked.
 * C2. Operations are numbered within one life of the node, from a number of its own: results of an earlier life find none.
 */
import type { Instant, PartitionId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import type { Effects } from "../wire/kernel.ts";
import type { ChunkOp, ChunkResult, FragmentId, ListedFragment } from "../wire/objects.ts";

export type DiskFailure = "no-space" | "disk";

export interface ChunkDiskOptions {
  readonly effects: Effects;
  readonly firstOp: number;
  /** What this node holds changed. A fragment that is written may have been there before. */
  readonly written?: (fragment: FragmentId, bytes: number, now: Instant) => void;
  readonly removed?: (fragments: readonly FragmentId[], now: Instant) => void;
}

export type Written = (failure: DiskFailure | null, now: Instant) => void;
/** `bytes` null: there is no such file; or, where `failed`, it cannot be read. */
export type Read = (bytes: Uint8Array | null, failed: boolean, now: Instant) => void;
export type Done = (failed: boolean, now: Instant) => void;
/** null: the disk failed. */
export type Listed = (
  page: { readonly fragments: readonly ListedFragment[]; readonly done: boolean } | null,
  now: Instant,
) => void;
export type Partitions = (partitions: readonly PartitionId[] | null, now: Instant) => void;

type Pending =
  | { readonly kind: "write"; readonly fragment: FragmentId; readonly bytes: number; readonly done: Written }
  | { readonly kind: "read"; readonly done: Read }
  | { readonly kind: "remove"; readonly fragments: readonly FragmentId[]; readonly done: Done }
  | { readonly kind: "list"; readonly done: Listed }
  | { readonly kind: "partitions"; readonly done: Partitions };

export class ChunkDisk {
  readonly #options: ChunkDiskOptions;
  readonly #pending = new Map<number, Pending>();
  #next: number;

  constructor(options: ChunkDiskOptions) {
    this.#options = options;
    this.#next = options.firstOp;
  }

  /** Operations under way. */
  get size(): number {
    return this.#pending.size;
  }

  write(fragment: FragmentId, bytes: Uint8Array, done: Written): void {
    const op = this.#add({ kind: "write", fragment, bytes: bytes.length, done });
    this.#ask({ kind: "write", op, fragment, bytes });
  }
  read(fragment: FragmentId, done: Read): void {
    this.#ask({ kind: "read", op: this.#add({ kind: "read", done }), fragment });
  }
  /** As read(), for what is hardly there. */
  readRare(fragment: FragmentId, done: Read): void {
    this.#ask({ kind: "read", op: this.#add({ kind: "read", done }), fragment, rare: true });
  }
  /** Up to LIMITS.fragmentsPerCheckMax. What is not there counts as removed. */
  remove(fragments: readonly FragmentId[], done: Done): void {
    this.#ask({ kind: "remove", op: this.#add({ kind: "remove", fragments, done }), fragments });
  }
  list(partition: PartitionId, after: FragmentId | null, max: number, done: Listed): void {
    this.#ask({ kind: "list", op: this.#add({ kind: "list", done }), partition, after, max });
  }
  partitions(done: Partitions): void {
    this.#ask({ kind: "partitions", op: this.#add({ kind: "partitions", done }) });
  }

  /** Of the input "chunks". */
  results(results: readonly ChunkResult[], now: Instant): void {
    for (const result of results) {
      const pending = this.#pending.get(result.op);
      if (pending === undefined) continue;
      this.#pending.delete(result.op);
      this.#finish(pending, result, now);
    }
  }

  #add(pending: Pending): number {
    const op = this.#next++;
    this.#pending.set(op, pending);
    return op;
  }

  #ask(op: ChunkOp): void {
    this.#options.effects.chunkOps.push(op);
  }

  /** A result of another kind than was asked for is a failure. */
  #finish(pending: Pending, result: ChunkResult, now: Instant): void {
    switch (pending.kind) {
      case "write": {
        if (result.kind === "failed") return pending.done(result.reason, now);
        if (result.kind !== "written") return pending.done("disk", now);
        this.#options.written?.(pending.fragment, pending.bytes, now);
        return pending.done(null, now);
      }
      case "read":
        return pending.done(result.kind === "read" ? result.bytes : null, result.kind !== "read", now);
      case "remove":
        if (result.kind !== "removed") return pending.done(true, now);
        this.#options.removed?.(pending.fragments, now);
        return pending.done(false, now);
      case "list":
        return pending.done(result.kind === "listed" ? result : null, now);
      case "partitions":
        return pending.done(result.kind === "partitions" ? result.partitions : null, now);
      default:
        return unreachable(pending);
    }
  }
}
