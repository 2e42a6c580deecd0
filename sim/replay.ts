import { describeInput } from "../core/wire/describe.ts";
import { DIGEST_INTERVAL, firstDifferingInterval } from "./digest.ts";
import type { Tracer } from "./observer.ts";
import { Run, type RunOptions, type RunResult } from "./run.ts";

/** One step of a node, as it is compared between two runs. */
export interface StepRecord {
  readonly number: number;
  readonly time: number;
  readonly sequence: number;
  readonly node: string;
  readonly input: string;
  readonly fingerprint: number;
}

export type ReplayResult =
  | { readonly kind: "equal"; readonly first: RunResult }
  /** `step` is null where the runs differ in nothing but how many steps they have. */
  | {
    readonly kind: "different";
    readonly first: RunResult;
    readonly second: RunResult;
    readonly step: { readonly left: StepRecord | null; readonly right: StepRecord | null } | null;
  };

/**
 * Runs a scenario twice, the second time with every frame through the real codec, and compares. Where they differ, both
 * run once more to find the first differing step.
 */
export function checkReplay(options: RunOptions): ReplayResult {
  return compareRuns({ ...options, fullCodec: false }, { ...options, fullCodec: true });
}

/** Runs both and compares. */
export function compareRuns(left: RunOptions, right: RunOptions): ReplayResult {
  const first = new Run(left).run(), second = new Run(right).run();
  if (first.digest === second.digest && first.steps === second.steps) return { kind: "equal", first };
  const interval = firstDifferingInterval(first.digestCheckpoints, second.digestCheckpoints);
  const [from, to] = [interval * DIGEST_INTERVAL, (interval + 1) * DIGEST_INTERVAL];
  const lefts = stepsOf(left, from, to), rights = stepsOf(right, from, to);
  for (let i = 0; i < Math.max(lefts.length, rights.length); i++) {
    const one = lefts[i] ?? null, other = rights[i] ?? null;
    if (JSON.stringify(one) !== JSON.stringify(other)) {
      return { kind: "different", first, second, step: { left: one, right: other } };
    }
  }
  return { kind: "different", first, second, step: null };
}

/** The steps numbered `from` to `to`, the first included. */
function stepsOf(options: RunOptions, from: number, to: number): StepRecord[] {
  const steps: StepRecord[] = [];
  let number = 0;
  const tracer: Tracer = (machine, input, _effects, time, sequence) => {
    const at = number++;
    if (at < from || at >= to) return;
    const fingerprint = machine.kernel?.fingerprint() ?? 0;
    steps.push({ number: at, time, sequence, node: machine.id, input: describeInput(input), fingerprint });
  };
  new Run({ ...options, tracer }).run();
  return steps;
}
