/**
 * The log of one partition and its agreement (Raft sections 5.3, 5.4.2, 6 and 7): what is appended, what is
 * committed, and at the leader how far each follower is. Who leads is told from outside.
 *
 * R1. An entry is committed once a quorum of the configuration in force has it durably, this node included only as far
 *     as its own journal, and only if it is of the leader's own term; what precedes it is committed with it (5.4.2).
 * R2. What is committed is never cut off. A message that asks for it is refused.
 * R3. A follower acknowledges only what is durable and equal to the log of the leader it answers.
 * R4. A configuration is in force from the moment it is appended, and out of force when it is cut off (section 6).
 * R5. Within a term the leader only appends to its log (leader append-only).
 */
import { after, type Instant, type LogIndex, type NodeId, type PartitionId, type Term } from "../base/ids.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS, type Settings } from "../base/limits.ts";
import { decodeConfiguration, encodeConfiguration, isVoter, membersOf } from "../wire/configuration.ts";
import type { Effects, JournalRecord } from "../wire/kernel.ts";
import type {
  Append,
  AppendReply,
  Beat,
  BeatReply,
  Configuration,
  Entry,
  EntryKind,
  SnapshotReply,
} from "../wire/messages.ts";
import { ConfigurationHistory } from "./configuration.ts";
import { Log } from "./log.ts";
import { Progress } from "./progress.ts";
import { quorumValue } from "./quorum.ts";
import { Reads } from "./reads.ts";
import { OutgoingSnapshot, type RowSource } from "./snapshots.ts";

export interface ReplicationOptions {
  readonly partition: PartitionId;
  readonly self: NodeId;
  readonly settings: Settings;
  readonly effects: Effects;
  readonly base: { readonly index: LogIndex; readonly term: Term };
  readonly configuration: Configuration;
  readonly configurationIndex: LogIndex;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  /** Opens a consistent view of the state as it is applied now; null where that is before `atLeast`. */
  readonly openSnapshot: (atLeast: LogIndex) => RowSource | null;
  readonly reachable: (node: NodeId) => boolean;
}

/** Why a follower did not take an append. mismatch was answered; the others are the sender's fault. */
export type AppendOutcome = "accepted" | "mismatch" | "malformed" | "contradicts committed entries";

const NONE: readonly Entry[] = [];

export class Replication {
  readonly log: Log;
  readonly configurations: ConfigurationHistory;
  readonly reads = new Reads();
  readonly #options: ReplicationOptions;
  #commit: LogIndex;

  // As a follower.
  #matched = 0 as LogIndex;
  #matchedTerm = 0 as Term;
  #owes = false;

  // As a leader.
  #leading = false;
  #term = 0 as Term;
  /** The entry that this leader's term began with. */
  #ownIndex = 0 as LogIndex;
  #followers: Progress[] = [];
  readonly #byNode = new Map<NodeId, Progress>();
  #round = 0;
  #roundTimes: { readonly round: number; readonly at: Instant }[] = [];
  #leaseUntil = 0 as Instant;
  #transfers = 0;
  #shared: { readonly from: LogIndex; readonly last: LogIndex; readonly entries: readonly Entry[] } | null =
    null;

  constructor(options: ReplicationOptions) {
    this.#options = options;
    this.log = new Log(options.base, options.entries);
    this.configurations = new ConfigurationHistory(options.configurationIndex, options.configuration);
    for (const entry of options.entries) {
      if (entry.kind !== "config" || entry.index <= options.configurationIndex) continue;
      const configuration = decodeConfiguration(entry.data);
      invariant(
        configuration !== null,
        () => `The journal has a configuration at ${entry.index} that is none`,
      );
      this.configurations.add(entry.index, configuration);
    }
    this.#commit = options.commit;
  }

  get commit(): LogIndex {
    return this.#commit;
  }
  get followers(): readonly Progress[] {
    return this.#followers;
  }
  get round(): number {
    return this.#round;
  }
  /** The leader has committed an entry of its own term: its commit index is the newest (6.4). */
  get established(): boolean {
    return this.#leading && this.#commit >= this.#ownIndex;
  }
  get configurationCommitted(): boolean {
    return this.configurations.effectiveIndex <= this.#commit;
  }
  /** Until when no other leader can be elected, by the answers so far. */
  get leaseUntil(): Instant {
    return this.#leaseUntil;
  }

  progressOf(node: NodeId): Progress | null {
    return this.#byNode.get(node) ?? null;
  }

  // ---- leading

  /** This node leads `term`: it takes up every follower anew and marks the term with an empty entry (section 8). */
  lead(term: Term, now: Instant): void {
    invariant(
      !this.#leading,
      "A leader of one term is not made leader of another before it has stepped down",
    );
    this.#leading = true;
    this.#term = term;
    this.#round = 0;
    this.#roundTimes.length = 0;
    this.#leaseUntil = 0 as Instant;
    this.syncFollowers(now);
    this.#ownIndex = this.append("noop", EMPTY_BYTES);
  }

  /** This node does not lead any more. */
  follow(): void {
    this.#leading = false;
    for (const follower of this.#followers) follower.end();
    this.#followers = [];
    this.#byNode.clear();
    this.#shared = null;
  }

  /** Appends an entry of the leader's own term. */
  append(kind: EntryKind, data: Uint8Array): LogIndex {
    invariant(this.#leading, "Only a leader appends on its own");
    const index = this.log.last + 1 as LogIndex;
    this.log.append({ term: this.#term, index, kind, data });
    return index;
  }

  /** Puts `configuration` in force. */
  reconfigure(configuration: Configuration, now: Instant): void {
    invariant(
      this.established && this.configurationCommitted,
      "One configuration change at a time (section 6)",
    );
    this.configurations.add(this.append("config", encodeConfiguration(configuration)), configuration);
    this.syncFollowers(now);
  }

  /** Makes the followers those of the configuration in force. */
  syncFollowers(now: Instant): void {
    const { self } = this.#options;
    const members = membersOf(this.configurations.effective);
    for (const follower of this.#followers) {
      if (members.includes(follower.node)) continue;
      follower.end();
      this.#byNode.delete(follower.node);
    }
    for (const node of members) {
      if (node === self || this.#byNode.has(node)) continue;
      this.#byNode.set(node, new Progress(node, this.log.last + 1 as LogIndex, now));
    }
    this.#followers = [...this.#byNode.values()];
  }

  /** R1. True if something was committed. */
  advanceCommit(): boolean {
    if (!this.#leading) return false;
    const index = quorumValue(this.configurations.effective, this.#matchOf) as LogIndex;
    if (index <= this.#commit || this.log.termAt(index) !== this.#term) return false;
    this.#commit = index;
    return true;
  }

  /** Sends each follower what it lacks and may be sent. */
  feed(now: Instant): void {
    for (const follower of this.#followers) {
      if (follower.state === "snapshot") follower.snapshot!.pump(this.#options.effects);
      else if (follower.next <= this.log.last || follower.state === "probe") this.#feedOne(follower, now);
    }
  }

  /** Begins a round of beats. `quiet`: tells the followers that no more will come. */
  beat(quiet: boolean, now: Instant, send: (to: NodeId, beat: Beat) => void): void {
    this.#round++;
    if (this.#options.settings.leaseReads) this.#roundTimes.push({ round: this.#round, at: now });
    // Before an entry of its own term is committed, a leader does not know how far the log was committed (6.4).
    if (this.established) this.reads.begin(this.#round, this.#commit);
    const { partition } = this.#options;
    for (const follower of this.#followers) {
      const commit = Math.min(this.#commit, follower.match) as LogIndex;
      send(follower.node, { partition, term: this.#term, commit, round: this.#round, quiet });
    }
    this.confirmRounds();
  }

  /** What time alone calls for, each heartbeat: repeated snapshot chunks, and none for who is out of sight. */
  tend(now: Instant): void {
    for (const follower of this.#followers) {
      if (!this.#options.reachable(follower.node)) {
        if (follower.state !== "probe") follower.holdBack();
      } else follower.snapshot?.retry(this.#options.effects, now);
    }
  }

  handleAppendReply(from: NodeId, reply: AppendReply, now: Instant): void {
    const follower = this.#answering(from, reply.term);
    if (follower === null) return;
    follower.heardAt = now;
    if (reply.ok) this.#acknowledged(follower, reply.index, now);
    else this.#refused(follower, reply);
  }

  handleBeatReply(from: NodeId, reply: BeatReply, now: Instant): void {
    const follower = this.#answering(from, reply.term);
    if (follower === null || reply.round > this.#round) return;
    follower.heardAt = now;
    if (reply.round > follower.round) {
      follower.round = reply.round;
      this.confirmRounds();
    }
    if (reply.match > follower.match && reply.match <= this.log.last) {
      follower.acknowledge(reply.match, now);
      if (follower.state === "probe" && follower.match + 1 >= follower.next) follower.becomeReplicate();
    }
    if (
      reply.match === 0 && follower.match > 0 && reply.round === this.#round && follower.state === "replicate"
    ) {
      // Late, or it lost what it had: one more append will tell.
      follower.becomeProbe(follower.match + 1 as LogIndex);
    }
    follower.suspectLoss(3 * this.#options.settings.heartbeatUs, now);
  }

  handleSnapshotReply(from: NodeId, reply: SnapshotReply, now: Instant): void {
    const follower = this.#answering(from, reply.term);
    if (follower === null) return;
    follower.heardAt = now;
    const { snapshot } = follower;
    if (snapshot === null || snapshot.transfer !== reply.transfer) return;
    if (reply.installed) {
      const { effects, partition } = this.#options;
      effects.note({ kind: "snapshot-sent", partition, to: from, index: snapshot.index });
      follower.acknowledge(snapshot.index, now);
      follower.becomeProbe(follower.match + 1 as LogIndex);
    } else if (!snapshot.acknowledge(reply.next, now)) follower.becomeProbe(follower.match + 1 as LogIndex);
  }

  /** Settles the reads whose round a quorum has answered, and renews the lease. */
  confirmRounds(): void {
    if (this.reads.idle && this.#roundTimes.length === 0) return;
    const round = quorumValue(this.configurations.effective, this.#roundOf);
    this.reads.confirm(round);
    while (this.#roundTimes.length > 0 && this.#roundTimes[0]!.round <= round) {
      const { at } = this.#roundTimes.shift()!;
      this.#leaseUntil = after(at, Math.floor(this.#options.settings.electionTimeoutUsMin * 9 / 10));
    }
  }

  /** The last time by which a quorum had been heard; now, where this node is one by itself. */
  quorumHeardAt(now: Instant): Instant {
    this.#now = now;
    return quorumValue(this.configurations.effective, this.#heardOf) as Instant;
  }

  /** Check-quorum begins to count anew. */
  listenFrom(now: Instant): void {
    for (const follower of this.#followers) if (follower.heardAt < now) follower.heardAt = now;
  }

  // ---- following

  /** Takes an append of the leader of `message.term`, whom the caller has accepted. */
  accept(from: NodeId, message: Append): AppendOutcome {
    if (!this.#wellFormed(message)) return "malformed";
    let { prevIndex, entries } = message;
    const end = prevIndex + entries.length as LogIndex;
    if (prevIndex < this.log.base) {
      // What the base covers is committed, so it is the leader's too.
      const skipped = Math.min(this.log.base - prevIndex, entries.length);
      entries = skipped === entries.length ? NONE : entries.slice(skipped);
      prevIndex = this.log.base;
    } else if (this.log.termAt(prevIndex) !== message.prevTerm) {
      this.#refuse(from, message);
      return "mismatch";
    }
    let i = 0;
    while (i < entries.length && this.log.termAt(entries[i]!.index) === entries[i]!.term) i++;
    if (i < entries.length) {
      const at = entries[i]!.index;
      if (at <= this.#commit) return "contradicts committed entries"; // R2
      if (entries[i]!.term < this.log.termAt(at - 1 as LogIndex)!) return "malformed";
      if (at <= this.log.last) {
        this.log.truncate(at, this.#options.partition, this.#options.effects);
        this.configurations.truncate(at); // R4
      }
      for (; i < entries.length; i++) this.#take(entries[i]!);
    }
    this.#learnMatch(message.term, end);
    this.commitTo(Math.min(message.commit, end) as LogIndex);
    this.#owes = true;
    return "accepted";
  }

  /** Everything up to `index` is committed, as far as it is here. */
  commitTo(index: LogIndex): void {
    const known = Math.min(index, this.log.last) as LogIndex;
    if (known > this.#commit) this.#commit = known;
  }

  /** How far this log durably equals that of the leader of `term`. What is committed is every later leader's (5.4). */
  durableMatch(term: Term): LogIndex {
    const matched = this.#matchedTerm === term ? Math.max(this.#matched, this.#commit) : this.#commit;
    return Math.min(matched, this.log.stable) as LogIndex;
  }

  /** Owes the leader an acknowledgement of what is known to match. */
  owe(): void {
    this.#owes = true;
  }

  /** Acknowledges what was accepted; what is not durable yet holds the answer back (R3). */
  acknowledge(leader: NodeId | null, term: Term): void {
    if (!this.#owes) return;
    this.#owes = false;
    if (leader === null || leader === this.#options.self) return;
    const matched = this.#matchedTerm === term ? Math.max(this.#matched, this.#commit) : this.#commit;
    const index = Math.min(matched, this.log.last) as LogIndex;
    const { partition, effects } = this.#options;
    const reply: AppendReply = {
      kind: "append-reply",
      partition,
      term,
      ok: true,
      index,
      indexTerm: 0 as Term,
      refused: 0 as LogIndex,
    };
    if (index <= this.log.stable) effects.send(leader, reply);
    else effects.sendDurable(leader, reply);
  }

  /**
   * Asks for a snapshot that is not older than the one that was lost: no ordinary follower ever refuses the empty log,
   * which is a part of every log. The leader may even have to learn from it that so much is committed, for without
   * this voter it may be unable to commit anything.
   */
  askForSnapshot(to: NodeId, term: Term): void {
    const { partition, effects } = this.#options;
    effects.send(to, {
      kind: "append-reply",
      partition,
      term,
      ok: false,
      index: this.log.base,
      indexTerm: this.log.baseTerm,
      refused: 0 as LogIndex,
    });
  }

  /** A snapshot took the place of the log. */
  restart(
    at: { readonly index: LogIndex; readonly term: Term },
    configuration: Configuration,
    configurationIndex: LogIndex,
  ): void {
    this.log.reset(at.index, at.term);
    this.configurations.reset(configurationIndex, configuration);
    this.#commit = at.index;
    this.#matched = at.index;
    this.#matchedTerm = 0 as Term;
    this.#owes = false;
  }

  // ---- keeping it small

  /**
   * Where the log outgrew its limits, forgets applied entries but for a tail. A follower in sight that is a little
   * behind keeps what it needs, up to half of the limits; who needs more gets a snapshot.
   */
  compact(applied: LogIndex): boolean {
    const { log } = this;
    if (log.length <= LIMITS.logEntriesMax && log.bytes <= LIMITS.logBytesMax) return false;
    const limit = Math.min(applied, log.stable) as LogIndex;
    let to = log.keeping(limit, LIMITS.logEntriesKept, LIMITS.logBytesKept);
    for (const follower of this.#followers) {
      if (!this.#options.reachable(follower.node)) continue;
      const needed = follower.snapshot === null ? follower.match : follower.snapshot.index;
      if (needed < to) to = needed;
    }
    const most = log.keeping(limit, LIMITS.logEntriesMax >> 1, LIMITS.logBytesMax >> 1);
    to = Math.max(to, most, log.base) as LogIndex;
    if (to === log.base) return false;
    log.compact(to);
    this.configurations.compact(to);
    return true;
  }

  /** The log as a journal checkpoint keeps it: a base that the tables have reached, and all that follows it. */
  checkpointRecords(applied: LogIndex): JournalRecord[] {
    const { log } = this;
    const { partition } = this.#options;
    invariant(log.recorded === log.last, "A checkpoint is taken after the step's records");
    const limit = Math.min(Math.max(applied, log.base), log.stable) as LogIndex;
    const base = log.keeping(limit, LIMITS.logEntriesKept, LIMITS.logBytesKept);
    const { index, configuration } = this.configurations.at(base);
    const records: JournalRecord[] = [{
      kind: "base",
      partition,
      index: base,
      term: log.termAt(base)!,
      configuration,
      configurationIndex: index,
    }];
    for (let from = base + 1; from <= log.last;) {
      const entries = log.batch(from as LogIndex, LIMITS.appendEntriesMax, LIMITS.appendBytesMax);
      records.push({ kind: "entries", partition, entries });
      from += entries.length;
    }
    return records;
  }

  // ---- helpers of the leader

  #now = 0 as Instant;
  readonly #matchOf = (node: NodeId): number =>
    node === this.#options.self ? this.log.stable : this.#byNode.get(node)!.match;
  readonly #roundOf = (node: NodeId): number =>
    node === this.#options.self ? this.#round : this.#byNode.get(node)!.round;
  readonly #heardOf = (node: NodeId): number =>
    node === this.#options.self ? this.#now : this.#byNode.get(node)!.heardAt;

  #answering(from: NodeId, term: Term): Progress | null {
    return this.#leading && term === this.#term ? this.#byNode.get(from) ?? null : null;
  }

  #feedOne(follower: Progress, now: Instant): void {
    if (!this.#options.reachable(follower.node) && follower.state !== "probe") follower.holdBack();
    while (follower.mayAppend) {
      const prevIndex = follower.next - 1 as LogIndex;
      const prevTerm = this.log.termAt(prevIndex);
      if (follower.wanted !== null || prevTerm === null) {
        this.#beginSnapshot(follower, now);
        return;
      }
      const entries = this.#entriesFrom(follower.next);
      this.#options.effects.send(follower.node, {
        kind: "append",
        partition: this.#options.partition,
        term: this.#term,
        prevIndex,
        prevTerm,
        commit: this.#commit,
        entries,
      });
      follower.sent(prevIndex + entries.length as LogIndex, now);
      if (follower.next > this.log.last) return;
    }
  }

  /** Followers that are equally far share one array. */
  #entriesFrom(from: LogIndex): readonly Entry[] {
    const { last } = this.log;
    if (from > last) return NONE;
    if (this.#shared === null || this.#shared.from !== from || this.#shared.last !== last) {
      this.#shared = {
        from,
        last,
        entries: this.log.batch(from, LIMITS.appendEntriesMax, LIMITS.appendBytesMax),
      };
    }
    return this.#shared.entries;
  }

  /**
   * A learner's snapshot must not be older than the configuration that is committed: a replica that was removed, dropped
   * its log and is taken in again would else forget entries that it had once acknowledged, and could be asked for its
   * vote by a server that has not heard of its removal. A voter has been through that, and cannot wait: the leader may
   * need it to commit anything at all.
   */
  #beginSnapshot(follower: Progress, now: Instant): void {
    const { partition, openSnapshot, settings, effects } = this.#options;
    const learns = !isVoter(this.configurations.effective, follower.node);
    if (learns && !this.established) return;
    const atLeast = Math.max(
      1,
      follower.wanted ?? 0,
      learns ? this.configurations.at(this.#commit).index : 0,
    );
    const source = openSnapshot(atLeast as LogIndex);
    if (source === null) return;
    const { index, configuration } = this.configurations.at(source.index);
    follower.becomeSnapshot(
      new OutgoingSnapshot({
        partition,
        to: follower.node,
        term: this.#term,
        transfer: ++this.#transfers,
        source,
        configuration,
        configurationIndex: index,
        retryUs: settings.electionTimeoutUsMin,
      }, now),
    );
    follower.snapshot!.pump(effects);
  }

  #acknowledged(follower: Progress, index: LogIndex, now: Instant): void {
    if (index > this.log.last) return;
    follower.acknowledge(index, now);
    if (follower.state === "probe") follower.becomeReplicate();
    else if (follower.state === "snapshot" && follower.match >= follower.snapshot!.index) {
      follower.becomeReplicate();
    }
  }

  #refused(follower: Progress, reply: AppendReply): void {
    if (reply.refused === 0) {
      // It held a snapshot at `index` once, so that much is committed, whether this leader knew or not.
      if (this.log.termAt(reply.index) === reply.indexTerm) this.commitTo(reply.index);
      if (follower.snapshot !== null && follower.snapshot.index >= reply.index) return;
      follower.wanted = reply.index;
      follower.becomeProbe(follower.next);
      return;
    }
    if (follower.state === "snapshot" || reply.refused <= follower.match) return;
    if (follower.state === "replicate") return follower.becomeProbe(follower.match + 1 as LogIndex);
    if (reply.refused !== follower.next - 1) return;
    const hint = Math.min(reply.index, reply.refused - 1) as LogIndex;
    // Where the hint lies before this log the answer is a snapshot; next must then point there.
    const next = hint < this.log.base ? hint : this.log.agreement(hint, reply.indexTerm);
    follower.becomeProbe(next + 1 as LogIndex);
  }

  // ---- helpers of the follower

  #wellFormed(message: Append): boolean {
    let { prevIndex: index, prevTerm: term } = message;
    for (const entry of message.entries) {
      if (entry.index !== index + 1 || entry.term < term || entry.term > message.term) return false;
      if (entry.kind === "config" && decodeConfiguration(entry.data) === null) return false;
      index = entry.index;
      term = entry.term;
    }
    return term <= message.term;
  }

  #take(entry: Entry): void {
    this.log.append(entry);
    if (entry.kind === "config") this.configurations.add(entry.index, decodeConfiguration(entry.data)!);
  }

  #learnMatch(term: Term, index: LogIndex): void {
    const matched = Math.min(index, this.log.last) as LogIndex;
    if (this.#matchedTerm !== term) {
      this.#matchedTerm = term;
      this.#matched = matched;
    } else if (matched > this.#matched) this.#matched = matched;
  }

  #refuse(to: NodeId, message: Append): void {
    const { partition, effects } = this.#options;
    const index = this.log.agreement(message.prevIndex, message.prevTerm);
    const indexTerm = this.log.termAt(index)!;
    effects.send(to, {
      kind: "append-reply",
      partition,
      term: message.term,
      ok: false,
      index,
      indexTerm,
      refused: message.prevIndex,
    });
  }
}
