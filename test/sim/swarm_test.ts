import assert from "node:assert/strict";
import { isObjectFault } from "../../sim/objects/swarm.ts";
import { stringify } from "yaml";
import { checkSettings } from "../../core/node/genesis.ts";
import { header } from "../../sim/report.ts";
import { Run } from "../../sim/run.ts";
import { parseScenario, scenarioOf } from "../../sim/scenario.ts";
import { SWARM_FAULTS } from "../../sim/scenario_faults.ts";
import { drawSwarm, resolveScenario } from "../../sim/swarm.ts";
import { STARS } from "./scenarios.ts";

const SWARM = scenarioOf({ name: "swarm", duration: "8s", sky: { nodes: 12 }, swarm: {} });

Deno.test("drawSwarm() draws what a network accepts, for every seed", () => {
  for (let seed = 0; seed < 500; seed++) {
    const { cluster, sky } = scenarioOf(drawSwarm(SWARM, seed));
    checkSettings(cluster.settings);
    assert.ok((cluster.start ?? 0) >= 1 && sky.nodes <= 12, `seed ${seed}`);
  }
});

Deno.test("drawSwarm() has each kind of fault in about half of the seeds and never twice the same mix for long", () => {
  const counts = new Map<string, number>(), mixes = new Set<string>();
  for (let seed = 0; seed < 400; seed++) {
    const kinds = new Set((drawSwarm(SWARM, seed).faults ?? []).map((fault) => fault.do));
    for (const kind of kinds) counts.set(kind, 1 + (counts.get(kind) ?? 0));
    mixes.add([...kinds].sort().join(" "));
  }
  for (const kind of SWARM_FAULTS) {
    const name = kind === "cut-zone" ? "partition" : kind === "lose" ? "crash" : kind;
    assert.ok((counts.get(name) ?? 0) > (isObjectFault(kind) ? 30 : 60), `${kind}: ${counts.get(name)}`);
  }
  assert.ok(mixes.size > 300, `${mixes.size} mixes`);
});

Deno.test("drawSwarm() draws only the faults that the scenario names", () => {
  const swarm = scenarioOf({
    name: "swarm",
    duration: "8s",
    sky: { nodes: 12 },
    swarm: { faults: ["jump"] },
  });
  for (let seed = 0; seed < 50; seed++) {
    for (const fault of drawSwarm(swarm, seed).faults ?? []) assert.equal(fault.do, "jump");
  }
});

Deno.test("W1: what a seed draws, printed and read again, runs to the same digest", () => {
  const printed = parseScenario(stringify(drawSwarm(SWARM, 3)), "seed-3.yaml");
  assert.deepEqual(printed, resolveScenario(SWARM, 3));
  assert.equal(header(printed, 3), header(resolveScenario(SWARM, 3), 3));
  const drawn = new Run({ scenario: SWARM, stars: STARS, seed: 3 }).run();
  const read = new Run({ scenario: printed, stars: STARS, seed: 3 }).run();
  assert.equal(drawn.digest, read.digest);
  assert.deepEqual(drawn.sometimes, read.sometimes);
});

Deno.test("Run fails a run with more events than it may have", () => {
  const { checks } = new Run({ scenario: SWARM, stars: STARS, seed: 3, eventsMax: 1000 }).run();
  const converged = checks.find(({ name }) => name === "converged");
  assert.match(converged?.detail ?? "", /did not end within 1000 events/);
});
