import assert from "node:assert/strict";
import type { Tuning } from "../../../core/base/tuning.ts";
import { chunkCount, fragmentKey, neededCount } from "../../../core/objects/fragment.ts";
import type { Member } from "../../../core/wire/messages.ts";
import type { FragmentId, Scheme } from "../../../core/wire/objects.ts";
import { replicated, striped } from "./chunk_network.ts";
import { type Keeper, memberOf, UpkeepNetwork } from "./upkeep_network.ts";

const S = 1_000_000;

interface Given {
  readonly segments?: number;
  readonly chunks?: number;
  readonly seed?: number;
  readonly tuning?: Partial<Tuning>;
}

function network(
  count: number,
  scheme: Scheme,
  { segments = 6, chunks = 5, ...options }: Given = {},
): UpkeepNetwork {
  const world = new UpkeepNetwork(count, options);
  for (let i = 0; i < segments; i++) world.store(scheme, chunks);
  return world;
}

Deno.test("a network in order stays as it is, and knows it (B1)", () => {
  const world = network(5, striped(2, 1));
  world.run(60 * S);
  world.assertInOrder();
  for (const { upkeep, files, notes } of world.all) {
    const status = upkeep.status();
    assert.equal(status.looked, true);
    assert.equal(status.fragments, files.size);
    assert.equal(status.bytes, [...files.values()].reduce((sum, { bytes }) => sum + bytes.length, 0));
    assert.deepEqual([status.missing, status.surplus, status.lost, status.removed], [0, 0, 0, 0]);
    assert.equal(status.secondsLeft, 0);
    assert.deepEqual(notes.map(({ note }) => note.kind), ["look", "look"]);
  }
  assert.equal(world.messages.length, 0);
});

for (const scheme of [replicated(3), striped(4, 2)]) {
  Deno.test(`a node whose disk was lost rebuilds all that it held, ${scheme.kind}`, () => {
    const world = network(6, scheme, { segments: 10, chunks: 20 });
    const lost = world.keeper(2), before = lost.names;
    world.stop(lost);
    lost.files.clear();
    world.start(lost);
    world.run(60 * S);
    assert.deepEqual(lost.names, before);
    world.assertInOrder();
    const status = lost.upkeep.status();
    assert.equal(status.repaired, before.length);
    assert.deepEqual([status.missing, status.lost, status.fragments], [0, 0, before.length]);
    assert.ok(
      status.fetchedBytes <= 1.1 * status.repairedBytes * neededCount(scheme),
      `${status.fetchedBytes}`,
    );
  });
}

Deno.test("when one of seven is lost for good, others take over all that it held, and bytes moved stay near the least", () => {
  const world = network(7, striped(4, 2), { segments: 10, chunks: 20 });
  const lost = world.keeper(3), before = lost.files.size;
  world.stop(lost);
  lost.files.clear();
  world.setState(lost.id, "gone");
  world.run(180 * S);
  world.assertInOrder();
  world.assertReadable();
  // Each fragment that nobody has any more takes four to make; the others are moved.
  const fetched = world.all.filter((k) => k.alive).reduce(
    (sum, k) => sum + k.upkeep.status().fetchedBytes,
    0,
  );
  const written = world.all.filter((k) => k.alive).reduce(
    (sum, k) => sum + k.upkeep.status().repairedBytes,
    0,
  );
  const one = written / world.all.reduce((sum, k) => sum + k.count("fragment-repaired"), 0);
  assert.ok(fetched <= 1.1 * (written + 3 * before * one), `${fetched} of ${written} and ${before} lost`);
});

for (const scheme of [replicated(2), striped(3, 2)]) {
  Deno.test(`who joins gets its share, and others let go of it only then, ${scheme.kind} (V1)`, () => {
    const world = network(6, scheme, { segments: 10, chunks: 10 });
    world.onRemove = (keeper, fragment) => {
      const holders = world.all.filter((other) => other !== keeper && other.of(fragment) !== null);
      assert.ok(holders.length >= (scheme.kind === "replicated" ? scheme.copies : 1), "others have it");
    };
    world.run(10 * S);
    world.join(6);
    world.run(240 * S);
    world.assertInOrder();
    assert.ok(world.keeper(6).files.size > 0);
    assert.ok(world.all.some((keeper) => keeper.count("fragment-removed") > 0));
  });

  Deno.test(`who drains may leave only when others have all that it held, ${scheme.kind} (B5)`, () => {
    const world = network(6, scheme, { segments: 10, chunks: 10 }), leaves = world.keeper(1);
    world.run(10 * S);
    world.setState(leaves.id, "draining");
    world.run(1 * S);
    assert.equal(leaves.upkeep.mayLeave, false);
    world.until(() => leaves.upkeep.mayLeave, 240 * S, "it may leave");
    assert.equal(leaves.files.size, 0);
    world.run(120 * S);
    world.assertInOrder();
  });
}

Deno.test("who drains does not leave with what a write may still be committed on (B5, L1)", () => {
  const world = new UpkeepNetwork(4), scheme = replicated(1);
  const segment = world.newSegment(), record = world.record(scheme, 3);
  const placed = world.ideal(segment, record), leaves = placed[0]!.keeper;
  for (const { keeper, fragment, bytes } of placed) world.place(keeper, fragment, bytes, 60 * S);
  world.run(10 * S);
  world.setState(leaves.id, "draining");
  world.run(20 * 60 * S);
  assert.equal(leaves.upkeep.mayLeave, false);
  world.register(segment, record);
  world.until(() => leaves.upkeep.mayLeave, 15 * 60 * S, "it may leave");
  leaves.files.clear();
  world.assertReadable();
});

Deno.test("who drains does not leave with what came after it had looked, before it looks again (B5)", () => {
  const world = new UpkeepNetwork(4), scheme = replicated(1);
  const segment = world.newSegment(), record = world.record(scheme, 1);
  const { keeper: leaves, fragment, bytes } = world.ideal(segment, record)[0]!;
  world.setState(leaves.id, "draining");
  world.run(60 * S);
  assert.equal(leaves.upkeep.mayLeave, true);
  world.act(leaves, () => leaves.objects.holder.put(fragment, bytes, () => {}));
  world.run(1 * S);
  assert.deepEqual([leaves.files.size, leaves.upkeep.mayLeave], [1, false]);
  world.register(segment, record);
  world.until(() => leaves.upkeep.mayLeave, 15 * 60 * S, "it may leave");
  leaves.files.clear();
  world.assertReadable();
});

Deno.test("fragments that nobody registered are removed when they are old, and not before (L1)", () => {
  const world = network(4, replicated(3), { tuning: { orphanAgeUs: 60 * S, lookUs: 20 * S } });
  const segment = world.newSegment(), record = world.record(replicated(3), 3);
  for (const { keeper, fragment, bytes } of world.ideal(segment, record)) {
    world.place(keeper, fragment, bytes);
  }
  const holds = () =>
    world.all.filter(({ names }) => names.some((name) => name.includes(segment.segment))).length;
  world.run(50 * S);
  assert.equal(holds(), 4 - 1 + (holds() === 4 ? 1 : 0));
  world.run(60 * S);
  assert.equal(holds(), 0);
  world.assertInOrder();
  assert.ok(
    world.all.every((k) =>
      k.notes.every(({ note }) => note.kind !== "fragment-removed" || note.why === "orphan")
    ),
  );
});

Deno.test("a segment that is being written lives, whatever of it is where (L4)", () => {
  const world = network(4, replicated(3), { tuning: { orphanAgeUs: 60 * S, lookUs: 20 * S } });
  const segment = world.newSegment(), record = world.record(replicated(2), 5, true);
  const { fragment, bytes } = world.ideal(segment, { ...record, pending: false })[0]!;
  world.register(segment, record);
  for (const keeper of world.all) world.place(keeper, fragment, bytes);
  world.run(200 * S);
  for (const keeper of world.all) assert.ok(keeper.of(fragment) !== null);
  assert.ok(world.all.every((keeper) => keeper.count("fragment-repaired") === 0));
});

Deno.test("a segment whose row cannot be read lives (L4)", () => {
  const world = network(3, replicated(3), { tuning: { orphanAgeUs: 10 * S, lookUs: 20 * S } });
  const key = [...world.rows.keys()][0]!, before = world.all.map(({ names }) => names);
  world.rows.set(key, new Uint8Array([0x80]));
  world.run(100 * S);
  assert.deepEqual(world.all.map(({ names }) => names), before);
});

Deno.test("what is said to be gone and has no row is removed at once; what has one stays (I1)", () => {
  const world = network(5, striped(2, 1), { segments: 8, chunks: 4 });
  world.run(20 * S);
  const [deleted, kept] = world.registered;
  world.unregister(deleted![0]);
  for (const keeper of world.all) {
    world.send(keeper, { kind: "segments-gone", segments: [deleted![0], kept![0]] });
  }
  world.run(1 * S);
  world.assertInOrder();
  assert.ok(
    world.all.every((k) =>
      k.notes.every(({ note }) => note.kind !== "fragment-removed" || note.why === "gone")
    ),
  );
});

Deno.test("a hint is remembered while the registry cannot be read (I3)", () => {
  const world = network(3, replicated(3), { segments: 3, chunks: 3 });
  world.run(20 * S);
  const [segment] = world.registered[0]!;
  world.unregister(segment);
  world.refusals = 100;
  for (const keeper of world.all) world.send(keeper, { kind: "segments-gone", segments: [segment] });
  world.run(2 * S);
  world.refusals = 0;
  world.run(3 * S);
  world.assertInOrder();
});

Deno.test("scrubbing finds what rotted and what cannot be read, and it is mended (U1, U2)", () => {
  const world = network(5, striped(2, 1), {
    segments: 5,
    chunks: 5,
    tuning: { scrubBytesPerSecond: 2_000, scrubRestUs: S },
  });
  const files = [...world.keeper(0).files.values()];
  const [rotten, unreadable] = [files[0]!, files.at(-1)!];
  rotten.bytes = rotten.bytes.slice();
  rotten.bytes[50]! ^= 1;
  world.keeper(0).unreadable.add(fragmentKey(unreadable.fragment));
  world.run(30 * S);
  world.assertInOrder();
  assert.equal(world.keeper(0).unreadable.size, 0);
  const status = world.keeper(0).upkeep.status();
  assert.deepEqual([status.rotten, status.repaired, status.missing], [2, 2, 0]);
  assert.ok(status.scrubs >= 1);
});

Deno.test("scrubbing keeps to its rate (U1)", () => {
  const world = network(3, replicated(3), {
    segments: 4,
    chunks: 20,
    tuning: { scrubBytesPerSecond: 500, scrubRestUs: 1 },
  });
  world.run(30 * S);
  for (const { bytesRead } of world.all) {
    assert.ok(bytesRead > 13_000 && bytesRead < 16_500, `${bytesRead} in 28 s`);
  }
});

Deno.test("repair keeps to its rate, and tells how long it will take (P2)", () => {
  const world = network(3, replicated(3), {
    segments: 10,
    chunks: 20,
    tuning: { repairBytesPerSecond: 1_000 },
  });
  const lost = world.keeper(1);
  world.stop(lost);
  const bytes = [...lost.files.values()].reduce((sum, file) => sum + file.bytes.length, 0);
  lost.files.clear();
  world.start(lost);
  world.run(12 * S);
  const status = lost.upkeep.status();
  assert.ok(status.repairedBytes > 7_000 && status.repairedBytes < 12_500, `${status.repairedBytes} in 10 s`);
  assert.equal(status.missingBytes + status.repairedBytes, bytes);
  const left = status.missingBytes / 1_000;
  assert.ok(
    status.secondsLeft! > 0.7 * left && status.secondsLeft! < 1.3 * left,
    `${status.secondsLeft} of ${left}`,
  );
  world.run(60 * S);
  world.assertInOrder();
});

Deno.test("what does not fit into the queue is found again when it is empty (P1, B3)", () => {
  const world = network(4, replicated(3), {
    segments: 9,
    chunks: 30,
    tuning: { repairQueueMax: 7, repairsMax: 2 },
  });
  const lost = world.keeper(1), before = lost.names;
  world.stop(lost);
  lost.files.clear();
  world.start(lost);
  world.run(2.5 * S);
  assert.ok(lost.upkeep.status().missing > 100, "counted, though not all wait");
  world.run(900 * S);
  assert.deepEqual(lost.names, before);
  assert.equal(lost.upkeep.status().missing, 0);
});

Deno.test("what cannot be had is lost for now, and is had when its holder comes back (P5)", () => {
  const world = network(4, replicated(2), { segments: 5, chunks: 8 });
  world.run(5 * S);
  const [a, b] = [world.keeper(0), world.keeper(1)];
  const both = a.names.filter((name) => b.names.includes(name));
  assert.ok(both.length > 0);
  world.stop(b);
  world.stop(a);
  a.files.clear();
  world.start(a);
  world.run(30 * S);
  const status = a.upkeep.status();
  assert.equal(status.lost, both.length);
  assert.equal(status.missing, both.length);
  world.start(b);
  world.run(15 * S);
  world.assertInOrder();
  assert.deepEqual([a.upkeep.status().lost, a.upkeep.status().missing], [0, 0]);
});

Deno.test("ranges that are refused are asked for again, and keep no other partition waiting (B2)", () => {
  const world = network(4, striped(2, 1), { segments: 9, chunks: 5, seed: 5 });
  world.refusals = 60;
  const lost = world.keeper(1);
  world.stop(lost);
  lost.files.clear();
  world.start(lost);
  world.run(120 * S);
  world.assertInOrder();
  assert.equal(lost.upkeep.status().looked, true);
});

Deno.test("two who each take the other for the right holder do not both let go (V2, V3)", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const world = new UpkeepNetwork(2, { seed }), a = world.keeper(0), b = world.keeper(1);
    for (let i = 0; i < 6; i++) world.store(replicated(1), 4);
    // What either holds, the other holds too.
    for (const [from, to] of [[a, b], [b, a]] as const) {
      for (const { fragment, bytes } of [...from.files.values()]) world.place(to, fragment, bytes);
    }
    // To a's mind a leaves and all belongs to b; to b's, b leaves.
    for (const [keeper, leaves] of [[a, a], [b, b]] as const) {
      const members = world.view.members.map((m): Member =>
        m.id === leaves.id ? { ...m, state: "draining" } : m
      );
      world.tell(keeper, { ...world.view, members });
    }
    for (let i = 0; i < 100; i++) {
      world.run(500_000);
      world.assertReadable();
    }
    world.change(world.view.members);
    world.run(150 * S);
    world.assertInOrder();
  }
});

Deno.test("members that come, drain and come back while views spread slowly lose nothing (V1, B1)", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const world = network(5, seed % 2 === 0 ? replicated(1) : striped(2, 1), {
      segments: 4,
      chunks: 6,
      seed,
    });
    world.onRemove = () => world.assertReadable();
    world.run(4 * S);
    const before = world.view.members;
    world.setState(world.keeper(3).id, "draining", 12 * S);
    world.run(world.random.below(16 * S));
    world.join(5, 12 * S);
    world.run(world.random.below(16 * S));
    world.change([...before, memberOf(5)], 12 * S);
    world.run(300 * S);
    world.assertInOrder();
  }
});

Deno.test("nothing is removed for a holder that does not answer, or holds nothing (V1)", () => {
  const world = network(4, striped(2, 1), { segments: 4, chunks: 4 });
  const [segment, record] = world.registered[0]!;
  const { keeper: right, fragment, bytes } = world.ideal(segment, record)[0]!;
  const other = world.all.find((k) => k !== right && k.of(fragment) === null)!;
  world.place(other, fragment, bytes);
  world.passes = (from, _to, message) => !(message.kind === "fragment-check-reply" && from === right.id);
  world.run(60 * S);
  assert.ok(other.of(fragment) !== null);
  assert.equal(other.upkeep.status().surplus, 1);
  world.passes = () => true;
  world.run(120 * S);
  world.assertInOrder();
});

Deno.test("what is rotten where it should be is not taken for held: who has it whole keeps it until it is mended (V1, H6)", () => {
  for (const scheme of [replicated(1), striped(2, 1)]) {
    const world = network(4, scheme, { segments: 4, chunks: 4, tuning: { scrubBytesPerSecond: 0 } });
    const [segment, record] = world.registered[0]!;
    const hurt: { keeper: Keeper; fragment: FragmentId; bytes: Uint8Array }[] = [];
    for (let chunk = 0; chunk < chunkCount(record); chunk++) {
      const ideal = world.ideal(segment, record).filter((f) => f.fragment.chunk === chunk);
      const { keeper: right, fragment, bytes } = ideal[0]!;
      const other = world.all.find((k) => ideal.every(({ keeper }) => keeper !== k))!;
      world.place(other, fragment, bytes);
      world.place(right, fragment, bytes.with(50, bytes[50]! ^ 1));
      hurt.push(ideal[0]!);
      // With no other copy to be had, or not enough of the stripe.
      for (const { keeper, fragment: more } of ideal.slice(1, 2)) keeper.files.delete(fragmentKey(more));
    }
    world.onRemove = (keeper, fragment) => {
      const found = hurt.find((h) => fragmentKey(h.fragment) === fragmentKey(fragment));
      if (found === undefined || keeper === found.keeper) return;
      assert.ok(found.keeper.of(fragment) !== null, "it was mended before others let go of it");
    };
    world.run(240 * S);
    world.assertInOrder();
    assert.ok(world.all.reduce((sum, k) => sum + k.upkeep.status().rotten, 0) >= hurt.length);
  }
});

Deno.test("handing over keeps to the rate of repair (V5)", () => {
  const world = network(4, replicated(1), {
    segments: 10,
    chunks: 30,
    tuning: { repairBytesPerSecond: 1_000 },
  });
  for (const from of world.all) {
    for (const { fragment, bytes } of [...from.files.values()]) {
      if (from === world.keeper(0)) world.place(world.keeper(1), fragment, bytes);
    }
  }
  const surplus = world.keeper(0).files.size, before = world.keeper(1).files.size;
  assert.ok(surplus > 60);
  world.run(5 * S);
  const gone = before - world.keeper(1).files.size;
  assert.ok(gone > 5 && gone < surplus * 2 / 3, `${gone} of ${surplus}`);
  assert.ok(world.keeper(0).bytesRead < 5_000, `${world.keeper(0).bytesRead}`);
  world.run(120 * S);
  world.assertInOrder();
});

Deno.test("a full disk puts repair off (P5)", () => {
  const world = network(3, replicated(3), { segments: 3, chunks: 5 }), full = world.keeper(0);
  world.stop(full);
  full.files.clear();
  full.low = true;
  world.start(full);
  world.run(20 * S);
  assert.equal(full.files.size, 0);
  assert.equal(full.upkeep.status().missing, 15);
  const gets = world.messages.filter(({ message }) => message.kind === "fragment-get").length;
  assert.ok(gets <= 40, `${gets} fragments were fetched in vain`);
  full.low = false;
  world.run(60 * S);
  world.assertInOrder();
});

Deno.test("a segment larger than a page is judged whole (L5)", () => {
  const world = network(3, striped(2, 1), {
    segments: 2,
    chunks: 300,
    tuning: { lookPageMax: 64, lookBudget: 50 },
  });
  const keeper = world.keeper(0), all = keeper.names;
  let i = 0;
  for (const key of [...keeper.files.keys()]) if (i++ % 7 === 3) keeper.files.delete(key);
  world.run(60 * S);
  assert.deepEqual(keeper.names, all);
  assert.equal(keeper.upkeep.status().fragments, all.length);
});

Deno.test("fragments are listed before the rows are read (L1)", () => {
  for (let seed = 1; seed <= 30; seed++) {
    // So old that nobody would spare them, were they seen and their row not: written just before the row is.
    const world = network(4, replicated(3), { segments: 2, tuning: { orphanAgeUs: 1, lookUs: S }, seed });
    const segment = world.newSegment(),
      record = world.record(replicated(3), 3),
      ideal = world.ideal(segment, record);
    world.at(2 * S + world.random.below(3 * S), () => {
      world.register(segment, record);
      for (const { keeper, fragment, bytes } of ideal) world.place(keeper, fragment, bytes, 60 * S);
    });
    world.run(10 * S);
    world.assertInOrder();
    assert.ok(world.all.every((keeper) => keeper.count("fragment-removed") === 0));
  }
});

Deno.test("what is written while its segment is deleted is removed again (P6)", () => {
  let met = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const world = network(3, replicated(3), { segments: 1, chunks: 4, seed }),
      [segment] = world.registered[0]!;
    const lost = world.keeper(1);
    world.stop(lost);
    lost.files.clear();
    world.start(lost);
    // In the middle of its repair.
    for (let i = 0; world.messages.length === 0; i++) {
      assert.ok(i < 10_000, "something is missing");
      world.run(500);
    }
    world.run(world.random.below(12) * 500);
    world.unregister(segment);
    for (const keeper of world.all) world.send(keeper, { kind: "segments-gone", segments: [segment] });
    world.run(3 * S);
    for (const keeper of world.all) assert.deepEqual(keeper.names, [], `${keeper.id}, seed ${seed}`);
    if (lost.count("fragment-repaired") < 4) met++;
  }
  assert.ok(met > 0, "some were under way");
});

Deno.test("while clients have chunks under way here repair takes half its rate, and goes on (P2)", () => {
  const repaired = [false, true].map((busy) => {
    const world = network(3, replicated(3), {
      segments: 10,
      chunks: 30,
      tuning: { repairBytesPerSecond: 1_000 },
    });
    const lost = world.keeper(1);
    world.stop(lost);
    lost.files.clear();
    lost.busy = busy;
    world.start(lost);
    world.run(4 * S);
    const { repairedBytes } = lost.upkeep.status();
    world.run(10 * S);
    return lost.upkeep.status().repairedBytes - repairedBytes;
  });
  assert.ok(repaired[0]! > 9_000 && repaired[0]! < 11_500, `${repaired}`);
  assert.ok(repaired[1]! > 4_400 && repaired[1]! < 5_800, `${repaired}`);
});

Deno.test("who is no member that holds data does not look (B4)", () => {
  const world = network(4, replicated(3), { segments: 3 }), out = world.keeper(3);
  world.setState(out.id, "removed", 0);
  world.run(60 * S);
  assert.equal(out.count("look"), 0);
  assert.deepEqual([out.upkeep.status().looked, out.upkeep.mayLeave], [false, false]);
  world.setState(out.id, "active", 0);
  world.run(100 * S);
  world.assertInOrder();
});

Deno.test("fragments beyond what the registered segment has are removed when they are old", () => {
  const world = network(3, replicated(3), {
    segments: 2,
    chunks: 3,
    tuning: { orphanAgeUs: 5 * S, lookUs: 5 * S },
  });
  const [segment, record] = world.registered[0]!, keeper = world.keeper(0);
  const bytes = world.fragments(segment, record, 0)[0]!;
  world.place(keeper, { ...segment, chunk: 3, index: 0 }, bytes);
  world.place(keeper, { ...segment, chunk: 1, index: 4 }, bytes);
  world.run(4 * S);
  assert.equal(keeper.files.size, 8);
  world.run(20 * S);
  world.assertInOrder();
  assert.deepEqual(keeper.notes.flatMap(({ note }) => note.kind === "fragment-removed" ? [note.why] : []), [
    "excess",
    "excess",
  ]);
});
