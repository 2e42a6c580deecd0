import { invariant } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import type { Effects, JournalRecord, Recovered } from "../core/wire/kernel.ts";
import { MemoryTables, type TablesCheckpoint } from "./tables.ts";

/** How a disk behaves. Times in microseconds. */
export interface DiskOptions {
  /** One sync of the journal takes from syncUsMin to syncUsMax; all writes before it began share it (group commit). */
  readonly syncUsMin: number;
  readonly syncUsMax: number;
  readonly checkpointUsMin: number;
  readonly checkpointUsMax: number;
}

export const DEFAULT_DISK: DiskOptions = {
  syncUsMin: 100,
  syncUsMax: 600,
  checkpointUsMin: 20_000,
  checkpointUsMax: 200_000,
};

/** The journal's bytes: the real format, so that torn writes exercise the real recovery. */
export interface JournalFormat {
  encode(records: readonly JournalRecord[]): Uint8Array;
  /** The whole records at the start of `bytes`; stops at the first that is torn or damaged. */
  decode(bytes: Uint8Array): JournalRecord[];
  /** What the records add up to. */
  fold(records: readonly JournalRecord[]): Recovered;
}

/** What became of a node's journal in a crash, in records. */
export interface CrashDamage {
  readonly durable: number;
  /** Written and not synced, and how many of those recovery found. */
  readonly pending: number;
  readonly survived: number;
  readonly torn: number;
}

/** The tables at the end of a step, and the persist records of this life up to that step. */
interface TablesState {
  readonly number: number;
  readonly tables: TablesCheckpoint;
}

/** Steps that applied entries between two states of the tables that a crash may fall back to. */
const STEPS_PER_TABLES_STATE = 64;

/**
 * One node's disk: a journal and tables, what is pending and what is durable.
 *
 * Invariants:
 * 1. #records[0 .. #durable) survives every crash; of the rest a crash keeps, drops or tears each write.
 * 2. After a crash the tables are as they were at the end of some step, no earlier than the last checkpoint that was
 *    done and no later than what the journal kept.
 * 3. A record number is reported durable only after every record before it is.
 */
export class Disk {
  readonly #options: DiskOptions;
  readonly #format: JournalFormat;
  readonly #random: Random;
  tables = new MemoryTables();
  /** The journal from its oldest segment on, and the number of persist records that each one completes. */
  #records: JournalRecord[] = [];
  #numbers: number[] = [];
  #durable = 0;
  #syncing = -1;
  /** The checkpoint under way: its records are #records[head .. end). */
  #checkpoint: { number: number; head: number; end: number; state: TablesState } | null = null;
  /** States that a crash may fall back to, in the order of time; the first is the last done checkpoint's. */
  #states: TablesState[];
  #stepsToState = STEPS_PER_TABLES_STATE;

  constructor(options: DiskOptions, format: JournalFormat, random: Random) {
    this.#options = options;
    this.#format = format;
    this.#random = random;
    this.#states = [{ number: 0, tables: this.tables.checkpoint() }];
  }

  /** The number up to which persist records of this life are durable. */
  get durableUpTo(): number {
    return this.#durable === 0 ? 0 : this.#numbers[this.#durable - 1]!;
  }

  get journalRecords(): number {
    return this.#records.length;
  }

  /** Takes over what a step wants kept. Returns how long until a sync that begins now ends; -1 where none begins. */
  write(effects: Effects): number {
    const persist = effects.persist;
    const first = effects.persistedUpTo - persist.length;
    for (let i = 0; i < persist.length; i++) {
      this.#records.push(persist[i]!);
      this.#numbers.push(first + i + 1);
    }
    if (effects.checkpoint !== null) this.#beginCheckpoint(effects);
    return this.beginSync();
  }

  /** Begins a sync of all that is pending, if something is and none is under way: its length, or -1. */
  beginSync(): number {
    if (this.#syncing >= 0 || this.#durable === this.#records.length) return -1;
    this.#syncing = this.#records.length;
    return this.#random.between(this.#options.syncUsMin, this.#options.syncUsMax);
  }

  /** The sync under way ends. */
  endSync(): void {
    invariant(this.#syncing >= this.#durable, "Disk invariant 3: a sync covers all before it");
    this.#durable = this.#syncing;
    this.#syncing = -1;
  }

  /** Called at the end of steps that applied entries: now and then their tables become a state to fall back to. */
  applied(persistedUpTo: number): void {
    if (--this.#stepsToState > 0) return;
    this.#stepsToState = 1 + this.#random.below(STEPS_PER_TABLES_STATE * 2);
    const state = { number: persistedUpTo, tables: this.tables.checkpoint() };
    this.#states.push(state);
    // Few are enough: the newest may be too new for the journal, then an older one serves.
    if (this.#states.length > 4 && this.#states[1] !== this.#checkpoint?.state) this.#states.splice(1, 1);
  }

  get checkpointing(): boolean {
    return this.#checkpoint !== null;
  }

  checkpointUs(): number {
    return this.#random.between(this.#options.checkpointUsMin, this.#options.checkpointUsMax);
  }

  /** Completes the checkpoint under way if its records are durable: its number, or -1 while they are not. */
  endCheckpoint(): number {
    const checkpoint = this.#checkpoint;
    invariant(checkpoint !== null, "A checkpoint ends only after it began");
    if (this.#durable < checkpoint.end) return -1;
    this.#records = this.#records.slice(checkpoint.head);
    this.#numbers = this.#numbers.slice(checkpoint.head);
    this.#durable -= checkpoint.head;
    if (this.#syncing >= 0) this.#syncing -= checkpoint.head;
    this.#states = this.#states.slice(this.#states.indexOf(checkpoint.state));
    this.#checkpoint = null;
    return checkpoint.number;
  }

  /**
   * The node stops without warning. Everything pending is kept, dropped or torn; the journal is then what its real
   * recovery makes of the bytes. @throws {InvariantError} when recovery loses a durable record
   */
  crash(): CrashDamage {
    const durable = this.#durable, pending = this.#records.length - durable;
    const { bytes, torn } = this.#bytesAfterCrash();
    const records = this.#format.decode(bytes);
    invariant(
      records.length >= durable,
      () => `Recovery found ${records.length} of ${durable} durable records`,
    );
    invariant(records.length <= durable + pending, "Recovery finds no more records than were written");
    const tables = this.#random.pick(this.#fallbacks(records.length)).tables;
    this.tables = new MemoryTables(tables);
    this.#restart(records, tables);
    return { durable, pending, survived: records.length - durable, torn };
  }

  /** The node stopped in good order: everything is durable. */
  shutDown(): void {
    this.#restart(this.#records, this.tables.checkpoint());
  }

  recover(): Recovered {
    return this.#format.fold(this.#records);
  }

  #restart(records: JournalRecord[], tables: TablesCheckpoint): void {
    this.#records = records;
    this.#numbers = records.map(() => 0);
    this.#durable = records.length;
    this.#syncing = -1;
    this.#checkpoint = null;
    this.#states = [{ number: 0, tables }];
  }

  #beginCheckpoint(effects: Effects): void {
    const { number, records } = effects.checkpoint!;
    invariant(this.#checkpoint === null, "At most one checkpoint is under way");
    const head = this.#records.length;
    for (const record of records) {
      this.#records.push(record);
      this.#numbers.push(effects.persistedUpTo);
    }
    const state = { number: effects.persistedUpTo, tables: this.tables.checkpoint() };
    this.#states.push(state);
    this.#checkpoint = { number, head, end: this.#records.length, state };
  }

  /** The states of the tables that a crash may leave, given how many records of the journal it left. */
  #fallbacks(records: number): readonly TablesState[] {
    const number = records === 0 ? 0 : this.#numbers[records - 1]!;
    const possible = this.#states.filter((state) => state.number <= number);
    const checkpoint = this.#checkpoint;
    // A host makes the tables durable before it writes the first record of the new segment, which rests on them.
    if (checkpoint === null || records <= checkpoint.head) return possible;
    return possible.slice(possible.indexOf(checkpoint.state));
  }

  /** The journal's bytes as a crash leaves them. */
  #bytesAfterCrash(): { bytes: Uint8Array; torn: number } {
    const parts = [this.#format.encode(this.#records.slice(0, this.#durable))];
    let torn = 0;
    for (let i = this.#durable; i < this.#records.length; i++) {
      const fate = this.#random.below(4);
      if (fate === 0) break; // The file ends before this write.
      const written = this.#format.encode([this.#records[i]!]);
      if (fate === 1) { // Part of it reached the disk; what follows it may all the same be there.
        written.fill(0, this.#random.below(written.length));
        torn++;
      }
      parts.push(written);
    }
    return { bytes: joined(parts), torn };
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
