import { NEVER } from "../core/base/ids.ts";
import type { Instant } from "../core/base/ids.ts";

const MILLION = 1_000_000;

/**
 * One node's own clock as a function of virtual time: it starts at an offset, runs fast or slow by whole parts per
 * million and may jump forward.
 *
 * Invariant: what read() gives never decreases, whatever is set meanwhile.
 */
export class Clock {
  #last = 0;
  #base: number;
  #since = 0;
  #driftPpm: number;

  /** `driftPpm` is above -1,000,000; `offsetUs` is what the clock shows at virtual time 0, from 0. */
  constructor(options: { readonly offsetUs: number; readonly driftPpm: number }) {
    if (!Number.isInteger(options.offsetUs) || options.offsetUs < 0) {
      throw new RangeError(`A clock's offset is an integer from 0 microseconds, not ${options.offsetUs}`);
    }
    this.#base = options.offsetUs;
    this.#driftPpm = checkedDrift(options.driftPpm);
  }

  get driftPpm(): number {
    return this.#driftPpm;
  }

  /** The clock's time at virtual time `at`. */
  read(at: number): Instant {
    const local = this.#local(at);
    if (local > this.#last) this.#last = local;
    return this.#last as Instant;
  }

  /** The first virtual time, from `at` on, at which the clock shows `local` or later. */
  virtual(local: Instant, at: number): number {
    if (local === NEVER) return Infinity;
    const ahead = local - this.#base;
    let guess = this.#since + ahead - Math.floor((ahead * this.#driftPpm) / (MILLION + this.#driftPpm));
    if (guess < at) guess = at;
    while (guess > at && this.#local(guess - 1) >= local) guess--;
    while (this.#local(guess) < local) guess++;
    return guess;
  }

  /** Shows `us` more from virtual time `at` on. */
  jump(us: number, at: number): void {
    this.#rebase(at);
    this.#base += us;
  }

  setDrift(driftPpm: number, at: number): void {
    this.#rebase(at);
    this.#driftPpm = checkedDrift(driftPpm);
  }

  #local(at: number): number {
    const passed = at - this.#since;
    return this.#base + passed + (this.#driftPpm === 0 ? 0 : Math.floor((passed * this.#driftPpm) / MILLION));
  }

  #rebase(at: number): void {
    this.#base = this.#local(at);
    this.#since = at;
  }
}

function checkedDrift(ppm: number): number {
  if (!Number.isInteger(ppm) || ppm <= -MILLION) {
    throw new RangeError(`A clock's drift is an integer above -1000000 parts per million, not ${ppm}`);
  }
  return ppm;
}
