/**
 * Tables on a disk that loses power after each single operation.
 *
 *     deno run --allow-read test/core/tables/crash_sweep.ts 1..200
 *
 * A seed tells a story: steps of writes, checkpoints, merges, a change of keys, snapshots, stops, failing syncs and
 * writes. After each operation on a file the power fails (and the story goes on all the same); what may be left is
 * opened, written to, and the power fails again in the midst of that. Each opening must find
 *
 *  W1  the rows as they were at the end of one step, all of them and no others,
 *  W2  a step that is not before the last checkpoint that was reported done, nor before what an opening found,
 *  W3  a step that is not after what the journal made durable.
 */
import { unreachable } from "../../../core/base/invariant.ts";
import { Random } from "../../../core/base/random.ts";
import { Vault } from "../../../core/base/vault.ts";
import { SimTableFiles } from "../../../sim/table_files.ts";
import type { TableStore } from "../../../sim/table_store.ts";
import { checkedText, SECRETS, storeOn, Twin } from "./stores.ts";

/** What is known: the rows after each step of this life, and which of them may be found. */
class Ledger {
  #states: string[] = [""];
  #twin = new Twin();
  checkpointed = 0;
  durable = 0;

  get step(): number {
    return this.#states.length - 1;
  }
  get twin(): Twin {
    return this.#twin;
  }

  endStep(): number {
    return this.#states.push(this.#twin.text().join()) - 1;
  }

  copy(): Ledger {
    const copy = new Ledger();
    copy.#states = [...this.#states];
    return Object.assign(copy, { checkpointed: this.checkpointed, durable: this.durable });
  }

  /** Checks W1 to W3. From now on what was found is what there is. */
  found(rows: readonly string[]): void {
    const text = rows.join(), from = this.#states.indexOf(text, this.checkpointed);
    if (from < 0) {
      const before = this.#states.indexOf(text);
      throw new Error(
        before < 0
          ? `W1: no step ended with ${text}`
          : `W2: found step ${before}, ${this.checkpointed} was done`,
      );
    }
    if (from > this.durable) throw new Error(`W3: found step ${from}, and ${this.durable} was durable`);
    this.#states = [text];
    this.#twin = new Twin();
    for (const row of rows) {
      this.#twin.rows.set(row.slice(0, row.indexOf("=")), row.slice(row.indexOf("=") + 1));
    }
    this.checkpointed = this.durable = 0;
  }
}

const ACTS = [
  ..."write write write write delete span step step step durable durable".split(" "),
  ..."checkpoint work work work snapshot release rotate reopen stop fail".split(" "),
] as const;
type Act =
  | "write"
  | "delete"
  | "span"
  | "step"
  | "durable"
  | "checkpoint"
  | "work"
  | "snapshot"
  | "release"
  | "rotate"
  | "reopen"
  | "stop"
  | "fail";

export interface Swept {
  readonly operations: number;
  readonly openings: number;
  readonly failures: number;
}

/** @throws {Error} naming the seed and the operations before, where an opening does not find what it must */
export function sweep({ seed, acts = 120, files = (random) => new SimTableFiles(random) }: {
  seed: number;
  acts?: number;
  /** Broken ones, to see that it is noticed. */
  files?: (random: Random) => SimTableFiles;
}): Swept {
  return new Sweep(seed, files).run(acts);
}

class Sweep {
  readonly #seed: number;
  readonly #random: Random;
  readonly #crashRandom: Random;
  readonly #files: SimTableFiles;
  readonly #operations: string[] = [];
  #ledger = new Ledger();
  #tables: TableStore | null = null;
  #generation = 1;
  #snapshots: { close(): void }[] = [];
  #openings = 0;
  #failures = 0;

  constructor(seed: number, files: (random: Random) => SimTableFiles) {
    this.#seed = seed;
    this.#random = Random.fromSeed(seed);
    this.#crashRandom = this.#random.fork("crashes");
    this.#files = files(this.#random.fork("files"));
    this.#files.done = (operation) => {
      this.#operations.push(operation);
      this.#guarded(() => this.#recover(this.#files, this.#ledger, true));
    };
  }

  run(acts: number): Swept {
    for (let i = 0; i < acts; i++) this.#attempt(() => this.#act(this.#random.pick(ACTS) as Act));
    return { operations: this.#operations.length, openings: this.#openings, failures: this.#failures };
  }

  /** What the system says went wrong ends a life; the next finds what is in memory, as a process does. */
  #attempt(act: () => void): void {
    try {
      if (this.#tables === null) this.#open();
      act();
    } catch (error) {
      if (!isFailure(error)) throw error;
      this.#failures++;
      this.#end("abandon", true);
    }
  }

  #open(): void {
    this.#operations.push("(open)");
    this.#tables = storeOn(this.#files, this.#vault());
    this.#guarded(() => this.#ledger.found(checkedText(this.#tables!)));
  }

  #vault(): Vault {
    return new Vault(SECRETS, this.#generation);
  }

  #act(act: Act): void {
    const tables = this.#tables!, ledger = this.#ledger, random = this.#random;
    switch (act) {
      case "write":
        for (let i = random.between(1, 8); i > 0; i--) {
          const key = this.#key(), value = new Uint8Array(random.below(120)).fill(random.below(256));
          tables.set(key, value);
          ledger.twin.set(key, value);
        }
        return;
      case "delete": {
        const key = this.#key();
        tables.delete(key);
        return ledger.twin.delete(key);
      }
      case "span": {
        // The wide ones bury whole files.
        const wide = random.chance(1, 3), a = random.below(wide ? 30 : 200);
        const span = { start: keyOf(a), end: keyOf(a + random.below(wide ? 200 : 40)) };
        tables.deleteRange(span);
        return ledger.twin.deleteRange(span);
      }
      case "step": {
        const step = ledger.endStep();
        return tables.endStep(step);
      }
      case "durable":
        ledger.durable = random.between(ledger.durable, ledger.step);
        return tables.durable(ledger.durable);
      case "checkpoint": {
        const step = ledger.endStep();
        tables.endStep(step);
        ledger.durable = step;
        tables.durable(step);
        return tables.checkpoint(step, () => ledger.checkpointed = step);
      }
      case "work":
        return void tables.work(random.between(1, 4), 300);
      case "snapshot":
        return void this.#snapshots.push(tables.snapshot());
      case "release":
        return this.#snapshots.shift()?.close();
      case "rotate":
        if (!random.chance(1, 3)) return;
        this.#generation = this.#generation % 3 + 1;
        return tables.rotate(this.#vault());
      case "reopen":
        tables.endStep(ledger.endStep());
        return this.#end("close", false);
      case "stop":
        return this.#end("abandon", false);
      case "fail":
        this.#files.fault = { kind: random.chance(2, 3) ? "sync" : "write", after: random.below(4) };
        return;
      default:
        return unreachable(act);
    }
  }

  #end(how: "close" | "abandon", failed: boolean): void {
    const tables = this.#tables;
    this.#tables = null;
    this.#snapshots = [];
    if (tables === null) return;
    this.#operations.push(`(${how}${failed ? " after a failure" : ""})`);
    if (how === "close") {
      try {
        tables.close();
      } catch (error) {
        tables.abandon();
        throw error;
      }
    } else tables.abandon();
  }

  /** Loses power, opens, goes on, and where it is `deep` loses power again during that. */
  #recover(files: SimTableFiles, known: Ledger, deep: boolean): void {
    this.#openings++;
    const random = this.#crashRandom, left = files.crash(random), ledger = known.copy();
    if (deep) {
      left.done = () => {
        if (random.chance(1, 4)) this.#recover(left, ledger, false);
      };
    }
    const tables = storeOn(left, this.#vault());
    ledger.found(checkedText(tables));
    if (deep && random.chance(1, 3)) {
      for (let i = 0; i < 12; i++) {
        const key = keyOf(random.below(200)), value = new Uint8Array(60).fill(i);
        tables.set(key, value);
        ledger.twin.set(key, value);
      }
      const step = ledger.endStep();
      ledger.durable = step;
      tables.endStep(step);
      tables.checkpoint(step, () => ledger.checkpointed = step);
      tables.durable(step);
      if (ledger.checkpointed !== step) throw new Error("It does not go on after it was opened");
      tables.work(6, 300);
    }
    tables.abandon();
    if (left.openFiles > 0) throw new Error(`${left.openFiles} files were left open`);
  }

  #key(): Uint8Array {
    return keyOf(this.#random.below(200));
  }

  #guarded(check: () => void): void {
    try {
      check();
    } catch (error) {
      const why = error instanceof Error ? error.stack : String(error);
      throw new SweepError(
        `${why}\nafter ${this.#operations.slice(-25).join("\n      ")}\n` +
          `Again: deno run --allow-read test/core/tables/crash_sweep.ts ${this.#seed}..${this.#seed}`,
      );
    }
  }
}

export class SweepError extends Error {
  override readonly name = "SweepError";
}

function isFailure(error: unknown): boolean {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
  return code === "EIO" || code === "ENOSPC";
}

function keyOf(number: number): Uint8Array {
  return Uint8Array.of(7, number >> 6, number & 63);
}

if (import.meta.main) {
  const [first = NaN, last = first] = (Deno.args[0] ?? "1..20").split("..").map(Number);
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(last)) {
    console.error(`Seeds are given as in 1..200, not "${Deno.args[0]}"`);
    Deno.exit(2);
  }
  let openings = 0, failures = 0;
  for (let seed = first; seed <= last; seed++) {
    const swept = sweep({ seed });
    openings += swept.openings;
    failures += swept.failures;
  }
  console.log(`${openings} openings found what they must; ${failures} lives ended in failures`);
}
