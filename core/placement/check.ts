import type { NodeId, PartitionId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import type { Member, MemberState } from "../wire/messages.ts";
import {
  assign,
  type Assignment,
  dataReplicas,
  leaderBounds,
  type PlacementSettings,
  systemSeats,
} from "./assign.ts";
import { plan } from "./plan.ts";
import { type Roster, rosterOf } from "./roster.ts";
import { type Bounds, fairShares, zoneBounds } from "./share.ts";

/** Why a layout is wrong. `low` and `high` are what the rule allows. */
export type Problem =
  | { readonly kind: "no-active-member" }
  | { readonly kind: "partition-count"; readonly actual: number; readonly expected: number }
  | { readonly kind: "unknown-member"; readonly partition: PartitionId; readonly node: NodeId }
  | {
    readonly kind: "inactive-holder";
    readonly partition: PartitionId;
    readonly node: NodeId;
    readonly state: MemberState;
  }
  | { readonly kind: "duplicate-replica"; readonly partition: PartitionId; readonly node: NodeId }
  | {
    readonly kind: "replica-count";
    readonly partition: PartitionId;
    readonly actual: number;
    readonly expected: number;
  }
  | {
    readonly kind: "zone-spread";
    readonly partition: PartitionId;
    readonly zone: string;
    readonly actual: number;
    readonly low: number;
    readonly high: number;
  }
  | {
    readonly kind: "load";
    readonly node: NodeId;
    readonly actual: number;
    readonly low: number;
    readonly high: number;
  }
  | {
    readonly kind: "leaders";
    readonly node: NodeId;
    readonly actual: number;
    readonly low: number;
    readonly high: number;
  }
  | { readonly kind: "needless-moves"; readonly actual: number; readonly needed: number };

/**
 * The first rule of P1 to P6 that `assignment` breaks, or null. Without `previous` movement is not judged.
 *
 * Where no member is active, only the previous layout, unchanged, is right.
 * @throws {RangeError} as assign() does for members or a previous layout that make no sense
 */
export function check(
  assignment: Assignment,
  members: readonly Member[],
  settings: PlacementSettings,
  previous: Assignment | null = null,
): Problem | null {
  if (assignment.length !== settings.partitions + 1) {
    return { kind: "partition-count", actual: assignment.length, expected: settings.partitions + 1 };
  }
  const roster = rosterOf(members);
  const active = roster.ids.length;
  if (active === 0) {
    const stays = previous !== null && plan(previous, assignment).totals.changedPartitions === 0;
    return stays ? null : { kind: "no-active-member" };
  }
  const replicas = dataReplicas(active, settings);
  const zones = zoneBounds(roster, replicas);
  const states = new Map(members.map((member) => [member.id, member.state]));
  const seats = systemSeats(active, settings);
  const system = { roster, states, replicas: seats, zones: zoneBounds(roster, seats) };
  const data = { roster, states, replicas, zones };
  for (let p = 0; p < assignment.length; p++) {
    const problem = checkPartition(p as PartitionId, assignment[p]!, p === 0 ? system : data);
    if (problem !== null) return problem;
  }
  return checkLoads(assignment, roster, fairShares(roster, zones, settings.partitions, replicas), replicas) ??
    (previous === null ? null : checkMoves(assignment, previous, members, settings));
}

/** One line for people: what is wrong, the value, what would be right. */
export function describeProblem(problem: Problem): string {
  switch (problem.kind) {
    case "no-active-member":
      return "No member is active, so no layout but the previous one is right; activate a member first";
    case "partition-count":
      return `The layout has ${problem.actual} partitions, not ${problem.expected} with the system partition`;
    case "unknown-member":
      return `Partition ${problem.partition} is placed on ${problem.node}, which is no member`;
    case "inactive-holder":
      return `Partition ${problem.partition} is placed on ${problem.node}, which is ${problem.state}, not active`;
    case "duplicate-replica":
      return `Partition ${problem.partition} is placed twice on ${problem.node}`;
    case "replica-count":
      return `Partition ${problem.partition} has ${problem.actual} replicas, not ${problem.expected}`;
    case "zone-spread":
      return `Partition ${problem.partition} has ${problem.actual} replicas in zone ${
        JSON.stringify(problem.zone)
      }, ` +
        `not ${between(problem)}`;
    case "load":
      return `${problem.node} holds ${problem.actual} replicas, and its fair share is ${between(problem)}`;
    case "leaders":
      return `${problem.node} is first of ${problem.actual} partitions, and its fair share is ${
        between(problem)
      }`;
    case "needless-moves":
      return `The layout moves ${problem.actual} replicas where ${problem.needed} would do`;
    default:
      return unreachable(problem);
  }
}

function between({ low, high }: { readonly low: number; readonly high: number }): string {
  return low === high ? `${low}` : `${low} to ${high}`;
}

interface Rules {
  readonly roster: Roster;
  readonly states: ReadonlyMap<NodeId, MemberState>;
  readonly replicas: number;
  readonly zones: Bounds;
}

/** P1, P2 and P3 of one partition. */
function checkPartition(partition: PartitionId, replicas: readonly NodeId[], rules: Rules): Problem | null {
  const { roster, states, zones } = rules;
  const counts = new Int32Array(roster.zones.length);
  for (let i = 0; i < replicas.length; i++) {
    const node = replicas[i]!;
    const state = states.get(node);
    if (state === undefined) return { kind: "unknown-member", partition, node };
    if (state !== "active") return { kind: "inactive-holder", partition, node, state };
    if (replicas.indexOf(node) < i) return { kind: "duplicate-replica", partition, node };
    counts[roster.zoneOf[roster.indexOf.get(node)!]!]!++;
  }
  if (replicas.length !== rules.replicas) {
    return { kind: "replica-count", partition, actual: replicas.length, expected: rules.replicas };
  }
  for (let z = 0; z < counts.length; z++) {
    const actual = counts[z]!, low = zones.low[z]!, high = zones.high[z]!;
    if (actual < low || actual > high) {
      return { kind: "zone-spread", partition, zone: roster.zones[z]!.name, actual, low, high };
    }
  }
  return null;
}

/** P4 and P5. */
function checkLoads(
  assignment: Assignment,
  roster: Roster,
  shares: Bounds,
  replicas: number,
): Problem | null {
  const loads = new Int32Array(roster.ids.length);
  const firsts = new Int32Array(roster.ids.length);
  for (let p = 1; p < assignment.length; p++) {
    for (const id of assignment[p]!) loads[roster.indexOf.get(id)!]!++;
    firsts[roster.indexOf.get(assignment[p]![0]!)!]!++;
  }
  const load = outside(loads, shares);
  if (load >= 0) {
    return {
      kind: "load",
      node: roster.ids[load]!,
      actual: loads[load]!,
      low: shares.low[load]!,
      high: shares.high[load]!,
    };
  }
  const leaders = leaderBounds(loads, replicas);
  const first = outside(firsts, leaders);
  if (first < 0) return null;
  return {
    kind: "leaders",
    node: roster.ids[first]!,
    actual: firsts[first]!,
    low: leaders.low[first]!,
    high: leaders.high[first]!,
  };
}

function outside(values: Int32Array, bounds: Bounds): number {
  return values.findIndex((value, i) => value < bounds.low[i]! || value > bounds.high[i]!);
}

/** P6: assign() moves as few as can be, so whatever moves more moves needlessly. */
function checkMoves(
  assignment: Assignment,
  previous: Assignment,
  members: readonly Member[],
  settings: PlacementSettings,
): Problem | null {
  const actual = plan(previous, assignment).totals.add;
  const needed = plan(previous, assign(previous, members, settings)).totals.add;
  return actual > needed ? { kind: "needless-moves", actual, needed } : null;
}
