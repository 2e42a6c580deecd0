/**
 * A profile: what a client needs to speak to a private network, in a file that only its owner may read.
 *
 *     { "format": 1, "network": 32 hexadecimal digits, "addresses": ["host:port"…],
 *       "authority": { "fingerprint": SHA-256 of the newest certificate, "certificates": [base64 of DER…] },
 *       "members": [{ "node", "key" }…],
 *       "access": { "id", "secret" } or null }
 *
 * The authorities say whom to believe, the members vouch for a new one when the network's keys rotate (handover.ts),
 * the access key says who is asking. People may edit the addresses; the rest the program keeps up to date.
 */
import { dirname, join } from "node:path";
import { isNodeId, type NodeId } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { AccessKeyError, Credentials } from "../host/identity/access_key.ts";
import {
  type Authority,
  CERTIFICATE_BYTES_MAX,
  CertificateError,
  fingerprint as fingerprintOf,
  readAuthority,
} from "../host/identity/certificates.ts";
import { isPublicKey } from "../host/identity/ed25519.ts";
import { PrivateFileError, readPrivateFile, writePrivateFile } from "../host/identity/private_file.ts";
import { parseAddress } from "../host/socket.ts";

const FORMAT = 1;
/** Holds a network of LIMITS.membersMax members. */
export const PROFILE_BYTES_MAX: number = 2 * 1024 * 1024;
export const PROFILE_ADDRESSES_MAX = 64;
export const PROFILE_AUTHORITIES_MAX = 8;
export const PROFILE_VARIABLE = "SPACE_OPERA_PROFILE";

export interface KnownMember {
  readonly node: NodeId;
  /** 64 hexadecimal digits. */
  readonly key: string;
}

export interface Profile {
  /** 32 hexadecimal digits. */
  readonly network: string;
  /** "host:port" of members, at least one. */
  readonly addresses: readonly string[];
  /** SHA-256 of the certificate of the newest authority believed, 64 hexadecimal digits. */
  readonly fingerprint: string;
  /** Those believed, the newest generation first; none where only the fingerprint is known. */
  readonly authorities: readonly Authority[];
  readonly members: readonly KnownMember[];
  /** null: the profile lets nobody log in. */
  readonly access: Credentials | null;
}

/** missing: there is no such file. unreadable, unwritable: the system refuses. rights: others may read it. */
export type ProfileErrorReason = "missing" | "unreadable" | "unwritable" | "rights" | "damaged" | "newer";

/** Names the file and what to do, and has no secret in it. */
export class ProfileError extends Error {
  override readonly name = "ProfileError";
  constructor(readonly reason: ProfileErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

export interface ProfileOptions {
  /** The value of --profile. */
  readonly profile?: string;
  /** Where "./space-opera-data" is looked for. */
  readonly directory?: string;
}

export interface FoundProfile {
  readonly path: string;
  readonly profile: Profile;
}

/**
 * The first that there is: --profile, SPACE_OPERA_PROFILE, ./space-opera-data/profile.json and
 * $HOME/.config/space-opera/profile.json; null: none, as for an open network. One that was named has to be there, and
 * one that is there has to be right: another is never taken in its place.
 * @throws {ProfileError}
 */
export function profileFrom(
  { profile, directory = "." }: ProfileOptions,
  env: (name: string) => string | undefined,
): FoundProfile | null {
  const named = profile ?? nonEmpty(env(PROFILE_VARIABLE));
  if (named !== undefined) return { path: named, profile: readProfile(named) };
  const home = nonEmpty(env("HOME"));
  const places = [join(directory, "space-opera-data", "profile.json")];
  if (home !== undefined) places.push(join(home, ".config", "space-opera", "profile.json"));
  for (const path of places) {
    const found = readIfThere(path);
    if (found !== null) return { path, profile: found };
  }
  return null;
}

/** @throws {ProfileError} */
export function readProfile(path: string): Profile {
  const profile = readIfThere(path);
  if (profile !== null) return profile;
  throw new ProfileError(
    "missing",
    `There is no profile "${path}". Name another with --profile or ${PROFILE_VARIABLE}, or have an operator make one`,
  );
}

/**
 * Written whole or not at all, for its owner only.
 * @throws {ProfileError} "unwritable"
 * @throws {RangeError} where it would not be read again
 */
export function writeProfile(path: string, profile: Profile): void {
  const text = formatProfile(profile);
  try {
    parseProfile(path, text);
  } catch (error) {
    if (!(error instanceof ProfileError)) throw error;
    throw new RangeError(`Such a profile cannot be written: ${error.message}`);
  }
  try {
    Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writePrivateFile(path, new TextEncoder().encode(text));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ProfileError(
      "unwritable",
      `Cannot write the profile "${path}": ${why}. Name another with --profile`,
      {
        cause: error,
      },
    );
  }
}

/** What a client has learned from its network, over a connection that it believes. */
export interface Learned {
  readonly addresses?: readonly string[];
  /** Those believed from now on, in DER. At least one. */
  readonly authorities?: readonly Uint8Array[];
  readonly members?: readonly KnownMember[];
}

/**
 * The profile with what was learned in the place of what it had; the same object where nothing is new.
 * @throws {CertificateError} where an authority is none
 */
export function learn(profile: Profile, { addresses, authorities, members }: Learned): Profile {
  const read = authorities?.map(readAuthority).sort((a, b) => b.generation - a.generation)
    .slice(0, PROFILE_AUTHORITIES_MAX) ?? profile.authorities;
  const next: Profile = {
    ...profile,
    addresses: addresses?.slice(0, PROFILE_ADDRESSES_MAX) ?? profile.addresses,
    authorities: read,
    fingerprint: read.length === 0 ? profile.fingerprint : fingerprintOf(read[0]!.der),
    members: members ?? profile.members,
  };
  return formatProfile(next) === formatProfile(profile) ? profile : next;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function readIfThere(path: string): Profile | null {
  let bytes;
  try {
    bytes = readPrivateFile(path, PROFILE_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof PrivateFileError)) throw error;
    const reason = error.reason === "rights" ? "rights" : "unreadable";
    throw new ProfileError(reason, `Cannot use the profile: ${error.message}`, { cause: error });
  }
  if (bytes === null) return null;
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw damaged(path, "it is not text in UTF-8");
  }
  return parseProfile(path, text);
}

function formatProfile({ network, addresses, fingerprint, authorities, members, access }: Profile): string {
  const certificates = authorities.map(({ der }) => der.toBase64());
  const file = {
    format: FORMAT,
    network,
    addresses,
    authority: { fingerprint, certificates },
    members: members.map(({ node, key }) => ({ node, key })),
    access: access?.reveal() ?? null,
  };
  return JSON.stringify(file, null, 2) + "\n";
}

/** Something in a profile that is not as it should be; parseProfile() says where. */
class Damage extends Error {}

function bad(what: string): never {
  throw new Damage(what);
}

/** @throws {ProfileError} "damaged" or "newer" */
export function parseProfile(path: string, text: string): Profile {
  try {
    const file = record(parseJson(text), "it");
    if (typeof file.format === "number" && file.format > FORMAT) {
      throw new ProfileError(
        "newer",
        `The profile "${path}" has format ${file.format}, and this program knows ${FORMAT}. Use the version that wrote it`,
      );
    }
    if (file.format !== FORMAT) bad(`format is ${FORMAT}`);
    return profileOf(file);
  } catch (error) {
    if (error instanceof Damage || error instanceof CertificateError || error instanceof AccessKeyError) {
      throw damaged(path, error.message);
    }
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return bad("it is not JSON"); // the parser's message would quote what is around the fault: the secret, perhaps
  }
}

function profileOf(file: Record<string, unknown>): Profile {
  const network = text(file.network, /^[0-9a-f]{32}$/, "network has 32 hexadecimal digits");
  const { fingerprint, certificates } = record(file.authority, "authority");
  const authorities = list(certificates, PROFILE_AUTHORITIES_MAX, "authority.certificates").map(authorityOf);
  for (const [i, authority] of authorities.entries()) {
    if (authority.network !== network) {
      bad(`the authority of generation ${authority.generation} is another network's`);
    }
    if (i > 0 && authority.generation >= authorities[i - 1]!.generation) {
      bad("the newest authority is not the first");
    }
  }
  const print = text(fingerprint, /^[0-9a-f]{64}$/, "authority.fingerprint has 64 hexadecimal digits");
  if (authorities.length > 0 && fingerprintOf(authorities[0]!.der) !== print) {
    bad("authority.fingerprint is not that of the newest certificate");
  }
  const addresses = list(file.addresses, PROFILE_ADDRESSES_MAX, "addresses").map(addressOf);
  if (addresses.length === 0) bad("addresses names no node");
  const members = list(file.members, LIMITS.membersMax, "members").map(memberOf);
  if (new Set(members.map(({ key }) => key)).size !== members.length) bad("two members have one key");
  return { network, addresses, fingerprint: print, authorities, members, access: accessOf(file.access) };
}

function authorityOf(value: unknown): Authority {
  if (typeof value !== "string" || value.length > 2 * CERTIFICATE_BYTES_MAX) {
    bad("a certificate is no base64");
  }
  let der;
  try {
    der = Uint8Array.fromBase64(value, { lastChunkHandling: "strict" });
  } catch {
    return bad("a certificate is no base64");
  }
  return readAuthority(der);
}

function addressOf(value: unknown): string {
  const why = 'an address is "host:port"';
  const address = text(value, /^[\x21-\x7e]{1,255}$/, why);
  try {
    parseAddress(address);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    bad(why);
  }
  return address;
}

function memberOf(value: unknown): KnownMember {
  const { node, key } = record(value, "a member");
  if (typeof node !== "string" || !isNodeId(node)) bad("the node of a member is its name");
  if (typeof key !== "string" || !isPublicKey(key)) {
    bad(`the key of member "${node}" has 64 hexadecimal digits`);
  }
  return { node, key };
}

function accessOf(value: unknown): Credentials | null {
  if (value === null) return null;
  const { id, secret } = record(value, "access");
  if (typeof id !== "string" || typeof secret !== "string") bad("access has an id and a secret, or is null");
  return new Credentials({ id, secret });
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) bad(`${what} is no object`);
  return value as Record<string, unknown>;
}

function list(value: unknown, max: number, what: string): unknown[] {
  if (!Array.isArray(value) || value.length > max) bad(`${what} is no list of at most ${max}`);
  return value;
}

function text(value: unknown, pattern: RegExp, why: string): string {
  if (typeof value !== "string" || !pattern.test(value)) bad(why);
  return value;
}

function damaged(path: string, why: string): ProfileError {
  return new ProfileError(
    "damaged",
    `The profile "${path}" cannot be used: ${why}. Mend it, or have an operator make a new one`,
  );
}
