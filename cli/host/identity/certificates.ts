/**
 * The certificates of a network, as they are read: at once, strictly, and without a package. Whoever can be reached can
 * be sent any bytes as a certificate, so only what issuing.ts makes is taken for one:
 *
 *  C1  X.509 version 3, at most CERTIFICATE_BYTES_MAX long, one name (CN) for subject and issuer.
 *  C2  Keys and signatures are Ed25519.
 *  C3  An authority signed itself, is named after network and generation, is a CA for nothing but certificates that
 *      are none, and may be used for signing certificates only.
 *  C4  A member's certificate is no CA, has the node's id as its name and MEMBER_NAME as the name that TLS checks, and
 *      is good for both ends of a connection.
 *
 * That a certificate was read says nothing of who presents it: TLS proves that, and the view says whether its key is
 * a member's.
 */
import { createHash } from "node:crypto";
import { utf8Decode } from "../../../core/base/bytes.ts";
import { isNodeId, type NodeId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { deriveSecret, PURPOSES } from "../../../core/base/vault.ts";
import { DerError, DerReader, TAG } from "./der.ts";
import {
  isPublicKey,
  PUBLIC_KEY_BYTES,
  publicKeyOfSeed,
  SIGNATURE_BYTES,
  verifySignature,
} from "./ed25519.ts";

/** Both kinds are far smaller. */
export const CERTIFICATE_BYTES_MAX: number = LIMITS.authorityBytesMax;
/** The DNS name in every member's certificate: who is meant is told by its key, not by where it is. */
export const MEMBER_NAME = "member.space-opera";

/** A certificate is valid from this long before it was issued: others' clocks may be behind. */
export const CLOCK_SKEW_MS: number = 10 * 60_000;

/**
 * size, damaged: no certificate. version, algorithm, profile: a certificate, but none of a network. signature: it was
 * not signed by whom it names. expired, not-yet-valid: by the clock given. wrong-key, wrong-node, wrong-network: it
 * belongs to another.
 */
export type CertificateErrorReason =
  | "size"
  | "damaged"
  | "version"
  | "algorithm"
  | "profile"
  | "signature"
  | "expired"
  | "not-yet-valid"
  | "wrong-key"
  | "wrong-node"
  | "wrong-network";

export class CertificateError extends Error {
  override readonly name = "CertificateError";
  constructor(readonly reason: CertificateErrorReason, message: string) {
    super(message);
  }
}

interface Certificate {
  readonly der: Uint8Array;
  /** 64 hexadecimal digits. */
  readonly key: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The certificate of a generation's authority. */
export interface Authority extends Certificate {
  readonly network: string;
  readonly generation: number;
}

export interface MemberCertificate extends Certificate {
  readonly node: NodeId;
  /** Of the authority that it names. */
  readonly network: string;
  readonly generation: number;
}

/**
 * An authority, whose signature of itself was checked. Its validity was not: see checkValidity().
 * @throws {CertificateError}
 */
export function readAuthority(der: Uint8Array): Authority {
  const parsed = parse(der);
  const named = AUTHORITY_NAME.exec(parsed.subject);
  if (named === null || parsed.issuer !== parsed.subject) {
    throw new CertificateError(
      "profile",
      `The certificate of "${shown(parsed.subject)}" is not that of an authority`,
    );
  }
  if (
    !parsed.ca || parsed.pathLength !== 0 || parsed.keyUsage !== KEY_CERT_SIGN ||
    parsed.extendedUsages !== null
  ) {
    throw new CertificateError("profile", "An authority may sign certificates, and nothing else");
  }
  if (!verifySignature(parsed.key, parsed.signed, parsed.signature)) {
    throw new CertificateError("signature", "The authority has not signed its own certificate");
  }
  return { ...certificateOf(parsed), network: named[1]!, generation: Number(named[2]) };
}

/**
 * The certificate of a member. Who signed it was not checked: see checkMember().
 * @throws {CertificateError}
 */
export function readMember(der: Uint8Array): MemberCertificate {
  return memberOf(parse(der));
}

export interface MemberCheck {
  readonly authority: Uint8Array;
  readonly node: string;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * What a node looks at before it uses a certificate that it was given: it is for this node and its key, signed by
 * this authority, and valid now.
 * @throws {CertificateError}
 */
export function checkMember(
  der: Uint8Array,
  { authority: authorityDer, node, publicKey, now }: MemberCheck,
): void {
  const authority = readAuthority(authorityDer);
  const parsed = parse(der);
  const member = memberOf(parsed);
  if (member.network !== authority.network || member.generation !== authority.generation) {
    throw new CertificateError(
      "wrong-network",
      `The certificate is of generation ${member.generation} of network ${member.network}, not of ` +
        `generation ${authority.generation} of network ${authority.network}`,
    );
  }
  if (!verifySignature(authority.key, parsed.signed, parsed.signature)) {
    throw new CertificateError(
      "signature",
      `The network's authority has not signed the certificate of "${member.node}"`,
    );
  }
  if (member.node !== node) {
    throw new CertificateError(
      "wrong-node",
      `The certificate is for node "${member.node}", not for "${node}"`,
    );
  }
  if (member.key !== publicKey) {
    throw new CertificateError("wrong-key", `The certificate of node "${node}" is for another key`);
  }
  checkValidity(authority, now);
  checkValidity(member, now);
}

/** @throws {CertificateError} where `now`, in milliseconds since 1970, is not within its life */
export function checkValidity(
  { notBefore, notAfter }: Pick<Certificate, "notBefore" | "notAfter">,
  now: number,
): void {
  if (now < notBefore) {
    throw new CertificateError(
      "not-yet-valid",
      `The certificate is valid from ${new Date(notBefore).toISOString()}, and this machine's clock says ` +
        `${new Date(now).toISOString()}. Set the clock`,
    );
  }
  if (now > notAfter) {
    throw new CertificateError(
      "expired",
      `The certificate expired at ${new Date(notAfter).toISOString()}, and this machine's clock says ` +
        `${new Date(now).toISOString()}. Set the clock, or have a new certificate issued`,
    );
  }
}

/** The public key of any certificate of a network, 64 hexadecimal digits. @throws {CertificateError} */
export function publicKeyOf(der: Uint8Array): string {
  return parse(der).key;
}

/** SHA-256 of a certificate, 64 hexadecimal digits. */
export function fingerprint(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

/** True where the authority's key comes from this secret of a generation. @throws {CertificateError} */
export function authorityMatches(der: Uint8Array, secret: Uint8Array): boolean {
  return readAuthority(der).key === publicKeyOfSeed(authoritySeed(secret));
}

/**
 * True once two thirds of its life are over, counted from when it was issued, and as long as it is not valid yet.
 * @throws {CertificateError}
 */
export function renewalDue(der: Uint8Array, now: number): boolean {
  const { notBefore, notAfter } = parse(der);
  const issued = Math.min(notBefore + CLOCK_SKEW_MS, notAfter);
  return now < notBefore || now >= issued + (notAfter - issued) * 2 / 3;
}

/** As node:tls takes it. */
export function certificatePem(der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

export function authorityName(network: string, generation: number): string {
  return `Space Opera ${network} ${generation}`;
}

/** The seed of the authority's key pair. */
export function authoritySeed(secret: Uint8Array): Uint8Array {
  return deriveSecret(secret, PURPOSES.authority);
}

const AUTHORITY_NAME = /^Space Opera ([0-9a-f]{32}) ([1-9]\d{0,8})$/;
const OID = {
  ed25519: "2b6570",
  commonName: "550403",
  basicConstraints: "551d13",
  keyUsage: "551d0f",
  extendedKeyUsage: "551d25",
  subjectAltName: "551d11",
} as const;
/** serverAuth and clientAuth. */
const USAGES = "2b06010505070301 2b06010505070302";
/** The one byte of a key usage (RFC 5280, section 4.2.1.3). */
const KEY_CERT_SIGN = 0x04;
const DIGITAL_SIGNATURE = 0x80;
/** Context-specific tags of a certificate. */
const VERSION = 0xa0, EXTENSIONS = 0xa3, DNS_NAME = 0x82;
const EXTENSIONS_MAX = 16;
const SERIAL_BYTES_MAX = 20;

interface Extensions {
  ca: boolean;
  pathLength: number | null;
  keyUsage: number | null;
  extendedUsages: string | null;
  dnsName: string | null;
}

interface Parsed extends Certificate, Extensions {
  readonly subject: string;
  readonly issuer: string;
  /** The bytes that the signature is of. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

function certificateOf({ der, key, notBefore, notAfter }: Parsed): Certificate {
  return { der, key, notBefore, notAfter };
}

function memberOf(parsed: Parsed): MemberCertificate {
  const named = AUTHORITY_NAME.exec(parsed.issuer);
  const { subject } = parsed;
  if (named === null || !isNodeId(subject)) {
    throw new CertificateError("profile", `The certificate of "${shown(subject)}" is not that of a member`);
  }
  if (parsed.ca || parsed.pathLength !== null) {
    throw new CertificateError(
      "profile",
      `The certificate of node "${subject}" says that it is an authority`,
    );
  }
  const { keyUsage, extendedUsages, dnsName } = parsed;
  if (keyUsage !== DIGITAL_SIGNATURE || extendedUsages !== USAGES || dnsName !== MEMBER_NAME) {
    throw new CertificateError(
      "profile",
      `The certificate of node "${subject}" is not for connections of members`,
    );
  }
  return { ...certificateOf(parsed), node: subject, network: named[1]!, generation: Number(named[2]) };
}

function parse(der: Uint8Array): Parsed {
  if (der.length === 0 || der.length > CERTIFICATE_BYTES_MAX) {
    throw new CertificateError(
      "size",
      `A certificate has 1 to ${CERTIFICATE_BYTES_MAX} bytes, not ${der.length}`,
    );
  }
  try {
    return parseDer(der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new CertificateError("damaged", `These bytes are not a certificate: ${error.message}`);
  }
}

/** RFC 5280, section 4.1. */
function parseDer(der: Uint8Array): Parsed {
  const file = new DerReader(der);
  const outer = file.enter(TAG.sequence);
  file.end();
  const signed = outer.whole(TAG.sequence);
  readAlgorithm(outer);
  const signature = outer.bits();
  outer.end();
  if (signature.length !== SIGNATURE_BYTES) throw new DerError("a signature of Ed25519 has 64 bytes");

  const inner = new DerReader(signed).enter(TAG.sequence);
  readVersion(inner);
  const serial = inner.bytes(TAG.integer);
  if (serial.length === 0 || serial.length > SERIAL_BYTES_MAX) {
    throw new DerError("a serial has 1 to 20 bytes");
  }
  readAlgorithm(inner);
  const issuer = readCommonName(inner);
  const validity = inner.enter(TAG.sequence);
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.end();
  if (notAfter <= notBefore) throw new DerError("a certificate ends before it begins");
  const subject = readCommonName(inner);
  const key = readKey(inner);
  const extensions = readExtensions(inner.enter(EXTENSIONS).enter(TAG.sequence));
  inner.end();
  return { der, key, notBefore, notAfter, subject, issuer, signed, signature, ...extensions };
}

/** A certificate of version 1 does not say so, and has no extensions that would bound what it is good for. */
function readVersion(reader: DerReader): void {
  const version = reader.next === VERSION ? reader.enter(VERSION).bytes(TAG.integer) : Uint8Array.of(0);
  if (version.length !== 1 || version[0] !== 2) {
    throw new CertificateError("version", "A certificate of a network has version 3 of X.509");
  }
}

function readAlgorithm(reader: DerReader): void {
  const algorithm = reader.enter(TAG.sequence);
  if (algorithm.oid() !== OID.ed25519 || !algorithm.atEnd) {
    throw new CertificateError("algorithm", "Keys and signatures of a network are Ed25519");
  }
}

function readKey(reader: DerReader): string {
  const info = reader.enter(TAG.sequence);
  readAlgorithm(info);
  const raw = info.bits();
  info.end();
  const key = raw.toHex();
  if (raw.length !== PUBLIC_KEY_BYTES || !isPublicKey(key)) {
    throw new CertificateError("algorithm", "The key in the certificate is no usable key of Ed25519");
  }
  return key;
}

function readCommonName(reader: DerReader): string {
  const name = reader.enter(TAG.sequence);
  const set = name.enter(TAG.set);
  const pair = set.enter(TAG.sequence);
  if (pair.oid() !== OID.commonName) throw new DerError("a name is a common name");
  const content = pair.bytes(TAG.utf8String);
  pair.end();
  set.end();
  name.end();
  try {
    return utf8Decode(content);
  } catch {
    throw new DerError("a name is no UTF-8");
  }
}

function readExtensions(list: DerReader): Extensions {
  const found: Extensions = {
    ca: false,
    pathLength: null,
    keyUsage: null,
    extendedUsages: null,
    dnsName: null,
  };
  const seen = new Set<string>();
  while (!list.atEnd) {
    const extension = list.enter(TAG.sequence);
    const oid = extension.oid();
    const critical = extension.next === TAG.boolean ? extension.boolean() : false;
    const value = new DerReader(extension.bytes(TAG.octetString));
    extension.end();
    if (seen.has(oid) || seen.size === EXTENSIONS_MAX) {
      throw new DerError("an extension comes twice, or too many");
    }
    seen.add(oid);
    if (!readExtension(oid, value, found) && critical) {
      throw new DerError(`the critical extension ${oid} is unknown`);
    }
  }
  if (!seen.has(OID.basicConstraints)) throw new DerError("it does not say whether it is an authority");
  return found;
}

/** False where the extension is not known; then it was not looked into. */
function readExtension(oid: string, value: DerReader, into: Extensions): boolean {
  switch (oid) {
    case OID.basicConstraints: {
      const constraints = value.enter(TAG.sequence);
      if (constraints.next === TAG.boolean) into.ca = constraints.boolean();
      if (!constraints.atEnd) into.pathLength = smallInteger(constraints);
      constraints.end();
      break;
    }
    case OID.keyUsage: {
      const content = value.bytes(TAG.bitString);
      if (content.length !== 2) throw new DerError("a key usage has another length");
      into.keyUsage = content[1]!;
      break;
    }
    case OID.extendedKeyUsage: {
      const usages = value.enter(TAG.sequence);
      const oids: string[] = [];
      while (!usages.atEnd) oids.push(usages.oid());
      into.extendedUsages = oids.join(" ");
      break;
    }
    case OID.subjectAltName: {
      const names = value.enter(TAG.sequence);
      into.dnsName = String.fromCharCode(...names.bytes(DNS_NAME));
      names.end();
      break;
    }
    default:
      return false;
  }
  value.end();
  return true;
}

function smallInteger(reader: DerReader): number {
  const content = reader.bytes(TAG.integer);
  if (content.length !== 1 || content[0]! > 0x7f) throw new DerError("a path length has one byte");
  return content[0]!;
}

/** A name from outside, fit for a message. */
function shown(name: string): string {
  return name.slice(0, 64).replace(/[^\x20-\x7e]/g, "?");
}
