/**
 * One torture run: real node processes under a recorded history of clients, faults by plan, then heal, wait until the
 * network is whole, read everything, and check the history that was written.
 */
import { join } from "node:path";
import { DEFAULT_SETTINGS } from "../../core/base/limits.ts";
import { Random } from "../../core/base/random.ts";
import { checkHistory, type CheckResult } from "./check.ts";
import { SmallDisk } from "./disks.ts";
import { readReplicas, untilWhole, wrongLogLines } from "./final_state.ts";
import { HISTORY_FORMAT, HISTORY_VERSION, HistoryWriter } from "./history_file.ts";
import { type Abilities, probeAbilities, run, whyNot } from "./machine.ts";
import { Nemesis } from "./nemesis.ts";
import { describeFault, type Fault, type FaultKind, planFaults } from "./plan.ts";
import { auditSpace, dateBack, endPending, untilMended } from "./objects/space.ts";
import { ObjectWorkload } from "./objects/workload.ts";
import { type Entry, NodeProcess } from "./processes.ts";
import { Reach } from "./reach.ts";
import { Loopback, Namespaces, type Wires } from "./wires.ts";
import { Workload } from "./workload.ts";

export interface TortureOptions {
  readonly seconds: number;
  readonly nodes: number;
  readonly clients: number;
  /** Clients of objects besides; 0: there are no objects. */
  readonly objects: number;
  readonly seed: number;
  /** Those wanted; what this machine cannot do is left out, and said. */
  readonly faults: readonly FaultKind[];
  /** Where the history goes; default: beside the nodes' data. */
  readonly history: string | null;
  readonly partitions: number;
  /** An open network, instead of a private one. */
  readonly open: boolean;
  /** Nodes record all they are told, and afterwards each recording is replayed. */
  readonly record: boolean;
  /** Keep data, logs and history though all is well. */
  readonly keep: boolean;
  /** One line for a person, as things happen. */
  readonly tell: (line: string) => void;
}

/** What came of the objects. Their problems are among those of the check. */
export interface ObjectsResult {
  readonly operations: number;
  readonly keys: number;
  /** Keys for which the search for an order was given up. */
  readonly undecided: number;
  readonly bytesWritten: number;
  readonly bytesRead: number;
  readonly versions: number;
  readonly fragments: number;
  /** After the network was whole, until each node had all that it should hold. */
  readonly mendedAfterMs: number | null;
  readonly counts: ReadonlyMap<string, number>;
}

export interface TortureResult {
  readonly check: CheckResult;
  readonly objects: ObjectsResult | null;
  readonly history: string;
  /** Where everything of a failed run lies; null: removed. */
  readonly kept: string | null;
  readonly plan: readonly Fault[];
  readonly seconds: number;
  readonly healedAfterMs: number | null;
  /** "kind: why" of what this machine cannot do. */
  readonly leftOut: readonly string[];
  /** Starts of all processes. */
  readonly starts: number;
}

const NAMES = ["rigel", "sirius", "vega", "altair", "deneb", "polaris", "capella"];
export const NODES_MAX = NAMES.length;
const SMALL_DISK_MEGABYTES = 384;
const SMALL_DISK_WITH_OBJECTS_MEGABYTES = 1024;
const MENDED_MS_MAX = 120_000;
const SPACE_MS_MAX = 30_000;
const SPACE_POLL_MS = 1000;
const WHOLE_MS_MAX = 90_000;
const EQUAL_MS_MAX = 20_000;
/** Begun at most: bounds the history's file to some 150 MB. */
const OPERATIONS_MAX = 500_000;
const PROGRESS_MS = 10_000;

/** @throws {Error} when the network cannot even be started */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-torture-" });
  const running = new Run(options, directory);
  let failed = true;
  const interrupted = () => {
    void running.close(false).then(() => Deno.remove(directory, { recursive: true })).finally(() =>
      Deno.exit(130)
    );
  };
  Deno.addSignalListener("SIGINT", interrupted);
  Deno.addSignalListener("SIGTERM", interrupted);
  try {
    const result = await running.run();
    failed = result.check.problems.length > 0;
    return { ...result, kept: failed || options.keep ? directory : null };
  } finally {
    Deno.removeSignalListener("SIGINT", interrupted);
    Deno.removeSignalListener("SIGTERM", interrupted);
    await running.close(failed || options.keep);
    if (failed) options.tell(`Data, logs and history of the run are kept in ${directory}`);
    else if (!options.keep) await Deno.remove(directory, { recursive: true });
  }
}

class Run {
  readonly #options: TortureOptions;
  readonly #directory: string;
  readonly #historyPath: string;
  readonly #began = performance.now();
  readonly #disks = new Map<number, SmallDisk>();
  #nodes: NodeProcess[] = [];
  #wires: Wires | null = null;
  #reach: Reach | null = null;
  /** Lets all nodes but the first in; null: they need none. */
  #token: string | null = null;
  #history: HistoryWriter | null = null;
  #nemesis: Nemesis | null = null;
  #ending = false;

  constructor(options: TortureOptions, directory: string) {
    this.#options = options;
    this.#directory = directory;
    this.#historyPath = options.history ?? join(directory, "history.jsonl");
  }

  async run(): Promise<Omit<TortureResult, "kept">> {
    const { seed, nodes, seconds } = this.#options;
    const abilities = await probeAbilities(this.#directory);
    const { kinds, leftOut } = this.#possible(abilities);
    for (const line of leftOut) this.#tell(`Left out: ${line}`);
    await this.#prepare(abilities, kinds);
    const small = [...this.#disks.keys()];
    const graceMs = DEFAULT_SETTINGS.graceUs / 1000;
    const plan = planFaults({ seed, nodes, spanMs: seconds * 1000, kinds, small, graceMs });
    this.#tellPlan(plan);
    await this.#startAll();
    const workload = await this.#startWorkload(leftOut);
    const objects = await this.#startObjects();
    const nemesis = this.#nemesis = this.#makeNemesis(workload);
    workload.start();
    const over = performance.now() + seconds * 1000;
    const progress = setInterval(() => this.#tell(`${workload.answered} operations answered`), PROGRESS_MS);
    await nemesis.run(plan, seconds * 1000);
    await until(over);
    clearInterval(progress);
    const { healedAfterMs, objectsResult } = await this.#conclude(workload, objects);
    const lasted = (performance.now() - this.#began) / 1000;
    this.#history!.write({ type: "end", operations: workload.operations, seconds: lasted });
    this.#history!.close();
    this.#tell(`Checking ${workload.operations} operations in ${this.#historyPath}`);
    return {
      check: await checkHistory(this.#historyPath),
      objects: objectsResult,
      history: this.#historyPath,
      plan,
      seconds: lasted,
      healedAfterMs,
      leftOut,
      starts: this.#nodes.reduce((sum, { starts }) => sum + starts, 0),
    };
  }

  /** Ends what runs and gives back what was taken of the machine, however the run ended. */
  async close(keep: boolean): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#nodes.map((node) => node.kill()));
    await this.#wires?.close();
    for (const disk of this.#disks.values()) {
      if (keep) await disk.saveTo(`${disk.path}.kept`);
      await disk.unmount();
    }
  }

  #possible(abilities: Abilities): { kinds: FaultKind[]; leftOut: string[] } {
    const kinds: FaultKind[] = [], leftOut: string[] = [];
    for (const kind of this.#options.faults) {
      const why = this.#options.open && NETWORK_KINDS.includes(kind)
        ? "an open network listens on loopback addresses only"
        : whyNot(kind, abilities);
      if (why === null) kinds.push(kind);
      else leftOut.push(`${kind}: this machine cannot do it (${why})`);
    }
    return { kinds, leftOut };
  }

  /** Wires, disks and processes, none of them started. */
  async #prepare(abilities: Abilities, kinds: readonly FaultKind[]): Promise<void> {
    const { nodes, partitions } = this.#options;
    const networked = abilities.namespaces && !this.#options.open &&
      kinds.some((kind) => NETWORK_KINDS.includes(kind));
    const wires = this.#wires = networked ? await Namespaces.open(nodes, abilities) : new Loopback(nodes);
    if (kinds.includes("full") || kinds.includes("read-only")) {
      const megabytes = this.#options.objects > 0 ? SMALL_DISK_WITH_OBJECTS_MEGABYTES : SMALL_DISK_MEGABYTES;
      // A minority of the nodes.
      for (let node = 1; node <= Math.max(1, Math.floor((nodes - 1) / 2)); node++) {
        const home = join(this.#directory, NAMES[node]!);
        await Deno.mkdir(home);
        this.#disks.set(node, await SmallDisk.mount(home, megabytes));
      }
    }
    for (let number = 0; number < nodes; number++) {
      const node: NodeProcess = new NodeProcess({
        number,
        name: NAMES[number]!,
        home: join(this.#directory, NAMES[number]!),
        wires,
        entry: () => this.#entryOf(node),
        flags: [
          ...["--log-level", "info"],
          ...(this.#options.open ? ["--dev"] : []),
          ...(number === 0 ? ["--partitions", String(partitions)] : []),
          ...(this.#options.record ? ["--record", this.#recording(NAMES[number]!)] : []),
        ],
        ended: (node, code) => this.#ended(node, code),
      });
      this.#nodes.push(node);
    }
    this.#reach = new Reach({
      addresses: this.#nodes.map(({ address }) => address),
      profile: this.#options.open ? null : join(this.#nodes[0]!.data, "profile.json"),
    });
  }

  /**
   * How a node finds its network. The first node's first start makes it. One that was a member needs no invite: it comes back
   * by its own key, though it may have lost its journal and have to join anew.
   */
  #entryOf(node: NodeProcess): Entry {
    if (node.starts > 1) {
      return {
        join: this.#nodes.filter((other) => other !== node).map(({ address }) => address),
        token: null,
      };
    }
    if (node.number === 0) return { join: [], token: null };
    return { join: this.#token === null ? [this.#nodes[0]!.address] : [], token: this.#token };
  }

  async #startAll(): Promise<void> {
    const [first, ...others] = this.#nodes as [NodeProcess, ...NodeProcess[]];
    const firstReady = await first.start();
    if (firstReady && !this.#options.open) this.#token = await this.#reach!.invite(others.length);
    const ready = [firstReady, ...await Promise.all(others.map((node) => node.start()))];
    const late = this.#nodes[ready.indexOf(false)];
    if (late !== undefined) throw new Error(`Node "${late.name}" did not start; its log is ${late.log}`);
    const missing = await this.#whole();
    if (missing !== null) throw new Error(`The network did not get whole at its start: ${missing}`);
  }

  async #startWorkload(leftOut: readonly string[]): Promise<Workload> {
    const { seed, clients } = this.#options;
    using client = await this.#reach!.connect();
    const { network } = await client.status();
    const { settings } = (await client.layout()).view;
    const history = this.#history = new HistoryWriter(this.#historyPath);
    history.write({
      type: "header",
      format: HISTORY_FORMAT,
      version: HISTORY_VERSION,
      began: new Date().toISOString(),
      seed,
      network,
      nodes: this.#nodes.map(({ name, address }) => ({ name, address })),
      clients,
      partitions: settings.partitions,
      replicas: settings.replicas,
      left_out: [...leftOut],
    });
    return new Workload({
      reach: this.#reach!,
      clients,
      random: Random.fromSeed(seed).fork("workload"),
      history,
      operationsMax: OPERATIONS_MAX,
    });
  }

  async #startObjects(): Promise<ObjectWorkload | null> {
    const { seed, objects: clients, nodes } = this.#options;
    if (clients === 0) return null;
    const random = Random.fromSeed(seed).fork("objects");
    const objects = new ObjectWorkload({ reach: this.#reach!, clients, random, nodes });
    await objects.prepare();
    objects.start();
    return objects;
  }

  #whole(): Promise<string | null> {
    const waiting = (missing: string) => this.#tell(`Waiting for the network to be whole: ${missing}`);
    return untilWhole(this.#nodes, { reach: this.#reach!, msMax: WHOLE_MS_MAX, waiting });
  }

  #makeNemesis(workload: Workload): Nemesis {
    return new Nemesis({
      reach: this.#reach!,
      nodes: this.#nodes,
      wires: this.#wires!,
      disks: this.#disks,
      history: this.#history!,
      now: () => workload.now(),
      whole: () => this.#whole(),
      tell: (line) => this.#tell(line),
      problem: (what) => this.#problem(what),
    });
  }

  /** No fault any more: what must then hold, written into the history. Milliseconds until all was whole. */
  async #conclude(
    workload: Workload,
    objects: ObjectWorkload | null,
  ): Promise<{ healedAfterMs: number | null; objectsResult: ObjectsResult | null }> {
    const healing = performance.now();
    await this.#wires!.heal();
    for (const node of this.#nodes) {
      if (!node.running && !await node.start()) this.#problem(`Node "${node.name}" did not start at the end`);
    }
    const missing = await this.#whole();
    const healed = Math.round(performance.now() - healing);
    if (missing === null) this.#tell(`The network is whole ${healed} ms after the last fault`);
    else this.#problem(`The network was not whole ${WHOLE_MS_MAX / 1000} s after the last fault: ${missing}`);
    await Promise.all([workload.stop(), objects?.stop()]);
    const objectsResult = objects === null ? null : await this.#concludeObjects(objects);
    const unread = await workload.readAll();
    if (unread.length > 0) {
      this.#problem(`${unread.length} keys could not be read at the end: ${unread.slice(0, 5)}`);
    }
    try {
      const replicas = await readReplicas(this.#reach!, EQUAL_MS_MAX);
      for (const replica of replicas) this.#history!.write(replica);
    } catch (error) {
      this.#problem(error instanceof Error ? error.message : String(error));
    }
    this.#ending = true;
    for (const node of this.#nodes) {
      const code = await node.terminate();
      if (code !== 0) this.#problem(`Node "${node.name}" ended with exit code ${code} when it was stopped`);
      const wrong = await wrongLogLines(node.log);
      if (wrong.length > 0) {
        this.#problem(`The log of "${node.name}" has ${wrong.length} wrong lines: ${wrong[0]}`);
      }
    }
    if (this.#options.record) await this.#replayAll();
    return { healedAfterMs: missing === null ? healed : null, objectsResult };
  }

  /** Everything that was acknowledged can be read, and disks hold that and nothing else. */
  async #concludeObjects(objects: ObjectWorkload): Promise<ObjectsResult> {
    const { history } = objects, reach = this.#reach!, began = performance.now();
    const unmended = await untilMended(reach, { msMax: MENDED_MS_MAX, tidy: false });
    const mendedAfterMs = unmended === null ? Math.round(performance.now() - began) : null;
    if (unmended === null) this.#tell(`All fragments are where they should be ${mendedAfterMs} ms later`);
    else this.#problem(`Fragments were not mended in ${MENDED_MS_MAX / 1000} s: ${unmended}`);
    let versions = 0, fragments = 0;
    try {
      versions = await objects.readAll();
      this.#tell(`Read ${versions} versions of objects`);
      fragments = await this.#auditObjects();
    } catch (error) {
      this.#problem(`Objects could not be looked at in the end: ${String(error)}`);
    }
    const { objects: keys, operations, undecided } = history.check();
    for (const problem of history.problems) this.#problem(`Objects: ${problem}`);
    if (history.problems.length > 0) {
      const lines = history.operations.map((operation) => JSON.stringify(operation));
      await Deno.writeTextFile(join(this.#directory, "objects.jsonl"), lines.join("\n") + "\n");
    }
    const { bytesRead } = history, { bytesWritten, counts } = objects;
    return {
      operations,
      keys,
      undecided,
      bytesWritten,
      bytesRead,
      versions,
      fragments,
      mendedAfterMs,
      counts,
    };
  }

  async #auditObjects(): Promise<number> {
    const reach = this.#reach!, pending = await endPending(reach);
    for (const node of this.#nodes) {
      const code = await node.terminate();
      if (code !== 0) this.#problem(`Node "${node.name}" ended with exit code ${code} after the faults`);
    }
    dateBack(this.#nodes);
    const ready = await Promise.all(this.#nodes.map((node) => node.start()));
    if (ready.includes(false)) this.#problem("A node did not start again after the faults");
    const missing = await this.#whole() ??
      await untilMended(reach, { msMax: MENDED_MS_MAX, tidy: true });
    if (missing !== null) this.#problem(`After a restart: ${missing}`);
    const giveUp = performance.now() + SPACE_MS_MAX;
    for (;;) {
      const { problems, rotten, fragments } = await auditSpace(reach, this.#nodes);
      const wrong = [...problems, ...rotten];
      if (wrong.length === 0) {
        this.#tell(`Disks hold ${fragments} fragments and nothing else; ${pending} writes were broken off`);
        return fragments;
      }
      if (performance.now() > giveUp) {
        this.#problem(
          `Disks and catalog do not agree in ${wrong.length} things: ${wrong.slice(0, 5).join("; ")}`,
        );
        return fragments;
      }
      await until(performance.now() + SPACE_POLL_MS);
    }
  }

  #recording(name: string): string {
    return join(this.#directory, `${name}.flight`);
  }

  /** Steps the same core through what each node was told: it must do and end as the node did. */
  async #replayAll(): Promise<void> {
    for (const { name, data } of this.#nodes) {
      const keys = this.#options.open ? [] : ["--data", data];
      const { ok, stdout, stderr } = await run(...REPLAY, this.#recording(name), ...keys);
      const last = (ok ? stdout : stderr).trim().split("\n").at(-1) ?? "";
      if (ok) this.#tell(`Replayed ${name}: ${last}`);
      else this.#problem(`The recording of "${name}" does not replay: ${last}`);
    }
  }

  #ended(node: NodeProcess, code: number): void {
    if (this.#ending) return;
    const kind = this.#nemesis?.hitBy(node.number) ?? null;
    const what = `Node "${node.name}" ended by itself with exit code ${code}${
      kind === null ? "" : ` under "${kind}"`
    }`;
    if (kind !== null && MAY_END.includes(kind)) this.#tell(what);
    else this.#problem(what);
  }

  #problem(what: string): void {
    this.#tell(`PROBLEM: ${what}`);
    this.#history?.write({ type: "problem", what });
  }

  #tellPlan(plan: readonly Fault[]): void {
    this.#tell(`Seed ${this.#options.seed}: ${plan.length} faults`);
    for (const fault of plan) {
      const what = describeFault(fault, (node) => NAMES[node]!);
      this.#tell(`  at ${(fault.at / 1000).toFixed(1)} s for ${(fault.forMs / 1000).toFixed(1)} s: ${what}`);
    }
  }

  #tell(line: string): void {
    const at = ((performance.now() - this.#began) / 1000).toFixed(1).padStart(6);
    this.#options.tell(`[${at}] ${line}`);
  }
}

const REPLAY = [
  ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-read"],
  ...[
    "--ignore-env=LOG_TOKENS,LOG_STREAM",
    new URL("../../cli/main.ts", import.meta.url).href,
    "sim",
    "replay",
  ],
];
const NETWORK_KINDS: readonly FaultKind[] = ["cut", "one-way", "loss", "slow-link"];
/** A node that cannot even lock its directory refuses to start. Other trouble with its disk does not end it. */
const MAY_END: readonly FaultKind[] = ["read-only"];

function until(at: number): Promise<void> {
  return new Promise((done) => setTimeout(done, Math.max(0, at - performance.now())));
}
