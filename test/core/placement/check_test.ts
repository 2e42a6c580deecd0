import assert from "node:assert/strict";
import fc from "fast-check";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { assign, type Assignment } from "../../../core/placement/assign.ts";
import { check, describeProblem, type Problem } from "../../../core/placement/check.ts";
import { fleet, member, settings, someActive } from "./arbitraries.ts";
import { naiveCheck } from "./naive.ts";

const NETWORK = { partitions: 8, replicas: 3, systemReplicas: 3 };
const LIST = [...fleet(6, 3), member("idle", { state: "draining" })];
const LAYOUT = assign(null, LIST, NETWORK);

/** LAYOUT with one partition replaced. */
const withPartition = (p: number, change: (replicas: readonly NodeId[]) => readonly NodeId[]): Assignment =>
  LAYOUT.map((replicas, i) => i === p ? change(replicas) : replicas);

function problemOf(layout: Assignment, previous: Assignment | null = null): Problem {
  const problem = check(layout, LIST, NETWORK, previous);
  assert.ok(problem !== null);
  return problem;
}

Deno.test("check() finds nothing wrong with what assign() made", () => {
  assert.equal(check(LAYOUT, LIST, NETWORK), null);
  assert.equal(check(LAYOUT, LIST, NETWORK, LAYOUT), null);
});

Deno.test("check() names a wrong number of partitions", () => {
  assert.deepEqual(problemOf(LAYOUT.slice(1)), { kind: "partition-count", actual: 8, expected: 9 });
});

Deno.test("check() names an unknown, an inactive and a doubled holder (P1)", () => {
  const first = (id: string) => withPartition(2, (replicas) => [nodeId(id), ...replicas.slice(1)]);
  assert.deepEqual(problemOf(first("stranger")), { kind: "unknown-member", partition: 2, node: "stranger" });
  assert.deepEqual(problemOf(first("idle")), {
    kind: "inactive-holder",
    partition: 2,
    node: "idle",
    state: "draining",
  });
  const [a, b] = LAYOUT[3]!;
  assert.deepEqual(problemOf(withPartition(3, () => [a!, b!, b!])), {
    kind: "duplicate-replica",
    partition: 3,
    node: b,
  });
});

Deno.test("check() names too few and too many replicas (P2)", () => {
  const few = problemOf(withPartition(1, (replicas) => replicas.slice(1)));
  assert.deepEqual(few, { kind: "replica-count", partition: 1, actual: 2, expected: 3 });
  assert.deepEqual(problemOf(withPartition(0, () => [])), {
    kind: "replica-count",
    partition: 0,
    actual: 0,
    expected: 3,
  });
});

Deno.test("check() names zones that are not spread (P3)", () => {
  // n0 and n3 are of zone z0, n1 and n4 of z1.
  const crowded = withPartition(5, () => ["n0", "n3", "n1"].map(nodeId));
  assert.deepEqual(problemOf(crowded), {
    kind: "zone-spread",
    partition: 5,
    zone: "z0",
    actual: 2,
    low: 1,
    high: 1,
  });
});

Deno.test("check() names a zone that holds too few where each must hold one (P3)", () => {
  const list = fleet(9, 3);
  const network = { partitions: 1, replicas: 4, systemReplicas: 1 };
  const layout = [[nodeId("n0")], ["n0", "n3", "n1", "n4"].map(nodeId)];
  assert.deepEqual(check(layout, list, network), {
    kind: "zone-spread",
    partition: 1,
    zone: "z2",
    actual: 0,
    low: 1,
    high: 2,
  });
});

Deno.test("check() names loads and leaders off their share (P4, P5)", () => {
  const heavy = LAYOUT.map((replicas, p) => p === 0 ? replicas : ["n0", "n1", "n2"].map(nodeId));
  assert.deepEqual(problemOf(heavy), { kind: "load", node: "n0", actual: 8, low: 4, high: 4 });
  const led = LAYOUT.map((replicas, p) =>
    p > 0 && replicas.includes(nodeId("n0")) ? [...replicas].sort() : replicas
  );
  assert.deepEqual(problemOf(led), { kind: "leaders", node: "n0", actual: 4, low: 1, high: 2 });
});

Deno.test("check() names needless moves where it is told the previous layout (P6)", () => {
  const renamed: Record<string, string> = { n0: "n3", n3: "n0" };
  const swapped = LAYOUT.map((replicas) => replicas.map((id) => nodeId(renamed[id] ?? id)));
  assert.equal(check(swapped, LIST, NETWORK), null);
  const problem = problemOf(swapped, LAYOUT);
  assert.ok(problem.kind === "needless-moves" && problem.needed === 0 && problem.actual >= 8);
});

Deno.test("check() accepts only the unchanged layout where no member is active", () => {
  const gone = LIST.map((m) => ({ ...m, state: "gone" as const }));
  assert.equal(check(LAYOUT, gone, NETWORK, LAYOUT), null);
  assert.deepEqual(check(LAYOUT, gone, NETWORK), { kind: "no-active-member" });
  const changed = withPartition(1, (replicas) => replicas.slice(1));
  assert.deepEqual(check(changed, gone, NETWORK, LAYOUT), { kind: "no-active-member" });
});

Deno.test("check() agrees with its naive twin on layouts that were spoiled at random", () => {
  const spoil = fc.record({
    partition: fc.nat(),
    place: fc.nat(),
    node: fc.integer({ min: 0, max: 12 }),
    how: fc.constantFrom("replace", "drop", "add", "reorder", "none"),
  });
  fc.assert(
    fc.property(settings, someActive, fc.array(spoil, { maxLength: 3 }), (network, list, spoils) => {
      const layout = assign(null, list, network).map((replicas) => [...replicas]);
      for (const { partition, place, node, how } of spoils) {
        const replicas = layout[partition % layout.length]!;
        const at = place % (replicas.length + 1);
        if (how === "replace" && at < replicas.length) replicas[at] = nodeId(`n${node}`);
        else if (how === "drop") replicas.splice(at, 1);
        else if (how === "add") replicas.splice(at, 0, nodeId(`n${node}`));
        else if (how === "reorder") replicas.reverse();
      }
      const broken = naiveCheck(layout, list, network);
      const problem = check(layout, list, network);
      if (problem === null) assert.deepEqual(broken, new Set());
      else assert.ok(broken.has(problem.kind), `${problem.kind} is not among ${[...broken]}`);
    }),
    { numRuns: 300 },
  );
});

Deno.test("describeProblem() says what was wrong, the value, and what would be right", () => {
  const load = describeProblem({ kind: "load", node: nodeId("vega"), actual: 9, low: 3, high: 4 });
  assert.equal(load, "vega holds 9 replicas, and its fair share is 3 to 4");
  const spread = describeProblem(problemOf(withPartition(5, () => ["n0", "n3", "n1"].map(nodeId))));
  assert.equal(spread, 'Partition 5 has 2 replicas in zone "z0", not 1');
});
