/**
 * A file of sorted rows, written once. The host's word for it is its number, its name 00000012.tbl.
 *
 *     file    header | block … | tail
 *     header  magic | u32 format | u32 generation | u48 number | salt of 32 bytes | u32 CRC-32 of what is before it
 *     tail    spans | index | filter, sealed as one
 *     spans   u32 count | start and end of each
 *     index   u32 count | u32 sealed length and first key of each block
 *     filter  see filter.ts
 *
 * F1. Keys ascend, each is there once. A row is newer than every span of its file.
 * F2. Blocks are sealed each on its own, numbered from 0. Only the header is clear; the manifest repeats what it says.
 */
import { compareBytes, EMPTY_BYTES, utf8Encode, writeUint32 } from "../base/bytes.ts";
import { crc32 } from "../base/hash.ts";
import { invariant } from "../base/invariant.ts";
import { SALT_BYTES, type Vault } from "../base/vault.ts";
import { BlockBuilder } from "./block.ts";
import { TABLES_VERSION } from "./errors.ts";
import type { TableFiles, WritableFile } from "./files.ts";
import { buildFilter, filterHash } from "./filter.ts";
import { Packer } from "./packing.ts";
import { PART, Seal, type SealedFile } from "./seal.ts";
import type { Span } from "./span.ts";
import { type FileInfo, successor } from "./version.ts";

const MAGIC = utf8Encode("SPOPTBL\n");
export const HEADER_BYTES = 58;
const CHECKSUM_AT = HEADER_BYTES - 4;
/** Appended with one call. */
const WRITE_BYTES = 64 * 1024;

export function fileName(number: number): string {
  return `${String(number).padStart(8, "0")}.tbl`;
}

/** null: no name of a sorted file. */
export function fileNumber(name: string): number | null {
  const match = /^(\d{8,15})\.tbl$/.exec(name);
  return match === null ? null : Number(match[1]);
}

export function encodeHeader(
  { number, generation, salt }: SealedFile & { readonly number: number },
): Uint8Array {
  const packer = new Packer();
  packer.raw(MAGIC);
  packer.uint32(TABLES_VERSION);
  packer.uint32(generation);
  packer.uint48(number);
  invariant(salt.length === SALT_BYTES, "K1: a file's salt has its full length");
  packer.raw(salt);
  packer.uint32(0);
  const header = packer.finish();
  writeUint32(header, CHECKSUM_AT, crc32(header.subarray(0, CHECKSUM_AT)));
  return header;
}

export interface SortedFileOptions {
  readonly files: TableFiles;
  readonly vault: Vault;
  readonly number: number;
  readonly level: number;
  readonly age: number;
  /** A block is closed once it is as long. */
  readonly blockBytes: number;
}

/** A finished file, whose bytes may be in memory alone until `handle` is synced. */
export interface WrittenFile {
  readonly info: FileInfo;
  readonly handle: WritableFile;
}

export class SortedFileWriter {
  readonly #options: SortedFileOptions;
  readonly #sealed: SealedFile;
  readonly #seal: Seal;
  readonly #handle: WritableFile;
  readonly #block = new BlockBuilder();
  readonly #index = new Packer();
  #blocks = 0;
  #blockFirst = EMPTY_BYTES;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #bytes = 0;
  #hashes = new Uint32Array(1024);
  #rows = 0;
  #first: Uint8Array | null = null;
  #last: Uint8Array | null = null;

  constructor(options: SortedFileOptions) {
    const { files, vault, number } = options;
    this.#options = options;
    this.#sealed = { generation: vault.current, salt: files.salt() };
    this.#seal = new Seal(vault, this.#sealed);
    this.#handle = files.create(fileName(number));
    this.#append(encodeHeader({ number, ...this.#sealed }));
  }

  /** About its length so far. */
  get bytes(): number {
    return this.#bytes + this.#block.bytes;
  }

  /** `key` follows all that were added (F1). */
  add(key: Uint8Array, value: Uint8Array | null): void {
    if (this.#last !== null) invariant(compareBytes(this.#last, key) < 0, "F1: keys ascend");
    // A view would keep the whole block that the key was read from.
    if (this.#block.rows === 0) {
      const copy = key.slice();
      this.#first ??= copy;
      this.#blockFirst = copy;
    }
    this.#last = key;
    if (this.#rows === this.#hashes.length) {
      const grown = new Uint32Array(this.#rows * 2);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes[this.#rows++] = filterHash(key);
    this.#block.add(key, value);
    if (this.#block.bytes >= this.#options.blockBytes) this.#endBlock();
  }

  /** `spans`: a union. Null where there is nothing in it: then there is no file. */
  finish(spans: readonly Span[]): WrittenFile | null {
    if (this.#block.rows > 0) this.#endBlock();
    if (this.#rows === 0 && spans.length === 0) {
      this.discard();
      return null;
    }
    const tailAt = this.#bytes;
    this.#append(this.#seal.seal(PART.tail, 0, this.#tail(spans)));
    this.#write();
    const { number, level, age } = this.#options;
    const range = this.#range(spans);
    const { generation, salt } = this.#sealed;
    const info = { number, level, age, generation, salt, bytes: this.#bytes, rows: this.#rows };
    return { info: { ...info, spans: spans.length, tailAt, ...range }, handle: this.#handle };
  }

  /** It is not wanted after all. */
  discard(): void {
    this.#handle.close();
    this.#options.files.remove(fileName(this.#options.number));
  }

  #range(spans: readonly Span[]): { first: Uint8Array; end: Uint8Array } {
    let first = this.#first, end = this.#last === null ? null : successor(this.#last);
    if (spans.length > 0) {
      const { start } = spans[0]!, { end: spanEnd } = spans[spans.length - 1]!;
      if (first === null || compareBytes(start, first) < 0) first = start;
      if (end === null || compareBytes(end, spanEnd) < 0) end = spanEnd;
    }
    return { first: first!.slice(), end: end!.slice() };
  }

  #tail(spans: readonly Span[]): Uint8Array {
    const tail = new Packer();
    tail.uint32(spans.length);
    for (const { start, end } of spans) {
      tail.bytes(start);
      tail.bytes(end);
    }
    tail.uint32(this.#blocks);
    tail.raw(this.#index.finish());
    tail.raw(buildFilter(this.#hashes.subarray(0, this.#rows)));
    return tail.finish();
  }

  #endBlock(): void {
    const sealed = this.#seal.seal(PART.block, this.#blocks++, this.#block.finish());
    this.#index.uint32(sealed.length);
    this.#index.bytes(this.#blockFirst);
    this.#append(sealed);
  }

  #append(bytes: Uint8Array): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#bytes += bytes.length;
    if (this.#pendingBytes >= WRITE_BYTES) this.#write();
  }

  #write(): void {
    const together = new Uint8Array(this.#pendingBytes);
    let at = 0;
    for (const bytes of this.#pending) {
      together.set(bytes, at);
      at += bytes.length;
    }
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#handle.append(together);
  }
}
