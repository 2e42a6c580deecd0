import assert from "node:assert/strict";
import fc from "fast-check";
import { nodeId } from "../../../core/base/ids.ts";
import { assign } from "../../../core/placement/assign.ts";
import { plan } from "../../../core/placement/plan.ts";
import { settings, someActive } from "./arbitraries.ts";
import { naiveDifference } from "./naive.ts";

const [a, b, c, d] = ["a", "b", "c", "d"].map(nodeId) as [never, never, never, never];

Deno.test("plan() says what each partition adds, removes and keeps, and who leads it", () => {
  assert.deepEqual(plan([[a], [a, b, c]], [[a], [b, d, a]]), {
    partitions: [
      { partition: 0, add: [], remove: [], keep: [a], leaderFrom: a, leaderTo: a },
      { partition: 1, add: [d], remove: [c], keep: [b, a], leaderFrom: a, leaderTo: b },
    ],
    totals: { add: 1, remove: 1, keep: 3, leaders: 1, changedPartitions: 1 },
  });
});

Deno.test("plan() takes an empty layout as no replicas", () => {
  assert.deepEqual(plan([], [[a, b]]).partitions, [
    { partition: 0, add: [a, b], remove: [], keep: [], leaderFrom: null, leaderTo: a },
  ]);
  assert.deepEqual(plan([[a, b]], []).totals, {
    add: 0,
    remove: 2,
    keep: 0,
    leaders: 1,
    changedPartitions: 1,
  });
});

Deno.test("plan() agrees with its naive twin", () => {
  fc.assert(fc.property(settings, someActive, someActive, (network, before, after) => {
    const from = assign(null, before, network);
    const to = assign(from, after, network);
    const { partitions, totals } = plan(from, to);
    const pairs = (side: "add" | "remove") =>
      new Set(partitions.flatMap((p) => p[side].map((id) => `${p.partition} ${id}`)));
    assert.deepEqual(pairs("add"), naiveDifference(from, to));
    assert.deepEqual(pairs("remove"), naiveDifference(to, from));
    assert.deepEqual([totals.add, totals.remove], [pairs("add").size, pairs("remove").size]);
    assert.equal(totals.keep, to.flat().length - totals.add);
    assert.equal(totals.leaders, to.filter((replicas, p) => replicas[0] !== from[p]![0]).length);
  }));
});
