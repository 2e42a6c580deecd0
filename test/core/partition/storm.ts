/** A storm of faults over a cluster, then calm, and what must then hold. Shared by the tests and by longer runs by hand. */
import { type NodeId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { Damage } from "./damage.ts";
import { CALM, Cluster, type Faults } from "./cluster.ts";

export interface StormReport {
  readonly digest: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly tally: ReadonlyMap<string, number>;
  readonly lines: readonly string[];
  readonly virtualUs: number;
}

/** What a storm brought to light, and when in its time. */
export class StormError extends Error {
  override readonly name = "StormError";
  constructor(message: string, readonly virtualUs: number, cause: unknown) {
    super(message, { cause });
  }
}

export interface StormOptions {
  readonly seed: number;
  readonly trace?: boolean;
  readonly stormUs?: number;
  /** Messages leave before what they rest on is durable: the watchers must notice. */
  readonly lyingDisk?: boolean;
  /** In place of what the seed draws; what is left out does not happen. */
  readonly faults?: Partial<Faults>;
  /** How long a crashed node stays away, at most. */
  readonly downUsMax?: number;
  /** What follows the storm instead of calm and its checks. */
  readonly afterwards?: (cluster: Cluster) => void;
}

/** Throws where a promise of Raft was broken, or the cluster did not come together again afterwards. */
export function storm(
  {
    seed,
    trace = false,
    stormUs = 12_000_000,
    lyingDisk = false,
    faults,
    downUsMax = 3_000_000,
    afterwards = calmDown,
  }: StormOptions,
): StormReport {
  const plan = Random.fromSeed(seed).fork("plan");
  const nodes = plan.between(3, 7);
  const cluster = new Cluster({
    seed,
    nodes,
    founders: plan.between(1, Math.min(nodes, 5)),
    settings: { leaseReads: plan.chance(1, 3), quietAfterUs: plan.pick([200_000, 1_000_000]) },
    trace,
    lyingDisk,
  });
  try {
    const drawn = lyingDisk ? LYING : drawFaults(plan, nodes);
    cluster.faults = faults === undefined ? drawn : { ...CALM, ...faults };
    schedule(cluster, stormUs, downUsMax);
    cluster.run(stormUs);
    afterwards(cluster);
  } catch (error) {
    if (trace) console.log(cluster.lines.slice(-200000).join("\n"));
    throw new StormError(`Seed ${seed}: ${(error as Error).message}`, cluster.now, error);
  }
  const { digest, acknowledged, reads, tally, lines, now: virtualUs } = cluster;
  return { digest, acknowledged: acknowledged.size, reads, tally, lines, virtualUs };
}

/** Where a lie shows: slow disks, and crashes of many at once. */
const LYING: Faults = { ...CALM, crashUs: 300_000, slowDisk: true };

function drawFaults(plan: Random, nodes: number): Faults {
  const some = (values: readonly number[]) => plan.pick(values);
  return {
    lost: some([0, 0, 20, 100]),
    repeated: some([0, 50, 200]),
    delayed: some([0, 20, 200]),
    crashUs: some([0, 600_000, 2_000_000]),
    cutUs: some([0, 800_000, 3_000_000]),
    retargetUs: some([0, 1_000_000, 3_000_000]),
    checkpointUs: some([0, 500_000, 2_000_000]),
    slowDisk: plan.chance(1, 4),
    // Whoever is lost for good must leave three others to move to.
    damageUs: nodes < 4 ? 0 : some([0, 0, 1_000_000]),
  };
}

/** Everything that goes on during the storm, each on its own clock. */
function schedule(cluster: Cluster, until: number, downUsMax: number): void {
  const { random, faults, nodes } = cluster;
  const every = (us: number, act: () => void) => {
    if (us === 0) return;
    const again = () => {
      if (cluster.now >= until) return;
      act();
      cluster.at(random.between(1, 2 * us), again);
    };
    cluster.at(random.between(1, 2 * us), again);
  };
  every(15_000, () => cluster.propose(chooseNode(cluster)));
  every(200_000, () => {
    for (let i = random.between(1, 40); i > 0; i--) cluster.propose(chooseNode(cluster));
  });
  every(25_000, () => cluster.read(chooseNode(cluster)));
  every(faults.crashUs, () => {
    // A third of the time more than one at once, as when a rack loses power.
    const count = random.chance(1, 3) ? random.between(2, nodes.length) : 1;
    for (const node of random.shuffle([...nodes]).slice(0, count)) {
      if (!node.up) continue;
      cluster.crash(node);
      cluster.at(random.between(1000, downUsMax), () => cluster.boot(node));
    }
  });
  every(faults.cutUs, () => cut(cluster));
  every(faults.retargetUs, () => cluster.retarget(drawTarget(cluster)));
  const damage = new Damage(cluster);
  every(faults.damageUs, () => damage.strike());
  if (faults.damageUs > 0) background(cluster, () => damage.settle());
  every(faults.checkpointUs, () => cluster.checkpoint(random.pick(nodes)));
  every(4_000_000, () => {
    const { leader } = cluster;
    if (leader !== null) cluster.step(leader, (r, now) => r.transfer(random.pick(cluster.ids), now));
  });
  every(
    3_000_000,
    () => cluster.step(random.pick(nodes), (r, now) => r.peerLost(random.pick(cluster.ids), now)),
  );
  background(cluster, () => {
    cluster.lookAround();
    cluster.sweep();
  });
}

/** What goes on for ever: membership looks around, and unneeded replicas are let go. */
function background(cluster: Cluster, act: () => void): void {
  const look = () => {
    act();
    cluster.at(400_000, look);
  };
  cluster.at(400_000, look);
}

function chooseNode(cluster: Cluster) {
  const { leader, random, nodes } = cluster;
  return leader !== null && random.chance(9, 10) ? leader : random.pick(nodes);
}

function cut(cluster: Cluster): void {
  const { random, ids } = cluster;
  const kind = random.below(4);
  if (kind === 0) cluster.cutBetween(random.pick(ids), random.pick(ids), false);
  else if (kind === 1) cluster.isolate(random.pick(ids));
  else if (kind === 2) {
    const side = random.shuffle([...ids]).slice(0, ids.length >> 1);
    for (const a of side) for (const b of ids) if (!side.includes(b)) cluster.cutBetween(a, b, true);
  } else cluster.heal();
  cluster.at(random.between(100_000, 2_000_000), () => cluster.heal());
}

function drawTarget(cluster: Cluster): NodeId[] {
  const { random, ids, faults } = cluster;
  const least = faults.damageUs > 0 ? 3 : 1;
  return random.shuffle([...ids]).slice(0, random.between(least, Math.min(5, ids.length)));
}

function calm(cluster: Cluster): void {
  cluster.faults = CALM;
  cluster.heal();
  for (const node of cluster.nodes) if (!node.up) cluster.boot(node);
}

function calmDown(cluster: Cluster): void {
  calm(cluster);
  converge(cluster);
}

/** Liveness: with all faults gone the target is reached, what was acknowledged is everywhere, and silence falls. */
function converge(cluster: Cluster): void {
  const settled = () => {
    const voters = cluster.target.map((id) => cluster.node(id).replica);
    const last = cluster.leader?.replica?.lastIndex ?? -1;
    return voters.every((r) =>
      r !== null && r.appliedIndex === last && r.quiet && r.configuration.outgoing.length === 0 &&
      r.configuration.learners.length === 0 &&
      [...r.configuration.voters].sort().join() === [...cluster.target].sort().join()
    );
  };
  if (!cluster.runUntil(40_000_000, settled)) cluster.fail(`no convergence: ${state(cluster)}`);
  const token = cluster.propose(cluster.leader!);
  const read = cluster.read(cluster.leader!);
  const done = () =>
    cluster.outcomes.get(token)?.kind === "done" && cluster.outcomes.get(read)?.kind === "done";
  if (!cluster.runUntil(5_000_000, done)) cluster.fail(`no progress after convergence: ${state(cluster)}`);
  if (!cluster.runUntil(20_000_000, settled)) cluster.fail(`no silence after a write: ${state(cluster)}`);
  if (cluster.leader!.id !== cluster.target[0]) {
    cluster.fail(`${cluster.target[0]} should lead: ${state(cluster)}`);
  }
  check(cluster);
}

function check(cluster: Cluster): void {
  const [first, ...rest] = cluster.target.map((id) => cluster.node(id).toy!);
  for (const toy of rest) {
    if (toy.stateDigest() !== first!.stateDigest()) cluster.fail("states differ at the end");
  }
  const present = new Map<number, number>();
  for (const n of first!.numbers) present.set(n, (present.get(n) ?? 0) + 1);
  for (const token of cluster.acknowledged.keys()) {
    if (!present.has(token)) cluster.fail(`acknowledged proposal ${token} is lost`);
  }
  for (const [n, times] of present) if (times > 1) cluster.fail(`proposal ${n} was applied ${times} times`);
  // Who came back without its journal is known by that (P6).
  const refused = cluster.refusals.find((refusal) => !refusal.endsWith("its disk is another one"));
  if (refused !== undefined) cluster.fail(`refused messages: ${refused}`);
}

function state(cluster: Cluster): string {
  return `target ${cluster.target.join(" ")}\n${
    cluster.nodes.map((n) => `${n.id} ${n.replica?.describe() ?? (n.up ? "none" : "down")}`).join("\n")
  }`;
}

if (import.meta.main) {
  const { useTinyLimits } = await import("./cluster.ts");
  useTinyLimits();
  const [from = "1", to = from] = Deno.args;
  const trace = Deno.args.includes("--trace");
  let failed = 0, acknowledged = 0, reads = 0, digest = 0;
  const total = new Map<string, number>();
  for (let seed = Number(from); seed <= Number(to); seed++) {
    try {
      const report = storm({ seed, trace });
      acknowledged += report.acknowledged;
      reads += report.reads;
      digest = (digest ^ report.digest) >>> 0;
      for (const [kind, n] of report.tally) total.set(kind, (total.get(kind) ?? 0) + n);
    } catch (error) {
      failed++;
      console.log((error as Error).message.slice(0, 1500));
      if (trace) console.log((error as Error).cause);
    }
  }
  console.log(
    `${failed} failed, ${acknowledged} acknowledged, ${reads} reads, digest ${digest.toString(16)}`,
    Object.fromEntries(total),
  );
}
