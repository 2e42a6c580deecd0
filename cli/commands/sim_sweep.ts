import { Command } from "commander";
import { formatDuration } from "../../sim/units.ts";
import { SweepTotals } from "../../sim/sweep_totals.ts";
import { UsageError } from "./errors.ts";
import { integerOption } from "./options.ts";
import { loadScenario, SCENARIO_HELP } from "./sim_files.ts";
import { note, print } from "./sim_output.ts";
import { failedSeed, type SeedOutcome, type SeedTask } from "./sim_seed.ts";

export interface SweepFlags {
  readonly scenario: string;
  readonly seeds: string;
  readonly jobs: number;
  readonly json?: boolean;
  /** Seconds of wall time for one seed. */
  readonly timeout?: number;
}

const JOBS_MAX = 256;
const TIMEOUT_SECONDS = 600;
const TIMEOUT_SECONDS_MAX = 24 * 3600;
/** Progress is told at least this often; of failures at once. */
const TELL_MS = 2_000;

/** `space-opera sim sweep`. */
export function sweepCommand(): Command {
  return new Command("sweep")
    .description("run a scenario with many seeds")
    .requiredOption("--scenario <file>", SCENARIO_HELP)
    .requiredOption("--seeds <a..b>", "the first and the last seed")
    .option("--jobs <n>", "how many run at once", integerOption("--jobs", 1, JOBS_MAX), 1)
    .option(
      "--timeout <seconds>",
      "of wall time for one seed; one that takes longer has failed",
      integerOption("--timeout", 1, TIMEOUT_SECONDS_MAX),
      TIMEOUT_SECONDS,
    )
    .option("--json", "print one JSON object")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: SweepFlags) => {
      await runSweep(flags);
    });
}

const EXAMPLES = `
A sweep of a swarm also fails when a situation that it should have met never came; see sim/sometimes.ts.

Examples:
  space-opera sim sweep --scenario swarm.yaml --seeds 1..2000 --jobs 2
  space-opera sim sweep --scenario partition.yaml --seeds 1..50 --jobs 2 --json`;

/**
 * Runs a scenario with each of many seeds, several at once, and prints what they came to.
 * @throws {Error} naming the commands that run failed seeds again, or the situations that never came
 */
export async function runSweep(flags: SweepFlags): Promise<readonly SeedOutcome[]> {
  const [first, last] = parseSeeds(flags.seeds), count = last - first + 1;
  const { file, scenario } = loadScenario(flags.scenario), began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const outcomes: SeedOutcome[] = [];
  let next = first, failed = 0, told = 0;
  const take = (): SeedTask | null => next > last ? null : { scenario: file, seed: next++ };
  const done = async (outcome: SeedOutcome) => {
    outcomes.push(outcome);
    if (!outcome.ok) failed++;
    for (const failure of outcome.failures) await note(`seed ${outcome.seed} ✗ ${failure}`);
    if (outcomes.length < count && outcome.ok && performance.now() - told < TELL_MS) return;
    told = performance.now();
    await note(`${outcomes.length}/${count} seeds, ${failed} failed, ${Math.round(seconds())} s`);
  };
  const timeoutMs = (flags.timeout ?? TIMEOUT_SECONDS) * 1000;
  await Promise.all(
    Array.from({ length: Math.min(flags.jobs, count) }, () => new SeedWorker(take, done, timeoutMs).finished),
  );
  outcomes.sort((a, b) => a.seed - b.seed);
  const totals = new SweepTotals(outcomes, scenario.swarm !== undefined);
  const ok = failed === 0 && totals.missing.length === 0;
  if (flags.json === true) {
    const summary = {
      scenario: file,
      seeds: flags.seeds,
      wallSeconds: seconds(),
      ok,
      totals: totals.asJson(),
    };
    await print(JSON.stringify({ ...summary, outcomes }));
  } else {
    await print(
      `${count - failed} of ${count} seeds passed in ${seconds().toFixed(1)} s\n${totals.describe()}`,
    );
  }
  if (!ok) throw new Error(explain(outcomes, totals, file));
  return outcomes;
}

function explain(outcomes: readonly SeedOutcome[], totals: SweepTotals, file: string): string {
  const failed = outcomes.filter(({ ok }) => !ok), lines: string[] = [];
  if (failed.length > 0) {
    lines.push(`Seeds that failed: ${failed.map(({ seed }) => seed).join(", ")}. Run one again:`);
    for (const { seed } of failed.slice(0, 20)) {
      lines.push(`  space-opera sim --scenario ${file} --seed ${seed}`);
    }
  }
  if (totals.missing.length > 0) {
    lines.push(`Never so in ${outcomes.length} seeds: ${totals.missing.join("; ")}`);
  }
  return lines.join("\n");
}

/** One worker at a time, with one task at a time, until none is left. A worker that takes too long is replaced. */
class SeedWorker {
  readonly finished: Promise<void>;
  readonly #take: () => SeedTask | null;
  readonly #done: (outcome: SeedOutcome) => Promise<void>;
  readonly #timeoutMs: number;
  #worker: Worker | null = null;

  constructor(
    take: () => SeedTask | null,
    done: (outcome: SeedOutcome) => Promise<void>,
    timeoutMs: number,
  ) {
    this.#take = take;
    this.#done = done;
    this.#timeoutMs = timeoutMs;
    this.finished = this.#work();
  }

  async #work(): Promise<void> {
    for (let task = this.#take(); task !== null; task = this.#take()) await this.#done(await this.#run(task));
    this.#end();
  }

  #run(task: SeedTask): Promise<SeedOutcome> {
    const worker = this.#worker ??= new Worker(new URL(workerFile(import.meta.url), import.meta.url), {
      type: "module",
    });
    return new Promise((resolve) => {
      const fail = (failure: string) => {
        this.#end();
        resolve(failedSeed(task.seed, this.#timeoutMs / 1000, failure));
      };
      const limit = formatDuration(this.#timeoutMs * 1000);
      const timer = setTimeout(() => fail(`The run did not end within ${limit}`), this.#timeoutMs);
      worker.onmessage = ({ data }: MessageEvent<SeedOutcome>) => {
        clearTimeout(timer);
        resolve(data);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        clearTimeout(timer);
        fail(`The worker stopped: ${event.message}`);
      };
      worker.postMessage(task);
    });
  }

  #end(): void {
    this.#worker?.terminate();
    this.#worker = null;
  }
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
