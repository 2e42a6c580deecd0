import type { NodeId } from "../base/ids.ts";
import { LIMITS, type Settings } from "../base/limits.ts";
import type { Member } from "../wire/messages.ts";
import { distribute } from "./flow.ts";
import { type Roster, rosterOf } from "./roster.ts";
import { keyHash, score } from "./score.ts";
import { type Bounds, fairShares, zoneBounds } from "./share.ts";

/** assignment[p]: the replicas of partition p in order of preference, the preferred leader first; 0 is the system's. */
export type Assignment = readonly (readonly NodeId[])[];
export type PlacementSettings = Pick<Settings, "partitions" | "replicas" | "systemReplicas">;

/**
 * The layout of the next epoch: P1 to P7 of the README in this folder hold of it. With no active member there is
 * nowhere to move anything to, and the previous layout stays.
 *
 * @param previous the layout of the last epoch, or null at the start of a network
 * @throws {RangeError} when a setting or a capacity is out of range, when `previous` has another number of partitions,
 *   when there is neither a previous layout nor an active member, or when two members share an id
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { nodeId } from "../base/ids.ts";
 * const members = ["rigel", "vega", "mira"].map((name) => (
 *   { id: nodeId(name), address: "", zone: name, capacity: 1, state: "active" as const }
 * ));
 * const layout = assign(null, members, { partitions: 64, replicas: 3, systemReplicas: 5 });
 * assert.deepEqual([...layout[1]!].sort(), ["mira", "rigel", "vega"]);
 * ```
 */
export function assign(
  previous: Assignment | null,
  members: readonly Member[],
  settings: PlacementSettings,
): Assignment {
  requireWithin("partitions", settings.partitions, LIMITS.partitionsMax);
  requireWithin("replicas", settings.replicas, LIMITS.replicasMax);
  requireWithin("systemReplicas", settings.systemReplicas, LIMITS.replicasMax);
  if (previous !== null && previous.length !== settings.partitions + 1) {
    throw new RangeError(
      `The previous layout has ${previous.length} partitions, not ${settings.partitions} and the system's`,
    );
  }
  const roster = rosterOf(members);
  if (roster.ids.length === 0) {
    if (previous === null) throw new RangeError("No member is active, so there is nothing to place data on");
    return previous;
  }
  const before = Array.from(
    { length: settings.partitions + 1 },
    (_, p) => beforeOf(previous?.[p] ?? [], roster),
  );
  const layout = [placeSystem(before[0]!, roster, settings), ...placeData(before.slice(1), roster, settings)];
  return layout.map((replicas) => replicas.map((m) => roster.ids[m]!));
}

/**
 * The members of the system partition: an odd number up to systemReplicas, since an even one adds no tolerance of
 * failures. Two members are the exception: both hold it, unless one replica is all that was asked for. Two voters
 * stand still when one is lost, but what was agreed is not lost with it.
 */
export function systemSeats(active: number, settings: PlacementSettings): number {
  const most = Math.min(active, settings.systemReplicas);
  if (most === 2) return settings.replicas > 1 ? 2 : 1;
  return most % 2 === 0 ? Math.max(most - 1, 0) : most;
}

/** The replicas of each data partition (P2). */
export function dataReplicas(active: number, settings: PlacementSettings): number {
  return Math.min(active, settings.replicas);
}

/** How often each member may be first, given what it holds (P5). */
export function leaderBounds(loads: Int32Array, replicas: number): Bounds {
  return {
    low: loads.map((load) => Math.floor(load / replicas)),
    high: loads.map((load) => Math.ceil(load / replicas)),
  };
}

function requireWithin(name: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  throw new RangeError(`The setting ${name} is an integer from 1 to ${most}, not ${value}`);
}

/** One partition in the previous layout, as far as its members are still active. */
interface Before {
  /** In their old order, each once. */
  readonly members: readonly number[];
  /** Who was first; -1 for nobody or one that is not active now. */
  readonly first: number;
}

function beforeOf(replicas: readonly NodeId[], roster: Roster): Before {
  const members = new Set<number>();
  for (const id of replicas) {
    const m = roster.indexOf.get(id);
    if (m !== undefined) members.add(m);
  }
  const first = replicas[0];
  return { members: [...members], first: first === undefined ? -1 : roster.indexOf.get(first) ?? -1 };
}

function placeSystem(before: Before, roster: Roster, settings: PlacementSettings): number[] {
  const seats = systemSeats(roster.ids.length, settings);
  const zones = zoneBounds(roster, seats);
  const any = { low: new Int32Array(roster.ids.length), high: new Int32Array(roster.ids.length).fill(1) };
  const replicas = spread([before], roster, { replicas: seats, zones, loads: any, firstPartition: 0 })[0]!;
  const ordered = byScore(replicas, roster, 0);
  const leader = before.members.find((m) => replicas.includes(m));
  return leader === undefined ? ordered : leaderFirst(ordered, leader);
}

function placeData(before: readonly Before[], roster: Roster, settings: PlacementSettings): number[][] {
  const replicas = dataReplicas(roster.ids.length, settings);
  const zones = zoneBounds(roster, replicas);
  const loads = fairShares(roster, zones, settings.partitions, replicas);
  const held = spread(before, roster, { replicas, zones, loads, firstPartition: 1 })
    .map((members, p) => byScore(members, roster, p + 1));
  const leaders = chooseLeaders(before, held, roster.ids.length);
  return held.map((members, p) => leaderFirst(members, leaders[p]!));
}

interface Demand {
  readonly replicas: number;
  readonly zones: Bounds;
  readonly loads: Bounds;
  readonly firstPartition: number;
}

function spread(before: readonly Before[], roster: Roster, demand: Demand): number[][] {
  const keys = before.map((_, p) => keyHash(demand.firstPartition + p));
  return distribute({
    partitions: before.length,
    replicas: demand.replicas,
    zoneOf: roster.zoneOf,
    zoneLow: demand.zones.low,
    zoneHigh: demand.zones.high,
    memberLow: demand.loads.low,
    memberHigh: demand.loads.high,
    candidates: (_, zone) => roster.zones[zone]!.members,
    kept: before.map(({ members }) => members),
    zoneScore: (p, zone) => score(keys[p]!, roster.zones[zone]!.hash, roster.zones[zone]!.capacity),
    memberScore: (p, m) => score(keys[p]!, roster.hashes[m]!, roster.capacities[m]!),
  });
}

/** The same flow once more: every partition needs one leader out of its replicas, the last one if it may be (P5). */
function chooseLeaders(
  before: readonly Before[],
  held: readonly (readonly number[])[],
  members: number,
): number[] {
  const replicas = held[0]!.length;
  const loads = new Int32Array(members);
  for (const holders of held) for (const m of holders) loads[m]!++;
  const bounds = leaderBounds(loads, replicas);
  const candidates = held.map((holders) => Int32Array.from(holders));
  const leaders = distribute({
    partitions: held.length,
    replicas: 1,
    zoneOf: new Int32Array(members),
    zoneLow: Int32Array.of(1),
    zoneHigh: Int32Array.of(1),
    memberLow: bounds.low,
    memberHigh: bounds.high,
    candidates: (p) => candidates[p]!,
    kept: held.map((holders, p) => holders.includes(before[p]!.first) ? [before[p]!.first] : []),
    zoneScore: () => 0,
    // A newcomer can lead only once it has caught up, so one that has the data goes before it.
    memberScore: (p, m) => (before[p]!.members.includes(m) ? 0 : replicas) + held[p]!.indexOf(m),
  });
  return leaders.map((chosen) => chosen[0]!);
}

function byScore(members: readonly number[], roster: Roster, partition: number): number[] {
  const key = keyHash(partition);
  const scored = members.map((m) => ({ m, score: score(key, roster.hashes[m]!, roster.capacities[m]!) }));
  return scored.sort((a, b) => a.score - b.score || a.m - b.m).map(({ m }) => m);
}

function leaderFirst(members: readonly number[], leader: number): number[] {
  return [leader, ...members.filter((m) => m !== leader)];
}
