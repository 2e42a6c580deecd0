/**
 * A partition's log in memory: the entries after a base, of which some first part has been handed to the journal
 * (recorded) and some first part of that is durable (stable).
 *
 * L1. base <= stable <= recorded <= last, and entry i has index base + i.
 * L2. Terms never decrease along the log.
 * L3. Stable moves only when the host says that a record is durable; cutting the log back takes it along, so an entry
 *     that replaces a durable one is not taken for durable.
 */
import type { LogIndex, PartitionId, Term } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Entry } from "../wire/messages.ts";

/** What an entry takes besides its data, about. */
const ENTRY_BYTES = 48;

export class Log {
  #base: LogIndex;
  #baseTerm: Term;
  #entries: Entry[];
  /** Of the last entry, or of the base without one: asked each step, and the entry itself is seldom at hand. */
  #lastTerm: Term;
  #bytes = 0;
  #recorded: LogIndex;
  #stable: LogIndex;
  /** Record numbers and the last index that each makes durable, both ascending. */
  #awaitedNumbers: number[] = [];
  #awaitedIndexes: LogIndex[] = [];

  /** A log whose entries are all durable, as recovery finds it. */
  constructor(base: { readonly index: LogIndex; readonly term: Term }, entries: readonly Entry[]) {
    this.#base = base.index;
    this.#baseTerm = base.term;
    this.#entries = [];
    this.#lastTerm = base.term;
    for (const entry of entries) this.append(entry);
    this.#recorded = this.last;
    this.#stable = this.last;
  }

  get base(): LogIndex {
    return this.#base;
  }
  get baseTerm(): Term {
    return this.#baseTerm;
  }
  get last(): LogIndex {
    return this.#base + this.#entries.length as LogIndex;
  }
  get lastTerm(): Term {
    return this.#lastTerm;
  }
  get recorded(): LogIndex {
    return this.#recorded;
  }
  get stable(): LogIndex {
    return this.#stable;
  }
  get length(): number {
    return this.#entries.length;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** The term of the entry at `index`, or null where the log does not say: before the base and after the end. */
  termAt(index: LogIndex): Term | null {
    if (index === this.#base) return this.#baseTerm;
    const entry = this.#entries[index - this.#base - 1];
    return entry === undefined ? null : entry.term;
  }

  entryAt(index: LogIndex): Entry {
    const entry = this.#entries[index - this.#base - 1];
    invariant(
      entry !== undefined,
      () => `The log has no entry ${index}: it goes from ${this.#base} to ${this.last}`,
    );
    return entry;
  }

  /** Entries from `from` to `to`, both included and present. */
  slice(from: LogIndex, to: LogIndex): Entry[] {
    invariant(from > this.#base && to <= this.last, () => `The log has no entries ${from} to ${to}`);
    return this.#entries.slice(from - this.#base - 1, to - this.#base);
  }

  /** Entries from `from` on, at least one if there is any, ended by a count or when the bytes are reached. */
  batch(from: LogIndex, entriesMax: number, bytesMax: number): Entry[] {
    const first = from - this.#base - 1;
    const end = Math.min(this.#entries.length, first + entriesMax);
    let bytes = 0, i = first;
    while (i < end && bytes < bytesMax) bytes += sizeOf(this.#entries[i++]!);
    return this.#entries.slice(first, i);
  }

  append(entry: Entry): void {
    invariant(entry.index === this.last + 1, () => `Entry ${entry.index} does not follow ${this.last}`);
    invariant(entry.term >= this.lastTerm, "L2: terms never decrease along the log");
    this.#entries.push(entry);
    this.#lastTerm = entry.term;
    this.#bytes += sizeOf(entry);
  }

  /** Cuts off everything from `from` on, and tells the journal where it knows about it. */
  truncate(from: LogIndex, partition: PartitionId, effects: Effects): void {
    invariant(from > this.#base, "What the base covers is committed");
    for (let i = from - this.#base - 1; i < this.#entries.length; i++) {
      this.#bytes -= sizeOf(this.#entries[i]!);
    }
    this.#entries.length = from - this.#base - 1;
    const kept = from - 1 as LogIndex;
    this.#lastTerm = this.termAt(kept)!;
    if (this.#recorded > kept) {
      effects.record({ kind: "truncate", partition, from });
      this.#recorded = kept;
    }
    if (this.#stable > kept) this.#stable = kept; // L3
    for (let i = 0; i < this.#awaitedIndexes.length; i++) {
      if (this.#awaitedIndexes[i]! > kept) this.#awaitedIndexes[i] = kept;
    }
  }

  /** Hands what is new to the journal, in records of bounded size. */
  record(partition: PartitionId, effects: Effects): void {
    while (this.#recorded < this.last) {
      const from = this.#recorded + 1 as LogIndex;
      const entries = this.batch(from, LIMITS.appendEntriesMax, LIMITS.appendBytesMax);
      effects.record({ kind: "entries", partition, entries });
      this.#recorded = this.#recorded + entries.length as LogIndex;
      this.#awaitedNumbers.push(effects.persistedUpTo);
      this.#awaitedIndexes.push(this.#recorded);
    }
  }

  /** Records up to and with number `upTo` are durable. */
  persisted(upTo: number): void {
    let done = 0;
    while (done < this.#awaitedNumbers.length && this.#awaitedNumbers[done]! <= upTo) {
      const index = this.#awaitedIndexes[done++]!;
      if (index > this.#stable) this.#stable = index;
    }
    if (done === 0) return;
    dropFirst(this.#awaitedNumbers, done);
    dropFirst(this.#awaitedIndexes, done);
  }

  /** Forgets the entries up to and with `index`. The caller knows that they are applied and durable. */
  compact(index: LogIndex): void {
    invariant(index >= this.#base && index <= this.#stable, "Only what is durable may leave the memory");
    const term = this.termAt(index)!;
    const removed = this.#entries.splice(0, index - this.#base);
    for (const entry of removed) this.#bytes -= sizeOf(entry);
    this.#base = index;
    this.#baseTerm = term;
  }

  /** Starts anew after a snapshot at `index`. */
  reset(index: LogIndex, term: Term): void {
    this.#entries.length = 0;
    this.#bytes = 0;
    this.#base = index;
    this.#baseTerm = term;
    this.#lastTerm = term;
    this.#recorded = index;
    this.#stable = index;
    this.#awaitedNumbers.length = 0;
    this.#awaitedIndexes.length = 0;
  }

  /**
   * Where two logs may still agree: the last index, at most `index`, whose term here is at most `term`. Both sides of
   * a refused append take this step in turn, and so skip a whole term of conflicting entries at a time (section 5.3).
   */
  agreement(index: LogIndex, term: Term): LogIndex {
    let at = Math.min(index, this.last) as LogIndex;
    while (at > this.#base && this.termAt(at)! > term) at = at - 1 as LogIndex;
    return at;
  }

  /** The largest index below which to compact, so that at least so many bytes and entries before `upTo` stay. */
  keeping(upTo: LogIndex, entries: number, bytes: number): LogIndex {
    let at = upTo, kept = 0;
    while (at > this.#base && upTo - at < entries && kept < bytes) {
      kept += sizeOf(this.entryAt(at));
      at = at - 1 as LogIndex;
    }
    return at;
  }
}

/** Mostly all of them, which needs no list of what was dropped. */
function dropFirst(list: unknown[], count: number): void {
  if (count === list.length) list.length = 0;
  else list.splice(0, count);
}

function sizeOf(entry: Entry): number {
  return entry.data.length + ENTRY_BYTES;
}
