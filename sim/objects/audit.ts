/** Looks, again and again when the faults are over, whether disks and catalog agree. */
import { prefixEnd } from "../../core/base/bytes.ts";
import type { PartitionId } from "../../core/base/ids.ts";
import { ask, strange } from "../../core/objects/programs/ask.ts";
import type { Program } from "../../core/objects/types.ts";
import type { Response } from "../../core/wire/requests.ts";
import type { Cluster } from "../cluster.ts";
import type { Sometimes } from "../sometimes.ts";
import type { World } from "../world.ts";
import type { ObjectClient } from "./client.ts";
import { type ObjectRow, type SpaceReport, spaceReport } from "./space.ts";

const LOOK_US = 500_000;
const ROWS_PER_PAGE = 50;
/** What rows of objects begin with. Of secrets, which lie among them, nobody is shown a range. */
const KINDS = [..."bfgmopsuv"].map((letter) => `\u0001${letter}`);

export class Audit {
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #client: ObjectClient;
  readonly #partitions: number;
  readonly #sometimes: Sometimes;
  #report: SpaceReport | null = null;
  #failure: string | null = "nobody has looked yet";

  constructor(
    options: {
      readonly world: World;
      readonly cluster: Cluster;
      readonly client: ObjectClient;
      readonly partitions: number;
      readonly sometimes: Sometimes;
    },
  ) {
    this.#world = options.world;
    this.#cluster = options.cluster;
    this.#client = options.client;
    this.#partitions = options.partitions;
    this.#sometimes = options.sometimes;
  }

  /** Begins; goes on until all is well. */
  start(): void {
    this.#client.run({
      program: () => objectRows(this.#partitions),
      done: (outcome) => {
        const view = this.#cluster.view();
        if (outcome.kind === "done" && view !== null) {
          const shelves = this.#cluster.running.map(({ id: node, chunks }) => ({ node, chunks }));
          const report = spaceReport(outcome.value, view, shelves), before = this.#report;
          if (before !== null && before.pending > report.pending) {
            this.#sometimes.fire("pending segment expired");
          }
          this.#report = report;
          this.#failure = null;
        } else if (outcome.kind === "failed") this.#failure = outcome.error.message;
        else this.#failure = "no node has a view";
        if (!this.well) this.#world.schedule(this.#world.loop.now + LOOK_US, () => this.start());
      },
    });
  }

  get well(): boolean {
    return this.problems.length === 0 && this.rotten.length === 0;
  }
  get problems(): readonly string[] {
    return this.#failure === null
      ? this.#report?.problems ?? []
      : [`the rows were not read: ${this.#failure}`];
  }
  get rotten(): readonly string[] {
    return this.#report?.rotten ?? [];
  }
  get summary(): string {
    const { segments, fragments, versions } = this.#report ?? { segments: 0, fragments: 0, versions: 0 };
    return `${versions} versions, ${segments} segments, ${fragments} fragments`;
  }
}

/** All rows of objects, partition by partition. */
export function* objectRows(partitions: number): Program<ObjectRow[]> {
  const rows: ObjectRow[] = [];
  for (let partition = 1; partition <= partitions; partition++) {
    for (const kind of KINDS) yield* readSpan(partition as PartitionId, kind, rows);
  }
  return rows;
}

function* readSpan(partition: PartitionId, kind: string, rows: ObjectRow[]): Program<void> {
  for (let start: string | null = kind; start !== null;) {
    const response: Response = yield* ask({
      kind: "range",
      start,
      end: prefixEnd(kind),
      limit: ROWS_PER_PAGE,
      reverse: false,
      keysOnly: false,
      read: "linearizable",
      partition,
    });
    if (response.kind !== "values") throw strange(response);
    for (const { key, value } of response.items) {
      rows.push({ partition, key, value: value ?? new Uint8Array(0) });
    }
    start = response.next;
  }
}
