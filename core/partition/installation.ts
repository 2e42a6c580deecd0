/**
 * The follower's side of a snapshot: takes the chunks in order, swaps the state machine's state, and then waits until
 * the tables that hold it are durable before it counts as a holder.
 */
import type { LogIndex, NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { IncomingSnapshot } from "../replication/snapshots.ts";
import { isConfiguration } from "../wire/configuration.ts";
import type { SnapshotChunk } from "../wire/messages.ts";
import type { StateMachine } from "./contracts.ts";

/** What became of a chunk. ignored: of an attempt that is over. complete: the state machine has the new state. */
export type ChunkOutcome =
  | { readonly kind: "ignored" | "complete" }
  | { readonly kind: "wanted"; readonly next: number };

export class Installation {
  readonly #machine: StateMachine;
  #incoming: IncomingSnapshot | null = null;
  /** Chunks that overtook others, by sequence: as many as may be under way. */
  readonly #early = new Map<number, SnapshotChunk>();
  /** The last chunk of a snapshot that is installed, and waits for the checkpoint that makes it durable. */
  #settling: { readonly from: NodeId; readonly chunk: SnapshotChunk } | null = null;

  constructor(machine: StateMachine) {
    this.#machine = machine;
  }

  get settling(): boolean {
    return this.#settling !== null;
  }
  get underWay(): boolean {
    return this.#incoming !== null;
  }

  take(from: NodeId, chunk: SnapshotChunk): ChunkOutcome {
    if (this.#incoming === null || !this.#incoming.sameAttempt(from, chunk)) {
      if (this.#incoming?.outdates(from, chunk)) return { kind: "ignored" };
      if (chunk.sequence !== 0) return { kind: "wanted", next: 0 };
      this.#incoming = new IncomingSnapshot(from, chunk);
      this.#early.clear();
      this.#machine.beginInstall();
    }
    const incoming = this.#incoming;
    if (chunk.sequence > incoming.next && chunk.sequence < incoming.next + LIMITS.snapshotChunksInFlightMax) {
      this.#early.set(chunk.sequence, chunk);
    }
    if (chunk.sequence !== incoming.next) return { kind: "wanted", next: incoming.next };
    for (
      let due: SnapshotChunk | undefined = chunk;
      due !== undefined;
      due = this.#early.get(incoming.next)
    ) {
      this.#early.delete(incoming.next);
      this.#machine.installRows(due.rows);
      incoming.next++;
      if (due.done) return this.#finish(from, due);
    }
    return { kind: "wanted", next: incoming.next };
  }

  #finish(from: NodeId, chunk: SnapshotChunk): ChunkOutcome {
    this.abandon();
    this.#machine.finishInstall(chunk.index, chunk.indexTerm);
    this.#settling = { from, chunk };
    return { kind: "complete" };
  }

  /** The state is durable: whom to tell, and of which chunk. */
  settle(): { readonly from: NodeId; readonly chunk: SnapshotChunk } | null {
    const settled = this.#settling;
    this.#settling = null;
    return settled;
  }

  /** The log came so far by itself. */
  abandon(): void {
    this.#incoming = null;
    this.#early.clear();
  }
}

export function isSnapshotChunk(chunk: SnapshotChunk): boolean {
  return isConfiguration(chunk.configuration) && chunk.index > (0 as LogIndex) &&
    chunk.configurationIndex <= chunk.index && chunk.indexTerm <= chunk.term;
}
