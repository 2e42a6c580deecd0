import type { LogIndex, PartitionId } from "../base/ids.ts";
import type { Response, WatchOp } from "../wire/requests.ts";

/** How far a watch has come in each partition, so that it goes on from there at another node. */
export class WatchProgress {
  readonly #op: WatchOp;
  readonly #upTo = new Map<PartitionId, LogIndex>();
  #established = false;

  constructor(op: WatchOp) {
    this.#op = op;
    for (const [partition, index] of op.from) this.#upTo.set(partition, index);
  }

  /** The watch that goes on where this one is. */
  resumed(): WatchOp {
    const from = [...this.#upTo].sort((a, b) => a[0] - b[0]);
    return { ...this.#op, from };
  }

  /** What of an answer is news; null where all of it was told before. */
  take(response: Response): Response | null {
    if (response.kind === "watching") {
      for (const [partition, index] of response.from) {
        if (!this.#upTo.has(partition)) this.#upTo.set(partition, index);
      }
      const first = !this.#established;
      this.#established = true;
      return first ? response : null;
    }
    if (response.kind !== "events") return null;
    const { partition, upTo, events, gap } = response;
    const known = this.#upTo.get(partition);
    if (known !== undefined && upTo <= known && !gap) return null;
    this.#upTo.set(partition, upTo);
    if (known === undefined || gap) return response;
    return {
      kind: "events",
      partition,
      upTo,
      gap,
      events: events.filter((event) => event.version.index > known),
    };
  }
}
