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

Deno.test("nodeId() takes 1 to 64 printable ASCII characters without spaces", () => {
  for (const good of ["a", "HIP-32349", "!", "~", "x".repeat(64)]) assert.equal(nodeId(good), good);
  for (const bad of ["", " ", "a b", "é", "a\n", "\x7f", "x".repeat(65)]) {
    assert.equal(isNodeId(bad), false);
    assert.throws(() => nodeId(bad), { name: "TypeError", message: new RegExp('not "') });
  }
});

Deno.test("partitionId(), term(), logIndex(), epoch() and instant() take integers from 0", () => {
  for (const brand of [partitionId, term, logIndex, epoch, instant]) {
    assert.equal(brand(0), 0);
    assert.equal(brand(Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) assert.throws(() => brand(bad), RangeError);
  }
});

Deno.test("after() adds, and never comes to what never comes", () => {
  assert.equal(after(instant(5), 7), 12);
  assert.equal(after(NEVER, 7), NEVER);
});

Deno.test("invariant() throws only where its condition fails, and builds its message only then", () => {
  const message = () => assert.fail("The message of a rule that holds is not built");
  invariant(true, message);
  assert.throws(() => invariant(false, "P1 is broken"), { name: "InvariantError", message: "P1 is broken" });
  assert.throws(() => invariant(false, () => "P2 is broken"), InvariantError);
});

Deno.test("unreachable() tells the case that was reached", () => {
  assert.throws(() => unreachable({ kind: "moon" } as never), {
    name: "InvariantError",
    message: 'Unreachable case {"kind":"moon"}',
  });
});
