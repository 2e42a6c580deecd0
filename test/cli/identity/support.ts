/** What the tests of identity share: a network, its generations, and certificates that this program would not make. */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { join } from "node:path";
import { concatBytes } from "../../../core/base/bytes.ts";
import { issueAuthority, issueMember } from "../../../cli/host/identity/issuing.ts";
import {
  newSeed,
  pkcs8Of,
  publicKeyOfSeed,
  signWithSeed,
  spkiOf,
} from "../../../cli/host/identity/ed25519.ts";
import { authoritySeed } from "../../../cli/host/identity/certificates.ts";

export const NETWORK = "00112233445566778899aabbccddeeff";
export const OTHER_NETWORK = "ff".repeat(16);
/** 21 November 2026, noon. */
export const NOW = Date.UTC(2026, 10, 21, 12);
export const DAY_MS = 24 * 3600 * 1000;

export interface Generation {
  readonly id: number;
  readonly secret: Uint8Array;
  readonly authority: Uint8Array;
}

export async function generation(
  { id = 1, network = NETWORK, fill = id, now = NOW }: {
    id?: number;
    network?: string;
    fill?: number;
    now?: number;
  } = {},
): Promise<Generation> {
  const secret = new Uint8Array(32).fill(fill);
  return { id, secret, authority: await issueAuthority({ network, generation: id, secret, now }) };
}

export interface TestMember {
  readonly node: string;
  readonly seed: Uint8Array;
  readonly key: string;
  readonly der: Uint8Array;
}

export async function member(
  { authority, secret }: Generation,
  { node = "sirius", now = NOW, seed = newSeed() }: { node?: string; now?: number; seed?: Uint8Array } = {},
): Promise<TestMember> {
  const key = publicKeyOfSeed(seed);
  return { node, seed, key, der: await issueMember({ authority, secret, node, publicKey: key, now }) };
}

const ALGORITHM = { name: "Ed25519" };

/** A certificate with whatever extensions, signed by a generation's authority as if it had issued it. */
export async function crafted(
  by: Generation,
  { subject, issuer, key, extensions, notAfter }: {
    subject: string;
    issuer: string;
    key: string;
    extensions: x509.Extension[];
    notAfter?: number;
  },
): Promise<Uint8Array> {
  const subtle = crypto.subtle;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: "01",
    subject: new x509.Name([{ CN: [{ utf8String: subject }] }]),
    issuer: new x509.Name([{ CN: [{ utf8String: issuer }] }]),
    notBefore: new Date(NOW - 60_000),
    notAfter: new Date(notAfter ?? NOW + DAY_MS),
    publicKey: await subtle.importKey("spki", spkiOf(key), ALGORITHM, true, ["verify"]),
    signingKey: await subtle.importKey("pkcs8", pkcs8Of(authoritySeed(by.secret)), ALGORITHM, false, [
      "sign",
    ]),
    signingAlgorithm: ALGORITHM,
    extensions,
  });
  return new Uint8Array(certificate.rawData);
}

/** DER by hand: a tag and the values inside. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concatBytes(parts);
  const { length } = content;
  const head = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 0xff];
  return concatBytes([Uint8Array.from(head), content]);
}

/** The signed part of a certificate again, changed, and signed by a generation's authority as if it had issued it. */
export function resigned(
  certificate: Uint8Array,
  by: Generation,
  change: (signed: Uint8Array) => Uint8Array,
): Uint8Array {
  const body = certificate.subarray(4); // a sequence of more than 255 bytes
  const length = 4 + ((body[2]! << 8) | body[3]!);
  const signed = change(body.slice(0, length));
  const signature = signWithSeed(authoritySeed(by.secret), signed);
  return der(0x30, signed, ED25519, der(0x03, Uint8Array.of(0), signature));
}

export const ED25519 = Uint8Array.fromHex("300506032b6570");

/** `bytes` with the only place where `from` stands holding `to`, which is as long; both in hexadecimal digits. */
export function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const text = bytes.toHex();
  const at = text.indexOf(from);
  if (at < 0 || text.indexOf(from, at + 1) >= 0 || from.length !== to.length) {
    throw new Error(`${from} does not stand in one place of ${text}`);
  }
  return Uint8Array.fromHex(text.slice(0, at) + to + text.slice(at + from.length));
}

export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

/** A directory that is gone afterwards. */
export async function withDirectory(use: (path: string) => Promise<void> | void): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "space-opera-" });
  try {
    const directory = join(path, "data");
    await Deno.mkdir(directory, { mode: 0o700 });
    await use(directory);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}
