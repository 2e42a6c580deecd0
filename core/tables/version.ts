/**
 * Which files the tables consist of. Level 0 holds what was flushed, its files overlap and newer ones hide older ones.
 * From level 1 on the files of a level do not overlap, and each level hides those below it.
 */
import { compareBytes } from "../base/bytes.ts";
import { invariant } from "../base/invariant.ts";

/** A live file. All that is needed to read it, but its contents. */
export interface FileInfo {
  /** Also its name. */
  readonly number: number;
  readonly level: number;
  /** Within level 0 the higher is newer. A file that is written again keeps it. */
  readonly age: number;
  /** Its key generation; 0: none. */
  readonly generation: number;
  readonly salt: Uint8Array;
  readonly bytes: number;
  readonly rows: number;
  /** Deleted spans in it. */
  readonly spans: number;
  /** Of its data blocks together, where the tail begins. */
  readonly tailAt: number;
  /** All its rows and spans lie in first ≤ key < end. */
  readonly first: Uint8Array;
  readonly end: Uint8Array;
}

export interface Change {
  readonly added: readonly FileInfo[];
  readonly removed: readonly number[];
}

export const LEVELS = 7;

/** Never changes: a change makes another version. */
export class Version {
  /** Level 0 from the newest to the oldest, other levels by key. */
  readonly levels: readonly (readonly FileInfo[])[];
  /** Of each level the files with deleted spans, in the same order. */
  readonly spanned: readonly (readonly FileInfo[])[];
  readonly #numbers: ReadonlySet<number>;

  constructor(files: Iterable<FileInfo>) {
    const levels: FileInfo[][] = Array.from({ length: LEVELS }, () => []);
    const numbers = new Set<number>();
    for (const file of files) {
      levels[file.level]!.push(file);
      invariant(!numbers.has(file.number), "A file is live once");
      numbers.add(file.number);
    }
    levels[0]!.sort((a, b) => b.age - a.age || b.number - a.number);
    for (const level of levels.slice(1)) level.sort((a, b) => compareBytes(a.first, b.first));
    this.levels = levels;
    this.spanned = levels.map((level) => level.filter(({ spans }) => spans > 0));
    this.#numbers = numbers;
  }

  has(number: number): boolean {
    return this.#numbers.has(number);
  }

  *files(): Generator<FileInfo> {
    for (const level of this.levels) yield* level;
  }

  with({ added, removed }: Change): Version {
    const gone = new Set(removed);
    return new Version([...this.files()].filter(({ number }) => !gone.has(number)).concat(added));
  }
}

/** In files of a level from 1 on, sorted by key: the index of the first that ends after `key`. */
export function firstEndingAfter(files: readonly FileInfo[], key: Uint8Array): number {
  let low = 0, high = files.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(files[middle]!.end, key) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function covers({ first, end }: FileInfo, key: Uint8Array): boolean {
  return compareBytes(first, key) <= 0 && compareBytes(key, end) < 0;
}

export function overlaps(file: FileInfo, first: Uint8Array, end: Uint8Array): boolean {
  return compareBytes(file.first, end) < 0 && compareBytes(first, file.end) < 0;
}

/** The least key after `key`. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
