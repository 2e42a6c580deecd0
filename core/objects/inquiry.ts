/**
 * Single segments about which the registry is asked: those that somebody says are gone, and those of which a fragment rotted or
 * was asked for in vain.
 *
 * I1. Of a segment that is said to be gone and of which something is here, or being repaired, the rows are read, linearizably.
 *     Only when there is none is what is here removed; it is listed after that, and what is being repaired is removed when
 *     it is written: so nothing is left. A wrong hint removes nothing of a segment that has a row, and a hint that is lost
 *     leaves what the next look removes. It is for who sends a hint to know that no write will commit the segment any more:
 *     of one that was never registered nobody else can tell.
 * I2. What is asked about and what waits for it is bounded; what does not fit is dropped, and a look finds it.
 * I3. Where the registry cannot be read now it is asked again, a few times.
 */
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { FragmentId, ListedFragment, SegmentId } from "../wire/objects.ts";
import type { RangeOp, Response } from "../wire/requests.ts";
import type { ChunkDisk } from "./disk.ts";
import { chunkCount, fragmentKey, isSegmentId } from "./fragment.ts";
import type { Holders } from "./holders.ts";
import { idealHolders, indexOf, lastBefore, type Missing, missingOf } from "./placed.ts";
import { registeredOf } from "./registry.ts";
import { segmentRows, segmentRowsEnd } from "./rows.ts";

const UNDER_WAY_MAX = 16;
const TRIES = 5;
const AGAIN_US = 1_000_000;
/** Of one segment. It has one, unless somebody means ill. */
const ROWS_MAX = 16;

export interface InquiryOptions {
  readonly self: NodeId;
  readonly disk: Pick<ChunkDisk, "list" | "remove">;
  /** Linearizable; may call back within the call. */
  readonly read: (op: RangeOp, now: Instant, done: (response: Response, now: Instant) => void) => void;
  readonly holders: () => Holders;
  readonly partitions: () => number;
  /** It has no row, and these were here. */
  readonly removed: (fragments: readonly FragmentId[], now: Instant) => void;
  /** Fragments of it are being repaired. */
  readonly repairs: (segment: string) => boolean;
  /** It has no row: nothing of it is to be repaired, and what is being written is to be removed. */
  readonly gone: (segment: string) => void;
  readonly missing: (missing: Missing, now: Instant) => void;
}

type Subject =
  | { readonly kind: "gone"; readonly segment: SegmentId }
  | { readonly kind: "wanted"; readonly fragment: FragmentId };
interface Question {
  readonly key: string;
  readonly subject: Subject;
  tries: number;
}

export class Inquiry {
  readonly #options: InquiryOptions;
  readonly #waiting = new Map<string, Question>();
  readonly #underWay = new Map<string, Question>();
  #again: { readonly question: Question; readonly at: Instant }[] = [];
  #wakeAt: Instant = NEVER;

  constructor(options: InquiryOptions) {
    this.#options = options;
  }

  get idle(): boolean {
    return this.#waiting.size === 0 && this.#underWay.size === 0 && this.#again.length === 0;
  }

  /** Somebody says so. */
  gone(segments: readonly SegmentId[], now: Instant): void {
    for (const segment of segments) {
      if (!isSegmentId(segment) || segment.partition > this.#options.partitions()) continue;
      this.#add(`${segment.partition} ${segment.segment}`, { kind: "gone", segment }, now);
    }
  }

  /** It was removed, cannot be read, or is not here: is it to be had again? False: nobody will see to it (I2). */
  wanted(fragment: FragmentId, now: Instant): boolean {
    return this.#add(fragmentKey(fragment), { kind: "wanted", fragment }, now);
  }

  nextWake(): Instant {
    const first = this.#again[0];
    return first === undefined || this.#wakeAt < first.at ? this.#wakeAt : first.at;
  }

  evaluate(now: Instant): void {
    if (now < this.nextWake()) return;
    this.#wakeAt = NEVER;
    while (this.#again.length > 0 && this.#again[0]!.at <= now) {
      const { question } = this.#again.shift()!;
      this.#waiting.set(question.key, question);
    }
    for (const [key, question] of this.#waiting) {
      if (this.#underWay.size >= UNDER_WAY_MAX) return;
      if (this.#underWay.has(key)) continue;
      this.#waiting.delete(key);
      this.#underWay.set(key, question);
      const { subject } = question;
      if (subject.kind === "gone") this.#ifHeld(question, subject.segment, now);
      else this.#examine(question, subject.fragment, now);
    }
  }

  #add(key: string, subject: Subject, now: Instant): boolean {
    // While it is under way too: what is asked then may see more.
    if (this.#waiting.has(key)) return true;
    if (this.#waiting.size + this.#again.length >= LIMITS.inquiriesMax) return false;
    this.#waiting.set(key, { key, subject, tries: 0 });
    this.#wakeAt = now;
    return true;
  }

  // ---- gone (I1)

  #ifHeld(question: Question, segment: SegmentId, now: Instant): void {
    if (this.#options.repairs(segment.segment)) return this.#ifUnregistered(question, segment, now);
    this.#list(segment, (own, at) => {
      if (own !== null && own.length === 0) return this.#end(question, at);
      this.#ifUnregistered(question, segment, at);
    });
  }

  #ifUnregistered(question: Question, segment: SegmentId, now: Instant): void {
    this.#read(segment, now, (response, at) => {
      if (response.kind !== "values") return this.#later(question, at);
      if (response.items.length > 0 || response.next !== null) return this.#end(question, at);
      this.#options.gone(segment.segment);
      this.#list(segment, (own, then) => this.#remove(question, own ?? [], then));
    });
  }

  #remove(question: Question, own: readonly ListedFragment[], now: Instant): void {
    if (own.length === 0) return this.#end(question, now);
    const fragments = own.map(({ fragment }) => fragment), { disk, removed } = this.#options;
    disk.remove(fragments, (failed, at) => {
      this.#end(question, at);
      if (failed) return;
      removed(fragments, at);
      if (fragments.length === LIMITS.fragmentsPerCheckMax) this.#add(question.key, question.subject, at);
    });
  }

  /** The first fragments of it that are here; null: the disk failed. */
  #list(
    { partition, segment }: SegmentId,
    done: (own: readonly ListedFragment[] | null, now: Instant) => void,
  ): void {
    const from = lastBefore({ partition, segment }, 0);
    this.#options.disk.list(partition, from, LIMITS.fragmentsPerCheckMax, (page, now) => {
      done(page?.fragments.filter(({ fragment }) => fragment.segment === segment) ?? null, now);
    });
  }

  // ---- wanted

  #examine(question: Question, fragment: FragmentId, now: Instant): void {
    const { self, holders, missing } = this.#options, { segment, chunk, index } = fragment;
    this.#read(fragment, now, (response, at) => {
      if (response.kind !== "values") return this.#later(question, at);
      this.#end(question, at);
      // Where there are more, a look sees to it.
      const record = registeredOf(response.items)[0]?.record ?? null;
      if (record === null || record.pending || chunk >= chunkCount(record)) return;
      const places = idealHolders(holders(), segment, chunk, record.scheme);
      if (indexOf(places, self, record.scheme) === index) {
        missing(missingOf(fragment, record, { chunk, index }), at);
      }
    });
  }

  // ----

  #read(
    { partition, segment }: SegmentId,
    now: Instant,
    done: (response: Response, now: Instant) => void,
  ): void {
    const op: RangeOp = {
      kind: "range",
      start: segmentRows(partition, segment),
      end: segmentRowsEnd(partition, segment),
      limit: ROWS_MAX,
      reverse: false,
      keysOnly: false,
      read: "linearizable",
      partition,
    };
    this.#options.read(op, now, done);
  }

  /** I3. */
  #later(question: Question, now: Instant): void {
    this.#end(question, now);
    if (++question.tries < TRIES) this.#again.push({ question, at: after(now, AGAIN_US) });
  }

  #end(question: Question, now: Instant): void {
    this.#underWay.delete(question.key);
    if (this.#waiting.size > 0) this.#wakeAt = now;
  }
}
