/**
 * Whom a node of a private network listens to, tells anything and serves. In an open one it lets everything pass.
 *
 * B1. Of an evicted member only what lets it learn that it is out is heard and answered: its probes and its question for
 *     the layout. Whatever else is meant for it does not leave, so that it gets no data of the network, be it by a leader
 *     that still counts it as a voter. Hosts refuse its connections besides.
 * B2. A node that is evicted serves nobody but who asks how it is.
 * B3. Every request of a client is held against its rights as this node's view has them, before anything is done, and
 *     goes on under the name that its connection proved, whatever it says itself (Z1 to Z5 in rights.ts).
 */
import type { Instant, NodeId } from "../base/ids.ts";
import type { ClientRequest, Effects, Envelope } from "../wire/kernel.ts";
import type { Message, SystemView } from "../wire/messages.ts";
import { refusal } from "../wire/ops.ts";
import type { Op, Refused, Request } from "../wire/requests.ts";
import type { Principal } from "../wire/security.ts";
import { Audit } from "./audit.ts";
import { denial } from "./rights.ts";

const NOBODY: ReadonlySet<NodeId> = new Set();

export class Gate {
  readonly #self: NodeId;
  readonly #effects: Effects;
  readonly #audit: Audit;
  #view: SystemView;
  #evicted = NOBODY;

  constructor({ self, effects, view }: { self: NodeId; effects: Effects; view: SystemView }) {
    this.#self = self;
    this.#effects = effects;
    this.#audit = new Audit(effects);
    this.#view = view;
    this.#evicted = evictedOf(view);
  }

  /** Who was evicted since the last view. */
  follow(view: SystemView): readonly NodeId[] {
    const before = this.#evicted;
    this.#view = view;
    this.#evicted = evictedOf(view);
    return [...this.#evicted].filter((node) => !before.has(node));
  }

  readonly trusts = (node: NodeId): boolean => !this.#evicted.has(node);

  /** B1. */
  hears(from: NodeId, { kind }: Message): boolean {
    if (this.trusts(from) || kind === "ping" || kind === "layout-get") return true;
    this.#effects.note({ kind: "refused", from, message: kind, why: "evicted" });
    return false;
  }

  /** B2, B3: why it is not done, or on whose behalf it is. */
  admit({ client, id, request: { op }, who: shown }: ClientRequest, now: Instant): Refused | Admitted {
    const who = shown ?? null;
    if (this.#view.security === null) return NOBODY_KNOWN;
    const refused = this.denial(who, op);
    if (refused === null) this.#audit.asked(client, id, who, op);
    else this.deny(client, who, { op, refused }, now);
    return refused ?? { kind: "admitted", by: who };
  }

  /** What there is against `op` now. */
  denial(who: Principal | null, op: Op): Refused | null {
    if (op.kind !== "status" && !this.trusts(this.#self)) { // B2
      return refusal(
        "down",
        `Node "${this.#self}" was evicted from the network and serves nobody; ask another`,
      );
    }
    return denial(this.#view, who, op);
  }

  /** Notes a denial. */
  deny(
    client: number,
    who: Principal | null,
    { op, refused }: { op: Op; refused: Refused },
    now: Instant,
  ): void {
    const outcome = `${refused.reason}: ${refused.message}`;
    this.#audit.denied(client, who, { op, outcome }, now);
  }

  clientGone(client: number): void {
    this.#audit.clientGone(client);
  }

  /** As a step ends. */
  finish(): void {
    this.#audit.finish();
    if (this.#evicted.size === 0) return;
    this.#keepBack(this.#effects.sendNow);
    this.#keepBack(this.#effects.sendAfterPersist);
  }

  /** B1. */
  #keepBack(envelopes: Envelope[]): void {
    let kept = 0;
    for (const envelope of envelopes) {
      const { kind } = envelope.message;
      if (this.trusts(envelope.to) || kind === "ack" || kind === "layout-is") envelopes[kept++] = envelope;
    }
    envelopes.length = kept;
  }
}

interface Admitted {
  readonly kind: "admitted";
  readonly by: Principal | null;
}
const NOBODY_KNOWN: Admitted = { kind: "admitted", by: null };

/** `request` under the name `by`, whatever its sender wrote there. */
export function requestBy({ op, session, by: said }: Request, by: Principal | null): Request {
  if (by === null && said === undefined) return session === undefined ? { op } : { op, session };
  return { op, ...(session === undefined ? null : { session }), ...(by === null ? null : { by }) };
}

function evictedOf({ security, members }: SystemView): ReadonlySet<NodeId> {
  if (security === null) return NOBODY;
  const evicted = members.filter(({ state }) => state === "evicted");
  return evicted.length === 0 ? NOBODY : new Set(evicted.map(({ id }) => id));
}
