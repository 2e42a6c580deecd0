import { hashString32 } from "../core/base/hash.ts";
import { invariant } from "../core/base/invariant.ts";
import type { NodeId } from "../core/base/ids.ts";
import type { Tables } from "../core/base/ports.ts";
import type { Random } from "../core/base/random.ts";
import { OPEN_VAULT } from "../core/base/vault.ts";
import type { JournalRecovery } from "../core/wire/journal_recovery.ts";
import type { Effects, Recovered } from "../core/wire/kernel.ts";
import { type Damage, DISK_KEYS } from "./journal_bytes.ts";
import { type CrashDamage, JournalDisk, type Readback, recordsSize, type Recover } from "./journal_disk.ts";
import type { StopKind } from "./journal_image.ts";
import { type DiskTables, FileTables, TreeTables } from "./disk_tables.ts";

/** How a disk behaves. Times in microseconds. */
export interface DiskOptions {
  /** One sync of the journal takes from syncUsMin to syncUsMax; all writes before it began share it (group commit). */
  readonly syncUsMin: number;
  readonly syncUsMax: number;
  readonly checkpointUsMin: number;
  readonly checkpointUsMax: number;
  /** Files are encrypted, as in a network with keys. */
  readonly encrypted?: boolean;
  /** What the tables are: a tree in memory (where left out), or the files of core/tables. */
  readonly tables?: "memory" | "files";
}

export const DEFAULT_DISK: DiskOptions = {
  syncUsMin: 100,
  syncUsMax: 600,
  checkpointUsMin: 20_000,
  checkpointUsMax: 200_000,
};

/** A checkpoint under way. `mark`: the sequence of its mark; 0 until its head and its tables are durable. */
interface CheckpointUnderWay {
  readonly number: number;
  readonly head: number;
  readonly headRecords: number;
  tablesDurable: boolean;
  mark: number;
}

/** What a machine finds when it reads its disk after a stop. */
export type DiskState =
  | {
    readonly kind: "whole";
    /** What was lost of what was not synced. */
    readonly damage: CrashDamage;
    /** The tables could not be read and were set aside: they are empty now. */
    readonly tablesLost: boolean;
  }
  /** The journal is damaged, or all is gone: what this node promised is forgotten. */
  | {
    readonly kind: "lost";
    readonly why: string;
    readonly behindSeal: boolean;
    /** All is gone, not the journal alone. */
    readonly gone: boolean;
  }
  | Extract<Readback, { kind: "wrong" }>;

/**
 * One node's disk: a journal and tables, what is pending and what is durable.
 *
 * Invariants:
 * 1. After a crash the tables are as they were at the end of some step, no earlier than the last checkpoint that
 *    recovery starts from and no later than what the journal kept; or empty, where they were damaged.
 * 2. A write that fails, for want of room or in a sync, is never reported durable. The process ends, and is started
 *    again on what a crash would have left.
 */
export class Disk {
  /** What Member.disk says: a machine keeps its disk, so its id names both. */
  readonly name: string;
  readonly #options: DiskOptions;
  readonly #random: Random;
  readonly #journal: JournalDisk;
  readonly #tables: DiskTables;
  #checkpoint: CheckpointUnderWay | null = null;
  #recovered: Recovered | null = null;
  #state: DiskState | null = null;
  /** Bytes that the journal may still grow by; Infinity: nobody counts. The tables are not counted. */
  #room = Infinity;
  /** Each sync takes so much longer. */
  extraSyncUs = 0;

  constructor(node: NodeId, options: DiskOptions, random: Random, recover?: Recover) {
    this.name = hashString32(node, 0).toString(16).padStart(16, "0");
    this.#options = options;
    this.#random = random;
    this.#journal = new JournalDisk(node, recover, options.encrypted === true ? DISK_KEYS : undefined);
    const owner = { node, network: "simulated", disk: this.name };
    const vault = options.encrypted === true ? DISK_KEYS : OPEN_VAULT;
    this.#tables = options.tables === "files"
      ? new FileTables({ random: random.fork("tables"), vault, owner })
      : new TreeTables(random);
  }

  /** What a kernel of this life reads and writes. */
  get tables(): Tables {
    return this.#tables.tables;
  }

  /** The number up to which persist records of this life are durable. */
  get durableUpTo(): number {
    return this.#journal.numberAt(this.#journal.durable);
  }

  /** Something is damaged, and nobody has found out. */
  get damaged(): boolean {
    return this.#tables.damaged || this.#journal.damaged;
  }
  /** Bytes of room that are left; below zero: the last write did not fit. */
  get room(): number {
    return this.#room;
  }
  set room(bytes: number) {
    this.#room = bytes;
  }

  /** The host opens it for a new life. */
  open(now: number): void {
    this.#journal.open(now);
  }

  /** Takes over what a step wants kept. */
  write(effects: Effects, now: number): void {
    this.#journal.settle(now);
    const { persist, persistedUpTo, checkpoint } = effects;
    if (this.#room < Infinity) this.#room -= recordsSize(persist) + recordsSize(checkpoint?.records ?? []);
    const first = persistedUpTo - persist.length + 1;
    for (let i = 0; i < persist.length; i++) this.#journal.append(persist[i]!, first + i);
    if (checkpoint === null) return;
    invariant(this.#checkpoint === null, "At most one checkpoint is under way");
    const head = this.#journal.beginSegment(checkpoint.records, persistedUpTo);
    this.#tables.beginCheckpoint(persistedUpTo);
    const headRecords = checkpoint.records.length;
    this.#checkpoint = { number: checkpoint.number, head, headRecords, tablesDurable: false, mark: 0 };
  }

  /** Begins a sync of all that is pending, if something is and none is under way: how long it takes, or -1. */
  beginSync(): number {
    return this.#journal.beginSync()
      ? this.#random.between(this.#options.syncUsMin, this.#options.syncUsMax) + this.extraSyncUs
      : -1;
  }

  /** The sync under way ends. */
  endSync(now: number): void {
    this.#journal.endSync(now);
    this.#tables.durable(this.durableUpTo);
    this.#markCheckpoint();
  }

  /** How long the tables of a checkpoint that begins now take to become durable. */
  checkpointUs(): number {
    return this.#random.between(this.#options.checkpointUsMin, this.#options.checkpointUsMax);
  }

  /** The tables of the checkpoint under way are durable. */
  endTables(now: number): void {
    this.#journal.settle(now);
    invariant(this.#checkpoint !== null, "Tables become durable for a checkpoint");
    this.#checkpoint.tablesDurable = true;
    this.#markCheckpoint();
  }

  /** The number of the checkpoint that has just become complete, once; else -1. */
  takeCompleted(): number {
    const checkpoint = this.#checkpoint;
    if (checkpoint === null || checkpoint.mark === 0 || this.#journal.durable < checkpoint.mark) return -1;
    const before = this.#room < Infinity ? this.#journal.size : 0;
    this.#journal.dropOlder();
    if (this.#room < Infinity) this.#room += before - this.#journal.size;
    this.#tables.endCheckpoint();
    this.#checkpoint = null;
    return checkpoint.number;
  }

  /** A step ended. */
  stepped({ persistedUpTo, notes }: Pick<Effects, "persistedUpTo" | "notes">): void {
    let applied = false;
    for (let i = 0; i < notes.length && !applied; i++) applied = notes[i]!.kind === "applied";
    this.#tables.stepped(persistedUpTo, applied);
  }

  /** Damages the journal where that must be found out. False where nothing can be damaged so yet. */
  damageJournal(damage: Damage, random: Random, now: number): boolean {
    this.#journal.settle(now);
    return this.#journal.damage(damage, random);
  }

  /** Something of the tables can no longer be read. False where nothing can be damaged so. */
  damageTables(random: Random): boolean {
    return this.#tables.damage(random);
  }

  /** An error that the kernel met tells of damaged tables: its host begins anew, and sets them aside. */
  found(error: unknown): boolean {
    return this.#tables.found(error);
  }

  /**
   * The process dies without warning, alone or with its machine. The journal is then what its real recovery makes of the
   * bytes that are left.
   */
  crash(kind: Exclude<StopKind, "in-order">, now: number): DiskState {
    this.#journal.settle(now);
    const journal = this.#journal, checkpoint = this.#checkpoint, durable = journal.durable;
    const numbers: number[] = [];
    for (let sequence = durable; sequence <= journal.last; sequence++) {
      numbers.push(journal.numberAt(sequence));
    }
    return this.#restart(journal.stop(kind, this.#random), ({ lastSequence }) => {
      const counts = checkpoint !== null && checkpoint.mark > 0 && lastSequence >= checkpoint.mark;
      return this.#tables.crash(kind, { number: numbers[lastSequence - durable] ?? 0, counts });
    });
  }

  /** The process ended in good order: everything is durable. */
  shutDown(): DiskState {
    return this.#restart(this.#journal.stop("in-order", this.#random), () => this.#tables.shutDown());
  }

  /** All that it held is gone. */
  lose(): void {
    this.#state = { kind: "lost", why: "the disk is gone", behindSeal: false, gone: true };
  }

  /** What the last stop left; null: the machine never stopped. */
  get state(): DiskState | null {
    return this.#state;
  }

  /** What the journal said when it was read last. */
  recovered(): Recovered {
    invariant(this.#recovered !== null, "A disk recovers after a stop");
    return this.#recovered;
  }

  /** `reopen`: opens the tables; true: they were lost. */
  #restart(read: Readback, reopen: (recovery: JournalRecovery) => boolean): DiskState {
    if (read.kind !== "recovered") {
      if (read.kind === "wrong") return this.#state = read;
      return this.#state = {
        kind: "lost",
        why: read.error.message,
        behindSeal: read.behindSeal,
        gone: false,
      };
    }
    const tablesLost = reopen(read.recovery);
    this.#recovered = read.recovery.recovered;
    this.#checkpoint = null;
    return this.#state = { kind: "whole", damage: read.damage, tablesLost };
  }

  #markCheckpoint(): void {
    const checkpoint = this.#checkpoint;
    if (checkpoint === null || checkpoint.mark > 0 || !checkpoint.tablesDurable) return;
    if (!this.#tables.checkpointed) return;
    if (this.#journal.durable >= checkpoint.head) {
      checkpoint.mark = this.#journal.mark(checkpoint.headRecords);
    }
  }
}
