import type { Origin } from "../core/node/options.ts";
import type { Effects, Input } from "../core/wire/kernel.ts";
import type { CrashDamage } from "./journal_disk.ts";
import type { DiskState } from "./disk.ts";
import type { Machine } from "./machine.ts";

/** Watches a run from outside the nodes. It must change nothing. Times are virtual microseconds. */
export interface Observer {
  /** A kernel was made; its "start" follows. */
  started?(machine: Machine, origin: Origin, now: number): void;
  /** After each step that persisted or noted something, before its messages leave. */
  stepped?(machine: Machine, input: Input, effects: Effects, now: number): void;
  /** A machine lost its power or its process; what that did to its disk. "halted" was told before. */
  crashed?(machine: Machine, damage: CrashDamage, now: number): void;
  /** What a machine that stopped will find on its disk when it starts again: all whole, tables lost, or everything. */
  readBack?(machine: Machine, state: DiskState, now: number): void;
  /** A machine stopped, for whatever reason; its power says which. */
  halted?(machine: Machine, now: number): void;
}

/** Sees every step, for traces and for finding the first differing event of two runs. */
export type Tracer = (
  machine: Machine,
  input: Input,
  effects: Effects,
  now: number,
  sequence: number,
) => void;

/** A rule that was found broken, with enough of the story to begin looking. */
export interface Violation {
  readonly check: string;
  readonly detail: string;
  readonly time: number;
}
