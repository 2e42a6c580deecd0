/**
 * The follower's side of a snapshot: takes the chunks in order, swaps the state machine's state, and then waits until
 * the tables that hold it are durable before it counts as a holder (P3 and P4 in replica.ts).
 */
import type { LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { Following } from "../replication/following.ts";
import type { Ledger } from "../replication/ledger.ts";
import { IncomingSnapshot } from "../replication/snapshots.ts";
import { isConfiguration, isVoter } from "../wire/configuration.ts";
import type { SnapshotChunk, SnapshotReply } from "../wire/messages.ts";
import type { ReplicaHost, StateMachine } from "./contracts.ts";

export interface InstallationOptions {
  readonly partition: PartitionId;
  readonly self: NodeId;
  readonly host: ReplicaHost;
  readonly machine: StateMachine;
  readonly ledger: Ledger;
  readonly following: Following;
  /** There is no state that the log could go on from. */
  readonly hollow: boolean;
}

/** The last chunk of a snapshot, and whom to tell when it is durable. */
interface Settling {
  readonly from: NodeId;
  readonly chunk: SnapshotChunk;
}

export class Installation {
  readonly #options: InstallationOptions;
  #missing: boolean;
  #incoming: IncomingSnapshot | null = null;
  /** Chunks that overtook others, by sequence: as many as may be under way. */
  readonly #early = new Map<number, SnapshotChunk>();
  /** A snapshot is installed, and waits for the checkpoint that makes it durable. */
  #settling: Settling | null = null;

  constructor(options: InstallationOptions) {
    this.#options = options;
    this.#missing = options.hollow;
  }

  /** No state that the log builds upon, and none on the way to being durable. */
  get missing(): boolean {
    return this.#missing;
  }
  get settling(): boolean {
    return this.#settling !== null;
  }

  /** The log and the state are gone. */
  reset(): void {
    this.#missing = true;
    this.#settling = null;
    this.#abandon();
  }

  /** Takes a chunk of the leader of `chunk.term`. Returns why it was not obeyed, if it was wrong. */
  take(from: NodeId, chunk: SnapshotChunk): string | null {
    if (this.#settling !== null) return null;
    if (!isSnapshotChunk(chunk)) return "malformed";
    const { ledger, following, self } = this.#options;
    const blank = ledger.configurations.effective.voters.length === 0;
    if (blank && isVoter(chunk.configuration, self)) return null; // P6; or it is late, and this replica was dropped
    if (!this.#missing && this.#holds(chunk)) {
      ledger.commitTo(chunk.index);
      this.#abandon();
      this.answer({ from, chunk }, chunk.term, chunk.sequence + 1, true);
      return null;
    }
    // What was lost was acknowledged by its position: an older state may not take its place.
    if (chunk.index < ledger.log.base) following.askForSnapshot(from, chunk.term);
    else return this.#collect(from, chunk);
    return null;
  }

  /** A checkpoint made the tables durable. `leader` and `term` are today's. */
  settle(leader: NodeId | null, term: Term): void {
    const settled = this.#settling;
    this.#settling = null;
    if (settled === null || settled.from !== leader || settled.chunk.term !== term) return;
    this.answer(settled, term, settled.chunk.sequence + 1, true);
  }

  /** Tells the sender which chunk comes next, or that all is installed once the step's records are durable. */
  answer({ from, chunk }: Settling, term: Term, next: number, installed: boolean): void {
    const { partition, host } = this.#options;
    const { index, transfer } = chunk;
    const reply: SnapshotReply = {
      kind: "snapshot-reply",
      partition,
      term,
      index,
      transfer,
      next,
      installed,
    };
    if (installed) host.effects.sendDurable(from, reply);
    else host.effects.send(from, reply);
  }

  /** True where the log already contains what the snapshot does. */
  #holds({ index, indexTerm }: SnapshotChunk): boolean {
    const { commit, log } = this.#options.ledger;
    return index <= commit || log.termAt(index) === indexTerm;
  }

  #collect(from: NodeId, chunk: SnapshotChunk): string | null {
    const { machine } = this.#options;
    if (this.#incoming === null || !this.#incoming.sameAttempt(from, chunk)) {
      if (this.#incoming?.outdates(from, chunk)) return null;
      if (chunk.sequence !== 0) {
        this.answer({ from, chunk }, chunk.term, 0, false);
        return null;
      }
      this.#abandon();
      this.#incoming = new IncomingSnapshot(from, chunk);
      machine.beginInstall();
    }
    const incoming = this.#incoming;
    const { sequence } = chunk;
    if (sequence > incoming.next && sequence < incoming.next + LIMITS.snapshotChunksInFlightMax) {
      this.#early.set(sequence, chunk);
    }
    let due = sequence === incoming.next ? chunk : undefined;
    while (due !== undefined) {
      this.#early.delete(incoming.next);
      const wrong = machine.installRows(due.rows);
      if (wrong !== null) return this.#abandon(), wrong;
      incoming.next++;
      if (due.done) return this.#finish(from, due);
      due = this.#early.get(incoming.next);
    }
    this.answer({ from, chunk }, chunk.term, incoming.next, false);
    return null;
  }

  /**
   * The tables get the snapshot's state, and everything else waits for the checkpoint. The log begins anew, but where it
   * has the snapshot's last entry it stays as it is, in the journal too: what follows was acknowledged (P3).
   */
  #finish(from: NodeId, chunk: SnapshotChunk): string | null {
    const { partition, host, machine, ledger, following } = this.#options;
    const { index, indexTerm, configuration, configurationIndex } = chunk;
    this.#abandon();
    const wrong = machine.finishInstall(index, indexTerm);
    if (wrong !== null) return wrong;
    if (ledger.log.termAt(index) === indexTerm) ledger.commitTo(index);
    else {
      ledger.restart({ index, term: indexTerm }, configuration, configurationIndex);
      following.restart();
      host.effects.record(ledger.baseRecord());
    }
    this.#missing = false;
    this.#settling = { from, chunk };
    host.requestCheckpoint();
    host.effects.note({ kind: "snapshot-installed", partition, index });
    return null;
  }

  #abandon(): void {
    this.#incoming = null;
    this.#early.clear();
  }
}

function isSnapshotChunk(chunk: SnapshotChunk): boolean {
  return isConfiguration(chunk.configuration) && chunk.index > (0 as LogIndex) &&
    chunk.configurationIndex <= chunk.index && chunk.indexTerm <= chunk.term;
}
