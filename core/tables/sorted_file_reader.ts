/** Reads one sorted file (sorted_file.ts). Whatever is not as it was written throws TablesCorruptError. */
import { equalBytes } from "../base/bytes.ts";
import type { Vault } from "../base/vault.ts";
import { compareWithin, findInBlock, isBlock, keyAt, lowerBound, rowsOf, valueAt } from "./block.ts";
import type { BlockCache, CachedBlock } from "./block_cache.ts";
import { TablesCorruptError } from "./errors.ts";
import type { ReadableFile, TableFiles } from "./files.ts";
import { mayContain } from "./filter.ts";
import { Unpacker } from "./packing.ts";
import { PART, Seal } from "./seal.ts";
import { encodeHeader, fileName, HEADER_BYTES } from "./sorted_file.ts";
import type { Source } from "./source.ts";
import { type Span, spanOver } from "./span.ts";
import type { FileInfo } from "./version.ts";

/** A reader without a cache reads ahead as much. */
const AHEAD_BYTES = 256 * 1024;

interface Tail {
  readonly spans: readonly Span[];
  /** Where each block begins, and the last one ends. */
  readonly offsets: Float64Array;
  /** The bytes that the first keys of blocks lie in, and where each begins and ends. */
  readonly bytes: Uint8Array;
  readonly keys: Uint32Array;
  readonly filter: Uint8Array;
}

export class SortedFileReader {
  readonly info: FileInfo;
  readonly #path: string;
  readonly #file: ReadableFile;
  readonly #seal: Seal;
  readonly #tail: Tail;
  /** null: for who reads everything once, from the beginning. */
  readonly #cache: BlockCache | null;
  readonly #blocks: (CachedBlock | undefined)[] = [];
  #ahead = new Uint8Array(0);
  #aheadAt = 0;
  /** When it was used last, as its keeper counts. */
  lastUsed = 0;

  /** @throws {TablesCorruptError | UnknownKeyError} */
  constructor(
    { files, vault, cache }: { files: TableFiles; vault: Vault; cache: BlockCache | null },
    info: FileInfo,
  ) {
    const name = fileName(info.number);
    this.info = info;
    this.#path = files.describe(name);
    this.#cache = cache;
    this.#seal = new Seal(vault, info);
    const file = files.open(name);
    if (file === null) throw new TablesCorruptError(this.#path, "it is missing");
    this.#file = file;
    try {
      if (!equalBytes(this.#read(0, HEADER_BYTES), encodeHeader(info))) {
        throw new TablesCorruptError(this.#path, "its header is not the one that the manifest names");
      }
      if (file.size() !== info.bytes) {
        throw new TablesCorruptError(this.#path, `it has ${file.size()} bytes and not ${info.bytes}`);
      }
      this.#tail = this.#readTail();
    } catch (error) {
      file.close();
      throw error;
    }
  }

  get spans(): readonly Span[] {
    return this.#tail.spans;
  }
  get blocks(): number {
    return this.#tail.offsets.length - 1;
  }

  /** The value of `key`, whose filterHash() is `hash`; null: this file deletes it; undefined: look below. */
  get(key: Uint8Array, hash: number): Uint8Array | null | undefined {
    if (this.blocks > 0 && mayContain(this.#tail.filter, hash)) {
      const block = this.blockFor(key);
      const found = block < 0 ? undefined : findInBlock(this.block(block), key);
      if (found !== undefined) return found;
    }
    return this.#tail.spans.length > 0 && spanOver(this.#tail.spans, key) !== null ? null : undefined;
  }

  /** The last block whose first key is not above `key`; -1: none. */
  blockFor(key: Uint8Array): number {
    const { bytes, keys } = this.#tail;
    let low = 0, high = this.blocks;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareWithin(bytes, keys[middle * 2]!, keys[middle * 2 + 1]!, key) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** The rows of a block. */
  block(index: number): Uint8Array {
    const cached = this.#blocks[index];
    if (cached !== undefined) {
      cached.used = true;
      return cached.block;
    }
    const { offsets } = this.#tail, at = offsets[index]!;
    const sealed = this.#read(at, offsets[index + 1]! - at);
    const block = this.#seal.open(PART.block, index, sealed);
    if (block === null) throw this.#wrong(`block ${index}`, at);
    if (!isBlock(block)) throw new TablesCorruptError(this.#path, `block ${index} at offset ${at} is none`);
    this.#cache?.add(this.#blocks, index, block);
    return block;
  }

  close(): void {
    this.#cache?.forget(this.#blocks);
    this.#file.close();
  }

  #readTail(): Tail {
    const { tailAt, bytes: length } = this.info;
    const bytes = this.#seal.open(PART.tail, 0, this.#read(tailAt, length - tailAt));
    if (bytes === null) throw this.#wrong("its index", tailAt);
    try {
      const tail = decodeTail(bytes);
      // Before anything is read where it says, or as much as it says.
      if (tail.offsets.at(-1) !== tailAt) throw new RangeError("Its blocks do not end where it begins");
      return tail;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new TablesCorruptError(this.#path, `its index: ${error.message}`, { cause: error });
    }
  }

  #read(at: number, length: number): Uint8Array {
    if (this.#cache === null) return this.#readAhead(at, length);
    if (scratch.length < length) scratch = new Uint8Array(length * 2);
    const into = scratch.subarray(0, length);
    this.#expect(at, length, this.#file.read(at, into));
    return into;
  }

  #readAhead(at: number, length: number): Uint8Array {
    if (at < this.#aheadAt || at + length > this.#aheadAt + this.#ahead.length) {
      const bytes = new Uint8Array(Math.max(length, Math.min(AHEAD_BYTES, this.info.bytes - at)));
      this.#expect(at, length, this.#file.read(at, bytes));
      this.#ahead = bytes;
      this.#aheadAt = at;
    }
    return this.#ahead.subarray(at - this.#aheadAt, at - this.#aheadAt + length);
  }

  #expect(at: number, length: number, found: number): void {
    if (found < length) throw new TablesCorruptError(this.#path, `it ends before offset ${at + length}`);
  }

  #wrong(what: string, at: number): TablesCorruptError {
    const proof = this.info.generation === 0 ? "checksum" : "seal";
    return new TablesCorruptError(this.#path, `the ${proof} of ${what} at offset ${at} is wrong`);
  }
}

function decodeTail(bytes: Uint8Array): Tail {
  const from = new Unpacker(bytes);
  const spans: Span[] = [];
  for (let left = from.count(8); left > 0; left--) spans.push({ start: from.bytes(), end: from.bytes() });
  const blocks = from.count(8);
  const offsets = new Float64Array(blocks + 1), keys = new Uint32Array(blocks * 2);
  let offset = HEADER_BYTES;
  for (let i = 0; i < blocks; i++) {
    offsets[i] = offset;
    offset += from.uint32();
    const { length } = from.bytes();
    keys[i * 2] = from.at - length;
    keys[i * 2 + 1] = from.at;
  }
  offsets[blocks] = offset;
  return { spans, offsets, bytes, keys, filter: bytes.subarray(from.at) };
}

/** For sealed bytes, which are dead as soon as they are opened. */
let scratch = new Uint8Array(64 * 1024);

/** The rows of one file in either direction. */
export class FileSource implements Source {
  readonly #open: () => SortedFileReader;
  readonly #blocks: number;
  readonly #reverse: boolean;
  #block = -1;
  #rows: Uint8Array | null = null;
  #row = 0;
  #count = 0;
  key: Uint8Array | null = null;

  /**
   * Stands at the first row in its direction; `from`: not before it, or in reverse below it. `open` is called again for
   * each block: between two of them the reader may have been closed.
   */
  constructor(
    open: () => SortedFileReader,
    { reverse, from }: { reverse: boolean; from: Uint8Array | null },
  ) {
    this.#open = open;
    this.#blocks = open().blocks;
    this.#reverse = reverse;
    if (from !== null) this.seek(from);
    else if (reverse) this.#enter(this.#blocks - 1, Infinity);
    else this.#enter(0, 0);
  }

  value(): Uint8Array | null {
    return valueAt(this.#rows!, this.#row);
  }

  next(): void {
    const row = this.#reverse ? this.#row - 1 : this.#row + 1;
    if (row >= 0 && row < this.#count) {
      this.#row = row;
      this.key = keyAt(this.#rows!, row);
    } else this.#enter(this.#reverse ? this.#block - 1 : this.#block + 1, this.#reverse ? Infinity : 0);
  }

  seek(to: Uint8Array): void {
    const file = this.#open(), block = file.blockFor(to);
    if (block < 0) return this.#reverse ? this.#end() : this.#enter(0, 0);
    const rows = file.block(block), bound = lowerBound(rows, to);
    if (this.#reverse) this.#enter(bound === 0 ? block - 1 : block, bound === 0 ? Infinity : bound - 1);
    else if (bound === rowsOf(rows)) this.#enter(block + 1, 0);
    else this.#enter(block, bound);
  }

  spanOver(key: Uint8Array): Span | null {
    return spanOver(this.#open().spans, key);
  }

  #enter(block: number, row: number): void {
    if (block < 0 || block >= this.#blocks) return this.#end();
    this.#block = block;
    this.#rows = this.#open().block(block);
    this.#count = rowsOf(this.#rows);
    this.#row = Math.min(row, this.#count - 1);
    this.key = keyAt(this.#rows, this.#row);
  }

  #end(): void {
    this.#rows = null;
    this.key = null;
  }
}
