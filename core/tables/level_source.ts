import { FileSource, type SortedFileReader } from "./sorted_file_reader.ts";
import type { Source } from "./source.ts";
import { type Span, spanOver } from "./span.ts";
import { covers, type FileInfo, firstEndingAfter } from "./version.ts";

/** The files of a level from 1 on, one after the other. A file is opened when its turn comes. */
export class LevelSource implements Source {
  readonly #files: readonly FileInfo[];
  readonly #spanned: readonly FileInfo[];
  readonly #reverse: boolean;
  readonly #open: (info: FileInfo) => SortedFileReader;
  #at: number;
  #source: Source | null = null;

  /** `files` in the order of their keys; `spanned`: those with deleted spans. `from` as FileSource has it. */
  constructor(
    { files, spanned, open }: {
      files: readonly FileInfo[];
      spanned: readonly FileInfo[];
      open: (info: FileInfo) => SortedFileReader;
    },
    { reverse, from }: { reverse: boolean; from: Uint8Array | null },
  ) {
    this.#files = files;
    this.#spanned = spanned;
    this.#open = open;
    this.#reverse = reverse;
    this.#at = reverse ? files.length : -1;
    if (from === null) this.#advance();
    else this.seek(from);
  }

  get key(): Uint8Array | null {
    return this.#source === null ? null : this.#source.key;
  }

  value(): Uint8Array | null {
    return this.#source!.value();
  }

  next(): void {
    this.#source!.next();
    if (this.#source!.key === null) this.#advance();
  }

  seek(to: Uint8Array): void {
    const index = firstEndingAfter(this.#files, to);
    // In reverse a file that begins at `to` or above it has nothing below: its source is empty, and the one before follows.
    this.#enter(this.#reverse && index === this.#files.length ? index - 1 : index, to);
    if (this.key === null) this.#advance();
  }

  spanOver(key: Uint8Array): Span | null {
    if (this.#spanned.length === 0) return null;
    const file = this.#spanned[firstEndingAfter(this.#spanned, key)];
    if (file === undefined || !covers(file, key)) return null;
    return spanOver(this.#open(file).spans, key);
  }

  /** To the next file that has a row. */
  #advance(): void {
    while (this.key === null) {
      const next = this.#reverse ? this.#at - 1 : this.#at + 1;
      this.#enter(next, null);
      if (this.#source === null) return;
    }
  }

  #enter(at: number, from: Uint8Array | null): void {
    this.#at = at;
    const file = this.#files[at];
    this.#source = file === undefined
      ? null
      : new FileSource(() => this.#open(file), { reverse: this.#reverse, from });
  }
}
