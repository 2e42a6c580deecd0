import type { Vault } from "../base/vault.ts";
import type { BlockCache } from "./block_cache.ts";
import type { TableFiles } from "./files.ts";
import { SortedFileReader } from "./sorted_file_reader.ts";
import type { FileInfo } from "./version.ts";

export interface ReadersOptions {
  readonly files: TableFiles;
  readonly vault: Vault;
  readonly cache: BlockCache | null;
  /** Files open at a time, each with its index and its filter in memory. */
  readonly openMax: number;
}

/** Opens files when they are read, and closes those that were not for longest. */
export class Readers {
  readonly #options: ReadersOptions;
  #vault: Vault;
  readonly #open = new Map<number, SortedFileReader>();
  #uses = 0;

  constructor(options: ReadersOptions) {
    this.#options = options;
    this.#vault = options.vault;
  }

  /** Of what is opened from now on. */
  set vault(vault: Vault) {
    this.#vault = vault;
  }

  /** Good until the next call: then it may be closed. */
  reader(info: FileInfo): SortedFileReader {
    let reader = this.#open.get(info.number);
    if (reader === undefined) {
      const { openMax } = this.#options;
      if (this.#open.size >= openMax) this.#closeOldest(Math.ceil(openMax / 8));
      reader = new SortedFileReader({ ...this.#options, vault: this.#vault }, info);
      this.#open.set(info.number, reader);
    }
    reader.lastUsed = ++this.#uses;
    return reader;
  }

  forget(numbers: Iterable<number>): void {
    for (const number of numbers) {
      this.#open.get(number)?.close();
      this.#open.delete(number);
    }
  }

  close(): void {
    this.forget([...this.#open.keys()]);
  }

  #closeOldest(count: number): void {
    const oldest = [...this.#open.values()].sort((a, b) => a.lastUsed - b.lastUsed).slice(0, count);
    this.forget(oldest.map(({ info }) => info.number));
  }
}
