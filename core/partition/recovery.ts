/**
 * Where a replica goes on, given what its journal and its tables say.
 *
 * Hollow (P3 in replica.ts): the state does not reach the base of the log. It was never here, or the tables lost a snapshot
 * that no checkpoint had kept yet, or they lost all they had. As long as the journal is whole, such a replica
 *  - may vote: a vote is safe with one who knows the terms it has seen, its own votes and how far its log goes, and the
 *    journal has all three;
 *  - must not campaign: elected, it could answer nothing, and hand the lost state on to nobody;
 *  - acknowledges nothing new, but keeps what it has acknowledged: the log behind the base stays, and a snapshot of a
 *    position within it only brings the state. Else this could happen: leader A commits an entry with B alone and dies;
 *    B, hollow, installs a snapshot of an earlier position, which takes the entry with it, and votes for C, which never
 *    had it.
 * A replica that has lost its journal knows none of this. It cannot be told from one that never was, and has to be another
 * voter than the one whose name it bears (P6): it has no configuration here, and who counts it as a voter already means
 * the other. Were it fed, a leader of an old term, which has not heard of a newer one, could commit with it what a newer
 * leader, elected with the lost vote, never had. So it gets nothing, votes for nobody and acknowledges nothing, until a
 * configuration without it is committed and it comes in as a learner, like any newcomer.
 */
import type { LogIndex, PartitionId, Term } from "../base/ids.ts";
import { NO_CONFIGURATION } from "../wire/configuration.ts";
import type { RecoveredReplica } from "../wire/kernel.ts";
import type { Configuration } from "../wire/messages.ts";
import type { StateMachine } from "./contracts.ts";

export const NOWHERE = { index: 0 as LogIndex, term: 0 as Term } as const;

/**
 * The tables have what the journal has not, though nothing reaches them before the journal holds it durably (P1): the
 * journal has lost its end, and with it perhaps votes and what was acknowledged. The node must not go on as who it was.
 */
export class JournalBehindError extends Error {
  override readonly name = "JournalBehindError";
  constructor(partition: PartitionId, applied: LogIndex, last: number) {
    super(
      `The journal has lost its end: for partition ${partition} it goes to entry ${last}, and the tables to ${applied}`,
    );
  }
}

/** The log as it was, and how much of it the state contains. */
interface StartingLog
  extends Pick<RecoveredReplica, "base" | "configuration" | "configurationIndex" | "entries"> {
  readonly commit: LogIndex;
  /** The state that the log builds upon is not there: a snapshot is needed. */
  readonly hollow: boolean;
}
export interface StartingPoint extends StartingLog, Pick<RecoveredReplica, "term" | "votedFor"> {}

export function startingPoint(
  recovered: RecoveredReplica | null,
  bootstrap: Configuration | null,
  machine: StateMachine,
  partition: PartitionId,
): StartingPoint {
  const log = recovered !== null && recovered.exists
    ? recoveredLog(recovered, machine, partition)
    : emptyLog(bootstrap);
  const lastTerm = log.entries[log.entries.length - 1]?.term ?? log.base.term;
  // The vote record is written before the entries of its term, but nothing rests on that: the log may be newer.
  if (recovered === null || lastTerm > recovered.term) return { ...log, term: lastTerm, votedFor: null };
  return { ...log, term: recovered.term, votedFor: recovered.votedFor };
}

function emptyLog(bootstrap: Configuration | null): StartingLog {
  return {
    base: NOWHERE,
    configuration: bootstrap ?? NO_CONFIGURATION,
    configurationIndex: NOWHERE.index,
    entries: [],
    commit: NOWHERE.index,
    hollow: bootstrap === null,
  };
}

function recoveredLog(
  recovered: RecoveredReplica,
  { appliedIndex }: StateMachine,
  partition: PartitionId,
): StartingLog {
  const { base, configuration, configurationIndex, entries } = recovered;
  const last = base.index + entries.length;
  if (appliedIndex > last) throw new JournalBehindError(partition, appliedIndex, last);
  const hollow = appliedIndex < base.index;
  const commit = hollow ? base.index : appliedIndex;
  return { base, configuration, configurationIndex, entries, commit, hollow };
}
