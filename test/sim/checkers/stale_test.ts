import assert from "node:assert/strict";
import type { LogIndex, Term } from "../../../core/base/ids.ts";
import type { Op, Response } from "../../../core/wire/requests.ts";
import type { Recorded } from "../../../sim/history.ts";
import { staleProblems } from "../../../sim/checkers/stale.ts";

const SLACK = 100;
const bytes = (text: string) => new TextEncoder().encode(text);
const version = (index: number) => ({ term: 1 as Term, index: index as LogIndex });

function recorded(op: Op, invoke: number, complete: number, response: Response | null): Recorded {
  return { client: 1, op, invoke, complete, response };
}
function put(index: number, at: number): Recorded {
  const op: Op = { kind: "put", key: "k", value: bytes(`v${index}`) };
  return recorded(op, at, at + 10, { kind: "written", version: version(index), existed: false });
}
function read(index: number | null, at: number, ageUs: number): Recorded {
  const found = index === null ? null : { key: "k", value: bytes(`v${index}`), version: version(index) };
  return recorded({ kind: "get", key: "k", read: "stale" }, at, at + 10, { kind: "value", found, ageUs });
}
const problems = (...operations: Recorded[]) => staleProblems(operations, SLACK).problems.length;

Deno.test("staleProblems() lets a read be as old as it says, and no older", () => {
  assert.equal(problems(put(1, 0), put(2, 1000), read(1, 2000, 1000)), 0);
  assert.equal(problems(put(1, 0), put(2, 1000), read(1, 2000, 800)), 1);
  assert.equal(problems(put(1, 0), put(2, 1000), read(2, 2000, 0)), 0);
});

Deno.test("staleProblems() finds a value that is not shown although nothing took it away", () => {
  assert.equal(problems(put(1, 0), read(null, 2000, 500)), 1);
  assert.equal(problems(put(1, 0), read(null, 2000, 3000)), 0);
  const unknown = recorded({ kind: "delete", key: "k" }, 500, Infinity, null);
  assert.equal(problems(put(1, 0), unknown, read(null, 2000, 500)), 0);
});
