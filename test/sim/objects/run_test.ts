import assert from "node:assert/strict";
import type { Instant } from "../../../core/base/ids.ts";
import { Node } from "../../../core/node/node.ts";
import type { NodeOptions } from "../../../core/node/options.ts";
import type { Effects, Input } from "../../../core/wire/kernel.ts";
import type { ChunkOp } from "../../../core/wire/objects.ts";
import type { KeyValue } from "../../../core/wire/requests.ts";
import { compareRuns } from "../../../sim/replay.ts";
import { Run, type RunResult } from "../../../sim/run.ts";
import { type Scenario, type ScenarioInput, scenarioOf } from "../../../sim/scenario.ts";
import { parseSky } from "../../../sim/sky.ts";
import { resolveScenario } from "../../../sim/swarm.ts";
import type { KernelFactory } from "../../../sim/world.ts";
import { BrokenNode } from "../broken_node.ts";
import { smallScenario, STARS } from "../scenarios.ts";

/** What takes ten minutes or an hour in life takes seconds. */
const TUNING = { orphanAgeUs: 12_000_000, lookUs: 3_000_000, lookDelayUs: 300_000, scrubRestUs: 1_000_000 };
const OBJECTS = {
  clients: 4,
  every: "120ms",
  keys: 3,
  bytes: 2_000,
  chunk: 256,
  expiry: "8s",
  quiet: "40s",
  buckets: [
    { name: "copies", scheme: "3", versioning: "enabled" as const },
    { name: "stripes", scheme: "2+1" },
  ],
};

function scenario(more: Partial<ScenarioInput> = {}): Scenario {
  return smallScenario({
    duration: "12s",
    cluster: { start: 5, settings: { partitions: 4, grace: "3s" }, tuning: TUNING },
    workload: {},
    objects: OBJECTS,
    ...more,
  });
}

function failures(result: RunResult): string[] {
  return result.checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
}

const ROUGH: ScenarioInput["faults"] = [
  { do: "crash", rate: "3s", for: "500ms..3s", silent: "1/3" },
  { do: "fragment-rot", rate: "2s", fragments: 3 },
  { do: "fragment-stray", rate: "3s" },
  { do: "fragment-gone", rate: "2s", fragments: 3 },
  { do: "lose-disk", at: "5s" },
  { do: "read-errors", rate: "5s", for: "1s..2s" },
];

Deno.test("Run with objects through crashes, rot and losses holds every check", () => {
  const result = new Run({ scenario: scenario({ faults: ROUGH }), stars: STARS, seed: 3 }).run();
  assert.deepEqual(failures(result), []);
  assert.ok(result.objects !== null && result.objects.operations > 100);
  for (
    const name of [
      "rotten fragment found",
      "fragment fetched again",
      "fragment made again of others",
    ] as const
  ) {
    assert.ok(result.sometimes.includes(name), name);
  }
});

Deno.test("Run with objects of a private network holds every check", () => {
  const faults: ScenarioInput["faults"] = [{ do: "crash", rate: "3s", for: "1s..2s" }, {
    do: "rotate-keys",
    at: "4s",
  }];
  const result = new Run({ scenario: scenario({ faults, security: "private" }), stars: STARS, seed: 4 })
    .run();
  assert.deepEqual(failures(result), []);
});

Deno.test("Run with objects gives the same digest twice, and through the full codec", () => {
  const options = { scenario: scenario({ duration: "5s", faults: ROUGH }), stars: STARS, seed: 5 };
  assert.equal(compareRuns(options, options).kind, "equal");
  assert.equal(compareRuns(options, { ...options, fullCodec: true }).kind, "equal");
});

Deno.test("Run without a budget loses objects at most, and shows no wrong ones", () => {
  const faults: ScenarioInput["faults"] = [
    { do: "lose-fragments", rate: "1s", count: 2 },
    { do: "fragment-rot", rate: "500ms", fragments: 20, share: "1" },
  ];
  const result = new Run({ scenario: scenario({ budget: "none", faults }), stars: STARS, seed: 6 }).run();
  assert.deepEqual(failures(result), []);
  assert.ok((result.objects?.refusals.find(([reason]) => reason === "damaged")?.[1] ?? 0) > 0);
});

Deno.test("Run repairs what was there from the start with as little as must be moved", () => {
  const result = new Run({
    scenario: scenario({
      duration: "3s",
      objects: { ...OBJECTS, clients: 0, preload: { bytes: 2_000_000, chunk: 10_000, segment: 500_000 } },
      faults: [{ do: "crash", at: "1s", forever: true }],
    }),
    stars: STARS,
    seed: 7,
  }).run();
  assert.deepEqual(failures(result), []);
  const repair = result.objects?.repair;
  assert.ok(repair != null && repair.owed > 500_000 && repair.repairs > 50, JSON.stringify(repair));
});

Deno.test("Run repairs stripes of one of seven that is lost with as little as must be moved", () => {
  const result = new Run({
    scenario: scenario({
      duration: "3s",
      sky: { nodes: 7 },
      cluster: { start: 7, settings: { partitions: 4, grace: "3s" }, tuning: TUNING },
      objects: {
        ...OBJECTS,
        clients: 0,
        preload: { bytes: 4_000_000, chunk: 20_000, segment: 500_000, scheme: "4+2" },
      },
      faults: [{ do: "crash", at: "1s", forever: true }],
    }),
    stars: STARS,
    seed: 9,
  }).run();
  assert.deepEqual(failures(result), []);
  const repair = result.objects?.repair;
  assert.ok(repair != null && repair.repairs > 100, JSON.stringify(repair));
  // Each fragment that was lost is made of four others, and nothing else is moved.
  assert.ok(repair.owed > 4 * 5_000 * repair.repairs, JSON.stringify(repair));
  assert.ok(repair.moved <= 1.1 * repair.owed, JSON.stringify(repair));
});

Deno.test("who has a fragment whole does not let go of it for one that is rotten (seed 45 of swarm)", () => {
  const swarm = scenarioOf({
    name: "swarm",
    duration: "40s",
    settle: "60s",
    converge: "60s",
    sky: { nodes: 15 },
    swarm: {},
  });
  const stars = parseSky(Deno.readTextFileSync("fixtures/sky/bright.csv"));
  const result = new Run({ scenario: resolveScenario(swarm, 45), stars, seed: 45 }).run();
  assert.deepEqual(failures(result), []);
  assert.ok(result.sometimes.includes("rotten fragment found"));
});

// ---- each checker catches a machine that breaks its rule

/** The checks that did not hold with this kernel. */
function caught(kernel: KernelFactory, more: Partial<ScenarioInput> = {}, seed = 8): string[] {
  const result = new Run({ scenario: scenario(more), stars: STARS, seed, kernel }).run();
  return result.checks.filter(({ ok }) => !ok).map(({ name }) => name);
}

/** Rows of objects that this node has answered with, and what it makes of them. */
abstract class Forger extends BrokenNode {
  override step(input: Input, now: Instant): Effects {
    const effects = this.node.step(input, now);
    for (const [i, reply] of effects.replies.entries()) {
      const { response } = reply;
      if (response.kind !== "value" || !response.found?.key.startsWith("\u0001o")) continue;
      effects.replies[i] = { ...reply, response: { ...response, found: this.forge(response.found) } };
    }
    return effects;
  }
  abstract forge(found: KeyValue): KeyValue;
}

Deno.test("objects are what was written: a node that answers with another object's row is caught", () => {
  const last = new Map<string, KeyValue>();
  class Mixed extends Forger {
    override forge(found: KeyValue): KeyValue {
      const other = [...last.values()].find(({ key }) => key !== found.key);
      last.set(found.key, found);
      return other === undefined ? found : { ...found, value: other.value };
    }
  }
  assert.ok(caught((options) => new Mixed(options)).includes("objects are what was written"));
});

Deno.test("objects are linearizable: a node that answers with what an object was at first is caught", () => {
  const first = new Map<string, KeyValue>();
  class Stale extends Forger {
    override forge(found: KeyValue): KeyValue {
      if (!first.has(found.key)) first.set(found.key, found);
      return { ...found, value: first.get(found.key)!.value };
    }
  }
  // What is written rests on what was read, so little can be: the first to write is the last.
  const more = {
    objects: {
      ...OBJECTS,
      percent: { get: 60, delete: 0, remove: 0, copy: 0, multipart: 0 },
      crash: 0 as const,
    },
  };
  assert.ok(caught((options) => new Stale(options), more).includes("objects are linearizable"));
});

/** Changes what the node asks of its disk of fragments. */
function withDisk(change: (effects: Effects) => void): KernelFactory {
  class Careless extends BrokenNode {
    override step(input: Input, now: Instant): Effects {
      const effects = this.node.step(input, now);
      change(effects);
      return effects;
    }
  }
  return (options) => new Careless(options);
}

/** It is answered, and another file is written instead. */
function strayed(op: Extract<ChunkOp, { kind: "write" }>): ChunkOp {
  return { ...op, fragment: { ...op.fragment, chunk: 1_000_000 } };
}

Deno.test("no committed object lost: nodes that take every chunk and keep none are caught", () => {
  const kernel = withDisk(({ chunkOps }) => {
    for (const [i, op] of chunkOps.entries()) {
      if (op.kind === "write") chunkOps[i] = strayed(op);
    }
  });
  assert.ok(caught(kernel).includes("no committed object lost"));
});

Deno.test("nothing is left over of objects: nodes that remove nothing from their disks are caught", () => {
  const kernel = withDisk(({ chunkOps }) => {
    for (const [i, op] of chunkOps.entries()) {
      if (op.kind === "remove") chunkOps[i] = { ...op, fragments: [] };
    }
  });
  assert.ok(caught(kernel).includes("nothing is left over of objects"));
});

Deno.test("rot is found: nodes that never scrub are caught", () => {
  const faults: ScenarioInput["faults"] = [{ do: "fragment-rot", at: "11s", fragments: 2, count: 3 }];
  const kernel = (options: NodeOptions) =>
    new Node({ ...options, tuning: { ...options.tuning!, scrubBytesPerSecond: 0 } });
  assert.deepEqual(caught(kernel, { faults }), ["rot is found"]);
  assert.deepEqual(caught((options) => new Node(options), { faults }), []);
});

Deno.test("repair moves no more than it must: nodes that fetch what they have are caught", () => {
  let writes = 0;
  const kernel = withDisk(({ chunkOps }) => {
    for (const [i, op] of chunkOps.entries()) {
      if (op.kind === "write" && ++writes % 2 === 0) chunkOps[i] = strayed(op);
    }
  });
  const preload = { bytes: 400_000, chunk: 10_000, segment: 200_000 };
  const more = {
    duration: "3s",
    objects: { ...OBJECTS, clients: 0, quiet: "30s", preload },
    faults: [{ do: "crash" as const, at: "1s", forever: true }],
  };
  const names = caught(kernel, more);
  assert.ok(names.includes("repair moves no more than it must"), names.join());
});
