/**
 * The fragments of objects on a real disk, each a file of its own (names.ts), as Effects.chunkOps asks.
 *
 * B1. A write is answered when file and name are durable. The file is written beside, synced and renamed: what has a
 *     fragment's name is whole, whenever the power fails, and what was there before stays until then.
 * B2. What is asked about one fragment is done in the order asked.
 * B3. No trouble with these files ends the node: each operation has an answer, perhaps "failed". What a failed write
 *     left is removed.
 * B4. A fragment that is not durable yet is not listed: others may remove theirs because this node says it holds one.
 * B5. Memory follows from what is under way. A file that is longer than any fragment is not read.
 * B6. After close() nothing is answered, and nothing new begins.
 *
 * What waits for the disk is asked of the runtime's own threads, file by file. Measured on a virtual disk and two busy cores, durable
 * writes a second of 64 KiB at 1, 8 and 32 at once: 430, 1400, 1300 that way, and 190, 180, 220 through one worker with
 * syncs in batches (a sync after the other), 170, 970, 850 through four; of 1 MiB 300, 1050, 1090 (as quick as dd) against
 * 130, 200, 240 and 120, 310, 480. Renaming costs a fifth of the smaller ones.
 * What only makes and names small files is done at once (at_once.ts): of seven ways to a thread and back for each, two are
 * left, both syncs. See bench/chunks.ts.
 */
import { join } from "node:path";
import type { PartitionId } from "../../../core/base/ids.ts";
import { unreachable } from "../../../core/base/invariant.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import type { ChunkOp, ChunkResult, FragmentId, ListedFragment } from "../../../core/wire/objects.ts";
import { isFull } from "../life/ending.ts";
import { RepeatLimit } from "../log_limit.ts";
import { type ChunkFileSystem, REAL_CHUNK_FILES } from "./files.ts";
import { Folders } from "./folders.ts";
import { type DirectoryEntry, Listings } from "./listing.ts";
import { fileName, isUnfinished, parseFileName, parseFolderName, UNFINISHED } from "./names.ts";
import { Slots } from "./slots.ts";

/** Under way at once: more gain nothing, and what is read comes into memory. */
const WRITES = 16, READS = 16, REMOVALS = 8, STATS = 32;
/** A file that is being written is younger. */
const UNFINISHED_MS_MAX = 60_000;
const CLOSE_MS_MAX = 5000;

type OpOf<K extends ChunkOp["kind"]> = Extract<ChunkOp, { kind: K }>;

export interface ChunkFilesOptions {
  /** Is made where it is missing. */
  readonly folder: string;
  readonly answer: (result: ChunkResult) => void;
  /** So many bytes were written. */
  readonly wrote?: (bytes: number) => void;
  readonly warn: (what: string) => void;
  readonly files?: ChunkFileSystem;
}

export class ChunkFiles {
  readonly #options: ChunkFilesOptions;
  readonly #files: ChunkFileSystem;
  readonly #folders: Folders;
  readonly #listings: Listings;
  readonly #writes = new Slots(WRITES);
  readonly #reads = new Slots(READS);
  readonly #removals = new Slots(REMOVALS);
  readonly #looks = new Slots(1);
  /** The last operation of each fragment that has one under way, by path (B2). */
  readonly #last = new Map<string, Promise<unknown>>();
  /** Of fragments being written, by path. */
  readonly #pending = new Map<string, number>();
  readonly #underWay = new Set<Promise<void>>();
  readonly #repeated = new RepeatLimit();
  #closed = false;
  #foreignTold = false;
  #counts = { written: 0, read: 0, removed: 0, failed: 0 };

  constructor(options: ChunkFilesOptions) {
    this.#options = options;
    this.#files = options.files ?? REAL_CHUNK_FILES;
    this.#folders = new Folders(this.#files, options.folder);
    this.#listings = new Listings({
      read: async (partition) => await this.#files.list(this.#folders.pathOf(partition)) ?? [],
      others: (partition, entries) => this.#clear(partition, entries),
      isPending: (partition, name) => this.#pending.has(join(this.#folders.pathOf(partition), name)),
    });
  }

  /** Begins an operation. Its answer comes later, never within this call. */
  take(op: ChunkOp): void {
    if (this.#closed) return;
    const done = this.#do(op).catch((error: unknown) => this.#failure(op, error)).then((result) => {
      this.#underWay.delete(done);
      if (this.#closed) return;
      this.#options.answer(result);
    });
    this.#underWay.add(done);
  }

  /** Resolves when nothing is under way any more, or the disk does not answer. */
  async close(): Promise<void> {
    this.#closed = true;
    let late: ReturnType<typeof setTimeout> | undefined;
    const waited = new Promise((resolve) => late = setTimeout(resolve, CLOSE_MS_MAX));
    await Promise.race([Promise.all(this.#underWay), waited]);
    clearTimeout(late);
  }

  /** For a status answer. */
  counters(): readonly (readonly [string, number])[] {
    const { written, read, removed, failed } = this.#counts;
    return [
      ["fragment files written", written],
      ["fragment files read", read],
      ["fragment files removed", removed],
      ["fragment files failed", failed],
      ["fragment operations under way", this.#underWay.size],
    ];
  }

  #do(op: ChunkOp): Promise<ChunkResult> {
    switch (op.kind) {
      case "write":
        return this.#write(op);
      case "read":
        return this.#inOrder(this.#pathOf(op.fragment), () => this.#reads.run(() => this.#read(op)));
      case "remove":
        return this.#remove(op);
      case "list":
        return this.#looks.run(() => this.#list(op));
      case "partitions":
        return this.#looks.run(() => this.#partitions(op));
      default:
        return unreachable(op);
    }
  }

  /** B3. The system's words name the file or not; they are for the log. */
  #failure({ op, kind }: ChunkOp, error: unknown): ChunkResult {
    if (!(error instanceof Error)) throw error;
    this.#counts.failed++;
    const reason = isFull(error) ? "no-space" : "disk";
    if (!(error instanceof Closed) && this.#repeated.take(`${kind} ${reason}`) !== null) {
      this.#options.warn(
        `Cannot ${kind} fragments of objects in "${this.#options.folder}": ${error.message}`,
      );
    }
    return { kind: "failed", op, reason, message: error.message };
  }

  #write({ op, fragment, bytes }: OpOf<"write">): Promise<ChunkResult> {
    const { partition } = fragment, path = this.#pathOf(fragment), beside = path + UNFINISHED;
    this.#pending.set(path, (this.#pending.get(path) ?? 0) + 1);
    return this.#inOrder(path, () =>
      this.#writes.run(async () => {
        try {
          this.#begin();
          await this.#folders.within(partition, async () => {
            await this.#files.write(beside, bytes);
            await this.#files.rename(beside, path);
          });
        } catch (error) {
          await this.#files.remove(beside).catch(() => {});
          throw error;
        } finally {
          this.#settled(path);
        }
        this.#listings.added(partition, fileName(fragment));
        this.#counts.written++;
        this.#options.wrote?.(bytes.length);
        return { kind: "written", op };
      }));
  }

  #settled(path: string): void {
    const left = this.#pending.get(path)! - 1;
    if (left > 0) this.#pending.set(path, left);
    else this.#pending.delete(path);
  }

  async #read({ op, fragment, rare }: OpOf<"read">): Promise<ChunkResult> {
    this.#begin();
    const path = this.#pathOf(fragment);
    // Whoever writes asks first, and its name is about to be looked up in any case.
    if (rare === true && !this.#files.exists(path)) return { kind: "read", op, bytes: null };
    const bytes = await this.#files.read(path, LIMITS.fragmentBytesMax);
    this.#counts.read++;
    return { kind: "read", op, bytes };
  }

  /** What is removed may be back after a loss of power: whoever asked will find it again. */
  async #remove({ op, fragments }: OpOf<"remove">): Promise<ChunkResult> {
    const removals = await Promise.allSettled(fragments.map((fragment) => {
      const path = this.#pathOf(fragment);
      return this.#inOrder(path, () =>
        this.#removals.run(async () => {
          this.#begin();
          if (await this.#files.remove(path)) this.#counts.removed++;
        }));
    }));
    const failed = removals.find((removal) => removal.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    return { kind: "removed", op };
  }

  /** A page is empty only at the end, or whoever asks could not go on. */
  async #list({ op, partition, after, max }: OpOf<"list">): Promise<ChunkResult> {
    const fragments: ListedFragment[] = [];
    let done = false;
    for (let from = after === null ? "" : fileName(after); fragments.length === 0 && !done;) {
      this.#begin();
      const page = await this.#listings.page(partition, from, max);
      fragments.push(...await this.#looked(partition, page.names));
      done = page.done;
      from = page.names.at(-1) ?? from;
    }
    if (after === null && done && fragments.length === 0) this.#folders.removeEmpty(partition);
    return { kind: "listed", op, fragments, done };
  }

  async #looked(partition: PartitionId, names: readonly string[]): Promise<ListedFragment[]> {
    const listed: ListedFragment[] = [], folder = this.#folders.pathOf(partition);
    for (let at = 0; at < names.length; at += STATS) {
      this.#begin();
      const some = names.slice(at, at + STATS);
      const found = await Promise.all(some.map((name) => this.#files.stat(join(folder, name))));
      const nowMs = Date.now();
      for (const [i, stat] of found.entries()) {
        const fragment = parseFileName(partition, some[i]!);
        if (stat === null || fragment === null || this.#pending.has(join(folder, some[i]!))) continue; // B4
        const ageMs = Math.max(0, Math.floor(nowMs - stat.modifiedMs));
        listed.push({ fragment, bytes: stat.bytes, ageMs });
      }
    }
    return listed;
  }

  async #partitions({ op }: OpOf<"partitions">): Promise<ChunkResult> {
    const partitions: PartitionId[] = [];
    for (const { name, isFile } of await this.#files.list(this.#options.folder) ?? []) {
      this.#begin();
      const partition = isFile ? null : parseFolderName(name);
      if (partition === null) this.#foreign(join(this.#options.folder, name));
      else if (await this.#listings.any(partition)) partitions.push(partition);
      else this.#folders.removeEmpty(partition);
    }
    return { kind: "partitions", op, partitions: partitions.sort((a, b) => a - b) };
  }

  /** What else lies in a partition's folder. */
  async #clear(partition: PartitionId, entries: readonly DirectoryEntry[]): Promise<void> {
    const folder = this.#folders.pathOf(partition);
    for (const { name, isFile } of entries) {
      const path = join(folder, name);
      if (!isFile || !isUnfinished(partition, name)) this.#foreign(path);
      else if (!this.#pending.has(path.slice(0, -UNFINISHED.length))) {
        const stat = await this.#files.stat(path);
        if (stat !== null && Date.now() - stat.modifiedMs > UNFINISHED_MS_MAX) {
          await this.#files.remove(path);
        }
      }
    }
  }

  #foreign(path: string): void {
    if (this.#foreignTold) return;
    this.#foreignTold = true;
    this.#options.warn(`Leaves alone what is no fragment of an object: "${path}". Move it away`);
  }

  /** B6 */
  #begin(): void {
    if (this.#closed) throw new Closed();
  }

  #pathOf(fragment: FragmentId): string {
    return join(this.#folders.pathOf(fragment.partition), fileName(fragment));
  }

  /** B2 */
  #inOrder<T>(path: string, act: () => Promise<T>): Promise<T> {
    const before = this.#last.get(path);
    const mine = before === undefined ? act() : before.then(act, act);
    this.#last.set(path, mine);
    const forget = () => {
      if (this.#last.get(path) === mine) this.#last.delete(path);
    };
    mine.then(forget, forget);
    return mine;
  }
}

class Closed extends Error {
  override readonly name = "Closed";
  constructor() {
    super("The node is being closed");
  }
}
