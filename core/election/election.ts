/**
 * Who leads a partition: terms, votes and timers (Raft sections 5.1, 5.2 and 5.4.1; pre-vote, check-quorum and
 * leadership transfer after Ongaro's dissertation, 4.2.3, 6.2, 9.6 and 3.10). It knows nothing of logs but the last
 * position, which its caller hands in as part of a Ballot.
 *
 * E1. The term never decreases, and within one term a node votes for one candidate at most.
 * E2. Term and vote are in the journal before anything that rests on them leaves (votes go out with sendDurable;
 *     the caller records while `unrecorded` is set, in the same step).
 * E3. A pre-vote changes nothing at the voter but that it stops being quiet.
 * E4. Who believes that a leader lives votes for no one else, and lets no one else's vote request raise its term,
 *     unless that leader itself asked for the election.
 * E5. A term has at most one leader. A second one is refused, whatever it says.
 * E6. With lease reads a node supports no election for electionTimeoutUsMin after it last heard its leader, whatever
 *     else it learns, and after a restart for as long, for it may have heard one just before.
 * E7. A candidate counts its own vote only when the journal has it. Else this could happen: the only voter, elected by
 *     itself, sends a learner an entry of term 7 and dies with all of term 7 unsynced; elected once more, in term 7
 *     again, it writes another entry there, which the learner takes for the one it has.
 * E8. Who seeks a leader asks for pre-votes in its present term, which nobody can win anything with, and counts none. A
 *     leader that went quiet shows itself to whoever asks for its vote.
 */
import {
  after,
  type Instant,
  type LogIndex,
  NEVER,
  type NodeId,
  type PartitionId,
  type Term,
} from "../base/ids.ts";
import type { Settings } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import { hasQuorum, membersOf } from "../wire/configuration.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Configuration, Vote, VoteReply } from "../wire/messages.ts";

export type ElectionRole = "follower" | "pre-candidate" | "candidate" | "leader";

/** What an election needs to know of the log, as it is now. */
export interface Ballot {
  readonly configuration: Configuration;
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** False for a replica that never had a log here, or lost it on purpose: its silence about entries proves nothing. */
  readonly mayVote: boolean;
}

export interface ElectionOptions {
  readonly partition: PartitionId;
  readonly self: NodeId;
  readonly settings: Settings;
  readonly random: Random;
  readonly effects: Effects;
  readonly term: Term;
  readonly votedFor: NodeId | null;
  /** The node ran before: see E6. */
  readonly restarted: boolean;
}

/** heard: the sender leads this term. stale: its term is over. usurper: this term has another leader (E5). */
export type Hearing = "heard" | "stale" | "usurper";

export class Election {
  readonly #options: ElectionOptions;
  #term: Term;
  #votedFor: NodeId | null;
  #role: ElectionRole = "follower";
  #leader: NodeId | null = null;
  #votes = new Map<NodeId, boolean>();
  #transfer = false;

  /** Term or vote changed since the caller last recorded them. */
  unrecorded = false;
  /** The number of the record that holds the own vote of a candidate, until it is durable; else NEVER. */
  awaited: number = NEVER;
  /** Set by the caller: a voter with a sound log, which may campaign. */
  electable = false;
  /** Set by the caller: a member that may not campaign, for want of a state, and calls for a leader instead (E8). */
  seeking = false;

  #quiet = false;
  /** The last sign of the leader, or the last time a quiet replica was told to look for one. */
  #sign = 0 as Instant;
  #doubted = false;
  #timerFrom = 0 as Instant;
  #timeoutUs = 0;
  /** An earlier end of the timer, after the connection to the leader broke. */
  #hasty: Instant = NEVER;
  #closedUntil = 0 as Instant;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#term = options.term;
    this.#votedFor = options.votedFor;
  }

  get term(): Term {
    return this.#term;
  }
  get votedFor(): NodeId | null {
    return this.#votedFor;
  }
  get role(): ElectionRole {
    return this.#role;
  }
  /** Who leads this term, as far as known. */
  get leader(): NodeId | null {
    return this.#leader;
  }
  get quiet(): boolean {
    return this.#quiet;
  }

  /** When wake() has something to do. */
  get deadline(): Instant {
    if ((!this.electable && !this.seeking) || this.#quiet || this.#role === "leader") return NEVER;
    const end = this.#timerFrom + this.#timeoutUs;
    return (end < this.#hasty ? end : this.#hasty) as Instant;
  }

  start(now: Instant): void {
    const { settings, restarted } = this.#options;
    if (restarted && settings.leaseReads) this.#closedUntil = after(now, settings.electionTimeoutUsMin);
    this.#restartTimer(now);
  }

  /** Campaigns, or calls for a leader, if the timer has run out. */
  wake(ballot: Ballot, now: Instant): void {
    if (now < this.deadline) return;
    if (this.electable) this.campaign(ballot, now);
    else this.#call(ballot, now);
  }

  /** Asks for pre-votes; alone, wins at once. */
  campaign(ballot: Ballot, now: Instant): void {
    if (!this.electable || this.#role === "leader") return;
    this.#role = "pre-candidate";
    this.#leader = null;
    this.#quiet = false;
    this.#transfer = false;
    this.#restartTimer(now);
    this.#ask(ballot, now);
  }

  /** The leader asks this node to take over at once (dissertation 3.10): no pre-vote, and voters do not protect it. */
  timeoutNow(from: NodeId, term: Term, ballot: Ballot, now: Instant): boolean {
    if (term !== this.#term || this.#leader !== from || this.#role !== "follower" || !this.electable) {
      return false;
    }
    this.#quiet = false;
    this.#transfer = true;
    this.#restartTimer(now);
    this.#stand(ballot, now);
    return true;
  }

  handleVote(from: NodeId, vote: Vote, ballot: Ballot, now: Instant): void {
    if (vote.term < this.#term) return this.#reply(from, vote, false);
    if (this.#protects(from, vote, now)) {
      if (this.#quiet) this.rouse(now);
      // A real request is left without an answer: an answer could only carry the lower term.
      if (vote.pre) this.#reply(from, vote, false);
      return;
    }
    if (vote.term > this.#term && !vote.pre) this.#follow(vote.term, null, now);
    const granted = this.#mayGrant(from, vote, ballot);
    if (granted && !vote.pre) {
      if (this.#votedFor !== from) this.unrecorded = true;
      this.#votedFor = from;
      this.#role = "follower";
      this.#quiet = false;
      this.#restartTimer(now);
    } else if (this.#quiet) this.rouse(now);
    this.#reply(from, vote, granted);
  }

  handleVoteReply(from: NodeId, reply: VoteReply, ballot: Ballot, now: Instant): void {
    const asked = reply.pre ? this.#role === "pre-candidate" : this.#role === "candidate";
    if (reply.granted) {
      const term = reply.pre ? this.#term + 1 : this.#term;
      if (!asked || reply.term !== term) return;
    } else {
      if (reply.term > this.#term) return this.#follow(reply.term, null, now);
      if (!asked || (!reply.pre && reply.term !== this.#term)) return;
    }
    if (this.#votes.has(from)) return;
    this.#votes.set(from, reply.granted);
    this.#count(ballot, now);
  }

  /** Term and vote are in the journal's record of this number. */
  recorded(number: number): void {
    this.unrecorded = false;
    this.awaited = this.#role === "candidate" ? number : NEVER;
  }

  /** The record that was awaited is durable (E7). */
  persisted(ballot: Ballot, now: Instant): void {
    this.awaited = NEVER;
    if (this.#role !== "candidate") return;
    this.#votes.set(this.#options.self, true);
    this.#count(ballot, now);
  }

  /** A message that only the leader of `term` sends has come from `from`. */
  hear(from: NodeId, term: Term, now: Instant): Hearing {
    if (term < this.#term) return "stale";
    if (term > this.#term) this.#follow(term, from, now);
    else if (this.#role === "leader" || (this.#leader !== null && this.#leader !== from)) return "usurper";
    else if (this.#leader === null) {
      this.#role = "follower";
      this.#leader = from;
      this.#restartTimer(now);
    }
    this.#quiet = false;
    this.#doubted = false;
    this.#hasty = NEVER;
    this.#sign = now;
    this.#timerFrom = now;
    return "heard";
  }

  /** An answer carried `term`: a higher one ends this node's own (section 5.1). True if it did. */
  observe(term: Term, now: Instant): boolean {
    if (term <= this.#term) return false;
    this.#follow(term, null, now);
    return true;
  }

  /** A leader gives up, or a candidate, without a higher term. */
  resign(now: Instant): void {
    this.#follow(this.#term, null, now);
  }

  /** The leader said that there is nothing to wait for: the timer stops. */
  hush(): void {
    this.#quiet = true;
  }

  /** Something stirs: the timer of a quiet replica runs again, from its start. */
  rouse(now: Instant): void {
    if (!this.#quiet) return;
    this.#quiet = false;
    this.#sign = now;
    this.#restartTimer(now);
  }

  /** Membership doubts `node`. Its followers stop protecting it, and quiet ones run their timers. */
  suspect(node: NodeId, now: Instant): void {
    if (this.#leader !== node || this.#role === "leader") return;
    this.rouse(now);
    this.#doubted = true;
  }

  /**
   * The connection to `node` broke. When it leads, its process is most likely gone: its followers look for another
   * after one to three heartbeats instead of a whole timeout. They draw the delay, so that they do not collide.
   */
  lost(node: NodeId, now: Instant): void {
    if (this.#leader !== node || this.#role === "leader") return;
    const { settings, random } = this.#options;
    const sign = this.#sign;
    this.suspect(node, now);
    const hasty = after(now, random.between(settings.heartbeatUs, 3 * settings.heartbeatUs));
    const earliest = settings.leaseReads ? after(sign, settings.electionTimeoutUsMin) : hasty;
    const end = (hasty > earliest ? hasty : earliest) as Instant;
    if (end < this.#hasty) this.#hasty = end;
  }

  /** E4 and E6. */
  #protects(from: NodeId, vote: Vote, now: Instant): boolean {
    if (vote.transfer) return false;
    if (now < this.#closedUntil) return true;
    if (this.#role === "leader") return true;
    // A leader that asks for votes has lost its office and knows it.
    if (this.#leader === null || this.#leader === from) return false;
    const fresh = now < this.#sign + this.#options.settings.electionTimeoutUsMin;
    if (this.#options.settings.leaseReads) return this.#quiet || fresh;
    return !this.#doubted && (this.#quiet || fresh);
  }

  #mayGrant(from: NodeId, vote: Vote, ballot: Ballot): boolean {
    if (!ballot.mayVote) return false;
    const upToDate = vote.lastTerm > ballot.lastTerm ||
      (vote.lastTerm === ballot.lastTerm && vote.lastIndex >= ballot.lastIndex);
    if (!upToDate) return false;
    if (vote.pre && vote.term > this.#term) return true;
    return this.#votedFor === from || (this.#votedFor === null && this.#leader === null);
  }

  #reply(to: NodeId, vote: Vote, granted: boolean): void {
    const { partition, effects } = this.#options;
    const term = granted ? vote.term : this.#term;
    const reply: VoteReply = { kind: "vote-reply", partition, term, pre: vote.pre, granted };
    if (vote.pre) effects.send(to, reply);
    else effects.sendDurable(to, reply);
  }

  /** Becomes a candidate of the next term. */
  #stand(ballot: Ballot, now: Instant): void {
    this.#term = this.#term + 1 as Term;
    this.#votedFor = this.#options.self;
    this.unrecorded = true;
    this.#role = "candidate";
    this.#leader = null;
    this.#ask(ballot, now);
  }

  #call({ configuration, lastIndex, lastTerm }: Ballot, now: Instant): void {
    const { partition, self, effects } = this.#options;
    this.#restartTimer(now);
    for (const node of membersOf(configuration)) {
      if (node === self) continue;
      const term = this.#term;
      effects.send(node, { kind: "vote", partition, term, pre: true, transfer: false, lastIndex, lastTerm });
    }
  }

  #ask({ configuration, lastIndex, lastTerm, mayVote }: Ballot, now: Instant): void {
    const { partition, self, effects } = this.#options;
    const pre = this.#role === "pre-candidate";
    const term = (pre ? this.#term + 1 : this.#term) as Term;
    effects.note({ kind: "campaign", partition, term, pre });
    this.#votes.clear();
    if (pre) this.#votes.set(self, true);
    const vote: Vote = { kind: "vote", partition, term, pre, transfer: this.#transfer, lastIndex, lastTerm };
    for (const node of membersOf(configuration)) {
      if (node === self || configuration.learners.includes(node)) continue;
      if (pre) effects.send(node, vote);
      else effects.sendDurable(node, vote);
    }
    this.#count({ configuration, lastIndex, lastTerm, mayVote }, now);
  }

  #count(ballot: Ballot, now: Instant): void {
    const won = hasQuorum(ballot.configuration, (node) => this.#votes.get(node) === true);
    if (won) {
      if (this.#role === "pre-candidate") return this.#stand(ballot, now);
      this.#role = "leader";
      this.#leader = this.#options.self;
      this.#quiet = false;
      return;
    }
    const possible = hasQuorum(ballot.configuration, (node) => this.#votes.get(node) !== false);
    // Lost: the timer that the campaign began decides when to try again.
    if (possible) return;
    const { partition, effects } = this.#options, pre = this.#role === "pre-candidate";
    effects.note({ kind: "campaign-lost", partition, term: this.#term, pre });
    this.#role = "follower";
  }

  #follow(term: Term, leader: NodeId | null, now: Instant): void {
    if (term > this.#term) {
      this.#term = term;
      this.#votedFor = null;
      this.unrecorded = true;
    }
    this.#role = "follower";
    this.#leader = leader;
    this.#quiet = false;
    this.#doubted = false;
    this.#restartTimer(now);
  }

  #restartTimer(now: Instant): void {
    const { settings, random } = this.#options;
    this.#timerFrom = now;
    this.#timeoutUs = random.between(settings.electionTimeoutUsMin, settings.electionTimeoutUsMax);
    this.#hasty = NEVER;
  }
}
