/** All that a run does for objects: clients, the nodes' own upkeep, and what is looked at in the end. */
import type { Random } from "../../core/base/random.ts";
import { partitionOf } from "../../core/placement/key.ts";
import type { Cluster } from "../cluster.ts";
import type { Login } from "../clients.ts";
import type { Scenario } from "../scenario.ts";
import type { Sometimes } from "../sometimes.ts";
import type { World } from "../world.ts";
import { Audit } from "./audit.ts";
import type { ObjectsOptions } from "./options.ts";
import { Keepers } from "./keepers.ts";
import { ObjectWorkload } from "./workload.ts";

export interface ObjectsSummary {
  readonly operations: number;
  /** Cut short by the end of a client. */
  readonly died: number;
  readonly refusals: readonly (readonly [string, number])[];
  /** Rows of garbage that nodes were done with. */
  readonly collected: number;
}

export class ObjectStage {
  readonly workload: ObjectWorkload;
  readonly audit: Audit;
  readonly keepers: Keepers;
  readonly options: ObjectsOptions;
  #final: ReturnType<ObjectWorkload["readAll"]> | null = null;

  constructor(options: {
    readonly world: World;
    readonly cluster: Cluster;
    readonly scenario: Scenario;
    readonly objects: ObjectsOptions;
    readonly random: Random;
    readonly sometimes: Sometimes;
    readonly login: Login | undefined;
  }) {
    const { world, cluster, scenario, objects, random, sometimes, login } = options;
    this.options = objects;
    this.workload = new ObjectWorkload({ world, objects, random, sometimes, login, partitionOf });
    const { partitions } = scenario.cluster.settings;
    this.keepers = new Keepers({
      world,
      everyUs: objects.collect,
      random: random.fork("upkeep"),
      sometimes,
      clientOf: ({ id }) => {
        const who: Login | undefined = login === undefined
          ? undefined
          : { who: { kind: "member", node: id } };
        return this.workload.upkeepClient(`upkeep ${id}`, who);
      },
    });
    this.audit = new Audit({
      world,
      cluster,
      client: this.workload.client("auditor"),
      partitions,
      sometimes,
    });
  }

  start(): void {
    this.workload.start();
    this.keepers.start();
  }

  /** Reads all that is there; true when it has. */
  readAll(): () => boolean {
    const final = this.#final = this.workload.readAll();
    return final.done;
  }

  summary(): ObjectsSummary {
    const { completed: operations, died, refusals } = this.workload;
    return { operations, died, refusals: [...refusals], collected: this.keepers.collected };
  }

  get lost(): readonly string[] {
    if (this.#final === null) return ["nothing was read in the end"];
    return this.#final.done()
      ? this.#final.problems
      : ["not everything could be read in time", ...this.#final.problems];
  }
  get versionsRead(): number {
    return this.#final?.read() ?? 0;
  }
}
