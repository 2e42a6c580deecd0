import assert from "node:assert/strict";
import { ChunkDisk, DEFAULT_CHUNK_DISK } from "../../sim/objects/chunk_disk.ts";
import fc from "fast-check";
import { type LogIndex, type NodeId, nodeId, type PartitionId } from "../../core/base/ids.ts";
import type { Configuration } from "../../core/wire/messages.ts";
import { Random } from "../../core/base/random.ts";
import {
  affordable,
  configurationsInForce,
  drainable,
  type Held,
  type Standing,
  standingOf,
} from "../../sim/budget.ts";
import { Clock } from "../../sim/clock.ts";
import { DEFAULT_DISK, Disk } from "../../sim/disk.ts";
import { Machine } from "../../sim/machine.ts";

const NAMES: readonly NodeId[] = "abcdefgh".split("").map(nodeId);
const SETTINGS = { replicas: 3, systemReplicas: 5 };

function held(partition: number, index: number, voters: string, outgoing = "", committed = true): Held {
  const configuration: Configuration = {
    voters: voters.split("").map(nodeId),
    outgoing: outgoing.split("").filter((name) => name !== "").map(nodeId),
    learners: [],
  };
  return { partition: partition as PartitionId, configuration, index: index as LogIndex, committed };
}

function standings(
  by: Readonly<Record<string, readonly Held[]>>,
  lost = "",
  latent = "",
): Standing[] {
  return Object.entries(by).map(([id, held]) => ({
    id: nodeId(id),
    health: lost.includes(id) ? "lost" as const : latent.includes(id) ? "latent" as const : "whole" as const,
    active: !lost.includes(id),
    held,
  }));
}

const may = (victim: string, machines: readonly Standing[], latent = false) =>
  affordable(nodeId(victim), latent, machines, SETTINGS);

Deno.test("affordable() leaves a majority of every configuration's voters", () => {
  const p1 = held(1, 1, "abc"), p2 = held(2, 1, "cde");
  const calm = standings({ a: [p1], b: [p1], c: [p1, p2], d: [p2], e: [p2] });
  for (const name of "abcde") assert.ok(may(name, calm));
  const one = standings({ a: [p1], b: [p1], c: [p1, p2], d: [p2], e: [p2], f: [], g: [] }, "a");
  assert.deepEqual([..."bcde"].map((name) => may(name, one)), [false, false, true, true]);
});

Deno.test("affordable() counts both halves of a joint configuration, and one that is not committed yet", () => {
  const joint = held(1, 5, "def", "abc", false), old = held(1, 1, "abc");
  const all = standings({ a: [old, joint], b: [old], c: [old], d: [], e: [], f: [], g: [], h: [] }, "d");
  assert.deepEqual([..."abcef"].map((name) => may(name, all)), [true, true, true, false, false]);
  // What only the lost one's log had was never in force.
  const both = standings({ a: [old, joint], b: [old], c: [old], d: [], e: [], f: [], g: [], h: [] }, "ad");
  assert.deepEqual([..."bcefgh"].map((name) => may(name, both)), [false, false, true, true, true, true]);
});

Deno.test("affordable() heeds no configuration that a committed one has put out of force", () => {
  const old = held(1, 1, "abc"), now = held(1, 9, "def");
  const all = standings({ a: [old], b: [old], c: [], d: [now], e: [now], f: [now], g: [] }, "c");
  assert.ok(may("a", all));
  assert.deepEqual(configurationsInForce(all).length, 3);
});

Deno.test("affordable() hurts no more at once than the smallest group bears, while one does not know that it is hurt", () => {
  const p1 = held(1, 1, "abc"), p2 = held(2, 1, "def");
  const by = { a: [p1], b: [p1], c: [p1], d: [p2], e: [p2], f: [p2], g: [], h: [] };
  assert.ok(may("d", standings(by, "a")));
  assert.ok(!may("d", standings(by, "a"), true));
  assert.ok(!may("d", standings(by, "", "a")));
  assert.ok(may("d", standings(by), true));
});

Deno.test("drainable() keeps groups large enough to bear who does not know that it is hurt", () => {
  const p1 = held(1, 1, "abc");
  const by = { a: [p1], b: [p1], c: [p1] }, more = { ...by, d: [] };
  const drains = (leaver: string, machines: readonly Standing[]) =>
    drainable(nodeId(leaver), machines, SETTINGS);
  assert.ok(drains("b", standings(by)));
  assert.ok(!drains("b", standings(by, "", "a")));
  assert.ok(drains("b", standings(more, "", "a")));
  assert.ok(
    !drains("b", standings(by, "a")),
    "a group of two that waits for one who is lost, as in seed 756",
  );
  assert.ok(!may("a", standings({ a: [], b: [] }), true), "two can never bear one");
});

const group = fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 5 });
const partition = fc.record({
  voters: group,
  outgoing: fc.option(group, { nil: [] as NodeId[] }),
  index: fc.integer({ min: 1, max: 9 }),
});

Deno.test("affordable() and drainable() leave somebody whole who stays", () => {
  const p1 = held(1, 1, "abc");
  const leaving = standings({ a: [p1], b: [p1], c: [p1] }).map((machine) => ({
    ...machine,
    active: machine.id === "a",
  }));
  assert.ok(!may("a", leaving) && may("b", leaving));
  assert.ok(!drainable(nodeId("a"), leaving, SETTINGS));
});

Deno.test("affordable() struck again and again never takes a quorum from anybody", () => {
  let struck = 0, refused = 0;
  fc.assert(
    fc.property(
      fc.array(partition, { minLength: 1, maxLength: 6 }),
      fc.array(fc.nat(7), { maxLength: 20 }),
      fc.boolean(),
      (partitions, strikes, latent) => {
        const hurt = new Set<NodeId>();
        const now = (): Standing[] =>
          NAMES.map((id) => ({
            id,
            health: !hurt.has(id) ? "whole" : latent ? "latent" : "lost",
            active: !hurt.has(id),
            // Everybody knows of everything, so nothing hides behind a machine that is lost.
            held: partitions.map(({ voters, outgoing, index }, p) => ({
              partition: p as PartitionId,
              configuration: { voters, outgoing, learners: [] },
              index: index as LogIndex,
              committed: false,
            })),
          }));
        for (const strike of strikes) {
          const victim = NAMES[strike]!;
          if (hurt.has(victim)) continue;
          if (affordable(victim, latent, now(), SETTINGS)) {
            hurt.add(victim);
            struck++;
          } else refused++;
          for (const { voters, outgoing } of partitions) {
            for (const half of [voters, outgoing]) {
              const left = half.filter((id) => !hurt.has(id)).length;
              assert.ok(half.length === 0 || left >= Math.floor(half.length / 2) + 1);
            }
          }
          if (latent) assert.ok(2 * hurt.size < SETTINGS.replicas);
        }
      },
    ),
    { numRuns: 500 },
  );
  assert.ok(struck > 200 && refused > 200, `${struck} struck, ${refused} refused`);
});

Deno.test("standingOf() counts who leaves for good as lost while it still hands over, and who drains as whole", () => {
  const id = nodeId("a"), random = Random.fromSeed(1);
  const machine = new Machine({
    index: 0,
    id,
    address: "a:1",
    zone: "",
    capacity: 1,
    clock: new Clock({ offsetUs: 0, driftPpm: 0 }),
    disk: new Disk(id, DEFAULT_DISK, random),
    chunks: new ChunkDisk(DEFAULT_CHUNK_DISK, random),
    random,
  });
  machine.life = 1;
  machine.power = "running";
  assert.equal(standingOf(machine).health, "whole");
  machine.power = "crashed";
  assert.equal(standingOf(machine).active, false, "it may be declared gone meanwhile, as in seed 1988");
  machine.power = "running";
  machine.retired = machine.draining = true;
  assert.deepEqual([standingOf(machine).health, standingOf(machine).active], ["whole", false]);
  machine.draining = false;
  assert.deepEqual([standingOf(machine).health, standingOf(machine).active], ["lost", false]);
});
