/**
 * Small networks whose disks rot, lie, fill up, fail and get lost while members come and go. The seeds are ones that once
 * found a fault in the core or in the budget of faults, by runs like these; what they draw now differs, the mix is the same.
 */
import assert from "node:assert/strict";
import { Run } from "../../sim/run.ts";
import type { ScenarioInput } from "../../sim/scenario.ts";
import type { SometimesName } from "../../sim/sometimes.ts";
import { smallScenario, STARS } from "./scenarios.ts";

const FAULTS: NonNullable<ScenarioInput["faults"]> = [
  { do: "rot", rate: "2s", crash: "0s..2s", for: "500ms..2s" },
  { do: "rot", rate: "4s", of: "tables", crash: "0s..2s", for: "500ms..2s" },
  { do: "misdirect", rate: "4s", crash: "0s..2s", for: "500ms..2s" },
  { do: "lost-write", rate: "4s", crash: "0s..2s", for: "500ms..2s" },
  { do: "lose-disk", rate: "6s" },
  { do: "full", rate: "5s", room: 40_000, for: "1s..5s" },
  { do: "slow-disk", rate: "8s", by: "40ms", for: "1s..4s" },
  { do: "sync-fails", rate: "3s", for: "500ms..2s" },
  { do: "crash", rate: "3s", for: "500ms..3s" },
  { do: "crash", rate: "10s", share: "1", silent: "1", for: "500ms..1s" },
  { do: "partition", rate: "8s", count: 1, for: "1s..4s" },
];

interface Network {
  readonly start: number;
  readonly spare: number;
  readonly replicas: number;
  readonly more?: ScenarioInput["faults"];
}

function ran(seed: number, { start, spare, replicas, more = [] }: Network) {
  const scenario = smallScenario({
    duration: "15s",
    settle: "15s",
    sky: { nodes: start + spare, records: 40 },
    cluster: {
      start,
      settings: { partitions: 4, replicas, grace: "3s", quietAfter: "200ms" },
      tuning: {
        journalBytesPerCheckpoint: 30_000,
        checkpointEntriesKept: 20,
        logEntriesMax: 200,
        logEntriesKept: 40,
        snapshotChunkBytesMax: 4000,
      },
    },
    network: { loss: "1/2000" },
    workload: { clients: 6, every: "60ms", keys: 40 },
    faults: [...FAULTS, ...more],
  });
  return new Run({ scenario, stars: STARS, seed }).run();
}

const CHANGES: NonNullable<ScenarioInput["faults"]> = [{ do: "join", rate: "6s" }, {
  do: "drain",
  rate: "7s",
}];

function holds(
  name: string,
  seeds: readonly number[],
  network: Network,
  met: readonly SometimesName[],
): void {
  Deno.test(name, () => {
    const seen = new Set<SometimesName>();
    for (const seed of seeds) {
      const { checks, sometimes } = ran(seed, network);
      const failed = checks.filter(({ ok }) => !ok).map((check) => `${check.name}: ${check.detail}`);
      assert.deepEqual(failed, [], `seed ${seed}`);
      for (const situation of sometimes) seen.add(situation);
    }
    for (const situation of met) assert.ok(seen.has(situation), `Never: ${situation}`);
  });
}

holds(
  "three nodes with damaged disks, joins and drains lose nothing and become well (seeds 5, 13, 19, 25, 38, 44)",
  [5, 13, 19, 25, 38, 44],
  { start: 3, spare: 1, replicas: 3, more: CHANGES },
  ["journal damage detected", "node down with disk trouble", "recovery interrupted", "crash kept everything"],
);

holds(
  "nine nodes, five replicas, damaged disks, nodes lost for good: nothing is lost and all become well (seed 41)",
  [41],
  {
    start: 9,
    spare: 3,
    replicas: 5,
    more: [
      ...CHANGES,
      { do: "crash", rate: "15s", forever: true },
      { do: "jump", rate: "10s", by: "100ms..2s" },
      { do: "one-way", rate: "10s", for: "1s..4s" },
    ],
  },
  ["journal damage detected", "member declared gone"],
);
