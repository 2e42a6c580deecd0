import assert from "node:assert/strict";
import type { Input } from "../../core/wire/kernel.ts";
import type { Power } from "../../sim/machine.ts";
import { Run, type RunResult } from "../../sim/run.ts";
import type { ScenarioInput } from "../../sim/scenario.ts";
import { smallScenario, STARS } from "./scenarios.ts";

type FaultInput = NonNullable<ScenarioInput["faults"]>[number];

interface Seen {
  readonly result: RunResult;
  /** Why machines stopped, each time. */
  readonly halts: readonly Power[];
  readonly inputs: ReadonlyMap<Input["kind"], number>;
  readonly tablesLost: number;
  /** Ids of machines that run at the end. */
  readonly running: readonly string[];
}

/** Short logs and small checkpoints, so that a replica whose tables are lost cannot begin from its log alone. */
const SMALL: Partial<ScenarioInput> = {
  duration: "12s",
  cluster: {
    start: 5,
    settings: { partitions: 4, grace: "2s" },
    tuning: {
      journalBytesPerCheckpoint: 20_000,
      checkpointEntriesKept: 10,
      logEntriesMax: 200,
      logEntriesKept: 20,
      snapshotChunkBytesMax: 2000,
    },
  },
};

function runWith(faults: readonly FaultInput[], more: Partial<ScenarioInput> = {}, seed = 1): Seen {
  const halts: Power[] = [], inputs = new Map<Input["kind"], number>();
  let tablesLost = 0;
  const run = new Run({
    scenario: smallScenario({ ...SMALL, ...more, faults: [...faults] }),
    stars: STARS,
    seed,
    tracer: (_machine, { kind }) => inputs.set(kind, (inputs.get(kind) ?? 0) + 1),
  });
  run.world.observe({
    halted: ({ power }) => halts.push(power),
    readBack: (_machine, state) => {
      if (state.kind === "whole" && state.tablesLost) tablesLost++;
    },
  });
  const result = run.run();
  const running = run.world.machines.filter((machine) => machine.running).map(({ id }) => id as string)
    .sort();
  return { result, halts, inputs, tablesLost, running };
}

function failures({ result }: Seen): string[] {
  return result.checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
}

for (const fault of ["rot", "misdirect", "lost-write"] as const) {
  Deno.test(`${fault}: the node finds its journal damaged when it starts again, and another takes its place`, () => {
    const seen = runWith([{ do: fault, at: "3s", node: "star-1", crash: "1s", for: "500ms" }]);
    assert.deepEqual(failures(seen), []);
    assert.deepEqual(seen.result.faults, [[fault, 1]]);
    assert.deepEqual(seen.halts, ["crashed"]);
    assert.deepEqual(seen.running, ["star-0", "star-1.2", "star-2", "star-3", "star-4"]);
  });
}

Deno.test("rot of tables: they are set aside, and the replicas get their state from the others", () => {
  const seen = runWith([{ do: "rot", of: "tables", at: "8s", node: "star-1", crash: "1s", for: "500ms" }]);
  assert.deepEqual(failures(seen), []);
  assert.equal(seen.tablesLost, 1);
  assert.deepEqual(seen.running, ["star-0", "star-1", "star-2", "star-3", "star-4"]);
  assert.ok(seen.result.sometimes.includes("hollow replica rebuilt"), seen.result.sometimes.join(", "));
});

Deno.test("lose-disk: the machine is gone at once, and another joins under a new id", () => {
  const seen = runWith([{ do: "lose-disk", at: "3s", node: "star-2" }]);
  assert.deepEqual(failures(seen), []);
  assert.deepEqual(seen.halts, ["lost"]);
  assert.deepEqual(seen.running, ["star-0", "star-1", "star-2.2", "star-3", "star-4"]);
});

Deno.test("full: the node is told that room is short, then stops, and is back when there is room again", () => {
  const seen = runWith([{ do: "full", at: "3s", count: 2, room: 8_000, for: "5s" }]);
  assert.deepEqual(failures(seen), []);
  assert.ok((seen.inputs.get("space") ?? 0) > 0);
  assert.ok(seen.halts.length > 0 && seen.halts.every((power) => power === "down"), seen.halts.join());
  assert.equal(seen.running.length, 5);
});

Deno.test("slow-disk: answers wait for it", () => {
  const p50 = ({ result }: Seen) => result.clients.latencyUs!.p50;
  const slow = runWith([{ do: "slow-disk", at: "0", share: 1, by: "100ms" }]);
  assert.deepEqual(failures(slow), []);
  assert.ok(p50(slow) > 2 * p50(runWith([])), `${p50(slow)} us`);
});

Deno.test("sync-fails: the node is down, acknowledged nothing of it, and starts again from its disk", () => {
  const seen = runWith([{ do: "sync-fails", every: "1s", for: "300ms..900ms" }]);
  assert.deepEqual(failures(seen), []);
  assert.ok(seen.halts.length > 5 && seen.halts.every((power) => power === "down"));
  assert.equal(seen.running.length, 5);
});

Deno.test("budget quorum: damage to all at once strikes no more than can be repaired", () => {
  const seen = runWith([{ do: "lose-disk", at: "3s", share: 1 }, {
    do: "crash",
    at: "9s",
    share: 1,
    forever: true,
  }]);
  assert.deepEqual(failures(seen), []);
  const lost = seen.halts.filter((power) => power === "lost").length;
  assert.ok(lost >= 1 && lost <= 2, `${lost} were lost`);
});

Deno.test("budget none: what cannot be repaired is refused, and nothing that is answered is wrong", () => {
  const faults: FaultInput[] = [
    { do: "lose-disk", at: "4s", share: "3/5" },
    { do: "rot", at: "6s", of: "tables", share: 1, crash: "0s..1s" },
  ];
  const seen = runWith(faults, { budget: "none", converge: "5s" });
  assert.deepEqual(failures(seen), []);
  assert.ok(seen.halts.filter((power) => power === "lost").length >= 3);
  const names = seen.result.checks.map(({ name }) => name);
  assert.ok(names.includes("linearizability") && names.includes("no acknowledged write lost"));
  assert.ok(!names.includes("converged"));
  // With three of five gone for good no partition of three has all it needs: someone was left without an answer.
  assert.ok(seen.result.clients.refusals.length > 0);
});

Deno.test("Run with damaged disks gives the same digest through the full codec", () => {
  const scenario = smallScenario({
    ...SMALL,
    faults: [
      { do: "rot", every: "3s", crash: "0s..1s" },
      { do: "rot", of: "tables", every: "5s", crash: "0s..1s" },
      { do: "full", at: "6s", room: 20_000, for: "2s" },
      { do: "sync-fails", every: "4s" },
    ],
  });
  const digests = [false, true].map((fullCodec) =>
    new Run({ scenario, stars: STARS, seed: 9, fullCodec }).run().digest
  );
  assert.equal(digests[0], digests[1]);
});
