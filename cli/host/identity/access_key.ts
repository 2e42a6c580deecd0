/**
 * Access keys: what a client shows that it may read, write or administer. The secret is the origin of an Ed25519 key
 * pair. The network keeps the public key alone, and a client never sends the secret but a signature:
 *
 *     signature over ("space-opera log-in", network, SHA-256 of the server's certificate, 32 random bytes)
 *
 * It fits this network and the very connection's server, so whoever receives one cannot log in with it elsewhere. What
 * keeps it from being shown to the same server again is TLS, inside which it travels.
 *
 * Nothing here compares secrets: a signature is checked against a public key, so the time it takes tells nothing.
 */
import { createHash } from "node:crypto";
import { deriveSecret, SECRET_BYTES } from "../../../core/base/vault.ts";
import { encode } from "../../../core/wire/cbor.ts";
import { publicKeyOfSeed, signWithSeed, verifySignature } from "./ed25519.ts";

const ID_PREFIX = "SO";
const ID_RANDOM_BYTES = 10;
const SECRET_PREFIX = "so-secret-";
const PURPOSE = "space-opera 1 access key seed";
const LOG_IN = "space-opera log-in";
export const LOG_IN_RANDOM_BYTES = 32;
/** RFC 4648, section 6. */
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export interface NewAccessKey {
  /** "SO" and 16 characters of base32. */
  readonly id: string;
  /** "so-secret-" and 43 characters of base64url. */
  readonly secret: string;
  /** 64 hexadecimal digits: all that the network needs. */
  readonly publicKey: string;
}

/** The message never has the secret in it. */
export class AccessKeyError extends Error {
  override readonly name = "AccessKeyError";
}

export function makeAccessKey(): NewAccessKey {
  const id = ID_PREFIX + base32(crypto.getRandomValues(new Uint8Array(ID_RANDOM_BYTES)));
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  const secret = SECRET_PREFIX + bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  return { id, secret, publicKey: accessPublicKey(secret) };
}

/** "SO" and 16 characters of base32. */
export function isAccessKeyId(text: string): boolean {
  return /^SO[A-Z2-7]{16}$/.test(text);
}

/**
 * The public key of a secret, 64 hexadecimal digits.
 * @throws {AccessKeyError}
 */
export function accessPublicKey(secret: string): string {
  return publicKeyOfSeed(seedOf(secret));
}

export interface LogIn {
  readonly network: string;
  /** The server's certificate of this connection, in DER. */
  readonly serverCertificate: Uint8Array;
  /** LOG_IN_RANDOM_BYTES bytes drawn by the client for this connection. */
  readonly random: Uint8Array;
}

/**
 * 64 bytes.
 * @throws {AccessKeyError} where the secret is none
 */
export function signLogIn({ secret, ...logIn }: LogIn & { readonly secret: string }): Uint8Array {
  return signWithSeed(seedOf(secret), signedBytes(logIn));
}

/** `publicKey` as the network has it. False for whatever is not the holder's signature of this log-in. */
export function verifyLogIn(
  publicKey: string,
  { signature, ...logIn }: LogIn & { readonly signature: Uint8Array },
): boolean {
  return logIn.random.length === LOG_IN_RANDOM_BYTES &&
    verifySignature(publicKey, signedBytes(logIn), signature);
}

/** An access key as a client has it. Shows its secret to nobody: it goes into the profile, and signs. */
export class Credentials {
  readonly id: string;
  readonly #secret: string;

  /** @throws {AccessKeyError} where either is none */
  constructor({ id, secret }: { readonly id: string; readonly secret: string }) {
    if (!isAccessKeyId(id)) {
      throw new AccessKeyError(`The id of an access key is "${ID_PREFIX}" and 16 capital letters or digits`);
    }
    secretBytes(secret);
    this.id = id;
    this.#secret = secret;
  }

  /** 64 bytes. */
  signLogIn(logIn: LogIn): Uint8Array {
    return signLogIn({ secret: this.#secret, ...logIn });
  }

  /** For the one file that it is kept in. */
  reveal(): { id: string; secret: string } {
    return { id: this.id, secret: this.#secret };
  }

  toJSON(): Record<string, unknown> {
    return { id: this.id };
  }
}

function signedBytes({ network, serverCertificate, random }: LogIn): Uint8Array {
  return encode([LOG_IN, network, createHash("sha256").update(serverCertificate).digest(), random]);
}

function seedOf(secret: string): Uint8Array {
  return deriveSecret(secretBytes(secret), PURPOSE);
}

function secretBytes(secret: string): Uint8Array {
  const match = /^so-secret-([\w-]{43})$/.exec(secret);
  const bytes = match === null ? null : Uint8Array.fromBase64(match[1]!, { alphabet: "base64url" });
  // Of the last character two bits say nothing: one secret has one form.
  if (bytes === null || bytes.toBase64({ alphabet: "base64url", omitPadding: true }) !== match![1]) {
    throw new AccessKeyError(
      `The secret of an access key is "${SECRET_PREFIX}" and 43 letters, digits, "-" or "_". Copy all of it, or make ` +
        `a new key`,
    );
  }
  return bytes;
}

/** Whole groups of five bytes. */
function base32(bytes: Uint8Array): string {
  let text = "", rest = 0, bits = 0;
  for (const byte of bytes) {
    rest = ((rest << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += BASE32[(rest >> (bits - 5)) & 31];
  }
  return text;
}
