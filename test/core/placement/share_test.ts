import assert from "node:assert/strict";
import fc from "fast-check";
import { rosterOf } from "../../../core/placement/roster.ts";
import { exactShares, fairShares, zoneBounds } from "../../../core/placement/share.ts";
import { fleet, member, someActive } from "./arbitraries.ts";
import { activeOf, naiveShares, naiveZoneBounds } from "./naive.ts";

const partitions = fc.constantFrom(1, 4, 64, 1024);

Deno.test("zoneBounds() agrees with its naive twin (P3)", () => {
  fc.assert(fc.property(someActive, fc.integer({ min: 1, max: 8 }), (list, most) => {
    const roster = rosterOf(list);
    const replicas = Math.min(most, roster.ids.length);
    const bounds = zoneBounds(roster, replicas);
    const twin = naiveZoneBounds(list, replicas);
    roster.zones.forEach(({ name }, z) => {
      assert.deepEqual({ low: bounds.low[z], high: bounds.high[z] }, twin.get(name));
    });
  }));
});

Deno.test("exactShares() agrees with its naive twin, and adds up (P4)", () => {
  fc.assert(fc.property(someActive, partitions, fc.integer({ min: 1, max: 8 }), (list, count, most) => {
    const roster = rosterOf(list);
    const replicas = Math.min(most, roster.ids.length);
    const shares = exactShares(roster, zoneBounds(roster, replicas), count, replicas);
    const twin = naiveShares(list, count, replicas);
    shares.forEach(({ top, bottom }, m) => {
      assert.ok(
        Math.abs(top / bottom - twin.get(roster.ids[m]!)!) < 1e-6 * count,
        `${top}/${bottom} of ${roster.ids[m]}`,
      );
    });
    const sum = shares.reduce((total, { top, bottom }) => total + top / bottom, 0);
    assert.ok(Math.abs(sum - count * replicas) < 1e-6);
  }));
});

Deno.test("fairShares() stays exact at the largest network there is", () => {
  const list = fleet(10_000, 100, (i) => i % 2 === 0 ? 1_000_000 : 999_999);
  const roster = rosterOf(list);
  const zones = zoneBounds(roster, 16);
  for (const { top, bottom } of exactShares(roster, zones, 1024, 16)) {
    assert.ok(Number.isSafeInteger(top) && Number.isSafeInteger(bottom) && bottom > 0);
  }
  const { low, high } = fairShares(roster, zones, 1024, 16);
  assert.deepEqual([low.every((x) => x === 1), high.every((x) => x === 2)], [true, true]);
});

Deno.test("fairShares() is proportional to capacity, rounded down and up", () => {
  const list = [member("a", { capacity: 1 }), member("b", { capacity: 2 }), member("c", { capacity: 4 })];
  const roster = rosterOf(list);
  const { low, high } = fairShares(roster, zoneBounds(roster, 1), 16, 1);
  assert.deepEqual([[...low], [...high]], [[2, 4, 9], [3, 5, 10]]);
});

Deno.test("rosterOf() takes active members only, sorted, in zones sorted by name", () => {
  const list = [
    member("b", { zone: "y" }),
    member("a", { zone: "z" }),
    member("d", { state: "gone" }),
    member("c", { zone: "y" }),
  ];
  const roster = rosterOf(list);
  assert.deepEqual(roster.ids, activeOf(list).map((m) => m.id).sort());
  assert.deepEqual(roster.zones.map(({ name, members }) => [name, [...members]]), [["y", [1, 2]], ["z", [
    0,
  ]]]);
  assert.deepEqual([...roster.zoneOf], [1, 0, 0]);
});
