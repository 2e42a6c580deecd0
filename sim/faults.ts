import type { NodeId } from "../core/base/ids.ts";
import { unreachable } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import { type Cluster, leaders, names } from "./cluster.ts";
import type { Machine } from "./machine.ts";
import { happens } from "./network.ts";
import type { Fault, FaultKind, Span } from "./scenario.ts";
import { formatDuration } from "./units.ts";
import type { World } from "./world.ts";

/** What was done to the network, when, for the report. */
export interface FaultEvent {
  readonly time: number;
  readonly kind: FaultKind;
  readonly what: string;
  readonly nodes: readonly NodeId[];
}

/** How often a node that was asked to stop is looked at. */
const STOP_LOOK_US = 100_000;

type FaultOf<K extends FaultKind> = Extract<Fault, { do: K }>;

/**
 * Does to a running network what a scenario says. What a fault broke is repaired when its time is over, at the latest
 * by heal(). Each entry of the scenario has its own stream of randomness.
 */
export class FaultInjector {
  readonly #world: World;
  readonly #cluster: Cluster;
  readonly #random: Random;
  readonly history: FaultEvent[] = [];
  readonly counts = new Map<FaultKind, number>();
  /** Undoes what is broken now, by number. */
  readonly #repairs = new Map<number, () => void>();
  #nextRepair = 0;
  #over = false;
  #lossBursts = 0;
  #latencyUs = 0;

  constructor(options: { readonly world: World; readonly cluster: Cluster; readonly random: Random }) {
    this.#world = options.world;
    this.#cluster = options.cluster;
    this.#random = options.random;
  }

  /** Plans all faults of the next `duration` microseconds. */
  begin(faults: readonly Fault[], duration: number): void {
    const start = this.#world.loop.now;
    for (const [number, fault] of faults.entries()) {
      const random = this.#random.fork(`fault ${number}`);
      const end = start + Math.min(duration, fault.until ?? duration);
      const strike = () => {
        if (!this.#over) this.#strike(fault, random);
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
    this.#over = true;
    for (const repair of this.#repairs.values()) repair();
    this.#repairs.clear();
    this.#world.network.healAll();
    for (const machine of this.#cluster.machines) {
      this.#world.slow(machine, 0);
      if (machine.stopping) this.#startAgain(machine, machine.life);
      else this.#world.restart(machine);
    }
  }

  #strike(fault: Fault, random: Random): void {
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
      case "partition":
      case "one-way":
        return this.#partition(fault, random);
      case "loss":
        return this.#loss(fault, random);
      case "latency":
        return this.#latency(fault, random);
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
    const machines = this.#targets(fault, random);
    for (const machine of machines) {
      machine.retired ||= fault.forever;
      this.#world.crash(machine, happens(random, fault.silent));
      if (!fault.forever) this.#later(fault.for, random, () => this.#world.restart(machine));
    }
    this.#note("crash", machines);
  }

  /** One after the other, each away for the time given: a rolling restart where all are meant. */
  #restart(fault: FaultOf<"restart">, random: Random): void {
    const machines = this.#targets(fault, random);
    let at = this.#world.loop.now;
    for (const machine of machines) {
      const away = drawn(fault.for ?? { min: 1_000_000, max: 1_000_000 }, random);
      this.#world.schedule(at, () => this.#over || this.#world.stop(machine));
      this.#world.schedule(at + away, () => this.#startAgain(machine, machine.life));
      at += 2 * away;
    }
    this.#note("restart", machines);
  }

  #leave(fault: FaultOf<"leave">, random: Random): void {
    const machines = this.#targets(fault, random);
    for (const machine of machines) {
      machine.retired ||= fault.forever;
      this.#world.stop(machine);
      const life = machine.life;
      if (!fault.forever) this.#later(fault.for, random, () => this.#startAgain(machine, life));
    }
    this.#note("leave", machines);
  }

  /** Starts a node that was asked to stop, as soon as it has. */
  #startAgain(machine: Machine, life: number): void {
    if (machine.life !== life) return;
    if (!machine.running) return this.#world.restart(machine);
    this.#world.schedule(this.#world.loop.now + STOP_LOOK_US, () => this.#startAgain(machine, life));
  }

  #drain(fault: FaultOf<"drain">, random: Random): void {
    const machines = this.#targets(fault, random);
    for (const machine of machines) this.#cluster.drain(machine);
    this.#note("drain", machines);
  }

  #join(fault: FaultOf<"join">): void {
    const machines: Machine[] = [];
    for (let i = 0; i < (fault.count ?? 1); i++) {
      const machine = this.#cluster.join();
      if (machine !== null) machines.push(machine);
    }
    this.#note("join", machines);
  }

  /** Cuts the targets off from all others; one-way: they hear, but are not heard, or the reverse. */
  #partition(fault: FaultOf<"partition"> | FaultOf<"one-way">, random: Random): void {
    const inside = this.#targets(fault, random), within = new Set(inside);
    const outside = this.#cluster.machines.filter((machine) => machine.life > 0 && !within.has(machine));
    const [outward, inward] = fault.do === "partition"
      ? [true, true]
      : random.chance(1, 2)
      ? [true, false]
      : [false, true];
    const noticed = happens(random, fault.noticed);
    for (const one of inside) {
      for (const other of outside) {
        if (outward) this.#world.cut(one, other, noticed);
        if (inward) this.#world.cut(other, one, noticed && !outward);
      }
    }
    this.#later(fault.for, random, () => {
      for (const one of inside) {
        for (const other of outside) {
          if (outward) this.#world.heal(one, other);
          if (inward) this.#world.heal(other, one);
        }
      }
    });
    this.#note(fault.do, inside);
  }

  #loss(fault: FaultOf<"loss">, random: Random): void {
    this.#lossBursts++;
    this.#world.network.setLoss(fault.loss);
    this.#later(fault.for, random, () => {
      if (--this.#lossBursts === 0) this.#world.network.setLoss(null);
    });
    this.#note("loss", []);
  }

  #latency(fault: FaultOf<"latency">, random: Random): void {
    const add = (us: number) => this.#world.network.setExtraLatency(this.#latencyUs += us);
    add(fault.by);
    this.#later(fault.for, random, () => add(-fault.by));
    this.#note("latency", []);
  }

  #slow(fault: FaultOf<"slow">, random: Random): void {
    const machines = this.#targets(fault, random);
    for (const machine of machines) this.#world.slow(machine, fault.by);
    this.#later(fault.for, random, () => machines.forEach((machine) => this.#world.slow(machine, 0)));
    this.#note("slow", machines);
  }

  #jump(fault: FaultOf<"jump">, random: Random): void {
    const machines = this.#targets(fault, random);
    for (const machine of machines) this.#world.jumpClock(machine, drawn(fault.by, random));
    this.#note("jump", machines);
  }

  #drift(fault: FaultOf<"drift">, random: Random): void {
    const machines = this.#targets(fault, random), before = machines.map((machine) => machine.clock.driftPpm);
    for (const machine of machines) this.#world.setDrift(machine, fault.ppm);
    this.#later(fault.for, random, () => {
      for (const [i, machine] of machines.entries()) this.#world.setDrift(machine, before[i]!);
    });
    this.#note("drift", machines);
  }

  /** Repairs after the time given, or when the faults end. */
  #later(span: Span | undefined, random: Random, repair: () => void): void {
    const number = this.#nextRepair++;
    this.#repairs.set(number, repair);
    if (span === undefined) return;
    this.#world.schedule(this.#world.loop.now + drawn(span, random), () => {
      if (this.#repairs.delete(number)) repair();
    });
  }

  /** The running nodes that a fault names, in an order of its own. Draining ones are left in peace unless named. */
  #targets(
    fault: {
      readonly node?: string | undefined;
      readonly zone?: string | undefined;
      readonly count?: number | undefined;
      readonly share?: { readonly numerator: number; readonly denominator: number } | undefined;
      readonly leaders: boolean;
    },
    random: Random,
  ): Machine[] {
    const running = this.#cluster.running;
    if (fault.node !== undefined) return running.filter((machine) => machine.id === fault.node);
    const zone = fault.zone === undefined ? [] : running.filter((machine) => machine.zone === fault.zone);
    if (fault.zone !== undefined && fault.count === undefined && fault.share === undefined) return zone;
    const among = (fault.leaders ? leaders(running) : running).filter((machine) => !machine.draining);
    const count = fault.share === undefined
      ? fault.count ?? 1
      : Math.floor((running.length * fault.share.numerator) / fault.share.denominator);
    // A zone with a count or share: that many, the zone's first.
    const rest = random.shuffle(among.filter((machine) => !zone.includes(machine)));
    return [...zone, ...rest].slice(0, Math.max(count, zone.length));
  }

  #note(kind: FaultKind, machines: readonly Machine[]): void {
    const time = this.#world.loop.now;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    const what = `${formatDuration(time)} ${kind} ${names(machines)}`.trimEnd();
    this.history.push({ time, kind, what, nodes: machines.map(({ id }) => id) });
  }
}

function drawn(span: Span, random: Random): number {
  return span.min + random.below(span.max - span.min + 1);
}
