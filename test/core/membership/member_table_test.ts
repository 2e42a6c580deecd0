import { deepEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { nodeId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { isReachable, MemberTable, outranks } from "../../../core/membership/member_table.ts";
import type { Liveness, Update } from "../../../core/wire/messages.ts";

const status = fc.constantFrom<Liveness>("alive", "suspect", "dead", "left");
const anUpdate = fc.record({ node: fc.nat(9), incarnation: fc.nat(3), status }).map((u): Update => {
  const node = nodeId(`n${u.node}`);
  return { node, address: "x", incarnation: u.incarnation, status: u.status, by: node };
});

function update(name: string, status: Liveness = "alive", incarnation = 0): Update {
  return { node: nodeId(name), address: `${name}:1`, incarnation, status, by: nodeId(name) };
}

function tableOf(...updates: Update[]): MemberTable {
  const table = new MemberTable(Random.fromSeed(1));
  for (const u of updates) table.put(u);
  return table;
}

Deno.test("outranks() is SWIM 4.2's order: incarnation first, then alive < suspect < dead < left", () => {
  const order: Update[] = [];
  for (let incarnation = 0; incarnation < 3; incarnation++) {
    for (const s of ["alive", "suspect", "dead", "left"] as const) order.push(update("a", s, incarnation));
  }
  order.forEach((x, i) => order.forEach((y, j) => equal(outranks(x, y), i > j)));
});

Deno.test("outranks() lets nodes agree whatever the order in which they hear", () => {
  const believed = (updates: readonly Update[]) => {
    const table = tableOf();
    for (const u of updates) {
      const known = table.get(u.node);
      if (known === undefined || outranks(u, known)) table.put(u);
    }
    return table.sorted().map((u) => `${u.node} ${u.incarnation} ${u.status}`);
  };
  fc.assert(fc.property(fc.array(anUpdate), fc.nat(), (updates, seed) => {
    const shuffled = Random.fromSeed(seed).shuffle([...updates, ...updates]);
    deepEqual(believed(shuffled), believed(updates));
  }));
});

Deno.test("MemberTable counts as a naive count does, through puts and forgettings", () => {
  const command = fc.oneof(anUpdate, fc.nat(9));
  fc.assert(fc.property(fc.array(command), (commands) => {
    const table = tableOf();
    for (const c of commands) {
      if (typeof c === "number") table.forget(nodeId(`n${c}`));
      else table.put(c);
    }
    const all = table.sorted();
    equal(table.size, all.length);
    equal(table.reachable, all.filter((u) => isReachable(u.status)).length);
    equal(table.dead, all.filter((u) => u.status === "dead").length);
    const once = Array.from({ length: table.reachable }, () => table.nextToProbe()?.node);
    // Two rounds reach everyone who can be reached, however the members changed before.
    for (let i = 0; i < table.reachable; i++) once.push(table.nextToProbe()?.node);
    deepEqual(
      [...new Set(once)].sort(),
      all.filter((u) => isReachable(u.status)).map((u) => u.node),
    );
  }));
});

Deno.test("SWIM 4.3: every member is probed once a round, in a new order each round", () => {
  const names = Array.from({ length: 20 }, (_, i) => `n${String(i).padStart(2, "0")}`);
  const table = tableOf(...names.map((name) => update(name)));
  const round = () => names.map(() => table.nextToProbe()?.node as string);
  const first = round(), second = round();
  deepEqual([...first].sort(), names);
  deepEqual([...second].sort(), names);
  equal(first.join() === second.join(), false);
});

Deno.test("SWIM 4.3: a newcomer is probed within two rounds and the dead are not", () => {
  const table = tableOf(update("a"), update("b"), update("c", "dead"), update("d", "left"));
  table.nextToProbe();
  table.put(update("e"));
  const probed = new Set(Array.from({ length: 6 }, () => table.nextToProbe()?.node as string));
  deepEqual([...probed].sort(), ["a", "b", "e"]);
  equal(tableOf(update("a", "dead")).nextToProbe(), null);
});

Deno.test("nextDead() goes round the dead", () => {
  const table = tableOf(update("a", "dead"), update("b"), update("c", "dead"));
  const tried = Array.from({ length: 4 }, () => table.nextDead()?.node);
  deepEqual([...tried].sort(), ["a", "a", "c", "c"]);
  equal(tried[0] === tried[1], false);
  equal(tableOf(update("a")).nextDead(), null);
});

Deno.test("pick() takes distinct members, never the excepted, suspects only where asked", () => {
  const table = tableOf(update("a"), update("b", "suspect"), update("c", "dead"), update("d"), update("e"));
  for (let i = 0; i < 20; i++) {
    const well = table.pick(9, { except: nodeId("a"), suspects: false });
    deepEqual([...well].sort(), ["d", "e"]);
    deepEqual([...table.pick(9, { except: null, suspects: true })].sort(), ["a", "b", "d", "e"]);
    equal(table.pick(2, { except: null, suspects: true }).length, 2);
  }
});

Deno.test("forget() keeps rumours out until the node is welcome again", () => {
  const table = tableOf(update("a"), update("b"));
  table.forget(nodeId("a"));
  equal(table.isGone(nodeId("a")), true);
  equal(table.get(nodeId("a")), undefined);
  table.welcome(nodeId("a"));
  equal(table.isGone(nodeId("a")), false);
});
