/**
 * What a node tells anyone who asks whom to believe, in the clear: its network, the authorities of the generations, and
 * the members' statements about them. All of it is public, and none of it is believed for being said: a joiner compares
 * with the fingerprint in its token, a client counts statements.
 *
 *     canonical CBOR [1, network, open, [authority…], [[key, signature]…]]
 *
 * A statement is about the authority of the newest generation that its member has; which one that is shows in whose
 * name it holds.
 */
import { encode, Reader, WireError } from "../../../core/wire/cbor.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { CERTIFICATE_BYTES_MAX } from "./certificates.ts";
import { isPublicKey, PUBLIC_KEY_BYTES, SIGNATURE_BYTES } from "./ed25519.ts";
import type { Statement } from "./statements.ts";

const VERSION = 1;
const NETWORK_BYTES = 16;
export const ANSWER_AUTHORITIES_MAX = 8;
export const ANSWER_STATEMENTS_MAX: number = LIMITS.membersMax;
/** With heads. */
const STATEMENT_BYTES = 1 + 2 + PUBLIC_KEY_BYTES + 2 + SIGNATURE_BYTES;
/** Holds both lists at their longest: a megabyte in a network of ten thousand, one kilobyte in one of five. */
export const ANSWER_BYTES_MAX: number = 64 + ANSWER_AUTHORITIES_MAX * (CERTIFICATE_BYTES_MAX + 3) +
  ANSWER_STATEMENTS_MAX * STATEMENT_BYTES;

export interface AuthorityAnswer {
  /** 32 hexadecimal digits. */
  readonly network: string;
  /** An open network has neither authorities nor statements; a private one at least one authority. */
  readonly open: boolean;
  /** Certificates in DER, the newest generation first, ANSWER_AUTHORITIES_MAX at most. */
  readonly authorities: readonly Uint8Array[];
  readonly statements: readonly Statement[];
}

/** @throws {RangeError} where it would not be read again */
export function encodeAuthorityAnswer(
  { network, open, authorities, statements }: AuthorityAnswer,
): Uint8Array {
  const bytes = encode([
    VERSION,
    Uint8Array.fromHex(network),
    open,
    authorities,
    statements.map(({ key, signature }) => [Uint8Array.fromHex(key), signature]),
  ]);
  try {
    decodeAuthorityAnswer(bytes);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new RangeError(`Such an answer cannot be given: ${error.message}`);
  }
  return bytes;
}

/**
 * Bounded and well formed; whether the certificates are any is for readAuthority() to say.
 * @throws {WireError}
 */
export function decodeAuthorityAnswer(bytes: Uint8Array): AuthorityAnswer {
  if (bytes.length > ANSWER_BYTES_MAX) {
    throw new WireError(
      "range",
      `The answer has ${bytes.length} bytes where ${ANSWER_BYTES_MAX} are allowed`,
    );
  }
  const reader = new Reader(bytes);
  reader.tuple(5);
  const version = reader.integer();
  if (version !== VERSION) {
    reader.fail("version", `The answer has version ${version}, this program knows ${VERSION}`);
  }
  const network = exactly(reader, NETWORK_BYTES).toHex();
  const open = reader.boolean();
  const authorities = list(reader, ANSWER_AUTHORITIES_MAX, () => readCertificate(reader));
  const statements = list(reader, ANSWER_STATEMENTS_MAX, () => readStatement(reader));
  reader.end();
  const right = open ? authorities.length === 0 && statements.length === 0 : authorities.length > 0;
  if (!right) reader.fail("invalid", "A private network has authorities, an open one none");
  return { network, open, authorities, statements };
}

function readCertificate(reader: Reader): Uint8Array {
  const der = reader.bytes(CERTIFICATE_BYTES_MAX);
  if (der.length === 0) reader.fail("invalid", "A certificate is empty");
  return der;
}

function readStatement(reader: Reader): Statement {
  reader.tuple(2);
  const key = exactly(reader, PUBLIC_KEY_BYTES).toHex();
  if (!isPublicKey(key)) reader.fail("invalid", "The key of a statement is no usable key of Ed25519");
  return { key, signature: exactly(reader, SIGNATURE_BYTES) };
}

function exactly(reader: Reader, length: number): Uint8Array {
  const bytes = reader.bytes(length);
  if (bytes.length !== length) reader.fail("invalid", `${bytes.length} bytes stand where ${length} are due`);
  return bytes;
}

function list<T>(reader: Reader, max: number, read: () => T): T[] {
  return Array.from({ length: reader.array(max) }, read);
}
