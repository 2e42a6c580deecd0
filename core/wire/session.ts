/**
 * How a connection begins, whether a peer's or a client's: who connects says Hello, the other end answers with one
 * HelloReply and, if it did not accept, closes. Only then do messages, requests and responses flow.
 *
 * The payload is [tag, version, fields], and that much is for good: whoever reads it finds the version before it
 * depends on anything else. The fields belong to the version.
 *
 * Before all that a connection says in four bytes what it is going to be, see PREAMBLE.
 */
import type { NodeId } from "../base/ids.ts";
import { encode, Reader, type Wire, WireError } from "./cbor.ts";
import { readAddress, readName } from "./shared_codec.ts";
import { LIMITS } from "../base/limits.ts";
import { unreachable } from "../base/invariant.ts";
import { readHex } from "./security.ts";
import { listWire, readList } from "./lists.ts";
import { FRAME, HELLO_REFUSAL, type HelloRefusal, PROOF, ROLE_OF_PEER, WIRE_VERSION } from "./tags.ts";

/**
 * The first four bytes of a connection, in the clear. open: frames follow, in an open network. member: TLS follows, with
 * a certificate at both ends. client: TLS follows, with a certificate of the server's. authorities: the server says by
 * which authorities it may be known, in one frame, and closes.
 */
export const PREAMBLE = { open: "SPOO", member: "SPOM", client: "SPOC", authorities: "SPOA" } as const;
export const PREAMBLE_BYTES = 4;

/** How a client of a private network shows who it is. */
export type Proof =
  /** Signed with the access key: the network, the server's certificate and `random` (32 bytes). */
  | {
    readonly kind: "access";
    readonly id: string;
    readonly random: Uint8Array;
    readonly signature: Uint8Array;
  }
  /** Who is invited: the invite's secret, its own key, a signature that it has the key's private part, and its clock. */
  | {
    readonly kind: "invite";
    readonly id: string;
    readonly secret: Uint8Array;
    readonly key: string;
    readonly signature: Uint8Array;
    readonly clockMs: number;
  };

/** What a peer's connection is for. bulk: messages with fragments of objects, which nothing else is to wait behind. */
export type Lane = "ordinary" | "bulk";

export interface Hello {
  readonly version: number;
  readonly role: "peer" | "client";
  /** A client's is always ordinary. */
  readonly lane: Lane;
  /** null: a client that takes any network, or a node that is about to join one. */
  readonly network: string | null;
  /** The peer that connects; null for a client. */
  readonly node: NodeId | null;
  /** Where the peer itself is reached. */
  readonly address: string | null;
  /** null: in an open network, and of a member, whose certificate is its proof. */
  readonly proof: Proof | null;
}

export interface HelloReply {
  readonly version: number;
  readonly accepted: boolean;
  /**
   * Not accepted: version: another WIRE_VERSION. foreign: another network. unknown: no member of this network.
   * impostor: not the node that this id belongs to. self: it reached itself. busy: no more connections. closing.
   * evicted: shut out. denied: the proof is wrong. limited: too many wrong proofs lately. clock: the clocks are too far
   * apart. expired: the invite is over.
   */
  readonly reason: HelloRefusal | null;
  readonly network: string | null;
  readonly node: NodeId;
  readonly address: string;
  /** Where the reason is "clock": what the node's clock says, in milliseconds since 1970. Else null. */
  readonly clockMs: number | null;
}

/** What a member says to another; its certificate is its proof. */
export function peerHello(
  { network, node, address }: { network: string | null; node: NodeId; address: string },
  lane: Lane = "ordinary",
): Hello {
  return { version: WIRE_VERSION, role: "peer", lane, network, node, address, proof: null };
}

/** What a client says, and a node that is about to join. */
export function clientHello(network: string | null, proof: Proof | null): Hello {
  return {
    version: WIRE_VERSION,
    role: "client",
    lane: "ordinary",
    network,
    node: null,
    address: null,
    proof,
  };
}

/** The payload of the first frame, with room for the frame's header in front. */
export function encodeHello(hello: Hello, headroom = 0): Uint8Array {
  const { version, role, lane, network, node, address, proof } = hello;
  const shown = proof === null ? null : proofWire(proof), bulk = lane === "bulk";
  const fields: Wire = [ROLE_OF_PEER.codes[role], bulk, network, node, address, shown];
  return encode([FRAME.hello, version, fields], headroom);
}

/** @throws {WireError} with the reason "version" when the other end speaks another version */
export function decodeHello(payload: Uint8Array): Hello {
  const { reader, version } = open(payload, FRAME.hello);
  reader.tuple(6);
  const hello: Hello = {
    version,
    role: reader.choice(ROLE_OF_PEER.names),
    lane: reader.boolean() ? "bulk" : "ordinary",
    network: reader.skipNull() ? null : readName(reader),
    node: reader.nodeIdOrNull(),
    address: reader.skipNull() ? null : readAddress(reader),
    proof: reader.skipNull() ? null : readProof(reader),
  };
  reader.end();
  if (hello.role === "peer" && (hello.node === null || hello.address === null)) {
    reader.fail("invalid", "A peer says hello without its id and address");
  }
  if (hello.role === "client" && hello.lane === "bulk") {
    reader.fail("invalid", "A client says hello on the peers' bulk lane");
  }
  return hello;
}

export function encodeHelloReply(reply: HelloReply, headroom = 0): Uint8Array {
  const { version, accepted, reason, network, node, address, clockMs } = reply;
  const fields: Wire = [
    accepted,
    reason === null ? null : HELLO_REFUSAL.codes[reason],
    network,
    node,
    address,
    clockMs,
  ];
  return encode([FRAME["hello-reply"], version, fields], headroom);
}

/** @throws {WireError} with the reason "version" when the other end speaks another version */
export function decodeHelloReply(payload: Uint8Array): HelloReply {
  const { reader, version } = open(payload, FRAME["hello-reply"]);
  reader.tuple(6);
  const reply: HelloReply = {
    version,
    accepted: reader.boolean(),
    reason: reader.skipNull() ? null : reader.choice(HELLO_REFUSAL.names),
    network: reader.skipNull() ? null : readName(reader),
    node: reader.nodeId(),
    address: readAddress(reader),
    clockMs: reader.skipNull() ? null : reader.integer(),
  };
  reader.end();
  if (reply.accepted !== (reply.reason === null)) {
    reader.fail("invalid", "A refusal has a reason, an acceptance none");
  }
  return reply;
}

function proofWire(proof: Proof): Wire {
  switch (proof.kind) {
    case "access":
      return [PROOF.access, proof.id, proof.random, proof.signature];
    case "invite":
      return [PROOF.invite, proof.id, proof.secret, proof.key, proof.signature, proof.clockMs];
    default:
      return unreachable(proof);
  }
}
function readProof(reader: Reader): Proof {
  const arity = reader.array(6);
  const tag = reader.integer();
  switch (tag) {
    case PROOF.access:
      reader.expectArity(arity, 4);
      return {
        kind: "access",
        id: reader.token(LIMITS.accessIdBytesMax),
        random: readExactly(reader, 32),
        signature: readExactly(reader, 64),
      };
    case PROOF.invite:
      reader.expectArity(arity, 6);
      return {
        kind: "invite",
        id: readHex(reader, 16),
        secret: readExactly(reader, INVITE_SECRET_BYTES),
        key: readHex(reader, 64),
        signature: readExactly(reader, 64),
        clockMs: reader.integer(),
      };
    default:
      return reader.fail("kind", `No proof has the tag ${tag}`);
  }
}

export const INVITE_SECRET_BYTES = 16;

/** The secret of one generation of the network's keys, on its way from host to host. Never in a message of the core. */
export interface GenerationSecret {
  readonly id: number;
  readonly secret: Uint8Array;
}

export function encodeSecrets(secrets: readonly GenerationSecret[], headroom = 0): Uint8Array {
  return encode([FRAME.secrets, listWire(secrets, secretWire)], headroom);
}
/** @throws {WireError} */
export function decodeSecrets(payload: Uint8Array): GenerationSecret[] {
  const reader = new Reader(payload);
  reader.tuple(2);
  expectTag(reader, FRAME.secrets);
  const secrets = readList(reader, LIMITS.networkKeysMax, readSecret);
  reader.end();
  return secrets;
}

/** What a host hands to one that was let in, before the answer to its join. */
export interface Admission {
  /** For its key, in DER. */
  readonly certificate: Uint8Array;
  readonly secrets: readonly GenerationSecret[];
}

export function encodeAdmission({ certificate, secrets }: Admission, headroom = 0): Uint8Array {
  return encode([FRAME.admission, certificate, listWire(secrets, secretWire)], headroom);
}
/** @throws {WireError} */
export function decodeAdmission(payload: Uint8Array): Admission {
  const reader = new Reader(payload);
  reader.tuple(3);
  expectTag(reader, FRAME.admission);
  const admission = {
    certificate: reader.bytes(LIMITS.authorityBytesMax),
    secrets: readList(reader, LIMITS.networkKeysMax, readSecret),
  };
  reader.end();
  return admission;
}

/** What a payload's first item says it is; null where it says nothing. */
export function frameTag(payload: Uint8Array): number | null {
  const tag = payload[1];
  return payload.length > 1 && (payload[0]! & 0xe0) === 0x80 && tag !== undefined && tag < 24 ? tag : null;
}

function secretWire({ id, secret }: GenerationSecret): Wire {
  return [id, secret];
}
function readSecret(reader: Reader): GenerationSecret {
  reader.tuple(2);
  return { id: reader.integer(), secret: readExactly(reader, 32) };
}

function readExactly(reader: Reader, length: number): Uint8Array {
  const bytes = reader.bytes(length);
  if (bytes.length !== length) reader.fail("invalid", `${length} bytes are due, not ${bytes.length}`);
  return bytes;
}

function expectTag(reader: Reader, tag: number): void {
  const found = reader.integer();
  if (found !== tag) reader.fail("kind", `A frame with the tag ${tag} is due, not ${found}`);
}

function open(payload: Uint8Array, tag: number): { reader: Reader; version: number } {
  const reader = new Reader(payload);
  reader.tuple(3);
  const found = reader.integer();
  if (found !== tag) reader.fail("kind", `A connection begins with the frame ${tag}, not ${found}`);
  const version = reader.integer();
  if (version !== WIRE_VERSION) {
    throw new WireError(
      "version",
      `The other end speaks version ${version} of the protocol, this one ${WIRE_VERSION}`,
    );
  }
  return { reader, version };
}
