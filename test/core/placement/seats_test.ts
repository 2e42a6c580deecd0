import assert from "node:assert/strict";
import fc from "fast-check";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { rosterOf } from "../../../core/placement/roster.ts";
import { place } from "../../../core/placement/place.ts";
import { deputies, seatingOf, seats } from "../../../core/placement/seats.ts";
import type { Member, MemberState } from "../../../core/wire/messages.ts";
import { fleet, members } from "./arbitraries.ts";

const hash = fc.integer();
const count = fc.integer({ min: 0, max: 12 });
const away = fc.constantFrom<MemberState>("joining", "draining", "gone", "removed", "evicted");
const seatsOf = (fragment: number, n: number, list: readonly Member[]) => seats(fragment, n, seatingOf(list));

function become(list: readonly Member[], id: NodeId, state: MemberState): Member[] {
  return list.map((m) => m.id === id ? { ...m, state } : m);
}
function isActive(list: readonly Member[]): (node: NodeId | null) => boolean {
  return (node) => list.some((m) => m.id === node && m.state === "active");
}
/** By seat, whether another than before is to hold it. */
function moved(before: readonly (NodeId | null)[], now: readonly (NodeId | null)[]): number[] {
  return [...now.keys()].filter((seat) => now[seat] !== null && now[seat] !== before[seat]);
}

Deno.test("seats() gives each active member one seat at most, and leaves none vacant for which there is one", () => {
  fc.assert(fc.property(hash, count, members, (fragment, n, list) => {
    const seated = seatsOf(fragment, n, list), taken = seated.filter((node) => node !== null);
    assert.equal(seated.length, n);
    assert.ok(taken.every(isActive(list)));
    assert.equal(new Set(taken).size, taken.length);
    assert.equal(taken.length, Math.min(n, list.filter((m) => m.state === "active").length));
  }));
});

Deno.test("seats() of members that are all active are those of place(), and deputies() the rest in its order", () => {
  fc.assert(fc.property(hash, count, fc.integer({ min: 1, max: 20 }), (fragment, n, size) => {
    const list = fleet(size, 4), roster = rosterOf(list), seated = seatsOf(fragment, n, list);
    assert.deepEqual(seated.filter((node) => node !== null).sort(), place(fragment, n, roster).sort());
    for (const max of [0, 1, 3, 30]) {
      assert.deepEqual(
        deputies(fragment, seated, { count: max, active: roster }),
        place(fragment, n + max, roster).slice(n),
      );
    }
  }));
});

Deno.test("S1: a loss moves what the lost one held, to a deputy, and nothing else; its return restores everything", () => {
  fc.assert(fc.property(
    hash,
    count,
    fc.integer({ min: 2, max: 16 }),
    fc.integer({ min: 1, max: 5 }),
    fc.nat(),
    away,
    (fragment, n, size, zones, which, state) => {
      const list = fleet(size, zones, (i) => 1 + i % 3), lost = list[which % size]!.id;
      const before = seatsOf(fragment, n, list), without = become(list, lost, state);
      const now = seatsOf(fragment, n, without);
      const [deputy = null] = deputies(fragment, before, {
        count: 1,
        active: rosterOf(list.filter((m) => m.id !== lost)),
      });
      assert.deepEqual(now, before.map((node) => node === lost ? deputy : node));
      for (const back of [become(without, lost, "joining"), become(without, lost, "gone")]) {
        assert.deepEqual(seatsOf(fragment, n, back), now);
      }
      assert.deepEqual(seatsOf(fragment, n, become(without, lost, "active")), before);
    },
  ));
});

Deno.test("S1: of two that are lost no seat of those that stay is taken", () => {
  fc.assert(fc.property(hash, fc.integer({ min: 3, max: 16 }), fc.nat(), fc.nat(), (fragment, size, a, b) => {
    const list = fleet(size, 3), n = 6;
    const lost = [list[a % size]!.id, list[b % size]!.id];
    const without = lost.reduce((l, id) => become(l, id, "gone"), list as Member[]);
    const before = seatsOf(fragment, n, list), now = seatsOf(fragment, n, without);
    for (const [seat, node] of before.entries()) {
      if (node !== null && !lost.includes(node)) assert.equal(now[seat], node);
    }
  }));
});

Deno.test("S2: one that joins six moves little more than a fragment of each chunk of 4+2", () => {
  const list = fleet(7, 7), six = list.slice(0, 6), joiner = list[6]!.id, chunks = 20_000;
  const sixSeats = seatingOf(six), sevenSeats = seatingOf(list);
  let fragments = 0, least = 0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    const now = seats(chunk, 6, sevenSeats);
    fragments += moved(seats(chunk, 6, sixSeats), now).length;
    if (now.includes(joiner)) least++;
  }
  // By position in place() it would be three.
  assert.ok(fragments / chunks < 1.7, `${fragments / chunks} a chunk`);
  assert.ok(least / chunks > 0.8 && least / chunks < 0.9, `${least / chunks} at least`);
});

Deno.test("S2: where most that are known are former, a loss moves little more than what the lost one held", () => {
  const list = fleet(30, 30), chunks = 5_000;
  const some = list.map((m, i): Member => i < 20 ? { ...m, state: "removed" } : m);
  const lost = nodeId(list[25]!.id), before = seatingOf(some), now = seatingOf(become(some, lost, "gone"));
  let fragments = 0, least = 0;
  for (let chunk = 0; chunk < chunks; chunk++) {
    const held = seats(chunk, 6, before);
    fragments += moved(held, seats(chunk, 6, now)).length;
    if (held.includes(lost)) least++;
  }
  assert.ok(fragments < 2 * least, `${fragments / least}`);
});

Deno.test("Every seat and every member gets its part", () => {
  const list = fleet(8, 8), won = new Map<string, number>(), chunks = 16_000;
  const seating = seatingOf(become(list, list[3]!.id, "gone"));
  for (let chunk = 0; chunk < chunks; chunk++) {
    for (const [seat, node] of seats(chunk, 6, seating).entries()) {
      won.set(`${seat} ${node}`, (won.get(`${seat} ${node}`) ?? 0) + 1);
    }
  }
  for (const times of won.values()) assert.ok(Math.abs(times - chunks / 7) < 0.12 * chunks / 7, `${times}`);
  assert.equal(won.size, 6 * 7);
});
