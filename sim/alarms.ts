/**
 * One alarm for each of many owners (small integers from 0), moved and withdrawn as often as they like: a 4-ary heap
 * that knows where each owner stands. A node's next wake moves with almost every step, and as queued events most of
 * its wakes would be stale when they come.
 *
 * Invariant: alarms ring in the order of (time, owner).
 */
export class Alarms {
  /** The owners whose alarm is set, in heap order, and how many they are. */
  #heap = new Int32Array(16);
  #size = 0;
  // By owner.
  #times = new Float64Array(16);
  #places = new Int32Array(16).fill(-1);

  /** When the first alarm rings; Infinity while none is set. */
  get nextTime(): number {
    return this.#size === 0 ? Infinity : this.#times[this.#heap[0]!]!;
  }

  /** Sets or moves the owner's alarm; Infinity withdraws it. */
  set(owner: number, time: number): void {
    while (owner >= this.#times.length) this.#widen();
    const place = this.#places[owner]!, before = place < 0 ? Infinity : this.#times[owner]!;
    if (time === before) return;
    this.#times[owner] = time;
    if (time === Infinity) this.#remove(place);
    else if (place < 0) this.#rise(this.#size++, owner);
    else if (time < before) this.#rise(place, owner);
    else this.#sink(place, owner);
    if (time === Infinity) this.#places[owner] = -1;
  }

  /** Withdraws the first alarm and tells whose it was. */
  take(): number {
    const owner = this.#heap[0]!;
    this.set(owner, Infinity);
    return owner;
  }

  #remove(place: number): void {
    const last = this.#heap[--this.#size]!;
    if (place === this.#size) return;
    this.#rise(place, last);
    this.#sink(this.#places[last]!, last);
  }

  #isBefore(a: number, b: number): boolean {
    const timeA = this.#times[a]!, timeB = this.#times[b]!;
    return timeA < timeB || (timeA === timeB && a < b);
  }

  #rise(from: number, owner: number): void {
    const heap = this.#heap, places = this.#places;
    let place = from;
    while (place > 0) {
      const up = (place - 1) >> 2, parent = heap[up]!;
      if (!this.#isBefore(owner, parent)) break;
      heap[place] = parent;
      places[parent] = place;
      place = up;
    }
    heap[place] = owner;
    places[owner] = place;
  }

  #sink(from: number, owner: number): void {
    const heap = this.#heap, places = this.#places, size = this.#size;
    let place = from;
    for (let first = (place << 2) + 1; first < size; first = (place << 2) + 1) {
      const end = Math.min(first + 4, size);
      let least = first;
      for (let child = first + 1; child < end; child++) {
        if (this.#isBefore(heap[child]!, heap[least]!)) least = child;
      }
      const child = heap[least]!;
      if (!this.#isBefore(child, owner)) break;
      heap[place] = child;
      places[child] = place;
      place = least;
    }
    heap[place] = owner;
    places[owner] = place;
  }

  #widen(): void {
    const old = this.#times.length, heap = new Int32Array(old * 2), times = new Float64Array(old * 2);
    const places = new Int32Array(old * 2).fill(-1);
    heap.set(this.#heap);
    times.set(this.#times);
    places.set(this.#places);
    this.#heap = heap;
    this.#times = times;
    this.#places = places;
  }
}
