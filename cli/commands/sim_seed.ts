import { Run } from "../../sim/run.ts";
import type { FaultKind } from "../../sim/scenario_faults.ts";
import type { SometimesName } from "../../sim/sometimes.ts";
import { type LoadedScenario, loadScenario } from "./sim_files.ts";

export interface SeedTask {
  readonly scenario: string;
  readonly seed: number;
}

/** What a sweep keeps of one run. */
export interface SeedOutcome {
  readonly seed: number;
  readonly ok: boolean;
  readonly digest: string;
  readonly events: number;
  readonly virtualSeconds: number;
  readonly operations: number;
  readonly wallSeconds: number;
  readonly faults: readonly (readonly [FaultKind, number])[];
  readonly sometimes: readonly SometimesName[];
  /** The checks that did not hold, or what made the run itself fail. */
  readonly failures: readonly string[];
}

/** A run of a swarm has some ten thousand events, one of churn some ten million; one that has this many goes in circles. */
const EVENTS_MAX = 200_000_000;

/** Of the scenario that this process ran last: a sweep runs many seeds of one. */
let loaded: { readonly name: string; readonly scenario: LoadedScenario } | null = null;

/** Runs one seed. Never throws: a run that breaks down is a failure like any other. */
export function runSeed({ scenario: name, seed }: SeedTask): SeedOutcome {
  const began = performance.now();
  try {
    if (loaded?.name !== name) loaded = { name, scenario: loadScenario(name) };
    const { scenario, stars } = loaded.scenario;
    const result = new Run({ scenario, stars, seed, eventsMax: EVENTS_MAX }).run();
    return {
      seed,
      ok: result.ok,
      digest: result.digest,
      events: result.events,
      virtualSeconds: result.virtualSeconds,
      operations: result.clients.operations,
      wallSeconds: (performance.now() - began) / 1000,
      faults: result.faults,
      sometimes: result.sometimes,
      failures: result.checks.filter(({ ok }) => !ok).map((check) => `${check.name}: ${check.detail}`),
    };
  } catch (error) {
    const failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return failedSeed(seed, (performance.now() - began) / 1000, failure);
  }
}

/** Of a seed whose run came to no result. */
export function failedSeed(seed: number, wallSeconds: number, failure: string): SeedOutcome {
  return {
    seed,
    ok: false,
    digest: "",
    events: 0,
    virtualSeconds: 0,
    operations: 0,
    wallSeconds,
    faults: [],
    sometimes: [],
    failures: [failure],
  };
}
