/** All that a run does for objects: clients, the nodes' own upkeep, and what is looked at in the end. */
import type { Random } from "../../core/base/random.ts";
import { partitionOf } from "../../core/placement/key.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { Cluster } from "../cluster.ts";
import type { Login } from "../clients.ts";
import type { Scenario } from "../scenario.ts";
import type { Sometimes } from "../sometimes.ts";
import type { World } from "../world.ts";
import { Audit } from "./audit.ts";
import type { ObjectsOptions } from "./options.ts";
import { Keepers } from "./keepers.ts";
import { Preload } from "./preload.ts";
import type { ObjectSightings } from "./sightings.ts";
import { ObjectWorkload } from "./workload.ts";

/** Of data that was there from the start. */
export interface RepairSummary {
  readonly bytes: number;
  /** Bytes of fragments that nodes were given by others, and what had to be at least. */
  readonly moved: number;
  readonly owed: number;
  readonly repairs: number;
  readonly repairedAt: number;
}

export interface ObjectsSummary {
  readonly operations: number;
  /** Cut short by the end of a client. */
  readonly died: number;
  readonly refusals: readonly (readonly [string, number])[];
  /** Rows of garbage that nodes were done with. */
  readonly collected: number;
  readonly repair: RepairSummary | null;
}

export class ObjectStage {
  readonly workload: ObjectWorkload;
  readonly audit: Audit;
  readonly keepers: Keepers;
  readonly options: ObjectsOptions;
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #preload: Preload | null;
  readonly #sightings: ObjectSightings;
  /** The view when it was put there. */
  #first: SystemView | null = null;
  #loaded = false;
  #final: ReturnType<ObjectWorkload["readAll"]> | null = null;

  constructor(options: {
    readonly world: World;
    readonly cluster: Cluster;
    readonly scenario: Scenario;
    readonly objects: ObjectsOptions;
    readonly random: Random;
    readonly sometimes: Sometimes;
    readonly login: Login | undefined;
    readonly sightings: ObjectSightings;
  }) {
    const { world, cluster, scenario, objects, random, sometimes, login } = options;
    this.options = objects;
    this.#world = world;
    this.#cluster = cluster;
    this.#sightings = options.sightings;
    this.workload = new ObjectWorkload({ world, objects, random, sometimes, login, partitionOf });
    const { partitions } = scenario.cluster.settings;
    this.#preload = objects.preload === undefined ? null : new Preload(objects.preload, {
      bucket: objects.buckets[0]!.name,
      random: random.fork("preload"),
      partitionOf: (key) => partitionOf(key, partitions),
    });
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

  /** Makes the buckets, and puts there what is to be there from the start; `ready` tells when all is. */
  prepare(): void {
    this.workload.prepare();
    const preload = this.#preload, view = this.#cluster.view();
    if (preload === null || view === null) return;
    this.#first = view;
    this.#world.chunkSource.derive = preload.derive;
    preload.place(view, new Map(this.#cluster.machines.map(({ id, chunks }) => [id, chunks])));
    this.workload.client("loader").run({
      program: () => preload.rows(),
      done: ({ kind }) => this.#loaded = kind === "done",
    });
  }

  get ready(): boolean {
    return this.workload.ready && (this.#preload === null || this.#loaded);
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
    return {
      operations,
      died,
      refusals: [...refusals],
      collected: this.keepers.collected,
      repair: this.repair(),
    };
  }

  /** What repair moved, and what it had to; null where nothing was there from the start. */
  repair(): RepairSummary | null {
    const view = this.#cluster.view();
    if (this.#preload === null || this.#first === null || view === null) return null;
    const { movedBytes: moved, repairs, repairedAt } = this.#sightings;
    return {
      bytes: this.#preload.bytes,
      moved,
      owed: this.#preload.owed(this.#first, view),
      repairs,
      repairedAt,
    };
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
