import type { NodeId } from "../base/ids.ts";
import type { Ledger } from "../replication/ledger.ts";
import { describeConfiguration } from "../wire/configuration.ts";
import type { Replica } from "./replica.ts";

/** One line for a trace: `p3 follower t2 leader a log 4..9 stable 9 commit 8 applied 8 (a b c) quiet`. */
export function describeReplica(replica: Replica, { log, commit }: Ledger, transfer: NodeId | null): string {
  const marks = (replica.quiet ? " quiet" : "") + (replica.hollow ? " hollow" : "") +
    (transfer === null ? "" : ` handing over to ${transfer}`);
  const { partition, role, term, leader, appliedIndex, configuration } = replica;
  return `p${partition} ${role} t${term} leader ${
    leader ?? "none"
  } log ${log.base}..${log.last} stable ${log.stable}` +
    ` commit ${commit} applied ${appliedIndex} ${describeConfiguration(configuration)}${marks}`;
}
