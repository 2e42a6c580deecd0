/**
 * Chunks are sealed by the program that writes them and opened by the one that reads them: nodes see ciphertext alone.
 * ChaCha20-Poly1305 (RFC 8439) under the segment's own key, which is drawn for it and used for nothing else.
 *
 * J1. The nonce is the chunk's number: under one key no nonce seals two different texts. Who writes a chunk anew, because it
 *     does not know whether it was stored, writes the same plaintext; a program that begins again takes a new segment.
 * J2. The segment's id and the chunk's number are authenticated with it, so that no chunk stands for another.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { release, writeUint32 } from "../base/bytes.ts";
import { SEAL_BYTES } from "./fragment.ts";

const ALGORITHM = "chacha20-poly1305";
const OPTIONS = { authTagLength: SEAL_BYTES };
const NONCE_BYTES = 12;
export const SEGMENT_KEY_BYTES = 32;

/** @returns the ciphertext, as long as `plaintext`, and the tag of SEAL_BYTES after it */
export function sealChunk(
  key: Uint8Array,
  segment: string,
  chunk: number,
  plaintext: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv(ALGORITHM, key, nonceOf(chunk), OPTIONS);
  cipher.setAAD(nameOf(segment, chunk), { plaintextLength: plaintext.length });
  const sealed = new Uint8Array(plaintext.length + SEAL_BYTES);
  const encrypted = cipher.update(plaintext);
  sealed.set(encrypted);
  release(encrypted);
  cipher.final();
  sealed.set(cipher.getAuthTag(), plaintext.length);
  return sealed;
}

/** null: that is not what was sealed as this chunk under this key. */
export function openChunk(
  key: Uint8Array,
  segment: string,
  chunk: number,
  sealed: Uint8Array,
): Uint8Array | null {
  const length = sealed.length - SEAL_BYTES;
  if (length < 0) return null;
  const decipher = createDecipheriv(ALGORITHM, key, nonceOf(chunk), OPTIONS);
  decipher.setAAD(nameOf(segment, chunk), { plaintextLength: length });
  decipher.setAuthTag(sealed.subarray(length));
  const { buffer, byteOffset } = decipher.update(sealed.subarray(0, length));
  try {
    decipher.final();
  } catch {
    return null;
  }
  // Not as the Buffer that it is.
  return new Uint8Array(buffer, byteOffset, length);
}

function nonceOf(chunk: number): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES);
  writeUint32(nonce, NONCE_BYTES - 4, chunk);
  return nonce;
}

/** J2: 16 bytes of the segment's id, 4 of the chunk's number. */
function nameOf(segment: string, chunk: number): Uint8Array {
  const name = new Uint8Array(20);
  for (let i = 0; i < 4; i++) writeUint32(name, 4 * i, parseInt(segment.slice(8 * i, 8 * i + 8), 16));
  writeUint32(name, 16, chunk);
  return name;
}
