import { crc32 as zlibCrc32 } from "node:zlib";
import { utf8Encode } from "./bytes.ts";

/** CRC-32 (IEEE 802.3) of `bytes`, continued from `seed`. For detecting damage, never for security. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return zlibCrc32(bytes, seed);
}

/** The finaliser of MurmurHash3: spreads every input bit over all 32 output bits. */
export function fmix32(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  x ^= x >>> 16;
  return x >>> 0;
}

/** MurmurHash3 x86 32 of `bytes`. */
export function hashBytes32(bytes: Uint8Array, seed = 0): number {
  let h = seed | 0;
  const blocks = bytes.length & ~3;
  for (let i = 0; i < blocks; i += 4) {
    h ^= scramble(bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64 | 0;
  }
  const rest = bytes.length & 3;
  if (rest > 0) {
    let tail = bytes[blocks]!;
    if (rest > 1) tail |= bytes[blocks + 1]! << 8;
    if (rest > 2) tail |= bytes[blocks + 2]! << 16;
    h ^= scramble(tail);
  }
  return fmix32(h ^ bytes.length);
}

/** MurmurHash3 of the UTF-8 form of `text`. */
export function hashString32(text: string, seed = 0): number {
  const hash = hashAscii32(text, seed);
  return hash >= 0 ? hash : hashBytes32(utf8Encode(text), seed);
}

/** The characters of ASCII text are its bytes, which spares the encoding: several times as fast. -1 for other text. */
function hashAscii32(text: string, seed: number): number {
  let h = seed | 0;
  let all = 0;
  const blocks = text.length & ~3;
  for (let i = 0; i < blocks; i += 4) {
    const a = text.charCodeAt(i), b = text.charCodeAt(i + 1);
    const c = text.charCodeAt(i + 2), d = text.charCodeAt(i + 3);
    all |= a | b | c | d;
    h ^= scramble(a | (b << 8) | (c << 16) | (d << 24));
    h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64 | 0;
  }
  if (text.length > blocks) {
    let tail = 0;
    for (let i = text.length - 1; i >= blocks; i--) {
      all |= text.charCodeAt(i);
      tail = (tail << 8) | text.charCodeAt(i);
    }
    h ^= scramble(tail);
  }
  return all < 0x80 ? fmix32(h ^ text.length) : -1;
}

function scramble(k: number): number {
  k = Math.imul(k, 0xcc9e2d51);
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593);
}
