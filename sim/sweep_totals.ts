import type { FaultKind } from "./scenario_faults.ts";
import { countFired, neverFired, SOMETIMES, type SometimesName } from "./sometimes.ts";

/** What a sweep keeps of one seed, as far as the totals need it. */
export interface SweptSeed {
  readonly seed: number;
  readonly ok: boolean;
  readonly events: number;
  readonly virtualSeconds: number;
  readonly operations: number;
  readonly wallSeconds: number;
  readonly faults: readonly (readonly [FaultKind, number])[];
  readonly sometimes: readonly SometimesName[];
}

const SLOWEST = 5;

/** What all seeds of a sweep came to together. */
export class SweepTotals {
  readonly #seeds: readonly SweptSeed[];
  readonly #faults = new Map<FaultKind, number>();
  readonly #fired: ReadonlyMap<SometimesName, number>;
  /** Situations of the registry that a swarm of so many seeds has to meet, and did not. */
  readonly missing: readonly SometimesName[];
  readonly #tolerated: readonly SometimesName[];

  /** `swarm`: only a sweep that draws everything is expected to meet everything. */
  constructor(seeds: readonly SweptSeed[], swarm: boolean) {
    this.#seeds = seeds;
    for (const { faults } of seeds) {
      for (const [kind, n] of faults) this.#faults.set(kind, n + (this.#faults.get(kind) ?? 0));
    }
    this.#fired = countFired(seeds.map(({ sometimes }) => sometimes));
    const { missing, tolerated } = neverFired(this.#fired, swarm ? seeds.length : 0);
    this.missing = missing;
    this.#tolerated = tolerated;
  }

  get #sums(): { virtualSeconds: number; events: number; operations: number; wallSeconds: number } {
    const sum = (of: (seed: SweptSeed) => number) => this.#seeds.reduce((total, seed) => total + of(seed), 0);
    return {
      virtualSeconds: sum(({ virtualSeconds }) => virtualSeconds),
      events: sum(({ events }) => events),
      operations: sum(({ operations }) => operations),
      wallSeconds: sum(({ wallSeconds }) => wallSeconds),
    };
  }

  get #slowest(): SweptSeed[] {
    return this.#seeds.toSorted((a, b) => b.wallSeconds - a.wallSeconds || a.seed - b.seed).slice(0, SLOWEST);
  }

  get #faultsByKind(): (readonly [FaultKind, number])[] {
    return [...this.#faults].sort(([a], [b]) => (a < b ? -1 : 1));
  }

  asJson(): unknown {
    return {
      seeds: this.#seeds.length,
      failed: this.#seeds.filter(({ ok }) => !ok).length,
      ...this.#sums,
      faults: Object.fromEntries(this.#faultsByKind),
      sometimes: Object.fromEntries(this.#fired),
      missing: this.missing,
      slowest: this.#slowest.map(({ seed, wallSeconds }) => ({ seed, wallSeconds })),
    };
  }

  /** For people. */
  describe(): string {
    const { virtualSeconds, events, operations, wallSeconds } = this.#sums;
    const lines = [
      `totals    ${
        (virtualSeconds / 3600).toFixed(1)
      } virtual hours, ${events} events, ${operations} operations, ${wallSeconds.toFixed(0)} s of work`,
      `faults    ${this.#faultsByKind.map(([kind, n]) => `${n} ${kind}`).join(", ") || "none"}`,
      `slowest   ${
        this.#slowest.map(({ seed, wallSeconds }) => `${seed} (${wallSeconds.toFixed(1)} s)`).join(", ")
      }`,
      "sometimes, in how many seeds:",
    ];
    for (const [name, n] of this.#fired) {
      if (n > 0) lines.push(`${String(n).padStart(9)} ${name}`);
    }
    for (const name of this.#tolerated) {
      lines.push(`    never ${name} (expected within ${SOMETIMES[name].within} seeds of a swarm)`);
    }
    for (const name of this.missing) lines.push(`  MISSING ${name}: ${SOMETIMES[name].meaning}`);
    return lines.join("\n");
  }
}
