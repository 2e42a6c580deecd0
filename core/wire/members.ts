import type { Settings } from "../base/limits.ts";
import type { MemberState, SystemView } from "./messages.ts";

/** True of one that belonged to the network and does not any more; it is remembered so that it learns so. */
export function isFormer(state: MemberState): boolean {
  return state === "gone" || state === "removed" || state === "evicted";
}

/**
 * True where a view's parts fit together: members sorted by id, none of them twice, and replicas on different nodes for
 * the system partition and each one of data. Views that were agreed on do; one that a peer made up need not.
 */
export function isWhole({ settings, members, assignment }: SystemView): boolean {
  if (assignment.length !== settings.partitions + 1) return false;
  if (assignment.some((nodes) => new Set(nodes).size < nodes.length)) return false;
  return members.every(({ id }, i) => i === 0 || members[i - 1]!.id < id);
}

/** A network keeps the settings that it began with. */
export function sameSettings(a: Settings, b: Settings): boolean {
  const names = Object.keys(a) as (keyof Settings)[];
  return names.every((name) => a[name] === b[name]);
}
