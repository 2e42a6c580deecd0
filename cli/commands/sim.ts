import { styleText } from "node:util";
import { Command } from "commander";
import { describeEffects, describeInput } from "../../core/wire/describe.ts";
import type { Tracer } from "../../sim/observer.ts";
import { checkReplay, type ReplayResult, type StepRecord } from "../../sim/replay.ts";
import { header, report, type ReportOptions } from "../../sim/report.ts";
import { Run, type RunOptions, type RunResult } from "../../sim/run.ts";
import { UsageError } from "./errors.ts";
import { integerOption } from "./options.ts";
import { loadScenario } from "./sim_files.ts";
import { runSeed, type SeedOutcome, type SeedTask } from "./sim_seed.ts";

export interface SimFlags {
  readonly scenario: string;
  readonly seed?: number;
  readonly json?: boolean;
  readonly digest?: boolean;
  readonly checkReplay?: boolean;
  readonly trace?: boolean;
}

export interface SweepFlags {
  readonly scenario: string;
  readonly seeds: string;
  readonly jobs: number;
  readonly json?: boolean;
}

const SEED_MAX = Number.MAX_SAFE_INTEGER;
const JOBS_MAX = 256;

const SCENARIO_HELP = "a scenario file; a bare name is looked for in fixtures/scenarios too";

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
    .addHelpText("after", EXAMPLES)
    .action(async ({ scenario, ...flags }: Partial<SimFlags>) => {
      if (scenario === undefined) {
        throw new UsageError("Name a scenario with --scenario, for example --scenario churn.yaml");
      }
      await runSim({ scenario, ...flags });
    })
    .addCommand(sweepCommand());
}

function sweepCommand(): Command {
  return new Command("sweep")
    .description("run a scenario with many seeds")
    .requiredOption("--scenario <file>", SCENARIO_HELP)
    .requiredOption("--seeds <a..b>", "the first and the last seed")
    .option("--jobs <n>", "how many run at once", integerOption("--jobs", 1, JOBS_MAX), 1)
    .option("--json", "print one JSON object")
    .addHelpText("after", SWEEP_EXAMPLES)
    .action(async (flags: SweepFlags) => {
      await runSweep(flags);
    });
}

const EXAMPLES = `
Examples:
  space-opera sim --scenario churn.yaml
  space-opera sim --scenario churn.yaml --seed 7 --digest
  space-opera sim --scenario my.yaml --json
  space-opera sim sweep --scenario churn.yaml --seeds 1..200 --jobs 2`;
const SWEEP_EXAMPLES = `
Example:
  space-opera sim sweep --scenario partition.yaml --seeds 1..50 --jobs 2`;

/**
 * Runs one scenario and prints what came of it.
 * @throws {Error} naming the command that runs it again, when a check did not hold or a replay differed
 */
export async function runSim(flags: SimFlags): Promise<RunResult> {
  const { file, scenario, stars } = loadScenario(flags.scenario);
  const seed = flags.seed ?? scenario.seed, isQuiet = flags.digest === true || flags.json === true;
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
 * Runs a scenario with each of many seeds, several at once.
 * @throws {Error} naming the command that runs a failed seed again
 */
export async function runSweep(flags: SweepFlags): Promise<readonly SeedOutcome[]> {
  const [first, last] = parseSeeds(flags.seeds), count = last - first + 1;
  const { file } = loadScenario(flags.scenario), began = performance.now();
  const outcomes: SeedOutcome[] = [];
  let next = first;
  const take = (): SeedTask | null => next > last ? null : { scenario: file, seed: next++ };
  const done = async (outcome: SeedOutcome) => {
    outcomes.push(outcome);
    for (const failure of outcome.failures) await note(`seed ${outcome.seed} ✗ ${failure}`);
    const failed = outcomes.filter(({ ok }) => !ok).length,
      seconds = Math.round((performance.now() - began) / 1000);
    await note(`${outcomes.length}/${count} seeds, ${failed} failed, ${seconds} s`);
  };
  const jobs = Math.min(flags.jobs, count);
  if (jobs === 1) { for (let task = take(); task !== null; task = take()) await done(runSeed(task)); }
  else await Promise.all(Array.from({ length: jobs }, () => runWorker(take, done)));
  outcomes.sort((a, b) => a.seed - b.seed);
  const failed = outcomes.filter(({ ok }) => !ok), wallSeconds = (performance.now() - began) / 1000;
  if (flags.json === true) {
    await print(
      JSON.stringify({ scenario: file, seeds: flags.seeds, wallSeconds, ok: failed.length === 0, outcomes }),
    );
  } else await print(`${count - failed.length} of ${count} seeds passed in ${wallSeconds.toFixed(1)} s`);
  if (failed.length > 0) {
    throw new Error(
      `Seeds that failed: ${failed.map(({ seed }) => seed).join(", ")}\n` +
        `Run one again: space-opera sim --scenario ${file} --seed ${failed[0]!.seed}`,
    );
  }
  return outcomes;
}

/** Keeps one worker busy until no task is left. */
function runWorker(
  take: () => SeedTask | null,
  done: (outcome: SeedOutcome) => Promise<void>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(workerFile(import.meta.url), import.meta.url), { type: "module" });
    const hand = () => {
      const task = take();
      if (task !== null) return worker.postMessage(task);
      worker.terminate();
      resolve();
    };
    worker.onmessage = ({ data }: MessageEvent<SeedOutcome>) => void done(data).then(hand, reject);
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      reject(new Error(`A worker stopped: ${event.message}`));
    };
    hand();
  });
}

/** Beside this file; a bundle holds it as a script of its own. */
function workerFile(self: string): string {
  return self.endsWith(".ts") ? "./sim_worker.ts" : "./sim-worker.js";
}

function parseSeeds(text: string): readonly [number, number] {
  const match = /^(\d+)\.\.(\d+)$/.exec(text), first = Number(match?.[1]), last = Number(match?.[2]);
  if (match === null || first > last || !Number.isSafeInteger(last)) {
    throw new UsageError(`Option --seeds takes the first and the last seed like "1..200", not "${text}"`);
  }
  return [first, last];
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

async function print(text: string): Promise<void> {
  await writeAll(Deno.stdout, text);
}

async function note(text: string): Promise<void> {
  await writeAll(Deno.stderr, text);
}

async function writeAll(to: { write(bytes: Uint8Array): Promise<number> }, text: string): Promise<void> {
  let bytes = new TextEncoder().encode(`${text}\n`);
  while (bytes.length > 0) bytes = bytes.subarray(await to.write(bytes));
}
