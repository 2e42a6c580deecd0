import { after, type Instant, type NodeId } from "../base/ids.ts";
import type { Settings } from "../base/limits.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Ack, PingRequest, Update } from "../wire/messages.ts";
import type { Beliefs } from "./beliefs.ts";
import { LocalHealth } from "./local_health.ts";
import { HELPERS, type Probe, Probes, Relays } from "./probe.ts";

/** A member whose connection broke answers within this share of the probe timeout, or others are asked. */
const URGENT_TIMEOUT_SHARE = 4;
/** Lifeguard: a helper says that it is well after this share (in tenths) of the probe timeout. */
const NACK_TENTHS = 8;

/** Asks whether members live: directly, through others, and for others. What it finds out goes to the beliefs. */
export class Prober {
  /** Told with every ping and ack. */
  viewVersion = 0;
  readonly health = new LocalHealth();

  readonly #beliefs: Beliefs;
  readonly #settings: Settings;
  readonly #probes = new Probes();
  readonly #relays = new Relays();
  #sequence = 0;

  constructor({ beliefs, settings }: { beliefs: Beliefs; settings: Settings }) {
    this.#beliefs = beliefs;
    this.#settings = settings;
  }

  get due(): Instant {
    return this.#probes.due < this.#relays.due ? this.#probes.due : this.#relays.due;
  }

  // ---- probing

  /** Probes a member unless that is under way. The ping tells it `told`, but a suspect of its suspicion. */
  probe(
    member: Update,
    now: Instant,
    effects: Effects,
    { told }: { told: Update | null } = { told: null },
  ): void {
    const { probeTimeoutUs, probeIntervalUs } = this.#settings;
    this.#begin(
      member,
      { told, directUs: probeTimeoutUs, wholeUs: probeIntervalUs, urgent: false },
      now,
      effects,
    );
  }

  /** Probes a member of which there is reason to believe that it is gone: with less patience. */
  hurry(member: Update, now: Instant, effects: Effects): void {
    const { probeTimeoutUs } = this.#settings;
    const probe = this.#probes.of(member.node);
    if (probe === null) {
      const directUs = Math.floor(probeTimeoutUs / URGENT_TIMEOUT_SHARE);
      const wholeUs = directUs + probeTimeoutUs;
      this.#begin(member, { told: null, directUs, wholeUs, urgent: true }, now, effects);
    } else if (probe.helpers === null) {
      probe.endAt = Math.min(probe.endAt, after(now, this.health.scale(probeTimeoutUs))) as Instant;
      this.#askHelpers(probe, effects);
    }
  }

  /** If the probe of that member fails, `claim` is believed. */
  attach(claim: Update): void {
    const probe = this.#probes.of(claim.node);
    if (probe !== null) probe.claim = claim;
  }

  cancel(node: NodeId): void {
    const probe = this.#probes.of(node);
    if (probe !== null) this.#probes.remove(probe);
  }

  stop(): void {
    this.#probes.clear();
    this.#relays.clear();
  }

  /** Takes an ack for what it answers. False where it came from someone who was not asked. */
  answered(from: NodeId, sequence: number, effects: Effects): boolean {
    const probe = this.#probes.withSequence(sequence);
    if (probe !== null) {
      if (from !== probe.target && probe.helpers?.includes(from) !== true) return false;
      this.#probes.remove(probe);
      this.health.change(-1);
      return true;
    }
    const relay = this.#relays.withSequence(sequence);
    if (relay === null) return true;
    if (relay.target !== from) return false;
    this.#relays.remove(relay);
    effects.send(relay.origin, this.ack(relay.originSequence, null));
    return true;
  }

  /** A helper is well, but it does not reach the target either. */
  nacked(from: NodeId, sequence: number): void {
    const probe = this.#probes.withSequence(sequence);
    if (probe === null || probe.helpers?.includes(from) !== true || probe.nackedBy.includes(from)) return;
    probe.nackedBy.push(from);
  }

  /** Probes on behalf of another. Returns why not, or null. */
  relay(from: NodeId, request: PingRequest, now: Instant, effects: Effects): string | null {
    const { target, sequence: originSequence } = request;
    const member = this.#beliefs.table.get(target);
    if (member === undefined) return "unknown target";
    if (this.#beliefs.own.status === "left") return "leaving";
    if (this.#relays.isFull) return "too many relays";
    const { probeTimeoutUs, probeIntervalUs } = this.#settings;
    const sequence = this.ping(member, member.status === "alive" ? null : member, effects);
    const dueAt = after(now, Math.floor((probeTimeoutUs * NACK_TENTHS) / 10));
    const endAt = after(now, probeIntervalUs);
    this.#relays.add({ origin: from, originSequence, target, sequence, dueAt, endAt });
    return null;
  }

  // ---- time

  wake(now: Instant, effects: Effects): void {
    for (let probe = this.#probes.firstDue(now); probe !== null; probe = this.#probes.firstDue(now)) {
      if (probe.helpers === null && now < probe.endAt) this.#askHelpers(probe, effects);
      else this.#failed(probe);
    }
    for (let relay = this.#relays.firstDue(now); relay !== null; relay = this.#relays.firstDue(now)) {
      effects.send(relay.origin, { kind: "nack", sequence: relay.originSequence });
      this.#relays.nacked(relay);
    }
  }

  /** Drops relays that nobody waits for any more. */
  expire(now: Instant): void {
    this.#relays.expire(now);
  }

  /** This process did not run for `us`: see Membership. */
  excuse(us: number): void {
    this.#probes.extend(us);
    this.#relays.extend(us);
    this.health.change(1);
  }

  // ---- messages

  /** Returns the ping's sequence number. The ping tells `told` before other news. */
  ping(member: Update, told: Update | null, effects: Effects): number {
    const sequence = ++this.#sequence;
    const { node: target } = member;
    const updates = this.#beliefs.news(told);
    effects.send(target, { kind: "ping", sequence, target, view: this.viewVersion, updates });
    return sequence;
  }

  /** An ack that tells `told` before other news. With sequence 0 it answers nothing. */
  ack(sequence: number, told: Update | null): Ack {
    const { own } = this.#beliefs;
    const updates = this.#beliefs.news(own.status === "left" ? own : told);
    return { kind: "ack", sequence, view: this.viewVersion, updates };
  }

  #begin(
    member: Update,
    how: { told: Update | null; directUs: number; wholeUs: number; urgent: boolean },
    now: Instant,
    effects: Effects,
  ): void {
    const { own } = this.#beliefs;
    if (this.#probes.isFull || own.status === "left" || this.#probes.of(member.node) !== null) return;
    // Lifeguard's buddy system: a suspect is told so by the ping, and can refute in the ack.
    const told = member.status === "alive" ? how.told : member;
    this.#probes.add({
      target: member.node,
      sequence: this.ping(member, told, effects),
      dueAt: after(now, this.health.scale(how.directUs)),
      endAt: after(now, this.health.scale(how.wholeUs)),
      urgent: how.urgent,
      claim: null,
      helpers: null,
      nackedBy: [],
    });
  }

  #askHelpers(probe: Probe, effects: Effects): void {
    const { target, sequence } = probe;
    probe.helpers = this.#beliefs.table.pick(HELPERS, { except: target, suspects: false });
    probe.dueAt = probe.endAt;
    this.#probes.refresh();
    for (const helper of probe.helpers) {
      effects.send(helper, { kind: "ping-request", sequence, target, updates: this.#beliefs.news(null) });
    }
  }

  #failed(probe: Probe): void {
    this.#probes.remove(probe);
    const asked = probe.helpers?.length ?? 0;
    if (!probe.urgent) this.health.change(asked === 0 ? 1 : asked - probe.nackedBy.length);
    if (probe.claim === null) this.#beliefs.suspect(probe.target);
    else this.#beliefs.concede(probe.claim);
  }
}
