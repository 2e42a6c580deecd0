/**
 * Encryption at rest. A vault holds the secrets of a network's key generations and makes the ciphers of files from them.
 *
 *     generation's secret ── deriveSecret(secret, PURPOSES.data) ── the generation's data key
 *                         └─ deriveSecret(secret, PURPOSES.authority) ── the seed of its certificate authority's key
 *     data key + purpose + the file's salt ── the key of one file: ChaCha20-Poly1305 (RFC 8439)
 *
 * All arrows are HKDF-SHA256 (RFC 5869), so no key tells anything about its siblings or about what it came from.
 *
 *  K1  A file has a salt of 32 bytes of its own, drawn by a cryptographic source and kept in its clear header beside the
 *      generation: no two files share a key, whatever they are for.
 *  K2  Under one key no nonce seals two different texts. Who seals sees to it, also after a crash that lost the end of
 *      what was written: the world outside may have seen what the disk forgot.
 *  K3  What is opened was sealed under the same key, nonce and additional data, bit for bit; anything else is null.
 *  K4  Generation 0 stands for a network without keys. It has no secret and makes no cipher.
 *
 * Secrets leave a vault by no property, so neither a log nor an inspected object shows them.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { utf8Encode } from "./bytes.ts";
import { invariant } from "./invariant.ts";

/** The length of a generation's secret and of all that is derived from it. */
export const SECRET_BYTES = 32;
export const SALT_BYTES = 32;
export const NONCE_BYTES = 12;
/** What a sealed text is longer than the text. */
export const TAG_BYTES = 16;

/** What deriveSecret() derives. The text of each is part of the format of everything sealed. */
export const PURPOSES = {
  data: "space-opera 1 data key",
  authority: "space-opera 1 authority seed",
} as const;

const FILE_PURPOSE = "space-opera 1 file ";
const ALGORITHM = "chacha20-poly1305";
const OPTIONS = { authTagLength: TAG_BYTES };

/** Of one file. */
export interface Cipher {
  /** The ciphertext, as long as `plaintext`, followed by a tag of TAG_BYTES. The nonce was not used before (K2). */
  seal(nonce: Uint8Array, plaintext: Uint8Array, additional: Uint8Array): Uint8Array;
  /** What was sealed; null where any of the three is not as it was then (K3). */
  open(nonce: Uint8Array, sealed: Uint8Array, additional: Uint8Array): Uint8Array | null;
}

/** The vault has no secret of this generation. */
export class UnknownKeyError extends Error {
  override readonly name = "UnknownKeyError";
  constructor(readonly generation: number) {
    super(
      `Key generation ${generation} is not in the keyring. Use the keyring of a node that still has it, or restore ` +
        `keyring.json from its backup`,
    );
  }
}

/**
 * The key generations that a node has. Never changes: a generation more or less makes another vault.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const vault = new Vault(new Map([[1, new Uint8Array(32).fill(7)]]), 1);
 * const cipher = vault.cipher("journal", vault.current, new Uint8Array(32).fill(9));
 * const nonce = new Uint8Array(12), none = new Uint8Array(0);
 * const sealed = cipher.seal(nonce, Uint8Array.of(1, 2, 3), none);
 * assert.deepEqual(cipher.open(nonce, sealed, none), Uint8Array.of(1, 2, 3));
 * assert.equal(cipher.open(nonce, sealed, Uint8Array.of(1)), null);
 * ```
 */
export class Vault {
  /** What is written anew is sealed with this generation; 0: not at all. */
  readonly current: number;
  readonly #secrets: ReadonlyMap<number, Uint8Array>;
  readonly #dataKeys = new Map<number, Uint8Array>();

  /**
   * `secrets` by generation, which count from 1. `current` is one of them, or 0.
   * @throws {RangeError} where they are not such
   * @throws {UnknownKeyError} where there is no secret of `current`
   */
  constructor(secrets: ReadonlyMap<number, Uint8Array>, current: number) {
    const copied = new Map<number, Uint8Array>();
    for (const [generation, secret] of secrets) {
      if (!Number.isSafeInteger(generation) || generation < 1) {
        throw new RangeError(`A key generation is an integer from 1, not ${generation}`);
      }
      if (secret.length !== SECRET_BYTES) {
        throw new RangeError(
          `The secret of a key generation has ${SECRET_BYTES} bytes, not ${secret.length}`,
        );
      }
      copied.set(generation, secret.slice());
    }
    if (current !== 0 && !copied.has(current)) throw new UnknownKeyError(current);
    this.#secrets = copied;
    this.current = current;
  }

  /** In rising order. */
  generations(): number[] {
    return [...this.#secrets.keys()].sort((a, b) => a - b);
  }

  has(generation: number): boolean {
    return this.#secrets.has(generation);
  }

  /**
   * Of the file with this salt. Files of different purposes never share a key, even with the same salt.
   * @throws {UnknownKeyError}
   */
  cipher(purpose: string, generation: number, salt: Uint8Array): Cipher {
    invariant(generation !== 0, "K4: generation 0 makes no cipher");
    invariant(salt.length === SALT_BYTES, "K1: a file's salt has its full length");
    return cipherOf(hkdf(this.#dataKey(generation), salt, FILE_PURPOSE + purpose));
  }

  /** A vault that also has this generation; `current` stays. */
  withGeneration(generation: number, secret: Uint8Array): Vault {
    return new Vault(new Map([...this.#secrets, [generation, secret]]), this.current);
  }

  /** A vault with the same generations that seals with another of them. @throws {UnknownKeyError} */
  withCurrent(generation: number): Vault {
    return new Vault(this.#secrets, generation);
  }

  /** A vault that has forgotten this generation, which is not the current one. */
  withoutGeneration(generation: number): Vault {
    if (generation === this.current) {
      throw new RangeError(`Key generation ${generation} is the current one and cannot be forgotten`);
    }
    return new Vault(new Map([...this.#secrets].filter(([id]) => id !== generation)), this.current);
  }

  #dataKey(generation: number): Uint8Array {
    let key = this.#dataKeys.get(generation);
    if (key === undefined) {
      const secret = this.#secrets.get(generation);
      if (secret === undefined) throw new UnknownKeyError(generation);
      key = deriveSecret(secret, PURPOSES.data);
      this.#dataKeys.set(generation, key);
    }
    return key;
  }
}

/** Of an open network: seals nothing and opens nothing that is sealed (K4). */
export const OPEN_VAULT: Vault = new Vault(new Map(), 0);

/** 32 bytes that only who has `secret` can compute, different for each purpose (PURPOSES). */
export function deriveSecret(secret: Uint8Array, purpose: string): Uint8Array {
  invariant(secret.length === SECRET_BYTES, "A secret has its full length");
  return hkdf(secret, new Uint8Array(0), purpose);
}

/** HKDF-SHA256 (RFC 5869): the first 32 bytes of its output. An empty salt is one of 32 zeros. */
export function hkdf(secret: Uint8Array, salt: Uint8Array, info: string | Uint8Array): Uint8Array {
  const bytes = typeof info === "string" ? utf8Encode(info) : info;
  return new Uint8Array(hkdfSync("sha256", secret, salt, bytes, SECRET_BYTES));
}

/** ChaCha20-Poly1305 (RFC 8439) under a key that comes from elsewhere. */
export function cipherOf(key: Uint8Array): Cipher {
  invariant(key.length === SECRET_BYTES, "A key has its full length");
  return {
    seal(nonce, plaintext, additional) {
      invariant(nonce.length === NONCE_BYTES, "A nonce has its full length");
      const cipher = createCipheriv(ALGORITHM, key, nonce, OPTIONS);
      cipher.setAAD(additional, { plaintextLength: plaintext.length });
      const ciphertext = cipher.update(plaintext);
      cipher.final();
      const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
      sealed.set(ciphertext);
      sealed.set(cipher.getAuthTag(), plaintext.length);
      return sealed;
    },
    open(nonce, sealed, additional) {
      invariant(nonce.length === NONCE_BYTES, "A nonce has its full length");
      const length = sealed.length - TAG_BYTES;
      if (length < 0) return null;
      const decipher = createDecipheriv(ALGORITHM, key, nonce, OPTIONS);
      decipher.setAAD(additional, { plaintextLength: length });
      decipher.setAuthTag(sealed.subarray(length));
      const plaintext = decipher.update(sealed.subarray(0, length));
      try {
        decipher.final();
      } catch {
        return null; // the one thing that final() can complain of: the tag does not fit (K3)
      }
      return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.length);
    },
  };
}
