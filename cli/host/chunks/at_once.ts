/**
 * Whether what touches a disk's memory alone, as a rule, is to be done at once or on another thread. The way to a thread and
 * back takes longer than making a small file; but where the disk's own journal is full, or the disk is slow to find a
 * folder, it waits for the disk after all.
 */
const MS_MAX = 5;
/** One very slow piece does not count for more: the machine may have stood still. */
const SAMPLE_MS_MAX = 50;
const WEIGHT = 1 / 8;
const RETRY_EVERY = 64;

export class AtOnce {
  readonly #clock: () => number;
  /** Milliseconds that a piece takes: a moving average. */
  #ms = 0;
  #passed = 0;

  constructor(clock: () => number = () => performance.now()) {
    this.#clock = clock;
  }

  /** After it was slow of late, now and then for a try, which decides on those that follow. */
  isWise(): boolean {
    if (this.#ms <= MS_MAX) return true;
    if (++this.#passed % RETRY_EVERY !== 0) return false;
    this.#ms = MS_MAX;
    return true;
  }

  run<T>(act: () => T): T {
    const began = this.#clock();
    try {
      return act();
    } finally {
      const took = Math.min(SAMPLE_MS_MAX, this.#clock() - began);
      this.#ms += (took - this.#ms) * WEIGHT;
    }
  }
}
