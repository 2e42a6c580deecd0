/** Rates: how much may be done now, and how much was done of late. */
import { after, type Instant } from "../base/ids.ts";

/**
 * A bucket of bytes that fills at a rate and holds what comes in a second. Something may begin as long as it is not empty,
 * whatever its size, and is paid for then: what is too much is waited off.
 */
export class Bucket {
  readonly #perSecond: number;
  #bytes: number;
  #at = 0 as Instant;

  constructor(bytesPerSecond: number) {
    this.#perSecond = bytesPerSecond;
    this.#bytes = bytesPerSecond;
  }

  /** `halved`: it fills at half its rate, and has since the last call. */
  mayBegin(now: Instant, halved: boolean): boolean {
    const perSecond = halved ? this.#perSecond / 2 : this.#perSecond;
    if (this.#at === 0) this.#at = now;
    const filled = Math.floor((now - this.#at) * perSecond / 1_000_000);
    if (filled > 0) {
      this.#bytes = Math.min(this.#perSecond, this.#bytes + filled);
      // What of the time has not filled a whole byte counts for the next: however often it is asked, nothing is lost.
      this.#at = after(this.#at, Math.ceil(filled * 1_000_000 / perSecond));
    }
    return this.#bytes > 0;
  }

  /** Negative: something costs less than was paid for it. */
  pay(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** When something may begin, at the full rate. */
  readyAt(now: Instant): Instant {
    if (this.#bytes > 0) return now;
    return after(now, Math.ceil((1 - this.#bytes) * 1_000_000 / this.#perSecond) + 1);
  }
}

const SLOT_US = 1_000_000, SLOTS = 10;

/** Bytes done in the last ten seconds. */
export class RecentRate {
  readonly #slots = new Array<number>(SLOTS).fill(0);
  #newest = 0;
  /** Since when something has been under way without a break. */
  #since = 0 as Instant;

  add(bytes: number, now: Instant): void {
    this.#turn(now);
    if (this.#slots.every((slot) => slot === 0)) this.#since = now;
    this.#slots[this.#newest % SLOTS]! += bytes;
  }

  /** A second, as a whole number; null: nothing was done. */
  bytesPerSecond(now: Instant): number | null {
    this.#turn(now);
    let sum = 0;
    for (const bytes of this.#slots) sum += bytes;
    if (sum === 0) return null;
    const us = Math.min(Math.max(now - this.#since, SLOT_US), SLOTS * SLOT_US);
    return Math.max(1, Math.floor(sum * 1_000_000 / us));
  }

  #turn(now: Instant): void {
    const slot = Math.floor(now / SLOT_US);
    if (slot - this.#newest >= SLOTS) {
      this.#slots.fill(0);
      this.#newest = slot;
    }
    while (this.#newest < slot) this.#slots[++this.#newest % SLOTS] = 0;
  }
}
