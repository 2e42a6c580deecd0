import type { Random } from "../core/base/random.ts";
import { type Ratio, ZERO_RATIO } from "./units.ts";

/** How the network behaves where no fault says otherwise. Times in microseconds. */
export interface NetworkOptions {
  /** One way between two places of the same position. */
  readonly latencyUs: number;
  /** Added one way for each degree between the two stars. */
  readonly perDegreeUs: number;
  /** Each frame is up to this much later. */
  readonly jitterUs: number;
  readonly loss: Ratio;
  readonly duplicate: Ratio;
  /** Frames that may overtake, or be overtaken by, their neighbours by up to reorderUs. */
  readonly reorder: Ratio;
  readonly reorderUs: number;
  /** Frames that are damaged on the way. The receiver's checksum must find out, and the connection breaks. */
  readonly corrupt: Ratio;
  /** Share of frames that go through the real codec instead of by reference. */
  readonly codec: Ratio;
  /** Between a client and any node, one way. */
  readonly clientLatencyUs: number;
}

export const DEFAULT_NETWORK: NetworkOptions = {
  latencyUs: 500,
  perDegreeUs: 100,
  jitterUs: 200,
  loss: ZERO_RATIO,
  duplicate: ZERO_RATIO,
  reorder: ZERO_RATIO,
  reorderUs: 5_000,
  corrupt: ZERO_RATIO,
  codec: ZERO_RATIO,
  clientLatencyUs: 500,
};

/** Tells how far two nodes are apart, in millionths of a degree. Symmetric. */
export type Distance = (from: number, to: number) => number;

export interface NetworkCounters {
  sent: number;
  lost: number;
  cut: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
}

/**
 * The links between all nodes: what is cut, how long a frame takes, what is lost. Nodes are small integers. State
 * of a sender's links is created when it first sends.
 *
 * Invariants:
 * 1. Frames of one link that are neither reordered nor duplicated arrive in the order sent, as on TCP.
 * 2. A frame's fate depends on the sender's own stream of randomness only, so one frame more between two nodes
 *    shifts nothing elsewhere.
 */
export class Network {
  readonly counters: NetworkCounters = {
    sent: 0,
    lost: 0,
    cut: 0,
    duplicated: 0,
    reordered: 0,
    corrupted: 0,
  };
  readonly #options: NetworkOptions;
  readonly #distance: Distance;
  readonly #random: Random;
  readonly #senders: (Sender | null)[] = [];
  #loss: Ratio;
  #extraUs = 0;
  /** After a send(): when its duplicate arrives, or -1. */
  duplicateAt = -1;
  /** After a send(): whether the frame is damaged on the way. */
  corrupted = false;

  constructor(options: NetworkOptions, distance: Distance, random: Random) {
    this.#options = options;
    this.#distance = distance;
    this.#random = random;
    this.#loss = options.loss;
  }

  /** Sends one frame at `now`: the time it arrives, or -1 when it is lost. */
  send(from: number, to: number, now: number): number {
    const options = this.#options, sender = this.#sender(from, to), random = sender.random;
    this.counters.sent++;
    this.duplicateAt = -1;
    this.corrupted = false;
    const links = sender.links, link = to * LINK;
    if (links[link + CUT] !== 0) {
      this.counters.cut++;
      return -1;
    }
    if (happens(random, this.#loss)) {
      this.counters.lost++;
      return -1;
    }
    let arrival = now + links[link + LATENCY]! + this.#extraUs;
    if (options.jitterUs > 0) arrival += random.below(options.jitterUs + 1);
    if (happens(random, options.corrupt)) {
      this.counters.corrupted++;
      this.corrupted = true;
    }
    if (happens(random, options.reorder)) {
      this.counters.reordered++;
      arrival += random.below(options.reorderUs + 1);
    } else {
      if (arrival < links[link + LAST]!) arrival = links[link + LAST]!;
      links[link + LAST] = arrival;
    }
    if (happens(random, options.duplicate)) {
      this.counters.duplicated++;
      this.duplicateAt = arrival + 1 + random.below(options.reorderUs + 1);
    }
    return arrival;
  }

  /** One way from one node to another without jitter. */
  latency(from: number, to: number): number {
    return this.#sender(from, to).links[to * LINK + LATENCY]!;
  }

  /** A machine came to stand at `index`: links that were laid out before learn how far it is. */
  placed(index: number): void {
    for (const [from, sender] of this.#senders.entries()) {
      const at = index * LINK + LATENCY;
      if (sender !== null && at < sender.links.length) sender.links[at] = this.#latencyBetween(from, index);
    }
  }

  #latencyBetween(from: number, to: number): number {
    const { latencyUs, perDegreeUs } = this.#options;
    return latencyUs + Math.floor((this.#distance(from, to) * perDegreeUs) / 1_000_000);
  }

  /** Whether the first has sent to the other since the last disconnect: the two hosts hold a connection. */
  connected(from: number, to: number): boolean {
    return (this.#senders[from]?.links[to * LINK + LAST] ?? 0) > 0;
  }

  /** Forgets the connection, and with it the order of frames sent over it. */
  disconnect(from: number, to: number): void {
    const links = this.#senders[from]?.links;
    if (links !== undefined && to * LINK < links.length) links[to * LINK + LAST] = 0;
  }

  /** Cuts one direction of a link. Cuts count: a link works again when each cut was healed. */
  cut(from: number, to: number): void {
    const { links } = this.#sender(from, to), at = to * LINK + CUT;
    links[at] = links[at]! + 1;
  }

  heal(from: number, to: number): void {
    const { links } = this.#sender(from, to), at = to * LINK + CUT;
    if (links[at]! > 0) links[at] = links[at]! - 1;
  }

  isCut(from: number, to: number): boolean {
    return this.#sender(from, to).links[to * LINK + CUT] !== 0;
  }

  /** Another loss for all links; null: the usual one. */
  setLoss(loss: Ratio | null): void {
    this.#loss = loss ?? this.#options.loss;
  }

  /** Makes every link slower by this much. */
  setExtraLatency(us: number): void {
    this.#extraUs = us;
  }

  /** Ends every cut and burst. */
  healAll(): void {
    for (const sender of this.#senders) {
      const links = sender?.links ?? [];
      for (let at = CUT; at < links.length; at += LINK) links[at] = 0;
    }
    this.setLoss(null);
    this.#extraUs = 0;
  }

  #sender(from: number, to: number): Sender {
    while (this.#senders.length <= from) this.#senders.push(null);
    let sender = this.#senders[from];
    if (!sender) sender = this.#senders[from] = new Sender(this.#random.fork(`from ${from}`));
    if (to * LINK >= sender.links.length) this.#widen(sender, from, to);
    return sender;
  }

  #widen(sender: Sender, from: number, to: number): void {
    const old = sender.links.length / LINK, size = Math.max(16, old * 2, to + 1);
    const links = new Float64Array(size * LINK);
    links.set(sender.links);
    for (let i = old; i < size; i++) {
      links[i * LINK + LATENCY] = this.#latencyBetween(from, i);
    }
    sender.links = links;
  }
}

/** What is kept of a link, side by side because a frame needs it all: one read of memory that is hardly ever at hand. */
const LINK = 4;
/** When the last ordered frame arrives; 0 while there is no connection. */
const LAST = 0;
const LATENCY = 1;
/** How many cuts are in force. */
const CUT = 2;

/** One node's outgoing links, LINK numbers for each receiver. */
class Sender {
  readonly random: Random;
  links = new Float64Array(0);

  constructor(random: Random) {
    this.random = random;
  }
}

/** Draws only where the outcome is open. */
export function happens(random: Random, ratio: Ratio): boolean {
  return ratio.numerator > 0 && random.chance(ratio.numerator, ratio.denominator);
}
