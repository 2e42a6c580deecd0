import type { LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import type { Member, MemberState, SystemView } from "./messages.ts";
import type { ChunkStatus, Scheme, SegmentId } from "./objects.ts";
import type { AccessKey, Invite, Principal } from "./security.ts";

/** The version of a key: the log position that wrote it. Comparable between keys of one partition only. */
export interface Version {
  readonly term: Term;
  readonly index: LogIndex;
}

/**
 * Makes a retry safe: each write of a client has its own sequence, and a partition applies it once.
 * Writes below `acknowledged` have been answered, so their answers may be forgotten.
 */
export interface Session {
  /** 32 hexadecimal digits, drawn at random by the client. */
  readonly client: string;
  readonly sequence: number;
  readonly acknowledged: number;
  /** The client has had an answer from this partition: a partition that does not know it has forgotten it. */
  readonly opened: boolean;
}

/** linearizable: the newest acknowledged value. stale: whatever the asked replica has, with its age. */
export type ReadMode = "linearizable" | "stale";

/** Compared with a key's state: absent, any existing, or exactly that version or value. */
export type Expectation =
  | { readonly kind: "absent" }
  | { readonly kind: "present" }
  | { readonly kind: "version"; readonly version: Version }
  | { readonly kind: "value"; readonly value: Uint8Array };

export interface PutOptions {
  /** The key goes when the lease of this name does. The name hashes to the key's partition (share a {tag}). */
  readonly lease?: string;
  /** Own lease of this many milliseconds. Excludes `lease`. */
  readonly ttlMs?: number;
  /** Keep up to this many earlier versions of the key from now on; 0 ends its history. */
  readonly history?: number;
}

export interface PutOp extends PutOptions {
  readonly kind: "put";
  readonly key: string;
  readonly value: Uint8Array;
}
export interface DeleteOp {
  readonly kind: "delete";
  readonly key: string;
}
/** Writes `value` (null: deletes) if `expect` holds; else answers with the key as it is. */
export interface CasOp extends PutOptions {
  readonly kind: "cas";
  readonly key: string;
  readonly expect: Expectation;
  readonly value: Uint8Array | null;
}
/** If all conditions hold, applies `then`, else `otherwise`, at one log position. All keys in one partition. */
export interface TransactOp {
  readonly kind: "transact";
  readonly conditions: readonly { readonly key: string; readonly expect: Expectation }[];
  readonly then: readonly TransactItem[];
  readonly otherwise: readonly TransactItem[];
}
export type TransactItem = PutOp | DeleteOp | { readonly kind: "get"; readonly key: string };
export interface GrantOp {
  readonly kind: "grant";
  readonly lease: string;
  readonly ttlMs: number;
}
/** Starts the lease's time anew. For a key put with ttlMs the lease's name is the key. */
export interface KeepAliveOp {
  readonly kind: "keep-alive";
  readonly lease: string;
}
export interface RevokeOp {
  readonly kind: "revoke";
  readonly lease: string;
}
/** What goes through a data partition's log. */
export type WriteOp = PutOp | DeleteOp | CasOp | TransactOp | GrantOp | KeepAliveOp | RevokeOp;

export interface GetOp {
  readonly kind: "get";
  readonly key: string;
  readonly read: ReadMode;
  /** An earlier version, where history is kept. */
  readonly version?: Version;
}
export interface HistoryOp {
  readonly kind: "history";
  readonly key: string;
  readonly read: ReadMode;
}
/** Keys from `start` up to but without `end` (null: to the last), over one partition or, without it, over all. */
export interface RangeOp {
  readonly kind: "range";
  readonly start: string;
  readonly end: string | null;
  readonly limit: number;
  readonly reverse: boolean;
  /** Leave values out. */
  readonly keysOnly: boolean;
  readonly read: ReadMode;
  readonly partition?: PartitionId;
}
export type ReadOp = GetOp | HistoryOp | RangeOp;

/** From now on, or after the given log index of each partition named (as events and answers told them). */
export interface WatchOp {
  readonly kind: "watch";
  readonly start: string;
  readonly end: string | null;
  readonly from: readonly (readonly [PartitionId, LogIndex])[];
}
export interface UnwatchOp {
  readonly kind: "unwatch";
  /** The id of the watch request. */
  readonly watch: number;
}

/** What goes through the system partition's log. */
export type SystemOp =
  | { readonly kind: "join"; readonly member: Member; readonly network: string | null }
  | {
    readonly kind: "set-state";
    readonly node: NodeId;
    readonly state: MemberState;
    readonly force: boolean;
  }
  | { readonly kind: "set-address"; readonly node: NodeId; readonly address: string }
  /**
   * Shuts a member out for good, voids all invites, and wants a new generation of keys. Without `force` not one whose loss
   * takes a partition's majority with it.
   */
  | { readonly kind: "evict"; readonly node: NodeId; readonly force: boolean }
  /** `nowMs`: by the asker's clock; invites that ended before are forgotten. */
  | { readonly kind: "invite-add"; readonly invite: Invite; readonly nowMs: number }
  | { readonly kind: "invite-drop"; readonly id: string }
  /** Makes an access key, or changes name and rights of the one with this id. */
  | { readonly kind: "access-set"; readonly access: AccessKey }
  | { readonly kind: "access-drop"; readonly id: string }
  /** Wants a new generation of keys. */
  | { readonly kind: "keys-rotate" }
  /** By the leader of the system partition: its host has made the generation that was wanted. */
  | { readonly kind: "key-made"; readonly id: number; readonly authority: Uint8Array }
  /** By a member, of itself (see MemberIdentity). */
  | {
    readonly kind: "key-status";
    readonly node: NodeId;
    readonly holds: number;
    readonly uses: number;
    readonly statement: Uint8Array;
  };

/** Answered by the node asked, from what it knows. */
export type LocalOp =
  | { readonly kind: "status" }
  | { readonly kind: "members" }
  | { readonly kind: "layout" }
  /** What was noted last of who did what at this node, the newest first. */
  | { readonly kind: "audit"; readonly limit: number };

/** Answered by the node asked, which spreads chunks over the members and gathers them again. Harmless to repeat. */
export type ChunkRequestOp =
  /** Store a sealed chunk under the scheme. Answered "stored" when it is durable with a write quorum. */
  | {
    readonly kind: "chunk-put";
    readonly segment: SegmentId;
    readonly chunk: number;
    readonly scheme: Scheme;
    /** Of the segment's writer: WRITE_TOKEN_BYTES. */
    readonly token: Uint8Array;
    readonly bytes: Uint8Array;
  }
  /** The sealed chunk, `length` bytes; refused "not-found" where too few of its fragments can be had. */
  | {
    readonly kind: "chunk-get";
    readonly segment: SegmentId;
    readonly chunk: number;
    readonly scheme: Scheme;
    readonly length: number;
    /** 0 at first. After a chunk that did not open each further one reads other fragments, as far as there are any. */
    readonly attempt: number;
  }
  /** Hint all members that these segments were deleted (message segments-gone). Answered "done". */
  | { readonly kind: "segments-gone"; readonly segments: readonly SegmentId[] };

export type Op = WriteOp | ReadOp | WatchOp | UnwatchOp | SystemOp | LocalOp | ChunkRequestOp;

export interface Request {
  readonly op: Op;
  /** Present on writes that a client may retry. */
  readonly session?: Session;
  /** Between nodes: on whose behalf. What a client says here counts for nothing. */
  readonly by?: Principal;
}

export interface KeyValue {
  readonly key: string;
  /** null where values were left out, or, in a history, where that version is a deletion. */
  readonly value: Uint8Array | null;
  readonly version: Version;
}

/** An answer of any age: the largest number that a node may be told (see Reader). */
export const AGE_UNKNOWN_US = 2 ** 52 - 1;

export type Response =
  /** Of put, delete, grant, keep-alive, revoke. `existed`: there was something to delete, revoke or overwrite. */
  | { readonly kind: "written"; readonly version: Version; readonly existed: boolean }
  /** `applied` false: the expectation did not hold and `found` is the key as it is (null: absent). */
  | {
    readonly kind: "cas";
    readonly applied: boolean;
    readonly version: Version;
    readonly found: KeyValue | null;
  }
  | {
    readonly kind: "transacted";
    /** Which branch ran. */
    readonly held: boolean;
    readonly version: Version;
    /** One for each item of the branch: for get the value found, else null. */
    readonly results: readonly (KeyValue | null)[];
  }
  /** `ageUs` 0: linearizable; else at most how old the answer is, as far as the replica knows, or AGE_UNKNOWN_US. */
  | { readonly kind: "value"; readonly found: KeyValue | null; readonly ageUs: number }
  | {
    readonly kind: "values";
    readonly items: readonly KeyValue[];
    /** Where to go on: the next start (or, reversed, the next end); null at the end. */
    readonly next: string | null;
    readonly ageUs: number;
  }
  | { readonly kind: "watching"; readonly from: readonly (readonly [PartitionId, LogIndex])[] }
  | {
    readonly kind: "events";
    readonly partition: PartitionId;
    readonly upTo: LogIndex;
    readonly events: readonly KeyValue[];
    /** True: events were missed that are no longer known; read the range, then go on. */
    readonly gap: boolean;
  }
  | { readonly kind: "done"; readonly version: number }
  | { readonly kind: "joined"; readonly view: SystemView }
  | { readonly kind: "status"; readonly status: NodeStatus }
  | { readonly kind: "layout"; readonly view: SystemView; readonly leaders: readonly (NodeId | null)[] }
  | { readonly kind: "members"; readonly members: readonly MemberStatus[] }
  | { readonly kind: "audit"; readonly events: readonly AuditEvent[] }
  /** How many fragments are durable so far, of how many that all would be. */
  | { readonly kind: "stored"; readonly fragments: number; readonly wanted: number }
  | { readonly kind: "chunk"; readonly bytes: Uint8Array }
  | Refused;

/**
 * invalid: the request itself is wrong. too-large: a limit was passed. no-leader, busy, timeout: try again. unsure:
 * the write may or may not happen. session-expired: the answer to a retry is no longer known. conflict: the network's
 * state forbids it. not-found: no such lease, version or member. foreign: another network. moved: ask `leader`.
 * no-space: not done, the disks of the partition are nearly full; deletes are still taken.
 * down: not done, this node is in trouble (see Trouble); ask another. denied: the access key may not do that.
 */
export type RefusalReason =
  | "invalid"
  | "too-large"
  | "no-leader"
  | "moved"
  | "busy"
  | "timeout"
  | "unsure"
  | "session-expired"
  | "conflict"
  | "not-found"
  | "foreign"
  | "closing"
  | "no-space"
  | "down"
  | "denied";
export interface Refused {
  readonly kind: "refused";
  readonly reason: RefusalReason;
  /** For a person: what was wrong, the value, what to do. */
  readonly message: string;
  readonly leader?: NodeId;
  /** Not before this long is asking again worth it. */
  readonly retryAfterMs?: number;
}

/** What somebody did that mattered, or was kept from doing. */
export interface AuditEvent {
  /** Milliseconds since 1970 by the node's clock. */
  readonly timeMs: number;
  readonly node: NodeId;
  /** See describePrincipal(). */
  readonly who: string;
  /** The other end's address; empty: the node itself. */
  readonly from: string;
  readonly what: string;
  readonly outcome: string;
}

export interface ReplicaStatus {
  readonly partition: PartitionId;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly leader: NodeId | null;
  readonly term: Term;
  readonly commit: LogIndex;
  readonly applied: LogIndex;
  readonly last: LogIndex;
  readonly quiet: boolean;
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
}
export interface NodeStatus {
  readonly node: NodeId;
  readonly network: string;
  readonly view: number;
  readonly epoch: number;
  /** outside: no member. down: it takes part in nothing as long as its trouble lasts. */
  readonly state: MemberState | "outside" | "down";
  readonly replicas: readonly ReplicaStatus[];
  readonly counters: readonly (readonly [string, number])[];
  /** null: all is well. */
  readonly trouble: Trouble | null;
  readonly chunks: ChunkStatus;
}
/**
 * What keeps a node from doing all it should, in words for a person. low-space: little is left, and it takes no writes.
 * no-space, disk: its files cannot be written or read. alone: it has to join the network, and no peer has taken it yet.
 * evicted: the network has shut it out, for good.
 */
export interface Trouble {
  readonly kind: "low-space" | "no-space" | "disk" | "alone" | "evicted";
  /** What went wrong, with the file's name and the system's error. */
  readonly what: string;
  readonly waitsFor: string;
  /** Milliseconds since 1970 by the node's own clock. */
  readonly sinceMs: number;
}
export interface MemberStatus extends Member {
  /** What the answering node believes: itself is "alive". */
  readonly liveness: "alive" | "suspect" | "dead" | "left" | "unknown";
  readonly replicas: number;
  readonly leads: number;
}
