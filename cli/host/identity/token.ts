/**
 * The invite token: what an operator hands to whoever starts a new node, one line to copy.
 *
 *     so1.BASE64URL( canonical CBOR [network, addresses, fingerprints, id, secret] then its checksum )
 *
 * The checksum is the first bytes of the SHA-256 of what is before it. It protects from nobody: it tells a token that
 * was cut off or mistyped from one that the network does not know.
 *
 * The network keeps only the hash of the secret's hash (inviteHash). A joiner shows the hash (inviteProof), over TLS
 * and only to who has proved to be of the network that the fingerprints name: so neither the log nor what one member
 * hands to another lets a reader use the invite.
 */
import { createHash } from "node:crypto";
import { equalBytes } from "../../../core/base/bytes.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { encode, Reader, WireError } from "../../../core/wire/cbor.ts";
import { parseAddress } from "../socket.ts";

const PREFIX = "so1.";
const CHECKSUM_BYTES = 4;
export const INVITE_SECRET_BYTES = 16;
const INVITE_ID_BYTES = 8;
const NETWORK_BYTES = 16;
const FINGERPRINT_BYTES = 32;
export const TOKEN_ADDRESSES_MAX = 16;
export const TOKEN_FINGERPRINTS_MAX = 4;
const TOKEN_CHARS_MAX = 8192;

export interface InviteToken {
  /** 32 hexadecimal digits. */
  readonly network: string;
  /** "host:port" of members, at least one. */
  readonly addresses: readonly string[];
  /** SHA-256 of certificates of the network's authorities, 64 hexadecimal digits each, at least one. */
  readonly fingerprints: readonly string[];
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** 16 bytes. */
  readonly secret: Uint8Array;
}

/**
 * not-a-token: it does not begin like one. version: of another version of this program. damaged: cut off or mistyped.
 * invalid: whole, but nothing that this program makes.
 */
export type TokenErrorReason = "not-a-token" | "version" | "damaged" | "invalid";

/** The message never has the token in it. */
export class TokenError extends Error {
  override readonly name = "TokenError";
  constructor(readonly reason: TokenErrorReason, message: string) {
    super(message);
  }
}

/** A new invite: `hash` is for the network, the rest for the token. */
export function drawInvite(): { id: string; secret: Uint8Array; hash: string } {
  const secret = crypto.getRandomValues(new Uint8Array(INVITE_SECRET_BYTES));
  return {
    id: crypto.getRandomValues(new Uint8Array(INVITE_ID_BYTES)).toHex(),
    secret,
    hash: inviteHash(secret),
  };
}

/** SHA-256 of the secret, 64 hexadecimal digits: what a joiner shows. */
export function inviteProof(secret: Uint8Array): string {
  return sha256(secret).toHex();
}

/** SHA-256 of the SHA-256 of the secret, 64 hexadecimal digits: what the network keeps. */
export function inviteHash(secret: Uint8Array): string {
  return sha256(sha256(secret)).toHex();
}

/**
 * The token as one word.
 * @throws {RangeError} where it would not be read again
 */
export function formatToken({ network, addresses, fingerprints, id, secret }: InviteToken): string {
  const pins = fingerprints.map((text) => Uint8Array.fromHex(text));
  const payload = encode([Uint8Array.fromHex(network), addresses, pins, Uint8Array.fromHex(id), secret]);
  const bytes = new Uint8Array(payload.length + CHECKSUM_BYTES);
  bytes.set(payload);
  bytes.set(checksum(payload), payload.length);
  const token = PREFIX + bytes.toBase64({ alphabet: "base64url", omitPadding: true });
  try {
    parseToken(token);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    throw new RangeError(`Such an invite token cannot be made: ${error.message}`);
  }
  return token;
}

/** True where `text` begins as tokens of any version do: it is no address. */
export function looksLikeToken(text: string): boolean {
  return /^so\d+\./.test(text.trimStart());
}

/** @throws {TokenError} */
export function parseToken(given: string): InviteToken {
  const text = given.trim();
  if (!text.startsWith(PREFIX)) {
    throw looksLikeToken(text)
      ? new TokenError(
        "version",
        "The invite token is of another version of Space Opera. Use the version that made it, or ask for a new token",
      )
      : new TokenError("not-a-token", `An invite token begins with "${PREFIX}". Copy all of it`);
  }
  const bytes = decodeBase64(text.slice(PREFIX.length));
  const payload = bytes.subarray(0, -CHECKSUM_BYTES);
  if (bytes.length <= CHECKSUM_BYTES || !equalBytes(checksum(payload), bytes.subarray(-CHECKSUM_BYTES))) {
    throw damaged();
  }
  try {
    return readPayload(payload);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new TokenError(
      "invalid",
      `The invite token is whole and says nothing that can be used: ${error.message}. Ask for a new token`,
    );
  }
}

function readPayload(payload: Uint8Array): InviteToken {
  const reader = new Reader(payload);
  reader.tuple(5);
  const network = exactly(reader, NETWORK_BYTES);
  const addresses = some(reader, TOKEN_ADDRESSES_MAX, () => readAddress(reader));
  const fingerprints = some(reader, TOKEN_FINGERPRINTS_MAX, () => exactly(reader, FINGERPRINT_BYTES).toHex());
  const id = exactly(reader, INVITE_ID_BYTES);
  const secret = exactly(reader, INVITE_SECRET_BYTES);
  reader.end();
  return { network: network.toHex(), addresses, fingerprints, id: id.toHex(), secret: secret.slice() };
}

function exactly(reader: Reader, length: number): Uint8Array {
  const bytes = reader.bytes(length);
  if (bytes.length !== length) reader.fail("invalid", `${bytes.length} bytes stand where ${length} are due`);
  return bytes;
}

/** At least one. */
function some<T>(reader: Reader, max: number, read: () => T): T[] {
  const count = reader.array(max);
  if (count === 0) reader.fail("invalid", "A list is empty");
  return Array.from({ length: count }, read);
}

function readAddress(reader: Reader): string {
  const address = reader.token(LIMITS.addressBytesMax);
  try {
    parseAddress(address);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    reader.fail("invalid", error.message);
  }
  return address;
}

/** Without padding, and in the one form that the same bytes would be written in. */
function decodeBase64(text: string): Uint8Array {
  if (text.length > TOKEN_CHARS_MAX || !/^[\w-]*$/.test(text)) throw damaged();
  let bytes;
  try {
    bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw damaged();
  }
  if (bytes.toBase64({ alphabet: "base64url", omitPadding: true }) !== text) throw damaged();
  return bytes;
}

function damaged(): TokenError {
  return new TokenError("damaged", "The invite token was cut off or mistyped. Copy all of it, from one line");
}

function checksum(payload: Uint8Array): Uint8Array {
  return sha256(payload).subarray(0, CHECKSUM_BYTES);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
