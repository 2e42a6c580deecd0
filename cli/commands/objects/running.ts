/** Carries what a transfer is made of, several things at a time, and tells how it goes. */
import { InvariantError } from "../../../core/base/invariant.ts";
import type { ObjectVersion } from "../../../core/objects/types.ts";
import { print, Progress, shown, tell } from "../../terminal.ts";
import { isPassing } from "./connected.ts";
import type { CountBytes } from "./uploading.ts";

/** One thing to carry. */
export interface Task {
  readonly from: string;
  /** null: nowhere, it is known to fail. */
  readonly to: string | null;
  /** null: not known before it is done. */
  readonly bytes: number | null;
  /** Broken off, it goes on where it was. */
  readonly resumes: boolean;
  readonly run: (progress: CountBytes) => Promise<ObjectVersion | null>;
}

export interface RunFlags {
  readonly parallel: number;
  readonly quiet?: true;
  readonly json?: boolean;
}

/** As a shell tells of a program that a signal ended. */
const CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** Ctrl-C asks `use` to stop: what it has begun is put in order. A second one ends at once. */
export async function withSignal<T>(use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let code = 0;
  const listeners = (["SIGINT", "SIGTERM"] as const).map((name) => {
    const stop = () => {
      if (code !== 0) Deno.exit(code);
      code = CODES[name];
      controller.abort();
    };
    Deno.addSignalListener(name, stop);
    return () => Deno.removeSignalListener(name, stop);
  });
  try {
    return await use(controller.signal);
  } catch (error) {
    if (code === 0) throw error;
    tell(error instanceof Stopped ? error.message : "Stopped");
    return Deno.exit(code);
  } finally {
    for (const remove of listeners) remove();
  }
}

/** Somebody asked for it. */
class Stopped extends Error {}

export async function runAll(
  tasks: readonly Task[],
  { parallel, quiet, json }: RunFlags,
  signal: AbortSignal,
): Promise<void> {
  const total = tasks.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  const isKnown = tasks.every(({ bytes }) => bytes !== null);
  const label = tasks.length === 1 ? tasks[0]!.to ?? tasks[0]!.from : `${tasks.length} objects`;
  const progress = quiet ? null : new Progress(label, isKnown ? total : null, "bytes");
  const failures: { readonly from: string; readonly error: Error }[] = [];
  let next = 0, done = 0;
  await Promise.all(Array.from({ length: parallel }, async () => {
    for (let task = tasks[next++]; task !== undefined && !signal.aborted; task = tasks[next++]) {
      const { from, to, run } = task;
      let counted = 0;
      try {
        const version = await run((bytes, kept) => {
          counted += bytes;
          progress?.add(bytes, kept);
        });
        done++;
        if (json && version !== null) print(JSON.stringify({ from, to, ...known(version) }));
      } catch (error) {
        if (!isExpected(error)) throw error;
        progress?.add(-counted);
        failures.push({ from, error });
      }
    }
  }));
  const [first] = failures;
  if (signal.aborted) {
    progress?.clear();
    const how = tasks.some(({ resumes }) => resumes) ? ", and it goes on where it was" : "";
    throw new Stopped(`Stopped, ${done} of ${tasks.length} done; give the same command again${how}`);
  }
  if (tasks.length === 1 && first !== undefined) {
    progress?.clear();
    throw tasks[0]!.resumes && isPassing(first.error)
      ? new Error(`${first.error.message}. Give the same command again, and it goes on where it was`)
      : first.error;
  }
  progress?.end();
  for (const { from, error } of failures) tell(`${shown(from)}: ${error.message}`);
  if (failures.length > 0) {
    throw new Error(
      `${failures.length} of ${tasks.length} failed, ${done} done; mend what is said above, and give the same command again`,
    );
  }
}

function known({ bytes, etag, id, isNull }: ObjectVersion) {
  return { bytes, etag, version: isNull ? null : id };
}

/** What is wrong with one thing does not keep the others from being carried; a mistake in the program does. */
function isExpected(error: unknown): error is Error {
  return error instanceof Error &&
    !(error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError ||
      error instanceof InvariantError);
}
