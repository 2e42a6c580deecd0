import assert from "node:assert/strict";
import { type LogIndex, NEVER, type Term } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { encodeInternal } from "../../../core/catalog/command.ts";
import type { Response, WriteOp } from "../../../core/wire/requests.ts";
import { allRows } from "../../../sim/tables.ts";
import { at, bytes, Harness, install, put, SECOND, session, snapshotOf, version } from "./harness.ts";

function reasonOf(response: Response): string {
  return response.kind === "refused" ? response.reason : response.kind;
}
const grant = (lease: string, ttlMs: number): WriteOp => ({ kind: "grant", lease, ttlMs });
const keepAlive = (lease: string): WriteOp => ({ kind: "keep-alive", lease });
const remove = (key: string): WriteOp => ({ kind: "delete", key });

// ---- versions and history

Deno.test("Catalog gives each key the log position that wrote it", () => {
  const h = new Harness();
  assert.deepEqual(h.write(put("k", "one")), { kind: "written", version: version(1, 1), existed: false });
  h.apply(h.entry(null));
  assert.deepEqual(h.write(put("k", "two")), { kind: "written", version: version(1, 3), existed: true });
  assert.deepEqual(h.write(remove("k")), { kind: "written", version: version(1, 4), existed: true });
  assert.deepEqual(h.write(remove("k")), { kind: "written", version: version(1, 5), existed: false });
});

Deno.test("Catalog keeps as much history as was asked for last, deletions included", () => {
  const h = new Harness();
  h.write(put("k", "0"));
  for (const value of ["1", "2", "3", "4"]) h.write(put("k", value, { history: 2 }));
  assert.deepEqual(h.history("k"), ["4", "3", "2"]);
  h.write(remove("k"));
  assert.deepEqual([h.text("k"), h.history("k")], [null, [null, "4", "3"]]);
  h.write(put("k", "5"));
  assert.deepEqual(h.history("k"), ["5", null, "4"]);
  h.write(put("k", "6", { history: 1 }));
  assert.deepEqual(h.history("k"), ["6", "5"]);
  h.write(put("k", "7", { history: 0 }));
  h.write(remove("k"));
  assert.deepEqual(h.history("k"), []);
  assert.equal(allRows(h.tables).length, 1, "only the position is left");
});

Deno.test("Catalog.read() finds an earlier version and says when it is gone", () => {
  const h = new Harness();
  for (const value of ["1", "2", "3"]) h.write(put("k", value, { history: 1 }));
  const get = (index: number, term = 1) =>
    h.read({ kind: "get", key: "k", read: "stale", version: version(term, index) });
  assert.ok(get(2).kind === "value");
  assert.equal(reasonOf(get(1)), "not-found");
  assert.equal(reasonOf(get(2, 9)), "not-found", "another term's entry at that index is another version");
});

Deno.test("Catalog.read() cuts a history that is too long to answer, and says where", () => {
  const h = new Harness();
  const half = new Uint8Array(LIMITS.rangeBytesMax / 2);
  for (let i = 0; i < 4; i++) h.write({ kind: "put", key: "k", value: half, history: 10 });
  const answer = h.read({ kind: "history", key: "k", read: "stale" });
  assert.ok(answer.kind === "values");
  assert.deepEqual([answer.items.length, answer.next], [1, "1.3"]);
});

Deno.test("Catalog.read() ends a page of a range at its bytes, but never empty", () => {
  const h = new Harness();
  for (const key of ["a", "b", "c"]) {
    h.write({ kind: "put", key, value: new Uint8Array(LIMITS.valueBytesMax) });
  }
  const page = h.read({
    kind: "range",
    start: "",
    end: null,
    limit: 9,
    reverse: false,
    keysOnly: false,
    read: "stale",
  });
  assert.ok(page.kind === "values");
  assert.deepEqual([page.items.length, page.next], [1, "b"]);
  const keys = h.read({
    kind: "range",
    start: "",
    end: null,
    limit: 9,
    reverse: false,
    keysOnly: true,
    read: "stale",
  });
  assert.ok(keys.kind === "values");
  assert.deepEqual(keys.items.map(({ key, value }) => [key, value]), [["a", null], ["b", null], ["c", null]]);
});

// ---- transactions

Deno.test("Catalog applies a transaction whole or not at all (K2)", () => {
  const h = new Harness();
  const answer = h.write({
    kind: "transact",
    conditions: [],
    then: [put("a", "1") as never, put("b", "1", { lease: "none" }) as never],
    otherwise: [],
  });
  assert.equal(reasonOf(answer), "not-found");
  assert.equal(h.text("a"), null);
});

Deno.test("Catalog refuses a transaction that would read too much, before it writes", () => {
  const h = new Harness();
  const keys = ["a", "b", "c"];
  for (const key of keys) h.write({ kind: "put", key, value: new Uint8Array(LIMITS.valueBytesMax) });
  const then = [put("w", "1") as never, ...keys.map((key) => ({ kind: "get" as const, key }))];
  const answer = h.write({ kind: "transact", conditions: [], then, otherwise: [] });
  assert.ok(answer.kind === "refused");
  assert.match(answer.message, /3145731 bytes.*commandBytesMax/);
  assert.equal(h.text("w"), null);
});

// ---- leases

Deno.test("Catalog ends a lease with all its keys only when a leader proposes it (L2)", () => {
  const h = new Harness();
  h.write(grant("l", 1000));
  h.write(put("a", "1", { lease: "l" }));
  h.write(put("b", "1", { lease: "l" }));
  h.write(put("b", "2"));
  assert.equal(h.catalog.nextExpiry(), SECOND);
  assert.equal(h.catalog.expired(at(SECOND - 1)), null);
  h.now = SECOND;
  assert.equal(h.text("a"), "1", "time alone ends nothing");
  assert.equal(h.expire(), 1);
  assert.deepEqual([h.text("a"), h.text("b"), h.catalog.leases], [null, "2", 0]);
  assert.deepEqual(h.events.at(-1), { key: "a", value: null, term: 1, index: h.catalog.appliedIndex });
});

Deno.test("Catalog does not expire a lease that was refreshed while its expiry was under way (L1)", () => {
  const h = new Harness();
  h.write(put("k", "1", { ttlMs: 1000 }));
  h.now = SECOND;
  const expiry = h.catalog.expired(at(h.now))!;
  h.write(keepAlive("k"));
  h.apply(h.entry(expiry));
  assert.equal(h.text("k"), "1");
});

Deno.test("Catalog proposes an expiry that was lost again, a second later", () => {
  const h = new Harness();
  h.write(put("k", "1", { ttlMs: 1000 }));
  assert.ok(h.catalog.expired(at(SECOND)) !== null);
  assert.equal(h.catalog.expired(at(SECOND)), null);
  assert.equal(h.catalog.nextExpiry(), 2 * SECOND);
  assert.ok(h.catalog.expired(at(2 * SECOND)) !== null);
});

Deno.test("Catalog.becameLeader() gives every lease its whole time again, also after a restart (L2)", () => {
  const h = new Harness();
  h.write(put("k", "1", { ttlMs: 1000 }));
  h.reopen();
  assert.equal(h.catalog.nextExpiry(), NEVER, "a replica that does not lead ends nothing");
  h.catalog.becameLeader(at(5 * SECOND));
  assert.equal(h.catalog.nextExpiry(), 6 * SECOND);
});

Deno.test("Catalog drops a key's own lease when the key is put without ttlMs", () => {
  const h = new Harness();
  h.write(put("k", "1", { ttlMs: 1000 }));
  h.write(put("k", "2"));
  h.now = 9 * SECOND;
  assert.equal(h.expire(), 0);
  assert.equal(reasonOf(h.write(keepAlive("k"))), "not-found");
});

Deno.test("Catalog refuses a lease that is missing, full, or of another kind", () => {
  const h = new Harness();
  assert.equal(reasonOf(h.write(put("k", "1", { lease: "l" }))), "not-found");
  assert.equal(reasonOf(h.write(keepAlive("l"))), "not-found");
  h.write(put("k", "1", { ttlMs: 1000 }));
  assert.equal(reasonOf(h.write(grant("k", 1000))), "conflict");
  assert.equal(
    reasonOf(h.write(put("x", "1", { lease: "k" }))),
    "not-found",
    "a key's own lease takes no other keys",
  );
  h.write(grant("l", 1000));
  assert.equal(reasonOf(h.write(put("l", "1", { ttlMs: 1000 }))), "conflict");
  for (let i = 0; i < LIMITS.keysPerLeaseMax; i++) h.write(put(`k${i}`, "", { lease: "l" }));
  const full = h.write(put("one more", "", { lease: "l" }));
  assert.ok(full.kind === "refused");
  assert.match(full.message, /10000 keys.*keysPerLeaseMax/);
  assert.equal(h.write(put("k0", "again", { lease: "l" })).kind, "written", "a key that it has counts once");
});

Deno.test("Catalog.expired() bounds one command, and comes to an end", () => {
  const h = new Harness();
  for (let i = 0; i < 1300; i++) h.write(put(`k${i}`, "", { ttlMs: 1000 }));
  h.now = SECOND;
  assert.equal(h.expire(), 3);
  assert.equal(h.catalog.leases, 0);
});

// ---- sessions

Deno.test("Catalog applies a write of a session once and gives the very same answer again", () => {
  const h = new Harness();
  const first = h.write(put("k", "1"), session(1));
  h.write(put("k", "2"));
  assert.deepEqual(h.write(put("k", "1"), session(1)), first);
  assert.deepEqual([h.text("k"), h.catalog.duplicates], ["2", 1]);
  h.reopen();
  assert.deepEqual(h.write(put("k", "1"), session(1)), first);
  assert.equal(h.text("k"), "2");
});

Deno.test("Catalog keeps long and refused answers over a restart, too", () => {
  const h = new Harness();
  h.write({ kind: "put", key: "k", value: new Uint8Array(5000).fill(3) });
  const cas: WriteOp = { kind: "cas", key: "k", expect: { kind: "absent" }, value: bytes("x") };
  const answers = [h.write(cas, session(1)), h.write(keepAlive("none"), session(2, 0))];
  h.reopen();
  assert.deepEqual([h.write(cas, session(1)), h.write(keepAlive("none"), session(2, 0))], answers);
  const rows = allRows(h.tables).length;
  h.write(put("z", ""), session(3, 3));
  assert.equal(allRows(h.tables).length, rows, "one row came with the key, that of the long answer went");
});

Deno.test("Catalog refuses a write that was acknowledged, or whose session is not known any more", () => {
  const h = new Harness();
  h.write(put("k", "1"), session(1));
  h.write(put("k", "2"), session(2, 2));
  assert.equal(reasonOf(h.write(put("k", "1"), session(1))), "session-expired");
  assert.equal(h.text("k"), "2");
  assert.equal(
    reasonOf(h.write(put("k", "3"), session(5, 5, { client: "b".repeat(32), opened: true }))),
    "session-expired",
  );
  assert.equal(
    h.write(put("k", "3"), session(5, 5, { client: "b".repeat(32), opened: false })).kind,
    "written",
  );
});

Deno.test("Catalog answers busy past LIMITS.sessionAnswersMax and changes nothing", () => {
  const h = new Harness();
  for (let i = 1; i <= LIMITS.sessionAnswersMax; i++) h.write(put("k", `${i}`), session(i, 1));
  const next = LIMITS.sessionAnswersMax + 1;
  const refused = h.write(put("k", "no"), session(next, 1));
  assert.ok(refused.kind === "refused" && refused.reason === "busy");
  assert.match(refused.message, /1024 \(sessionAnswersMax\)/);
  assert.equal(h.text("k"), `${LIMITS.sessionAnswersMax}`);
  const digest = h.catalog.stateDigest();
  h.reopen();
  assert.equal(h.catalog.stateDigest(), digest);
  assert.equal(
    h.write(put("k", "yes"), session(next, 2)).kind,
    "written",
    "the same write, once there is room",
  );
});

Deno.test("Catalog answers busy past LIMITS.sessionAnswerBytesMax", () => {
  const h = new Harness();
  h.write({ kind: "put", key: "k", value: new Uint8Array(LIMITS.valueBytesMax) });
  const cas: WriteOp = { kind: "cas", key: "k", expect: { kind: "absent" }, value: bytes("x") };
  const answers = [1, 2, 3, 4, 5].map((sequence) => reasonOf(h.write(cas, session(sequence, 1))));
  assert.deepEqual(answers, ["cas", "cas", "cas", "cas", "busy"]);
  assert.equal(reasonOf(h.write(cas, session(5, 4))), "cas");
});

Deno.test("Catalog answers busy past LIMITS.sessionsMax, and others as before", () => {
  const h = new Harness();
  const client = (i: number) => i.toString(16).padStart(32, "0");
  for (let i = 0; i < LIMITS.sessionsMax; i++) h.write(put("k", ""), session(1, 0, { client: client(i) }));
  assert.equal(
    reasonOf(h.write(put("k", ""), session(1, 0, { client: client(LIMITS.sessionsMax) }))),
    "busy",
  );
  assert.equal(h.write(put("k", ""), session(2, 1, { client: client(0) })).kind, "written");
});

Deno.test("Catalog forgets sessions that no client can ask again where they are crowded, a thousand a second (S4)", () => {
  const h = new Harness();
  const client = (i: number) => i.toString(16).padStart(32, "0"), half = LIMITS.sessionsMax / 2;
  for (let i = 0; i < half - 1; i++) h.write(put("k", ""), session(1, 0, { client: client(i) }));
  assert.equal(h.catalog.nextExpiry(), LIMITS.sessionIdleUs, "half of the room is free");
  h.now = 1000;
  for (let i = half - 1; i < LIMITS.sessionsMax; i++) {
    h.write(put("k", ""), session(1, 0, { client: client(i) }));
  }
  h.now = 2 * LIMITS.retryUsMax - 1;
  // One that goes on is kept.
  assert.equal(h.write(put("k", ""), session(2, 1, { client: client(7) })).kind, "written");
  assert.equal(h.catalog.expired(at(h.now)), null);
  h.now += 1001;
  let seconds = 0;
  while (h.catalog.sessions >= half) {
    h.expire();
    assert.equal(h.catalog.expired(at(h.now)), null, "not more at once");
    h.now += 1_000_000;
    seconds++;
  }
  assert.equal(seconds, 6);
  assert.equal(h.write(put("k", ""), session(3, 2, { client: client(7) })).kind, "written");
  const [forgotten, anew] = [
    session(2, 1, { client: client(0) }),
    session(1, 0, { client: client(-1 >>> 0) }),
  ];
  assert.equal(reasonOf(h.write(put("k", ""), forgotten)), "session-expired");
  assert.equal(h.write(put("k", ""), anew).kind, "written");
  assert.equal(h.catalog.expired(at(h.now)), null, "those that are left have their whole time again");
});

Deno.test("Catalog forgets a session idle for LIMITS.sessionIdleUs, unless it wrote meanwhile (S3)", () => {
  const h = new Harness();
  h.write(put("k", ""), session(1));
  h.now = LIMITS.sessionIdleUs - 1;
  assert.equal(h.catalog.expired(at(h.now)), null);
  h.now++;
  assert.equal(h.catalog.nextExpiry(), h.now);
  const forget = h.catalog.expired(at(h.now))!;
  h.write(put("k", ""), session(2, 1));
  h.apply(h.entry(forget));
  assert.equal(h.catalog.sessions, 1);
  h.now += LIMITS.sessionIdleUs;
  h.expire();
  assert.equal(h.catalog.sessions, 0);
  assert.equal(reasonOf(h.write(put("k", ""), session(3, 3))), "session-expired");
});

// ---- watchers

Deno.test("Catalog.eventsAfter() tells what it remembers in order, and compacted before that", () => {
  const h = new Harness();
  const tell = (index: number, start = "", end: string | null = null) => {
    const events = h.catalog.eventsAfter(index as LogIndex, start, end);
    return events === "compacted" ? events : events.map(({ key, index }) => `${key}@${index}`);
  };
  for (const key of ["a", "b", "a"]) h.write(put(key, "1"));
  assert.deepEqual(tell(0), ["a@1", "b@2", "a@3"]);
  assert.deepEqual(tell(1, "a", "b"), ["a@3"]);
  assert.deepEqual(tell(3), []);
  for (let i = 0; i < LIMITS.watchEventsKept; i++) h.write(put("z", "1"));
  assert.equal(tell(2), "compacted");
  assert.equal(tell(3).length, LIMITS.watchEventsKept);
  h.reopen();
  assert.equal(tell(3), "compacted");
  assert.deepEqual(tell(h.catalog.appliedIndex), []);
});

Deno.test("Catalog.eventsAfter() remembers no more bytes than LIMITS.watchBytesKept", () => {
  const h = new Harness();
  for (let i = 0; i < 8; i++) {
    h.write({ kind: "put", key: "k", value: new Uint8Array(LIMITS.watchBytesKept / 4) });
  }
  assert.equal(h.catalog.eventsAfter(4 as LogIndex, "", null), "compacted");
  assert.equal(h.catalog.eventsAfter(5 as LogIndex, "", null).length, 3);
});

// ---- snapshots

Deno.test("Catalog.snapshot() stays as it was while the catalog goes on", () => {
  const h = new Harness(), other = new Harness();
  for (let i = 0; i < 50; i++) h.write(put(`k${i}`, "old"));
  const digest = h.catalog.stateDigest(), source = h.catalog.snapshot();
  other.catalog.beginInstall();
  other.catalog.installRows(source.next(1));
  for (let i = 0; i < 50; i++) h.write(put(`k${i}`, "new"));
  for (let rows = source.next(200); rows.length > 0; rows = source.next(200)) other.catalog.installRows(rows);
  source.close();
  other.catalog.finishInstall(source.index, source.term);
  assert.deepEqual([other.text("k7"), other.catalog.appliedIndex, other.catalog.stateDigest()], [
    "old",
    50,
    digest,
  ]);
});

Deno.test("Catalog removes what a broken-off installation left, and keeps its own state", () => {
  const h = new Harness(), other = new Harness();
  for (let i = 0; i < 20; i++) h.write(put(`k${i}`, "theirs"));
  other.write(put("k", "mine"));
  const before = allRows(other.tables), { chunks, index, term } = snapshotOf(h.catalog);
  other.catalog.beginInstall();
  other.catalog.installRows(chunks[0]!);
  other.reopen();
  assert.deepEqual(allRows(other.tables), before);
  assert.equal(other.text("k"), "mine");
  other.catalog.beginInstall();
  other.catalog.installRows(chunks[1]!);
  other.catalog.beginInstall();
  for (const chunk of chunks) other.catalog.installRows(chunk);
  other.catalog.finishInstall(index, term);
  assert.deepEqual([other.text("k"), other.text("k3")], [null, "theirs"]);
  other.reopen();
  assert.equal(other.catalog.stateDigest(), h.catalog.stateDigest());
});

Deno.test("Catalog takes no snapshot that is damaged, cut, or of another position (C4)", () => {
  const h = new Harness();
  for (let i = 0; i < 20; i++) h.write(put(`k${i}`, "v"));
  const { chunks, index, term } = snapshotOf(h.catalog);
  const rows = chunks.flat();
  const take = (chosen: typeof rows, position = index) => {
    const other = new Harness();
    other.write(put("k", "mine"));
    const before = allRows(other.tables);
    other.catalog.beginInstall();
    const wrong = other.catalog.installRows(chosen) ?? other.catalog.finishInstall(position, term);
    if (wrong !== null) assert.deepEqual(allRows(other.tables), before, "the state in force stays");
    return wrong;
  };
  assert.equal(take(rows), null);
  const damaged = rows.map(([key, row], i) =>
    [key, i === 5 ? row.map((byte, at) => at === 27 ? byte ^ 1 : byte) : row] as const
  );
  assert.match(take(damaged)!, /C4: a row .* has a wrong seal/);
  assert.match(take(rows.filter((_, i) => i !== 5))!, /C4: rows are missing/);
  assert.match(take(rows, 7 as LogIndex)!, /C4: a snapshot of 1.7/);
  assert.match(take(rows.filter(([key]) => key[0] !== 1))!, /C4: the snapshot of .* does not say/);
});

Deno.test("Catalog.drop() removes every row of its partition", () => {
  const h = new Harness(), other = new Harness();
  h.write(put("k", "1", { ttlMs: 1000, history: 3 }), session(1));
  install(h.catalog, other.catalog);
  other.catalog.drop();
  assert.deepEqual(allRows(other.tables), []);
  assert.deepEqual([other.catalog.appliedIndex, other.catalog.leases, other.catalog.sessions], [0, 0, 0]);
});

// ---- order and digest

Deno.test("Catalog.apply() takes entries in order only", () => {
  const h = new Harness();
  const entry = { term: 1 as Term, index: 5 as LogIndex, kind: "noop" as const, data: new Uint8Array(0) };
  assert.throws(() => h.catalog.apply([entry], at(0), () => {}), /5 does not follow 0/);
});

Deno.test("Catalog.stateDigest() tells states apart and depends on nothing but the state", () => {
  const one = new Harness(), two = new Harness();
  for (const h of [one, two]) h.write(put("k", "1"));
  two.now = 500;
  assert.equal(one.catalog.stateDigest(), two.catalog.stateDigest());
  one.write(put("a", "1"));
  two.write(put("b", "1"));
  assert.notEqual(one.catalog.stateDigest(), two.catalog.stateDigest());
  one.apply(one.entry(encodeInternal({ kind: "expire", leases: [] })));
  const before = one.catalog.stateDigest();
  one.apply(one.entry(null));
  assert.notEqual(one.catalog.stateDigest(), before, "the position counts");
});
