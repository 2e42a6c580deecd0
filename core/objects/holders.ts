/** Who may hold fragments, as the newest view has it. The node makes one of each view: placement is no machine's own. */
import type { NodeId } from "../base/ids.ts";

export interface Holders {
  /** Active members. */
  readonly active: number;
  /**
   * The active members that hold the `count` fragments of what hashes so, by index, or its copies (core/placement/seats.ts).
   * null: there are too few members. Who is lost or comes back shifts nobody else.
   */
  place(hash: number, count: number): readonly (NodeId | null)[];
  /** Up to `max` active members that are not among those, in the order in which they take others' places. */
  spares(hash: number, count: number, max: number): readonly NodeId[];
  /** Members that hold something and are not to get more: they are on their way out. */
  readonly leaving: readonly NodeId[];
  /** All who may hold anything, sorted: active and leaving ones. */
  readonly all: readonly NodeId[];
}

/** here: it answers, as far as is known, and this node always is. doubtful: it may. away: it does not. */
export type Presence = "here" | "doubtful" | "away";
