import { parseScenario, type Scenario } from "../../sim/scenario.ts";
import { parseSky, type Star } from "../../sim/sky.ts";
import { fixture } from "../fixtures.ts";
import { UsageError } from "./errors.ts";

export interface LoadedScenario {
  readonly file: string;
  readonly scenario: Scenario;
  readonly stars: readonly Star[];
}

export const SCENARIO_HELP = "a scenario file; a bare name is looked for in fixtures/scenarios too";

const SCENARIOS = fixture("scenarios/");
const SKIES = fixture("sky/");

/**
 * Reads a scenario and its star catalogue. A bare name is looked for here first, then among the scenarios that come with
 * the program; a catalogue beside the scenario first, then among those that come with it.
 * @throws {UsageError} when one of them cannot be read
 */
export function loadScenario(name: string): LoadedScenario {
  const isBare = !/[\\/]/.test(name), file = isBare && !/\.ya?ml$/.test(name) ? `${name}.yaml` : name;
  const found = readFirst([file, ...(isBare ? [new URL(file, SCENARIOS)] : [])]);
  if (found === null) {
    throw new UsageError(
      `No scenario "${name}" is here or in fixtures/scenarios; name a YAML file, or one of ${
        shippedScenarios().join(", ")
      }`,
    );
  }
  const scenario = parseScenario(found.text, file);
  const { catalogue } = scenario.sky, beside = file.replace(/[^\\/]*$/, catalogue);
  const sky = readFirst([beside, new URL(catalogue, SKIES)]);
  if (sky === null) {
    throw new UsageError(`Scenario ${file} names the catalogue "${catalogue}", which is nowhere to be read`);
  }
  return { file, scenario, stars: parseSky(sky.text) };
}

function shippedScenarios(): string[] {
  try {
    return [...Deno.readDirSync(SCENARIOS)].map(({ name }) => name).sort();
  } catch {
    return ["a file of your own"];
  }
}

function readFirst(places: readonly (string | URL)[]): { readonly text: string } | null {
  for (const place of places) {
    try {
      return { text: Deno.readTextFileSync(place) };
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return null;
}
