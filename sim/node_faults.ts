import { unreachable } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import { drawn, type FaultOf, type FaultStage } from "./fault_stage.ts";
import type { Machine } from "./machine.ts";
import { happens } from "./network.ts";

export type NodeFault = FaultOf<
  "crash" | "restart" | "leave" | "drain" | "join" | "slow" | "jump" | "drift"
>;

/** Does to nodes and their clocks what a scenario says. */
export class NodeFaults {
  readonly #stage: FaultStage;

  constructor(stage: FaultStage) {
    this.#stage = stage;
  }

  strike(fault: NodeFault, random: Random): void {
    switch (fault.do) {
      case "crash":
        return this.#crash(fault, random);
      case "restart":
        return this.#restart(fault, random);
      case "leave":
        return this.#leave(fault, random);
      case "drain":
        return this.#drain(fault, random);
      case "join":
        return this.#join(fault);
      case "slow":
        return this.#slow(fault, random);
      case "jump":
        return this.#jump(fault, random);
      case "drift":
        return this.#drift(fault, random);
      default:
        return unreachable(fault);
    }
  }

  #crash(fault: FaultOf<"crash">, random: Random): void {
    const { world } = this.#stage;
    const crash = (machine: Machine) => {
      machine.retired ||= fault.forever;
      world.crash(machine, happens(random, fault.silent));
      if (!fault.forever) this.#stage.later(fault.for, random, () => world.restart(machine));
    };
    this.#stage.note("crash", this.#struck(fault, random, crash));
  }

  /** One after the other, each away for the time given: a rolling restart where all are meant. */
  #restart(fault: FaultOf<"restart">, random: Random): void {
    const { world } = this.#stage, machines = this.#stage.targets(fault, random);
    let at = world.loop.now;
    for (const machine of machines) {
      const away = drawn(fault.for ?? { min: 1_000_000, max: 1_000_000 }, random);
      world.schedule(at, () => this.#stage.over || world.stop(machine));
      world.schedule(at + away, () => this.#stage.startAgain(machine, machine.life));
      at += 2 * away;
    }
    this.#stage.note("restart", machines);
  }

  #leave(fault: FaultOf<"leave">, random: Random): void {
    const { world } = this.#stage;
    const leave = (machine: Machine) => {
      machine.retired ||= fault.forever;
      world.stop(machine);
      const life = machine.life;
      if (!fault.forever) this.#stage.later(fault.for, random, () => this.#stage.startAgain(machine, life));
    };
    this.#stage.note("leave", this.#struck(fault, random, leave));
  }

  /** Strikes the targets; where they never come back, as many as the budget allows. */
  #struck(
    fault: FaultOf<"crash" | "leave">,
    random: Random,
    strike: (machine: Machine) => void,
  ): Machine[] {
    const hurt = (machine: Machine) => {
      strike(machine);
      return true;
    };
    if (fault.forever) return this.#stage.victims(fault, random, { latent: false, hurt });
    const machines = this.#stage.targets(fault, random);
    for (const machine of machines) strike(machine);
    return machines;
  }

  #drain(fault: FaultOf<"drain">, random: Random): void {
    const machines: Machine[] = [];
    for (const machine of this.#stage.targets(fault, random)) {
      if (!this.#stage.mayDrain(machine)) continue;
      this.#stage.cluster.drain(machine);
      machines.push(machine);
    }
    this.#stage.note("drain", machines);
  }

  #join(fault: FaultOf<"join">): void {
    const machines: Machine[] = [];
    for (let i = 0; i < (fault.count ?? 1); i++) {
      const machine = this.#stage.cluster.join();
      if (machine !== null) machines.push(machine);
    }
    this.#stage.note("join", machines);
  }

  #slow(fault: FaultOf<"slow">, random: Random): void {
    const { world } = this.#stage, machines = this.#stage.targets(fault, random);
    for (const machine of machines) world.slow(machine, fault.by);
    this.#stage.later(fault.for, random, () => machines.forEach((machine) => world.slow(machine, 0)));
    this.#stage.note("slow", machines);
  }

  #jump(fault: FaultOf<"jump">, random: Random): void {
    const { world } = this.#stage, machines = this.#stage.targets(fault, random);
    for (const machine of machines) world.jumpClock(machine, drawn(fault.by, random));
    this.#stage.note("jump", machines);
  }

  #drift(fault: FaultOf<"drift">, random: Random): void {
    const { world } = this.#stage, machines = this.#stage.targets(fault, random);
    const before = machines.map((machine) => machine.clock.driftPpm);
    for (const machine of machines) world.setDrift(machine, fault.ppm);
    this.#stage.later(fault.for, random, () => {
      for (const [i, machine] of machines.entries()) world.setDrift(machine, before[i]!);
    });
    this.#stage.note("drift", machines);
  }
}
