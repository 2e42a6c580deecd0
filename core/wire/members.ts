import type { Settings } from "../base/limits.ts";
import type { MemberState, SystemView } from "./messages.ts";
import type { Security } from "./security.ts";

/** True of one that belonged to the network and does not any more; it is remembered so that it learns so. */
export function isFormer(state: MemberState): boolean {
  return state === "gone" || state === "removed" || state === "evicted";
}

/**
 * True where a view's parts fit together: members sorted by id, none of them twice, and replicas on different nodes for
 * the system partition and each one of data; in a private network, that members have keys, that the generations are
 * former ones, one current and at most one to come, and that lists are sorted. Views that were agreed on do; one that a
 * peer made up need not.
 */
export function isWhole({ settings, members, assignment, security }: SystemView): boolean {
  if (assignment.length !== settings.partitions + 1) return false;
  if (assignment.some((nodes) => new Set(nodes).size < nodes.length)) return false;
  if (!isSorted(members)) return false;
  return security === null || (isSecurityWhole(security) && members.every((m) => m.identity !== undefined));
}

function isSecurityWhole({ keys, access, invites }: Security): boolean {
  const current = keys.findIndex(({ state }) => state === "current");
  if (current < 0 || keys.length - current > 2) return false;
  const fits = keys.every(({ state }, i) =>
    (state === "former") === (i < current) && (i <= current || state !== "current")
  );
  return fits && isSorted(keys) && isSorted(access) && isSorted(invites);
}

function isSorted(items: readonly { readonly id: string | number }[]): boolean {
  return items.every(({ id }, i) => i === 0 || items[i - 1]!.id < id);
}

/** A network keeps the settings that it began with, and stays open or private. */
export function sameNetwork(a: SystemView, b: SystemView): boolean {
  return a.network === b.network && (a.security === null) === (b.security === null) &&
    sameSettings(a.settings, b.settings);
}

function sameSettings(a: Settings, b: Settings): boolean {
  const names = Object.keys(a) as (keyof Settings)[];
  return names.every((name) => a[name] === b[name]);
}
