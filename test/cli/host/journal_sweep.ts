/**
 * The host's journal over a file system that loses power after each single operation.
 *
 *     deno run --allow-read test/cli/host/journal_sweep.ts 1..200
 *
 * A seed tells a story: records, commits, checkpoints, rests, stops, failing syncs and writes. After each operation on
 * a file the power fails (and the story goes on all the same), what may be left is recovered, written to, and the power
 * fails again in the midst of that. Each recovery must hold
 *
 *  W1  all that was reported durable, and all that an earlier recovery had given back (J5);
 *  W2  nothing but what was appended, in order and unchanged;
 *  W3  a checkpoint that finishCheckpoint() was called for, and not one before the last that it reported done (J3, J4).
 *
 * Of three seeds two tell of a network with keys, which change now and then. For them
 *
 *  W4  no nonce is used twice under one key, in all that the story and its crashes write (C1);
 *  W5  a finished checkpoint leaves nothing that is encrypted with another generation than was current when its segment
 *      began (H7), and what the disk shows of the entries is not what they say.
 */
import { Buffer } from "node:buffer";
import { JournalFiles } from "../../../cli/host/journal.ts";
import { type LogIndex, nodeId, type PartitionId, type Term } from "../../../core/base/ids.ts";
import { unreachable } from "../../../core/base/invariant.ts";
import { Random } from "../../../core/base/random.ts";
import { OPEN_VAULT, SECRET_BYTES, type Vault } from "../../../core/base/vault.ts";
import type { JournalRecord, Recovered } from "../../../core/wire/kernel.ts";
import { type NoncesSeen, WatchedVault } from "../../support/watched_vault.ts";
import { MemoryFiles } from "./memory_files.ts";

const NODE = nodeId("sirius");
const PARTITION = 1 as PartitionId;
const TERM = 1 as Term;
const DIRECTORY = "journal";
/** Above what the journal syncs on its own thread. */
const LARGE_BYTES = 520 * 1024;
/** Begins every entry that is long enough. */
const MARKED = Buffer.from("as the node said it");

/** What is known of a disk: all that was appended, and how much of it must be found. */
class Ledger {
  /** Data by index; index 0 is never used. */
  readonly data: Uint8Array[] = [new Uint8Array(0)];
  durable = 0;
  /** The newest checkpoint that may count, and the newest that must. */
  called = 0;
  finished = 0;

  get last(): number {
    return this.data.length - 1;
  }

  copy(): Ledger {
    const copy = new Ledger();
    copy.data.push(...this.data.slice(1));
    return Object.assign(copy, { durable: this.durable, called: this.called, finished: this.finished });
  }

  /** Checks W1 to W3; from now on what was recovered is what there is. */
  recover(recovered: Recovered | null): void {
    const replica = recovered?.replicas.get(PARTITION);
    const base = Number(replica?.base.index ?? 0), last = base + (replica?.entries.length ?? 0);
    if (last < this.durable) throw new Error(`W1: ends with ${last}, and ${this.durable} was durable`);
    if (last > this.last) throw new Error(`W2: ends with ${last}, and ${this.last} was the last`);
    for (const { index, data } of replica?.entries ?? []) {
      if (Buffer.compare(data, this.data[index]!) !== 0) {
        throw new Error(`W2: entry ${index} is not what was written`);
      }
    }
    if (base > this.called) {
      throw new Error(`W3: begins with ${base}, and ${this.called} was the last that may`);
    }
    if (base < this.finished) throw new Error(`W3: begins with ${base}, and ${this.finished} was finished`);
    this.data.length = last + 1;
    this.durable = last;
    this.called = this.finished = base;
  }
}

/** The keys of one story. */
class Keys {
  readonly #secrets = new Map<number, Uint8Array>();
  readonly #seen: NoncesSeen = new Set();
  vault: Vault = OPEN_VAULT;

  constructor(seed: number) {
    if (seed % 3 !== 0) this.change();
  }

  /** Another generation is current. Former ones stay: files may need them. */
  change(): void {
    const generation = this.#secrets.size + 1;
    this.#secrets.set(generation, new Uint8Array(SECRET_BYTES).fill(generation));
    this.vault = new WatchedVault(this.#secrets, generation, this.#seen);
  }
}

/** A journal over some files, and what is known of it. */
class Life {
  readonly journal: JournalFiles;
  readonly ledger: Ledger;
  readonly #first: number;
  #appended = 0;
  failed: Error | null = null;

  constructor(files: MemoryFiles, ledger: Ledger, keys: Keys) {
    this.ledger = ledger;
    const events = {
      durable: (upTo: number) => {
        this.ledger.durable = this.#first + upTo;
      },
      failed: (error: Error) => {
        this.failed = error;
      },
    };
    const vault = () => keys.vault;
    const { journal, recovered } = JournalFiles.open({
      directory: DIRECTORY,
      node: NODE,
      events,
      files,
      vault,
    });
    this.journal = journal;
    ledger.recover(recovered);
    this.#first = ledger.last;
  }

  append(...data: Uint8Array[]): void {
    const entries = data.map((data, i) => entry(this.ledger.last + 1 + i, data));
    this.ledger.data.push(...data);
    this.#appended += data.length;
    // The node's count is of entries here, one record or several.
    this.journal.append([{ kind: "entries", partition: PARTITION, entries }], this.#appended);
  }

  /** What a checkpoint says of entries up to `base` being in the tables. */
  head(base: number): JournalRecord[] {
    const records: JournalRecord[] = [{
      kind: "base",
      partition: PARTITION,
      index: base as LogIndex,
      term: TERM,
      configuration: { voters: [NODE], outgoing: [], learners: [] },
      configurationIndex: 0 as LogIndex,
    }];
    for (let index = base + 1; index <= this.ledger.last; index++) {
      records.push({
        kind: "entries",
        partition: PARTITION,
        entries: [entry(index, this.ledger.data[index]!)],
      });
    }
    return records;
  }
}

function entry(index: number, data: Uint8Array) {
  return { index: index as LogIndex, term: TERM, kind: "command", data } as const;
}

export interface SweepOptions {
  readonly seed: number;
  /** How many disks are drawn after each operation. */
  readonly crashes?: number;
  /** Of the story. */
  readonly steps?: number;
}

export interface Swept {
  readonly operations: number;
  readonly recoveries: number;
  readonly failures: number;
}

const STEPS = [
  ...["append", "append", "append", "commit", "commit", "commit", "complete", "complete"],
  ...["checkpoint", "checkpoint", "large", "rest", "reopen", "fail", "key"],
] as const;

/** @throws {Error} naming the seed and the operations before, where a recovery does not hold what it must */
export function sweep(options: SweepOptions): Promise<Swept> {
  return new Sweep(options).run();
}

class Sweep {
  readonly #seed: number;
  readonly #crashes: number;
  readonly #steps: number;
  readonly #random: Random;
  readonly #crashRandom: Random;
  readonly #files: MemoryFiles;
  readonly #keys: Keys;
  readonly #operations: string[] = [];
  #ledger = new Ledger();
  #life: Life | null = null;
  /** The next step of a checkpoint that is under way. */
  #checkpoint: (() => Promise<void>) | null = null;
  #recoveries = 0;
  #failures = 0;
  /** Kept here: what is thrown within an operation looks to the journal like an operation that failed. */
  #violation: SweepError | null = null;

  constructor({ seed, crashes = 1, steps = 25 }: SweepOptions) {
    this.#seed = seed;
    this.#crashes = crashes;
    this.#steps = steps;
    this.#random = Random.fromSeed(seed);
    this.#crashRandom = this.#random.fork("crashes");
    this.#files = new MemoryFiles(this.#random.fork("files"));
    this.#keys = new Keys(seed);
    this.#files.done = (operation) => this.#crashAfter(operation);
  }

  async run(): Promise<Swept> {
    for (let i = 0; i < this.#steps; i++) {
      const life = this.#life ??= this.#open();
      await this.#step(life, this.#random.pick(STEPS));
      if (life.failed !== null && this.#life === life) await this.#end(life);
      if (this.#violation !== null) throw this.#violation;
    }
    if (this.#life !== null) await this.#end(this.#life);
    if (this.#violation !== null) throw this.#violation;
    return { operations: this.#operations.length, recoveries: this.#recoveries, failures: this.#failures };
  }

  /** In place, as a node that was down does it: it reads what is in memory. A fault may hit it. */
  #open(): Life {
    for (;;) {
      this.#operations.push("(open)");
      try {
        return this.#guarded(() => new Life(this.#files, this.#ledger, this.#keys));
      } catch (error) {
        if (this.#violation !== null) throw this.#violation;
        if (!(error instanceof Error) || error.name !== "JournalWriteError") throw error;
        this.#failures++;
      }
      this.#expectClosed();
    }
  }

  async #step(life: Life, step: typeof STEPS[number]): Promise<void> {
    const { journal, ledger } = life;
    switch (step) {
      case "append":
        return life.append(...Array.from({ length: this.#random.between(1, 4) }, () => this.#data()));
      case "large":
        return this.#random.chance(1, 2)
          ? life.append(new Uint8Array(LARGE_BYTES).fill(ledger.last))
          : undefined;
      case "commit":
        return journal.commit();
      case "complete":
        return await this.#complete();
      case "checkpoint":
        if (this.#checkpoint !== null) return await this.#checkpoint();
        return this.#beginCheckpoint(life);
      case "rest":
        return await this.#rest(life);
      case "reopen":
        return await this.#end(life);
      case "fail":
        this.#files.fault = {
          kind: this.#random.chance(2, 3) ? "sync" : "write",
          after: this.#random.below(3),
        };
        return;
      case "key":
        if (this.#keys.vault !== OPEN_VAULT) this.#keys.change();
        return;
      default:
        return unreachable(step);
    }
  }

  #beginCheckpoint(life: Life): void {
    const { journal, ledger } = life;
    const base = this.#random.between(ledger.finished, ledger.durable);
    const generations = new Set([this.#keys.vault.current]);
    const head = this.#ended(journal.rotate(life.head(base)));
    this.#checkpoint = async () => {
      await head();
      if (life.failed !== null) return;
      // The segment begins when the syncs before it have ended, and the keys may have changed by then.
      generations.add(this.#keys.vault.current);
      ledger.called = base;
      const mark = this.#ended(journal.finishCheckpoint());
      this.#checkpoint = async () => {
        await mark();
        this.#checkpoint = null;
        if (life.failed !== null) return;
        ledger.finished = base;
        this.#guarded(() => this.#checkFiles(life, generations));
      };
    };
  }

  /** W5. */
  #checkFiles({ journal }: Life, generations: ReadonlySet<number>): void {
    const [used, ...others] = journal.generations;
    if (others.length > 0 || !generations.has(used!)) {
      throw new Error(`W5: files of generations ${journal.generations} are left, not of ${[...generations]}`);
    }
    if (used === 0) return;
    for (const name of this.#files.list()) {
      if (Buffer.from(this.#files.read(name)).includes(MARKED)) throw new Error(`W5: ${name} shows an entry`);
    }
  }

  /** Waits for a promise that only ends when the syncs under way do. */
  #ended(promise: Promise<unknown>): () => Promise<void> {
    let ended = false;
    const end = () => {
      ended = true;
    };
    promise.then(end, end);
    return async () => {
      while (!ended) await this.#complete();
      await promise;
    };
  }

  async #complete(): Promise<void> {
    this.#files.complete();
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }

  /** Until it is sealed, where it is durable to its end. */
  async #rest({ journal, ledger }: Life): Promise<void> {
    await this.#complete();
    const before = journal.segmentBytes;
    if (ledger.durable < ledger.last || !this.#random.chance(1, 2)) return;
    for (let ms = 0; ms < 8 && journal.segmentBytes === before; ms++) {
      await new Promise((done) => setTimeout(done, 1));
    }
  }

  async #end(life: Life): Promise<void> {
    this.#life = null;
    this.#checkpoint = null;
    if (life.failed !== null) this.#failures++;
    this.#operations.push("(close)");
    await this.#ended(life.journal.close())();
    await this.#complete();
    this.#expectClosed();
  }

  #expectClosed(): void {
    if (this.#files.openFiles > 0) this.#fail(new Error(`${this.#files.openFiles} files were left open`));
  }

  #data(): Uint8Array {
    const bytes = new Uint8Array(this.#random.below(this.#random.chance(1, 6) ? 3000 : 300));
    for (let i = 0; i < bytes.length; i += 5) bytes[i] = this.#random.below(256);
    if (bytes.length > MARKED.length) bytes.set(MARKED);
    return bytes;
  }

  #crashAfter(operation: string): void {
    this.#operations.push(operation);
    for (let i = 0; i < this.#crashes; i++) {
      this.#guarded(() => this.#recover(this.#files, this.#ledger, { deep: true }));
    }
  }

  /** Loses power, recovers, goes on, and where it is `deep` loses power again during that. */
  #recover(files: MemoryFiles, known: Ledger, { deep }: { deep: boolean }): void {
    this.#recoveries++;
    const random = this.#crashRandom;
    const left = files.crash(random), ledger = known.copy();
    if (deep) {
      left.done = () => {
        if (random.chance(1, 4)) this.#guarded(() => this.#recover(left, ledger, { deep: false }));
      };
    }
    const life = new Life(left, ledger, this.#keys);
    if (!deep) return void life.journal.close();
    for (let i = 0; i < 2; i++) {
      life.append(new Uint8Array(random.below(600)).fill(i + 1));
      life.journal.commit();
    }
    void life.journal.close();
    if (ledger.durable !== ledger.last) throw new Error("It does not go on after recovery");
  }

  #guarded<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      if (error instanceof Error && error.name === "JournalWriteError") throw error;
      return this.#fail(error);
    }
  }

  #fail(error: unknown): never {
    if (error instanceof SweepError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw this.#violation ??= new SweepError(
      `${why}\nafter ${this.#operations.slice(-25).join("\n      ")}\n` +
        `Again: deno run --allow-read test/cli/host/journal_sweep.ts ${this.#seed}..${this.#seed}`,
    );
  }
}

export class SweepError extends Error {
  override readonly name = "SweepError";
}

if (import.meta.main) {
  const [first = NaN, last = first] = (Deno.args[0] ?? "1..20").split("..").map(Number);
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) {
    console.error(`Seeds are given as in 1..200, not "${Deno.args[0]}"`);
    Deno.exit(2);
  }
  let recoveries = 0;
  for (let seed = first; seed <= last; seed++) {
    try {
      recoveries += (await sweep({ seed })).recoveries;
    } catch (error) {
      if (!(error instanceof SweepError)) throw error;
      console.error(`Seed ${seed}: ${error.message}`);
      Deno.exit(1);
    }
  }
  console.log(`${recoveries} recoveries held what they must`);
}
