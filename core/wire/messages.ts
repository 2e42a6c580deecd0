import type { Epoch, LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import type { Settings } from "../base/limits.ts";
import type { FragmentId, SegmentId } from "./objects.ts";
import type { Request, Response } from "./requests.ts";
import type { MemberIdentity, Security } from "./security.ts";

/** Everything one peer says to another. Messages are immutable: the simulator passes them by reference. */
export type Message =
  | Ping
  | Ack
  | PingRequest
  | Nack
  | PushPull
  | Vote
  | VoteReply
  | Append
  | AppendReply
  | Beats
  | BeatReplies
  | TimeoutNow
  | SnapshotChunk
  | SnapshotReply
  | LayoutGet
  | LayoutIs
  | Forward
  | ForwardReply
  | WatchStart
  | WatchStop
  | WatchEvents
  | ReplicaCheck
  | ReplicaVerdict
  | Space
  | KeyGet
  | FragmentPut
  | FragmentPutReply
  | FragmentGet
  | FragmentGetReply
  | FragmentCheck
  | FragmentCheckReply
  | SegmentsGone;

export type MessageKind = Message["kind"];
export type MessageOf<K extends MessageKind> = Extract<Message, { kind: K }>;

// ---- membership (SWIM, Lifeguard)

export type Liveness = "alive" | "suspect" | "dead" | "left";

/** One piece of gossip: what is believed of a member. `by` is who first suspected it (Lifeguard counts confirmations). */
export interface Update {
  readonly node: NodeId;
  readonly address: string;
  readonly incarnation: number;
  readonly status: Liveness;
  readonly by: NodeId;
}

export interface Ping {
  readonly kind: "ping";
  readonly sequence: number;
  /** Who is meant: a process that took over an address refuses a ping for its predecessor. */
  readonly target: NodeId;
  /** The sender's newest SystemView version. */
  readonly view: number;
  readonly updates: readonly Update[];
}
export interface Ack {
  readonly kind: "ack";
  readonly sequence: number;
  readonly view: number;
  readonly updates: readonly Update[];
}
export interface PingRequest {
  readonly kind: "ping-request";
  readonly sequence: number;
  readonly target: NodeId;
  readonly updates: readonly Update[];
}
export interface Nack {
  readonly kind: "nack";
  readonly sequence: number;
}
export interface PushPull {
  readonly kind: "push-pull";
  /** True in the answer. */
  readonly reply: boolean;
  readonly members: readonly Update[];
}

// ---- election and replication (Raft)

export interface Vote {
  readonly kind: "vote";
  readonly partition: PartitionId;
  readonly term: Term;
  /** A pre-vote asks "would you", with the term the candidate would take, and changes nothing at the voter. */
  readonly pre: boolean;
  /** Set when the leader itself asked for this election: voters do not protect that leader. */
  readonly transfer: boolean;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}
export interface VoteReply {
  readonly kind: "vote-reply";
  readonly partition: PartitionId;
  readonly term: Term;
  readonly pre: boolean;
  readonly granted: boolean;
}

/** `config` entries carry an encoded Configuration, `noop` entries nothing, `command` entries a state machine's command. */
export type EntryKind = "command" | "config" | "noop";
export interface Entry {
  readonly term: Term;
  readonly index: LogIndex;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}
export interface Append {
  readonly kind: "append";
  readonly partition: PartitionId;
  readonly term: Term;
  readonly prevIndex: LogIndex;
  readonly prevTerm: Term;
  readonly commit: LogIndex;
  readonly entries: readonly Entry[];
}
export interface AppendReply {
  readonly kind: "append-reply";
  readonly partition: PartitionId;
  readonly term: Term;
  readonly ok: boolean;
  /** ok: the follower's log equals the leader's up to here, durably. Not ok: an index to try next, and its term. */
  readonly index: LogIndex;
  readonly indexTerm: Term;
  /** Not ok: the prevIndex that was refused, so that a late refusal is told from a fresh one. */
  readonly refused: LogIndex;
}
/** One partition's share of a heartbeat. */
export interface Beat {
  readonly partition: PartitionId;
  readonly term: Term;
  readonly commit: LogIndex;
  /** Counts the leader's rounds; the answer repeats it, which confirms every read asked before the round. */
  readonly round: number;
  /** The leader goes quiet: do not expect further beats. Only obeyed where the log ends at `commit`. */
  readonly quiet: boolean;
}
/** All heartbeats from one node to another at one instant. */
export interface Beats {
  readonly kind: "beats";
  readonly beats: readonly Beat[];
}
export interface BeatReply {
  readonly partition: PartitionId;
  readonly term: Term;
  readonly round: number;
  /** The follower's last index that it knows equal to the leader's in this term; 0 where unknown. */
  readonly match: LogIndex;
}
export interface BeatReplies {
  readonly kind: "beat-replies";
  readonly replies: readonly BeatReply[];
}
export interface TimeoutNow {
  readonly kind: "timeout-now";
  readonly partition: PartitionId;
  readonly term: Term;
}

/** Who votes. `outgoing` is not empty only in a joint configuration, which needs a majority of both halves. */
export interface Configuration {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
}

export interface SnapshotChunk {
  readonly kind: "snapshot";
  readonly partition: PartitionId;
  readonly term: Term;
  /** The last log position that the snapshot contains. */
  readonly index: LogIndex;
  readonly indexTerm: Term;
  readonly configuration: Configuration;
  /** The index of the entry that committed `configuration`. */
  readonly configurationIndex: LogIndex;
  /** Chunks count from 0 within one transfer; `transfer` tells one attempt from the next. */
  readonly transfer: number;
  readonly sequence: number;
  readonly done: boolean;
  readonly rows: readonly (readonly [Uint8Array, Uint8Array])[];
}
export interface SnapshotReply {
  readonly kind: "snapshot-reply";
  readonly partition: PartitionId;
  readonly term: Term;
  readonly index: LogIndex;
  readonly transfer: number;
  /** The next chunk wanted. After the last one `installed` is true. */
  readonly next: number;
  readonly installed: boolean;
}

// ---- the network's agreed state

/**
 * joining: known, holds nothing yet. active: holds data. draining: data moves off. gone: was out of reach for too long,
 * and comes back by joining. removed: drained, or taken out by an operator, and comes back only on an operator's word.
 * evicted: shut out, and never comes back under its key.
 */
export type MemberState = "joining" | "active" | "draining" | "gone" | "removed" | "evicted";
export interface Member {
  readonly id: NodeId;
  readonly address: string;
  readonly zone: string;
  /** Relative weight for placement, 1 to 1,000,000. */
  readonly capacity: number;
  readonly state: MemberState;
  /**
   * Names the data directory: 16 hexadecimal digits drawn when it was made; "" where a build before format 2 wrote it.
   * A member that lost its disk has forgotten its votes and what it acknowledged: it must not come back under its id.
   */
  readonly disk: string;
  /** Absent in an open network. */
  readonly identity?: MemberIdentity;
}
/** What the system partition agrees on, as of `version` (the log index that changed it last). Members sorted by id. */
export interface SystemView {
  readonly version: number;
  /** Names the network: 32 hexadecimal digits. A peer of another network is refused. */
  readonly network: string;
  readonly settings: Settings;
  readonly epoch: Epoch;
  readonly members: readonly Member[];
  /** assignment[p]: replicas of partition p in order of preference; p = 0 is the system partition. */
  readonly assignment: readonly (readonly NodeId[])[];
  /** null: an open network, which asks nobody who they are. */
  readonly security: Security | null;
}
export interface LayoutGet {
  readonly kind: "layout-get";
  /** The version the asker has; answered when there is a newer one. */
  readonly version: number;
}
export interface LayoutIs {
  readonly kind: "layout-is";
  readonly view: SystemView;
}

// ---- requests on behalf of clients

export interface Forward {
  readonly kind: "forward";
  readonly id: number;
  readonly hops: number;
  readonly request: Request;
}
export interface ForwardReply {
  readonly kind: "forward-reply";
  readonly id: number;
  readonly response: Response;
}

/** Begins a watch, or renews it: a watch that is not renewed for a while is dropped. */
export interface WatchStart {
  readonly kind: "watch-start";
  readonly id: number;
  readonly partition: PartitionId;
  readonly start: string;
  /** null: to the last key. For one key: start followed by U+0000. */
  readonly end: string | null;
  /** Events after this log index; null: from now on. */
  readonly from: LogIndex | null;
}
export interface WatchStop {
  readonly kind: "watch-stop";
  readonly id: number;
  readonly partition: PartitionId;
}
export interface WatchEvent {
  readonly key: string;
  /** null: deleted or expired. */
  readonly value: Uint8Array | null;
  readonly term: Term;
  readonly index: LogIndex;
}
export interface WatchEvents {
  readonly kind: "watch-events";
  readonly id: number;
  readonly partition: PartitionId;
  /** The events cover the log after `after` up to `upTo`; a receiver that knows less than `after` starts anew. */
  readonly after: LogIndex;
  readonly upTo: LogIndex;
  readonly events: readonly WatchEvent[];
  /** ok; moved: ask the leader anew; compacted: events after `from` are no longer known. */
  readonly status: "ok" | "moved" | "compacted";
}

/** A holder of a replica that the layout does not give it asks a member of the partition whether it is still needed. */
export interface ReplicaCheck {
  readonly kind: "replica-check";
  readonly partition: PartitionId;
}
export interface ReplicaVerdict {
  readonly kind: "replica-verdict";
  readonly partition: PartitionId;
  readonly term: Term;
  /** How far the answerer's log is committed, and whether the newest configuration up to there names the asker. */
  readonly commit: LogIndex;
  readonly needed: boolean;
}

/** The sender is short of disk space and takes over no leadership, or (low false) is well again. */
export interface Space {
  readonly kind: "space";
  readonly low: boolean;
}

/** The sender lacks the secrets of these generations: may its host have them? */
export interface KeyGet {
  readonly kind: "key-get";
  readonly ids: readonly number[];
}

// ---- the bulk of objects; `id` is the asker's, and the answer repeats it

/** Keep this fragment: the whole file, as encodeFragment() makes it. */
export interface FragmentPut {
  readonly kind: "fragment-put";
  readonly id: number;
  readonly fragment: FragmentId;
  readonly bytes: Uint8Array;
}
/**
 * stored: it is durable. no-space, failed: not now, ask another. refused: it is no such fragment, or another one stands
 * under its name.
 */
export type FragmentPutOutcome = "stored" | "no-space" | "failed" | "refused";
export interface FragmentPutReply {
  readonly kind: "fragment-put-reply";
  readonly id: number;
  readonly outcome: FragmentPutOutcome;
}
export interface FragmentGet {
  readonly kind: "fragment-get";
  readonly id: number;
  readonly fragment: FragmentId;
}
export interface FragmentGetReply {
  readonly kind: "fragment-get-reply";
  readonly id: number;
  /** null: not held, or not readable. Otherwise proven whole by its holder, which the asker does not rely on. */
  readonly bytes: Uint8Array | null;
}
/** Which of these do you hold? */
export interface FragmentCheck {
  readonly kind: "fragment-check";
  readonly id: number;
  /** Only what was read and is whole counts as held: who asks may remove its own. */
  readonly verify?: true;
  /** Up to LIMITS.fragmentsPerCheckMax. */
  readonly fragments: readonly FragmentId[];
}
export interface FragmentCheckReply {
  readonly kind: "fragment-check-reply";
  readonly id: number;
  /** One for each fragment asked about, in that order. */
  readonly held: readonly boolean[];
}
/** A hint: these segments are no longer registered. Whoever holds fragments of them makes sure of it, and removes them. */
export interface SegmentsGone {
  readonly kind: "segments-gone";
  readonly segments: readonly SegmentId[];
}
