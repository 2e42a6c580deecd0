/** The catalog against its naive twin, through restarts, snapshots and expiry. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Instant } from "../../../core/base/ids.ts";
import { compareUtf8 } from "../../../core/base/bytes.ts";
import { Catalog } from "../../../core/catalog/catalog.ts";
import { decodeCommand, encodeCommand } from "../../../core/catalog/command.ts";
import type {
  Expectation,
  KeyValue,
  Response,
  Session,
  TransactItem,
  WriteOp,
} from "../../../core/wire/requests.ts";
import { allRows, MemoryTables } from "../../../sim/tables.ts";
import { at, Harness, install, PARTITION, SECOND } from "./harness.ts";
import { NaiveCatalog, type Outcome } from "./naive_catalog.ts";

const name: fc.Arbitrary<string> = fc.constantFrom("a", "b", "ab", "é", "\uffff", "\u{10000}", "a\0");
const value = fc.oneof(
  fc.uint8Array({ maxLength: 3 }),
  // Long enough for an answer with a row of its own.
  fc.constant(new Uint8Array(400).fill(9)),
);
const options = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  fc.record({ lease: name }),
  fc.record({ ttlMs: fc.constantFrom(100, 1000, 5000) }),
  fc.record({ history: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ ttlMs: fc.constant(500), history: fc.constant(2) }),
);
const expect: fc.Arbitrary<Expectation> = fc.oneof(
  fc.constant({ kind: "absent" as const }),
  fc.constant({ kind: "present" as const }),
  fc.record({ kind: fc.constant("value" as const), value }),
  fc.record({
    kind: fc.constant("version" as const),
    version: fc.record({ term: fc.constant(1), index: fc.integer({ min: 1, max: 30 }) }),
  }) as fc.Arbitrary<Expectation>,
);
const putItem = fc.tuple(name, value, options).map(([key, v, o]) => ({
  kind: "put" as const,
  key,
  value: v,
  ...o,
}));
const deleteItem = fc.record({ kind: fc.constant("delete" as const), key: name });
const branch = fc.uniqueArray(
  fc.oneof<fc.Arbitrary<TransactItem>[]>(
    putItem,
    deleteItem,
    fc.record({ kind: fc.constant("get" as const), key: name }),
  ),
  { selector: (item) => item.key, maxLength: 4 },
);
const op: fc.Arbitrary<WriteOp> = fc.oneof(
  { weight: 5, arbitrary: putItem as fc.Arbitrary<WriteOp> },
  { weight: 2, arbitrary: deleteItem },
  fc.tuple(name, expect, value, options).map(([key, e, v, o]) => ({
    kind: "cas" as const,
    key,
    expect: e,
    value: v,
    ...o,
  })),
  fc.record({ kind: fc.constant("cas" as const), key: name, expect, value: fc.constant(null) }),
  fc.record({
    kind: fc.constant("transact" as const),
    conditions: fc.array(fc.record({ key: name, expect }), { maxLength: 2 }),
    then: branch,
    otherwise: branch,
  }),
  fc.record({ kind: fc.constant("grant" as const), lease: name, ttlMs: fc.constantFrom(200, 2000) }),
  fc.record({ kind: fc.constant("keep-alive" as const), lease: name }),
  fc.record({ kind: fc.constant("revoke" as const), lease: name }),
);
const session: fc.Arbitrary<Session | undefined> = fc.option(
  fc.tuple(fc.constantFrom("0".repeat(32), "f0".repeat(16)), fc.nat(6), fc.nat(3), fc.boolean())
    .map(([client, sequence, behind, opened]) => ({
      client,
      sequence,
      acknowledged: Math.max(0, sequence - behind),
      opened,
    })),
  { nil: undefined },
);
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("write" as const), op, session }) },
  fc.record({ kind: fc.constant("wait" as const), us: fc.nat(3 * SECOND) }),
  fc.record({ kind: fc.constant("expire" as const) }),
  fc.record({ kind: fc.constant("forget" as const) }),
  fc.record({ kind: fc.constant("reopen" as const) }),
  fc.record({ kind: fc.constant("noop" as const) }),
  fc.record({ kind: fc.constant("move" as const) }),
);

Deno.test("Catalog answers and ends as its naive twin does, across restarts, snapshots and expiry", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const real = new Harness(), twin = new NaiveCatalog();
      for (const s of steps) {
        if (s.kind === "wait") real.now += s.us;
        else if (s.kind === "noop") real.apply(real.entry(null));
        else if (s.kind === "reopen") {
          const digest = real.catalog.stateDigest();
          real.reopen();
          real.catalog.becameLeader(at(real.now));
          assert.equal(real.catalog.stateDigest(), digest);
        } else if (s.kind === "move") moveByReinstalling(real);
        else if (s.kind === "expire" || s.kind === "forget") {
          applyExpired(real, twin, s.kind === "forget" ? 4000 * SECOND : 0);
        } else {
          const answer = real.write(s.op, s.session);
          same(
            answer,
            twin.write(s.op, s.session, { term: real.catalog.appliedTerm, index: real.catalog.appliedIndex }),
          );
        }
        compareState(real.catalog, twin);
      }
      assert.deepEqual(real.events, twin.events);
      compareReplica(real);
    }),
    { numRuns: 150 },
  );
});

/** The log alone, applied in one batch by a replica with another clock, gives the same rows and digest. */
function compareReplica(real: Harness): void {
  const tables = new MemoryTables();
  const replica = new Catalog({ partition: PARTITION, tables });
  replica.apply(real.log, 77 as Instant, () => {});
  assert.equal(replica.stateDigest(), real.catalog.stateDigest());
  const fresh = new Catalog({ partition: PARTITION, tables: new MemoryTables() });
  if (real.log.length > 0) {
    install(real.catalog, fresh);
    assert.equal(fresh.stateDigest(), replica.stateDigest());
    // Installed over an existing state, only the new one is left.
    install(real.catalog, replica);
    const strip = (rows: ReturnType<typeof allRows>) =>
      rows.map(([key, row]) => `${key.subarray(6)}=${row}`).filter((text) => !text.startsWith("0="));
    assert.deepEqual(strip(allRows(tables)), strip(allRows(real.tables)));
  }
}

/** The state goes out as a snapshot and comes back over itself. */
function moveByReinstalling(real: Harness): void {
  if (real.catalog.appliedIndex === 0) return;
  const digest = real.catalog.stateDigest();
  install(real.catalog, real.catalog);
  real.catalog.becameLeader(at(real.now));
  assert.equal(real.catalog.stateDigest(), digest);
}

function applyExpired(real: Harness, twin: NaiveCatalog, later: number): void {
  real.now += later;
  for (;;) {
    const data = real.catalog.expired(at(real.now));
    if (data === null) return;
    const entry = real.entry(data);
    real.apply(entry);
    const command = decodeCommand(data);
    if (command.kind === "expire") twin.expire(command.leases, { term: entry.term, index: entry.index });
    else if (command.kind === "forget-sessions") twin.forget(command.sessions);
    else assert.fail(command.kind);
  }
}

function compareState(catalog: Catalog, twin: NaiveCatalog): void {
  for (const reverse of [false, true]) {
    const items = catalog.read(
      { kind: "range", start: "", end: null, limit: 1000, reverse, keysOnly: false, read: "stale" },
      0,
    );
    assert.ok(items.kind === "values" && items.next === null);
    same(items.items, reverse ? twin.all().reverse() : twin.all());
  }
  for (const key of twin.keys.keys()) {
    const history = catalog.read({ kind: "history", key, read: "stale" }, 0);
    assert.ok(history.kind === "values");
    same(history.items, twin.history(key));
    for (const { version, value } of twin.history(key)) {
      const got = catalog.read({ kind: "get", key, read: "stale", version }, 0);
      assert.ok(got.kind === "value");
      same(got.found, value === null ? null : { key, value, version });
    }
  }
  assert.equal(catalog.leases, twin.leases.size);
  assert.equal(catalog.sessions, twin.sessions.size);
}

/** Views of larger buffers equal arrays of their own; a refusal equals one of the same reason. */
function same(
  actual: Response | KeyValue | null | readonly KeyValue[],
  expected: Outcome | typeof actual,
): void {
  const plain = (thing: unknown) =>
    JSON.parse(JSON.stringify(thing, (key, field) => {
      if (key === "message") return undefined;
      return field instanceof Uint8Array ? [...field] : field;
    }));
  assert.deepEqual(plain(actual), plain(expected));
}

Deno.test("Catalog.read() pages a range either way without losing or repeating a key", () => {
  const ask = fc.record({
    start: name,
    end: fc.option(name),
    limit: fc.integer({ min: 1, max: 4 }),
    reverse: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(op, { maxLength: 40 }), ask, (ops, asked) => {
    const real = new Harness(), twin = new NaiveCatalog();
    for (const o of ops) {
      real.write(o);
      twin.write(o, undefined, { term: real.catalog.appliedTerm, index: real.catalog.appliedIndex });
    }
    const { limit, reverse } = asked;
    let start = asked.start, end = asked.end;
    const wanted = twin.all().map((item) => item.key).filter((key) =>
      compareUtf8(key, start) >= 0 && (end === null || compareUtf8(key, end) < 0)
    );
    const found: string[] = [];
    for (;;) {
      const page = real.read({ kind: "range", start, end, limit, reverse, keysOnly: true, read: "stale" });
      assert.ok(page.kind === "values" && page.items.length <= limit);
      found.push(...page.items.map((item) => item.key));
      if (page.next === null) break;
      if (reverse) end = page.next;
      else start = page.next;
    }
    assert.deepEqual(found, reverse ? wanted.reverse() : wanted);
  }));
});

Deno.test("decodeCommand() reads what encodeCommand() wrote, and only that", () => {
  fc.assert(fc.property(op, session, (o, s) => {
    const data = encodeCommand(s === undefined ? { op: o } : { op: o, session: s });
    const read = decodeCommand(data);
    assert.ok(read.kind === "write");
    same(read.op as never, o as never);
    assert.deepEqual(read.session, s ?? null);
    for (let cut = 0; cut < data.length; cut++) assert.throws(() => decodeCommand(data.slice(0, cut)));
    assert.throws(() => decodeCommand(Uint8Array.of(...data, 0)), /follow the end/);
  }));
});

Deno.test("Catalog.apply() refuses any bytes that are no command, and goes on", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (data) => {
    const real = new Harness();
    const answer = real.apply(real.entry(data))!;
    assert.ok(
      answer.kind === "refused" || answer.kind === "written" || answer.kind === "cas" ||
        answer.kind === "transacted",
    );
    assert.equal(real.catalog.appliedIndex, 1);
  }));
});
