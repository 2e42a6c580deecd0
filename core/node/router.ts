/**
 * Requests on their way: from a client or a peer to the replica that can answer, and back.
 *
 * R1. Every request taken in is answered exactly once: by its replica, by the peer it was forwarded to, or by its
 *     deadline. What may have been done by then is answered "unsure", never "failed".
 * R2. A forwarded request is not forwarded again by its receiver; it answers who leads instead.
 * R3. Whether it may be done at all is looked at by the node that took it from its client, before it comes here; in a
 *     private network it is passed on with whose it is, and the leader of the system partition looks once more: what it
 *     knows of rights is the newest.
 * R4. A range shows the rows of objects only to who begins it among them (core/wire/rows.ts).
 */
import { after, type Instant, type NodeId, type PartitionId, SYSTEM_PARTITION } from "../base/ids.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeCommand, type WriteRequest } from "../catalog/command.ts";
import { validate } from "../catalog/validate.ts";
import { partitionOf } from "../placement/key.ts";
import { encodeSystemCommand } from "../system/command.ts";
import type { Effects } from "../wire/kernel.ts";
import { isReadOp, isSystemOp, isWriteOp, keyOf, refusal } from "../wire/ops.ts";
import { startPastRows } from "../wire/rows.ts";
import type { MessageOf, SystemView } from "../wire/messages.ts";
import type { Op, RangeOp, ReadOp, Refused, Request, Response, SystemOp, WriteOp } from "../wire/requests.ts";
import type { Principal } from "../wire/security.ts";
import { mergeRanges } from "./merge.ts";
import { type Asker, Pending, type Waiting } from "./pending.ts";
import type { Replicas, Slot } from "./replicas.ts";
import { fillsDisk, type Room } from "./room.ts";

export interface RouterOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly replicas: () => Replicas;
  readonly view: () => SystemView;
  readonly reachable: (node: NodeId) => boolean;
  readonly room: Room;
  /** From 1, and another in each life of the node. */
  readonly firstToken: number;
  /** False: it was shut out, and is neither asked nor named as a leader. */
  readonly trusted: (node: NodeId) => boolean;
  /** What the leader of the system partition has against a request; null: nothing. */
  readonly vet: (op: SystemOp, by: Principal | null) => Refused | null;
}

/** Who led a partition when it was last asked something is told to clients for this long. */
const HINT_US = 3_000_000;

/** A range over all partitions, while its parts come in. */
interface Gathering {
  readonly asker: Asker;
  readonly op: RangeOp;
  readonly parts: Extract<Response, { kind: "values" }>[];
  missing: number;
}

export class Router {
  readonly #options: RouterOptions;
  readonly #pending: Pending;
  /** Who led a partition that this node does not hold, as last heard. */
  readonly #hints: (NodeId | null)[] = [];
  /** When each was heard. */
  readonly #hintedAt: Instant[] = [];
  readonly #gatherings = new Map<number, Gathering>();
  #nextGathering = 1;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#pending = new Pending(options.firstToken);
  }

  get size(): number {
    return this.#pending.size;
  }

  /** Takes a request in. Watches and what a node answers by itself are not for the router. */
  take(asker: Asker, request: Request, now: Instant): void {
    const { op } = request;
    const deadline = after(now, LIMITS.requestUs);
    if (isSystemOp(op)) {
      return this.#dispatch(this.#pending.add(asker, request, SYSTEM_PARTITION, deadline), now);
    }
    if (!isDataRequest(request)) {
      return this.#deliver(
        asker,
        refusal("invalid", `A "${op.kind}" is answered by the node that is asked`),
        now,
      );
    }
    const { partitions } = this.#options.view().settings;
    const invalid = validate(request, this.#partitionOf);
    if (invalid !== null) return this.#deliver(asker, invalid, now);
    if (op.kind === "range") {
      const shown: RangeOp = { ...op, start: startPastRows(op.start, op.end) }; // R4
      if (op.partition === undefined) return this.#gather(asker, { ...request, op: shown }, deadline, now);
      request = { ...request, op: shown };
    }
    const partition = partitionOfOp(op, partitions);
    if (partition === SYSTEM_PARTITION || partition > partitions) {
      return this.#deliver(
        asker,
        refusal("invalid", `Partition ${partition} holds no keys; those that do are 1 to ${partitions}`),
        now,
      );
    }
    this.#dispatch(this.#pending.add(asker, request, partition, deadline), now);
  }

  readonly #partitionOf = (key: string): PartitionId =>
    partitionOf(key, this.#options.view().settings.partitions);

  // ---- toward the replica

  #dispatch(waiting: Waiting, now: Instant): void {
    const slot = this.#options.replicas().get(waiting.partition);
    const { op } = waiting.request;
    if (slot !== undefined && isReadOp(op) && op.read === "stale" && readable(slot)) {
      return this.#finish(waiting.token, this.#readHere(slot, op, now), now);
    }
    if (slot !== undefined && slot.replica.isLeader) return this.#serve(slot, waiting, now);
    this.#forward(waiting, slot, now);
  }

  #serve(slot: Slot, waiting: Waiting, now: Instant): void {
    const { request } = waiting, { op } = request;
    this.#options.replicas().touch(slot);
    if (isReadOp(op)) return slot.replica.read(waiting.token, now);
    if (isSystemOp(op)) {
      const vetoed = this.#options.vet(op, request.by ?? null);
      if (vetoed !== null) return this.#finish(waiting.token, vetoed, now);
      return slot.replica.propose(encodeSystemCommand(op, request.by ?? null), waiting.token, now);
    }
    invariant(
      isWriteRequest(request),
      "Requests that are neither read nor written were answered when taken in",
    );
    if (this.#options.room.low && fillsDisk(request.op)) {
      return this.#finish(waiting.token, this.#noRoom(slot), now);
    }
    if (this.#options.replicas().congested) {
      const message =
        `The journal of "${this.#options.self}" is full until its checkpoint is done: try again shortly`;
      return this.#finish(waiting.token, refusal("busy", message), now);
    }
    slot.replica.propose(encodeCommand(request), waiting.token, now);
  }

  /** While another takes over, asking again shortly is worth it. */
  #noRoom({ partition, replica }: Slot): Refused {
    if (replica.heir !== null) {
      return refusal(
        "busy",
        `Partition ${partition} is being handed over, for "${this.#options.self}" is short of disk`,
      );
    }
    return refusal(
      "no-space",
      `Node "${this.#options.self}", which leads partition ${partition}, is short of disk space, and nobody with more ` +
        `can take over. Nothing was written. Delete keys, or make room on the disk`,
    );
  }

  #forward(waiting: Waiting, slot: Slot | undefined, now: Instant): void {
    const { partition } = waiting;
    const leader = slot?.replica.leader ?? this.#hints[partition] ?? null;
    if (waiting.asker.kind === "peer") return this.#finish(waiting.token, moved(partition, leader), now); // R2
    const target = this.#targetFor(waiting, leader, slot !== undefined);
    if (target === null) return this.#finish(waiting.token, moved(partition, null), now);
    waiting.to = target;
    waiting.hops++;
    this.#options.effects.send(target, {
      kind: "forward",
      id: waiting.token,
      hops: waiting.hops,
      request: waiting.request,
    });
  }

  /**
   * The believed leader; else, for a partition not held here, any reachable replica, which knows more. What a node asks
   * for itself it asks whatever membership says: declared gone, it may hold everyone for dead and hear no better.
   */
  #targetFor(waiting: Waiting, leader: NodeId | null, held: boolean): NodeId | null {
    const { self, reachable, trusted } = this.#options;
    const hopeful = waiting.asker.kind === "self";
    const stale = isReadOp(waiting.request.op) && waiting.request.op.read === "stale";
    if (leader !== null && leader !== self && trusted(leader) && (hopeful || reachable(leader))) {
      return leader;
    }
    if (held && !stale && !hopeful) return null;
    const candidates = this.#options.view().assignment[waiting.partition] ?? [];
    const holders = candidates.filter((n) => n !== self && trusted(n) && (hopeful || reachable(n)));
    return holders[waiting.hops % Math.max(1, holders.length)] ?? null;
  }

  // ---- and back

  /** From a replica: the outcome of a proposal. */
  answer(token: number, response: Response, now: Instant): void {
    this.#finish(token, response, now);
  }

  /** From a replica: it may be read now, or why not. */
  readable(token: number, refused: Response | null, now: Instant): void {
    if (refused !== null) return this.#finish(token, refused, now);
    const waiting = this.#pending.get(token);
    if (waiting === undefined) return;
    const { op } = waiting.request;
    invariant(isReadOp(op), "Only reads are told that they may read");
    const slot = this.#options.replicas().get(waiting.partition);
    invariant(slot !== undefined, "A replica that may be read is held here");
    this.#finish(token, this.#readHere(slot, op, now), now);
  }

  #readHere(slot: Slot, op: ReadOp, now: Instant): Response {
    invariant(slot.catalog !== null, "Reads go to data partitions");
    const ageUs = op.read === "linearizable" ? 0 : slot.replica.ageUs(now);
    return slot.catalog.read(op, ageUs);
  }

  handleForward(from: NodeId, message: MessageOf<"forward">, now: Instant): void {
    const asker: Asker = { kind: "peer", peer: from, id: message.id };
    if (this.#options.view().security !== null && message.request.by === undefined) { // R3
      const why = `Node "${from}" forwarded a request and did not say on whose behalf`;
      return this.#deliver(asker, refusal("denied", why), now);
    }
    this.take(asker, message.request, now);
  }

  handleForwardReply(from: NodeId, message: MessageOf<"forward-reply">, now: Instant): void {
    const waiting = this.#pending.get(message.id);
    if (waiting === undefined || waiting.to !== from) return;
    const { response } = message, { partition } = waiting;
    if (response.kind === "refused" && response.reason === "moved") {
      this.#hint(partition, response.leader ?? null, now);
      const elsewhere = response.leader !== undefined && response.leader !== from;
      if (elsewhere && waiting.hops < LIMITS.forwardHopsMax) return this.#dispatch(waiting, now);
    } else if (response.kind !== "refused") this.#hint(partition, from, now);
    this.#finish(waiting.token, response, now);
  }

  /** A peer is gone: what was forwarded to it may or may not have been done. */
  peerDown(peer: NodeId, now: Instant): void {
    this.#doubt(peer);
    for (const token of this.#pending.tokensWhere((w) => w.to === peer)) {
      const waiting = this.#pending.get(token)!;
      this.#finish(token, lost(waiting.request.op, `Node "${peer}", which had the request, was lost`), now);
    }
  }

  #doubt(peer: NodeId): void {
    for (let p = 0; p < this.#hints.length; p++) if (this.#hints[p] === peer) this.#hints[p] = null;
  }

  clientGone(client: number): void {
    for (
      const token of this.#pending.tokensWhere((w) => w.asker.kind === "client" && w.asker.client === client)
    ) {
      this.#pending.take(token);
    }
    for (const [id, g] of this.#gatherings) {
      if (g.asker.kind === "client" && g.asker.client === client) this.#gatherings.delete(id);
    }
  }

  wake(now: Instant): void {
    for (let w = this.#pending.takeExpired(now); w !== null; w = this.#pending.takeExpired(now)) {
      // Who did not answer is not asked first again.
      if (w.to !== null) this.#doubt(w.to);
      const waited = `No answer within ${LIMITS.requestUs / 1000} ms`;
      this.#deliver(w.asker, lost(w.request.op, waited), now);
    }
  }

  nextWake(): Instant {
    return this.#pending.nextDeadline();
  }

  #finish(token: number, response: Response, now: Instant): void {
    const waiting = this.#pending.take(token);
    if (waiting !== undefined) this.#deliver(waiting.asker, response, now);
  }

  #deliver(asker: Asker, response: Response, now: Instant): void {
    switch (asker.kind) {
      case "client":
        return this.#options.effects.reply(asker.client, asker.id, response);
      case "peer":
        return this.#options.effects.send(asker.peer, { kind: "forward-reply", id: asker.id, response });
      case "part":
        return this.#collect(asker.whole, response, now);
      case "self":
        return;
      case "inner":
        return asker.done(response, now);
      default:
        return unreachable(asker);
    }
  }

  // ---- ranges over all partitions

  #gather(asker: Asker, { op, by }: Request & { op: RangeOp }, deadline: Instant, now: Instant): void {
    const { partitions } = this.#options.view().settings;
    const whole = this.#nextGathering++;
    // Keys spread evenly: twice a partition's share seldom ends the page early, and reading `limit` from each would
    // throw away all but one in as many as there are partitions.
    const limit = Math.min(op.limit, 2 * Math.ceil(op.limit / partitions) + 8);
    this.#gatherings.set(whole, { asker, op, parts: [], missing: partitions });
    for (let p = 1; p <= partitions && this.#gatherings.has(whole); p++) {
      const part: RangeOp = { ...op, limit, partition: p as PartitionId };
      const collector: Asker = { kind: "part", whole, part: p };
      const request = by === undefined ? { op: part } : { op: part, by };
      this.#dispatch(this.#pending.add(collector, request, p as PartitionId, deadline), now);
    }
  }

  #collect(whole: number, response: Response, now: Instant): void {
    const gathering = this.#gatherings.get(whole);
    if (gathering === undefined) return;
    if (response.kind !== "values") {
      this.#gatherings.delete(whole);
      return this.#deliver(gathering.asker, response, now);
    }
    gathering.parts.push(response);
    if (--gathering.missing > 0) return;
    this.#gatherings.delete(whole);
    this.#deliver(gathering.asker, mergeRanges(gathering.op, gathering.parts), now);
  }

  /** The believed leader of a partition; for one that is not held here, as last heard, or its preferred replica. */
  leaderFor(partition: PartitionId): NodeId | null {
    const { replicas, view, trusted } = this.#options;
    const slot = replicas().get(partition);
    const believed = slot === undefined ? this.#hints[partition] ?? null : slot.replica.leader;
    if (believed !== null && trusted(believed)) return believed;
    return slot === undefined ? view().assignment[partition]?.find(trusted) ?? null : null;
  }

  /** `node`, which leaderFor() named, does not lead: the next replica in the layout's order is believed to, until it is known. */
  passOver(partition: PartitionId, node: NodeId): void {
    if (this.leaderFor(partition) !== node) return;
    const replicas = this.#options.view().assignment[partition] ?? [];
    this.#hints[partition] = replicas[(replicas.indexOf(node) + 1) % Math.max(1, replicas.length)] ?? null;
  }

  /**
   * leaderFor() of every partition, for clients that want to ask leaders directly. Index: partition. What was heard long ago
   * is not told: by then the preferred replica leads, more likely than not.
   */
  leaders(now: Instant): (NodeId | null)[] {
    const { partitions } = this.#options.view().settings;
    return Array.from({ length: partitions + 1 }, (_, p) => {
      const heardAt = this.#hintedAt[p];
      if (heardAt !== undefined && now - heardAt > HINT_US) this.#hints[p] = null;
      return this.leaderFor(p as PartitionId);
    });
  }

  #hint(partition: PartitionId, leader: NodeId | null, now: Instant): void {
    this.#hints[partition] = leader;
    this.#hintedAt[partition] = now;
  }
}

/** A replica without the state its log builds upon cannot say how old what it has may be. */
function readable({ replica }: Slot): boolean {
  return replica.appliedIndex > 0 && !replica.hollow;
}

function isWriteRequest(request: Request): request is Request & WriteRequest {
  return isWriteOp(request.op);
}

function isDataRequest(request: Request): request is Request & { readonly op: WriteOp | ReadOp } {
  return isWriteOp(request.op) || isReadOp(request.op);
}

/** The partition that answers `op`, which is checked, no range over all partitions and for no single node to answer. */
function partitionOfOp(op: Op, partitions: number): PartitionId {
  if (isSystemOp(op)) return SYSTEM_PARTITION;
  if (op.kind === "range") {
    invariant(op.partition !== undefined, "A range over all partitions is taken apart first");
    return op.partition;
  }
  const key = keyOf(op);
  invariant(key !== null, () => `A checked "${op.kind}" names a key`);
  return partitionOf(key, partitions);
}

function moved(partition: PartitionId, leader: NodeId | null): Refused {
  if (leader === null) {
    return refusal("no-leader", `Partition ${partition} has no leader that is known here; try again`);
  }
  return { ...refusal("moved", `Partition ${partition} is led by "${leader}"`), leader };
}

/** A read that found no answer may be asked again; a write may have been done. */
function lost(op: Op, why: string): Refused {
  if (isReadOp(op)) return refusal("timeout", `${why}; try again`);
  return refusal("unsure", `${why}; the write may or may not have been done`);
}
