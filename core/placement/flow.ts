import { invariant } from "../base/invariant.ts";

/*
 * Puts replicas of partitions on members within bounds, keeping as many as possible where they were: a minimum-cost
 * flow partition → (partition, zone) → member → sink, in which a kept replica costs 0 and a moved one 1.
 *
 * Solved by successive shortest paths with potentials (Ahuja, Magnanti and Orlin, "Network Flows", 9.7). A lower bound
 * on an arc is a flow that the arc starts with: what it owes its head becomes supply there, what it owes its tail
 * becomes demand. What can be kept is put down first without any search, for it costs nothing. Every further replica
 * takes the shortest path from a supply to a demand, which may push others aside.
 *
 *   F1  Every residual arc has a reduced cost, cost + potential(tail) - potential(head), of at least 0. So the flow is
 *       the cheapest of all with its supplies and demands, at every step.
 *   F2  Flows stay within their bounds.
 *   F3  load(member) <= flow(member → sink), and where it is less, the latter is the member's lower bound.
 */

/** Partitions, zones and members are numbered from 0. */
export interface Problem {
  readonly partitions: number;
  readonly replicas: number;
  readonly zoneOf: Int32Array;
  /** Replicas of one partition in each zone. */
  readonly zoneLow: Int32Array;
  readonly zoneHigh: Int32Array;
  /** Replicas on each member. */
  readonly memberLow: Int32Array;
  readonly memberHigh: Int32Array;
  /** Members of the zone that may hold the partition. */
  candidates(partition: number, zone: number): Int32Array;
  /** Members that held the partition before, the dearest first, each once. */
  readonly kept: readonly (readonly number[])[];
  /** The rendezvous scores decide where several choices move equally little; smaller is preferred, zones first. */
  zoneScore(partition: number, zone: number): number;
  memberScore(partition: number, member: number): number;
}

const KEPT = 1;
const HELD = 2;
const FAR = 0x3fff_ffff;

/** The members of each partition. Throws InvariantError where the bounds leave no solution. */
export function distribute(problem: Problem): number[][] {
  return new Flow(problem).solve();
}

class Flow {
  readonly #problem: Problem;
  readonly #zones: number;
  readonly #members: number;
  /** Nodes: partitions from 0, then cells (partition × zones + zone), then members, then the sink. */
  readonly #firstCell: number;
  readonly #firstMember: number;
  readonly #sink: number;

  readonly #flags: Uint8Array;
  readonly #cellFlow: Int32Array;
  readonly #sinkFlow: Int32Array;
  readonly #load: Int32Array;
  readonly #holds: number[][];
  readonly #partitionSupply: Int32Array;
  readonly #cellSupply: Int32Array;
  #sinkDemand: number;

  readonly #potential: Int32Array;
  /** Of the search under way, valid where #seen holds its number. */
  readonly #distance: Int32Array;
  readonly #parent: Int32Array;
  readonly #seen: Int32Array;
  #search = 0;
  #buckets: number[][] = [];
  #visited: number[] = [];
  #target = -1;
  #targetParent = -1;
  #targetDistance = FAR;

  constructor(problem: Problem) {
    const { partitions, zoneLow, memberLow } = problem;
    this.#problem = problem;
    this.#zones = zoneLow.length;
    this.#members = memberLow.length;
    this.#firstCell = partitions;
    this.#firstMember = partitions + partitions * this.#zones;
    this.#sink = this.#firstMember + this.#members;

    this.#flags = new Uint8Array(partitions * this.#members);
    problem.kept.forEach((members, p) => members.forEach((m) => this.#flags[p * this.#members + m] = KEPT));
    this.#cellFlow = new Int32Array(partitions * this.#zones);
    for (let p = 0; p < partitions; p++) this.#cellFlow.set(zoneLow, p * this.#zones);
    this.#cellSupply = this.#cellFlow.slice();
    const owed = zoneLow.reduce((sum, low) => sum + low, 0);
    this.#partitionSupply = new Int32Array(partitions).fill(problem.replicas - owed);
    this.#sinkFlow = memberLow.slice();
    this.#sinkDemand = partitions * problem.replicas - memberLow.reduce((sum, low) => sum + low, 0);
    invariant(owed <= problem.replicas && this.#sinkDemand >= 0, "F2: the lower bounds fit");
    this.#load = new Int32Array(this.#members);
    this.#holds = Array.from({ length: this.#members }, () => []);

    this.#potential = new Int32Array(this.#sink + 1);
    this.#distance = new Int32Array(this.#sink + 1);
    this.#parent = new Int32Array(this.#sink + 1);
    this.#seen = new Int32Array(this.#sink + 1);
  }

  solve(): number[][] {
    const { partitions, kept } = this.#problem;
    for (let p = 0; p < partitions; p++) for (const m of kept[p]!) this.#keep(p, m);
    for (let p = 0; p < partitions; p++) {
      for (let cell = p * this.#zones; cell < (p + 1) * this.#zones; cell++) {
        for (; this.#cellSupply[cell]! > 0; this.#cellSupply[cell]!--) this.#supply(this.#firstCell + cell);
      }
      for (; this.#partitionSupply[p]! > 0; this.#partitionSupply[p]!--) this.#supply(p);
    }
    const result: number[][] = Array.from({ length: partitions }, () => []);
    this.#holds.forEach((held, m) => held.forEach((p) => result[p]!.push(m)));
    return result;
  }

  /** Keeps a replica where all bounds on its straight way to the sink allow; all potentials are still 0. */
  #keep(p: number, m: number): void {
    const zone = this.#problem.zoneOf[m]!;
    const cell = p * this.#zones + zone;
    const owed = this.#cellSupply[cell]! > 0;
    if (!owed && (this.#partitionSupply[p] === 0 || this.#cellFlow[cell]! >= this.#problem.zoneHigh[zone]!)) {
      return;
    }
    if (!this.#hasRoom(m)) return;
    if (owed) this.#cellSupply[cell]!--;
    else {
      this.#partitionSupply[p]!--;
      this.#cellFlow[cell]!++;
    }
    this.#fill(m);
    this.#hold(p, m);
  }

  /** True where one more replica can end at the member along arcs of no reduced cost. */
  #hasRoom(m: number): boolean {
    const flow = this.#sinkFlow[m]!;
    if (this.#load[m]! < flow) return true;
    return this.#sinkDemand > 0 && flow < this.#problem.memberHigh[m]! &&
      this.#potential[this.#firstMember + m] === this.#potential[this.#sink];
  }

  /** Makes room for one more at a member that has it, before it is held. */
  #fill(m: number): void {
    if (this.#load[m]! < this.#sinkFlow[m]!) return;
    this.#sinkFlow[m]!++;
    this.#sinkDemand--;
  }

  #hold(p: number, m: number): void {
    this.#flags[p * this.#members + m]! |= HELD;
    this.#load[m]!++;
    this.#holds[m]!.push(p);
  }

  #release(p: number, m: number): void {
    this.#flags[p * this.#members + m]! &= ~HELD;
    this.#load[m]!--;
    const held = this.#holds[m]!;
    held[held.indexOf(p)] = held[held.length - 1]!;
    held.pop();
  }

  /** Sends one unit from `source` along a shortest path to a demand. */
  #supply(source: number): void {
    this.#begin();
    this.#label(source, 0, -1);
    for (let d = 0; d < this.#targetDistance; d++) {
      invariant(d < this.#buckets.length, "Bounds of zones and members leave room for every replica");
      const bucket = this.#buckets[d]!;
      for (let i = 0; i < bucket.length && d < this.#targetDistance; i++) {
        if (this.#distance[bucket[i]!] === d) this.#expand(bucket[i]!, d);
      }
    }
    // F1: nodes nearer than the target sink by the difference; the arcs of the path cost nothing from now on.
    for (const node of this.#visited) {
      const short = this.#targetDistance - this.#distance[node]!;
      if (short > 0) this.#potential[node]! -= short;
    }
    this.#augment();
  }

  #begin(): void {
    this.#search++;
    for (const bucket of this.#buckets) bucket.length = 0;
    this.#visited.length = 0;
    this.#target = -1;
    this.#targetParent = -1;
    this.#targetDistance = FAR;
  }

  /** Queues a node that was not reached before, or not as near. */
  #label(node: number, distance: number, parent: number): void {
    if (!this.#mark(node, distance, parent)) return;
    while (this.#buckets.length <= distance) this.#buckets.push([]);
    this.#buckets[distance]!.push(node);
  }

  /** False where the node was reached as near before. */
  #mark(node: number, distance: number, parent: number): boolean {
    if (this.#seen[node] === this.#search) {
      if (this.#distance[node]! <= distance) return false;
    } else {
      this.#seen[node] = this.#search;
      this.#visited.push(node);
    }
    this.#distance[node] = distance;
    this.#parent[node] = parent;
    return true;
  }

  #expand(node: number, d: number): void {
    if (node < this.#firstCell) this.#expandPartition(node, d);
    else if (node < this.#firstMember) this.#expandCell(node, d);
    else if (node < this.#sink) this.#expandMember(node, d);
    else this.#expandSink(d);
  }

  #expandPartition(p: number, d: number): void {
    const from = d + this.#potential[p]!;
    for (let zone = 0; zone < this.#zones; zone++) {
      const cell = p * this.#zones + zone;
      if (this.#cellFlow[cell]! >= this.#problem.zoneHigh[zone]!) continue;
      const node = this.#firstCell + cell;
      const distance = from - this.#potential[node]!;
      // At no distance a cell is expanded at once, so that all zones are compared before the search may end.
      if (distance > d) this.#label(node, distance, p);
      else if (this.#mark(node, distance, p)) this.#expandCell(node, distance);
    }
  }

  #expandCell(node: number, d: number): void {
    const cell = node - this.#firstCell;
    const zone = cell % this.#zones;
    const p = (cell - zone) / this.#zones;
    const from = d + this.#potential[node]!;
    if (this.#cellFlow[cell]! > this.#problem.zoneLow[zone]!) {
      this.#label(p, from - this.#potential[p]!, node);
    }
    const candidates = this.#problem.candidates(p, zone);
    for (let i = 0; i < candidates.length; i++) {
      const m = candidates[i]!;
      const flags = this.#flags[p * this.#members + m]!;
      if ((flags & HELD) !== 0) continue;
      const distance = from + (flags === KEPT ? 0 : 1) - this.#potential[this.#firstMember + m]!;
      if (distance > this.#targetDistance) continue;
      if (this.#hasRoom(m)) this.#reach(this.#firstMember + m, distance, node);
      else this.#label(this.#firstMember + m, distance, node);
    }
  }

  #expandMember(node: number, d: number): void {
    const m = node - this.#firstMember;
    const zone = this.#problem.zoneOf[m]!;
    const from = d + this.#potential[node]!;
    if (this.#sinkFlow[m]! < this.#problem.memberHigh[m]!) {
      const distance = from - this.#potential[this.#sink]!;
      if (this.#sinkDemand > 0) this.#reach(this.#sink, distance, node);
      else this.#label(this.#sink, distance, node);
    }
    const held = this.#holds[m]!;
    for (let i = 0; i < held.length; i++) {
      const p = held[i]!;
      const cell = this.#firstCell + p * this.#zones + zone;
      const cost = (this.#flags[p * this.#members + m]! & KEPT) !== 0 ? 0 : 1;
      this.#label(cell, from - cost - this.#potential[cell]!, node);
    }
  }

  #expandSink(d: number): void {
    const from = d + this.#potential[this.#sink]!;
    for (let m = 0; m < this.#members; m++) {
      if (this.#sinkFlow[m]! <= this.#problem.memberLow[m]!) continue;
      this.#label(this.#firstMember + m, from - this.#potential[this.#firstMember + m]!, this.#sink);
    }
  }

  /** A demand is reached. Of the nearest, the one that the partition of the last step prefers is taken. */
  #reach(target: number, distance: number, parent: number): void {
    if (distance > this.#targetDistance) return;
    if (distance === this.#targetDistance && !this.#prefers(target, parent)) return;
    this.#target = target;
    this.#targetParent = parent;
    this.#targetDistance = distance;
  }

  /** True where `parent`, a cell, is of the same partition as the target's and prefers `member` to it. */
  #prefers(member: number, parent: number): boolean {
    if (member === this.#sink || this.#target === this.#sink) return false;
    const cell = parent - this.#firstCell, other = this.#targetParent - this.#firstCell;
    const zone = cell % this.#zones, otherZone = other % this.#zones;
    const p = (cell - zone) / this.#zones;
    if (p !== (other - otherZone) / this.#zones) return false;
    const problem = this.#problem;
    if (zone !== otherZone) {
      const difference = problem.zoneScore(p, zone) - problem.zoneScore(p, otherZone);
      return difference !== 0 ? difference < 0 : zone < otherZone;
    }
    const m = member - this.#firstMember, otherM = this.#target - this.#firstMember;
    const difference = problem.memberScore(p, m) - problem.memberScore(p, otherM);
    return difference !== 0 ? difference < 0 : m < otherM;
  }

  /** Pushes one unit back along the labels, from the target to the source. */
  #augment(): void {
    let node = this.#target;
    let parent = this.#targetParent;
    if (node === this.#sink) this.#sinkDemand--;
    else this.#fill(node - this.#firstMember);
    while (parent >= 0) {
      this.#push(parent, node);
      node = parent;
      parent = this.#parent[node]!;
    }
  }

  #push(tail: number, head: number): void {
    const toCell = head >= this.#firstCell && head < this.#firstMember;
    const fromCell = tail >= this.#firstCell && tail < this.#firstMember;
    if (head === this.#sink) this.#sinkFlow[tail - this.#firstMember]!++;
    else if (tail === this.#sink) this.#sinkFlow[head - this.#firstMember]!--;
    else if (toCell && tail < this.#firstCell) this.#cellFlow[head - this.#firstCell]!++;
    else if (fromCell && head < this.#firstCell) this.#cellFlow[tail - this.#firstCell]!--;
    else if (fromCell) this.#hold(this.#partitionOf(tail), head - this.#firstMember);
    else this.#release(this.#partitionOf(head), tail - this.#firstMember);
  }

  #partitionOf(cell: number): number {
    return Math.floor((cell - this.#firstCell) / this.#zones);
  }
}
