/** Encoded form of what a node is told: [tag, field, …] in the order of the declaration in kernel.ts. For recordings. */
import { unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Reader, Wire } from "./cbor.ts";
import type { ClientRequest, Input } from "./kernel.ts";
import { messageWire, readMessage } from "./message_codec.ts";
import { chunkResultWire, readChunkResult } from "./object_codec.ts";
import { readRequest, requestWire } from "./request_codec.ts";
import { principalWire, readPrincipal, readStatement } from "./security.ts";
import { listWire, readList } from "./shared_codec.ts";
import { INPUT } from "./tags.ts";

export function inputWire(input: Input): Wire {
  switch (input.kind) {
    case "messages":
      return [INPUT.messages, input.from, listWire(input.messages, messageWire)];
    case "requests":
      return [INPUT.requests, listWire(input.requests, clientRequestWire)];
    case "persisted":
      return [INPUT.persisted, input.upTo];
    case "checkpointed":
      return [INPUT.checkpointed, input.checkpoint];
    case "client-gone":
      return [INPUT["client-gone"], input.client];
    case "space":
      return [INPUT.space, input.low];
    case "peer-lost":
      return [INPUT["peer-lost"], input.peer];
    case "keys":
      return [INPUT.keys, input.holds, input.uses, input.statement];
    case "key-made":
      return [INPUT["key-made"], input.id, input.authority];
    case "chunks":
      return [INPUT.chunks, listWire(input.results, chunkResultWire)];
    case "start":
    case "wake":
    case "checkpoint":
    case "stop":
      return [INPUT[input.kind]];
    default:
      return unreachable(input);
  }
}

const FIELDS_MAX = 8;

export function readInput(reader: Reader): Input {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case INPUT.messages:
      reader.expectArity(arity, 3);
      return {
        kind: "messages",
        from: reader.nodeId(),
        messages: readList(reader, LIMITS.arrayItemsMax, readMessage),
      };
    case INPUT.requests:
      reader.expectArity(arity, 2);
      return { kind: "requests", requests: readList(reader, LIMITS.arrayItemsMax, readClientRequest) };
    case INPUT.persisted:
      reader.expectArity(arity, 2);
      return { kind: "persisted", upTo: reader.integer() };
    case INPUT.checkpointed:
      reader.expectArity(arity, 2);
      return { kind: "checkpointed", checkpoint: reader.integer() };
    case INPUT["client-gone"]:
      reader.expectArity(arity, 2);
      return { kind: "client-gone", client: reader.integer() };
    case INPUT.space:
      reader.expectArity(arity, 2);
      return { kind: "space", low: reader.boolean() };
    case INPUT["peer-lost"]:
      reader.expectArity(arity, 2);
      return { kind: "peer-lost", peer: reader.nodeId() };
    case INPUT.keys:
      reader.expectArity(arity, 4);
      return {
        kind: "keys",
        holds: reader.integer(),
        uses: reader.integer(),
        statement: readStatement(reader),
      };
    case INPUT["key-made"]:
      reader.expectArity(arity, 3);
      return { kind: "key-made", id: reader.integer(), authority: reader.bytes(LIMITS.authorityBytesMax) };
    case INPUT.chunks:
      reader.expectArity(arity, 2);
      return { kind: "chunks", results: readList(reader, LIMITS.arrayItemsMax, readChunkResult) };
    case INPUT.start:
      reader.expectArity(arity, 1);
      return { kind: "start" };
    case INPUT.wake:
      reader.expectArity(arity, 1);
      return { kind: "wake" };
    case INPUT.checkpoint:
      reader.expectArity(arity, 1);
      return { kind: "checkpoint" };
    case INPUT.stop:
      reader.expectArity(arity, 1);
      return { kind: "stop" };
    default:
      return reader.fail("kind", `No input has the tag ${tag}`);
  }
}

function clientRequestWire({ client, id, request, who }: ClientRequest): Wire {
  return [client, id, requestWire(request), who === undefined ? null : principalWire(who)];
}
function readClientRequest(reader: Reader): ClientRequest {
  reader.tuple(4);
  const asked = { client: reader.integer(), id: reader.integer(), request: readRequest(reader) };
  return reader.skipNull() ? asked : { ...asked, who: readPrincipal(reader) };
}
