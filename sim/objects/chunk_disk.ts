/**
 * The disk on which one machine keeps fragments of objects, as ChunkOp asks. It outlives the machine's processes.
 *
 * Invariants
 *  K1  What is asked about one fragment is done in the order asked; all else in any order.
 *  K2  A write that was answered is durable. One that was not may, when the process dies, be there or not; when power
 *      fails, torn as well, where no whole file stood under that name.
 *  K3  A removal is not synced: for a while a loss of power may bring back what was removed.
 *  K4  The disk knows of each file whether it is as it was written (`harm`). Only checkers and the budget may look.
 */
import { invariant, unreachable } from "../../core/base/invariant.ts";
import type { PartitionId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import { parseFragment } from "../../core/objects/fragment.ts";
import type { ChunkOp, ChunkResult, FragmentId, ListedFragment, Scheme } from "../../core/wire/objects.ts";
import { happens } from "../network.ts";
import { type Ratio, ZERO_RATIO } from "../units.ts";

/** How a disk does what is asked. Times in microseconds. */
export interface ChunkDiskOptions {
  /** Before a write is durable, or before a read, a list or a removal begins to be answered. */
  readonly writeUsMin: number;
  readonly writeUsMax: number;
  readonly readUsMin: number;
  readonly readUsMax: number;
  readonly bytesPerSecond: number;
}

export const DEFAULT_CHUNK_DISK: ChunkDiskOptions = {
  writeUsMin: 500,
  writeUsMax: 5_000,
  readUsMin: 50,
  readUsMax: 2_000,
  bytesPerSecond: 200_000_000,
};

/** What was done to a file behind everybody's back. */
export type Harm = "rot" | "stray" | "torn";

export interface StoredFragment {
  readonly fragment: FragmentId;
  /** null: what `derive` says. */
  bytes: Uint8Array | null;
  readonly length: number;
  /** By the machine's clock, and by the world's. */
  readonly writtenLocal: number;
  readonly writtenAt: number;
  /** As its header says; null: it has none. */
  readonly scheme: Scheme | null;
  harm: { readonly kind: Harm; readonly at: number } | null;
}

/** Something asked for that is not answered yet. */
export interface ChunkWork {
  readonly op: ChunkOp;
  readonly at: number;
  done: boolean;
}

/** Bytes of fragments that are too many to keep: they are made again when they are read. */
export type Derive = (fragment: FragmentId) => Uint8Array | null;
/** The same for all disks of a world. */
export interface ChunkSource {
  derive: Derive | null;
}

/** So long after it a removal may be undone. */
const UNSYNCED_US = 5_000_000;
const ENTRY_BYTES = 4_096;

export class ChunkDisk {
  readonly #options: ChunkDiskOptions;
  readonly #random: Random;
  readonly #source: ChunkSource;
  /** By partition, and in it by name. */
  readonly #files = new Map<PartitionId, Map<string, StoredFragment>>();
  readonly #work: ChunkWork[] = [];
  /** When what was asked last about a name is done. */
  readonly #lastAt = new Map<string, number>();
  #removed: { readonly file: StoredFragment; readonly at: number }[] = [];
  /** The bandwidth is taken until then. */
  #busyUntil = 0;
  /** Each operation takes so much longer. */
  extraUs = 0;
  /** Bytes that may still be written; Infinity: nobody counts. */
  room = Infinity;
  /** This share of all reads fails. */
  readErrors: Ratio = ZERO_RATIO;
  bytesRead = 0;
  bytesWritten = 0;

  constructor(options: ChunkDiskOptions, random: Random, source: ChunkSource = { derive: null }) {
    this.#options = options;
    this.#random = random;
    this.#source = source;
  }

  // ---- the machine's process

  /** Takes over what a step asks for: each with the time at which finish() is to be called. */
  submit(ops: readonly ChunkOp[], now: number): ChunkWork[] {
    return ops.map((op) => {
      const names = namesOf(op);
      let at = this.#duration(op, now);
      for (const name of names) at = Math.max(at, this.#lastAt.get(name) ?? 0); // K1
      for (const name of names) this.#lastAt.set(name, at);
      const work = { op, at, done: false };
      this.#work.push(work);
      return work;
    });
  }

  /** The operation happens, and is answered. `local`: the machine's clock. */
  finish(work: ChunkWork, now: number, local: number): ChunkResult {
    invariant(!work.done, "What is asked of a disk is answered once");
    this.#forget(work);
    const { op } = work;
    switch (op.kind) {
      case "write":
        if (op.bytes.length > this.room) {
          return failed(op, "no-space", "No space left on the simulated device");
        }
        this.#put(op.fragment, op.bytes, now, local);
        return { kind: "written", op: op.op };
      case "read":
        if (happens(this.#random, this.readErrors)) return failed(op, "disk", "Simulated read error");
        return { kind: "read", op: op.op, bytes: this.read(op.fragment) };
      case "remove":
        for (const fragment of op.fragments) this.#remove(fragment, now);
        return { kind: "removed", op: op.op };
      case "list":
        return { kind: "listed", op: op.op, ...this.#list(op, local) };
      case "partitions":
        return { kind: "partitions", op: op.op, partitions: this.partitions() };
      default:
        return unreachable(op);
    }
  }

  /** The process ends, alone or with its machine (K2, K3). */
  stop(kind: "process" | "power", now: number, local: number): void {
    const work = this.#work.splice(0).sort((a, b) => a.at - b.at);
    for (const entry of work) {
      entry.done = true;
      const { op } = entry;
      if (op.kind === "write" && op.bytes.length <= this.room && this.#random.chance(1, 2)) {
        const whole = kind === "process" || this.stored(op.fragment) !== null || this.#random.chance(1, 2);
        this.#put(op.fragment, op.bytes, now, local);
        if (!whole) this.#tear(op.fragment, now);
      } else if (op.kind === "remove" && this.#random.chance(1, 2)) {
        for (const fragment of op.fragments) this.#remove(fragment, now);
      }
    }
    const removed = this.#removed;
    this.#removed = [];
    if (kind === "process") return;
    for (const { file, at } of removed) {
      if (at + UNSYNCED_US < now || this.stored(file.fragment) !== null || this.#random.chance(3, 4)) {
        continue;
      }
      this.#folder(file.fragment.partition).set(nameOf(file.fragment), file);
      this.room -= file.length;
    }
    this.#busyUntil = 0;
    this.#lastAt.clear();
  }

  // ---- faults

  /** Bits of a file change. */
  rot(fragment: FragmentId, now: number): void {
    const file = this.#existing(fragment), bytes = this.#bytesOf(file).slice();
    if (bytes.length === 0) return;
    bytes[this.#random.below(bytes.length)]! ^= 1 << this.#random.below(8);
    file.bytes = bytes;
    file.harm ??= { kind: "rot", at: now };
  }

  /** A file has the whole, right content of another. */
  stray(fragment: FragmentId, other: FragmentId, now: number): void {
    const file = this.#existing(fragment);
    file.bytes = this.#bytesOf(this.#existing(other)).slice();
    file.harm = { kind: "stray", at: now };
  }

  /** A file is gone. */
  vanish(fragment: FragmentId): void {
    this.#folder(fragment.partition).delete(nameOf(fragment));
  }

  /** All files are gone. */
  lose(): void {
    this.#files.clear();
    this.#removed = [];
  }

  // ---- for checkers, the budget and those who prepare a run

  /** Places a fragment as if it had been written. */
  place(fragment: FragmentId, length: number, scheme: Scheme): void {
    const file = { fragment, bytes: null, length, writtenLocal: 0, writtenAt: 0, scheme, harm: null };
    this.#folder(fragment.partition).set(nameOf(fragment), file);
  }

  stored(fragment: FragmentId): StoredFragment | null {
    return this.#files.get(fragment.partition)?.get(nameOf(fragment)) ?? null;
  }

  read(fragment: FragmentId): Uint8Array | null {
    const file = this.stored(fragment);
    if (file === null) return null;
    this.bytesRead += file.length;
    return this.#bytesOf(file);
  }

  /** All files, in no order that anything may rest on. */
  *all(): Generator<StoredFragment> {
    for (const folder of this.#files.values()) yield* folder.values();
  }

  /** All files in the order of their names. */
  sorted(): StoredFragment[] {
    return [...this.all()].sort((a, b) =>
      a.fragment.partition - b.fragment.partition || compare(nameOf(a.fragment), nameOf(b.fragment))
    );
  }

  partitions(): PartitionId[] {
    return [...this.#files].filter(([, folder]) => folder.size > 0).map(([id]) => id).sort((a, b) => a - b);
  }

  /** Nothing is asked for. */
  get idle(): boolean {
    return this.#work.length === 0;
  }

  // ----

  #duration(op: ChunkOp, now: number): number {
    const { writeUsMin, writeUsMax, readUsMin, readUsMax, bytesPerSecond } = this.#options;
    const bytes = op.kind === "write"
      ? op.bytes.length
      : op.kind === "read"
      ? this.stored(op.fragment)?.length ?? 0
      : ENTRY_BYTES;
    this.#busyUntil = Math.max(this.#busyUntil, now) + Math.ceil(bytes * 1_000_000 / bytesPerSecond);
    const latency = op.kind === "write"
      ? this.#random.between(writeUsMin, writeUsMax)
      : this.#random.between(readUsMin, readUsMax);
    return this.#busyUntil + latency + this.extraUs;
  }

  #forget(work: ChunkWork): void {
    work.done = true;
    this.#work.splice(this.#work.indexOf(work), 1);
    for (const name of namesOf(work.op)) if (this.#lastAt.get(name) === work.at) this.#lastAt.delete(name);
  }

  #put(fragment: FragmentId, bytes: Uint8Array, now: number, local: number): void {
    const before = this.stored(fragment)?.length ?? 0, derived = this.#source.derive?.(fragment) ?? null;
    this.room -= bytes.length - before;
    this.bytesWritten += bytes.length;
    this.#folder(fragment.partition).set(nameOf(fragment), {
      fragment,
      bytes: derived !== null && isEqual(derived, bytes) ? null : bytes,
      length: bytes.length,
      writtenLocal: local,
      writtenAt: now,
      scheme: schemeOf(fragment, bytes),
      harm: null,
    });
  }

  /** Only a beginning of the file was written, and the rest of its sectors are zeros or not there. */
  #tear(fragment: FragmentId, now: number): void {
    const file = this.#existing(fragment), bytes = this.#bytesOf(file);
    const kept = this.#random.below(bytes.length),
      torn = bytes.slice(0, this.#random.chance(1, 2) ? kept : undefined);
    torn.fill(0, kept);
    const isWhole = torn.length === bytes.length && isEqual(torn, bytes);
    this.#folder(fragment.partition).set(nameOf(fragment), {
      ...file,
      bytes: torn,
      length: torn.length,
      harm: isWhole ? null : { kind: "torn", at: now },
    });
  }

  #remove(fragment: FragmentId, now: number): void {
    const file = this.stored(fragment);
    if (file === null) return;
    this.room += file.length;
    this.#folder(fragment.partition).delete(nameOf(fragment));
    this.#removed = this.#removed.filter(({ at }) => at + UNSYNCED_US >= now);
    this.#removed.push({ file, at: now });
  }

  #list(
    op: Extract<ChunkOp, { kind: "list" }>,
    local: number,
  ): { fragments: ListedFragment[]; done: boolean } {
    const after = op.after === null ? "" : nameOf(op.after);
    const names = [...this.#files.get(op.partition)?.keys() ?? []].filter((name) => name > after).sort(
      compare,
    );
    const fragments = names.slice(0, op.max).map((name): ListedFragment => {
      const { fragment, length, writtenLocal } = this.#files.get(op.partition)!.get(name)!;
      return { fragment, bytes: length, ageMs: Math.max(0, Math.floor((local - writtenLocal) / 1000)) };
    });
    return { fragments, done: names.length <= op.max };
  }

  #folder(partition: PartitionId): Map<string, StoredFragment> {
    let folder = this.#files.get(partition);
    if (folder === undefined) this.#files.set(partition, folder = new Map());
    return folder;
  }

  #existing(fragment: FragmentId): StoredFragment {
    const file = this.stored(fragment);
    invariant(file !== null, () => `There is a fragment ${nameOf(fragment)}`);
    return file;
  }

  #bytesOf(file: StoredFragment): Uint8Array {
    const bytes = file.bytes ?? this.#source.derive?.(file.fragment) ?? null;
    invariant(bytes !== null, "What is not kept can be derived");
    return bytes;
  }
}

/** Sorts as compareFragments() does within a partition. */
export function nameOf({ segment, chunk, index }: FragmentId): string {
  return `${segment}-${chunk.toString(16).padStart(8, "0")}-${index.toString(16).padStart(2, "0")}`;
}

function namesOf(op: ChunkOp): string[] {
  switch (op.kind) {
    case "write":
    case "read":
      return [nameOf(op.fragment)];
    case "remove":
      return op.fragments.map(nameOf);
    case "list":
    case "partitions":
      return [];
    default:
      return unreachable(op);
  }
}

function schemeOf(fragment: FragmentId, bytes: Uint8Array): Scheme | null {
  return parseFragment(bytes, fragment)?.scheme ?? null;
}

function failed(op: ChunkOp, reason: "no-space" | "disk", message: string): ChunkResult {
  return { kind: "failed", op: op.op, reason, message };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
