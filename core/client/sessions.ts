import type { PartitionId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { Session } from "../wire/requests.ts";

/** A write as its session sees it. */
export interface SessionWrite {
  /** 0 until it has its place. */
  sequence: number;
  settled: boolean;
}

/**
 * The client's side of one partition's session.
 *
 * Writes get sequences in the order they are first sent. All below `acknowledged` are settled: answered, or given up
 * and reported as unsure; a late copy of one is refused by the partition. The span from there to the newest stays
 * within LIMITS.sessionAnswersMax, which is what the partition keeps; further writes wait their turn.
 */
export class PartitionSession<W extends SessionWrite> {
  /** The partition has answered a write, so from now on not knowing this client means having forgotten it. */
  opened = false;
  readonly waiting: W[] = [];
  /** Writes with a sequence, in order, from the first that is not settled. */
  #window: W[] = [];
  #first = 0;
  #next = 1;

  get acknowledged(): number {
    return this.#window[this.#first]?.sequence ?? this.#next;
  }

  /** True where one more write has room. */
  get hasRoom(): boolean {
    return this.#next - this.acknowledged < LIMITS.sessionAnswersMax;
  }

  /** Gives a write its sequence. */
  place(write: W): void {
    write.sequence = this.#next++;
    this.#window.push(write);
  }

  /** Moves past the writes that are settled. */
  advance(): void {
    const window = this.#window;
    while (this.#first < window.length && window[this.#first]!.settled) this.#first++;
    if (this.#first > 64 && this.#first * 2 > window.length) {
      this.#window = window.slice(this.#first);
      this.#first = 0;
    }
  }

  /** What goes with a write each time it is sent. */
  sessionOf(client: string, write: W): Session {
    return { client, sequence: write.sequence, acknowledged: this.acknowledged, opened: this.opened };
  }
}

/** The sessions of one client, made as partitions are written to. */
export class PartitionSessions<W extends SessionWrite> {
  readonly #byPartition = new Map<PartitionId, PartitionSession<W>>();

  of(partition: PartitionId): PartitionSession<W> {
    const known = this.#byPartition.get(partition);
    if (known !== undefined) return known;
    const session = new PartitionSession<W>();
    this.#byPartition.set(partition, session);
    return session;
  }
}
