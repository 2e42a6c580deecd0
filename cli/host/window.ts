/**
 * How many requests of clients a node works on at once.
 *
 * F1. Those that were handed over and have no answer yet are no more than `size`. The others wait where they can be given
 *     turns, and told "busy": neither in the node nor, forwarded, at the peer that leads, which has clients of its own.
 * F2. `size` follows from how long answers take, the peers' part of it included: it shrinks where most of them take longer
 *     than LATENCY_MS_WANTED, and grows where few do and it was what held requests back.
 * F3. What has no answer after GENERATIONS of time no longer counts: it waits for something, a leader say, and costs nothing while it
 *     does. So requests to a partition without a leader do not keep out all others.
 */
const SIZE_MIN = 256;
const SIZE_MAX = 16_384;
const SIZE_FIRST = 1024;
/** A write is synced to disk on two nodes, one after the other where it was forwarded. */
const LATENCY_MS_WANTED = 150;
const PERIOD_MS = 100;
/** Requests are counted by the time of their beginning, this coarsely. */
const GENERATION_MS = 500;
const GENERATIONS = 3;

export class Window {
  #size = SIZE_FIRST;
  /** Under way, by generation. */
  readonly #counts: number[] = Array(GENERATIONS).fill(0);
  #generation = 0;
  #inFlight = 0;
  #period = { from: 0, answers: 0, slow: 0, full: false };

  get size(): number {
    return this.#size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** How many requests may begin. */
  room(now: number): number {
    this.#advance(now);
    const room = this.#size - this.#inFlight;
    if (room <= 0) this.#period.full = true;
    return Math.max(0, room);
  }

  begin(requests: number, now: number): void {
    this.#advance(now);
    this.#counts[this.#generation % GENERATIONS]! += requests;
    this.#inFlight += requests;
  }

  /** One that began at `since` was answered. */
  answered(since: number, now: number): void {
    this.drop(since, now);
    const period = this.#period;
    period.answers++;
    if (now - since > LATENCY_MS_WANTED) period.slow++;
    if (now - period.from >= PERIOD_MS) this.#adapt(now);
  }

  /** One that began at `since` will not be answered, or its answer says nothing about this node. */
  drop(since: number, now: number): void {
    this.#advance(now);
    const generation = Math.floor(since / GENERATION_MS);
    if (this.#generation - generation >= GENERATIONS) return;
    this.#counts[generation % GENERATIONS]!--;
    this.#inFlight--;
  }

  #advance(now: number): void {
    const generation = Math.floor(now / GENERATION_MS);
    const from = Math.max(this.#generation, generation - GENERATIONS);
    for (let next = from + 1; next <= generation; next++) {
      this.#inFlight -= this.#counts[next % GENERATIONS]!;
      this.#counts[next % GENERATIONS] = 0;
    }
    this.#generation = Math.max(this.#generation, generation);
  }

  #adapt(now: number): void {
    const { answers, slow, full } = this.#period;
    if (slow * 2 > answers) this.#size = Math.max(SIZE_MIN, Math.floor(this.#size * 0.8));
    else if (full && slow * 10 < answers) this.#size = Math.min(SIZE_MAX, this.#size + (this.#size >> 2));
    this.#period = { from: now, answers: 0, slow: 0, full: false };
  }
}
