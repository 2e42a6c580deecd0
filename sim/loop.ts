import { invariant } from "../core/base/invariant.ts";
import { Alarms } from "./alarms.ts";
import { EventHeap } from "./heap.ts";

/** What the loop hands its events to. The meaning of `kind`, `a`, `b` and `payload` is the handler's. */
export interface EventHandler {
  handle(kind: number, a: number, b: number, payload: unknown): void;
  /** The owner's alarm rings, and is no longer set. */
  alarm(owner: number): void;
}

/**
 * Virtual time: jumps from event to event.
 *
 * Invariants: 1. `now` never decreases. 2. Events run in the order of (time, sequence of scheduling), and alarms after
 * the events of their time. 3. Nothing is scheduled in the past.
 */
export class Loop {
  readonly #heap = new EventHeap();
  readonly #alarms = new Alarms();
  /** Virtual time in microseconds. */
  now = 0;
  /** Events and alarms handled so far, with the one that is being handled. */
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

  /** Sets or moves the owner's one alarm, not into the past; Infinity withdraws it. */
  setAlarm(owner: number, time: number): void {
    invariant(time >= this.now, "Loop invariant 3: nothing is scheduled in the past");
    this.#alarms.set(owner, time);
  }

  /** Makes run() return after the event that is being handled. */
  halt(): void {
    this.#halted = true;
  }

  /** Handles every event up to and including `until`, then sets the time to `until`, unless halted. */
  run(handler: EventHandler, until: number): void {
    const heap = this.#heap, alarms = this.#alarms;
    this.#halted = false;
    for (;;) {
      const event = heap.nextTime, alarm = alarms.nextTime, isAlarm = alarm < event;
      const time = isAlarm ? alarm : event;
      if (time > until) break;
      this.now = time;
      this.events++;
      if (isAlarm) handler.alarm(alarms.take());
      else {
        heap.pop();
        handler.handle(heap.kind, heap.a, heap.b, heap.payload);
      }
      if (this.#halted) return;
    }
    if (until > this.now) this.now = until;
  }
}
