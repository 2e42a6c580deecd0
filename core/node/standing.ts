/**
 * Where a node stands in the network. A member that was away too long comes back by joining again; one that has moved
 * all its data off reports so; one that has a new address says so. One that was removed or evicted stays out, whether it
 * runs on or starts again.
 */
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { findMember } from "../system/system.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Member, SystemView } from "../wire/messages.ts";
import type { SystemOp } from "../wire/requests.ts";
import type { Layout } from "./layout.ts";

/** How often a node that the network holds for gone, or that has drained, tries to change that. */
const STANDING_US = 1_000_000;

export interface StandingOptions {
  readonly self: NodeId;
  readonly address: string;
  readonly layout: Layout;
  readonly effects: Effects;
  readonly view: SystemView;
  /** It holds no replica any more. */
  readonly empty: () => boolean;
  readonly stopping: () => boolean;
  /** Has the network agree on something, on this node's own behalf. */
  readonly ask: (op: SystemOp, now: Instant) => void;
}

export class Standing {
  readonly #options: StandingOptions;
  #at: Instant = NEVER;
  /** Where it stood in the view when it last said so. */
  #told: Layout["state"] | null = null;
  /** Its own record in the last view that named it. */
  #known: Member | null;

  constructor(options: StandingOptions) {
    this.#options = options;
    this.#known = findMember(options.view, options.self);
  }

  nextWake(): Instant {
    return this.#at;
  }

  wake(now: Instant): void {
    if (this.#at <= now) this.check(now);
  }

  /** A new view is in force. */
  follow(view: SystemView): void {
    this.#known = findMember(view, this.#options.self) ?? this.#known;
  }

  check(now: Instant): void {
    const { layout: { state }, effects, empty, stopping, ask } = this.#options;
    if (state !== this.#told) effects.note({ kind: "standing", state });
    this.#told = state;
    const op = this.#wanted();
    this.#at = op === null ? NEVER : after(now, STANDING_US);
    if (op === null || stopping()) return;
    if (op.kind !== "set-state" || empty()) ask(op, now);
  }

  #wanted(): SystemOp | null {
    const { self, address, layout: { view } } = this.#options;
    const member = findMember(view, self);
    if (member === null) return this.#rejoinForgotten();
    if (member.state === "gone") {
      return { kind: "join", member: { ...member, address }, network: view.network };
    }
    if (member.state === "removed" || member.state === "evicted") return null;
    if (member.state === "draining") {
      return { kind: "set-state", node: self, state: "removed", force: true };
    }
    return member.address === address ? null : { kind: "set-address", node: self, address };
  }

  /**
   * Away for so long that the network forgot it with other former members (S5). Who was to leave stays out, and so does
   * whose key is forgotten too: that one needs an invite.
   */
  #rejoinForgotten(): SystemOp | null {
    const known = this.#known, { address, layout: { view } } = this.#options;
    if (known === null || view.security !== null) return null;
    if (known.state === "draining" || known.state === "removed") return null;
    return { kind: "join", member: { ...known, address }, network: view.network };
  }
}
