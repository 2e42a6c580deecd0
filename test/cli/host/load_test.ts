/** Overload: turns between clients, what waits too long, buckets, and what all clients together hold. */
import assert from "node:assert/strict";
import { partitionId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { type ClientRequestFrame, decodeResponses, encodeRequests } from "../../../core/wire/codec.ts";
import { FrameReader } from "../../../core/wire/framing.ts";
import type { Response } from "../../../core/wire/requests.ts";
import { ClientLink, type ClientSocket } from "../../../cli/host/client_link.ts";
import { ClientMemory, QUEUE_MS_MAX, type Requester, TokenBucket, Turns } from "../../../cli/host/load.ts";

const GET = { op: { kind: "get", key: "k", read: "stale" } } as const;

/** A clock, a node that takes `costMs` a request, and links to it. */
class Bench {
  now = 0;
  costMs = 0;
  /** It answers nothing. */
  silent = false;
  readonly counted = new Map<string, number>();
  readonly count = (name: string, by = 1) => void this.counted.set(name, (this.counted.get(name) ?? 0) + by);
  readonly turns = new Turns(this.count, () => this.now);
  readonly served: { client: number; id: number }[] = [];

  link(client: number) {
    const reader = new FrameReader();
    const answers: { id: number; response: Response }[] = [];
    const state = { paused: false, broken: null as Error | null, waitingBytes: 0 };
    const socket: ClientSocket = {
      get waitingBytes() {
        return state.waitingBytes;
      },
      heldBytes: 0,
      pause: () => state.paused = true,
      resume: () => state.paused = false,
      send: (bytes) => reader.push(bytes).forEach((payload) => answers.push(...decodeResponses(payload))),
      close() {},
      destroy() {},
      breakOff: (error) => state.broken = error,
    };
    const link = new ClientLink({
      client,
      socket,
      hand: (requests) => {
        for (const { id } of requests) {
          this.now += this.costMs;
          this.served.push({ client, id });
          if (!this.silent) link.reply(id, { kind: "done", version: 0 });
        }
      },
      turns: this.turns,
      memory: { share: LIMITS.clientQueueBytesMax },
      count: this.count,
      clock: () => this.now,
    });
    return { link, state, answers };
  }
}

function requests(count: number, from = 0): Uint8Array {
  const frames: ClientRequestFrame[] = [];
  for (let i = 0; i < count; i++) frames.push({ id: from + i, request: GET });
  return encodeRequests(frames);
}
const CHUNK: Response = { kind: "chunk", bytes: new Uint8Array(1024 * 1024) };
const pass = () => new Promise<void>((done) => setImmediate(done));

Deno.test("Turns: one client with very many requests does not hold up one with few (O1)", async () => {
  const bench = new Bench();
  bench.costMs = 0.1;
  const greedy = bench.link(1), modest = bench.link(2);
  for (let i = 0; i < 10; i++) greedy.link.receive([requests(1000, i * 1000)]);
  await pass();
  const before = bench.served.length;
  modest.link.receive([requests(3)]);
  while (!bench.served.some(({ client }) => client === 2)) await pass();
  const waited = bench.served.findIndex(({ client }) => client === 2) - before;
  assert(waited <= 512, `${waited} requests came before`);
  bench.turns.close();
});

Deno.test("Turns: passes that take long take fewer requests, and short ones more (O2)", async () => {
  const bench = new Bench();
  const perPass = () => new Map(bench.turns.counters()).get("requests taken in one pass at most")!;
  const { link } = bench.link(1);
  const first = perPass();
  bench.costMs = 1;
  for (let i = 0; i < 20; i++) {
    link.receive([requests(200, i * 200)]);
    link.flush();
    link.proceed();
    await pass();
  }
  const loaded = perPass();
  assert(loaded < first / 2, `${loaded} of ${first}`);
  bench.costMs = 0.0001;
  link.receive(Array.from({ length: 10 }, (_, i) => requests(2000, i * 2000)));
  for (let i = 0; i < 100; i++) {
    link.flush();
    link.proceed();
    await pass();
  }
  assert(perPass() > loaded * 2, `${perPass()} after ${loaded}`);
  bench.turns.close();
  link.gone();
});

Deno.test("Turns: what waits for its turn for too long is answered busy, and everything is answered once (O3)", async () => {
  const bench = new Bench();
  bench.costMs = 2;
  const links = Array.from({ length: 20 }, (_, i) => bench.link(i));
  for (const { link } of links) link.receive([requests(500)]);
  const answered = () => links.reduce((sum, { answers }) => sum + answers.length, 0);
  for (let i = 0; i < 2000 && answered() < 20 * 500; i++) {
    await pass();
    for (const { link } of links) {
      link.flush();
      link.proceed();
    }
    bench.now += 0.5;
  }
  for (const { answers } of links) {
    assert.deepEqual(
      answers.map(({ id }) => id).sort((a, b) => a - b),
      Array.from({ length: 500 }, (_, i) => i),
    );
  }
  const busy = links.flatMap(({ answers }) => answers).filter(({ response }) => response.kind === "refused");
  assert.equal(busy.length, bench.counted.get("requests refused: busy"));
  assert(busy.length > 0 && bench.served.length > 0);
  assert(busy.every(({ response }) => response.kind === "refused" && response.reason === "busy"));
  for (const { link, state } of links) {
    assert.equal(state.paused, false);
    link.gone();
  }
  bench.turns.close();
});

Deno.test("ClientLink: what waits for the client's own room is not refused as busy", async () => {
  const bench = new Bench();
  const { link, state, answers } = bench.link(1);
  state.waitingBytes = LIMITS.clientQueueBytesMax;
  link.receive([requests(10)]);
  await pass();
  assert(state.paused);
  bench.now += 10 * QUEUE_MS_MAX;
  state.waitingBytes = 0;
  link.proceed();
  for (let i = 0; i < 5; i++) await pass();
  link.flush();
  assert.deepEqual(answers.map(({ response }) => response.kind), Array(10).fill("done"));
  assert.equal(state.paused, false);
  bench.turns.close();
});

const MiB = 1024 * 1024;
const SEGMENT = { partition: partitionId(1), segment: "0".repeat(32) };
const SCHEME = { kind: "replicated", copies: 3 } as const;
const chunk = (kind: "put" | "get", id: number): Uint8Array => {
  const place = { segment: SEGMENT, chunk: id, scheme: SCHEME };
  const op = kind === "put"
    ? { kind: "chunk-put", ...place, token: new Uint8Array(64), bytes: new Uint8Array(MiB) } as const
    : { kind: "chunk-get", ...place, length: MiB, attempt: 0 } as const;
  return encodeRequests([{ id, request: { op } }]);
};

for (const kind of ["put", "get"] as const) {
  Deno.test(`ClientLink: chunks of 1 MiB that a client ${kind}s are bounded by their bytes before they are answered (C2)`, async () => {
    const bench = new Bench();
    bench.silent = true;
    const { link, state } = bench.link(1);
    const wait = async () => {
      for (let i = 0; i < 40; i++) await pass();
    };
    link.receive(Array.from({ length: 40 }, (_, id) => chunk(kind, id)));
    await wait();
    const underWay = LIMITS.clientQueueBytesMax / MiB;
    assert.equal(bench.served.length, underWay);
    assert(state.paused, "it is not read from while some wait");
    assert(link.heldBytes >= LIMITS.clientQueueBytesMax);
    assert.equal(
      new Map(bench.turns.counters()).get("requests under way"),
      0,
      "they have no part of the window",
    );
    const bytes = kind === "put" ? 0 : MiB;
    for (let id = 0; id < 4; id++) {
      link.reply(id, bytes === 0 ? { kind: "stored", fragments: 3, wanted: 3 } : CHUNK);
    }
    // The client takes none of its answers: they count as long as they wait.
    state.waitingBytes = 4 * bytes;
    link.flush();
    link.proceed();
    await wait();
    assert.equal(bench.served.length, underWay + (bytes === 0 ? 4 : 0));
    state.waitingBytes = 0;
    link.proceed();
    await wait();
    assert.equal(bench.served.length, underWay + 4);
    link.gone();
    bench.turns.close();
  });
}

Deno.test("Turns: who puts chunks takes as much of a pass as who asks for many small things (O1)", async () => {
  const bench = new Bench();
  const greedy = bench.link(1), modest = bench.link(2);
  greedy.link.receive(Array.from({ length: 14 }, (_, id) => chunk("put", id)));
  const before = bench.served.length;
  modest.link.receive([requests(3)]);
  while (!bench.served.some(({ client }) => client === 2)) await pass();
  const waited = bench.served.findIndex(({ client }) => client === 2) - before;
  assert(waited <= 8, `${waited} chunks came before`);
  while (bench.served.length < 17) await pass();
  bench.turns.close();
});

Deno.test("ClientLink: a frame that makes no sense ends the connection, and one request that does not is answered", async () => {
  const bench = new Bench();
  const good = bench.link(1), bad = bench.link(2);
  const damaged = requests(3).slice();
  damaged[damaged.length - 1] = 0xff;
  good.link.receive([requests(2), damaged]);
  await pass();
  good.link.flush();
  assert.deepEqual(good.answers.map(({ id, response }) => [id, response.kind]), [
    [0, "refused"],
    [1, "refused"],
    [2, "refused"],
    [0, "done"],
    [1, "done"],
  ]);
  assert.equal(bench.counted.get("frames refused"), 1);
  bad.link.receive([Uint8Array.of(0xff)]);
  await pass();
  assert.match(bad.state.broken!.message, /0xff/);
  bench.turns.close();
});

Deno.test("TokenBucket: gives what its rate allows, and a busy answer costs more than an answer (O4)", () => {
  const bucket = new TokenBucket(0);
  let given = 0;
  for (let now = 0; now <= 10_000; now++) {
    const free = bucket.available(now);
    bucket.take(free);
    given += free;
  }
  assert.equal(given, 50_000 + 10 * 50_000);
  bucket.refused(1250);
  assert.equal(bucket.available(10_001), 0);
  assert(bucket.waitMs > 4000 && bucket.waitMs < 6000, `${bucket.waitMs}`);
});

Deno.test("ClientMemory: shares shrink as clients hold more, and past the bound the largest goes (O5)", () => {
  const counted: string[] = [];
  const MiB = 1024 * 1024;
  const memory = new ClientMemory((name) => counted.push(name), 384 * MiB);
  const cut: number[] = [];
  const holders = Array.from({ length: 100 }, (_, i) => ({
    heldBytes: 0,
    cutOff() {
      cut.push(i);
      memory.delete(this);
    },
  }));
  for (const holder of holders) memory.add(holder);
  memory.look();
  assert.equal(memory.share, LIMITS.clientQueueBytesMax);
  for (const holder of holders) holder.heldBytes = 3 * MiB;
  memory.look();
  assert(memory.share < 2 * MiB && memory.share > MiB);
  assert.equal(memory.full, true);
  assert.deepEqual(cut, []);
  holders[7]!.heldBytes = 80 * MiB;
  holders[9]!.heldBytes = 60 * MiB;
  memory.look();
  assert.deepEqual(cut, [7]);
  assert.deepEqual(counted, ["clients cut off: memory"]);
  memory.close();
});

Deno.test("Turns: a client that has gone is not served any more", async () => {
  const turns = new Turns(() => {});
  let served = 0;
  const endless: Requester = {
    kind: "client",
    ready: true,
    get since() {
      return performance.now();
    },
    serve: (most) => {
      served++;
      return most;
    },
    refuse: () => 0,
  };
  turns.ready(endless);
  await pass();
  await pass();
  turns.gone(endless);
  const then = served;
  await pass();
  await pass();
  assert(then > 0);
  assert.equal(served, then);
  turns.close();
});
