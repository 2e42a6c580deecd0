/** What one event adds to the digest. All are integers; only the low 32 bits of `fingerprint` count. */
export interface DigestEvent {
  readonly time: number;
  readonly sequence: number;
  readonly node: number;
  readonly kind: number;
  readonly fingerprint: number;
}

/** Events between two checkpoints of a run's digest. */
export const DIGEST_INTERVAL = 4096;

/**
 * The rolling digest of a run: 4 × 32 bits over every step's (time, sequence, node, kind of input, fingerprint of the
 * node's state after it). Every DIGEST_INTERVAL events it is kept, so that two runs can be bisected to the first
 * differing event. For finding differences, not for security.
 */
export class Digest {
  #a = 0x243f6a88 | 0;
  #b = 0x85a308d3 | 0;
  #c = 0x13198a2e | 0;
  #d = 0x03707344 | 0;
  count = 0;
  /** Four words for each whole interval. */
  readonly checkpoints: number[] = [];

  add(time: number, sequence: number, node: number, kind: number, fingerprint: number): void {
    // Rounds of MurmurHash3's 128-bit form for 32-bit machines, one lane for each part of the event.
    const timeHigh = (time / 0x1_0000_0000) | 0;
    let a = this.#a, b = this.#b, c = this.#c, d = this.#d;
    a ^= scramble((time | 0) ^ (timeHigh << 20), 0x239b961b, 0xab0e9789 | 0);
    a = (Math.imul(((a << 19) | (a >>> 13)) + b | 0, 5) + 0x561ccd1b) | 0;
    b ^= scramble(sequence | 0, 0xab0e9789 | 0, 0x38b34ae5);
    b = (Math.imul(((b << 17) | (b >>> 15)) + c | 0, 5) + 0x0bcaa747) | 0;
    c ^= scramble((node << 5) ^ kind, 0x38b34ae5, 0xa1e38b93 | 0);
    c = (Math.imul(((c << 15) | (c >>> 17)) + d | 0, 5) + 0x96cd1c35) | 0;
    d ^= scramble(fingerprint | 0, 0xa1e38b93 | 0, 0x239b961b);
    d = (Math.imul(((d << 13) | (d >>> 19)) + a | 0, 5) + 0x32ac3b17) | 0;
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#d = d;
    if (++this.count % DIGEST_INTERVAL === 0) this.checkpoints.push(a, b, c, d);
  }

  /** 32 hexadecimal digits. */
  hex(): string {
    let text = "";
    for (const word of [this.#a, this.#b, this.#c, this.#d]) {
      text += (word >>> 0).toString(16).padStart(8, "0");
    }
    return text;
  }
}

/**
 * The first interval in which two runs differ, by bisection of their checkpoints: the digest rolls, so once they differ
 * they stay different. Counted in intervals; equals the number of common checkpoints if all of those are equal.
 */
export function firstDifferingInterval(left: readonly number[], right: readonly number[]): number {
  let low = 0, high = Math.min(left.length, right.length) >> 2;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sameCheckpoint(left, right, middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

function sameCheckpoint(left: readonly number[], right: readonly number[], index: number): boolean {
  for (let i = index * 4; i < index * 4 + 4; i++) if (left[i] !== right[i]) return false;
  return true;
}

function scramble(word: number, first: number, second: number): number {
  const k = Math.imul(word, first);
  return Math.imul((k << 15) | (k >>> 17), second);
}
