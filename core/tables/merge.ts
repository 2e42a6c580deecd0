import { compareBytes } from "../base/bytes.ts";
import type { Source } from "./source.ts";

/**
 * Several sources as one: of each key the newest row, where no newer span hides it. Deleted rows are among them.
 * Stands at the first row, like a source.
 */
export class Merge {
  /** Newest first. */
  readonly #sources: readonly Source[];
  readonly #reverse: boolean;
  /** The index of the source that has the row; -1: the end. */
  #at = -1;

  constructor(sources: readonly Source[], { reverse }: { reverse: boolean }) {
    this.#sources = sources;
    this.#reverse = reverse;
    this.#settle();
  }

  get key(): Uint8Array | null {
    return this.#at < 0 ? null : this.#sources[this.#at]!.key;
  }

  value(): Uint8Array | null {
    return this.#sources[this.#at]!.value();
  }

  next(): void {
    this.#sources[this.#at]!.next();
    this.#settle();
  }

  /** Finds the next row that counts. */
  #settle(): void {
    const sources = this.#sources;
    for (;;) {
      const at = this.#least();
      this.#at = at;
      if (at < 0) return;
      const source = sources[at]!;
      const hiding = at === 0 ? null : this.#hiding(at, source.key!);
      if (hiding === null) return;
      source.seek(this.#reverse ? hiding.start : hiding.end);
    }
  }

  /** The source with the next key; older rows of the same key are passed. */
  #least(): number {
    const sources = this.#sources;
    let best = -1, key: Uint8Array | null = null;
    for (let i = 0; i < sources.length; i++) {
      const other = sources[i]!.key;
      if (other === null) continue;
      if (key !== null) {
        const order = compareBytes(other, key);
        if (order === 0) {
          sources[i]!.next();
          continue;
        }
        if (this.#reverse ? order < 0 : order > 0) continue;
      }
      best = i;
      key = other;
    }
    return best;
  }

  #hiding(at: number, key: Uint8Array) {
    for (let i = 0; i < at; i++) {
      const span = this.#sources[i]!.spanOver(key);
      if (span !== null) return span;
    }
    return null;
  }
}
