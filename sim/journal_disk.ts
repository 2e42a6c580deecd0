import { invariant } from "../core/base/invariant.ts";
import type { NodeId } from "../core/base/ids.ts";
import type { Random } from "../core/base/random.ts";
import { OPEN_VAULT, type Vault } from "../core/base/vault.ts";
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
  type Damage,
  damaged,
  type Item,
  type Scar,
  scarred,
  segmentName,
  type Target,
  writeSegment,
  type WrittenSegment,
} from "./journal_bytes.ts";
import { endOf, type Image, imageAfter, interruptedRepair, type StopKind } from "./journal_image.ts";

/** A seal follows a sync after this long without a record, as SEAL_AFTER_MS of cli/host/journal.ts says. */
export const SEAL_AFTER_US = 5_000;

interface Segment {
  readonly number: number;
  readonly firstSequence: number;
}

/** What became of a node's journal in a crash, in records. */
export interface CrashDamage {
  readonly durable: number;
  /** Added and not synced, and how many of those recovery found. Seals are not counted. */
  readonly pending: number;
  readonly survived: number;
  /** Bytes that recovery cut off: parts of records, or whole ones behind them. Zeros that filled the file do not count. */
  readonly torn: number;
  /** How many times recovery was cut short, and begun again. */
  readonly interrupted: number;
}

/** How a journal is read back after a stop. */
export type Readback =
  | { readonly kind: "recovered"; readonly damage: CrashDamage; readonly recovery: JournalRecovery }
  /** What had been durable was damaged, and recovery says so. `behindSeal`: nothing but a seal proves that it had been. */
  | { readonly kind: "corrupt"; readonly error: JournalCorruptError; readonly behindSeal: boolean }
  /** Recovery did what it must not: which check that breaks, and how. */
  | { readonly kind: "wrong"; readonly check: "recovery" | "damage is detected"; readonly detail: string };

/** The real recovery, or a broken one in tests. */
export type Recover = (segments: readonly JournalSegment[], node: NodeId, keys: Vault) => JournalRecovery;

/**
 * A simulated journal: what was appended, how much of it is durable, and what a stop leaves. Its bytes are made only
 * when a stop or damage needs them, by the real format, and read by the real recovery. Sequences are the journal's own.
 *
 * Invariants (J1 to J9 are those of core/wire/journal.ts, which this keeps to as a host must):
 * 1. Items up to #durable survive every stop. Those up to #written survive the end of the process alone; when power is
 *    lost, their bytes reach the disk or not, sector by sector. Later ones were never written.
 * 2. A sync ends at the end of its segment: the next segment is created only afterwards (J2).
 * 3. Damage strikes only bytes of which something else on the same disk proves that they had been durable: a durable
 *    record or a written seal. Where a seal alone does (#guard), power loss spares that seal: damage and the loss of its
 *    only witness would be two faults at once, and no journal that acknowledges with one sync can tell that from a torn
 *    end.
 * 4. What recovery found is durable before the node starts, for all that was not is written again (J9), which is checked.
 *    A recovery that is cut short finds as much the next time, or as little as was durable.
 */
export class JournalDisk {
  readonly #node: NodeId;
  readonly #recover: Recover;
  readonly #keys: Vault;
  /** Grows whenever the host opens the journal. */
  #opening = 1;
  #items: Item[] = [];
  /** The sequence of #items[0]. */
  #first = 1;
  #segments: Segment[] = [{ number: 1, firstSequence: 1 }];
  /** The last sequence that is durable, and the one the sync under way ends at. */
  #durable = 0;
  #syncing = 0;
  /** The sequence of the last seal, and when the next is due if nothing follows. */
  #sealed = 0;
  #sealDueAt = 0;
  /** The seal that alone proves what was damaged to have been durable; 0: none. */
  #guard = 0;
  #scars: Scar[] = [];

  /** `keys`: what its segments are encrypted with. */
  constructor(node: NodeId, recover: Recover = recoverJournal, keys: Vault = OPEN_VAULT) {
    this.#node = node;
    this.#recover = recover;
    this.#keys = keys;
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
    this.#dropBefore(this.#segments[this.#segments.length - 1]!.number);
  }

  /** The host opens the journal: a timer for the seal begins. */
  open(now: number): void {
    this.#sealDueAt = now + SEAL_AFTER_US;
  }

  /** To be called before all else that happens at `now`: writes the seal that became due meanwhile (J8). */
  settle(now: number): void {
    if (now >= this.#sealDueAt) this.#seal();
  }

  /** Begins a sync of what is pending, if anything is and none is under way. A seal alone needs none. */
  beginSync(): boolean {
    if (this.#syncing > 0 || this.#durable === this.last || this.#isSealed) return false;
    this.#syncing = this.#nextBoundary();
    return true;
  }

  endSync(now: number): void {
    invariant(this.#syncing > this.#durable, "A sync ends after it began");
    this.#durable = this.#syncing;
    this.#syncing = 0;
    this.#sealDueAt = now + SEAL_AFTER_US;
  }

  /** Damages what is proven to have been durable (invariant 3). False where there is no such byte yet. */
  damage(damage: Damage, random: Random): boolean {
    const all = this.#targets(), fresh = all.filter(({ from, end }) => from < end);
    // What a seal alone proves is little of all there is, and is worth striking often.
    const targets = fresh.length > 0 && random.chance(1, 3)
      ? fresh
      : all.map((target) => ({ ...target, from: 0 }));
    if (targets.length === 0) return false;
    const scars = damaged(damage, targets, random);
    this.#scars.push(...scars);
    if (scars.some((scar) => scar.at + scar.bytes.length > this.#provenByRecords(scar.segment))) {
      this.#guard = this.#sealed;
    }
    return scars.length > 0;
  }

  /** The process ends; then the machine reads back what it finds, perhaps several times (invariant 4). */
  stop(kind: StopKind, random: Random): Readback {
    if (kind === "in-order") {
      if (!this.#isSealed) this.#durable = this.last;
      this.#syncing = 0;
      this.#seal();
    }
    const written = this.#written(),
      stopped = {
        written,
        spared: Math.max(this.#durable, this.#guard),
        writtenUpTo: this.#writtenUpTo,
        scars: this.#scars,
      };
    let image = imageAfter(kind, stopped, random), read = this.#read(image, written, 0);
    for (let times = 1; read.kind === "recovered" && random.chance(1, 8); times++) {
      const { recovery } = read;
      const next = interruptedRepair(image, recovery, stopped, random);
      const again = this.#read(next, written, times);
      const lost = again.kind === "recovered" && again.recovery.lastSequence !== recovery.lastSequence;
      if (lost && !image.cached) {
        const detail =
          `Recovery found records up to ${recovery.lastSequence}, and when it was begun again up to ` +
          `${again.recovery.lastSequence}`;
        return { kind: "wrong", check: "recovery", detail };
      }
      [image, read] = [next, again];
    }
    if (read.kind === "recovered") this.#cut(read.recovery);
    return read;
  }

  #dropBefore(number: number): void {
    const kept = this.#segments.filter((segment) => segment.number >= number), first = kept[0];
    if (first === undefined || first === this.#segments[0]) return;
    this.#items = this.#items.slice(first.firstSequence - this.#first);
    this.#first = first.firstSequence;
    this.#segments = kept;
    this.#scars = this.#scars.filter((scar) => scar.segment >= number);
  }

  #push(content: Content, number: number): void {
    this.#items.push({ content, number, durableUpTo: this.#durable, opening: this.#opening });
  }

  /** Behind what is durable to its end only, and in no empty segment. */
  #seal(): void {
    const last = this.last;
    if (this.#isSealed || this.#durable !== last || this.#syncing > 0) return;
    if (last < this.#segments[this.#segments.length - 1]!.firstSequence) return;
    this.#push({ kind: "seal" }, this.numberAt(last));
    this.#sealed = last + 1;
  }

  get #isSealed(): boolean {
    return this.#sealed > 0 && this.#sealed === this.last;
  }

  /** The last sequence that was handed to the machine: during a sync the host keeps back what follows. */
  get #writtenUpTo(): number {
    return this.#syncing > 0 ? this.#syncing : this.last;
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
      written.push(writeSegment({ node: this.#node, number, firstSequence, keys: this.#keys }, items));
    }
    return written;
  }

  /** What damage may strike: of each segment the part that is proven (invariant 3), `from` where a seal alone does. */
  #targets(): Target[] {
    const written = this.#written(), targets: Target[] = [];
    for (const [i, segment] of written.entries()) {
      const end = this.#provenEnd(segment, { next: written[i + 1], seals: true });
      if (end === SEGMENT_HEADER_BYTES && this.#durable < segment.firstSequence) continue;
      const bytes = segment.bytes.slice();
      scarred(bytes, segment.number, this.#scars);
      const from = this.#provenEnd(segment, { next: written[i + 1], seals: false });
      targets.push({ segment, bytes, from, end });
    }
    return targets;
  }

  /** Where the part of a segment ends that durable records prove, or those and the last seal. */
  #provenEnd(
    { firstSequence, starts, bytes }: WrittenSegment,
    { next, seals }: { next: WrittenSegment | undefined; seals: boolean },
  ): number {
    // Once a newer segment holds something durable, this one was whole (J2).
    if (next !== undefined && this.#durable >= next.firstSequence) return bytes.length;
    const end = firstSequence + starts.length - 1, last = Math.min(this.#durable, end - 1);
    let proven = last < firstSequence ? 0 : this.#items[last - this.#first]!.durableUpTo;
    if (seals && this.#sealed >= firstSequence && this.#sealed < end) {
      proven = Math.max(proven, this.#sealed - 1);
    }
    return starts[Math.max(0, proven - firstSequence + 1)]!;
  }

  #provenByRecords(segment: number): number {
    const written = this.#written(), at = written.findIndex(({ number }) => number === segment);
    return at < 0 ? 0 : this.#provenEnd(written[at]!, { next: written[at + 1], seals: false });
  }

  #read({ segments, cached }: Image, written: readonly WrittenSegment[], interrupted: number): Readback {
    // Recovery may keep parts of what it reads: the next one reads its own.
    const read = segments.map(({ name, bytes }) => ({ name, bytes: bytes.slice() }));
    try {
      const recovery = this.#recover(read, this.#node, this.#keys);
      const wrong = this.#wrong(recovery, written, cached);
      return wrong ??
        { kind: "recovered", recovery, damage: this.#damageOf(recovery, segments, interrupted) };
    } catch (error) {
      return this.#refused(error, written);
    }
  }

  /** What is wrong with a recovery that took the journal for whole; null: nothing. */
  #wrong(recovery: JournalRecovery, written: readonly WrittenSegment[], cached: boolean): Readback | null {
    const found = recovery.lastSequence, durable = this.#durable, start = this.#startSegment(found);
    const scars = this.#felt(written).filter(({ segment }) => segment >= start);
    if (scars.length > 0) {
      const detail = `Recovery took a journal for whole that is damaged at ${describeScar(scars[0]!)}`;
      return { kind: "wrong", check: "damage is detected", detail };
    }
    if (found < durable || found > this.last) {
      const detail =
        `Recovery found records up to ${found} where ${durable} was durable and ${this.last} the last`;
      return { kind: "wrong", check: "recovery", detail };
    }
    const kept = Math.min(this.#writtenUpTo, endOf(written));
    if (cached && found < kept) {
      const detail = `Recovery found records up to ${found} where all up to ${kept} were in the page cache`;
      return { kind: "wrong", check: "recovery", detail };
    }
    const { append } = recovery, last = written.find(({ number }) => number === append?.segment);
    if (append === null || last === undefined) return null;
    const { starts, firstSequence } = last;
    const unsynced = starts[Math.min(starts.length - 1, Math.max(0, durable + 1 - firstSequence))]!;
    if (append.unproven <= Math.min(unsynced, append.offset)) return null;
    const detail =
      `Recovery writes ${append.name} again from byte ${append.unproven} on, and no sync had passed ` +
      `byte ${unsynced}`;
    return { kind: "wrong", check: "recovery", detail };
  }

  #damageOf(
    recovery: JournalRecovery,
    segments: readonly JournalSegment[],
    interrupted: number,
  ): CrashDamage {
    const found = recovery.lastSequence, durable = this.#durable;
    return {
      durable: durable - this.#first + 1,
      pending: this.#countRecords(durable, this.last),
      survived: this.#countRecords(durable, found),
      torn: tornBytes(recovery, segments),
      interrupted,
    };
  }

  /** How many items after `from` and up to `to` say something. */
  #countRecords(from: number, to: number): number {
    let count = 0;
    for (let sequence = from + 1; sequence <= to; sequence++) {
      if (this.#items[sequence - this.#first]!.content.kind !== "seal") count++;
    }
    return count;
  }

  /** An error is right where something durable is damaged, and names a place that is. */
  #refused(error: unknown, written: readonly WrittenSegment[]): Readback {
    const what = error instanceof Error ? error.message : String(error);
    if (!(error instanceof JournalCorruptError) || this.#scars.length === 0) {
      return { kind: "wrong", check: "recovery", detail: what };
    }
    const within = this.#felt(written).filter(({ segment }) => segmentName(segment) === error.file);
    const met = within.find(({ at, bytes }) => at + bytes.length > error.offset);
    if (met !== undefined) {
      return { kind: "corrupt", error, behindSeal: error.offset >= this.#provenByRecords(met.segment) };
    }
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

  /** What recovery found is all there is, and durable; segments before the one it began with are deleted. */
  #cut({ lastSequence: last, append }: JournalRecovery): void {
    const start = this.#startSegment(last);
    this.#items.length = Math.max(0, last - this.#first + 1);
    this.#items = this.#items.map((item) => ({ ...item, number: 0 }));
    const kept = this.#segments.filter(({ number }) => number <= (append?.segment ?? 1));
    if (kept.length > 0) this.#segments = kept;
    this.#durable = last;
    this.#opening++;
    this.#syncing = this.#guard = 0;
    this.#sealed = this.#items.at(-1)?.content.kind === "seal" ? last : 0;
    this.#dropBefore(start);
  }
}

/** About what records take in the journal, each with its header. */
export function recordsSize(records: readonly JournalRecord[]): number {
  let bytes = 0;
  for (const record of records) bytes += sizeOf({ kind: "live", record });
  return bytes;
}

function sizeOf(content: Content): number {
  // Seals come by themselves: what a full disk has room for is counted without them.
  if (content.kind === "seal") return 0;
  if (content.kind === "mark") return 32;
  const { record } = content;
  if (record.kind === "entries") return record.entries.reduce((sum, { data }) => sum + data.length + 16, 32);
  return record.kind === "view" ? 64 * record.view.members.length + 32 * record.view.assignment.length : 64;
}

function tornBytes({ tail }: JournalRecovery, segments: readonly JournalSegment[]): number {
  const bytes = tail === null ? undefined : segments.find(({ name }) => name === tail.segment)?.bytes;
  return bytes?.subarray(tail!.cutAt).reduce((count, byte) => byte === 0 ? count : count + 1, 0) ?? 0;
}

function describeScar({ segment, at, bytes }: Scar): string {
  return `${segmentName(segment)}, bytes ${at} to ${at + bytes.length - 1}`;
}
