import { styleText } from "node:util";
import { Command } from "commander";
import { stringify } from "yaml";
import { describeEffects, describeInput } from "../../core/wire/describe.ts";
import type { Tracer } from "../../sim/observer.ts";
import { checkReplay, type ReplayResult, type StepRecord } from "../../sim/replay.ts";
import { header, report, type ReportOptions } from "../../sim/report.ts";
import { Run, type RunOptions, type RunResult } from "../../sim/run.ts";
import { drawSwarm, resolveScenario } from "../../sim/swarm.ts";
import { UsageError } from "./errors.ts";
import { integerOption } from "./options.ts";
import { replayCommand } from "./replay.ts";
import { loadScenario, SCENARIO_HELP } from "./sim_files.ts";
import { note, print } from "./sim_output.ts";
import { sweepCommand } from "./sim_sweep.ts";

export interface SimFlags {
  readonly scenario: string;
  readonly seed?: number;
  readonly json?: boolean;
  readonly digest?: boolean;
  readonly checkReplay?: boolean;
  readonly trace?: boolean;
  readonly printScenario?: boolean;
}

const SEED_MAX = Number.MAX_SAFE_INTEGER;

/** `space-opera sim` and `space-opera sim sweep`. */
export function simCommand(): Command {
  return new Command("sim")
    .description("run a scenario in the simulator and check everything that must hold")
    // Options behind "sweep" are the sweep's.
    .enablePositionalOptions()
    .option("--scenario <file>", SCENARIO_HELP)
    .option("--seed <n>", "the scenario's own if left out", integerOption("--seed", 0, SEED_MAX))
    .option("--json", "print one JSON object")
    .option("--digest", "print nothing but the digest of the run")
    .option("--check-replay", "run twice, the second time through the full codec, and compare")
    .option("--trace", "print every step of every node to stderr")
    .option("--print-scenario", "print what the seed draws from a swarm, as a scenario file; run nothing")
    .addHelpText("after", EXAMPLES)
    .action(async ({ scenario, ...flags }: Partial<SimFlags>) => {
      if (scenario === undefined) {
        throw new UsageError("Name a scenario with --scenario, for example --scenario churn.yaml");
      }
      if (flags.printScenario === true) return await printScenario({ scenario, ...flags });
      await runSim({ scenario, ...flags });
    })
    .addCommand(sweepCommand())
    .addCommand(replayCommand());
}

const EXAMPLES = `
Examples:
  space-opera sim --scenario churn.yaml
  space-opera sim --scenario churn.yaml --seed 7 --digest
  space-opera sim --scenario my.yaml --json
  space-opera sim --scenario swarm.yaml --seed 7 --print-scenario > seed-7.yaml
  space-opera sim sweep --scenario churn.yaml --seeds 1..200 --jobs 2`;
/**
 * Runs one scenario and prints what came of it.
 * @throws {Error} naming the command that runs it again, when a check did not hold or a replay differed
 */
export async function runSim(flags: SimFlags): Promise<RunResult> {
  const { file, scenario: given, stars } = loadScenario(flags.scenario);
  const seed = flags.seed ?? given.seed, isQuiet = flags.digest === true || flags.json === true;
  const scenario = resolveScenario(given, seed);
  const options: RunOptions = {
    scenario,
    stars,
    seed,
    ...(flags.trace === true ? { tracer: traceToStderr } : {}),
  };
  if (!isQuiet) await note(header(scenario, seed));
  const began = performance.now();
  const replay = flags.checkReplay === true ? checkReplay(options) : null;
  const result = replay === null ? new Run(options).run() : replay.first;
  const wallSeconds = (performance.now() - began) / 1000;
  if (flags.digest === true) await print(`digest ${result.digest}`);
  else if (flags.json === true) await print(JSON.stringify(asJson(result, wallSeconds, replay)));
  else await print(report({ result, wallSeconds, paint: painter() }));
  const again = `space-opera sim --scenario ${file} --seed ${seed}`;
  if (replay !== null && replay.kind === "different") {
    throw new Error(`${describeDifference(replay)}\nRun again: ${again} --check-replay`);
  }
  if (replay !== null && !isQuiet) await note("The second run, through the full codec, had the same digest");
  const failed = result.checks.filter(({ ok }) => !ok);
  if (failed.length > 0) {
    throw new Error(`Not held: ${failed.map(({ name }) => name).join(", ")}\nRun again: ${again}`);
  }
  return result;
}

/**
 * Prints what a seed draws from a swarm. Run from a file, it gives the same digest.
 * @throws {UsageError} where the scenario is no swarm
 */
export async function printScenario({ scenario: name, seed }: SimFlags): Promise<void> {
  const { file, scenario } = loadScenario(name);
  if (scenario.swarm === undefined) {
    throw new UsageError(`Scenario ${file} draws nothing: its file is what every seed runs`);
  }
  await print(stringify(drawSwarm(scenario, seed ?? scenario.seed)).trimEnd());
}

function asJson(result: RunResult, wallSeconds: number, replay: ReplayResult | null): unknown {
  const { digestCheckpoints: _, ok, ...rest } = result;
  const replayed = replay === null ? {} : { replay: replay.kind };
  return { ...rest, wallSeconds, ...replayed, ok: ok && replay?.kind !== "different" };
}

function describeDifference({ first, second, step }: Extract<ReplayResult, { kind: "different" }>): string {
  const digests =
    `The two runs differ: digest ${first.digest} after ${first.steps} steps, ${second.digest} after ${second.steps}`;
  if (step === null) return digests;
  return `${digests}\n  first   ${describeStep(step.left)}\n  second  ${describeStep(step.right)}`;
}

function describeStep(step: StepRecord | null): string {
  if (step === null) return "had no such step";
  return `step ${step.number} at ${step.time} us, ${step.node}: ${step.input}, then ${step.fingerprint}`;
}

const traceToStderr: Tracer = (machine, input, effects, now) => {
  const lines = [
    `${now} ${machine.id} ${describeInput(input)}`,
    ...describeEffects(effects).map((line) => `    ${line}`),
  ];
  Deno.stderr.writeSync(new TextEncoder().encode(`${lines.join("\n")}\n`));
};

function painter(): ReportOptions["paint"] {
  if (Deno.noColor || !Deno.stdout.isTerminal()) return (text) => text;
  return (text, colour) => styleText(colour, text);
}
