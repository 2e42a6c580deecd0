import assert from "node:assert/strict";
import fc from "fast-check";
import { linearizable, type SequentialModel } from "../../../sim/checkers/linearizability.ts";
import {
  type Action,
  registerModel,
  type RegisterOperation,
  registersModel,
} from "../../../sim/checkers/register_model.ts";

const op = (invoke: number, complete: number, action: Action): RegisterOperation => ({
  invoke,
  complete,
  action,
});
const put = (value: number, existed: boolean | null = null): Action => ({
  kind: "write",
  register: 0,
  value,
  existed,
});
const get = (value: number): Action => ({ kind: "read", register: 0, value });
const cas = (from: number, to: number, applied: boolean | null): Action => ({
  kind: "cas",
  register: 0,
  guard: from === 0 ? { kind: "absent" } : { kind: "value", value: from },
  value: to,
  applied,
  found: null,
});
const UNKNOWN = Infinity;

const GOOD: readonly (readonly [name: string, history: readonly RegisterOperation[]])[] = [
  ["nothing", []],
  ["one after the other", [op(0, 1, put(1)), op(2, 3, get(1)), op(4, 5, put(0)), op(6, 7, get(0))]],
  ["a read beside a write sees the old", [op(0, 10, put(1)), op(1, 2, get(0))]],
  ["a read beside a write sees the new", [op(0, 10, put(1)), op(1, 2, get(1))]],
  ["old then new beside a write", [op(0, 10, put(1)), op(1, 2, get(0)), op(3, 4, get(1))]],
  ["an unknown write never happens", [op(0, UNKNOWN, put(1)), op(1, 2, get(0)), op(3, 4, get(0))]],
  ["an unknown write happens late", [op(0, UNKNOWN, put(1)), op(5, 6, get(0)), op(7, 8, get(1))]],
  ["a cas that fails", [op(0, 1, put(1)), op(2, 3, cas(2, 3, false)), op(4, 5, get(1))]],
  ["two cas, one wins", [op(0, 9, cas(0, 1, true)), op(0, 9, cas(0, 2, false)), op(10, 11, get(1))]],
  ["a lease that ends", [
    op(0, 1, put(1)),
    op(1, UNKNOWN, { kind: "expire", register: 0, value: 1 }),
    op(5, 6, get(0)),
  ]],
  ["touching ends may overlap", [op(0, 5, put(1)), op(5, 6, get(0))]],
];

const BAD: readonly (readonly [name: string, history: readonly RegisterOperation[]])[] = [
  ["a stale read", [op(0, 1, put(1)), op(2, 3, get(0))]],
  ["new then old beside a write", [op(0, 10, put(1)), op(1, 2, get(1)), op(3, 4, get(0))]],
  ["a lost write", [op(0, 1, put(1)), op(2, 3, put(2)), op(4, 5, get(1))]],
  ["a write applied twice", [op(0, 1, put(1)), op(2, 3, put(2)), op(4, 5, get(2)), op(6, 7, get(1))]],
  ["two cas both win", [op(0, 9, cas(0, 1, true)), op(0, 9, cas(0, 2, true))]],
  ["a read of the future", [op(0, 1, get(1)), op(2, 3, put(1))]],
  ["an unknown write undone", [op(0, UNKNOWN, put(1)), op(5, 6, get(1)), op(7, 8, get(0))]],
  ["a lease that ends what came after", [
    op(0, 1, put(1)),
    op(2, 3, put(2)),
    op(4, UNKNOWN, { kind: "expire", register: 0, value: 1 }),
    op(5, 6, get(0)),
  ]],
  ["a wrong word on what existed", [op(0, 1, put(1, true))]],
];

for (const [name, history] of GOOD) {
  Deno.test(`linearizable() accepts ${name}`, () => {
    assert.deepEqual(linearizable(history, registerModel), { kind: "linearizable" });
  });
}
for (const [name, history] of BAD) {
  Deno.test(`linearizable() refuses ${name}`, () => {
    assert.equal(linearizable(history, registerModel).kind, "broken");
  });
}

Deno.test("linearizable() of several registers sees a transaction half done", () => {
  const both: Action = {
    kind: "transact",
    conditions: [],
    then: [{ kind: "write", register: 0, value: 1 }, { kind: "write", register: 1, value: 2 }],
    otherwise: [],
    held: true,
    results: null,
  };
  const read = (register: number, value: number): Action => ({ kind: "read", register, value });
  const model = registersModel(2);
  const whole = [op(0, 9, both), op(1, 2, read(0, 1)), op(3, 4, read(1, 2))];
  const half = [op(0, 9, both), op(1, 2, read(0, 1)), op(3, 4, read(1, 0))];
  assert.equal(linearizable(whole, model).kind, "linearizable");
  assert.equal(linearizable(half, model).kind, "broken");
});

Deno.test("linearizable() names an operation that finds no place", () => {
  const history = [op(0, 1, put(1)), op(2, 3, get(1)), op(4, 5, get(7)), op(6, 7, get(1))];
  assert.deepEqual(linearizable(history, registerModel), { kind: "broken", stuck: 2 });
});

Deno.test("linearizable() gives up past its bound", () => {
  const history = Array.from({ length: 8 }, (_, i) => op(0, 100, put(i + 1))).concat(op(101, 102, get(99)));
  assert.equal(linearizable(history, registerModel, 50).kind, "undecided");
  assert.equal(linearizable(history, registerModel).kind, "broken");
});

Deno.test("linearizable() tries unknown operations that do the same in one order only", () => {
  const lost = (start: number) => Array.from({ length: 20 }, (_, i) => op(start + i, UNKNOWN, put(0)));
  const history = [op(0, 1, put(1)), ...lost(2), op(30, 31, put(2)), ...lost(32), op(60, 61, get(1))];
  assert.equal(linearizable(history, registerModel, 1000).kind, "broken");
});

Deno.test("linearizable() takes long histories of one busy key in its stride", () => {
  const history: RegisterOperation[] = [];
  for (let i = 0; i < 5000; i++) {
    // The write takes effect in the middle of its time; neighbours overlap, and so does a read of it.
    history.push(op(i * 10, i * 10 + 25, put(i + 1)), op(i * 10 + 5, i * 10 + 20, get(i + 1)));
    if (i % 500 === 0) history.push(op(i * 10, UNKNOWN, put(100_000 + i)));
  }
  assert.equal(linearizable(history, registerModel).kind, "linearizable");
  history.push(op(10, 20, get(3000)));
  assert.equal(linearizable(history, registerModel).kind, "broken");
});

/** Tries every order of every choice of the operations that may not have happened. */
function bruteForce<S extends string | number>(
  operations: readonly RegisterOperation[],
  model: SequentialModel<RegisterOperation, S>,
): boolean {
  const go = (state: S, left: readonly RegisterOperation[]): boolean => {
    if (left.every(({ complete }) => complete === Infinity)) return true;
    return left.some((operation) => {
      const others = left.filter((other) => other !== operation);
      if (others.some((other) => other.complete < operation.invoke)) return false;
      const next = model.step(state, operation);
      return next !== undefined && go(next, others);
    });
  };
  return go(model.initial, operations);
}

Deno.test("linearizable() agrees with trying every order, on small histories", () => {
  const value = fc.integer({ min: 0, max: 3 });
  const register = fc.integer({ min: 0, max: 1 });
  const action: fc.Arbitrary<Action> = fc.oneof(
    fc.record({ kind: fc.constant("write" as const), register, value, existed: fc.option(fc.boolean()) }),
    fc.record({ kind: fc.constant("read" as const), register, value }),
    fc.record({
      kind: fc.constant("cas" as const),
      register,
      guard: fc.oneof(
        fc.constant({ kind: "absent" as const }),
        fc.constant({ kind: "present" as const }),
        fc.record({ kind: fc.constant("value" as const), value }),
      ),
      value,
      applied: fc.option(fc.boolean()),
      found: fc.option(value),
    }),
    fc.record({ kind: fc.constant("expire" as const), register, value }),
  );
  const operation = fc.record({
    invoke: fc.nat(12),
    length: fc.integer({ min: 0, max: 8 }),
    lost: fc.nat(4),
    action,
  })
    .map(({ invoke, length, lost, action }) => op(invoke, lost === 0 ? Infinity : invoke + length, action));
  const tally = { yes: 0, no: 0 };
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 6 }), (history) => {
      const expected = bruteForce(history, registersModel(2));
      tally[expected ? "yes" : "no"]++;
      assert.equal(linearizable(history, registersModel(2)).kind, expected ? "linearizable" : "broken");
    }),
    { numRuns: 3000 },
  );
  assert.ok(tally.yes > 100 && tally.no > 100, "both verdicts came up");
});
