import { invariant } from "../core/base/invariant.ts";
import { EventHeap } from "./heap.ts";

/** What the loop hands its events to. The meaning of `kind`, `a`, `b` and `payload` is the handler's. */
export interface EventHandler {
  handle(kind: number, a: number, b: number, payload: unknown): void;
}

/**
 * Virtual time: jumps from event to event.
 *
 * Invariants: 1. `now` never decreases. 2. Events run in the order of (time, sequence). 3. Nothing is scheduled
 * in the past.
 */
export class Loop {
  readonly #heap = new EventHeap();
  /** Virtual time in microseconds. */
  now = 0;
  /** The sequence number of the event that is being handled. */
  sequence = 0;
  /** Events handled so far. */
  events = 0;
  #halted = false;

  get pending(): number {
    return this.#heap.size;
  }

  /** Schedules an event at `time`, which is not before `now`. */
  at(time: number, kind: number, a: number, b: number, payload: unknown): void {
    invariant(time >= this.now, "Loop invariant 3: nothing is scheduled in the past");
    this.#heap.push(time, kind, a, b, payload);
  }

  /** Makes run() return after the event that is being handled. */
  halt(): void {
    this.#halted = true;
  }

  /** Handles every event up to and including `until`, then sets the time to `until`, unless halted. */
  run(handler: EventHandler, until: number): void {
    const heap = this.#heap;
    this.#halted = false;
    while (heap.nextTime <= until) {
      heap.pop();
      this.now = heap.time;
      this.sequence = heap.sequence;
      this.events++;
      handler.handle(heap.kind, heap.a, heap.b, heap.payload);
      if (this.#halted) return;
    }
    if (until > this.now) this.now = until;
  }
}
