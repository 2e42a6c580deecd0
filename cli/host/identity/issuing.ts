/**
 * Makes certificates. Every member can, since every member has the secrets of the generations. The package that writes
 * them takes a while to load (90 to 300 ms), so that is done when the first is due: a node that starts with a valid
 * certificate never does.
 */
import type { Name } from "@peculiar/x509";
import { createHash } from "node:crypto";
import { isNodeId } from "../../../core/base/ids.ts";
import { utf8Encode } from "../../../core/base/bytes.ts";
import {
  authorityMatches,
  authorityName,
  authoritySeed,
  CertificateError,
  checkValidity,
  CLOCK_SKEW_MS,
  MEMBER_NAME,
  readAuthority,
} from "./certificates.ts";
import { isPublicKey, pkcs8Of, publicKeyOfSeed, spkiOf } from "./ed25519.ts";

export { CLOCK_SKEW_MS } from "./certificates.ts";

const DAY_MS = 24 * 60 * 60_000;
export const AUTHORITY_LIFE_MS: number = 20 * 365 * DAY_MS;
export const MEMBER_LIFE_MS: number = 90 * DAY_MS;

const ED25519 = { name: "Ed25519" };
const SERIAL_BYTES = 16;

export interface AuthorityRequest {
  readonly network: string;
  readonly generation: number;
  /** Of the generation, 32 bytes. */
  readonly secret: Uint8Array;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * The certificate of a generation's authority, in DER. The same arguments give the same bytes.
 * @throws {CertificateError} "profile" where network or generation cannot be in one
 */
export async function issueAuthority(
  { network, generation, secret, now }: AuthorityRequest,
): Promise<Uint8Array> {
  const x509 = await library();
  const seed = authoritySeed(secret);
  const key = publicKeyOfSeed(seed);
  const publicKey = await importPublic(key);
  const name = commonName(x509, authorityName(network, generation));
  const notBefore = validFrom(now);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialOf(
      createHash("sha256").update(utf8Encode(`${network} ${generation} ${key}`)).digest(),
    ),
    subject: name,
    issuer: name,
    notBefore: new Date(notBefore),
    notAfter: new Date(notBefore + AUTHORITY_LIFE_MS),
    publicKey,
    signingKey: await importPrivate(seed),
    signingAlgorithm: ED25519,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  const der = new Uint8Array(certificate.rawData);
  readAuthority(der);
  return der;
}

export interface MemberRequest {
  /** The certificate of the generation's authority, in DER. */
  readonly authority: Uint8Array;
  /** Of the generation, 32 bytes. */
  readonly secret: Uint8Array;
  readonly node: string;
  /** The member's own, 64 hexadecimal digits. */
  readonly publicKey: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** From now on; without it MEMBER_LIFE_MS, of which the time before now is a part. */
  readonly lifeMs?: number;
}

/**
 * A certificate for a member's key, in DER. It never outlives the authority's.
 * @throws {CertificateError} "wrong-key" where the secret is not the authority's, "wrong-node" for a name that no node
 * has, "algorithm" for a public key that is none, "expired" or "not-yet-valid" as the authority is
 */
export async function issueMember(request: MemberRequest): Promise<Uint8Array> {
  const { secret, node, now } = request;
  const authority = readAuthority(request.authority);
  if (!authorityMatches(request.authority, secret)) {
    throw new CertificateError("wrong-key", "The secret is not that of the authority");
  }
  if (!isNodeId(node)) {
    throw new CertificateError("wrong-node", `No node has the name ${JSON.stringify(node)}`);
  }
  if (!isPublicKey(request.publicKey)) {
    throw new CertificateError("algorithm", `The key of node "${node}" is no usable key of Ed25519`);
  }
  checkValidity(authority, now);
  const x509 = await library();
  const notBefore = validFrom(now);
  const notAfter = request.lifeMs === undefined ? notBefore + MEMBER_LIFE_MS : now + request.lifeMs;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialOf(crypto.getRandomValues(new Uint8Array(SERIAL_BYTES))),
    subject: commonName(x509, node),
    issuer: commonName(x509, authorityName(authority.network, authority.generation)),
    notBefore: new Date(notBefore),
    notAfter: new Date(Math.min(notAfter, authority.notAfter)),
    publicKey: await importPublic(request.publicKey),
    signingKey: await importPrivate(authoritySeed(secret)),
    signingAlgorithm: ED25519,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension([{ type: "dns", value: MEMBER_NAME }]),
      await x509.AuthorityKeyIdentifierExtension.create(await importPublic(authority.key)),
    ],
  });
  return new Uint8Array(certificate.rawData);
}

type Library = typeof import("@peculiar/x509");
let loaded: Promise<Library> | null = null;

function library(): Promise<Library> {
  return loaded ??= load();
}

async function load(): Promise<Library> {
  // The package finds its parts through decorators, which need this first.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(crypto);
  return x509;
}

/** As UTF-8 whatever the name is: the package would read the text "#…" as hexadecimal digits. */
function commonName(x509: Library, name: string): Name {
  return new x509.Name([{ CN: [{ utf8String: name }] }]);
}

/** Whole seconds, as certificates have them. */
function validFrom(now: number): number {
  return Math.floor((now - CLOCK_SKEW_MS) / 1000) * 1000;
}

/** 16 bytes that are a positive number in its shortest form (RFC 5280, section 4.1.2.2), in hexadecimal digits. */
function serialOf(bytes: Uint8Array): string {
  const serial = Uint8Array.from(bytes.subarray(0, SERIAL_BYTES));
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return serial.toHex();
}

function importPublic(publicKey: string): Promise<CryptoKey> {
  return crypto.subtle.importKey("spki", spkiOf(publicKey), ED25519, true, ["verify"]);
}

function importPrivate(seed: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey("pkcs8", pkcs8Of(seed), ED25519, false, ["sign"]);
}
