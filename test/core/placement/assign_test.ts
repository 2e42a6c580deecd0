import assert from "node:assert/strict";
import fc from "fast-check";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import {
  assign,
  type Assignment,
  type PlacementSettings,
  systemSeats,
} from "../../../core/placement/assign.ts";
import { check } from "../../../core/placement/check.ts";
import { place } from "../../../core/placement/place.ts";
import { rosterOf } from "../../../core/placement/roster.ts";
import type { Member } from "../../../core/wire/messages.ts";
import { fleet, member, settings, someActive } from "./arbitraries.ts";
import {
  activeOf,
  movedData,
  naiveCheck,
  naiveLeaderChanges,
  naiveMoves,
  naiveShares,
  naiveZoneBounds,
} from "./naive.ts";

const DEFAULT: PlacementSettings = { partitions: 64, replicas: 3, systemReplicas: 5 };

function loadsOf(layout: Assignment): Map<NodeId, number> {
  const loads = new Map<NodeId, number>();
  for (const id of layout.slice(1).flat()) loads.set(id, (loads.get(id) ?? 0) + 1);
  return loads;
}

const shuffled = (list: readonly Member[], seed: number): Member[] =>
  Random.fromSeed(seed).shuffle([...list]);

Deno.test("assign() keeps every rule through any churn, as check() and its naive twin see it", () => {
  fc.assert(fc.property(settings, fc.array(someActive, { minLength: 1, maxLength: 5 }), (network, epochs) => {
    let layout: Assignment | null = null;
    for (const list of epochs) {
      const next = assign(layout, list, network);
      assert.equal(check(next, list, network, layout), null);
      assert.deepEqual(naiveCheck(next, list, network), new Set());
      layout = next;
    }
  }));
});

Deno.test("assign() moves as little as the exact twin, whatever changes at once (P6)", () => {
  fc.assert(fc.property(settings, someActive, someActive, (network, before, after) => {
    const layout = assign(null, before, network);
    const next = assign(layout, after, network);
    assert.equal(movedData(layout, next), naiveMoves(layout, after, network));
  }));
});

Deno.test("assign() changes no more first replicas than it must (P6)", () => {
  fc.assert(fc.property(settings, someActive, someActive, (network, before, after) => {
    const layout = assign(null, before, network);
    const next = assign(layout, after, network);
    const changed = next.filter((replicas, p) => p > 0 && replicas[0] !== layout[p]![0]).length;
    assert.equal(changed, naiveLeaderChanges(layout, next));
  }));
});

Deno.test("assign() keeps as much of the system partition as any choice of members could (P6)", () => {
  fc.assert(fc.property(settings, someActive, someActive, (network, before, after) => {
    const [held] = assign(null, before, network);
    const [next] = assign([held!, ...new Array(network.partitions).fill([])], after, network);
    const active = activeOf(after);
    const bounds = [...naiveZoneBounds(after, next!.length)];
    let most = 0;
    for (let choice = 0; choice < 2 ** active.length; choice++) {
      const chosen = active.filter((_, i) => (choice >> i) % 2 === 1);
      const inZone = (zone: string) => chosen.filter((each) => each.zone === zone).length;
      if (chosen.length !== next!.length) continue;
      if (bounds.some(([zone, { low, high }]) => inZone(zone) < low || inZone(zone) > high)) continue;
      most = Math.max(most, chosen.filter(({ id }) => held!.includes(id)).length);
    }
    assert.equal(next!.filter((id) => held!.includes(id)).length, most);
  }));
});

Deno.test("assign() changes nothing where nothing changed", () => {
  fc.assert(fc.property(settings, someActive, (network, list) => {
    const layout = assign(null, list, network);
    assert.deepEqual(assign(layout, list, network), layout);
  }));
});

Deno.test("assign() does not depend on the order of the members (P7)", () => {
  fc.assert(fc.property(settings, someActive, someActive, fc.nat(), (network, before, after, seed) => {
    const layout = assign(null, before, network);
    assert.deepEqual(assign(null, shuffled(before, seed), network), layout);
    assert.deepEqual(assign(layout, shuffled(after, seed), network), assign(layout, after, network));
  }));
});

for (const nodes of [3, 10, 100, 1000]) {
  for (
    const [what, zones, capacityOf] of [
      ["equal members", 1, () => 1],
      ["weighted members in three zones", 3, (i: number) => 1 + (i * 7919) % 8],
    ] as const
  ) {
    Deno.test(`assign() moves within 1.05 of the optimum at ${nodes} ${what}, on join, leave and both`, () => {
      const list = fleet(nodes, zones, capacityOf);
      const layout = assign(null, list, DEFAULT);
      const grown = fleet(nodes + 1, zones, capacityOf);
      for (const after of [grown, list.slice(1), grown.slice(2), grown.filter((_, i) => i % 3 > 0)]) {
        const next = assign(layout, after, DEFAULT);
        assert.equal(check(next, after, DEFAULT), null);
        const optimum = naiveMoves(layout, after, DEFAULT);
        assert.ok(
          optimum !== null && movedData(layout, next) <= 1.05 * optimum,
          `${movedData(layout, next)} > ${optimum}`,
        );
      }
    });
  }

  Deno.test(`assign() moves the least that loads allow at ${nodes} nodes and 1024 partitions`, () => {
    const network = { ...DEFAULT, partitions: 1024 };
    const list = fleet(nodes, 1);
    const layout = assign(null, list, network);
    const joined = assign(layout, fleet(nodes + 1, 1), network);
    const left = assign(layout, list.slice(1), network);
    const newcomer = Math.floor(3 * 1024 / (nodes + 1));
    assert.equal(movedData(layout, joined), newcomer);
    assert.equal(movedData(layout, left), nodes === 3 ? 0 : loadsOf(layout).get(nodeId("n0")));
  });
}

Deno.test("assign() keeps loads within one replica of the fair share, by capacity", () => {
  const list = fleet(10, 5, (i) => 1 + i);
  const layout = assign(null, list, { ...DEFAULT, partitions: 1024 });
  const loads = loadsOf(layout);
  for (const { id, capacity } of list) {
    const share = 3 * 1024 * capacity / 55;
    assert.ok(Math.abs(loads.get(id)! - share) < 1, `${id} holds ${loads.get(id)}, not ${share}`);
  }
});

Deno.test("assign() gives a small zone a copy of everything where zones are few, whatever its capacity (P3 before P4)", () => {
  const list = [
    member("small", { zone: "a" }),
    member("b1", { zone: "b", capacity: 100 }),
    member("b2", { zone: "b", capacity: 300 }),
    member("c1", { zone: "c", capacity: 100 }),
  ];
  const loads = loadsOf(assign(null, list, DEFAULT));
  assert.deepEqual([...loads].sort(), [["b1", 16], ["b2", 48], ["c1", 64], ["small", 64]]);
  assert.equal(Math.round(naiveShares(list, 64, 3).get(nodeId("b2"))!), 48);
});

Deno.test("assign() spreads replicas over distinct zones, and evenly where zones are fewer", () => {
  const zoneOf = new Map(fleet(12, 4).map((m) => [m.id, m.zone]));
  for (const replicas of assign(null, fleet(12, 4), DEFAULT).slice(1)) {
    assert.equal(new Set(replicas.map((id) => zoneOf.get(id))).size, 3);
  }
  const two = fleet(12, 2);
  for (const replicas of assign(null, two, { ...DEFAULT, replicas: 5 }).slice(1)) {
    const inFirst = replicas.filter((id) => two.find((m) => m.id === id)!.zone === "z0").length;
    assert.ok(inFirst === 2 || inFirst === 3);
  }
});

Deno.test("assign() balances first replicas to within one of the fair share (P5)", () => {
  const list = fleet(7, 7);
  const layout = assign(null, list, DEFAULT);
  for (const { id } of list) {
    const first = layout.slice(1).filter((replicas) => replicas[0] === id).length;
    assert.ok(Math.abs(first - 64 / 7) < 1, `${id} is first of ${first}`);
  }
});

Deno.test("assign() takes the rendezvous order where bounds leave the choice free, zones first", () => {
  const one = { partitions: 1, replicas: 3, systemReplicas: 3 };
  const order = (partition: number, list: readonly Member[]) => place(partition, 3, rosterOf(list));
  // With 12 members or more none has a share of a whole replica, so none must hold one.
  for (const count of [12, 25, 40]) {
    const together = fleet(count, 1, (i) => 1 + i % 3);
    assert.deepEqual(assign(null, together, one), [order(0, together), order(1, together)]);
    const apart = fleet(count, 4, (i) => 1 + i % 3);
    assert.deepEqual(new Set(assign(null, apart, one)[1]), new Set(order(1, apart)));
  }
});

Deno.test("assign() pins a layout: nodes of one version or another must agree on it (P7)", () => {
  const layout = assign(null, fleet(6, 3, (i) => 1 + i % 2), {
    partitions: 4,
    replicas: 2,
    systemReplicas: 3,
  });
  assert.deepEqual(layout, [["n3", "n1", "n5"], ["n3", "n5"], ["n4", "n3"], ["n1", "n0"], ["n5", "n1"]]);
});

Deno.test("assign() keeps the system partition's first replica, and else takes the next of the old order", () => {
  const list = fleet(9, 3);
  const [first] = assign(null, list, DEFAULT);
  const turned = [...first!].reverse();
  const previous = [turned, ...assign(null, list, DEFAULT).slice(1)];
  assert.equal(assign(previous, list, DEFAULT)[0]![0], turned[0]);
  const left = list.filter(({ id }) => id !== turned[0]);
  assert.equal(assign(previous, left, DEFAULT)[0]![0], turned[1]);
});

Deno.test("assign() puts a member that has the data first, before a newcomer (P6)", () => {
  const one = { ...DEFAULT, partitions: 1 };
  for (let count = 4; count < 40; count++) {
    const held = ["n0", "n1", "n2"].map(nodeId);
    const first = assign([[], held], fleet(count, 1).slice(1), one)[1]![0]!;
    assert.ok(held.includes(first), `${first} is new`);
  }
});

Deno.test("assign() leaves the previous layout where no member is active, and refuses to start with none", () => {
  const layout = assign(null, fleet(3, 1), DEFAULT);
  const gone = fleet(3, 1).map((m) => ({ ...m, state: "gone" as const }));
  assert.deepEqual(assign(layout, gone, DEFAULT), layout);
  assert.throws(() => assign(null, gone, DEFAULT), { name: "RangeError", message: /^No member is active/ });
});

Deno.test("assign() refuses what makes no sense, with the value", () => {
  const layout = assign(null, fleet(3, 1), DEFAULT);
  assert.throws(
    () => assign(layout.slice(1), fleet(3, 1), DEFAULT),
    /has 64 partitions, not 64 and the system's/,
  );
  assert.throws(() => assign(null, fleet(3, 1), { ...DEFAULT, replicas: 0 }), /replicas .* not 0/);
  assert.throws(
    () => assign(null, fleet(3, 1), { ...DEFAULT, systemReplicas: 1.5 }),
    /systemReplicas .* not 1.5/,
  );
  assert.throws(
    () => assign(null, fleet(3, 1), { ...DEFAULT, partitions: 4096 }),
    /partitions .* 1024, not 4096/,
  );
  assert.throws(() => assign(null, [member("a", { capacity: 0 })], DEFAULT), /capacity of a .* not 0/);
  assert.throws(() => assign(null, [member("a"), member("a")], DEFAULT), /a is listed twice/);
});

Deno.test("assign() holds no data on members that join, drain or are gone (P1)", () => {
  const list = [
    ...fleet(4, 1),
    ...(["joining", "draining", "gone"] as const).map((state) => member(state, { state })),
  ];
  const layout = assign(null, list, DEFAULT);
  assert.deepEqual(new Set(layout.flat()), new Set(activeOf(list).map((m) => m.id)));
});

Deno.test("systemSeats() is odd, but for two members", () => {
  const seats = (active: number, rest: Partial<PlacementSettings> = {}) =>
    systemSeats(active, { ...DEFAULT, ...rest });
  assert.deepEqual([1, 2, 3, 4, 5, 6, 100].map((n) => seats(n)), [1, 2, 3, 3, 5, 5, 5]);
  assert.deepEqual([
    seats(2, { replicas: 1 }),
    seats(9, { systemReplicas: 1 }),
    seats(9, { systemReplicas: 4 }),
  ], [1, 1, 3]);
});

Deno.test("Mirrokni et al. 2018, section 1: no load exceeds the bound, and a change moves a share, not the whole", () => {
  // Consistent hashing with bounded loads caps each bin at (1 + epsilon) of the average. Here the cap is the fair share
  // rounded up, the tightest there is, and a change of one member of n moves about a 1/n part of the replicas.
  const network = { ...DEFAULT, partitions: 1024 };
  for (const nodes of [10, 50]) {
    const layout = assign(null, fleet(nodes, 1), network);
    assert.equal(Math.max(...loadsOf(layout).values()), Math.ceil(3 * 1024 / nodes));
    const next = assign(layout, fleet(nodes + 1, 1), network);
    assert.ok(movedData(layout, next) <= Math.ceil(3 * 1024 / (nodes + 1)));
  }
});
