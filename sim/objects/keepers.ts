/** What hosts do for objects besides serving them: each maintains the partitions that its node leads, now and then. */
import type { PartitionId } from "../../core/base/ids.ts";
import type { Random } from "../../core/base/random.ts";
import { maintain } from "../../core/objects/programs/maintain.ts";
import { inspect } from "../inspect.ts";
import type { Machine } from "../machine.ts";
import type { Sometimes } from "../sometimes.ts";
import type { ObjectClient } from "./client.ts";

/** Rows of one call. */
const ROWS_MAX = 20;

export interface KeepersWorld {
  readonly machines: readonly Machine[];
  readonly loop: { readonly now: number };
  schedule(time: number, action: () => void): void;
  violate(check: string, detail: string): void;
}

export class Keepers {
  readonly #world: KeepersWorld;
  readonly #everyUs: number;
  readonly #random: Random;
  readonly #sometimes: Sometimes;
  readonly #clientOf: (machine: Machine) => ObjectClient;
  /** By machine: its client, and the life of the machine it works for. */
  readonly #keepers: { readonly client: ObjectClient; life: number }[] = [];
  collected = 0;

  constructor(options: {
    readonly world: KeepersWorld;
    readonly everyUs: number;
    readonly random: Random;
    readonly sometimes: Sometimes;
    readonly clientOf: (machine: Machine) => ObjectClient;
  }) {
    this.#world = options.world;
    this.#everyUs = options.everyUs;
    this.#random = options.random;
    this.#sometimes = options.sometimes;
    this.#clientOf = options.clientOf;
  }

  start(): void {
    const { machines } = this.#world;
    // Machines come later, too.
    while (this.#keepers.length < machines.length) {
      const machine = machines[this.#keepers.length]!;
      this.#keepers.push({ client: this.#clientOf(machine), life: machine.life });
    }
    for (const [i, keeper] of this.#keepers.entries()) this.#look(machines[i]!, keeper);
    const next = this.#world.loop.now + 1 + this.#random.below(2 * this.#everyUs);
    this.#world.schedule(next, () => this.start());
  }

  #look(machine: Machine, keeper: { readonly client: ObjectClient; life: number }): void {
    if (keeper.life !== machine.life || !machine.running) {
      // Its process is gone, and with it what it was about.
      if (!keeper.client.idle) {
        this.#sometimes.fire("upkeep of objects broken off");
        keeper.client.restart();
      }
      keeper.life = machine.life;
    }
    if (!machine.running || !keeper.client.idle || machine.evicted) return;
    const led = (inspect(machine.kernel)?.replicas() ?? [])
      .filter(({ partition, replica }) => partition > 0 && replica.isLeader)
      .map(({ partition }) => partition);
    this.#keep(keeper.client, led, null);
  }

  #keep(client: ObjectClient, partitions: readonly PartitionId[], cursor: string | null): void {
    const [partition, ...rest] = partitions;
    if (partition === undefined) return;
    client.run({
      program: (programs) => maintain(programs, { partition, cursor, rowsMax: ROWS_MAX }),
      done: (outcome) => {
        if (outcome.kind === "threw") {
          const { error } = outcome;
          const why = error instanceof Error ? error.stack ?? error.message : String(error);
          this.#world.violate("nothing is left over of objects", `upkeep threw ${why}`);
        }
        if (outcome.kind !== "done") return this.#keep(client, rest, null);
        const { collected, next, failed } = outcome.value;
        this.collected += collected;
        if (collected > 0) this.#sometimes.fire("garbage of objects collected by another");
        if (failed.length > 0) {
          this.#world.violate("nothing is left over of objects", `upkeep cannot read ${failed.join()}`);
        }
        this.#keep(client, next === null ? rest : partitions, next);
      },
    });
  }
}
