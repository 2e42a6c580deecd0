/**
 * The part of the agreed state that says who may come in and what they may do: invites, access keys, and the
 * generations of the network's keys. Pure functions from a view and a command to the next.
 *
 * G1. At most one generation is wanted or made, and it is the newest; the one before it, or else the newest, is current;
 *     all others are former. No id is given twice.
 * G2. A generation becomes current only when every member that is not former holds it. It is forgotten only when nobody
 *     uses it or an older one who belongs to the network or may come back by itself: that one shows a certificate of it.
 * G3. Who is evicted loses what may let it in again. Every record with its key is evicted and stays so, all invites are
 *     void, and a generation that it never knew is wanted, whatever was under way.
 * G4. An invite lets in as many as it says, each with its secret; whoever was let in and asks again uses it no more.
 * G5. What an access key's public part is never changes under its id, and the last key that may run the network stays.
 * G6. A generation that was made, and that nobody has who belongs to the network, gives way to another: whose host made
 *     it was lost before it gave it to anyone.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { LogIndex, NodeId } from "../base/ids.ts";
import { equalBytes, utf8Length } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import { isFormer } from "../wire/members.ts";
import type { Member, SystemView } from "../wire/messages.ts";
import { refusal } from "../wire/ops.ts";
import type { Refused } from "../wire/requests.ts";
import type { AccessKey, Invite, NetworkKey, Principal, Right, Security } from "../wire/security.ts";
import { findMember, replaceMember } from "./members.ts";

type Outcome = SystemView | Refused;

const OPEN = refusal("conflict", "The network is open: it has no keys, invites or access keys");

export function evict(view: SystemView, node: NodeId, index: LogIndex): Outcome {
  const member = findMember(view, node);
  if (member === null) return refusal("not-found", `No member is named "${node}"`);
  if (member.state === "evicted") return view;
  if (view.security === null) return OPEN;
  // A node that was rebuilt under another id still has its key.
  const key = member.identity?.key;
  const members = view.members.map((m) =>
    m.id === node || (key !== undefined && m.identity?.key === key) ? { ...m, state: "evicted" as const } : m
  );
  if (!members.some((m) => m.state === "active")) {
    return refusal("conflict", `Node "${node}" is the last active member and must stay`);
  }
  const security = { ...view.security, invites: [], keys: wanted(view.security.keys) };
  return { ...view, version: index, members, security };
}

export function rotateKeys(view: SystemView, index: LogIndex): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  const newest = security.keys.at(-1)!;
  if (underWay(newest) && !isOrphaned(view)) {
    return refusal(
      "conflict",
      `Generation ${newest.id} of the keys is being introduced; wait for it to be current`,
    );
  }
  if (!underWay(newest) && security.keys.length >= LIMITS.networkKeysMax) {
    return refusal(
      "conflict",
      `${security.keys.length} generations of keys are in use, the most there may be: wait for members to let go of ` +
        `generation ${security.keys[0]!.id}, or remove those that are away`,
    );
  }
  return withSecurity(view, { ...security, keys: wanted(security.keys) }, index);
}

function underWay({ state }: NetworkKey): boolean {
  return state === "wanted" || state === "made";
}

/** True where the newest generation was made and no member has it (G6), or its maker has not said so yet. */
export function isOrphaned({ security, members }: SystemView): boolean {
  const newest = security?.keys.at(-1);
  return newest?.state === "made" &&
    !members.some((m) => !isFormer(m.state) && (m.identity?.holds ?? 0) >= newest.id);
}

/** One generation more; one that was on its way is replaced, for somebody may know it who is not to (G3). */
function wanted(keys: readonly NetworkKey[]): readonly NetworkKey[] {
  const newest = keys.at(-1)!;
  const kept = underWay(newest) ? keys.slice(0, -1) : keys;
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
  if (member.state === "evicted") return refusal("denied", `Node "${node}" was evicted from the network`);
  const known = member.identity;
  if (view.security === null || known === undefined) return OPEN;
  const newest = view.security.keys.at(-1)!.id;
  if (holds > newest || uses > holds) {
    return refusal(
      "invalid",
      `A member cannot hold generation ${holds} and use ${uses} where ${newest} is the newest`,
    );
  }
  if (known.holds === holds && known.uses === uses && equalBytes(known.statement, statement)) return view;
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
    view.members.every((m) => m.state === "removed" || m.state === "evicted" || (m.identity?.uses ?? 0) > id);
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

/** An invite with the same id and hash is there already: so it was asked for twice. */
export function addInvite(view: SystemView, invite: Invite, nowMs: number, index: LogIndex): Outcome {
  const { security } = view;
  if (security === null) return OPEN;
  if (invite.uses < 1) return refusal("invalid", `An invite lets in at least one, not ${invite.uses}`);
  if (invite.expiresMs <= nowMs) return refusal("invalid", "The invite would be over before it began");
  const known = security.invites.find(({ id }) => id === invite.id);
  if (known !== undefined) {
    return known.hash === invite.hash ? view : refusal("conflict", `Invite "${invite.id}" is there already`);
  }
  const left = security.invites.filter(({ expiresMs }) => expiresMs > nowMs - FORGET_MS);
  if (left.length >= LIMITS.invitesMax) {
    // The first of those that are used up or over to end: it is only remembered.
    const idle = left.filter(({ uses, expiresMs }) => uses === 0 || expiresMs <= nowMs);
    if (idle.length === 0) {
      return refusal(
        "conflict",
        `${left.length} invites are open, and ${LIMITS.invitesMax} is the most; drop some`,
      );
    }
    left.splice(left.indexOf(idle.reduce((a, b) => b.expiresMs < a.expiresMs ? b : a)), 1);
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
  const problem = accessProblem(access);
  if (problem !== null) return refusal("invalid", problem);
  const known = security.access.find(({ id }) => id === access.id);
  if (known !== undefined && known.publicKey !== access.publicKey) {
    return refusal("conflict", `Access key "${access.id}" has another public key; make one with another id`);
  }
  const others = security.access.filter(({ id }) => id !== access.id);
  if (others.length >= LIMITS.accessKeysMax) {
    return refusal(
      "conflict",
      `The network has ${others.length} access keys, and ${LIMITS.accessKeysMax} is the most`,
    );
  }
  const bytes = others.reduce((sum, key) => sum + accessBytes(key), accessBytes(access));
  if (bytes > LIMITS.accessBytesMax) {
    return refusal(
      "too-large",
      `All access keys together would have about ${bytes} bytes, and ${LIMITS.accessBytesMax} is the most ` +
        `(accessBytesMax): give them fewer or shorter prefixes, or drop some`,
    );
  }
  const next = sortedById([...others, access]);
  return keepsOperator(security, next) ?? withSecurity(view, { ...security, access: next }, index);
}

/** About, and never less than it is encoded. */
function accessBytes({ name, rights }: AccessKey): number {
  const own = 128 + utf8Length(name);
  return rights.reduce((sum, { prefix }) => sum + utf8Length(prefix) + 8, own);
}

function accessProblem({ id, publicKey, name, rights }: AccessKey): string | null {
  if (!/^[0-9A-Za-z-]+$/.test(id) || id.length > LIMITS.accessIdBytesMax) {
    return `An access key's id is 1 to ${LIMITS.accessIdBytesMax} letters, digits or hyphens, not ${
      JSON.stringify(id)
    }`;
  }
  if (!/^[0-9a-f]{64}$/.test(publicKey)) {
    return `A public key is 64 hexadecimal digits, not ${JSON.stringify(publicKey)}`;
  }
  if (!name.isWellFormed() || utf8Length(name) > LIMITS.accessNameBytesMax) {
    return `The name of an access key has at most ${LIMITS.accessNameBytesMax} bytes in UTF-8; shorten it`;
  }
  if (rights.length === 0) return `Access key "${id}" would have no rights`;
  if (rights.length > LIMITS.rightsMax) {
    return `An access key has rights on at most ${LIMITS.rightsMax} prefixes, not ${rights.length}`;
  }
  return rights.map((right, i) => rightProblem(right, rights.slice(0, i))).find((p) => p !== null) ?? null;
}

function rightProblem({ prefix, read, write, admin }: Right, before: readonly Right[]): string | null {
  const quoted = JSON.stringify(prefix);
  if (!prefix.isWellFormed() || utf8Length(prefix) > LIMITS.keyBytesMax) {
    return `A prefix is well-formed Unicode of at most ${LIMITS.keyBytesMax} bytes in UTF-8`;
  }
  if (!read && !write && !admin) return `The rights on ${quoted} are none; name read, write or admin`;
  return before.some((right) => right.prefix === prefix)
    ? `The rights name the prefix ${quoted} twice`
    : null;
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
  if (isEvictedKey(view, key)) {
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
      // It was let in before, and the answer was lost (G4): what counts is that it has the key.
      if (known === null) return redeem(admitted, by);
      return { ...admitted, zone: knownInvite(security, by)?.zone ?? null };
    default:
      return refusal(
        "denied",
        `Node "${member.id}" needs an invite: \`space-opera invite\` on any member makes one`,
      );
  }
}

/** No member may come in with it any more (G3). */
export function isEvictedKey({ members }: SystemView, key: string): boolean {
  return members.some((m) => m.state === "evicted" && m.identity?.key === key);
}

/** The invite whose secret `proof` comes from, be it used up or over; null where there is none. */
export function knownInvite(
  { invites }: Security,
  { id, proof }: { id: string; proof: string },
): Invite | null {
  const invite = invites.find((i) => i.id === id);
  if (invite === undefined) return null;
  const hash = createHash("sha256").update(proof, "hex").digest();
  return timingSafeEqual(hash, Uint8Array.fromHex(invite.hash)) ? invite : null;
}

function redeem(admitted: Admitted, by: Extract<Principal, { kind: "invite" }>): Admitted | Refused {
  const security = admitted.security!;
  if (!security.invites.some(({ id }) => id === by.id)) {
    return refusal(
      "denied",
      `No invite is named "${by.id}": it was dropped, is long over, or another network's`,
    );
  }
  const invite = knownInvite(security, by);
  if (invite === null) return refusal("denied", `The secret of invite "${by.id}" is wrong`);
  if (invite.uses === 0) return refusal("denied", `Invite "${by.id}" is used up; ask for another one`);
  if (by.nowMs !== undefined && invite.expiresMs <= by.nowMs) {
    return refusal("denied", `Invite "${by.id}" is over; ask for another one`);
  }
  // Used up it stays, so that who comes with it learns why it is refused.
  const invites = security.invites.map((i) => i === invite ? { ...i, uses: i.uses - 1 } : i);
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
