/** Rows that somebody who only knows a segment's id makes of it: R1 and R2 in registry.ts, as nodes keep to them. */
import assert from "node:assert/strict";
import type { Instant } from "../../../core/base/ids.ts";
import type { Tuning } from "../../../core/base/tuning.ts";
import { fragmentKey } from "../../../core/objects/fragment.ts";
import { encodeSegmentRecord, type SegmentRecord } from "../../../core/objects/registry.ts";
import { replicated, striped } from "./chunk_network.ts";
import { UpkeepNetwork } from "./upkeep_network.ts";

const S = 1_000_000;

function network(
  count: number,
  { segments, tuning }: { readonly segments: number; readonly tuning: Partial<Tuning> },
): UpkeepNetwork {
  const world = new UpkeepNetwork(count, { tuning });
  for (let i = 0; i < segments; i++) world.store(replicated(3), 2);
  return world;
}

/** Cut off, of less, of much more, of another scheme, pending, and none. */
const FORGED: Partial<SegmentRecord>[] = [
  { bytes: 1 },
  { bytes: 60 * 100, chunkBytes: 60 },
  { scheme: replicated(1) },
  { scheme: striped(2, 1) },
  { pending: true },
  { proof: new Uint8Array(32) },
];

Deno.test("rows that others make of a segment change nothing of it, and what is missing is repaired (R1)", () => {
  for (const pageMax of [64, 1000]) {
    const world = network(5, {
      tuning: { orphanAgeUs: 10 * S, lookUs: 20 * S, lookPageMax: pageMax },
      segments: 6,
    });
    world.run(15 * S);
    for (const [segment, record] of world.registered) {
      // Before the owner's in the order of names, and after it; more than a page of them.
      for (let i = 0; i < 40; i++) {
        const forged = { ...record, ...FORGED[i % FORGED.length] };
        world.forge(segment, `a${i}`, encodeSegmentRecord(forged));
        world.forge(segment, `z${i}`, i % 5 === 0 ? new Uint8Array([0x80]) : encodeSegmentRecord(forged));
      }
    }
    const lost = world.keeper(1).files.size;
    world.keeper(1).files.clear();
    assert.ok(lost > 0);
    world.run(120 * S);
    world.assertReadable();
    world.assertInOrder();
    for (const keeper of world.all) assert.equal(keeper.upkeep.status().missing, 0);
  }
});

Deno.test("a rotten fragment is had again beside rows that others made of its segment (R1)", () => {
  const world = network(4, { segments: 6, tuning: { lookUs: 600 * S } });
  world.run(20 * S);
  const [segment, record] = world.registered[0]!, forged = encodeSegmentRecord({ ...record, pending: true });
  world.forge(segment, "a", forged);
  world.forge(segment, "z", forged);
  const { keeper, fragment } = world.ideal(segment, record)[0]!;
  keeper.files.delete(fragmentKey(fragment));
  world.act(keeper, () => keeper.upkeep.rotten(fragment, world.now as Instant));
  world.run(5 * S);
  world.assertInOrder();
});

Deno.test("a fragment that is asked for in vain where it should be is had again at once, without a look (I1)", () => {
  const world = network(5, { segments: 6, tuning: { lookUs: 600 * S } });
  world.run(20 * S);
  const [segment, record] = world.registered[0]!;
  const { keeper, fragment } = world.ideal(segment, record)[0]!;
  keeper.files.delete(fragmentKey(fragment));
  world.send(keeper, { kind: "fragment-get", id: 7, fragment });
  world.run(10 * S);
  world.assertInOrder();
  // Who should not have it asks the registry, and fetches nothing.
  const stranger = world.all.find(({ id }) => !world.ideal(segment, record).some((p) => p.keeper.id === id));
  if (stranger === undefined) return;
  const before = stranger.names;
  world.send(stranger, { kind: "fragment-get", id: 8, fragment });
  world.run(10 * S);
  assert.deepEqual(stranger.names, before);
});

Deno.test("what a row of another's keeps alive is kept, and goes with it (R2)", () => {
  const world = network(3, { tuning: { orphanAgeUs: 10 * S, lookUs: 20 * S }, segments: 1 });
  world.run(15 * S);
  const [segment, record] = world.registered[0]!, before = world.all.map(({ names }) => names);
  world.forge(segment, "a", encodeSegmentRecord(record));
  world.forge(segment, "z", new Uint8Array([0x80]));
  world.unregister(segment);
  const hint = () => {
    for (const keeper of world.all) {
      world.act(keeper, () => keeper.upkeep.gone([segment], world.now as Instant));
    }
    world.run(60 * S);
  };
  hint();
  assert.deepEqual(world.all.map(({ names }) => names), before);
  world.rows.clear();
  hint();
  for (const keeper of world.all) assert.deepEqual(keeper.names, []);
});
