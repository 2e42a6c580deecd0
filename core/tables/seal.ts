/**
 * How what lies in one file is sealed: encrypted and authenticated with the file's own key, or in an open network
 * (generation 0) with a checksum alone.
 *
 * A nonce is the kind of the part and its number within the file. Each is sealed once: a file is written from its
 * beginning to its end and never again, and one that a crash cut short is removed, its salt with it (K2 of
 * core/base/vault.ts). Kind and number also tell parts apart that a disk has mixed up; the salt, those of other files.
 */
import { EMPTY_BYTES, readUint32, writeUint32 } from "../base/bytes.ts";
import { crc32 } from "../base/hash.ts";
import { type Cipher, NONCE_BYTES, TAG_BYTES, type Vault } from "../base/vault.ts";

export const PART = { block: 0, tail: 1, manifest: 2 } as const;
export type Part = typeof PART[keyof typeof PART];

const CHECKSUM_BYTES = 4;
const PURPOSE = "tables";

export interface SealedFile {
  /** The key generation; 0: none. */
  readonly generation: number;
  /** Drawn for this file. */
  readonly salt: Uint8Array;
}

export class Seal {
  readonly #cipher: Cipher | null;
  readonly #seed: number;
  readonly #nonce = new Uint8Array(NONCE_BYTES);
  /** What a sealed part is longer than the part. */
  readonly overhead: number;

  /** @throws {UnknownKeyError} */
  constructor(vault: Vault, { generation, salt }: SealedFile) {
    this.#cipher = generation === 0 ? null : vault.cipher(PURPOSE, generation, salt);
    this.#seed = crc32(salt);
    this.overhead = this.#cipher === null ? CHECKSUM_BYTES : TAG_BYTES;
  }

  /** `additional` is not in the result and must be the same at open(). */
  seal(part: Part, number: number, plaintext: Uint8Array, additional: Uint8Array = EMPTY_BYTES): Uint8Array {
    const nonce = this.#nonceOf(part, number);
    if (this.#cipher !== null) return this.#cipher.seal(nonce, plaintext, additional);
    const sealed = new Uint8Array(plaintext.length + CHECKSUM_BYTES);
    sealed.set(plaintext);
    writeUint32(sealed, plaintext.length, this.#checksum(nonce, plaintext, additional));
    return sealed;
  }

  /** null: that was not sealed here. What is returned shares no memory with `sealed`. */
  open(
    part: Part,
    number: number,
    sealed: Uint8Array,
    additional: Uint8Array = EMPTY_BYTES,
  ): Uint8Array | null {
    const nonce = this.#nonceOf(part, number);
    if (this.#cipher !== null) return this.#cipher.open(nonce, sealed, additional);
    const length = sealed.length - CHECKSUM_BYTES;
    if (length < 0) return null;
    const plaintext = sealed.slice(0, length);
    return readUint32(sealed, length) === this.#checksum(nonce, plaintext, additional) ? plaintext : null;
  }

  #checksum(nonce: Uint8Array, plaintext: Uint8Array, additional: Uint8Array): number {
    return crc32(plaintext, crc32(additional, crc32(nonce, this.#seed)));
  }

  #nonceOf(part: Part, number: number): Uint8Array {
    this.#nonce[0] = part;
    writeUint32(this.#nonce, NONCE_BYTES - 4, number);
    return this.#nonce;
  }
}
