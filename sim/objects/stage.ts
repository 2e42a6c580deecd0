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
import { ObjectWorkload } from "./workload.ts";

export class ObjectStage {
  readonly workload: ObjectWorkload;
  readonly audit: Audit;
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
    this.audit = new Audit({ world, cluster, client: this.workload.client("auditor"), partitions });
  }

  /** Reads all that is there; true when it has. */
  readAll(): () => boolean {
    const final = this.#final = this.workload.readAll();
    return final.done;
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
