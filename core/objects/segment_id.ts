/**
 * What names a segment. Its id says who may write it and which object it is part of:
 *
 *     secret  32 random bytes, drawn by the writer
 *     proof   SHA-256(secret)
 *     owner   SHA-256(bucket NUL key)
 *     id      the first 16 bytes of SHA-256(proof, owner)
 *     token   secret, owner
 *
 * N1. Chunks are stored for who shows the token (chunk-put). It is in no row and no fragment and goes to no other node: who may
 *     read an object learns ids, and with them puts nothing into holders that lack a fragment.
 * N2. A segment's row has the owner in its name and the proof in its record. Both together make the id: of several rows of one
 *     segment at most one is its owner's, and nobody else makes another that looks like it (registeredOf() in registry.ts).
 */
import { createHash } from "node:crypto";
import { WRITE_TOKEN_BYTES } from "../wire/objects.ts";

export const SEGMENT_SECRET_BYTES = 32;
export const PROOF_BYTES = 32;

export interface DrawnSegment {
  readonly id: string;
  readonly proof: Uint8Array;
  readonly token: Uint8Array;
}

export function drawnSegment(
  secret: Uint8Array,
  { bucket, key }: { readonly bucket: string; readonly key: string },
): DrawnSegment {
  const proof = sha256(secret), owner = sha256(`${bucket}\0${key}`);
  const token = new Uint8Array(WRITE_TOKEN_BYTES);
  token.set(secret);
  token.set(owner, SEGMENT_SECRET_BYTES);
  return { id: idOf(proof, owner), proof, token };
}

/** The only segment that this token lets write (N1). */
export function segmentOfToken(token: Uint8Array): string {
  return idOf(sha256(token.subarray(0, SEGMENT_SECRET_BYTES)), token.subarray(SEGMENT_SECRET_BYTES));
}

/** N2. `owner`: "bucket NUL key", as the row's name has it. */
export function isOwner(segment: string, proof: Uint8Array, owner: string): boolean {
  return idOf(proof, sha256(owner)) === segment;
}

function idOf(proof: Uint8Array, owner: Uint8Array): string {
  return createHash("sha256").update(proof).update(owner).digest("hex").slice(0, 32);
}
function sha256(of: Uint8Array | string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(of).digest());
}
