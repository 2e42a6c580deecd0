/**
 * What election, applying and both roles of replication share: the log, the configurations it speaks of, and how far it is
 * committed.
 *
 * R1. An entry is committed once a quorum of the configuration in force has it durably, this node included only as far
 *     as its own journal, and only if it is of the leader's own term; what precedes it is committed with it (5.4.2).
 * R2. What is committed is never cut off. A message that asks for it is refused.
 * R3. A follower acknowledges only what is durable and equal to the log of the leader it answers.
 * R4. A configuration is in force from the moment it is appended, and out of force when it is cut off (section 6).
 * R5. Within a term the leader only appends to its log (leader append-only).
 */
import type { LogIndex, PartitionId, Term } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import { DEFAULT_TUNING, type Tuning } from "../base/tuning.ts";
import { decodeConfiguration } from "../wire/configuration.ts";
import type { Effects, JournalRecord } from "../wire/kernel.ts";
import type { Configuration, Entry } from "../wire/messages.ts";
import { ConfigurationHistory } from "./configuration.ts";
import { Log } from "./log.ts";

export interface LedgerOptions {
  readonly partition: PartitionId;
  readonly effects: Effects;
  readonly base: { readonly index: LogIndex; readonly term: Term };
  readonly configuration: Configuration;
  readonly configurationIndex: LogIndex;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  readonly tuning?: Tuning | undefined;
}

export class Ledger {
  readonly partition: PartitionId;
  readonly effects: Effects;
  readonly tuning: Tuning;
  readonly log: Log;
  readonly configurations: ConfigurationHistory;
  #commit: LogIndex;

  constructor(options: LedgerOptions) {
    this.partition = options.partition;
    this.effects = options.effects;
    this.tuning = options.tuning ?? DEFAULT_TUNING;
    this.log = new Log(options.base, options.entries);
    this.configurations = new ConfigurationHistory(options.configurationIndex, options.configuration);
    for (const entry of options.entries) {
      if (entry.kind !== "config" || entry.index <= options.configurationIndex) continue;
      const configuration = decodeConfiguration(entry.data);
      invariant(
        configuration !== null,
        () => `The journal has no configuration at ${entry.index}, but other bytes`,
      );
      this.configurations.add(entry.index, configuration);
    }
    this.#commit = options.commit;
  }

  get commit(): LogIndex {
    return this.#commit;
  }
  get configurationCommitted(): boolean {
    return this.configurations.effectiveIndex <= this.#commit;
  }

  /** Everything up to `index` is committed, as far as it is here. */
  commitTo(index: LogIndex): void {
    const known = Math.min(index, this.log.last) as LogIndex;
    if (known > this.#commit) this.#commit = known;
  }

  /** Cuts off everything from `from` on, configurations included (R4). */
  truncate(from: LogIndex): void {
    invariant(from > this.#commit, "R2: what is committed is never cut off");
    this.log.truncate(from, this.partition, this.effects);
    this.configurations.truncate(from);
  }

  /** Hands new entries to the journal. */
  record(): void {
    this.log.record(this.partition, this.effects);
  }

  /** A snapshot took the place of the log. */
  restart(
    at: { readonly index: LogIndex; readonly term: Term },
    configuration: Configuration,
    configurationIndex: LogIndex,
  ): void {
    this.log.reset(at.index, at.term);
    this.configurations.reset(configurationIndex, configuration);
    this.#commit = at.index;
  }

  /**
   * Where the log outgrew its limits, forgets applied entries but for a tail: from `needed` on, so that a follower a little
   * behind still finds what it lacks, as long as that is within half of the limits. Who needs more gets a snapshot.
   */
  compact(applied: LogIndex, needed: LogIndex): boolean {
    const { log, tuning } = this;
    const limit = Math.min(applied, log.stable) as LogIndex;
    const tail = log.keeping(limit, tuning.logEntriesKept, tuning.logBytesKept);
    const most = log.keeping(limit, tuning.logEntriesMax >> 1, tuning.logBytesMax >> 1);
    const to = Math.max(Math.min(tail, needed), most, log.base) as LogIndex;
    if (to === log.base) return false;
    log.compact(to);
    this.configurations.compact(to);
    return true;
  }

  get outgrown(): boolean {
    const { length, bytes } = this.log,
      { logEntriesKept, logEntriesMax, logBytesKept, logBytesMax } = this.tuning;
    return length > Math.min(4 * logEntriesKept, logEntriesMax) ||
      bytes > Math.min(4 * logBytesKept, logBytesMax);
  }

  /** The log as a journal checkpoint keeps it: a base that the tables have reached, and all that follows it. */
  checkpointRecords(applied: LogIndex): JournalRecord[] {
    const { log, partition, tuning } = this;
    invariant(log.recorded === log.last, "A checkpoint is taken after the step's records");
    const limit = Math.min(Math.max(applied, log.base), log.stable) as LogIndex;
    const base = log.keeping(limit, tuning.checkpointEntriesKept, tuning.checkpointBytesKept);
    const { index, configuration } = this.configurations.at(base);
    const records: JournalRecord[] = [{
      kind: "base",
      partition,
      index: base,
      term: log.termAt(base)!,
      configuration,
      configurationIndex: index,
    }];
    for (let from = base + 1; from <= log.last;) {
      const entries = log.batch(from as LogIndex, LIMITS.appendEntriesMax, LIMITS.appendBytesMax);
      records.push({ kind: "entries", partition, entries });
      from += entries.length;
    }
    return records;
  }

  /** The record that begins a log at its base. */
  baseRecord(): JournalRecord {
    const { partition, log } = this;
    const { index, configuration } = this.configurations.at(log.base);
    return {
      kind: "base",
      partition,
      index: log.base,
      term: log.baseTerm,
      configuration,
      configurationIndex: index,
    };
  }
}
