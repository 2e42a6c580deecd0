/**
 * Disks that are lost or damaged for good, within what a quorum stands: one voter at a time, and none of a configuration of
 * fewer than three. Three kinds: the tables are lost while the journal is whole; all is lost and the machine comes back as
 * a new node; all is lost and it comes back under its old name all the same, which must do no harm (P6).
 */
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { isVoter } from "../../../core/wire/configuration.ts";
import type { Configuration } from "../../../core/wire/messages.ts";
import { type Cluster, Node } from "./cluster.ts";
import { EMPTY_TOY } from "./toy.ts";

export class Damage {
  readonly #cluster: Cluster;
  /** Nodes that will never come back, or under this name only as somebody else. */
  readonly #lost = new Set<NodeId>();
  #hollow: Node | null = null;
  #names = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Hurts a node, if the cluster can stand it now. */
  strike(): void {
    const cluster = this.#cluster;
    const { random } = cluster;
    const node = random.pick(cluster.nodes);
    if (!this.#bearable() || node.replica === null) return;
    cluster.crash(node);
    const kind = random.pick(["tables", "replaced", "impostor"] as const);
    cluster.tally.set(kind, (cluster.tally.get(kind) ?? 0) + 1);
    cluster.note(node, `loses its disk: ${kind}`);
    if (kind === "tables") this.#loseTables(node);
    else if (kind === "replaced") this.#replace(node);
    else this.#forget(node);
  }

  #loseTables(node: Node): void {
    node.disk.tables = EMPTY_TOY;
    this.#hollow = node;
    this.#bootLater(node);
  }

  #replace(node: Node): void {
    const cluster = this.#cluster;
    const { id } = node;
    const fresh = new Node(nodeId(`n${++this.#names}`), node.offset);
    fresh.wiped = true;
    for (const gone of this.#lost) fresh.unseen.add(gone);
    this.#lost.add(id);
    cluster.nodes[cluster.nodes.indexOf(node)] = fresh;
    cluster.ids[cluster.ids.indexOf(id)] = fresh.id;
    for (const other of cluster.nodes) {
      other.unseen.add(id);
      cluster.step(other, (replica, now) => replica.leaderSuspected(id, now));
    }
    cluster.retarget(cluster.target.map((member) => member === id ? fresh.id : member));
    this.#bootLater(fresh);
  }

  /** The layout goes on naming it: only when it is known for lost will it be taken out, and perhaps in again. */
  #forget(node: Node): void {
    const cluster = this.#cluster;
    const blank = new Node(node.id, node.offset);
    blank.wiped = true;
    blank.life = node.life + 1;
    for (const unseen of node.unseen) blank.unseen.add(unseen);
    cluster.nodes[cluster.nodes.indexOf(node)] = blank;
    this.#lost.add(node.id);
    this.#bootLater(blank);
    cluster.at(cluster.random.between(1000, 2_000_000), () => this.#expel(node.id));
  }

  #expel(id: NodeId): void {
    const cluster = this.#cluster;
    if (!cluster.ids.includes(id)) return;
    const rest = cluster.target.filter((other) => other !== id);
    const spare = cluster.ids.filter((other) => other !== id && !rest.includes(other));
    cluster.retarget([...rest, ...spare.slice(0, Math.max(0, 3 - rest.length))]);
  }

  /** Called now and then: nobody counts a lost voter any more, so its name may be used again. */
  settle(): void {
    const cluster = this.#cluster;
    for (const id of this.#lost) {
      if (this.#counted(id)) {
        if (cluster.target.includes(id)) this.#expel(id);
      } else if (cluster.ids.includes(id)) this.#lost.delete(id);
    }
  }

  #bootLater(node: Node): void {
    const cluster = this.#cluster;
    cluster.at(cluster.random.between(1000, 2_000_000), () => {
      if (cluster.nodes.includes(node)) cluster.boot(node);
    });
  }

  #bearable(): boolean {
    const hollow = this.#hollow;
    if (hollow !== null && this.#cluster.nodes.includes(hollow)) {
      // Rebuilt counts only when it is durable, which a replica that is not hollow any more says.
      if (hollow.replica === null || hollow.replica.hollow) return false;
    }
    this.#hollow = null;
    if (this.#cluster.target.length < 3) return false;
    for (const configuration of this.#configurations()) {
      const { voters, outgoing } = configuration;
      if (voters.length < 3 || (outgoing.length > 0 && outgoing.length < 3)) return false;
      for (const id of this.#lost) if (isVoter(configuration, id)) return false;
    }
    return this.#cluster.leader !== null;
  }

  #counted(id: NodeId): boolean {
    return this.#cluster.leader === null || this.#configurations().some((c) => isVoter(c, id));
  }

  /** What everyone who is up goes by, and what of it is known to be committed. */
  #configurations(): Configuration[] {
    const known = this.#cluster.replicas.filter((replica) => replica.configuration.voters.length > 0);
    return known.flatMap((replica) => [replica.configuration, replica.committedConfiguration]);
  }
}
