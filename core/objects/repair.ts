/**
 * Fragments that this node should hold and does not are fetched from others, or made again out of others, proven and
 * written.
 *
 * P1. What waits and what is under way is bounded. What does not fit is found again by a later look.
 * P2. Bytes fetched keep to a rate, halved while clients have chunk requests under way; it never stops altogether.
 * P3. Of a stripe the very fragment is asked for first, from those who most likely have it: who is on its way out, who
 *     held it in place of one that came back, and who holds another now because of one that joined. Only when nobody has it, as many as give
 *     the chunk back are fetched, and exactly the missing one is made of them.
 * P4. Before anything is fetched the disk is asked: since the look found it missing, its writer may have brought it. What the
 *     disk has and cannot read is written anew.
 * P5. What cannot be had is lost for now: it is tried again when somebody comes back, and else at growing intervals.
 * P6. What becomes of a segment that is deleted while a fragment of it is being repaired is removed again.
 * P7. Whether this node should hold it is looked at once more when its turn comes.
 */
import { after, type Instant, NEVER, type NodeId, type PartitionId } from "../base/ids.ts";
import type { ErasureCoder } from "../base/ports.ts";
import type { Effects } from "../wire/kernel.ts";
import type { FragmentPutOutcome } from "../wire/messages.ts";
import type { FragmentId } from "../wire/objects.ts";
import type { Asks } from "./asks.ts";
import type { ChunkDisk } from "./disk.ts";
import type { Fetcher } from "./fetch.ts";
import {
  encodeFragment,
  type Fragment,
  fragmentCount,
  fragmentHash,
  fragmentKey,
  makeFragments,
  payloadBytes,
} from "./fragment.ts";
import type { Holders } from "./holders.ts";
import { Bucket, RecentRate } from "./pace.ts";
import { idealHolders, indexOf, membersOf, type Missing } from "./placed.ts";
import { LIMITS } from "../base/limits.ts";

/** One fragment is not waited for longer. */
const FETCH_US = 30_000_000;
/** So many of those who have no place in a stripe are asked whether they had one. */
const SPARES = 3;
const LOST_US_MIN = 5_000_000;
/** Nothing is repaired for so long when the disk is full, or fails. */
const FULL_US = 30_000_000, FAILED_US = 10_000_000;

export interface RepairOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly disk: Pick<ChunkDisk, "read" | "remove">;
  readonly asks: Pick<Asks, "put">;
  readonly fetcher: Pick<Fetcher, "fetchChunk" | "fetchFragment">;
  readonly prove: (fragment: FragmentId, bytes: Uint8Array, now: Instant) => Fragment | null;
  readonly coder: ErasureCoder;
  readonly holders: () => Holders;
  /** Clients have chunk requests under way here. */
  readonly busy: () => boolean;
  readonly queueMax: number;
  readonly repairsMax: number;
  readonly bytesPerSecond: number;
  /** Before another is asked besides one that has not answered: what both then send is moved in vain. */
  readonly patienceUs: number;
  readonly lookUs: number;
  /** It is held now, and was not before. */
  readonly repaired: (missing: Missing, now: Instant) => void;
  /** It had been there already, or is not this node's any more. */
  readonly needless: (missing: Missing, now: Instant) => void;
}

interface Item {
  readonly key: string;
  readonly missing: Missing;
  /** The walk that found it missing last. */
  walk: number;
  /** What it was taken to cost when it began. */
  paid: number;
  fetched: number;
  /** P6. */
  doomed: boolean;
}
interface Lost {
  readonly fragment: FragmentId;
  tries: number;
  until: Instant;
  /** The walk that found it missing last. */
  seen: number;
}

export class Repair {
  readonly #options: RepairOptions;
  readonly #bucket: Bucket;
  readonly #rate = new RecentRate();
  readonly #queue = new Map<string, Item>();
  readonly #underWay = new Map<string, Item>();
  readonly #lost = new Map<string, Lost>();
  #pausedUntil = 0 as Instant;
  #wakeAt: Instant = NEVER;
  #repaired = 0;
  #repairedBytes = 0;
  #fetchedBytes = 0;

  constructor(options: RepairOptions) {
    this.#options = options;
    this.#bucket = new Bucket(options.bytesPerSecond);
  }

  /** Nothing waits and nothing is under way. */
  get idle(): boolean {
    return this.#queue.size === 0 && this.#underWay.size === 0;
  }
  get figures(): { repaired: number; repairedBytes: number; fetchedBytes: number; lost: number } {
    return {
      repaired: this.#repaired,
      repairedBytes: this.#repairedBytes,
      fetchedBytes: this.#fetchedBytes,
      lost: this.#lost.size,
    };
  }
  bytesPerSecond(now: Instant): number | null {
    return this.#rate.bytesPerSecond(now);
  }

  // ---- what is missing

  /** later: it was lost lately. full: find it again. `walk` numbers the walk that found it. */
  offer(
    missing: Missing,
    { walk = 0, now }: { walk?: number; now: Instant },
  ): "queued" | "known" | "later" | "full" {
    const key = fragmentKey(missing.fragment);
    const lost = this.#lost.get(key);
    if (lost !== undefined) lost.seen = walk;
    const known = this.#queue.get(key) ?? this.#underWay.get(key);
    if (known !== undefined) {
      known.walk = walk;
      return "known";
    }
    if (lost !== undefined && now < lost.until) return "later";
    if (this.#queue.size >= this.#options.queueMax) return "full"; // P1
    this.#queue.set(key, { key, missing, walk, paid: 0, fetched: 0, doomed: false });
    this.#wakeAt = now;
    return "queued";
  }

  /** Something of it waits or is under way. */
  isAt(segment: string): boolean {
    for (const items of [this.#underWay, this.#queue]) {
      for (const { missing } of items.values()) if (missing.fragment.segment === segment) return true;
    }
    return false;
  }

  /** P6: the segment is deleted. */
  forget(segment: string): void {
    for (const [key, { missing }] of this.#queue) {
      if (missing.fragment.segment === segment) this.#queue.delete(key);
    }
    for (const item of this.#underWay.values()) {
      if (item.missing.fragment.segment === segment) item.doomed = true;
    }
    for (const [key, { fragment }] of this.#lost) if (fragment.segment === segment) this.#lost.delete(key);
  }

  /** A walk of this number has been over the partition: what it did not find missing is not. */
  walked(partition: PartitionId, walk: number): void {
    for (const [key, { fragment, seen }] of this.#lost) {
      if (fragment.partition === partition && seen < walk) this.#lost.delete(key);
    }
  }

  /** Somebody came back, or the members changed: what was lost may be found. */
  hope(): void {
    for (const lost of this.#lost.values()) {
      lost.until = 0 as Instant;
      lost.tries = 0;
    }
  }

  // ---- time

  nextWake(): Instant {
    return this.#wakeAt;
  }

  evaluate(now: Instant): void {
    if (now < this.#wakeAt) return;
    this.#wakeAt = NEVER;
    const { repairsMax, busy } = this.#options;
    while (this.#queue.size > 0 && this.#underWay.size < repairsMax) {
      if (now < this.#pausedUntil) return void (this.#wakeAt = this.#pausedUntil);
      if (!this.#bucket.mayBegin(now, busy())) return void (this.#wakeAt = this.#bucket.readyAt(now)); // P2
      const [key, item] = this.#queue.entries().next().value!;
      this.#queue.delete(key);
      if (this.#isOurs(item)) this.#begin(item);
      else this.#options.needless(item.missing, now); // P7
    }
  }

  // ---- one fragment

  #begin(item: Item): void {
    this.#underWay.set(item.key, item);
    this.#pay(item, item.missing.bytes);
    const { disk, prove } = this.#options, { fragment } = item.missing;
    disk.read(fragment, (bytes, _failed, now) => { // P4
      if (bytes === null || prove(fragment, bytes, now) === null) return this.#fetch(item, now);
      this.#lost.delete(item.key);
      this.#end(item, now);
      this.#options.needless(item.missing, now);
    });
  }

  #isOurs({ missing: { fragment, wanted } }: Item): boolean {
    const { holders, self } = this.#options, { segment, chunk, index } = fragment;
    return indexOf(idealHolders(holders(), segment, chunk, wanted.scheme), self, wanted.scheme) === index;
  }

  #fetch(item: Item, now: Instant): void {
    const { fetcher } = this.#options, { fragment, wanted } = item.missing;
    if (wanted.scheme.kind === "replicated") return this.#fetchChunk(item, now);
    const from = this.#likely(item.missing); // P3
    const until = after(now, FETCH_US), { patienceUs } = this.#options;
    fetcher.fetchFragment(wanted, { index: fragment.index, from, until, patienceUs }, now, (fetched, at) => {
      if (fetched.kind !== "found") return this.#fetchChunk(item, at);
      item.fetched += fetched.fragment.file.length;
      this.#keep(item, fetched.fragment.file, at);
    });
  }

  /** Who may have the very fragment. */
  #likely({ fragment, wanted: { scheme } }: Missing): NodeId[] {
    const { holders, self } = this.#options, known = holders();
    const places = idealHolders(known, fragment.segment, fragment.chunk, scheme);
    const hash = fragmentHash(fragment.segment, fragment.chunk);
    const [spare, ...spares] = known.spares(hash, fragmentCount(scheme), SPARES);
    const nodes = new Set([
      ...known.leaving,
      ...(spare === undefined ? [] : [spare]),
      ...membersOf(places),
      ...spares,
    ]);
    nodes.delete(self);
    return [...nodes];
  }

  #fetchChunk(item: Item, now: Instant): void {
    const { fetcher, coder } = this.#options, { fragment, wanted } = item.missing, { scheme } = wanted;
    const replicated = scheme.kind === "replicated";
    if (scheme.kind === "striped") this.#pay(item, item.missing.bytes * scheme.data);
    const { patienceUs } = this.#options;
    const options = { until: after(now, FETCH_US), withoutSelf: replicated, patienceUs };
    fetcher.fetchChunk(wanted, options, now, (fetched, at) => {
      if (fetched.kind !== "found") return this.#notFound(item, at);
      item.fetched += fetched.fetchedBytes;
      this.#keep(item, makeOne(fragment, item.missing, fetched.sealed, coder), at);
    });
  }

  #keep(item: Item, file: Uint8Array, now: Instant): void {
    this.#fetchedBytes += item.fetched;
    this.#pay(item, item.fetched);
    if (item.doomed) return this.#end(item, now);
    const { asks, self } = this.#options, { fragment } = item.missing;
    const until = after(now, FETCH_US);
    asks.put(self, { fragment, bytes: file, until }, now, (outcome, at) => this.#kept(item, outcome, at));
  }

  #kept(item: Item, outcome: FragmentPutOutcome | "lost", now: Instant): void {
    const { effects, disk, repaired } = this.#options, { fragment, bytes } = item.missing;
    if (outcome === "refused") return this.#notFound(item, now);
    this.#end(item, now);
    if (outcome !== "stored") {
      this.#pausedUntil = after(now, outcome === "no-space" ? FULL_US : FAILED_US);
      if (this.#queue.size < this.#options.queueMax) {
        this.#queue.set(item.key, { ...item, paid: 0, fetched: 0 });
      }
      return;
    }
    if (item.doomed) return disk.remove([fragment], () => {}); // P6
    this.#lost.delete(item.key);
    this.#repaired++;
    this.#repairedBytes += bytes;
    this.#rate.add(bytes, now);
    effects.note({ kind: "fragment-repaired", fragment, bytes, fetched: item.fetched });
    repaired(item.missing, now);
  }

  /** P5. */
  #notFound(item: Item, now: Instant): void {
    this.#pay(item, item.fetched);
    this.#end(item, now);
    if (item.doomed) return;
    const { fragment } = item.missing;
    const lost: Lost = this.#lost.get(item.key) ?? { fragment, tries: 0, until: now, seen: item.walk };
    if (!this.#lost.has(item.key) && this.#lost.size >= LIMITS.lostMax) return;
    lost.until = after(now, Math.min(LOST_US_MIN * 2 ** Math.min(lost.tries++, 20), this.#options.lookUs));
    this.#lost.set(item.key, lost);
  }

  #end(item: Item, now: Instant): void {
    this.#underWay.delete(item.key);
    if (this.#queue.size > 0 || this.#underWay.size === 0) this.#wakeAt = now;
  }

  /** It costs `bytes` in all, instead of what was thought before. */
  #pay(item: Item, bytes: number): void {
    this.#bucket.pay(bytes - item.paid);
    item.paid = bytes;
  }
}

/** A data fragment is a part of the chunk; parity is made of all of it. */
function makeOne(
  fragment: FragmentId,
  { wanted: { segment, chunk, scheme } }: Missing,
  sealed: Uint8Array,
  coder: ErasureCoder,
): Uint8Array {
  if (scheme.kind === "replicated" || fragment.index >= scheme.data) {
    return makeFragments(segment, chunk, { scheme, sealed, coder })[fragment.index]!;
  }
  const payload = new Uint8Array(payloadBytes(scheme, sealed.length));
  const start = fragment.index * payload.length;
  payload.set(sealed.subarray(start, start + payload.length));
  return encodeFragment(fragment, { scheme, sealedBytes: sealed.length, payload });
}
