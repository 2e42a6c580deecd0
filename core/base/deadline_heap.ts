import { type Instant, NEVER } from "./ids.ts";

/** Something with a time at which it is due. `slot` belongs to the heap. */
export interface Due {
  deadline: Instant;
  slot: number;
}

/** A binary heap of things by deadline that knows where each one is, so that a deadline can be moved or withdrawn. */
export class DeadlineHeap<T extends Due> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The earliest deadline, or NEVER. */
  get next(): Instant {
    const first = this.#items[0];
    return first === undefined ? NEVER : first.deadline;
  }

  first(): T | undefined {
    return this.#items[0];
  }

  add(item: T): void {
    item.slot = this.#items.length;
    this.#items.push(item);
    this.#rise(item);
  }

  move(item: T, deadline: Instant): void {
    const later = deadline > item.deadline;
    item.deadline = deadline;
    if (later) this.#sink(item);
    else this.#rise(item);
  }

  remove(item: T): void {
    const last = this.#items.pop()!;
    if (last === item) return;
    last.slot = item.slot;
    this.#items[item.slot] = last;
    this.#rise(last);
    this.#sink(last);
  }

  clear(): void {
    this.#items.length = 0;
  }

  #rise(item: T): void {
    const items = this.#items;
    let slot = item.slot;
    while (slot > 0) {
      const up = (slot - 1) >> 1, parent = items[up]!;
      if (parent.deadline <= item.deadline) break;
      items[slot] = parent;
      parent.slot = slot;
      slot = up;
    }
    items[slot] = item;
    item.slot = slot;
  }

  #sink(item: T): void {
    const items = this.#items, size = items.length;
    let slot = item.slot;
    for (let down = 2 * slot + 1; down < size; down = 2 * slot + 1) {
      if (down + 1 < size && items[down + 1]!.deadline < items[down]!.deadline) down++;
      const child = items[down]!;
      if (child.deadline >= item.deadline) break;
      items[slot] = child;
      child.slot = slot;
      slot = down;
    }
    items[slot] = item;
    item.slot = slot;
  }
}
