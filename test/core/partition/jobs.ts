interface Job {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** What is still to happen, by time and then by when it was asked for: a binary heap. */
export class Jobs {
  readonly #heap: Job[] = [];
  #order = 0;

  /** When the next job is due; Infinity where there is none. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  add(at: number, run: () => void): void {
    const job = { at, order: this.#order++, run };
    let i = this.#heap.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(job, this.#heap[parent]!)) break;
      this.#heap[i] = this.#heap[parent]!;
      i = parent;
    }
    this.#heap[i] = job;
  }

  take(): Job {
    const top = this.#heap[0]!;
    const last = this.#heap.pop()!;
    const n = this.#heap.length;
    if (n === 0) return top;
    let i = 0;
    for (let child = 1; child < n; child = 2 * i + 1) {
      if (child + 1 < n && before(this.#heap[child + 1]!, this.#heap[child]!)) child++;
      if (!before(this.#heap[child]!, last)) break;
      this.#heap[i] = this.#heap[child]!;
      i = child;
    }
    this.#heap[i] = last;
    return top;
  }
}

function before(a: Job, b: Job): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
