/**
 * A follower's side of the log (Raft section 5.3): takes appends where they fit, says where not, and acknowledges what is
 * durable. The rules R1 to R5 are in ledger.ts.
 */
import type { LogIndex, NodeId, Term } from "../base/ids.ts";
import { decodeConfiguration } from "../wire/configuration.ts";
import type { Append, AppendReply, Entry } from "../wire/messages.ts";
import type { Ledger } from "./ledger.ts";
import type { Log } from "./log.ts";

/** Why a follower did not take an append. mismatch was answered; the others are the sender's fault. */
export type AppendOutcome = "accepted" | "mismatch" | "malformed" | "contradicts committed entries";

const NONE: readonly Entry[] = [];

export class Following {
  readonly #ledger: Ledger;
  readonly #log: Log;
  /** The last index known to equal the log of the leader of `#matchedTerm`. */
  #matched = 0 as LogIndex;
  #matchedTerm = 0 as Term;
  /** An acknowledgement is due at the end of the step. */
  #owes = false;

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#log = ledger.log;
  }

  /** Takes an append of the leader of `message.term`, whom the caller has accepted. */
  accept(from: NodeId, message: Append): AppendOutcome {
    if (!this.#wellFormed(message)) return "malformed";
    let { prevIndex, entries } = message;
    const end = prevIndex + entries.length as LogIndex;
    if (prevIndex < this.#log.base) {
      // What the base covers is committed, so it is the leader's too.
      const skipped = Math.min(this.#log.base - prevIndex, entries.length);
      entries = skipped === entries.length ? NONE : entries.slice(skipped);
      prevIndex = this.#log.base;
    } else if (this.#log.termAt(prevIndex) !== message.prevTerm) {
      this.#refuse(from, message);
      return "mismatch";
    }
    let i = 0;
    while (i < entries.length && this.#log.termAt(entries[i]!.index) === entries[i]!.term) i++;
    if (i < entries.length) {
      const at = entries[i]!.index;
      if (at <= this.#ledger.commit) return "contradicts committed entries"; // R2
      if (entries[i]!.term < this.#log.termAt(at - 1 as LogIndex)!) return "malformed";
      if (at <= this.#log.last) this.#ledger.truncate(at);
      for (; i < entries.length; i++) this.#take(entries[i]!);
    }
    this.#learnMatch(message.term, end);
    this.#ledger.commitTo(Math.min(message.commit, end) as LogIndex);
    this.#owes = true;
    return "accepted";
  }

  /** How far this log durably equals that of the leader of `term`. What is committed is every later leader's (5.4). */
  durableMatch(term: Term): LogIndex {
    const matched = this.#matchedTerm === term
      ? Math.max(this.#matched, this.#ledger.commit)
      : this.#ledger.commit;
    return Math.min(matched, this.#log.stable) as LogIndex;
  }

  /** Acknowledges what was accepted; what is not durable yet holds the answer back (R3). */
  acknowledge(leader: NodeId | null, term: Term): void {
    if (!this.#owes) return;
    this.#owes = false;
    if (leader === null) return;
    const matched = this.#matchedTerm === term
      ? Math.max(this.#matched, this.#ledger.commit)
      : this.#ledger.commit;
    const index = Math.min(matched, this.#log.last) as LogIndex;
    const { partition, effects } = this.#ledger;
    const reply: AppendReply = {
      kind: "append-reply",
      partition,
      term,
      ok: true,
      index,
      indexTerm: 0 as Term,
      refused: 0 as LogIndex,
    };
    if (index <= this.#log.stable) effects.send(leader, reply);
    else effects.sendDurable(leader, reply);
  }

  /**
   * Asks for a snapshot that is not older than the one that was lost: no ordinary follower ever refuses the empty log,
   * which is a part of every log. The leader may even have to learn from it that so much is committed, for without
   * this voter it may be unable to commit anything.
   */
  askForSnapshot(to: NodeId, term: Term): void {
    const { partition, effects } = this.#ledger;
    effects.send(to, {
      kind: "append-reply",
      partition,
      term,
      ok: false,
      index: this.#log.base,
      indexTerm: this.#log.baseTerm,
      refused: 0 as LogIndex,
    });
  }

  /** A snapshot took the place of the log, or the log is gone. */
  restart(): void {
    this.#matchedTerm = 0 as Term;
    this.#matched = 0 as LogIndex;
    this.#owes = false;
  }

  #wellFormed(message: Append): boolean {
    let { prevIndex: index, prevTerm: term } = message;
    for (const entry of message.entries) {
      if (entry.index !== index + 1 || entry.term < term || entry.term > message.term) return false;
      if (entry.kind === "config" && decodeConfiguration(entry.data) === null) return false;
      index = entry.index;
      term = entry.term;
    }
    return term <= message.term;
  }

  #take(entry: Entry): void {
    this.#log.append(entry);
    if (entry.kind === "config") {
      this.#ledger.configurations.add(entry.index, decodeConfiguration(entry.data)!);
    }
  }

  #learnMatch(term: Term, index: LogIndex): void {
    const matched = Math.min(index, this.#log.last) as LogIndex;
    if (this.#matchedTerm !== term) {
      this.#matchedTerm = term;
      this.#matched = matched;
    } else if (matched > this.#matched) this.#matched = matched;
  }

  #refuse(to: NodeId, message: Append): void {
    const { partition, effects } = this.#ledger;
    const index = this.#log.agreement(message.prevIndex, message.prevTerm);
    const indexTerm = this.#log.termAt(index)!;
    effects.send(to, {
      kind: "append-reply",
      partition,
      term: message.term,
      ok: false,
      index,
      indexTerm,
      refused: message.prevIndex,
    });
  }
}
