/** What a node tells of itself and of the network as it sees it. */
import type { NodeId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import type { Membership } from "../membership/membership.ts";
import type { SystemView } from "../wire/messages.ts";
import type { ChunkStatus } from "../wire/objects.ts";
import type { LocalOp, MemberStatus, NodeStatus, ReplicaStatus, Response } from "../wire/requests.ts";
import type { Principal } from "../wire/security.ts";
import { viewFor } from "./rights.ts";
import type { Slot } from "./replicas.ts";

export interface StatusSources {
  readonly id: NodeId;
  readonly view: SystemView;
  readonly state: NodeStatus["state"];
  readonly slots: readonly Slot[];
  readonly counters: ReadonlyMap<string, number>;
  /** Short of disk space. */
  readonly low: boolean;
  readonly chunks: ChunkStatus;
  /** Of each partition, as far as is known. */
  readonly leaders: () => (NodeId | null)[];
  readonly membership: Membership;
}

/** Among the counters of a node that is short of disk space, and of no other. */
export const SPACE_LOW = "disk space low";

/** What the node that is asked answers from what it knows. */
export function answerLocally(op: LocalOp, who: Principal | null, sources: StatusSources): Response {
  const { id, view, leaders, membership } = sources;
  switch (op.kind) {
    case "status":
      return { kind: "status", status: nodeStatus(sources) };
    case "members":
      return { kind: "members", members: memberStatuses(id, view, leaders(), membership) };
    case "layout":
      return { kind: "layout", view: viewFor(view, who), leaders: leaders() };
    case "audit":
      // What was noted is the host's, which puts it in here.
      return { kind: "audit", events: [] };
    default:
      return unreachable(op);
  }
}

function nodeStatus({ id, view, state, slots, counters, low, chunks }: StatusSources): NodeStatus {
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
    chunks,
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

function memberStatuses(
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
