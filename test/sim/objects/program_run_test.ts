import assert from "node:assert/strict";
import { Random } from "../../../core/base/random.ts";
import { ObjectError, type Program } from "../../../core/objects/types.ts";
import type { Op, Response } from "../../../core/wire/requests.ts";
import { type Outcome, ProgramRun } from "../../../sim/objects/program_run.ts";

const OP: Op = { kind: "layout" };
const ANSWER: Response = { kind: "done", version: 7 };

/** A world whose time moves by hand, and a client whose answers come by hand. */
function stage<T>(program: Program<T>, options: { body?: Uint8Array; abandonAt?: number } = {}) {
  const loop = { now: 5_000 }, due: (() => void)[] = [], asked: ((response: Response) => void)[] = [];
  const outcomes: Outcome<T>[] = [], taken: Uint8Array[] = [];
  let abandoned = 0;
  const run = new ProgramRun({
    world: { loop, schedule: (_time, action) => due.push(action) },
    driver: { submit: (_op, done) => asked.push((response) => done(response, 0)) },
    random: Random.fromSeed(1),
    program,
    body: options.body,
    abandonAt: options.abandonAt,
    take: (bytes) => taken.push(bytes),
    done: (outcome) => outcomes.push(outcome),
    abandoned: () => abandoned++,
  });
  return { run, due, asked, outcomes, taken, abandoned: () => abandoned };
}

Deno.test("ProgramRun answers asks in order, waits where an answer has not come, and sleeps", () => {
  const { run, due, asked, outcomes, taken } = stage<string>(
    (function* (): Program<string> {
      const first = yield { kind: "begin", op: OP }, second = yield { kind: "begin", op: OP };
      assert.ok(typeof first === "number" && typeof second === "number" && first !== second);
      assert.deepEqual(yield { kind: "wait", ticket: second }, ANSWER);
      yield { kind: "drop", ticket: first };
      assert.deepEqual(yield { kind: "read", bytes: 2 }, Uint8Array.of(1, 2));
      assert.deepEqual(yield { kind: "read", bytes: 2 }, Uint8Array.of(3));
      yield { kind: "write", bytes: Uint8Array.of(9) };
      const random = yield { kind: "random", bytes: 16 };
      assert.ok(random instanceof Uint8Array && random.length === 16);
      assert.equal(yield { kind: "now" }, Date.UTC(2026, 0, 1) + 5);
      yield { kind: "sleep", ms: 3 };
      return "end";
    })(),
    { body: Uint8Array.of(1, 2, 3) },
  );
  run.start();
  assert.equal(asked.length, 2);
  asked[0]!(ANSWER);
  assert.equal(due.length, 0);
  asked[1]!(ANSWER);
  assert.equal(due.length, 1);
  due[0]!();
  assert.deepEqual(outcomes, [{ kind: "done", value: "end" }]);
  assert.deepEqual(taken, [Uint8Array.of(9)]);
});

Deno.test("ProgramRun tells a refusal of the program from a mistake in it", () => {
  const failing = function* (error: Error): Program<void> {
    yield { kind: "now" };
    throw error;
  };
  for (
    const [error, kind] of [[new ObjectError("damaged", "It is"), "failed"], [
      new Error("Oh"),
      "threw",
    ]] as const
  ) {
    const { run, outcomes } = stage(failing(error));
    run.start();
    assert.deepEqual(outcomes.map((outcome) => outcome.kind), [kind]);
  }
});

Deno.test("R2: an abandoned program is never stepped again", () => {
  for (let abandonAt = 0; abandonAt < 3; abandonAt++) {
    const { run, asked, outcomes, abandoned } = stage(
      (function* (): Program<void> {
        const ticket = yield { kind: "begin", op: OP };
        assert.ok(typeof ticket === "number");
        yield { kind: "wait", ticket };
        yield { kind: "now" };
        assert.fail("It went on");
      })(),
      { abandonAt },
    );
    run.start();
    for (const answer of asked) answer(ANSWER);
    assert.deepEqual([abandoned(), outcomes.length, run.over], [1, 0, true]);
  }
});
