import assert from "node:assert/strict";
import {
  after,
  epoch,
  instant,
  isNodeId,
  logIndex,
  NEVER,
  nodeId,
  partitionId,
  term,
} from "../../../core/base/ids.ts";
import { invariant, InvariantError, unreachable } from "../../../core/base/invariant.ts";
import { DEFAULT_SETTINGS, LIMITS } from "../../../core/base/limits.ts";
import { encodeMessages, encodeRequests } from "../../../core/wire/codec.ts";
import type { LogIndex, PartitionId, Term } from "../../../core/base/ids.ts";

Deno.test("nodeId() takes 1 to 64 printable ASCII characters without spaces", () => {
  for (const good of ["a", "alpha-Cen.A_1", "!~", "x".repeat(64)]) {
    assert.equal(nodeId(good), good);
    assert.ok(isNodeId(good));
  }
  for (const bad of ["", " ", "a b", "α", "x".repeat(65), "tab\t", "nul\0", "line\n"]) {
    assert.throws(() => nodeId(bad), TypeError);
    assert.equal(isNodeId(bad), false);
  }
  assert.throws(() => nodeId("a b"), /not "a b"/);
});

Deno.test("the numbers of the core are safe integers from 0", () => {
  for (const make of [partitionId, term, logIndex, epoch, instant]) {
    assert.equal(make(0), 0);
    assert.equal(make(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) assert.throws(() => make(bad), RangeError);
  }
});

Deno.test("after() leaves NEVER where it is", () => {
  assert.equal(after(instant(5), 7), 12);
  assert.equal(after(NEVER, 7), NEVER);
});

Deno.test("invariant() throws InvariantError, and builds its message only then", () => {
  invariant(true, () => assert.fail("not built"));
  assert.throws(
    () => invariant(false, "rule 1"),
    (error) => error instanceof InvariantError && error.message === "rule 1",
  );
  assert.throws(() => invariant(false, () => "rule 2"), /rule 2/);
  assert.throws(() => unreachable({ kind: "new" } as never), /Unreachable case {"kind":"new"}/);
});

Deno.test("a frame holds the largest put, and an append that ends with the largest value", () => {
  const key = "k".repeat(LIMITS.keyBytesMax);
  const value = new Uint8Array(LIMITS.valueBytesMax);
  const put = encodeRequests([{
    id: Number.MAX_SAFE_INTEGER,
    request: { op: { kind: "put", key, value, lease: key } },
  }]);
  assert.ok(put.length <= LIMITS.frameBytesMax);
  const entry = { term: 9 as Term, index: 9 as LogIndex, kind: "command" as const, data: put };
  const small = { ...entry, data: new Uint8Array(LIMITS.appendBytesMax / LIMITS.appendEntriesMax) };
  const entries = [...new Array(LIMITS.appendEntriesMax - 1).fill(small), entry];
  const append = {
    kind: "append" as const,
    partition: 1 as PartitionId,
    term: 9 as Term,
    prevIndex: 0 as LogIndex,
  };
  const message = { ...append, prevTerm: 0 as Term, commit: 0 as LogIndex, entries };
  assert.ok(encodeMessages([message]).length <= LIMITS.frameBytesMax);
});

Deno.test("the default settings keep to the limits", () => {
  const { partitions, replicas, systemReplicas, electionTimeoutUsMin, electionTimeoutUsMax, heartbeatUs } =
    DEFAULT_SETTINGS;
  assert.ok(partitions <= LIMITS.partitionsMax && (partitions & (partitions - 1)) === 0);
  assert.ok(Math.max(replicas, systemReplicas) <= LIMITS.replicasMax);
  assert.ok(heartbeatUs * 3 <= electionTimeoutUsMin && electionTimeoutUsMin < electionTimeoutUsMax);
});
