/** The tables on a simulated disk, of two kinds: what a disk asks of them, and what a stop leaves of each. */
import { invariant } from "../core/base/invariant.ts";
import type { KeyRange, Row, Tables, TablesSnapshot } from "../core/base/ports.ts";
import type { Random } from "../core/base/random.ts";
import type { Vault } from "../core/base/vault.ts";
import { TablesCorruptError, type TablesOwner } from "../core/tables/errors.ts";
import { SimTableFiles } from "./table_files.ts";
import { TableStore } from "./table_store.ts";
import { MemoryTables, type TablesCheckpoint } from "./tables.ts";

export interface DiskTables {
  /** What a kernel of this life reads and writes. */
  readonly tables: Tables;
  /** Something of them is damaged, and nobody has found out. */
  readonly damaged: boolean;
  /** The last checkpoint that was begun is durable, as far as the tables are asked. */
  readonly checkpointed: boolean;
  /** A step ended, and with it `number` persist records of this life had been asked for. */
  stepped(number: number, applied: boolean): void;
  /** The journal is durable up to this number. */
  durable(number: number): void;
  /** They are to become durable as they are at the end of the step that had asked for so many records. */
  beginCheckpoint(number: number): void;
  /** The last checkpoint counts: a stop falls back to nothing older. */
  endCheckpoint(): void;
  /** Changes what lies on the disk. False: there is nothing yet. */
  damage(random: Random): boolean;
  /** The error tells of damage that was done; what it was thrown in has to end. */
  found(error: unknown): boolean;
  /**
   * The process ended; the tables are open again for the next. `number`: the last record that the journal kept;
   * `counts`: the checkpoint under way counts. True: they could not be read, were set aside, and are empty.
   */
  crash(kind: "process" | "power", kept: { readonly number: number; readonly counts: boolean }): boolean;
  /** The process ended in good order: everything is durable. True as for crash(). */
  shutDown(): boolean;
}

/** The tables at the end of a step, and the persist records of this life up to that step. */
interface TreeState {
  readonly number: number;
  readonly tables: TablesCheckpoint;
}

/** Steps that applied entries between two states of the tables that a crash may fall back to, on average. */
const STEPS_PER_STATE = 64;
const STATES_KEPT = 4;

/** A B-tree in memory that goes back to an earlier state. Quick; its damage is met at the next stop. */
export class TreeTables implements DiskTables {
  readonly #random: Random;
  tables = new MemoryTables();
  damaged = false;
  readonly checkpointed = true;
  /** States that a crash may fall back to, in the order of time; the first is the last done checkpoint's. */
  #states: TreeState[];
  #checkpoint: TreeState | null = null;
  #stepsToState = STEPS_PER_STATE;

  constructor(random: Random) {
    this.#random = random;
    this.#states = [{ number: 0, tables: this.tables.checkpoint() }];
  }

  /** Now and then the tables of a step that applied something become a state to fall back to. */
  stepped(number: number, applied: boolean): void {
    if (!applied || --this.#stepsToState > 0) return;
    this.#stepsToState = 1 + this.#random.below(STEPS_PER_STATE * 2);
    this.#states.push({ number, tables: this.tables.checkpoint() });
    // Few are enough: the newest may be too new for the journal, then an older one serves.
    if (this.#states.length > STATES_KEPT && this.#states[1] !== this.#checkpoint) this.#states.splice(1, 1);
  }

  durable(): void {}

  beginCheckpoint(number: number): void {
    this.#checkpoint = { number, tables: this.tables.checkpoint() };
    this.#states.push(this.#checkpoint);
  }

  endCheckpoint(): void {
    invariant(this.#checkpoint !== null, "A checkpoint ends that was begun");
    this.#states = this.#states.slice(this.#states.indexOf(this.#checkpoint));
    this.#checkpoint = null;
  }

  damage(): boolean {
    return this.damaged = true;
  }

  found(): boolean {
    return false;
  }

  crash(_kind: "process" | "power", { number, counts }: { number: number; counts: boolean }): boolean {
    if (this.damaged) return this.#reopen(new MemoryTables().checkpoint());
    let states = this.#states.filter((state) => state.number <= number);
    if (counts) states = states.slice(states.indexOf(this.#checkpoint!));
    return this.#reopen(this.#random.pick(states).tables);
  }

  shutDown(): boolean {
    return this.#reopen(this.damaged ? new MemoryTables().checkpoint() : this.tables.checkpoint());
  }

  #reopen(tables: TablesCheckpoint): boolean {
    const lost = this.damaged;
    this.tables = new MemoryTables(tables);
    this.#checkpoint = null;
    this.#states = [{ number: 0, tables }];
    this.damaged = false;
    return lost;
  }
}

export interface FileTablesOptions {
  readonly random: Random;
  readonly vault: Vault;
  readonly owner: TablesOwner;
}

/** Pieces that the writer merges after each sync of the journal: less than it would like to, so that work piles up. */
const PIECES = 2;

/**
 * The tables of core/tables on simulated files. A stop leaves bytes, which are opened as a host opens them. Damage is
 * met where it is read: by the node, by the writer as it merges, or in opening.
 */
export class FileTables implements DiskTables, Tables {
  readonly #options: FileTablesOptions;
  #files: SimTableFiles;
  #store: TableStore;
  #damaged = false;
  /** Damage that the writer found, on its own thread in a real host. The node hears of it with its next read. */
  #failure: TablesCorruptError | null = null;
  #found = false;
  #checkpointed = true;
  #images = 0;

  constructor(options: FileTablesOptions) {
    this.#options = options;
    this.#files = new SimTableFiles(this.#stream());
    this.#store = this.#open();
  }

  get tables(): Tables {
    return this;
  }
  get damaged(): boolean {
    return this.#damaged;
  }
  get checkpointed(): boolean {
    return this.#checkpointed;
  }

  // ---- what the kernel does

  get(key: Uint8Array): Uint8Array | null {
    return this.#whole().get(key);
  }
  range(range: KeyRange): Iterable<Row> {
    return this.#whole().range(range);
  }
  set(key: Uint8Array, value: Uint8Array): void {
    this.#store.set(key, value);
  }
  delete(key: Uint8Array): void {
    this.#store.delete(key);
  }
  deleteRange(span: { readonly start: Uint8Array; readonly end: Uint8Array }): void {
    this.#store.deleteRange(span);
  }
  snapshot(): TablesSnapshot {
    return this.#whole().snapshot();
  }

  // ---- what the disk does

  stepped(number: number): void {
    this.#write((store) => store.endStep(number));
  }

  durable(number: number): void {
    this.#write((store) => {
      store.durable(number);
      store.work(PIECES);
    });
  }

  beginCheckpoint(number: number): void {
    this.#checkpointed = false;
    this.#write((store) => {
      store.endStep(number);
      store.checkpoint(number, () => {
        this.#checkpointed = true;
      });
    });
  }

  endCheckpoint(): void {
    invariant(this.#checkpointed, "A checkpoint counts when the tables are durable");
  }

  /** Bits of one byte change, or a sector is overwritten with another of the same disk. */
  damage(random: Random): boolean {
    const name = random.pick(this.#files.list());
    const bytes = this.#files.read(name)!, at = random.below(bytes.length);
    if (random.chance(1, 2)) this.#files.flip(name, at, 1 << random.below(8));
    else {
      const from = this.#files.read(random.pick(this.#files.list()))!, start = random.below(from.length);
      this.#files.overwrite(name, at, from.slice(start, start + 512));
    }
    return this.#damaged = true;
  }

  found(error: unknown): boolean {
    if (!(error instanceof TablesCorruptError) || !this.#damaged) return false;
    return this.#found = true;
  }

  crash(kind: "process" | "power"): boolean {
    this.#store.abandon();
    if (kind === "power") this.#files = this.#files.crash(this.#stream());
    return this.#reopen();
  }

  shutDown(): boolean {
    this.#write((store) => {
      store.durable(Number.MAX_SAFE_INTEGER);
      store.close();
    });
    if (this.#failure !== null) this.#store.abandon();
    return this.#reopen();
  }

  #reopen(): boolean {
    const lost = this.#found || this.#failure !== null;
    if (!lost) {
      try {
        this.#store = this.#open();
        return false;
      } catch (error) {
        if (!this.found(error)) throw error;
      }
    }
    this.#files = new SimTableFiles(this.#stream());
    this.#damaged = this.#found = false;
    this.#store = this.#open();
    return true;
  }

  #open(): TableStore {
    this.#failure = null;
    this.#checkpointed = true;
    const { vault, owner } = this.#options;
    return new TableStore({ files: this.#files, vault, owner });
  }

  /** Of its own for each image of the files: salts are never drawn twice. */
  #stream(): Random {
    return this.#options.random.fork(`files ${++this.#images}`);
  }

  #whole(): TableStore {
    if (this.#failure !== null) throw this.#failure;
    return this.#store;
  }

  /** What a real host does on the writer's thread. */
  #write(write: (store: TableStore) => void): void {
    if (this.#failure !== null) return;
    try {
      write(this.#store);
    } catch (error) {
      if (!(error instanceof TablesCorruptError) || !this.#damaged) throw error;
      this.#failure = error;
    }
  }
}
