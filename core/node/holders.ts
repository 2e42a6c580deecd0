/** Who may hold fragments of objects: placement over the members of one view, computed when it is first asked for. */
import type { NodeId } from "../base/ids.ts";
import type { Holders } from "../objects/holders.ts";
import { deputies, type Seating, seatingOf, seats } from "../placement/seats.ts";
import type { SystemView } from "../wire/messages.ts";

export class ViewHolders implements Holders {
  readonly leaving: readonly NodeId[];
  readonly all: readonly NodeId[];
  readonly #seating: Seating;

  constructor({ members }: Pick<SystemView, "members">) {
    this.#seating = seatingOf(members);
    this.leaving = members.filter(({ state }) => state === "draining").map(({ id }) => id);
    this.all = [...this.#seating.active.ids, ...this.leaving].sort();
  }

  get active(): number {
    return this.#seating.active.ids.length;
  }

  place(hash: number, count: number): readonly (NodeId | null)[] {
    return seats(hash, count, this.#seating);
  }

  spares(hash: number, count: number, max: number): readonly NodeId[] {
    const { active } = this.#seating;
    return deputies(hash, this.place(hash, count), { count: max, active });
  }
}
