/**
 * One partition on one node: election, replication and a state machine put together.
 *
 * A call from outside guards, changes state and marks what follows from it; evaluate() then does what is due: it
 * commits, applies and answers, steers, records, sends. It follows every other call, once for all calls of a step.
 *
 * P1. Entries are applied only up to the lesser of what is committed and what the own journal holds durably: the
 *     tables never run ahead of the journal.
 * P2. Votes and acknowledgements leave after the records they rest on are durable; a leader's appends leave at once.
 * P3. A replica whose state does not reach the base of its log is hollow: it asks for a snapshot, appends and acknowledges
 *     nothing and does not campaign, but votes, and takes nothing back that it acknowledged (recovery.ts says why). Without
 *     a configuration it does not vote either: it may have been dropped, and have acknowledged entries before.
 * P4. A snapshot that was installed counts only when a checkpoint has made the tables durable. Until then nothing is
 *     acknowledged or appended.
 * P5. Each token given to propose() or read() is answered once.
 * P6. A replica without a configuration that its leader counts as a voter has that voter's name and not its journal. It
 *     is sent no snapshot and takes none, and confirms no round of beats, until it comes in as a learner (recovery.ts).
 */
import { type Instant, type LogIndex, NEVER, type NodeId, type PartitionId, type Term } from "../base/ids.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import type { Settings } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import { DEFAULT_TUNING, type Tuning } from "../base/tuning.ts";
import { type Ballot, Election, type Hearing } from "../election/election.ts";
import { Following } from "../replication/following.ts";
import { Leading } from "../replication/leading.ts";
import { Ledger } from "../replication/ledger.ts";
import type { Progress } from "../replication/progress.ts";
import { isMember, isVoter, NO_CONFIGURATION } from "../wire/configuration.ts";
import type { JournalRecord, RecoveredReplica } from "../wire/kernel.ts";
import type {
  Append,
  Beat,
  BeatReply,
  Configuration,
  Message,
  SnapshotChunk,
  Vote,
} from "../wire/messages.ts";
import type { ReplicaStatus } from "../wire/requests.ts";
import type { ReplicaHost, ReplicaMessage, StateMachine } from "./contracts.ts";
import { describeReplica } from "./describe.ts";
import { Freshness } from "./freshness.ts";
import { History } from "./history.ts";
import { Installation } from "./installation.ts";
import { Leadership } from "./leadership.ts";
import { Outcomes } from "./outcomes.ts";
import { NOWHERE, startingPoint } from "./recovery.ts";
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
  /** The node ran before, even where nothing is recovered (E6 in election.ts). */
  readonly restarted?: boolean | undefined;
  readonly tuning?: Tuning | undefined;
}

/** Entries handed to the state machine at once. */
const APPLY_ENTRIES_MAX = 1024;
export class Replica {
  readonly partition: PartitionId;
  readonly #self: NodeId;
  readonly #machine: StateMachine;
  readonly #host: ReplicaHost;
  readonly #election: Election;
  readonly #ledger: Ledger;
  readonly #following: Following;
  readonly #leading: Leading;
  readonly #steering: Steering;
  readonly #leadership: Leadership;
  readonly #outcomes: Outcomes;
  readonly #installation: Installation;

  /** start() begins the journal's log, with the base as it is. */
  #beginsLog: boolean;
  #stopping = false;

  // What evaluate() saw last.
  #commitSeen: LogIndex;
  #configurationSeen: Configuration | null = null;
  #configurationNoted: LogIndex;
  #quietNoted = false;
  readonly #freshness = new Freshness();
  readonly #history: History;

  constructor(options: ReplicaOptions) {
    const { partition, self, settings, machine, host, recovered, bootstrap } = options;
    if (recovered !== null && bootstrap !== null) {
      throw new TypeError("A replica is either recovered or bootstrapped, not both: leave one null");
    }
    this.partition = partition;
    this.#self = self;
    this.#machine = machine;
    this.#host = host;
    const { effects } = host;
    const reachable = (node: NodeId) => host.reachable(node);
    const past = startingPoint(recovered, bootstrap, machine, partition);
    this.#beginsLog = bootstrap !== null;
    const tuning = options.tuning ?? DEFAULT_TUNING;
    const ledger = new Ledger({ partition, effects, tuning, ...past });
    const openSnapshot = (atLeast: LogIndex) => machine.appliedIndex < atLeast ? null : machine.snapshot();
    const leading = new Leading({ self, settings, ledger, openSnapshot, reachable });
    const steering = new Steering({ self, settings, ledger, leading, host });
    this.#ledger = ledger;
    this.#following = new Following(ledger);
    this.#leading = leading;
    this.#steering = steering;
    const lead = { partition, self, settings, host, machine, ledger, leading, steering };
    this.#leadership = new Leadership(lead);
    this.#outcomes = new Outcomes({ partition, self, host, reads: leading.reads, tuning });
    this.#installation = new Installation({
      partition,
      self,
      host,
      machine,
      ledger,
      following: this.#following,
      hollow: past.hollow,
    });
    const { term, votedFor } = past, restarted = recovered !== null || options.restarted === true;
    this.#election = new Election({ ...options, effects, term, votedFor, restarted });
    this.#commitSeen = past.commit;
    this.#configurationNoted = ledger.configurations.at(past.commit).index;
    this.#history = new History(self, partition);
  }

  // ---- what others may see

  get role(): ReplicaStatus["role"] {
    const { role } = this.#election;
    if (role === "leader") return "leader";
    if (role !== "follower") return "candidate";
    return isVoter(this.configuration, this.#self) ? "follower" : "learner";
  }
  get isLeader(): boolean {
    return this.#leadership.held;
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
  /** How old what is applied here may be, as far as this replica can know, or AGE_UNKNOWN_US. */
  ageUs(now: Instant): number {
    if (this.isLeader && this.#leading.established) return 0;
    return this.#freshness.ageUs(this.appliedIndex, now);
  }
  /** The configuration in force: the newest in the log. */
  get configuration(): Configuration {
    return this.#ledger.configurations.effective;
  }
  get configurationIndex(): LogIndex {
    return this.#ledger.configurations.effectiveIndex;
  }
  get committedConfiguration(): Configuration {
    return this.#ledger.configurations.at(this.#ledger.commit).configuration;
  }
  get committedConfigurationIndex(): LogIndex {
    return this.#ledger.configurations.at(this.#ledger.commit).index;
  }
  get commitIndex(): LogIndex {
    return this.#ledger.commit;
  }
  get appliedIndex(): LogIndex {
    return this.#machine.appliedIndex;
  }
  get lastIndex(): LogIndex {
    return this.#ledger.log.last;
  }
  get baseIndex(): LogIndex {
    return this.#ledger.log.base;
  }
  /** Nothing happens and nothing is expected to. */
  get quiet(): boolean {
    return this.#leadership.held ? this.#leadership.quiet : this.#election.quiet;
  }
  /** The node should call beat() every heartbeat. */
  get wantsBeats(): boolean {
    return this.#leadership.wantsBeats;
  }
  /** This replica has no log worth the name, and waits for a snapshot (P3, P4). */
  get hollow(): boolean {
    return this.#installation.missing || this.#installation.settling;
  }
  /** Who takes over from this leader, or could do so at once. */
  get heir(): NodeId | null {
    return this.#leadership.transfer ?? this.#steering.successor();
  }
  /** What the leader knows of its followers. Empty elsewhere. */
  get progress(): readonly Progress[] {
    return this.#leading.followers;
  }

  describe(): string {
    return describeReplica(this, this.#ledger, this.#leadership.transfer);
  }

  /** 32 bits that depend on everything this replica went through. */
  fingerprint(): number {
    return this.#history.fingerprint;
  }

  nextWake(): Instant {
    return this.#leadership.held ? NEVER : this.#election.deadline;
  }

  // ---- life

  /** The first call. A sole voter elects itself at once. */
  start(now: Instant): void {
    if (this.#beginsLog) this.#host.effects.record(this.#ledger.baseRecord());
    this.#beginsLog = false;
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
    this.#leadership.stop(now);
  }

  /** This node is short of disk space, or has enough again. */
  yield(low: boolean, now: Instant): void {
    this.#leadership.yield(low, now);
  }

  /** `node` is short of disk space and takes no leadership over, or has enough again. */
  peerShort(node: NodeId, low: boolean, now: Instant): void {
    if (this.#leading.progressOf(node) === null) return;
    if (low) this.#leadership.declined(node);
    else this.#steering.returned(node);
    this.#leadership.stir(now);
  }

  /** Removed for good: data and log go, term and vote stay. What is left is a replica that was never initialised. */
  drop(now: Instant): void {
    if (this.#election.role !== "follower") this.#election.resign(now);
    this.#settleRole("dropped", now);
    this.#host.effects.record({ kind: "drop", partition: this.partition });
    this.#machine.drop();
    this.#installation.reset();
    this.#ledger.restart(NOWHERE, NO_CONFIGURATION, NOWHERE.index);
    this.#following.restart();
    this.#followConfiguration();
    this.#record(); // What was promised earlier in this step: evaluate() may not come any more.
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
        if (!this.#deposed(message.term, now)) this.#leading.handleAppendReply(from, message, now);
        return;
      case "timeout-now":
        this.#election.timeoutNow(from, message.term, this.#ballot(), now);
        return this.#settleRole("", now);
      case "snapshot":
        return this.#handleSnapshot(from, message, now);
      case "snapshot-reply":
        if (!this.#deposed(message.term, now)) this.#leading.handleSnapshotReply(from, message, now);
        return;
      default:
        unreachable(message);
    }
  }

  handleBeat(from: NodeId, beat: Beat, now: Instant): void {
    const hearing = this.#hear(from, "beats", beat.term, now);
    if (hearing === "usurper") return;
    let match = NOWHERE.index;
    if (hearing === "heard" && !this.hollow) {
      this.#ledger.commitTo(beat.commit);
      match = this.#following.durableMatch(beat.term);
      const { log, commit } = this.#ledger;
      // Quiet is trust in membership to tell when the leader is lost, so only where membership watches it and sees it.
      const level = log.last === beat.commit && log.stable === log.last && commit === log.last;
      if (beat.quiet && level && this.#host.reachable(from)) this.#election.hush();
    }
    const round = this.#initialised ? beat.round : 0; // P6: a blank replica vouches for no leader.
    this.#host.beatReply(from, { partition: this.partition, term: this.term, round, match });
  }

  handleBeatReply(from: NodeId, reply: BeatReply, now: Instant): void {
    if (!this.#deposed(reply.term, now)) this.#leading.handleBeatReply(from, reply, now);
  }

  #handleVote(from: NodeId, vote: Vote, now: Instant): void {
    this.#election.handleVote(from, vote, this.#ballot(), now);
    this.#settleRole("asked for a vote in a higher term", now);
    // Who asks a leader for its vote has lost sight of it, so the leader shows itself. One that was removed does not
    // count: it would keep the partition awake for nothing.
    if (this.#leadership.held && isMember(this.configuration, from)) this.#leadership.show(now);
  }

  #handleAppend(from: NodeId, message: Append, now: Instant): void {
    const hearing = this.#hear(from, "append", message.term, now);
    if (hearing === "stale") return this.#refuseAppend(from, message);
    if (hearing === "usurper" || this.#installation.settling) return;
    if (this.#installation.missing) return this.#following.askForSnapshot(from, this.term);
    const outcome = this.#following.accept(from, message), { commit, term } = message;
    if (this.#ledger.log.termAt(commit) === term) this.#freshness.heard(commit, this.appliedIndex, now);
    if (outcome === "accepted" || outcome === "mismatch") return;
    this.#refuse(from, "append", outcome);
  }

  #handleSnapshot(from: NodeId, chunk: SnapshotChunk, now: Instant): void {
    const hearing = this.#hear(from, "snapshot", chunk.term, now);
    if (hearing === "usurper") return;
    if (hearing === "stale") return this.#installation.answer({ from, chunk }, this.term, 0, false);
    const wrong = this.#installation.take(from, chunk);
    if (wrong !== null) this.#refuse(from, "snapshot", wrong);
    this.#followConfiguration();
  }

  /** Tells the leader of an earlier term that its time is over. */
  #refuseAppend(to: NodeId, message: Append): void {
    this.#host.effects.send(to, {
      kind: "append-reply",
      partition: this.partition,
      term: this.term,
      ok: false,
      index: NOWHERE.index,
      indexTerm: NOWHERE.term,
      // 0 would ask for a snapshot, and this answer may come late, when the sender leads the very term it tells.
      refused: Math.max(1, message.prevIndex) as LogIndex,
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
    if (!this.isLeader) return this.#host.answer(token, this.#outcomes.moved(this.leader));
    if (!this.#outcomes.admit(token)) return;
    this.#leadership.stir(now);
    if (this.#leadership.transfer !== null) this.#outcomes.hold(data, token);
    else this.#append(data, token);
  }

  /** Asks to read; host.readable(token, …) follows when the applied state is as new as this call. */
  read(token: number, now: Instant): void {
    if (!this.isLeader) return this.#host.readable(token, this.#outcomes.moved(this.leader));
    if (this.#leadership.hasLease(now)) this.#leading.reads.addConfirmed(token, this.commitIndex);
    else this.#leading.reads.add(token);
  }

  #append(data: Uint8Array, token: number): void {
    this.#outcomes.appended(this.#leading.append("command", data), token, data.length);
  }

  // ---- the world around

  /** Journal records up to this number are durable. */
  persisted(upTo: number, now: Instant): void {
    this.#ledger.log.persisted(upTo);
    if (upTo < this.#election.awaited) return;
    this.#election.persisted(this.#ballot(), now);
    this.#settleRole("", now);
  }

  /** A checkpoint that began after this replica asked for one is complete (P4). */
  checkpointed(_now: Instant): void {
    this.#installation.settle(this.leader, this.term);
    this.#followConfiguration();
  }

  /** This replica's part of a journal checkpoint, taken at the end of a step. */
  checkpointRecords(): JournalRecord[] {
    const { partition, term, votedFor } = this;
    invariant(!this.#election.unrecorded, "A checkpoint is taken after the step's records");
    const records: JournalRecord[] = this.#initialised
      ? this.#ledger.checkpointRecords(this.#machine.appliedIndex)
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
    const follower = this.#leading.progressOf(node);
    if (follower?.state === "replicate" && follower.inFlight > 0) {
      follower.becomeProbe(follower.match + 1 as LogIndex);
    }
  }

  /** Membership sees `node` again. It may be behind, and if it lost a snapshot it may not even know. */
  memberAlive(node: NodeId, now: Instant): void {
    if (this.#leading.progressOf(node) === null) return;
    this.#steering.returned(node);
    this.#leadership.stir(now);
  }

  /** Placement's wish: these replicas, the preferred leader first. */
  setTarget(replicas: readonly NodeId[], now: Instant): void {
    this.#steering.aim(replicas);
    if (this.isLeader && (!this.#steering.settled || this.#steering.wantsPreferred)) {
      this.#leadership.stir(now);
    }
  }

  /** Hands leadership to `to`, a voter, as soon as it has the whole log (dissertation 3.10). */
  transfer(to: NodeId, now: Instant): void {
    this.#leadership.handTo(to, now);
  }

  beat(now: Instant): void {
    if (this.#leadership.beat(now)) return;
    this.#election.resign(now);
    this.#settleRole("no quorum answers", now);
  }

  // ---- roles

  get #initialised(): boolean {
    return this.configuration.voters.length > 0;
  }

  #ballot(): Ballot {
    const { log, configurations } = this.#ledger;
    return {
      configuration: configurations.effective,
      lastIndex: log.last,
      lastTerm: log.lastTerm,
      mayVote: this.#initialised,
    };
  }

  /**
   * Who may campaign: a voter, and one that a configuration leaves out which is not known to be committed. The entry may be
   * nowhere else, and then no one with a shorter log can be elected without this replica (dissertation 4.2.2).
   */
  #followConfiguration(): void {
    const { effective } = this.#ledger.configurations;
    this.#configurationSeen = effective;
    const votes = isVoter(effective, this.#self) || isVoter(this.committedConfiguration, this.#self);
    this.#election.electable = votes && !this.hollow && !this.#stopping;
    this.#election.seeking = this.#installation.missing && this.#initialised;
  }

  /** Takes notice of an office won or lost in the election. */
  #settleRole(why: string, now: Instant): void {
    const leads = this.#election.role === "leader";
    if (leads === this.isLeader) return;
    const { partition, term } = this;
    if (leads) {
      this.#leadership.begin(term, now);
      this.#host.effects.note({ kind: "leader", partition, term });
      return;
    }
    this.#host.effects.note({ kind: "stepped-down", partition, term, why });
    const heir = this.#leadership.end();
    this.#outcomes.forsake(this.leader ?? heir);
  }

  // ---- evaluate

  /** Does what is due. Called once, after everything else in a step. */
  evaluate(now: Instant): void {
    this.#leading.advanceCommit();
    if (this.commitIndex !== this.#commitSeen) this.#committed(now);
    this.#apply(now);
    if (this.isLeader) this.#advance(now);
    if (this.configuration !== this.#configurationSeen) this.#followConfiguration();
    this.#record();
    if (this.isLeader) {
      this.#leadership.serve(now);
      this.#outcomes.release(this.appliedIndex);
    } else if (!this.hollow) this.#following.acknowledge(this.leader, this.term);
    this.#compact();
    this.#noteQuiet();
    this.#mix();
  }

  /** A leader that a committed configuration leaves out has done its last duty (section 6). */
  #committed(now: Instant): void {
    this.#commitSeen = this.commitIndex;
    const { index, configuration } = this.#ledger.configurations.at(this.commitIndex);
    if (index === this.#configurationNoted) return;
    this.#configurationNoted = index;
    this.#followConfiguration();
    this.#host.effects.note({ kind: "configuration", partition: this.partition, index, configuration });
    if (!this.isLeader || index < this.configurationIndex || isVoter(configuration, this.#self)) return;
    this.#leadership.leave();
    this.#election.resign(now);
    this.#settleRole("left the configuration", now);
  }

  /** P1. */
  #apply(now: Instant): void {
    const { log, commit } = this.#ledger;
    const before = this.#machine.appliedIndex;
    const upTo = Math.min(commit, log.stable) as LogIndex;
    if (upTo <= before || this.hollow) return;
    for (let from = before + 1; from <= upTo; from += APPLY_ENTRIES_MAX) {
      const to = Math.min(upTo, from + APPLY_ENTRIES_MAX - 1) as LogIndex;
      this.#machine.apply(log.slice(from as LogIndex, to), now, this.#outcomes.applied);
    }
    invariant(
      this.appliedIndex === upTo,
      () => `The state machine applied to ${this.appliedIndex}, not ${upTo}`,
    );
    this.#host.effects.note({ kind: "applied", partition: this.partition, index: upTo });
  }

  /** Moves a transfer or a reconfiguration on, and lets held proposals in when a transfer has failed. */
  #advance(now: Instant): void {
    this.#leadership.advance(now);
    if (!this.#outcomes.holds || this.#leadership.transfer !== null) return;
    for (const { data, token } of this.#outcomes.takeHeld()) this.#append(data, token);
  }

  #compact(): void {
    if (!this.#ledger.outgrown || this.hollow) return;
    if (!this.#ledger.compact(this.appliedIndex, this.#leading.neededFrom())) return;
    this.#host.effects.note({ kind: "compacted", partition: this.partition, base: this.baseIndex });
  }

  #record(): void {
    const { effects } = this.#host;
    if (this.#election.unrecorded) {
      effects.record({ kind: "vote", partition: this.partition, term: this.term, votedFor: this.votedFor });
      this.#election.recorded(effects.persistedUpTo);
    }
    this.#ledger.record();
  }

  #noteQuiet(): void {
    if (this.quiet === this.#quietNoted) return;
    this.#quietNoted = this.quiet;
    this.#host.effects.note({ kind: "quiet", partition: this.partition, quiet: this.quiet });
  }

  #mix(): void {
    const flags = (this.quiet ? 1 : 0) | (this.isLeader ? 2 : 0) | (this.hollow ? 4 : 0);
    this.#history.mix(this.leader, this.term, this.#ledger, this.appliedIndex, this.#leading.round, flags);
  }
}
