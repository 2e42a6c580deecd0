import { after, type Instant, type NodeId, type PartitionId } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { SystemView } from "../wire/messages.ts";

/** A node that failed is asked last for this long. */
const AVOID_US = 1_000_000;

/** What a client believes of the network: its layout, who leads what, and who failed lately. */
export class Routes {
  readonly #random: Random;
  #view: SystemView | null = null;
  readonly #leaders: (NodeId | null)[] = [];
  readonly #avoidedUntil = new Map<NodeId, Instant>();
  /** Members that can be asked anything, and the one that is. */
  #members: NodeId[] = [];
  #home: NodeId | null = null;

  constructor(random: Random) {
    this.#random = random;
  }

  get view(): SystemView | null {
    return this.#view;
  }

  /** Takes what a node told, unless it is older than what is known. */
  learn(view: SystemView, leaders: readonly (NodeId | null)[]): void {
    if (this.#view === null || view.version >= this.#view.version) {
      this.#view = view;
      this.#members = view.members.filter(({ state }) => state === "active" || state === "draining").map((
        { id },
      ) => id);
      if (this.#home !== null && !this.#members.includes(this.#home)) this.#home = null;
    }
    leaders.forEach((leader, partition) => {
      if (leader !== null) this.#leaders[partition] = leader;
    });
  }

  leaderOf(partition: PartitionId): NodeId | null {
    return this.#leaders[partition] ?? null;
  }

  setLeader(partition: PartitionId, leader: NodeId | null): void {
    this.#leaders[partition] = leader;
  }

  /** The node gave no answer: it is asked last for a while. */
  avoid(node: NodeId, now: Instant): void {
    this.#avoidedUntil.set(node, after(now, AVOID_US));
    if (this.#home === node) this.#home = null;
  }

  /** The node cannot be reached: what it led will have other leaders. */
  lost(node: NodeId, now: Instant): void {
    this.avoid(node, now);
    this.#leaders.forEach((leader, partition) => {
      if (leader === node) this.#leaders[partition] = null;
    });
  }

  /** The node answers. */
  works(node: NodeId): void {
    if (this.#avoidedUntil.size > 0) this.#avoidedUntil.delete(node);
  }

  /** Who to ask for what only a partition's leader answers: the leader, or a replica, unless it is `not`. */
  forLeader(partition: PartitionId, not: NodeId | null, now: Instant): NodeId | null {
    const leader = this.leaderOf(partition);
    return leader === null || leader === not ? this.anyReplica(partition, not, now) : leader;
  }

  /** Some replica of the partition; `not` only where there is no other. */
  anyReplica(partition: PartitionId, not: NodeId | null, now: Instant): NodeId | null {
    const replicas = this.#view?.assignment[partition] ?? [];
    return replicas.length === 0 ? this.anyNode(not, now) : this.#pick(replicas, not, now);
  }

  /** Some member, the same one as long as it answers. */
  anyNode(not: NodeId | null, now: Instant): NodeId | null {
    if (this.#home === null || this.#home === not) this.#home = this.#pick(this.#members, not, now);
    return this.#home;
  }

  #pick(nodes: readonly NodeId[], not: NodeId | null, now: Instant): NodeId | null {
    const good = nodes.filter((node) => node !== not && (this.#avoidedUntil.get(node) ?? 0) <= now);
    if (good.length > 0) return this.#random.pick(good);
    const others = nodes.filter((node) => node !== not);
    if (others.length > 0) return this.#random.pick(others);
    return nodes[0] ?? null;
  }
}
