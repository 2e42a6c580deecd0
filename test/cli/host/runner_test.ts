/** In which order what a turn asks for leaves the host: N1 and N2 of cli/host/runner.ts. */
import assert from "node:assert/strict";
import { NEVER, nodeId } from "../../../core/base/ids.ts";
import { Effects, type Input, type Kernel } from "../../../core/wire/kernel.ts";
import type { Message } from "../../../core/wire/messages.ts";
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
