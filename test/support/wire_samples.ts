/**
 * One value of every kind that has bytes, at least, with the forms that its optional parts take. The vectors in
 * fixtures/wire/vectors.json pin their bytes.
 */
import { epoch, logIndex, nodeId, partitionId, term } from "../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../core/base/limits.ts";
import { utf8Encode } from "../../core/base/bytes.ts";
import type { JournalRecord } from "../../core/wire/kernel.ts";
import type { Configuration, Entry, Message, SystemView, Update } from "../../core/wire/messages.ts";
import { type ChunkResult, type ChunkStatus, NO_CHUNKS, WRITE_TOKEN_BYTES } from "../../core/wire/objects.ts";
import type { KeyValue, Request, Response } from "../../core/wire/requests.ts";
import { clientHello, type Hello, type HelloReply, peerHello } from "../../core/wire/session.ts";
import { WIRE_VERSION } from "../../core/wire/tags.ts";

export type Samples<T> = Readonly<Record<string, T>>;

const sirius = nodeId("sirius");
const canopus = nodeId("canopus");
const vega = nodeId("vega");
const p3 = partitionId(3);
const t2 = term(2);
const network = "000102030405060708090a0b0c0d0e0f";
const value = utf8Encode("bright");

const update: Update = {
  node: canopus,
  address: "10.0.0.2:7000",
  incarnation: 4,
  status: "suspect",
  by: sirius,
};
const left: Update = { node: vega, address: "[::1]:65535", incarnation: 0, status: "left", by: vega };
export const configuration: Configuration = {
  voters: [sirius, canopus],
  outgoing: [sirius],
  learners: [vega],
};
export const entries: readonly Entry[] = [
  { term: t2, index: logIndex(5), kind: "command", data: value },
  { term: t2, index: logIndex(6), kind: "noop", data: new Uint8Array(0) },
  { term: t2, index: logIndex(7), kind: "config", data: Uint8Array.of(0x83, 0x80, 0x80, 0x80) },
];
export const view: SystemView = {
  version: 300,
  network,
  settings: { ...DEFAULT_SETTINGS, partitions: 2 },
  epoch: epoch(7),
  members: [
    { id: canopus, address: "10.0.0.2:7000", zone: "Carina", capacity: 100, state: "active", disk: "" },
    {
      id: sirius,
      address: "10.0.0.1:7000",
      zone: "Canis Major",
      capacity: 1_000_000,
      state: "draining",
      disk: "00112233aabbccdd",
    },
  ],
  assignment: [[sirius, canopus], [canopus], []],
  security: null,
};
const identity = {
  key: "0f".repeat(32),
  holds: 2,
  uses: 1,
  statement: new Uint8Array(64).fill(9),
};
const access = {
  id: "SOABCDEFGH234567",
  publicKey: "a1".repeat(32),
  name: "Nightly backup",
  rights: [{ prefix: "backup/", read: true, write: true, admin: false }, {
    prefix: "",
    read: false,
    write: false,
    admin: true,
  }],
};
const invite = {
  id: "0123456789abcdef",
  hash: "c3".repeat(32),
  zone: "Lyra",
  expiresMs: 1_800_000_000_000,
  uses: 3,
};
const authority = Uint8Array.of(0x30, 0x03, 0x02, 0x01, 0x07);
export const privateView: SystemView = {
  ...view,
  members: [{ ...view.members[0]!, identity }, { ...view.members[1]!, state: "evicted", identity }],
  security: {
    keys: [
      { id: 1, state: "former", authority },
      { id: 2, state: "current", authority },
      { id: 3, state: "wanted", authority: new Uint8Array(0) },
    ],
    access: [access],
    invites: [invite, { ...invite, id: "fedcba9876543210", zone: null }],
  },
};
const session = { client: "ffeeddccbbaa99887766554433221100", sequence: 12, acknowledged: 11, opened: true };
const keyValue: KeyValue = { key: "α Centauri", value, version: { term: t2, index: logIndex(9) } };
const deleted: KeyValue = { key: "Θ", value: null, version: { term: term(1), index: logIndex(70_000) } };

const segment = { partition: p3, segment: "00112233445566778899aabbccddeeff" };
const token = Uint8Array.from({ length: WRITE_TOKEN_BYTES }, (_, i) => 3 * i);
const other = { partition: partitionId(1024), segment: "ff".repeat(16) };
const fragment = { ...segment, chunk: 7, index: 2 };
const last = { ...other, chunk: 0xffff_ffff, index: 31 };
const replicated = { kind: "replicated", copies: 3 } as const;
const striped = { kind: "striped", data: 4, parity: 2 } as const;
const sealed = new Uint8Array(30).fill(0xc5);
const chunks: ChunkStatus = {
  fragments: 70_000,
  bytes: 2 ** 40,
  missing: 12,
  missingBytes: 12_000_000,
  lost: 1,
  surplus: 2,
  repaired: 3,
  repairedBytes: 3_000_000,
  fetchedBytes: 12_000_000,
  rotten: 4,
  removed: 5,
  scrubbed: 6,
  scrubs: 7,
  secondsLeft: 60,
  looked: true,
};

export const CHUNK_RESULTS: Samples<ChunkResult> = {
  "written": { kind: "written", op: 1 },
  "read": { kind: "read", op: 2, bytes: sealed },
  "read of nothing": { kind: "read", op: 3, bytes: null },
  "removed": { kind: "removed", op: 4 },
  "listed": {
    kind: "listed",
    op: 5,
    fragments: [{ fragment, bytes: 300, ageMs: 1000 }, { fragment: last, bytes: 0, ageMs: 0 }],
    done: true,
  },
  "partitions": { kind: "partitions", op: 6, partitions: [partitionId(1), p3] },
  "failed": { kind: "failed", op: 7, reason: "no-space", message: "No space left on device" },
};

export const REQUESTS: Samples<Request> = {
  "put": { op: { kind: "put", key: "star/32349", value }, session },
  "put with options": { op: { kind: "put", key: "k", value, lease: "l", ttlMs: 1000, history: 3 } },
  "put with a lease": { op: { kind: "put", key: "k", value: new Uint8Array(300).fill(7), lease: "l" } },
  "delete": { op: { kind: "delete", key: "star/32349" }, session: { ...session, opened: false } },
  "cas on absent": { op: { kind: "cas", key: "k", expect: { kind: "absent" }, value, ttlMs: 500 } },
  "cas on present": { op: { kind: "cas", key: "k", expect: { kind: "present" }, value: null } },
  "cas on a version": {
    op: {
      kind: "cas",
      key: "k",
      expect: { kind: "version", version: { term: t2, index: logIndex(8) } },
      value,
    },
  },
  "cas on a value": { op: { kind: "cas", key: "k", expect: { kind: "value", value }, value, history: 0 } },
  "transact": {
    op: {
      kind: "transact",
      conditions: [{ key: "a", expect: { kind: "absent" } }],
      then: [{ kind: "put", key: "a", value }, { kind: "get", key: "b" }],
      otherwise: [{ kind: "delete", key: "a" }],
    },
    session,
  },
  "grant": { op: { kind: "grant", lease: "l", ttlMs: 60_000 } },
  "keep-alive": { op: { kind: "keep-alive", lease: "l" } },
  "revoke": { op: { kind: "revoke", lease: "l" } },
  "get": { op: { kind: "get", key: "star/32349", read: "linearizable" } },
  "get of a version": {
    op: { kind: "get", key: "k", read: "stale", version: { term: t2, index: logIndex(0x1_0000_0000) } },
  },
  "history": { op: { kind: "history", key: "k", read: "stale" } },
  "range": {
    op: {
      kind: "range",
      start: "a",
      end: null,
      limit: 100,
      reverse: false,
      keysOnly: true,
      read: "linearizable",
    },
  },
  "range of a partition": {
    op: {
      kind: "range",
      start: "a",
      end: "b",
      limit: 100,
      reverse: true,
      keysOnly: false,
      read: "stale",
      partition: p3,
    },
  },
  "watch": { op: { kind: "watch", start: "", end: null, from: [[p3, logIndex(9)]] } },
  "unwatch": { op: { kind: "unwatch", watch: 4 } },
  "join": { op: { kind: "join", member: view.members[0]!, network } },
  "join any": { op: { kind: "join", member: view.members[1]!, network: null } },
  "set-state": { op: { kind: "set-state", node: vega, state: "gone", force: true } },
  "set-address": { op: { kind: "set-address", node: vega, address: "vega.example:7000" } },
  "status": { op: { kind: "status" } },
  "members": { op: { kind: "members" } },
  "layout": { op: { kind: "layout" } },
  "evict": { op: { kind: "evict", node: vega, force: false }, by: { kind: "access", id: access.id } },
  "invite-add": { op: { kind: "invite-add", invite, nowMs: 1_799_999_999_000 } },
  "invite-drop": { op: { kind: "invite-drop", id: invite.id } },
  "access-set": { op: { kind: "access-set", access } },
  "access-drop": { op: { kind: "access-drop", id: access.id } },
  "keys-rotate": { op: { kind: "keys-rotate" } },
  "key-made": { op: { kind: "key-made", id: 3, authority }, by: { kind: "member", node: sirius } },
  "key-status": { op: { kind: "key-status", node: vega, ...identityStatus(identity) } },
  "join with an invite": {
    op: { kind: "join", member: privateView.members[0]!, network },
    by: { kind: "invite", id: invite.id, proof: "d4".repeat(32) },
  },
  "audit": { op: { kind: "audit", limit: 100 } },
  "chunk-put": { op: { kind: "chunk-put", segment, chunk: 7, scheme: striped, token, bytes: sealed } },
  "chunk-get": { op: { kind: "chunk-get", segment, chunk: 7, scheme: replicated, length: 30, attempt: 1 } },
  "segments-gone": { op: { kind: "segments-gone", segments: [segment, other] } },
};

function identityStatus({ holds, uses, statement }: typeof identity) {
  return { holds, uses, statement };
}

const version = { term: t2, index: logIndex(9) };

export const RESPONSES: Samples<Response> = {
  "written": { kind: "written", version, existed: true },
  "cas": { kind: "cas", applied: false, version, found: keyValue },
  "cas on nothing": { kind: "cas", applied: true, version, found: null },
  "transacted": { kind: "transacted", held: true, version, results: [null, keyValue] },
  "value": { kind: "value", found: keyValue, ageUs: 0 },
  "value absent": { kind: "value", found: null, ageUs: 1500 },
  "values": { kind: "values", items: [keyValue, deleted], next: "c", ageUs: 0 },
  "values to the end": { kind: "values", items: [], next: null, ageUs: 0 },
  "watching": { kind: "watching", from: [[p3, logIndex(9)]] },
  "events": { kind: "events", partition: p3, upTo: logIndex(12), events: [deleted], gap: true },
  "done": { kind: "done", version: 301 },
  "joined": { kind: "joined", view },
  "status": {
    kind: "status",
    status: {
      node: sirius,
      network,
      view: 300,
      epoch: 7,
      state: "active",
      replicas: [{
        partition: p3,
        role: "leader",
        leader: sirius,
        term: t2,
        commit: logIndex(9),
        applied: logIndex(8),
        last: logIndex(10),
        quiet: false,
        voters: [sirius, canopus],
        learners: [],
      }],
      counters: [["puts", 65_536]],
      trouble: null,
      chunks,
    },
  },
  "status of a node that is down": {
    kind: "status",
    status: {
      node: sirius,
      network,
      view: 0,
      epoch: 0,
      state: "down",
      replicas: [],
      counters: [],
      trouble: {
        kind: "no-space",
        what: 'Cannot write "data/journal-00000001.log": No space left on device',
        waitsFor: "16 MiB of free space",
        sinceMs: 1_800_000_000_000,
      },
      chunks: NO_CHUNKS,
    },
  },
  "layout": { kind: "layout", view, leaders: [sirius, null] },
  "members": {
    kind: "members",
    members: [{ ...view.members[0]!, liveness: "unknown", replicas: 22, leads: 7 }],
  },
  "refused": {
    kind: "refused",
    reason: "too-large",
    message: "The value has 1048577 bytes, the limit is 1048576",
  },
  "layout of a private network": { kind: "layout", view: privateView, leaders: [sirius, null] },
  "audit": {
    kind: "audit",
    events: [{
      timeMs: 1_800_000_000_000,
      node: sirius,
      who: "key SOABCDEFGH234567",
      from: "10.0.0.9:40000",
      what: "evict vega",
      outcome: "done",
    }],
  },
  "stored": { kind: "stored", fragments: 2, wanted: 3 },
  "chunk": { kind: "chunk", bytes: sealed },
  "refused to come again": {
    kind: "refused",
    reason: "busy",
    message: "Too many requests",
    retryAfterMs: 250,
  },
  "refused with a leader": { kind: "refused", reason: "moved", message: "Ask the leader", leader: canopus },
};

export const MESSAGES: Samples<Message> = {
  "ping": { kind: "ping", sequence: 24, target: canopus, view: 300, updates: [update, left] },
  "ack": { kind: "ack", sequence: 24, view: 301, updates: [] },
  "ping-request": { kind: "ping-request", sequence: 25, target: vega, updates: [update] },
  "nack": { kind: "nack", sequence: 25 },
  "push-pull": { kind: "push-pull", reply: true, members: [update, left] },
  "vote": {
    kind: "vote",
    partition: p3,
    term: t2,
    pre: true,
    transfer: false,
    lastIndex: logIndex(9),
    lastTerm: term(1),
  },
  "vote-reply": { kind: "vote-reply", partition: p3, term: t2, pre: false, granted: true },
  "append": {
    kind: "append",
    partition: p3,
    term: t2,
    prevIndex: logIndex(4),
    prevTerm: term(1),
    commit: logIndex(4),
    entries,
  },
  "append-reply": {
    kind: "append-reply",
    partition: p3,
    term: t2,
    ok: false,
    index: logIndex(4),
    indexTerm: term(1),
    refused: logIndex(9),
  },
  "beats": {
    kind: "beats",
    beats: [
      { partition: p3, term: t2, commit: logIndex(9), round: 255, quiet: false },
      { partition: partitionId(1024), term: t2, commit: logIndex(0xffff_ffff), round: 256, quiet: true },
    ],
  },
  "beat-replies": {
    kind: "beat-replies",
    replies: [{ partition: p3, term: t2, round: 255, match: logIndex(9) }],
  },
  "timeout-now": { kind: "timeout-now", partition: p3, term: t2 },
  "snapshot": {
    kind: "snapshot",
    partition: p3,
    term: t2,
    index: logIndex(9),
    indexTerm: t2,
    configuration,
    configurationIndex: logIndex(7),
    transfer: 1,
    sequence: 0,
    done: true,
    rows: [[utf8Encode("key"), value]],
  },
  "snapshot-reply": {
    kind: "snapshot-reply",
    partition: p3,
    term: t2,
    index: logIndex(9),
    transfer: 1,
    next: 1,
    installed: true,
  },
  "layout-get": { kind: "layout-get", version: 300 },
  "layout-is": { kind: "layout-is", view },
  "layout-is of a private network": { kind: "layout-is", view: privateView },
  "key-get": { kind: "key-get", ids: [2, 3] },
  "forward": { kind: "forward", id: 77, hops: 1, request: REQUESTS["put"]! },
  "forward-reply": { kind: "forward-reply", id: 77, response: RESPONSES["written"]! },
  "watch-start": { kind: "watch-start", id: 8, partition: p3, start: "a", end: "b", from: logIndex(9) },
  "watch-start from now": { kind: "watch-start", id: 8, partition: p3, start: "a", end: null, from: null },
  "watch-stop": { kind: "watch-stop", id: 8, partition: p3 },
  "watch-events": {
    kind: "watch-events",
    id: 8,
    partition: p3,
    after: logIndex(9),
    upTo: logIndex(11),
    events: [{ key: "a", value, term: t2, index: logIndex(10) }, {
      key: "b",
      value: null,
      term: t2,
      index: logIndex(11),
    }],
    status: "ok",
  },
  "replica-check": { kind: "replica-check", partition: p3 },
  "replica-verdict": {
    kind: "replica-verdict",
    partition: p3,
    term: t2,
    commit: logIndex(7),
    needed: false,
  },
  "space": { kind: "space", low: true },
  "fragment-put": { kind: "fragment-put", id: 9, fragment, bytes: sealed },
  "fragment-put-reply": { kind: "fragment-put-reply", id: 9, outcome: "no-space" },
  "fragment-get": { kind: "fragment-get", id: 10, fragment: last },
  "fragment-get-reply": { kind: "fragment-get-reply", id: 10, bytes: sealed },
  "fragment-get-reply of nothing": { kind: "fragment-get-reply", id: 10, bytes: null },
  "fragment-check": { kind: "fragment-check", id: 11, fragments: [fragment, last] },
  "fragment-check-reply": { kind: "fragment-check-reply", id: 11, held: [true, false] },
  "segments-gone": { kind: "segments-gone", segments: [segment, other] },
};

export const RECORDS: Samples<JournalRecord> = {
  "vote": { kind: "vote", partition: p3, term: t2, votedFor: canopus },
  "vote for nobody": { kind: "vote", partition: p3, term: t2, votedFor: null },
  "entries": { kind: "entries", partition: p3, entries },
  "truncate": { kind: "truncate", partition: p3, from: logIndex(6) },
  "base": {
    kind: "base",
    partition: p3,
    index: logIndex(4),
    term: term(1),
    configuration,
    configurationIndex: logIndex(1),
  },
  "drop": { kind: "drop", partition: p3 },
  "view": { kind: "view", view },
  "peers": {
    kind: "peers",
    incarnation: 9,
    peers: [{ node: sirius, address: "10.0.0.1:7000" }, { node: vega, address: "[::1]:65535" }],
  },
};

export const HELLOS: Samples<Hello> = {
  "peer": peerHello({ network, node: vega, address: "[::1]:7000" }),
  "peer, bulk": peerHello({ network, node: vega, address: "[::1]:7000" }, "bulk"),
  "client": clientHello(null, null),
};

export const PROVEN_HELLOS: Samples<Hello> = {
  "access key": {
    ...HELLOS["client"]!,
    network,
    proof: {
      kind: "access",
      id: access.id,
      random: new Uint8Array(32).fill(5),
      signature: new Uint8Array(64).fill(6),
    },
  },
  "invite": {
    ...HELLOS["client"]!,
    proof: {
      kind: "invite",
      id: invite.id,
      secret: new Uint8Array(16).fill(8),
      key: identity.key,
      signature: new Uint8Array(64).fill(6),
      clockMs: 1_800_000_000_000,
    },
  },
};

export const HELLO_REPLIES: Samples<HelloReply> = {
  "accepted": {
    version: WIRE_VERSION,
    accepted: true,
    reason: null,
    network,
    node: sirius,
    address: "10.0.0.1:7000",
    clockMs: null,
  },
  "refused": {
    version: WIRE_VERSION,
    accepted: false,
    reason: "foreign",
    network: null,
    node: sirius,
    address: "10.0.0.1:7000",
    clockMs: null,
  },
  "refused for its clock": {
    version: WIRE_VERSION,
    accepted: false,
    reason: "clock",
    network,
    node: sirius,
    address: "10.0.0.1:7000",
    clockMs: 1_800_000_000_000,
  },
};
