import type { NodeId, PartitionId } from "../../core/base/ids.ts";
import { check, describeProblem } from "../../core/placement/check.ts";
import { isFormer } from "../../core/wire/members.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import { inspect, type InspectableKernel, type InspectableReplica, stateDigestOf } from "../inspect.ts";
import type { Machine } from "../machine.ts";

/** Problems listed at most: more say nothing new. */
const PROBLEMS_MAX = 8;

interface Live {
  readonly machine: Machine;
  readonly kernel: InspectableKernel;
}

/**
 * Why the network is not well yet; empty when all is well: every live node has the same view and believes exactly the
 * live ones alive, and each partition is led, held by those whom the view names, and applied everywhere to the same
 * index.
 */
export function unsettled(machines: readonly Machine[]): string[] {
  const live = liveNodes(machines);
  if (live.length === 0) return ["no node runs"];
  const view = newestView(live), problems: string[] = [];
  for (const { machine, kernel } of live) {
    const version = kernel.view().version;
    if (version !== view.version) problems.push(`${machine.id} has view ${version}, others ${view.version}`);
    if (problems.length >= PROBLEMS_MAX) return problems;
  }
  problems.push(...memberStates(machines, view), ...misplaced(live, view), ...unreplicated(live, view));
  // Everyone is asked about everyone: only once all else is well.
  return (problems.length > 0 ? problems : mutualTrust(live)).slice(0, PROBLEMS_MAX);
}

/** How the replicas held differ from the newest view's assignment, and how that breaks the rules of placement. */
export function misplacements(machines: readonly Machine[]): string[] {
  const live = liveNodes(machines);
  if (live.length === 0) return ["no node runs"];
  const view = newestView(live), broken = check(view.assignment, view.members, view.settings);
  const problems = [...memberStates(machines, view), ...misplaced(live, view)];
  if (broken !== null) problems.push(describeProblem(broken));
  return problems.slice(0, PROBLEMS_MAX);
}

/** Replicas of one partition that applied up to the same index and yet differ. */
export function stateDifferences(machines: readonly Machine[]): string[] {
  const seen = new Map<string, { readonly digest: number; readonly node: NodeId }>(), problems: string[] = [];
  for (const { machine, kernel } of liveNodes(machines)) {
    for (const slot of kernel.replicas()) {
      const place = `partition ${slot.partition} at index ${slot.replica.appliedIndex}`;
      const digest = stateDigestOf(slot), other = seen.get(place);
      if (digest === 0) continue;
      if (other === undefined) seen.set(place, { digest, node: machine.id });
      else if (other.digest !== digest) {
        problems.push(`${place}: ${other.node} and ${machine.id} hold different states`);
      }
    }
  }
  return problems.slice(0, PROBLEMS_MAX);
}

/** Those that run and were not evicted. */
export function liveNodes(machines: readonly Machine[]): Live[] {
  const live: Live[] = [];
  for (const machine of machines) {
    const kernel = machine.running && !machine.evicted ? inspect(machine.kernel) : null;
    if (kernel !== null) live.push({ machine, kernel });
  }
  return live;
}

export function newestView(live: readonly Live[]): SystemView {
  let newest = live[0]!.kernel.view();
  for (const { kernel } of live) {
    const view = kernel.view();
    if (view.version > newest.version) newest = view;
  }
  return newest;
}

/** Who runs must be active, or draining; who does not must be gone. */
function memberStates(machines: readonly Machine[], view: SystemView): string[] {
  const problems: string[] = [];
  const states = new Map(view.members.map(({ id, state }) => [id, state]));
  for (const machine of machines) {
    const state = states.get(machine.id);
    if (machine.evicted) {
      if (state !== "evicted") problems.push(`${machine.id} was evicted and is ${state ?? "forgotten"}`);
    } else if (machine.running && !machine.draining && state !== "active") {
      problems.push(`${machine.id} runs and is ${state ?? "no member"}`);
    } else if (!machine.running && state !== undefined && !isFormer(state)) {
      problems.push(`${machine.id} is ${machine.power} and still ${state}`);
    } else if (machine.draining && (state === undefined || !isFormer(state))) {
      problems.push(`${machine.id} is drained and still ${state}`);
    }
  }
  return problems;
}

function mutualTrust(live: readonly Live[]): string[] {
  const problems: string[] = [];
  for (const { machine, kernel } of live) {
    for (const other of live) {
      if (other.machine === machine || other.machine.draining || machine.draining) continue;
      const liveness = kernel.membership.liveness(other.machine.id);
      if (liveness !== "alive") problems.push(`${machine.id} holds ${other.machine.id} for ${liveness}`);
      if (problems.length >= PROBLEMS_MAX) return problems;
    }
  }
  return problems;
}

function misplaced(live: readonly Live[], view: SystemView): string[] {
  const problems: string[] = [];
  for (const { machine, kernel } of live) {
    const held = new Map(kernel.replicas().map(({ partition, replica }) => [partition, replica]));
    for (const [partition, nodes] of view.assignment.entries()) {
      const should = nodes.includes(machine.id), replica = held.get(partition as PartitionId);
      const does = replica !== undefined;
      // What a late message opened is empty, and goes when it has asked whether it is needed (seed 73 of swarm).
      if (should !== does && (should || replica!.configuration.voters.length > 0)) {
        problems.push(
          `${machine.id} ${does ? "holds" : "lacks"} partition ${partition}, placed on ${nodes.join(" ")}`,
        );
      }
    }
  }
  return problems;
}

function unreplicated(live: readonly Live[], view: SystemView): string[] {
  const replicas = new Map<PartitionId, { readonly id: NodeId; readonly replica: InspectableReplica }[]>();
  for (const { machine, kernel } of live) {
    for (const { partition, replica } of kernel.replicas()) {
      const group = replicas.get(partition);
      if (group === undefined) replicas.set(partition, [{ id: machine.id, replica }]);
      else group.push({ id: machine.id, replica });
    }
  }
  const problems: string[] = [];
  for (const [partition, nodes] of view.assignment.entries()) {
    const problem = groupProblem(nodes, replicas.get(partition as PartitionId) ?? []);
    if (problem !== null) problems.push(`partition ${partition} ${problem}`);
  }
  return problems;
}

function groupProblem(
  nodes: readonly NodeId[],
  group: readonly { readonly id: NodeId; readonly replica: InspectableReplica }[],
): string | null {
  const term = Math.max(0, ...group.map(({ replica }) => replica.term));
  const leaders = group.filter(({ replica }) => replica.isLeader && replica.term === term);
  if (leaders.length !== 1) return `has ${leaders.length} leaders in term ${term}`;
  const { voters, outgoing, learners } = leaders[0]!.replica.configuration;
  if ([...voters].sort().join() !== [...nodes].sort().join() || outgoing.length + learners.length > 0) {
    return `is configured ${voters.join(" ")}, placed on ${nodes.join(" ")}`;
  }
  const { commitIndex, lastIndex } = leaders[0]!.replica;
  if (commitIndex !== lastIndex) return `has committed ${commitIndex} of ${lastIndex}`;
  for (const { id, replica } of group) {
    if (replica.appliedIndex !== commitIndex) {
      return `is applied to ${replica.appliedIndex} of ${commitIndex} at ${id}`;
    }
  }
  return null;
}
