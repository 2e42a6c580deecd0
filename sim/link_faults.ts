import type { Random } from "../core/base/random.ts";
import { unreachable } from "../core/base/invariant.ts";
import type { FaultOf, FaultStage } from "./fault_stage.ts";
import { happens } from "./network.ts";

export type LinkFault = FaultOf<"partition" | "one-way" | "loss" | "latency">;

/** Does to the links between nodes what a scenario says. */
export class LinkFaults {
  readonly #stage: FaultStage;
  #lossBursts = 0;
  #latencyUs = 0;

  constructor(stage: FaultStage) {
    this.#stage = stage;
  }

  strike(fault: LinkFault, random: Random): void {
    switch (fault.do) {
      case "partition":
      case "one-way":
        return this.#partition(fault, random);
      case "loss":
        return this.#loss(fault, random);
      case "latency":
        return this.#latency(fault, random);
      default:
        return unreachable(fault);
    }
  }

  /** Cuts the targets off from all others; one-way: they hear, but are not heard, or the reverse. */
  #partition(fault: FaultOf<"partition" | "one-way">, random: Random): void {
    const { world, cluster } = this.#stage;
    const inside = this.#stage.targets(fault, random), within = new Set(inside);
    const outside = cluster.machines.filter((machine) => machine.life > 0 && !within.has(machine));
    const [outward, inward] = fault.do === "partition"
      ? [true, true]
      : random.chance(1, 2)
      ? [true, false]
      : [false, true];
    const noticed = happens(random, fault.noticed);
    for (const one of inside) {
      for (const other of outside) {
        if (outward) world.cut(one, other, noticed);
        if (inward) world.cut(other, one, noticed && !outward);
      }
    }
    this.#stage.later(fault.for, random, () => {
      for (const one of inside) {
        for (const other of outside) {
          if (outward) world.heal(one, other);
          if (inward) world.heal(other, one);
        }
      }
    });
    this.#stage.note(fault.do, inside);
  }

  #loss(fault: FaultOf<"loss">, random: Random): void {
    const { network } = this.#stage.world;
    this.#lossBursts++;
    network.setLoss(fault.loss);
    this.#stage.later(fault.for, random, () => {
      if (--this.#lossBursts === 0) network.setLoss(null);
    });
    this.#stage.note("loss", []);
  }

  #latency(fault: FaultOf<"latency">, random: Random): void {
    const add = (us: number) => this.#stage.world.network.setExtraLatency(this.#latencyUs += us);
    add(fault.by);
    this.#stage.later(fault.for, random, () => add(-fault.by));
    this.#stage.note("latency", []);
  }
}
