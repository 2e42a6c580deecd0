/**
 * A few nodes that keep their fragments in order, on disks, a network and a registry of the test's own. Everything takes a
 * while that is drawn anew each time, views spread slowly, and what is done to disks and rows is up to the test.
 */
import assert from "node:assert/strict";
import { type Instant, type NodeId, nodeId, type PartitionId, partitionId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { type Tuning, tuningOf } from "../../../core/base/tuning.ts";
import { ViewHolders } from "../../../core/node/holders.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { erasureCoder } from "../../../core/objects/erasure.ts";
import {
  chunkCount,
  compareFragments,
  type Fragment,
  fragmentCount,
  fragmentHash,
  fragmentKey,
  indexAt,
  makeFragments,
  neededCount,
  parseFragment,
  sealedBytesOf,
} from "../../../core/objects/fragment.ts";
import { Objects } from "../../../core/objects/objects.ts";
import {
  decodeSegmentRecord,
  encodeSegmentRecord,
  type SegmentRecord,
} from "../../../core/objects/registry.ts";
import { segmentOfRow, segmentRow } from "../../../core/objects/rows.ts";
import { drawnSegment, SEGMENT_SECRET_BYTES } from "../../../core/objects/segment_id.ts";
import { Upkeep, type UpkeepOptions } from "../../../core/objects/upkeep.ts";
import { Effects, type Note } from "../../../core/wire/kernel.ts";
import type { Member, Message, SystemView } from "../../../core/wire/messages.ts";
import type { ChunkOp, ChunkResult, FragmentId, Scheme, SegmentId } from "../../../core/wire/objects.ts";
import { refusal } from "../../../core/wire/ops.ts";
import type { GetOp, KeyValue, RangeOp, Response } from "../../../core/wire/requests.ts";

export const PARTITIONS = 4;
/** The object that all segments are part of. */
const OWNER = { bucket: "b", key: "k" };
const VERSION = { term: 1, index: 1 } as KeyValue["version"];

/** What the tests say of a segment. */
export type Committed = Omit<SegmentRecord, "proof">;

interface File {
  readonly fragment: FragmentId;
  bytes: Uint8Array;
  readonly at: number;
}

export class Keeper {
  effects = new Effects();
  files = new Map<string, File>();
  view: SystemView;
  holders: ViewHolders;
  objects!: Objects;
  upkeep!: Upkeep;
  alive = true;
  low = false;
  /** Clients have requests under way. */
  busy = false;
  /** Reads of these fail. */
  readonly unreadable = new Set<string>();
  readonly notes: { readonly at: number; readonly note: Note }[] = [];
  /** Counts lives: what was asked by an earlier one has no answer. */
  life = 0;
  readonly busyUntil = new Map<string, number>();
  bytesRead = 0;

  constructor(readonly id: NodeId, readonly network: UpkeepNetwork, view: SystemView) {
    this.view = view;
    this.holders = new ViewHolders(view);
    this.restart();
  }

  restart(): void {
    const { network, id } = this;
    this.life++;
    this.alive = true;
    this.effects = new Effects();
    const first = 1 + network.random.below(1_000_000);
    const { tuning } = network;
    this.objects = new Objects({
      self: id,
      effects: this.effects,
      tuning,
      coder: erasureCoder,
      holders: () => this.holders,
      presence: (node) => network.keepers.get(node)?.alive ? "here" : "away",
      low: () => this.low,
      partitions: () => PARTITIONS,
      version: () => 1,
      firstNumber: first,
    });
    this.upkeep = new Upkeep({
      self: id,
      effects: this.effects,
      objects: this.#withClients(),
      tuning,
      coder: erasureCoder,
      holders: () => this.holders,
      presence: (node) => network.keepers.get(node)?.alive ? "here" : "away",
      partitions: () => PARTITIONS,
      standing: () => {
        const state = this.view.members.find((m) => m.id === id)?.state;
        return state === "active" || state === "draining" ? state : null;
      },
      read: (op, _now, done) => network.read(this, op, done),
    });
    this.objects.listener = this.upkeep;
  }

  #withClients(): UpkeepOptions["objects"] {
    const { disk, holder, asks, fetcher } = this.objects, busy = () => this.busy;
    return {
      disk,
      holder,
      asks,
      fetcher,
      get requests() {
        return busy() ? 1 : 0;
      },
    };
  }

  of(fragment: FragmentId): Fragment | null {
    const file = this.files.get(fragmentKey(fragment));
    return file === undefined ? null : parseFragment(file.bytes, fragment);
  }
  /** Sorted names. */
  get names(): string[] {
    return [...this.files.values()].sort((a, b) => compareFragments(a.fragment, b.fragment))
      .map(({ fragment }) => nameOf(fragment));
  }
  count(kind: Note["kind"], since = 0): number {
    return this.notes.filter(({ note, at }) => note.kind === kind && at >= since).length;
  }
}

export class UpkeepNetwork {
  now = 1;
  readonly random: Random;
  readonly tuning: Tuning;
  readonly keepers = new Map<NodeId, Keeper>();
  /** The registry of living segments, by the row's key. */
  readonly rows = new Map<string, Uint8Array>();
  /** Of a hundred reads so many are refused. */
  refusals = 0;
  /** Messages for which it says false are lost. */
  passes: (from: NodeId, to: NodeId, message: Message) => boolean = () => true;
  /** Called when a disk has removed something. */
  onRemove: (keeper: Keeper, fragment: FragmentId) => void = () => {};
  onRead: (op: GetOp | RangeOp) => void = () => {};
  messages: { readonly at: number; readonly message: Message }[] = [];
  view: SystemView;
  #order = 0;
  readonly #events: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  readonly #proofs = new Map<string, Uint8Array>();

  constructor(count: number, { seed = 1, tuning = {} }: { seed?: number; tuning?: Partial<Tuning> } = {}) {
    this.random = Random.fromSeed(seed);
    this.tuning = tuningOf({ scrubBytesPerSecond: 0, ...tuning });
    const members = Array.from({ length: count }, (_, i) => memberOf(i));
    const settings = { ...DEFAULT_SETTINGS, partitions: PARTITIONS };
    this.view = genesisView({ network: "0".repeat(32), settings, members, security: null });
    for (const { id } of members) this.keepers.set(id, new Keeper(id, this, this.view));
    for (const keeper of this.keepers.values()) this.begin(keeper);
  }

  get all(): Keeper[] {
    return [...this.keepers.values()];
  }
  keeper(i: number): Keeper {
    return this.keepers.get(nodeId(`n${i}`)) ?? assert.fail(`n${i} is there`);
  }

  // ---- lives

  begin(keeper: Keeper): void {
    this.act(keeper, () => keeper.upkeep.begin(this.now as Instant));
  }
  stop(keeper: Keeper): void {
    keeper.alive = false;
    keeper.life++;
    for (const other of this.all) {
      if (other.alive) this.act(other, () => other.objects.peerDown(keeper.id, this.now as Instant));
    }
  }
  start(keeper: Keeper): void {
    keeper.view = this.view;
    keeper.holders = new ViewHolders(this.view);
    keeper.restart();
    this.begin(keeper);
    for (const other of this.all) {
      if (other !== keeper && other.alive) {
        this.act(other, () => other.upkeep.peerAlive(this.now as Instant));
      }
    }
  }

  // ---- members

  /** The agreed view, which gets to each node at a time of its own, at most `spreadUs` from now. */
  change(members: readonly Member[], spreadUs = 500_000): void {
    this.view = { ...this.view, version: this.view.version + 1, members: [...members].sort(byId) };
    const { view } = this;
    for (const member of members) {
      if (this.keepers.has(member.id)) continue;
      const keeper = new Keeper(member.id, this, view);
      this.keepers.set(member.id, keeper);
      this.begin(keeper);
    }
    for (const keeper of this.all) {
      this.at(this.now + this.random.below(spreadUs + 1), () => {
        if (keeper.alive && keeper.view.version < view.version) this.tell(keeper, view);
      });
    }
  }
  /** One node takes a view over. */
  tell(keeper: Keeper, view: SystemView): void {
    this.act(keeper, () => {
      keeper.view = view;
      keeper.holders = new ViewHolders(view);
      keeper.upkeep.membersChanged(this.now as Instant);
    });
  }
  setState(id: NodeId, state: Member["state"], spreadUs?: number): void {
    this.change(this.view.members.map((m) => m.id === id ? { ...m, state } : m), spreadUs);
  }
  join(i: number, spreadUs?: number): void {
    this.change([...this.view.members, memberOf(i)], spreadUs);
  }

  // ---- segments

  newSegment(partition = 1 + this.random.below(PARTITIONS)): SegmentId {
    const secret = Uint8Array.from({ length: SEGMENT_SECRET_BYTES }, () => this.random.below(256));
    const { id, proof } = drawnSegment(secret, OWNER);
    this.#proofs.set(id, proof);
    return { partition: partitionId(partition), segment: id };
  }
  record(scheme: Scheme, chunks: number, pending = false): Committed {
    const chunkBytes = 60 + this.random.below(40);
    return {
      bytes: chunkBytes * (chunks - 1) + 1 + this.random.below(chunkBytes),
      chunkBytes,
      scheme,
      pending,
    };
  }
  register({ partition, segment }: SegmentId, record: Committed): void {
    const proof = this.#proofs.get(segment)!;
    this.rows.set(segmentRow({ partition, ...OWNER }, segment), encodeSegmentRecord({ ...record, proof }));
  }
  unregister({ partition, segment }: SegmentId): void {
    this.rows.delete(segmentRow({ partition, ...OWNER }, segment));
  }
  /** A row of the same segment, of somebody who only knows its id. */
  forge({ partition, segment }: SegmentId, bucket: string, value: Uint8Array): void {
    this.rows.set(segmentRow({ partition, bucket, key: "k" }, segment), value);
  }
  /** All fragments of a chunk, by index, as they are for good. */
  fragments(segment: SegmentId, record: Committed, chunk: number): Uint8Array[] {
    const random = Random.fromSeed(fragmentHash(segment.segment, chunk));
    const sealed = Uint8Array.from({ length: sealedBytesOf(record, chunk) }, () => random.below(256));
    return makeFragments(segment, chunk, { scheme: record.scheme, sealed, coder: erasureCoder });
  }
  /** Puts a file on a disk as if it had been there for `ageUs`. */
  place(keeper: Keeper, fragment: FragmentId, bytes: Uint8Array, ageUs = 0): void {
    keeper.files.set(fragmentKey(fragment), { fragment, bytes, at: this.now - ageUs });
  }
  /** All that the placement of the agreed view says about a segment: who should hold which. */
  ideal(
    segment: SegmentId,
    record: Committed,
  ): { keeper: Keeper; fragment: FragmentId; bytes: Uint8Array }[] {
    const holders = new ViewHolders(this.view), { scheme } = record;
    return Array.from({ length: chunkCount(record) }, (_, chunk) => {
      const files = this.fragments(segment, record, chunk);
      return holders.place(fragmentHash(segment.segment, chunk), fragmentCount(scheme)).flatMap(
        (id, position) => {
          if (id === null) return [];
          const index = indexAt(scheme, position);
          return [{
            keeper: this.keepers.get(id)!,
            fragment: { ...segment, chunk, index },
            bytes: files[index]!,
          }];
        },
      );
    }).flat();
  }
  /** Stored as placement says, and registered. */
  store(scheme: Scheme, chunks: number, partition?: number): SegmentId {
    const segment = this.newSegment(partition), record = this.record(scheme, chunks);
    this.register(segment, record);
    for (const { keeper, fragment, bytes } of this.ideal(segment, record)) {
      this.place(keeper, fragment, bytes);
    }
    return segment;
  }
  get registered(): [SegmentId, SegmentRecord][] {
    return [...this.rows].filter(([key]) => segmentOfRow(key)?.owner === "b\0k").map(([key, value]) => [
      { partition: parseInt(key.slice(2, 6), 16) as PartitionId, segment: key.slice(6, 38) },
      decodeSegmentRecord(value),
    ]);
  }

  // ---- what must hold

  /** Every chunk that was committed can be had, from all disks together. */
  assertReadable(): void {
    for (const [segment, record] of this.registered) {
      if (record.pending) continue;
      for (let chunk = 0; chunk < chunkCount(record); chunk++) {
        this.assertChunkReadable(segment, record, chunk);
      }
    }
  }
  assertChunkReadable(segment: SegmentId, record: Committed, chunk: number): void {
    const found = new Set<number>();
    for (const keeper of this.all) {
      for (let index = 0; index < fragmentCount(record.scheme); index++) {
        if (keeper.of({ ...segment, chunk, index }) !== null) found.add(index);
      }
    }
    assert.ok(found.size >= neededCount(record.scheme), `chunk ${chunk} of ${segment.segment} can be had`);
  }
  /** The disks of members hold exactly what placement says, byte for byte. */
  assertInOrder({ spares = false }: { spares?: boolean } = {}): void {
    const wanted = new Map<Keeper, string[]>();
    for (const [segment, record] of this.registered) {
      for (const { keeper, fragment, bytes } of this.ideal(segment, record)) {
        const of = wanted.get(keeper);
        if (of === undefined) wanted.set(keeper, [nameOf(fragment)]);
        else of.push(nameOf(fragment));
        assert.deepEqual(
          keeper.files.get(fragmentKey(fragment))?.bytes,
          bytes,
          `${keeper.id} has ${nameOf(fragment)}`,
        );
      }
    }
    if (spares) return;
    for (const keeper of this.all) {
      if (!this.view.members.some((m) => m.id === keeper.id && m.state === "active")) continue;
      assert.deepEqual(keeper.names, (wanted.get(keeper) ?? []).sort(), `${keeper.id} holds nothing else`);
    }
  }

  // ---- time

  act(keeper: Keeper, what: () => void): void {
    const { effects, objects, upkeep } = keeper, now = this.now as Instant, { life } = keeper;
    effects.clear();
    what();
    upkeep.evaluate(now);
    while (objects.settle(now));
    for (const note of effects.notes) keeper.notes.push({ at: this.now, note });
    for (const { to, message } of effects.sendNow) {
      this.messages.push({ at: this.now, message });
      if (!this.passes(keeper.id, to, message)) continue;
      this.at(this.now + 100 + this.random.below(3_000), () => this.#deliver(keeper.id, to, message));
    }
    for (const op of effects.chunkOps) this.#disk(keeper, op);
    const wakeAt = Math.min(objects.nextWake(), upkeep.nextWake());
    if (wakeAt > now + 100_000_000_000) return;
    this.at(Math.max(wakeAt, now), () => {
      if (keeper.life !== life || Math.min(objects.nextWake(), upkeep.nextWake()) > this.now) return;
      this.act(keeper, () => objects.wake(this.now as Instant));
    });
  }

  #deliver(from: NodeId, to: NodeId, message: Message): void {
    const keeper = this.keepers.get(to);
    if (keeper === undefined || !keeper.alive) return;
    this.act(keeper, () => {
      switch (message.kind) {
        case "fragment-put":
        case "fragment-put-reply":
        case "fragment-get":
        case "fragment-get-reply":
        case "fragment-check":
        case "fragment-check-reply":
        case "segments-gone":
          return keeper.objects.handle(from, message, this.now as Instant);
        default:
          return assert.fail(`No machine here sends "${message.kind}"`);
      }
    });
  }
  /** From nobody who waits for an answer. */
  send(to: Keeper, message: Message): void {
    this.#deliver(nodeId("nobody"), to.id, message);
  }

  #disk(keeper: Keeper, op: ChunkOp): void {
    const names = op.kind === "write" || op.kind === "read"
      ? [fragmentKey(op.fragment)]
      : op.kind === "remove"
      ? op.fragments.map(fragmentKey)
      : [];
    let at = this.now + 100 + this.random.below(1_500);
    for (const name of names) at = Math.max(at, (keeper.busyUntil.get(name) ?? 0) + 1);
    for (const name of names) keeper.busyUntil.set(name, at);
    const { life } = keeper;
    this.at(at, () => {
      if (keeper.life !== life) return;
      const result = this.#do(keeper, op);
      // What a list shows may be old when it arrives.
      this.at(this.now + this.random.below(1_000), () => {
        if (keeper.life === life) {
          this.act(keeper, () => keeper.objects.results([result], this.now as Instant));
        }
      });
    });
  }

  #do(keeper: Keeper, op: ChunkOp): ChunkResult {
    const { files } = keeper;
    switch (op.kind) {
      case "write":
        this.place(keeper, op.fragment, op.bytes);
        keeper.unreadable.delete(fragmentKey(op.fragment));
        return { kind: "written", op: op.op };
      case "read": {
        const key = fragmentKey(op.fragment);
        if (keeper.unreadable.has(key)) {
          return { kind: "failed", op: op.op, reason: "disk", message: "bad sector" };
        }
        keeper.bytesRead += files.get(key)?.bytes.length ?? 0;
        return { kind: "read", op: op.op, bytes: files.get(key)?.bytes ?? null };
      }
      case "remove":
        for (const fragment of op.fragments) {
          files.delete(fragmentKey(fragment));
          this.onRemove(keeper, fragment);
        }
        return { kind: "removed", op: op.op };
      case "list": {
        const { partition, after, max } = op;
        const all = [...files.values()].filter(({ fragment }) =>
          fragment.partition === partition && (after === null || compareFragments(fragment, after) > 0)
        ).sort((a, b) => compareFragments(a.fragment, b.fragment));
        const fragments = all.slice(0, max).map(({ fragment, bytes, at }) => ({
          fragment,
          bytes: bytes.length,
          ageMs: Math.floor((this.now - at) / 1000),
        }));
        return { kind: "listed", op: op.op, fragments, done: all.length <= max };
      }
      case "partitions":
        return { kind: "partitions", op: op.op, partitions: [] };
    }
  }

  /** The rows are read some time between question and answer. */
  read(keeper: Keeper, op: GetOp | RangeOp, done: (response: Response, now: Instant) => void): void {
    if (this.random.below(100) < this.refusals) {
      return done(refusal("no-leader", "Nobody leads"), this.now as Instant);
    }
    const { life } = keeper;
    this.at(this.now + this.random.below(2_000), () => {
      this.onRead(op);
      const response = this.#answer(op);
      this.at(this.now + this.random.below(2_000), () => {
        if (keeper.life === life) this.act(keeper, () => done(response, this.now as Instant));
      });
    });
  }

  #answer(op: GetOp | RangeOp): Response {
    if (op.kind === "get") {
      const value = this.rows.get(op.key);
      return {
        kind: "value",
        found: value === undefined ? null : { key: op.key, value, version: VERSION },
        ageUs: 0,
      };
    }
    const all = [...this.rows].filter(([key]) => key >= op.start && (op.end === null || key < op.end)).sort(
      byName,
    );
    const items = all.slice(0, op.limit).map(([key, value]) => ({ key, value, version: VERSION }));
    const next = all.length > op.limit ? all[op.limit]![0] : null;
    return { kind: "values", items, next, ageUs: 0 };
  }

  at(at: number, run: () => void): void {
    const event = { at, order: this.#order++, run };
    let low = 0, high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#events[middle]!.at <= at) high = middle;
      else low = middle + 1;
    }
    this.#events.splice(low, 0, event); // the last one is the next
  }

  run(us: number): void {
    const end = this.now + us;
    for (;;) {
      const event = this.#events.at(-1);
      if (event === undefined || event.at > end) break;
      this.#events.pop();
      this.now = Math.max(this.now, event.at);
      event.run();
    }
    this.now = end;
  }

  /** Until `what` holds. */
  until(what: () => boolean, us: number, why: string): void {
    for (const end = this.now + us; !what(); this.run(50_000)) {
      assert.ok(this.now < end, `Within ${us / 1e6} s: ${why}`);
    }
  }
}

export function nameOf({ partition, segment, chunk, index }: FragmentId): string {
  return `p${partition} ${segment} ${String(chunk).padStart(6, "0")} ${String(index).padStart(2, "0")}`;
}

export function memberOf(i: number): Member {
  return { id: nodeId(`n${i}`), address: `n${i}:1`, zone: `z${i}`, capacity: 1, state: "active", disk: "" };
}
function byId(a: Member, b: Member): number {
  return a.id < b.id ? -1 : 1;
}
function byName([a]: [string, Uint8Array], [b]: [string, Uint8Array]): number {
  return a < b ? -1 : 1;
}
