import { Random } from "../core/base/random.ts";
import { Node } from "../core/node/node.ts";
import { castStars, distances, starRecords } from "./cast.ts";
import { misplacements, stateDifferences, unsettled } from "./checkers/convergence.ts";
import { RAFT_CHECKS, RaftChecker } from "./checkers/raft.ts";
import { StateChecker } from "./checkers/state.ts";
import { Cluster } from "./cluster.ts";
import { type FaultEvent, FaultInjector } from "./faults.ts";
import { WIRE_FRAMES } from "./formats.ts";
import { History } from "./history.ts";
import { MembershipKernel } from "./membership_kernel.ts";
import type { NetworkCounters } from "./network.ts";
import type { Tracer } from "./observer.ts";
import type { CheckName, FaultKind, Scenario } from "./scenario.ts";
import type { Star } from "./sky.ts";
import { Timings, type TimingsReport } from "./timings.ts";
import { formatDuration } from "./units.ts";
import { Workload } from "./workload.ts";
import { type KernelFactory, World } from "./world.ts";

export interface RunOptions {
  readonly scenario: Scenario;
  readonly stars: readonly Star[];
  readonly seed: number;
  /** Every frame goes through the real codec. The digest is the same. */
  readonly fullCodec?: boolean;
  /** In place of the real node: broken ones, in tests. */
  readonly kernel?: KernelFactory;
  readonly tracer?: Tracer;
}

export interface CheckResult {
  readonly name: CheckName;
  readonly ok: boolean;
  /** What was looked at, or what was found. */
  readonly detail: string;
}

export interface RunResult {
  readonly scenario: string;
  readonly seed: number;
  readonly digest: string;
  /** Events of the virtual world, and of them steps of nodes. */
  readonly events: number;
  readonly steps: number;
  /** Single messages handed to nodes; `network` counts the frames that hold them. */
  readonly messages: number;
  readonly virtualSeconds: number;
  readonly checks: readonly CheckResult[];
  readonly ok: boolean;
  readonly nodes: { readonly cast: number; readonly running: number; readonly partitions: number };
  readonly network: Readonly<NetworkCounters>;
  readonly faults: readonly (readonly [FaultKind, number])[];
  readonly faultHistory: readonly FaultEvent[];
  readonly clients: {
    readonly operations: number;
    readonly attempts: number;
    readonly refusals: readonly (readonly [string, number])[];
    readonly latencyUs: {
      readonly p50: number;
      readonly p90: number;
      readonly p99: number;
      readonly max: number;
    } | null;
  };
  readonly leadersElected: number;
  readonly timings: TimingsReport;
  readonly phases: readonly { readonly name: string; readonly from: number; readonly to: number }[];
  /** For bisecting two runs. */
  readonly digestCheckpoints: readonly number[];
}

/** How often, in virtual time, a phase is asked whether it is over. */
const LOOK_US = 100_000;
const DETAIL_CHARACTERS_MAX = 600;

/** One run of a scenario: found, load, break, heal, converge, read everything, check. */
export class Run {
  readonly #options: RunOptions;
  readonly #scenario: Scenario;
  readonly world: World;
  readonly cluster: Cluster;
  readonly history: History;
  readonly #workload: Workload;
  readonly #injector: FaultInjector;
  readonly #raft: RaftChecker;
  readonly #states: StateChecker;
  readonly #timings: Timings;
  readonly #phases: { name: string; from: number; to: number }[] = [];
  #lateness: string[] = [];
  #final: ReadonlyMap<string, { readonly index: number } | null> = new Map();

  constructor(options: RunOptions) {
    this.#options = options;
    const scenario = this.#scenario = options.scenario;
    this.history = new History({ clocksJump: scenario.faults.some((fault) => fault.do === "jump") });
    const random = Random.fromSeed(options.seed);
    const roles = castStars(options.stars, scenario.sky.nodes);
    this.world = new World({
      random: random.fork("world"),
      network: scenario.network,
      disk: scenario.disk,
      distance: distances(roles),
      kernel: options.kernel ?? kernelOf(scenario),
      frames: WIRE_FRAMES,
      fullCodec: options.fullCodec ?? false,
    });
    this.world.tracer = options.tracer ?? null;
    const world = this.world;
    this.#raft = new RaftChecker((check, detail) => world.violate(check, detail));
    this.#states = new StateChecker((detail) => world.violate("equal state at equal index", detail));
    this.#timings = new Timings();
    for (const observer of [this.#raft, this.#states, this.#timings]) world.observe(observer);
    this.cluster = new Cluster({
      world,
      roles,
      settings: scenario.cluster.settings,
      random: random.fork("cluster"),
      clockOffsetUs: scenario.clock.offset,
      clockDriftPpm: scenario.clock.driftPpm,
    });
    this.#workload = new Workload({
      world,
      history: this.history,
      workload: scenario.workload,
      rows: starRecords(options.stars, scenario.sky.records),
      random: random.fork("workload"),
    });
    this.#injector = new FaultInjector({ world, cluster: this.cluster, random: random.fork("faults") });
  }

  run(): RunResult {
    const { scenario } = this.#options, { world } = this;
    this.#phase("settle", () => this.#settle());
    this.#phase("faults", () => {
      this.#workload.start();
      this.#injector.begin(scenario.faults, scenario.duration);
      world.run(world.loop.now + scenario.duration);
    });
    this.#phase("converge", () => this.#converge());
    if (scenario.cluster.kernel === "full") this.#phase("read", () => this.#readAll());
    return this.#result();
  }

  // ---- phases

  #phase(name: string, run: () => void): void {
    const from = this.world.loop.now;
    run();
    this.#phases.push({ name, from, to: this.world.loop.now });
  }

  /** Runs until `done`, looking now and then; false where that takes longer than `limit`. */
  #until(done: () => boolean, limit: number): boolean {
    const { world } = this, end = world.loop.now + limit;
    while (!done()) {
      if (world.loop.now >= end) return false;
      world.run(Math.min(end, world.loop.now + LOOK_US));
    }
    return true;
  }

  #settle(): void {
    const { cluster, settle, sky } = this.#scenario, start = cluster.start ?? sky.nodes;
    this.cluster.found(cluster.form === "grow" ? 1 : start);
    if (cluster.kernel === "membership") return;
    const end = this.world.loop.now + settle;
    const left = () => end - this.world.loop.now;
    const isWell = () => this.cluster.errands === 0 && unsettled(this.world.machines).length === 0;
    for (let grown = 1; cluster.form === "grow" && grown < start; grown++) {
      if (!this.#until(isWell, left())) break;
      this.cluster.join();
    }
    if (!this.#until(isWell, left())) {
      this.#lateness.push(
        `not settled after ${formatDuration(settle)}: ${unsettled(this.world.machines).join("; ")}`,
      );
    }
    const { loaded } = this.#workload.load();
    if (!this.#until(loaded, left())) {
      this.#lateness.push(`the records were not stored within ${formatDuration(settle)}`);
    }
  }

  #converge(): void {
    this.#workload.stop();
    this.#injector.heal();
    if (this.#scenario.cluster.kernel === "membership") {
      return this.world.run(this.world.loop.now + this.#scenario.converge);
    }
    const isWell = () =>
      this.#workload.idle && this.cluster.errands === 0 && unsettled(this.world.machines).length === 0;
    if (this.#until(isWell, this.#scenario.converge)) return;
    const why = unsettled(this.world.machines);
    if (!this.#workload.idle) why.push("clients still wait for answers");
    if (this.cluster.errands > 0) why.push("an operator's request is not done");
    this.#lateness.push(`${formatDuration(this.#scenario.converge)} after the faults: ${why.join("; ")}`);
  }

  #readAll(): void {
    const { found, done } = this.#workload.readAll();
    this.#final = found;
    if (!this.#until(done, this.#scenario.converge)) {
      this.#lateness.push("the final reads were not all answered");
    }
  }

  // ---- the result

  #result(): RunResult {
    const { world } = this, { loop } = world, machines = world.machines;
    const checks = this.#scenario.checks.map((name) => this.#check(name));
    return {
      scenario: this.#scenario.name,
      seed: this.#options.seed,
      digest: world.digest.hex(),
      events: loop.events,
      steps: world.steps,
      messages: world.delivered,
      virtualSeconds: loop.now / 1_000_000,
      checks,
      ok: checks.every(({ ok }) => ok),
      nodes: {
        cast: machines.length,
        running: machines.filter((machine) => machine.running).length,
        partitions: this.#scenario.cluster.settings.partitions,
      },
      network: world.network.counters,
      faults: [...this.#injector.counts],
      faultHistory: this.#injector.history,
      clients: {
        operations: this.#workload.completed,
        attempts: this.#workload.attempts,
        refusals: [...this.#workload.refusals],
        latencyUs: percentiles(this.#workload.latenciesUs),
      },
      leadersElected: this.#raft.leadersElected,
      timings: this.#timings.report(),
      phases: this.#phases,
      digestCheckpoints: world.digest.checkpoints,
    };
  }

  #check(name: CheckName): CheckResult {
    const found = this.world.violations.filter(({ check }) => check === name)
      .map(({ detail, time }) => `${detail} (at ${formatDuration(time)})`);
    if (this.#scenario.cluster.kernel === "membership") return result(name, found, "held");
    switch (name) {
      case "linearizability": {
        const { keys, operations, problems } = this.history.checkLinearizable();
        return result(name, [...found, ...problems], `${operations} operations on ${keys} keys`);
      }
      case "no acknowledged write lost": {
        const lost = this.history.lostWrites(this.#final);
        return result(name, [...found, ...lost], `${this.#final.size} keys read at the end`);
      }
      case "placement as the epoch says":
        return result(
          name,
          [...found, ...misplacements(this.world.machines)],
          `epoch ${this.cluster.view()?.epoch ?? 0}`,
        );
      case "equal state at equal index":
        return result(
          name,
          [...found, ...stateDifferences(this.world.machines)],
          `${this.#states.compared} states compared`,
        );
      case "converged": {
        const { from, to } = this.#phases.find((phase) => phase.name === "converge") ?? { from: 0, to: 0 };
        return result(name, [...found, ...this.#lateness], `within ${formatDuration(to - from)}`);
      }
      default: {
        const isRaft = (RAFT_CHECKS as readonly string[]).includes(name);
        return result(
          name,
          found,
          isRaft ? `${this.#raft.entriesSeen} entries, ${this.#raft.leadersElected} elections` : "held",
        );
      }
    }
  }
}

function result(name: CheckName, problems: readonly string[], detail: string): CheckResult {
  if (problems.length === 0) return { name, ok: true, detail };
  const text = problems.join("; ");
  const short = text.length > DETAIL_CHARACTERS_MAX ? `${text.slice(0, DETAIL_CHARACTERS_MAX)} …` : text;
  return { name, ok: false, detail: `${problems.length} found: ${short}` };
}

function kernelOf(scenario: Scenario): KernelFactory {
  return scenario.cluster.kernel === "full"
    ? (options) => new Node(options)
    : (options) => new MembershipKernel(options);
}

function percentiles(values: readonly number[]): RunResult["clients"]["latencyUs"] {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: sorted[sorted.length - 1]! };
}
