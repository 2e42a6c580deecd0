import { invariant } from "../core/base/invariant.ts";
import type { NodeId } from "../core/base/ids.ts";
import type { Random } from "../core/base/random.ts";
import { SEGMENT_HEADER_BYTES } from "../core/wire/journal.ts";
import {
  JournalCorruptError,
  type JournalRecovery,
  type JournalSegment,
  recoverJournal,
} from "../core/wire/journal_recovery.ts";
import type { JournalRecord } from "../core/wire/kernel.ts";
import {
  type Content,
  crashedBytes,
  crashedHeader,
  type Damage,
  damaged,
  type Item,
  type Scar,
  scarred,
  segmentName,
  staleSegment,
  type Target,
  writeSegment,
  type WrittenSegment,
} from "./journal_bytes.ts";

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
  /** Bytes that recovery cut off: parts of records, or whole ones behind them. Zeros that filled the file do not count. */
  readonly torn: number;
}

/** How a journal is read back after a stop. */
export type Readback =
  | { readonly kind: "recovered"; readonly damage: CrashDamage; readonly recovery: JournalRecovery }
  /** What had been durable was damaged, and recovery says so. */
  | { readonly kind: "corrupt"; readonly error: JournalCorruptError }
  /** Recovery did what it must not: which check that breaks, and how. */
  | { readonly kind: "wrong"; readonly check: "recovery" | "damage is detected"; readonly detail: string };

/** The real recovery, or a broken one in tests. */
export type Recover = (segments: readonly JournalSegment[], node: NodeId) => JournalRecovery;

/**
 * A simulated journal: what was appended, how much of it is durable, and what a stop leaves. Its bytes are made only
 * when a stop or damage needs them, by the real format, and read by the real recovery. Sequences are the journal's own.
 *
 * Invariants (J1 to J9 are those of core/wire/journal.ts, which this keeps to as a host must):
 * 1. Items up to #durable survive every crash; the bytes of later ones reach the disk or not, sector by sector.
 * 2. A sync ends at the end of its segment: the next segment is created only afterwards (J2).
 * 3. Damage strikes only bytes that something later on the same disk proves to have been durable: the last batch is
 *    proven by the next. Damage to it in between, before a crash, would be two faults at once, and no journal that
 *    acknowledges with one sync can tell it from a torn end.
 */
export class JournalDisk {
  readonly #node: NodeId;
  readonly #recover: Recover;
  #items: Item[] = [];
  /** The sequence of #items[0]. */
  #first = 1;
  #segments: Segment[] = [{ number: 1, firstSequence: 1 }];
  /** The last sequence that is durable, and the one the sync under way ends at. */
  #durable = 0;
  #syncing = 0;
  #scars: Scar[] = [];

  constructor(node: NodeId, recover: Recover = recoverJournal) {
    this.#node = node;
    this.#recover = recover;
  }

  get last(): number {
    return this.#first + this.#items.length - 1;
  }
  get durable(): number {
    return this.#durable;
  }
  /** Bytes that were durable are not what was written, and nobody has read them yet. */
  get damaged(): boolean {
    return this.#scars.length > 0;
  }
  /** About how many bytes it takes. */
  get size(): number {
    return this.#items.reduce((sum, { content }) => sum + sizeOf(content), 0);
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
    this.#scars = this.#scars.filter((scar) => scar.segment === segment.number);
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

  /** Damages what is proven to have been durable (invariant 3). False where there is no such byte yet. */
  damage(damage: Damage, random: Random): boolean {
    const targets = this.#targets();
    if (targets.length === 0) return false;
    const scars = damaged(damage, targets, random);
    this.#scars.push(...scars);
    return scars.length > 0;
  }

  /** The process ends; then the machine reads back what it finds. `random` null: in good order, all was synced. */
  stop(random: Random | null): Readback {
    if (random === null) this.#durable = this.last;
    const written = this.#written();
    const segments = random === null ? written.map(whole) : this.#crashed(written, random);
    for (const [i, { bytes }] of segments.entries()) scarred(bytes, written[i]!.number, this.#scars);
    let recovery: JournalRecovery;
    try {
      recovery = this.#recover(segments, this.#node);
    } catch (error) {
      return this.#refused(error, written);
    }
    return this.#accepted(recovery, written, segments);
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

  /** The segments that exist (invariant 2), as they were meant. */
  #written(): WrittenSegment[] {
    const written: WrittenSegment[] = [];
    for (const [i, { number, firstSequence }] of this.#segments.entries()) {
      if (firstSequence - 1 > this.#durable) break;
      const end = this.#segments[i + 1]?.firstSequence ?? this.last + 1;
      const items = this.#items.slice(firstSequence - this.#first, end - this.#first);
      written.push(writeSegment({ node: this.#node, number, firstSequence }, items));
    }
    return written;
  }

  #crashed(written: readonly WrittenSegment[], random: Random): JournalSegment[] {
    const segments: JournalSegment[] = [];
    for (const segment of written) {
      const { number, firstSequence, starts } = segment;
      const durable = starts[Math.min(this.#durable - firstSequence + 1, starts.length - 1)]!;
      if (durable === SEGMENT_HEADER_BYTES && random.chance(1, 3)) {
        const header = crashedHeader(segment.bytes, random);
        if (header !== null) segments.push({ name: segmentName(number), bytes: header });
        break;
      }
      const bytes = durable === segment.bytes.length
        ? segment.bytes.slice()
        : crashedBytes(segment.bytes, { durable, random, stale: this.#stale(segment, random) });
      segments.push({ name: segmentName(number), bytes });
    }
    return segments;
  }

  #stale({ number, firstSequence, starts }: WrittenSegment, random: Random): Uint8Array | null {
    if (random.chance(3, 4)) return null;
    const from = firstSequence - this.#first, items = this.#items.slice(from, from + starts.length - 1);
    return staleSegment({ node: this.#node, number, firstSequence }, items);
  }

  /** What damage may strike: of each segment the part that is proven (invariant 3). */
  #targets(): Target[] {
    const written = this.#written(), targets: Target[] = [];
    for (const [i, segment] of written.entries()) {
      const next = written[i + 1];
      // Once a newer segment holds something durable, this one was whole (J2).
      const end = next !== undefined && this.#durable >= next.firstSequence
        ? segment.bytes.length
        : segment.starts[Math.max(0, this.#provenIn(segment) - segment.firstSequence + 1)]!;
      if (end === SEGMENT_HEADER_BYTES && this.#durable < segment.firstSequence) continue;
      const bytes = segment.bytes.slice();
      scarred(bytes, segment.number, this.#scars);
      targets.push({ segment, bytes, end });
    }
    return targets;
  }

  /** The last sequence that a durable record of the same segment proves. */
  #provenIn({ firstSequence, starts }: WrittenSegment): number {
    const last = Math.min(this.#durable, firstSequence + starts.length - 2);
    return last < firstSequence ? 0 : this.#items[last - this.#first]!.durableUpTo;
  }

  #accepted(
    recovery: JournalRecovery,
    written: readonly WrittenSegment[],
    segments: readonly JournalSegment[],
  ): Readback {
    const found = recovery.lastSequence, durable = this.#durable, pending = this.last - durable;
    const start = this.#startSegment(found);
    const scars = this.#felt(written).filter(({ segment }) => segment >= start);
    if (scars.length > 0) {
      const detail = `Recovery took a journal for whole that is damaged at ${describeScar(scars[0]!)}`;
      return { kind: "wrong", check: "damage is detected", detail };
    }
    if (found < durable || found > this.last) {
      const range = `${durable} was durable and ${this.last} the last`;
      return {
        kind: "wrong",
        check: "recovery",
        detail: `Recovery found records up to ${found} where ${range}`,
      };
    }
    const damage: CrashDamage = {
      durable: durable - this.#first + 1,
      pending,
      survived: found - durable,
      torn: tornBytes(recovery, segments),
    };
    this.#cut(found, recovery.append?.segment ?? 1);
    return { kind: "recovered", damage, recovery };
  }

  /** An error is right where something durable is damaged, and names a place that is. */
  #refused(error: unknown, written: readonly WrittenSegment[]): Readback {
    const what = error instanceof Error ? error.message : String(error);
    if (!(error instanceof JournalCorruptError) || this.#scars.length === 0) {
      return { kind: "wrong", check: "recovery", detail: what };
    }
    const within = this.#felt(written).filter(({ segment }) => segmentName(segment) === error.file);
    if (within.some(({ at, bytes }) => at + bytes.length > error.offset)) return { kind: "corrupt", error };
    const places = this.#scars.map(describeScar).join(", ");
    return { kind: "wrong", check: "damage is detected", detail: `${what}; the damage is at ${places}` };
  }

  /** The scars that make a difference: a later one may have healed an earlier. */
  #felt(written: readonly WrittenSegment[]): Scar[] {
    return written.flatMap(({ number, bytes }) => {
      const now = bytes.slice();
      scarred(now, number, this.#scars);
      return this.#scars.filter(({ segment, at, bytes: { length } }) =>
        segment === number && now.subarray(at, at + length).some((byte, i) => byte !== bytes[at + i])
      );
    });
  }

  /** The number of the segment that recovery begins with: the newest whose mark was found. */
  #startSegment(found: number): number {
    for (let sequence = Math.min(found, this.last); sequence >= this.#first; sequence--) {
      if (this.#items[sequence - this.#first]!.content.kind !== "mark") continue;
      return this.#segments.findLast(({ firstSequence }) => firstSequence <= sequence)!.number;
    }
    return 0;
  }

  #cut(last: number, segment: number): void {
    this.#items.length = Math.max(0, last - this.#first + 1);
    this.#items = this.#items.map((item) => ({ ...item, number: 0 }));
    const kept = this.#segments.filter(({ number }) => number <= segment);
    if (kept.length > 0) this.#segments = kept;
    this.#durable = last;
    this.#syncing = 0;
  }
}

/** About what records take in the journal, each with its header. */
export function recordsSize(records: readonly JournalRecord[]): number {
  let bytes = 0;
  for (const record of records) bytes += sizeOf({ kind: "live", record });
  return bytes;
}

function sizeOf(content: Content): number {
  if (content.kind === "mark") return 32;
  const { record } = content;
  if (record.kind === "entries") return record.entries.reduce((sum, { data }) => sum + data.length + 16, 32);
  return record.kind === "view" ? 64 * record.view.members.length + 32 * record.view.assignment.length : 64;
}

function whole({ number, bytes }: WrittenSegment): JournalSegment {
  return { name: segmentName(number), bytes: bytes.slice() };
}

function tornBytes({ tail }: JournalRecovery, segments: readonly JournalSegment[]): number {
  const bytes = tail === null ? undefined : segments.find(({ name }) => name === tail.segment)?.bytes;
  return bytes?.subarray(tail!.cutAt).reduce((count, byte) => byte === 0 ? count : count + 1, 0) ?? 0;
}

function describeScar({ segment, at, bytes }: Scar): string {
  return `${segmentName(segment)}, bytes ${at} to ${at + bytes.length - 1}`;
}
