import type { NodeId, PartitionId } from "../../core/base/ids.ts";
import { unreachable } from "../../core/base/invariant.ts";
import type { Origin } from "../../core/node/options.ts";
import type { Effects, Input, JournalRecord, Note, Recovered } from "../../core/wire/kernel.ts";
import type { Entry } from "../../core/wire/messages.ts";
import type { Machine } from "../machine.ts";
import type { Observer } from "../observer.ts";
import { LogHistory } from "./log_history.ts";

/** The rules of Raft (Ongaro and Ousterhout 2014, figure 3) that hold at every moment of a run. */
export const RAFT_CHECKS = [
  "one leader a term",
  "log matching",
  "leader completeness",
  "state machine safety",
] as const;
export type RaftCheck = typeof RAFT_CHECKS[number];
export type Report = (check: RaftCheck, detail: string) => void;

/** Follows every replica's log through its journal records and notes, and compares them as they grow. */
export class RaftChecker implements Observer {
  readonly #report: Report;
  /** Told of each entry when the first replica has applied it, in the order of a partition's log. */
  readonly #committed: ((partition: PartitionId, index: number, term: number) => void) | null;
  readonly #groups = new Map<PartitionId, Group>();
  /** By machine, then partition. */
  readonly #logs: Map<PartitionId, LogHistory>[] = [];
  leadersElected = 0;
  entriesSeen = 0;

  constructor(
    report: Report,
    committed: ((partition: PartitionId, index: number, term: number) => void) | null = null,
  ) {
    this.#report = report;
    this.#committed = committed;
  }

  /** The last index of a partition that some replica applied. */
  committed(partition: PartitionId): number {
    return this.#group(partition).committed;
  }

  started(machine: Machine, origin: Origin): void {
    while (this.#logs.length <= machine.index) this.#logs.push(new Map());
    this.#logs[machine.index]!.clear();
    if (origin.kind === "recovered") this.#recovered(machine, origin.recovered);
  }

  stepped(machine: Machine, _input: Input, effects: Effects): void {
    const { persist, notes } = effects;
    for (let i = 0; i < persist.length; i++) this.#record(machine, persist[i]!);
    for (let i = 0; i < notes.length; i++) this.#note(machine, notes[i]!);
  }

  #recovered(machine: Machine, recovered: Recovered): void {
    for (const [partition, replica] of recovered.replicas) {
      const log = this.#log(machine, partition);
      log.term = replica.term;
      if (!replica.exists) continue;
      log.restart(replica.base.index, this.#group(partition).chainOf(replica.base.index, replica.base.term));
      log.applied = replica.base.index;
      this.#append(machine, partition, log, replica.entries);
    }
  }

  #record(machine: Machine, record: JournalRecord): void {
    switch (record.kind) {
      case "vote":
        this.#log(machine, record.partition).term = record.term;
        return;
      case "entries":
        return this.#append(machine, record.partition, this.#log(machine, record.partition), record.entries);
      case "truncate":
        return this.#truncate(machine, record.partition, record.from);
      case "base": {
        const log = this.#log(machine, record.partition);
        // A base within the log is where it was compacted; the history keeps what came before.
        if (log.termAt(record.index) === record.term || log.start === record.index) return;
        log.restart(record.index, this.#group(record.partition).chainOf(record.index, record.term));
        log.applied = record.index;
        return;
      }
      case "drop": {
        const log = this.#log(machine, record.partition);
        log.restart(0, 0);
        log.applied = 0;
        return;
      }
      case "view":
      case "peers":
        return;
      default:
        return unreachable(record);
    }
  }

  #append(machine: Machine, partition: PartitionId, log: LogHistory, entries: readonly Entry[]): void {
    const group = this.#group(partition);
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      if (entry.index <= log.start) continue;
      if (entry.index <= log.last) this.#truncate(machine, partition, entry.index);
      if (entry.index !== log.last + 1) {
        this.#report(
          "log matching",
          `${machine.id} partition ${partition}: entry ${entry.index} after ${log.last}`,
        );
        log.restart(entry.index - 1, null);
      }
      log.append(entry);
      this.entriesSeen++;
      const chain = log.chainAt(entry.index);
      if (chain !== null && !group.enter(entry.index, entry.term, chain)) {
        this.#report(
          "log matching",
          `${machine.id} partition ${partition}: another log differs at or before entry ${entry.index} of term ${entry.term}`,
        );
      }
    }
  }

  #truncate(machine: Machine, partition: PartitionId, from: number): void {
    const log = this.#log(machine, partition);
    if (from <= log.applied) {
      this.#report(
        "state machine safety",
        `${machine.id} partition ${partition}: entries from ${from} are void, but ${log.applied} were applied`,
      );
    }
    log.truncate(from);
  }

  #note(machine: Machine, note: Note): void {
    switch (note.kind) {
      case "leader":
        return this.#elected(machine, note.partition, note.term);
      case "applied":
        return this.#applied(machine, note.partition, note.index);
      case "snapshot-installed": {
        const log = this.#log(machine, note.partition);
        if (note.index > log.applied) log.applied = note.index;
        return;
      }
      default:
    }
  }

  #elected(machine: Machine, partition: PartitionId, term: number): void {
    this.leadersElected++;
    const group = this.#group(partition), other = group.leaders.get(term);
    if (other !== undefined && other !== machine.id) {
      this.#report(
        "one leader a term",
        `Partition ${partition} term ${term}: ${other} and ${machine.id} lead`,
      );
    }
    group.leaders.set(term, machine.id);
    const needed = group.committedBefore(term), log = this.#log(machine, partition);
    if (needed <= log.start) return;
    const own = log.chainAt(needed), committed = group.chainOfCommitted(needed);
    if (needed <= log.last && (own === committed || own === null || committed === null)) return;
    this.#report(
      "leader completeness",
      `${machine.id} leads partition ${partition} in term ${term} without the committed entry ${needed}: ` +
        (needed > log.last ? `its log ends at ${log.last}` : "its log differs"),
    );
  }

  #applied(machine: Machine, partition: PartitionId, index: number): void {
    const log = this.#log(machine, partition), group = this.#group(partition);
    for (let i = Math.max(log.applied, log.start) + 1; i <= index; i++) {
      if (i > log.last) {
        this.#report(
          "state machine safety",
          `${machine.id} partition ${partition} applied ${i}, its log ends at ${log.last}`,
        );
        break;
      }
      if (this.#committed !== null && i > group.committed) this.#committed(partition, i, log.termAt(i));
      if (!group.commit(i, log.termAt(i), log.chainAt(i), log.term)) {
        this.#report(
          "state machine safety",
          `${machine.id} partition ${partition} applied another entry at ${i} than others did`,
        );
      }
    }
    if (index > log.applied) log.applied = index;
  }

  #log(machine: Machine, partition: PartitionId): LogHistory {
    const logs = this.#logs[machine.index]!;
    let log = logs.get(partition);
    if (log === undefined) logs.set(partition, log = new LogHistory());
    return log;
  }

  #group(partition: PartitionId): Group {
    let group = this.#groups.get(partition);
    if (group === undefined) this.#groups.set(partition, group = new Group());
    return group;
  }
}

/** What is known of one partition over all of its replicas. */
class Group {
  readonly leaders = new Map<number, NodeId>();
  committed = 0;
  /** First seen at each index: most entries are ever of one term. Others are in #others. */
  readonly #terms: number[] = [0];
  readonly #chains: number[] = [0];
  readonly #others = new Map<string, number>();
  readonly #committedTerms: number[] = [0];
  readonly #committedChains: (number | null)[] = [0];
  /** By the term in which an entry was committed at the latest: the last such entry. Ascending in both. */
  readonly #committedIn: { readonly term: number; index: number }[] = [];

  /** Takes note of a log whose entry at (index, term) has this chain. False if another log's was different. */
  enter(index: number, term: number, chain: number): boolean {
    const seen = this.#terms[index];
    if (seen === undefined) {
      this.#terms[index] = term;
      this.#chains[index] = chain;
      return true;
    }
    if (seen === term) return this.#chains[index] === chain;
    const key = `${index} ${term}`, other = this.#others.get(key);
    if (other === undefined) this.#others.set(key, chain);
    return other === undefined || other === chain;
  }

  chainOf(index: number, term: number): number | null {
    if (index === 0) return 0;
    if (this.#terms[index] === term) return this.#chains[index]!;
    return this.#others.get(`${index} ${term}`) ?? null;
  }

  /** Takes note of an applied entry. `inTerm`: the applier's term, so no later than this one was it committed. */
  commit(index: number, term: number, chain: number | null, inTerm: number): boolean {
    const seen = this.#committedTerms[index];
    if (seen !== undefined) {
      const known = this.#committedChains[index]!;
      return seen === term && (known === null || chain === null || known === chain);
    }
    this.#committedTerms[index] = term;
    this.#committedChains[index] = chain;
    if (index > this.committed) {
      this.committed = index;
      const last = this.#committedIn.at(-1);
      if (last !== undefined && last.term >= inTerm) last.index = index;
      else this.#committedIn.push({ term: inTerm, index });
    }
    return true;
  }

  /** The last entry that was surely committed in a term before `term`. */
  committedBefore(term: number): number {
    for (let i = this.#committedIn.length - 1; i >= 0; i--) {
      if (this.#committedIn[i]!.term < term) return this.#committedIn[i]!.index;
    }
    return 0;
  }

  chainOfCommitted(index: number): number | null {
    return this.#committedChains[index] ?? null;
  }
}
