/**
 * A walk over one partition: the fragments that this node has of it are held against the registry of living segments.
 * Both come sorted by segment, in pages; what is kept in memory is one page of each.
 *
 * L1. A page of fragments is listed before the rows that it is compared with are read, and rows are read linearizably. So a
 *     fragment that is listed and has no row
 *       - is of a write that has not been committed: then it is young, for a write is committed within half an hour of its
 *         first chunk, or registered before; or
 *       - is of a segment whose row is gone, or was never made, for good: a row once gone is never made again.
 *     Were the rows read first, a write could register its segment and store a fragment in between, and lose it.
 * L2. A row without the fragment that should be here: the fragment may have come after the list. What is written here while
 *     the page is in use is remembered, and counts; what is still on its way is found by who repairs, before it fetches
 *     (P4 in repair.ts). The row may have gone since: what is repaired nevertheless has no row then, and the next look sees it.
 * L3. What was removed here while the page is in use does not count as held: it rotted, or its segment is gone, which who
 *     removed it tells to who repairs.
 * L4. Of a segment that is being written (pending) nothing is missing, surplus or garbage. The same goes for one whose row
 *     cannot be read: it lives. Of several rows of one segment R1 in registry.ts says which counts.
 * L5. At most `budget` chunks and fragments are judged in one step; the rest in the next, which is due at once.
 * L6. Where rows cannot be had now the walk ends, and what it had judged stays judged. It is begun anew later.
 */
import type { Instant, NodeId, PartitionId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { FragmentId, ListedFragment } from "../wire/objects.ts";
import type { RangeOp, Response } from "../wire/requests.ts";
import type { ChunkDisk } from "./disk.ts";
import { chunkCount, fragmentKey, neededCount } from "./fragment.ts";
import type { Holders } from "./holders.ts";
import {
  belongingOf,
  idealHolders,
  indexOf,
  lastBefore,
  membersOf,
  type Missing,
  missingOf,
} from "./placed.ts";
import { type Registered, registeredOf, type SegmentRecord } from "./registry.ts";
import { segmentRows, segmentRowsEnd } from "./rows.ts";
import type { Surplus } from "./surplus.ts";
import type { Cursor, Tallies } from "./tally.ts";

/** What is remembered of writes and removals while a page is in use: past it a new page is listed. */
const CHANGES_MAX = 4096;
/**
 * Unregistered fragments younger than this may be of a write under way, which counts on them: a node does not leave with them.
 * A write that registers nothing takes no longer (unregisteredMs in programs/world.ts), and ends a while after.
 */
const UNCOMMITTED_MS = 35 * 60_000;

export interface Finds {
  missing(missing: Missing, now: Instant): void;
  surplus(surplus: Surplus, now: Instant): void;
  /** To be removed. */
  garbage(listed: ListedFragment, why: "orphan" | "excess", now: Instant): void;
  /** All of the partition was judged; or not, and why not is for a person. */
  walked(partition: PartitionId, failure: string | null, now: Instant): void;
}

export interface WalkOptions {
  readonly self: NodeId;
  readonly disk: Pick<ChunkDisk, "list">;
  /** Linearizable; may call back within the call. */
  readonly read: (
    op: RangeOp,
    now: Instant,
    done: (response: Response, now: Instant) => void,
  ) => void;
  readonly holders: () => Holders;
  readonly tallies: Tallies;
  readonly finds: Finds;
  readonly orphanAgeMs: number;
  readonly pageMax: number;
  readonly budget: number;
}

/** One walk; made anew for each. */
export class Walk {
  readonly partition: PartitionId;
  readonly #options: WalkOptions;
  /** asked: something was asked for and has not come. */
  #state: "list" | "asked" | "rows" | "judge" | "over" = "list";
  #cursor: Cursor = { segment: "", chunk: 0 };
  #page: readonly ListedFragment[] = [];
  /** The next of the page. */
  #at = 0;
  /** Chunks before it can be judged with this page; null: all that come. */
  #end: Cursor | null = null;
  #rows: Registered[] = [];
  #rowAt = 0;
  /** The last segment of the rows read, which may have more of them where they go on. */
  #cut: Registered | null = null;
  /** Where rows go on; null: those that the page is compared with were all read. */
  #nextRow: string | null = null;
  readonly #written = new Map<string, { readonly fragment: FragmentId; readonly bytes: number }>();
  readonly #removed = new Set<string>();
  #budget = 0;

  constructor(partition: PartitionId, options: WalkOptions) {
    this.partition = partition;
    this.#options = options;
    options.tallies.begin(partition);
  }

  /** There is something to do without waiting. */
  get ready(): boolean {
    return this.#state !== "asked" && this.#state !== "over";
  }

  abandon(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#options.tallies.abandon();
  }

  // ---- what happens on the disk meanwhile (L2, L3)

  written(fragment: FragmentId, bytes: number): void {
    if (fragment.partition !== this.partition || this.#state === "over") return;
    const key = fragmentKey(fragment);
    this.#written.set(key, { fragment, bytes });
    this.#removed.delete(key);
  }

  removed(fragment: FragmentId): void {
    if (fragment.partition !== this.partition || this.#state === "over") return;
    const key = fragmentKey(fragment);
    this.#removed.add(key);
    this.#written.delete(key);
  }

  // ---- a step

  step(now: Instant): void {
    this.#budget = this.#options.budget;
    while (this.ready && this.#budget > 0) {
      if (this.#state === "list") this.#list();
      else if (this.#state === "rows") this.#read(now);
      else this.#judge(now);
    }
  }

  #list(): void {
    const { disk, pageMax } = this.#options;
    const { segment, chunk } = this.#cursor;
    const from = segment === "" ? null : lastBefore({ partition: this.partition, segment }, chunk);
    this.#state = "asked";
    this.#written.clear();
    this.#removed.clear();
    disk.list(this.partition, from, pageMax, (page, now) => {
      if (this.#state === "over") return;
      if (page === null) return this.#fail("The disk could not be read", now);
      this.#page = page.fragments;
      this.#at = 0;
      const last = page.fragments.at(-1)?.fragment;
      // All but the last chunk, which may go on in the next page.
      this.#end = page.done || last === undefined ? null : { segment: last.segment, chunk: last.chunk };
      if (this.#end !== null && !isBefore(this.#cursor, this.#end)) {
        return this.#fail("The disk lists less than the fragments of one chunk at once", now);
      }
      this.#rows = [];
      this.#rowAt = 0;
      this.#cut = null;
      this.#nextRow = segmentRows(this.partition, this.#cursor.segment);
      this.#state = "rows";
    });
  }

  #read(now: Instant): void {
    const { read, pageMax } = this.#options, start = this.#nextRow!;
    // The rows of the segment in which the page ends are wanted too.
    const end = this.#end === null
      ? `${segmentRows(this.partition)}g`
      : segmentRowsEnd(this.partition, this.#end.segment);
    const limit = Math.min(pageMax, LIMITS.rangeItemsMax);
    this.#state = "asked";
    const op: RangeOp = {
      kind: "range",
      start,
      end,
      limit,
      reverse: false,
      keysOnly: false,
      read: "linearizable",
      partition: this.partition,
    };
    read(op, now, (response, at) => {
      if (this.#state !== "asked") return;
      if (response.kind !== "values") {
        return this.#fail(response.kind === "refused" ? response.message : `Answered "${response.kind}"`, at);
      }
      this.#rows = registeredOf(response.items, this.#cut);
      this.#rowAt = 0;
      this.#nextRow = response.next;
      this.#cut = response.next === null ? null : this.#rows.pop() ?? null;
      this.#state = "judge";
    });
  }

  #fail(why: string, now: Instant): void {
    this.abandon();
    this.#options.finds.walked(this.partition, why, now);
  }

  // ---- judging

  #judge(now: Instant): void {
    if (this.#written.size + this.#removed.size > CHANGES_MAX) return void (this.#state = "list");
    const row = this.#rows[this.#rowAt];
    const until = row?.segment ?? this.#rowsUpTo();
    while (this.#budget > 0) {
      const next = this.#page[this.#at];
      if (next === undefined || next.fragment.segment >= until || !this.#isInPage(next.fragment)) break;
      this.#budget--;
      this.#unregistered(next, now);
    }
    if (this.#budget <= 0) return;
    if (row !== undefined) return this.#judgeSegment(row, now);
    if (this.#nextRow !== null) return void (this.#state = "rows");
    if (this.#end !== null) {
      this.#moveTo(this.#end);
      return void (this.#state = "list");
    }
    this.#state = "over";
    this.#options.finds.walked(this.partition, null, now);
  }

  /** Segments before this one that are not among the rows are not registered. */
  #rowsUpTo(): string {
    return this.#nextRow === null ? "g" : this.#cut?.segment ?? this.#cursor.segment;
  }

  /** No row. */
  #unregistered(listed: ListedFragment, now: Instant): void {
    const { fragment, ageMs } = listed, { orphanAgeMs, finds, tallies } = this.#options;
    this.#at++;
    if (this.#removed.has(fragmentKey(fragment))) return;
    this.#hold(listed.bytes);
    if (ageMs > orphanAgeMs) finds.garbage(listed, "orphan", now);
    if (ageMs < Math.min(UNCOMMITTED_MS, orphanAgeMs)) tallies.count({ needed: 1 });
    this.#passed(fragment);
  }

  /** Chunk by chunk, as far as page and budget go. */
  #judgeSegment({ segment, record }: Registered, now: Instant): void {
    const committed = record !== null && !record.pending;
    const count = committed ? chunkCount(record) : 0;
    const from = this.#cursor.segment === segment ? this.#cursor.chunk : 0;
    for (let chunk = from; chunk < count; chunk++) {
      if (!this.#isInPage({ segment, chunk })) break;
      if (this.#budget-- <= 0) return;
      if (committed) this.#judgeChunk(segment, chunk, record, now);
      this.#moveTo({ segment, chunk: chunk + 1 });
    }
    // Fragments of a segment that is being written; or beyond its end.
    for (;;) {
      const next = this.#page[this.#at];
      if (next === undefined || next.fragment.segment !== segment || !this.#isInPage(next.fragment)) break;
      if (this.#budget-- <= 0) return;
      this.#at++;
      if (this.#removed.has(fragmentKey(next.fragment))) continue;
      this.#hold(next.bytes);
      if (committed) this.#excess(next, now);
      else this.#options.tallies.count({ needed: 1 }); // L4
      this.#passed(next.fragment);
    }
    this.#rowAt++;
  }

  #judgeChunk(segment: string, chunk: number, record: SegmentRecord, now: Instant): void {
    const { self, holders, finds, tallies } = this.#options, { scheme } = record, { partition } = this;
    const known = holders();
    const places = idealHolders(known, segment, chunk, scheme);
    const own = indexOf(places, self, scheme);
    let missing = own;
    for (;;) {
      const next = this.#page[this.#at];
      if (next === undefined || next.fragment.segment !== segment || next.fragment.chunk !== chunk) break;
      this.#at++;
      const { fragment, bytes } = next, { index } = fragment;
      if (this.#removed.has(fragmentKey(fragment))) continue;
      this.#hold(bytes);
      if (index === own) missing = null;
      const belonging = belongingOf({ index, places, node: self, scheme });
      switch (belonging.kind) {
        case "surplus":
          tallies.count({ surplus: 1, needed: 1 });
          finds.surplus({ fragment, bytes, targets: belonging.targets }, now);
          break;
        case "spare":
          if (membersOf(places).length < neededCount(scheme)) tallies.count({ needed: 1 });
          break;
        case "excess":
          this.#excess(next, now);
          break;
        case "right":
      }
    }
    if (missing === null) return;
    const lacking = missingOf({ partition, segment }, record, { chunk, index: missing });
    const arrived = this.#written.get(fragmentKey(lacking.fragment));
    if (arrived !== undefined) return this.#hold(arrived.bytes);
    tallies.count({ missing: 1, missingBytes: lacking.bytes });
    finds.missing(lacking, now);
  }

  #excess(listed: ListedFragment, now: Instant): void {
    const { orphanAgeMs, finds } = this.#options;
    if (listed.ageMs > orphanAgeMs) finds.garbage(listed, "excess", now);
  }

  #hold(bytes: number): void {
    this.#options.tallies.count({ fragments: 1, bytes });
  }

  /** Of a fragment that is none of a committed chunk. */
  #passed({ segment, chunk }: FragmentId): void {
    const next = this.#page[this.#at]?.fragment;
    const goesOn = next !== undefined && next.segment === segment && next.chunk === chunk;
    this.#moveTo({ segment, chunk: goesOn ? chunk : chunk + 1 });
  }

  #moveTo(cursor: Cursor): void {
    this.#cursor = cursor;
    this.#options.tallies.moveTo(cursor);
  }

  /** It comes before where the page ends. */
  #isInPage(cursor: Cursor): boolean {
    return this.#end === null || isBefore(cursor, this.#end);
  }
}

function isBefore(a: Cursor, b: Cursor): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.chunk < b.chunk);
}
