import type { LogIndex } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";

/** A leader's proposals that wait for their outcome, in the order of the log. */
export class Proposals {
  #indexes: LogIndex[] = [];
  #tokens: number[] = [];
  #sizes: number[] = [];
  readonly #most: number;
  /** What is before has been answered. */
  #head = 0;
  #bytes = 0;

  /** `most`: proposals that may wait. */
  constructor(most: number) {
    this.#most = most;
  }

  get count(): number {
    return this.#tokens.length - this.#head;
  }
  get full(): boolean {
    return this.count >= this.#most || this.#bytes >= LIMITS.proposalBytesPendingMax;
  }

  add(index: LogIndex, token: number, bytes: number): void {
    this.#indexes.push(index);
    this.#tokens.push(token);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** The token of the proposal that became entry `index`; null where that entry was another leader's. */
  take(index: LogIndex): number | null {
    const next = this.#indexes[this.#head];
    if (next === undefined || next > index) return null;
    invariant(next === index, () => `The proposal at ${next} was passed over`);
    const token = this.#tokens[this.#head]!;
    this.#bytes -= this.#sizes[this.#head]!;
    this.#head++;
    if (this.#head === this.#tokens.length || this.#head >= 1024) this.#trim();
    return token;
  }

  takeAll(): number[] {
    const tokens = this.#tokens.slice(this.#head);
    this.#head = this.#tokens.length;
    this.#bytes = 0;
    this.#trim();
    return tokens;
  }

  #trim(): void {
    this.#indexes.splice(0, this.#head);
    this.#tokens.splice(0, this.#head);
    this.#sizes.splice(0, this.#head);
    this.#head = 0;
  }
}
