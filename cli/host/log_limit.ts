/** Lines of one kind within periodMs; what comes beyond is counted and not written. */
const LINES_MAX = 20;
const PERIOD_MS = 10_000;

export interface LogLimitOptions {
  readonly clock?: () => number;
  readonly periodMs?: number;
}

/**
 * Keeps strangers from filling the log, and the disk with it: whoever can make a node write a line can make it write
 * millions.
 */
export class LogLimit {
  readonly #clock: () => number;
  readonly #periodMs: number;
  #began = -Infinity;
  #lines = 0;
  #passedOver = 0;

  constructor({ clock = () => performance.now(), periodMs = PERIOD_MS }: LogLimitOptions = {}) {
    this.#clock = clock;
    this.#periodMs = periodMs;
  }

  /** null: this line is not to be written. Else how many were not since the last one that was. */
  take(): number | null {
    const now = this.#clock();
    if (now - this.#began >= this.#periodMs) {
      this.#began = now;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_MAX) {
      this.#passedOver++;
      return null;
    }
    this.#lines++;
    const passedOver = this.#passedOver;
    this.#passedOver = 0;
    return passedOver;
  }
}
