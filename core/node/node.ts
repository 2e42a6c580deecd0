/**
 * One peer of the network: membership, the agreed layout, the replicas it holds and the requests that pass through it,
 * driven by inputs alone. The same class runs on TCP and disks (cli/host) and in the virtual world (sim).
 *
 * K1. step() is the only way in; it handles one input, then evaluates once, then returns the effects.
 * K2. Nothing a peer or a client says makes step() throw. Only a broken invariant does, and then the host stops it.
 */
import { after, type Instant, NEVER, type NodeId, type PartitionId, SYSTEM_PARTITION } from "../base/ids.ts";
import { fmix32 } from "../base/hash.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import { DEFAULT_TUNING } from "../base/tuning.ts";
import { Membership } from "../membership/membership.ts";
import { admit } from "../system/security.ts";
import { findMember } from "../system/system.ts";
import { type ClientRequest, Effects, type Input, type JournalRecord, type Kernel } from "../wire/kernel.ts";
import { isFormer } from "../wire/members.ts";
import type { Configuration, Message, SystemView } from "../wire/messages.ts";
import type { LocalOp, ReadOp, Refused, Request, Response, SystemOp } from "../wire/requests.ts";
import type { Principal } from "../wire/security.ts";
import { Bulk } from "./bulk.ts";
import { Gate, requestBy } from "./gate.ts";
import { KeyKeeper } from "./keys.ts";
import { Layout } from "./layout.ts";
import type { NodeOptions } from "./options.ts";
import { Replicas, type Slot } from "./replicas.ts";
import { refusal } from "../wire/ops.ts";
import { denial } from "./rights.ts";
import { Room } from "./room.ts";
import { Router } from "./router.ts";
import { Standing } from "./standing.ts";
import { answerLocally } from "./status.ts";
import { Steward, STEWARD_TOKEN } from "./steward.ts";
import { Watches } from "./watches.ts";

/** A node that is stopping waits this long for others to take over what it leads. */
const STOP_US = 2_000_000;
/** Requests and watches of a life are numbered from somewhere below this: small integers, for the maps' sake. */
const FIRST_NUMBER_MAX = 2 ** 29;

export class Node implements Kernel {
  readonly id: NodeId;
  readonly #options: NodeOptions;
  readonly #effects = new Effects();
  readonly #membership: Membership;
  readonly #layout: Layout;
  readonly #replicas: Replicas;
  readonly #router: Router;
  readonly #watches: Watches;
  readonly #steward: Steward;
  readonly #room: Room;
  readonly #gate: Gate;
  readonly #keys: KeyKeeper;
  readonly #standing: Standing;
  readonly #bulk: Bulk;
  readonly #counters = new Map<string, number>();
  #now = 0 as Instant;
  #started = false;
  /** While it stops: when it stops waiting for others to take over. */
  #stopBy: Instant | null = null;
  #fingerprint = 0;

  constructor(options: NodeOptions) {
    const { id, address, origin, random, tables } = options;
    this.id = id;
    this.#options = options;
    const effects = this.#effects;
    const recovered = origin.kind === "recovered" ? origin.recovered : null;
    const view = origin.kind === "recovered" ? origin.recovered.view : origin.view;
    invariant(view !== null, "A node that ran before has a view in its journal");
    const { settings } = view;
    this.#membership = new Membership({
      self: id,
      address,
      incarnation: recovered === null ? 0 : recovered.incarnation + 1,
      random: random.fork("membership"),
      settings,
      peers: recovered?.peers ?? [],
    });
    const seen = (node: NodeId) => this.#membership.liveness(node) === "alive";
    // A member that the view has and membership has not met yet is worth a try.
    const worthAsking = (node: NodeId) =>
      seen(node) || (this.#membership.liveness(node) === "unknown" && this.#gate.trusts(node));
    const viewNow = () => this.#layout.view;
    this.#layout = new Layout({
      self: id,
      effects,
      membership: this.#membership,
      view,
      changed: (next, before, now) => this.#viewChanged(next, before, now),
    });
    this.#room = new Room(effects);
    this.#gate = new Gate({ self: id, effects, view });
    this.#replicas = new Replicas({
      self: id,
      settings,
      random: random.fork("replicas"),
      tuning: options.tuning ?? DEFAULT_TUNING,
      tables,
      effects,
      reachable: seen,
      room: this.#room,
      view: viewNow,
      answer: (token, response) => this.#answered(token, response),
      readable: (token, refused) => this.#router.readable(token, refused, this.#now),
      evaluated: (slot, now) => this.#watches.publish(slot, now),
      leadership: (slot, now) => this.#leadershipChanged(slot, now),
    });
    this.#steward = new Steward({ self: id, membership: this.#membership, replicas: this.#replicas });
    this.#router = new Router({
      self: id,
      effects,
      replicas: () => this.#replicas,
      view: viewNow,
      reachable: worthAsking,
      room: this.#room,
      firstToken: 1 + random.fork("requests").below(FIRST_NUMBER_MAX),
      trusted: this.#gate.trusts,
      vet: (op, by) => this.#vet(op, by),
    });
    this.#keys = new KeyKeeper({
      self: id,
      effects,
      view: viewNow,
      reachable: worthAsking,
      leads: () => this.#replicas.get(SYSTEM_PARTITION)?.replica.isLeader ?? false,
      ask: (op, now) => this.#ask(op, now),
    });
    this.#watches = new Watches({
      self: id,
      effects,
      replicas: () => this.#replicas,
      view: viewNow,
      leader: (partition) => this.#router.leaderFor(partition),
      passOver: (partition, node) => this.#router.passOver(partition, node),
      firstNumber: 1 + random.fork("watches").below(FIRST_NUMBER_MAX),
    });
    this.#standing = new Standing({
      self: id,
      address,
      layout: this.#layout,
      effects,
      view,
      empty: () => this.#replicas.all.length === 0 && this.#bulk.upkeep.mayLeave,
      stopping: () => this.#stopBy !== null,
      ask: (op, now) => this.#ask(op, now),
    });
    this.#bulk = new Bulk({
      self: id,
      effects,
      tuning: options.tuning ?? DEFAULT_TUNING,
      coder: options.coder,
      membership: this.#membership,
      view: viewNow,
      low: () => this.#room.low,
      firstNumber: 1 + random.fork("objects").below(FIRST_NUMBER_MAX),
      read: (op, now, done) => this.#router.take({ kind: "inner", done }, this.#ownRequest(op), now),
    });
  }

  // ---- Kernel

  step(input: Input, now: Instant): Effects {
    this.#effects.clear();
    invariant(now >= this.#now, () => `Time never goes back, but ${now} follows ${this.#now}`);
    invariant(this.#started !== (input.kind === "start"), "A node is started once, before anything else");
    this.#now = now;
    this.#handle(input, now);
    this.#evaluate(now);
    return this.#effects;
  }

  nextWake(): Instant {
    return Math.min(
      this.#membership.nextWake(),
      this.#replicas.nextWake(),
      this.#router.nextWake(),
      this.#watches.nextWake(),
      this.#steward.nextWake(),
      this.#layout.nextWake(),
      this.#keys.nextWake(),
      this.#bulk.nextWake(),
      this.#stopBy === null || this.#effects.stopped ? NEVER : this.#stopBy,
      this.#standing.nextWake(),
    ) as Instant;
  }

  fingerprint(): number {
    return this.#fingerprint;
  }

  // ---- for hosts and observers

  addressOf(id: NodeId): string | null {
    return this.#membership.addressOf(id) ?? findMember(this.#layout.view, id)?.address ?? null;
  }
  view(): SystemView {
    return this.#layout.view;
  }
  replicas(): readonly Slot[] {
    return this.#replicas.all;
  }
  get membership(): Membership {
    return this.#membership;
  }
  describe(): string {
    const led = this.#replicas.all.filter((s) => s.replica.isLeader).length;
    const { version, epoch } = this.#layout.view;
    return `${this.id} ${this.#layout.state} view ${version} epoch ${epoch} replicas ${this.#replicas.all.length} leads ${led}`;
  }

  // ---- inputs

  #handle(input: Input, now: Instant): void {
    switch (input.kind) {
      case "start":
        return this.#start(now);
      case "wake":
        this.#membership.wake(now, this.#effects);
        this.#replicas.wake(now);
        this.#router.wake(now);
        this.#watches.wake(now);
        this.#bulk.objects.wake(now);
        return;
      case "messages":
        for (const message of input.messages) this.#receive(input.from, message, now);
        return;
      case "persisted":
        return this.#replicas.persisted(input.upTo, now);
      case "checkpointed":
        return this.#replicas.checkpointed(input.checkpoint, now);
      case "checkpoint":
        return this.#replicas.requestCheckpoint();
      case "requests":
        for (const request of input.requests) this.#request(request, now);
        return;
      case "client-gone":
        this.#gate.clientGone(input.client);
        this.#router.clientGone(input.client);
        this.#bulk.objects.clientGone(input.client, now);
        return this.#watches.clientGone(input.client);
      case "space":
        return this.#spaceChanged(input.low, now);
      case "chunks":
        return this.#bulk.objects.results(input.results, now);
      case "peer-lost":
        this.#room.forget(input.peer);
        this.#membership.peerLost(input.peer, now, this.#effects);
        this.#router.peerDown(input.peer, now);
        this.#watches.peerDown(input.peer, now);
        this.#bulk.objects.peerDown(input.peer, now);
        return this.#replicas.peerLost(input.peer, now);
      case "keys":
        return this.#keys.held(input);
      case "key-made":
        return this.#keys.made(input);
      case "stop":
        this.#stopBy = after(now, STOP_US);
        return this.#replicas.stop(now);
      default:
        return unreachable(input);
    }
  }

  #start(now: Instant): void {
    this.#started = true;
    const { origin } = this.#options;
    if (origin.kind === "recovered") this.#restore(now);
    else {
      this.#effects.record({ kind: "view", view: origin.view });
      if (origin.kind === "genesis") this.#found(origin.view, { restarted: false }, now);
    }
    this.#layout.introduce(now);
    this.#membership.wake(now, this.#effects);
    this.#adoptAgreed(now);
    this.#standing.check(now);
    this.#bulk.upkeep.begin(now);
  }

  /** Begins the partitions of a new network that are held here and not open yet. */
  #found(view: SystemView, { restarted }: { restarted: boolean }, now: Instant): void {
    for (const [partition, replicas] of view.assignment.entries()) {
      if (!replicas.includes(this.id) || this.#replicas.get(partition as PartitionId) !== undefined) continue;
      const bootstrap: Configuration = { voters: replicas, outgoing: [], learners: [] };
      this.#replicas.open(partition as PartitionId, { recovered: null, bootstrap, restarted }, now);
    }
  }

  #restore(now: Instant): void {
    const { origin } = this.#options;
    if (origin.kind !== "recovered") return;
    const partitions = [...origin.recovered.replicas.keys()].sort((a, b) => a - b);
    for (const partition of partitions) {
      const recovered = origin.recovered.replicas.get(partition)!;
      if (recovered.exists) this.#replicas.open(partition, { recovered, bootstrap: null }, now);
      else this.#replicas.retire(partition, recovered);
    }
    // A founder that crashed before all of its first step was in the journal: of a partition that is not there, nothing
    // was ever promised but to a leader that it heard (E6), and while the view is the first no one can have told it to let
    // go of one.
    const { view } = origin.recovered;
    if (view !== null && view.version === 0 && !partitions.some((p) => this.#replicas.get(p) === undefined)) {
      this.#found(view, { restarted: true }, now);
    }
  }

  #receive(from: NodeId, message: Message, now: Instant): void {
    if (from === this.id || !this.#gate.hears(from, message)) return;
    switch (message.kind) {
      case "ping":
      case "ack":
      case "ping-request":
      case "nack":
      case "push-pull":
        return this.#membership.handle(from, message, now, this.#effects);
      case "timeout-now":
        // Whoever asks has not heard yet that this node could not take writes either.
        if (this.#room.low) return this.#room.tell(from);
        return this.#replicas.handle(from, message, now);
      case "space":
        this.#room.heard(from, message.low, now);
        return this.#replicas.peerShort(from, message.low, now);
      case "vote":
      case "vote-reply":
      case "append":
      case "append-reply":
      case "snapshot":
      case "snapshot-reply":
        return this.#replicas.handle(from, message, now);
      case "beats":
        return this.#replicas.handleBeats(from, message.beats, now);
      case "beat-replies":
        return this.#replicas.handleBeatReplies(from, message.replies, now);
      case "layout-get":
        return this.#layout.handleGet(from, message);
      case "layout-is":
        return this.#layout.handleLayout(from, message, now);
      case "forward":
        return this.#router.handleForward(from, message, now);
      case "forward-reply":
        return this.#router.handleForwardReply(from, message, now);
      case "watch-start":
        return this.#watches.handleStart(from, message, now);
      case "watch-stop":
        return this.#watches.handleStop(from, message);
      case "watch-events":
        return this.#watches.handleEvents(from, message, now);
      case "replica-check":
        return this.#replicas.answerCheck(from, message.partition);
      case "replica-verdict":
        return this.#replicas.handleVerdict(message, now);
      case "key-get":
        return this.#keys.handleGet(from, message);
      case "fragment-put":
      case "fragment-put-reply":
      case "fragment-get":
      case "fragment-get-reply":
      case "fragment-check":
      case "fragment-check-reply":
      case "segments-gone":
        return this.#bulk.objects.handle(from, message, now);
      default:
        return unreachable(message);
    }
  }

  #spaceChanged(low: boolean, now: Instant): void {
    const others = this.#layout.view.members.map((m) => m.id).filter((id) =>
      id !== this.id && this.#membership.liveness(id) === "alive"
    );
    if (!this.#room.set(low, others)) return;
    this.#replicas.yield(low, now);
    // What others took in its place meanwhile, it lacks.
    if (!low) this.#bulk.upkeep.peerAlive(now);
  }

  #request(asked: ClientRequest, now: Instant): void {
    const { client, id, request } = asked, { op } = request;
    if (this.#stopBy !== null) {
      return this.#effects.reply(
        client,
        id,
        refusal("closing", `Node "${this.id}" is stopping; ask another`),
      );
    }
    const admitted = this.#gate.admit(asked, now);
    if (admitted.kind === "refused") return this.#effects.reply(client, id, admitted);
    const { by } = admitted;
    switch (op.kind) {
      case "status":
      case "members":
      case "layout":
      case "audit":
        return this.#effects.reply(client, id, this.#answerLocally(op, by));
      case "watch":
        return this.#watches.open({ client, id, who: by }, op, now);
      case "unwatch":
        this.#watches.close(client, op.watch);
        return this.#effects.reply(client, id, { kind: "done", version: this.#layout.view.version });
      case "chunk-put":
      case "chunk-get":
      case "segments-gone":
        return this.#bulk.objects.request({ client, id }, op, now);
      default:
        return this.#router.take({ kind: "client", client, id }, requestBy(request, by), now);
    }
  }

  /** Has the network agree on something, on this node's own behalf. */
  #ask(op: SystemOp, now: Instant): void {
    this.#router.take({ kind: "self" }, this.#ownRequest(op), now);
  }

  #ownRequest(op: SystemOp | ReadOp): Request {
    const open = this.#layout.view.security === null;
    return requestBy({ op }, open ? null : { kind: "member", node: this.id });
  }

  /** While this node leads the system partition: what that one has agreed on last counts. */
  #vet(op: SystemOp, by: Principal | null): Refused | null {
    const agreed = this.#replicas.get(SYSTEM_PARTITION)?.system?.view ?? this.#layout.view;
    return denial(agreed, by, op) ?? this.#steward.vet(op, this.#layout.view) ??
      this.#vetInvited(op, by, agreed);
  }

  /**
   * Anybody can come with an invite that was made up or is used up: none of them gets a word into the log. As long as this
   * leader may not have heard of all that was agreed on before it led, the state machine alone judges.
   */
  #vetInvited(op: SystemOp, by: Principal | null, agreed: SystemView): Refused | null {
    if (op.kind !== "join" || by?.kind !== "invite") return null;
    if (this.#replicas.get(SYSTEM_PARTITION)?.replica.ageUs(this.#now) !== 0) return null;
    const admitted = admit(agreed, op.member, by);
    return "reason" in admitted ? admitted : null;
  }

  #answerLocally(op: LocalOp, who: Principal | null): Response {
    return answerLocally(op, who, {
      id: this.id,
      view: this.#layout.view,
      state: this.#layout.state,
      slots: this.#replicas.all,
      counters: this.#counters,
      low: this.#room.low,
      chunks: this.#bulk.objects.status(),
      leaders: () => this.#router.leaders(this.#now),
      membership: this.#membership,
    });
  }

  // ---- what follows from an input

  #evaluate(now: Instant): void {
    this.#membershipChanged(now);
    this.#evaluateReplicas(now);
    this.#steward.wake(now);
    this.#standing.wake(now);
    this.#bulk.upkeep.evaluate(now);
    do {
      this.#keys.evaluate(now);
      this.#evaluateReplicas(now);
    } while (this.#bulk.objects.settle(now) || this.#keys.waiting);
    this.#layout.fetch(now);
    if (this.#stopBy !== null) this.#finishStopping(now);
    this.#replicas.finish(this.#checkpointHead);
    this.#gate.finish();
    this.#count();
    const { keyOffers, makeKey, chunkOps } = this.#effects;
    this.#fingerprint = fmix32(
      this.#fingerprint ^ Math.imul(chunkOps.length, 0x9e3779b9) ^ (keyOffers.length << 20) ^
        ((makeKey ?? 0) << 24) ^ this.#replicas.fingerprint() ^
        this.#membership.fingerprint() ^
        (this.#effects.persistedUpTo << 8) ^
        (this.#effects.sendNow.length << 4) ^ this.#effects.sendAfterPersist.length ^
        (this.#layout.view.version << 16),
    );
  }

  #evaluateReplicas(now: Instant): void {
    if (!this.#replicas.touched) return;
    this.#replicas.evaluate(now);
    this.#adoptAgreed(now);
  }

  #membershipChanged(now: Instant): void {
    for (const { node, status } of this.#membership.takeChanges()) {
      if (status === "alive") {
        if (this.#room.low) this.#room.tell(node);
        this.#replicas.alive(node, now);
        this.#bulk.upkeep.peerAlive(now);
      } else {
        this.#replicas.suspected(node, now);
        this.#router.peerDown(node, now);
        this.#watches.peerDown(node, now);
        // Who is only suspected may be about to answer.
        if (status !== "suspect") this.#bulk.objects.peerDown(node, now);
      }
      this.#steward.lookSoon(now);
    }
  }

  /** The system partition's own replica may know a newer view than gossip has brought. */
  #adoptAgreed(now: Instant): void {
    const agreed = this.#replicas.get(SYSTEM_PARTITION)?.system?.view ?? null;
    if (agreed !== null && agreed.version > this.#layout.view.version) this.#layout.adopt(agreed, now);
  }

  #viewChanged(view: SystemView, before: SystemView, now: Instant): void {
    this.#bulk.viewChanged(view, before, now);
    // Membership stops watching who left: partitions that such a member still leads must not rely on it.
    for (const { id, state } of view.members) {
      if (isFormer(state) && !isFormer(findMember(before, id)?.state ?? "joining")) {
        this.#replicas.suspected(id, now);
      }
    }
    if (view.security !== null) this.#securityChanged(view, now);
    this.#standing.follow(view);
    this.#replicas.follow(view, now);
    this.#steward.decided(now);
    this.#standing.check(now);
  }

  #securityChanged(view: SystemView, now: Instant): void {
    for (const node of this.#gate.follow(view)) {
      if (node === this.id) continue;
      this.#room.forget(node);
      this.#router.peerDown(node, now);
      this.#watches.peerDown(node, now);
      this.#bulk.objects.peerDown(node, now);
      // It could find out by itself no more, where its connections are cut at once.
      if (this.#replicas.get(SYSTEM_PARTITION)?.replica.isLeader) {
        this.#effects.send(node, { kind: "layout-is", view });
      }
    }
    this.#watches.review((who, op, client) => {
      const refused = this.#gate.denial(who, op);
      if (refused !== null) this.#gate.deny(client, who, { op, refused }, now);
      return refused;
    });
    this.#keys.changed();
  }

  #leadershipChanged(slot: Slot, now: Instant): void {
    if (slot.partition === SYSTEM_PARTITION) {
      this.#steward.leadershipChanged(slot.led, now);
      this.#keys.changed();
    }
    if (slot.led) slot.catalog?.becameLeader(now);
    else this.#watches.lostLeadership(slot.partition, now);
  }

  #answered(token: number, response: Response): void {
    if (token !== STEWARD_TOKEN) this.#router.answer(token, response, this.#now);
    else if (response.kind === "refused") this.#steward.refused(this.#now);
    else this.#steward.decided(this.#now);
  }

  #finishStopping(now: Instant): void {
    const leads = this.#replicas.all.some((s) =>
      s.replica.isLeader && s.replica.configuration.voters.length > 1
    );
    if (leads && this.#stopBy !== null && now < this.#stopBy) return;
    if (!this.#effects.stopped) this.#membership.leave(now, this.#effects);
    this.#effects.stopped = true;
  }

  readonly #checkpointHead = (): JournalRecord[] => [
    { kind: "view", view: this.#layout.view },
    this.#membership.record(),
  ];

  #count(): void {
    for (const note of this.#effects.notes) {
      const name = note.kind === "refused" ? `refused ${note.message}` : note.kind;
      this.#counters.set(name, (this.#counters.get(name) ?? 0) + 1);
    }
  }
}
