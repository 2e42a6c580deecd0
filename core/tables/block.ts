/**
 * A block: rows in the order of their keys, then where each begins, then how many there are.
 *
 *     row    u16 length of the key | u32 1 + length of the value, 0 where the row is deleted | key | value
 *     block  row … | u32 offset … | u32 rows
 */
import { readUint32, writeUint32 } from "../base/bytes.ts";

const ROW_HEAD_BYTES = 6;
export const KEY_BYTES_MAX = 0xffff;

export class BlockBuilder {
  #bytes = new Uint8Array(8192);
  #length = 0;
  #offsets: number[] = [];

  get rows(): number {
    return this.#offsets.length;
  }
  /** Of the block as it would be finished now. */
  get bytes(): number {
    return this.#length + this.#offsets.length * 4 + 4;
  }

  /** `key` follows all that were added. null: the row is deleted. */
  add(key: Uint8Array, value: Uint8Array | null): void {
    if (key.length > KEY_BYTES_MAX) {
      throw new RangeError(`A key has up to ${KEY_BYTES_MAX} bytes, not ${key.length}`);
    }
    const at = this.#length, valueBytes = value === null ? 0 : value.length;
    const end = at + ROW_HEAD_BYTES + key.length + valueBytes;
    this.#reserve(end);
    const bytes = this.#bytes;
    bytes[at] = key.length >>> 8;
    bytes[at + 1] = key.length;
    writeUint32(bytes, at + 2, value === null ? 0 : valueBytes + 1);
    bytes.set(key, at + ROW_HEAD_BYTES);
    if (value !== null) bytes.set(value, at + ROW_HEAD_BYTES + key.length);
    this.#offsets.push(at);
    this.#length = end;
  }

  /** The block; the next one begins. What is returned is valid until the next add(). */
  finish(): Uint8Array {
    const rows = this.#offsets.length;
    this.#reserve(this.bytes);
    let at = this.#length;
    for (const offset of this.#offsets) {
      writeUint32(this.#bytes, at, offset);
      at += 4;
    }
    writeUint32(this.#bytes, at, rows);
    this.#length = 0;
    this.#offsets = [];
    return this.#bytes.subarray(0, at + 4);
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(length, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** True where the bytes are laid out as a block. All else here takes that for granted. */
export function isBlock(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false;
  const rows = rowsOf(bytes), end = bytes.length - 4 - rows * 4;
  if (rows === 0 || end < 0) return false;
  let at = 0;
  for (let row = 0; row < rows; row++) {
    if (offsetOf(bytes, row, rows) !== at || at + ROW_HEAD_BYTES > end) return false;
    const value = readUint32(bytes, at + 2);
    at += ROW_HEAD_BYTES + (bytes[at]! << 8 | bytes[at + 1]!) + (value === 0 ? 0 : value - 1);
  }
  return at === end;
}

export function rowsOf(block: Uint8Array): number {
  return readUint32(block, block.length - 4);
}

function offsetOf(block: Uint8Array, row: number, rows: number): number {
  return readUint32(block, block.length - 4 - (rows - row) * 4);
}

/** Shares the block's memory. */
export function keyAt(block: Uint8Array, row: number): Uint8Array {
  const at = offsetOf(block, row, rowsOf(block));
  const from = at + ROW_HEAD_BYTES;
  return block.subarray(from, from + (block[at]! << 8 | block[at + 1]!));
}

/** null: deleted. Shares the block's memory. */
export function valueAt(block: Uint8Array, row: number): Uint8Array | null {
  const at = offsetOf(block, row, rowsOf(block));
  const length = readUint32(block, at + 2);
  if (length === 0) return null;
  const from = at + ROW_HEAD_BYTES + (block[at]! << 8 | block[at + 1]!);
  return block.subarray(from, from + length - 1);
}

/** The first row whose key is not less than `key`; the number of rows where there is none. */
export function lowerBound(block: Uint8Array, key: Uint8Array): number {
  const rows = rowsOf(block);
  let low = 0, high = rows;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRow(block, offsetOf(block, middle, rows), key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The value of `key`, null where it is deleted, undefined where the block has no such row. */
export function findInBlock(block: Uint8Array, key: Uint8Array): Uint8Array | null | undefined {
  const rows = rowsOf(block);
  let low = 0, high = rows - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const order = compareRow(block, offsetOf(block, middle, rows), key);
    if (order === 0) return valueAt(block, middle);
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return undefined;
}

function compareRow(block: Uint8Array, at: number, key: Uint8Array): number {
  const from = at + ROW_HEAD_BYTES;
  return compareWithin(block, from, from + (block[at]! << 8 | block[at + 1]!), key);
}

/** Orders the bytes of `a` from `from` to `to` against `b`. */
export function compareWithin(a: Uint8Array, from: number, to: number, b: Uint8Array): number {
  const length = to - from, n = length < b.length ? length : b.length;
  for (let i = 0; i < n; i++) {
    const difference = a[from + i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return length - b.length;
}
