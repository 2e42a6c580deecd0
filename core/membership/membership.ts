import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import type { Settings } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Effects, JournalRecord } from "../wire/kernel.ts";
import type { Ack, Liveness, Message, Nack, Ping, PingRequest, PushPull, Update } from "../wire/messages.ts";
import { Beliefs, type Change, type Source } from "./beliefs.ts";
import { isReachable, type Peer } from "./member_table.ts";
import { Prober } from "./prober.ts";

export type { Change } from "./beliefs.ts";
export type { Peer } from "./member_table.ts";

export type MembershipMessage = Ping | Ack | PingRequest | Nack | PushPull;

/** News goes to this many members at once, and this many times a protocol period while there is any. */
const GOSSIP_FANOUT = 3;
const GOSSIPS_PER_INTERVAL = 5;
/** Whoever leaves tells up to this many itself. */
const GOODBYES_MAX = 100;
/** How many of all that hear of a suspicion look for themselves: twice what Lifeguard needs for confirmation. */
const VOLUNTEERS = 6;
/** Each node tries one of the dead at least this often, on average. */
const RETRY_INTERVALS_MAX = 20;
/** Up to this many members, whole tables are exchanged every `pushPullUs`; each doubling adds one more such time. */
const PUSH_PULL_MEMBERS = 32;
/** Known peers are written to the journal at most this often. */
const RECORD_US_MIN = 5_000_000;

export interface MembershipOptions {
  readonly self: NodeId;
  /** Where others reach this node. */
  readonly address: string;
  /** 0 in a node's first life; in each later one more than the journal's. */
  readonly incarnation: number;
  readonly random: Random;
  readonly settings: Settings;
  /** Members known from the start, taken for alive. */
  readonly peers: readonly Peer[];
}

/**
 * Who is reachable: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2017).
 *
 * Invariants, cited by number below and in the tests:
 * 1. What is believed of a member only ever moves up in the order of outranks(): incarnation, then gravity.
 * 2. Only a member itself raises its incarnation.
 * 3. Until this node leaves, a member is suspect here exactly while a suspicion of it runs here.
 * 4. Every change of a member's status or address is reported once, in order; an incarnation alone is no change.
 * 5. No member is taken for dead here but after a suspicion ran its whole time here or elsewhere, and never on
 *    another's word alone: it was suspect here too, or it did not answer.
 * 6. As long as a dead member is not forgotten, someone tries it now and then: a healed partition needs no operator.
 * 7. nextWake() is the next protocol period unless a probe, a suspicion or news is under way.
 */
export class Membership {
  readonly #beliefs: Beliefs;
  readonly #prober: Prober;
  readonly #random: Random;
  readonly #settings: Settings;
  #started = false;
  #tickAt = 0 as Instant;
  #gossipAt: Instant = NEVER;
  #gossipedAt = 0 as Instant;
  #pushPullAt: Instant = NEVER;
  #mergeAt = 0 as Instant;
  #recordAt = 0 as Instant;
  /** What the sender of the message being handled should hear, for it accused someone wrongly. */
  #correction: Update | null = null;
  /** The earliest of all deadlines, found as an event ends: it is asked for more often than it changes. */
  #wakeAt = 0 as Instant;
  #heardVersion = 0;
  #heardFrom: NodeId | null = null;

  constructor(options: MembershipOptions) {
    const { self, address, incarnation, random, settings, peers } = options;
    if (!Number.isSafeInteger(incarnation) || incarnation < 0) {
      throw new RangeError(`An incarnation is an integer from 0, not ${incarnation}`);
    }
    this.#random = random;
    this.#settings = settings;
    const own: Update = { node: self, address, incarnation, status: "alive", by: self };
    this.#beliefs = new Beliefs({ own, settings, random });
    this.#prober = new Prober({ beliefs: this.#beliefs, settings });
    for (const peer of peers) if (peer.node !== self) this.#beliefs.add(peer.node, peer.address);
    this.#beliefs.takeChanges();
  }

  // ---- questions

  get self(): NodeId {
    return this.#beliefs.own.node;
  }
  get incarnation(): number {
    return this.#beliefs.own.incarnation;
  }
  /** The version of the agreed view this node has; told with every ping and ack. */
  get viewVersion(): number {
    return this.#prober.viewVersion;
  }
  set viewVersion(version: number) {
    this.#prober.viewVersion = version;
  }
  /** Lifeguard's local health: 0 is healthy, 8 the worst. */
  get health(): number {
    return this.#prober.health.score;
  }
  /** Members other than this node that are alive or suspect. */
  get reachable(): number {
    return this.#beliefs.table.reachable;
  }

  liveness(node: NodeId): Liveness | "unknown" {
    return this.#beliefs.get(node)?.status ?? "unknown";
  }

  addressOf(node: NodeId): string | null {
    return this.#beliefs.get(node)?.address ?? null;
  }

  /** What is believed of every other member, by name. */
  members(): readonly Update[] {
    return this.#beliefs.table.sorted();
  }

  /** All changes since last asked (invariant 4). */
  takeChanges(): readonly Change[] {
    return this.#beliefs.takeChanges();
  }

  /** The highest version of the agreed view above `viewVersion` heard of since last asked, and who has it. */
  takeNewerView(): { readonly version: number; readonly from: NodeId } | null {
    const version = this.#heardVersion, from = this.#heardFrom;
    if (from === null) return null;
    this.#heardVersion = 0;
    this.#heardFrom = null;
    return version > this.viewVersion ? { version, from } : null;
  }

  /** What a checkpoint of the journal holds of this machine. */
  record(): JournalRecord {
    return { kind: "peers", incarnation: this.incarnation, peers: this.#beliefs.table.peers() };
  }

  fingerprint(): number {
    return this.#beliefs.fingerprint;
  }

  /** One line: `a 3 alive, health 0: b 0 alive, c 2 suspect`. */
  describe(): string {
    const { own, table } = this.#beliefs;
    const line = (update: Update) => `${update.node} ${update.incarnation} ${update.status}`;
    const others = table.sorted().map(line).join(", ");
    return `${line(own)}, health ${this.health}${others === "" ? "" : `: ${others}`}`;
  }

  nextWake(): Instant {
    return this.#wakeAt;
  }

  // ---- events

  handle(from: NodeId, message: MembershipMessage, now: Instant, effects: Effects): void {
    if (from === this.#beliefs.own.node) return this.#refuse(from, message, "from myself", effects);
    this.#begin(now, effects);
    switch (message.kind) {
      case "ping":
        this.#onPing(from, message, now, effects);
        break;
      case "ack":
        this.#onAck(from, message, now, effects);
        break;
      case "ping-request":
        this.#onPingRequest(from, message, now, effects);
        break;
      case "nack":
        this.#prober.nacked(from, message.sequence);
        break;
      case "push-pull":
        this.#onPushPull(from, message, now, effects);
        break;
      default:
        unreachable(message);
    }
    // Any other than a ping has no answer that could tell the sender.
    if (this.#correction !== null) effects.send(from, this.#news(from));
    this.#evaluate(now, effects);
  }

  wake(now: Instant, effects: Effects): void {
    this.#begin(now, effects);
    this.#prober.wake(now, effects);
    const { suspicions } = this.#beliefs;
    for (let node = suspicions.firstDue(now); node !== null; node = suspicions.firstDue(now)) {
      this.#beliefs.declareDead(node);
    }
    if (now >= this.#tickAt) this.#tick(now, effects);
    this.#evaluate(now, effects);
  }

  /** The connection to a member broke or was refused: looks at once whether it lives. */
  peerLost(node: NodeId, now: Instant, effects: Effects): void {
    this.#begin(now, effects);
    const known = this.#beliefs.table.get(node);
    if (known !== undefined && isReachable(known.status)) this.#prober.hurry(known, now, effects);
    this.#evaluate(now, effects);
  }

  /** A member that the agreed view names. Its address there counts until the member itself is heard of. */
  add(node: NodeId, address: string, now: Instant, effects: Effects): void {
    this.#begin(now, effects);
    if (node !== this.#beliefs.own.node) this.#beliefs.add(node, address);
    this.#wakeAt = this.#earliest();
  }

  /** A member that was declared gone, for good: whatever is still said of it is ignored from now on. */
  forget(node: NodeId): void {
    if (node === this.#beliefs.own.node || this.#beliefs.table.isGone(node)) return;
    this.#prober.cancel(node);
    this.#beliefs.forget(node);
    this.#wakeAt = this.#earliest();
  }

  /** Says good-bye. Pings are still answered and news still spread, but nobody is probed or suspected any more. */
  leave(now: Instant, effects: Effects): void {
    if (this.#beliefs.own.status === "left") return;
    this.#begin(now, effects);
    this.#beliefs.leave();
    this.#prober.stop();
    this.#tickAt = NEVER;
    // Gossip alone may miss a few, and those would suspect this node once its process has ended.
    for (const node of this.#beliefs.table.pick(GOODBYES_MAX, { except: null, suspects: true })) {
      effects.send(node, this.#news(node));
    }
    this.#evaluate(now, effects);
  }

  // ---- messages

  #onPing(from: NodeId, ping: Ping, now: Instant, effects: Effects): void {
    if (ping.target !== this.#beliefs.own.node) return this.#refuse(from, ping, "meant for another", effects);
    this.#hearView(from, ping.view);
    if (this.#beliefs.table.isGone(from)) {
      // It learns from our view's version that it is out. What it says of others may be long out of date, but if it
      // holds this node for dead it must hear otherwise, or it never finds anyone to join through again.
      this.#refuse(from, ping, "declared gone", effects);
      const source: Source = { from, message: ping.kind };
      for (const update of ping.updates) {
        if (update.node === ping.target) this.#beliefs.learn(update, source);
      }
      effects.send(from, this.#prober.ack(ping.sequence, this.#beliefs.own));
      return;
    }
    this.#learn(from, ping, ping.updates, now, effects);
    const known = this.#beliefs.table.get(from);
    effects.send(from, this.#ack(ping.sequence, known));
    if (known === undefined) this.#mergeWith(from, now, effects);
  }

  #onAck(from: NodeId, ack: Ack, now: Instant, effects: Effects): void {
    this.#hearView(from, ack.view);
    if (this.#beliefs.table.isGone(from)) return this.#refuse(from, ack, "declared gone", effects);
    this.#learn(from, ack, ack.updates, now, effects);
    if (!this.#prober.answered(from, ack.sequence, effects)) this.#refuse(from, ack, "not asked", effects);
  }

  #onPingRequest(from: NodeId, request: PingRequest, now: Instant, effects: Effects): void {
    this.#learn(from, request, request.updates, now, effects);
    if (request.target === this.#beliefs.own.node) {
      effects.send(from, this.#ack(request.sequence, this.#beliefs.table.get(from)));
      return;
    }
    const why = this.#prober.relay(from, request, now, effects);
    if (why === null) return;
    effects.send(from, { kind: "nack", sequence: request.sequence });
    this.#refuse(from, request, why, effects);
  }

  #onPushPull(from: NodeId, message: PushPull, now: Instant, effects: Effects): void {
    if (this.#beliefs.table.isGone(from)) return this.#refuse(from, message, "declared gone", effects);
    this.#learn(from, message, message.members, now, effects);
    if (!message.reply) this.#pushPull(from, true, effects);
  }

  #learn(
    from: NodeId,
    message: MembershipMessage,
    updates: readonly Update[],
    now: Instant,
    effects: Effects,
  ): void {
    if (updates.length === 0) return;
    const source: Source = { from, message: message.kind };
    for (let i = 0; i < updates.length; i++) {
      const update = updates[i]!;
      switch (this.#beliefs.learn(update, source)) {
        case "old":
        case "refused":
          break;
        case "adopted":
          // Newer than what the probe is about to find out, be it a death or a life.
          if (update.status !== "suspect") this.#prober.cancel(update.node);
          break;
        case "suspected":
          this.#volunteer(update, now, effects);
          break;
        case "disputed":
          this.#dispute(update, now, effects);
          break;
        case "revived":
          if (update.node === from) this.#mergeWith(from, now, effects);
          break;
        case "refuted":
          // Lifeguard: that others suspected this node says something about this node.
          if (update.status !== "alive") this.#prober.health.change(1);
          this.#write(now, effects);
          break;
        case "outdated":
          this.#correction = this.#beliefs.get(update.node)!;
          break;
      }
    }
  }

  /**
   * Some of those who hear of a suspicion probe the suspect at once. That tells it (Lifeguard's buddy system), so a
   * living one refutes within a round trip, and it confirms the death of a dead one within a protocol period.
   */
  #volunteer(suspect: Update, now: Instant, effects: Effects): void {
    const n = this.#beliefs.table.reachable;
    if (VOLUNTEERS < n && !this.#random.chance(VOLUNTEERS, n)) return;
    this.#prober.probe(suspect, now, effects);
  }

  /**
   * Another holds a member for dead that is not even suspect here: maybe two halves of a healed partition meet. The
   * member is told and refutes, if it lives; meanwhile nobody on this side takes it for dead (invariant 5).
   */
  #dispute(claim: Update, now: Instant, effects: Effects): void {
    this.#prober.probe(this.#beliefs.table.get(claim.node)!, now, effects, { told: claim });
    this.#prober.attach(claim);
  }

  /** A member held for dead, or a stranger, spoke: it may stand for a whole lost half of the network. */
  #mergeWith(node: NodeId, now: Instant, effects: Effects): void {
    if (now < this.#mergeAt) return;
    this.#mergeAt = after(now, this.#settings.probeIntervalUs);
    this.#pushPull(node, false, effects);
  }

  #hearView(from: NodeId, version: number): void {
    if (version <= this.viewVersion || version <= this.#heardVersion) return;
    this.#heardVersion = version;
    this.#heardFrom = from;
  }

  #refuse(from: NodeId, message: Message, why: string, effects: Effects): void {
    effects.note({ kind: "refused", from, message: message.kind, why });
  }

  // ---- time

  #begin(now: Instant, effects: Effects): void {
    this.#beliefs.begin(now, effects);
    if (this.#started) {
      const lateUs = now - this.nextWake();
      if (lateUs > this.#settings.probeTimeoutUs) this.#excuse(lateUs, now);
      return;
    }
    this.#started = true;
    // A random phase, so that nodes started together do not probe in step.
    this.#tickAt = after(now, this.#random.below(this.#settings.probeIntervalUs));
    this.#pushPullAt = now;
    this.#beliefs.queue.put(this.#beliefs.own);
    this.#write(now, effects);
    this.#exchangeTables(now, effects);
  }

  /**
   * This process itself did not run for `lateUs`: answers may wait unread, so every deadline moves by as much.
   * Lifeguard blames slow message handling on the node itself; a stopped process is the extreme of it.
   */
  #excuse(lateUs: number, now: Instant): void {
    if (this.#tickAt < now) this.#tickAt = now;
    if (this.#gossipAt < now) this.#gossipAt = now;
    this.#prober.excuse(lateUs);
    this.#beliefs.suspicions.extend(lateUs);
  }

  /** SWIM's protocol period. */
  #tick(now: Instant, effects: Effects): void {
    const { table } = this.#beliefs;
    const { probeIntervalUs } = this.#settings;
    // Alone there is nobody to wrong by haste.
    this.#tickAt = after(
      now,
      table.reachable === 0 ? probeIntervalUs : this.#prober.health.scale(probeIntervalUs),
    );
    this.#prober.expire(now);
    const dead = table.nextDead();
    const member = table.nextToProbe();
    // A live member hears whom this node holds for dead, and corrects it where its news of a return got lost.
    if (member !== null) this.#prober.probe(member, now, effects, { told: dead });
    if (dead !== null) this.#tryDead(dead, effects);
    if (now >= this.#pushPullAt) this.#exchangeTables(now, effects);
    if (table.peersChanged && now >= this.#recordAt) this.#write(now, effects);
  }

  /**
   * Invariant 6. Together the living try each of the dead about once every other period, whatever their numbers; one
   * alone, which may be the only one to hold it for dead, at least once in RETRY_INTERVALS_MAX periods.
   */
  #tryDead(member: Update, effects: Effects): void {
    const { dead, reachable } = this.#beliefs.table;
    const shares = Math.min(2 * reachable + 1, RETRY_INTERVALS_MAX * dead);
    if (dead >= shares || this.#random.chance(dead, shares)) this.#prober.ping(member, member, effects);
  }

  #exchangeTables(now: Instant, effects: Effects): void {
    let us = this.#settings.pushPullUs;
    for (let n = PUSH_PULL_MEMBERS; n < this.#beliefs.population; n *= 2) us += this.#settings.pushPullUs;
    this.#pushPullAt = after(now, Math.floor(us / 2) + this.#random.below(us));
    const [node] = this.#beliefs.table.pick(1, { except: null, suspects: true });
    if (node !== undefined) this.#pushPull(node, false, effects);
  }

  #write(now: Instant, effects: Effects): void {
    this.#recordAt = after(now, RECORD_US_MIN);
    this.#beliefs.table.peersChanged = false;
    effects.record(this.record());
  }

  /** What follows on every event. */
  #evaluate(now: Instant, effects: Effects): void {
    this.#spread(now, effects);
    this.#wakeAt = this.#earliest();
  }

  #earliest(): Instant {
    let at = this.#tickAt;
    if (this.#gossipAt < at) at = this.#gossipAt;
    const probesDue = this.#prober.due, suspicionsDue = this.#beliefs.suspicions.due;
    if (probesDue < at) at = probesDue;
    return suspicionsDue < at ? suspicionsDue : at;
  }

  /** Sends waiting news to a few at random, several times a period. With nobody to hear it, it waits. */
  #spread(now: Instant, effects: Effects): void {
    const { queue, table } = this.#beliefs;
    if (queue.size === 0 || table.reachable === 0) {
      this.#gossipAt = NEVER;
      return;
    }
    const intervalUs = Math.floor(this.#settings.probeIntervalUs / GOSSIPS_PER_INTERVAL);
    if (this.#gossipAt === NEVER) {
      this.#gossipAt = Math.max(now, after(this.#gossipedAt, intervalUs)) as Instant;
    }
    if (now < this.#gossipAt) return;
    this.#gossipedAt = now;
    for (const node of table.pick(GOSSIP_FANOUT, { except: null, suspects: true })) {
      if (queue.size > 0) effects.send(node, this.#news(node));
    }
    this.#gossipAt = queue.size > 0 ? after(now, intervalUs) : NEVER;
  }

  /** An ack of nothing, for the news it carries. */
  #news(to: NodeId): Ack {
    return this.#ack(0, this.#beliefs.table.get(to));
  }

  /** An ack that tells the receiver of its error, or what is believed of it unless it is well, before other news. */
  #ack(sequence: number, known: Update | undefined): Ack {
    const grave = known === undefined || known.status === "alive" ? null : known;
    const told = this.#correction ?? grave;
    this.#correction = null;
    return this.#prober.ack(sequence, told);
  }

  #pushPull(to: NodeId, reply: boolean, effects: Effects): void {
    const { own, table } = this.#beliefs;
    effects.send(to, { kind: "push-pull", reply, members: [own, ...table.sorted()] });
  }
}
