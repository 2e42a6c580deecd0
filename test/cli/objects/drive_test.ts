import assert from "node:assert/strict";
import { drive } from "../../../cli/objects/drive.ts";
import { ObjectError, type Program } from "../../../core/objects/types.ts";
import type { Op, Response } from "../../../core/wire/requests.ts";

const op = (limit: number): Op => ({ kind: "audit", limit });
const done = (version: number): Response => ({ kind: "done", version });

/** Answers when it is told to. */
class Manual {
  readonly asked: { readonly op: Op; readonly answer: (response: Response) => void }[] = [];
  request(op: Op): Promise<Response> {
    return new Promise((answer) => this.asked.push({ op, answer }));
  }
}
const turn = () => new Promise((done) => setTimeout(done, 0));

Deno.test("drive() answers every ask, and lets tickets be waited for in any order or dropped", async () => {
  const manual = new Manual();
  const read: number[] = [], written: Uint8Array[] = [];
  function* program(): Program<unknown[]> {
    const tickets = [
      yield { kind: "begin", op: op(1) },
      yield { kind: "begin", op: op(2) },
      yield {
        kind: "begin",
        op: op(3),
      },
    ] as number[];
    const second = yield { kind: "wait", ticket: tickets[1]! };
    yield { kind: "drop", ticket: tickets[2]! };
    const first = yield { kind: "wait", ticket: tickets[0]! };
    const bytes = yield { kind: "read", bytes: 5 };
    yield { kind: "write", bytes: Uint8Array.of(9) };
    const random = yield { kind: "random", bytes: 70_000 };
    const now = yield { kind: "now" };
    yield { kind: "sleep", ms: 1 };
    return [first, second, bytes, (random as Uint8Array).length, now];
  }
  const driven = drive(program(), {
    requests: manual,
    source: { read: (bytes) => (read.push(bytes), Promise.resolve(new Uint8Array(bytes))) },
    sink: { write: (bytes) => (written.push(bytes), Promise.resolve()) },
  });
  await turn();
  assert.deepEqual(manual.asked.map(({ op }) => op), [op(1), op(2), op(3)]);
  manual.asked[1]!.answer(done(2));
  await turn();
  manual.asked[0]!.answer(done(1));
  const [first, second, bytes, random, now] = await driven;
  assert.deepEqual([first, second, bytes, random], [done(1), done(2), new Uint8Array(5), 70_000]);
  assert.ok(Math.abs(Date.now() - Number(now)) < 60_000);
  assert.deepEqual([read, written], [[5], [Uint8Array.of(9)]]);
});

Deno.test("drive() tells a program that it is given up where it stands, once, and lets it take back what it began (T1)", async () => {
  const manual = new Manual(), giveUp = new AbortController();
  const said: string[] = [];
  function* program(): Program<void> {
    const ticket = (yield { kind: "begin", op: op(1) }) as number;
    try {
      yield { kind: "wait", ticket };
    } catch (error) {
      assert.ok(error instanceof ObjectError && error.problem === "unavailable");
      said.push("given up");
      const response = yield { kind: "wait", ticket: (yield { kind: "begin", op: op(2) }) as number };
      assert.deepEqual(response, done(2));
      said.push("taken back");
      throw error;
    }
  }
  const driven = drive(program(), { requests: manual, signal: giveUp.signal });
  await turn();
  giveUp.abort();
  await turn();
  assert.deepEqual(said, ["given up"]);
  manual.asked[1]!.answer(done(2));
  await assert.rejects(driven, (error) => error instanceof ObjectError && error.problem === "unavailable");
  assert.deepEqual(said, ["given up", "taken back"]);
});

Deno.test("drive() gives up at the first wait what was given up before", async () => {
  let asked = 0;
  function* program(): Program<void> {
    yield { kind: "wait", ticket: (yield { kind: "begin", op: op(1) }) as number };
  }
  const requests = { request: () => (asked++, new Promise<Response>(() => {})) };
  await assert.rejects(drive(program(), { requests, signal: AbortSignal.abort() }), /given up/);
  assert.equal(asked, 1);
});

Deno.test("drive() hands what breaks a body to the program, and what the program throws to the caller", async () => {
  const broken = new Error("The cable was cut");
  let cleaned = false;
  function* program(): Program<void> {
    try {
      yield { kind: "read", bytes: 1 };
    } finally {
      cleaned = true;
    }
  }
  const source = { read: () => Promise.reject(broken) };
  await assert.rejects(drive(program(), { requests: new Manual(), source }), (error) => error === broken);
  assert.ok(cleaned);
  // deno-lint-ignore require-yield
  function* failing(): Program<void> {
    throw new ObjectError("damaged", "It is not what was written");
  }
  await assert.rejects(drive(failing(), { requests: new Manual() }), { problem: "damaged" });
});

Deno.test("drive() keeps nothing of a signal that lasts longer than the program", async () => {
  const { signal } = new AbortController();
  let listening = 0;
  const add = signal.addEventListener.bind(signal), remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...given: Parameters<typeof add>) => (listening++, add(...given));
  signal.removeEventListener = (...given: Parameters<typeof remove>) => (listening--, remove(...given));
  function* program(): Program<number> {
    yield { kind: "sleep", ms: 0 };
    return 7;
  }
  assert.equal(await drive(program(), { requests: new Manual(), signal }), 7);
  assert.equal(listening, 0);
});
