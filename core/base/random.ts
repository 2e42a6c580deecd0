import { fmix32, hashString32 } from "./hash.ts";

/**
 * A deterministic stream of integers (Chris Doty-Humphrey's sfc32). Streams are forked by label, so a draw more in
 * one part of a node shifts nothing in another.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;
  readonly #seed: readonly [number, number, number];

  private constructor(a: number, b: number, c: number) {
    this.#seed = [a, b, c];
    this.#a = a | 0;
    this.#b = b | 0;
    this.#c = c | 0;
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** The root stream of a seed (any safe integer from 0). */
  static fromSeed(seed: number): Random {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`A seed is an integer from 0, not ${seed}`);
    }
    return new Random(seed >>> 0, Math.floor(seed / 0x1_0000_0000), 0x9e3779b9);
  }

  /** A stream that begins as one with these `seedWords` did. */
  static fromSeedWords([a, b, c]: readonly [number, number, number]): Random {
    return new Random(a, b, c);
  }

  /** Three numbers of 32 bits that tell this stream from others, whatever was drawn from it: for recording a run. */
  get seedWords(): readonly [number, number, number] {
    const [a, b, c] = this.#seed;
    return [a >>> 0, b >>> 0, c >>> 0];
  }

  /** An independent stream that depends on this stream's seed and the label, not on what was drawn so far. */
  fork(label: string): Random {
    const h = hashString32(label, 0x5eed);
    const g = hashString32(label, 0xf0f0);
    const [a, b, c] = this.#seed;
    return new Random(fmix32(a ^ h), fmix32((b + g) | 0), fmix32(c ^ Math.imul(h, 0x85ebca6b) ^ g));
  }

  /** 0 .. 2^32 - 1. */
  uint32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  /** An integer from 0 to `bound - 1`, without bias. `bound` is 1 to 2^32. */
  below(bound: number): number {
    if (!Number.isInteger(bound) || bound < 1 || bound > 0x1_0000_0000) {
      throw new RangeError(`A bound is an integer from 1 to 2^32, not ${bound}`);
    }
    const limit = 0x1_0000_0000 - (0x1_0000_0000 % bound);
    let x = this.uint32();
    while (x >= limit) x = this.uint32();
    return x % bound;
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True `numerator` times in `denominator`. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }

  /** Shuffles in place (Fisher and Yates) and returns the same array. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i]!;
      items[i] = items[j]!;
      items[j] = held;
    }
    return items;
  }

  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}
