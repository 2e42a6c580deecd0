import { fmix32, hashBytes32 } from "../../core/base/hash.ts";
import type { Entry } from "../../core/wire/messages.ts";

/**
 * A replica's log as its journal records tell it, kept outside of the node. Each position carries a chain: a hash of
 * all entries up to it, so that two logs are equal up to a position exactly when their chains there are.
 */
export class LogHistory {
  /** The log is known after this index; `startChain` null: what lies before is not known. */
  start = 0;
  startChain: number | null = 0;
  readonly #terms: number[] = [];
  readonly #chains: (number | null)[] = [];
  /** The replica's current term. */
  term = 0;
  /** The last index that the replica said it applied. */
  applied = 0;

  get last(): number {
    return this.start + this.#terms.length;
  }

  /** The term of the entry at `index`; -1 where none is known. */
  termAt(index: number): number {
    return this.#terms[index - this.start - 1] ?? -1;
  }

  chainAt(index: number): number | null {
    return index === this.start ? this.startChain : this.#chains[index - this.start - 1] ?? null;
  }

  append(entry: Entry): void {
    const before = this.#chains.length === 0 ? this.startChain : this.#chains[this.#chains.length - 1]!;
    this.#terms.push(entry.term);
    this.#chains.push(before === null ? null : chained(before, entry));
  }

  /** Entries from `index` on are void. */
  truncate(index: number): void {
    const keep = Math.max(0, index - this.start - 1);
    if (keep < this.#terms.length) this.#terms.length = this.#chains.length = keep;
  }

  /** The log restarts after `index`. */
  restart(index: number, chain: number | null): void {
    this.start = index;
    this.startChain = chain;
    this.#terms.length = this.#chains.length = 0;
  }
}

function chained(before: number, entry: Entry): number {
  return fmix32(Math.imul(before, 31) ^ hashBytes32(entry.data, entry.term) ^ entry.kind.length);
}
