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
import type { LogIndex, Term } from "../base/ids.ts";
import { decodeConfiguration, NO_CONFIGURATION } from "../wire/configuration.ts";
import type { RecoveredReplica } from "../wire/kernel.ts";
import type { Configuration } from "../wire/messages.ts";
import type { StateMachine } from "./contracts.ts";

export const NOWHERE = { index: 0 as LogIndex, term: 0 as Term } as const;

/** The log as it was, and how much of it the state contains. */
interface StartingLog
  extends Pick<RecoveredReplica, "base" | "configuration" | "configurationIndex" | "entries"> {
  readonly commit: LogIndex;
  /** The state that the log builds upon is not there: a snapshot is needed. */
  readonly hollow: boolean;
  /** The journal's log ends before the tables: it begins anew where they are. */
  readonly logLags: boolean;
}
export interface StartingPoint extends StartingLog, Pick<RecoveredReplica, "term" | "votedFor"> {}

export function startingPoint(
  recovered: RecoveredReplica | null,
  bootstrap: Configuration | null,
  machine: StateMachine,
): StartingPoint {
  const log = recovered !== null && recovered.exists ? recoveredLog(recovered, machine) : emptyLog(bootstrap);
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
    logLags: false,
  };
}

function recoveredLog(
  recovered: RecoveredReplica,
  { appliedIndex, appliedTerm }: StateMachine,
): StartingLog {
  const { base, configuration, configurationIndex, entries } = recovered;
  if (appliedIndex > base.index + entries.length) {
    return {
      base: { index: appliedIndex, term: appliedTerm },
      ...newestConfiguration(recovered),
      entries: [],
      commit: appliedIndex,
      hollow: false,
      logLags: true,
    };
  }
  const hollow = appliedIndex < base.index;
  const commit = hollow ? base.index : appliedIndex;
  return { base, configuration, configurationIndex, entries, commit, hollow, logLags: false };
}

function newestConfiguration(
  { configuration, configurationIndex, entries }: RecoveredReplica,
): Pick<RecoveredReplica, "configuration" | "configurationIndex"> {
  for (let i = entries.length - 1; i >= 0; i--) {
    const { kind, index, data } = entries[i]!;
    const newer = kind === "config" && index > configurationIndex ? decodeConfiguration(data) : null;
    if (newer !== null) return { configuration: newer, configurationIndex: index };
  }
  return { configuration, configurationIndex };
}
