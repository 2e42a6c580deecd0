/** The journal is bounded while writes go on, however long checkpoints take and however often nodes start anew (N4). */
import assert from "node:assert/strict";
import { nodeId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import type { JournalRecord } from "../../../core/wire/kernel.ts";
import type { Op } from "../../../core/wire/requests.ts";
import { Network } from "./network.ts";

const PER_CHECKPOINT = 64 * 1024;
const VALUE_BYTES = 1000;
const tuning = { journalBytesPerCheckpoint: PER_CHECKPOINT, checkpointEntriesKept: 4 };
/** What one step of a node may add before it notices. */
const STEP_BYTES = 8 * 1024;
const put = (i: number): Op => ({ kind: "put", key: `k${i % 8}`, value: new Uint8Array(VALUE_BYTES) });

function bytesOf(records: readonly JournalRecord[]): number {
  let bytes = 0;
  for (const record of records) {
    if (record.kind !== "entries") continue;
    for (const { data } of record.entries) bytes += data.length;
  }
  return bytes;
}

/** Checkpoints that `name` began and finished so far. */
function checkpoints(network: Network, name: string): { begun: number; done: number } {
  const notes = network.notes.flatMap(({ node, note }) =>
    node === name && note.kind === "checkpoint" ? [note.done] : []
  );
  return { begun: notes.filter((done) => !done).length, done: notes.filter((done) => done).length };
}

Deno.test("Node answers busy while its journal is full and a checkpoint under way, and goes on afterwards (N4)", () => {
  const network = new Network(["Alnilam"], { replicas: 1 }, tuning);
  network.settle();
  network.checkpointUs = 60_000_000;
  const before = checkpoints(network, "Alnilam");
  let written = 0, answer = network.ask("Alnilam", put(0));
  for (let i = 1; answer.kind === "written" && i < 1000; i++) {
    written += VALUE_BYTES;
    answer = network.ask("Alnilam", put(i));
  }
  assert.deepEqual([answer.kind, answer.kind === "refused" && answer.reason], ["refused", "busy"]);
  assert.equal(checkpoints(network, "Alnilam").begun, before.begun + 1);
  assert.ok(written <= LIMITS.journalBacklogMax * PER_CHECKPOINT + STEP_BYTES, `${written}`);
  assert.ok(written > (LIMITS.journalBacklogMax - 1) * PER_CHECKPOINT, `${written}: it could take more`);
  assert.equal(network.ask("Alnilam", { kind: "get", key: "k1", read: "linearizable" }).kind, "value");
  network.until(() => network.ask("Alnilam", put(0)).kind === "written", 120_000_000, "Writes go on");
});

Deno.test("Node takes no entries of leaders while its journal is full, and all of them afterwards (N4)", () => {
  const names = ["Alnilam", "Bellatrix", "Capella"];
  const network = new Network(names, {}, tuning);
  network.settle();
  // Its checkpoints alone take long: the others are a majority, and write on.
  network.checkpointUsOf.set("Capella", 40_000_000);
  let held = 0, accepted = 0;
  const began = checkpoints(network, "Capella");
  for (let i = 0; i < 600; i++) {
    if (network.ask("Alnilam", put(i)).kind === "written") accepted++;
    held = Math.max(held, bytesOf(network.disk("Capella").records));
  }
  assert.equal(checkpoints(network, "Capella").begun, began.begun + 1);
  assert.ok(accepted * VALUE_BYTES > 4 * PER_CHECKPOINT, `${accepted} writes were accepted`);
  assert.ok(held <= LIMITS.journalBacklogMax * PER_CHECKPOINT + STEP_BYTES, `${held} bytes of entries`);
  network.checkpointUsOf.clear();
  network.run(60_000_000);
  const digests = names.map((name) =>
    network.node(name).replicas().map(({ catalog, system }) => (catalog ?? system)!.stateDigest())
  );
  assert.deepEqual(digests[2], digests[0]);
});

Deno.test("Node that starts anew again and again before its journal is due for a checkpoint begins one all the same (N4)", () => {
  const network = new Network(["Alnilam"], { replicas: 1 }, tuning);
  network.settle();
  for (let life = 0; life < 12; life++) {
    for (let i = 0; i * VALUE_BYTES < PER_CHECKPOINT / 2; i++) {
      assert.equal(network.ask("Alnilam", put(i)).kind, "written");
    }
    network.run(1_000_000);
    const bytes = bytesOf(network.disk("Alnilam").records);
    assert.ok(bytes <= 1.5 * PER_CHECKPOINT, `Life ${life} leaves ${bytes} bytes of entries`);
    network.restart("Alnilam");
    network.settle();
  }
});

Deno.test("Node begins a checkpoint when its host wants one, though it has nothing to do, and another after the one under way", () => {
  const network = new Network(["Alnilam"], { replicas: 1 }, tuning);
  network.settle();
  network.run(5_000_000);
  const idle = checkpoints(network, "Alnilam");
  network.step(nodeId("Alnilam"), { kind: "checkpoint" });
  network.run(1_000_000);
  assert.deepEqual(checkpoints(network, "Alnilam"), { begun: idle.begun + 1, done: idle.done + 1 });
  network.checkpointUs = 2_000_000;
  network.step(nodeId("Alnilam"), { kind: "checkpoint" });
  network.step(nodeId("Alnilam"), { kind: "checkpoint" });
  assert.deepEqual(checkpoints(network, "Alnilam"), { begun: idle.begun + 2, done: idle.done + 1 });
  network.run(10_000_000);
  assert.deepEqual(checkpoints(network, "Alnilam"), { begun: idle.begun + 3, done: idle.done + 3 });
});
