/**
 * A client's name: 32 hexadecimal digits in requests, CLIENT_BYTES bytes in commands and rows. The same few names come
 * again and again, so both directions remember the ones seen lately: a copy costs a comparison, and every copy is one
 * string, whose hash is known wherever it is looked up. What is remembered never changes a result.
 */
export const CLIENT_BYTES = 16;

const REMEMBERED = 4096;
const HEX_OF_BYTE = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

interface Name {
  readonly hex: string;
  readonly bytes: Uint8Array;
}
const byBytes: (Name | undefined)[] = new Array(REMEMBERED).fill(undefined);
const byHex = new Map<string, Uint8Array>();

/** The CLIENT_BYTES bytes from `start` on as hexadecimal digits. */
export function bytesToHex(bytes: Uint8Array, start: number): string {
  let hash = 0;
  for (let i = start; i < start + CLIENT_BYTES; i++) hash = Math.imul(hash, 31) + bytes[i]! | 0;
  const slot = (hash ^ (hash >>> 12)) & (REMEMBERED - 1), known = byBytes[slot];
  if (known !== undefined && isAt(known.bytes, bytes, start)) return known.hex;
  let hex = "";
  for (let i = start; i < start + CLIENT_BYTES; i++) hex += HEX_OF_BYTE[bytes[i]!]!;
  byBytes[slot] = { hex, bytes: bytes.slice(start, start + CLIENT_BYTES) };
  return hex;
}

/** The inverse of bytesToHex(), not to be written to. The digits were checked by validate(). */
export function hexToBytes(hex: string): Uint8Array {
  const known = byHex.get(hex);
  if (known !== undefined) return known;
  const bytes = new Uint8Array(CLIENT_BYTES);
  for (let i = 0; i < CLIENT_BYTES; i++) bytes[i] = (digit(hex, 2 * i) << 4) | digit(hex, 2 * i + 1);
  if (byHex.size === REMEMBERED) byHex.clear();
  byHex.set(hex, bytes);
  return bytes;
}

function isAt(name: Uint8Array, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < CLIENT_BYTES; i++) if (name[i] !== bytes[start + i]) return false;
  return true;
}

function digit(hex: string, at: number): number {
  const code = hex.charCodeAt(at);
  return code < 0x40 ? code - 0x30 : code - 0x57;
}
