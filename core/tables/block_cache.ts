/**
 * Decrypted blocks, up to a bound in bytes. What goes is chosen by the clock: a hand goes round, spares once what was
 * used since it passed, and takes the rest (Corbató 1968).
 */
export class CachedBlock {
  used = true;
  /** Where the file keeps it; null once it was dropped. */
  home: (CachedBlock | undefined)[] | null;
  constructor(home: (CachedBlock | undefined)[], readonly index: number, readonly block: Uint8Array) {
    this.home = home;
  }
}

/** What an entry takes beside its block, roughly. */
const ENTRY_BYTES = 160;

export class BlockCache {
  readonly #bytesMax: number;
  readonly #ring: CachedBlock[] = [];
  #hand = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** From now on home[index] has the block, until it is dropped. */
  add(home: (CachedBlock | undefined)[], index: number, block: Uint8Array): void {
    const entry = new CachedBlock(home, index, block);
    home[index] = entry;
    this.#bytes += block.length + ENTRY_BYTES;
    this.#ring.push(entry);
    while (this.#bytes > this.#bytesMax && this.#ring.length > 1) this.#dropOne();
  }

  /** All blocks of a file that is closed. */
  forget(home: (CachedBlock | undefined)[]): void {
    for (const entry of home) if (entry !== undefined) entry.home = null;
    home.length = 0;
    // The hand finds them dropped; so many must not pile up that the bound is no bound.
    let kept = 0;
    for (const entry of this.#ring) {
      if (entry.home === null) this.#bytes -= entry.block.length + ENTRY_BYTES;
      else this.#ring[kept++] = entry;
    }
    this.#ring.length = kept;
  }

  #dropOne(): void {
    for (;;) {
      if (this.#hand >= this.#ring.length) this.#hand = 0;
      const entry = this.#ring[this.#hand]!;
      if (entry.used) {
        entry.used = false;
        this.#hand++;
        continue;
      }
      this.#bytes -= entry.block.length + ENTRY_BYTES;
      if (entry.home !== null) entry.home[entry.index] = undefined;
      const last = this.#ring.pop()!;
      if (last !== entry) this.#ring[this.#hand] = last;
      return;
    }
  }
}
