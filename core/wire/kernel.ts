import type { Instant, LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import type { Configuration, Entry, Liveness, MemberState, Message, SystemView } from "./messages.ts";
import type { ChunkOp, ChunkResult, FragmentId } from "./objects.ts";
import type { Request, Response } from "./requests.ts";
import type { Principal } from "./security.ts";

/** Everything that can happen to a node. There is no second way to change one. */
export type Input =
  /** The first input after construction. */
  | { readonly kind: "start" }
  /** The time asked for by nextWake() has come. */
  | { readonly kind: "wake" }
  /** Messages of one peer in the order they came, all of one frame. */
  | { readonly kind: "messages"; readonly from: NodeId; readonly messages: readonly Message[] }
  /** Every record up to and with this number is durable. Numbers are Effects.persistedUpTo. */
  | { readonly kind: "persisted"; readonly upTo: number }
  /** The checkpoint of this number is complete: older journal segments are no longer needed. */
  | { readonly kind: "checkpointed"; readonly checkpoint: number }
  /**
   * The host wants a checkpoint soon, however little was written since the last: what the journal's older segments are
   * encrypted with is to be forgotten. It begins with this step, or when the one under way is complete.
   */
  | { readonly kind: "checkpoint" }
  /** Requests that arrived together. `client` is the host's number of the connection, `id` the client's of the request. */
  | { readonly kind: "requests"; readonly requests: readonly ClientRequest[] }
  | { readonly kind: "client-gone"; readonly client: number }
  /**
   * The disk is about to be full (low), or has room again. A node short of space takes no writes from clients, gives
   * its leaderships to others and goes on following as long as it can.
   */
  | { readonly kind: "space"; readonly low: boolean }
  /** What came of operations of Effects.chunkOps, in any order. */
  | { readonly kind: "chunks"; readonly results: readonly ChunkResult[] }
  /** A connection to a peer broke or was refused: probe it now. */
  | { readonly kind: "peer-lost"; readonly peer: NodeId }
  /**
   * What this host has of the network's keys, at the start and whenever it changes. holds: the newest generation whose
   * secret it has, that is the one of the authority that the view lists; what it made itself counts only once the view
   * lists it so, for another's may have been agreed on. uses: the oldest one it still needs. `statement`: see
   * MemberIdentity; for generation `holds`.
   */
  | {
    readonly kind: "keys";
    readonly holds: number;
    readonly uses: number;
    readonly statement: Uint8Array;
  }
  /**
   * The host has made the generation that `Effects.makeKey` asked for, and keeps its secret, durably. Asked again for the
   * same one, it answers with what it made.
   */
  | { readonly kind: "key-made"; readonly id: number; readonly authority: Uint8Array }
  /** Hand leadership over and leave the network's gossip in good order; the host stops after `Effects.stopped`. */
  | { readonly kind: "stop" };

export interface ClientRequest {
  readonly client: number;
  readonly id: number;
  readonly request: Request;
  /** Who is at the other end. Nobody known has no rights but in an open network. */
  readonly who?: Principal;
}

/** What a node keeps for good, in the order written. Replaying them over the tables rebuilds the node. */
export type JournalRecord =
  /** Term and vote of a partition (Raft's persistent state). */
  | {
    readonly kind: "vote";
    readonly partition: PartitionId;
    readonly term: Term;
    readonly votedFor: NodeId | null;
  }
  /** Entries that follow the log directly. */
  | { readonly kind: "entries"; readonly partition: PartitionId; readonly entries: readonly Entry[] }
  /** Entries from this index on are void. */
  | { readonly kind: "truncate"; readonly partition: PartitionId; readonly from: LogIndex }
  /** The log restarts after a snapshot that the tables hold. Also the head of each partition in a checkpoint. */
  | {
    readonly kind: "base";
    readonly partition: PartitionId;
    readonly index: LogIndex;
    readonly term: Term;
    readonly configuration: Configuration;
    readonly configurationIndex: LogIndex;
  }
  /** The replica's log and data are gone; its term and vote stay. */
  | { readonly kind: "drop"; readonly partition: PartitionId }
  /** The newest agreed view this node has heard of: what it starts from when it comes back. */
  | { readonly kind: "view"; readonly view: SystemView }
  /** Known peers, so that an isolated node finds its way back, and this node's incarnation. */
  | {
    readonly kind: "peers";
    readonly incarnation: number;
    readonly peers: readonly { readonly node: NodeId; readonly address: string }[];
  };

/** What recovery found of one partition in the journal, before the tables are looked at. */
export interface RecoveredReplica {
  readonly term: Term;
  readonly votedFor: NodeId | null;
  /** False when only term and vote are known (dropped, or never more than asked to vote). */
  readonly exists: boolean;
  readonly base: { readonly index: LogIndex; readonly term: Term };
  readonly configuration: Configuration;
  readonly configurationIndex: LogIndex;
  /** Entries after the base. */
  readonly entries: readonly Entry[];
}

/** What a node's journal says, replayed from its first segment to its last whole record. */
export interface Recovered {
  readonly view: SystemView | null;
  readonly incarnation: number;
  readonly peers: readonly { readonly node: NodeId; readonly address: string }[];
  readonly replicas: ReadonlyMap<PartitionId, RecoveredReplica>;
}

/** One message for one peer. */
export interface Envelope {
  readonly to: NodeId;
  readonly message: Message;
}
export interface KeyOffer {
  readonly to: NodeId;
  readonly ids: readonly number[];
}
export interface Reply {
  readonly client: number;
  readonly id: number;
  readonly response: Response;
}

/**
 * A checkpoint to take: make the tables durable as they are at the end of this step, begin a new journal segment with
 * `records` (this step's own `persist` records go before it, into the old segment), and when both are durable drop
 * the older segments and step { kind: "checkpointed" }.
 */
export interface Checkpoint {
  readonly number: number;
  readonly records: readonly JournalRecord[];
}

/** Things worth knowing that change nothing: for traces, metrics and checkers. */
export type Note =
  | {
    readonly kind: "member";
    readonly node: NodeId;
    readonly status: Liveness;
    readonly incarnation: number;
  }
  | { readonly kind: "leader"; readonly partition: PartitionId; readonly term: Term }
  | {
    readonly kind: "stepped-down";
    readonly partition: PartitionId;
    readonly term: Term;
    readonly why: string;
  }
  | { readonly kind: "campaign"; readonly partition: PartitionId; readonly term: Term; readonly pre: boolean }
  /** So many voters said no that no quorum is left to say yes. */
  | {
    readonly kind: "campaign-lost";
    readonly partition: PartitionId;
    readonly term: Term;
    readonly pre: boolean;
  }
  | { readonly kind: "quiet"; readonly partition: PartitionId; readonly quiet: boolean }
  | {
    readonly kind: "configuration";
    readonly partition: PartitionId;
    readonly index: LogIndex;
    readonly configuration: Configuration;
  }
  | { readonly kind: "applied"; readonly partition: PartitionId; readonly index: LogIndex }
  | {
    readonly kind: "snapshot-sent";
    readonly partition: PartitionId;
    readonly to: NodeId;
    readonly index: LogIndex;
  }
  | {
    readonly kind: "snapshot-begun";
    readonly partition: PartitionId;
    readonly to: NodeId;
    readonly index: LogIndex;
  }
  | { readonly kind: "snapshot-installed"; readonly partition: PartitionId; readonly index: LogIndex }
  | { readonly kind: "transfer"; readonly partition: PartitionId; readonly to: NodeId }
  | { readonly kind: "compacted"; readonly partition: PartitionId; readonly base: LogIndex }
  | { readonly kind: "dropped"; readonly partition: PartitionId }
  /** A retried write was answered from the session table. */
  | { readonly kind: "duplicate"; readonly partition: PartitionId }
  /** Leases ended because their time was over. */
  | { readonly kind: "leases-ended"; readonly partition: PartitionId }
  | { readonly kind: "checkpoint"; readonly number: number; readonly done: boolean }
  | { readonly kind: "view"; readonly version: number; readonly epoch: number }
  /** This node's own place in the network is another than before, or is told for the first time. */
  | { readonly kind: "standing"; readonly state: MemberState | "outside" }
  /** A peer's message that was not obeyed. */
  | {
    readonly kind: "refused";
    readonly from: NodeId;
    readonly message: Message["kind"];
    readonly why: string;
  }
  /** Fetched, or made again of others, and written; `fetched`: bytes from others. */
  | {
    readonly kind: "fragment-repaired";
    readonly fragment: FragmentId;
    readonly bytes: number;
    readonly fetched: number;
  }
  /** What was kept under this name is not that fragment, or cannot be read. */
  | { readonly kind: "fragment-rotten"; readonly fragment: FragmentId }
  /**
   * moved: those who should hold it do. orphan: its segment is not registered, and it is old. gone: its segment was deleted.
   * excess: its segment is registered, and has no such fragment.
   */
  | {
    readonly kind: "fragment-removed";
    readonly fragment: FragmentId;
    readonly why: "moved" | "orphan" | "gone" | "excess";
  }
  /** A look at all that this node holds begins, or has been at everything. */
  | { readonly kind: "look"; readonly done: boolean }
  /** A client had something done that matters to the network's safety, or was kept from it. */
  | {
    readonly kind: "audit";
    readonly client: number;
    readonly who: string;
    readonly what: string;
    readonly outcome: string;
  };

/**
 * What a step asks of the host. One object is filled anew by each step: the host takes what it needs before it steps
 * again. Order within each list is the order of happening.
 */
export class Effects {
  /** To be written to the journal in this order. Durable only when the host says so with "persisted". */
  readonly persist: JournalRecord[] = [];
  /** The number that covers all of `persist` so far, over the life of the process. */
  persistedUpTo = 0;
  /** May leave at once. */
  readonly sendNow: Envelope[] = [];
  /** May leave once `persistedUpTo` of this step is durable. */
  readonly sendAfterPersist: Envelope[] = [];
  /** Answers to clients. What an answer rests on is already durable. */
  readonly replies: Reply[] = [];
  /** Asked of the disk that holds fragments of objects; each is answered in an input "chunks". */
  readonly chunkOps: ChunkOp[] = [];
  readonly notes: Note[] = [];
  checkpoint: Checkpoint | null = null;
  /** Members whose hosts may be given the secrets of these generations, over a connection that proves who they are. */
  readonly keyOffers: KeyOffer[] = [];
  /** The generation whose secret the host shall make; the host answers with "key-made". */
  makeKey: number | null = null;
  /** The node has done all that "stop" asks. */
  stopped = false;

  record(record: JournalRecord): void {
    this.persist.push(record);
    this.persistedUpTo++;
  }
  send(to: NodeId, message: Message): void {
    this.sendNow.push({ to, message });
  }
  sendDurable(to: NodeId, message: Message): void {
    this.sendAfterPersist.push({ to, message });
  }
  reply(client: number, id: number, response: Response): void {
    this.replies.push({ client, id, response });
  }
  note(note: Note): void {
    this.notes.push(note);
  }
  /** Called by the node as a step begins. */
  clear(): void {
    empty(this.persist);
    empty(this.sendNow);
    empty(this.sendAfterPersist);
    empty(this.replies);
    empty(this.chunkOps);
    empty(this.notes);
    empty(this.keyOffers);
    this.checkpoint = null;
    this.makeKey = null;
  }
}

/** Most lists are empty after most steps, and setting a length costs more than looking at it. */
function empty(list: unknown[]): void {
  if (list.length > 0) list.length = 0;
}

/** What a host drives. Steps are synchronous and deterministic; `now` never decreases. */
export interface Kernel {
  step(input: Input, now: Instant): Effects;
  /** When the host must step { kind: "wake" } at the latest. NEVER: only when something else happens. */
  nextWake(): Instant;
  /** A cheap running digest of everything that changed in this node, for comparing runs. 32 bits. */
  fingerprint(): number;
}
