import assert from "node:assert/strict";
import { ChunkDisk, DEFAULT_CHUNK_DISK } from "../../../sim/objects/chunk_disk.ts";
import { type Instant, type LogIndex, NEVER, nodeId, type PartitionId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { Effects, type Kernel } from "../../../core/wire/kernel.ts";
import { StateChecker } from "../../../sim/checkers/state.ts";
import { Clock } from "../../../sim/clock.ts";
import { DEFAULT_DISK, Disk } from "../../../sim/disk.ts";
import { Machine } from "../../../sim/machine.ts";

const P = 0 as PartitionId;

/** A node that holds one replica at an index, with a state of this digest. */
function holding(name: string, index: number, digest: number): Machine {
  const id = nodeId(name);
  const machine = new Machine({
    index: name.charCodeAt(0),
    id,
    address: `${name}:1`,
    zone: "Ori",
    capacity: 1,
    clock: new Clock({ offsetUs: 0, driftPpm: 0 }),
    disk: new Disk(id, DEFAULT_DISK, Random.fromSeed(1)),
    chunks: new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(1)),
    random: Random.fromSeed(1),
  });
  const state = { stateDigest: () => digest };
  const slot = { partition: P, replica: { appliedIndex: index }, catalog: null, system: state };
  const kernel = {
    step: () => new Effects(),
    nextWake: (): Instant => NEVER,
    fingerprint: () => 0,
    view: () => null,
    replicas: () => [slot],
    membership: { liveness: () => "alive" },
  } satisfies Kernel & Record<string, unknown>;
  machine.kernel = kernel;
  return machine;
}

function compare(...machines: Machine[]): { problems: string[]; compared: number } {
  const problems: string[] = [];
  const checker = new StateChecker((detail) => problems.push(detail));
  for (const machine of machines) {
    const effects = new Effects();
    effects.note({ kind: "applied", partition: P, index: 5 as LogIndex });
    checker.stepped(machine, { kind: "wake" }, effects);
  }
  return { problems, compared: checker.compared };
}

Deno.test("StateChecker finds replicas that differ at one index, and only those", () => {
  assert.equal(compare(holding("a", 5, 7), holding("b", 5, 8)).problems.length, 1);
  assert.deepEqual(compare(holding("a", 5, 7), holding("b", 5, 7)), { problems: [], compared: 1 });
  assert.deepEqual(compare(holding("a", 5, 7), holding("b", 6, 8)), { problems: [], compared: 0 });
});

Deno.test("churn seed 47: StateChecker took a view restored ahead of its log for another state", () => {
  assert.deepEqual(compare(holding("a", 5, 7), holding("b", 5, 0), holding("c", 5, 7)), {
    problems: [],
    compared: 1,
  });
});
