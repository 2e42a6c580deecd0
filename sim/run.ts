import type { NodeId } from "../core/base/ids.ts";
import { Random } from "../core/base/random.ts";
import { Node } from "../core/node/node.ts";
import { partitionOf } from "../core/placement/key.ts";
import { castStars, distances, starRecords } from "./cast.ts";
import { misplacements, stateDifferences, unsettled } from "./checkers/convergence.ts";
import { evictedProblems, keyProblems } from "./checkers/keys.ts";
import { RAFT_CHECKS, RaftChecker } from "./checkers/raft.ts";
import { staleProblems } from "./checkers/stale.ts";
import { StateChecker } from "./checkers/state.ts";
import { Cluster } from "./cluster.ts";
import { type FaultEvent, FaultInjector } from "./faults.ts";
import { WIRE_FRAMES } from "./formats.ts";
import { History } from "./history.ts";
import { Sightings } from "./sightings.ts";
import { Sometimes, type SometimesName } from "./sometimes.ts";
import { resolveScenario } from "./swarm.ts";
import { MembershipKernel } from "./membership_kernel.ts";
import type { NetworkCounters } from "./network.ts";
import { ObjectSightings } from "./objects/sightings.ts";
import { type ObjectsSummary, ObjectStage } from "./objects/stage.ts";
import type { Tracer } from "./observer.ts";
import type { CheckName } from "./checks.ts";
import { checksOf, type Scenario } from "./scenario.ts";
import type { FaultKind } from "./scenario_faults.ts";
import type { Star } from "./sky.ts";
import { AccessBook } from "./security/access.ts";
import { Guard } from "./security/guard.ts";
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
  /** A run with more events has failed: it does not end. */
  readonly eventsMax?: number;
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
  /** Events that watching clients were told. */
  readonly eventsTold: number;
  /** Where there are objects. */
  readonly objects: ObjectsSummary | null;
  /** In which situations of the registry this run was; see sometimes.ts. */
  readonly sometimes: readonly SometimesName[];
  readonly leadersElected: number;
  readonly timings: TimingsReport;
  readonly phases: readonly { readonly name: string; readonly from: number; readonly to: number }[];
  /** For bisecting two runs. */
  readonly digestCheckpoints: readonly number[];
}

/** Beyond what a cut-off leader explains, a stale answer may be this much older than it says. */
const STALE_SLACK_US = 1_000_000;
/** Watchers that lack something are given this long after the last read. */
const WATCH_US = 20_000_000;
/** For reading every version of every object. */
const READ_OBJECTS_US = 300_000_000;
/** Nodes that were evicted are given this long to answer a read. */
const PROBE_US = 6_000_000;
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
  readonly objects: ObjectStage | null;
  readonly #injector: FaultInjector;
  readonly #raft: RaftChecker;
  /** In a private network. */
  readonly #guard: Guard | null;
  readonly #states: StateChecker;
  readonly #timings: Timings;
  readonly #sometimes = new Sometimes();
  readonly #phases: { name: string; from: number; to: number }[] = [];
  #lateness: string[] = [];
  #final: ReadonlyMap<string, { readonly index: number } | null> = new Map();

  constructor(options: RunOptions) {
    this.#options = options;
    const scenario = this.#scenario = resolveScenario(options.scenario, options.seed);
    this.history = new History({ clocksJump: scenario.faults.some((fault) => fault.do === "jump") });
    const random = Random.fromSeed(options.seed);
    const roles = castStars(options.stars, scenario.sky.nodes, scenario.sky.zones);
    this.world = new World({
      random: random.fork("world"),
      network: scenario.network,
      disk: scenario.disk,
      chunkDisk: scenario.objects?.disk,
      distance: distances(roles),
      kernel: kernelOf(scenario, options.kernel),
      frames: WIRE_FRAMES,
      fullCodec: options.fullCodec ?? false,
      isPrivate: scenario.security === "private",
    });
    const sightings = new Sightings(this.#sometimes), { tracer } = options;
    const things = scenario.objects === undefined ? null : new ObjectSightings(this.#sometimes);
    this.world.tracer = (machine, input, effects, now, sequence) => {
      sightings.traced(input, effects);
      things?.traced(machine, input, effects);
      tracer?.(machine, input, effects, now, sequence);
    };
    const world = this.world;
    this.#guard = scenario.security === "private" ? new Guard(world, this.#sometimes) : null;
    this.#raft = new RaftChecker(
      (check, detail) => world.violate(check, detail),
      this.#guard?.committed ?? null,
    );
    if (this.#guard !== null) world.observe(this.#guard);
    this.#states = new StateChecker((detail) => world.violate("equal state at equal index", detail));
    this.#timings = new Timings();
    if (things !== null) world.observe(things);
    for (const observer of [this.#raft, this.#states, this.#timings, sightings]) world.observe(observer);
    const { clients: workers, watchers } = scenario.workload;
    const access = this.#guard === null ? null : new AccessBook(random.fork("access"), { workers, watchers });
    this.cluster = new Cluster({
      world,
      roles,
      settings: scenario.cluster.settings,
      random: random.fork("cluster"),
      clockOffsetUs: scenario.clock.offset,
      clockDriftPpm: scenario.clock.driftPpm,
      access: access?.genesis ?? null,
    });
    this.#guard?.watch(this.cluster);
    this.#workload = new Workload({
      world,
      history: this.history,
      workload: scenario.workload,
      rows: starRecords(options.stars, scenario.sky.records),
      random: random.fork("workload"),
      sometimes: this.#sometimes,
      partitionOf: (key) => partitionOf(key, scenario.cluster.settings.partitions),
      access,
    });
    const { budget, cluster: { settings }, objects } = scenario;
    const { cluster } = this;
    this.objects = objects === undefined || things === null ? null : new ObjectStage({
      world,
      cluster,
      scenario,
      objects,
      random: random.fork("objects"),
      sometimes: this.#sometimes,
      login: access?.everything,
      sightings: things,
    });
    this.#injector = new FaultInjector({
      world,
      cluster,
      settings,
      budget,
      access,
      objects: objects !== undefined,
      random: random.fork("faults"),
    });
  }

  run(): RunResult {
    const scenario = this.#scenario, { world } = this;
    this.#phase("settle", () => this.#settle());
    this.#phase("faults", () => {
      this.#workload.start();
      this.objects?.start();
      this.#injector.begin(scenario.faults, scenario.duration);
      const end = world.loop.now + scenario.duration;
      this.#until(() => world.loop.now >= end, scenario.duration);
    });
    this.#phase("converge", () => this.#converge());
    if (this.objects !== null) this.#phase("objects", () => this.#settleObjects(this.objects!));
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
      if (world.loop.now >= end || this.#endless) return false;
      world.run(Math.min(end, world.loop.now + LOOK_US));
    }
    return true;
  }

  /** More happens than a run of this scenario has time for. */
  get #endless(): boolean {
    return this.world.loop.events > (this.#options.eventsMax ?? Infinity);
  }

  #settle(): void {
    const { cluster, settle, sky } = this.#scenario, start = cluster.start ?? sky.nodes;
    this.cluster.found(cluster.form === "grow" ? 1 : start);
    if (cluster.kernel === "membership") return;
    const end = this.world.loop.now + settle;
    const left = () => end - this.world.loop.now;
    const isWell = () => this.cluster.errands === 0 && this.#unsettled().length === 0;
    for (let grown = 1; cluster.form === "grow" && grown < start; grown++) {
      if (!this.#until(isWell, left())) break;
      this.cluster.join();
    }
    if (!this.#until(isWell, left())) {
      this.#lateness.push(
        `not settled after ${formatDuration(settle)}: ${this.#unsettled().join("; ")}`,
      );
    }
    this.objects?.prepare();
    if (this.objects !== null && !this.#until(() => this.objects!.ready, left())) {
      this.#lateness.push(`the buckets were not made within ${formatDuration(settle)}`);
    }
    const { loaded } = this.#workload.load();
    if (!this.#until(loaded, left())) {
      this.#lateness.push(`the records were not stored within ${formatDuration(settle)}`);
    }
  }

  #unsettled(): string[] {
    const problems = unsettled(this.world.machines);
    return problems.length > 0 || this.#guard === null ? problems : keyProblems(this.world.machines);
  }

  #converge(): void {
    this.#workload.stop();
    this.objects?.workload.stop();
    this.#injector.heal();
    if (this.#scenario.cluster.kernel === "membership") {
      return this.world.run(this.world.loop.now + this.#scenario.converge);
    }
    const isWell = () => this.#idle && this.cluster.errands === 0 && this.#unsettled().length === 0;
    if (this.#until(isWell, this.#scenario.converge)) return;
    const why = this.#unsettled();
    if (this.objects?.workload.idle === false) why.push("clients of objects are not done");
    if (!this.#workload.idle) why.push("clients still wait for answers");
    if (this.cluster.errands > 0) why.push("an operator's request is not done");
    this.#lateness.push(`${formatDuration(this.#scenario.converge)} after the faults: ${why.join("; ")}`);
  }

  get #idle(): boolean {
    return this.#workload.idle && this.objects?.workload.idle !== false;
  }

  /** Until every object has all its fragments and nothing else is on any disk. */
  #settleObjects({ audit, options }: ObjectStage): void {
    if (this.#scenario.budget === "none") return;
    audit.start();
    this.#until(() => audit.well, options.quiet);
  }

  #readAll(): void {
    const { found, done } = this.#workload.readAll();
    this.#final = found;
    if (!this.#until(done, this.#scenario.converge)) {
      this.#lateness.push("the final reads were not all answered");
    }
    const read = this.objects?.readAll();
    if (read !== undefined) this.#until(read, READ_OBJECTS_US);
    this.#guard?.probeEvicted(this.#final.keys(), this.#scenario.cluster.settings.partitions);
    // What was lost on the way to a watcher is told again a little later.
    this.#until(() => this.#workload.watchProblems().length === 0, WATCH_US);
    if (this.#guard?.isProbing) this.#until(() => false, PROBE_US);
  }

  // ---- the result

  #result(): RunResult {
    const { world } = this, { loop } = world, machines = world.machines;
    this.#sightWorld();
    if (this.#endless) this.#lateness.push(`the run did not end within ${this.#options.eventsMax} events`);
    const checks = checksOf(this.#scenario).map((name) => this.#check(name));
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
      eventsTold: this.#workload.eventsTold,
      objects: this.objects?.summary() ?? null,
      sometimes: this.#sometimes.fired,
      leadersElected: this.#raft.leadersElected,
      timings: this.#timings.report(),
      phases: this.#phases,
      digestCheckpoints: world.digest.checkpoints,
    };
  }

  /** How long a leader that is cut off may think that it leads, and a message be under way. */
  get #staleSlackUs(): number {
    return 2 * this.#scenario.cluster.settings.electionTimeoutUsMax + STALE_SLACK_US;
  }

  /** Situations that show in what was done to the network, and in its counters. */
  #sightWorld(): void {
    const sometimes = this.#sometimes,
      { counters } = this.world.network,
      { settings } = this.#scenario.cluster;
    if (counters.corrupted > 0) sometimes.fire("frame corrupted and refused");
    if (counters.duplicated > 0) sometimes.fire("frame duplicated");
    for (const { kind, nodes } of this.#injector.history) {
      if (kind === "jump") sometimes.fire("clock jumped");
      if (nodes.length === 0) continue;
      if (kind === "one-way") sometimes.fire("one-way cut");
      if (kind === "partition" && this.#isWholeZone(nodes)) sometimes.fire("whole zone cut off");
    }
    const waited = this.history.operations.some(({ op, response }) =>
      op.kind === "get" && op.read === "linearizable" && response?.kind === "value"
    );
    const shared = settings.replicas > 1 && (this.#scenario.cluster.start ?? this.#scenario.sky.nodes) > 1;
    if (waited && shared && !settings.leaseReads) sometimes.fire("read waited for quorum");
  }

  #isWholeZone(nodes: readonly NodeId[]): boolean {
    const machines = this.world.machines.filter(({ life }) => life > 0);
    const zones = new Set(machines.filter(({ id }) => nodes.includes(id)).map(({ zone }) => zone));
    return nodes.length < machines.length &&
      machines.every(({ id, zone }) => !zones.has(zone) || nodes.includes(id));
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
        const lost = this.history.lostWrites(this.#final, { answeredOnly: this.#scenario.budget === "none" });
        return result(name, [...found, ...lost], `${this.#final.size} keys read at the end`);
      }
      case "stale reads are as old as they say": {
        const { checked, problems } = staleProblems(this.history.operations, this.#staleSlackUs);
        return result(name, [...found, ...problems], `${checked} stale reads`);
      }
      case "watches tell all in order":
        return result(
          name,
          [...found, ...this.#workload.watchProblems()],
          `${this.#workload.eventsTold} events told`,
        );
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
      case "one generation of keys is left":
        return result(
          name,
          [...found, ...keyProblems(this.world.machines)],
          `generation ${this.cluster.view()?.security?.keys.at(-1)?.id ?? 0}`,
        );
      case "the evicted stay out":
        return result(name, [...found, ...evictedProblems(this.world.machines)], this.#guard!.evicted);
      case "objects are what was written": {
        const { workload: { completed, died, history } } = this.objects!;
        const detail = `${completed} operations, ${died} cut short, ${history.bytesRead} bytes read`;
        return result(name, found, detail);
      }
      case "objects are linearizable": {
        const { objects, operations, problems } = this.objects!.workload.history.check();
        return result(name, [...found, ...problems], `${operations} operations on ${objects} objects`);
      }
      case "no committed object lost":
        return result(
          name,
          [...found, ...this.objects!.lost],
          `${this.objects!.versionsRead} versions read`,
        );
      case "nothing is left over of objects":
        return result(name, [...found, ...this.objects!.audit.problems], this.objects!.audit.summary);
      case "rot is found":
        return result(name, [...found, ...this.objects!.audit.rotten], "held");
      case "repair moves no more than it must": {
        const repair = this.objects!.repair();
        if (repair === null) return result(name, found, "nothing was there from the start");
        const { moved, owed, repairs } = repair,
          text = `${moved} bytes moved in ${repairs} repairs, at least ${owed}`;
        return result(name, moved * 10 <= owed * 11 ? found : [...found, text], text);
      }
      case "secrets stay inside":
      case "rights are kept":
      case "only the invited get in":
      case "views follow from the log":
        return result(name, found, this.#guard!.describe(name));
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

function kernelOf({ cluster }: Scenario, given: KernelFactory | undefined): KernelFactory {
  if (cluster.kernel === "membership") return given ?? ((options) => new MembershipKernel(options));
  const make = given ?? ((options) => new Node(options));
  return (options) => make({ ...options, tuning: cluster.tuning });
}

function percentiles(values: readonly number[]): RunResult["clients"]["latencyUs"] {
  if (values.length === 0) return null;
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: sorted[sorted.length - 1]! };
}
