/**
 * The network's keys as one node sees to them: it knows how far its host is, gets what the host lacks from others, lets
 * others have what they lack, has the generation made that the network wants, and tells the network where it stands.
 * Secrets never come here: the core says who may have which, and the hosts hand them over.
 *
 * Y1. A secret is offered only to who belongs to the network in this node's own view and is not former there; and only of
 *     a generation that the view lists as made and that the host has.
 * Y2. The host is asked to make a generation only while this node leads the system partition and its view wants it. Two
 *     leaders may have had it made; the first that is agreed on counts, and what the other host made, it does not hold
 *     (see the input "keys").
 * Y3. A node reports only what its host said, and only of generations that the view lists as made: what stood in the view
 *     before a generation was replaced is nobody's any more.
 * Y4. As long as the view lists a made generation that the host lacks, members that have it are asked for it in turn.
 *     So every generation wanted gets to all who are alive, and the steward makes it current then, whoever leads in
 *     between: nothing is remembered here but what the host and the view say.
 * Y5. Who is former asks for nothing and reports nothing. It comes back first, then it learns what it missed.
 */
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { equalBytes } from "../base/bytes.ts";
import { findMember } from "../system/system.ts";
import type { Effects, Input } from "../wire/kernel.ts";
import { isFormer } from "../wire/members.ts";
import type { Member, MessageOf, SystemView } from "../wire/messages.ts";
import type { SystemOp } from "../wire/requests.ts";
import type { Security } from "../wire/security.ts";

/** Who was asked for a generation and has not brought it by then is passed over. */
const FETCH_US = 1_000_000;
/** How often a report is repeated that has not shown in the view. */
const REPORT_US = 1_000_000;
/** How often a host is asked for a generation, or one that it made is told of. */
const MAKE_US = 2_000_000;

type HostKeys = Omit<Extract<Input, { kind: "keys" }>, "kind">;
type MadeKey = Omit<Extract<Input, { kind: "key-made" }>, "kind">;

export interface KeyKeeperOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly view: () => SystemView;
  /** It may answer. */
  readonly reachable: (node: NodeId) => boolean;
  /** This node leads the system partition. */
  readonly leads: () => boolean;
  /** Has the network agree on something, on this node's own behalf. */
  readonly ask: (op: SystemOp, now: Instant) => void;
}

export class KeyKeeper {
  readonly #options: KeyKeeperOptions;
  /** null: the host has said nothing yet, or the network is open. */
  #host: HostKeys | null = null;
  #made: MadeKey | null = null;
  #fetchAt: Instant = NEVER;
  #reportAt: Instant = NEVER;
  #makeAt: Instant = NEVER;
  #fetches = 0;
  /** Somebody was asked and has until #fetchAt. */
  #fetching = false;
  /** Something changed that what is to be done may depend on. */
  #changed = false;

  constructor(options: KeyKeeperOptions) {
    this.#options = options;
  }

  /** Of the input "keys". */
  held(keys: HostKeys): void {
    this.#host = keys;
    this.#changed = true;
  }

  /** Of the input "key-made". */
  made(made: MadeKey): void {
    this.#made = made;
    this.#makeAt = NEVER;
    this.#changed = true;
  }

  /** The view changed, or who leads the system partition. */
  changed(): void {
    if (this.#host !== null) this.#changed = true;
  }

  /** evaluate() has something to look at. */
  get waiting(): boolean {
    return this.#changed;
  }

  nextWake(): Instant {
    return Math.min(this.#fetchAt, this.#reportAt, this.#makeAt) as Instant;
  }

  /** Another member lacks secrets. */
  handleGet(from: NodeId, { ids }: MessageOf<"key-get">): void {
    const { effects, view } = this.#options;
    const { security } = view(), asker = findMember(view(), from);
    if (security === null || asker === null || isFormer(asker.state)) { // Y1
      const why = security === null ? "The network is open" : `It is ${asker?.state ?? "no member"}`;
      return effects.note({ kind: "refused", from, message: "key-get", why });
    }
    const holds = this.#host?.holds ?? 0;
    const offered = madeOf(security).filter((id) => id <= holds && ids.includes(id));
    if (offered.length > 0) effects.keyOffers.push({ to: from, ids: offered });
  }

  /** Called at the end of each step. */
  evaluate(now: Instant): void {
    if (!this.#changed && now < this.nextWake()) return;
    this.#changed = false;
    const view = this.#options.view(), own = findMember(view, this.#options.self);
    const { security } = view;
    if (security === null || this.#host === null || own === null || isFormer(own.state)) { // Y5
      this.#fetching = false;
      this.#fetchAt = this.#reportAt = this.#makeAt = NEVER;
      return;
    }
    this.#fetch(view, security, this.#host, now);
    this.#report(security, own, this.#host, now);
    this.#make(security, now);
  }

  /** Y4. */
  #fetch({ members }: SystemView, security: Security, { holds }: HostKeys, now: Instant): void {
    const ids = madeOf(security).filter((id) => id > holds);
    if (ids.length === 0) {
      this.#fetching = false;
      this.#fetchAt = NEVER;
      return;
    }
    if (this.#fetching && now < this.#fetchAt) return;
    const { self, effects, reachable } = this.#options;
    const holders = members.filter((m) =>
      m.id !== self && !isFormer(m.state) && (m.identity?.holds ?? 0) >= ids[0]! && reachable(m.id)
    );
    // Not all begin with the same one.
    const first = members.findIndex((m) => m.id === self);
    const holder = holders[(first + this.#fetches) % Math.max(1, holders.length)];
    this.#fetchAt = after(now, FETCH_US);
    this.#fetching = holder !== undefined;
    if (holder === undefined) return;
    this.#fetches++;
    effects.send(holder.id, { kind: "key-get", ids });
  }

  /** Y3. */
  #report(
    security: Security,
    { identity }: Member,
    { holds, uses, statement }: HostKeys,
    now: Instant,
  ): void {
    const known = identity !== undefined && identity.holds === holds && identity.uses === uses &&
      equalBytes(identity.statement, statement);
    if (known || holds > (madeOf(security).at(-1) ?? 0)) {
      this.#reportAt = NEVER;
      return;
    }
    if (this.#reportAt !== NEVER && now < this.#reportAt) return;
    this.#reportAt = after(now, REPORT_US);
    this.#options.ask({ kind: "key-status", node: this.#options.self, holds, uses, statement }, now);
  }

  /** Y2. What was made is told of once even by who leads no more, for the next leader's host may not have begun. */
  #make(security: Security, now: Instant): void {
    const wanted = security.keys.at(-1)!, made = this.#made;
    if (wanted.state !== "wanted") {
      this.#makeAt = NEVER;
      this.#made = null;
      return;
    }
    if (this.#makeAt !== NEVER && now < this.#makeAt) return;
    const leads = this.#options.leads(), told = made !== null && made.id === wanted.id;
    this.#makeAt = leads ? after(now, MAKE_US) : NEVER;
    if (told) this.#options.ask({ kind: "key-made", ...made }, now);
    else if (leads) this.#options.effects.makeKey = wanted.id;
    if (!leads) this.#made = null;
  }
}

/** The generations whose secrets there are, ascending. */
function madeOf({ keys }: Security): number[] {
  return keys.filter(({ state }) => state !== "wanted").map(({ id }) => id);
}
