/** Cyclic redundancy checks as S3 has them: reflected, all ones before and after. */
import { crc32 as nodeCrc32 } from "node:zlib";

export interface Crc {
  update(bytes: Uint8Array): void;
  /** Big-endian. */
  digest(): Uint8Array<ArrayBuffer>;
}

/** ISO-HDLC, as in zlib. */
export class Crc32 implements Crc {
  #value = 0;
  update(bytes: Uint8Array): void {
    this.#value = nodeCrc32(bytes, this.#value);
  }
  digest(): Uint8Array<ArrayBuffer> {
    return bigEndian(this.#value);
  }
}

/** Castagnoli's polynomial, eight bytes a step. */
export class Crc32c implements Crc {
  #value = 0xffffffff;
  update(bytes: Uint8Array): void {
    const table = tables32c();
    let crc = this.#value, at = 0;
    for (const end = bytes.length - 7; at < end; at += 8) {
      crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      crc = table[1792 + (crc & 255)]! ^ table[1536 + ((crc >>> 8) & 255)]! ^
        table[1280 + ((crc >>> 16) & 255)]! ^ table[1024 + (crc >>> 24)]! ^
        table[768 + bytes[at + 4]!]! ^ table[512 + bytes[at + 5]!]! ^
        table[256 + bytes[at + 6]!]! ^ table[bytes[at + 7]!]!;
    }
    for (; at < bytes.length; at++) crc = table[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
    this.#value = crc;
  }
  digest(): Uint8Array<ArrayBuffer> {
    return bigEndian(~this.#value);
  }
}

let made32c: Int32Array | null = null;

/** Table n tells what a byte does that n more bytes follow. */
function tables32c(): Int32Array {
  if (made32c !== null) return made32c;
  const table = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    table[byte] = crc;
  }
  for (let at = 256; at < table.length; at++) {
    const before = table[at - 256]!;
    table[at] = table[before & 255]! ^ (before >>> 8);
  }
  return made32c = table;
}

/** The 64 bits of NVMe's polynomial in two halves, eight bytes a step. */
export class Crc64Nvme implements Crc {
  #high = -1;
  #low = -1;
  update(bytes: Uint8Array): void {
    const { high: highs, low: lows } = tables64();
    let high = this.#high, low = this.#low, at = 0;
    for (const end = bytes.length - 7; at < end; at += 8) {
      const a = low ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
      const b = high ^
        (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24));
      const i0 = 1792 + (a & 255), i1 = 1536 + ((a >>> 8) & 255), i2 = 1280 + ((a >>> 16) & 255);
      const i3 = 1024 + (a >>> 24), i4 = 768 + (b & 255), i5 = 512 + ((b >>> 8) & 255);
      const i6 = 256 + ((b >>> 16) & 255), i7 = b >>> 24;
      high = highs[i0]! ^ highs[i1]! ^ highs[i2]! ^ highs[i3]! ^ highs[i4]! ^ highs[i5]! ^ highs[i6]! ^
        highs[i7]!;
      low = lows[i0]! ^ lows[i1]! ^ lows[i2]! ^ lows[i3]! ^ lows[i4]! ^ lows[i5]! ^ lows[i6]! ^ lows[i7]!;
    }
    for (; at < bytes.length; at++) {
      const index = (low ^ bytes[at]!) & 255;
      low = lows[index]! ^ ((low >>> 8) | (high << 24));
      high = highs[index]! ^ (high >>> 8);
    }
    this.#high = high;
    this.#low = low;
  }
  digest(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(8);
    bytes.set(bigEndian(~this.#high));
    bytes.set(bigEndian(~this.#low), 4);
    return bytes;
  }
}

let made64: { high: Int32Array; low: Int32Array } | null = null;

function tables64(): { high: Int32Array; low: Int32Array } {
  if (made64 !== null) return made64;
  const high = new Int32Array(8 * 256), low = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) !== 0n ? (crc >> 1n) ^ 0x9a6c9329ac4bc9b5n : crc >> 1n;
    high[byte] = Number(crc >> 32n) | 0;
    low[byte] = Number(crc & 0xffffffffn) | 0;
  }
  for (let at = 256; at < high.length; at++) {
    const h = high[at - 256]!, l = low[at - 256]!, index = l & 255;
    high[at] = high[index]! ^ (h >>> 8);
    low[at] = low[index]! ^ ((l >>> 8) | (h << 24));
  }
  return made64 = { high, low };
}

/**
 * The check of two runs of bytes one after the other, from the check of each and the length of the second: the first is
 * driven through as many zeros, by squaring (zlib's crc32_combine, for any width).
 */
export function combineCrcs(
  kind: "crc32" | "crc32c" | "crc64nvme",
  first: Uint8Array,
  second: Uint8Array,
  secondBytes: number,
): Uint8Array<ArrayBuffer> {
  const polynomial = kind === "crc32" ? 0xedb88320n : kind === "crc32c" ? 0x82f63b78n : 0x9a6c9329ac4bc9b5n;
  const width = kind === "crc64nvme" ? 64 : 32;
  // Column n: what the bit n becomes after one zero bit.
  let matrix = Array.from({ length: width }, (_, bit) => bit === 0 ? polynomial : 1n << BigInt(bit - 1));
  const times = (m: readonly bigint[], vector: bigint) => {
    let sum = 0n;
    for (let bit = 0; vector !== 0n; bit++, vector >>= 1n) if ((vector & 1n) !== 0n) sum ^= m[bit] ?? 0n;
    return sum;
  };
  let crc = toBigInt(first);
  for (let bits = BigInt(secondBytes) * 8n; bits !== 0n; bits >>= 1n) {
    if ((bits & 1n) !== 0n) crc = times(matrix, crc);
    const square = matrix;
    matrix = square.map((column) => times(square, column));
  }
  crc ^= toBigInt(second);
  const bytes = new Uint8Array(width / 8);
  for (let at = bytes.length - 1; at >= 0; at--, crc >>= 8n) bytes[at] = Number(crc & 255n);
  return bytes;
}

function toBigInt(bytes: Uint8Array): bigint {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return value;
}

function bigEndian(value: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);
}
