/** A state machine that remembers, in order, the numbers it was given. */
import type { LogIndex, Term } from "../../../core/base/ids.ts";
import { fmix32 } from "../../../core/base/hash.ts";
import type { Row } from "../../../core/base/ports.ts";
import type { SnapshotSource, StateMachine } from "../../../core/partition/contracts.ts";
import type { Entry } from "../../../core/wire/messages.ts";
import type { Response } from "../../../core/wire/requests.ts";

export function number4(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}
export function readNumber4(bytes: Uint8Array): number {
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
}

/** The state at the end of a step: the first `length` numbers of `numbers`, which are never changed again. */
export interface ToyState {
  readonly appliedIndex: LogIndex;
  readonly appliedTerm: Term;
  readonly numbers: readonly number[];
  readonly length: number;
}

export const EMPTY_TOY: ToyState = {
  appliedIndex: 0 as LogIndex,
  appliedTerm: 0 as Term,
  numbers: [],
  length: 0,
};

export class Toy implements StateMachine {
  appliedIndex: LogIndex;
  appliedTerm: Term;
  #numbers: number[];
  #installing: number[] | null = null;
  readonly #witness: (entry: Entry) => void;

  constructor(state: ToyState, witness: (entry: Entry) => void = () => {}) {
    this.appliedIndex = state.appliedIndex;
    this.appliedTerm = state.appliedTerm;
    this.#numbers = state.numbers.slice(0, state.length);
    this.#witness = witness;
  }

  get numbers(): readonly number[] {
    return this.#numbers;
  }

  save(): ToyState {
    const { appliedIndex, appliedTerm } = this;
    return { appliedIndex, appliedTerm, numbers: this.#numbers, length: this.#numbers.length };
  }

  apply(
    entries: readonly Entry[],
    _now: number,
    answer: (index: LogIndex, response: Response) => void,
  ): void {
    for (const entry of entries) {
      if (entry.index !== this.appliedIndex + 1) {
        throw new Error(`Entry ${entry.index} applied after ${this.appliedIndex}`);
      }
      this.#witness(entry);
      this.appliedIndex = entry.index;
      this.appliedTerm = entry.term;
      if (entry.kind !== "command") continue;
      this.#numbers.push(readNumber4(entry.data));
      answer(entry.index, { kind: "done", version: entry.index });
    }
  }

  snapshot(): SnapshotSource {
    const { appliedIndex: index, appliedTerm: term } = this;
    const numbers = this.#numbers, length = numbers.length;
    let at = 0;
    return {
      index,
      term,
      next: (bytesMax) => {
        const rows: Row[] = [];
        for (let bytes = 0; at < length && (rows.length === 0 || bytes < bytesMax); at++, bytes += 8) {
          rows.push([number4(at), number4(numbers[at]!)]);
        }
        return rows;
      },
      close: () => {},
    };
  }

  beginInstall(): void {
    this.#installing = [];
  }
  installRows(rows: readonly Row[]): null {
    for (const [key, value] of rows) {
      if (readNumber4(key) !== this.#installing!.length) throw new Error("Rows out of order");
      this.#installing!.push(readNumber4(value));
    }
    return null;
  }
  finishInstall(index: LogIndex, term: Term): null {
    this.#numbers = this.#installing!;
    this.#installing = null;
    this.appliedIndex = index;
    this.appliedTerm = term;
    return null;
  }
  drop(): void {
    this.#numbers = [];
    this.appliedIndex = 0 as LogIndex;
    this.appliedTerm = 0 as Term;
  }

  stateDigest(): number {
    let h = 0;
    for (const n of this.#numbers) h = fmix32(h ^ n);
    return h;
  }
}
