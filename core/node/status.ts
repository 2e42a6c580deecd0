/** What a node tells of itself and of the network as it sees it. */
import type { NodeId } from "../base/ids.ts";
import type { Membership } from "../membership/membership.ts";
import type { SystemView } from "../wire/messages.ts";
import { NO_CHUNKS } from "../wire/objects.ts";
import type { MemberStatus, NodeStatus, ReplicaStatus } from "../wire/requests.ts";
import type { Slot } from "./replicas.ts";

export interface StatusSources {
  readonly id: NodeId;
  readonly view: SystemView;
  readonly state: NodeStatus["state"];
  readonly slots: readonly Slot[];
  readonly counters: ReadonlyMap<string, number>;
  /** Short of disk space. */
  readonly low: boolean;
}

/** Among the counters of a node that is short of disk space, and of no other. */
export const SPACE_LOW = "disk space low";

export function nodeStatus({ id, view, state, slots, counters, low }: StatusSources): NodeStatus {
  const told: [string, number][] = [...counters];
  if (low) told.push([SPACE_LOW, 1]);
  return {
    node: id,
    network: view.network,
    view: view.version,
    epoch: view.epoch,
    state,
    replicas: slots.map(replicaStatus),
    counters: told.sort(([a], [b]) => (a < b ? -1 : 1)),
    trouble: null,
    chunks: NO_CHUNKS,
  };
}

function replicaStatus({ partition, replica }: Slot): ReplicaStatus {
  const { role, leader, term, commitIndex, appliedIndex, lastIndex, quiet, configuration } = replica;
  return {
    partition,
    role,
    leader,
    term,
    commit: commitIndex,
    applied: appliedIndex,
    last: lastIndex,
    quiet,
    // Of a joint configuration everyone whose vote counts, so that who is on the way out is seen to be still needed.
    voters: [...new Set([...configuration.voters, ...configuration.outgoing])],
    learners: configuration.learners,
  };
}

export function memberStatuses(
  self: NodeId,
  view: SystemView,
  leaders: readonly (NodeId | null)[],
  membership: Membership,
): MemberStatus[] {
  const held = count(view.assignment.flat());
  const led = count(leaders.filter((leader) => leader !== null));
  return view.members.map((member) => ({
    ...member,
    liveness: member.id === self ? "alive" : membership.liveness(member.id),
    replicas: held.get(member.id) ?? 0,
    leads: led.get(member.id) ?? 0,
  }));
}

function count(nodes: readonly NodeId[]): Map<NodeId, number> {
  const counts = new Map<NodeId, number>();
  for (const node of nodes) counts.set(node, (counts.get(node) ?? 0) + 1);
  return counts;
}
