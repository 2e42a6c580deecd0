const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const EMPTY_BYTES: Uint8Array = new Uint8Array(0);

/** Smaller ones are left to the garbage collector; they may also share their memory with others. */
const RELEASED_BYTES_MIN = 256 * 1024;
/** What stands before and after them in the same memory and goes with them: headers, seals. */
const RELEASED_BESIDE_MAX = 4 * 1024;

/**
 * Gives the memory of large bytes that nobody looks at any more back at once. Left to the collector, streams of chunks cost
 * more time for collecting than for all else, and hundreds of MiB. What is small, or a part of something larger, stays.
 * Whoever looks again finds no bytes.
 */
export function release({ buffer, length }: Uint8Array): void {
  if (length < RELEASED_BYTES_MIN || buffer.byteLength - length > RELEASED_BESIDE_MAX) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/** The same of bytes that are all that their memory holds, and so were made for nobody else. */
export function releaseWhole({ buffer, length }: Uint8Array): void {
  if (length < RELEASED_WHOLE_BYTES_MIN || buffer.byteLength !== length) return;
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
/** More than the runtime puts together in one piece of memory. */
const RELEASED_WHOLE_BYTES_MIN = 12 * 1024;

export function utf8Encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Writes `text` at the start of `to`, which has room for it. */
export function utf8EncodeInto(text: string, to: Uint8Array): void {
  encoder.encodeInto(text, to);
}

/** @throws {TypeError} when `bytes` is not well-formed UTF-8 */
export function utf8Decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The number of bytes of `text` in UTF-8, without encoding it. A lone surrogate counts as three. */
export function utf8Length(text: string): number {
  let n = text.length;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x80) continue;
    if (c < 0x800) n += 1;
    else if (c >= 0xd800 && c < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      n += 2;
      i++;
    } else n += 2;
  }
  return n;
}

/** Orders as the bytes do: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const d = a[i]! - b[i]!;
    if (d !== 0) return d;
  }
  return a.length - b.length;
}

/**
 * Orders two strings as their UTF-8 forms order, which is by code point. JavaScript's own `<` orders by UTF-16 unit
 * and puts U+10000 before U+FFFF.
 */
export function compareUtf8(a: string, b: string): number {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i), y = b.charCodeAt(i);
    if (x !== y) {
      const xs = (x & 0xf800) === 0xd800, ys = (y & 0xf800) === 0xd800;
      return xs === ys ? x - y : xs ? 1 : -1;
    }
  }
  return a.length - b.length;
}

/**
 * The least key after all keys that begin with `prefix`, in the order of their UTF-8 forms; null where there is none.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(prefixEnd("star/"), "star0");
 * ```
 */
export function prefixEnd(prefix: string): string | null {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!);
  while (points.length > 0) {
    const last = points.pop()!;
    // Surrogates are no characters of their own: after U+D7FF comes U+E000.
    if (last < 0x10ffff) return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
  }
  return null;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareBytes(a, b) === 0;
}

/** All parts in one, copied. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** No byte from `from` on is anything but zero. */
export function isZero(bytes: Uint8Array, from: number): boolean {
  for (let i = from; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The big-endian number of four bytes, which must be there. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Big-endian; of a larger value the low 32 bits. */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
