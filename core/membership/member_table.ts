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

/** One other member. An object of its own, so that going round all of them looks up no names. */
interface Member {
  update: Update;
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
  readonly #members = new Map<NodeId, Member>();
  readonly #gone = new Set<NodeId>();
  /** All members in a random order. */
  readonly #order: Member[] = [];
  #next = 0;
  #reachable = 0;
  readonly #dead: NodeId[] = [];
  #nextDead = 0;
  #sorted: readonly Update[] | null = null;

  constructor(random: Random) {
    this.#random = random;
  }

  get size(): number {
    return this.#members.size;
  }
  /** Members that are alive or suspect. */
  get reachable(): number {
    return this.#reachable;
  }
  get dead(): number {
    return this.#dead.length;
  }

  get(node: NodeId): Update | undefined {
    return this.#members.get(node)?.update;
  }

  isGone(node: NodeId): boolean {
    // Asked with every message, and mostly nobody is.
    return this.#gone.size > 0 && this.#gone.has(node);
  }

  put(update: Update): void {
    const member = this.#members.get(update.node);
    this.#sorted = null;
    if (member === undefined || member.update.address !== update.address) this.peersChanged = true;
    if (member === undefined) this.#insert({ update });
    else {
      this.#uncount(member.update);
      member.update = update;
    }
    this.#count(update);
  }

  /** Lets a node that was declared gone be a member again. */
  welcome(node: NodeId): void {
    this.#gone.delete(node);
  }

  /** Removes a member for good. */
  forget(node: NodeId): void {
    const member = this.#members.get(node);
    if (member !== undefined) {
      this.#uncount(member.update);
      this.#members.delete(node);
      this.#sorted = null;
      this.peersChanged = true;
      const at = this.#order.indexOf(member);
      this.#order.splice(at, 1);
      if (at < this.#next) this.#next--;
    }
    this.#gone.add(node);
    if (this.#gone.size > LIMITS.membersMax) {
      for (const oldest of this.#gone) {
        this.#gone.delete(oldest);
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
      const { update } = this.#order[this.#next++]!;
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
      const { node, status } = this.#order[at]!.update;
      if (++at === n) at = 0;
      if (node !== options.except && (status === "alive" || (options.suspects && status === "suspect"))) {
        picked.push(node);
      }
    }
    return picked;
  }

  /** All records by name. The list is shared until a record changes. */
  sorted(): readonly Update[] {
    this.#sorted ??= this.#order.map(({ update }) => update).sort((a, b) => (a.node < b.node ? -1 : 1));
    return this.#sorted;
  }

  /** Names and addresses by name. */
  peers(): readonly Peer[] {
    return this.sorted().map(({ node, address }) => ({ node, address }));
  }

  /** A newcomer takes a random place in the round under way or behind it. */
  #insert(member: Member): void {
    this.#members.set(member.update.node, member);
    const at = this.#random.below(this.#order.length + 1);
    if (at === this.#order.length) {
      this.#order.push(member);
      return;
    }
    this.#order.push(this.#order[at]!);
    this.#order[at] = member;
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
