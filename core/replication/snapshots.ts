/**
 * A snapshot on its way to one follower: a window of chunks under way, repeated when nothing moves, given up when
 * the follower is lost. And the follower's side: which chunk of which attempt it wants next.
 *
 * S1. Chunks are installed in order, each once, all of one attempt.
 * S2. A follower that lost what it had of an attempt, in a crash, asks for chunks that it had acknowledged. The leader
 *     does not keep those, and begins anew.
 */
import type { Instant, LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { Row } from "../base/ports.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Configuration, SnapshotChunk } from "../wire/messages.ts";

/** Where the rows come from. */
export interface RowSource {
  readonly index: LogIndex;
  readonly term: Term;
  next(bytesMax: number): readonly Row[];
  close(): void;
}

export interface OutgoingSnapshotOptions {
  readonly partition: PartitionId;
  readonly to: NodeId;
  readonly term: Term;
  readonly transfer: number;
  readonly source: RowSource;
  readonly configuration: Configuration;
  readonly configurationIndex: LogIndex;
  readonly retryUs: number;
  readonly chunkBytesMax: number;
}

export class OutgoingSnapshot {
  readonly #options: OutgoingSnapshotOptions;
  /** Chunks sent and not acknowledged; the first has sequence `#acknowledged`. */
  readonly #underWay: SnapshotChunk[] = [];
  #acknowledged = 0;
  #sequence = 0;
  /** Read ahead by one, to know which chunk is the last. */
  #ahead: readonly Row[] | null;
  #movedAt: Instant;
  #repeatedAt: Instant;
  #retryUs: number;

  constructor(options: OutgoingSnapshotOptions, now: Instant) {
    this.#options = options;
    this.#ahead = options.source.next(options.chunkBytesMax);
    this.#movedAt = now;
    this.#repeatedAt = now;
    this.#retryUs = options.retryUs;
  }

  get index(): LogIndex {
    return this.#options.source.index;
  }
  get transfer(): number {
    return this.#options.transfer;
  }

  /** Sends what the window has room for. */
  pump(effects: Effects): void {
    while (this.#ahead !== null && this.#underWay.length < LIMITS.snapshotChunksInFlightMax) {
      const chunk = this.#chunk();
      this.#underWay.push(chunk);
      effects.send(this.#options.to, chunk);
    }
  }

  /** The follower wants chunk `next`. False: this attempt is over (S2). */
  acknowledge(next: number, now: Instant): boolean {
    // The follower began anew, or its answer is late: only where nothing has moved for a while is it believed.
    if (next < this.#acknowledged) return now - this.#movedAt < this.#options.retryUs;
    // The last chunk stays under way until the follower has installed it: repeating it asks how things are.
    while (this.#acknowledged < next && this.#underWay.length > 0 && !this.#underWay[0]!.done) {
      this.#underWay.shift();
      this.#acknowledged++;
      this.#movedAt = now;
      this.#repeatedAt = now;
      this.#retryUs = this.#options.retryUs;
    }
    return true;
  }

  /** Repeats what is under way when nothing has moved for a while, ever less often. */
  retry(effects: Effects, now: Instant): void {
    if (now - this.#repeatedAt < this.#retryUs) return;
    this.#repeatedAt = now;
    this.#retryUs = Math.min(this.#retryUs * 2, 16 * this.#options.retryUs);
    for (const chunk of this.#underWay) effects.send(this.#options.to, chunk);
  }

  close(): void {
    this.#options.source.close();
  }

  #chunk(): SnapshotChunk {
    const { partition, term, source, configuration, configurationIndex, transfer, chunkBytesMax } =
      this.#options;
    const rows = this.#ahead!;
    const ahead = rows.length === 0 ? rows : source.next(chunkBytesMax);
    const done = ahead.length === 0;
    this.#ahead = done ? null : ahead;
    return {
      kind: "snapshot",
      partition,
      term,
      index: source.index,
      indexTerm: source.term,
      configuration,
      configurationIndex,
      transfer,
      sequence: this.#sequence++,
      done,
      rows,
    };
  }
}

/** What a follower remembers of a snapshot that is coming in. */
export class IncomingSnapshot {
  readonly #from: NodeId;
  readonly #term: Term;
  readonly #transfer: number;
  next = 0;

  constructor(from: NodeId, chunk: SnapshotChunk) {
    this.#from = from;
    this.#term = chunk.term;
    this.#transfer = chunk.transfer;
  }

  sameAttempt(from: NodeId, chunk: SnapshotChunk): boolean {
    return this.#from === from && this.#term === chunk.term && this.#transfer === chunk.transfer;
  }

  /** An attempt of an earlier term, or that its leader has given up since. */
  outdates(from: NodeId, chunk: SnapshotChunk): boolean {
    return chunk.term < this.#term ||
      (chunk.term === this.#term && this.#from === from && chunk.transfer < this.#transfer);
  }
}
