/**
 * The hunts that mutants are set loose in: cheap runs, each from one seed, that a healthy tree passes.
 *
 * Every hunt says which limits it runs under. They are lowered so that compaction, checkpoints and snapshots happen
 * within seconds instead of after hours.
 */
import { invariant } from "../../core/base/invariant.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { tuningOf } from "../../core/base/tuning.ts";
import { Node } from "../../core/node/node.ts";
import { Run } from "../../sim/run.ts";
import { type Scenario, type ScenarioInput, scenarioOf } from "../../sim/scenario.ts";
import type { KernelFactory } from "../../sim/world.ts";
import { storm, StormError, type StormOptions } from "../core/partition/storm.ts";
import { resolveScenario } from "../../sim/swarm.ts";
import { STARS } from "../sim/scenarios.ts";

type Limits = { -readonly [K in keyof typeof LIMITS]: number };

/** What a hunt brought to light: which check, and what it said. */
export interface Catch {
  readonly check: string;
  readonly detail: string;
}

export interface Outcome {
  readonly caught: Catch | null;
  /** Until it was caught, or of the whole run. */
  readonly virtualUs: number;
}

export interface Hunt {
  readonly name: string;
  /** Seeds from 1 to this are tried. */
  readonly seeds: number;
  readonly limits: Partial<Limits>;
  readonly run: (seed: number) => Outcome;
}

const ORIGINAL: Limits = { ...LIMITS };

/** Runs one seed of a hunt under its limits. */
export function hunt({ limits, run }: Hunt, seed: number): Outcome {
  Object.assign(LIMITS as Limits, ORIGINAL, limits);
  return run(seed);
}

const STORM_US = 5_000_000;

const TIGHT: Partial<Limits> = { appendsInFlightMax: 4, snapshotChunksInFlightMax: 2 };

function stormHunt(name: string, seeds: number, weather: Omit<StormOptions, "seed">): Hunt {
  return {
    name,
    seeds,
    limits: TIGHT,
    run(seed) {
      try {
        return { caught: null, virtualUs: storm({ ...weather, seed }).virtualUs };
      } catch (error) {
        if (!(error instanceof StormError)) throw error;
        return {
          caught: { check: "watchers of the storm", detail: error.message },
          virtualUs: error.virtualUs,
        };
      }
    },
  };
}

const storms = stormHunt("storm", 400, { stormUs: STORM_US });

/** Elections without end: no leader lasts, disks are slow, and who crashed is back before its vote is forgotten. */
const elections = stormHunt("elections", 400, {
  stormUs: STORM_US,
  downUsMax: 40_000,
  faults: {
    lost: 50,
    repeated: 100,
    delayed: 200,
    crashUs: 350_000,
    cutUs: 200_000,
    retargetUs: 0,
    checkpointUs: 400_000,
    slowDisk: true,
  },
});

/** One change of the configuration after the other, while the network is cut this way and that. */
const changes = stormHunt("changes", 400, {
  stormUs: STORM_US,
  downUsMax: 600_000,
  faults: {
    lost: 20,
    repeated: 20,
    delayed: 100,
    crashUs: 500_000,
    cutUs: 250_000,
    retargetUs: 250_000,
    checkpointUs: 300_000,
    slowDisk: true,
  },
});

const NARROW: Partial<Limits> = { snapshotChunksInFlightMax: 2 };

/** A few entries make a compaction, a few kilobytes a checkpoint, a few rows a chunk. */
const TUNING = tuningOf({
  appendEntriesMax: 16,
  logEntriesMax: 64,
  logEntriesKept: 8,
  checkpointEntriesKept: 4,
  snapshotChunkBytesMax: 512,
  journalBytesPerCheckpoint: 24 * 1024,
});

function scenarioHunt(seeds: number, input: Omit<ScenarioInput, "sky">, nodes: number): Hunt {
  const scenario = scenarioOf({ sky: { nodes, records: 24 }, ...input });
  const kernel: KernelFactory = (options) => new Node({ ...options, tuning: TUNING });
  return { name: scenario.name, seeds, limits: NARROW, run: (seed) => simulate({ scenario, seed, kernel }) };
}

function simulate({ scenario, seed, kernel }: Simulated): Outcome {
  const run: Run = new Run({
    scenario,
    stars: STARS,
    seed,
    // The first violation ends the run: what follows from it would only be waited for.
    tracer: () => {
      if (run.world.violations.length > 0) throw new Caught();
    },
    ...(kernel === undefined ? {} : { kernel }),
  });
  const caught = (check: string, detail: string, virtualUs = run.world.loop.now) => ({
    caught: { check, detail },
    virtualUs,
  });
  try {
    const broken = run.run().checks.find(({ ok, detail }) => !ok && !isUndecided(detail));
    if (broken !== undefined) return caught(broken.name, broken.detail);
    return { caught: null, virtualUs: run.world.loop.now };
  } catch (error) {
    const first = run.world.violations[0];
    if (error instanceof Caught && first !== undefined) return caught(first.check, first.detail, first.time);
    // What the simulator itself does not believe, such as a disk that recovers what was never written.
    if (!(error instanceof Error)) throw error;
    return caught("the simulator stops", error.message);
  }
}

interface Simulated {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly kernel?: KernelFactory;
}

class Caught extends Error {}

/** A search for a linearization that was given up shows nothing. */
function isUndecided(detail: string): boolean {
  return detail.includes("no answer after") && !detail.includes("no order explains");
}

const CROWD: ScenarioInput["workload"] = {
  clients: 8,
  every: "30ms",
  keys: 12,
  skew: "1/2",
  ttl: "300ms",
  percent: { get: 38, cas: 12, delete: 6, range: 2, transact: 6, ttl: 4, history: 3 },
};

const crashes = scenarioHunt(150, {
  name: "crashes",
  duration: "12s",
  settle: "10s",
  converge: "20s",
  cluster: {
    settings: { partitions: 2, systemReplicas: 3, quietAfter: "100ms", grace: "60s" },
  },
  network: {
    latency: "500us",
    jitter: "500us",
    loss: "1/300",
    duplicate: "1/100",
    reorder: "1/100",
    corrupt: 0,
  },
  disk: { sync: "500us..8ms", checkpoint: "5ms..300ms" },
  workload: CROWD,
  faults: [
    { do: "crash", rate: "700ms", for: "20ms..1500ms" },
    { do: "crash", rate: "2s", count: 3, for: "20ms..1s" },
    { do: "crash", rate: "3s", leaders: true, silent: 1, for: "500ms..2s" },
    { do: "partition", rate: "1500ms", count: 1, for: "300ms..2s" },
    { do: "partition", rate: "3s", leaders: true, count: 1, for: "500ms..2s" },
    { do: "one-way", rate: "3s", count: 1, for: "300ms..1s" },
  ],
}, 4);

/** Who is lost is declared gone within seconds. */
const QUICK_MEMBERSHIP = {
  quietAfter: "100ms",
  grace: "1500ms",
  probeInterval: "200ms",
  probeTimeout: "80ms",
  pushPull: "5s",
} as const;

const moves = scenarioHunt(80, {
  name: "moves",
  duration: "20s",
  settle: "15s",
  converge: "30s",
  cluster: {
    start: 4,
    settings: {
      ...QUICK_MEMBERSHIP,
      partitions: 2,
      systemReplicas: 3,
    },
  },
  network: { latency: "500us", jitter: "500us", loss: "1/300", duplicate: "1/100", reorder: "1/100" },
  workload: CROWD,
  faults: [
    { do: "join", every: "3s" },
    { do: "drain", at: "7s" },
    { do: "leave", rate: "5s", for: "1s..6s" },
    { do: "crash", rate: "1500ms", for: "100ms..5s" },
    { do: "partition", rate: "3s", count: 1, for: "500ms..5s" },
    { do: "one-way", rate: "5s", count: 1, for: "500ms..2s" },
    { do: "jump", rate: "6s", by: "10ms..500ms" },
  ],
}, 10);

/** One node of five never comes back; nothing else is out for as long as the grace period. */
const losses = scenarioHunt(30, {
  name: "losses",
  duration: "8s",
  settle: "15s",
  converge: "20s",
  cluster: { start: 5, settings: { ...QUICK_MEMBERSHIP, partitions: 4, systemReplicas: 3 } },
  network: { latency: "500us", jitter: "500us", loss: "1/300", duplicate: "1/100", reorder: "1/100" },
  workload: { ...CROWD, clients: 3 },
  faults: [
    { do: "crash", at: "2s", silent: "1/2", forever: true },
    { do: "crash", rate: "2s", for: "50ms..400ms" },
    { do: "join", at: "5s" },
  ],
}, 6);

const leases = scenarioHunt(80, {
  name: "leases",
  duration: "12s",
  settle: "10s",
  converge: "20s",
  cluster: {
    settings: { partitions: 2, systemReplicas: 3, leaseReads: true, quietAfter: "1s", grace: "60s" },
  },
  clock: { offset: "3s", driftPpm: 40_000 },
  network: { latency: "300us", jitter: "200us" },
  workload: { clients: 12, every: "12ms", keys: 12, percent: { get: 55, cas: 5, delete: 5, transact: 0 } },
  faults: [
    { do: "partition", rate: "1s", leaders: true, count: 1, for: "500ms..1200ms" },
    { do: "crash", rate: "2s", for: "20ms..600ms" },
    { do: "one-way", rate: "2s", leaders: true, count: 1, for: "500ms..1s" },
  ],
}, 4);

/** Objects whose fragments rot, stray and vanish, on nodes that fall; and clients that die amid what they do. */
const objects: Hunt = {
  name: "objects",
  seeds: 30,
  limits: {},
  run: (seed) =>
    simulate({
      seed,
      scenario: scenarioOf({
        name: "objects",
        sky: { nodes: 7 },
        duration: "15s",
        settle: "15s",
        converge: "30s",
        cluster: {
          start: 6,
          settings: { ...QUICK_MEMBERSHIP, partitions: 4, systemReplicas: 3 },
          tuning: {
            orphanAgeUs: 12_000_000,
            lookUs: 2_000_000,
            lookDelayUs: 300_000,
            scrubRestUs: 1_000_000,
          },
        },
        network: { loss: "1/300", duplicate: "1/100", reorder: "1/100" },
        objects: {
          clients: 6,
          every: "100ms",
          keys: 2,
          bytes: 2_000,
          chunk: 256,
          crash: "1/10",
          expiry: "8s",
          collect: "1s",
          quiet: "60s",
          buckets: [
            { name: "copies", scheme: "3", versioning: "enabled" },
            { name: "stripes", scheme: "2+1" },
            { name: "pairs", scheme: "2" },
          ],
        },
        faults: [
          { do: "crash", rate: "2s", for: "100ms..3s", silent: "1/3" },
          { do: "fragment-rot", rate: "1s", fragments: 3 },
          { do: "fragment-stray", rate: "2s", fragments: 3 },
          { do: "fragment-gone", rate: "2s", fragments: 3 },
          { do: "partition", rate: "3s", count: 1, for: "500ms..3s" },
          { do: "lose-disk", rate: "8s" },
          { do: "full", rate: "6s", room: 4_000, for: "1s..3s" },
          { do: "join", at: "5s" },
        ],
      }),
    }),
};

const SWARM = scenarioOf({
  name: "swarm",
  swarm: {},
  duration: "12s",
  settle: "60s",
  converge: "60s",
  sky: { nodes: 7 },
});

/** What a seed draws from the swarm, with watchers in every run: they are cheap, and who else would miss an event. */
const swarm: Hunt = {
  name: "swarm",
  seeds: 160,
  limits: {},
  run(seed) {
    const drawn = resolveScenario(SWARM, seed);
    const scenario = { ...drawn, workload: { ...drawn.workload, watchers: 2 } };
    return simulate({ scenario, seed });
  },
};

export const HUNTS: readonly Hunt[] = [
  storms,
  elections,
  changes,
  crashes,
  moves,
  losses,
  leases,
  objects,
  swarm,
];

export function huntNamed(name: string): Hunt {
  const found = HUNTS.find((h) => h.name === name);
  invariant(found !== undefined, () => `There is a hunt called ${name}`);
  return found;
}
