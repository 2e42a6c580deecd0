/** A leader's and a follower's side of the log, joined by hand: for what the paper shows in figures. */
import type { Instant, LogIndex, NodeId, PartitionId, Term } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Following } from "../../../core/replication/following.ts";
import { Leading } from "../../../core/replication/leading.ts";
import { Ledger } from "../../../core/replication/ledger.ts";
import { Effects } from "../../../core/wire/kernel.ts";
import type { Append, AppendReply, Configuration, Entry } from "../../../core/wire/messages.ts";

export const NOW = 1_000_000 as Instant;
const EMPTY = new Uint8Array(0);

/** Entries from index 1 on with these terms, as the figures give them. */
export function entriesOf(terms: readonly number[]): Entry[] {
  return terms.map((term, i) => ({
    term: term as Term,
    index: i + 1 as LogIndex,
    kind: "command",
    data: EMPTY,
  }));
}

export class Side {
  readonly effects = new Effects();
  readonly ledger: Ledger;
  readonly following: Following;
  readonly leading: Leading;

  constructor(readonly self: NodeId, configuration: Configuration, terms: readonly number[], commit = 0) {
    this.ledger = new Ledger({
      partition: 1 as PartitionId,
      effects: this.effects,
      base: { index: 0 as LogIndex, term: 0 as Term },
      configuration,
      configurationIndex: 0 as LogIndex,
      entries: entriesOf(terms),
      commit: commit as LogIndex,
    });
    this.following = new Following(this.ledger);
    this.leading = new Leading({
      self,
      settings: DEFAULT_SETTINGS,
      ledger: this.ledger,
      openSnapshot: () => null,
      reachable: () => true,
    });
  }

  get terms(): number[] {
    return this.ledger.log.batch(this.ledger.log.base + 1 as LogIndex, 1000, 1e9).map((e) => e.term);
  }

  /** Everything written so far is durable. */
  sync(): void {
    this.ledger.record();
    this.ledger.log.persisted(this.effects.persistedUpTo);
  }

  /** Takes out the appends for `node` that have been sent. */
  appendsFor(node: NodeId): Append[] {
    return this.effects.sendNow.filter((e) => e.to === node && e.message.kind === "append")
      .map((e) => e.message as Append);
  }

  /** As a follower: takes an append, makes it durable and answers. */
  take(from: NodeId, append: Append): AppendReply {
    this.effects.clear();
    this.following.accept(from, append);
    this.sync();
    this.following.acknowledge(from, append.term);
    return this.effects.sendNow.at(-1)!.message as AppendReply;
  }
}
