import type { NodeId } from "../core/base/ids.ts";
import type { Random } from "../core/base/random.ts";
import type { Settings } from "../core/base/limits.ts";
import { affordable, drainable, standingOf } from "./budget.ts";
import { type Cluster, leaders, names } from "./cluster.ts";
import type { Machine } from "./machine.ts";
import type { BudgetMode } from "./scenario.ts";
import type { Fault, FaultKind } from "./scenario_faults.ts";
import type { Span } from "./scenario_fields.ts";
import { FragmentBudget, type Loss } from "./objects/budget.ts";
import { formatDuration } from "./units.ts";
import type { World } from "./world.ts";

/** What was done to the network, when, for the report. */
export interface FaultEvent {
  readonly time: number;
  readonly kind: FaultKind;
  readonly what: string;
  readonly nodes: readonly NodeId[];
}

export type FaultOf<K extends FaultKind> = Extract<Fault, { do: K }>;

/** Which nodes a fault means. */
interface Target {
  readonly node?: string | undefined;
  readonly zone?: string | undefined;
  readonly count?: number | undefined;
  readonly share?: { readonly numerator: number; readonly denominator: number } | undefined;
  readonly leaders: boolean;
}

/** How often a node that was asked to stop is looked at. */
const STOP_LOOK_US = 100_000;

/** What all faults share: whom they strike, what they may hurt for good, and how what they broke is repaired. */
export class FaultStage {
  readonly world: World;
  readonly cluster: Cluster;
  readonly history: FaultEvent[] = [];
  readonly counts = new Map<FaultKind, number>();
  readonly #settings: Settings;
  readonly #budget: BudgetMode;
  /** Where there are objects. */
  readonly #fragments: FragmentBudget | null;
  /** Undoes what is broken now, by number. */
  readonly #repairs = new Map<number, () => void>();
  #nextRepair = 0;
  #over = false;

  constructor(
    options: {
      readonly world: World;
      readonly cluster: Cluster;
      readonly settings: Settings;
      readonly budget: BudgetMode;
      readonly objects: boolean;
    },
  ) {
    this.world = options.world;
    this.cluster = options.cluster;
    this.#settings = options.settings;
    this.#budget = options.budget;
    const { cluster } = options;
    this.#fragments = options.objects && options.budget !== "none"
      ? new FragmentBudget(
        () => cluster.machines.map((machine) => ({ chunks: machine.chunks, out: isOut(machine) })),
        () => cluster.view()?.members.filter(({ state }) => state === "active").length ?? 0,
      )
      : null;
  }

  /** The faults have ended. */
  get over(): boolean {
    return this.#over;
  }

  end(): void {
    this.#over = true;
    for (const repair of this.#repairs.values()) repair();
    this.#repairs.clear();
  }

  /** Repairs after the time given, or when the faults end. */
  later(span: Span | undefined, random: Random, repair: () => void): void {
    const number = this.#nextRepair++;
    this.#repairs.set(number, repair);
    if (span === undefined) return;
    this.world.schedule(this.world.loop.now + drawn(span, random), () => {
      if (this.#repairs.delete(number)) repair();
    });
  }

  /** Starts a node that was asked to stop, as soon as it has. */
  startAgain(machine: Machine, life: number): void {
    if (machine.life !== life) return;
    if (!machine.running) return this.world.restart(machine);
    this.world.schedule(this.world.loop.now + STOP_LOOK_US, () => this.startAgain(machine, life));
  }

  /** The running nodes that a fault names, in an order of its own. Draining ones are left in peace unless named. */
  targets(fault: Target, random: Random): Machine[] {
    const { all, count } = this.#candidates(fault, random);
    return all.slice(0, count);
  }

  /**
   * Those of the targets that may be hurt for good, each judged when all before it are hurt; where one may not, another
   * that the fault could mean. `hurt` returns false where nothing came of it.
   */
  victims(
    fault: Target,
    random: Random,
    options: { readonly latent: boolean; readonly hurt: (machine: Machine) => boolean },
  ): Machine[] {
    const { all, count } = this.#candidates(fault, random), struck: Machine[] = [];
    for (const machine of all) {
      if (struck.length === count) break;
      if (!machine.running || !this.#affords(machine, options.latent)) continue;
      // Whoever finds its journal damaged gets another name, and keeps its fragments.
      const bill = options.latent ? () => {} : this.#billFor(machine);
      if (bill !== null && options.hurt(machine)) {
        bill();
        struck.push(machine);
      }
    }
    return struck;
  }

  /** Whether a node may give its data away and go. */
  mayDrain(machine: Machine): boolean {
    if (this.#budget === "none") return true;
    if (!drainable(machine.id, this.cluster.machines.map(standingOf), this.#settings)) return false;
    // It goes when its partitions have moved, whether others have its fragments or not.
    return this.mayLose([{ chunks: machine.chunks, fragments: null }]);
  }

  /** Whether these fragments may be hurt for good. Who asks does it. */
  mayLose(losses: readonly Loss[]): boolean {
    if (this.#fragments === null) return true;
    if (!this.#fragments.affords(losses, this.world.loop.now)) return false;
    this.#fragments.bill(losses)();
    return true;
  }

  /** To be called when the machine is lost; null: it may not be. */
  #billFor({ chunks }: Machine): (() => void) | null {
    if (this.#fragments === null) return () => {};
    const losses = [{ chunks, fragments: null }];
    return this.#fragments.affords(losses, this.world.loop.now) ? this.#fragments.bill(losses) : null;
  }

  note(kind: FaultKind, machines: readonly Machine[]): void {
    const time = this.world.loop.now;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const what = `${formatDuration(time)} ${kind} ${names(machines)}`.trimEnd();
    this.history.push({ time, kind, what, nodes: machines.map(({ id }) => id) });
  }

  #affords(machine: Machine, latent: boolean): boolean {
    if (this.#budget === "none") return true;
    return affordable(machine.id, latent, this.cluster.machines.map(standingOf), this.#settings);
  }

  #candidates(fault: Target, random: Random): { readonly all: Machine[]; readonly count: number } {
    const running = this.cluster.running;
    if (fault.node !== undefined) {
      const all = running.filter((machine) => machine.id === fault.node);
      return { all, count: all.length };
    }
    const zone = fault.zone === undefined ? [] : running.filter((machine) => machine.zone === fault.zone);
    if (fault.zone !== undefined && fault.count === undefined && fault.share === undefined) {
      return { all: zone, count: zone.length };
    }
    const among = (fault.leaders ? leaders(running) : running).filter((machine) => !machine.draining);
    const count = fault.share === undefined
      ? fault.count ?? 1
      : Math.floor((running.length * fault.share.numerator) / fault.share.denominator);
    // A zone with a count or share: that many, the zone's first.
    const rest = random.shuffle(among.filter((machine) => !zone.includes(machine)));
    return { all: [...zone, ...rest], count: Math.max(count, zone.length) };
  }
}

export function drawn(span: Span, random: Random): number {
  return span.min + random.below(span.max - span.min + 1);
}

/** Its fragments are lost to the network, or will be. */
function isOut({ power, evicted, draining, retired }: Machine): boolean {
  return power === "lost" || power === "broken" || evicted || draining || retired;
}
