/** Lines of one kind within periodMs; what comes beyond is counted and not written. */
const LINES_MAX = 20;
const PERIOD_MS = 10_000;
/** A line that says the same as one within this time is counted and not written. */
const REPEAT_MS = 5 * 60_000;
/** What is remembered of lines: those that were written last. */
const REPEATS_MAX = 1024;
const CHARACTERS_MAX = 200;

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

/** Keeps one line from being written again and again: whoever is refused may try every second for weeks. */
export class RepeatLimit {
  readonly #clock: () => number;
  /** In the order of their writing. */
  readonly #written = new Map<string, { readonly at: number; passedOver: number }>();

  constructor({ clock = () => performance.now() }: Pick<LogLimitOptions, "clock"> = {}) {
    this.#clock = clock;
  }

  /** null: this line is not to be written. Else how often it was not since it last was. */
  take(text: string): number | null {
    const line = text.slice(0, CHARACTERS_MAX);
    const now = this.#clock(), before = this.#written.get(line);
    if (before !== undefined && now - before.at < REPEAT_MS) {
      before.passedOver++;
      return null;
    }
    this.#written.delete(line);
    this.#written.set(line, { at: now, passedOver: 0 });
    const [oldest] = this.#written.keys();
    if (this.#written.size > REPEATS_MAX) this.#written.delete(oldest!);
    return before?.passedOver ?? 0;
  }
}
