import type { LogIndex } from "../base/ids.ts";
import { compareUtf8 } from "../base/bytes.ts";
import { LIMITS } from "../base/limits.ts";
import type { WatchEvent } from "../wire/messages.ts";

/** What an event costs beside its key and value. */
const EVENT_BYTES = 128;
const SLOTS_MIN = 16;

/**
 * The newest events of one partition, for watchers that catch up. Bounded by LIMITS.watchEventsKept and
 * LIMITS.watchBytesKept; only in memory, so a restarted replica begins with none.
 */
export class EventRing {
  readonly #eventsKept: number;
  /** A ring with a power of two of slots, grown as needed. */
  #slots: (WatchEvent | undefined)[] = new Array(SLOTS_MIN).fill(undefined);
  #first = 0;
  #count = 0;
  #bytes = 0;
  /** Every event after this index is kept. */
  #knownAfter: LogIndex;

  constructor(knownAfter: LogIndex, eventsKept: number = LIMITS.watchEventsKept) {
    this.#eventsKept = eventsKept;
    this.#knownAfter = knownAfter;
  }

  get count(): number {
    return this.#count;
  }

  push(event: WatchEvent): void {
    if (this.#count === this.#slots.length) this.#grow();
    this.#slots[(this.#first + this.#count++) & (this.#slots.length - 1)] = event;
    this.#bytes += costOf(event);
    while (this.#count > this.#eventsKept || (this.#bytes > LIMITS.watchBytesKept && this.#count > 1)) {
      this.#dropFirst();
    }
  }

  /** Nothing before this index is known: the state came from elsewhere. */
  clear(knownAfter: LogIndex): void {
    this.#slots = new Array(SLOTS_MIN).fill(undefined);
    this.#first = this.#count = this.#bytes = 0;
    this.#knownAfter = knownAfter;
  }

  /** The events after `index` of keys from `start` up to but without `end` (null: to the last), in order. */
  after(index: LogIndex, start: string, end: string | null): readonly WatchEvent[] | "compacted" {
    if (index < this.#knownAfter) return "compacted";
    const found: WatchEvent[] = [];
    for (let i = this.#firstAfter(index); i < this.#count; i++) {
      const event = this.#at(i);
      if (isWithin(event.key, start, end)) found.push(event);
    }
    return found;
  }

  #at(position: number): WatchEvent {
    return this.#slots[(this.#first + position) & (this.#slots.length - 1)]!;
  }

  #firstAfter(index: LogIndex): number {
    let low = 0, high = this.#count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#at(middle).index > index) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #dropFirst(): void {
    const event = this.#at(0);
    this.#slots[this.#first] = undefined;
    this.#first = (this.#first + 1) & (this.#slots.length - 1);
    this.#count--;
    this.#bytes -= costOf(event);
    this.#knownAfter = event.index;
  }

  #grow(): void {
    const slots = new Array<WatchEvent | undefined>(this.#slots.length * 2).fill(undefined);
    for (let i = 0; i < this.#count; i++) slots[i] = this.#at(i);
    this.#slots = slots;
    this.#first = 0;
  }
}

/** True where `key` is in the range that a watch or a range read names. */
export function isWithin(key: string, start: string, end: string | null): boolean {
  return compareUtf8(key, start) >= 0 && (end === null || compareUtf8(key, end) < 0);
}

function costOf(event: WatchEvent): number {
  return EVENT_BYTES + event.key.length + (event.value === null ? 0 : event.value.length);
}
