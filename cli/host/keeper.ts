/**
 * What a node does for objects besides serving them: now and then it goes through the partitions that it leads, ends what
 * was left half done by clients that are gone, and removes what the buckets' rules say has become old. Any number of nodes
 * may do it at once (core/objects/programs/maintain.ts), so nothing is lost when leaders change in between.
 */
import type { Logger } from "@logtape/logtape";
import type { PartitionId } from "../../core/base/ids.ts";
import { maintain } from "../../core/objects/programs/maintain.ts";
import { World } from "../../core/objects/programs/world.ts";
import { ObjectError } from "../../core/objects/types.ts";
import { partitionOf } from "../../core/placement/key.ts";
import { drive, type Requests } from "../objects/drive.ts";

/** Rules count in days, and what is half done takes space for this long at most. */
const EVERY_MS = 10 * 60_000;
/** A node that has just come up has other things to do. */
const FIRST_MS = 60_000;
/** Rows that one call looks at. */
const ROWS_MAX = 1000;
/** Between calls: what clients ask comes first. */
const PAUSE_MS = 50;

export interface KeeperOptions {
  /** Asks as the member that the node is. */
  readonly requests: Requests;
  readonly log: Logger;
  readonly everyMs?: number;
  readonly firstMs?: number;
}

export class Keeper {
  readonly #options: KeeperOptions;
  readonly #world = new World({ partitionOf, sizes: {} });
  readonly #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#after(options.firstMs ?? FIRST_MS);
  }

  stop(): void {
    this.#stop.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #after(ms: number): void {
    this.#timer = setTimeout(async () => {
      await this.#round();
      if (!this.#stop.signal.aborted) this.#after(this.#options.everyMs ?? EVERY_MS);
    }, ms);
  }

  async #round(): Promise<void> {
    try {
      for (const partition of await this.#led()) await this.#keep(partition);
    } catch (error) {
      // The next round begins where this one did; what cannot be reached now can be later.
      if (!this.#stop.signal.aborted) {
        const why = error instanceof ObjectError ? error.message : String(error);
        this.#options.log.info("The upkeep of objects was broken off: {why}", { why });
      }
    }
  }

  async #led(): Promise<PartitionId[]> {
    const answer = await this.#options.requests.request({ kind: "status" });
    if (answer.kind !== "status") return [];
    return answer.status.replicas
      .filter(({ partition, role }) => partition > 0 && role === "leader")
      .map(({ partition }) => partition);
  }

  async #keep(partition: PartitionId): Promise<void> {
    const { requests, log } = this.#options, { signal } = this.#stop;
    for (let cursor: string | null = null;;) {
      const program = maintain(this.#world, { partition, cursor, rowsMax: ROWS_MAX });
      const { next, collected, expired, aborted, failed } = await drive(program, { requests, signal });
      if (collected + expired + aborted > 0) {
        log.info(
          "Of objects in partition {partition}: {collected} deletions ended, {expired} versions expired, {aborted} uploads aborted",
          { partition, collected, expired, aborted },
        );
      }
      // Names of objects are their users' affair, and none of a log's.
      if (failed.length > 0) {
        log.warn("{count} rows of objects in partition {partition} cannot be kept up; they stay", {
          count: failed.length,
          partition,
        });
      }
      if (next === null || signal.aborted) return;
      cursor = next;
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
  }
}
