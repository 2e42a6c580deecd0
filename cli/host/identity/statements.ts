/**
 * A member's statement: with its own key it signs that it accepts the authority of a generation. It lies in the
 * member's record, and a client that knows the members learns from it whether to believe a new authority (handover.ts).
 *
 *     signature over ("space-opera authority", network, generation, SHA-256 of the authority's certificate)
 */
import { createHash } from "node:crypto";
import { encode } from "../../../core/wire/cbor.ts";
import { signWithSeed, verifySignature } from "./ed25519.ts";

const STATEMENT = "space-opera authority";

/** What a statement is about. */
export interface Accepted {
  /** 32 hexadecimal digits. */
  readonly network: string;
  readonly generation: number;
  /** The certificate of the generation's authority, in DER. */
  readonly authority: Uint8Array;
}

/** Whoever has the key of `publicKey` has signed. */
export interface Statement {
  /** 64 hexadecimal digits. */
  readonly key: string;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

/** 64 bytes, by the node's own key; see also Keyring.sign(). */
export function signStatement({ seed, ...accepted }: Accepted & { readonly seed: Uint8Array }): Uint8Array {
  return signWithSeed(seed, statementBytes(accepted));
}

/** False for whatever is not that key's signature of just that. */
export function verifyStatement({ key, signature }: Statement, accepted: Accepted): boolean {
  return verifySignature(key, statementBytes(accepted), signature);
}

/** What is signed. */
export function statementBytes({ network, generation, authority }: Accepted): Uint8Array {
  return encode([STATEMENT, network, generation, createHash("sha256").update(authority).digest()]);
}
