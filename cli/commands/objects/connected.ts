/** What every command on objects begins and ends with. */
import { ObjectError } from "../../../core/objects/types.ts";
import { RequestError } from "../../client/errors.ts";
import { openStore } from "../../objects/open_store.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { type ConnectFlags, withClient } from "../connection.ts";
import { UsageError } from "../errors.ts";

/** Runs `use` with the network's objects. `owner`: as whom, for what is made; "" in an open network. */
export async function withStore<T>(
  flags: ConnectFlags,
  use: (store: ObjectStore, owner: string) => Promise<T>,
): Promise<T> {
  try {
    return await withClient(
      flags,
      (client, profile) => use(openStore(client), profile?.access?.id ?? ""),
    );
  } catch (error) {
    throw asUsage(error);
  }
}

/** What cannot be, whatever the network holds, is the fault of who typed it. */
export function asUsage(error: unknown): unknown {
  return error instanceof ObjectError && error.problem === "invalid" ? new UsageError(error.message) : error;
}

/** What a part of a transfer may be tried again for. */
export function isPassing(error: unknown): boolean {
  if (error instanceof ObjectError) return error.problem === "unavailable";
  return error instanceof RequestError && ["timeout", "no-leader", "busy", "unsure"].includes(error.reason);
}

/** Tries `use` again while what failed may pass, `times` altogether and a little later each time. */
export async function persistently<T>(
  times: number,
  signal: AbortSignal,
  use: () => Promise<T>,
): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await use();
    } catch (error) {
      if (tries >= times || signal.aborted || !isPassing(error)) throw error;
      await new Promise((done) => setTimeout(done, 500 * tries));
    }
  }
}

/** Lets so many do their work at once; the others wait for their turn, in the order in which they came. */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  async through<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((turn) => this.#waiting.push(turn));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
