import type { PartitionId } from "../../core/base/ids.ts";
import { partitionOf } from "../../core/placement/key.ts";
import { SYSTEM_PARTITION } from "../../core/base/ids.ts";
import type { Origin } from "../../core/node/options.ts";
import type { Effects, Input } from "../../core/wire/kernel.ts";
import type { Cluster } from "../cluster.ts";
import type { Machine } from "../machine.ts";
import type { Observer } from "../observer.ts";
import type { Sometimes } from "../sometimes.ts";
import type { World } from "../world.ts";
import { loginOf } from "./access.ts";
import { EvictedProbe } from "./evicted_probe.ts";
import { Ledger } from "./ledger.ts";
import { type SecurityCheck, Sentinel } from "./sentinel.ts";

/** Puts the ledger and the sentinel to a run of a private network, from the view it begins with. */
export class Guard implements Observer {
  readonly #world: World;
  readonly #sometimes: Sometimes;
  #ledger: Ledger | null = null;
  #sentinel: Sentinel | null = null;
  #probe: EvictedProbe | null = null;
  #refused = 0;

  constructor(world: World, sometimes: Sometimes) {
    this.#world = world;
    this.#sometimes = sometimes;
  }

  watch(cluster: Cluster): void {
    const world = this.#world, sometimes = this.#sometimes, admission = cluster.admission!;
    cluster.onFounded = (view) => {
      const violate = (check: SecurityCheck, detail: string) => world.violate(check, detail);
      const ledger = this.#ledger = admission.ledger = new Ledger(view, violate);
      this.#sentinel = new Sentinel({
        ledger,
        machine: (id) => world.machine(id),
        violate,
        sometimes,
        shun: (machine) => this.#shun(machine),
      });
      world.hosts!.watcher = this.#sentinel;
    };
    admission.onRaceLost = () => sometimes.fire("invite raced for");
    admission.onRefused = (intrusion) => {
      this.#refused++;
      if (intrusion === "evicted-key") sometimes.fire("evicted key refused");
      else if (intrusion === "used-up") sometimes.fire("used invite refused");
      else sometimes.fire("stranger refused");
    };
  }

  /**
   * Whatever an evicted node does, its clients get away from it: with the generation that became current they go over to
   * an authority that signs nothing for it, as TLS and the client's profile have it in the real world.
   */
  #shun(machine: Machine): void {
    if (machine.shunned) return;
    machine.shunned = true;
    this.#world.schedule(this.#world.loop.now, () => this.#world.resetClients(machine));
  }

  /** For the checker of Raft, which knows what is committed. */
  readonly committed = (partition: PartitionId, index: number, term: number): void => {
    if (partition === SYSTEM_PARTITION) this.#ledger!.committed(index, term);
  };

  /** Evicted nodes that still think they lead are read at. */
  probeEvicted(keys: Iterable<string>, partitions: number): void {
    if (!this.#world.machines.some((machine) => machine.evicted && machine.running)) return;
    this.#probe = new EvictedProbe(this.#world);
    this.#probe.read(keys, (key) => partitionOf(key, partitions), loginOf("everything"));
  }
  get isProbing(): boolean {
    return this.#probe !== null && this.#probe.asked > 0;
  }

  // ---- Observer

  started(machine: Machine, origin: Origin): void {
    this.#sentinel!.started(machine, origin);
  }
  stepped(machine: Machine, input: Input, effects: Effects): void {
    this.#sentinel!.stepped(machine, input, effects);
  }
  halted(machine: Machine): void {
    this.#sentinel!.halted(machine);
  }

  // ---- for the report

  get evicted(): string {
    const evicted = this.#world.machines.filter((machine) => machine.evicted);
    return `${evicted.length} evicted, of whom ${evicted.filter(({ running }) => running).length} run on`;
  }

  describe(check: SecurityCheck): string {
    const sentinel = this.#sentinel!;
    switch (check) {
      case "secrets stay inside":
        return `${sentinel.secretsSeen} secrets handed over`;
      case "rights are kept":
        return `${sentinel.answersJudged} answers judged`;
      case "only the invited get in":
        return `${this.#refused} refused`;
      case "views follow from the log":
        return `${this.#ledger!.commands} entries of the system partition followed`;
    }
  }
}
