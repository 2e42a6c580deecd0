/** Where a replica goes on, given what its journal and its tables say. */
import type { LogIndex, Term } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { decodeConfiguration, NO_CONFIGURATION } from "../wire/configuration.ts";
import type { RecoveredReplica } from "../wire/kernel.ts";
import type { Configuration } from "../wire/messages.ts";
import type { StateMachine } from "./contracts.ts";

export const NOWHERE = { index: 0 as LogIndex, term: 0 as Term } as const;

export interface StartingPoint
  extends Pick<RecoveredReplica, "base" | "configuration" | "configurationIndex" | "entries"> {
  readonly commit: LogIndex;
  /** There is no log worth the name: a snapshot is needed. */
  readonly hollow: boolean;
  /** The journal's log ends before the tables: it begins anew where they are. */
  readonly logLags: boolean;
}

export function startingPoint(
  recovered: RecoveredReplica | null,
  bootstrap: Configuration | null,
  machine: StateMachine,
): StartingPoint {
  const { appliedIndex, appliedTerm } = machine;
  if (recovered === null || !recovered.exists) {
    const configuration = bootstrap ?? NO_CONFIGURATION;
    const hollow = bootstrap === null;
    return {
      base: NOWHERE,
      configuration,
      configurationIndex: NOWHERE.index,
      entries: [],
      commit: NOWHERE.index,
      hollow,
      logLags: false,
    };
  }
  const { base, configuration, configurationIndex, entries } = recovered;
  if (base.index > appliedIndex) {
    // A snapshot was installed, and the crash came before the checkpoint that would have kept it (P3).
    invariant(
      entries.length === 0,
      "Nothing is appended after a snapshot before its tables are durable (P4)",
    );
    return {
      base,
      configuration,
      configurationIndex,
      entries,
      commit: base.index,
      hollow: true,
      logLags: false,
    };
  }
  const last = base.index + entries.length;
  if (appliedIndex <= last) {
    return {
      base,
      configuration,
      configurationIndex,
      entries,
      commit: appliedIndex,
      hollow: false,
      logLags: false,
    };
  }
  return {
    base: { index: appliedIndex, term: appliedTerm },
    ...newestConfiguration(recovered),
    entries: [],
    commit: appliedIndex,
    hollow: false,
    logLags: true,
  };
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
