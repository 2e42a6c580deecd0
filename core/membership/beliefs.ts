import { type Instant, isNodeId, type NodeId } from "../base/ids.ts";
import { LIMITS, type Settings } from "../base/limits.ts";
import { fmix32, hashString32 } from "../base/hash.ts";
import type { Random } from "../base/random.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Liveness, MessageKind, Update } from "../wire/messages.ts";
import { GossipQueue, retransmitLimit } from "./gossip_queue.ts";
import { isReachable, MemberTable, outranks } from "./member_table.ts";
import { Suspicions, suspicionUsMin } from "./suspicion.ts";

/** A member's incarnation grows by one for each refutation and restart; a greater jump than this is a lie. */
export const INCARNATION_JUMP_MAX = 2 ** 40;

/** A member came to be, or its status or address changed. */
export interface Change {
  readonly node: NodeId;
  readonly status: Liveness;
  readonly incarnation: number;
}

export const NO_CHANGES: readonly Change[] = Object.freeze([]);

/**
 * What became of a piece of news. suspected: a member that was alive is suspect by another's word. disputed: the
 * death of a member that is not even suspect here; not believed yet. revived: a dead or left member is alive.
 * refuted: it was about this node, and wrong. outdated: an accusation that is known to be refuted, or of one who left.
 */
export type Verdict =
  | "old"
  | "adopted"
  | "suspected"
  | "disputed"
  | "revived"
  | "refuted"
  | "outdated"
  | "refused";

/** Where a piece of news came from. */
export interface Source {
  readonly from: NodeId;
  readonly message: MessageKind;
}

/** What one node believes of itself and the others, and the news it has to pass on. Asks and sends nothing itself. */
export class Beliefs {
  readonly table: MemberTable;
  readonly queue = new GossipQueue();
  readonly suspicions = new Suspicions();
  /** What this node says of itself. */
  own: Update;
  /** Depends on every change of belief so far. */
  fingerprint = 0;

  readonly #settings: Settings;
  #changes: Change[] = [];
  #now = 0 as Instant;
  #effects: Effects | null = null;

  constructor(options: { own: Update; settings: Settings; random: Random }) {
    this.own = options.own;
    this.#settings = options.settings;
    this.table = new MemberTable(options.random);
  }

  /** This node and all that are reachable. */
  get population(): number {
    return this.table.reachable + 1;
  }

  /** Begins a step: what follows happens at `now` and is noted in `effects`. */
  begin(now: Instant, effects: Effects): void {
    this.#now = now;
    this.#effects = effects;
  }

  /** What is believed of any node, this one included. */
  get(node: NodeId): Update | undefined {
    return node === this.own.node ? this.own : this.table.get(node);
  }

  /** News for one message, `first` before all other. */
  news(first: Update | null): readonly Update[] {
    return this.queue.take(first, retransmitLimit(this.population));
  }

  takeChanges(): readonly Change[] {
    if (this.#changes.length === 0) return NO_CHANGES;
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  learn(update: Update, source: Source): Verdict {
    if (update.node === this.own.node) return this.#learnOfSelf(update, source);
    const known = this.table.get(update.node);
    if (known === update) return "old";
    if (known === undefined) return this.#learnOfStranger(update, source);
    if (!outranks(update, known)) {
      const sameSuspicion = update.status === "suspect" && known.status === "suspect" &&
        update.incarnation === known.incarnation;
      if (sameSuspicion && this.#mayConfirm(update)) this.#confirm(update);
      return isOutdated(update, known) ? "outdated" : "old";
    }
    const absurd = this.#absurdity(update, known.incarnation);
    if (absurd !== null) return this.#refuse(source, absurd);
    if (update.status === "dead" && known.status === "alive") return "disputed";
    this.#adopt(update, known);
    if (update.status === "suspect" && known.status === "alive") return "suspected";
    return isReachable(update.status) && !isReachable(known.status) ? "revived" : "adopted";
  }

  /** This node's own probe of a member failed. */
  suspect(node: NodeId): void {
    const known = this.table.get(node);
    if (known === undefined || !isReachable(known.status)) return;
    const update: Update = { ...known, status: "suspect", by: this.own.node };
    if (known.status === "suspect") this.#confirm(update);
    else this.#adopt(update, known);
  }

  /** A disputed death proved true, unless refuted by now: the member did not answer this node either. */
  concede(claim: Update): void {
    const known = this.table.get(claim.node);
    if (known === undefined) return;
    if (outranks(claim, known)) this.#adopt(claim, known);
    else this.suspect(claim.node);
  }

  /** A suspect's time to refute is over. */
  declareDead(node: NodeId): void {
    const known = this.table.get(node);
    if (known === undefined) this.suspicions.end(node);
    else this.#adopt({ ...known, status: "dead", by: this.own.node }, known);
  }

  /** A member by agreement of the network, taken for alive until probes say otherwise. */
  add(node: NodeId, address: string): void {
    this.table.welcome(node);
    const known = this.table.get(node);
    if (known === undefined) {
      this.table.put({ node, address, incarnation: 0, status: "alive", by: node });
      this.#changed(node, "alive", 0);
    } else if (known.incarnation === 0 && known.address !== address) {
      // No word of its own yet: the agreed address is the better one.
      this.table.put({ ...known, address });
      this.#changed(node, known.status, 0);
    }
  }

  forget(node: NodeId): void {
    this.suspicions.end(node);
    this.queue.remove(node);
    this.table.forget(node);
    this.#mix(node);
  }

  leave(): void {
    this.own = { ...this.own, status: "left" };
    this.suspicions.clear();
    this.queue.put(this.own, true);
    this.#mix(this.own.node);
  }

  /** Lifeguard counts independent suspicions: by members only, and by none twice. */
  #mayConfirm(update: Update): boolean {
    return update.by !== update.node && update.by !== this.own.node &&
      this.table.get(update.by) !== undefined;
  }

  #confirm(update: Update): void {
    if (this.suspicions.confirm(update.node, update.by, this.#now)) this.queue.putBeside(update);
  }

  #learnOfSelf(update: Update, source: Source): Verdict {
    const own = this.own;
    const misplaced = update.incarnation === own.incarnation && update.address !== own.address;
    if (own.status === "left") return "old";
    if (!(outranks(update, own) || misplaced)) return isOutdated(update, own) ? "outdated" : "old";
    const absurd = this.#absurdity(update, own.incarnation);
    if (absurd !== null) return this.#refuse(source, absurd);
    this.own = { ...own, incarnation: update.incarnation + 1 };
    this.queue.put(this.own, true);
    this.#mix(own.node);
    return "refuted";
  }

  #learnOfStranger(update: Update, source: Source): Verdict {
    if (this.table.isGone(update.node)) return "old";
    if (!isNodeId(update.node)) return this.#refuse(source, "no node id");
    if (this.table.size >= LIMITS.membersMax) return this.#refuse(source, "too many members");
    const absurd = this.#absurdity(update, 0);
    if (absurd !== null) return this.#refuse(source, absurd);
    this.#adopt(update, undefined);
    return "adopted";
  }

  /** Why an update cannot be true of a member last known in `incarnation`, or null. */
  #absurdity(update: Update, incarnation: number): string | null {
    const { incarnation: claimed, address } = update;
    // Below the greatest, so that it can be refuted.
    const refutable = Number.isSafeInteger(claimed) && claimed >= 0 && claimed < Number.MAX_SAFE_INTEGER;
    if (!refutable || claimed - incarnation > INCARNATION_JUMP_MAX) {
      return "absurd incarnation";
    }
    return address.length === 0 || address.length > LIMITS.addressBytesMax ? "absurd address" : null;
  }

  #refuse(source: Source, why: string): Verdict {
    this.#effects?.note({ kind: "refused", from: source.from, message: source.message, why });
    return "refused";
  }

  #adopt(update: Update, before: Update | undefined): void {
    const { node, status, incarnation } = update;
    this.table.put(update);
    this.queue.put(update);
    if (status === "suspect") {
      const n = this.population;
      const { suspicionMultiplier, probeIntervalUs } = this.#settings;
      const minUs = suspicionUsMin(suspicionMultiplier, n, probeIntervalUs);
      this.suspicions.start({ node, by: update.by, minUs, others: n - 2, now: this.#now });
    } else if (before?.status === "suspect") this.suspicions.end(node);
    if (before === undefined || before.status !== status || before.address !== update.address) {
      this.#changed(node, status, incarnation);
    }
  }

  #changed(node: NodeId, status: Liveness, incarnation: number): void {
    this.#changes.push({ node, status, incarnation });
    this.#effects?.note({ kind: "member", node, status, incarnation });
    this.#mix(node);
  }

  #mix(node: NodeId): void {
    const record = this.get(node);
    const incarnation = record === undefined ? 0 : record.incarnation;
    this.fingerprint = fmix32(
      (this.fingerprint ^ hashString32(node, incarnation)) + (record?.status.length ?? 0),
    );
  }
}

/** True where `update` accuses one who is known to live or to have left, so that its sender should hear of it. */
function isOutdated(update: Update, known: Update): boolean {
  const accuses = update.status === "suspect" || update.status === "dead";
  return accuses && (known.status === "alive" || known.status === "left");
}
