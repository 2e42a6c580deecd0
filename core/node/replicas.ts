/**
 * The replicas this node holds, and what they share: one heartbeat clock, one journal checkpoint, one place where
 * beats to the same peer are gathered into one message.
 *
 * N1. A replica is evaluated once after all items of an input were handed to it, never in between.
 * N2. At most one checkpoint is under way; a replica that asked for one is told of a checkpoint that began afterwards.
 * N3. A replica outside the layout is dropped only on word of someone whose log is committed as far as the newest
 *     configuration here, and whose newest committed configuration does without it: then the one here is that one,
 *     an older one, or one that was never committed.
 * N4. The journal is bounded, however long a checkpoint takes and however often the node starts anew: what recovery read
 *     counts toward the next checkpoint, and while one is under way a node whose journal holds too much takes no writes
 *     of clients and no entries of leaders. Those it could not keep are as lost on the way; beats still tell of both.
 */
import { after, type Instant, NEVER, type NodeId, type PartitionId, SYSTEM_PARTITION } from "../base/ids.ts";
import { fmix32 } from "../base/hash.ts";
import { LIMITS, type Settings } from "../base/limits.ts";
import type { Tables } from "../base/ports.ts";
import type { Random } from "../base/random.ts";
import type { Tuning } from "../base/tuning.ts";
import { Catalog } from "../catalog/catalog.ts";
import type { ReplicaHost } from "../partition/contracts.ts";
import { Replica, type ReplicaOptions } from "../partition/replica.ts";
import { System } from "../system/system.ts";
import type { Effects, JournalRecord, RecoveredReplica } from "../wire/kernel.ts";
import type { Beat, BeatReply, Entry, Message, MessageOf, SystemView } from "../wire/messages.ts";
import type { Response } from "../wire/requests.ts";
import { ByPeer } from "./by_peer.ts";
import type { Room } from "./room.ts";

/** How often a node asks whether a replica that the layout does not give it may go. */
const CHECK_US = 1_000_000;

export interface Slot {
  readonly partition: PartitionId;
  readonly replica: Replica;
  /** One of the two, by partition. */
  readonly catalog: Catalog | null;
  readonly system: System | null;
  /** Waits for evaluate() in this step. */
  dirty: boolean;
  /** Led this partition when last evaluated. */
  led: boolean;
  /** The number of the last journal record that may be this replica's, while `persisting`. */
  recordedUpTo: number;
  persisting: boolean;
  /** A proposal to expire leases is under way. */
  expiring: boolean;
  /** What its catalog had counted when last evaluated. */
  duplicates: number;
  leasesEnded: number;
}

export interface ReplicasOptions {
  readonly self: NodeId;
  readonly settings: Settings;
  readonly random: Random;
  readonly tuning: Tuning;
  readonly tables: Tables;
  readonly effects: Effects;
  readonly reachable: (node: NodeId) => boolean;
  readonly room: Room;
  readonly view: () => SystemView;
  readonly answer: (token: number, response: Response) => void;
  readonly readable: (token: number, refused: Response | null) => void;
  /** Called after the evaluation of a replica whose leadership changed. */
  readonly leadership: (slot: Slot, now: Instant) => void;
  /** Called after each evaluation of a replica. */
  readonly evaluated: (slot: Slot, now: Instant) => void;
}

type RaftMessage =
  | MessageOf<"vote">
  | MessageOf<"vote-reply">
  | MessageOf<"append">
  | MessageOf<"append-reply">
  | MessageOf<"timeout-now">
  | MessageOf<"snapshot">
  | MessageOf<"snapshot-reply">;

export class Replicas implements ReplicaHost {
  readonly #options: ReplicasOptions;
  readonly #slots: (Slot | undefined)[] = [];
  /** Open partitions in ascending order, for iteration without holes. */
  #open: Slot[] = [];
  readonly #wakeAt: Float64Array;
  /** The least of #wakeAt, unless it is stale: then that may be later. */
  #earliest: Instant = NEVER;
  #earliestStale = false;
  readonly #dirty: Slot[] = [];
  #unpersisted: Slot[] = [];
  readonly #beats = new ByPeer<Beat>();
  readonly #beatReplies = new ByPeer<BeatReply>();
  #heartbeatAt: Instant = NEVER;
  #checkAt: Instant = NEVER;
  #checkRound = 0;
  #fingerprint = 0;

  #checkpoints = 0;
  #checkpointUnderWay = false;
  #checkpointWanted = false;
  /** Since the last checkpoint began, and what had been there before it (N4). */
  #journalBytes = 0;
  #journalBytesBefore = 0;
  #askedForCheckpoint: Slot[] = [];
  #coveredByCheckpoint: Slot[] = [];
  /** The replica at work, which is who calls requestCheckpoint(). */
  #current: Slot | null = null;
  /** When replicas were last evaluated. */
  #now = 0 as Instant;

  constructor(options: ReplicasOptions) {
    this.#options = options;
    this.#wakeAt = new Float64Array(options.settings.partitions + 1).fill(NEVER);
  }

  get effects(): Effects {
    return this.#options.effects;
  }
  get all(): readonly Slot[] {
    return this.#open;
  }
  get(partition: PartitionId): Slot | undefined {
    return this.#slots[partition];
  }
  /** The journal may not grow by what others ask for, until the checkpoint under way is done (N4). */
  get congested(): boolean {
    const { journalBytesPerCheckpoint } = this.#options.tuning;
    return this.#checkpointUnderWay &&
      this.#journalBytesBefore + this.#journalBytes >= LIMITS.journalBacklogMax * journalBytesPerCheckpoint;
  }

  // ---- opening and closing

  open(
    partition: PartitionId,
    origin: Pick<ReplicaOptions, "recovered" | "bootstrap" | "restarted">,
    now: Instant,
  ): Slot {
    const { self, settings, random, tables, tuning } = this.#options;
    const system = partition === SYSTEM_PARTITION
      ? new System({ tables, initial: this.#options.view() })
      : null;
    const catalog = system === null
      ? new Catalog({ partition, tables, watchEventsKept: tuning.watchEventsKept })
      : null;
    const replica = new Replica({
      partition,
      self,
      settings,
      random: random.fork(`partition ${partition}`),
      machine: (system ?? catalog)!,
      host: this,
      ...origin,
      tuning,
    });
    const slot: Slot = {
      partition,
      replica,
      catalog,
      system,
      dirty: false,
      led: false,
      recordedUpTo: 0,
      persisting: false,
      expiring: false,
      duplicates: 0,
      leasesEnded: 0,
    };
    if (this.#options.room.low) replica.yield(true, now);
    if (origin.recovered !== null) this.#journalBytes += entriesBytes(origin.recovered.entries);
    this.#slots[partition] = slot;
    this.#open = this.#slots.filter((s) => s !== undefined);
    replica.start(now);
    this.#target(slot, this.#options.view(), now);
    this.touch(slot);
    return slot;
  }

  #drop(slot: Slot, now: Instant): void {
    this.#current = slot;
    slot.replica.drop(now);
    this.#current = null;
    this.#slots[slot.partition] = undefined;
    this.#wakeSlotAt(slot, NEVER);
    this.#open = this.#open.filter((s) => s !== slot);
    this.effects.note({ kind: "dropped", partition: slot.partition });
    // Term and vote outlive the replica, so that it can never vote twice in a term.
    const { term, votedFor } = slot.replica;
    this.#retired.set(slot.partition, { term, votedFor });
  }
  readonly #retired = new Map<PartitionId, { term: RecoveredReplica["term"]; votedFor: NodeId | null }>();

  /** The replica of a partition that a message is for, opened empty where this node holds none. */
  #openFor(partition: PartitionId, now: Instant): Slot | null {
    const slot = this.#slots[partition];
    if (slot !== undefined) return slot;
    if (partition > this.#options.settings.partitions) return null;
    const retired = this.#retired.get(partition);
    const recovered = retired === undefined ? null : emptyReplica(retired.term, retired.votedFor);
    return this.open(partition, { recovered, bootstrap: null }, now);
  }

  // ---- inputs

  handle(from: NodeId, message: RaftMessage, now: Instant): void {
    const slot = this.#openFor(message.partition, now);
    if (slot === null) return this.#refuse(from, message.kind, "There is no such partition");
    if (message.kind === "append" && message.entries.length > 0 && this.congested) return;
    this.#current = slot;
    slot.replica.handle(from, message, now);
    this.#current = null;
    this.touch(slot);
  }

  handleBeats(from: NodeId, beats: readonly Beat[], now: Instant): void {
    for (const beat of beats) {
      const slot = this.#openFor(beat.partition, now);
      if (slot === null) {
        this.#refuse(from, "beats", "There is no such partition");
        continue;
      }
      slot.replica.handleBeat(from, beat, now);
      this.touch(slot);
    }
  }

  handleBeatReplies(from: NodeId, replies: readonly BeatReply[], now: Instant): void {
    for (const reply of replies) {
      const slot = this.#slots[reply.partition];
      if (slot === undefined) continue;
      slot.replica.handleBeatReply(from, reply, now);
      this.touch(slot);
    }
  }

  persisted(upTo: number, now: Instant): void {
    const rest: Slot[] = [];
    for (const slot of this.#unpersisted) {
      if (this.#slots[slot.partition] !== slot) continue;
      slot.replica.persisted(upTo, now);
      this.touch(slot);
      if (slot.recordedUpTo > upTo) rest.push(slot);
      else slot.persisting = false;
    }
    this.#unpersisted = rest;
  }

  checkpointed(number: number, now: Instant): void {
    if (!this.#checkpointUnderWay || number !== this.#checkpoints) return;
    this.#checkpointUnderWay = false;
    this.effects.note({ kind: "checkpoint", number, done: true });
    const covered = this.#coveredByCheckpoint;
    this.#coveredByCheckpoint = [];
    for (const slot of covered) {
      if (this.#slots[slot.partition] !== slot) continue;
      slot.replica.checkpointed(now);
      this.touch(slot);
    }
  }

  wake(now: Instant): void {
    if (this.#earliest <= now) {
      for (const slot of this.#open) {
        if (this.#wakeAt[slot.partition]! > now) continue;
        slot.replica.wake(now);
        this.touch(slot);
      }
    }
    if (this.#heartbeatAt <= now) {
      this.#heartbeatAt = NEVER;
      for (const slot of this.#open) {
        if (!slot.replica.wantsBeats) continue;
        slot.replica.beat(now);
        this.touch(slot);
      }
    }
    if (this.#checkAt <= now) this.#askWhetherNeeded(now);
  }

  nextWake(): Instant {
    if (this.#earliestStale) this.#findEarliest();
    return Math.min(this.#heartbeatAt, this.#checkAt, this.#earliest) as Instant;
  }

  #wakeSlotAt(slot: Slot, at: Instant): void {
    const { partition } = slot, before = this.#wakeAt[partition]!;
    this.#wakeAt[partition] = at;
    if (at <= this.#earliest) this.#earliest = at;
    else if (before === this.#earliest) this.#earliestStale = true;
  }

  #findEarliest(): void {
    this.#earliestStale = false;
    this.#earliest = NEVER;
    for (const slot of this.#open) {
      const at = this.#wakeAt[slot.partition]!;
      if (at < this.#earliest) this.#earliest = at as Instant;
    }
  }

  /** Membership lost sight of `node`: partitions that it leads stop waiting for it. */
  suspected(node: NodeId, now: Instant): void {
    for (const slot of this.#open) {
      slot.replica.leaderSuspected(node, now);
      this.touch(slot);
    }
  }
  alive(node: NodeId, now: Instant): void {
    for (const slot of this.#open) {
      slot.replica.memberAlive(node, now);
      this.touch(slot);
    }
  }
  peerLost(node: NodeId, now: Instant): void {
    for (const slot of this.#open) {
      slot.replica.peerLost(node, now);
      this.touch(slot);
    }
  }
  /** This node is short of disk space, or has enough again. */
  yield(low: boolean, now: Instant): void {
    this.#now = now;
    for (const slot of this.#open) {
      slot.replica.yield(low, now);
      this.touch(slot);
    }
  }
  /** Another is. */
  peerShort(node: NodeId, low: boolean, now: Instant): void {
    this.#now = now;
    for (const slot of this.#open) {
      slot.replica.peerShort(node, low, now);
      this.touch(slot);
    }
  }
  stop(now: Instant): void {
    for (const slot of this.#open) {
      slot.replica.stop(now);
      this.touch(slot);
    }
  }

  // ---- the layout

  /** Leads each partition toward the view's assignment and looks for replicas that are not needed any more. */
  follow(view: SystemView, now: Instant): void {
    for (const slot of this.#open) this.#target(slot, view, now);
    this.#scheduleCheck(now);
  }

  #target(slot: Slot, view: SystemView, now: Instant): void {
    slot.replica.setTarget(view.assignment[slot.partition] ?? [], now);
    this.touch(slot);
    if (!this.#assigned(slot, view)) this.#scheduleCheck(now);
  }

  #assigned(slot: Slot, view: SystemView): boolean {
    return view.assignment[slot.partition]?.includes(this.#options.self) ?? false;
  }

  #scheduleCheck(now: Instant): void {
    const view = this.#options.view();
    const idle = this.#open.every((slot) => this.#assigned(slot, view));
    this.#checkAt = idle ? NEVER : Math.min(this.#checkAt, after(now, CHECK_US)) as Instant;
  }

  #askWhetherNeeded(now: Instant): void {
    const view = this.#options.view();
    this.#checkAt = NEVER;
    for (const slot of this.#open) {
      if (this.#assigned(slot, view) || slot.replica.isLeader) continue;
      const holders = (view.assignment[slot.partition] ?? []).filter((n) => this.#options.reachable(n));
      const holder = holders[this.#checkRound % Math.max(1, holders.length)];
      if (holder !== undefined) {
        this.effects.send(holder, { kind: "replica-check", partition: slot.partition });
      }
    }
    this.#checkRound++;
    this.#scheduleCheck(now);
  }

  answerCheck(from: NodeId, partition: PartitionId): void {
    const slot = this.#slots[partition];
    if (slot === undefined) return;
    const { committedConfiguration: c, commitIndex: commit, term } = slot.replica;
    if (c.voters.length === 0) return;
    const needed = c.voters.includes(from) || c.outgoing.includes(from) || c.learners.includes(from);
    this.effects.send(from, { kind: "replica-verdict", partition, term, commit, needed });
  }

  handleVerdict(verdict: MessageOf<"replica-verdict">, now: Instant): void {
    const slot = this.#slots[verdict.partition];
    if (slot === undefined || verdict.needed || slot.replica.isLeader) return;
    if (this.#assigned(slot, this.#options.view())) return;
    if (verdict.commit < slot.replica.configurationIndex) return; // N3
    this.#drop(slot, now);
    this.#scheduleCheck(now);
  }

  // ---- the end of a step

  touch(slot: Slot): void {
    if (slot.dirty) return;
    slot.dirty = true;
    this.#dirty.push(slot);
  }

  /** Something waits for evaluate(). */
  get touched(): boolean {
    return this.#dirty.length > 0;
  }

  /** Evaluates what was touched (N1). What one evaluation touches is evaluated too. */
  evaluate(now: Instant): void {
    this.#now = now;
    const recordsBefore = this.effects.persistedUpTo;
    for (let i = 0; i < this.#dirty.length; i++) {
      const slot = this.#dirty[i]!;
      slot.dirty = false;
      if (this.#slots[slot.partition] !== slot) continue;
      this.#evaluateOne(slot, now);
    }
    if (this.effects.persistedUpTo > recordsBefore || this.effects.persist.length > 0) {
      for (const slot of this.#dirty) this.#notePersisting(slot);
    }
    this.#dirty.length = 0;
  }

  #evaluateOne(slot: Slot, now: Instant): void {
    const { replica } = slot;
    this.#current = slot;
    replica.evaluate(now);
    this.#current = null;
    if (slot.catalog !== null) this.#noteCatalog(slot, slot.catalog);
    if (replica.isLeader !== slot.led) {
      slot.led = replica.isLeader;
      slot.expiring = false;
      this.#options.leadership(slot, now);
    }
    this.#expireLeases(slot, now);
    const expiry = slot.led && !slot.expiring ? slot.catalog?.nextExpiry() ?? NEVER : NEVER;
    this.#wakeSlotAt(slot, Math.min(replica.nextWake(), expiry) as Instant);
    this.#options.evaluated(slot, now);
    this.#fingerprint = fmix32(this.#fingerprint ^ replica.fingerprint() ^ slot.partition);
    if (replica.wantsBeats && this.#heartbeatAt === NEVER) {
      this.#heartbeatAt = after(now, this.#options.settings.heartbeatUs);
    }
  }

  #noteCatalog(slot: Slot, { duplicates, leasesEnded }: Catalog): void {
    const { partition } = slot;
    if (duplicates > slot.duplicates) this.effects.note({ kind: "duplicate", partition });
    if (leasesEnded > slot.leasesEnded) this.effects.note({ kind: "leases-ended", partition });
    slot.duplicates = duplicates;
    slot.leasesEnded = leasesEnded;
  }

  /** A lease ends through the log, so that it ends at one position on every replica. */
  #expireLeases(slot: Slot, now: Instant): void {
    const { catalog, replica } = slot;
    if (!slot.led || slot.expiring || catalog === null || catalog.nextExpiry() > now) return;
    const due = catalog.expired(now);
    if (due === null) return;
    slot.expiring = true;
    replica.propose(due, -slot.partition, now);
    this.touch(slot);
  }

  #notePersisting(slot: Slot): void {
    if (!slot.persisting) this.#unpersisted.push(slot);
    slot.persisting = true;
    slot.recordedUpTo = this.effects.persistedUpTo;
  }

  /** Sends the gathered beats and begins a checkpoint where one is due. `head`: the node's own records. */
  finish(head: () => readonly JournalRecord[]): void {
    this.#beats.drain(this.#sendBeats);
    this.#beatReplies.drain(this.#sendBeatReplies);
    for (const record of this.effects.persist) this.#journalBytes += recordBytes(record);
    if (this.#journalBytes >= this.#options.tuning.journalBytesPerCheckpoint) this.#checkpointWanted = true;
    if (this.#checkpointWanted && !this.#checkpointUnderWay) this.#beginCheckpoint(head());
  }

  readonly #sendBeats = (to: NodeId, beats: Beat[]): void => this.effects.send(to, { kind: "beats", beats });
  readonly #sendBeatReplies = (to: NodeId, replies: BeatReply[]): void =>
    this.effects.send(to, { kind: "beat-replies", replies });

  #beginCheckpoint(head: readonly JournalRecord[]): void {
    const records = [...head];
    for (const [partition, { term, votedFor }] of this.#retired) {
      if (this.#slots[partition] === undefined) records.push({ kind: "vote", partition, term, votedFor });
    }
    for (const slot of this.#open) records.push(...slot.replica.checkpointRecords());
    this.#checkpointUnderWay = true;
    this.#checkpointWanted = false;
    this.#coveredByCheckpoint = this.#askedForCheckpoint; // N2
    this.#askedForCheckpoint = [];
    this.#journalBytesBefore = this.#journalBytes;
    this.#journalBytes = 0;
    this.effects.checkpoint = { number: ++this.#checkpoints, records };
    this.effects.note({ kind: "checkpoint", number: this.#checkpoints, done: false });
  }

  fingerprint(): number {
    return this.#fingerprint;
  }

  #refuse(from: NodeId, message: Message["kind"], why: string): void {
    this.effects.note({ kind: "refused", from, message, why });
  }

  // ---- ReplicaHost

  beat(to: NodeId, beat: Beat): void {
    this.#beats.add(to, beat);
  }
  beatReply(to: NodeId, reply: BeatReply): void {
    this.#beatReplies.add(to, reply);
  }
  /** Requests have tokens from 0; a partition's own proposal to expire leases has its number, negated. */
  answer(token: number, response: Response): void {
    if (token >= 0) return this.#options.answer(token, response);
    const slot = this.#slots[-token];
    if (slot === undefined) return;
    slot.expiring = false;
    this.touch(slot);
  }
  readable(token: number, refused: Response | null): void {
    this.#options.readable(token, refused);
  }
  requestCheckpoint(): void {
    this.#checkpointWanted = true;
    if (this.#current !== null) this.#askedForCheckpoint.push(this.#current);
  }
  reachable(node: NodeId): boolean {
    return this.#options.reachable(node);
  }
  fit(node: NodeId): boolean {
    return this.#options.room.fit(node, this.#now);
  }

  /** Partitions of which only term and vote are known, as recovery found them. */
  retire(partition: PartitionId, replica: RecoveredReplica): void {
    this.#retired.set(partition, { term: replica.term, votedFor: replica.votedFor });
  }
}

function emptyReplica(term: RecoveredReplica["term"], votedFor: NodeId | null): RecoveredReplica {
  const zero = 0 as RecoveredReplica["base"]["index"];
  return {
    term,
    votedFor,
    exists: false,
    base: { index: zero, term: 0 as RecoveredReplica["term"] },
    configuration: { voters: [], outgoing: [], learners: [] },
    configurationIndex: zero,
    entries: [],
  };
}

/** About what a record takes in the journal. */
function recordBytes(record: JournalRecord): number {
  if (record.kind === "entries") return entriesBytes(record.entries);
  return record.kind === "view" ? 64 * record.view.members.length + 32 * record.view.assignment.length : 64;
}

function entriesBytes(entries: readonly Entry[]): number {
  let bytes = 32;
  for (const entry of entries) bytes += entry.data.length + 16;
  return bytes;
}
