/**
 * One partition on a few nodes in a small virtual world of its own: a network that loses, repeats, delays and cuts, disks
 * that lose what was not synced, crashes, checkpoints, reconfigurations, and watchers that keep their own books of what
 * Raft promises. Everything follows from the seed.
 */
import { fmix32 } from "../../../core/base/hash.ts";
import {
  type Instant,
  NEVER,
  type NodeId,
  nodeId,
  type PartitionId,
  type Term,
} from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, LIMITS, type Settings } from "../../../core/base/limits.ts";
import { tuningOf } from "../../../core/base/tuning.ts";
import { Random } from "../../../core/base/random.ts";
import type { ReplicaHost, ReplicaMessage } from "../../../core/partition/contracts.ts";
import { Replica } from "../../../core/partition/replica.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import { Effects, type JournalRecord, type Note, type RecoveredReplica } from "../../../core/wire/kernel.ts";
import type { Beat, BeatReply, Configuration, Entry, Message } from "../../../core/wire/messages.ts";
import type { Response } from "../../../core/wire/requests.ts";
import { Jobs } from "./jobs.ts";
import { EMPTY_TOY, number4, readNumber4, Toy, type ToyState } from "./toy.ts";

export const PARTITION = 3 as PartitionId;

type MutableLimits = { -readonly [K in keyof typeof LIMITS]: number };

/** Small enough that every test compacts, snapshots and fills windows. */
const TINY = tuningOf({
  appendEntriesMax: 4,
  logEntriesMax: 24,
  logEntriesKept: 6,
  snapshotChunkBytesMax: 64,
  proposalsPendingMax: 64,
});

export function useTinyLimits(): void {
  Object.assign(LIMITS as MutableLimits, { appendsInFlightMax: 4, snapshotChunksInFlightMax: 2 });
}

export interface Faults {
  /** In 1000 messages. */
  readonly lost: number;
  readonly repeated: number;
  readonly delayed: number;
  /** Mean time between, in microseconds; 0: never. */
  readonly crashUs: number;
  readonly cutUs: number;
  readonly retargetUs: number;
  readonly checkpointUs: number;
  readonly slowDisk: boolean;
  readonly damageUs: number;
}

export const CALM: Faults = {
  lost: 0,
  repeated: 0,
  delayed: 0,
  crashUs: 0,
  cutUs: 0,
  retargetUs: 0,
  checkpointUs: 0,
  slowDisk: false,
  damageUs: 0,
};

export interface ClusterOptions {
  readonly seed: number;
  readonly nodes: number;
  /** How many of them found the partition; the rest hold nothing yet. */
  readonly founders: number;
  readonly settings?: Partial<Settings>;
  readonly trace?: boolean;
  /** Reports everything as durable at once, and forgets it in a crash all the same. */
  readonly lyingDisk?: boolean;
}

interface Disk {
  head: readonly JournalRecord[];
  tables: ToyState;
  /** Live records since the head, by number. */
  live: { readonly number: number; readonly record: JournalRecord }[];
  checkpoint:
    | {
      readonly head: readonly JournalRecord[];
      readonly tables: ToyState;
      readonly upTo: number;
      readonly step: number;
    }
    | null;
  /** States at the ends of steps that may have reached the disk since. */
  states: { readonly step: number; readonly number: number; readonly state: ToyState }[];
  steps: number;
  written: number;
  durable: number;
}

export class Node {
  readonly effects = new Effects();
  readonly disk: Disk = {
    head: [],
    tables: EMPTY_TOY,
    live: [],
    checkpoint: null,
    states: [],
    steps: 0,
    written: 0,
    durable: 0,
  };
  replica: Replica | null = null;
  toy: Toy | null = null;
  /** Counts the lives of the node, so that what a dead one asked for does not reach the next. */
  life = 0;
  up = false;
  dirty = false;
  beatAt: Instant = NEVER;
  wakeAt: Instant = NEVER;
  wantsCheckpoint = false;
  syncedAt = 0;
  held: { readonly number: number; readonly to: NodeId; readonly message: Message }[] = [];
  beats = new Map<NodeId, Beat[]>();
  beatReplies = new Map<NodeId, BeatReply[]>();
  /** It has lost its journal, and starts with nothing, under the old name or a new one. */
  wiped = false;
  /** Who this node's membership does not see. */
  readonly unseen = new Set<NodeId>();
  constructor(readonly id: NodeId, readonly offset: number) {}
}

export class Cluster {
  readonly random: Random;
  readonly settings: Settings;
  readonly nodes: Node[] = [];
  readonly ids: NodeId[];
  faults: Faults = CALM;
  now = 0;
  target: readonly NodeId[];
  readonly founding: Configuration;

  // The watchers' books.
  readonly leaders = new Map<number, NodeId>();
  readonly committed = new Map<number, string>();
  committedMax = 0;
  readonly acknowledged = new Map<number, number>();
  acknowledgedIndex = 0;
  readonly outcomes = new Map<number, Response>();
  reads = 0;
  refusals: string[] = [];
  digest = 0;
  readonly tally = new Map<string, number>();
  readonly lines: string[] = [];

  readonly #jobs = new Jobs();
  #tokens = 0;
  readonly #trace: boolean;
  readonly #lyingDisk: boolean;
  readonly #cut = new Set<string>();
  readonly #pendingReads = new Map<number, { readonly node: number; readonly index: number }>();
  /** True stops the delivery of a message: for staging the figures of the paper. */
  filter: (from: NodeId, to: NodeId, message: Message) => boolean = () => false;

  constructor(options: ClusterOptions) {
    this.random = Random.fromSeed(options.seed);
    this.settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.#trace = options.trace ?? false;
    this.#lyingDisk = options.lyingDisk ?? false;
    this.ids = Array.from({ length: options.nodes }, (_, i) => nodeId("abcdefghij"[i]!));
    this.founding = { voters: this.ids.slice(0, options.founders), outgoing: [], learners: [] };
    this.target = this.founding.voters;
    for (const [i, id] of this.ids.entries()) this.nodes.push(new Node(id, i * 1_000_003));
    for (const node of this.nodes) this.boot(node, true);
  }

  node(id: string): Node {
    return this.nodes[this.ids.indexOf(id as NodeId)]!;
  }
  get replicas(): Replica[] {
    return this.nodes.filter((n) => n.up && n.replica !== null).map((n) => n.replica!);
  }
  get leader(): Node | null {
    let best: Node | null = null;
    for (const node of this.nodes) {
      if (!node.up || !node.replica?.isLeader) continue;
      if (best === null || node.replica.term > best.replica!.term) best = node;
    }
    return best;
  }

  // ---- time

  at(delay: number, run: () => void): void {
    this.#jobs.add(this.now + delay, run);
  }

  run(us: number): void {
    const end = this.now + us;
    while (this.#jobs.nextAt <= end) {
      const job = this.#jobs.take();
      this.now = job.at;
      job.run();
    }
    this.now = end;
  }

  /** Runs until `done` or `us` have passed; tells whether it was done. */
  runUntil(us: number, done: () => boolean): boolean {
    const end = this.now + us;
    while (!done()) {
      if (this.#jobs.nextAt > end) {
        this.now = end;
        return done();
      }
      const job = this.#jobs.take();
      this.now = job.at;
      job.run();
    }
    return true;
  }

  // ---- a node's life

  boot(node: Node, first = false): void {
    if (node.up) return;
    node.up = true;
    node.life++;
    node.beatAt = NEVER;
    node.wakeAt = NEVER;
    node.wantsCheckpoint = false;
    node.effects.persistedUpTo = node.disk.written;
    const { disk } = node;
    if (node.wiped) return;
    const recovered = first ? null : foldRecords([...disk.head, ...disk.live.map((l) => l.record)])
      .replicas.get(PARTITION) ?? null;
    const founding = first && this.founding.voters.includes(node.id);
    if (!first && recovered === null && this.founding.voters.includes(node.id)) {
      return this.open(node, null, this.founding);
    }
    if (founding) this.open(node, null, this.founding);
    else if (recovered !== null && (recovered.exists || recovered.term > 0)) this.open(node, recovered, null);
  }

  open(node: Node, recovered: RecoveredReplica | null, bootstrap: Configuration | null): void {
    node.toy = new Toy(node.disk.tables, (entry) => this.#witness(node, entry));
    node.replica = new Replica({
      partition: PARTITION,
      self: node.id,
      settings: this.settings,
      random: this.random.fork(`${node.id} ${node.life}`),
      machine: node.toy,
      host: this.#hostOf(node),
      recovered,
      bootstrap,
      restarted: node.life > 1,
      tuning: TINY,
    });
    this.step(node, (replica, now) => {
      replica.start(now);
      replica.setTarget(this.target, now);
    });
  }

  crash(node: Node): void {
    if (!node.up) return;
    this.note(node, "crash");
    node.up = false;
    node.replica = null;
    node.toy = null;
    node.held = [];
    node.beats.clear();
    node.beatReplies.clear();
    const { disk } = node;
    // What was not synced is kept up to somewhere.
    const keep = this.#lyingDisk ? disk.durable : this.random.between(disk.durable, disk.written);
    disk.live = disk.live.filter((l) => l.number <= keep);
    disk.written = keep;
    disk.durable = keep;
    const possible = disk.states.filter((s) => s.number <= keep);
    if (possible.length > 0 && this.random.chance(1, 2)) disk.tables = this.random.pick(possible).state;
    disk.states = [];
    disk.checkpoint = null;
    for (const other of this.nodes) {
      if (other === node || !this.random.chance(3, 4)) continue;
      this.at(this.random.between(100, 2000), () => {
        if (!node.up) this.step(other, (replica, now) => replica.peerLost(node.id, now));
      });
    }
  }

  /** Everything that happens to a replica happens in here. */
  step(node: Node, act: (replica: Replica, now: Instant) => void): void {
    if (!node.up || node.replica === null) return;
    const now = this.now + node.offset as Instant;
    const { effects, replica } = node;
    effects.clear();
    act(replica, now);
    replica.evaluate(now);
    this.#take(node);
    this.#watch(node);
    this.#schedule(node);
  }

  #take(node: Node): void {
    const { effects, disk } = node;
    if (effects.persist.length > 0) {
      let number = effects.persistedUpTo - effects.persist.length;
      for (const record of effects.persist) disk.live.push({ number: ++number, record });
      node.wiped = false;
      disk.written = effects.persistedUpTo;
      const took = this.faults.slowDisk ? this.random.between(100, 60_000) : this.random.between(100, 3000);
      node.syncedAt = Math.max(node.syncedAt, this.now + took);
      const { life } = node, upTo = disk.written;
      this.at(node.syncedAt - this.now, () => this.#synced(node, life, upTo));
    }
    disk.states.push({ step: ++disk.steps, number: disk.written, state: node.toy!.save() });
    if (disk.states.length > 30) disk.states.shift();
    for (const { to, message } of effects.sendNow) this.send(node.id, to, message);
    for (const [to, beats] of node.beats) this.send(node.id, to, { kind: "beats", beats });
    node.beats.clear();
    for (const [to, replies] of node.beatReplies) this.send(node.id, to, { kind: "beat-replies", replies });
    node.beatReplies.clear();
    for (const { to, message } of effects.sendAfterPersist) {
      node.held.push({ number: disk.written, to, message });
    }
    this.#release(node);
    for (const note of effects.notes) this.#heed(node, note);
    if (node.wantsCheckpoint && disk.checkpoint === null) this.checkpoint(node);
  }

  #synced(node: Node, life: number, upTo: number): void {
    if (!node.up || node.life !== life) return;
    node.disk.durable = Math.max(node.disk.durable, upTo);
    this.#release(node);
    this.step(node, (replica, now) => replica.persisted(upTo, now));
  }

  #release(node: Node): void {
    while (node.held.length > 0 && (this.#lyingDisk || node.held[0]!.number <= node.disk.durable)) {
      const { to, message } = node.held.shift()!;
      this.send(node.id, to, message);
    }
  }

  checkpoint(node: Node): void {
    const { disk } = node;
    if (!node.up || node.replica === null || disk.checkpoint !== null) return;
    const asked = node.wantsCheckpoint;
    node.wantsCheckpoint = false;
    const taken = {
      head: node.replica.checkpointRecords(),
      tables: node.toy!.save(),
      upTo: disk.written,
      step: disk.steps,
    };
    disk.checkpoint = taken;
    const { life } = node;
    const done = () => {
      if (!node.up || node.life !== life || disk.checkpoint !== taken) return;
      if (disk.durable < taken.upTo) return this.at(1000, done);
      disk.head = taken.head;
      disk.tables = taken.tables;
      disk.live = disk.live.filter((l) => l.number > taken.upTo);
      disk.states = disk.states.filter((s) => s.step >= taken.step);
      disk.checkpoint = null;
      if (asked) this.step(node, (replica, now) => replica.checkpointed(now));
      else this.step(node, () => {});
    };
    this.at(this.random.between(1000, 100_000), done);
  }

  #schedule(node: Node): void {
    const replica = node.replica;
    if (replica === null) return;
    const { life } = node;
    if (replica.wantsBeats && node.beatAt === NEVER) {
      node.beatAt = this.now + this.settings.heartbeatUs as Instant;
      this.at(this.settings.heartbeatUs, () => {
        if (!node.up || node.life !== life) return;
        node.beatAt = NEVER;
        this.step(node, (r, now) => r.beat(now));
      });
    }
    const wake = replica.nextWake();
    if (wake === NEVER) return;
    const due = Math.max(this.now, wake - node.offset);
    if (node.wakeAt > this.now && node.wakeAt <= due) return;
    node.wakeAt = due as Instant;
    this.at(due - this.now, () => {
      if (!node.up || node.life !== life) return;
      node.wakeAt = NEVER;
      this.step(node, (r, now) => r.wake(now));
    });
  }

  #hostOf(node: Node): ReplicaHost {
    return {
      effects: node.effects,
      beat: (to, beat) => push(node.beats, to, beat),
      beatReply: (to, reply) => push(node.beatReplies, to, reply),
      answer: (token, response) => this.#answered(node, token, response),
      readable: (token, refused) => this.#readable(node, token, refused),
      requestCheckpoint: () => node.wantsCheckpoint = true,
      reachable: (other) => !node.unseen.has(other),
      fit: () => true,
    };
  }

  // ---- the network

  cutBetween(a: NodeId, b: NodeId, both: boolean): void {
    this.#cut.add(a + b);
    if (both) this.#cut.add(b + a);
  }
  isolate(id: NodeId): void {
    for (const other of this.ids) if (other !== id) this.cutBetween(id, other, true);
  }
  heal(): void {
    this.#cut.clear();
  }

  send(from: NodeId, to: NodeId, message: Message): void {
    if (this.#cut.has(from + to) || this.filter(from, to, message)) return;
    if (this.random.chance(this.faults.lost, 1000)) return;
    const copies = this.random.chance(this.faults.repeated, 1000) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      const late = this.random.chance(this.faults.delayed, 1000);
      const delay = late ? this.random.between(1000, 800_000) : this.random.between(200, 1500);
      this.at(delay, () => this.#deliver(from, to, message));
    }
  }

  #deliver(from: NodeId, to: NodeId, message: Message): void {
    const node: Node | undefined = this.node(to);
    if (node === undefined || !node.up || this.#cut.has(from + to)) return;
    if (message.kind === "beat-replies") {
      this.step(node, (r, now) => message.replies.forEach((reply) => r.handleBeatReply(from, reply, now)));
      return;
    }
    if (node.replica === null) this.open(node, null, null);
    if (message.kind === "beats") {
      this.step(node, (r, now) => message.beats.forEach((beat) => r.handleBeat(from, beat, now)));
    } else this.step(node, (r, now) => r.handle(from, message as ReplicaMessage, now));
  }

  // ---- clients

  propose(node: Node): number {
    const token = ++this.#tokens;
    this.step(node, (replica, now) => replica.propose(number4(token), token, now));
    return token;
  }

  read(node: Node): number {
    const token = ++this.#tokens;
    this.#pendingReads.set(token, { node: this.nodes.indexOf(node), index: this.acknowledgedIndex });
    this.step(node, (replica, now) => replica.read(token, now));
    return token;
  }

  #answered(node: Node, token: number, response: Response): void {
    if (this.outcomes.has(token)) this.fail(`token ${token} answered twice`);
    this.outcomes.set(token, response);
    if (response.kind !== "done") return;
    this.acknowledged.set(token, response.version);
    if (node.toy!.numbers.at(-1) !== token) this.fail(`token ${token} answered before it was applied`);
    this.acknowledgedIndex = Math.max(this.acknowledgedIndex, response.version);
  }

  #readable(node: Node, token: number, refused: Response | null): void {
    if (this.outcomes.has(token)) this.fail(`read ${token} answered twice`);
    this.outcomes.set(token, refused ?? { kind: "done", version: 0 });
    const read = this.#pendingReads.get(token)!;
    this.#pendingReads.delete(token);
    if (refused !== null) return;
    this.reads++;
    if (node.toy!.appliedIndex < read.index) {
      this.fail(`read ${token} at ${node.id} sees ${node.toy!.appliedIndex}, acknowledged was ${read.index}`);
    }
  }

  // ---- the watchers

  fail(what: string): never {
    throw new Error(`${what} (at ${this.now})`);
  }

  note(node: Node, what: string): void {
    if (this.#trace) this.lines.push(`${String(this.now).padStart(9)} ${node.id} ${what}`);
  }

  /** State machine safety, and with it log matching of what is committed. */
  #witness(node: Node, entry: Entry): void {
    const what = `${entry.term} ${entry.kind} ${entry.kind === "command" ? readNumber4(entry.data) : ""}`;
    const known = this.committed.get(entry.index);
    if (known === undefined) {
      this.committed.set(entry.index, what);
      this.committedMax = Math.max(this.committedMax, entry.index);
    } else if (known !== what) {
      this.fail(`${node.id} applies "${what}" at ${entry.index} where "${known}" was applied`);
    }
  }

  #watch(node: Node): void {
    const replica = node.replica!;
    this.digest = fmix32(this.digest ^ replica.fingerprint() ^ this.now);
    if (replica.appliedIndex > replica.commitIndex) this.fail(`${node.id} applied what is not committed`);
    if (this.#trace) {
      const line = replica.describe();
      this.note(node, line);
    }
  }

  #heed(node: Node, note: Note): void {
    this.tally.set(note.kind, (this.tally.get(note.kind) ?? 0) + 1);
    if (note.kind === "refused") {
      this.refusals.push(`${node.id}: ${note.message} from ${note.from}: ${note.why}`);
    }
    if (this.#trace) this.note(node, JSON.stringify(note));
    if (note.kind === "leader") this.#crowned(node, note.term);
  }

  /** Election safety (5.2) and leader completeness (5.4). */
  #crowned(node: Node, term: Term): void {
    const other = this.leaders.get(term);
    if (other !== undefined && other !== node.id) this.fail(`${other} and ${node.id} both lead term ${term}`);
    const late = [...this.leaders.keys()].some((known) => known > term);
    this.leaders.set(term, node.id);
    // Elected by votes that were under way for long: what a later leader has committed since is not for it to have.
    if (late) return;
    const replica = node.replica!;
    if (replica.lastIndex < this.committedMax) {
      this.fail(`${node.id} leads term ${term} with ${replica.lastIndex} of ${this.committedMax} entries`);
    }
    this.#matchCommitted(node);
  }

  #matchCommitted(node: Node): void {
    for (const record of node.replica!.checkpointRecords()) {
      if (record.kind !== "entries") continue;
      for (const entry of record.entries) {
        const known = this.committed.get(entry.index);
        const what = `${entry.term} ${entry.kind} ${entry.kind === "command" ? readNumber4(entry.data) : ""}`;
        if (known !== undefined && known !== what) {
          this.fail(`${node.id} leads with "${what}" at ${entry.index} where "${known}" was committed`);
        }
      }
    }
  }

  // ---- the world's own course

  /** Membership looks around: who has not been seen for a while is suspected. */
  lookAround(): void {
    for (const node of this.nodes) {
      if (!node.up) continue;
      for (const other of this.nodes) {
        if (other === node) continue;
        const seen = other.up && !this.#cut.has(node.id + other.id) && !this.#cut.has(other.id + node.id);
        if (seen === !node.unseen.has(other.id)) continue;
        if (seen) node.unseen.delete(other.id);
        else node.unseen.add(other.id);
        this.step(
          node,
          (replica, now) =>
            seen ? replica.memberAlive(other.id, now) : replica.leaderSuspected(other.id, now),
        );
      }
    }
  }

  retarget(target: readonly NodeId[]): void {
    this.target = target;
    for (const node of this.nodes) this.step(node, (replica, now) => replica.setTarget(target, now));
  }

  /** Who is outside of the target and was told by a newer committed configuration lets go. */
  sweep(): void {
    for (const node of this.nodes) {
      const replica = node.replica;
      if (!node.up || replica === null || replica.isLeader || this.target.includes(node.id)) continue;
      const other = this.random.pick(this.nodes);
      if (!other.up || other === node || other.replica === null) continue;
      const { committedConfiguration: known, committedConfigurationIndex: index } = other.replica;
      if (known.voters.length === 0 || index < replica.configurationIndex) continue;
      if ([...known.voters, ...known.outgoing, ...known.learners].includes(node.id)) continue;
      if (replica.configuration.voters.length === 0) continue;
      this.step(node, (r, now) => r.drop(now));
      this.tally.set("dropped", (this.tally.get("dropped") ?? 0) + 1);
    }
  }
}

function push<T>(lists: Map<NodeId, T[]>, to: NodeId, item: T): void {
  const list = lists.get(to);
  if (list === undefined) lists.set(to, [item]);
  else list.push(item);
}
