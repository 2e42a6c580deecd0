/**
 * How much may be hurt for good. Replication promises to bear the loss of a minority of each partition's voters; what a
 * scenario does beyond that shows only that less than nothing cannot be repaired.
 *
 * B1. Of every configuration in force, and of both halves of a joint one, a majority of voters has undamaged copies.
 *     That is enough: what was committed lies with a majority, so with one of the undamaged, and these can elect it.
 * B2. While somebody carries damage without knowing it, no more machines are hurt at once than the smallest group bears
 *     that may be formed of those who take part: a damaged node that still runs may be voted into any partition before
 *     its damage is met. Nobody is drained meanwhile where that would make groups too small, nor while a lost node is
 *     still named: until the others have noticed, they may go over to a group that cannot do without it.
 * B3. Somebody whole stays who is not on the way out, to hold everything.
 */
import type { LogIndex, NodeId, PartitionId } from "../core/base/ids.ts";
import type { Settings } from "../core/base/limits.ts";
import { decodeConfiguration } from "../core/wire/configuration.ts";
import type { RecoveredReplica } from "../core/wire/kernel.ts";
import type { Configuration } from "../core/wire/messages.ts";
import { inspect } from "./inspect.ts";
import type { Machine } from "./machine.ts";

/** A configuration as some node's log has it. */
export interface Held {
  readonly partition: PartitionId;
  readonly configuration: Configuration;
  readonly index: LogIndex;
  readonly committed: boolean;
}

/** A machine as the budget sees it. */
export interface Standing {
  readonly id: NodeId;
  /** whole: keeps what it promised, whether it runs or not. latent: damaged, unknown to all. lost: known to be. */
  readonly health: "whole" | "latent" | "lost";
  /** Takes part and may be given replicas. Who is away now may be declared gone, and groups made without it. */
  readonly active: boolean;
  readonly held: readonly Held[];
}

type Sizes = Pick<Settings, "replicas" | "systemReplicas">;

/** Whether `victim` may be hurt for good now. `latent`: nobody will know of it yet. */
export function affordable(
  victim: NodeId,
  latent: boolean,
  machines: readonly Standing[],
  sizes: Sizes,
): boolean {
  const after = machines.map((machine): Standing =>
    machine.id === victim ? { ...machine, health: latent ? "latent" : "lost", active: latent } : machine
  );
  const hurt = new Set(after.filter(({ health }) => health !== "whole").map(({ id }) => id));
  // What the victim's own log says may still be in force.
  const inForce = configurationsInForce(machines);
  for (const { voters, outgoing } of inForce) {
    if (!keepsMajority(voters, hurt) || !keepsMajority(outgoing, hurt)) return false; // B1
  }
  return keepsSomebody(after) &&
    (after.every(({ health }) => health !== "latent") || bearsHurt(after, inForce, sizes));
}

/** Whether `leaver` may be drained now. */
export function drainable(leaver: NodeId, machines: readonly Standing[], sizes: Sizes): boolean {
  const after = machines.map((machine) => machine.id === leaver ? { ...machine, active: false } : machine);
  return keepsSomebody(after) && bearsHurt(after, configurationsInForce(machines), sizes);
}

/** B3. */
function keepsSomebody(machines: readonly Standing[]): boolean {
  return machines.some(({ active, health }) => active && health === "whole");
}

/** B2. The lost count as long as a configuration names them: it may change around one of them. */
function bearsHurt(machines: readonly Standing[], inForce: readonly Configuration[], sizes: Sizes): boolean {
  const named = new Set(inForce.flatMap(({ voters, outgoing }) => [...voters, ...outgoing]));
  const counted = machines.filter(({ id, health }) =>
    health === "latent" || (health === "lost" && named.has(id))
  );
  const taking = machines.filter(({ active }) => active).length;
  const smallest = Math.min(sizes.replicas, sizes.systemReplicas, taking);
  return 2 * counted.length < smallest;
}

/** Of each partition the configurations that no newer committed one has put out of force. The lost have no say. */
export function configurationsInForce(machines: readonly Standing[]): Configuration[] {
  const committed = new Map<PartitionId, number>();
  const held = machines.filter(({ health }) => health !== "lost").flatMap((machine) => machine.held);
  for (const { partition, index, committed: is } of held) {
    if (is && index > (committed.get(partition) ?? 0)) committed.set(partition, index);
  }
  return held.filter(({ partition, index }) => index >= (committed.get(partition) ?? 0))
    .map(({ configuration }) => configuration);
}

function keepsMajority(voters: readonly NodeId[], hurt: ReadonlySet<NodeId>): boolean {
  return voters.length === 0 || 2 * voters.filter((voter) => !hurt.has(voter)).length > voters.length;
}

/** How a machine stands now. */
export function standingOf(machine: Machine): Standing {
  const { id, running, retired, draining, disk, power } = machine;
  const started = machine.life > 0, dead = power === "lost" || power === "broken";
  // Who leaves for good counts as lost from the moment it was told to: it may still be handing over.
  const leaving = retired && !draining;
  const away = leaving || (!running && (retired || dead || disk.state?.kind === "lost"));
  const health = !started ? "whole" : away ? "lost" : isLatent(machine) ? "latent" : "whole";
  return {
    id,
    health,
    active: running && !away && !retired && !draining,
    held: started && !away ? heldBy(machine) : [],
  };
}

/** Damage that was not met yet; or tables that were lost and are not rebuilt yet. */
function isLatent(machine: Machine): boolean {
  if (machine.disk.damaged) return true;
  if (!machine.tablesLost) return false;
  const kernel = machine.running ? inspect(machine.kernel) : null;
  if (kernel !== null && kernel.replicas().every(({ replica }) => !replica.hollow)) {
    machine.tablesLost = false;
  }
  return machine.tablesLost;
}

function heldBy(machine: Machine): Held[] {
  const kernel = machine.running ? inspect(machine.kernel) : null;
  if (kernel !== null) {
    return kernel.replicas().flatMap(({ partition, replica }) => {
      const {
        configuration,
        configurationIndex: index,
        committedConfiguration,
        committedConfigurationIndex,
      } = replica;
      const committed = {
        partition,
        configuration: committedConfiguration,
        index: committedConfigurationIndex,
        committed: true,
      };
      return index <= committed.index
        ? [committed]
        : [committed, { partition, configuration, index, committed: false }];
    });
  }
  if (machine.running || machine.disk.state?.kind !== "whole") return [];
  const { replicas } = machine.disk.recovered();
  return [...replicas].flatMap(([partition, replica]) => replica.exists ? inJournal(partition, replica) : []);
}

/** What a stopped node will start from: nobody knows how much of its log is committed, so all of it may be in force. */
function inJournal(partition: PartitionId, replica: RecoveredReplica): Held[] {
  const { configuration, configurationIndex, entries } = replica;
  const held: Held[] = [{ partition, configuration, index: configurationIndex, committed: true }];
  for (const { kind, index, data } of entries) {
    const newer = kind === "config" ? decodeConfiguration(data) : null;
    if (newer !== null) held.push({ partition, configuration: newer, index, committed: false });
  }
  return held;
}
