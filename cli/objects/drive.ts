/**
 * Runs a program on objects with promises: what it asks for is done, and what came of that is told to it.
 *
 *  T1. A program that is given up, or whose body breaks, is told so where it stands, once, and may then still ask: it takes
 *      back what it had begun. Its promise settles when it has ended.
 *  T2. Each ticket is waited for or dropped once; what is dropped goes on, and nobody hears of it.
 *  T3. The bytes of a chunk that was got are the program's until it asks for something else, and those of one to be put are
 *      not looked at any more when it is stored: then whoever did the request may take the memory back.
 */
import { invariant, unreachable } from "../../core/base/invariant.ts";
import { type Answer, type Ask, ObjectError, type Program } from "../../core/objects/types.ts";
import type { Op, Response } from "../../core/wire/requests.ts";

/** Any client of the network. */
export interface Requests {
  /** The answer, refusals too. Never rejects but for what is broken. */
  request(op: Op): Promise<Response>;
  /** Nobody will look at these bytes of a request that was answered, or of its answer. */
  release?(bytes: Uint8Array): void;
}

export interface DriveOptions {
  readonly requests: Requests;
  /** Of a program that writes an object. */
  readonly source?: { read(bytes: number): Promise<Uint8Array> };
  /** Of a program that reads one: resolves when more can be taken. */
  readonly sink?: { write(bytes: Uint8Array): Promise<void> };
  readonly signal?: AbortSignal | undefined;
}

/** @throws {ObjectError} what the program throws, or "unavailable" where `signal` gives it up */
export async function drive<T>(program: Program<T>, options: DriveOptions): Promise<T> {
  const run = new Run(options);
  const { signal } = options;
  try {
    let next = program.next();
    while (next.done !== true) {
      const asked = next.value;
      let answer: Answer;
      try {
        // T1: what has been told is not told again.
        const given = run.answer(asked);
        answer = given instanceof Promise ? await run.unlessGivenUp(given) : given;
      } catch (error) {
        run.takesBack = true;
        next = program.throw(error);
        continue;
      }
      next = program.next(answer);
      run.done(asked, answer);
    }
    return next.value;
  } finally {
    signal?.removeEventListener("abort", run.abort);
  }
}

/** The caller no longer wants it. */
export function givenUp(): ObjectError {
  return new ObjectError("unavailable", "The operation was given up by who asked for it");
}

/** crypto.getRandomValues() gives no more at once. */
const RANDOM_BYTES_MAX = 65_536;

class Run {
  readonly #options: DriveOptions;
  readonly #tickets = new Map<number, { readonly op: Op; readonly response: Promise<Response> }>();
  /** What is waited for now. */
  #op: Op | null = null;
  /** Rejects what is waited for now. */
  #reject: ((error: ObjectError) => void) | null = null;
  #givenUp = false;
  #nextTicket = 1;
  /** It was told to give up, and cleans up. */
  takesBack = false;
  readonly abort = () => {
    this.#givenUp = true;
    this.#reject?.(givenUp());
  };

  constructor(options: DriveOptions) {
    this.#options = options;
    if (options.signal?.aborted === true) this.abort();
    else options.signal?.addEventListener("abort", this.abort, { once: true });
  }

  /** Whoever is not waiting just when it is given up hears of it at the next wait. */
  unlessGivenUp(answer: Promise<Answer>): Promise<Answer> {
    if (this.takesBack || this.#options.signal === undefined) return answer;
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      // Also where nobody waits for it any more.
      answer.then(resolve, reject);
      if (this.#givenUp) reject(givenUp());
    });
  }

  answer(ask: Ask): Answer | Promise<Answer> {
    switch (ask.kind) {
      case "begin":
        return this.#begin(ask.op);
      case "wait":
        return this.#take(ask.ticket);
      case "drop":
        this.#take(ask.ticket).catch(() => {});
        return undefined;
      case "read": {
        const { source } = this.#options;
        invariant(source !== undefined, "A program that reads a body was given one");
        return source.read(ask.bytes);
      }
      case "write": {
        const { sink } = this.#options;
        invariant(sink !== undefined, "A program that writes a body has somebody who takes it");
        return sink.write(ask.bytes).then(() => undefined);
      }
      case "random":
        return randomBytes(ask.bytes);
      case "now":
        return Date.now();
      case "sleep":
        return new Promise((done) => setTimeout(() => done(undefined), ask.ms));
      default:
        return unreachable(ask);
    }
  }

  /** T3: the program had this answer, and has gone on. */
  done(asked: Ask, answer: Answer): void {
    const { requests } = this.#options, op = this.#op;
    if (asked.kind !== "wait" || op === null || requests.release === undefined || !isResponse(answer)) return;
    if (op.kind === "chunk-put" && answer.kind === "stored") requests.release(op.bytes);
    else if (op.kind === "chunk-get" && answer.kind === "chunk") requests.release(answer.bytes);
  }

  #begin(op: Op): number {
    const ticket = this.#nextTicket++;
    const response = this.#options.requests.request(op);
    // It is looked at when it is waited for.
    response.catch(() => {});
    this.#tickets.set(ticket, { op, response });
    return ticket;
  }

  #take(ticket: number): Promise<Response> {
    const taken = this.#tickets.get(ticket);
    invariant(taken !== undefined, "T2: a program waits for a ticket that it has, or drops it");
    this.#tickets.delete(ticket);
    this.#op = taken.op;
    return taken.response;
  }
}

function isResponse(answer: Answer): answer is Response {
  return typeof answer === "object" && !(answer instanceof Uint8Array);
}

function randomBytes(bytes: number): Uint8Array {
  const random = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += RANDOM_BYTES_MAX) {
    crypto.getRandomValues(random.subarray(at, at + RANDOM_BYTES_MAX));
  }
  return random;
}
