import { hashString32 } from "../core/base/hash.ts";
import { invariant } from "../core/base/invariant.ts";
import type { NodeId } from "../core/base/ids.ts";
import type { Random } from "../core/base/random.ts";
import { encodeMark, encodeRecords, encodeSegmentHeader } from "../core/wire/journal.ts";
import { type JournalRecovery, type JournalSegment, recoverJournal } from "../core/wire/journal_recovery.ts";
import type { JournalRecord } from "../core/wire/kernel.ts";

/** A checkpoint's mark holds no record, only how many its head has. */
type Content =
  | { readonly kind: "live"; readonly record: JournalRecord }
  | { readonly kind: "head"; readonly record: JournalRecord }
  | { readonly kind: "mark"; readonly headRecords: number };

interface Item {
  readonly content: Content;
  /** The node's own count of persist records up to this one, in this life. */
  readonly number: number;
  /** The last sequence that was durable when this was written. */
  readonly durableUpTo: number;
}

interface Segment {
  readonly number: number;
  readonly firstSequence: number;
}

/** What became of a node's journal in a crash, in records. */
export interface CrashDamage {
  readonly durable: number;
  /** Written and not synced, and how many of those recovery found. */
  readonly pending: number;
  readonly survived: number;
  readonly torn: number;
}

/**
 * A simulated journal: what was appended, how much of it is durable, and what a crash leaves. Its bytes are made only
 * when a crash needs them, by the real format, and read by the real recovery. Sequences are the journal's own.
 *
 * Invariants (J1 to J7 are those of core/wire/journal.ts, which this keeps to as a host must):
 * 1. Items up to #durable survive every crash; of later ones a crash keeps, drops or tears each.
 * 2. A sync ends at the end of its segment: the next segment is created only afterwards (J2).
 */
export class JournalDisk {
  readonly #node: NodeId;
  #items: Item[] = [];
  /** The sequence of #items[0]. */
  #first = 1;
  #segments: Segment[] = [{ number: 1, firstSequence: 1 }];
  /** The last sequence that is durable, and the one the sync under way ends at. */
  #durable = 0;
  #syncing = 0;

  constructor(node: NodeId) {
    this.#node = node;
  }

  get last(): number {
    return this.#first + this.#items.length - 1;
  }
  get durable(): number {
    return this.#durable;
  }

  /** The node's own number of the record at `sequence`. */
  numberAt(sequence: number): number {
    return this.#items[sequence - this.#first]?.number ?? 0;
  }

  append(record: JournalRecord, number: number): void {
    this.#push({ kind: "live", record }, number);
  }

  /** Begins a segment with the records of a checkpoint. Returns the sequence of the last of them. */
  beginSegment(head: readonly JournalRecord[], number: number): number {
    const last = this.#segments[this.#segments.length - 1]!;
    this.#segments.push({ number: last.number + 1, firstSequence: this.last + 1 });
    for (const record of head) this.#push({ kind: "head", record }, number);
    return this.last;
  }

  /** Writes the mark of the last segment's checkpoint; returns its sequence. */
  mark(headRecords: number): number {
    this.#push({ kind: "mark", headRecords }, this.numberAt(this.last));
    return this.last;
  }

  /** The segments before the last are not needed any more. */
  dropOlder(): void {
    const segment = this.#segments[this.#segments.length - 1]!;
    this.#items = this.#items.slice(segment.firstSequence - this.#first);
    this.#first = segment.firstSequence;
    this.#segments = [segment];
  }

  /** Begins a sync of what is pending, if anything is and none is under way. */
  beginSync(): boolean {
    if (this.#syncing > 0 || this.#durable === this.last) return false;
    this.#syncing = this.#nextBoundary();
    return true;
  }

  endSync(): void {
    invariant(this.#syncing > this.#durable, "A sync ends after it began");
    this.#durable = this.#syncing;
    this.#syncing = 0;
  }

  /**
   * The process dies; then the machine recovers what it finds. `random` null: in good order, all was synced.
   * @throws {JournalError} when recovery refuses what a crash may leave
   * @throws {InvariantError} when recovery loses a durable record
   */
  crash(random: Random | null): { readonly damage: CrashDamage; readonly recovery: JournalRecovery } {
    if (random === null) this.#durable = this.last;
    const { segments, torn } = this.#bytesAfterCrash(random);
    const recovery = recoverJournal(segments, this.#node), found = recovery.lastSequence;
    const durable = this.#durable, pending = this.last - durable;
    invariant(found >= durable, () => `Recovery found records up to ${found} where ${durable} was durable`);
    invariant(
      found <= this.last,
      () => `Recovery found records up to ${found} where ${this.last} was the last`,
    );
    this.#cut(found, recovery.append?.segment ?? 1);
    return {
      damage: { durable: durable - this.#first + 1, pending, survived: found - durable, torn },
      recovery,
    };
  }

  #push(content: Content, number: number): void {
    this.#items.push({ content, number, durableUpTo: this.#durable });
  }

  /** The end of the first segment that is not durable to its end. */
  #nextBoundary(): number {
    for (const segment of this.#segments) {
      if (segment.firstSequence - 1 > this.#durable) return segment.firstSequence - 1;
    }
    return this.last;
  }

  #cut(last: number, segment: number): void {
    this.#items.length = Math.max(0, last - this.#first + 1);
    this.#items = this.#items.map((item) => ({ ...item, number: 0 }));
    const kept = this.#segments.filter(({ number }) => number <= segment);
    if (kept.length > 0) this.#segments = kept;
    this.#durable = last;
    this.#syncing = 0;
  }

  /** The files as a crash leaves them. */
  #bytesAfterCrash(random: Random | null): { segments: JournalSegment[]; torn: number } {
    const segments: JournalSegment[] = [];
    let torn = 0;
    for (const [i, segment] of this.#segments.entries()) {
      if (segment.firstSequence - 1 > this.#durable) break; // Not created yet (invariant 2).
      const end = this.#segments[i + 1]?.firstSequence ?? this.last + 1;
      const { number, firstSequence } = segment, salt = hashString32(this.#node, number);
      const parts = [encodeSegmentHeader({ node: this.#node, segment: number, firstSequence, salt })];
      for (let sequence = segment.firstSequence; sequence < end; sequence++) {
        const fate = sequence <= this.#durable || random === null ? 3 : random.below(4);
        if (fate === 0) break; // The file ends before this write.
        const bytes = this.#encode(sequence, salt);
        if (fate === 1) { // Part of it reached the disk; what follows it may all the same be there.
          bytes.fill(0, random!.below(bytes.length));
          torn++;
        }
        parts.push(bytes);
      }
      segments.push({ name: `segment ${segment.number}`, bytes: joined(parts) });
    }
    return { segments, torn };
  }

  #encode(sequence: number, salt: number): Uint8Array {
    const { content, durableUpTo } = this.#items[sequence - this.#first]!;
    const options = { firstSequence: sequence, durableUpTo, salt, head: content.kind === "head" };
    return content.kind === "mark"
      ? encodeMark(content.headRecords, options)
      : encodeRecords([content.record], options);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
