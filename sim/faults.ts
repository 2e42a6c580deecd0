import { unreachable } from "../core/base/invariant.ts";
import type { Settings } from "../core/base/limits.ts";
import type { Random } from "../core/base/random.ts";
import type { Cluster } from "./cluster.ts";
import { DiskFaults } from "./disk_faults.ts";
import { type FaultEvent, FaultStage } from "./fault_stage.ts";
import { LinkFaults } from "./link_faults.ts";
import { NodeFaults } from "./node_faults.ts";
import { FragmentFaults } from "./objects/faults.ts";
import type { AccessBook } from "./security/access.ts";
import { SecurityFaults } from "./security/faults.ts";
import type { BudgetMode } from "./scenario.ts";
import type { Fault, FaultKind } from "./scenario_faults.ts";
import type { World } from "./world.ts";

export type { FaultEvent } from "./fault_stage.ts";

/**
 * Does to a running network what a scenario says. What a fault broke is repaired when its time is over, at the latest
 * by heal(). Each entry of the scenario has its own stream of randomness.
 */
export class FaultInjector {
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly #stage: FaultStage;
  readonly #nodes: NodeFaults;
  readonly #links: LinkFaults;
  readonly #disks: DiskFaults;
  readonly #fragments: FragmentFaults;
  readonly #security: SecurityFaults;

  constructor(
    options: {
      readonly world: World;
      readonly cluster: Cluster;
      readonly random: Random;
      readonly settings: Settings;
      readonly budget: BudgetMode;
      /** Of a private network. */
      readonly access: AccessBook | null;
      readonly objects: boolean;
    },
  ) {
    this.#world = options.world;
    this.#cluster = options.cluster;
    this.#random = options.random;
    this.#stage = new FaultStage(options);
    this.#nodes = new NodeFaults(this.#stage);
    this.#links = new LinkFaults(this.#stage);
    this.#disks = new DiskFaults(this.#stage);
    this.#fragments = new FragmentFaults(this.#stage);
    this.#security = new SecurityFaults(this.#stage, options.access);
  }

  get history(): readonly FaultEvent[] {
    return this.#stage.history;
  }
  get counts(): ReadonlyMap<FaultKind, number> {
    return this.#stage.counts;
  }

  /** Plans all faults of the next `duration` microseconds. */
  begin(faults: readonly Fault[], duration: number): void {
    const start = this.#world.loop.now;
    for (const [number, fault] of faults.entries()) {
      const random = this.#random.fork(`fault ${number}`);
      const end = start + Math.min(duration, fault.until ?? duration);
      const strike = () => {
        if (!this.#stage.over) this.#strike(fault, random);
      };
      if (fault.at !== undefined) {
        if (fault.at <= duration) this.#world.schedule(start + fault.at, strike);
        continue;
      }
      // Random times are between nothing and twice the average apart.
      const gap = () => fault.every ?? 1 + random.below(2 * fault.rate!);
      for (let time = start + fault.from + gap(); time < end; time += gap()) {
        this.#world.schedule(time, strike);
      }
    }
  }

  /** Ends all faults: repairs every link, clock rate and disk, and starts who is not to stay away. */
  heal(): void {
    this.#stage.end();
    this.#world.network.healAll();
    for (const machine of [...this.#cluster.machines]) {
      this.#world.slow(machine, 0);
      machine.syncFailure = null;
      if (machine.stopping) this.#stage.startAgain(machine, machine.life);
      else this.#world.restart(machine);
    }
  }

  #strike(fault: Fault, random: Random): void {
    switch (fault.do) {
      case "crash":
      case "restart":
      case "leave":
      case "drain":
      case "join":
      case "slow":
      case "jump":
      case "drift":
        return this.#nodes.strike(fault, random);
      case "partition":
      case "one-way":
      case "loss":
      case "latency":
        return this.#links.strike(fault, random);
      case "rot":
      case "misdirect":
      case "lost-write":
      case "lose-disk":
      case "full":
      case "slow-disk":
      case "sync-fails":
        return this.#disks.strike(fault, random);
      case "fragment-rot":
      case "fragment-stray":
      case "fragment-gone":
      case "lose-fragments":
      case "read-errors":
        return this.#fragments.strike(fault, random);
      case "evict":
      case "rotate-keys":
      case "invite":
      case "intrude":
      case "access-set":
      case "access-drop":
        return this.#security.strike(fault, random);
      default:
        return unreachable(fault);
    }
  }
}
