import { unreachable } from "../../core/base/invariant.ts";
import type { Random } from "../../core/base/random.ts";
import type { FaultOf, FaultStage } from "../fault_stage.ts";
import type { Machine } from "../machine.ts";
import { ZERO_RATIO } from "../units.ts";
import type { StoredFragment } from "./chunk_disk.ts";

type Silent = FaultOf<"fragment-rot" | "fragment-stray" | "fragment-gone">;
export type FragmentFault = Silent | FaultOf<"lose-fragments" | "read-errors">;

/** Does to the fragments on disks what a scenario says, as far as their budget allows. */
export class FragmentFaults {
  readonly #stage: FaultStage;

  constructor(stage: FaultStage) {
    this.#stage = stage;
  }

  strike(fault: FragmentFault, random: Random): void {
    switch (fault.do) {
      case "fragment-rot":
      case "fragment-stray":
      case "fragment-gone":
        return this.#hurt(fault, random);
      case "lose-fragments":
        return this.#lose(fault, random);
      case "read-errors":
        return this.#failReads(fault, random);
      default:
        return unreachable(fault);
    }
  }

  #hurt(fault: Silent, random: Random): void {
    const struck = this.#stage.targets(fault, random).filter((machine) => {
      const files = random.shuffle(machine.chunks.sorted().filter(({ harm }) => harm === null));
      let hurt = 0;
      for (const file of files) {
        if (hurt < fault.fragments && this.#strikeFile(fault.do, machine, file, files)) hurt++;
      }
      return hurt > 0;
    });
    if (struck.length > 0) this.#stage.note(fault.do, struck);
  }

  /** False where it may not be, or cannot be. */
  #strikeFile(
    kind: Silent["do"],
    { chunks }: Machine,
    { fragment }: StoredFragment,
    files: readonly StoredFragment[],
  ): boolean {
    const now = this.#stage.world.loop.now;
    const other = files.find((file) => file.fragment.segment !== fragment.segment && file.harm === null);
    if (kind === "fragment-stray" && other === undefined) return false;
    if (!this.#stage.mayLose([{ chunks, fragments: [fragment] }])) return false;
    if (kind === "fragment-rot") chunks.rot(fragment, now);
    else if (kind === "fragment-gone") chunks.vanish(fragment);
    else chunks.stray(fragment, other!.fragment, now);
    return true;
  }

  #lose(fault: FaultOf<"lose-fragments">, random: Random): void {
    const struck = this.#stage.targets(fault, random).filter(({ chunks }) => {
      if (!this.#stage.mayLose([{ chunks, fragments: null }])) return false;
      chunks.lose();
      return true;
    });
    if (struck.length > 0) this.#stage.note("lose-fragments", struck);
  }

  #failReads(fault: FaultOf<"read-errors">, random: Random): void {
    const machines = this.#stage.targets(fault, random);
    for (const { chunks } of machines) chunks.readErrors = fault.errors;
    this.#stage.later(fault.for, random, () => {
      for (const { chunks } of machines) chunks.readErrors = ZERO_RATIO;
    });
    this.#stage.note("read-errors", machines);
  }
}
