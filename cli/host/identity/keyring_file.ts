/**
 * The form of DIR/keyring.json.
 *
 *     { "format": 1, "checksum": SHA-256 of the text of "keyring", "keyring": {
 *         "network", "disk",
 *         "seal": null or { "kind": "passphrase" | "key-file", "salt", "nonce" },
 *         "content": an object, or where it is sealed the base64 of its sealed JSON } }
 *
 * The checksum tells a damaged file from a wrong passphrase; it protects from nobody. What stands outside the box is
 * bound to it as additional data, so a box does not open under another network's or directory's name.
 */
import { createHash } from "node:crypto";
import { invariant } from "../../../core/base/invariant.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { encode } from "../../../core/wire/cbor.ts";
import { NONCE_BYTES, SALT_BYTES, SECRET_BYTES, TAG_BYTES } from "../../../core/base/vault.ts";
import { CERTIFICATE_BYTES_MAX } from "./certificates.ts";
import { isPublicKey, SEED_BYTES } from "./ed25519.ts";
import type { Box, SealKind } from "./sealing.ts";

export const KEYRING_FORMAT = 1;
export const KEYRING_BYTES_MAX: number = 256 * 1024;
export const KEYRING_GENERATIONS_MAX = 32;
invariant(KEYRING_GENERATIONS_MAX > LIMITS.networkKeysMax, "A keyring holds all keys of its network");
const NAME_BYTES_MAX = 64;

/**
 * missing: there is no keyring. exists: there is one where a new one was to be made. damaged: it cannot be what was
 * written. newer: by a later version. foreign: of another network or data directory. sealed, not-sealed: it needs a
 * passphrase or key file, or needs none. wrong-passphrase, wrong-key-file: they do not open it. unknown-generation: it
 * has no such secret. mismatch: a secret and its authority do not belong together, or a generation has another one.
 * full: it has too many generations.
 */
export type KeyringErrorReason =
  | "missing"
  | "exists"
  | "damaged"
  | "newer"
  | "foreign"
  | "sealed"
  | "not-sealed"
  | "wrong-passphrase"
  | "wrong-key-file"
  | "unknown-generation"
  | "mismatch"
  | "full";

/** The message never has a secret in it. */
export class KeyringError extends Error {
  override readonly name = "KeyringError";
  constructor(readonly reason: KeyringErrorReason, message: string) {
    super(message);
  }
}

/** Of a secret that is there: see NetworkKey. */
export type GenerationState = "made" | "current" | "former";

export interface StoredGeneration {
  readonly state: GenerationState;
  /** 32 bytes. */
  readonly secret: Uint8Array;
  /** The certificate of its authority, in DER. */
  readonly authority: Uint8Array;
}

/** What a founder needs for the first view of its network, until that is on its disk. */
export interface Founding {
  /** The public part of the first access key, which may do everything. */
  readonly access: { readonly id: string; readonly publicKey: string; readonly name: string };
  /** What of the network's settings is not as usual; checked when the view is made. */
  readonly settings?: Readonly<Record<string, number | boolean>>;
}

export interface KeyringContent {
  /** Of the node's own key, 32 bytes. */
  readonly seed: Uint8Array;
  /** The node's certificates in DER, by the generation that issued them. */
  readonly certificates: ReadonlyMap<number, Uint8Array>;
  readonly generations: ReadonlyMap<number, StoredGeneration>;
  readonly founding: Founding | null;
}

/** What anyone who has the file knows. */
export interface KeyringHead {
  /** 32 hexadecimal digits. */
  readonly network: string;
  /** Of the data directory, see Member.disk. */
  readonly disk: string;
  readonly seal: { readonly kind: SealKind; readonly salt: Uint8Array } | null;
}

export type KeyringFile =
  | { readonly kind: "open"; readonly head: KeyringHead; readonly content: KeyringContent }
  | { readonly kind: "sealed"; readonly head: KeyringHead; readonly box: Box };

export function formatKeyring(file: KeyringFile): Uint8Array {
  const { network, disk, seal } = file.head;
  const keyring = file.kind === "open" ? { network, disk, seal: null, content: contentJson(file.content) } : {
    network,
    disk,
    seal: { kind: seal!.kind, salt: seal!.salt.toBase64(), nonce: file.box.nonce.toBase64() },
    content: file.box.sealed.toBase64(),
  };
  const checksum = checksumOf(JSON.stringify(keyring));
  return new TextEncoder().encode(
    JSON.stringify({ format: KEYRING_FORMAT, checksum, keyring }, null, 2) + "\n",
  );
}

/** @throws {KeyringError} "damaged" or "newer" */
export function parseKeyring(path: string, bytes: Uint8Array): KeyringFile {
  return guarded<KeyringFile>(path, () => {
    const file = record(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)));
    if (typeof file.format === "number" && file.format > KEYRING_FORMAT) throw newer(path, file.format);
    if (file.format !== KEYRING_FORMAT) bad("its format is no number that this program knows");
    const keyring = record(file.keyring);
    if (checksumOf(JSON.stringify(keyring)) !== file.checksum) bad("its checksum does not fit what is in it");
    const { network, disk } = keyring;
    if (typeof network !== "string" || !/^[0-9a-f]{32}$/.test(network)) {
      bad("network has 32 hexadecimal digits");
    }
    if (typeof disk !== "string" || disk.length > NAME_BYTES_MAX) bad("disk is a name");
    if (keyring.seal === null) {
      return {
        kind: "open",
        head: { network, disk, seal: null },
        content: contentOf(record(keyring.content)),
      };
    }
    const { kind, salt, nonce } = record(keyring.seal);
    if (kind !== "passphrase" && kind !== "key-file") bad("its seal is of no kind that this program knows");
    const sealed = base64(keyring.content, TAG_BYTES, KEYRING_BYTES_MAX);
    const head: KeyringHead = { network, disk, seal: { kind, salt: base64(salt, SALT_BYTES, SALT_BYTES) } };
    return { kind: "sealed", head, box: { nonce: base64(nonce, NONCE_BYTES, NONCE_BYTES), sealed } };
  });
}

/** What goes into a box. */
export function encodeContent(content: KeyringContent): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(contentJson(content)));
}

/** @throws {KeyringError} "damaged" */
export function decodeContent(path: string, bytes: Uint8Array): KeyringContent {
  return guarded(
    path,
    () => contentOf(record(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)))),
  );
}

/** What a box is bound to. */
export function additionalOf({ network, disk, seal }: KeyringHead): Uint8Array {
  return encode(["space-opera keyring", KEYRING_FORMAT, network, disk, seal!.kind, seal!.salt]);
}

function contentJson({ seed, certificates, generations, founding }: KeyringContent): Record<string, unknown> {
  return {
    seed: seed.toHex(),
    certificates: [...certificates].map(([generation, der]) => ({ generation, der: der.toBase64() })),
    generations: [...generations].map(([id, { state, secret, authority }]) => ({
      id,
      state,
      secret: secret.toHex(),
      authority: authority.toBase64(),
    })),
    founding,
  };
}

function contentOf({ seed, certificates, generations, founding }: Record<string, unknown>): KeyringContent {
  return {
    seed: hex(seed, SEED_BYTES),
    certificates: entries(certificates, ({ generation, der }) => [
      integer(generation),
      base64(der, 1, CERTIFICATE_BYTES_MAX),
    ]),
    generations: entries(generations, ({ id, ...stored }) => [integer(id), storedOf(stored)]),
    founding: founding === null ? null : foundingOf(record(founding)),
  };
}

function storedOf({ state, secret, authority }: Record<string, unknown>): StoredGeneration {
  if (state !== "made" && state !== "current" && state !== "former") bad("a generation has an unknown state");
  return {
    state,
    secret: hex(secret, SECRET_BYTES),
    authority: base64(authority, 1, CERTIFICATE_BYTES_MAX),
  };
}

function foundingOf({ access, settings }: Record<string, unknown>): Founding {
  const { id, publicKey, name } = record(access);
  if (typeof id !== "string" || id.length > NAME_BYTES_MAX) bad("the id of an access key is a name");
  if (typeof publicKey !== "string" || !isPublicKey(publicKey)) bad("a public key has 64 hexadecimal digits");
  if (typeof name !== "string" || name.length > NAME_BYTES_MAX) bad("the name of an access key is a name");
  const changed = settings === undefined ? {} : { settings: settingsOf(record(settings)) };
  return { access: { id, publicKey, name }, ...changed };
}

function settingsOf(settings: Record<string, unknown>): Record<string, number | boolean> {
  const read: [string, number | boolean][] = [];
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value !== "boolean" && (typeof value !== "number" || !Number.isSafeInteger(value))) {
      bad("a setting is an integer, or true or false");
    }
    read.push([name, value]);
  }
  return Object.fromEntries(read);
}

/** Something in the file is not as it was written. Caught in guarded(); the message has no value in it: all are secret. */
class Damage extends Error {}

function bad(what: string): never {
  throw new Damage(what);
}

function guarded<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof KeyringError) throw error;
    // The parser's own message would quote the text around the fault, which may be a secret.
    const why = error instanceof Damage ? error.message : "it is not JSON in UTF-8";
    if (!(error instanceof Damage || error instanceof SyntaxError || error instanceof TypeError)) throw error;
    throw new KeyringError("damaged", `The keyring "${path}" is damaged: ${why}. Restore it from a backup`);
  }
}

function newer(path: string, format: number): KeyringError {
  return new KeyringError(
    "newer",
    `The keyring "${path}" has format ${format}, and this program knows ${KEYRING_FORMAT}. Start the version that wrote it`,
  );
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) bad("an object is missing");
  return value as Record<string, unknown>;
}

function entries<T>(value: unknown, read: (item: Record<string, unknown>) => [number, T]): Map<number, T> {
  if (!Array.isArray(value) || value.length > KEYRING_GENERATIONS_MAX) bad("a list is missing or too long");
  const map = new Map(value.map((item) => read(record(item))));
  if (map.size !== value.length) bad("a generation comes twice");
  return map;
}

function integer(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1) {
    bad("a generation counts from 1");
  }
  return value;
}

function hex(value: unknown, length: number): Uint8Array {
  if (typeof value !== "string" || !/^[0-9a-f]*$/.test(value) || value.length !== 2 * length) {
    bad(`${length} bytes in hexadecimal digits are missing`);
  }
  return Uint8Array.fromHex(value);
}

function base64(value: unknown, min: number, max: number): Uint8Array {
  if (typeof value !== "string" || value.length > 2 * max + 4 || !/^[A-Za-z0-9+/]*={0,2}$/.test(value)) {
    bad("bytes in base64 are missing");
  }
  let bytes;
  try {
    bytes = Uint8Array.fromBase64(value, { lastChunkHandling: "strict" });
  } catch {
    return bad("bytes in base64 are cut short");
  }
  if (bytes.length < min || bytes.length > max) bad(`${min} to ${max} bytes are due, not ${bytes.length}`);
  return bytes;
}

function checksumOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
