/**
 * One partition on one node: election, replication and a state machine put together.
 *
 * A call from outside guards, changes state and marks what follows from it; evaluate() then does what is due: it
 * commits, applies and answers, steers, records, sends. It follows every other call, once for all calls of a step.
 *
 * P1. Entries are applied only up to the lesser of what is committed and what the own journal holds durably: the
 *     tables never run ahead of the journal.
 * P2. Votes and acknowledgements leave after the records they rest on are durable; a leader's appends leave at once.
 * P3. A replica whose log is no log (never initialised, or a snapshot was lost with the tables that held it) is hollow:
 *     it asks for a snapshot, acknowledges nothing and does not campaign. Without a configuration it does not vote either:
 *     it may have been dropped, and have acknowledged entries before.
 * P4. A snapshot that was installed counts only when a checkpoint has made the tables durable. Until then nothing is
 *     acknowledged or appended.
 * P5. Each token given to propose() or read() is answered once.
 * P6. A leader is quiet only when every follower in sight has all there is, and was told.
 */
import { type Instant, type LogIndex, NEVER, type NodeId, type PartitionId, type Term } from "../base/ids.ts";
import { fmix32, hashString32 } from "../base/hash.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import { LIMITS, type Settings } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import { type Ballot, Election, type Hearing } from "../election/election.ts";
import { quorumValue } from "../replication/quorum.ts";
import type { Progress } from "../replication/progress.ts";
import { Replication } from "../replication/replication.ts";
import {
  decodeConfiguration,
  describeConfiguration,
  isMember,
  isVoter,
  NO_CONFIGURATION,
} from "../wire/configuration.ts";
import type { JournalRecord, RecoveredReplica } from "../wire/kernel.ts";
import type {
  Append,
  AppendReply,
  Beat,
  BeatReply,
  Configuration,
  Message,
  SnapshotChunk,
  SnapshotReply,
  TimeoutNow,
  Vote,
  VoteReply,
} from "../wire/messages.ts";
import type { ReplicaStatus, Response } from "../wire/requests.ts";
import type { ReplicaHost, StateMachine } from "./contracts.ts";
import { Installation, isSnapshotChunk } from "./installation.ts";
import { Proposals } from "./proposals.ts";
import { Steering } from "./steering.ts";

export interface ReplicaOptions {
  readonly partition: PartitionId;
  readonly self: NodeId;
  readonly settings: Settings;
  readonly random: Random;
  readonly machine: StateMachine;
  readonly host: ReplicaHost;
  /** What the journal says of this replica, if it says anything. */
  readonly recovered: RecoveredReplica | null;
  /** A founding replica begins with this configuration and an empty log. Excludes `recovered`. */
  readonly bootstrap: Configuration | null;
}

export type ReplicaMessage =
  | Vote
  | VoteReply
  | Append
  | AppendReply
  | TimeoutNow
  | SnapshotChunk
  | SnapshotReply;

/** Entries handed to the state machine at once. */
const APPLY_ENTRIES_MAX = 1024;
const ZERO = { index: 0 as LogIndex, term: 0 as Term } as const;

interface Transfer {
  readonly to: NodeId;
  readonly until: Instant;
  /** TimeoutNow has left since the last heartbeat. */
  told: boolean;
}

export class Replica {
  readonly partition: PartitionId;
  readonly #self: NodeId;
  readonly #settings: Settings;
  readonly #machine: StateMachine;
  readonly #host: ReplicaHost;
  readonly #election: Election;
  readonly #replication: Replication;
  readonly #steering: Steering;
  readonly #installation: Installation;
  readonly #bootstrap: Configuration | null;

  #hollow: boolean;
  /** The log in the journal ends before the tables: it begins anew at start(). */
  #logLags = false;
  #leading = false;
  #stopping = false;

  readonly #proposals = new Proposals();
  /** Proposals that came while leadership is being handed over: for the next leader, or for this one if it fails. */
  #held: { readonly data: Uint8Array; readonly token: number }[] = [];
  #transfer: Transfer | null = null;
  /** A follower was told to take over in this term: leases are off, for it may do so at any later time. */
  #leaseBroken = false;

  #activeAt = 0 as Instant;
  #beatenAt = 0 as Instant;
  /** Beats should leave in this step. */
  #wantsBeat = false;
  /** The round of the first quiet beat; 0: the leader is not going quiet. */
  #hushRound = 0;
  #leaderQuiet = false;

  #seenCommit = 0 as LogIndex;
  #seenConfiguration: Configuration | null = null;
  #notedConfigurationIndex: LogIndex;
  #notedQuiet = false;
  #fingerprint: number;
  #leaderSeen: NodeId | null = null;
  #leaderHash = 0;

  constructor(options: ReplicaOptions) {
    const { partition, self, settings, machine, host, recovered, bootstrap } = options;
    if (recovered !== null && bootstrap !== null) {
      throw new TypeError("A replica is either recovered or bootstrapped, not both: leave one null");
    }
    this.partition = partition;
    this.#self = self;
    this.#settings = settings;
    this.#machine = machine;
    this.#host = host;
    this.#bootstrap = bootstrap;
    const past = startingPoint(recovered, bootstrap, machine);
    this.#hollow = past.hollow;
    this.#logLags = past.logLags;
    const effects = host.effects;
    const reachable = (node: NodeId) => host.reachable(node);
    this.#replication = new Replication({
      partition,
      self,
      settings,
      effects,
      base: past.base,
      configuration: past.configuration,
      configurationIndex: past.configurationIndex,
      entries: past.entries,
      commit: past.commit,
      openSnapshot: (atLeast) => machine.appliedIndex < atLeast ? null : machine.snapshot(),
      reachable,
    });
    const { log } = this.#replication;
    // The vote record is written before the entries of its term, but nothing rests on that: the log may be newer.
    const ahead = log.lastTerm > (recovered?.term ?? 0);
    this.#election = new Election({
      partition,
      self,
      settings,
      random: options.random,
      effects,
      term: ahead ? log.lastTerm : recovered?.term ?? 0 as Term,
      votedFor: ahead ? null : recovered?.votedFor ?? null,
      restarted: recovered !== null,
    });
    this.#steering = new Steering({ self, settings, replication: this.#replication, reachable });
    this.#installation = new Installation(machine);
    this.#notedConfigurationIndex = this.#replication.configurations.at(past.commit).index;
    this.#fingerprint = hashString32(self, partition);
  }

  // ---- what others may see

  get role(): ReplicaStatus["role"] {
    const { role } = this.#election;
    if (role === "leader") return "leader";
    if (role !== "follower") return "candidate";
    return isVoter(this.configuration, this.#self) ? "follower" : "learner";
  }
  get isLeader(): boolean {
    return this.#leading;
  }
  get term(): Term {
    return this.#election.term;
  }
  get votedFor(): NodeId | null {
    return this.#election.votedFor;
  }
  /** Who leads, as far as this replica knows. */
  get leader(): NodeId | null {
    return this.#election.leader;
  }
  /** When this replica last heard its leader: a stale read is at most so old. */
  get lastContact(): Instant {
    return this.#election.lastContact;
  }
  /** The configuration in force: the newest in the log. */
  get configuration(): Configuration {
    return this.#replication.configurations.effective;
  }
  get configurationIndex(): LogIndex {
    return this.#replication.configurations.effectiveIndex;
  }
  get committedConfiguration(): Configuration {
    return this.#replication.configurations.at(this.#replication.commit).configuration;
  }
  get committedConfigurationIndex(): LogIndex {
    return this.#replication.configurations.at(this.#replication.commit).index;
  }
  get commitIndex(): LogIndex {
    return this.#replication.commit;
  }
  get appliedIndex(): LogIndex {
    return this.#machine.appliedIndex;
  }
  get lastIndex(): LogIndex {
    return this.#replication.log.last;
  }
  get baseIndex(): LogIndex {
    return this.#replication.log.base;
  }
  /** Nothing happens and nothing is expected to. */
  get quiet(): boolean {
    return this.#leading ? this.#leaderQuiet : this.#election.quiet;
  }
  /** The node should call beat() every heartbeat. */
  get wantsBeats(): boolean {
    return this.#leading && !this.#leaderQuiet && this.#replication.followers.length > 0;
  }
  /** This replica has no log worth the name, and waits for a snapshot (P3, P4). */
  get hollow(): boolean {
    return this.#hollow || this.#installation.settling;
  }
  /** Something is under way that a leader should see through: proposals, reads, a transfer, a reconfiguration. */
  get busy(): boolean {
    return this.#leading &&
      (this.#proposals.count > 0 || this.#held.length > 0 || !this.#replication.reads.idle ||
        this.#transfer !== null || !this.#steering.settled);
  }
  /** What the leader knows of its followers. Empty elsewhere. */
  get progress(): readonly Progress[] {
    return this.#replication.followers;
  }

  describe(): string {
    const { log, commit } = this.#replication;
    const marks = (this.quiet ? " quiet" : "") + (this.hollow ? " hollow" : "") +
      (this.#transfer === null ? "" : ` handing over to ${this.#transfer.to}`);
    return `p${this.partition} ${this.role} t${this.term} leader ${
      this.leader ?? "none"
    } log ${log.base}..${log.last}` +
      ` stable ${log.stable} commit ${commit} applied ${this.appliedIndex} ${
        describeConfiguration(this.configuration)
      }${marks}`;
  }

  /** 32 bits that depend on everything this replica went through. */
  fingerprint(): number {
    return this.#fingerprint;
  }

  nextWake(): Instant {
    return this.#leading ? NEVER : this.#election.deadline;
  }

  // ---- life

  /** The first call. A sole voter elects itself at once. */
  start(now: Instant): void {
    const { log, configurations } = this.#replication;
    if (this.#bootstrap !== null || this.#logLags) this.#recordBase(configurations.at(log.base).index);
    this.#logLags = false;
    // The drop was in the journal, and the crash came before the tables were durable without the rows.
    if (!this.#initialised && this.appliedIndex > 0) this.#machine.drop();
    this.#election.start(now);
    this.#followConfiguration();
    const { voters, outgoing } = this.configuration;
    if (voters.length === 1 && voters[0] === this.#self && outgoing.length === 0) {
      this.#election.campaign(this.#ballot(), now);
      this.#settleRole("", now);
    }
  }

  wake(now: Instant): void {
    if (now < this.nextWake()) return;
    this.#election.wake(this.#ballot(), now);
    this.#settleRole("", now);
  }

  /** Hands leadership over, and takes none again. */
  stop(now: Instant): void {
    this.#stopping = true;
    this.#election.electable = false;
    if (this.#leading && this.#transfer === null) this.#handToSuccessor(now);
  }

  /** Removed for good: data and log go, term and vote stay. What is left is a replica that was never initialised. */
  drop(now: Instant): void {
    if (this.#election.role !== "follower") this.#election.resign(now);
    this.#settleRole("dropped", now);
    this.#host.effects.record({ kind: "drop", partition: this.partition });
    this.#machine.drop();
    this.#installation.abandon();
    this.#installation.settle();
    this.#replication.restart(ZERO, NO_CONFIGURATION, ZERO.index);
    this.#hollow = true;
    this.#followConfiguration();
  }

  // ---- messages

  handle(from: NodeId, message: ReplicaMessage, now: Instant): void {
    switch (message.kind) {
      case "vote":
        return this.#handleVote(from, message, now);
      case "vote-reply":
        this.#election.handleVoteReply(from, message, this.#ballot(), now);
        return this.#settleRole("a higher term", now);
      case "append":
        return this.#handleAppend(from, message, now);
      case "append-reply":
        if (!this.#deposed(message.term, now)) this.#replication.handleAppendReply(from, message, now);
        return;
      case "timeout-now":
        this.#election.timeoutNow(from, message.term, this.#ballot(), now);
        return this.#settleRole("", now);
      case "snapshot":
        return this.#handleSnapshot(from, message, now);
      case "snapshot-reply":
        if (!this.#deposed(message.term, now)) this.#replication.handleSnapshotReply(from, message, now);
        return;
      default:
        unreachable(message);
    }
  }

  handleBeat(from: NodeId, beat: Beat, now: Instant): void {
    const hearing = this.#hear(from, "beats", beat.term, now);
    if (hearing === "usurper") return;
    let match = ZERO.index;
    if (hearing === "heard" && !this.hollow) {
      this.#replication.commitTo(beat.commit);
      match = this.#replication.durableMatch(beat.term);
      const { log, commit } = this.#replication;
      if (beat.quiet && log.last === beat.commit && log.stable === log.last && commit === log.last) {
        this.#election.hush();
      }
    }
    this.#host.beatReply(from, { partition: this.partition, term: this.term, round: beat.round, match });
  }

  handleBeatReply(from: NodeId, reply: BeatReply, now: Instant): void {
    if (!this.#deposed(reply.term, now)) this.#replication.handleBeatReply(from, reply, now);
  }

  #handleVote(from: NodeId, vote: Vote, now: Instant): void {
    this.#election.handleVote(from, vote, this.#ballot(), now);
    this.#settleRole("asked for a vote in a higher term", now);
    // Who asks a leader for its vote has lost sight of it, so the leader shows itself. One that was removed does not
    // count: it would keep the partition awake for nothing.
    if (!this.#leading || !isMember(this.configuration, from)) return;
    this.#stir(now);
    this.#wantsBeat = true;
  }

  #handleAppend(from: NodeId, message: Append, now: Instant): void {
    const hearing = this.#hear(from, "append", message.term, now);
    if (hearing === "stale") return this.#refuseAppend(from, message);
    if (hearing === "usurper" || this.#installation.settling) return;
    if (this.#hollow) return this.#replication.askForSnapshot(from, this.term);
    const outcome = this.#replication.accept(from, message);
    if (outcome === "accepted" || outcome === "mismatch") return;
    this.#refuse(from, "append", outcome);
  }

  #handleSnapshot(from: NodeId, chunk: SnapshotChunk, now: Instant): void {
    const hearing = this.#hear(from, "snapshot", chunk.term, now);
    if (hearing === "stale") return this.#answerChunk(from, chunk, 0, false);
    if (hearing === "usurper" || this.#installation.settling) return;
    if (!isSnapshotChunk(chunk)) return this.#refuse(from, "snapshot", "malformed");
    if (!this.#hollow && this.#holds(chunk)) {
      this.#replication.commitTo(chunk.index);
      this.#installation.abandon();
      return this.#answerChunk(from, chunk, chunk.sequence + 1, true);
    }
    // What was lost was acknowledged by its position: an older state may not take its place (P3).
    if (chunk.index < this.#replication.log.base) return this.#replication.askForSnapshot(from, this.term);
    const outcome = this.#installation.take(from, chunk);
    if (outcome.kind === "wanted") this.#answerChunk(from, chunk, outcome.next, false);
    else if (outcome.kind === "complete") this.#installed(chunk);
  }

  /** True where the log already contains what the snapshot does. */
  #holds({ index, indexTerm }: SnapshotChunk): boolean {
    return index <= this.#replication.commit || this.#replication.log.termAt(index) === indexTerm;
  }

  /** The tables have the snapshot's state: the log begins anew, and everything else waits for the checkpoint (P4). */
  #installed({ index, indexTerm, configuration, configurationIndex }: SnapshotChunk): void {
    this.#replication.restart({ index, term: indexTerm }, configuration, configurationIndex);
    this.#recordBase(configurationIndex);
    this.#hollow = false;
    this.#host.requestCheckpoint();
    this.#host.effects.note({ kind: "snapshot-installed", partition: this.partition, index });
    this.#followConfiguration();
  }

  #answerChunk(to: NodeId, chunk: SnapshotChunk, next: number, installed: boolean): void {
    const { effects } = this.#host;
    const { partition, term } = this;
    const { index, transfer } = chunk;
    const reply: SnapshotReply = {
      kind: "snapshot-reply",
      partition,
      term,
      index,
      transfer,
      next,
      installed,
    };
    if (installed) effects.sendDurable(to, reply);
    else effects.send(to, reply);
  }

  /** Tells the leader of an earlier term that its time is over. */
  #refuseAppend(to: NodeId, message: Append): void {
    this.#host.effects.send(to, {
      kind: "append-reply",
      partition: this.partition,
      term: this.term,
      ok: false,
      index: ZERO.index,
      indexTerm: ZERO.term,
      refused: message.prevIndex,
    });
  }

  #hear(from: NodeId, kind: Message["kind"], term: Term, now: Instant): Hearing {
    const hearing = this.#election.hear(from, term, now);
    if (hearing === "usurper") this.#refuse(from, kind, "this term has another leader");
    this.#settleRole("a leader of a higher term", now);
    return hearing;
  }

  /** An answer came: true where its term ends this replica's own. */
  #deposed(term: Term, now: Instant): boolean {
    if (!this.#election.observe(term, now)) return false;
    this.#settleRole("a higher term", now);
    return true;
  }

  #refuse(from: NodeId, message: Message["kind"], why: string): void {
    this.#host.effects.note({ kind: "refused", from, message, why });
  }

  // ---- requests

  /** Appends a command; host.answer(token, …) tells what became of it. */
  propose(data: Uint8Array, token: number, now: Instant): void {
    if (!this.#leading) return this.#host.answer(token, this.#moved());
    if (this.#proposals.full || this.#held.length >= LIMITS.proposalsPendingMax) {
      return this.#host.answer(token, this.#busy());
    }
    this.#stir(now);
    if (this.#transfer !== null) this.#held.push({ data, token });
    else this.#append(data, token);
  }

  /** Asks to read; host.readable(token, …) follows when the applied state is as new as this call. */
  read(token: number, now: Instant): void {
    if (!this.#leading) return this.#host.readable(token, this.#moved());
    const { reads, established, leaseUntil, commit } = this.#replication;
    if (this.#settings.leaseReads && established && !this.#leaseBroken && now < leaseUntil) {
      reads.addConfirmed(token, commit);
    } else reads.add(token);
    this.#stir(now);
  }

  #append(data: Uint8Array, token: number): void {
    this.#proposals.add(this.#replication.append("command", data), token, data.length);
  }

  #moved(leader: NodeId | null = this.leader): Response {
    const message = leader === null
      ? `Partition ${this.partition} has no known leader: try again shortly`
      : `Partition ${this.partition} is led by ${leader}: ask there`;
    const refused = { kind: "refused", reason: "moved", message } as const;
    return leader === null || leader === this.#self ? refused : { ...refused, leader };
  }

  #busy(): Response {
    const message =
      `Partition ${this.partition} has ${this.#proposals.count} writes waiting: try again shortly`;
    return { kind: "refused", reason: "busy", message };
  }

  // ---- the world around

  /** Journal records up to this number are durable. */
  persisted(upTo: number, _now: Instant): void {
    this.#replication.log.persisted(upTo);
  }

  /** A checkpoint that began after this replica asked for one is complete (P4). */
  checkpointed(_now: Instant): void {
    const settled = this.#installation.settle();
    if (settled === null) return;
    this.#followConfiguration();
    const { from, chunk } = settled;
    if (this.leader === from && this.term === chunk.term) {
      this.#answerChunk(from, chunk, chunk.sequence + 1, true);
    }
  }

  /** This replica's part of a journal checkpoint, taken at the end of a step. */
  checkpointRecords(): JournalRecord[] {
    const { partition, term, votedFor } = this;
    invariant(!this.#election.unrecorded, "A checkpoint is taken after the step's records");
    const records: JournalRecord[] = this.#initialised
      ? this.#replication.checkpointRecords(this.#machine.appliedIndex)
      : [];
    if (term > 0) records.push({ kind: "vote", partition, term, votedFor });
    return records;
  }

  /** Membership suspects `node`, or holds it for dead. */
  leaderSuspected(node: NodeId, now: Instant): void {
    if (this.leader === node) this.#election.suspect(node, now);
  }

  /** The connection to `node` broke. What was under way to it may be lost; if it led, its process may have ended. */
  peerLost(node: NodeId, now: Instant): void {
    if (this.leader === node) this.#election.lost(node, now);
    const follower = this.#replication.progressOf(node);
    if (follower?.state === "replicate" && follower.inFlight > 0) {
      follower.becomeProbe(follower.match + 1 as LogIndex);
    }
  }

  /** Membership sees `node` again. It may be behind, and if it lost a snapshot it may not even know. */
  memberAlive(node: NodeId, now: Instant): void {
    if (this.#replication.progressOf(node) !== null) this.#stir(now);
  }

  /** Placement's wish: these replicas, the preferred leader first. */
  setTarget(replicas: readonly NodeId[], now: Instant): void {
    this.#steering.aim(replicas);
    if (this.#leading && (!this.#steering.settled || this.#steering.wantsPreferred)) this.#stir(now);
  }

  /** Hands leadership to `to`, a voter, as soon as it has the whole log (dissertation 3.10). */
  transfer(to: NodeId, now: Instant): void {
    if (!this.#leading || this.#transfer !== null || to === this.#self) return;
    if (!this.configuration.voters.includes(to)) return;
    this.#transfer = { to, until: (now + this.#settings.electionTimeoutUsMax) as Instant, told: false };
    this.#host.effects.note({ kind: "transfer", partition: this.partition, to });
    this.#stir(now);
  }

  // ---- heartbeats

  /** Called every heartbeat while `wantsBeats`. All timers of a leader hang on it. */
  beat(now: Instant): void {
    if (!this.wantsBeats) return;
    if (this.#lostQuorum(now)) {
      this.#election.resign(now);
      return this.#settleRole("no quorum answers", now);
    }
    this.#tendTransfer(now);
    this.#replication.tend(now);
    if (this.#goesQuiet(now)) return;
    this.#wantsBeat = true;
  }

  /** Check-quorum (dissertation 6.2). A node that slept itself first hears what has arrived meanwhile. */
  #lostQuorum(now: Instant): boolean {
    const slept = now - this.#beatenAt > 4 * this.#settings.heartbeatUs;
    this.#beatenAt = now;
    return !slept && this.#replication.quorumHeardAt(now) + this.#settings.electionTimeoutUsMax <= now;
  }

  #tendTransfer(now: Instant): void {
    if (this.#transfer !== null) {
      this.#transfer.told = false;
      if (now < this.#transfer.until) return;
      this.#transfer = null;
    }
    if (this.#stopping) return this.#handToSuccessor(now);
    if (!this.#steering.settled || !this.#replication.established) return;
    const preferred = this.#steering.preferred(now);
    if (preferred !== null) this.transfer(preferred, now);
  }

  #handToSuccessor(now: Instant): void {
    const to = this.#steering.successor();
    if (to !== null) this.transfer(to, now);
  }

  /** P6. True once the followers in sight and a quorum know that no more beats will come. */
  #goesQuiet(now: Instant): boolean {
    const { followers, configurations, round } = this.#replication;
    if (now - this.#activeAt < this.#settings.quietAfterUs || !this.#restful()) {
      this.#hushRound = 0;
      return false;
    }
    if (this.#hushRound === 0) this.#hushRound = round + 1;
    const first = this.#hushRound;
    for (const follower of followers) {
      if (follower.round < first && this.#host.reachable(follower.node)) return false;
    }
    const told = quorumValue(
      configurations.effective,
      (node) => node === this.#self ? first : this.#replication.progressOf(node)!.round,
    );
    if (told < first) return false;
    this.#leaderQuiet = true;
    return true;
  }

  #restful(): boolean {
    const { followers, log, commit } = this.#replication;
    if (this.busy || this.#stopping || this.#steering.wantsPreferred) return false;
    if (commit !== log.last || this.appliedIndex !== log.last) return false;
    for (const follower of followers) {
      const level = follower.match === log.last && follower.state === "replicate";
      if (!level && this.#host.reachable(follower.node)) return false;
    }
    return true;
  }

  /** Something is to be done: a leader does not go quiet for a while, and begins again if it was. */
  #stir(now: Instant): void {
    this.#activeAt = now;
    this.#hushRound = 0;
    if (!this.#leaderQuiet || this.#replication.followers.length === 0) return;
    this.#leaderQuiet = false;
    this.#beatenAt = now;
    this.#replication.listenFrom(now);
    this.#wantsBeat = true;
  }

  // ---- roles

  get #initialised(): boolean {
    return this.configuration.voters.length > 0;
  }

  #ballot(): Ballot {
    const { log, configurations } = this.#replication;
    return {
      configuration: configurations.effective,
      lastIndex: log.last,
      lastTerm: log.lastTerm,
      mayVote: this.#initialised,
    };
  }

  #followConfiguration(): void {
    const { effective } = this.#replication.configurations;
    this.#seenConfiguration = effective;
    this.#election.electable = !this.hollow && !this.#stopping && isVoter(effective, this.#self);
  }

  /** Takes notice of an office won or lost in the election. */
  #settleRole(why: string, now: Instant): void {
    const leads = this.#election.role === "leader";
    if (leads === this.#leading) return;
    this.#leading = leads;
    this.#leaderQuiet = false;
    this.#hushRound = 0;
    if (!leads) return this.#stepDown(why);
    this.#replication.lead(this.term, now);
    this.#steering.begin();
    this.#leaseBroken = false;
    this.#activeAt = now;
    this.#beatenAt = now;
    this.#wantsBeat = true;
    this.#host.effects.note({ kind: "leader", partition: this.partition, term: this.term });
  }

  #stepDown(why: string): void {
    const { effects } = this.#host;
    effects.note({ kind: "stepped-down", partition: this.partition, term: this.term, why });
    const heir = this.leader ?? (this.#leaseBroken ? this.#transfer?.to ?? null : null);
    this.#transfer = null;
    this.#wantsBeat = false;
    const reads = this.#replication.reads.takeAll();
    const held = this.#held;
    this.#held = [];
    this.#replication.follow();
    const unsure: Response = {
      kind: "refused",
      reason: "unsure",
      message:
        `The leader of partition ${this.partition} changed before the write was decided: read, or retry it with its session`,
    };
    for (const token of this.#proposals.takeAll()) this.#host.answer(token, unsure);
    for (const { token } of held) this.#host.answer(token, this.#moved(heir));
    for (const token of reads) this.#host.readable(token, this.#moved(heir));
  }

  // ---- evaluate

  /** Does what is due. Called once, after everything else in a step. */
  evaluate(now: Instant): void {
    this.#replication.advanceCommit();
    if (this.#leading && this.commitIndex !== this.#seenCommit) this.#committed(now);
    this.#seenCommit = this.commitIndex;
    this.#apply(now);
    if (this.#leading) this.#lead(now);
    if (this.configuration !== this.#seenConfiguration) this.#followConfiguration();
    this.#noteConfiguration();
    this.#record();
    if (this.#leading) this.#serve(now);
    else if (!this.hollow) this.#replication.acknowledge(this.leader, this.term);
    if (!this.hollow && this.#replication.compact(this.appliedIndex)) {
      this.#host.effects.note({ kind: "compacted", partition: this.partition, base: this.baseIndex });
    }
    this.#noteQuiet();
    this.#mix();
  }

  /** A leader that a committed configuration leaves out has done its last duty (section 6). */
  #committed(now: Instant): void {
    const { configurationCommitted, log } = this.#replication;
    if (!configurationCommitted || isVoter(this.configuration, this.#self)) return;
    const to = this.#steering.successor();
    if (to !== null && this.#replication.progressOf(to)!.match === log.last) this.#tellToTakeOver(to);
    this.#election.resign(now);
    this.#settleRole("left the configuration", now);
  }

  /** P1. */
  #apply(now: Instant): void {
    if (this.hollow) return;
    const { log, commit } = this.#replication;
    const before = this.#machine.appliedIndex;
    const upTo = Math.min(commit, log.stable) as LogIndex;
    for (let from = before + 1; from <= upTo; from += APPLY_ENTRIES_MAX) {
      const to = Math.min(upTo, from + APPLY_ENTRIES_MAX - 1) as LogIndex;
      this.#machine.apply(log.slice(from as LogIndex, to), now, this.#answer);
    }
    if (upTo <= before) return;
    invariant(
      this.appliedIndex === upTo,
      () => `The state machine applied to ${this.appliedIndex}, not ${upTo}`,
    );
    this.#host.effects.note({ kind: "applied", partition: this.partition, index: upTo });
  }

  readonly #answer = (index: LogIndex, response: Response): void => {
    const token = this.#proposals.take(index);
    if (token !== null) this.#host.answer(token, response);
  };

  /** Moves a transfer or a reconfiguration on, and lets held proposals in when a transfer has failed. */
  #lead(now: Instant): void {
    if (
      this.#transfer === null && this.#replication.established && this.#replication.configurationCommitted
    ) {
      const step = this.#steering.step();
      if (step?.kind === "hand-over") this.transfer(step.to, now);
      else if (step?.kind === "reconfigure") {
        this.#replication.reconfigure(step.configuration, now);
        this.#stir(now);
      }
    }
    if (this.#transfer === null) {
      if (this.#held.length === 0) return;
      const held = this.#held;
      this.#held = [];
      for (const { data, token } of held) this.#append(data, token);
      return;
    }
    const follower = this.#replication.progressOf(this.#transfer.to);
    if (follower === null) this.#transfer = null;
    else if (!this.#transfer.told && follower.match === this.lastIndex) {
      this.#transfer.told = true;
      this.#tellToTakeOver(follower.node);
    }
  }

  #tellToTakeOver(to: NodeId): void {
    this.#leaseBroken = true;
    this.#host.effects.send(to, { kind: "timeout-now", partition: this.partition, term: this.term });
  }

  /** Sends to followers, and settles reads. */
  #serve(now: Instant): void {
    const replication = this.#replication;
    replication.feed(now);
    const alone = replication.followers.length === 0;
    if (alone) this.#leaderQuiet = true;
    const { reads, established } = replication;
    if (this.#wantsBeat || (established && (reads.wantsRound || (alone && !reads.idle)))) {
      this.#wantsBeat = false;
      // A round before the own term has committed confirms who leads, but not how far the log was committed.
      replication.beat(this.#hushRound > 0, now, this.#sendBeat);
    }
    reads.release(this.appliedIndex, this.#readable);
  }

  readonly #sendBeat = (to: NodeId, beat: Beat): void => this.#host.beat(to, beat);
  readonly #readable = (token: number): void => this.#host.readable(token, null);

  #record(): void {
    const { effects } = this.#host;
    if (this.#election.unrecorded) {
      this.#election.unrecorded = false;
      effects.record({ kind: "vote", partition: this.partition, term: this.term, votedFor: this.votedFor });
    }
    this.#replication.log.record(this.partition, effects);
  }

  #recordBase(configurationIndex: LogIndex): void {
    const { log, configurations } = this.#replication;
    this.#host.effects.record({
      kind: "base",
      partition: this.partition,
      index: log.base,
      term: log.baseTerm,
      configuration: configurations.at(log.base).configuration,
      configurationIndex,
    });
  }

  #noteConfiguration(): void {
    const { index, configuration } = this.#replication.configurations.at(this.commitIndex);
    if (index === this.#notedConfigurationIndex) return;
    this.#notedConfigurationIndex = index;
    this.#host.effects.note({ kind: "configuration", partition: this.partition, index, configuration });
  }

  #noteQuiet(): void {
    if (this.quiet === this.#notedQuiet) return;
    this.#notedQuiet = this.quiet;
    this.#host.effects.note({ kind: "quiet", partition: this.partition, quiet: this.quiet });
  }

  #mix(): void {
    const { log, commit, round } = this.#replication;
    if (this.leader !== this.#leaderSeen) {
      this.#leaderSeen = this.leader;
      this.#leaderHash = this.leader === null ? 0 : hashString32(this.leader);
    }
    let h = fmix32(this.#fingerprint ^ this.term ^ this.#leaderHash);
    h = fmix32(h ^ log.last ^ Math.imul(log.lastTerm, 0x85ebca6b));
    h = fmix32(h ^ log.stable ^ Math.imul(commit, 0xc2b2ae35));
    h = fmix32(h ^ this.appliedIndex ^ Math.imul(round, 0x9e3779b1));
    this.#fingerprint = fmix32(
      h ^ log.base ^ (this.quiet ? 1 : 0) ^ (this.#leading ? 2 : 0) ^ (this.hollow ? 4 : 0),
    );
  }
}

interface StartingPoint
  extends Pick<RecoveredReplica, "base" | "configuration" | "configurationIndex" | "entries"> {
  readonly commit: LogIndex;
  readonly hollow: boolean;
  readonly logLags: boolean;
}

/** Where a replica goes on, given what its journal and its tables say. */
function startingPoint(
  recovered: RecoveredReplica | null,
  bootstrap: Configuration | null,
  machine: StateMachine,
): StartingPoint {
  const { appliedIndex, appliedTerm } = machine;
  if (recovered === null || !recovered.exists) {
    const configuration = bootstrap ?? NO_CONFIGURATION;
    const hollow = bootstrap === null;
    return {
      base: ZERO,
      configuration,
      configurationIndex: ZERO.index,
      entries: [],
      commit: ZERO.index,
      hollow,
      logLags: false,
    };
  }
  const { base, configuration, configurationIndex, entries } = recovered;
  if (base.index > appliedIndex) {
    // A snapshot was installed, and the crash came before the checkpoint that would have kept it (P3).
    invariant(
      entries.length === 0,
      "Nothing is appended after a snapshot before its tables are durable (P4)",
    );
    return {
      base,
      configuration,
      configurationIndex,
      entries,
      commit: base.index,
      hollow: true,
      logLags: false,
    };
  }
  const last = base.index + entries.length;
  if (appliedIndex <= last) {
    return {
      base,
      configuration,
      configurationIndex,
      entries,
      commit: appliedIndex,
      hollow: false,
      logLags: false,
    };
  }
  return {
    base: { index: appliedIndex, term: appliedTerm },
    ...newestConfiguration(recovered),
    entries: [],
    commit: appliedIndex,
    hollow: false,
    logLags: true,
  };
}

function newestConfiguration(
  { configuration, configurationIndex, entries }: RecoveredReplica,
): Pick<RecoveredReplica, "configuration" | "configurationIndex"> {
  for (let i = entries.length - 1; i >= 0; i--) {
    const { kind, index, data } = entries[i]!;
    const newer = kind === "config" && index > configurationIndex ? decodeConfiguration(data) : null;
    if (newer !== null) return { configuration: newer, configurationIndex: index };
  }
  return { configuration, configurationIndex };
}
