/**
 * What clients of a partition wait for: proposals until they are applied, reads until they are confirmed. Each token is
 * answered once, whatever becomes of the leader.
 */
import type { LogIndex, NodeId, PartitionId } from "../base/ids.ts";
import type { Tuning } from "../base/tuning.ts";
import type { Reads } from "../replication/reads.ts";
import type { Response } from "../wire/requests.ts";
import type { ReplicaHost } from "./contracts.ts";
import { Proposals } from "./proposals.ts";

interface Held {
  readonly data: Uint8Array;
  readonly token: number;
}

export interface OutcomesOptions {
  readonly partition: PartitionId;
  readonly self: NodeId;
  readonly host: ReplicaHost;
  readonly reads: Reads;
  readonly tuning: Tuning;
}

export class Outcomes {
  readonly #options: OutcomesOptions;
  readonly #proposals: Proposals;
  /** Proposals that came while leadership is handed over: for the next leader, or for this one if that fails. */
  #held: Held[] = [];

  constructor(options: OutcomesOptions) {
    this.#options = options;
    this.#proposals = new Proposals(options.tuning.proposalsPendingMax);
  }

  get idle(): boolean {
    return this.#proposals.count === 0 && this.#held.length === 0 && this.#options.reads.idle;
  }
  get holds(): boolean {
    return this.#held.length > 0;
  }

  /** True where one more proposal may come in; else it is answered "busy". */
  admit(token: number): boolean {
    if (!this.#proposals.full && this.#held.length < this.#options.tuning.proposalsPendingMax) return true;
    const { host, partition } = this.#options;
    const waiting = this.#proposals.count + this.#held.length;
    const message = `Partition ${partition} has ${waiting} writes waiting: try again shortly`;
    host.answer(token, { kind: "refused", reason: "busy", message });
    return false;
  }

  /** A proposal became entry `index`. */
  appended(index: LogIndex, token: number, bytes: number): void {
    this.#proposals.add(index, token, bytes);
  }

  hold(data: Uint8Array, token: number): void {
    this.#held.push({ data, token });
  }

  takeHeld(): readonly Held[] {
    const held = this.#held;
    this.#held = [];
    return held;
  }

  /** For the state machine: entry `index` was applied with this response. */
  readonly applied = (index: LogIndex, response: Response): void => {
    const token = this.#proposals.take(index);
    if (token !== null) this.#options.host.answer(token, response);
  };

  /** Answers the reads that may be served from a state at `applied`. */
  release(applied: LogIndex): void {
    this.#options.reads.release(applied, this.#readable);
  }
  readonly #readable = (token: number): void => this.#options.host.readable(token, null);

  /** Leadership is gone. What was appended may still be committed; the rest was never tried. */
  forsake(heir: NodeId | null): void {
    const { partition, host, reads } = this.#options;
    const unread = reads.takeAll();
    const held = this.takeHeld();
    const message = `The leader of partition ${partition} changed before the write was decided: ` +
      `read, or retry it with its session`;
    for (const token of this.#proposals.takeAll()) {
      host.answer(token, { kind: "refused", reason: "unsure", message });
    }
    for (const { token } of held) host.answer(token, this.moved(heir));
    for (const token of unread) host.readable(token, this.moved(heir));
  }

  /** Not here: at the leader, where one is known. */
  moved(leader: NodeId | null): Response {
    const { partition, self } = this.#options;
    if (leader === null || leader === self) {
      const message = `Partition ${partition} has no known leader: try again shortly`;
      return { kind: "refused", reason: "moved", message };
    }
    const message = `Partition ${partition} is led by ${leader}: ask there`;
    return { kind: "refused", reason: "moved", message, leader };
  }
}
