import type { PartitionId } from "../../core/base/ids.ts";
import type { Effects, Input } from "../../core/wire/kernel.ts";
import { inspect, stateDigestOf } from "../inspect.ts";
import type { Machine } from "../machine.ts";
import type { Observer } from "../observer.ts";

/**
 * Compares what replicas hold whenever they stop at an index where another stopped before. A digest of 0 stands for a
 * state that cannot be compared at its index: the system partition's, restored ahead of its log, until the log is there.
 */
export class StateChecker implements Observer {
  readonly #report: (detail: string) => void;
  /** By partition: the digest first seen at each index, and at whom. */
  readonly #seen = new Map<
    PartitionId,
    Map<number, { readonly digest: number; readonly machine: Machine }>
  >();
  compared = 0;

  constructor(report: (detail: string) => void) {
    this.#report = report;
  }

  stepped(machine: Machine, _input: Input, effects: Effects): void {
    const notes = effects.notes;
    let kernel: ReturnType<typeof inspect> = null;
    for (let i = 0; i < notes.length; i++) {
      const note = notes[i]!;
      if (note.kind !== "applied" && note.kind !== "snapshot-installed") continue;
      kernel ??= inspect(machine.kernel);
      const slot = kernel?.replicas().find(({ partition }) => partition === note.partition);
      if (slot !== undefined) {
        const digest = stateDigestOf(slot);
        if (digest !== 0) this.#compare(machine, note.partition, slot.replica.appliedIndex, digest);
      }
    }
  }

  #compare(machine: Machine, partition: PartitionId, index: number, digest: number): void {
    let seen = this.#seen.get(partition);
    if (seen === undefined) this.#seen.set(partition, seen = new Map());
    const first = seen.get(index);
    if (first === undefined) seen.set(index, { digest, machine });
    else if (first.machine !== machine) {
      this.compared++;
      if (first.digest !== digest) {
        this.#report(
          `Partition ${partition} at index ${index}: ${first.machine.id} and ${machine.id} hold different states`,
        );
      }
    }
  }
}
