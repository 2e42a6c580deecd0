import { invariant } from "../core/base/invariant.ts";

/**
 * The simulator's queue of events: a 4-ary heap ordered by (time, sequence), kept as a struct of arrays.
 *
 * Invariants:
 * 1. No two queued events compare equal: `sequence` counts pushes, so what was pushed first at one time comes first.
 * 2. heap[i] is not before its parent heap[(i - 1) >> 2].
 * 3. A slot holds one event's payload from its push to its pop, then it is recycled; at any moment every slot is
 *    either in the heap or on the free list.
 *
 * A push or pop allocates nothing. pop() leaves the event in the fields `time` .. `payload` instead of an object.
 */
export class EventHeap {
  /** The event popped last. `kind`, `a` and `b` are the pusher's own small integers. */
  time = 0;
  sequence = 0;
  kind = 0;
  a = 0;
  b = 0;
  payload: unknown = null;

  #size = 0;
  #nextSequence = 0;
  #capacity: number;
  // In heap order.
  #times: Float64Array;
  #sequences: Float64Array;
  #slots: Int32Array;
  // By slot.
  #kinds: Uint8Array;
  #as: Int32Array;
  #bs: Int32Array;
  #payloads: unknown[];
  /** Slots [#size, capacity) of this stack are free: as many are free as the heap has room left. */
  #free: Int32Array;

  constructor(capacity = 1024) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new RangeError(`A heap's capacity is an integer from 1, not ${capacity}`);
    }
    this.#capacity = capacity;
    this.#times = new Float64Array(capacity);
    this.#sequences = new Float64Array(capacity);
    this.#slots = new Int32Array(capacity);
    this.#kinds = new Uint8Array(capacity);
    this.#as = new Int32Array(capacity);
    this.#bs = new Int32Array(capacity);
    this.#payloads = new Array(capacity).fill(null);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => i);
  }

  get size(): number {
    return this.#size;
  }

  /** The time of the event that pop() would give; Infinity when there is none. */
  get nextTime(): number {
    return this.#size === 0 ? Infinity : this.#times[0]!;
  }

  /** Queues an event and returns its sequence number. `time` is an integer. */
  push(time: number, kind: number, a: number, b: number, payload: unknown): number {
    if (this.#size === this.#capacity) this.#grow();
    const slot = this.#free[this.#size]!;
    this.#kinds[slot] = kind;
    this.#as[slot] = a;
    this.#bs[slot] = b;
    this.#payloads[slot] = payload;
    const sequence = this.#nextSequence++;
    this.#rise(this.#size++, time, sequence, slot);
    return sequence;
  }

  /** Takes the first event into this object's fields. False when there is none. */
  pop(): boolean {
    if (this.#size === 0) return false;
    const slot = this.#slots[0]!;
    this.time = this.#times[0]!;
    this.sequence = this.#sequences[0]!;
    this.kind = this.#kinds[slot]!;
    this.a = this.#as[slot]!;
    this.b = this.#bs[slot]!;
    this.payload = this.#payloads[slot];
    this.#payloads[slot] = null;
    const last = --this.#size;
    this.#free[last] = slot;
    if (last > 0) this.#sink(last, this.#times[last]!, this.#sequences[last]!, this.#slots[last]!);
    return true;
  }

  #rise(at: number, time: number, sequence: number, slot: number): void {
    const times = this.#times, sequences = this.#sequences, slots = this.#slots;
    let i = at;
    while (i > 0) {
      const parent = (i - 1) >> 2;
      // The newcomer has the highest sequence (invariant 1), so it stays below a parent of equal time.
      if (times[parent]! <= time) break;
      times[i] = times[parent]!;
      sequences[i] = sequences[parent]!;
      slots[i] = slots[parent]!;
      i = parent;
    }
    times[i] = time;
    sequences[i] = sequence;
    slots[i] = slot;
  }

  /** Puts (time, sequence, slot) into the hole at the root of a heap of `size` events. */
  #sink(size: number, time: number, sequence: number, slot: number): void {
    const times = this.#times, sequences = this.#sequences, slots = this.#slots;
    let i = 0;
    for (;;) {
      const first = (i << 2) + 1;
      if (first >= size) break;
      const end = first + 4 < size ? first + 4 : size;
      let least = first, leastTime = times[first]!;
      for (let child = first + 1; child < end; child++) {
        const t = times[child]!;
        if (t < leastTime || (t === leastTime && sequences[child]! < sequences[least]!)) {
          least = child;
          leastTime = t;
        }
      }
      if (time < leastTime || (time === leastTime && sequence < sequences[least]!)) break;
      times[i] = leastTime;
      sequences[i] = sequences[least]!;
      slots[i] = slots[least]!;
      i = least;
    }
    times[i] = time;
    sequences[i] = sequence;
    slots[i] = slot;
  }

  #grow(): void {
    const old = this.#capacity, capacity = old * 2;
    invariant(capacity <= 1 << 28, "The event heap stays below 2^28 events");
    this.#capacity = capacity;
    this.#times = widened(this.#times, new Float64Array(capacity));
    this.#sequences = widened(this.#sequences, new Float64Array(capacity));
    this.#slots = widened(this.#slots, new Int32Array(capacity));
    this.#kinds = widened(this.#kinds, new Uint8Array(capacity));
    this.#as = widened(this.#as, new Int32Array(capacity));
    this.#bs = widened(this.#bs, new Int32Array(capacity));
    this.#free = widened(this.#free, new Int32Array(capacity));
    for (let slot = old; slot < capacity; slot++) {
      this.#free[slot] = slot;
      this.#payloads.push(null);
    }
  }
}

function widened<T extends Float64Array | Int32Array | Uint8Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
