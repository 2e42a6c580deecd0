import type { MemberState } from "./messages.ts";

/** True of one that belonged to the network and does not any more; it is remembered so that it learns so. */
export function isFormer(state: MemberState): boolean {
  return state === "gone" || state === "removed" || state === "evicted";
}
