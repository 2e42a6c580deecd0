/**
 * Ed25519 (RFC 8032) by the runtime. A private key is kept as its seed of 32 bytes, a public key as 64 hexadecimal
 * digits, so that it can be compared, listed and used as the key of a map.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { Buffer } from "node:buffer";

export const SEED_BYTES = 32;
export const PUBLIC_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** PKCS #8 of an Ed25519 key up to the seed (RFC 8410, section 7). */
const PKCS8_HEAD = Uint8Array.fromHex("302e020100300506032b657004220420");
/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410, section 4). */
const SPKI_HEAD = Uint8Array.fromHex("302a300506032b6570032100");
const PUBLIC_KEY = /^[0-9a-f]{64}$/;
/**
 * The points of small order, in all their forms, with the sign (the highest bit) cleared. Under such a key a signature
 * can be made without a private key: 64 fixed bytes fit one message in eight, or every message.
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  "00".repeat(32),
  "01" + "00".repeat(31),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ec" + "ff".repeat(30) + "7f",
  "ed" + "ff".repeat(30) + "7f",
  "ee" + "ff".repeat(30) + "7f",
]);

/** A seed from the system's source of randomness. */
export function newSeed(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SEED_BYTES));
}

/** 64 hexadecimal digits, and none of the keys under which anyone can sign. */
export function isPublicKey(text: string): boolean {
  if (!PUBLIC_KEY.test(text)) return false;
  const last = Number.parseInt(text.slice(62), 16) & 0x7f;
  return !SMALL_ORDER.has(text.slice(0, 62) + last.toString(16).padStart(2, "0"));
}

/** 64 hexadecimal digits. */
export function publicKeyOfSeed(seed: Uint8Array): string {
  const spki = createPublicKey(privateKey(seed)).export({ type: "spki", format: "der" });
  return spki.toString("hex", SPKI_HEAD.length);
}

/** 64 bytes, the same each time for the same seed and bytes. */
export function signWithSeed(seed: Uint8Array, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(sign(null, bytes, privateKey(seed)));
}

/** False for anything that is not this key's signature of these bytes, also where it is no key or no signature. */
export function verifySignature(publicKey: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (!isPublicKey(publicKey) || signature.length !== SIGNATURE_BYTES) return false;
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spkiOf(publicKey)), format: "der", type: "spki" });
  } catch {
    return false; // 32 bytes that name no point of the curve
  }
  return verify(null, bytes, key, signature);
}

/** As node:tls takes it. */
export function privateKeyPem(seed: Uint8Array): string {
  return `-----BEGIN PRIVATE KEY-----\n${pkcs8Of(seed).toBase64()}\n-----END PRIVATE KEY-----\n`;
}

/** PKCS #8 in DER. */
export function pkcs8Of(seed: Uint8Array): Uint8Array<ArrayBuffer> {
  if (seed.length !== SEED_BYTES) {
    throw new RangeError(`A seed of Ed25519 has ${SEED_BYTES} bytes, not ${seed.length}`);
  }
  const der = new Uint8Array(PKCS8_HEAD.length + SEED_BYTES);
  der.set(PKCS8_HEAD);
  der.set(seed, PKCS8_HEAD.length);
  return der;
}

/** SubjectPublicKeyInfo in DER. */
export function spkiOf(publicKey: string): Uint8Array<ArrayBuffer> {
  if (!isPublicKey(publicKey)) {
    throw new TypeError(`A public key has 64 hexadecimal digits, not ${JSON.stringify(publicKey)}`);
  }
  const der = new Uint8Array(SPKI_HEAD.length + PUBLIC_KEY_BYTES);
  der.set(SPKI_HEAD);
  der.set(Uint8Array.fromHex(publicKey), SPKI_HEAD.length);
  return der;
}

function privateKey(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(pkcs8Of(seed)), format: "der", type: "pkcs8" });
}
