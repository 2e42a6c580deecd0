/** fast-check arbitraries of everything that crosses a border: well-formed, within the wire's bounds, no more sense than that. */
import fc from "fast-check";
import type { NodeId } from "../../core/base/ids.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../core/base/limits.ts";
import type { JournalRecord } from "../../core/wire/kernel.ts";
import type {
  Configuration,
  Entry,
  Member,
  Message,
  MessageKind,
  SystemView,
  Update,
} from "../../core/wire/messages.ts";
import type {
  AuditEvent,
  Expectation,
  KeyValue,
  MemberStatus,
  NodeStatus,
  Op,
  PutOptions,
  ReplicaStatus,
  Request,
  Response,
  Session,
  TransactItem,
  Trouble,
  Version,
} from "../../core/wire/requests.ts";
import {
  type Arb,
  arbAddress,
  arbBytes,
  arbEpoch,
  arbHex32,
  arbIndex,
  arbInteger,
  arbNodeId,
  arbPartition,
  arbTerm,
  arbText,
  arbZone,
  hex,
  list,
  nodeIds,
  orNull,
  sparse,
  whole,
} from "./arbitrary_basics.ts";
import {
  arbAccessKey,
  arbAuthority,
  arbIdentity,
  arbInvite,
  arbPrincipal,
  arbProof,
  arbSecurity,
  arbStatement,
} from "./arbitrary_security.ts";
import { arbChunkStatus, CHUNK_OPS, FRAGMENT_MESSAGES } from "./arbitrary_objects.ts";
import type { Hello, HelloReply } from "../../core/wire/session.ts";
import { WIRE_VERSION } from "../../core/wire/tags.ts";

export * from "./arbitrary_basics.ts";

export const arbUpdate: Arb<Update> = whole<Update>({
  node: arbNodeId,
  address: arbAddress,
  incarnation: arbInteger,
  status: fc.constantFrom("alive", "suspect", "dead", "left"),
  by: arbNodeId,
});
const updates = list(arbUpdate);

export const arbEntry: Arb<Entry> = whole<Entry>({
  term: arbTerm,
  index: arbIndex,
  kind: fc.constantFrom("command", "config", "noop"),
  data: arbBytes,
});

export const arbConfiguration: Arb<Configuration> = whole<Configuration>({
  voters: nodeIds,
  outgoing: nodeIds,
  learners: nodeIds,
});

const memberStates = ["joining", "active", "draining", "gone", "removed", "evicted"] as const;

export const arbMember: Arb<Member> = sparse<Member>({
  id: arbNodeId,
  address: arbAddress,
  zone: arbZone,
  capacity: fc.integer({ min: 1, max: 1_000_000 }),
  state: fc.constantFrom(...memberStates),
  disk: fc.constantFrom("", "00112233aabbccdd"),
  identity: arbIdentity,
}, ["identity"]);

export const arbSettings: Arb<Settings> = fc.tuple(fc.nat({ max: 10 }), arbInteger, fc.boolean()).map(
  ([power, quietAfterUs, leaseReads]) => ({
    ...DEFAULT_SETTINGS,
    partitions: 2 ** power,
    quietAfterUs,
    leaseReads,
  }),
);

export const arbView: Arb<SystemView> = whole<SystemView>({
  version: arbInteger,
  network: arbHex32,
  settings: arbSettings,
  epoch: arbEpoch,
  members: list(arbMember),
  assignment: list(nodeIds),
  security: orNull(arbSecurity),
});

export const arbVersion: Arb<Version> = whole<Version>({ term: arbTerm, index: arbIndex });

export const arbExpectation: Arb<Expectation> = fc.oneof(
  fc.constantFrom<Expectation>({ kind: "absent" }, { kind: "present" }),
  arbVersion.map((version) => ({ kind: "version" as const, version })),
  arbBytes.map((value) => ({ kind: "value" as const, value })),
);

const putOptions = { lease: arbText, ttlMs: arbInteger, history: arbInteger };
const optionNames: (keyof PutOptions)[] = ["lease", "ttlMs", "history"];

const arbPut = sparse<Op & { kind: "put" }>(
  { kind: fc.constant("put"), key: arbText, value: arbBytes, ...putOptions },
  optionNames,
);
const arbDelete = whole<Op & { kind: "delete" }>({ kind: fc.constant("delete"), key: arbText });

const arbItem: Arb<TransactItem> = fc.oneof(
  arbPut,
  arbDelete,
  arbText.map((key) => ({ kind: "get" as const, key })),
);

const kind = <K extends string>(name: K): Arb<K> => fc.constant(name);
const readMode = fc.constantFrom("linearizable" as const, "stale" as const);
const positions = list(fc.tuple(arbPartition, arbIndex));

const OPS: { [K in Op["kind"]]: Arb<Extract<Op, { kind: K }>> } = {
  "put": arbPut,
  "delete": arbDelete,
  "cas": sparse({
    kind: kind("cas"),
    key: arbText,
    expect: arbExpectation,
    value: orNull(arbBytes),
    ...putOptions,
  }, optionNames),
  "transact": whole({
    kind: kind("transact"),
    conditions: list(whole<{ key: string; expect: Expectation }>({ key: arbText, expect: arbExpectation })),
    then: list(arbItem),
    otherwise: list(arbItem),
  }),
  "grant": whole({ kind: kind("grant"), lease: arbText, ttlMs: arbInteger }),
  "keep-alive": whole({ kind: kind("keep-alive"), lease: arbText }),
  "revoke": whole({ kind: kind("revoke"), lease: arbText }),
  "get": sparse({ kind: kind("get"), key: arbText, read: readMode, version: arbVersion }, ["version"]),
  "history": whole({ kind: kind("history"), key: arbText, read: readMode }),
  "range": sparse({
    kind: kind("range"),
    start: arbText,
    end: orNull(arbText),
    limit: arbInteger,
    reverse: fc.boolean(),
    keysOnly: fc.boolean(),
    read: readMode,
    partition: arbPartition,
  }, ["partition"]),
  "watch": whole({ kind: kind("watch"), start: arbText, end: orNull(arbText), from: positions }),
  "unwatch": whole({ kind: kind("unwatch"), watch: arbInteger }),
  "join": whole({ kind: kind("join"), member: arbMember, network: orNull(arbHex32) }),
  "set-state": whole({
    kind: kind("set-state"),
    node: arbNodeId,
    state: fc.constantFrom(...memberStates),
    force: fc.boolean(),
  }),
  "set-address": whole({ kind: kind("set-address"), node: arbNodeId, address: arbAddress }),
  "status": fc.constant({ kind: "status" }),
  "members": fc.constant({ kind: "members" }),
  "layout": fc.constant({ kind: "layout" }),
  "evict": whole({ kind: kind("evict"), node: arbNodeId, force: fc.boolean() }),
  "invite-add": whole({ kind: kind("invite-add"), invite: arbInvite, nowMs: arbInteger }),
  "invite-drop": whole({ kind: kind("invite-drop"), id: hex(16) }),
  "access-set": whole({ kind: kind("access-set"), access: arbAccessKey }),
  "access-drop": whole({ kind: kind("access-drop"), id: fc.constant("SOABCDEF") }),
  "keys-rotate": fc.constant({ kind: "keys-rotate" }),
  "key-made": whole({ kind: kind("key-made"), id: arbInteger, authority: arbAuthority }),
  "key-status": whole({
    kind: kind("key-status"),
    node: arbNodeId,
    holds: arbInteger,
    uses: arbInteger,
    statement: arbStatement,
  }),
  "audit": whole({ kind: kind("audit"), limit: arbInteger }),
  ...CHUNK_OPS,
};
export const arbOp: Arb<Op> = fc.oneof(...Object.values<Arb<Op>>(OPS));

export const arbSession: Arb<Session> = whole<Session>({
  client: arbHex32,
  sequence: arbInteger,
  acknowledged: arbInteger,
  opened: fc.boolean(),
});
export const arbRequest: Arb<Request> = sparse<Request>(
  { op: arbOp, session: arbSession, by: arbPrincipal },
  ["session", "by"],
);

export const arbKeyValue: Arb<KeyValue> = whole<KeyValue>({
  key: arbText,
  value: orNull(arbBytes),
  version: arbVersion,
});
const found = orNull(arbKeyValue);

const arbReplica: Arb<ReplicaStatus> = whole<ReplicaStatus>({
  partition: arbPartition,
  role: fc.constantFrom("leader", "follower", "candidate", "learner"),
  leader: orNull(arbNodeId),
  term: arbTerm,
  commit: arbIndex,
  applied: arbIndex,
  last: arbIndex,
  quiet: fc.boolean(),
  voters: nodeIds,
  learners: nodeIds,
});
const arbNodeStatus: Arb<NodeStatus> = whole<NodeStatus>({
  node: arbNodeId,
  network: arbHex32,
  view: arbInteger,
  epoch: arbInteger,
  state: fc.constantFrom("joining", "active", "draining", "gone", "outside", "removed", "down", "evicted"),
  replicas: list(arbReplica, 3),
  counters: list(fc.tuple(arbText, arbInteger)),
  trouble: orNull(whole<Trouble>({
    kind: fc.constantFrom("low-space", "no-space", "disk", "alone", "evicted"),
    what: arbText,
    waitsFor: arbText,
    sinceMs: arbInteger,
  })),
  chunks: arbChunkStatus,
});
const arbMemberStatus: Arb<MemberStatus> = sparse<MemberStatus>({
  id: arbNodeId,
  address: arbAddress,
  zone: arbZone,
  capacity: arbInteger,
  state: fc.constantFrom(...memberStates),
  disk: fc.constantFrom("", "00112233aabbccdd"),
  identity: arbIdentity,
  liveness: fc.constantFrom("alive", "suspect", "dead", "left", "unknown"),
  replicas: arbInteger,
  leads: arbInteger,
}, ["identity"]);

const RESPONSES: { [K in Response["kind"]]: Arb<Extract<Response, { kind: K }>> } = {
  "written": whole({ kind: kind("written"), version: arbVersion, existed: fc.boolean() }),
  "cas": whole({ kind: kind("cas"), applied: fc.boolean(), version: arbVersion, found }),
  "transacted": whole({
    kind: kind("transacted"),
    held: fc.boolean(),
    version: arbVersion,
    results: list(found),
  }),
  "value": whole({ kind: kind("value"), found, ageUs: arbInteger }),
  "values": whole({
    kind: kind("values"),
    items: list(arbKeyValue),
    next: orNull(arbText),
    ageUs: arbInteger,
  }),
  "watching": whole({ kind: kind("watching"), from: positions }),
  "events": whole({
    kind: kind("events"),
    partition: arbPartition,
    upTo: arbIndex,
    events: list(arbKeyValue),
    gap: fc.boolean(),
  }),
  "done": whole({ kind: kind("done"), version: arbInteger }),
  "joined": whole({ kind: kind("joined"), view: arbView }),
  "status": whole({ kind: kind("status"), status: arbNodeStatus }),
  "layout": whole({ kind: kind("layout"), view: arbView, leaders: list(orNull(arbNodeId)) }),
  "members": whole({ kind: kind("members"), members: list(arbMemberStatus) }),
  "refused": sparse({
    kind: kind("refused"),
    reason: fc.constantFrom(
      "invalid",
      "too-large",
      "no-leader",
      "moved",
      "busy",
      "timeout",
      "unsure",
      "session-expired",
      "conflict",
      "not-found",
      "foreign",
      "closing",
      "no-space",
      "down",
      "denied",
    ),
    message: arbText,
    leader: arbNodeId,
    retryAfterMs: arbInteger,
  }, ["leader", "retryAfterMs"]),
  "audit": whole({
    kind: kind("audit"),
    events: list(whole<AuditEvent>({
      timeMs: arbInteger,
      node: arbNodeId,
      who: arbText,
      from: arbText,
      what: arbText,
      outcome: arbText,
    })),
  }),
  "stored": whole({ kind: kind("stored"), fragments: arbInteger, wanted: arbInteger }),
  "chunk": whole({ kind: kind("chunk"), bytes: arbBytes }),
};
export const arbResponse: Arb<Response> = fc.oneof(...Object.values<Arb<Response>>(RESPONSES));

const MESSAGES: { [K in MessageKind]: Arb<Extract<Message, { kind: K }>> } = {
  "ping": whole({ kind: kind("ping"), sequence: arbInteger, target: arbNodeId, view: arbInteger, updates }),
  "ack": whole({ kind: kind("ack"), sequence: arbInteger, view: arbInteger, updates }),
  "ping-request": whole({ kind: kind("ping-request"), sequence: arbInteger, target: arbNodeId, updates }),
  "nack": whole({ kind: kind("nack"), sequence: arbInteger }),
  "push-pull": whole({ kind: kind("push-pull"), reply: fc.boolean(), members: updates }),
  "vote": whole({
    kind: kind("vote"),
    partition: arbPartition,
    term: arbTerm,
    pre: fc.boolean(),
    transfer: fc.boolean(),
    lastIndex: arbIndex,
    lastTerm: arbTerm,
  }),
  "vote-reply": whole({
    kind: kind("vote-reply"),
    partition: arbPartition,
    term: arbTerm,
    pre: fc.boolean(),
    granted: fc.boolean(),
  }),
  "append": whole({
    kind: kind("append"),
    partition: arbPartition,
    term: arbTerm,
    prevIndex: arbIndex,
    prevTerm: arbTerm,
    commit: arbIndex,
    entries: list(arbEntry),
  }),
  "append-reply": whole({
    kind: kind("append-reply"),
    partition: arbPartition,
    term: arbTerm,
    ok: fc.boolean(),
    index: arbIndex,
    indexTerm: arbTerm,
    refused: arbIndex,
  }),
  "beats": whole({
    kind: kind("beats"),
    beats: list(
      whole<(Message & { kind: "beats" })["beats"][number]>({
        partition: arbPartition,
        term: arbTerm,
        commit: arbIndex,
        round: arbInteger,
        quiet: fc.boolean(),
      }),
    ),
  }),
  "beat-replies": whole({
    kind: kind("beat-replies"),
    replies: list(
      whole<(Message & { kind: "beat-replies" })["replies"][number]>({
        partition: arbPartition,
        term: arbTerm,
        round: arbInteger,
        match: arbIndex,
      }),
    ),
  }),
  "timeout-now": whole({ kind: kind("timeout-now"), partition: arbPartition, term: arbTerm }),
  "snapshot": whole({
    kind: kind("snapshot"),
    partition: arbPartition,
    term: arbTerm,
    index: arbIndex,
    indexTerm: arbTerm,
    configuration: arbConfiguration,
    configurationIndex: arbIndex,
    transfer: arbInteger,
    sequence: arbInteger,
    done: fc.boolean(),
    rows: list(fc.tuple(arbBytes, arbBytes)),
  }),
  "snapshot-reply": whole({
    kind: kind("snapshot-reply"),
    partition: arbPartition,
    term: arbTerm,
    index: arbIndex,
    transfer: arbInteger,
    next: arbInteger,
    installed: fc.boolean(),
  }),
  "layout-get": whole({ kind: kind("layout-get"), version: arbInteger }),
  "layout-is": whole({ kind: kind("layout-is"), view: arbView }),
  "forward": whole({ kind: kind("forward"), id: arbInteger, hops: arbInteger, request: arbRequest }),
  "forward-reply": whole({ kind: kind("forward-reply"), id: arbInteger, response: arbResponse }),
  "watch-start": whole({
    kind: kind("watch-start"),
    id: arbInteger,
    partition: arbPartition,
    start: arbText,
    end: orNull(arbText),
    from: orNull(arbIndex),
  }),
  "watch-stop": whole({ kind: kind("watch-stop"), id: arbInteger, partition: arbPartition }),
  "watch-events": whole({
    kind: kind("watch-events"),
    id: arbInteger,
    partition: arbPartition,
    after: arbIndex,
    upTo: arbIndex,
    events: list(
      whole<(Message & { kind: "watch-events" })["events"][number]>({
        key: arbText,
        value: orNull(arbBytes),
        term: arbTerm,
        index: arbIndex,
      }),
    ),
    status: fc.constantFrom("ok", "moved", "compacted"),
  }),
  "replica-check": whole({ kind: kind("replica-check"), partition: arbPartition }),
  "replica-verdict": whole({
    kind: kind("replica-verdict"),
    partition: arbPartition,
    term: arbTerm,
    commit: arbIndex,
    needed: fc.boolean(),
  }),
  "key-get": whole({ kind: kind("key-get"), ids: list(arbInteger) }),
  "space": whole({ kind: kind("space"), low: fc.boolean() }),
  ...FRAGMENT_MESSAGES,
};
export const arbMessage: Arb<Message> = fc.oneof(...Object.values<Arb<Message>>(MESSAGES));

const RECORDS: { [K in JournalRecord["kind"]]: Arb<Extract<JournalRecord, { kind: K }>> } = {
  "vote": whole({ kind: kind("vote"), partition: arbPartition, term: arbTerm, votedFor: orNull(arbNodeId) }),
  "entries": whole({ kind: kind("entries"), partition: arbPartition, entries: list(arbEntry) }),
  "truncate": whole({ kind: kind("truncate"), partition: arbPartition, from: arbIndex }),
  "base": whole({
    kind: kind("base"),
    partition: arbPartition,
    index: arbIndex,
    term: arbTerm,
    configuration: arbConfiguration,
    configurationIndex: arbIndex,
  }),
  "drop": whole({ kind: kind("drop"), partition: arbPartition }),
  "view": whole({ kind: kind("view"), view: arbView }),
  "peers": whole({
    kind: kind("peers"),
    incarnation: arbInteger,
    peers: list(whole<{ node: NodeId; address: string }>({ node: arbNodeId, address: arbAddress })),
  }),
};
/** Records one by one: in a row they rarely follow each other. */
export const arbRecord: Arb<JournalRecord> = fc.oneof(...Object.values<Arb<JournalRecord>>(RECORDS));

export const arbHello: Arb<Hello> = fc.oneof(
  whole<Hello>({
    version: fc.constant(WIRE_VERSION),
    role: fc.constant("peer"),
    lane: fc.constantFrom("ordinary", "bulk"),
    network: orNull(arbHex32),
    node: arbNodeId,
    address: arbAddress,
    proof: fc.constant(null),
  }),
  whole<Hello>({
    version: fc.constant(WIRE_VERSION),
    role: fc.constant("client"),
    lane: fc.constant("ordinary"),
    network: orNull(arbHex32),
    node: fc.constant(null),
    address: fc.constant(null),
    proof: orNull(arbProof),
  }),
);
const helloRefusals = [
  "version",
  "foreign",
  "unknown",
  "impostor",
  "self",
  "busy",
  "closing",
  "evicted",
  "denied",
  "limited",
  "clock",
  "expired",
] as const;
export const arbHelloReply: Arb<HelloReply> = whole<Omit<HelloReply, "accepted">>({
  version: fc.constant(WIRE_VERSION),
  reason: orNull(fc.constantFrom(...helloRefusals)),
  network: orNull(arbHex32),
  node: arbNodeId,
  address: arbAddress,
  clockMs: orNull(arbInteger),
}).map((reply) => ({ ...reply, accepted: reply.reason === null }));
