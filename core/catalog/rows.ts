/**
 * How one partition's state lies in the tables.
 *
 *     partition u16, generation u32, tag u8, rest          all integers big-endian
 *     0           ·  0             · 0                     the generation in force (absent: 1)
 *     meta                                                 position applied, sum of all row hashes
 *     value       key                                      the key's newest record
 *     history     length of key u16, key, index u64        earlier records
 *     lease       name                                     how long, its generation
 *     lease-key   length of name u16, name, key            the keys that go with it
 *     session     client (16 bytes)                        what it acknowledged, answers kept for retries
 *     answer      client (16 bytes), sequence u64          such answers that are long
 *
 * Every row but meta begins with a CRC of its content and key. The sum of these (spread, modulo 2^32) is kept as rows
 * come and go: equal states have equal sums whatever led to them, and a snapshot proves itself whole on arrival.
 *
 * A snapshot is received into the next generation and takes effect when the first row says so. All of a step is one
 * atomic write, so a crash leaves either state whole; what a broken-off transfer left behind is removed at the start.
 */
import { crc32, fmix32 } from "../base/hash.ts";
import { utf8Decode, utf8Encode } from "../base/bytes.ts";
import type { LogIndex, PartitionId, Term } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import type { Row, Tables, TablesReader } from "../base/ports.ts";
import { Slab } from "./slab.ts";

export type Tag = 1 | 2 | 3 | 4 | 5 | 6 | 7;
export const META: Tag = 1, VALUE: Tag = 2, HISTORY: Tag = 3, LEASE: Tag = 4, LEASE_KEY: Tag = 5;
export const SESSION: Tag = 6, ANSWER: Tag = 7;

/** Partition and generation. The part of a row's key that differs between replicas. */
export const SCOPE_BYTES = 6;
/** Scope and tag. */
export const HEAD_BYTES = 7;
/** The hash that begins a row's value. */
export const SEAL_BYTES = 4;

const FORMAT = 1;
const META_BYTES = 1 + 8 + 8 + 4;

/** The rows of one partition in the generation in force, and their sum. */
export class Rows {
  readonly tables: Tables;
  /** For rows and their keys. */
  readonly slab = new Slab();
  /** For keys that are only looked up. */
  readonly #passing = new Slab();
  readonly #partition: PartitionId;
  #generation = 1;
  /** The key of the row with the position, in the generation in force. */
  #metaKey: Uint8Array;
  /** The sum of the hashes of all rows but meta. */
  sum = 0;
  index = 0 as LogIndex;
  term = 0 as Term;

  constructor(tables: Tables, partition: PartitionId) {
    this.tables = tables;
    this.#partition = partition;
    const pointer = tables.get(pointerKey(partition));
    if (pointer !== null) this.#generation = readUint32(pointer, 0);
    this.#metaKey = this.#newMetaKey();
    this.#removeOthers();
    const meta = tables.get(this.#metaKey);
    if (meta !== null) this.#readMeta(meta);
  }

  /** The key of a row whose rest is text, to look it up. */
  key(tag: Tag, text: string): Uint8Array {
    return this.#textKey(tag, text, this.#passing);
  }

  /** As key(), for a row that is to be written. */
  newKey(tag: Tag, text: string): Uint8Array {
    return this.#textKey(tag, text, this.slab);
  }

  #textKey(tag: Tag, text: string, slab: Slab): Uint8Array {
    const length = text.length;
    const key = slab.take(HEAD_BYTES + length);
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) return this.keyOf(tag, utf8Encode(text));
      key[HEAD_BYTES + i] = code;
    }
    this.#writeHead(key, tag);
    return key;
  }

  /** The key of a row whose rest is these bytes. */
  keyOf(tag: Tag, rest: Uint8Array): Uint8Array {
    const key = new Uint8Array(HEAD_BYTES + rest.length);
    this.#writeHead(key, tag);
    key.set(rest, HEAD_BYTES);
    return key;
  }

  /** The key of a row whose rest begins with text of any length, followed by `tail` bytes left at zero. */
  nestedKey(tag: Tag, text: string, tail: number): Uint8Array {
    const bytes = utf8Encode(text);
    const key = new Uint8Array(HEAD_BYTES + 2 + bytes.length + tail);
    this.#writeHead(key, tag);
    key[HEAD_BYTES] = bytes.length >> 8;
    key[HEAD_BYTES + 1] = bytes.length & 0xff;
    key.set(bytes, HEAD_BYTES + 2);
    return key;
  }

  /** The first key past all rows of this tag. */
  endOf(tag: Tag): Uint8Array {
    const key = this.#passing.take(HEAD_BYTES);
    this.#writeHead(key, tag + 1);
    return key;
  }

  /** All rows of one tag in order. */
  all(tag: Tag): Iterable<Row> {
    return this.tables.range({ start: this.key(tag, ""), end: this.endOf(tag) });
  }

  get(key: Uint8Array): Uint8Array | null {
    return this.tables.get(key);
  }

  /**
   * Writes a row whose first SEAL_BYTES are still zero. `oldShare` is that of the row it replaces, 0 without one.
   * Its own share.
   */
  set(key: Uint8Array, row: Uint8Array, oldShare: number): number {
    writeUint32(row, 0, crc32(row, crc32(key.subarray(SCOPE_BYTES))));
    return this.adopt(key, row, oldShare);
  }

  /** Writes a row that is sealed already: a record that moves into the history as it is. */
  adopt(key: Uint8Array, row: Uint8Array, oldShare: number): number {
    const share = shareOf(key[SCOPE_BYTES]!, row);
    this.sum = (this.sum - oldShare + share) | 0;
    this.tables.set(key, row);
    return share;
  }

  /** Removes a row that is there and has this share. */
  delete(key: Uint8Array, share: number): void {
    this.sum = (this.sum - share) | 0;
    this.tables.delete(key);
  }

  /** Moves the position; the row follows with writeMeta(). */
  moveTo(index: LogIndex, term: Term): void {
    this.index = index;
    this.term = term;
  }

  /** Once per batch: the position and the sum. */
  writeMeta(): void {
    const meta = this.slab.take(META_BYTES);
    meta[0] = FORMAT;
    writeUint64(meta, 1, this.index);
    writeUint64(meta, 9, this.term);
    writeUint32(meta, 17, this.sum);
    this.tables.set(this.#metaKey, meta);
  }

  /** Rows of this generation, from any view of the tables. */
  scope(view: TablesReader): Iterable<Row> {
    return view.range({
      start: scopeKey(this.#partition, this.#generation),
      end: scopeKey(this.#partition, this.#generation + 1),
    });
  }

  /** The scope into which a snapshot is received. */
  stagedScope(): Uint8Array {
    return scopeKey(this.#partition, this.#generation + 1);
  }

  removeStaged(): void {
    this.tables.deleteRange({
      start: this.stagedScope(),
      end: scopeKey(this.#partition, this.#generation + 2),
    });
  }

  /** What the received rows say they are; null where they do not, or in another format. */
  stagedMeta(): Meta | null {
    const key = new Uint8Array(HEAD_BYTES);
    key.set(this.stagedScope());
    key[SCOPE_BYTES] = META;
    const meta = this.tables.get(key);
    return meta === null || !isMeta(meta) ? null : metaOf(meta);
  }

  /** The received rows become the state: they have a meta row. */
  switchToStaged(): void {
    const old = this.#generation++;
    const pointer = new Uint8Array(4);
    writeUint32(pointer, 0, this.#generation);
    this.tables.set(pointerKey(this.#partition), pointer);
    this.tables.deleteRange({
      start: scopeKey(this.#partition, old),
      end: scopeKey(this.#partition, this.#generation),
    });
    this.#metaKey = this.#newMetaKey();
    const meta = this.tables.get(this.#metaKey);
    invariant(meta !== null, "A snapshot holds the row with its position");
    this.#readMeta(meta);
  }

  /** Removes every row of the partition: it is as if it had never been. */
  drop(): void {
    this.tables.deleteRange({ start: scopeKey(this.#partition, 0), end: scopeKey(this.#partition + 1, 0) });
    this.#generation = 1;
    this.#metaKey = this.#newMetaKey();
    this.sum = 0;
    this.moveTo(0 as LogIndex, 0 as Term);
  }

  #newMetaKey(): Uint8Array {
    const key = new Uint8Array(HEAD_BYTES);
    this.#writeHead(key, META);
    return key;
  }

  #removeOthers(): void {
    const spans = [
      { start: scopeKey(this.#partition, 1), end: scopeKey(this.#partition, this.#generation) },
      { start: scopeKey(this.#partition, this.#generation + 1), end: scopeKey(this.#partition + 1, 0) },
    ];
    for (const span of spans) {
      for (const _ of this.tables.range(span)) {
        this.tables.deleteRange(span);
        break;
      }
    }
  }

  #readMeta(meta: Uint8Array): void {
    invariant(
      isMeta(meta),
      () =>
        `The catalog's rows have format ${
          meta[0]
        } and ${meta.length} bytes; this version reads format ${FORMAT}`,
    );
    const { index, term, sum } = metaOf(meta);
    this.moveTo(index, term);
    this.sum = sum;
  }

  #writeHead(key: Uint8Array, tag: number): void {
    writeScope(key, this.#partition, this.#generation);
    key[SCOPE_BYTES] = tag;
  }
}

/** What the row with the position says. */
interface Meta {
  readonly index: LogIndex;
  readonly term: Term;
  readonly sum: number;
}

function isMeta(meta: Uint8Array): boolean {
  return meta.length === META_BYTES && meta[0] === FORMAT;
}

function metaOf(meta: Uint8Array): Meta {
  return {
    index: readUint64(meta, 1) as LogIndex,
    term: readUint64(meta, 9) as Term,
    sum: readUint32(meta, 17) | 0,
  };
}

/** What a row adds to the sum; 0 for no row. The tag makes a record in the history count otherwise than as the newest. */
export function shareOf(tag: number, row: Uint8Array | null): number {
  return row === null ? 0 : fmix32(readUint32(row, 0) ^ Math.imul(tag, 0x9e3779b1));
}

/**
 * True where the row's seal matches its content. `key` begins with a scope that does not count. A record in the
 * history carries the seal it had as the newest.
 */
export function isSealed(key: Uint8Array, row: Uint8Array): boolean {
  if (row.length < SEAL_BYTES || key.length < HEAD_BYTES) return false;
  const content = row.slice();
  content.fill(0, 0, SEAL_BYTES);
  return crc32(content, crc32(sealedKey(key))) === readUint32(row, 0);
}

function sealedKey(key: Uint8Array): Uint8Array {
  if (key[SCOPE_BYTES] !== HISTORY) return key.subarray(SCOPE_BYTES);
  const name = key.slice(HEAD_BYTES + 1, key.length - 8);
  name[0] = VALUE;
  return name;
}

/** The text of a row whose rest is text. */
export function textOf(key: Uint8Array): string {
  const end = key.length;
  if (end - HEAD_BYTES > 32) return utf8Decode(key.subarray(HEAD_BYTES));
  let text = "";
  for (let i = HEAD_BYTES; i < end; i++) {
    const byte = key[i]!;
    if (byte > 0x7f) return utf8Decode(key.subarray(HEAD_BYTES));
    text += String.fromCharCode(byte);
  }
  return text;
}

/** Where the text of a nested key ends and its tail begins. */
export function nestedEnd(key: Uint8Array): number {
  return HEAD_BYTES + 2 + (key[HEAD_BYTES]! << 8 | key[HEAD_BYTES + 1]!);
}

function pointerKey(partition: PartitionId): Uint8Array {
  const key = new Uint8Array(HEAD_BYTES);
  writeScope(key, partition, 0);
  return key;
}

function scopeKey(partition: number, generation: number): Uint8Array {
  const key = new Uint8Array(SCOPE_BYTES);
  writeScope(key, partition, generation);
  return key;
}

function writeScope(key: Uint8Array, partition: number, generation: number): void {
  key[0] = partition >> 8;
  key[1] = partition & 0xff;
  key[2] = generation >>> 24;
  key[3] = generation >>> 16;
  key[4] = generation >>> 8;
  key[5] = generation;
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function readUint64(bytes: Uint8Array, at: number): number {
  return readUint32(bytes, at) * 0x1_0000_0000 + readUint32(bytes, at + 4);
}

export function writeUint64(bytes: Uint8Array, at: number, value: number): void {
  writeUint32(bytes, at, Math.floor(value / 0x1_0000_0000));
  writeUint32(bytes, at + 4, value >>> 0);
}
