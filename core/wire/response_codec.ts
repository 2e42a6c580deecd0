/** Encoded form of answers: [tag, field, …] in the order of the declaration in requests.ts. */
import { LIMITS } from "../base/limits.ts";
import { unreachable } from "../base/invariant.ts";
import type { Reader, Wire } from "./cbor.ts";
import { chunkStatusWire, readChunkStatus, readSealedChunk } from "./object_codec.ts";
import { readPositions } from "./request_codec.ts";
import type {
  KeyValue,
  MemberStatus,
  NodeStatus,
  Refused,
  ReplicaStatus,
  Response,
  Trouble,
} from "./requests.ts";
import {
  auditEventWire,
  keyValueWire,
  listWire,
  memberWire,
  readAuditEvent,
  readKeyValue,
  readList,
  readMember,
  readName,
  readNodeIds,
  readTextOrNull,
  readView,
  viewWire,
} from "./shared_codec.ts";
import { LIVENESS_OR_UNKNOWN, NODE_STATE, REFUSAL, RESPONSE, ROLE, TROUBLE } from "./tags.ts";

export function responseWire(response: Response): Wire {
  switch (response.kind) {
    case "written":
      return [RESPONSE.written, response.version.term, response.version.index, response.existed];
    case "value":
      return [RESPONSE.value, foundWire(response.found), response.ageUs];
    case "cas": {
      const { applied, version, found } = response;
      return [RESPONSE.cas, applied, version.term, version.index, foundWire(found)];
    }
    case "transacted": {
      const { held, version, results } = response;
      return [RESPONSE.transacted, held, version.term, version.index, listWire(results, foundWire)];
    }
    case "values":
      return [RESPONSE.values, listWire(response.items, keyValueWire), response.next, response.ageUs];
    case "watching":
      return [RESPONSE.watching, response.from];
    case "events": {
      const { partition, upTo, events, gap } = response;
      return [RESPONSE.events, partition, upTo, listWire(events, keyValueWire), gap];
    }
    case "done":
      return [RESPONSE.done, response.version];
    case "joined":
      return [RESPONSE.joined, viewWire(response.view)];
    case "status":
      return [RESPONSE.status, statusWire(response.status)];
    case "layout":
      return [RESPONSE.layout, viewWire(response.view), response.leaders];
    case "members":
      return [RESPONSE.members, listWire(response.members, memberStatusWire)];
    case "refused":
      return [
        RESPONSE.refused,
        REFUSAL.codes[response.reason],
        response.message,
        response.leader ?? null,
        response.retryAfterMs ?? null,
      ];
    case "audit":
      return [RESPONSE.audit, listWire(response.events, auditEventWire)];
    case "stored":
      return [RESPONSE.stored, response.fragments, response.wanted];
    case "chunk":
      return [RESPONSE.chunk, response.bytes];
    default:
      return unreachable(response);
  }
}

const FIELDS_MAX = 16;

export function readResponse(reader: Reader): Response {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case RESPONSE.written:
      reader.expectArity(arity, 4);
      return {
        kind: "written",
        version: { term: reader.term(), index: reader.index() },
        existed: reader.boolean(),
      };
    case RESPONSE.value:
      reader.expectArity(arity, 3);
      return { kind: "value", found: readFound(reader), ageUs: reader.integer() };
    case RESPONSE.cas:
      reader.expectArity(arity, 5);
      return {
        kind: "cas",
        applied: reader.boolean(),
        version: { term: reader.term(), index: reader.index() },
        found: readFound(reader),
      };
    case RESPONSE.transacted:
      reader.expectArity(arity, 5);
      return {
        kind: "transacted",
        held: reader.boolean(),
        version: { term: reader.term(), index: reader.index() },
        results: readList(reader, LIMITS.arrayItemsMax, readFound),
      };
    case RESPONSE.values:
      reader.expectArity(arity, 4);
      return {
        kind: "values",
        items: readList(reader, LIMITS.arrayItemsMax, readKeyValue),
        next: readTextOrNull(reader),
        ageUs: reader.integer(),
      };
    case RESPONSE.refused:
      reader.expectArity(arity, 5);
      return readRefused(reader);
    default:
      return readRareResponse(reader, arity, tag);
  }
}

function readRareResponse(reader: Reader, arity: number, tag: number): Response {
  switch (tag) {
    case RESPONSE.watching:
      reader.expectArity(arity, 2);
      return { kind: "watching", from: readPositions(reader) };
    case RESPONSE.events:
      reader.expectArity(arity, 5);
      return {
        kind: "events",
        partition: reader.partition(),
        upTo: reader.index(),
        events: readList(reader, LIMITS.arrayItemsMax, readKeyValue),
        gap: reader.boolean(),
      };
    case RESPONSE.done:
      reader.expectArity(arity, 2);
      return { kind: "done", version: reader.integer() };
    case RESPONSE.joined:
      reader.expectArity(arity, 2);
      return { kind: "joined", view: readView(reader) };
    case RESPONSE.status:
      reader.expectArity(arity, 2);
      return { kind: "status", status: readStatus(reader) };
    case RESPONSE.layout:
      reader.expectArity(arity, 3);
      return {
        kind: "layout",
        view: readView(reader),
        leaders: readList(reader, LIMITS.partitionsMax + 1, (r) => r.nodeIdOrNull()),
      };
    case RESPONSE.members:
      reader.expectArity(arity, 2);
      return { kind: "members", members: readList(reader, LIMITS.membersMax, readMemberStatus) };
    case RESPONSE.audit:
      reader.expectArity(arity, 2);
      return { kind: "audit", events: readList(reader, LIMITS.auditEventsMax, readAuditEvent) };
    case RESPONSE.stored:
      reader.expectArity(arity, 3);
      return { kind: "stored", fragments: reader.integer(), wanted: reader.integer() };
    case RESPONSE.chunk:
      reader.expectArity(arity, 2);
      return { kind: "chunk", bytes: readSealedChunk(reader) };
    default:
      return reader.fail("kind", `No answer has the tag ${tag}`);
  }
}

function foundWire(found: KeyValue | null): Wire {
  return found === null ? null : keyValueWire(found);
}
function readFound(reader: Reader): KeyValue | null {
  return reader.skipNull() ? null : readKeyValue(reader);
}

function readRefused(reader: Reader): Refused {
  const reason = reader.choice(REFUSAL.names);
  const message = reader.text();
  const leader = reader.nodeIdOrNull();
  const retryAfterMs = reader.skipNull() ? null : reader.integer();
  return {
    kind: "refused",
    reason,
    message,
    ...(leader === null ? null : { leader }),
    ...(retryAfterMs === null ? null : { retryAfterMs }),
  };
}

function statusWire(status: NodeStatus): Wire {
  return [
    status.node,
    status.network,
    status.view,
    status.epoch,
    NODE_STATE.codes[status.state],
    listWire(status.replicas, replicaWire),
    status.counters,
    status.trouble === null ? null : troubleWire(status.trouble),
    chunkStatusWire(status.chunks),
  ];
}
function readStatus(reader: Reader): NodeStatus {
  reader.tuple(9);
  return {
    node: reader.nodeId(),
    network: readName(reader),
    view: reader.integer(),
    epoch: reader.integer(),
    state: reader.choice(NODE_STATE.names),
    replicas: readList(reader, LIMITS.partitionsMax + 1, readReplica),
    counters: readList(reader, LIMITS.arrayItemsMax, readCounter),
    trouble: reader.skipNull() ? null : readTrouble(reader),
    chunks: readChunkStatus(reader),
  };
}

function troubleWire({ kind, what, waitsFor, sinceMs }: Trouble): Wire {
  return [TROUBLE.codes[kind], what, waitsFor, sinceMs];
}
function readTrouble(reader: Reader): Trouble {
  reader.tuple(4);
  return {
    kind: reader.choice(TROUBLE.names),
    what: reader.text(),
    waitsFor: reader.text(),
    sinceMs: reader.integer(),
  };
}

function readCounter(reader: Reader): readonly [string, number] {
  reader.tuple(2);
  return [reader.text(), reader.integer()];
}

function replicaWire(replica: ReplicaStatus): Wire {
  const { partition, role, leader, term, commit, applied, last, quiet, voters, learners } = replica;
  return [partition, ROLE.codes[role], leader, term, commit, applied, last, quiet, voters, learners];
}
function readReplica(reader: Reader): ReplicaStatus {
  reader.tuple(10);
  return {
    partition: reader.partition(),
    role: reader.choice(ROLE.names),
    leader: reader.nodeIdOrNull(),
    term: reader.term(),
    commit: reader.index(),
    applied: reader.index(),
    last: reader.index(),
    quiet: reader.boolean(),
    voters: readNodeIds(reader, LIMITS.replicasMax),
    learners: readNodeIds(reader, LIMITS.replicasMax),
  };
}

function memberStatusWire(member: MemberStatus): Wire {
  return [memberWire(member), LIVENESS_OR_UNKNOWN.codes[member.liveness], member.replicas, member.leads];
}
function readMemberStatus(reader: Reader): MemberStatus {
  reader.tuple(4);
  return {
    ...readMember(reader),
    liveness: reader.choice(LIVENESS_OR_UNKNOWN.names),
    replicas: reader.integer(),
    leads: reader.integer(),
  };
}
