/** Who may hold fragments, as the newest view has it. The node makes one of each view: placement is no machine's own. */
import type { NodeId } from "../base/ids.ts";

export interface Holders {
  /** Active members. */
  readonly active: number;
  /** The first `count` of the active members for what hashes so (place() in core/placement), or all there are. */
  place(hash: number, count: number): readonly NodeId[];
  /** Members that hold something and are not to get more: they are on their way out. */
  readonly leaving: readonly NodeId[];
  /** All who may hold anything, sorted: active and leaving ones. */
  readonly all: readonly NodeId[];
}

/** here: it answers, as far as is known, and this node always is. doubtful: it may. away: it does not. */
export type Presence = "here" | "doubtful" | "away";
