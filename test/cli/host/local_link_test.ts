import assert from "node:assert/strict";
import { LIMITS } from "../../../core/base/limits.ts";
import { partitionId } from "../../../core/base/ids.ts";
import type { ClientRequestFrame, ClientResponseFrame } from "../../../core/wire/codec.ts";
import type { Op } from "../../../core/wire/requests.ts";
import { QUEUE_MS_MAX, Turns } from "../../../cli/host/load.ts";
import { LocalLink } from "../../../cli/host/local_link.ts";

const small: Op = { kind: "get", key: "k", read: "linearizable" };
const chunk = (bytes: number): Op => ({
  kind: "chunk-put",
  segment: { partition: partitionId(1), segment: "0f".repeat(16) },
  chunk: 0,
  scheme: { kind: "replicated", copies: 1 },
  token: new Uint8Array(64),
  bytes: new Uint8Array(bytes),
});

/** A link whose turns are given by hand. */
function linkOf(share: number = LIMITS.clientQueueBytesMax) {
  const handed: number[] = [], answers: ClientResponseFrame[] = [], window = { taken: 0, answered: 0 };
  let now = 0, lost = 0;
  const link = new LocalLink({
    hand: (requests) => handed.push(...requests.map(({ id }) => id)),
    answers: (given) => answers.push(...given),
    lost: () => lost++,
    turns: {
      ready: () => {},
      gone: () => {},
      taken: (requests) => window.taken += requests,
      answered: () => window.answered++,
    },
    memory: { share },
    clock: () => now,
  });
  const send = (...ops: Op[]) =>
    link.send(ops.map((op, i): ClientRequestFrame => ({ id: i + 1, request: { op } })));
  return { link, handed, answers, window, send, lost: () => lost, pass: (ms: number) => now += ms };
}

Deno.test("LocalLink hands over what a turn allows, and what it takes is bounded (C2)", () => {
  const MiB = 1024 * 1024, { link, handed, send, window } = linkOf(3 * MiB);
  send(chunk(2 * MiB), chunk(2 * MiB), small);
  assert.equal(link.heldBytes, 4 * MiB);
  assert.equal(link.serve(1), 1);
  assert.deepEqual(handed, [3], "what asks for no chunk goes first");
  assert.ok(link.ready && link.serve(1) > 1, "a chunk counts for more than one");
  assert.deepEqual(handed, [3, 1]);
  assert.ok(!link.ready, "there is no room for the second");
  assert.equal(link.serve(100), 0);
  link.reply(1, { kind: "stored", fragments: 1, wanted: 1 });
  assert.ok(link.ready);
  link.serve(1000);
  assert.deepEqual(handed, [3, 1, 2]);
  assert.deepEqual(window, { taken: 1, answered: 0 }, "chunks are no part of the window");
  link.reply(3, { kind: "value", found: null, ageUs: 0 });
  assert.equal(window.answered, 1);
  assert.equal(link.heldBytes, 2 * MiB);
});

Deno.test("LocalLink takes what is larger than its bound alone", () => {
  const { link, handed, send } = linkOf(10);
  send(chunk(10_000), chunk(5000));
  link.serve(1000);
  assert.deepEqual(handed, [1]);
  assert.ok(!link.ready);
});

Deno.test("LocalLink answers busy to what waited too long for its turn, and not to what waited for room (O3)", () => {
  const { link, answers, send, pass } = linkOf();
  send(small, small);
  pass(QUEUE_MS_MAX);
  assert.equal(link.refuse(0), 2);
  assert.deepEqual(answers.map(({ id, response }) => [id, response.kind]), [[1, "refused"], [2, "refused"]]);
  const blocked = linkOf(10);
  blocked.send(chunk(10_000), chunk(10_000));
  blocked.link.serve(1);
  blocked.pass(QUEUE_MS_MAX);
  assert.equal(blocked.link.refuse(QUEUE_MS_MAX), 0);
  blocked.link.reply(1, { kind: "stored", fragments: 1, wanted: 1 });
  assert.equal(blocked.link.since, QUEUE_MS_MAX, "it begins to wait now");
});

Deno.test("LocalLink gives its answers together, and tells what was lost (H1)", () => {
  const { link, answers, send, window, lost } = linkOf();
  send(small, small, small);
  link.serve(100);
  assert.ok(link.reply(1, { kind: "done", version: 1 }));
  assert.ok(!link.reply(2, { kind: "done", version: 2 }), "something waits for flush() already");
  assert.deepEqual(answers, []);
  link.flush();
  assert.deepEqual(answers.map(({ id }) => id), [1, 2]);
  link.cutOff();
  assert.equal(lost(), 1);
  assert.deepEqual(window, { taken: 3, answered: 3 });
  assert.equal(link.heldBytes, 0);
  link.gone();
  link.cutOff();
  assert.equal(lost(), 1, "whoever has gone is told nothing");
});

Deno.test("LocalLink has its turn among others", async () => {
  const handed: number[] = [];
  const turns = new Turns(() => {});
  const link = new LocalLink({
    hand: (requests) => handed.push(...requests.map(({ id }) => id)),
    answers: () => {},
    lost: () => {},
    turns,
    memory: { share: LIMITS.clientQueueBytesMax },
  });
  try {
    link.send(Array.from({ length: 500 }, (_, i) => ({ id: i, request: { op: small } })));
    assert.ok(handed.length > 0 && handed.length < 500, `${handed.length} at once`);
    for (let i = 0; i < 100 && handed.length < 500; i++) await new Promise((done) => setTimeout(done, 5));
    assert.deepEqual(handed, Array.from({ length: 500 }, (_, i) => i));
  } finally {
    turns.close();
  }
});
