import { fmix32, hashString32 } from "../base/hash.ts";
import type { LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import type { Ledger } from "../replication/ledger.ts";

/** What a replica went through, folded into 32 bits at the end of each step. */
export class History {
  #fingerprint: number;
  #leader: NodeId | null = null;
  /** Hashed when it changes, not each time. */
  #leaderHash = 0;

  constructor(self: NodeId, partition: PartitionId) {
    this.#fingerprint = hashString32(self, partition);
  }

  get fingerprint(): number {
    return this.#fingerprint;
  }

  mix(
    leader: NodeId | null,
    term: Term,
    { log, commit }: Ledger,
    applied: LogIndex,
    round: number,
    flags: number,
  ): void {
    if (leader !== this.#leader) {
      this.#leader = leader;
      this.#leaderHash = leader === null ? 0 : hashString32(leader);
    }
    let h = fmix32(this.#fingerprint ^ term ^ this.#leaderHash);
    h = fmix32(h ^ log.last ^ Math.imul(log.lastTerm, 0x85ebca6b));
    h = fmix32(h ^ log.stable ^ Math.imul(commit, 0xc2b2ae35));
    h = fmix32(h ^ applied ^ Math.imul(round, 0x9e3779b1));
    this.#fingerprint = fmix32(h ^ log.base ^ flags);
  }
}
