/** A private network's view, and commands on it, for tests of who may come in and do what. */
import assert from "node:assert/strict";
import { type Epoch, type LogIndex, type NodeId, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import {
  decodeSystemCommand,
  encodeSystemCommand,
  type SystemCommand,
} from "../../../core/system/command.ts";
import { nextView } from "../../../core/system/system.ts";
import type { Member, SystemView } from "../../../core/wire/messages.ts";
import type { Invite, MemberIdentity, Principal, Security } from "../../../core/wire/security.ts";
import { keyOf, OPERATOR, sha256 } from "../../support/credentials.ts";

export const [a, b, c, d] = ["Alnilam", "Betelgeuse", "Capella", "Deneb"].map(nodeId) as [
  NodeId,
  NodeId,
  NodeId,
  NodeId,
];
export const NONE = new Uint8Array(0);
export const identity = (name: string, change: Partial<MemberIdentity> = {}): MemberIdentity => ({
  key: keyOf(name),
  holds: 1,
  uses: 1,
  statement: NONE,
  ...change,
});
export const member = (name: string, change: Partial<Member> = {}): Member => ({
  id: nodeId(name),
  address: `${name}:7070`,
  zone: "Ori",
  capacity: 1,
  state: "active",
  disk: name,
  identity: identity(name),
  ...change,
});
export const proofOf = (id: string) => sha256(id.repeat(2));
export const invite = (id: string, change: Partial<Invite> = {}): Invite => ({
  id,
  hash: sha256(proofOf(id)),
  zone: null,
  expiresMs: 10_000,
  uses: 1,
  ...change,
});
export const ID = "0123456789abcdef";
export const by = (id: string, proof = proofOf(id)): Principal => ({ kind: "invite", id, proof });
export const vouching = (node: NodeId): Principal => ({ kind: "member", node });

export const genesis: SystemView = {
  version: 0,
  network: "0".repeat(32),
  settings: { ...DEFAULT_SETTINGS, partitions: 1 },
  epoch: 1 as Epoch,
  members: [member(a), member(b), member(c)],
  assignment: [[a, b, c], [a, b, c]],
  security: {
    keys: [{ id: 1, state: "current", authority: Uint8Array.of(1) }],
    access: [OPERATOR],
    invites: [],
  },
};
/** Of a private network without members. */
export const viewWith = (security: Partial<Security>): SystemView => ({
  ...genesis,
  members: [],
  assignment: [],
  security: { keys: [], access: [], invites: [], ...security },
});
export const open: SystemView = {
  ...genesis,
  members: genesis.members.map(({ identity: _, ...m }) => m),
  security: null,
};

export const apply = (view: SystemView, command: SystemCommand) =>
  nextView(view, decodeSystemCommand(encodeSystemCommand(command)), (view.version + 1) as LogIndex);
export function after(view: SystemView, ...commands: SystemCommand[]): SystemView {
  return commands.reduce((v, command) => {
    const next = apply(v, command);
    assert.ok(!("reason" in next), JSON.stringify(next));
    return next;
  }, view);
}
export function refused(view: SystemView, command: SystemCommand): string {
  const next = apply(view, command);
  assert.ok("reason" in next, `${command.kind} is refused`);
  return `${next.reason}: ${next.message}`;
}
export const evict = (node: NodeId): SystemCommand => ({ kind: "evict", node, force: false });
export const rotate: SystemCommand = { kind: "keys-rotate" };
export const made = (id: number): SystemCommand => ({ kind: "key-made", id, authority: Uint8Array.of(id) });
export const status = (node: NodeId, holds: number, uses = holds): SystemCommand => ({
  kind: "key-status",
  node,
  holds,
  uses,
  statement: NONE,
});
export const join = (joiner: Member, who?: Principal): SystemCommand => ({
  kind: "join",
  member: joiner,
  ...(who === undefined ? null : { by: who }),
});
export const add = (i: Invite, nowMs = 1): SystemCommand => ({ kind: "invite-add", invite: i, nowMs });
export const keys = (view: SystemView) =>
  view.security!.keys.map(({ id, state }) => `${id} ${state}`).join(", ");
