/** What a seed of a swarm draws for objects. */
import type { Tuning } from "../../core/base/tuning.ts";
import type { Random } from "../../core/base/random.ts";
import type { ScenarioInput } from "../scenario.ts";
import { OBJECT_FAULTS, type SwarmFault } from "../scenario_faults.ts";

type FaultInput = NonNullable<ScenarioInput["faults"]>[number];
type ObjectsInput = NonNullable<ScenarioInput["objects"]>;

export type ObjectFault = typeof OBJECT_FAULTS[number];

export function isObjectFault(kind: SwarmFault): kind is ObjectFault {
  return (OBJECT_FAULTS as readonly SwarmFault[]).includes(kind);
}

/** null: this seed has none. `always`: the swarm is one of objects. */
export function drawObjects(random: Random, always: boolean): ObjectsInput | null {
  if (!random.chance(1, 3) && !always) return null;
  const share = (of: number) => random.chance(2, 3) ? random.below(of) : 0;
  const schemes = ["auto", "3", "2", "2+1", "4+2", "1+1"], versionings = ["off", "enabled"] as const;
  const buckets = Array.from({ length: random.between(1, 3) }, (_, i) => ({
    name: `bucket-${i}`,
    scheme: random.pick(schemes),
    versioning: random.pick(versionings),
  }));
  const chunk = random.pick([32, 256, 1_024]);
  return {
    clients: random.between(1, 5),
    every: `${random.pick([100, 300, 800])}ms`,
    patience: `${random.pick([2, 5, 10])}s`,
    buckets,
    keys: random.pick([1, 4, 10]),
    bytes: chunk * random.between(1, 20),
    chunk,
    segment: random.between(1, 8),
    inline: random.pick([0, 64, 500]),
    unregistered: random.pick([0, 2, 8]),
    rows: random.pick([3, 6, 20]),
    segmentsPerRow: random.between(1, 4),
    percent: {
      get: share(40),
      head: share(5),
      delete: share(10),
      remove: share(6),
      copy: share(8),
      list: share(5),
      versions: share(5),
      multipart: share(9),
      create: share(10),
      replace: share(7),
    },
    crash: random.pick(["0", "1/40", "1/8"]),
    collect: random.pick(["500ms", "2s", "8s"]),
    quiet: "20m",
    disk: {
      write: random.pick(["100us..1ms", "1ms..20ms"]),
      read: random.pick(["20us..500us", "1ms..150ms"]),
      bandwidth: random.pick([200_000_000, 1_000_000]),
    },
  };
}

/** What takes ten minutes or an hour in life takes seconds. Fragments of nobody live longer than a write may take. */
export function drawObjectTuning(random: Random): Partial<Tuning> {
  const maybe = <K extends keyof Tuning>(name: K, values: readonly number[]): Partial<Tuning> =>
    random.chance(1, 2) ? { [name]: random.pick(values) } : {};
  return {
    orphanAgeUs: random.pick([25_000_000, 40_000_000]),
    lookUs: random.pick([2_000_000, 10_000_000]),
    lookDelayUs: random.pick([100_000, 1_000_000]),
    scrubRestUs: random.pick([500_000, 5_000_000]),
    ...maybe("lookPageMax", [64, 100]),
    ...maybe("lookBudget", [1, 10, 100]),
    ...maybe("repairQueueMax", [4, 64]),
    ...maybe("repairsMax", [1, 2]),
    ...maybe("repairBytesPerSecond", [20_000, 200_000]),
    ...maybe("scrubBytesPerSecond", [20_000, 200_000]),
    ...maybe("hedgeUs", [2_000, 20_000]),
    ...maybe("putPatienceUs", [50_000, 300_000]),
  };
}

/** One kind of fault of fragments as this seed has it. */
export function drawObjectFaults(kind: ObjectFault, random: Random, durationMs: number): FaultInput[] {
  const rate = `${Math.max(500, Math.floor(durationMs / random.between(1, 12)))}ms`;
  switch (kind) {
    case "fragment-rot":
    case "fragment-stray":
    case "fragment-gone":
      return [{ do: kind, rate, fragments: random.pick([1, 3, 10]) }];
    case "lose-fragments":
      return [{ do: "lose-fragments", at: `${random.below(durationMs) + 1}ms` }];
    case "read-errors":
      return [{
        do: "read-errors",
        rate,
        count: random.between(1, 2),
        for: "100ms..3s",
        errors: random.pick(["1/10", "1/2", "1"]),
      }];
  }
}
