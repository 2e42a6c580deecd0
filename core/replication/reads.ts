/**
 * Linearizable reads without a log entry (dissertation 6.4). A read waits for a round of beats that began after it was
 * asked; once a quorum has answered that round, no later leader had been chosen when it was asked, and it may be
 * served as soon as the state machine has reached the commit index of that time. All reads that wait share a round,
 * and only one round is asked for at a time: the reads that come meanwhile share the next.
 */
import type { LogIndex } from "../base/ids.ts";

export class Reads {
  /** Asked, not part of a round yet. */
  #waiting: number[] = [];
  /** Part of a round. Ascending by round and by index. */
  #asked: { readonly round: number; readonly index: LogIndex; readonly tokens: readonly number[] }[] = [];
  /** Confirmed; the state machine has not come so far. */
  #confirmed: { readonly index: LogIndex; readonly tokens: readonly number[] }[] = [];

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#asked.length === 0 && this.#confirmed.length === 0;
  }
  /** A round should begin for the reads that wait, and none is under way. */
  get wantsRound(): boolean {
    return this.#waiting.length > 0 && this.#asked.length === 0;
  }

  add(token: number): void {
    this.#waiting.push(token);
  }

  /** A lease stands for the round: the read may be served from `index` on. */
  addConfirmed(token: number, index: LogIndex): void {
    this.#confirmed.push({ index, tokens: [token] });
  }

  /** Round `round` begins, with everything up to `index` committed: what waits joins it. */
  begin(round: number, index: LogIndex): void {
    if (this.#waiting.length === 0) return;
    this.#asked.push({ round, index, tokens: this.#waiting });
    this.#waiting = [];
  }

  /** A quorum has answered round `round`. */
  confirm(round: number): void {
    while (this.#asked.length > 0 && this.#asked[0]!.round <= round) {
      this.#confirmed.push(this.#asked.shift()!);
    }
  }

  /** Hands over, in order, the reads that may be served from a state at `applied`. */
  release(applied: LogIndex, readable: (token: number) => void): void {
    while (this.#confirmed.length > 0 && this.#confirmed[0]!.index <= applied) {
      for (const token of this.#confirmed.shift()!.tokens) readable(token);
    }
  }

  /** Takes back every read that is not served. */
  takeAll(): number[] {
    const tokens: number[] = [];
    for (const { tokens: some } of this.#confirmed) tokens.push(...some);
    for (const { tokens: some } of this.#asked) tokens.push(...some);
    tokens.push(...this.#waiting);
    this.#confirmed = [];
    this.#asked = [];
    this.#waiting = [];
    return tokens;
  }
}
