import { Run } from "../../sim/run.ts";
import { loadScenario } from "./sim_files.ts";

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
  readonly wallSeconds: number;
  /** The checks that did not hold, or what made the run itself fail. */
  readonly failures: readonly string[];
}

/** Runs one seed. Never throws: a run that breaks down is a failure like any other. */
export function runSeed({ scenario: name, seed }: SeedTask): SeedOutcome {
  const began = performance.now();
  const wallSeconds = () => (performance.now() - began) / 1000;
  try {
    const { scenario, stars } = loadScenario(name);
    const { ok, digest, events, checks } = new Run({ scenario, stars, seed }).run();
    const failures = checks.filter((check) => !check.ok).map((check) => `${check.name}: ${check.detail}`);
    return { seed, ok, digest, events, wallSeconds: wallSeconds(), failures };
  } catch (error) {
    const failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { seed, ok: false, digest: "", events: 0, wallSeconds: wallSeconds(), failures: [failure] };
  }
}
