/**
 * Watches: events of keys, told in log order and without gaps.
 *
 * The node a client asked (the gateway) keeps one subscription for each partition at the replica that leads it, and
 * that replica (the source) tells events as it applies them. Messages may be lost, so:
 * W1. Events cover the log after `after` up to `upTo`. A gateway takes them only if it knows all up to `after`.
 * W2. A gateway renews every subscription at intervals, from the last index it knows; the source answers with what
 *     was missed. A source that is not asked for long drops the subscription.
 * W3. What the source no longer remembers is told as a gap, never skipped silently.
 * W4. A source that says it does not lead, or says nothing, is passed over: what the gateway believed of the leader may
 *     be old, and where it holds no replica itself nothing else would correct it.
 * W5. A watch goes on only as long as who asked for it may ask for it.
 * W6. It tells of the rows of objects only where it was begun among them (core/wire/rows.ts).
 */
import {
  after as later,
  type Instant,
  type LogIndex,
  NEVER,
  type NodeId,
  type PartitionId,
} from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { validate } from "../catalog/validate.ts";
import { partitionOf } from "../placement/key.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Message, MessageOf, SystemView, WatchEvent } from "../wire/messages.ts";
import type { Refused, WatchOp } from "../wire/requests.ts";
import type { Principal } from "../wire/security.ts";
import type { Replicas, Slot } from "./replicas.ts";
import { refusal } from "../wire/ops.ts";
import { startPastRows } from "../wire/rows.ts";

const RENEW_US = 2_000_000;
const RETRY_US = 100_000;
const FORGET_US = 3 * RENEW_US;

/** One partition of one client's watch, at the gateway. */
interface Subscription {
  readonly partition: PartitionId;
  upTo: LogIndex | null;
  source: NodeId | null;
  askAt: Instant;
  /** The source was asked and has not answered yet. */
  waiting: boolean;
}
interface Watch {
  readonly number: number;
  readonly client: number;
  readonly id: number;
  readonly op: WatchOp;
  /** On whose behalf; null in an open network. */
  readonly who: Principal | null;
  readonly subscriptions: Subscription[];
  /** The client has been told that every partition is being watched. */
  announced: boolean;
}
/** A subscription at its source. */
interface Subscriber {
  readonly gateway: NodeId;
  readonly id: number;
  readonly start: string;
  readonly end: string | null;
  /** Told up to here; looked at up to `seen`, where nothing after `upTo` was of interest. */
  upTo: LogIndex;
  seen: LogIndex;
  readonly renewedAt: Instant;
}

export interface WatchesOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly replicas: () => Replicas;
  readonly view: () => SystemView;
  readonly leader: (partition: PartitionId) => NodeId | null;
  /** `node` turned out not to lead the partition: leader() should try another. */
  readonly passOver: (partition: PartitionId, node: NodeId) => void;
  /** From 1, and another in each life of the node: events for a watch of an earlier life may still come. */
  readonly firstNumber: number;
}

export class Watches {
  readonly #options: WatchesOptions;
  readonly #watches = new Map<number, Watch>();
  readonly #subscribers = new Map<PartitionId, Subscriber[]>();
  #next: number;
  #askAt: Instant = NEVER;

  constructor(options: WatchesOptions) {
    this.#options = options;
    this.#next = options.firstNumber;
  }

  // ---- the gateway's side

  open(
    { client, id, who }: { client: number; id: number; who: Principal | null },
    asked: WatchOp,
    now: Instant,
  ): void {
    const invalid = this.#check(client, asked);
    if (invalid !== null) return this.#options.effects.reply(client, id, invalid);
    const op: WatchOp = { ...asked, start: startPastRows(asked.start, asked.end) };
    const { partitions } = this.#options.view().settings;
    const single = op.end === op.start + "\0";
    const watched = single ? [partitionOf(op.start, partitions)] : range(1, partitions);
    const from = new Map(op.from);
    const subscriptions = watched.map((partition) => ({
      partition,
      upTo: from.get(partition) ?? null,
      source: null,
      askAt: now,
      waiting: false,
    }));
    const number = this.#next;
    this.#watches.set(number, { number, client, id, op, who, subscriptions, announced: false });
    this.#next++;
    this.#ask(now);
  }

  #check(client: number, op: WatchOp): Refused | null {
    let open = 0;
    for (const watch of this.#watches.values()) if (watch.client === client) open++;
    if (open >= LIMITS.watchesPerClientMax) {
      return refusal(
        "too-large",
        `This client has ${open} watches open, and ${LIMITS.watchesPerClientMax} is the most`,
      );
    }
    const { partitions } = this.#options.view().settings;
    return validate({ op }, (key) => partitionOf(key, partitions));
  }

  close(client: number, id: number): void {
    for (const watch of this.#watches.values()) {
      if (watch.client === client && watch.id === id) this.#end(watch);
    }
  }
  clientGone(client: number): void {
    for (const watch of this.#watches.values()) if (watch.client === client) this.#end(watch);
  }

  /** W5: ends those that `refusal` has something against. */
  review(refusal: (who: Principal | null, op: WatchOp, client: number) => Refused | null): void {
    for (const watch of this.#watches.values()) {
      const refused = refusal(watch.who, watch.op, watch.client);
      if (refused === null) continue;
      this.#end(watch);
      this.#options.effects.reply(watch.client, watch.id, refused);
    }
  }

  #end(watch: Watch): void {
    this.#watches.delete(watch.number);
    for (const { source, partition } of watch.subscriptions) {
      if (source !== null) this.#tell(source, { kind: "watch-stop", id: watch.number, partition }, null);
    }
  }

  peerDown(peer: NodeId, now: Instant): void {
    for (const watch of this.#watches.values()) {
      for (const s of watch.subscriptions) if (s.source === peer) this.#passOver(s, peer, now);
    }
  }

  /** Asks, or asks again, wherever it is time to. */
  #ask(now: Instant): void {
    this.#askAt = NEVER;
    for (const watch of this.#watches.values()) {
      for (const s of watch.subscriptions) {
        if (s.askAt <= now) {
          if (s.waiting && s.source !== null) this.#options.passOver(s.partition, s.source); // W4
          s.source = this.#options.leader(s.partition);
          s.askAt = later(now, s.source === null ? RETRY_US : RENEW_US);
          if (s.source !== null) this.#start(watch, s, s.source, now);
        }
        if (s.askAt < this.#askAt) this.#askAt = s.askAt;
      }
    }
  }

  #start(watch: Watch, s: Subscription, source: NodeId, now: Instant): void {
    const { start, end } = watch.op;
    s.waiting = true;
    this.#tell(source, {
      kind: "watch-start",
      id: watch.number,
      partition: s.partition,
      start,
      end,
      from: s.upTo,
    }, now);
  }

  #passOver(s: Subscription, source: NodeId, now: Instant): void {
    this.#options.passOver(s.partition, source);
    this.#retry(s, now);
  }

  #retry(s: Subscription, now: Instant): void {
    s.waiting = false;
    s.source = null;
    s.askAt = later(now, RETRY_US);
    if (s.askAt < this.#askAt) this.#askAt = s.askAt;
  }

  handleEvents(from: NodeId, message: MessageOf<"watch-events">, now: Instant): void {
    const watch = this.#watches.get(message.id);
    const s = watch?.subscriptions.find((x) => x.partition === message.partition);
    if (watch === undefined || s === undefined) {
      return this.#tell(from, { kind: "watch-stop", id: message.id, partition: message.partition }, null);
    }
    if (s.source !== from) return;
    s.waiting = false;
    if (message.status === "moved") return this.#passOver(s, from, now); // W4
    const gap = message.status === "compacted";
    if (!gap && s.upTo !== null && message.after > s.upTo) return this.#retry(s, now); // W1
    const known = s.upTo;
    if (known !== null && message.upTo <= known && !gap) return;
    s.upTo = message.upTo;
    if (!watch.announced) this.#announce(watch);
    const events = known === null ? message.events : message.events.filter((e) => e.index > known);
    if (events.length > 0 || gap) {
      this.#options.effects.reply(watch.client, watch.id, {
        kind: "events",
        partition: s.partition,
        upTo: s.upTo,
        events: events.map(({ key, value, term, index }) => ({ key, value, version: { term, index } })),
        gap,
      });
    }
  }

  #announce(watch: Watch): void {
    const from: [PartitionId, LogIndex][] = [];
    for (const { partition, upTo } of watch.subscriptions) {
      if (upTo === null) return;
      from.push([partition, upTo]);
    }
    watch.announced = true;
    this.#options.effects.reply(watch.client, watch.id, { kind: "watching", from });
  }

  // ---- the source's side

  handleStart(from: NodeId, message: MessageOf<"watch-start">, now: Instant): void {
    const { id, partition, start, end } = message;
    const slot = this.#options.replicas().get(partition);
    if (slot === undefined || slot.catalog === null || !slot.replica.isLeader) {
      const zero = 0 as LogIndex;
      return this.#tell(from, {
        kind: "watch-events",
        id,
        partition,
        after: zero,
        upTo: zero,
        events: [],
        status: "moved",
      }, now);
    }
    const subscribers = this.#subscribers.get(partition) ?? [];
    const others = subscribers.filter((s) => s.gateway !== from || s.id !== id);
    const upTo = message.from ?? slot.replica.appliedIndex;
    const subscriber: Subscriber = { gateway: from, id, start, end, upTo, seen: upTo, renewedAt: now };
    this.#subscribers.set(partition, [...others, subscriber]);
    this.#tellEvents(slot, subscriber, true, now);
  }

  handleStop(from: NodeId, { id, partition }: MessageOf<"watch-stop">): void {
    const rest = this.#subscribers.get(partition)?.filter((s) => s.gateway !== from || s.id !== id) ?? [];
    if (rest.length > 0) this.#subscribers.set(partition, rest);
    else this.#subscribers.delete(partition);
  }

  /** Called after a replica was evaluated: tells what it applied. */
  publish(slot: Slot, now: Instant): void {
    if (this.#subscribers.size === 0) return;
    const subscribers = this.#subscribers.get(slot.partition);
    if (subscribers === undefined) return;
    for (const subscriber of subscribers) {
      const { gateway, id, renewedAt, seen } = subscriber;
      if (later(renewedAt, FORGET_US) < now) {
        this.handleStop(gateway, { kind: "watch-stop", id, partition: slot.partition });
      } else if (seen < slot.replica.appliedIndex) this.#tellEvents(slot, subscriber, false, now);
    }
  }

  /** The partition is no longer led here: its watchers look for the new leader. */
  lostLeadership(partition: PartitionId, now: Instant): void {
    for (const { gateway, id, upTo } of this.#subscribers.get(partition) ?? []) {
      this.#tell(gateway, {
        kind: "watch-events",
        id,
        partition,
        after: upTo,
        upTo,
        events: [],
        status: "moved",
      }, now);
    }
    this.#subscribers.delete(partition);
  }

  #tellEvents(slot: Slot, subscriber: Subscriber, always: boolean, now: Instant): void {
    const { partition, catalog, replica } = slot;
    if (catalog === null) return;
    const { id, start, end, upTo: after } = subscriber;
    const found = catalog.eventsAfter(subscriber.seen, start, end);
    const status = found === "compacted" ? "compacted" : "ok";
    const events: readonly WatchEvent[] = found === "compacted" ? [] : found;
    subscriber.seen = Math.max(after, replica.appliedIndex) as LogIndex;
    if (!always && events.length === 0 && status === "ok") return;
    subscriber.upTo = subscriber.seen;
    this.#tell(subscriber.gateway, {
      kind: "watch-events",
      id,
      partition,
      after,
      upTo: subscriber.upTo,
      events,
      status,
    }, now);
  }

  // ---- common

  /** To a peer as a message, to this very node by a call. */
  #tell(to: NodeId, message: Message, now: Instant | null): void {
    if (to !== this.#options.self) return this.#options.effects.send(to, message);
    if (message.kind === "watch-events" && now !== null) this.handleEvents(to, message, now);
    else if (message.kind === "watch-start" && now !== null) this.handleStart(to, message, now);
    else if (message.kind === "watch-stop") this.handleStop(to, message);
  }

  wake(now: Instant): void {
    if (this.#askAt <= now) this.#ask(now);
  }
  nextWake(): Instant {
    return this.#askAt;
  }
}

function range(first: number, last: number): PartitionId[] {
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) as PartitionId);
}
