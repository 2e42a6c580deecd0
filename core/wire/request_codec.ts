/**
 * Encoded form of what clients ask: a request is [op, session or null, principal or null], an op [tag, field, …] in the order of the
 * declaration in requests.ts, optional fields null where absent.
 *
 * Keys and values are only bounded by the frame here. One that passes its own limit is a well-formed request for the
 * wrong thing: the node refuses it with the limit and the size, and the connection is kept.
 */
import { LIMITS } from "../base/limits.ts";
import type { LogIndex, PartitionId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import type { Reader, Wire } from "./cbor.ts";
import { chunkRequestWire, readChunkRequest } from "./object_codec.ts";
import type {
  CasOp,
  Expectation,
  GetOp,
  Op,
  PutOp,
  PutOptions,
  RangeOp,
  Request,
  Session,
  TransactItem,
  TransactOp,
  WatchOp,
} from "./requests.ts";
import {
  listWire,
  memberWire,
  readAddress,
  readBytesOrNull,
  readList,
  readMember,
  readName,
  readTextOrNull,
  readVersion,
  versionWire,
} from "./shared_codec.ts";
import {
  accessKeyWire,
  inviteWire,
  principalWire,
  readAccessKey,
  readHex,
  readInvite,
  readPrincipal,
  readStatement,
} from "./security.ts";
import { EXPECTATION, MEMBER_STATE, OP, READ_MODE } from "./tags.ts";

export function requestWire(request: Request): Wire {
  const { op, session, by } = request;
  return [
    opWire(op),
    session === undefined ? null : sessionWire(session),
    by === undefined ? null : principalWire(by),
  ];
}
export function readRequest(reader: Reader): Request {
  reader.tuple(3);
  const op = readOp(reader);
  const request = reader.skipNull() ? { op } : { op, session: readSession(reader) };
  return reader.skipNull() ? request : { ...request, by: readPrincipal(reader) };
}

export function sessionWire(session: Session): Wire {
  return [session.client, session.sequence, session.acknowledged, session.opened];
}
export function readSession(reader: Reader): Session {
  reader.tuple(4);
  return {
    client: readName(reader),
    sequence: reader.integer(),
    acknowledged: reader.integer(),
    opened: reader.boolean(),
  };
}

export function opWire(op: Op): Wire {
  switch (op.kind) {
    case "put":
      return [OP.put, userText(op.key), op.value, ...optionsWire(op)];
    case "get":
      return op.version === undefined
        ? [OP.get, userText(op.key), READ_MODE.codes[op.read], null]
        : [OP.get, userText(op.key), READ_MODE.codes[op.read], versionWire(op.version)];
    case "delete":
      return [OP.delete, userText(op.key)];
    case "cas":
      return [OP.cas, userText(op.key), expectationWire(op.expect), op.value, ...optionsWire(op)];
    case "transact":
      return [
        OP.transact,
        listWire(op.conditions, conditionWire),
        listWire(op.then, itemWire),
        listWire(op.otherwise, itemWire),
      ];
    case "grant":
      return [OP.grant, userText(op.lease), op.ttlMs];
    case "keep-alive":
      return [OP["keep-alive"], userText(op.lease)];
    case "revoke":
      return [OP.revoke, userText(op.lease)];
    case "history":
      return [OP.history, userText(op.key), READ_MODE.codes[op.read]];
    case "range": {
      const { start, end, limit, reverse, keysOnly, read, partition } = op;
      return [
        OP.range,
        userText(start),
        end === null ? null : userText(end),
        limit,
        reverse,
        keysOnly,
        READ_MODE.codes[read],
        partition ?? null,
      ];
    }
    case "watch":
      return [OP.watch, userText(op.start), op.end === null ? null : userText(op.end), op.from];
    case "unwatch":
      return [OP.unwatch, op.watch];
    case "join":
      return [OP.join, memberWire(op.member), op.network];
    case "set-state":
      return [OP["set-state"], op.node, MEMBER_STATE.codes[op.state], op.force];
    case "set-address":
      return [OP["set-address"], op.node, op.address];
    case "evict":
      return [OP.evict, op.node, op.force];
    case "invite-add":
      return [OP["invite-add"], inviteWire(op.invite), op.nowMs];
    case "access-set":
      return [OP["access-set"], accessKeyWire(op.access)];
    case "invite-drop":
    case "access-drop":
      return [OP[op.kind], op.id];
    case "key-made":
      return [OP["key-made"], op.id, op.authority];
    case "key-status":
      return [OP["key-status"], op.node, op.holds, op.uses, op.statement];
    case "audit":
      return [OP.audit, op.limit];
    case "chunk-put":
    case "chunk-get":
    case "segments-gone":
      return chunkRequestWire(op);
    case "keys-rotate":
    case "status":
    case "members":
    case "layout":
      return [OP[op.kind]];
    default:
      return unreachable(op);
  }
}

/** Encoded, a lone surrogate would become U+FFFD, and two keys one. */
function userText(text: string): string {
  if (text.isWellFormed()) return text;
  throw new TypeError(
    `A key or name must be well-formed Unicode, ${JSON.stringify(text)} has a lone surrogate`,
  );
}

const FIELDS_MAX = 16;

export function readOp(reader: Reader): Op {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case OP.put:
      reader.expectArity(arity, 6);
      return readPut(reader);
    case OP.get:
      reader.expectArity(arity, 4);
      return readGet(reader);
    case OP.delete:
      reader.expectArity(arity, 2);
      return { kind: "delete", key: reader.text() };
    case OP.cas:
      reader.expectArity(arity, 7);
      return readCas(reader);
    case OP.transact:
      reader.expectArity(arity, 4);
      return readTransact(reader);
    case OP.grant:
      reader.expectArity(arity, 3);
      return { kind: "grant", lease: reader.text(), ttlMs: reader.integer() };
    case OP["keep-alive"]:
      reader.expectArity(arity, 2);
      return { kind: "keep-alive", lease: reader.text() };
    case OP.revoke:
      reader.expectArity(arity, 2);
      return { kind: "revoke", lease: reader.text() };
    case OP.history:
      reader.expectArity(arity, 3);
      return { kind: "history", key: reader.text(), read: reader.choice(READ_MODE.names) };
    case OP.range:
      reader.expectArity(arity, 8);
      return readRange(reader);
    case OP.watch:
      reader.expectArity(arity, 4);
      return readWatch(reader);
    case OP.unwatch:
      reader.expectArity(arity, 2);
      return { kind: "unwatch", watch: reader.integer() };
    default:
      return readNetworkOp(reader, arity, tag);
  }
}

/** Ops on the network itself and on what a node knows. */
function readNetworkOp(reader: Reader, arity: number, tag: number): Op {
  switch (tag) {
    case OP.join:
      reader.expectArity(arity, 3);
      return {
        kind: "join",
        member: readMember(reader),
        network: reader.skipNull() ? null : readName(reader),
      };
    case OP["set-state"]:
      reader.expectArity(arity, 4);
      return {
        kind: "set-state",
        node: reader.nodeId(),
        state: reader.choice(MEMBER_STATE.names),
        force: reader.boolean(),
      };
    case OP["set-address"]:
      reader.expectArity(arity, 3);
      return { kind: "set-address", node: reader.nodeId(), address: readAddress(reader) };
    case OP.status:
      reader.expectArity(arity, 1);
      return { kind: "status" };
    case OP.members:
      reader.expectArity(arity, 1);
      return { kind: "members" };
    case OP.layout:
      reader.expectArity(arity, 1);
      return { kind: "layout" };
    case OP.audit:
      reader.expectArity(arity, 2);
      return { kind: "audit", limit: reader.integer() };
    default:
      return readSecurityOp(reader, arity, tag);
  }
}

/** Ops on who belongs to the network and may do what. */
function readSecurityOp(reader: Reader, arity: number, tag: number): Op {
  switch (tag) {
    case OP.evict:
      reader.expectArity(arity, 3);
      return { kind: "evict", node: reader.nodeId(), force: reader.boolean() };
    case OP["invite-add"]:
      reader.expectArity(arity, 3);
      return { kind: "invite-add", invite: readInvite(reader), nowMs: reader.integer() };
    case OP["invite-drop"]:
      reader.expectArity(arity, 2);
      return { kind: "invite-drop", id: readHex(reader, 16) };
    case OP["access-set"]:
      reader.expectArity(arity, 2);
      return { kind: "access-set", access: readAccessKey(reader) };
    case OP["access-drop"]:
      reader.expectArity(arity, 2);
      return { kind: "access-drop", id: reader.token(LIMITS.accessIdBytesMax) };
    case OP["keys-rotate"]:
      reader.expectArity(arity, 1);
      return { kind: "keys-rotate" };
    case OP["key-made"]:
      reader.expectArity(arity, 3);
      return { kind: "key-made", id: reader.integer(), authority: reader.bytes(LIMITS.authorityBytesMax) };
    case OP["key-status"]:
      reader.expectArity(arity, 5);
      return {
        kind: "key-status",
        node: reader.nodeId(),
        holds: reader.integer(),
        uses: reader.integer(),
        statement: readStatement(reader),
      };
    default:
      return readChunkRequest(reader, arity, tag);
  }
}

function optionsWire(options: PutOptions): [Wire, Wire, Wire] {
  return [
    options.lease === undefined ? null : userText(options.lease),
    options.ttlMs ?? null,
    options.history ?? null,
  ];
}

function readOptions(reader: Reader): PutOptions {
  const lease = readTextOrNull(reader);
  const ttlMs = readIntegerOrNull(reader);
  const history = readIntegerOrNull(reader);
  return {
    ...(lease === null ? null : { lease }),
    ...(ttlMs === null ? null : { ttlMs }),
    ...(history === null ? null : { history }),
  };
}

function readIntegerOrNull(reader: Reader): number | null {
  return reader.skipNull() ? null : reader.integer();
}

function readPut(reader: Reader): PutOp {
  const key = reader.text();
  const value = reader.bytes();
  // Nearly every put is without options, and a spread costs as much as all the rest.
  if (reader.skipNulls(3)) return { kind: "put", key, value };
  return { kind: "put", key, value, ...readOptions(reader) };
}

function readCas(reader: Reader): CasOp {
  const key = reader.text();
  const expect = readExpectation(reader);
  const value = readBytesOrNull(reader);
  return { kind: "cas", key, expect, value, ...readOptions(reader) };
}

function readGet(reader: Reader): GetOp {
  const key = reader.text();
  const read = reader.choice(READ_MODE.names);
  return reader.skipNull()
    ? { kind: "get", key, read }
    : { kind: "get", key, read, version: readVersion(reader) };
}

function readRange(reader: Reader): RangeOp {
  const range: RangeOp = {
    kind: "range",
    start: reader.text(),
    end: readTextOrNull(reader),
    limit: reader.integer(),
    reverse: reader.boolean(),
    keysOnly: reader.boolean(),
    read: reader.choice(READ_MODE.names),
  };
  return reader.skipNull() ? range : { ...range, partition: reader.partition() };
}

function readWatch(reader: Reader): WatchOp {
  return {
    kind: "watch",
    start: reader.text(),
    end: readTextOrNull(reader),
    from: readPositions(reader),
  };
}

/** Log positions by partition. */
export function readPositions(reader: Reader): (readonly [PartitionId, LogIndex])[] {
  return readList(reader, LIMITS.partitionsMax + 1, readPosition);
}
function readPosition(reader: Reader): readonly [PartitionId, LogIndex] {
  reader.tuple(2);
  return [reader.partition(), reader.index()];
}

export function expectationWire(expect: Expectation): Wire {
  switch (expect.kind) {
    case "absent":
    case "present":
      return [EXPECTATION[expect.kind]];
    case "version":
      return [EXPECTATION.version, versionWire(expect.version)];
    case "value":
      return [EXPECTATION.value, expect.value];
    default:
      return unreachable(expect);
  }
}
export function readExpectation(reader: Reader): Expectation {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case EXPECTATION.absent:
      reader.expectArity(arity, 1);
      return { kind: "absent" };
    case EXPECTATION.present:
      reader.expectArity(arity, 1);
      return { kind: "present" };
    case EXPECTATION.version:
      reader.expectArity(arity, 2);
      return { kind: "version", version: readVersion(reader) };
    case EXPECTATION.value:
      reader.expectArity(arity, 2);
      return { kind: "value", value: reader.bytes() };
    default:
      return reader.fail("kind", `No expectation has the tag ${tag}`);
  }
}

type Condition = TransactOp["conditions"][number];

function conditionWire(condition: Condition): Wire {
  return [userText(condition.key), expectationWire(condition.expect)];
}
function readCondition(reader: Reader): Condition {
  reader.tuple(2);
  return { key: reader.text(), expect: readExpectation(reader) };
}

function itemWire(item: TransactItem): Wire {
  return item.kind === "get" ? [OP.get, userText(item.key)] : opWire(item);
}
function readItem(reader: Reader): TransactItem {
  const arity = reader.array(FIELDS_MAX);
  const tag = reader.integer();
  switch (tag) {
    case OP.put:
      reader.expectArity(arity, 6);
      return readPut(reader);
    case OP.delete:
      reader.expectArity(arity, 2);
      return { kind: "delete", key: reader.text() };
    case OP.get:
      reader.expectArity(arity, 2);
      return { kind: "get", key: reader.text() };
    default:
      return reader.fail("kind", `No item of a transaction has the tag ${tag}`);
  }
}
function readTransact(reader: Reader): TransactOp {
  return {
    kind: "transact",
    conditions: readList(reader, LIMITS.arrayItemsMax, readCondition),
    then: readList(reader, LIMITS.arrayItemsMax, readItem),
    otherwise: readList(reader, LIMITS.arrayItemsMax, readItem),
  };
}
