/**
 * How a connection begins, whether a peer's or a client's: who connects says Hello, the other end answers with one
 * HelloReply and, if it did not accept, closes. Only then do messages, requests and responses flow.
 *
 * The payload is [tag, version, fields], and that much is for good: whoever reads it finds the version before it
 * depends on anything else. The fields belong to the version (the proof of identity will join them).
 */
import type { NodeId } from "../base/ids.ts";
import { encode, Reader, type Wire, WireError } from "./cbor.ts";
import { readAddress, readName } from "./shared_codec.ts";
import { FRAME, HELLO_REFUSAL, type HelloRefusal, ROLE_OF_PEER, WIRE_VERSION } from "./tags.ts";

export interface Hello {
  readonly version: number;
  readonly role: "peer" | "client";
  /** null: a client that takes any network, or a node that is about to join one. */
  readonly network: string | null;
  /** The peer that connects; null for a client. */
  readonly node: NodeId | null;
  /** Where the peer itself is reached. */
  readonly address: string | null;
}

export interface HelloReply {
  readonly version: number;
  readonly accepted: boolean;
  /**
   * Not accepted: version: another WIRE_VERSION. foreign: another network. unknown: no member of this network.
   * impostor: not the node that this id belongs to. self: it reached itself. busy: no more connections. closing.
   */
  readonly reason: HelloRefusal | null;
  readonly network: string | null;
  readonly node: NodeId;
  readonly address: string;
}

/** The payload of the first frame, with room for the frame's header in front. */
export function encodeHello(hello: Hello, headroom = 0): Uint8Array {
  const { version, role, network, node, address } = hello;
  return encode([FRAME.hello, version, [ROLE_OF_PEER.codes[role], network, node, address]], headroom);
}

/** @throws {WireError} with the reason "version" when the other end speaks another version */
export function decodeHello(payload: Uint8Array): Hello {
  const { reader, version } = open(payload, FRAME.hello);
  reader.tuple(4);
  const hello: Hello = {
    version,
    role: reader.choice(ROLE_OF_PEER.names),
    network: reader.skipNull() ? null : readName(reader),
    node: reader.nodeIdOrNull(),
    address: reader.skipNull() ? null : readAddress(reader),
  };
  reader.end();
  if (hello.role === "peer" && (hello.node === null || hello.address === null)) {
    reader.fail("invalid", "A peer says hello without its id and address");
  }
  return hello;
}

export function encodeHelloReply(reply: HelloReply, headroom = 0): Uint8Array {
  const { version, accepted, reason, network, node, address } = reply;
  const fields: Wire = [
    accepted,
    reason === null ? null : HELLO_REFUSAL.codes[reason],
    network,
    node,
    address,
  ];
  return encode([FRAME["hello-reply"], version, fields], headroom);
}

/** @throws {WireError} with the reason "version" when the other end speaks another version */
export function decodeHelloReply(payload: Uint8Array): HelloReply {
  const { reader, version } = open(payload, FRAME["hello-reply"]);
  reader.tuple(5);
  const reply: HelloReply = {
    version,
    accepted: reader.boolean(),
    reason: reader.skipNull() ? null : reader.choice(HELLO_REFUSAL.names),
    network: reader.skipNull() ? null : readName(reader),
    node: reader.nodeId(),
    address: readAddress(reader),
  };
  reader.end();
  if (reply.accepted !== (reply.reason === null)) {
    reader.fail("invalid", "A refusal has a reason, an acceptance none");
  }
  return reply;
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
