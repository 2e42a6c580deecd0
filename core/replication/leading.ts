/**
 * A leader's side of the log (Raft sections 5.3, 5.4.2 and 6, dissertation 6.2 and 6.4): how far each follower is, what to
 * send it, what is committed by that, and which rounds of beats a quorum has answered. The rules are in ledger.ts.
 */
import { after, type Instant, type LogIndex, type NodeId, type Term } from "../base/ids.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS, type Settings } from "../base/limits.ts";
import { encodeConfiguration, isVoter, membersOf } from "../wire/configuration.ts";
import type {
  AppendReply,
  Beat,
  BeatReply,
  Configuration,
  Entry,
  EntryKind,
  SnapshotReply,
} from "../wire/messages.ts";
import type { Ledger } from "./ledger.ts";
import type { Log } from "./log.ts";
import { Progress } from "./progress.ts";
import { quorumValue } from "./quorum.ts";
import { Reads } from "./reads.ts";
import { OutgoingSnapshot, type RowSource } from "./snapshots.ts";

export interface LeadingOptions {
  readonly self: NodeId;
  readonly settings: Settings;
  readonly ledger: Ledger;
  /** Opens a consistent view of the state as it is applied now; null where that is before `atLeast`. */
  readonly openSnapshot: (atLeast: LogIndex) => RowSource | null;
  readonly reachable: (node: NodeId) => boolean;
}

const NONE: readonly Entry[] = [];

export class Leading {
  readonly reads = new Reads();
  readonly #options: LeadingOptions;
  readonly #ledger: Ledger;
  readonly #log: Log;
  #active = false;
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
  #now = 0 as Instant;

  constructor(options: LeadingOptions) {
    this.#options = options;
    this.#ledger = options.ledger;
    this.#log = options.ledger.log;
  }

  /** Members of the configuration in force but this node, as this leader sees them. */
  get followers(): readonly Progress[] {
    return this.#followers;
  }
  get round(): number {
    return this.#round;
  }
  /** The leader has committed an entry of its own term: its commit index is the newest (6.4). */
  get established(): boolean {
    return this.#active && this.#ledger.commit >= this.#ownIndex;
  }
  /** Until when no other leader can be elected, by the answers so far. */
  get leaseUntil(): Instant {
    return this.#leaseUntil;
  }

  progressOf(node: NodeId): Progress | null {
    return this.#byNode.get(node) ?? null;
  }

  /** This node leads `term`: it takes up every follower anew and marks the term with an empty entry (section 8). */
  begin(term: Term, now: Instant): void {
    invariant(
      !this.#active,
      "A leader of one term is not made leader of another before it has stepped down",
    );
    this.#active = true;
    this.#term = term;
    this.#round = 0;
    this.#roundTimes.length = 0;
    this.#leaseUntil = 0 as Instant;
    this.syncFollowers(now);
    this.#ownIndex = this.append("noop", EMPTY_BYTES);
  }

  /** This node does not lead any more. */
  end(): void {
    this.#active = false;
    for (const follower of this.#followers) follower.end();
    this.#followers = [];
    this.#byNode.clear();
    this.#shared = null;
  }

  /** Appends an entry of the leader's own term. */
  append(kind: EntryKind, data: Uint8Array): LogIndex {
    invariant(this.#active, "Only a leader appends on its own");
    const index = this.#log.last + 1 as LogIndex;
    this.#log.append({ term: this.#term, index, kind, data });
    return index;
  }

  /** Puts `configuration` in force. */
  reconfigure(configuration: Configuration, now: Instant): void {
    invariant(
      this.established && this.#ledger.configurationCommitted,
      "One configuration change at a time (section 6)",
    );
    this.#ledger.configurations.add(this.append("config", encodeConfiguration(configuration)), configuration);
    this.syncFollowers(now);
  }

  /** Makes the followers those of the configuration in force. */
  syncFollowers(now: Instant): void {
    const { self } = this.#options;
    const members = membersOf(this.#ledger.configurations.effective);
    for (const follower of this.#followers) {
      if (members.includes(follower.node)) continue;
      follower.end();
      this.#byNode.delete(follower.node);
    }
    for (const node of members) {
      if (node === self || this.#byNode.has(node)) continue;
      this.#byNode.set(node, new Progress(node, this.#log.last + 1 as LogIndex, now));
    }
    this.#followers = [...this.#byNode.values()];
  }

  /** R1. True if something was committed. */
  advanceCommit(): boolean {
    if (!this.#active || this.#ledger.commit === this.#log.last) return false;
    const index = quorumValue(this.#ledger.configurations.effective, this.#matchOf) as LogIndex;
    if (index <= this.#ledger.commit || this.#log.termAt(index) !== this.#term) return false;
    this.#ledger.commitTo(index);
    return true;
  }

  /** Sends each follower what it lacks and may be sent. */
  feed(now: Instant): void {
    for (const follower of this.#followers) {
      if (follower.state === "snapshot") follower.snapshot!.pump(this.#ledger.effects);
      else if (follower.next <= this.#log.last || follower.state === "probe") {
        this.#feedOne(follower, now);
      }
    }
  }

  /** Begins a round of beats. `quiet`: tells the followers that no more will come. */
  beat(quiet: boolean, now: Instant, send: (to: NodeId, beat: Beat) => void): void {
    this.#round++;
    if (this.#options.settings.leaseReads) this.#roundTimes.push({ round: this.#round, at: now });
    // Before an entry of its own term is committed, a leader does not know how far the log was committed (6.4).
    if (this.established) this.reads.begin(this.#round, this.#ledger.commit);
    const { partition } = this.#ledger;
    for (const follower of this.#followers) {
      const commit = Math.min(this.#ledger.commit, follower.match) as LogIndex;
      send(follower.node, { partition, term: this.#term, commit, round: this.#round, quiet });
    }
    this.confirmRounds();
  }

  /** What time alone calls for, each heartbeat: repeated snapshot chunks, and none for who is out of sight. */
  tend(now: Instant): void {
    for (const follower of this.#followers) {
      if (!this.#options.reachable(follower.node)) {
        if (follower.state !== "probe") follower.holdBack();
      } else follower.snapshot?.retry(this.#ledger.effects, now);
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
    if (reply.match > follower.match && reply.match <= this.#log.last) {
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
      const { effects, partition } = this.#ledger;
      effects.note({ kind: "snapshot-sent", partition, to: from, index: snapshot.index });
      follower.acknowledge(snapshot.index, now);
      follower.becomeProbe(follower.match + 1 as LogIndex);
    } else if (!snapshot.acknowledge(reply.next, now)) follower.becomeProbe(follower.match + 1 as LogIndex);
  }

  /** Settles the reads whose round a quorum has answered, and renews the lease. */
  confirmRounds(): void {
    if (this.reads.idle && this.#roundTimes.length === 0) return;
    const round = quorumValue(this.#ledger.configurations.effective, this.#roundOf);
    this.reads.confirm(round);
    while (this.#roundTimes.length > 0 && this.#roundTimes[0]!.round <= round) {
      const { at } = this.#roundTimes.shift()!;
      this.#leaseUntil = after(at, Math.floor(this.#options.settings.electionTimeoutUsMin * 9 / 10));
    }
  }

  /** The last time by which a quorum had been heard; now, where this node is one by itself. */
  quorumHeardAt(now: Instant): Instant {
    this.#now = now;
    return quorumValue(this.#ledger.configurations.effective, this.#heardOf) as Instant;
  }

  /** Check-quorum begins to count anew. */
  listenFrom(now: Instant): void {
    for (const follower of this.#followers) if (follower.heardAt < now) follower.heardAt = now;
  }

  /** The index from which on followers in sight, if a little behind, still need the log. */
  neededFrom(): LogIndex {
    let needed: number = this.#log.last;
    for (const follower of this.#followers) {
      if (!this.#options.reachable(follower.node)) continue;
      needed = Math.min(needed, follower.snapshot === null ? follower.match : follower.snapshot.index);
    }
    return needed as LogIndex;
  }

  readonly #matchOf = (node: NodeId): number =>
    node === this.#options.self ? this.#log.stable : this.#byNode.get(node)!.match;
  readonly #roundOf = (node: NodeId): number =>
    node === this.#options.self ? this.#round : this.#byNode.get(node)!.round;
  readonly #heardOf = (node: NodeId): number =>
    node === this.#options.self ? this.#now : this.#byNode.get(node)!.heardAt;

  #answering(from: NodeId, term: Term): Progress | null {
    return this.#active && term === this.#term ? this.#byNode.get(from) ?? null : null;
  }

  #feedOne(follower: Progress, now: Instant): void {
    if (!this.#options.reachable(follower.node) && follower.state !== "probe") follower.holdBack();
    while (follower.mayAppend) {
      const prevIndex = follower.next - 1 as LogIndex;
      const prevTerm = this.#log.termAt(prevIndex);
      if (follower.wanted !== null || prevTerm === null) {
        this.#beginSnapshot(follower, now);
        return;
      }
      const entries = this.#entriesFrom(follower.next);
      this.#ledger.effects.send(follower.node, {
        kind: "append",
        partition: this.#ledger.partition,
        term: this.#term,
        prevIndex,
        prevTerm,
        commit: this.#ledger.commit,
        entries,
      });
      follower.sent(prevIndex + entries.length as LogIndex, now);
      if (follower.next > this.#log.last) return;
    }
  }

  /** Followers that are equally far share one array. */
  #entriesFrom(from: LogIndex): readonly Entry[] {
    const { last } = this.#log;
    if (from > last) return NONE;
    if (this.#shared === null || this.#shared.from !== from || this.#shared.last !== last) {
      this.#shared = {
        from,
        last,
        entries: this.#log.batch(from, this.#ledger.tuning.appendEntriesMax, LIMITS.appendBytesMax),
      };
    }
    return this.#shared.entries;
  }

  /**
   * A learner's snapshot must not be older than the configuration that is committed: a replica that was removed, dropped
   * its log and is taken in again would else forget entries that it had once acknowledged, and could be asked for its
   * vote by a server that has not heard of its removal. A voter has been through that, and cannot wait: the leader may
   * need it to commit anything at all. One that says it has nothing gets nothing (P6 in core/partition/replica.ts).
   */
  #beginSnapshot(follower: Progress, now: Instant): void {
    const { openSnapshot, settings } = this.#options;
    const { partition, effects } = this.#ledger;
    const learns = !isVoter(this.#ledger.configurations.effective, follower.node);
    if (learns && !this.established) return;
    const atLeast = Math.max(
      1,
      follower.wanted ?? 0,
      learns ? this.#ledger.configurations.at(this.#ledger.commit).index : 0,
    );
    const source = openSnapshot(atLeast as LogIndex);
    if (source === null) return;
    const { index, configuration } = this.#ledger.configurations.at(source.index);
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
        chunkBytesMax: this.#ledger.tuning.snapshotChunkBytesMax,
      }, now),
    );
    effects.note({ kind: "snapshot-begun", partition, to: follower.node, index: source.index });
    follower.snapshot!.pump(effects);
  }

  #acknowledged(follower: Progress, index: LogIndex, now: Instant): void {
    if (index > this.#log.last) return;
    follower.acknowledge(index, now);
    if (follower.state === "probe") follower.becomeReplicate();
    else if (follower.state === "snapshot" && follower.match >= follower.snapshot!.index) {
      follower.becomeReplicate();
    }
  }

  #refused(follower: Progress, reply: AppendReply): void {
    if (reply.refused === 0) {
      if (reply.index === 0 && isVoter(this.#ledger.configurations.effective, follower.node)) {
        if (follower.match > 0) return; // Late: it was a learner when it said so.
        const why = "It votes here and says that it never held this log: its disk is another one";
        const { effects } = this.#ledger;
        return effects.note({ kind: "refused", from: follower.node, message: "append-reply", why });
      }
      // It held a snapshot at `index` once, so that much is committed, whether this leader knew or not.
      if (this.#log.termAt(reply.index) === reply.indexTerm) this.#ledger.commitTo(reply.index);
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
    const next = hint < this.#log.base ? hint : this.#log.agreement(hint, reply.indexTerm);
    follower.becomeProbe(next + 1 as LogIndex);
  }
}
