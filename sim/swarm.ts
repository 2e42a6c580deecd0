/**
 * Swarm testing (Groce, Zhang, Eide, Chen and Regehr, "Swarm Testing", ISSTA 2012): each seed draws a network, a load and a
 * mix of faults of its own. A mix of everything hides what only shows when something is left out, for example the backlog
 * that crashes keep cutting short; so each kind of fault, and each small limit, is in or out by the toss of a coin.
 *
 * Invariants
 *  W1  What is drawn is a function of the scenario and the seed alone, and is a scenario as a file may hold it: it can be
 *      printed, cut down by hand and run again to the same digest.
 *  W2  What is drawn leaves the network able to become well after the faults: the budget sees to it that a quorum of every
 *      partition is left, but for a few seeds without one; and clocks never jump where reads rely on leases.
 */
import { Random } from "../core/base/random.ts";
import { LIMITS } from "../core/base/limits.ts";
import type { Tuning } from "../core/base/tuning.ts";
import { zoneName } from "./cast.ts";
import { type Scenario, type ScenarioInput, scenarioOf } from "./scenario.ts";
import {
  drawObjectFaults,
  drawObjects,
  drawObjectTuning,
  isObjectFault,
  type ObjectFault,
} from "./objects/swarm.ts";
import { PRIVATE_FAULTS, SWARM_FAULTS, type SwarmFault } from "./scenario_faults.ts";

type FaultInput = NonNullable<ScenarioInput["faults"]>[number];
type SettingsInput = NonNullable<NonNullable<ScenarioInput["cluster"]>["settings"]>;

/** What the draws of faults depend on. */
interface Shape {
  readonly random: Random;
  readonly durationMs: number;
  readonly graceMs: number;
  /** Running at the start. */
  readonly start: number;
  readonly spare: number;
  readonly leaseReads: boolean;
  readonly zones: readonly string[];
}

/** The scenario that a seed runs: itself, or what the seed draws from a swarm. */
export function resolveScenario(scenario: Scenario, seed: number): Scenario {
  return scenario.swarm === undefined ? scenario : scenarioOf(drawSwarm(scenario, seed));
}

/**
 * What `seed` draws from a swarm, as a scenario file would say it. Its duration and the nodes of its sky are at most those
 * of the swarm; what concerns neither the network, its load nor its faults is taken over.
 */
export function drawSwarm(swarm: Scenario, seed: number): ScenarioInput {
  const random = Random.fromSeed(seed).fork("swarm");
  const settings = drawSettings(random.fork("settings"));
  const durationMs = random.between(Math.floor(swarm.duration / 2000), Math.floor(swarm.duration / 1000));
  const nodes = Math.min(swarm.sky.nodes, drawNodes(random)), spare = random.below(Math.min(4, nodes));
  const start = nodes - spare;
  const zones = random.chance(1, 3) ? 1 : random.between(2, Math.max(2, nodes));
  const shape: Shape = {
    random: random.fork("faults"),
    durationMs,
    graceMs: settings.graceMs,
    start,
    spare,
    leaseReads: settings.input.leaseReads === true,
    zones: Array.from({ length: zones }, (_, i) => zoneName(i)),
  };
  const things = random.fork("objects"), objects = drawObjects(things, swarm.objects !== undefined);
  const tuning = {
    ...drawTuning(random.fork("tuning")),
    ...(objects === null ? {} : drawObjectTuning(random.fork("object tuning"))),
  };
  const kinds = swarm.swarm?.faults ?? SWARM_FAULTS;
  const faults = kinds.flatMap((kind) =>
    !isPrivateFault(kind) && !isObjectFault(kind) && random.chance(1, 2) ? drawFaults(kind, shape) : []
  );
  // From a stream of its own: an open network is the same whether its seed might have drawn a private one or not.
  const secret = random.fork("security");
  const security = secret.chance(1, 2) ? "private" : "open";
  const isPrivate = (swarm.security ?? security) === "private";
  if (isPrivate) {
    const shapeOfSecret = { ...shape, random: secret };
    for (const kind of kinds) {
      if (isPrivateFault(kind) && secret.chance(1, 2)) faults.push(...drawPrivateFaults(kind, shapeOfSecret));
    }
  }
  if (objects !== null) {
    for (const kind of kinds) {
      if (isObjectFault(kind) && things.chance(1, 2)) {
        faults.push(...drawObjectFaults(kind, things, durationMs));
      }
    }
  }
  return {
    name: `${swarm.name}-${seed}`,
    about: swarm.about,
    seed,
    duration: ms(durationMs),
    settle: ms(swarm.settle / 1000),
    // A layout may wait for who is missed, up to twice the grace period, and that for who is missed meanwhile.
    converge: ms(swarm.converge / 1000 + 3 * settings.graceMs),
    sky: { catalogue: swarm.sky.catalogue, nodes, zones, records: random.pick([0, 10, 40, 100]) },
    cluster: {
      form: random.chance(1, 4) ? "grow" : "genesis",
      start,
      settings: settings.input,
      ...(Object.keys(tuning).length > 0 ? { tuning } : {}),
    },
    network: drawNetwork(random.fork("network")),
    disk: drawDisk(random.fork("disk")),
    clock: random.chance(1, 2)
      ? {}
      : { offset: ms(random.below(5_000)), driftPpm: random.pick([0, 50, 500, 20_000]) },
    workload: drawWorkload(random.fork("workload")),
    ...(objects === null ? {} : { objects }),
    faults,
    budget: random.chance(1, 20) ? "none" : swarm.budget,
    ...(isPrivate ? { security: "private" as const } : {}),
    checks: swarm.checks,
  };
}

function drawNodes(random: Random): number {
  if (random.chance(1, 12)) return random.pick([1, 2, 2, 15]);
  return random.between(3, 9);
}

function drawSettings(random: Random): { readonly input: SettingsInput; readonly graceMs: number } {
  const heartbeat = random.pick([20, 50, 50, 100]);
  const electionMin = heartbeat * random.between(4, 8), probeTimeout = random.pick([60, 100, 200]);
  const probeInterval = probeTimeout * random.between(2, 4);
  const graceMs = random.chance(1, 6) ? 30_000 : probeInterval * 2 + random.between(500, 4_000);
  const input: SettingsInput = {
    partitions: random.pick([1, 2, 4, 4, 8, 8, 16]),
    replicas: random.pick([1, 3, 3, 3, 5]),
    systemReplicas: random.pick([1, 3, 3, 5]),
    heartbeat: ms(heartbeat),
    electionTimeoutMin: ms(electionMin),
    electionTimeoutMax: ms(electionMin + heartbeat * random.between(2, 8)),
    probeTimeout: ms(probeTimeout),
    probeInterval: ms(probeInterval),
    suspicionMultiplier: random.between(1, 3),
    pushPull: ms(Math.max(probeInterval, random.pick([2_000, 5_000, 30_000]))),
    grace: ms(graceMs),
    quietAfter: ms(Math.max(heartbeat, random.pick([0, 100, 500, 3_000]))),
    leaseReads: random.chance(1, 3),
  };
  return { input, graceMs };
}

/** Each limit is its default or, by a coin, so small that what it bounds happens all the time. */
function drawTuning(random: Random): Partial<Tuning> {
  const maybe = <K extends keyof Tuning>(name: K, values: readonly number[]): Partial<Tuning> =>
    random.chance(1, 2) ? { [name]: random.pick(values) } : {};
  const entries = random.chance(1, 2) ? random.between(2, 32) : null;
  const bytes = random.chance(1, 3) ? random.pick([512, 2048, 8192]) : null;
  return {
    ...maybe("journalBytesPerCheckpoint", [4096, 16_384, 65_536]),
    ...maybe("checkpointEntriesKept", [1, 4, 16]),
    ...maybe("checkpointBytesKept", [256, 2048]),
    ...(entries === null ? {} : { logEntriesKept: entries, logEntriesMax: entries * random.between(2, 8) }),
    ...(bytes === null ? {} : { logBytesKept: bytes, logBytesMax: bytes * random.between(2, 8) }),
    ...maybe("snapshotChunkBytesMax", [200, 1000, 8000]),
    ...maybe("appendEntriesMax", [1, 3, 16]),
    ...(random.chance(1, 4) ? { proposalsPendingMax: random.between(1, 8) } : {}),
    ...maybe("watchEventsKept", [4, 32]),
  };
}

function drawNetwork(random: Random): NonNullable<ScenarioInput["network"]> {
  const maybe = (ratios: readonly string[]) => random.chance(1, 2) ? random.pick(ratios) : 0;
  return {
    latency: us(random.pick([50, 500, 2_000, 5_000])),
    perDegree: us(random.pick([0, 10, 50])),
    jitter: us(random.pick([0, 200, 2_000])),
    loss: maybe(["1/2000", "1/300", "1/50"]),
    duplicate: maybe(["1/1000", "1/100"]),
    reorder: maybe(["1/500", "1/50"]),
    reorderBy: ms(random.pick([2, 10, 50])),
    corrupt: maybe(["1/20000", "1/3000"]),
    codec: random.pick([0, "1/100", "1/10"]),
    clientLatency: us(random.pick([100, 500, 3_000])),
  };
}

function drawDisk(random: Random): NonNullable<ScenarioInput["disk"]> {
  return {
    sync: random.pick(["50us..300us", "100us..5ms", "1ms..30ms"]),
    checkpoint: random.pick(["1ms..10ms", "20ms..200ms", "200ms..2s"]),
    encrypted: random.chance(1, 2),
    tables: random.chance(1, 4) ? "files" : "memory",
  };
}

function drawWorkload(random: Random): NonNullable<ScenarioInput["workload"]> {
  const share = (of: number) => random.chance(2, 3) ? random.below(of) : 0;
  return {
    clients: random.between(1, 8),
    every: ms(random.pick([40, 100, 300])),
    patience: ms(random.pick([1_000, 3_000, 10_000])),
    percent: {
      get: share(35),
      stale: share(20),
      cas: share(12),
      delete: share(10),
      range: share(3),
      transact: share(10),
      ttl: share(5),
      lease: share(8),
      history: share(4),
    },
    keys: random.pick([3, 12, 40, 100]),
    skew: random.pick([0, "1/2", "9/10"]),
    ttl: ms(random.pick([500, 2_000, 5_000])),
    watchers: random.pick([0, 0, 1, 2]),
    valueBytes: random.pick([0, 0, 100, 2_000]),
    ...(random.chance(1, 6)
      ? { large: "1/100", largeBytes: random.pick([100_000, LIMITS.valueBytesMax]) }
      : {}),
  };
}

/** One kind of fault as this seed has it: when, to whom, how long. */
function drawFaults(kind: Exclude<SwarmFault, PrivateFault | ObjectFault>, shape: Shape): FaultInput[] {
  const { random, durationMs, graceMs } = shape;
  const when = () => ({ rate: ms(Math.max(500, Math.floor(durationMs / random.between(1, 5)))) });
  const once = () => ({ at: ms(random.below(durationMs)) });
  const lasting = () => {
    const least = random.pick([50, 300, 1_000, 2_500]);
    return { for: `${ms(least)}..${ms(least + random.below(graceMs < 10_000 ? graceMs + 1_000 : 3_000))}` };
  };
  const who = (): { count?: number; share?: string; leaders?: boolean } => {
    if (random.chance(1, 3)) return { leaders: true };
    return random.chance(1, 3)
      ? { share: random.pick(["1/3", "1/2", "1"]) }
      : { count: random.between(1, 2) };
  };
  const noticed = random.pick(["0", "1/2", "1"]);
  const away = { crash: "0s..3s", for: "100ms..3s" };
  switch (kind) {
    case "crash":
      return [{ do: "crash", ...when(), ...who(), ...lasting(), silent: random.pick(["0", "1/4", "1"]) }];
    case "lose":
      return [{ do: random.pick(["crash", "leave"]), ...once(), forever: true }];
    case "restart":
      return [{ do: "restart", ...once(), share: random.pick(["1/2", "1"]), for: "100ms..1s" }];
    case "leave":
      return [{ do: "leave", ...when(), ...lasting() }];
    case "drain":
      return shape.start + shape.spare > 2 ? [{ do: "drain", ...once() }] : [];
    case "join":
      return Array.from({ length: shape.spare }, () => ({ do: "join" as const, ...once() }));
    case "partition":
      return [{ do: "partition", ...when(), ...who(), ...lasting(), noticed }];
    case "cut-zone": {
      const zone = random.pick(shape.zones);
      return shape.zones.length > 1 ? [{ do: "partition", ...once(), zone, ...lasting(), noticed }] : [];
    }
    case "one-way":
      return [{ do: "one-way", ...when(), ...who(), ...lasting(), noticed }];
    case "loss":
      return [{ do: "loss", ...when(), ...lasting(), loss: random.pick(["1/20", "1/5"]) }];
    case "latency":
      return [{ do: "latency", ...when(), ...lasting(), by: ms(random.pick([2, 10, 40])) }];
    case "slow":
      return [{ do: "slow", ...when(), ...who(), ...lasting(), by: us(random.pick([200, 1_000, 3_000])) }];
    case "jump":
      return shape.leaseReads
        ? []
        : [{ do: "jump", ...when(), by: random.pick(["10ms..500ms", "100ms..5s"]) }];
    case "drift":
      return [{ do: "drift", ...when(), ...lasting(), ppm: random.pick([-40_000, 5_000, 40_000]) }];
    case "rot":
      return [{ do: "rot", ...when(), ...away, of: random.pick(["journal", "tables"]) }];
    case "misdirect":
    case "lost-write":
      return [{ do: kind, ...when(), ...away }];
    case "lose-disk":
      return [{ do: "lose-disk", ...once() }];
    case "full":
      return [{ do: "full", ...when(), ...lasting(), room: random.pick([500, 4_096, 65_536]) }];
    case "slow-disk":
      return [{ do: "slow-disk", ...when(), ...who(), ...lasting(), by: ms(random.pick([5, 30, 200])) }];
    case "sync-fails":
      return [{ do: "sync-fails", ...when(), ...who(), for: "100ms..3s" }];
  }
}

type PrivateFault = typeof PRIVATE_FAULTS[number];

function isPrivateFault(kind: SwarmFault): kind is PrivateFault {
  return (PRIVATE_FAULTS as readonly SwarmFault[]).includes(kind);
}

/** What operators of a private network do, and strangers try. */
function drawPrivateFaults(kind: PrivateFault, { random, durationMs }: Shape): FaultInput[] {
  const when = () => ({ rate: ms(Math.max(500, Math.floor(durationMs / random.between(1, 5)))) });
  const once = () => ({ at: ms(random.below(durationMs)) });
  switch (kind) {
    case "evict": {
      const system = random.chance(1, 3), force = random.pick(["0", "1"]);
      const evict = { do: "evict" as const, force, stops: random.pick(["0", "1/2"]), after: "0s..5s" };
      const whom = system ? { system } : random.chance(1, 3) ? { leaders: true } : {};
      return Array.from({ length: random.between(1, 2) }, () => ({ ...evict, ...once(), ...whom, count: 1 }));
    }
    case "rotate-keys":
      return [{ do: "rotate-keys", ...when() }];
    case "invite":
      return [{
        do: "invite",
        ...once(),
        joiners: random.between(1, 3),
        uses: random.between(1, 2),
        ttl: ms(random.pick([1_000, 60_000])),
      }];
    case "intrude":
      return [{ do: "intrude", rate: ms(Math.max(500, Math.floor(durationMs / 10))) }];
    case "access-set":
    case "access-drop":
      return [{ do: kind, ...when() }];
  }
}

function ms(count: number): string {
  return count === 0 ? "0" : `${count}ms`;
}

function us(count: number): string {
  return count === 0 ? "0" : `${count}us`;
}
