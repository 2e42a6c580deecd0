import type { Instant, LogIndex, NodeId, Term } from "../base/ids.ts";
import type { Row } from "../base/ports.ts";
import type {
  Append,
  AppendReply,
  Beat,
  BeatReply,
  Entry,
  SnapshotChunk,
  SnapshotReply,
  TimeoutNow,
  Vote,
  VoteReply,
} from "../wire/messages.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Response } from "../wire/requests.ts";

/** What a partition replicates: the catalog in data partitions, the network's agreed state in partition 0. */
export interface StateMachine {
  /** The last log position applied. Kept in the tables together with the data, so that both are of one moment. */
  readonly appliedIndex: LogIndex;
  readonly appliedTerm: Term;
  /**
   * Applies committed entries that follow appliedIndex directly. Deterministic: equal entries give equal state on
   * every replica. `answer` is called for each command entry in order. `now` may only feed what is not replicated
   * (when a lease was last refreshed as this replica saw it). Entries that are no commands only move the position.
   */
  apply(entries: readonly Entry[], now: Instant, answer: (index: LogIndex, response: Response) => void): void;
  /** Rows of a consistent state at appliedIndex, in a fixed order. Unaffected by later applies until closed. */
  snapshot(): SnapshotSource;
  /** Starts to receive a snapshot beside the current state; a begun one is thrown away. */
  beginInstall(): void;
  /** null, or why nobody's state can have these rows: the installation is over then. */
  installRows(rows: readonly Row[]): string | null;
  /** The received rows become the state, at this position, in one step. Or not, and why: as above. */
  finishInstall(index: LogIndex, term: Term): string | null;
  /** Removes every row of this partition. */
  drop(): void;
  /**
   * 32 bits that depend on the applied state only; equal at equal index on every replica. 0 while the state cannot be
   * compared at its index. Cheap (kept incrementally).
   */
  stateDigest(): number;
}

export interface SnapshotSource {
  readonly index: LogIndex;
  readonly term: Term;
  /** The next rows, up to about `bytesMax` but at least one; empty at the end. */
  next(bytesMax: number): readonly Row[];
  close(): void;
}

/** What a replica may ask of the node around it. */
export interface ReplicaHost {
  readonly effects: Effects;
  /** Goes out with all other beats to that node at the end of the step. */
  beat(to: NodeId, beat: Beat): void;
  beatReply(to: NodeId, reply: BeatReply): void;
  /** The outcome of propose(): applied, or refused ("moved", "unsure", "busy"). Called once for each token. */
  answer(token: number, response: Response): void;
  /** The outcome of read(): the applied state is fresh enough now (null), or why not. */
  readable(token: number, refused: Response | null): void;
  /** Asks for a checkpoint soon; replica.checkpointed() follows when one that began after this call is complete. */
  requestCheckpoint(): void;
  /** True while membership watches the node and sees it alive: then it also tells when that changes. */
  reachable(node: NodeId): boolean;
  /** False while the node is known to be short of disk space: it would refuse to take over a leadership. */
  fit(node: NodeId): boolean;
}

/** The messages that go to one replica. Beats and their replies come gathered by node, see wire/messages.ts. */
export type ReplicaMessage =
  | Vote
  | VoteReply
  | Append
  | AppendReply
  | TimeoutNow
  | SnapshotChunk
  | SnapshotReply;
