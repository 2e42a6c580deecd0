/**
 * What the leader of the system partition does for the network: it takes newcomers in, declares members gone that
 * stayed unreachable longer than the grace period, and proposes the layout that follows. Any voter can do it, because
 * everything is computed from the agreed view and from what membership says at that node.
 *
 * T1. One proposal is under way at a time; the next is computed from the view that it left.
 * T2. Unreachable time is counted by the leader itself, anew after each election, so a clock elsewhere does not matter.
 * T3. While an active member is missed, and not given up yet, the layout stays, up to twice the grace period. Else a
 *     newcomer, or a drain, could move a partition that bears the loss of one to a group that needs just that one: of
 *     a, b and the dead c, with d joining, to c, d and e.
 * T4. What the network's keys need goes before a layout, which may wait for long (T3). A generation that nobody has is
 *     replaced when it has been so for the grace period: its maker, which may be about to say that it has it, is gone then.
 * T5. Nobody is evicted, without force, whom a partition needs for its majority: shut out at once, it could not even help
 *     to be replaced.
 */
import { after, type Instant, NEVER, type NodeId, SYSTEM_PARTITION } from "../base/ids.ts";
import type { Membership } from "../membership/membership.ts";
import { assign } from "../placement/assign.ts";
import { encodeSystemCommand, type SystemCommand } from "../system/command.ts";
import { isOrphaned, mayForgetKey, mayUseKey } from "../system/security.ts";
import { findMember, vetReturn } from "../system/system.ts";
import { isFormer } from "../wire/members.ts";
import type { Member, MemberState, SystemView } from "../wire/messages.ts";
import type { Refused, SystemOp } from "../wire/requests.ts";
import type { Replicas } from "./replicas.ts";
import { refusal } from "../wire/ops.ts";

/** How often the view is held against what membership says, while leading. */
const LOOK_US = 250_000;
/** A proposal that was neither applied nor refused by then is made again. */
const PROPOSAL_US = 5_000_000;
/** Marks the steward's own proposals; requests have tokens from 1. */
export const STEWARD_TOKEN = 0;

export class Steward {
  readonly #self: NodeId;
  readonly #membership: Membership;
  readonly #replicas: Replicas;
  readonly #unreachableSince = new Map<NodeId, Instant>();
  #lookAt: Instant = NEVER;
  #proposedAt: Instant | null = null;
  /** Since when a layout waits for somebody who is missed (T3). */
  #waitsSince: Instant | null = null;
  /** The generation that nobody has, and since when (T4). */
  #orphan: { readonly id: number; readonly since: Instant } | null = null;
  /** The view that needs no other assignment as long as no member changes its state. */
  #settled: SystemView | null = null;

  constructor({ self, membership, replicas }: { self: NodeId; membership: Membership; replicas: Replicas }) {
    this.#self = self;
    this.#membership = membership;
    this.#replicas = replicas;
  }

  leadershipChanged(leads: boolean, now: Instant): void {
    this.#unreachableSince.clear();
    this.#proposedAt = null;
    this.#waitsSince = null;
    this.#orphan = null;
    this.#lookAt = leads ? now : NEVER;
  }

  /** Something changed that the layout may depend on. */
  lookSoon(now: Instant): void {
    if (this.#lookAt !== NEVER && now < this.#lookAt) this.#lookAt = now;
  }

  nextWake(): Instant {
    return this.#lookAt;
  }

  wake(now: Instant): void {
    if (this.#lookAt > now) return;
    const slot = this.#replicas.get(SYSTEM_PARTITION);
    const view = slot?.system?.view ?? null;
    if (slot === undefined || view === null || !slot.replica.isLeader) {
      this.#lookAt = NEVER;
      return;
    }
    this.#lookAt = this.#nextLook(view, now);
    if (this.#proposedAt !== null && now < this.#proposedAt + PROPOSAL_US) return; // T1
    const command = this.#keyCommand(view, now) ?? this.#layoutCommand(view, now);
    if (command === null) return;
    this.#proposedAt = now;
    slot.replica.propose(encodeSystemCommand(command), STEWARD_TOKEN, now);
    this.#replicas.touch(slot);
  }

  /** T4. */
  #keyCommand(view: SystemView, now: Instant): SystemCommand | null {
    const { security } = view;
    if (security === null) return null;
    for (const { id } of security.keys) {
      if (mayUseKey(view, id)) return { kind: "key-use", id };
      if (mayForgetKey(view, id)) return { kind: "key-forget", id };
    }
    if (!isOrphaned(view)) {
      this.#orphan = null;
      return null;
    }
    const { id } = security.keys.at(-1)!;
    if (this.#orphan?.id !== id) this.#orphan = { id, since: now };
    if (now - this.#orphan.since >= view.settings.graceUs) return { kind: "keys-rotate" };
    this.#lookAt = Math.min(this.#lookAt, after(now, LOOK_US)) as Instant;
    return null;
  }

  /** Calm networks are looked at only when something changes: timers run only while someone is unreachable. */
  #nextLook(view: SystemView, now: Instant): Instant {
    let waiting = this.#proposedAt !== null;
    for (const member of view.members) {
      if (isFormer(member.state)) {
        this.#unreachableSince.delete(member.id);
        continue;
      }
      if (this.#reachable(member.id)) this.#unreachableSince.delete(member.id);
      else {
        if (!this.#unreachableSince.has(member.id)) this.#unreachableSince.set(member.id, now);
        waiting = true;
      }
    }
    return after(now, waiting ? LOOK_US : 20 * LOOK_US);
  }

  #reachable(node: NodeId): boolean {
    if (node === this.#self) return true;
    const liveness = this.#membership.liveness(node);
    return liveness === "alive" || liveness === "suspect";
  }

  #layoutCommand(view: SystemView, now: Instant): SystemCommand | null {
    const states: [NodeId, MemberState][] = [];
    for (const member of view.members) {
      const state = this.#stateOf(member, view, now);
      if (state !== member.state) states.push([member.id, state]);
    }
    if (states.length === 0 && view === this.#settled) {
      this.#waitsSince = null;
      return null;
    }
    const changed = new Map(states);
    const members = view.members.map((m) => ({ ...m, state: changed.get(m.id) ?? m.state }));
    if (!members.some((m) => m.state === "active")) return null;
    if (this.#missesSomebody(view, members)) { // T3
      this.#waitsSince ??= now;
      if (now - this.#waitsSince < 2 * view.settings.graceUs) {
        this.#lookAt = after(now, LOOK_US);
        return null;
      }
    }
    this.#waitsSince = null;
    const assignment = assign(view.assignment, members, view.settings);
    if (states.length === 0 && equalAssignments(assignment, view.assignment)) {
      this.#settled = view;
      return null;
    }
    return { kind: "layout", base: view.version, states, assignment };
  }

  #stateOf(member: Member, view: SystemView, now: Instant): MemberState {
    if (isFormer(member.state)) return member.state;
    const since = this.#unreachableSince.get(member.id);
    if (since !== undefined && now - since >= view.settings.graceUs) {
      // Who was to leave has left, and does not come back by itself; unless what it held had no other holder.
      return member.state === "draining" && view.settings.replicas > 1 ? "removed" : "gone";
    }
    return member.state === "joining" && since === undefined ? "active" : member.state;
  }

  /** Somebody of `members`, as they are to be, may not be there. */
  #missesSomebody(view: SystemView, members: readonly Member[]): boolean {
    return members.some(({ id, address, state }) => {
      if (state !== "active" || id === this.#self) return false;
      // A newcomer at its address has taken its place; that it is missed shows later.
      const replaced = view.members.some((m) =>
        m.state === "joining" && m.id !== id && m.address === address
      );
      return replaced || this.#membership.liveness(id) !== "alive";
    });
  }

  /** The proposal under way has been decided, or the view has changed under it. */
  decided(now: Instant): void {
    this.#proposedAt = null;
    this.lookSoon(now);
  }

  /** It was refused, perhaps at once, by a leader with too much under way: made anew at once it would be again. */
  refused(now: Instant): void {
    this.#proposedAt = null;
    this.#lookAt = after(now, LOOK_US);
  }

  /** What only this leader can know about a request: whether the member it is about is alive. */
  vet(op: SystemOp, view: SystemView): Refused | null {
    if (op.kind === "join" && op.network !== null && op.network !== view.network) {
      return refusal("foreign", `This is network ${view.network}, not ${op.network}`);
    }
    if (op.kind === "join") return this.#vetJoin(op.member, view);
    if (op.kind === "evict") return op.force ? null : this.#vetEviction(op.node, view);
    if (op.kind !== "set-state" || !isFormer(op.state) || op.force) return null;
    const member = findMember(view, op.node);
    if (member === null || isFormer(member.state) || !this.#reachable(op.node)) return null;
    return refusal(
      "conflict",
      `Node "${op.node}" is alive, or was until just now: drain it first (\`space-opera drain ${op.node}\`), or take it ` +
        `out as it is (\`space-opera remove ${op.node} --force\`)`,
    );
  }

  /** T5, as far as the layout says who holds what. */
  #vetEviction(node: NodeId, view: SystemView): Refused | null {
    const key = findMember(view, node)?.identity?.key;
    const goes = (m: Member) => m.id === node || (key !== undefined && m.identity?.key === key);
    const stays = new Set(
      view.members.filter((m) => !goes(m) && !isFormer(m.state) && this.#reachable(m.id)).map((m) => m.id),
    );
    // Of the last one there is nothing to advise: the state machine refuses it.
    if (!view.members.some((m) => m.state === "active" && !goes(m))) return null;
    for (const [partition, replicas] of view.assignment.entries()) {
      const left = replicas.filter((n) => stays.has(n)).length;
      if (!replicas.includes(node) || 2 * left > replicas.length) continue;
      return refusal(
        "conflict",
        `Without node "${node}" partition ${partition} has ${left} of ${replicas.length} replicas, and no majority: take ` +
          `it out first, as long as it can help (\`space-opera remove ${node} --force\`), or evict it as it is ` +
          `(\`space-opera evict ${node} --force\`), and \`space-opera recover\` what is left`,
      );
    }
    return null;
  }

  /** A live member keeps its name: who asks from elsewhere is another process that was given the same one. */
  #vetJoin(member: Member, view: SystemView): Refused | null {
    const known = findMember(view, member.id);
    if (known === null) return null;
    const refused = vetReturn(known, member);
    if (refused !== null) return refused;
    if (known.state === "gone" || known.address === member.address) return null;
    if (!this.#reachable(member.id)) return null;
    return refusal("conflict", `Node "${member.id}" is alive at ${known.address}; choose another name`);
  }
}

function equalAssignments(a: SystemView["assignment"], b: SystemView["assignment"]): boolean {
  return a.length === b.length && a.every((replicas, p) => {
    const other = b[p]!;
    return replicas.length === other.length && replicas.every((node, i) => node === other[i]);
  });
}
