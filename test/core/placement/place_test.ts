import assert from "node:assert/strict";
import fc from "fast-check";
import type { NodeId } from "../../../core/base/ids.ts";
import { place } from "../../../core/placement/place.ts";
import { rosterOf } from "../../../core/placement/roster.ts";
import { keyHash, score } from "../../../core/placement/score.ts";
import type { Member } from "../../../core/wire/messages.ts";
import { fleet, members } from "./arbitraries.ts";

/** Ranks everything by sorting, then takes turns. */
function naivePlace(fragment: number, count: number, list: readonly Member[]): NodeId[] {
  const roster = rosterOf(list);
  const key = keyHash(fragment);
  const queues = roster.zones
    .map((zone, index) => ({ zone, index, rank: score(key, zone.hash, zone.capacity) }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index)
    .map(({ zone }) =>
      [...zone.members]
        .map((m) => ({ m, rank: score(key, roster.hashes[m]!, roster.capacities[m]!) }))
        .sort((a, b) => a.rank - b.rank || a.m - b.m)
        .map(({ m }) => roster.ids[m]!)
    );
  const chosen: NodeId[] = [];
  while (queues.some((queue) => queue.length > 0)) {
    for (const queue of queues) if (queue.length > 0) chosen.push(queue.shift()!);
  }
  return chosen.slice(0, count);
}

Deno.test("place() agrees with its naive twin", () => {
  fc.assert(fc.property(fc.integer(), fc.integer({ min: 0, max: 14 }), members, (fragment, count, list) => {
    assert.deepEqual(place(fragment, count, rosterOf(list)), naivePlace(fragment, count, list));
  }));
});

Deno.test("place() takes distinct members of distinct zones while there are zones, then turns", () => {
  const list = fleet(12, 4);
  const zoneOf = new Map(list.map((m) => [m.id, m.zone]));
  for (let fragment = 0; fragment < 200; fragment++) {
    const holders = place(fragment, 6, rosterOf(list));
    assert.equal(new Set(holders).size, 6);
    assert.equal(new Set(holders.slice(0, 4).map((id) => zoneOf.get(id))).size, 4);
    assert.equal(new Set(holders.slice(4).map((id) => zoneOf.get(id))).size, 2);
  }
});

Deno.test("place() prefers members in proportion to capacity, across zones of different size", () => {
  const list = fleet(9, 4, (i) => 1 + i % 3);
  const roster = rosterOf(list);
  const total = list.reduce((sum, { capacity }) => sum + capacity, 0);
  const won = new Map<NodeId, number>();
  const fragments = 30_000;
  for (let fragment = 0; fragment < fragments; fragment++) {
    const [first] = place(fragment, 1, roster);
    won.set(first!, (won.get(first!) ?? 0) + 1);
  }
  for (const { id, capacity } of list) {
    const share = capacity / total, deviation = Math.sqrt(fragments * share * (1 - share));
    assert.ok(Math.abs(won.get(id)! - fragments * share) < 5 * deviation, `${id} won ${won.get(id)}`);
  }
});

Deno.test("place() moves only a newcomer's share when one joins", () => {
  const before = rosterOf(fleet(20, 1));
  const after = rosterOf(fleet(21, 1));
  const fragments = 10_000;
  let moved = 0;
  for (let fragment = 0; fragment < fragments; fragment++) {
    const old = place(fragment, 3, before);
    for (const id of place(fragment, 3, after)) {
      if (old.includes(id)) continue;
      assert.equal(id, "n20");
      moved++;
    }
  }
  assert.ok(Math.abs(moved - fragments * 3 / 21) < 200, `${moved} moved`);
});

Deno.test("place() refuses a count that is none", () => {
  assert.throws(() => place(1, -1, rosterOf(fleet(1, 1))), /not -1/);
  assert.deepEqual(place(1, 3, rosterOf([])), []);
});
