/**
 * Getting chunks back from whoever holds fragments of them: for those who read, and for repair.
 *
 * G1. A fetch asks for as many different fragments as it still lacks, at once; one that is not answered within hedgeUs, or what the asker says, counts
 *     as late, and another is asked for besides. Whatever comes first counts, also from who was late.
 * G2. Data fragments come before parity, positions in the order of placement before all others: first those who are heard
 *     and answer, then those who owe answers, then those of whom nobody knows. Of a replicated chunk this node's own copy
 *     comes first.
 * G3. When those who should hold fragments are through, all other members are asked: for a copy, or which of the stripe's
 *     fragments they hold. Who is away is not.
 * G4. Every fragment that counts was proven to be the one asked for, under the scheme and of the length that the asker named.
 * G5. Absent means that every member said so. If one was away or did not answer, the chunk may be there.
 * G6. Every fetch ends in one call back, or is cancelled and ends in none. Never within the call that began it.
 * G7. A further attempt, after what was found did not open, begins with other positions: one of readAttempts() leaves out any
 *     one fragment of a stripe, and one asks for each copy first. It gives those more time before it asks others.
 */
import { DeadlineHeap, type Due } from "../base/deadline_heap.ts";
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import type { ErasureCoder } from "../base/ports.ts";
import type { FragmentId, Scheme, SegmentId } from "../wire/objects.ts";
import type { Asks, GetAnswer } from "./asks.ts";
import {
  equalSchemes,
  type Fragment,
  FRAGMENT_HEADER_BYTES,
  fragmentCount,
  fragmentHash,
  fragmentOf,
  joinFragments,
  neededCount,
  payloadBytes,
  spareCount,
} from "./fragment.ts";
import type { Holders, Presence } from "./holders.ts";

/** Of those who should not hold a fragment, so many are asked in the order of placement, the rest as they are sorted. */
const SPARES_IN_ORDER = 32;
/** So many times as long as at first others are waited for when a chunk is read again (G7). */
const AGAIN_PATIENCE = 10;

export interface WantedChunk {
  readonly segment: SegmentId;
  readonly chunk: number;
  readonly scheme: Scheme;
  /** Of the sealed chunk. */
  readonly sealedBytes: number;
}

/** absent, unsure: see G5. */
export type FetchedChunk =
  | { readonly kind: "found"; readonly sealed: Uint8Array; readonly fetchedBytes: number }
  | { readonly kind: "absent" | "unsure" };
export type FetchedFragment =
  | { readonly kind: "found"; readonly fragment: Fragment }
  | { readonly kind: "absent" | "unsure" };

export interface FetcherOptions {
  readonly self: NodeId;
  readonly asks: Asks;
  readonly holders: () => Holders;
  readonly presence: (node: NodeId) => Presence;
  readonly coder: ErasureCoder;
  readonly hedgeUs: number;
}

/** index null: which of the stripe's fragments does it hold? */
interface Candidate {
  readonly node: NodeId;
  readonly index: number | null;
}
interface Asking extends Candidate {
  readonly startedAt: Instant;
}

interface Fetching extends Due {
  readonly number: number;
  readonly wanted: WantedChunk;
  /** So many different fragments are enough. */
  readonly needed: number;
  /** This node is not asked. */
  readonly withoutSelf: boolean;
  readonly until: Instant;
  /** Who has not answered for so long is late. */
  readonly patienceUs: number;
  readonly found: Map<number, Fragment>;
  /** From others. */
  fetchedBytes: number;
  /** What is asked next, in order. */
  queue: Candidate[];
  /** The rest of the members are in the queue, or were. */
  widened: boolean;
  /** By the number of the question, in the order asked. */
  readonly asking: Map<number, Asking>;
  /** Somebody may hold a fragment and did not say. */
  unsure: boolean;
  readonly done: (fetching: Fetching, now: Instant) => void;
}

export class Fetcher {
  readonly #options: FetcherOptions;
  readonly #fetches = new Map<number, Fetching>();
  readonly #due = new DeadlineHeap<Fetching>();
  /** Those that have nobody left to ask. */
  readonly #exhausted: Fetching[] = [];
  #next = 1;
  #hedges = 0;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#fetches.size;
  }
  /** Questions asked because others were late. */
  get hedges(): number {
    return this.#hedges;
  }

  /**
   * `patienceUs` in place of hedgeUs: who is in no hurry moves fewer bytes twice. `attempt`: see G7.
   * @returns a number for cancel()
   */
  fetchChunk(
    wanted: WantedChunk,
    { until, withoutSelf = false, attempt = 0, patienceUs = this.#patienceOf(attempt) }: {
      until: Instant;
      withoutSelf?: boolean;
      attempt?: number;
      patienceUs?: number;
    },
    now: Instant,
    done: (fetched: FetchedChunk, now: Instant) => void,
  ): number {
    const fetching = this.#begin(
      wanted,
      { until, withoutSelf, needed: neededCount(wanted.scheme), patienceUs },
      (f, at) => {
        const { found, fetchedBytes } = f;
        if (found.size < f.needed) return done({ kind: f.unsure ? "unsure" : "absent" }, at);
        done(
          { kind: "found", sealed: joinFragments([...found.values()], this.#options.coder), fetchedBytes },
          at,
        );
      },
    );
    fetching.queue = this.#ideals(fetching, attempt, now);
    this.#pump(fetching, now);
    return fetching.number;
  }

  /**
   * This very fragment, from those named, in that order; nobody else is asked. Of a replicated chunk fetchChunk() does as
   * well.
   * @returns a number for cancel()
   */
  fetchFragment(
    wanted: WantedChunk,
    { index, from, until, patienceUs = this.#options.hedgeUs }: {
      index: number;
      from: readonly NodeId[];
      until: Instant;
      patienceUs?: number;
    },
    now: Instant,
    done: (fetched: FetchedFragment, now: Instant) => void,
  ): number {
    const fetching = this.#begin(wanted, { until, withoutSelf: false, needed: 1, patienceUs }, (f, at) => {
      const fragment = f.found.get(index);
      done(
        fragment === undefined ? { kind: f.unsure ? "unsure" : "absent" } : { kind: "found", fragment },
        at,
      );
    });
    fetching.widened = true;
    fetching.queue = from.map((node) => ({ node, index }));
    this.#pump(fetching, now);
    return fetching.number;
  }

  cancel(number: number, now: Instant): void {
    const fetching = this.#fetches.get(number);
    if (fetching !== undefined) this.#end(fetching, now);
  }

  wake(now: Instant): void {
    for (let f = this.#due.first(); f !== undefined && f.deadline <= now; f = this.#due.first()) {
      if (f.until > now) {
        this.#pump(f, now);
        continue;
      }
      f.unsure = true;
      this.#finish(f, now);
    }
  }

  nextWake(): Instant {
    return this.#due.next;
  }

  // ---- one fetch

  #begin(
    wanted: WantedChunk,
    { until, withoutSelf, needed, patienceUs }: {
      until: Instant;
      withoutSelf: boolean;
      needed: number;
      patienceUs: number;
    },
    done: (fetching: Fetching, now: Instant) => void,
  ): Fetching {
    const fetching: Fetching = {
      number: this.#next++,
      wanted,
      needed,
      withoutSelf,
      until,
      patienceUs,
      found: new Map(),
      fetchedBytes: 0,
      queue: [],
      widened: false,
      asking: new Map(),
      unsure: false,
      done,
      deadline: until,
      slot: 0,
    };
    this.#fetches.set(fetching.number, fetching);
    this.#due.add(fetching);
    return fetching;
  }

  /** Asks for what is lacking (G1), and sees to being woken when what was asked is late. */
  #pump(fetching: Fetching, now: Instant): void {
    const { asking, patienceUs } = fetching;
    let late = 0, firstLateAt = NEVER;
    for (const { startedAt } of asking.values()) {
      const lateAt = after(startedAt, patienceUs);
      if (lateAt <= now) late++;
      else if (lateAt < firstLateAt) firstLateAt = lateAt;
    }
    for (let fresh = asking.size - late; fresh < fetching.needed - fetching.found.size; fresh++) {
      const candidate = this.#nextOf(fetching, now);
      if (candidate === null) break;
      if (late > 0) this.#hedges++;
      this.#ask(fetching, candidate, now);
      if (firstLateAt === NEVER) firstLateAt = after(now, patienceUs);
    }
    const more = fetching.queue.length > 0 || !fetching.widened;
    this.#due.move(fetching, Math.min(fetching.until, more ? firstLateAt : NEVER) as Instant);
    if (asking.size === 0) this.#exhausted.push(fetching); // G6
  }

  /** Ends what has nobody left to ask. Called before a step ends. True: something ended. */
  settle(now: Instant): boolean {
    if (this.#exhausted.length === 0) return false;
    for (const fetching of this.#exhausted.splice(0)) {
      if (this.#fetches.get(fetching.number) === fetching && fetching.asking.size === 0) {
        this.#finish(fetching, now);
      }
    }
    return true;
  }

  #nextOf(fetching: Fetching, now: Instant): Candidate | null {
    for (;;) {
      const candidate = fetching.queue.shift();
      if (candidate === undefined) {
        if (fetching.widened) return null;
        fetching.widened = true;
        fetching.queue = this.#others(fetching, now);
        continue;
      }
      if (candidate.index !== null && fetching.found.has(candidate.index)) continue;
      if (this.#presence(candidate.node) === "away") {
        fetching.unsure = true; // G5
        continue;
      }
      return candidate;
    }
  }

  #ask(fetching: Fetching, { node, index }: Candidate, now: Instant): void {
    const { asks } = this.#options, { wanted, until } = fetching, { scheme, sealedBytes } = wanted;
    let id: number;
    if (index === null) {
      const fragments = Array.from({ length: fragmentCount(scheme) }, (_, i) => idOf(wanted, i));
      id = asks.check(node, { fragments, until }, now, (held, at) => this.#checked(fetching, id, held, at));
    } else {
      const bytes = FRAGMENT_HEADER_BYTES + payloadBytes(scheme, sealedBytes);
      id = asks.get(
        node,
        { fragment: idOf(wanted, index), bytes, until },
        now,
        (answer, at) => this.#got(fetching, id, answer, at),
      );
    }
    fetching.asking.set(id, { node, index, startedAt: now });
  }

  #got(fetching: Fetching, id: number, answer: GetAnswer, now: Instant): void {
    const asked = fetching.asking.get(id);
    if (asked === undefined) return;
    fetching.asking.delete(id);
    if (answer.kind === "lost") fetching.unsure = true;
    if (answer.kind === "found" && this.#fits(fetching.wanted, answer.fragment)) { // G4
      const { fragment } = answer;
      if (asked.node !== this.#options.self && !fetching.found.has(fragment.id.index)) {
        fetching.fetchedBytes += fragment.file.length;
      }
      fetching.found.set(fragment.id.index, fragment);
      if (fetching.found.size >= fetching.needed) return this.#finish(fetching, now);
    }
    this.#pump(fetching, now);
  }

  #checked(fetching: Fetching, id: number, held: readonly boolean[] | null, now: Instant): void {
    const asked = fetching.asking.get(id);
    if (asked === undefined) return;
    fetching.asking.delete(id);
    if (held === null) fetching.unsure = true;
    const there: Candidate[] = [];
    for (const [index, holds] of (held ?? []).entries()) {
      if (holds && !fetching.found.has(index)) there.push({ node: asked.node, index });
    }
    fetching.queue = [...there, ...fetching.queue];
    this.#pump(fetching, now);
  }

  #fits({ scheme, sealedBytes }: WantedChunk, fragment: Fragment): boolean {
    return fragment.sealedBytes === sealedBytes && equalSchemes(fragment.scheme, scheme);
  }

  #finish(fetching: Fetching, now: Instant): void {
    this.#end(fetching, now);
    fetching.done(fetching, now);
  }

  #end(fetching: Fetching, now: Instant): void {
    invariant(this.#fetches.delete(fetching.number), "A fetch ends once");
    this.#due.remove(fetching);
    for (const id of fetching.asking.keys()) this.#options.asks.cancel(id, now);
    fetching.asking.clear();
  }

  // ---- whom to ask

  #presence(node: NodeId): Presence {
    return node === this.#options.self ? "here" : this.#options.presence(node);
  }

  /** G2. */
  #ideals(fetching: Fetching, attempt: number, now: Instant): Candidate[] {
    const { self, holders } = this.#options, { scheme, segment, chunk } = fetching.wanted;
    const placed = holders().place(fragmentHash(segment.segment, chunk), fragmentCount(scheme));
    const striped = scheme.kind === "striped";
    const candidates: Candidate[] = [];
    for (const [position, node] of placed.entries()) {
      if (node === null || (node === self && fetching.withoutSelf)) continue;
      candidates.push({ node, index: striped ? position : 0 });
    }
    if (attempt === 0) return this.#sorted(candidates, now, striped ? null : self);
    const first = attempt * spareCount(scheme) % Math.max(1, candidates.length); // G7
    return [...candidates.slice(first), ...candidates.slice(0, first)];
  }

  #patienceOf(attempt: number): number {
    return attempt === 0 ? this.#options.hedgeUs : AGAIN_PATIENCE * this.#options.hedgeUs;
  }

  /** G3. Who should hold one fragment of a stripe may hold another, from before the members changed. */
  #others(fetching: Fetching, now: Instant): Candidate[] {
    const { self, holders } = this.#options, { scheme, segment, chunk } = fetching.wanted;
    const known = holders(), count = fragmentCount(scheme);
    const striped = scheme.kind === "striped";
    const hash = fragmentHash(segment.segment, chunk);
    const ideals = known.place(hash, count).filter((node) => node !== null);
    const asked = new Set<NodeId>(striped ? [] : ideals);
    if (fetching.withoutSelf) asked.add(self);
    const order = new Set([
      ...known.leaving,
      ...ideals,
      ...known.spares(hash, count, SPARES_IN_ORDER),
      ...known.all,
    ]);
    const candidates = [...order].filter((node) => !asked.has(node))
      .map((node) => ({ node, index: striped ? null : 0 }));
    return this.#sorted(candidates, now, null);
  }

  /** Those who answer first; else the order stays. */
  #sorted(candidates: readonly Candidate[], now: Instant, first: NodeId | null): Candidate[] {
    const { asks, hedgeUs } = this.#options;
    const rank = ({ node }: Candidate): number => {
      if (node === first) return 0;
      if (this.#presence(node) !== "here") return 3;
      return asks.owesFor(node, now) > hedgeUs ? 2 : 1;
    };
    return candidates.map((candidate) => ({ candidate, rank: rank(candidate) }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ candidate }) => candidate);
  }
}

function idOf({ segment, chunk }: WantedChunk, index: number): FragmentId {
  return fragmentOf(segment, chunk, index);
}
