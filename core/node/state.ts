/** What the replicas of a node hold, briefly enough to be recorded and compared. */
import type { PartitionState } from "../wire/recording_items.ts";
import type { Slot } from "./replicas.ts";

/** In ascending order of partitions. */
export function partitionStates(slots: readonly Slot[]): PartitionState[] {
  return slots.map(({ partition, replica, catalog, system }) => ({
    partition,
    applied: replica.appliedIndex,
    digest: (catalog ?? system)?.stateDigest() ?? 0,
  }));
}
