/**
 * Fragments that this node holds and should not are removed when those who should hold them do.
 *
 * Members may disagree for a while about who should hold what, each having another view: were both to ask the other, hear
 * "held" and remove theirs, the fragment would be gone. So whoever says "held" keeps it for a while, and who is about to
 * remove a fragment says nothing about it until that is decided:
 *
 *     a asks b, and from then on does not answer b;  b answers "held", and so may not begin to ask for as long as a may take
 *     a asks b and b asks a, before either has heard:  neither answers, neither removes, and both ask again much later
 *
 * V1. A fragment is removed only after all who should hold it (the one of a stripe's index, or as many as there are to be
 *     copies) said within one round that they do, having read it, while the view stayed the same, and had been for a while.
 * V2. What is asked about from elsewhere is not made surplus of for longer than a round and its removal may take.
 * V3. While a fragment is in a round, questions that name it are not answered. Who asks will ask again.
 * V4. What waits is bounded: what does not fit is found by the next look.
 * V5. What is read elsewhere for a round keeps to the rate of repair, and is so little that it is read before the round ends.
 */
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { fmix32 } from "../base/hash.ts";
import { LIMITS } from "../base/limits.ts";
import type { FragmentId } from "../wire/objects.ts";
import type { Asks } from "./asks.ts";
import type { ChunkDisk } from "./disk.ts";
import { fragmentHash, fragmentKey } from "./fragment.ts";
import type { Presence } from "./holders.ts";
import { Bucket } from "./pace.ts";

/** An answer that takes longer is none. */
const ROUND_US = 5_000_000;
/** V2: much longer than a round and its removal. */
const PROMISE_US = 30_000_000;
const ROUND_MAX = 256;
/** The fragments of a round have what may be read in a second divided by this. */
const ROUNDS_PER_SECOND = 4;

export interface Surplus {
  readonly fragment: FragmentId;
  readonly bytes: number;
  /** Who all should hold it. */
  readonly targets: readonly NodeId[];
}

export interface SurplusOptions {
  readonly disk: Pick<ChunkDisk, "remove">;
  readonly asks: Pick<Asks, "check">;
  readonly presence: (node: NodeId) => Presence;
  /** Names the view; null: it has not been the same for long enough. */
  readonly settled: (now: Instant) => number | null;
  readonly queueMax: number;
  readonly bytesPerSecond: number;
  /** Clients have chunk requests under way here. */
  readonly busy: () => boolean;
  /** It was held by all who should, and is removed here. */
  readonly removed: (surplus: Surplus, now: Instant) => void;
}

interface Round {
  readonly view: number;
  readonly asked: ReadonlyMap<string, Surplus>;
  /** Of these somebody did not say that it holds them. */
  readonly kept: Set<string>;
  readonly until: Instant;
  waiting: number;
}

export class SurplusRemoval {
  readonly #options: SurplusOptions;
  readonly #queue = new Map<string, Surplus>();
  /** Until when fragments that others asked about stay, by their hash, oldest first (V2). */
  readonly #promises = new Map<number, Instant>();
  readonly #bucket: Bucket;
  #round: Round | null = null;
  #wakeAt: Instant = NEVER;

  constructor(options: SurplusOptions) {
    this.#options = options;
    this.#bucket = new Bucket(options.bytesPerSecond);
  }

  get idle(): boolean {
    return this.#queue.size === 0 && this.#round === null;
  }

  /** False: it has to be found again (V4). */
  offer(surplus: Surplus, now: Instant): boolean {
    const key = fragmentKey(surplus.fragment);
    if (this.#round?.asked.has(key)) return true;
    if (this.#queue.size >= this.#options.queueMax && !this.#queue.has(key)) return false;
    this.#queue.set(key, surplus);
    this.#wakeAt = now;
    return true;
  }

  /** The members changed: what was surplus may be none. */
  clear(): void {
    this.#queue.clear();
  }

  /** Another asks which of these are held. False: it is not to be answered (V3). Else they stay for now (V2). */
  mayAnswer(fragments: readonly FragmentId[], now: Instant): boolean {
    const round = this.#round;
    if (round !== null && fragments.some((fragment) => round.asked.has(fragmentKey(fragment)))) return false;
    this.#expire(now);
    if (this.#promises.size + fragments.length > LIMITS.promisesMax) return false;
    for (const fragment of fragments) {
      const hash = hashOf(fragment);
      this.#promises.delete(hash);
      this.#promises.set(hash, after(now, PROMISE_US));
    }
    return true;
  }

  nextWake(): Instant {
    return this.#wakeAt;
  }

  evaluate(now: Instant): void {
    if (now < this.#wakeAt) return;
    this.#wakeAt = NEVER;
    while (this.#round === null && this.#queue.size > 0) {
      if (!this.#bucket.mayBegin(now, this.#options.busy())) { // V5
        this.#wakeAt = this.#bucket.readyAt(now);
        return;
      }
      this.#begin(now);
    }
  }

  #expire(now: Instant): void {
    for (const [hash, until] of this.#promises) {
      if (until > now) return;
      this.#promises.delete(hash);
    }
  }

  /** What cannot be asked about now is left to the next look. */
  #begin(now: Instant): void {
    const { settled, presence, asks, bytesPerSecond } = this.#options, view = settled(now);
    this.#expire(now);
    let bytes = 0;
    const asked = new Map<string, Surplus>(), byTarget = new Map<NodeId, Surplus[]>();
    for (const [key, surplus] of this.#queue) {
      if (asked.size >= ROUND_MAX || bytes >= bytesPerSecond / ROUNDS_PER_SECOND) break;
      this.#queue.delete(key);
      const { fragment, targets } = surplus;
      if (view === null || this.#promises.has(hashOf(fragment))) continue; // V1, V2
      if (targets.length === 0 || targets.some((node) => presence(node) === "away")) continue;
      asked.set(key, surplus);
      bytes += surplus.bytes * targets.length;
      for (const target of targets) {
        const of = byTarget.get(target);
        if (of === undefined) byTarget.set(target, [surplus]);
        else of.push(surplus);
      }
    }
    if (view === null || asked.size === 0) return;
    this.#bucket.pay(bytes); // V5
    const until = after(now, ROUND_US);
    const round: Round = { view, asked, kept: new Set(), until, waiting: byTarget.size };
    this.#round = round;
    for (const target of [...byTarget.keys()].sort()) {
      const of = byTarget.get(target)!, fragments = of.map(({ fragment }) => fragment);
      asks.check(target, { fragments, verify: true, until }, now, (held, at) => {
        for (const [i, fragment] of fragments.entries()) {
          if (held?.[i] !== true) round.kept.add(fragmentKey(fragment));
        }
        if (--round.waiting === 0) this.#end(round, at);
      });
    }
  }

  #end({ view, asked, kept, until }: Round, now: Instant): void {
    const { disk, settled, removed } = this.#options;
    const may = settled(now) === view && now <= until; // V1
    const gone = may ? [...asked].filter(([key]) => !kept.has(key)).map(([, surplus]) => surplus) : [];
    if (gone.length === 0) return this.#over(now);
    disk.remove(gone.map(({ fragment }) => fragment), (failed, at) => {
      this.#over(at); // V3: a list that is read meanwhile may still show them
      if (failed) return;
      for (const surplus of gone) removed(surplus, at);
    });
  }

  #over(now: Instant): void {
    this.#round = null;
    if (this.#queue.size > 0) this.#wakeAt = now;
  }
}

/** Two fragments with one hash keep each other here a little longer, and nothing else. */
function hashOf({ segment, chunk, index }: FragmentId): number {
  return fmix32(fragmentHash(segment, chunk) + index);
}
