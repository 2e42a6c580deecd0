import type { MemberState, SystemView } from "./messages.ts";

/** True of one that belonged to the network and does not any more; it is remembered so that it learns so. */
export function isFormer(state: MemberState): boolean {
  return state === "gone" || state === "removed" || state === "evicted";
}

/**
 * True where a view's parts fit together: members sorted by id, none of them twice, and replicas for the system partition
 * and each one of data. Views that were agreed on do; one that a peer made up need not.
 */
export function isWhole({ settings, members, assignment }: SystemView): boolean {
  if (assignment.length !== settings.partitions + 1) return false;
  return members.every(({ id }, i) => i === 0 || members[i - 1]!.id < id);
}
