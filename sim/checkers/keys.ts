/** What must be so in a private network once all is well: one generation of keys in use, and nobody shut out inside. */
import type { NodeId } from "../../core/base/ids.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import { inspect } from "../inspect.ts";
import type { Machine } from "../machine.ts";
import { liveNodes, newestView } from "./convergence.ts";

/** Why the keys are not as they should be after a while; empty in an open network. */
export function keyProblems(machines: readonly Machine[]): string[] {
  const live = liveNodes(machines);
  if (live.length === 0) return [];
  const view = newestView(live), { security } = view;
  if (security === null) return [];
  const problems: string[] = [];
  const current = security.keys.filter(({ state }) => state === "current");
  if (current.length !== 1) problems.push(`${current.length} generations of keys are current`);
  for (const { id, state } of security.keys) {
    if (state === "wanted" || state === "made") {
      problems.push(`generation ${id} of the keys is still ${state}`);
    }
    if (state === "former" && !isNeeded(view, id)) {
      problems.push(`generation ${id} of the keys is not forgotten`);
    }
  }
  const newest = current[0];
  for (const { machine } of live) {
    const { keyring, draining, id } = machine;
    if (newest === undefined || keyring === null || draining) continue;
    if (!keyring.has(newest)) problems.push(`${id} has no secret of generation ${newest.id}`);
    else if (keyring.uses !== newest.id) problems.push(`${id} still uses generation ${keyring.uses}`);
  }
  return problems;
}

/** Somebody who may come back by itself, for example after it was declared gone, still needs it. */
function isNeeded({ members }: SystemView, generation: number): boolean {
  return members.some(({ state, identity }) =>
    state !== "evicted" && state !== "removed" && (identity?.uses ?? 0) <= generation
  );
}

/** Nodes that were evicted and yet lead, or have a say, after the network had time to do without them. */
export function evictedProblems(machines: readonly Machine[]): string[] {
  const evicted = new Set<NodeId>(machines.filter((machine) => machine.evicted).map(({ id }) => id));
  const problems: string[] = [];
  if (evicted.size === 0) return problems;
  for (const machine of machines) {
    for (const { partition, replica } of inspect(machine.running ? machine.kernel : null)?.replicas() ?? []) {
      if (!replica.isLeader) continue;
      // A quiet leader hears nothing, and finds out that nobody follows it when it is asked; see EvictedProbe.
      const leads = machine.evicted && replica.quiet !== true;
      if (leads) problems.push(`${machine.id} was evicted and leads partition ${partition}`);
      const { voters, outgoing, learners } = replica.configuration;
      for (const node of [...voters, ...outgoing, ...learners]) {
        const says = !machine.evicted && evicted.has(node);
        if (says) problems.push(`${node} was evicted and is a replica of partition ${partition}`);
      }
    }
  }
  return problems;
}
