/**
 * The part of the agreed state that says who may come in and what they may do: invites, access keys, and the
 * generations of the network's keys. Pure functions from a view and a command to the next.
 *
 * G1. At most one generation is wanted or made, and it is the newest; at most one is current.
 * G2. A generation becomes current only when every member that is not former holds it, and it is forgotten only when
 *     none of them uses it or an older one.
 * G3. Who is evicted loses what may let it in again: its key's record stays as evicted, all invites are void, and a
 *     generation that it never knew is wanted, whatever was under way.
 * G4. An invite lets in as many as it says, each with its secret; whoever was let in and asks again uses it no more.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { LogIndex, NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { isFormer } from "../wire/members.ts";
import type { Member, SystemView } from "../wire/messages.ts";
import { refusal } from "../wire/ops.ts";
import type { Refused } from "../wire/requests.ts";
import type { AccessKey, Invite, NetworkKey, Principal, Security } from "../wire/security.ts";
import { findMember, replaceMember } from "./members.ts";

type Outcome = SystemView | Refused;

const OPEN = refusal("conflict", "The network is open: it has no keys, invites or access keys");

export function evict(view: SystemView, node: NodeId, index: LogIndex): Outcome {
  const member = findMember(view, node);
  if (member === null) return refusal("not-found", `No member is named "${node}"`);
  if (member.state === "evicted") return view;
  if (view.security === null) return OPEN;
  const last = member.state === "active" && !view.members.some((m) => m.state === "active" && m.id !== node);
  if (last) return refusal("conflict", `Node "${node}" is the last active member and must stay`);
  const members = replaceMember(view.members, { ...member, state: "evicted" });
  const security = { ...view.security, invites: [], keys: wanted(view.security.keys) };
  return { ...view, version: index, members, security };
}

export function rotateKeys(view: SystemView, index: LogIndex): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  const newest = security.keys.at(-1)!;
  if (newest.state === "wanted" || newest.state === "made") {
    return refusal(
      "conflict",
      `Generation ${newest.id} of the keys is being introduced; wait for it to be current`,
    );
  }
  if (security.keys.length >= LIMITS.networkKeysMax) {
    return refusal(
      "conflict",
      `${security.keys.length} generations of keys are in use, the most there may be: wait for members to let go of ` +
        `generation ${security.keys[0]!.id}, or remove those that are away`,
    );
  }
  return withSecurity(view, { ...security, keys: wanted(security.keys) }, index);
}

/** One generation more; one that was on its way is replaced, for somebody may know it who is not to (G3). */
function wanted(keys: readonly NetworkKey[]): readonly NetworkKey[] {
  const newest = keys.at(-1)!;
  const kept = newest.state === "wanted" || newest.state === "made" ? keys.slice(0, -1) : keys;
  // The oldest gives way where there are too many: who still needs it keeps it, and cannot be heard of any more.
  const within = kept.length < LIMITS.networkKeysMax ? kept : kept.slice(1);
  return [...within, { id: newest.id + 1, state: "wanted", authority: new Uint8Array(0) }];
}

export function keyMade(
  view: SystemView,
  { id, authority }: { id: number; authority: Uint8Array },
  index: LogIndex,
): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  const newest = security.keys.at(-1)!;
  if (newest.id !== id || newest.state !== "wanted") {
    return refusal("conflict", `Generation ${id} of the keys is not wanted`);
  }
  if (authority.length === 0 || authority.length > LIMITS.authorityBytesMax) {
    return refusal(
      "invalid",
      `An authority has 1 to ${LIMITS.authorityBytesMax} bytes, not ${authority.length}`,
    );
  }
  return withSecurity(view, {
    ...security,
    keys: replaceKey(security.keys, { id, state: "made", authority }),
  }, index);
}

export function keyStatus(
  view: SystemView,
  status: { node: NodeId; holds: number; uses: number; statement: Uint8Array },
  index: LogIndex,
): Outcome {
  const { node, holds, uses, statement } = status;
  const member = findMember(view, node);
  if (member === null) return refusal("not-found", `No member is named "${node}"`);
  const known = member.identity;
  if (view.security === null || known === undefined) return OPEN;
  const newest = view.security.keys.at(-1)!.id;
  if (holds > newest || uses > holds) {
    return refusal(
      "invalid",
      `A member cannot hold generation ${holds} and use ${uses} where ${newest} is the newest`,
    );
  }
  if (known.holds === holds && known.uses === uses && equal(known.statement, statement)) return view;
  const identity = { ...known, holds, uses, statement };
  return { ...view, version: index, members: replaceMember(view.members, { ...member, identity }) };
}

/** True where generation `id`, which was made, may become current (G2). */
export function mayUseKey(view: SystemView, id: number): boolean {
  const key = view.security?.keys.find((k) => k.id === id);
  return key?.state === "made" &&
    view.members.every((m) => isFormer(m.state) || (m.identity?.holds ?? 0) >= id);
}

/** True where the former generation `id` may be forgotten (G2). */
export function mayForgetKey(view: SystemView, id: number): boolean {
  const key = view.security?.keys.find((k) => k.id === id);
  return key?.state === "former" &&
    view.members.every((m) => isFormer(m.state) || (m.identity?.uses ?? 0) > id);
}

export function useKey(view: SystemView, id: number, index: LogIndex): Outcome {
  if (!mayUseKey(view, id)) {
    return refusal("conflict", `Generation ${id} of the keys is not held by all members`);
  }
  const security = view.security!;
  const keys = security.keys.map((key): NetworkKey =>
    key.id === id ? { ...key, state: "current" } : key.state === "current" ? { ...key, state: "former" } : key
  );
  return withSecurity(view, { ...security, keys }, index);
}

export function forgetKey(view: SystemView, id: number, index: LogIndex): Outcome {
  if (!mayForgetKey(view, id)) return refusal("conflict", `Generation ${id} of the keys is in use`);
  const security = view.security!;
  return withSecurity(view, { ...security, keys: security.keys.filter((key) => key.id !== id) }, index);
}

export function addInvite(view: SystemView, invite: Invite, nowMs: number, index: LogIndex): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  if (invite.uses < 1) return refusal("invalid", `An invite lets in at least one, not ${invite.uses}`);
  if (invite.expiresMs <= nowMs) return refusal("invalid", "The invite would be over before it began");
  const left = security.invites.filter(({ id, expiresMs }) =>
    id !== invite.id && expiresMs > nowMs - FORGET_MS
  );
  if (left.length >= LIMITS.invitesMax) {
    return refusal(
      "conflict",
      `${left.length} invites are open, and ${LIMITS.invitesMax} is the most; drop some`,
    );
  }
  return withSecurity(view, { ...security, invites: sortedById([...left, invite]) }, index);
}

/** An invite that is over is remembered for so long, so that who comes with it learns why it is refused. */
const FORGET_MS = 24 * 3_600_000;

export function dropInvite(view: SystemView, id: string, index: LogIndex): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  const invites = security.invites.filter((invite) => invite.id !== id);
  if (invites.length === security.invites.length) return refusal("not-found", `No invite is named "${id}"`);
  return withSecurity(view, { ...security, invites }, index);
}

export function setAccess(view: SystemView, access: AccessKey, index: LogIndex): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  if (access.rights.length === 0) return refusal("invalid", `Access key "${access.id}" would have no rights`);
  const others = security.access.filter(({ id }) => id !== access.id);
  if (others.length >= LIMITS.accessKeysMax) {
    return refusal(
      "conflict",
      `The network has ${others.length} access keys, and ${LIMITS.accessKeysMax} is the most`,
    );
  }
  const next = sortedById([...others, access]);
  return keepsOperator(security, next) ?? withSecurity(view, { ...security, access: next }, index);
}

export function dropAccess(view: SystemView, id: string, index: LogIndex): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  const access = security.access.filter((key) => key.id !== id);
  if (access.length === security.access.length) return refusal("not-found", `No access key is named "${id}"`);
  return keepsOperator(security, access) ?? withSecurity(view, { ...security, access }, index);
}

/** A network without an operator's key could never have another made. */
function keepsOperator(security: Security, access: readonly AccessKey[]): Refused | null {
  if (!security.access.some(isOperator) || access.some(isOperator)) return null;
  return refusal("conflict", "This is the last access key that may run the network; make another one first");
}

export function isOperator({ rights }: AccessKey): boolean {
  return rights.some(({ prefix, admin }) => admin && prefix === "");
}

/** `zone`: where the invite says the member is; null: as it says itself. `identity`: what the view is to say of its key. */
interface Admitted {
  readonly security: Security | null;
  readonly zone: string | null;
  readonly identity: Pick<Member, "identity">;
}

/**
 * Whether `by` may bring `member` in, and the security that is left then. A member may bring in others, or come back
 * itself, with the key that is known of it.
 */
export function admit(view: SystemView, member: Member, by: Principal | null): Admitted | Refused {
  const { security } = view;
  if (security === null) return { security: null, zone: null, identity: {} };
  const key = member.identity?.key;
  if (key === undefined) return refusal("denied", `Node "${member.id}" shows no key of its own`);
  if (view.members.some((m) => m.state === "evicted" && m.identity?.key === key)) {
    return refusal("denied", `The key of node "${member.id}" was evicted from the network`);
  }
  const known = findMember(view, member.id);
  if (known !== null && known.identity?.key !== key) {
    return refusal("denied", `Node "${member.id}" is known with another key; choose another --id`);
  }
  const identity = { identity: known?.identity ?? { key, holds: 0, uses: 0, statement: new Uint8Array(0) } };
  const admitted: Admitted = { security, zone: null, identity };
  switch (by?.kind) {
    case "member": {
      const voucher = findMember(view, by.node);
      if (voucher !== null && voucher.state !== "evicted" && voucher.state !== "removed") return admitted;
      return refusal("denied", `Node "${by.node}" belongs to the network no more, and can bring in nobody`);
    }
    case "invite":
      // It was let in with it before, and the answer was lost (G4).
      return known !== null ? admitted : redeem(admitted, by);
    default:
      return refusal(
        "denied",
        `Node "${member.id}" needs an invite: \`space-opera invite\` on any member makes one`,
      );
  }
}

function redeem(admitted: Admitted, { id, proof }: { id: string; proof: string }): Admitted | Refused {
  const security = admitted.security!;
  const invite = security.invites.find((i) => i.id === id);
  if (invite === undefined) {
    return refusal("denied", `No invite is named "${id}": it was used up, dropped, or is another network's`);
  }
  const hash = createHash("sha256").update(proof, "hex").digest();
  if (!timingSafeEqual(hash, Uint8Array.fromHex(invite.hash))) {
    return refusal("denied", `The secret of invite "${id}" is wrong`);
  }
  const invites = invite.uses > 1
    ? security.invites.map((i) => i === invite ? { ...i, uses: i.uses - 1 } : i)
    : security.invites.filter((i) => i !== invite);
  return { ...admitted, security: { ...security, invites }, zone: invite.zone };
}

function withSecurity(view: SystemView, security: Security, index: LogIndex): SystemView {
  return { ...view, version: index, security };
}

function replaceKey(keys: readonly NetworkKey[], key: NetworkKey): readonly NetworkKey[] {
  return keys.map((k) => k.id === key.id ? key : k);
}

function sortedById<T extends { readonly id: string }>(items: readonly T[]): readonly T[] {
  return [...items].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
