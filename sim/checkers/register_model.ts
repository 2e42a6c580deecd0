import { unreachable } from "../../core/base/invariant.ts";
import type { Interval, SequentialModel } from "./linearizability.ts";

/**
 * The keys that operations of a history touch together, as one object: each key is a register. Values are numbers,
 * each written once in a run; ABSENT is a key that is not there.
 */
export const ABSENT = 0;
/** Any value that nobody ever saw, compared with or let expire: which one it is makes no difference. */
export const UNSEEN = -2;

/** What is compared with a register. */
export type Guard =
  | { readonly kind: "absent" }
  | { readonly kind: "present" }
  | { readonly kind: "value"; readonly value: number };

/** Registers are numbered from 0. An answer that is null is not known. */
export type Action =
  | {
    readonly kind: "write";
    readonly register: number;
    readonly value: number;
    readonly existed: boolean | null;
  }
  | { readonly kind: "read"; readonly register: number; readonly value: number }
  | {
    readonly kind: "cas";
    readonly register: number;
    readonly guard: Guard;
    readonly value: number;
    readonly applied: boolean | null;
    /** What was there instead, where it was not applied. */
    readonly found: number | null;
  }
  | {
    readonly kind: "transact";
    readonly conditions: readonly { readonly register: number; readonly guard: Guard }[];
    readonly then: readonly Item[];
    readonly otherwise: readonly Item[];
    readonly held: boolean | null;
    /** For each item of the branch that ran: what a get found; null for a write. */
    readonly results: readonly (number | null)[] | null;
  }
  /** A lease ends: deletes what was written under it, unless it was overwritten. */
  | { readonly kind: "expire"; readonly register: number; readonly value: number };

export type Item =
  | { readonly kind: "write"; readonly register: number; readonly value: number }
  | { readonly kind: "read"; readonly register: number };

export interface RegisterOperation extends Interval {
  readonly action: Action;
}

const nameOf = ({ action }: RegisterOperation): string => JSON.stringify(action);

/** One register alone: the state is its value. */
export const registerModel: SequentialModel<RegisterOperation, number> = {
  initial: ABSENT,
  step(state, { action }) {
    const registers = [state];
    return act(registers, action) ? registers[0] : undefined;
  },
  nameOf,
};

/** `count` registers: the state is their values, joined. */
export function registersModel(count: number): SequentialModel<RegisterOperation, string> {
  return {
    initial: new Array(count).fill(ABSENT).join(),
    step(state, { action }) {
      const registers = state.split(",").map(Number);
      return act(registers, action) ? registers.join() : undefined;
    },
    nameOf,
  };
}

/** Does the action to the registers. False where they would have answered otherwise. */
function act(registers: number[], action: Action): boolean {
  switch (action.kind) {
    case "write": {
      const existed = registers[action.register] !== ABSENT;
      if (action.existed !== null && action.existed !== existed) return false;
      registers[action.register] = action.value;
      return true;
    }
    case "read":
      return registers[action.register] === action.value;
    case "cas": {
      const held = holds(registers[action.register]!, action.guard);
      if (action.applied !== null && action.applied !== held) return false;
      if (!held && action.found !== null && action.found !== registers[action.register]) return false;
      if (held) registers[action.register] = action.value;
      return true;
    }
    case "transact":
      return transact(registers, action);
    case "expire":
      if (registers[action.register] === action.value) registers[action.register] = ABSENT;
      return true;
    default:
      return unreachable(action);
  }
}

function transact(registers: number[], action: Extract<Action, { kind: "transact" }>): boolean {
  const held = action.conditions.every(({ register, guard }) => holds(registers[register]!, guard));
  if (action.held !== null && action.held !== held) return false;
  const items = held ? action.then : action.otherwise;
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!;
    if (item.kind === "write") registers[item.register] = item.value;
    else if (action.results !== null && action.results[i] !== registers[item.register]) return false;
  }
  return true;
}

function holds(value: number, guard: Guard): boolean {
  switch (guard.kind) {
    case "absent":
      return value === ABSENT;
    case "present":
      return value !== ABSENT;
    case "value":
      return value === guard.value;
    default:
      return unreachable(guard);
  }
}
