/**
 * Upkeep among writers, deleters, members that come and go, disks that rot and forget, lost messages and refused reads. The
 * naive twin is the placement itself: when all is quiet, the disks together hold what it says of each registered segment,
 * byte for byte, and nothing else; and at no moment was a committed chunk removed so far that it could not be had.
 */
import assert from "node:assert/strict";
import { chunkCount, fragmentKey, neededCount, writeQuorum } from "../../../core/objects/fragment.ts";
import type { FragmentId, Scheme, SegmentId } from "../../../core/wire/objects.ts";
import { replicated, striped } from "./chunk_network.ts";
import { type Committed, type Keeper, UpkeepNetwork } from "./upkeep_network.ts";

const S = 1_000_000;
const ORPHAN_US = 60 * S;
/** A write that is not registered is committed, or given up, within this. */
const DRAFT_US = 25 * S;

/** More of them find more: each takes seconds. */
const SEEDS = [1, 2, 3];

class Storm {
  readonly world: UpkeepNetwork;
  /** Written and not committed yet, but going to be. */
  readonly drafts = new Map<string, [SegmentId, Committed]>();
  readonly #harmedAt = new Map<string, number>();
  readonly #seed: number;
  committed = 0;
  deleted = 0;

  constructor(seed: number, readonly scheme: Scheme) {
    this.#seed = seed;
    this.world = new UpkeepNetwork(6, {
      seed,
      tuning: {
        orphanAgeUs: ORPHAN_US,
        lookUs: 30 * S,
        lookPageMax: 64,
        lookBudget: 7,
        repairQueueMax: 9,
        repairsMax: 3,
        scrubBytesPerSecond: 4_000,
        scrubRestUs: S,
      },
    });
    this.world.onRemove = (keeper, fragment) => this.#removed(keeper, fragment);
  }

  #below(bound: number): number {
    return this.world.random.below(bound);
  }
  #later(us: number, what: () => void): void {
    this.world.at(this.world.now + this.#below(us), what);
  }
  #any<T>(items: readonly T[]): T | undefined {
    return items[this.#below(Math.max(1, items.length))];
  }

  /** What upkeep removed was not needed: by name, for content that was rotten is none. */
  #removed(keeper: Keeper, fragment: FragmentId): void {
    const known = this.drafts.get(fragment.segment) ??
      this.world.registered.find(([{ segment }]) => segment === fragment.segment);
    if (known === undefined) return;
    const [segment, record] = known, written = !this.drafts.has(fragment.segment);
    assert.ok(written, `${keeper.id} removed a fragment of a write under way (seed ${this.#seed})`);
    this.world.assertChunkReadable(segment, record, fragment.chunk);
  }

  /** Fragments get to a quorum of holders at least, the others lose theirs; then the row is written. */
  write(): void {
    const { world } = this, segment = world.newSegment(), chunks = 1 + this.#below(5);
    const pending = this.#below(2) === 0, record = world.record(this.scheme, chunks);
    const quorum = writeQuorum(this.scheme, world.view.members.filter((m) => m.state === "active").length);
    if (quorum === null) return;
    if (pending) world.register(segment, { ...record, pending: true });
    else this.drafts.set(segment.segment, [segment, record]);
    const stored: number[] = new Array(chunks).fill(0);
    for (const { keeper, fragment, bytes } of world.ideal(segment, record)) {
      const must = stored[fragment.chunk]! < quorum;
      if (must) stored[fragment.chunk]!++;
      if (!must && this.#below(3) === 0) continue;
      // Those that must be there are; the rest may come after the row.
      this.#later(must ? DRAFT_US / 2 : DRAFT_US * 2, () => {
        if (must || keeper.alive) this.#put(keeper, fragment, bytes);
      });
    }
    world.at(world.now + DRAFT_US / 2 + this.#below(DRAFT_US / 2), () => {
      this.drafts.delete(segment.segment);
      const before = world.registered.some(([{ segment: other }]) => other === segment.segment);
      if (this.#below(6) === 0 || (pending && !before)) return world.unregister(segment);
      world.register(segment, record);
      this.committed++;
    });
  }

  /** As the holder writes it, so that upkeep hears of it. */
  #put(keeper: Keeper, fragment: FragmentId, bytes: Uint8Array): void {
    if (!keeper.alive) return this.world.place(keeper, fragment, bytes);
    this.world.send(keeper, { kind: "fragment-put", id: 1, fragment, bytes });
  }

  delete(): void {
    const found = this.#any(this.world.registered.filter(([, { pending }]) => !pending));
    if (found === undefined) return;
    const [segment] = found, { world } = this;
    world.unregister(segment);
    this.deleted++;
    for (const keeper of world.all) {
      if (this.#below(4) === 0) continue;
      this.#later(S, () => world.send(keeper, { kind: "segments-gone", segments: [segment] }));
    }
  }

  /** A fragment of a chunk that is whole everywhere rots, goes, or cannot be read; others of it not too soon after. */
  harm(): void {
    const { world } = this, found = this.#any(world.registered.filter(([, { pending }]) => !pending));
    if (found === undefined) return;
    const [segment, record] = found, chunk = this.#below(chunkCount(record));
    const key = `${segment.segment} ${chunk}`;
    const ideal = world.ideal(segment, record).filter(({ fragment }) => fragment.chunk === chunk);
    const whole = ideal.every(({ keeper, fragment }) => keeper.of(fragment) !== null);
    const spare = ideal.length > neededCount(record.scheme);
    if (!whole || !spare || world.now - (this.#harmedAt.get(key) ?? -Infinity) < 100 * S) return;
    this.#harmedAt.set(key, world.now);
    const { keeper, fragment } = this.#any(ideal)!, file = keeper.files.get(fragmentKey(fragment))!;
    switch (this.#below(3)) {
      case 0:
        file.bytes = file.bytes.slice();
        file.bytes[this.#below(file.bytes.length)]! ^= 1 << this.#below(8);
        return;
      case 1:
        return void keeper.files.delete(fragmentKey(fragment));
      default:
        keeper.unreadable.add(fragmentKey(fragment));
    }
  }

  /** One at a time: somebody is away for a while, or drains and is taken back, or another joins. */
  disturb(): void {
    const { world } = this, keeper = this.#any(world.all.filter(({ alive }) => alive))!;
    switch (this.#below(3)) {
      case 0:
        world.stop(keeper);
        return this.#later(20 * S, () => world.start(keeper));
      case 1: {
        if (world.view.members.some((m) => m.state !== "active")) return;
        world.setState(keeper.id, "draining", 5 * S);
        return this.#later(60 * S, () => world.setState(keeper.id, "active", 5 * S));
      }
      default:
        if (world.view.members.length < 8) world.join(world.view.members.length, 5 * S);
    }
  }

  run(steps: number): void {
    const { world } = this;
    world.refusals = 10;
    world.passes = () => this.#below(50) !== 0;
    for (let i = 0; i < steps; i++) {
      const chosen = this.#below(10);
      if (chosen < 4) this.write();
      else if (chosen < 6) this.delete();
      else if (chosen < 9) this.harm();
      else this.disturb();
      world.run(this.#below(6 * S));
    }
    world.refusals = 0;
    world.passes = () => true;
    world.run(100 * S);
    for (const keeper of world.all) if (!keeper.alive) world.start(keeper);
    world.run(500 * S);
  }
}

for (const scheme of [replicated(2), striped(2, 2), striped(4, 2)]) {
  const name = scheme.kind === "replicated" ? `${scheme.copies} copies` : `${scheme.data}+${scheme.parity}`;
  Deno.test(`whatever happens meanwhile, the disks come to hold what placement says, and no chunk is lost (${name})`, () => {
    const seen = { committed: 0, deleted: 0, repaired: 0, rotten: 0, moved: 0, orphan: 0, gone: 0 };
    for (const seed of SEEDS) {
      const storm = new Storm(seed, scheme), { world } = storm;
      storm.run(40);
      world.assertReadable();
      world.assertInOrder();
      seen.committed += storm.committed;
      seen.deleted += storm.deleted;
      for (const keeper of world.all) {
        const { missing, surplus, lost, fragments } = keeper.upkeep.status();
        const none = { missing: 0, surplus: 0, lost: 0, fragments: keeper.files.size };
        assert.deepEqual({ missing, surplus, lost, fragments }, none, `${keeper.id} knows it (seed ${seed})`);
        for (const { note } of keeper.notes) {
          if (note.kind === "fragment-repaired") seen.repaired++;
          else if (note.kind === "fragment-rotten") seen.rotten++;
          else if (note.kind === "fragment-removed" && note.why !== "excess") seen[note.why]++;
        }
      }
    }
    // It was no storm where nothing happened.
    for (const [what, times] of Object.entries(seen)) assert.ok(times > 0, `${what} came to pass`);
  });
}
