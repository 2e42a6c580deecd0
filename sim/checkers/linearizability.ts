/**
 * The search of Wing and Gong (1993) with Lowe's (2017) memoisation: is there an order of a history's operations that
 * keeps to real time and in which each one answers as a single copy of the object would?
 *
 * An operation whose outcome is unknown has `complete` Infinity: it may have happened at any time after its call, or
 * never.
 */

/** One operation on one object. Times are of one clock outside the nodes. */
export interface Interval {
  readonly invoke: number;
  readonly complete: number;
}

/** What the object does when used by one client alone. States are primitives, so that they can be remembered. */
export interface SequentialModel<O, S extends string | number> {
  readonly initial: S;
  /** The state after the operation, or undefined where the object would not have answered so. */
  step(state: S, operation: O): S | undefined;
  /** Names what the operation does and answers: two of the same name may stand for each other. */
  nameOf(operation: O): string;
}

export type Verdict =
  | { readonly kind: "linearizable" }
  /** `stuck`: the index of an operation that no order found a place for, in the longest order found. */
  | { readonly kind: "broken"; readonly stuck: number }
  | { readonly kind: "undecided"; readonly configurations: number };

/** Configurations visited before the search of one object gives up. */
export const CONFIGURATIONS_MAX = 2_000_000;

/** Searches for a linearization. Operations may come in any order. */
export function linearizable<O extends Interval, S extends string | number>(
  operations: readonly O[],
  model: SequentialModel<O, S>,
  configurationsMax: number = CONFIGURATIONS_MAX,
): Verdict {
  return new Search(operations, model, configurationsMax).run();
}

/** A call or a return in the list of what is not yet placed. */
interface Mark {
  readonly operation: number;
  /** The matching return; null for a return itself and for a call that never returned. */
  readonly match: Mark | null;
  readonly isCall: boolean;
  previous: Mark | null;
  next: Mark | null;
}

class Search<O extends Interval, S extends string | number> {
  readonly #operations: readonly O[];
  readonly #model: SequentialModel<O, S>;
  readonly #configurationsMax: number;
  readonly #head: Mark;
  #returnsLeft = 0;
  /** Placed operations, those that returned and those that did not, each numbered in the order of their calls. */
  readonly #rank: Int32Array;
  readonly #placed: Uint8Array;
  /** For each operation that did not return, the one called before it that does the same; -1: none. */
  readonly #twins: Int32Array;
  #lowest = 0;
  #highest = -1;
  readonly #optionalsPlaced = new Set<number>();
  readonly #seen = new Set<string>();

  constructor(operations: readonly O[], model: SequentialModel<O, S>, configurationsMax: number) {
    this.#operations = operations;
    this.#model = model;
    this.#configurationsMax = configurationsMax;
    this.#rank = new Int32Array(operations.length);
    this.#placed = new Uint8Array(operations.length + 1);
    this.#twins = new Int32Array(operations.length).fill(-1);
    this.#head = this.#listOfMarks();
  }

  run(): Verdict {
    const stack: { readonly mark: Mark; readonly state: S }[] = [];
    let state = this.#model.initial, mark = this.#head.next;
    let deepest = -1, stuck = -1;
    // What need not have happened comes in only where nothing goes on without it: most of it left no trace.
    let optional = false;
    while (this.#returnsLeft > 0) {
      if (mark!.isCall) {
        if ((mark!.match === null) !== optional) {
          mark = mark!.next;
          continue;
        }
        const next = this.#model.step(state, this.#operations[mark!.operation]!);
        // What need not have happened and would change nothing is left out: that says the same with fewer orders.
        const isIdle = next === state && optional;
        if (next !== undefined && !isIdle && !this.#waitsForTwin(mark!) && this.#place(mark!, next)) {
          if (this.#seen.size > this.#configurationsMax) {
            return { kind: "undecided", configurations: this.#seen.size };
          }
          stack.push({ mark: mark!, state });
          state = next;
          mark = this.#head.next;
          optional = false;
        } else mark = mark!.next;
        continue;
      }
      // An operation returned here and is not placed: whatever is placed later comes too late for it.
      if (!optional) {
        optional = true;
        mark = this.#head.next;
        continue;
      }
      if (stack.length > deepest) {
        deepest = stack.length;
        stuck = mark!.operation;
      }
      const last = stack.pop();
      if (last === undefined) return { kind: "broken", stuck };
      this.#unplace(last.mark);
      state = last.state;
      mark = last.mark.next;
      optional = last.mark.match === null;
    }
    return { kind: "linearizable" };
  }

  #listOfMarks(): Mark {
    const byCall = this.#operations.map((_, index) => index)
      .sort((x, y) => this.#operations[x]!.invoke - this.#operations[y]!.invoke || x - y);
    const marks: { readonly time: number; readonly mark: Mark }[] = [];
    let required = 0, optional = 0;
    const lastOf = new Map<string, number>();
    for (const operation of byCall) {
      const { invoke, complete } = this.#operations[operation]!;
      if (complete === Infinity) {
        const name = this.#model.nameOf(this.#operations[operation]!);
        this.#twins[operation] = lastOf.get(name) ?? -1;
        lastOf.set(name, operation);
      }
      const returned: Mark | null = complete === Infinity
        ? null
        : { operation, match: null, isCall: false, previous: null, next: null };
      this.#rank[operation] = returned === null ? optional++ : required++;
      marks.push({
        time: invoke,
        mark: { operation, match: returned, isCall: true, previous: null, next: null },
      });
      if (returned !== null) marks.push({ time: complete, mark: returned });
    }
    this.#returnsLeft = required;
    // What is called at the moment another returns may overlap it.
    marks.sort((x, y) => x.time - y.time || Number(y.mark.isCall) - Number(x.mark.isCall));
    const head: Mark = { operation: -1, match: null, isCall: false, previous: null, next: null };
    let last = head;
    for (const { mark } of marks) {
      last.next = mark;
      mark.previous = last;
      last = mark;
    }
    return head;
  }

  /** Of those that did not return and do the same, the one called first is placed first: no other order says more. */
  #waitsForTwin(call: Mark): boolean {
    const twin = call.match === null ? this.#twins[call.operation]! : -1;
    return twin >= 0 && !this.#optionalsPlaced.has(this.#rank[twin]!);
  }

  /** Places a call next in the order, unless the same operations were placed before with the same state. */
  #place(call: Mark, state: S): boolean {
    this.#record(call, true);
    const configuration = this.#configuration(state);
    if (this.#seen.has(configuration)) {
      this.#record(call, false);
      return false;
    }
    this.#seen.add(configuration);
    unlink(call);
    if (call.match !== null) {
      unlink(call.match);
      this.#returnsLeft--;
    }
    return true;
  }

  #unplace(call: Mark): void {
    if (call.match !== null) {
      relink(call.match);
      this.#returnsLeft++;
    }
    relink(call);
    this.#record(call, false);
  }

  #record(call: Mark, placed: boolean): void {
    const rank = this.#rank[call.operation]!;
    if (call.match === null) {
      if (placed) this.#optionalsPlaced.add(rank);
      else this.#optionalsPlaced.delete(rank);
      return;
    }
    this.#placed[rank] = placed ? 1 : 0;
    if (placed) {
      if (rank > this.#highest) this.#highest = rank;
      while (this.#placed[this.#lowest] === 1) this.#lowest++;
    } else {
      if (rank < this.#lowest) this.#lowest = rank;
      while (this.#highest >= 0 && this.#placed[this.#highest] === 0) this.#highest--;
    }
  }

  /** Names what is placed, briefly: all below #lowest are, and beyond it only what overlaps. */
  #configuration(state: S): string {
    let text = `${this.#lowest}`;
    for (let rank = this.#lowest + 1; rank <= this.#highest; rank++) {
      if (this.#placed[rank] === 1) text += `,${rank}`;
    }
    if (this.#optionalsPlaced.size > 0) text += `;${[...this.#optionalsPlaced].sort((x, y) => x - y).join()}`;
    return `${text}|${state}`;
  }
}

function unlink(mark: Mark): void {
  mark.previous!.next = mark.next;
  if (mark.next !== null) mark.next.previous = mark.previous;
}

function relink(mark: Mark): void {
  mark.previous!.next = mark;
  if (mark.next !== null) mark.next.previous = mark;
}
