/** What goes through the log of the system partition. `layout` is proposed by its leader, the rest by anyone. */
import type { NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { encode, type Reader } from "../wire/cbor.ts";
import type { Member, MemberState } from "../wire/messages.ts";
import type { SystemOp } from "../wire/requests.ts";
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
  | { readonly kind: "join"; readonly member: Member }
  | { readonly kind: "set-state"; readonly node: NodeId; readonly state: MemberState }
  | { readonly kind: "set-address"; readonly node: NodeId; readonly address: string }
  | {
    readonly kind: "layout";
    /** The version of the view it was computed from. */
    readonly base: number;
    readonly states: readonly (readonly [NodeId, MemberState])[];
    readonly assignment: readonly (readonly NodeId[])[];
  };

const TAG = { "join": 1, "set-state": 2, "set-address": 3, "layout": 4 } as const satisfies Record<
  SystemCommand["kind"],
  number
>;

/** The bytes of a log entry. Of a request only what changes the state goes in. */
export function encodeSystemCommand(command: SystemCommand | SystemOp): Uint8Array {
  switch (command.kind) {
    case "join":
      return encode([TAG.join, memberWire(command.member)]);
    case "set-state":
      return encode([TAG["set-state"], command.node, MEMBER_STATE.codes[command.state]]);
    case "set-address":
      return encode([TAG["set-address"], command.node, command.address]);
    case "layout": {
      const states = listWire(command.states, ([node, state]) => [node, MEMBER_STATE.codes[state]]);
      return encode([TAG.layout, command.base, states, command.assignment]);
    }
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
      reader.expectArity(count, 2);
      return { kind: "join", member: readMember(reader) };
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
    default:
      return reader.fail("kind", `No system command has the number ${tag}`);
  }
}

function readState(reader: Reader): readonly [NodeId, MemberState] {
  reader.tuple(2);
  return [reader.nodeId(), reader.choice(MEMBER_STATE.names)];
}
