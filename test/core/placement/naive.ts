/**
 * The naive twins of placement: slow, with floating point and sets where the real ones are exact and packed, and
 * written from the rules (README of core/placement) without a look at how the real ones go about it.
 */
import type { NodeId } from "../../../core/base/ids.ts";
import type { Member } from "../../../core/wire/messages.ts";
import type { Assignment, PlacementSettings } from "../../../core/placement/assign.ts";

// Shares are fractions over at most the sum of capacities, about 1e7 in these tests, so none lies this near a whole.
const EPSILON = 1e-9;

export function activeOf(members: readonly Member[]): Member[] {
  return members.filter((member) => member.state === "active");
}

/** Deals replicas one by one to the emptiest zone with room; `favourite` decides ties. */
function deal(
  sizes: ReadonlyMap<string, number>,
  replicas: number,
  tie: (zone: string) => number,
): Map<string, number> {
  const dealt = new Map([...sizes.keys()].map((zone) => [zone, 0]));
  for (let i = 0; i < replicas; i++) {
    const open = [...sizes.keys()].filter((zone) => dealt.get(zone)! < sizes.get(zone)!);
    open.sort((a, b) => dealt.get(a)! - dealt.get(b)! || tie(a) - tie(b));
    dealt.set(open[0]!, dealt.get(open[0]!)! + 1);
  }
  return dealt;
}

/** P3: what the evenest deal may give each zone, at least and at most. */
export function naiveZoneBounds(
  members: readonly Member[],
  replicas: number,
): Map<string, { low: number; high: number }> {
  const sizes = new Map<string, number>();
  for (const { zone } of activeOf(members)) sizes.set(zone, (sizes.get(zone) ?? 0) + 1);
  return new Map([...sizes.keys()].map((zone) => [zone, {
    low: deal(sizes, replicas, (z) => z === zone ? 1 : 0).get(zone)!,
    high: deal(sizes, replicas, (z) => z === zone ? 0 : 1).get(zone)!,
  }]));
}

/** The x in [0, top] at which the non-decreasing f reaches `goal`. */
function bisect(f: (x: number) => number, goal: number, top: number): number {
  let low = 0, high = top;
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (f(middle) < goal) low = middle;
    else high = middle;
  }
  return high;
}

/** P4: the fair share of each active member, by raising one level of water until all is held. */
export function naiveShares(
  members: readonly Member[],
  partitions: number,
  replicas: number,
): Map<NodeId, number> {
  const bounds = naiveZoneBounds(members, replicas);
  const zones = [...bounds.keys()].map((zone) => ({
    inside: activeOf(members).filter((member) => member.zone === zone),
    low: partitions * bounds.get(zone)!.low,
    high: partitions * bounds.get(zone)!.high,
  }));
  const held = (inside: Member[], level: number) =>
    inside.reduce((sum, { capacity }) => sum + Math.min(partitions, level * capacity), 0);
  const clamped = (zone: typeof zones[number], level: number) =>
    Math.min(zone.high, Math.max(zone.low, held(zone.inside, level)));
  const level = bisect(
    (x) => zones.reduce((sum, zone) => sum + clamped(zone, x), 0),
    partitions * replicas,
    partitions,
  );
  const shares = new Map<NodeId, number>();
  for (const zone of zones) {
    const own = bisect((x) => held(zone.inside, x), clamped(zone, level), partitions);
    for (const { id, capacity } of zone.inside) shares.set(id, Math.min(partitions, own * capacity));
  }
  return shares;
}

export const roundDown = (share: number): number => Math.floor(share + EPSILON);
export const roundUp = (share: number): number => Math.ceil(share - EPSILON);

interface Arc {
  readonly to: number;
  room: number;
  readonly cost: number;
  readonly back: number;
}

/** Cheapest largest flow by Bellman and Ford's shortest paths, one unit at a time. */
class NaiveFlow {
  readonly #arcs: Arc[][] = [];

  node(): number {
    return this.#arcs.push([]) - 1;
  }

  arc(from: number, to: number, room: number, cost: number): void {
    if (room <= 0) return;
    this.#arcs[from]!.push({ to, room, cost, back: this.#arcs[to]!.length });
    this.#arcs[to]!.push({ to: from, room: 0, cost: -cost, back: this.#arcs[from]!.length - 1 });
  }

  /** An arc that must carry `low`: what fills it up to there earns more than all else can cost. */
  bounded(from: number, to: number, low: number, high: number): void {
    this.arc(from, to, low, -NaiveFlow.MUST);
    this.arc(from, to, high - low, 0);
  }

  static readonly MUST = 1_000_000;

  solve(source: number, sink: number): { flow: number; cost: number } {
    let flow = 0, cost = 0;
    for (;;) {
      const distance: number[] = this.#arcs.map(() => Infinity);
      const via: (Arc | null)[] = this.#arcs.map(() => null);
      distance[source] = 0;
      const queue = [source];
      const queued = new Set(queue);
      for (let i = 0; i < queue.length; i++) {
        const node = queue[i]!;
        queued.delete(node);
        for (const arc of this.#arcs[node]!) {
          if (arc.room === 0 || distance[node]! + arc.cost >= distance[arc.to]!) continue;
          distance[arc.to] = distance[node]! + arc.cost;
          via[arc.to] = arc;
          if (!queued.has(arc.to)) {
            queued.add(arc.to);
            queue.push(arc.to);
          }
        }
      }
      if (distance[sink] === Infinity) return { flow, cost };
      for (let arc = via[sink]; arc !== null && arc !== undefined;) {
        const reverse: Arc = this.#arcs[arc.to]![arc.back]!;
        arc.room--;
        reverse.room++;
        arc = via[reverse.to];
      }
      flow++;
      cost += distance[sink]!;
    }
  }
}

/** The fewest data replicas that any layout with P1 to P4 must copy, and null where there is no such layout. */
export function naiveMoves(
  previous: Assignment | null,
  members: readonly Member[],
  settings: PlacementSettings,
): number | null {
  const active = activeOf(members);
  const replicas = Math.min(settings.replicas, active.length);
  const bounds = naiveZoneBounds(members, replicas);
  const shares = naiveShares(members, settings.partitions, replicas);
  const flow = new NaiveFlow();
  const source = flow.node(), sink = flow.node();
  const nodes = new Map(active.map((member) => [member.id, flow.node()]));
  let must = 0;
  for (const [id, share] of shares) {
    flow.bounded(nodes.get(id)!, sink, roundDown(share), roundUp(share));
    must += roundDown(share);
  }
  for (let p = 1; p <= settings.partitions; p++) {
    const partition = flow.node();
    flow.arc(source, partition, replicas, 0);
    for (const [zone, { low, high }] of bounds) {
      const cell = flow.node();
      flow.bounded(partition, cell, low, high);
      must += low;
      for (const member of active) {
        if (member.zone !== zone) continue;
        flow.arc(cell, nodes.get(member.id)!, 1, previous?.[p]?.includes(member.id) ? 0 : 1);
      }
    }
  }
  const { flow: placed, cost } = flow.solve(source, sink);
  const moves = cost + must * NaiveFlow.MUST;
  return placed === settings.partitions * replicas && moves < NaiveFlow.MUST ? moves : null;
}

/** The fewest partitions whose first replica must change, given what each member holds (P5, P6). */
export function naiveLeaderChanges(previous: Assignment | null, layout: Assignment): number {
  const flow = new NaiveFlow();
  const source = flow.node(), sink = flow.node();
  const loads = new Map<NodeId, number>();
  const replicas = layout[1]!.length;
  for (const id of layout.slice(1).flat()) loads.set(id, (loads.get(id) ?? 0) + 1);
  const nodes = new Map([...loads.keys()].map((id) => [id, flow.node()]));
  let must = 0;
  for (const [id, load] of loads) {
    flow.bounded(nodes.get(id)!, sink, Math.floor(load / replicas), Math.ceil(load / replicas));
    must += Math.floor(load / replicas);
  }
  for (let p = 1; p < layout.length; p++) {
    const partition = flow.node();
    flow.arc(source, partition, 1, 0);
    for (const id of layout[p]!) flow.arc(partition, nodes.get(id)!, 1, previous?.[p]?.[0] === id ? 0 : 1);
  }
  return flow.solve(source, sink).cost + must * NaiveFlow.MUST;
}

/** Pairs of partition and member in `to` but not in `from`. */
export function naiveDifference(from: Assignment, to: Assignment): Set<string> {
  const pairs = (layout: Assignment) => layout.flatMap((replicas, p) => replicas.map((id) => `${p} ${id}`));
  const known = new Set(pairs(from));
  return new Set(pairs(to).filter((pair) => !known.has(pair)));
}

export function movedData(from: Assignment, to: Assignment): number {
  return naiveDifference([[], ...from.slice(1)], [[], ...to.slice(1)]).size;
}

/** The kinds of every rule of P1 to P5 that the layout breaks. */
export function naiveCheck(
  layout: Assignment,
  members: readonly Member[],
  settings: PlacementSettings,
): Set<string> {
  const broken = new Set<string>();
  if (layout.length !== settings.partitions + 1) broken.add("partition-count");
  const active = activeOf(members);
  const states = new Map(members.map((member) => [member.id, member.state]));
  const replicas = Math.min(settings.replicas, active.length);
  layout.forEach((holders, p) => {
    const expected = p > 0 ? replicas : naiveSeats(active.length, settings);
    if (holders.some((id) => !states.has(id))) broken.add("unknown-member");
    if (holders.some((id) => states.has(id) && states.get(id) !== "active")) broken.add("inactive-holder");
    if (new Set(holders).size !== holders.length) broken.add("duplicate-replica");
    if (holders.length !== expected) broken.add("replica-count");
    for (const [zone, { low, high }] of naiveZoneBounds(members, expected)) {
      const inside = holders.filter((id) =>
        active.some((member) => member.id === id && member.zone === zone)
      ).length;
      if (inside < low || inside > high) broken.add("zone-spread");
    }
  });
  for (const [id, share] of naiveShares(members, settings.partitions, replicas)) {
    const load = layout.slice(1).flat().filter((holder) => holder === id).length;
    const first = layout.slice(1).filter((holders) => holders[0] === id).length;
    if (load < roundDown(share) || load > roundUp(share)) broken.add("load");
    if (first < Math.floor(load / replicas) || first > Math.ceil(load / replicas)) broken.add("leaders");
  }
  return broken;
}

/** 0, 1, 2, 3, 3, 5, 5 …: odd from three on, both of two, and never more than asked for. */
function naiveSeats(active: number, { replicas, systemReplicas }: PlacementSettings): number {
  let seats = Math.min(active, systemReplicas);
  if (seats === 2 && replicas === 1) seats = 1;
  while (seats > 2 && seats % 2 === 0) seats--;
  return seats;
}
