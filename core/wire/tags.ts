/**
 * The numbers that stand for kinds and names in encoded bytes, all in one place. They are for good: a number is never
 * given a second meaning. What is added takes the next free one; any change of an existing form raises WIRE_VERSION.
 */
import type {
  EntryKind,
  FragmentPutOutcome,
  Liveness,
  MemberState,
  MessageKind,
  WatchEvents,
} from "./messages.ts";
import type { Input, JournalRecord } from "./kernel.ts";
import type { ChunkOp, ChunkResult, Scheme } from "./objects.ts";
import type {
  Expectation,
  MemberStatus,
  NodeStatus,
  Op,
  ReadMode,
  RefusalReason,
  ReplicaStatus,
  Response,
  Trouble,
} from "./requests.ts";

/** Both ends of a connection must name the same. */
export const WIRE_VERSION = 4;

/** A closed set of names, each with its number. */
export interface Names<T extends string> {
  readonly codes: Readonly<Record<T, number>>;
  readonly names: readonly (T | undefined)[];
}

function names<T extends string>(codes: Record<T, number>): Names<T> {
  const byCode: (T | undefined)[] = [];
  for (const name of Object.keys(codes) as T[]) byCode[codes[name]] = name;
  // Without holes: a table with holes is a slow one.
  return { codes, names: Array.from(byCode) };
}

/** The first item of every frame's payload. */
export const FRAME = {
  hello: 1,
  "hello-reply": 2,
  messages: 3,
  requests: 4,
  responses: 5,
  secrets: 6,
  admission: 7,
} as const;

export const MESSAGE = {
  "ping": 1,
  "ack": 2,
  "ping-request": 3,
  "nack": 4,
  "push-pull": 5,
  "vote": 6,
  "vote-reply": 7,
  "append": 8,
  "append-reply": 9,
  "beats": 10,
  "beat-replies": 11,
  "timeout-now": 12,
  "snapshot": 13,
  "snapshot-reply": 14,
  "layout-get": 15,
  "layout-is": 16,
  "forward": 17,
  "forward-reply": 18,
  "watch-start": 19,
  "watch-stop": 20,
  "watch-events": 21,
  "replica-check": 22,
  "replica-verdict": 23,
  "space": 24,
  "key-get": 25,
  "fragment-put": 26,
  "fragment-put-reply": 27,
  "fragment-get": 28,
  "fragment-get-reply": 29,
  "fragment-check": 30,
  "fragment-check-reply": 31,
  "segments-gone": 32,
} as const satisfies Record<MessageKind, number>;

export const OP = {
  "put": 1,
  "delete": 2,
  "cas": 3,
  "transact": 4,
  "grant": 5,
  "keep-alive": 6,
  "revoke": 7,
  "get": 8,
  "history": 9,
  "range": 10,
  "watch": 11,
  "unwatch": 12,
  "join": 13,
  "set-state": 14,
  "set-address": 15,
  "status": 16,
  "members": 17,
  "layout": 18,
  "evict": 19,
  "invite-add": 20,
  "invite-drop": 21,
  "access-set": 22,
  "access-drop": 23,
  "keys-rotate": 24,
  "key-made": 25,
  "key-status": 26,
  "audit": 27,
  "chunk-put": 28,
  "chunk-get": 29,
  "segments-gone": 30,
} as const satisfies Record<Op["kind"], number>;

export const EXPECTATION = {
  "absent": 1,
  "present": 2,
  "version": 3,
  "value": 4,
} as const satisfies Record<Expectation["kind"], number>;

export const RESPONSE = {
  "written": 1,
  "cas": 2,
  "transacted": 3,
  "value": 4,
  "values": 5,
  "watching": 6,
  "events": 7,
  "done": 8,
  "joined": 9,
  "status": 10,
  "layout": 11,
  "members": 12,
  "refused": 13,
  "audit": 14,
  "stored": 15,
  "chunk": 16,
} as const satisfies Record<Response["kind"], number>;

export const RECORD = {
  "vote": 1,
  "entries": 2,
  "truncate": 3,
  "base": 4,
  "drop": 5,
  "view": 6,
  "peers": 7,
} as const satisfies Record<JournalRecord["kind"], number>;

/** Of recordings. */
export const INPUT = {
  "start": 1,
  "wake": 2,
  "messages": 3,
  "persisted": 4,
  "checkpointed": 5,
  "requests": 6,
  "client-gone": 7,
  "space": 8,
  "peer-lost": 9,
  "stop": 10,
  "keys": 11,
  "key-made": 12,
  "checkpoint": 13,
  "chunks": 14,
} as const satisfies Record<Input["kind"], number>;

export const SCHEME = { "replicated": 1, "striped": 2 } as const satisfies Record<Scheme["kind"], number>;

export const FRAGMENT_OUTCOME: Names<FragmentPutOutcome> = names({
  "stored": 0,
  "no-space": 1,
  "failed": 2,
  "refused": 3,
});

/** Only compared, never read: in digests of recordings. */
export const CHUNK_OP = {
  "write": 1,
  "read": 2,
  "remove": 3,
  "list": 4,
  "partitions": 5,
} as const satisfies Record<ChunkOp["kind"], number>;

/** Of recordings. */
export const CHUNK_RESULT = {
  "written": 1,
  "read": 2,
  "removed": 3,
  "listed": 4,
  "partitions": 5,
  "failed": 6,
} as const satisfies Record<ChunkResult["kind"], number>;

export const CHUNK_FAILURE: Names<Extract<ChunkResult, { kind: "failed" }>["reason"]> = names({
  "no-space": 0,
  "disk": 1,
});

/** Items of recordings, see recording_items.ts. */
export const RECORDING = {
  life: 1,
  record: 2,
  rows: 3,
  begun: 4,
  step: 5,
  broke: 6,
  state: 7,
  end: 8,
} as const;

export const LIFE_ORIGIN: Names<"genesis" | "joined" | "recovered"> = names({
  genesis: 0,
  joined: 1,
  recovered: 2,
});

export const LIFE_END: Names<"stopped" | "failed" | "full" | "overflow"> = names({
  stopped: 0,
  failed: 1,
  full: 2,
  overflow: 3,
});

export const LIVENESS: Names<Liveness> = names({ alive: 0, suspect: 1, dead: 2, left: 3 });

export const LIVENESS_OR_UNKNOWN: Names<MemberStatus["liveness"]> = names({
  alive: 0,
  suspect: 1,
  dead: 2,
  left: 3,
  unknown: 4,
});

export const ENTRY_KIND: Names<EntryKind> = names({ command: 0, config: 1, noop: 2 });

export const MEMBER_STATE: Names<MemberState> = names({
  joining: 0,
  active: 1,
  draining: 2,
  gone: 3,
  removed: 4,
  evicted: 5,
});

export const NODE_STATE: Names<NodeStatus["state"]> = names({
  joining: 0,
  active: 1,
  draining: 2,
  gone: 3,
  outside: 4,
  removed: 5,
  down: 6,
  evicted: 7,
});

export const TROUBLE: Names<Trouble["kind"]> = names({
  "low-space": 0,
  "no-space": 1,
  "disk": 2,
  "alone": 3,
  "evicted": 4,
});

export const READ_MODE: Names<ReadMode> = names({ linearizable: 0, stale: 1 });

export const ROLE: Names<ReplicaStatus["role"]> = names({ leader: 0, follower: 1, candidate: 2, learner: 3 });

export const WATCH_STATUS: Names<WatchEvents["status"]> = names({ ok: 0, moved: 1, compacted: 2 });

export const REFUSAL: Names<RefusalReason> = names({
  "invalid": 0,
  "too-large": 1,
  "no-leader": 2,
  "moved": 3,
  "busy": 4,
  "timeout": 5,
  "unsure": 6,
  "session-expired": 7,
  "conflict": 8,
  "not-found": 9,
  "foreign": 10,
  "closing": 11,
  "no-space": 12,
  "down": 13,
  "denied": 14,
});

export type KeyState = "wanted" | "made" | "current" | "former";
export const KEY_STATE: Names<KeyState> = names({ wanted: 0, made: 1, current: 2, former: 3 });

export const PRINCIPAL = { member: 1, access: 2, invite: 3 } as const;
export const PROOF = { access: 1, invite: 2 } as const;

export const ROLE_OF_PEER: Names<"peer" | "client"> = names({ peer: 0, client: 1 });

/** Why a connection is turned away, see session.ts. */
export type HelloRefusal =
  | "version"
  | "foreign"
  | "unknown"
  | "impostor"
  | "self"
  | "busy"
  | "closing"
  | "evicted"
  | "denied"
  | "limited"
  | "clock"
  | "expired";
export const HELLO_REFUSAL: Names<HelloRefusal> = names({
  version: 0,
  foreign: 1,
  unknown: 2,
  impostor: 3,
  self: 4,
  busy: 5,
  closing: 6,
  evicted: 7,
  denied: 8,
  limited: 9,
  clock: 10,
  expired: 11,
});
