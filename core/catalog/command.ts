/**
 * What a data partition's log carries: the writes of clients, and what a leader proposes on its own account.
 *
 * A command is one canonical CBOR array by position, `[code, session, …]`; internal commands have no session. Decoding
 * is strict: a command has one form, and bytes that are none are refused alike on every replica.
 */
import { unreachable } from "../base/invariant.ts";
import type { LogIndex } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { encode, Reader, type Wire } from "../wire/cbor.ts";
import { bytesToHex, CLIENT_BYTES, hexToBytes } from "./client_name.ts";
import type { Expectation, PutOp, PutOptions, Session, TransactItem, WriteOp } from "../wire/requests.ts";

/** Leases whose time is over. One that was refreshed meanwhile has another generation and stays. */
export interface ExpireCommand {
  readonly kind: "expire";
  readonly leases: readonly { readonly lease: string; readonly generation: LogIndex }[];
}

/** Sessions long without use. One that wrote meanwhile has another last index and stays. */
export interface ForgetSessionsCommand {
  readonly kind: "forget-sessions";
  readonly sessions: readonly { readonly client: string; readonly lastIndex: LogIndex }[];
}

export interface WriteRequest {
  readonly op: WriteOp;
  readonly session?: Session;
}

export type Command =
  | { readonly kind: "write"; readonly op: WriteOp; readonly session: Session | null }
  | ExpireCommand
  | ForgetSessionsCommand;

const PUT = 1,
  DELETE = 2,
  CAS = 3,
  TRANSACT = 4,
  GRANT = 5,
  KEEP_ALIVE = 6,
  REVOKE = 7,
  EXPIRE = 8,
  FORGET = 9;
const GET_ITEM = 3;
const ABSENT = 0, PRESENT = 1, VERSION = 2, VALUE = 3;

/** The log entry data of a client's write. */
export function encodeCommand(request: WriteRequest): Uint8Array {
  const session = sessionWire(request.session);
  const op = request.op;
  switch (op.kind) {
    case "put":
      return encode([PUT, session, op.key, op.value, op.lease ?? null, op.ttlMs ?? 0, historyWire(op)]);
    case "delete":
      return encode([DELETE, session, op.key]);
    case "cas": {
      const expect = expectWire(op.expect);
      return encode([
        CAS,
        session,
        op.key,
        expect,
        op.value,
        op.lease ?? null,
        op.ttlMs ?? 0,
        historyWire(op),
      ]);
    }
    case "transact": {
      const conditions = op.conditions.map(({ key, expect }) => [key, expectWire(expect)]);
      return encode([TRANSACT, session, conditions, op.then.map(itemWire), op.otherwise.map(itemWire)]);
    }
    case "grant":
      return encode([GRANT, session, op.lease, op.ttlMs]);
    case "keep-alive":
      return encode([KEEP_ALIVE, session, op.lease]);
    case "revoke":
      return encode([REVOKE, session, op.lease]);
    default:
      return unreachable(op);
  }
}

/** The log entry data of a leader's own command. */
export function encodeInternal(command: ExpireCommand | ForgetSessionsCommand): Uint8Array {
  return command.kind === "expire"
    ? encode([EXPIRE, null, command.leases.map(({ lease, generation }) => [lease, generation])])
    : encode([
      FORGET,
      null,
      command.sessions.map(({ client, lastIndex }) => [hexToBytes(client), lastIndex]),
    ]);
}

/**
 * Reads a command back.
 * @throws {WireError} when `bytes` is not exactly one command
 */
export function decodeCommand(bytes: Uint8Array): Command {
  const reader = new Reader(bytes);
  const arity = reader.array(8);
  const code = reader.integer();
  const session = reader.skipNull() ? null : readSession(reader);
  const command = readBody(reader, arity, code, session);
  reader.end();
  return command;
}

function readBody(reader: Reader, arity: number, code: number, session: Session | null): Command {
  switch (code) {
    case PUT:
      reader.expectArity(arity, 7);
      return write(readPut(reader), session);
    case DELETE:
      reader.expectArity(arity, 3);
      return write({ kind: "delete", key: readKey(reader) }, session);
    case CAS: {
      reader.expectArity(arity, 8);
      const key = readKey(reader), expect = readExpect(reader);
      const value = reader.skipNull() ? null : readValue(reader);
      return write({ kind: "cas", key, expect, value, ...readOptions(reader) }, session);
    }
    case TRANSACT: {
      reader.expectArity(arity, 5);
      const conditions = readList(reader, LIMITS.transactionItemsMax, readCondition);
      const then = readBranch(reader), otherwise = readBranch(reader);
      return write({ kind: "transact", conditions, then, otherwise }, session);
    }
    case GRANT:
      reader.expectArity(arity, 4);
      return write(
        { kind: "grant", lease: readKey(reader), ttlMs: reader.integer(LIMITS.leaseTtlMsMax) },
        session,
      );
    case KEEP_ALIVE:
      reader.expectArity(arity, 3);
      return write({ kind: "keep-alive", lease: readKey(reader) }, session);
    case REVOKE:
      reader.expectArity(arity, 3);
      return write({ kind: "revoke", lease: readKey(reader) }, session);
    case EXPIRE:
      reader.expectArity(arity, 3);
      return { kind: "expire", leases: readList(reader, LIMITS.arrayItemsMax, readExpiry) };
    case FORGET:
      reader.expectArity(arity, 3);
      return { kind: "forget-sessions", sessions: readList(reader, LIMITS.sessionsMax, readForgotten) };
    default:
      return reader.fail("kind", `No command has the code ${code}`);
  }
}

function write(op: WriteOp, session: Session | null): Command {
  return { kind: "write", op, session };
}

function sessionWire(session: Session | undefined): Wire {
  if (session === undefined) return null;
  return [hexToBytes(session.client), session.sequence, session.acknowledged, session.opened];
}

function readSession(reader: Reader): Session {
  reader.tuple(4);
  const client = readClient(reader);
  const sequence = reader.integer(), acknowledged = reader.integer(), opened = reader.boolean();
  if (acknowledged > sequence) {
    reader.fail("invalid", `A write of sequence ${sequence} acknowledges ${acknowledged}`);
  }
  return { client, sequence, acknowledged, opened };
}

function historyWire(options: PutOptions): number {
  return options.history === undefined ? 0 : options.history + 1;
}

function readOptions(reader: Reader): PutOptions {
  const lease = reader.skipNull() ? null : readKey(reader);
  const ttlMs = reader.integer(LIMITS.leaseTtlMsMax);
  const history = reader.integer(LIMITS.historyVersionsMax + 1);
  if (lease === null && ttlMs === 0 && history === 0) return NO_OPTIONS;
  return {
    ...(lease === null ? {} : { lease }),
    ...(ttlMs === 0 ? {} : { ttlMs }),
    ...(history === 0 ? {} : { history: history - 1 }),
  };
}

const NO_OPTIONS: PutOptions = {};

function readPut(reader: Reader): PutOp {
  const key = readKey(reader), value = readValue(reader), options = readOptions(reader);
  return options === NO_OPTIONS ? { kind: "put", key, value } : { kind: "put", key, value, ...options };
}

function expectWire(expect: Expectation): Wire {
  switch (expect.kind) {
    case "absent":
      return [ABSENT];
    case "present":
      return [PRESENT];
    case "version":
      return [VERSION, expect.version.term, expect.version.index];
    case "value":
      return [VALUE, expect.value];
    default:
      return unreachable(expect);
  }
}

function readExpect(reader: Reader): Expectation {
  const arity = reader.array(3), code = reader.integer();
  reader.expectArity(arity, code === VERSION ? 3 : code === VALUE ? 2 : 1);
  switch (code) {
    case ABSENT:
      return { kind: "absent" };
    case PRESENT:
      return { kind: "present" };
    case VERSION:
      return { kind: "version", version: { term: reader.term(), index: reader.index() } };
    case VALUE:
      return { kind: "value", value: readValue(reader) };
    default:
      return reader.fail("kind", `No expectation has the code ${code}`);
  }
}

function itemWire(item: TransactItem): Wire {
  switch (item.kind) {
    case "put":
      return [PUT, item.key, item.value, item.lease ?? null, item.ttlMs ?? 0, historyWire(item)];
    case "delete":
      return [DELETE, item.key];
    case "get":
      return [GET_ITEM, item.key];
    default:
      return unreachable(item);
  }
}

function readItem(reader: Reader): TransactItem {
  const arity = reader.array(6), code = reader.integer();
  reader.expectArity(arity, code === PUT ? 6 : 2);
  switch (code) {
    case PUT:
      return readPut(reader);
    case DELETE:
      return { kind: "delete", key: readKey(reader) };
    case GET_ITEM:
      return { kind: "get", key: readKey(reader) };
    default:
      return reader.fail("kind", `No transaction item has the code ${code}`);
  }
}

/** The items of one branch, each of another key: versions are log positions, so a key has one a command. */
function readBranch(reader: Reader): TransactItem[] {
  const items = readList(reader, LIMITS.transactionItemsMax, readItem);
  if (new Set(items.map((item) => item.key)).size < items.length) {
    reader.fail("invalid", "A branch names a key twice");
  }
  return items;
}

function readCondition(reader: Reader): { key: string; expect: Expectation } {
  reader.tuple(2);
  return { key: readKey(reader), expect: readExpect(reader) };
}

function readExpiry(reader: Reader): { lease: string; generation: LogIndex } {
  reader.tuple(2);
  return { lease: readKey(reader), generation: reader.index() };
}

function readForgotten(reader: Reader): { client: string; lastIndex: LogIndex } {
  reader.tuple(2);
  return { client: readClient(reader), lastIndex: reader.index() };
}

function readList<T>(reader: Reader, max: number, read: (reader: Reader) => T): T[] {
  const items: T[] = [];
  for (let left = reader.array(max); left > 0; left--) items.push(read(reader));
  return items;
}

function readKey(reader: Reader): string {
  return reader.text(LIMITS.keyBytesMax);
}

function readValue(reader: Reader): Uint8Array {
  return reader.bytes(LIMITS.valueBytesMax);
}

function readClient(reader: Reader): string {
  const bytes = reader.bytes(CLIENT_BYTES);
  if (bytes.length !== CLIENT_BYTES) {
    reader.fail("invalid", `A client has ${CLIENT_BYTES} bytes, not ${bytes.length}`);
  }
  return bytesToHex(bytes, 0);
}
