/**
 * `deno task mutants [NAME…] [--seeds N] [--jobs N] [--json]`: applies each mutant to a copy of the tree and hunts it
 * until a check catches it. First the unmutated tree passes the same hunts with all of their seeds: a catcher that
 * fails on a healthy tree too proves nothing. Staged tests are one more hunt, without seeds. Exit code 0 when all are
 * caught, 1 when not, 2 for wrong usage.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MUTANTS } from "./all.ts";
import type { Finding, Task } from "./hunter.ts";
import { HUNTS } from "./hunts.ts";
import { type Mutant, mutate, TESTS } from "./mutant.ts";
import { controlLine, headline, type Hunted, line, summary } from "./report.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** What the hunts need. */
const COPIED = [
  "core",
  "sim",
  "test/core",
  "test/sim",
  "test/support",
  "test/mutants",
  "fixtures/wire",
  "deno.json",
  "deno.lock",
];
/** Staged scenes, such as the figures of the papers: the last hunt, for what chance brings about too seldom. */
const STAGED = [
  "test/core/partition/raft_test.ts",
  "test/core/partition/memory_test.ts",
  "test/core/replication",
  "test/core/election",
  "test/core/wire/journal_test.ts",
  "test/core/wire/journal_cipher_test.ts",
  "test/core/base/vault_test.ts",
  "test/core/tables",
  "test/core/catalog",
  "test/core/client",
  "test/core/node",
  "test/core/system",
  "test/core/placement",
  "test/core/membership",
];
/** A mutant that keeps a run from ending is given up after this long. */
const HUNT_MS_MAX = 180_000;

interface Options {
  readonly mutants: readonly Mutant[];
  readonly seeds: number | null;
  readonly jobs: number;
  readonly json: boolean;
}

class UsageError extends Error {}

function optionsFrom(args: readonly string[]): Options {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { seeds: { type: "string" }, jobs: { type: "string" }, json: { type: "boolean" } },
    allowPositionals: true,
  });
  const mutants = positionals.map((name) => {
    const found = MUTANTS.find((mutant) => mutant.name === name);
    if (found === undefined) {
      throw new UsageError(`No mutant "${name}"; there are ${MUTANTS.map((m) => m.name).join(", ")}`);
    }
    return found;
  });
  return {
    mutants: mutants.length === 0 ? MUTANTS : mutants,
    seeds: values.seeds === undefined ? null : count("--seeds", values.seeds),
    jobs: values.jobs === undefined ? 2 : count("--jobs", values.jobs),
    json: values.json ?? false,
  };
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new UsageError(`The option ${name} is an integer from 1, not "${text}"`);
}

/** A copy of the tree that one job works in. */
class Copy {
  readonly #folder: string;

  constructor() {
    this.#folder = Deno.makeTempDirSync({ prefix: "space-opera-mutants-" });
    for (const path of COPIED) copy(join(ROOT, path), join(this.#folder, path));
  }

  /** Hunts in this copy, with the mutant in it if there is one. */
  async hunt(mutant: Mutant | null, task: Task): Promise<Finding> {
    const path = mutant === null ? null : join(this.#folder, mutant.file);
    const source = path === null ? "" : Deno.readTextFileSync(path);
    if (path !== null && mutant !== null) Deno.writeTextFileSync(path, mutate(source, mutant));
    try {
      return await this.#inTurn(task);
    } finally {
      if (path !== null) Deno.writeTextFileSync(path, source);
    }
  }

  async #inTurn({ hunts, seeds }: Task): Promise<Finding> {
    const random = hunts.filter((name) => name !== TESTS);
    const steps = [
      ...(random.length > 0 ? [() => this.#random({ hunts: random, seeds })] : []),
      ...(hunts.includes(TESTS) ? [() => this.#staged()] : []),
    ];
    if (hunts[0] === TESTS) steps.reverse();
    let sum: Finding = { caught: null, seeds: 0, virtualUs: 0, wallMs: 0 };
    for (const step of steps) {
      const { caught, seeds, virtualUs, wallMs } = await step();
      sum = {
        caught,
        seeds: sum.seeds + seeds,
        virtualUs: sum.virtualUs + virtualUs,
        wallMs: sum.wallMs + wallMs,
      };
      if (caught !== null) break;
    }
    return sum;
  }

  remove(): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }

  async #random(task: Task): Promise<Finding> {
    const args = [
      "run",
      "--no-check",
      "--no-prompt",
      "--allow-read",
      "test/mutants/hunter.ts",
      JSON.stringify(task),
    ];
    const { success, signal, stdout, stderr } = await this.#deno(args);
    if (success) return JSON.parse(stdout) as Finding;
    if (signal !== null) return { caught: null, seeds: 0, virtualUs: 0, wallMs: HUNT_MS_MAX };
    throw new Error(`The hunt failed: ${stderr}`);
  }

  async #staged(): Promise<Finding> {
    const began = performance.now();
    const { success, stdout, stderr } = await this.#deno([
      "test",
      "--no-check",
      "--no-prompt",
      "--allow-read",
      "--fail-fast",
      ...STAGED,
    ]);
    const found = { seeds: 0, virtualUs: 0, wallMs: Math.round(performance.now() - began) };
    if (success) return { caught: null, ...found };
    const failed = stdout.split("\n").find((text) => text.includes("... FAILED"));
    if (failed === undefined) throw new Error(`The staged tests could not be run: ${stderr}`);
    const detail = failed.replace(/ \.\.\. FAILED.*/, "");
    return { caught: { hunt: TESTS, seed: 0, check: "a staged test", detail }, ...found };
  }

  async #deno(args: readonly string[]) {
    const { success, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...args],
      cwd: this.#folder,
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(HUNT_MS_MAX),
    }).output();
    const text = new TextDecoder();
    return { success, signal, stdout: text.decode(stdout), stderr: text.decode(stderr) };
  }
}

function copy(from: string, to: string): void {
  if (Deno.statSync(from).isFile) {
    Deno.mkdirSync(dirname(to), { recursive: true });
    return Deno.copyFileSync(from, to);
  }
  for (const { name } of Deno.readDirSync(from)) copy(join(from, name), join(to, name));
}

/** Passes `items` through `copies`, one at a time in each; `done` is told of each as it is ready. */
async function share<T, R>(
  items: readonly T[],
  copies: readonly Copy[],
  work: (item: T, copy: Copy) => Promise<R>,
  done: (result: R) => void,
): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  await Promise.all(copies.map(async (copy) => {
    while (next < items.length) {
      const at = next++;
      done(results[at] = await work(items[at]!, copy));
    }
  }));
  return results;
}

async function main(args: readonly string[]): Promise<number> {
  const { mutants, seeds, jobs, json } = optionsFrom(args);
  const copies = Array.from({ length: jobs }, () => new Copy());
  try {
    const say = (text: string) => {
      if (!json) console.log(text);
    };
    const controls = await share(
      [...HUNTS.map(({ name }) => name), TESTS],
      copies,
      async (name, copy) => ({ hunt: name, ...await copy.hunt(null, { hunts: [name], seeds }) }),
      (control) => say(controlLine(control)),
    );
    if (controls.some(({ caught }) => caught !== null)) {
      console.error("The unmutated tree does not pass: mend that first");
      return 1;
    }
    say(headline());
    const hunted = await share(
      mutants,
      copies,
      async (mutant, copy): Promise<Hunted> => ({
        mutant,
        finding: await copy.hunt(mutant, { hunts: orderFor(mutant), seeds }),
      }),
      (one) => say(line(one)),
    );
    if (json) console.log(JSON.stringify({ controls, mutants: hunted }, null, 2));
    else console.log(summary(controls, hunted));
    return hunted.every(({ finding }) => finding.caught !== null) ? 0 : 1;
  } finally {
    for (const copy of copies) copy.remove();
  }
}

function orderFor({ first }: Mutant): string[] {
  const names = [...HUNTS.map(({ name }) => name), TESTS];
  return first === undefined ? names : [first, ...names.filter((name) => name !== first)];
}

if (import.meta.main) {
  try {
    Deno.exitCode = await main(Deno.args);
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof TypeError)) throw error;
    console.error(error.message);
    Deno.exitCode = 2;
  }
}
