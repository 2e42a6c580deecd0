/** Which fragments lie in a partition's folder, page by page, without reading the folder for each page. */
import type { PartitionId } from "../../../core/base/ids.ts";
import { parseFileName } from "./names.ts";

export interface DirectoryEntry {
  readonly name: string;
  readonly isFile: boolean;
}

/** Names kept of all folders together, and of one. About 100 bytes each. */
const NAMES_MAX = 262_144;
const WINDOW_NAMES_MAX = 131_072;
/** Who begins at the beginning gets what is there now, unless the folder was read just before. */
const FRESH_MS = 1000;

export interface ListingsOptions {
  /** Everything in a partition's folder; none where there is no folder. */
  readonly read: (partition: PartitionId) => Promise<readonly DirectoryEntry[]>;
  /** What was found beside fragments. */
  readonly others: (partition: PartitionId, entries: readonly DirectoryEntry[]) => Promise<void>;
  /** Its file has its name and is not durable yet: it is not there. */
  readonly isPending: (partition: PartitionId, name: string) => boolean;
  readonly clock?: () => number;
  readonly namesMax?: number;
  readonly windowNamesMax?: number;
}

/** A stretch of a folder's names, sorted. */
interface Window {
  names: readonly string[];
  /** It holds all names after `from` ("": from the first) up to and with `upTo` (null: to the last). */
  readonly from: string;
  readonly upTo: string | null;
  readonly readAt: number;
  /** Written since, not sorted in yet. What was removed since is still among the names. */
  added: string[];
}

/**
 * I1. A page has every fragment of its stretch that was durable when the listing began at the first, and is not removed;
 *     it may have some that are gone: whoever asks looks at the files all the same.
 * I2. No more than `namesMax` names are kept, of whatever folders; of a larger folder only a window at a time.
 */
export class Listings {
  readonly #options: ListingsOptions;
  readonly #clock: () => number;
  readonly #namesMax: number;
  readonly #windowMax: number;
  /** The one used last is the last. */
  readonly #windows = new Map<PartitionId, Window>();
  #names = 0;
  /** Written while a folder is being read. */
  readonly #reading = new Map<PartitionId, string[]>();

  constructor(options: ListingsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.#namesMax = options.namesMax ?? NAMES_MAX;
    this.#windowMax = options.windowNamesMax ?? WINDOW_NAMES_MAX;
  }

  get names(): number {
    return this.#names;
  }

  /** Up to `max` names after `after` ("": from the first). One call at a time. */
  async page(
    partition: PartitionId,
    after: string,
    max: number,
  ): Promise<{ names: readonly string[]; done: boolean }> {
    const window = this.#usable(partition, after) ?? await this.#read(partition, after);
    this.#sortIn(window);
    const from = indexAfter(window.names, after), names = window.names.slice(from, from + max);
    return { names, done: window.upTo === null && from + max >= window.names.length };
  }

  /** Whether there is any fragment; looks into the folder. */
  async any(partition: PartitionId): Promise<boolean> {
    const window = await this.#read(partition, "");
    return window.names.length + window.added.length > 0;
  }

  /** It is durable. */
  added(partition: PartitionId, name: string): void {
    this.#reading.get(partition)?.push(name);
    const window = this.#windows.get(partition);
    if (window === undefined || name <= window.from) return;
    if (window.upTo !== null && name > window.upTo) return;
    window.added.push(name);
    this.#names++;
    if (window.added.length > this.#windowMax) this.#drop(partition);
  }

  #usable(partition: PartitionId, after: string): Window | null {
    const window = this.#windows.get(partition);
    if (window === undefined) return null;
    if (after === "" && this.#clock() - window.readAt > FRESH_MS) return null;
    if (after < window.from || (window.upTo !== null && after >= window.upTo)) return null;
    this.#windows.delete(partition);
    this.#windows.set(partition, window);
    return window;
  }

  async #read(partition: PartitionId, from: string): Promise<Window> {
    const { read, others, isPending } = this.#options, readAt = this.#clock();
    this.#drop(partition);
    const during: string[] = [];
    this.#reading.set(partition, during);
    try {
      const strange: DirectoryEntry[] = [], names: string[] = [];
      let upTo: string | null = null;
      for (const entry of await read(partition)) {
        if (!entry.isFile || parseFileName(partition, entry.name) === null) strange.push(entry);
        else if (entry.name > from && !isPending(partition, entry.name)) {
          if (upTo !== null && entry.name > upTo) continue;
          names.push(entry.name);
          if (names.length >= 2 * this.#windowMax) upTo = shorten(names, this.#windowMax);
        }
      }
      if (upTo !== null || names.length > this.#windowMax) upTo = shorten(names, this.#windowMax) ?? upTo;
      else names.sort();
      await others(partition, strange);
      const added = during.filter((name) => name > from && (upTo === null || name <= upTo));
      const window: Window = { names, from, upTo, readAt, added };
      this.#windows.set(partition, window);
      this.#names += names.length + added.length;
      for (const [oldest] of this.#windows) {
        if (this.#names <= this.#namesMax || oldest === partition) break;
        this.#drop(oldest);
      }
      return window;
    } finally {
      this.#reading.delete(partition);
    }
  }

  #drop(partition: PartitionId): void {
    const window = this.#windows.get(partition);
    if (window === undefined) return;
    this.#windows.delete(partition);
    this.#names -= window.names.length + window.added.length;
  }

  #sortIn(window: Window): void {
    if (window.added.length === 0) return;
    const before = window.names.length + window.added.length;
    window.names = [...new Set([...window.names, ...window.added])].sort();
    window.added = [];
    this.#names += window.names.length - before;
  }
}

/** Sorts, leaves the first `count` and returns the last of these; null where there are no more. */
function shorten(names: string[], count: number): string | null {
  names.sort();
  if (names.length <= count) return null;
  names.length = count;
  return names[count - 1]!;
}

/** The index of the first name after `after`. */
function indexAfter(names: readonly string[], after: string): number {
  let low = 0, high = names.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (names[middle]! <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
