/**
 * A node keeps what it should hold, and nothing else: it looks at all partitions, mends what is missing or rotten, hands over
 * what belongs to others, removes what is garbage, and scrubs.
 *
 * B1. Every partition is walked over (look.ts) after this life began, after the members changed, after a peer came back, and
 *     every lookUs; not before lookDelayUs has passed since the last such change, for one seldom comes alone.
 * B2. One partition is walked over at a time. One whose rows cannot be had does not keep the others waiting.
 * B3. A partition in which something was left to be mended, or to be handed over, is walked over again when nothing else
 *     waits: soon where there was progress, else at growing intervals.
 * B4. Only members that are active or draining look: others hold nothing that anybody counts on.
 * B5. Whoever is draining may leave when every partition was walked over since the members changed and nothing was found
 *     that others should have and did not say that they have.
 */
import { after, type Instant, NEVER, type NodeId, type PartitionId } from "../base/ids.ts";
import type { ErasureCoder } from "../base/ports.ts";
import type { Tuning } from "../base/tuning.ts";
import type { Effects } from "../wire/kernel.ts";
import { LIMITS } from "../base/limits.ts";
import type { ChunkStatus, FragmentId, ListedFragment, SegmentId } from "../wire/objects.ts";
import type { GetOp, RangeOp, Response } from "../wire/requests.ts";
import type { Holders, Presence } from "./holders.ts";
import { Inquiry } from "./inquiry.ts";
import { Walk, type WalkOptions } from "./look.ts";
import type { Objects, ObjectsListener } from "./objects.ts";
import type { Missing } from "./placed.ts";
import { Repair } from "./repair.ts";
import { Scrub } from "./scrub.ts";
import { SurplusRemoval } from "./surplus.ts";
import { Tallies } from "./tally.ts";

/** Repair asks another when one is late by so many times what a reader's patience is. */
const PATIENCE = 20;
/** Between two walks over a partition in which something was left (B3). */
const FOLLOW_US_MIN = 5_000_000, FOLLOW_US_MAX = 60_000_000;
/** Before rows that could not be had are asked for again. */
const RETRY_US_MIN = 500_000, RETRY_US_MAX = 8_000_000;
/** So many times lookDelayUs a look is put off at most, and lies between two that peers' coming back gave rise to. */
const DELAYS_MAX = 10;

export interface UpkeepOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly objects: Pick<Objects, "disk" | "holder" | "asks" | "fetcher" | "requests">;
  readonly tuning: Tuning;
  readonly coder: ErasureCoder;
  readonly holders: () => Holders;
  readonly presence: (node: NodeId) => Presence;
  readonly partitions: () => number;
  /** What the view says of this node; null: it is neither (B4). */
  readonly standing: () => "active" | "draining" | null;
  /** Asks the catalog; may call back within the call. */
  readonly read: (
    op: GetOp | RangeOp,
    now: Instant,
    done: (response: Response, now: Instant) => void,
  ) => void;
}

interface Part {
  /** The look that wants it walked over, and the one that it was walked over for last. */
  wanted: number;
  walked: number;
  /** Since the members changed last. */
  looked: boolean;
  retryAt: Instant;
  retryUs: number;
  followAt: Instant;
  followUs: number;
  /** Something was mended or handed over since the last walk. */
  progress: boolean;
}

export class Upkeep implements ObjectsListener {
  readonly #options: UpkeepOptions;
  readonly #tallies = new Tallies();
  readonly #repair: Repair;
  readonly #surplus: SurplusRemoval;
  readonly #inquiry: Inquiry;
  readonly #scrub: Scrub;
  readonly #parts: Part[] = [];
  #walk: Walk | null = null;
  #walkFor = 0;
  #walks = 0;
  #look = 0;
  #looking = false;
  #lookAt: Instant = NEVER;
  /** When the members changed last, and first of changes that put a look off. */
  #changedAt = 0 as Instant;
  #changes = 0;
  #putOffSince: Instant = NEVER;
  #begunAt = 0 as Instant;
  /** The last partition walked over. */
  #at = 0;
  #partAt: Instant = NEVER;
  #wasIdle = true;
  #garbage: { readonly fragment: FragmentId; readonly why: "orphan" | "excess" }[] = [];
  #rotten = 0;
  #removed = 0;
  #now = 0 as Instant;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    const { self, effects, objects, tuning, coder, holders, presence, partitions } = options;
    const { disk, asks, fetcher, holder } = objects;
    const busy = () => objects.requests > 0;
    const prove = (fragment: FragmentId, bytes: Uint8Array, now: Instant) =>
      holder.prove(fragment, bytes, now);
    const read = options.read;
    this.#repair = new Repair({
      self,
      effects,
      disk,
      asks,
      fetcher,
      prove,
      coder,
      holders,
      busy,
      queueMax: tuning.repairQueueMax,
      repairsMax: tuning.repairsMax,
      bytesPerSecond: tuning.repairBytesPerSecond,
      patienceUs: PATIENCE * tuning.hedgeUs,
      lookUs: tuning.lookUs,
      repaired: (missing) => this.#mended(missing, true),
      needless: (missing) => this.#mended(missing, false),
    });
    this.#surplus = new SurplusRemoval({
      disk,
      asks,
      presence,
      settled: (now) => now - this.#changedAt >= tuning.lookDelayUs ? this.#changes : null,
      queueMax: tuning.repairQueueMax,
      bytesPerSecond: tuning.repairBytesPerSecond,
      busy,
      removed: ({ fragment }) => {
        effects.note({ kind: "fragment-removed", fragment, why: "moved" });
        this.#tallies.change(fragment, { surplus: -1, needed: -1 });
        this.#part(fragment.partition).progress = true;
      },
    });
    this.#inquiry = new Inquiry({
      self,
      disk,
      read,
      holders,
      partitions,
      removed: (fragments) => {
        for (const fragment of fragments) effects.note({ kind: "fragment-removed", fragment, why: "gone" });
      },
      repairs: (segment) => this.#repair.isAt(segment),
      gone: (segment) => this.#repair.forget(segment),
      missing: (missing, now) => this.#lacking(missing, now),
    });
    this.#scrub = new Scrub({
      disk,
      prove,
      partitions,
      busy,
      bytesPerSecond: tuning.scrubBytesPerSecond,
      restUs: tuning.scrubRestUs,
      unreadable: (fragment, now) => this.rotten(fragment, now),
    });
  }

  // ---- what begins looks (B1)

  begin(now: Instant): void {
    const { tuning } = this.#options;
    this.#options.objects.disk.partitions(() => {});
    this.#changedAt = now;
    this.#lookAt = after(now, tuning.lookDelayUs);
    this.#scrub.begin(after(now, tuning.lookDelayUs));
  }

  /** Members came or went, or weigh otherwise, or this node's standing is another. */
  membersChanged(now: Instant): void {
    const { tuning: { lookDelayUs } } = this.#options;
    this.#changes++;
    this.#changedAt = now;
    if (this.#putOffSince === NEVER) this.#putOffSince = now;
    this.#lookAt = Math.min(
      after(now, lookDelayUs),
      after(this.#putOffSince, DELAYS_MAX * lookDelayUs),
    ) as Instant;
    this.#walk?.abandon();
    this.#walk = null;
    this.#surplus.clear();
    this.#hope();
    for (const part of this.#parts) if (part !== undefined) part.looked = false;
  }

  peerAlive(now: Instant): void {
    const { tuning: { lookDelayUs } } = this.#options;
    this.#hope();
    const at = Math.max(after(now, lookDelayUs), after(this.#begunAt, DELAYS_MAX * lookDelayUs));
    this.#lookAt = Math.min(this.#lookAt, at) as Instant;
  }

  #hope(): void {
    this.#repair.hope();
    for (const part of this.#parts) if (part !== undefined) part.followUs = FOLLOW_US_MIN;
  }

  // ---- ObjectsListener

  written(fragment: FragmentId, bytes: number, now: Instant): void {
    this.#walk?.written(fragment, bytes);
    this.#tallies.change(fragment, { fragments: 1, bytes });
    if (this.#options.standing() !== "draining") return;
    // B5: it was on its way when the members changed, and no walk may have seen it.
    this.#tallies.change(fragment, { needed: 1 });
    this.#followSoon(fragment.partition, now);
  }

  removed(fragments: readonly FragmentId[]): void {
    this.#removed += fragments.length;
    for (const fragment of fragments) {
      this.#walk?.removed(fragment);
      const bytes = this.#tallies.bytesOfOne(fragment.partition);
      this.#tallies.change(fragment, { fragments: -1, bytes: -bytes });
    }
  }

  rotten(fragment: FragmentId, now: Instant): void {
    this.#rotten++;
    this.#options.effects.note({ kind: "fragment-rotten", fragment });
    if (!this.#inquiry.wanted(fragment, now)) this.#followSoon(fragment.partition, now);
  }

  absent(fragment: FragmentId, now: Instant): void {
    // Most who are asked for what they have not should not have it, and what is no partition has no registry.
    if (fragment.partition <= this.#options.partitions()) this.#inquiry.wanted(fragment, now);
  }

  gone(segments: readonly SegmentId[], now: Instant): void {
    this.#inquiry.gone(segments, now);
  }

  mayTell(fragments: readonly FragmentId[], now: Instant): boolean {
    return this.#surplus.mayAnswer(fragments, now);
  }

  status(): ChunkStatus {
    const { fragments, bytes, missing, missingBytes, surplus } = this.#tallies.sum();
    const looked = this.#looked();
    const perSecond = this.#repair.bytesPerSecond(this.#now);
    const secondsLeft = missing > 0
      ? (perSecond === null ? null : Math.ceil(missingBytes / perSecond))
      : looked
      ? 0
      : null;
    return {
      fragments,
      bytes,
      missing,
      missingBytes,
      surplus,
      ...this.#repair.figures,
      rotten: this.#rotten,
      removed: this.#removed,
      ...this.#scrub.figures,
      secondsLeft,
      looked,
    };
  }

  /** B5. */
  get mayLeave(): boolean {
    return this.#looked() && this.#tallies.sum().needed === 0;
  }

  #looked(): boolean {
    const count = this.#options.partitions();
    for (let p = 1; p <= count; p++) if (this.#parts[p]?.looked !== true) return false;
    return true;
  }

  // ---- time

  nextWake(): Instant {
    const ready = this.#idle !== this.#wasIdle || this.#walk?.ready
      ? this.#now
      : this.#walk === null
      ? this.#partAt
      : NEVER;
    return Math.min(
      this.#options.standing() === null ? NEVER : Math.min(ready, this.#lookAt),
      this.#repair.nextWake(),
      this.#surplus.nextWake(),
      this.#inquiry.nextWake(),
      this.#scrub.nextWake(),
    ) as Instant;
  }

  /** Once in each step. */
  evaluate(now: Instant): void {
    this.#now = now;
    if (now < this.nextWake()) return;
    if (this.#options.standing() !== null) this.#advance(now);
    this.#flush();
    this.#repair.evaluate(now);
    this.#surplus.evaluate(now);
    this.#inquiry.evaluate(now);
    this.#scrub.evaluate(now);
    const idle = this.#idle;
    if (idle && !this.#wasIdle) this.#partAt = now; // B3
    this.#wasIdle = idle;
  }

  get #idle(): boolean {
    return this.#repair.idle && this.#surplus.idle;
  }

  #advance(now: Instant): void {
    if (now >= this.#lookAt) this.#beginLook(now);
    if (this.#walk === null && now >= this.#partAt) this.#choose(now);
    if (this.#walk?.ready) this.#walk.step(now);
  }

  #beginLook(now: Instant): void {
    const { tuning, effects, partitions } = this.#options;
    this.#look++;
    this.#begunAt = now;
    this.#putOffSince = NEVER;
    this.#lookAt = after(now, tuning.lookUs);
    this.#partAt = now;
    for (let p = 1; p <= partitions(); p++) this.#part(p as PartitionId).wanted = this.#look;
    if (!this.#looking) effects.note({ kind: "look", done: false });
    this.#looking = true;
  }

  /** The next partition in order that is due (B2), or when one will be. */
  #choose(now: Instant): void {
    const count = this.#options.partitions(), idle = this.#idle;
    this.#partAt = NEVER;
    for (let i = 0; i < count; i++) {
      const partition = ((this.#at + i) % count + 1) as PartitionId, part = this.#part(partition);
      const at = part.wanted > part.walked ? part.retryAt : idle ? part.followAt : NEVER;
      if (at > now) {
        this.#partAt = Math.min(this.#partAt, at) as Instant;
        continue;
      }
      this.#at = partition;
      this.#partAt = NEVER;
      this.#walkFor = this.#look;
      this.#walks++;
      this.#walk = new Walk(partition, this.#walkOptions());
      return;
    }
  }

  #walkOptions(): WalkOptions {
    const { self, objects, read, holders, tuning } = this.#options;
    return {
      self,
      disk: objects.disk,
      read,
      holders,
      tallies: this.#tallies,
      orphanAgeMs: Math.ceil(tuning.orphanAgeUs / 1000),
      pageMax: tuning.lookPageMax,
      budget: tuning.lookBudget,
      finds: {
        missing: (missing, now) => void this.#repair.offer(missing, { walk: this.#walks, now }),
        surplus: (surplus, now) => void this.#surplus.offer(surplus, now),
        garbage: ({ fragment }: ListedFragment, why) => {
          this.#garbage.push({ fragment, why });
          if (this.#garbage.length >= LIMITS.fragmentsPerCheckMax) this.#flush();
        },
        walked: (partition, failure, now) => this.#walked(partition, failure, now),
      },
    };
  }

  #walked(partition: PartitionId, failure: string | null, now: Instant): void {
    const part = this.#part(partition);
    this.#walk = null;
    this.#partAt = now;
    if (failure !== null) {
      part.retryAt = part.followAt = after(now, part.retryUs);
      part.retryUs = Math.min(part.retryUs * 2, RETRY_US_MAX);
      return;
    }
    part.retryAt = 0 as Instant;
    part.retryUs = RETRY_US_MIN;
    part.looked = true;
    part.walked = this.#walkFor;
    this.#repair.walked(partition, this.#walks);
    const { missing, surplus, needed } = this.#tallies.end();
    const leaves = this.#options.standing() === "draining";
    const left = missing > 0 || surplus > 0 || (leaves && needed > 0);
    if (part.progress || !left) part.followUs = FOLLOW_US_MIN;
    part.progress = false;
    part.followAt = left ? after(now, part.followUs) : NEVER; // B3
    part.followUs = Math.min(part.followUs * 2, FOLLOW_US_MAX, this.#options.tuning.lookUs);
    if (!this.#looking || this.#parts.some((p) => p !== undefined && p.wanted > p.walked)) return;
    this.#looking = false;
    this.#options.effects.note({ kind: "look", done: true });
  }

  #part(partition: PartitionId): Part {
    return this.#parts[partition] ??= {
      wanted: 0,
      walked: 0,
      looked: false,
      retryAt: 0 as Instant,
      retryUs: RETRY_US_MIN,
      followAt: NEVER,
      followUs: FOLLOW_US_MIN,
      progress: false,
    };
  }

  // ---- what comes of it

  #flush(): void {
    if (this.#garbage.length === 0) return;
    const { objects, effects } = this.#options, garbage = this.#garbage;
    this.#garbage = [];
    objects.disk.remove(garbage.map(({ fragment }) => fragment), (failed) => {
      if (failed) return;
      for (const { fragment, why } of garbage) effects.note({ kind: "fragment-removed", fragment, why });
    });
  }

  #mended({ fragment, bytes }: Missing, progress: boolean): void {
    this.#tallies.change(fragment, { missing: -1, missingBytes: -bytes });
    if (progress) this.#part(fragment.partition).progress = true;
  }

  /** Found without a walk. */
  #lacking(missing: Missing, now: Instant): void {
    const offered = this.#repair.offer(missing, { now });
    if (offered === "known") return;
    this.#tallies.change(missing.fragment, { missing: 1, missingBytes: missing.bytes });
    if (offered !== "queued") this.#followSoon(missing.fragment.partition, now);
  }

  #followSoon(partition: PartitionId, now: Instant): void {
    const part = this.#part(partition);
    part.followAt = Math.min(part.followAt, after(now, FOLLOW_US_MIN)) as Instant;
    this.#partAt = Math.min(this.#partAt, part.followAt) as Instant;
  }
}
