import { type Scenario, type ScenarioInput, scenarioOf } from "../../sim/scenario.ts";
import type { Star } from "../../sim/sky.ts";

/** A few stars of our own, so that these tests read no files. */
export const STARS: readonly Star[] = Array.from({ length: 12 }, (_, i) => ({
  hip: 100 + i,
  name: `star ${i}`,
  constellation: ["Ori", "Cen", "UMa"][i % 3]!,
  raDeg: i * 30,
  decDeg: i * 10 - 55,
  mag: i / 4,
  bv: null,
}));

/** A small scenario with more, or other, parts. */
export function smallScenario(more: Partial<ScenarioInput> = {}): Scenario {
  return scenarioOf({
    name: "small",
    duration: "20s",
    settle: "20s",
    converge: "40s",
    sky: { nodes: 6, records: 20 },
    cluster: { start: 4, settings: { partitions: 4, grace: "5s" } },
    workload: { clients: 6, every: "60ms", keys: 20 },
    ...more,
  });
}
