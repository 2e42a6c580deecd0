import { nodeId } from "../core/base/ids.ts";
import { assign } from "../core/placement/assign.ts";
import { check } from "../core/placement/check.ts";
import { partitionOf } from "../core/placement/key.ts";
import { place } from "../core/placement/place.ts";
import { plan } from "../core/placement/plan.ts";
import { rosterOf } from "../core/placement/roster.ts";
import type { Member } from "../core/wire/messages.ts";

/** Members of a sky: 88 zones, capacities 1 to 8. */
function fleet(count: number): Member[] {
  return Array.from({ length: count }, (_, i) => ({
    id: nodeId(`star${i}`),
    address: "",
    zone: `constellation${i % 88}`,
    capacity: 1 + (i * 7919) % 8,
    state: "active",
    disk: "",
  }));
}

for (const partitions of [64, 1024]) {
  for (const nodes of [3, 100, 1000]) {
    const settings = { partitions, replicas: 3, systemReplicas: 5 };
    const group = `${nodes} members, ${partitions} partitions`;
    const members = fleet(nodes);
    const layout = assign(null, members, settings);
    const joined = fleet(nodes + 1);
    const third = members.filter((_, i) => i % 3 > 0);
    const next = assign(layout, joined, settings);
    Deno.bench("assign, first layout", { group }, () => void assign(null, members, settings));
    Deno.bench("assign, one joins", { group }, () => void assign(layout, joined, settings));
    Deno.bench("assign, one leaves", { group }, () => void assign(layout, members.slice(1), settings));
    Deno.bench("assign, a third leaves", { group }, () => void assign(layout, third, settings));
    Deno.bench("check", { group }, () => void check(layout, members, settings));
    Deno.bench("plan", { group }, () => void plan(layout, next));
  }
}

let turn = 0;
Deno.bench("partitionOf", () => void partitionOf(`star/hip/${turn++}`, 64));
for (const nodes of [10, 1000]) {
  const roster = rosterOf(fleet(nodes));
  Deno.bench(`place, 6 of ${nodes} members`, () => void place(turn++, 6, roster));
}
