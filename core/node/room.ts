/**
 * Which nodes are short of disk space, this one among them. A node that is takes no writes from clients but those that
 * free space, gives its leaderships to voters that have room, takes none over, and goes on following and voting: what
 * it must keep for others fits into the reserve, and a vote is small.
 *
 * X1. Two nodes short of space never pass a leadership to and fro: who is short says so to everyone, and again to whoever
 *     asks it to take over, and a leader hands over only to who did not say so lately.
 * X2. Word of it that was lost does little harm: a leader forgets after ROOM_TOLD_US, and when the connection breaks (who
 *     begins anew with room does not know that it was short before), tries, and is told anew.
 */
import type { Instant, NodeId } from "../base/ids.ts";
import type { Effects } from "../wire/kernel.ts";
import type { WriteOp } from "../wire/requests.ts";

/** For so long a leader goes by what it was told. */
const ROOM_TOLD_US = 60_000_000;

export class Room {
  readonly #effects: Effects;
  readonly #short = new Map<NodeId, Instant>();
  #low = false;

  constructor(effects: Effects) {
    this.#effects = effects;
  }

  /** This node is short of space. */
  get low(): boolean {
    return this.#low;
  }

  /** Takes word from the host, and tells the others. False: nothing is new. */
  set(low: boolean, others: readonly NodeId[]): boolean {
    if (low === this.#low) return false;
    this.#low = low;
    for (const node of others) this.tell(node);
    return true;
  }

  tell(node: NodeId): void {
    this.#effects.send(node, { kind: "space", low: this.#low });
  }

  heard(node: NodeId, low: boolean, now: Instant): void {
    if (low) this.#short.set(node, now);
    else this.#short.delete(node);
  }

  /** What a node said of itself counts no longer (X2). */
  forget(node: NodeId): void {
    this.#short.delete(node);
  }

  /** It may be asked to lead, as far as is known here. */
  fit(node: NodeId, now: Instant): boolean {
    if (this.#short.size === 0) return true;
    const told = this.#short.get(node);
    return told === undefined || now - told > ROOM_TOLD_US;
  }
}

/**
 * True of what fills the disk. Deletes and what ends or prolongs a lease take a little of the journal, as the reserve
 * allows for, and are the way out: without them a full store could never be emptied, and leases would end unasked.
 */
export function fillsDisk(op: WriteOp): boolean {
  switch (op.kind) {
    case "put":
    case "grant":
      return true;
    case "cas":
      return op.value !== null;
    case "transact":
      return op.then.some((item) => item.kind === "put") || op.otherwise.some((item) => item.kind === "put");
    case "delete":
    case "keep-alive":
    case "revoke":
      return false;
  }
}
