/**
 * Drives a program of core/objects over a simulated client, as cli/objects does over a real one.
 *
 * Invariants
 *  R1  Each ticket is waited for or dropped at most once, and a body is read only while there is one.
 *  R2  A program that was abandoned is never stepped again: its process is gone, and what it had asked for may happen or not.
 */
import { invariant, unreachable } from "../../core/base/invariant.ts";
import type { Random } from "../../core/base/random.ts";
import type { Op, Response } from "../../core/wire/requests.ts";
import { type Answer, type Ask, ObjectError, type Program } from "../../core/objects/types.ts";
import type { ClientDriver } from "../client_driver.ts";
import type { World } from "../world.ts";

/** What of the world it needs. */
export type ProgramWorld = Pick<World, "schedule"> & { readonly loop: { readonly now: number } };

/** The day on which all runs begin. */
export const EPOCH_MS = Date.UTC(2026, 0, 1);

export type Outcome<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "failed"; readonly error: ObjectError }
  /** The program threw something that it must not. */
  | { readonly kind: "threw"; readonly error: unknown };

export interface ProgramOptions<T> {
  readonly world: ProgramWorld;
  readonly driver: Pick<ClientDriver, "submit">;
  readonly random: Random;
  readonly program: Program<T>;
  /** The body that is written, from its beginning. */
  readonly body?: Uint8Array | undefined;
  /** Takes the body that is read. */
  readonly take?: (bytes: Uint8Array) => void;
  /** Each operation is given up after this long. */
  readonly patienceUs?: number | undefined;
  readonly done: (outcome: Outcome<T>) => void;
  /** Abandons it before this ask, counted from 0. */
  readonly abandonAt?: number | undefined;
  readonly abandoned?: () => void;
}

export class ProgramRun<T> {
  readonly #options: ProgramOptions<T>;
  /** Answers that came before anybody waited for them; null: none yet. */
  readonly #tickets = new Map<number, Response | null>();
  #nextTicket = 1;
  #waitsFor = -1;
  #read = 0;
  #over = false;
  /** Asks so far. */
  asks = 0;

  constructor(options: ProgramOptions<T>) {
    this.#options = options;
  }

  get over(): boolean {
    return this.#over;
  }

  start(): void {
    this.#step(undefined);
  }

  /** R2. */
  abandon(): void {
    this.#over = true;
  }

  #step(first: Answer): void {
    const { program, done, abandonAt } = this.#options;
    let answer = first;
    while (!this.#over) {
      let next: IteratorResult<Ask, T>;
      try {
        next = program.next(answer);
      } catch (error) {
        this.#over = true;
        return done(error instanceof ObjectError ? { kind: "failed", error } : { kind: "threw", error });
      }
      if (next.done === true) {
        this.#over = true;
        return done({ kind: "done", value: next.value });
      }
      if (this.asks++ === abandonAt) {
        this.#over = true;
        return this.#options.abandoned?.();
      }
      const given = this.#answer(next.value);
      if (given === LATER) return;
      answer = given;
    }
  }

  #answer(ask: Ask): Answer | typeof LATER {
    const { world, random } = this.#options;
    switch (ask.kind) {
      case "begin":
        return this.#begin(ask.op);
      case "wait": {
        const response = this.#tickets.get(ask.ticket);
        invariant(response !== undefined, "R1: a program waits for a ticket that it has");
        if (response === null) {
          this.#waitsFor = ask.ticket;
          return LATER;
        }
        this.#tickets.delete(ask.ticket);
        return response;
      }
      case "drop":
        invariant(this.#tickets.delete(ask.ticket), "R1: a program drops a ticket that it has");
        return undefined;
      case "read": {
        const { body } = this.#options;
        invariant(body !== undefined, "R1: a program reads a body that it was given");
        const bytes = body.slice(this.#read, this.#read + ask.bytes);
        this.#read += bytes.length;
        return bytes;
      }
      case "write":
        this.#options.take?.(ask.bytes.slice());
        return undefined;
      case "random":
        return randomBytes(random, ask.bytes);
      case "now":
        return EPOCH_MS + Math.floor(world.loop.now / 1000);
      case "sleep":
        world.schedule(world.loop.now + Math.ceil(ask.ms * 1000), () => this.#step(undefined));
        return LATER;
      default:
        return unreachable(ask);
    }
  }

  #begin(op: Op): number {
    const ticket = this.#nextTicket++;
    this.#tickets.set(ticket, null);
    this.#options.driver.submit(op, (response) => this.#came(ticket, response), this.#options.patienceUs);
    return ticket;
  }

  #came(ticket: number, response: Response): void {
    if (this.#over || !this.#tickets.has(ticket)) return;
    if (this.#waitsFor !== ticket) {
      this.#tickets.set(ticket, response);
      return;
    }
    this.#waitsFor = -1;
    this.#tickets.delete(ticket);
    this.#step(response);
  }
}

const LATER: unique symbol = Symbol("later");

export function randomBytes(random: Random, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => random.below(256));
}
