/**
 * The chunk machines of a few nodes, on a network and on disks of the test's own: who is away, silent, full or lying is
 * said by the test, and messages may be lost, doubled and changed on the way.
 */
import assert from "node:assert/strict";
import { type Instant, NEVER, type NodeId, nodeId, partitionId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { type Tuning, tuningOf } from "../../../core/base/tuning.ts";
import { ViewHolders } from "../../../core/node/holders.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { erasureCoder } from "../../../core/objects/erasure.ts";
import { fragmentHash } from "../../../core/objects/fragment.ts";
import type { Presence } from "../../../core/objects/holders.ts";
import { Objects } from "../../../core/objects/objects.ts";
import { drawnSegment } from "../../../core/objects/segment_id.ts";
import { Effects } from "../../../core/wire/kernel.ts";
import type { Member, Message, SystemView } from "../../../core/wire/messages.ts";
import type { ChunkResult, FragmentId, Scheme, SegmentId } from "../../../core/wire/objects.ts";
import type { ChunkRequestOp, Response } from "../../../core/wire/requests.ts";
import { MemoryChunks } from "./chunk_disk.ts";

export const LATENCY_US = 1_000;
export const DISK_US = 500;
/** Whose writer the test is. */
const { id, token } = drawnSegment(new Uint8Array(32).fill(1), { bucket: "b", key: "k" });
export const SEGMENT: SegmentId = { partition: partitionId(2), segment: id };
export const TOKEN = token;

export class ChunkNode {
  readonly effects = new Effects();
  readonly disk = new MemoryChunks();
  readonly objects: Objects;
  /** How others see it. */
  presence: Presence = "here";
  /** Takes everything in and says nothing. */
  silent = false;
  low = false;
  readonly rotten: FragmentId[] = [];
  readonly gone: SegmentId[] = [];

  constructor(readonly id: NodeId, network: ChunkNetwork, tuning: Tuning, firstNumber: number) {
    this.objects = new Objects({
      self: id,
      effects: this.effects,
      tuning,
      coder: erasureCoder,
      holders: () => network.holders,
      presence: (node) => network.node(node).presence,
      low: () => this.low,
      partitions: () => 4,
      version: () => 1,
      firstNumber,
    });
    this.objects.listener = {
      written: () => {},
      removed: () => {},
      rotten: (fragment) => void this.rotten.push(fragment),
      absent: () => {},
      gone: (segments) => void this.gone.push(...segments),
      mayTell: () => true,
      status: () => assert.fail("nobody asks"),
    };
  }
}

export interface Told {
  readonly node: NodeId;
  readonly client: number;
  readonly id: number;
  readonly response: Response;
  readonly at: number;
}

/** What becomes of a message: those that arrive in its place. */
export type Tamper = (from: NodeId, to: NodeId, message: Message) => readonly Message[];

export class ChunkNetwork {
  now = 0;
  readonly nodes: ChunkNode[];
  readonly told: Told[] = [];
  readonly sent: { readonly from: NodeId; readonly to: NodeId; readonly message: Message }[] = [];
  tamper: Tamper = (_from, _to, message) => [message];
  latency = () => LATENCY_US;
  #view: SystemView;
  #holders: ViewHolders;
  readonly #events: { readonly at: number; readonly run: () => void }[] = [];
  #requests = 0;

  constructor(count: number, tuning: Partial<Tuning> = {}) {
    const members = Array.from({ length: count }, (_, i): Member => ({
      id: nodeId(`n${i}`),
      address: `n${i}:1`,
      zone: `z${i}`,
      capacity: 1,
      state: "active",
      disk: "",
    }));
    const settings = { ...DEFAULT_SETTINGS, partitions: 4 };
    this.#view = genesisView({ network: "0".repeat(32), settings, members, security: null });
    this.#holders = new ViewHolders(this.#view);
    this.nodes = members.map(({ id }, i) => new ChunkNode(id, this, tuningOf(tuning), 1000 * (i + 1)));
  }

  get holders(): ViewHolders {
    return this.#holders;
  }
  /** Changes the members that the view has. */
  change(change: (member: Member) => Member): void {
    this.#view = { ...this.#view, members: this.#view.members.map(change) };
    this.#holders = new ViewHolders(this.#view);
  }
  node(id: NodeId | number): ChunkNode {
    const found = typeof id === "number" ? this.nodes[id] : this.nodes.find((n) => n.id === id);
    return found ?? assert.fail(`${id} is there`);
  }
  /** Those who should hold the `count` fragments of a chunk, then all others in the order in which they take their places. */
  order(count = 3, chunk = 0, segment = SEGMENT): ChunkNode[] {
    const hash = fragmentHash(segment.segment, chunk);
    const places = this.holders.place(hash, count).filter((id) => id !== null);
    return [...places, ...this.holders.spares(hash, count, 1000)].map((id) => this.node(id));
  }
  /** Who holds this fragment on its disk. */
  holdersOf(fragment: FragmentId): NodeId[] {
    return this.nodes.filter((n) => n.disk.get(fragment) !== null).map((n) => n.id);
  }

  // ---- what happens

  request(node: ChunkNode, op: ChunkRequestOp, client = 1): number {
    const id = ++this.#requests;
    this.act(node, () => node.objects.request({ client, id }, op, this.now as Instant));
    return id;
  }
  put(node: ChunkNode, bytes: Uint8Array, scheme: Scheme, chunk = 0): number {
    return this.request(node, { kind: "chunk-put", segment: SEGMENT, chunk, scheme, token: TOKEN, bytes });
  }
  get(node: ChunkNode, length: number, scheme: Scheme, chunk = 0, attempt = 0): number {
    return this.request(node, { kind: "chunk-get", segment: SEGMENT, chunk, scheme, length, attempt });
  }
  /** The answer, waited for. */
  answer(id: number, us = 6_000_000): Response {
    const found = () => this.told.find((t) => t.id === id)?.response;
    for (const end = this.now + us; found() === undefined && this.now < end;) this.run(500);
    return found() ?? assert.fail(`An answer to ${id} within ${us} µs`);
  }
  answeredAt(id: number): number {
    return this.told.find((t) => t.id === id)?.at ?? assert.fail(`${id} was answered`);
  }

  act(node: ChunkNode, what: () => void): void {
    const { effects, objects } = node, now = this.now as Instant;
    effects.clear();
    what();
    while (objects.settle(now));
    for (const { client, id, response } of effects.replies) {
      assert.ok(!this.told.some((t) => t.client === client && t.id === id), "Q1: answered once");
      this.told.push({ node: node.id, client, id, response, at: this.now });
    }
    for (const { to, message } of effects.sendNow) {
      this.sent.push({ from: node.id, to, message });
      if (node.silent) continue;
      for (const arriving of this.tamper(node.id, to, message)) this.#deliver(node.id, to, arriving);
    }
    if (effects.chunkOps.length > 0) {
      const results = effects.chunkOps.map((op) => node.disk.take(op));
      this.#at(this.now + DISK_US, () => this.results(node, results));
    }
    const wakeAt = objects.nextWake();
    if (wakeAt === NEVER) return;
    assert.ok(wakeAt >= now, "what was due is done");
    this.#at(wakeAt, () => {
      if (objects.nextWake() <= this.now) this.act(node, () => objects.wake(this.now as Instant));
    });
  }

  results(node: ChunkNode, results: readonly ChunkResult[]): void {
    this.act(node, () => node.objects.results(results, this.now as Instant));
  }

  deliver(from: NodeId, to: ChunkNode, message: Message): void {
    this.act(to, () => {
      switch (message.kind) {
        case "fragment-put":
        case "fragment-put-reply":
        case "fragment-get":
        case "fragment-get-reply":
        case "fragment-check":
        case "fragment-check-reply":
        case "segments-gone":
          return to.objects.handle(from, message, this.now as Instant);
        default:
          return assert.fail(`No machine here sends "${message.kind}"`);
      }
    });
  }

  #deliver(from: NodeId, to: NodeId, message: Message): void {
    this.#at(this.now + this.latency(), () => this.deliver(from, this.node(to), message));
  }

  #at(at: number, run: () => void): void {
    let i = this.#events.length;
    while (i > 0 && this.#events[i - 1]!.at > at) i--;
    this.#events.splice(i, 0, { at, run });
  }

  run(us: number): void {
    const end = this.now + us;
    while (this.#events.length > 0 && this.#events[0]!.at <= end) {
      const { at, run } = this.#events.shift()!;
      this.now = Math.max(this.now, at);
      run();
    }
    this.now = end;
  }

  /** Nothing is left to do for anybody. */
  assertIdle(): void {
    for (const { id, objects } of this.nodes) {
      assert.equal(objects.requests, 0, `${id} has requests`);
      assert.equal(objects.asks.size, 0, `${id} asks`);
      assert.equal(objects.fetcher.size, 0, `${id} fetches`);
      assert.equal(objects.disk.size, 0, `${id} waits for its disk`);
      assert.equal(objects.nextWake(), NEVER, `${id} wants to be woken`);
    }
  }
}

export function bytesOf(length: number, seed = 1): Uint8Array {
  const random = Random.fromSeed(seed);
  return Uint8Array.from({ length }, () => random.below(256));
}
export const replicated = (copies: number): Scheme => ({ kind: "replicated", copies });
export const striped = (data: number, parity: number): Scheme => ({ kind: "striped", data, parity });
export const fragmentAt = (chunk: number, index: number): FragmentId => ({ ...SEGMENT, chunk, index });
