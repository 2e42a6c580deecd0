import type { NodeId, PartitionId } from "../base/ids.ts";
import type { Assignment } from "./assign.ts";

/** What changes for one partition from one layout to the next. */
export interface PartitionPlan {
  readonly partition: PartitionId;
  /** Members that get a copy, that drop theirs, and that stay, each in the order of its layout. */
  readonly add: readonly NodeId[];
  readonly remove: readonly NodeId[];
  readonly keep: readonly NodeId[];
  /** The preferred leaders; null where there is no replica. */
  readonly leaderFrom: NodeId | null;
  readonly leaderTo: NodeId | null;
}

export interface Plan {
  /** Every partition, changed or not, from 0. */
  readonly partitions: readonly PartitionPlan[];
  readonly totals: PlanTotals;
}

export interface PlanTotals {
  /** Replicas that are copied, dropped, and left where they are. */
  readonly add: number;
  readonly remove: number;
  readonly keep: number;
  /** Partitions whose preferred leader changes; those of which only that changes move no data. */
  readonly leaders: number;
  readonly changedPartitions: number;
}

/**
 * What moves from `from` to `to`. Either may be empty or shorter: its missing partitions have no replicas.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { nodeId } from "../base/ids.ts";
 * const [a, b] = [nodeId("a"), nodeId("b")];
 * assert.deepEqual(plan([[a]], [[b, a]]).totals, { add: 1, remove: 0, keep: 1, leaders: 1, changedPartitions: 1 });
 * ```
 */
export function plan(from: Assignment, to: Assignment): Plan {
  const partitions = Array.from(
    { length: Math.max(from.length, to.length) },
    (_, p) => planPartition(p as PartitionId, from[p] ?? [], to[p] ?? []),
  );
  const totals = { add: 0, remove: 0, keep: 0, leaders: 0, changedPartitions: 0 };
  for (const { add, remove, keep, leaderFrom, leaderTo } of partitions) {
    totals.add += add.length;
    totals.remove += remove.length;
    totals.keep += keep.length;
    if (leaderFrom !== leaderTo) totals.leaders++;
    if (add.length + remove.length > 0 || leaderFrom !== leaderTo) totals.changedPartitions++;
  }
  return { partitions, totals };
}

function planPartition(
  partition: PartitionId,
  from: readonly NodeId[],
  to: readonly NodeId[],
): PartitionPlan {
  return {
    partition,
    add: to.filter((id) => !from.includes(id)),
    remove: from.filter((id) => !to.includes(id)),
    keep: to.filter((id) => from.includes(id)),
    leaderFrom: from[0] ?? null,
    leaderTo: to[0] ?? null,
  };
}
