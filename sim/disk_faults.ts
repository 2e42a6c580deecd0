import { unreachable } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import { drawn, type FaultOf, type FaultStage } from "./fault_stage.ts";
import type { Machine } from "./machine.ts";

export type DiskFault = FaultOf<
  "rot" | "misdirect" | "lost-write" | "lose-disk" | "full" | "slow-disk" | "sync-fails"
>;
type SilentFault = FaultOf<"rot" | "misdirect" | "lost-write">;

/**
 * Does to disks what a scenario says. What is damaged silently is met when the node reads its disk again, at its next
 * start: so the node crashes some time after, unless something else stops it before.
 */
export class DiskFaults {
  readonly #stage: FaultStage;

  constructor(stage: FaultStage) {
    this.#stage = stage;
  }

  strike(fault: DiskFault, random: Random): void {
    switch (fault.do) {
      case "rot":
      case "misdirect":
      case "lost-write":
        return this.#damage(fault, random);
      case "lose-disk":
        return this.#lose(fault, random);
      case "full":
        return this.#fill(fault, random);
      case "slow-disk":
        return this.#slow(fault, random);
      case "sync-fails":
        return this.#failSync(fault, random);
      default:
        return unreachable(fault);
    }
  }

  #damage(fault: SilentFault, random: Random): void {
    const { world } = this.#stage;
    const hurt = (machine: Machine): boolean => {
      const { disk } = machine;
      const struck = fault.do === "rot" && fault.of === "tables"
        ? disk.damageTables(random)
        : disk.damageJournal(fault.do, random, world.loop.now);
      if (!struck) return false;
      // A write that went astray may have hit the tables, which lie on the same disk.
      if (fault.do === "misdirect" && random.chance(1, 4)) disk.damageTables(random);
      const life = machine.life, after = drawn(fault.crash, random);
      // Often before anything is written that proves what was struck to have been durable: then only a seal can.
      const atOnce = fault.crash.min === 0 && random.chance(1, 3);
      world.schedule(world.loop.now + (atOnce ? 0 : after), () => {
        if (this.#stage.over || machine.life !== life || !machine.running) return;
        world.crash(machine, random.chance(1, 4));
        this.#stage.later(fault.for, random, () => world.restart(machine));
      });
      return true;
    };
    this.#noteAny(fault.do, this.#stage.victims(fault, random, { latent: true, hurt }));
  }

  #lose(fault: FaultOf<"lose-disk">, random: Random): void {
    const hurt = (machine: Machine): boolean => {
      this.#stage.world.lose(machine);
      return true;
    };
    this.#noteAny("lose-disk", this.#stage.victims(fault, random, { latent: false, hurt }));
  }

  #fill(fault: FaultOf<"full">, random: Random): void {
    const { world } = this.#stage, machines = this.#stage.targets(fault, random);
    for (const machine of machines) {
      // The reserve is half of the room: what is left may be more, or less already.
      world.setRoom(machine, random.below(fault.room + 1), Math.ceil(fault.room / 2));
      machine.chunks.room = machine.disk.room;
    }
    this.#stage.later(fault.for, random, () => {
      for (const machine of machines) {
        world.setRoom(machine, Infinity, 0);
        machine.chunks.room = Infinity;
        if (machine.power === "down") world.restart(machine);
      }
    });
    this.#stage.note("full", machines);
  }

  #slow(fault: FaultOf<"slow-disk">, random: Random): void {
    const machines = this.#stage.targets(fault, random);
    const delay = (us: number) => {
      for (const { disk, chunks } of machines) disk.extraSyncUs = chunks.extraUs = us;
    };
    delay(fault.by);
    this.#stage.later(fault.for, random, () => delay(0));
    this.#stage.note("slow-disk", machines);
  }

  #failSync(fault: FaultOf<"sync-fails">, random: Random): void {
    const { world } = this.#stage, machines = this.#stage.targets(fault, random);
    for (const machine of machines) {
      world.failSync(machine, () => this.#stage.later(fault.for, random, () => world.restart(machine)));
    }
    this.#stage.note("sync-fails", machines);
  }

  /** Damage that found nobody it may strike did not happen. */
  #noteAny(kind: DiskFault["do"], machines: readonly Machine[]): void {
    if (machines.length > 0) this.#stage.note(kind, machines);
  }
}
