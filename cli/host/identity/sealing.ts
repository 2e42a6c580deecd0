/**
 * Boxes that only a passphrase or a key file opens, for secrets that lie on a disk.
 *
 *     passphrase ── scrypt (RFC 7914: N 2^17, r 8, p 1; 128 MiB, half a second) with the box's salt ─┐
 *     key file   ── HKDF-SHA256 with the box's salt ────────────────────────────────────────────────┴─ key
 *
 * The key seals with ChaCha20-Poly1305 and random nonces. It stays in memory, so that a running node can write its
 * secrets again without asking a person; a box is written a few times in a year, which random nonces of 96 bits bear.
 */
import { scryptSync } from "node:crypto";
import { realpathSync } from "node:fs";
import { sep } from "node:path";
import { utf8Encode } from "../../../core/base/bytes.ts";
import {
  type Cipher,
  cipherOf,
  hkdf,
  NONCE_BYTES,
  SALT_BYTES,
  SECRET_BYTES,
} from "../../../core/base/vault.ts";
import { readPrivateFile } from "./private_file.ts";

export type SealKind = "passphrase" | "key-file";

const SCRYPT = { N: 2 ** 17, r: 8, p: 1, maxmem: 192 * 2 ** 20 };
const KEY_FILE_PURPOSE = "space-opera 1 key file";
export const KEY_FILE_BYTES_MIN = 32;
const KEY_FILE_BYTES_MAX = 64 * 1024;
/** Of a passphrase that is chosen now. scrypt makes a guess dear, and cannot make up for few possibilities. */
export const PASSPHRASE_CHARS_MIN = 10;
export const PASSPHRASE_CHARS_MAX = 1024;

/**
 * missing, inside, short: of a key file that is not there, lies beside what it is to protect, or has too few bytes.
 * weak: a passphrase that is too short to be chosen, or too long.
 */
export type SealingErrorReason = "missing" | "inside" | "short" | "weak";

export class SealingError extends Error {
  override readonly name = "SealingError";
  constructor(readonly reason: SealingErrorReason, message: string) {
    super(message);
  }
}

/** What somebody has that opens a box. Shows itself to nobody. */
export class Sealing {
  readonly kind: SealKind;
  readonly #material: Uint8Array;

  private constructor(kind: SealKind, material: Uint8Array) {
    this.kind = kind;
    this.#material = material;
  }

  /**
   * To open with: whatever was typed. Keyboards differ in how they compose a letter, so its form is made one (NFKC).
   * @throws {SealingError} "weak" past PASSPHRASE_CHARS_MAX
   */
  static passphrase(text: string): Sealing {
    if (text.length > PASSPHRASE_CHARS_MAX) {
      throw new SealingError("weak", `A passphrase has at most ${PASSPHRASE_CHARS_MAX} characters`);
    }
    return new Sealing("passphrase", utf8Encode(text.normalize("NFKC")));
  }

  /**
   * To seal with.
   * @throws {SealingError} "weak" where it is too short
   */
  static newPassphrase(text: string): Sealing {
    if ([...text].length < PASSPHRASE_CHARS_MIN) {
      throw new SealingError(
        "weak",
        `A passphrase has at least ${PASSPHRASE_CHARS_MIN} characters. Choose a longer one, several words for instance`,
      );
    }
    return Sealing.passphrase(text);
  }

  /**
   * A file of random bytes that lies elsewhere than what it opens: a removable disk, a mounted secret.
   * @throws {SealingError}
   * @throws {PrivateFileError} where others may read it
   */
  static keyFile(path: string, { outside }: { readonly outside: string }): Sealing {
    const bytes = readPrivateFile(path, KEY_FILE_BYTES_MAX);
    if (bytes === null) {
      throw new SealingError(
        "missing",
        `There is no key file "${path}". Mount what holds it, or name another`,
      );
    }
    checkOutside(path, outside);
    if (bytes.length < KEY_FILE_BYTES_MIN) {
      throw new SealingError(
        "short",
        `The key file "${path}" has ${bytes.length} bytes and needs ${KEY_FILE_BYTES_MIN}. Make one with: ` +
          `head -c 32 /dev/urandom > FILE`,
      );
    }
    return new Sealing("key-file", bytes);
  }

  /** The key for a box with this salt. Takes half a second for a passphrase. */
  unlock(salt: Uint8Array): BoxKey {
    return new BoxKey(this.kind, salt, this.#derive(salt));
  }

  #derive(salt: Uint8Array): Uint8Array {
    return this.kind === "passphrase"
      ? new Uint8Array(scryptSync(this.#material, salt, SECRET_BYTES, SCRYPT))
      : hkdf(this.#material, salt, KEY_FILE_PURPOSE);
  }
}

/** nonce and sealed text of one writing. */
export interface Box {
  readonly nonce: Uint8Array;
  readonly sealed: Uint8Array;
}

/** The key of one box, which lasts over its writings. */
export class BoxKey {
  readonly kind: SealKind;
  readonly salt: Uint8Array;
  readonly #cipher: Cipher;

  constructor(kind: SealKind, salt: Uint8Array, key: Uint8Array) {
    this.kind = kind;
    this.salt = salt;
    this.#cipher = cipherOf(key);
  }

  static newSalt(): Uint8Array {
    return crypto.getRandomValues(new Uint8Array(SALT_BYTES));
  }

  seal(plaintext: Uint8Array, additional: Uint8Array): Box {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    return { nonce, sealed: this.#cipher.seal(nonce, plaintext, additional) };
  }

  /** null: another key, or another box. */
  open({ nonce, sealed }: Box, additional: Uint8Array): Uint8Array | null {
    return this.#cipher.open(nonce, sealed, additional);
  }
}

/**
 * Refuses a file that would be stolen together with the directory.
 * @throws {SealingError} "inside"
 */
export function checkOutside(path: string, directory: string): void {
  const file = realpathSync(path);
  const parent = realDirectory(directory);
  if (parent === null || !file.startsWith(parent.endsWith(sep) ? parent : parent + sep)) return;
  throw new SealingError(
    "inside",
    `"${path}" lies inside the data directory "${directory}", so whoever takes the one has the other. Keep it elsewhere`,
  );
}

/** null: there is none yet, so nothing lies in it. */
function realDirectory(path: string): string | null {
  try {
    return realpathSync(path);
  } catch (error) {
    if (error instanceof Error && (error as Error & { code?: unknown }).code === "ENOENT") return null;
    throw error;
  }
}
