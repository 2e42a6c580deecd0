/** What goes through the log of the system partition. `layout` is proposed by its leader, the rest by anyone. */
import type { NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { encode, type Reader } from "../wire/cbor.ts";
import type { Member, MemberState } from "../wire/messages.ts";
import { isSystemOp } from "../wire/ops.ts";
import { opWire, readOp } from "../wire/request_codec.ts";
import type { SystemOp } from "../wire/requests.ts";
import { type Principal, principalWire, readPrincipal } from "../wire/security.ts";
import {
  decodeWith,
  listWire,
  memberWire,
  readAddress,
  readList,
  readMember,
  readNodeIds,
} from "../wire/shared_codec.ts";
import { MEMBER_STATE } from "../wire/tags.ts";

export type SystemCommand =
  | { readonly kind: "join"; readonly member: Member; readonly by?: Principal }
  | { readonly kind: "set-state"; readonly node: NodeId; readonly state: MemberState }
  | { readonly kind: "set-address"; readonly node: NodeId; readonly address: string }
  | {
    readonly kind: "layout";
    /** The version of the view it was computed from. */
    readonly base: number;
    readonly states: readonly (readonly [NodeId, MemberState])[];
    readonly assignment: readonly (readonly NodeId[])[];
  }
  /** The generation that was made is held by all: new data is encrypted with it. */
  | { readonly kind: "key-use"; readonly id: number }
  /** A former generation is used by nobody any more. */
  | { readonly kind: "key-forget"; readonly id: number }
  | Exclude<SystemOp, { readonly kind: "join" | "set-state" | "set-address" }>;

const TAG = {
  "join": 1,
  "set-state": 2,
  "set-address": 3,
  "layout": 4,
  "key-use": 5,
  "key-forget": 6,
  "op": 7,
} as const;

/** The bytes of a log entry. Of a request only what changes the state goes in; `by` is on whose behalf it was made. */
export function encodeSystemCommand(
  command: SystemCommand | SystemOp,
  by: Principal | null = null,
): Uint8Array {
  switch (command.kind) {
    case "join": {
      const who = ("by" in command ? command.by : by) ?? null;
      return encode([TAG.join, memberWire(command.member), who === null ? null : principalWire(who)]);
    }
    case "set-state":
      return encode([TAG["set-state"], command.node, MEMBER_STATE.codes[command.state]]);
    case "set-address":
      return encode([TAG["set-address"], command.node, command.address]);
    case "layout": {
      const states = listWire(command.states, ([node, state]) => [node, MEMBER_STATE.codes[state]]);
      return encode([TAG.layout, command.base, states, command.assignment]);
    }
    case "key-use":
    case "key-forget":
      return encode([TAG[command.kind], command.id]);
    default:
      return encode([TAG.op, opWire(command)]);
  }
}

/** @throws {WireError} when `bytes` is not exactly one command */
export function decodeSystemCommand(bytes: Uint8Array): SystemCommand {
  return decodeWith(bytes, readCommand);
}

function readCommand(reader: Reader): SystemCommand {
  const count = reader.array(4);
  const tag = reader.integer();
  switch (tag) {
    case TAG.join:
      return readJoin(reader, count);
    case TAG["set-state"]:
      reader.expectArity(count, 3);
      return { kind: "set-state", node: reader.nodeId(), state: reader.choice(MEMBER_STATE.names) };
    case TAG["set-address"]:
      reader.expectArity(count, 3);
      return { kind: "set-address", node: reader.nodeId(), address: readAddress(reader) };
    case TAG.layout:
      reader.expectArity(count, 4);
      return {
        kind: "layout",
        base: reader.integer(),
        states: readList(reader, LIMITS.membersMax, readState),
        assignment: readList(reader, LIMITS.partitionsMax + 1, (r) => readNodeIds(r, LIMITS.replicasMax)),
      };
    case TAG["key-use"]:
      reader.expectArity(count, 2);
      return { kind: "key-use", id: reader.integer() };
    case TAG["key-forget"]:
      reader.expectArity(count, 2);
      return { kind: "key-forget", id: reader.integer() };
    case TAG.op: {
      reader.expectArity(count, 2);
      const op = readOp(reader);
      if (isSystemOp(op) && op.kind !== "join" && op.kind !== "set-state" && op.kind !== "set-address") {
        return op;
      }
      return reader.fail("kind", `"${op.kind}" is no system command`);
    }
    default:
      return reader.fail("kind", `No system command has the number ${tag}`);
  }
}

/** Logs of open networks before format 3 have joins without a principal. */
function readJoin(reader: Reader, count: number): SystemCommand {
  if (count !== 2) reader.expectArity(count, 3);
  const member = readMember(reader);
  if (count === 2 || reader.skipNull()) return { kind: "join", member };
  return { kind: "join", member, by: readPrincipal(reader) };
}

function readState(reader: Reader): readonly [NodeId, MemberState] {
  reader.tuple(2);
  return [reader.nodeId(), reader.choice(MEMBER_STATE.names)];
}
