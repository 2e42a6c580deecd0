/** In which order what a turn asks for leaves the host: N1 and N2 of cli/host/runner.ts. */
import assert from "node:assert/strict";
import { NEVER, nodeId, partitionId } from "../../../core/base/ids.ts";
import { Effects, type Input, type Kernel } from "../../../core/wire/kernel.ts";
import type { Message } from "../../../core/wire/messages.ts";
import type { ChunkOp } from "../../../core/wire/objects.ts";
import { Runner } from "../../../cli/host/runner.ts";

const PEER = nodeId("b");
const MESSAGE = {} as Message; // nobody looks into it

/** As it starts it has something written down, something to say now and something to say once it is written. */
class OneRecord implements Kernel {
  readonly #effects = new Effects();
  readonly seen: string[] = [];

  step(input: Input): Effects {
    this.#effects.clear();
    this.seen.push(input.kind);
    if (input.kind !== "start") return this.#effects;
    this.#effects.persist.push({ kind: "peers", incarnation: 1, peers: [] });
    this.#effects.persistedUpTo = 1;
    this.#effects.sendNow.push({ to: PEER, message: MESSAGE });
    this.#effects.sendAfterPersist.push({ to: PEER, message: MESSAGE });
    return this.#effects;
  }
  nextWake() {
    return NEVER;
  }
  fingerprint(): number {
    return 0;
  }
}

/** What happened, in order, where messages leave at once or, as under TLS, when the event loop goes on. */
async function ranWith({ later }: { later: boolean }): Promise<string[]> {
  const log: string[] = [], kernel = new OneRecord(), never = () => assert.fail();
  let queued = 0, written = 0;
  const runner: Runner = new Runner({
    journal: {
      append: () => written++,
      commit: () => {
        if (written === 0) return;
        written = 0;
        log.push("synced");
        runner.durable(1);
      },
      rotate: never,
      finishCheckpoint: never,
    },
    tables: { endStep: () => {}, durable: () => {}, checkpoint: never },
    chunks: { take: never },
    transport: {
      send: () => queued++,
      reply: never,
      flush: () => {
        if (queued === 0) return false;
        queued = 0;
        if (later) queueMicrotask(() => log.push("left"));
        else log.push("left");
        return later;
      },
    },
    status: never,
    committed: () => {},
    noted: never,
    keyOffered: never,
    makeKey: never,
    audit: never,
    stopped: never,
    failed: (error) => assert.fail(error),
  });
  runner.start(kernel);
  for (let i = 0; i < 5; i++) await new Promise((done) => setImmediate(done));
  runner.kill();
  assert.deepEqual(kernel.seen, ["start", "persisted"]);
  return log;
}

for (const later of [false, true]) {
  const how = later ? "when the event loop goes on" : "at once";
  Deno.test(`N1: what leaves ${how} has left before the journal is synced, and N2: the rest leaves after`, async () => {
    assert.deepEqual(await ranWith({ later }), ["left", "synced", "left"]);
  });
}

/** As it starts it reads ten fragments; it notes what it is told of them, a step each. */
class TenReads implements Kernel {
  readonly #effects = new Effects();
  readonly told: number[][] = [];

  step(input: Input): Effects {
    this.#effects.clear();
    if (input.kind === "chunks") this.told.push(input.results.map(({ op }) => op));
    if (input.kind !== "start") return this.#effects;
    for (let op = 0; op < 10; op++) {
      const fragment = { partition: partitionId(1), segment: "0".repeat(32), chunk: op, index: 0 };
      this.#effects.chunkOps.push({ kind: "read", op, fragment });
    }
    return this.#effects;
  }
  nextWake() {
    return NEVER;
  }
  fingerprint(): number {
    return 0;
  }
}

Deno.test("N4: what came of operations goes in together, but no more than 2 MiB of it in one step, and none after the end", async () => {
  const kernel = new TenReads(), never = () => assert.fail(), asked: ChunkOp[] = [];
  const runner = new Runner({
    journal: { append: never, commit: () => {}, rotate: never, finishCheckpoint: never },
    tables: { endStep: () => {}, durable: () => {}, checkpoint: never },
    chunks: { take: (op) => asked.push(op) },
    transport: { send: never, reply: never, flush: () => false },
    status: never,
    committed: () => {},
    noted: never,
    keyOffered: never,
    makeKey: never,
    audit: never,
    stopped: never,
    failed: (error) => assert.fail(error),
  });
  const turn = () => new Promise((done) => setImmediate(done));
  runner.start(kernel);
  assert.deepEqual(asked.map(({ op }) => op), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const bytes = new Uint8Array(1024 * 1024);
  for (const { op } of asked.slice(0, 5)) runner.chunkResult({ kind: "read", op, bytes });
  for (const { op } of asked.slice(5, 9)) runner.chunkResult({ kind: "read", op, bytes: null });
  assert.deepEqual(kernel.told, [], "nothing within the call");
  for (let i = 0; i < 5; i++) await turn();
  assert.deepEqual(kernel.told, [[0, 1], [2, 3], [4, 5, 6, 7, 8]]);
  runner.kill();
  runner.chunkResult({ kind: "read", op: 9, bytes });
  for (let i = 0; i < 5; i++) await turn();
  assert.equal(kernel.told.length, 3);
});
