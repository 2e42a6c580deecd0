/** Who may hold fragments of objects: placement over the members of one view, computed when it is first asked for. */
import type { NodeId } from "../base/ids.ts";
import type { Holders } from "../objects/holders.ts";
import { place } from "../placement/place.ts";
import { type Roster, rosterOf } from "../placement/roster.ts";
import type { SystemView } from "../wire/messages.ts";

export class ViewHolders implements Holders {
  readonly leaving: readonly NodeId[];
  readonly all: readonly NodeId[];
  readonly #roster: Roster;

  constructor({ members }: SystemView) {
    this.#roster = rosterOf(members);
    this.leaving = members.filter(({ state }) => state === "draining").map(({ id }) => id);
    this.all = [...this.#roster.ids, ...this.leaving].sort();
  }

  get active(): number {
    return this.#roster.ids.length;
  }

  place(hash: number, count: number): readonly NodeId[] {
    return place(hash, count, this.#roster);
  }
}
