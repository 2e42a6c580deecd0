import type { NodeId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { Liveness, Update } from "../wire/messages.ts";

export interface Peer {
  readonly node: NodeId;
  readonly address: string;
}

/** Of two beliefs of one incarnation the graver one holds. */
export function gravity(status: Liveness): number {
  switch (status) {
    case "alive":
      return 0;
    case "suspect":
      return 1;
    case "dead":
      return 2;
    case "left":
      return 3;
    default:
      return unreachable(status);
  }
}

/**
 * SWIM, section 4.2: the higher incarnation holds, and within one the graver status. A total order of what can be
 * believed of a member, so nodes that have heard the same, in any order, believe the same.
 */
export function outranks(a: Update, b: Update): boolean {
  return a.incarnation !== b.incarnation
    ? a.incarnation > b.incarnation
    : gravity(a.status) > gravity(b.status);
}

export function isReachable(status: Liveness): boolean {
  return status === "alive" || status === "suspect";
}

/**
 * The other members as this node believes them. A record is the very update that was believed last: it is what gossip
 * and push-pull send, so nothing is kept twice, and in a simulation nodes share one object for it.
 *
 * Nodes that were declared gone are remembered by name, so that an old rumour does not bring them back.
 */
export class MemberTable {
  /** True where a member or an address changed since the caller last set it to false. */
  peersChanged = false;

  readonly #random: Random;
  readonly #records = new Map<NodeId, Update>();
  /** Null as long as nobody is: each message asks, and calm should cost little. */
  #gone: Set<NodeId> | null = null;
  /** All records in a random order. Changes are rare and look for their place; going round looks up no names. */
  readonly #order: Update[] = [];
  #next = 0;
  #reachable = 0;
  readonly #dead: NodeId[] = [];
  #nextDead = 0;
  #sorted: readonly Update[] | null = null;

  constructor(random: Random) {
    this.#random = random;
  }

  get size(): number {
    return this.#records.size;
  }
  /** Members that are alive or suspect. */
  get reachable(): number {
    return this.#reachable;
  }
  get dead(): number {
    return this.#dead.length;
  }

  get(node: NodeId): Update | undefined {
    return this.#records.get(node);
  }

  isGone(node: NodeId): boolean {
    return this.#gone !== null && this.#gone.has(node);
  }

  put(update: Update): void {
    const before = this.#records.get(update.node);
    this.#records.set(update.node, update);
    this.#sorted = null;
    if (before === undefined || before.address !== update.address) this.peersChanged = true;
    if (before === undefined) this.#insert(update);
    else {
      this.#order[this.#order.indexOf(before)] = update;
      this.#uncount(before);
    }
    this.#count(update);
  }

  /** Lets a node that was declared gone be a member again. */
  welcome(node: NodeId): void {
    this.#gone?.delete(node);
  }

  /** Removes a member for good. */
  forget(node: NodeId): void {
    const before = this.#records.get(node);
    if (before !== undefined) {
      this.#uncount(before);
      this.#records.delete(node);
      this.#sorted = null;
      this.peersChanged = true;
      const at = this.#order.indexOf(before);
      this.#order.splice(at, 1);
      if (at < this.#next) this.#next--;
    }
    const gone = this.#gone ??= new Set();
    gone.add(node);
    if (gone.size > LIMITS.membersMax) {
      for (const oldest of gone) {
        gone.delete(oldest);
        break;
      }
    }
  }

  /**
   * SWIM, section 4.3: the next member to probe, going round all in random order, a new order each time, so that
   * every member is probed within two rounds.
   */
  nextToProbe(): Update | null {
    if (this.#reachable === 0) return null;
    for (;;) {
      if (this.#next >= this.#order.length) {
        this.#random.shuffle(this.#order);
        this.#next = 0;
      }
      const update = this.#order[this.#next++]!;
      if (isReachable(update.status)) return update;
    }
  }

  /** Goes round the dead members. */
  nextDead(): Update | null {
    if (this.#dead.length === 0) return null;
    if (this.#nextDead >= this.#dead.length) this.#nextDead = 0;
    return this.get(this.#dead[this.#nextDead++]!) ?? null;
  }

  /** Up to `count` members other than `except`, taken at random; suspects too where asked. */
  pick(count: number, options: { except: NodeId | null; suspects: boolean }): NodeId[] {
    const picked: NodeId[] = [];
    const n = this.#order.length;
    if (n === 0) return picked;
    // The order is random already, so a run of it from a random place is a random choice.
    let at = this.#random.below(n);
    for (let i = 0; i < n && picked.length < count; i++) {
      const { node, status } = this.#order[at]!;
      if (++at === n) at = 0;
      if (node !== options.except && (status === "alive" || (options.suspects && status === "suspect"))) {
        picked.push(node);
      }
    }
    return picked;
  }

  /** All records by name. The list is shared until a record changes. */
  sorted(): readonly Update[] {
    this.#sorted ??= this.#order.slice().sort((a, b) => (a.node < b.node ? -1 : 1));
    return this.#sorted;
  }

  /** Names and addresses by name. */
  peers(): readonly Peer[] {
    return this.sorted().map(({ node, address }) => ({ node, address }));
  }

  /** A newcomer takes a random place in the round under way or behind it. */
  #insert(update: Update): void {
    const at = this.#random.below(this.#order.length + 1);
    if (at === this.#order.length) {
      this.#order.push(update);
      return;
    }
    this.#order.push(this.#order[at]!);
    this.#order[at] = update;
  }

  #count(update: Update): void {
    if (isReachable(update.status)) this.#reachable++;
    else if (update.status === "dead") this.#dead.push(update.node);
  }

  #uncount(update: Update): void {
    if (isReachable(update.status)) this.#reachable--;
    else if (update.status === "dead") this.#dead.splice(this.#dead.indexOf(update.node), 1);
  }
}
