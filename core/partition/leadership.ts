/**
 * A leader's term of office on one partition: its heartbeats, when it falls silent, whom it hands over to, and when it
 * must go. All of a leader's timers hang on the heartbeat.
 *
 * L1. A leader is quiet only when every follower in sight has all there is, and they and a quorum were told.
 * L2. A leader that no quorum has answered for electionTimeoutUsMax gives up (check-quorum, dissertation 6.2).
 * L3. While leadership is handed over nothing is appended; what comes is held (dissertation 3.10).
 * L4. A read does not wake a quiet partition: its round of beats says that quiet goes on. Only if no quorum has answered
 *     by the next heartbeat does the leader begin to beat, and to count who answers (L2).
 * L5. A leader short of disk space hands over to a voter that is not, as often as steering lets it try. Where there is
 *     none it stays in office: its readers have no one else.
 */
import type { Instant, NodeId, PartitionId, Term } from "../base/ids.ts";
import type { Settings } from "../base/limits.ts";
import type { Leading } from "../replication/leading.ts";
import type { Ledger } from "../replication/ledger.ts";
import { quorumValue } from "../replication/quorum.ts";
import type { Beat } from "../wire/messages.ts";
import type { ReplicaHost, StateMachine } from "./contracts.ts";
import type { Steering } from "./steering.ts";

export interface LeadershipOptions {
  readonly partition: PartitionId;
  readonly self: NodeId;
  readonly settings: Settings;
  readonly host: ReplicaHost;
  readonly machine: StateMachine;
  readonly ledger: Ledger;
  readonly leading: Leading;
  readonly steering: Steering;
}

interface Transfer {
  readonly to: NodeId;
  readonly until: Instant;
  /** TimeoutNow has left since the last heartbeat. */
  told: boolean;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  #held = false;
  #term = 0 as Term;
  #quiet = false;
  #stopping = false;
  /** This node is short of disk space (L5). */
  #yielding = false;
  #transfer: Transfer | null = null;
  /** A follower was told to take over in this term: leases are off, for it may do so at any later time. */
  #leaseBroken = false;
  #activeAt = 0 as Instant;
  #beatenAt = 0 as Instant;
  /** Beats should leave in this step. */
  #wantsBeat = false;
  /** The round of the first quiet beat; 0: the leader is not going quiet. */
  #hushRound = 0;

  constructor(options: LeadershipOptions) {
    this.#options = options;
  }

  /** This node leads. */
  get held(): boolean {
    return this.#held;
  }
  get quiet(): boolean {
    return this.#quiet;
  }
  get transfer(): NodeId | null {
    return this.#transfer?.to ?? null;
  }
  get wantsBeats(): boolean {
    // Asked of every partition at each heartbeat: most are not led here.
    if (!this.#held) return false;
    const { followers, reads } = this.#options.leading;
    return followers.length > 0 && (!this.#quiet || !reads.idle);
  }
  /** A read may be served without asking again. */
  hasLease(now: Instant): boolean {
    const { settings, leading } = this.#options;
    return settings.leaseReads && leading.established && !this.#leaseBroken && now < leading.leaseUntil;
  }

  begin(term: Term, now: Instant): void {
    this.#options.leading.begin(term, now);
    this.#options.steering.begin();
    this.#held = true;
    this.#term = term;
    this.#quiet = false;
    this.#hushRound = 0;
    this.#transfer = null;
    this.#leaseBroken = false;
    this.#activeAt = now;
    this.#beatenAt = now;
    this.#wantsBeat = true;
  }

  /** The office is lost. Returns who most likely takes it over, where this node had a part in that. */
  end(): NodeId | null {
    const heir = this.#leaseBroken ? this.transfer : null;
    this.#options.leading.end();
    this.#held = false;
    this.#quiet = false;
    this.#transfer = null;
    this.#wantsBeat = false;
    return heir;
  }

  /** Something is to be done: the leader does not go quiet for a while, and begins again if it was. */
  stir(now: Instant): void {
    this.#activeAt = now;
    this.#hushRound = 0;
    if (!this.#quiet || this.#options.leading.followers.length === 0) return;
    this.#quiet = false;
    this.#beatenAt = now;
    this.#options.leading.listenFrom(now);
    this.#wantsBeat = true;
  }

  /** Someone has lost sight of this leader: it shows itself at once. */
  show(now: Instant): void {
    this.stir(now);
    this.#wantsBeat = true;
  }

  /** The node is about to stop. */
  stop(now: Instant): void {
    this.#stopping = true;
    if (this.#held && this.#transfer === null) this.#handToSuccessor(now);
  }

  /** This node is short of disk space, or has enough again (L5). */
  yield(low: boolean, now: Instant): void {
    this.#yielding = low;
    if (!this.#held) return;
    this.stir(now);
    if (low && this.#transfer === null) this.#relieve(now);
  }

  /** `node` does not take over. */
  declined(node: NodeId): void {
    if (this.#transfer?.to === node) this.#transfer = null;
  }

  /** Hands over to `to`, a voter, as soon as it has the whole log. */
  handTo(to: NodeId, now: Instant): void {
    const { partition, self, settings, host, ledger } = this.#options;
    if (!this.#held || this.#transfer !== null || to === self) return;
    if (!ledger.configurations.effective.voters.includes(to)) return;
    this.#transfer = { to, until: (now + settings.electionTimeoutUsMax) as Instant, told: false };
    host.effects.note({ kind: "transfer", partition, to });
    this.stir(now);
  }

  /** Every heartbeat. False: no quorum answers, the office is to be given up (L2). */
  beat(now: Instant): boolean {
    if (!this.wantsBeats) return true;
    if (this.#quiet) this.stir(now); // L4
    if (this.#lostQuorum(now)) return false;
    this.#tendTransfer(now);
    this.#options.leading.tend(now);
    if (!this.#goesQuiet(now)) this.#wantsBeat = true;
    return true;
  }

  /** Takes the steps that are due: a transfer, a reconfiguration. */
  advance(now: Instant): void {
    const { leading, ledger, steering } = this.#options;
    if (this.#transfer === null && leading.established && ledger.configurationCommitted) {
      const step = steering.step();
      if (step?.kind === "hand-over") this.handTo(step.to, now);
      else if (step?.kind === "reconfigure") {
        leading.reconfigure(step.configuration, now);
        this.stir(now);
      }
    }
    if (this.#transfer === null) return;
    const follower = leading.progressOf(this.#transfer.to);
    if (follower === null) this.#transfer = null;
    else if (!this.#transfer.told && follower.match === ledger.log.last) {
      this.#transfer.told = true;
      this.#tellToTakeOver(follower.node);
    }
  }

  /** A committed configuration leaves this node out: it goes, and a follower that is level need not wait to find out. */
  leave(): void {
    const { leading, ledger, steering } = this.#options;
    const to = steering.successor();
    if (to !== null && leading.progressOf(to)!.match === ledger.log.last) this.#tellToTakeOver(to);
  }

  /** Sends followers what is due to them. */
  serve(now: Instant): void {
    const { leading } = this.#options;
    const { reads, established } = leading;
    leading.feed(now);
    const alone = leading.followers.length === 0;
    if (alone) this.#quiet = true;
    if (!this.#wantsBeat && !(established && (reads.wantsRound || (alone && !reads.idle)))) return;
    this.#wantsBeat = false;
    leading.beat(this.#hushRound > 0, now, this.#sendBeat);
  }

  readonly #sendBeat = (to: NodeId, beat: Beat): void => this.#options.host.beat(to, beat);

  /** A node that slept itself first hears what has arrived meanwhile. */
  #lostQuorum(now: Instant): boolean {
    const { settings, leading } = this.#options;
    const slept = now - this.#beatenAt > 4 * settings.heartbeatUs;
    this.#beatenAt = now;
    return !slept && leading.quorumHeardAt(now) + settings.electionTimeoutUsMax <= now;
  }

  #tendTransfer(now: Instant): void {
    if (this.#transfer !== null) {
      this.#transfer.told = false;
      if (now < this.#transfer.until) return;
      this.#transfer = null;
    }
    if (this.#stopping) return this.#handToSuccessor(now);
    if (this.#yielding) return this.#relieve(now);
    const { steering, leading } = this.#options;
    if (!steering.settled || !leading.established) return;
    const preferred = steering.preferred(now);
    if (preferred !== null) this.handTo(preferred, now);
  }

  #handToSuccessor(now: Instant): void {
    const to = this.#options.steering.successor();
    if (to !== null) this.handTo(to, now);
  }

  #relieve(now: Instant): void {
    const to = this.#options.steering.relief(now);
    if (to !== null) this.handTo(to, now);
  }

  #tellToTakeOver(to: NodeId): void {
    const { host, partition } = this.#options;
    this.#leaseBroken = true;
    host.effects.send(to, { kind: "timeout-now", partition, term: this.#term });
  }

  /** L1. */
  #goesQuiet(now: Instant): boolean {
    const { self, settings, host, leading, ledger } = this.#options;
    if (now - this.#activeAt < settings.quietAfterUs || !this.#restful()) {
      this.#hushRound = 0;
      return false;
    }
    if (this.#hushRound === 0) this.#hushRound = leading.round + 1;
    const first = this.#hushRound;
    for (const follower of leading.followers) {
      if (follower.round < first && host.reachable(follower.node)) return false;
    }
    const roundOf = (node: NodeId) => node === self ? first : leading.progressOf(node)!.round;
    if (quorumValue(ledger.configurations.effective, roundOf) < first) return false;
    this.#quiet = true;
    return true;
  }

  #restful(): boolean {
    const { host, machine, leading, ledger, steering } = this.#options;
    const { last } = ledger.log;
    if (this.#transfer !== null || this.#stopping || !steering.settled || steering.wantsPreferred) {
      return false;
    }
    if (this.#yielding && steering.successor() !== null) return false;
    if (!leading.reads.idle || ledger.commit !== last || machine.appliedIndex !== last) return false;
    for (const follower of leading.followers) {
      const level = follower.match === last && follower.state === "replicate";
      if (!level && host.reachable(follower.node)) return false;
    }
    return true;
  }
}
