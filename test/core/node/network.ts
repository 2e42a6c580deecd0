/**
 * A few whole nodes on a perfect network with one clock: messages take 1 ms, a sync of the journal 0.2 ms. For tests
 * of what nodes do together; the simulator in sim/ is the place for faults.
 */
import assert from "node:assert/strict";
import { type Instant, NEVER, type NodeId, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../../core/base/limits.ts";
import { type Tuning, tuningOf } from "../../../core/base/tuning.ts";
import { Random } from "../../../core/base/random.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import { findMember } from "../../../core/system/system.ts";
import { Node } from "../../../core/node/node.ts";
import type { Origin } from "../../../core/node/options.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import type { Effects, Input, JournalRecord, Note } from "../../../core/wire/kernel.ts";
import type { Member, Message } from "../../../core/wire/messages.ts";
import type { Op, Response, Session } from "../../../core/wire/requests.ts";
import type { Principal, Security } from "../../../core/wire/security.ts";
import { MemoryTables } from "../../../sim/tables.ts";
import { MemoryChunks } from "../objects/chunk_disk.ts";

const LATENCY_US = 1_000;
const SYNC_US = 200;

interface Disk {
  records: JournalRecord[];
  readonly tables: MemoryTables;
}

export interface AskOptions {
  readonly session?: Session;
  readonly who?: Principal | null;
  readonly client?: number;
}

interface Event {
  readonly at: number;
  readonly run: () => void;
}

export class Network {
  now = 0;
  readonly nodes = new Map<NodeId, Node>();
  readonly notes: { readonly node: NodeId; readonly note: Note }[] = [];
  readonly replies: { readonly node: NodeId; readonly id: number; readonly response: Response }[] = [];
  readonly stopped = new Set<NodeId>();
  /** Pairs "from to" that hear nothing of each other. */
  readonly cut = new Set<string>();
  /** What a crash leaves of each node: its journal, as of its last sync, and its tables. */
  readonly disks = new Map<NodeId, Disk>();
  /** Fragments of objects: they outlive their nodes' lives, as disks do. */
  readonly chunks = new Map<NodeId, MemoryChunks>();
  readonly #down = new Set<NodeId>();
  /** How long checkpoints take, and those of single nodes. */
  checkpointUs = SYNC_US;
  readonly checkpointUsOf = new Map<string, number>();
  readonly #settings: Settings;
  readonly #tuning: Tuning;
  readonly #events: Event[] = [];
  #request = 0;
  #lives = 0;
  /** Told of each message that a node sends. */
  sending: (from: NodeId, to: NodeId, message: Message) => void = () => {};
  /** Told of the start of a node, and of all that a step asked for besides. */
  started: (id: NodeId) => void = () => {};
  stepped: (id: NodeId, effects: Effects) => void = () => {};
  /** Who asks where nobody else is named. */
  who: Principal | null = null;

  constructor(
    names: readonly string[],
    settings: Partial<Settings> = {},
    tuning: Partial<Tuning> = {},
    founding: { readonly security?: Security; readonly member?: (name: string) => Member } = {},
  ) {
    this.#tuning = tuningOf(tuning);
    this.#settings = { ...DEFAULT_SETTINGS, partitions: 4, graceUs: 2_000_000, ...settings };
    const members = names.map(founding.member ?? member);
    const { security = null } = founding;
    const view = genesisView({ network: "0".repeat(32), settings: this.#settings, members, security });
    for (const { id } of members) this.start(id, { kind: "genesis", view });
  }

  start(id: NodeId, origin: Origin): Node {
    const random = Random.fromSeed(7).fork(`${id} ${this.#lives++}`);
    const disk = origin.kind === "recovered" ? this.disk(id) : { records: [], tables: new MemoryTables() };
    this.disks.set(id, disk);
    const options = { id, address: `${id}:1`, origin, random, tables: disk.tables, tuning: this.#tuning };
    const node = new Node(options);
    this.nodes.set(id, node);
    this.#durable.delete(id);
    this.#down.delete(id);
    this.step(id, { kind: "start" });
    this.started(id);
    return node;
  }

  disk(name: string): Disk {
    return this.disks.get(nodeId(name)) ?? assert.fail(`${name} has a disk`);
  }

  /** Starts a node again from what is on its disk. */
  restart(name: string): Node {
    this.kill(name);
    return this.start(nodeId(name), { kind: "recovered", recovered: foldRecords(this.disk(name).records) });
  }

  chunksOf(name: string): MemoryChunks {
    const id = nodeId(name);
    let chunks = this.chunks.get(id);
    if (chunks === undefined) this.chunks.set(id, chunks = new MemoryChunks());
    return chunks;
  }

  loseTables(name: string): void {
    const id = nodeId(name);
    this.disks.set(id, { ...this.disk(name), tables: new MemoryTables() });
  }

  /** Joins as a host does: by a request to a member, whose answer the new node starts from. */
  join(name: string, through: string, change: Partial<Member> = {}): Node {
    const newcomer = { ...member(name), ...change };
    const joined = this.ask(through, { kind: "join", member: newcomer, network: null });
    assert.equal(joined.kind, "joined", JSON.stringify(joined));
    assert.ok(joined.kind === "joined");
    return this.start(newcomer.id, { kind: "joined", view: joined.view });
  }

  kill(name: string): void {
    this.#down.add(nodeId(name));
  }

  step(id: NodeId, input: Input): void {
    const node = this.nodes.get(id);
    if (node === undefined || this.#down.has(id)) return;
    const effects = node.step(input, this.now as Instant);
    const { persistedUpTo: upTo, checkpoint } = effects;
    const disk = this.disk(id);
    disk.records.push(...effects.persist);
    if (checkpoint !== null) disk.records = [...checkpoint.records];
    for (const note of effects.notes) this.notes.push({ node: id, note });
    for (const { id: request, response } of effects.replies) {
      this.replies.push({ node: id, id: request, response });
    }
    for (const { to, message } of [...effects.sendNow, ...effects.sendAfterPersist]) {
      this.sending(id, to, message);
    }
    for (const { to, message } of effects.sendNow) {
      this.#send(id, to, { kind: "messages", from: id, messages: [message] });
    }
    const later = effects.sendAfterPersist.map(({ to, message }) => ({ to, message }));
    this.at(this.now + (effects.persist.length > 0 ? SYNC_US : 0), () => {
      for (const { to, message } of later) {
        this.#send(id, to, { kind: "messages", from: id, messages: [message] });
      }
      if (upTo > 0 && this.nodes.get(id) === node) this.#persisted(id, upTo);
    });
    if (checkpoint !== null) {
      this.at(
        this.now + (this.checkpointUsOf.get(id) ?? this.checkpointUs),
        () =>
          this.nodes.get(id) === node &&
          this.step(id, { kind: "checkpointed", checkpoint: checkpoint.number }),
      );
    }
    if (effects.chunkOps.length > 0) {
      const results = effects.chunkOps.map((op) => this.chunksOf(id).take(op));
      this.at(
        this.now + SYNC_US,
        () => this.nodes.get(id) === node && this.step(id, { kind: "chunks", results }),
      );
    }
    if (effects.stopped) this.stopped.add(id);
    this.stepped(id, effects);
    this.#arm(id, node);
  }

  readonly #durable = new Map<NodeId, number>();
  #persisted(id: NodeId, upTo: number): void {
    if (upTo <= (this.#durable.get(id) ?? 0)) return;
    this.#durable.set(id, upTo);
    this.step(id, { kind: "persisted", upTo });
  }

  #send(from: NodeId, to: NodeId, input: Input): void {
    if (this.cut.has(`${from} ${to}`)) return;
    this.at(this.now + LATENCY_US, () => this.step(to, input));
  }

  #arm(id: NodeId, node: Node): void {
    const at = node.nextWake();
    if (at === NEVER) return;
    this.at(Math.max(at, this.now), () => {
      if (this.nodes.get(id) === node && node.nextWake() <= this.now) this.step(id, { kind: "wake" });
    });
  }

  at(at: number, run: () => void): void {
    let i = this.#events.length;
    while (i > 0 && this.#events[i - 1]!.at > at) i--;
    this.#events.splice(i, 0, { at, run });
  }

  run(us: number): void {
    const end = this.now + us;
    while (this.#events.length > 0 && this.#events[0]!.at <= end) {
      const { at, run } = this.#events.shift()!;
      this.now = at;
      run();
    }
    this.now = end;
  }

  /** Runs until `done` holds, for at most `us`. */
  until(done: () => boolean, us: number, what: string): void {
    for (const end = this.now + us; !done();) {
      assert.ok(this.now < end, `${what} within ${us} µs`);
      this.run(10_000);
    }
  }

  /** Hands a request to a node and returns its number. */
  request(name: string, op: Op, { session, who = this.who, client = 1 }: AskOptions = {}): number {
    const id = ++this.#request;
    const request = session === undefined ? { op } : { op, session };
    const asked = { client, id, request, ...(who === null ? null : { who }) };
    this.step(nodeId(name), { kind: "requests", requests: [asked] });
    return id;
  }

  /** The first answer to a request, waited for. */
  ask(name: string, op: Op, options: AskOptions = {}): Response {
    const id = this.request(name, op, options);
    const found = () => this.replies.find((r) => r.id === id)?.response;
    this.until(() => found() !== undefined, 10_000_000, `An answer to ${op.kind}`);
    return found()!;
  }

  /** Elections are over: every partition is led, and everyone knows by whom. */
  settle(): void {
    const led = () => {
      const leaders = new Set<number>();
      for (const [id, node] of this.nodes) {
        if (this.#down.has(id)) continue;
        for (const { partition, replica } of node.replicas()) if (replica.isLeader) leaders.add(partition);
      }
      return leaders.size === this.#settings.partitions + 1;
    };
    this.until(led, 20_000_000, "Every partition is led");
    this.run(200_000);
  }

  leaderOf(partition: number): NodeId {
    for (const [id, node] of this.nodes) {
      if (this.#down.has(id)) continue;
      if (node.replicas().some((s) => s.partition === partition && s.replica.isLeader)) return id;
    }
    return assert.fail(`Partition ${partition} is led`);
  }

  /** Nodes that are up. */
  isDown(id: NodeId): boolean {
    return this.#down.has(id);
  }

  get running(): Node[] {
    return [...this.nodes.values()].filter(({ id }) => !this.#down.has(id));
  }

  /** Every partition is led, and has the voters that the layout wants, all of them up. */
  placed(): boolean {
    const led = new Set<number>();
    for (const node of this.running) {
      for (const { partition, replica } of node.replicas()) {
        if (!replica.isLeader) continue;
        const { voters, outgoing, learners } = replica.configuration;
        const wanted = node.view().assignment[partition]!;
        if (outgoing.length > 0 || learners.length > 0 || voters.length !== wanted.length) return false;
        if (!wanted.every((n) => voters.includes(n) && !this.#down.has(n))) return false;
        led.add(partition);
      }
    }
    return led.size === this.#settings.partitions + 1;
  }

  stateOf(name: string, at: string): string {
    return findMember(this.node(at).view(), nodeId(name))?.state ?? "outside";
  }

  node(name: string): Node {
    return this.nodes.get(nodeId(name)) ?? assert.fail(`${name} is there`);
  }
}

export function member(name: string): Member {
  return { id: nodeId(name), address: `${name}:1`, zone: name, capacity: 1, state: "active", disk: name };
}
