import { hashString32 } from "../core/base/hash.ts";
import { invariant } from "../core/base/invariant.ts";
import type { NodeId } from "../core/base/ids.ts";
import type { Random } from "../core/base/random.ts";
import type { Effects, Recovered } from "../core/wire/kernel.ts";
import { type CrashDamage, JournalDisk } from "./journal_disk.ts";
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

/** The tables at the end of a step, and the persist records of this life up to that step. */
interface TablesState {
  readonly number: number;
  readonly tables: TablesCheckpoint;
}

/** A checkpoint under way. `mark`: the sequence of its mark; 0 until its head and its tables are durable. */
interface CheckpointUnderWay {
  readonly number: number;
  readonly head: number;
  readonly headRecords: number;
  readonly state: TablesState;
  tablesDurable: boolean;
  mark: number;
}

/** Steps that applied entries between two states of the tables that a crash may fall back to, on average. */
const STEPS_PER_STATE = 64;
const STATES_KEPT = 4;

/**
 * One node's disk: a journal and tables, what is pending and what is durable.
 *
 * Invariant: after a crash the tables are as they were at the end of some step, no earlier than the last checkpoint
 * that recovery starts from and no later than what the journal kept.
 */
export class Disk {
  /** What Member.disk says: a machine keeps its disk, so its id names both. */
  readonly name: string;
  readonly #options: DiskOptions;
  readonly #random: Random;
  readonly #journal: JournalDisk;
  tables = new MemoryTables();
  #checkpoint: CheckpointUnderWay | null = null;
  /** States that a crash may fall back to, in the order of time; the first is the last done checkpoint's. */
  #states: TablesState[];
  #stepsToState = STEPS_PER_STATE;
  #recovered: Recovered | null = null;

  constructor(node: NodeId, options: DiskOptions, random: Random) {
    this.name = hashString32(node, 0).toString(16).padStart(16, "0");
    this.#options = options;
    this.#random = random;
    this.#journal = new JournalDisk(node);
    this.#states = [{ number: 0, tables: this.tables.checkpoint() }];
  }

  /** The number up to which persist records of this life are durable. */
  get durableUpTo(): number {
    return this.#journal.numberAt(this.#journal.durable);
  }

  /** Takes over what a step wants kept. */
  write(effects: Effects): void {
    const { persist, persistedUpTo, checkpoint } = effects;
    const first = persistedUpTo - persist.length + 1;
    for (let i = 0; i < persist.length; i++) this.#journal.append(persist[i]!, first + i);
    if (checkpoint === null) return;
    invariant(this.#checkpoint === null, "At most one checkpoint is under way");
    const head = this.#journal.beginSegment(checkpoint.records, persistedUpTo);
    const state = { number: persistedUpTo, tables: this.tables.checkpoint() };
    this.#states.push(state);
    const headRecords = checkpoint.records.length;
    this.#checkpoint = { number: checkpoint.number, head, headRecords, state, tablesDurable: false, mark: 0 };
  }

  /** Begins a sync of all that is pending, if something is and none is under way: how long it takes, or -1. */
  beginSync(): number {
    return this.#journal.beginSync()
      ? this.#random.between(this.#options.syncUsMin, this.#options.syncUsMax)
      : -1;
  }

  /** The sync under way ends. */
  endSync(): void {
    this.#journal.endSync();
    this.#markCheckpoint();
  }

  /** How long the tables of a checkpoint that begins now take to become durable. */
  checkpointUs(): number {
    return this.#random.between(this.#options.checkpointUsMin, this.#options.checkpointUsMax);
  }

  /** The tables of the checkpoint under way are durable. */
  endTables(): void {
    invariant(this.#checkpoint !== null, "Tables become durable for a checkpoint");
    this.#checkpoint.tablesDurable = true;
    this.#markCheckpoint();
  }

  /** The number of the checkpoint that has just become complete, once; else -1. */
  takeCompleted(): number {
    const checkpoint = this.#checkpoint;
    if (checkpoint === null || checkpoint.mark === 0 || this.#journal.durable < checkpoint.mark) return -1;
    this.#journal.dropOlder();
    this.#states = this.#states.slice(this.#states.indexOf(checkpoint.state));
    this.#checkpoint = null;
    return checkpoint.number;
  }

  /** Called at the end of steps that applied entries: now and then their tables become a state to fall back to. */
  applied(persistedUpTo: number): void {
    if (--this.#stepsToState > 0) return;
    this.#stepsToState = 1 + this.#random.below(STEPS_PER_STATE * 2);
    this.#states.push({ number: persistedUpTo, tables: this.tables.checkpoint() });
    // Few are enough: the newest may be too new for the journal, then an older one serves.
    if (this.#states.length > STATES_KEPT && this.#states[1] !== this.#checkpoint?.state) {
      this.#states.splice(1, 1);
    }
  }

  /**
   * The process dies without warning. Everything pending is kept, dropped or torn; the journal is then what its real
   * recovery makes of the bytes. @throws {JournalError | InvariantError} when that cannot be
   */
  crash(): CrashDamage {
    const journal = this.#journal, checkpoint = this.#checkpoint, durable = journal.durable;
    const numbers: number[] = [];
    for (let sequence = durable; sequence <= journal.last; sequence++) {
      numbers.push(journal.numberAt(sequence));
    }
    const { damage, recovery } = journal.crash(this.#random);
    const number = numbers[recovery.lastSequence - durable] ?? 0;
    let states = this.#states.filter((state) => state.number <= number);
    const marked = checkpoint !== null && checkpoint.mark > 0 && recovery.lastSequence >= checkpoint.mark;
    if (marked) states = states.slice(states.indexOf(checkpoint.state));
    this.#restart(recovery.recovered, this.#random.pick(states).tables);
    return damage;
  }

  /** The process ended in good order: everything is durable. */
  shutDown(): void {
    const { recovery } = this.#journal.crash(null);
    this.#restart(recovery.recovered, this.tables.checkpoint());
  }

  /** What the journal said when it was read last. */
  recovered(): Recovered {
    invariant(this.#recovered !== null, "A disk recovers after a stop");
    return this.#recovered;
  }

  #restart(recovered: Recovered, tables: TablesCheckpoint): void {
    this.#recovered = recovered;
    this.tables = new MemoryTables(tables);
    this.#checkpoint = null;
    this.#states = [{ number: 0, tables }];
  }

  #markCheckpoint(): void {
    const checkpoint = this.#checkpoint;
    if (checkpoint === null || checkpoint.mark > 0 || !checkpoint.tablesDurable) return;
    if (this.#journal.durable >= checkpoint.head) {
      checkpoint.mark = this.#journal.mark(checkpoint.headRecords);
    }
  }
}
