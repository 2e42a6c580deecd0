/** How many requests a node works on at once (F1 to F3), and turns of what peers forward (O6). */
import assert from "node:assert/strict";
import { nodeId } from "../../../core/base/ids.ts";
import type { MessageOf } from "../../../core/wire/messages.ts";
import { QUEUE_MS_MAX, Turns } from "../../../cli/host/load.ts";
import { type Forward, PeerRequests, waitsForTurn } from "../../../cli/host/peer_requests.ts";
import { Window } from "../../../cli/host/window.ts";

const forward = (id: number): Forward => ({
  kind: "forward",
  id,
  hops: 1,
  request: { op: { kind: "get", key: "k", read: "stale" } },
});
const pass = () => new Promise<void>((done) => setImmediate(done));

/** Fills the window and has all answered `latency` later, over and over. Returns when that was done. */
function saturate(window: Window, { from, rounds, latency }: Record<"from" | "rounds" | "latency", number>) {
  let now = from;
  for (let i = 0; i < rounds; i++) {
    const began = now, requests = window.room(now);
    window.begin(requests, now);
    assert.equal(window.room(now), 0);
    now += latency;
    for (let k = 0; k < requests; k++) window.answered(began, now);
  }
  return now;
}

Deno.test("Window: shrinks where answers take long, to a least size, and grows where they are quick (F2)", () => {
  const window = new Window();
  const first = window.size;
  let now = saturate(window, { from: 1000, rounds: 1, latency: 200 });
  assert(window.size < first);
  now = saturate(window, { from: now, rounds: 20, latency: 400 });
  assert.equal(window.size, 256);
  now = saturate(window, { from: now, rounds: 400, latency: 10 });
  assert.equal(window.size, 16_384);
  assert.equal(window.inFlight, 0);
  // What did not need the room it has gets no more.
  const calm = new Window();
  for (let at = 0; at < 10_000; at += 10) {
    calm.begin(1, at);
    calm.answered(at, at + 5);
  }
  assert.equal(calm.size, first);
});

Deno.test("Window: what has no answer for long no longer counts, and its late answer changes nothing (F3)", () => {
  const window = new Window();
  window.begin(window.room(100), 100);
  assert.equal(window.room(900), 0);
  assert.equal(window.room(1600), window.size);
  window.begin(7, 1700);
  window.drop(100, 1700);
  window.answered(100, 1700);
  assert.equal(window.inFlight, 7);
  for (let i = 0; i < 7; i++) window.drop(1700, 1800);
  assert.equal(window.inFlight, 0);
});

Deno.test("Turns: clients wait where the window is full, and go on as answers come (F1)", async () => {
  let now = 0;
  const turns = new Turns(() => {}, () => now);
  let left = 5000, served = 0;
  const client = {
    kind: "client",
    get ready() {
      return left > 0;
    },
    since: 0,
    serve(most: number) {
      const taken = Math.min(most, left);
      left -= taken;
      served += taken;
      turns.taken(taken, now);
      return taken;
    },
    refuse: () => 0,
  } as const;
  turns.ready(client);
  for (let i = 0; i < 200; i++) await pass();
  assert.equal(served, 1024);
  for (let i = 0; i < 100; i++) turns.answered(0, now, true);
  for (let i = 0; i < 20; i++) await pass();
  assert.equal(served, 1124);
  now += 1;
  turns.close();
});

Deno.test("PeerRequests: have turns though the window is full, and are told busy where they waited (O6)", async () => {
  let now = 0;
  const counted = new Map<string, number>();
  const turns = new Turns((name, by = 1) => counted.set(name, (counted.get(name) ?? 0) + by), () => now);
  turns.taken(100_000, now);
  const handed: number[] = [];
  const answers: MessageOf<"forward-reply">[] = [];
  let costMs = 0;
  const requests = new PeerRequests({
    hand: (forwards) => {
      now += costMs * forwards.length;
      handed.push(...forwards.map(({ id }) => id));
    },
    answer: (reply) => answers.push(reply),
    turns,
    clock: () => now,
  });
  const ids = Array.from({ length: 10_000 }, (_, id) => id);
  requests.receive(ids.map(forward));
  assert(handed.length < 500, "not all at once");
  while (requests.ready) await pass();
  assert.deepEqual(handed, ids);
  costMs = 5;
  handed.length = 0;
  requests.receive(ids.map(forward));
  while (requests.ready) await pass();
  assert.deepEqual([...handed, ...answers.map(({ id }) => id)].sort((a, b) => a - b), ids);
  assert.equal(counted.get("requests refused: busy"), answers.length);
  for (const { response } of answers) {
    assert(response.kind === "refused" && response.reason === "busy");
    assert.equal(response.retryAfterMs, QUEUE_MS_MAX);
  }
  turns.close();
});

Deno.test("what keeps the network going waits for no turn", () => {
  assert.equal(waitsForTurn(forward(1)), true);
  assert.equal(waitsForTurn({ kind: "ping" }), false);
  const op = { kind: "evict", node: nodeId("a"), force: false } as const;
  const evict: Forward = { ...forward(1), request: { op } };
  assert.equal(waitsForTurn(evict), false);
});
