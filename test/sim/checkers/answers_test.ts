import assert from "node:assert/strict";
import { utf8Encode } from "../../../core/base/bytes.ts";
import type { LogIndex, Term } from "../../../core/base/ids.ts";
import type { KeyValue, Op, Response } from "../../../core/wire/requests.ts";
import { answerProblem } from "../../../sim/checkers/answers.ts";

const value = utf8Encode("v");
const version = { term: 1 as Term, index: 1 as LogIndex };
const found = (key: string): KeyValue => ({ key, value, version });

Deno.test("answerProblem() refuses an answer of a kind that the operation cannot have", () => {
  const put: Op = { kind: "put", key: "k", value };
  assert.equal(answerProblem(put, { kind: "written", version, existed: false }), null);
  assert.equal(answerProblem(put, { kind: "refused", reason: "unsure", message: "" }), null);
  assert.match(
    answerProblem(put, { kind: "done", version: 0 }) ?? "",
    /A "put" was answered "done" instead of "written"/,
  );
});

Deno.test("answerProblem() refuses another key's value, and a transaction's results for other steps", () => {
  const get: Op = { kind: "get", key: "k", read: "linearizable" };
  assert.equal(answerProblem(get, { kind: "value", found: found("k"), ageUs: 0 }), null);
  assert.match(answerProblem(get, { kind: "value", found: found("l"), ageUs: 0 }) ?? "", /with "l"/);
  const transact: Op = {
    kind: "transact",
    conditions: [],
    then: [{ kind: "put", key: "j", value }, { kind: "get", key: "k" }],
    otherwise: [],
  };
  const answer = (held: boolean, results: (KeyValue | null)[]): Response => ({
    kind: "transacted",
    held,
    version,
    results,
  });
  assert.equal(answerProblem(transact, answer(true, [null, found("k")])), null);
  assert.match(answerProblem(transact, answer(true, [null])) ?? "", /2 steps was answered with 1/);
  assert.match(answerProblem(transact, answer(false, [null])) ?? "", /0 steps was answered with 1/);
  assert.match(answerProblem(transact, answer(true, [found("k"), null])) ?? "", /A put in a transaction/);
});

Deno.test("answerProblem() refuses a range out of order, past its limit or its ends", () => {
  const range: Op = {
    kind: "range",
    start: "b",
    end: "e",
    limit: 2,
    reverse: false,
    keysOnly: false,
    read: "linearizable",
  };
  const problem = (keys: string, change: Partial<typeof range> = {}) =>
    answerProblem({ ...range, ...change }, {
      kind: "values",
      items: [...keys].map(found),
      next: null,
      ageUs: 0,
    });
  assert.equal(problem("bd"), null);
  assert.equal(problem("db", { reverse: true }), null);
  assert.match(problem("bcd") ?? "", /at most 2 was answered with 3/);
  assert.match(problem("db") ?? "", /"d" before "b"/);
  assert.match(problem("cc") ?? "", /"c" before "c"/);
  assert.match(problem("ab") ?? "", /answered with "a"/);
  assert.match(problem("de") ?? "", /answered with "e"/);
});
