/** Lets no more than `size` things be under way at once; the others wait in the order in which they came. */
export class Slots {
  #free: number;
  #waiting: (() => void)[] = [];
  #from = 0;

  constructor(size: number) {
    this.#free = size;
  }

  get waiting(): number {
    return this.#waiting.length - this.#from;
  }

  async run<T>(act: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((go) => this.#waiting.push(go));
    try {
      return await act();
    } finally {
      this.#next();
    }
  }

  /** Who waits takes over the place, so nobody who comes now gets before him. */
  #next(): void {
    const next = this.#waiting[this.#from];
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#from++;
    if (this.#from === this.#waiting.length || this.#from >= 1024) {
      this.#waiting.splice(0, this.#from);
      this.#from = 0;
    }
    next();
  }
}
