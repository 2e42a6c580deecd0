const PAUSE_MS_MIN = 1000;
const PAUSE_MS_MAX = 60_000;

/** How long to wait before the next life: twice as long each time, from the start again after a long life. */
export class Pause {
  #nextMs = PAUSE_MS_MIN;
  #lastMs = 0;

  next(): number {
    this.#lastMs = this.#nextMs;
    this.#nextMs = Math.min(2 * this.#nextMs, PAUSE_MS_MAX);
    return this.#lastMs;
  }

  /** A life of `ms` ended. One that outlasted the pause before it twice counts as a recovery. */
  lived(ms: number): void {
    if (ms > 2 * Math.max(this.#lastMs, PAUSE_MS_MIN * 5)) this.#nextMs = PAUSE_MS_MIN;
  }
}
