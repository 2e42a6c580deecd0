/** `space-opera sim replay`: steps the same core through what a node recorded, and looks inside. */
import { basename, dirname } from "node:path";
import { Command } from "commander";
import { OPEN_VAULT, type Vault } from "../../core/base/vault.ts";
import {
  describeEffects,
  describeInput,
  describeMessage,
  describeRequest,
} from "../../core/wire/describe.ts";
import type { Input } from "../../core/wire/kernel.ts";
import {
  LifeReplay,
  type ReplayedState,
  type ReplayedStep,
  type StepResult,
} from "../../sim/recording_replay.ts";
import { openKeyring } from "../host/identity/opening.ts";
import { findLives, type LifeFiles } from "../host/recording_files.ts";
import { print, tell } from "../terminal.ts";
import { variable } from "./environment.ts";
import { UsageError } from "./errors.ts";
import { integerOption } from "./options.ts";

export interface ReplayFlags {
  readonly until?: Moment;
  readonly step?: number;
  readonly from?: number;
  readonly life?: number;
  readonly partition?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly data?: string;
  readonly keyring?: string;
  readonly passphraseFile?: string;
  readonly keyFile?: string;
}

/** Where in a life to stop: after so many steps, so long after its beginning, or at a time of day. */
export type Moment =
  | { readonly kind: "step"; readonly step: number }
  | { readonly kind: "elapsed"; readonly us: number }
  | { readonly kind: "wall"; readonly ms: number };

const STEP_MAX = Number.MAX_SAFE_INTEGER;

const EXAMPLES = `
Examples:
  space-opera sim replay flight
  space-opera sim replay flight.000007 --until 12.5s
  space-opera sim replay flight --life 2 --from 1200 --until 1210 --partition 3
  space-opera sim replay flight --life 2 --step 1207
  space-opera sim replay flight --until 2026-03-01T12:00:05Z
  space-opera sim replay flight --data d1

A recording is made by "space-opera node --record FILE" and holds one life of the node after the other.
In a network with keys it is encrypted: name the data directory of a node of that network, whose keyring opens it.`;

export function replayCommand(): Command {
  return new Command("replay")
    .description("step the same core through recordings of real nodes, and compare every step")
    .argument("<file...>", "names given to --record, or single parts of such recordings")
    .option("--life <n>", "only this one of the lives found", integerOption("--life", 1, STEP_MAX))
    .option(
      "--until <when>",
      "stop there and show the node: a step, a time such as 12.5s, or a date",
      momentOption,
    )
    .option("--step <n>", "show one step, and the node after it", integerOption("--step", 1, STEP_MAX))
    .option("--from <n>", "show all steps from this one on", integerOption("--from", 1, STEP_MAX))
    .option(
      "--partition <n>",
      "show only what concerns this partition",
      integerOption("--partition", 0, 1024),
    )
    .option("--data <dir>", "open encrypted recordings with the keyring of this data directory")
    .option("--keyring <file>", "open them with this keyring.json")
    .option("--passphrase-file <file>", "the passphrase that the keyring is sealed by")
    .option("--key-file <file>", "the key file that the keyring is sealed by")
    .option("--json", "print JSON: one line for each step that is shown, and one at the end")
    .option("--quiet", "print nothing where every step is as recorded")
    .addHelpText("after", EXAMPLES)
    .action(async (files: string[], flags: ReplayFlags) => runReplay(files, flags, await keysOf(flags)));
}

/** The keys of the keyring that was named. @throws {Error} where it cannot be opened */
async function keysOf({ data, keyring, passphraseFile, keyFile }: ReplayFlags): Promise<Vault> {
  if (data !== undefined && keyring !== undefined) {
    throw new UsageError("Options --data and --keyring both name a keyring: give one of them");
  }
  if (keyring !== undefined && basename(keyring) !== "keyring.json") {
    throw new UsageError(`Option --keyring takes a file named keyring.json, not "${keyring}"`);
  }
  const directory = data ?? (keyring === undefined ? null : dirname(keyring));
  if (directory === null) return OPEN_VAULT;
  const opened = await openKeyring({
    directory,
    env: variable,
    ...(passphraseFile === undefined ? {} : { passphraseFile }),
    ...(keyFile === undefined ? {} : { keyFile }),
  });
  return opened.toVault();
}

const UNIT_US: Readonly<Record<string, number>> = { us: 1, ms: 1000, s: 1e6, m: 60e6, h: 3600e6 };

function momentOption(text: string): Moment {
  if (/^\d+$/.test(text)) return { kind: "step", step: Number(text) };
  const elapsed = /^(\d+(?:\.\d+)?)(us|ms|s|m|h)$/.exec(text);
  if (elapsed !== null) {
    return { kind: "elapsed", us: Math.round(Number(elapsed[1]) * UNIT_US[elapsed[2]!]!) };
  }
  const ms = /^\d{4}-/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(ms)) {
    throw new UsageError(
      `Option --until takes a step, a time since the life began such as 12.5s, or a date such as 2026-03-01T12:00:05Z, not "${text}"`,
    );
  }
  return { kind: "wall", ms };
}

/** What came of one life. */
interface LifeSummary {
  readonly life: number;
  readonly node: string;
  readonly network: string;
  readonly origin: string;
  readonly began: string;
  readonly steps: number;
  readonly states: number;
  readonly elapsedUs: number;
  /** null: cut off, as by a kill. */
  readonly end: string | null;
}

/** @throws {Error} when a recording is damaged or a step was not as recorded */
export function runReplay(files: readonly string[], flags: ReplayFlags, vault: Vault = OPEN_VAULT): void {
  const lives = findLives(files, vault), summaries: LifeSummary[] = [];
  for (const number of chosen(lives, flags)) {
    const summary = new LifeRun(lives[number - 1]!, number, flags).run();
    if (summary !== null) summaries.push(summary);
  }
  if (summaries.length === 0) {
    throw new Error("Nothing could be replayed: let the node run longer before it is killed");
  }
  const steps = summaries.reduce((sum, life) => sum + life.steps, 0);
  const elapsedUs = summaries.reduce((sum, life) => sum + life.elapsedUs, 0);
  if (flags.json === true) print(JSON.stringify({ equal: true, lives: summaries, steps, elapsedUs }));
  else if (flags.quiet !== true) {
    const count = `${summaries.length} ${summaries.length === 1 ? "life" : "lives"}`;
    print(`${count}, ${steps} steps, ${seconds(elapsedUs)} of a node's time: every step as recorded`);
  }
}

/** The numbers of the lives to replay. */
function chosen(lives: readonly LifeFiles[], { life, until, step, from }: ReplayFlags): number[] {
  if (lives.length === 0) {
    throw new Error("The recording holds no life: the node was killed as it began to record");
  }
  if (life !== undefined) {
    if (life > lives.length) {
      throw new UsageError(`Option --life: there are ${lives.length} lives, not ${life}`);
    }
    return [life];
  }
  const all = lives.map((_, i) => i + 1);
  if (until?.kind === "wall") {
    const { ms } = until;
    const last = all.findLast((number) => wallMsOf(lives[number - 1]!) <= ms);
    if (last === undefined) throw new UsageError("Option --until names a time before the recording began");
    return [last];
  }
  const inside = until !== undefined || step !== undefined || from !== undefined;
  if (inside && lives.length > 1) {
    throw new UsageError(
      `Each life counts its steps and its time anew: name one of the ${lives.length} with --life\n${
        lives.map((found, i) => `  --life ${i + 1}   node ${found.header.node}, from ${iso(wallMsOf(found))}`)
          .join("\n")
      }`,
    );
  }
  return all;
}

/** When a life began, in milliseconds since 1970; never, where a crash left less than that. */
function wallMsOf(life: LifeFiles): number {
  for (const item of life.items()) return item.kind === "life" ? item.life.wallMs : Infinity;
  return Infinity;
}

/** Steps shown before one that is not as recorded. */
const STEPS_BEFORE = 5;

/** One life: replayed, and shown where asked for. */
class LifeRun {
  readonly #files: LifeFiles;
  readonly #number: number;
  readonly #flags: ReplayFlags;
  /** The last few steps, for the story of a difference. */
  readonly #before: { readonly number: number; readonly now: number; readonly input: Input }[] = [];

  constructor(files: LifeFiles, number: number, flags: ReplayFlags) {
    this.#files = files;
    this.#number = number;
    this.#flags = flags;
  }

  run(): LifeSummary | null {
    const replay = LifeReplay.open(() => this.#files.items());
    if (replay === null) {
      tell(
        `Life ${this.#number} ended, or its recording did, before its beginning was written: nothing to replay`,
      );
      return null;
    }
    if (this.#isTalking) print(this.#title(replay));
    try {
      return this.#steps(replay);
    } catch (error) {
      if (!(error instanceof Error) || error instanceof Difference) throw error;
      throw new Error(`${error.message}. The ${replay.steps} steps before it were as recorded`, {
        cause: error,
      });
    }
  }

  #steps(replay: LifeReplay): LifeSummary {
    const { step: only, from = only ?? Infinity } = this.#flags;
    let stopped = false;
    for (let found; !stopped && (found = replay.next()) !== null;) {
      if (!found.equal) throw new Difference(this.#difference(replay, found));
      if (found.kind === "state") continue;
      if (found.number >= from) this.#show(replay, found);
      stopped = only !== undefined ? found.number >= only : this.#isThere(replay);
      this.#before.push({ number: found.number, now: found.now, input: found.input });
      if (this.#before.length > STEPS_BEFORE) this.#before.shift();
    }
    if (only !== undefined && only > replay.steps) {
      throw new Difference(`Life ${this.#number} has ${replay.steps} steps, and no step ${only}`);
    }
    const summary = this.#summary(replay);
    if (this.#flags.until !== undefined && !stopped) {
      tell(
        `Life ${this.#number} ended, or its recording did, before --until: at step ${replay.steps}, ${
          seconds(replay.elapsedUs)
        } into it (${iso(wallMs(replay))})`,
      );
    }
    if (this.#isTalking) {
      if (stopped || this.#flags.until !== undefined) print(this.#look(replay));
      print(`  ${this.#ending(summary, stopped)}`);
    } else if (this.#flags.json === true && stopped) {
      print(JSON.stringify({ life: this.#number, step: replay.steps, node: this.#describe(replay) }));
    }
    return summary;
  }

  get #isTalking(): boolean {
    return this.#flags.json !== true && this.#flags.quiet !== true;
  }

  /** Whether --until has come. */
  #isThere(replay: LifeReplay): boolean {
    const { until } = this.#flags;
    switch (until?.kind) {
      case undefined:
        return false;
      case "step":
        return replay.steps >= until.step;
      case "elapsed":
        return replay.elapsedUs >= until.us;
      case "wall":
        return wallMs(replay) >= until.ms;
    }
  }

  #title({ life }: LifeReplay): string {
    const { program } = this.#files.header;
    return `Life ${this.#number}: node ${life.node} at ${life.address}, ${life.origin}, from ${
      iso(life.wallMs)
    }, recorded by version ${program}`;
  }

  #summary(replay: LifeReplay): LifeSummary {
    const { life, steps, states, elapsedUs, end } = replay;
    const { node, network, origin } = life;
    return {
      life: this.#number,
      node,
      network,
      origin,
      began: iso(life.wallMs),
      steps,
      states,
      elapsedUs,
      end,
    };
  }

  #ending({ steps, states, elapsedUs, end }: LifeSummary, stopped: boolean): string {
    const done = `${steps} steps in ${seconds(elapsedUs)} and ${states} recorded states, all as recorded`;
    if (stopped) return `${done} so far`;
    switch (end) {
      case null:
        return `${done}; the recording was cut off, as by a kill`;
      case "stopped":
        return `${done}; the node stopped as it was asked to`;
      case "failed":
        return `${done}; the node could not go on`;
      case "full":
        return `${done}; the recording had no more space (--record-bytes), the node went on`;
      default:
        return `${done}; it could not be written as fast as the node ran, which went on`;
    }
  }

  /** One step as it is shown, unless it does not concern the partition asked for. */
  #show(replay: LifeReplay, step: ReplayedStep): void {
    const { partition, json, quiet } = this.#flags;
    const input = inputLines(step.input);
    const effects = step.effects === null ? [] : describeEffects(step.effects);
    const isWanted = (line: string) => partition === undefined || concerns(line, partition);
    if (![...input, ...effects].some(isWanted)) return;
    const kept = effects.filter(isWanted);
    if (json === true) {
      const { number, now, replayed } = step;
      const us = now - replay.life.startedAt;
      const told = { life: this.#number, step: number, us, time: iso(wallMs(replay)) };
      print(JSON.stringify({ ...told, input: describeInput(step.input), effects: kept, ...hexOf(replayed) }));
    } else if (quiet !== true) {
      print([
        `${stamp(step.number, step.now - replay.life.startedAt)}  ${input[0]}`,
        ...input.slice(1).filter(isWanted).map((line) => `        ${line}`),
        ...kept.map((line) => `    → ${line}`),
        ...(step.replayed.kind === "broke" ? [`    ✗ ${step.replayed.message}`] : []),
      ].join("\n"));
    }
  }

  #describe(replay: LifeReplay): string[] {
    const { partition } = this.#flags, [node = "", ...replicas] = replay.describe();
    return partition === undefined
      ? [node, ...replicas]
      : [node, ...replicas.filter((line) => line.startsWith(`p${partition} `))];
  }

  #look(replay: LifeReplay): string {
    const when = `After step ${replay.steps}, ${seconds(replay.elapsedUs)} into this life, ${
      iso(wallMs(replay))
    }:`;
    return [`  ${when}`, ...this.#describe(replay).map((line) => `    ${line}`)].join("\n");
  }

  #difference(replay: LifeReplay, found: ReplayedStep | ReplayedState): string {
    const at = `Life ${this.#number}, step ${found.number}, ${seconds(replay.elapsedUs)} into it (${
      iso(wallMs(replay))
    })`;
    const before = this.#before.map(({ number, now, input }) =>
      `    ${stamp(number, now - replay.life.startedAt)}  ${describeInput(input)}`
    );
    if (found.kind === "state") {
      return [`${at}: the state is not as recorded`, ...found.differences.map((line) => `  ${line}`)].join(
        "\n",
      );
    }
    const effects = found.effects === null ? [] : describeEffects(found.effects);
    return [
      `${at}: not as recorded`,
      `  input     ${describeInput(found.input)}`,
      `  recorded  ${resultText(found.recorded)}`,
      `  replayed  ${resultText(found.replayed)}`,
      `  what the replayed step asks for:`,
      ...(effects.length === 0 ? ["    nothing"] : effects.map((line) => `    ${line}`)),
      `  the node after it:`,
      ...this.#describe(replay).map((line) => `    ${line}`),
      ...(before.length === 0 ? [] : [`  the steps before it, as recorded:`, ...before]),
      `Recorded by version ${this.#files.header.program}: only the same build is sure to do the same`,
    ].join("\n");
  }
}

/** A step or a state was not as recorded. */
class Difference extends Error {
  override readonly name = "Difference";
}

const LINE_CHARACTERS_MAX = 110;

/** An input in one line where it is short, else its parts in lines of their own. */
function inputLines(input: Input): string[] {
  const line = describeInput(input);
  if (line.length <= LINE_CHARACTERS_MAX) return [line];
  if (input.kind === "messages") {
    return [`messages from ${input.from}`, ...input.messages.map(describeMessage)];
  }
  if (input.kind === "requests") {
    return ["requests", ...input.requests.map((r) => `${r.client}/${r.id} ${describeRequest(r.request)}`)];
  }
  return [line];
}

function concerns(line: string, partition: number): boolean {
  return new RegExp(`\\bp${partition}\\b`).test(line);
}

function resultText(result: StepResult): string {
  if (result.kind === "broke") return `threw "${result.message}"`;
  const { fingerprint, digest } = hexOf(result);
  return `fingerprint ${fingerprint}, effects ${digest}`;
}

function hexOf(result: StepResult): Record<string, string> {
  if (result.kind === "broke") return { threw: result.message };
  return { fingerprint: hex(result.fingerprint), digest: hex(result.digest) };
}

function hex(word: number): string {
  return word.toString(16).padStart(8, "0");
}

function stamp(number: number, us: number): string {
  return `${String(number).padStart(7)} ${(us / 1e6).toFixed(6).padStart(12)} s`;
}

function seconds(us: number): string {
  return `${(us / 1e6).toFixed(3)} s`;
}

function iso(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : "an unknown time";
}

function wallMs({ life, elapsedUs }: LifeReplay): number {
  return life.wallMs + elapsedUs / 1000;
}
