import assert from "node:assert/strict";
import fc from "fast-check";
import type { Instant, PartitionId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { erasureCoder } from "../../../core/objects/erasure.ts";
import {
  FRAGMENT_HEADER_BYTES,
  fragmentCount,
  fragmentHash,
  indexAt,
  makeFragments,
  neededCount,
  readAttempts,
  wantedCount,
  writeQuorum,
} from "../../../core/objects/fragment.ts";
import { drawnSegment } from "../../../core/objects/segment_id.ts";
import type { FragmentId, Scheme } from "../../../core/wire/objects.ts";
import type { ChunkRequestOp, Response } from "../../../core/wire/requests.ts";
import {
  bytesOf,
  ChunkNetwork,
  type ChunkNode,
  DISK_US,
  fragmentAt,
  LATENCY_US,
  replicated,
  SEGMENT,
  striped,
  TOKEN,
} from "./chunk_network.ts";
import { schemes } from "./arbitraries.ts";

const THREE = replicated(3), STRIPE = striped(4, 2);

function refused(response: Response): Response & { kind: "refused" } {
  assert.equal(response.kind, "refused", JSON.stringify(response).slice(0, 200));
  return response.kind === "refused" ? response : assert.fail();
}
function assertChunk(response: Response, bytes: Uint8Array): void {
  assert.equal(response.kind, "chunk", response.kind === "refused" ? response.message : "");
  assert.ok(response.kind === "chunk" && response.bytes.length === bytes.length);
  assert.deepEqual(Uint8Array.from(response.bytes), bytes);
}
/** Where each fragment of chunk 0 is to be. */
function placedNaively(network: ChunkNetwork, scheme: Scheme): Map<string, FragmentId> {
  const placed = new Map<string, FragmentId>();
  const places = network.holders.place(fragmentHash(SEGMENT.segment, 0), fragmentCount(scheme));
  for (const [position, id] of places.entries()) {
    if (id !== null) placed.set(id, fragmentAt(0, indexAt(scheme, position)));
  }
  assert.equal(placed.size, wantedCount(scheme, network.nodes.length));
  return placed;
}
function assertPlaced(network: ChunkNetwork, scheme: Scheme): void {
  const placed = placedNaively(network, scheme);
  for (const { id, disk } of network.nodes) {
    const fragment = placed.get(id);
    assert.deepEqual(disk.all.map((f) => f.fragment), fragment === undefined ? [] : [fragment], id);
  }
}

Deno.test("A chunk goes to whom placement names, whatever the scheme and whoever is asked, and comes back", () => {
  fc.assert(fc.property(
    schemes,
    fc.integer({ min: 1, max: 18 }),
    fc.nat(),
    fc.uint8Array({ minLength: 1, maxLength: 90 }),
    (scheme, members, any, bytes) => {
      const network = new ChunkNetwork(members);
      const [writer, reader] = [network.node(any % members), network.node((any >> 5) % members)];
      const stored = network.answer(network.put(writer, bytes, scheme));
      const quorum = writeQuorum(scheme, members);
      if (quorum === null) return void assert.equal(refused(stored).reason, "conflict");
      assert.ok(stored.kind === "stored" && stored.fragments >= quorum);
      assert.equal(stored.wanted, wantedCount(scheme, members));
      network.run(100_000);
      assertPlaced(network, scheme);
      network.assertIdle();
      assertChunk(network.answer(network.get(reader, bytes.length, scheme)), Uint8Array.from(bytes));
    },
  ));
});

Deno.test("A put is answered at its quorum and goes on until all is durable (Q1, Q2)", () => {
  const network = new ChunkNetwork(5);
  const [first, second, third] = network.order();
  third!.silent = true;
  const id = network.put(first!, bytesOf(50), THREE);
  assert.deepEqual(network.answer(id), { kind: "stored", fragments: 2, wanted: 3 });
  assert.equal(network.answeredAt(id), 2 * LATENCY_US + 2 * DISK_US, "one way, read, written, and back");
  assert.equal(first!.objects.requests, 1, "it goes on");
  network.run(LIMITS.requestUs);
  assert.deepEqual(
    new Set(network.holdersOf(fragmentAt(0, 0))),
    new Set([first!, second!, third!, network.order()[3]!].map((n) => n.id)),
    "a spare took the place of the one that says nothing",
  );
  network.assertIdle();
});

Deno.test("A network too small for a stripe refuses it with the numbers", () => {
  const network = new ChunkNetwork(4);
  const { reason, message } = refused(network.answer(network.put(network.node(0), bytesOf(9), STRIPE)));
  assert.equal(reason, "conflict");
  assert.match(message, /too small for this scheme: 4 members are active, and a chunk takes 5\./);
  assert.deepEqual(network.nodes.flatMap((n) => n.disk.all), []);
});

Deno.test("Spares take the place of who is away, full, out of order or lost, each at most one (Q3)", () => {
  const troubles: ((network: ChunkNetwork, node: ChunkNode) => void)[] = [
    (_network, node) => void (node.presence = "away"),
    (_network, node) => void (node.low = true),
    (_network, node) => void (node.disk.failing = "no-space"),
    (_network, node) => void (node.disk.failing = "disk"),
    // Its loss is noticed when it has been asked.
    (network, node) => {
      node.silent = true;
      const tell = (n: ChunkNode) =>
        network.act(n, () => n.objects.peerDown(node.id, network.now as Instant));
      lost.push(() => network.nodes.filter((n) => n !== node).forEach(tell));
    },
  ];
  const lost: (() => void)[] = [];
  for (const [number, trouble] of troubles.entries()) {
    for (const scheme of [THREE, STRIPE]) {
      const wanted = fragmentCount(scheme);
      const network = new ChunkNetwork(9), order = network.order(wanted);
      lost.length = 0;
      trouble(network, order[1]!);
      trouble(network, order[2]!);
      const id = network.put(order[0]!, bytesOf(77), scheme);
      network.run(100);
      for (const tell of lost) tell();
      assert.equal(network.answer(id).kind, "stored", `trouble ${number}`);
      network.run(200_000);
      const indices = new Map(network.nodes.map((n) => [n.id, n.disk.all.map((f) => f.fragment.index)]));
      const spares = order.slice(wanted, wanted + 2).flatMap((n) => indices.get(n.id)!);
      assert.deepEqual(spares.sort(), scheme === THREE ? [0, 0] : [1, 2], `trouble ${number}`);
      for (const held of indices.values()) assert.ok(held.length <= 1);
    }
  }
});

Deno.test("Who is slow and answers others gets no spare in its place; who is silent does", () => {
  for (const silent of [false, true]) {
    const network = new ChunkNetwork(4, { putPatienceUs: 100_000 }), order = network.order();
    const slow = order[2]!;
    // It answers every question about chunk 1 alone.
    network.tamper = (from, _to, message) => {
      if (from !== slow.id || silent) return from === slow.id ? [] : [message];
      return message.kind === "fragment-put-reply" ? [] : [message];
    };
    network.answer(network.put(order[0]!, bytesOf(20), THREE));
    for (let i = 0; i < 40; i++) {
      const node = order[0]!, at = network.now;
      network.act(node, () =>
        void node.objects.asks.get(
          slow.id,
          { fragment: fragmentAt(5, 0), bytes: 10, until: (at + 500_000) as Instant },
          at as Instant,
          () => {},
        ));
      network.run(10_000);
    }
    assert.equal(order[3]!.disk.all.length, silent ? 1 : 0, silent ? "silent" : "slow");
  }
});

Deno.test("A put that can reach its quorum no more is refused at once (Q4)", () => {
  const network = new ChunkNetwork(3), order = network.order();
  order[1]!.presence = order[2]!.presence = "away";
  const id = network.put(order[0]!, bytesOf(20), THREE);
  const { reason, message } = refused(network.answer(id, 10));
  assert.equal(reason, "timeout");
  assert.match(message, /Only 0 of 3 fragments of chunk 0 .* could be stored, and 2 are needed; try again/);
  order[1]!.presence = order[2]!.presence = "here";
  order[1]!.low = order[2]!.low = true;
  assert.equal(refused(network.answer(network.put(order[0]!, bytesOf(20), THREE))).reason, "no-space");
  network.run(LIMITS.requestUs);
  network.assertIdle();
});

Deno.test("Another content under the same name is a conflict, the same again is stored", () => {
  const network = new ChunkNetwork(5);
  const stored = { kind: "stored", fragments: 2, wanted: 3 };
  assert.deepEqual(network.answer(network.put(network.node(0), bytesOf(20), THREE)), stored);
  network.run(50_000);
  assert.deepEqual(network.answer(network.put(network.node(1), bytesOf(20), THREE)), stored);
  const { reason, message } = refused(network.answer(network.put(network.node(1), bytesOf(20, 2), THREE)));
  assert.equal(reason, "conflict");
  assert.match(message, /another content stands under that name/);
  network.run(50_000);
  assertPlaced(network, THREE);
  assertChunk(network.answer(network.get(network.node(3), 20, THREE)), bytesOf(20));
});

Deno.test("A replicated chunk is written in one allocation, and read from the own disk without a copy", () => {
  const network = new ChunkNetwork(3), bytes = bytesOf(5000);
  network.answer(network.put(network.node(0), bytes, THREE));
  network.run(50_000);
  const buffers = new Set(network.nodes.map((n) => n.disk.get(fragmentAt(0, 0))!.buffer));
  assert.equal(buffers.size, 1, "all holders have the same bytes");
  const sent = network.sent.length;
  const got = network.answer(network.get(network.node(1), 5000, THREE));
  assert.ok(got.kind === "chunk" && buffers.has(got.bytes.buffer));
  assert.equal(got.bytes.byteOffset, FRAGMENT_HEADER_BYTES);
  assert.equal(network.sent.length, sent, "nobody else was asked");
});

Deno.test("A reader asks another when the first is late, and takes whatever comes first (G1)", () => {
  const network = new ChunkNetwork(6, { hedgeUs: 20_000 }), order = network.order(), bytes = bytesOf(30);
  network.answer(network.put(order[0]!, bytes, THREE));
  network.run(50_000);
  order[0]!.silent = true;
  const begun = network.now, reader = order[5]!, id = network.get(reader, 30, THREE);
  assertChunk(network.answer(id), bytes);
  assert.equal(network.answeredAt(id) - begun, 20_000 + 2 * LATENCY_US + DISK_US);
  assert.equal(reader.objects.fetcher.hedges, 1);
  // Who owes an answer is asked last from then on (G2), until it says anything.
  const later = network.now;
  assertChunk(network.answer(network.get(reader, 30, THREE)), bytes);
  assert.ok(network.now - later < 20_000, "without waiting for the silent one");
  assert.equal(reader.objects.fetcher.hedges, 1);
  assert.ok(reader.objects.asks.owesFor(order[0]!.id, network.now as Instant) > 20_000);
  network.deliver(order[0]!.id, reader, { kind: "fragment-get-reply", id: 7, bytes: null });
  assert.equal(reader.objects.asks.owesFor(order[0]!.id, network.now as Instant), 0);
});

Deno.test("What is rotten, of another fragment, cut short or of another scheme is passed over, and the rotten is told (G4)", () => {
  const wrong: ((bytes: Uint8Array) => Uint8Array)[] = [
    (bytes) => bytes.with(50, bytes[50]! ^ 1),
    (bytes) => bytes.subarray(0, 60),
    () => new Uint8Array(0),
    (bytes) => Uint8Array.of(...bytes, 1),
  ];
  for (const change of wrong) {
    const network = new ChunkNetwork(6), order = network.order(), bytes = bytesOf(30);
    network.answer(network.put(order[0]!, bytes, THREE));
    network.run(50_000);
    const liar = order[0]!;
    network.tamper = (from, _to, message) =>
      from === liar.id && message.kind === "fragment-get-reply" && message.bytes !== null
        ? [{ ...message, bytes: change(message.bytes) }]
        : [message];
    assertChunk(network.answer(network.get(order[4]!, 30, THREE)), bytes);
  }
  const network = new ChunkNetwork(6), order = network.order(), bytes = bytesOf(30);
  network.answer(network.put(order[0]!, bytes, THREE));
  network.run(50_000);
  order[0]!.disk.damage(fragmentAt(0, 0), 47);
  assertChunk(network.answer(network.get(order[4]!, 30, THREE)), bytes);
  network.run(50_000);
  assert.deepEqual(order[0]!.rotten, [fragmentAt(0, 0)]);
  assert.equal(order[0]!.disk.get(fragmentAt(0, 0)), null, "it is removed (H1)");
  assert.equal(
    refused(network.answer(network.get(order[4]!, 29, THREE))).reason,
    "not-found",
    "another length",
  );
  assert.equal(refused(network.answer(network.get(order[4]!, 30, replicated(2)))).reason, "not-found");
});

Deno.test("Absent is said when every member said so; else the reader is to try again (G5)", () => {
  for (const scheme of [THREE, STRIPE]) {
    const network = new ChunkNetwork(8), order = network.order();
    const id = network.get(order[0]!, 30, scheme);
    assert.equal(refused(network.answer(id)).reason, "not-found");
    assert.ok(network.answeredAt(id) < 200_000, "without waiting for anybody");
    const asked = new Set(network.sent.filter((s) => s.from === order[0]!.id).map((s) => s.to));
    assert.equal(asked.size, 7, "all others were asked");
    order[6]!.presence = "away";
    assert.equal(refused(network.answer(network.get(order[0]!, 30, scheme))).reason, "timeout");
    order[6]!.presence = "here";
    order[5]!.silent = true;
    const unsure = network.get(order[0]!, 30, scheme);
    assert.equal(refused(network.answer(unsure)).reason, "timeout");
    network.run(LIMITS.requestUs);
    network.assertIdle();
  }
});

Deno.test("What lies with others than placement names is found: spares, those leaving, and where it was before (G3)", () => {
  for (const scheme of [THREE, STRIPE]) {
    const network = new ChunkNetwork(8), bytes = bytesOf(41);
    network.answer(network.put(network.node(0), bytes, scheme));
    network.run(50_000);
    // Everything is with others than it should be, and one of them is on its way out.
    const held = network.nodes.map((n) => [...n.disk.files]);
    for (const [i, node] of network.nodes.entries()) {
      node.disk.files.clear();
      for (const [key, file] of held[(i + 3) % 8]!) node.disk.files.set(key, file);
    }
    const holder = network.nodes.find((n) => n.disk.files.size > 0)!;
    network.change((m) => m.id === holder.id ? { ...m, state: "draining" } : m);
    for (const reader of network.nodes) {
      assertChunk(network.answer(network.get(reader, 41, scheme)), bytes);
    }
    network.assertIdle();
  }
});

Deno.test("A stripe comes back after any loss that leaves enough, of files and of members", () => {
  fc.assert(
    fc.property(schemes, fc.integer({ min: 0, max: 4 }), fc.integer(), (scheme, spare, seed) => {
      const random = Random.fromSeed(seed >>> 0), members = fragmentCount(scheme) + spare;
      const network = new ChunkNetwork(members), bytes = bytesOf(64, 5);
      if (writeQuorum(scheme, members) === null) return;
      network.answer(network.put(network.node(0), bytes, scheme));
      network.run(50_000);
      const holders = network.nodes.filter((n) => n.disk.files.size > 0);
      for (let left = holders.length; left > neededCount(scheme); left--) {
        const [victim] = holders.splice(random.below(holders.length), 1);
        const how = random.below(4);
        if (how === 0) victim!.disk.files.clear();
        else if (how === 1) victim!.presence = "away";
        else if (how === 2) victim!.silent = true;
        else victim!.disk.damage(victim!.disk.all[0]!.fragment, random.below(1000));
      }
      const readers = network.nodes.filter((n) => n.presence === "here" && !n.silent);
      const reader = readers[random.below(readers.length)]!;
      assertChunk(network.answer(network.get(reader, 64, scheme)), bytes);
    }),
  );
});

Deno.test("Every request is answered once within its time, however much is lost, doubled and late", () => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(0, 100, 400), (seed, perMille) => {
      const random = Random.fromSeed(seed >>> 0);
      const network = new ChunkNetwork(6, { hedgeUs: 10_000, putPatienceUs: 200_000 });
      network.latency = () => 500 + random.below(30_000);
      network.tamper = (_from, _to, message) => {
        if (random.below(1000) < perMille) return [];
        return random.below(10) === 0 ? [message, message] : [message];
      };
      const begun = new Map<number, number>();
      for (let i = 0; i < 30; i++) {
        const node = network.node(random.below(6)), chunk = random.below(3);
        const scheme = chunk === 2 ? STRIPE : THREE;
        const id = random.below(2) === 0
          ? network.put(node, bytesOf(40, chunk), scheme, chunk)
          : network.get(node, 40, scheme, chunk);
        begun.set(id, network.now);
        if (random.below(4) === 0) network.node(random.below(6)).silent = random.below(3) === 0;
        if (random.below(6) === 0) {
          const peer = network.node(random.below(6)), asker = network.node(random.below(6));
          network.act(asker, () => asker.objects.peerDown(peer.id, network.now as Instant));
        }
        network.run(random.below(100_000));
      }
      network.run(LIMITS.requestUs + 100_000);
      for (const [id, at] of begun) {
        assert.ok(network.answeredAt(id) - at <= LIMITS.requestUs, `request ${id} was answered in time`);
        const { response } = network.told.find((t) => t.id === id)!;
        if (response.kind === "chunk") {
          assert.ok([0, 1, 2].some((c) => equal(response.bytes, bytesOf(40, c))));
        }
      }
      network.assertIdle();
    }),
    { numRuns: 60 },
  );
});

Deno.test("Past the limits a node is busy, and says when to come back (Q5)", () => {
  const network = new ChunkNetwork(3), order = network.order();
  for (const node of order.slice(1)) node.silent = true;
  const ids = Array.from(
    { length: LIMITS.chunkRequestsMax + 2 },
    (_, i) => network.put(order[0]!, bytesOf(10), THREE, i),
  );
  const busy = network.told.filter((t) => t.response.kind === "refused" && t.response.reason === "busy");
  assert.deepEqual(busy.map((t) => t.id), ids.slice(-2));
  assert.ok(busy.every((t) => t.response.kind === "refused" && (t.response.retryAfterMs ?? 0) > 0));
  network.run(LIMITS.requestUs + 1);
  network.assertIdle();
  const large = new Uint8Array(LIMITS.chunkBytesMax), many = LIMITS.chunkBytesPendingMax / large.length + 1;
  const begun = network.told.length;
  for (let i = 0; i < many; i++) network.put(order[0]!, large, THREE, 1000 + i);
  assert.equal(network.told.slice(begun).filter((t) => t.response.kind === "refused").length, 1);
});

Deno.test("What a client that is gone waited for ends; what it was told goes on (Q1)", () => {
  const network = new ChunkNetwork(4), order = network.order();
  const answered = network.put(order[0]!, bytesOf(10), THREE, 0);
  network.tamper = (from, _to, message) => from === order[2]!.id ? [] : [message];
  assert.equal(network.answer(answered).kind, "stored");
  const waiting = [network.put(order[0]!, bytesOf(10), THREE, 1), network.get(order[0]!, 10, THREE, 2)];
  network.act(order[0]!, () => order[0]!.objects.clientGone(1, network.now as Instant));
  assert.equal(order[0]!.objects.requests, 1);
  network.run(LIMITS.requestUs + 1);
  for (const id of waiting) assert.ok(!network.told.some((t) => t.id === id));
  assert.equal(network.holdersOf(fragmentAt(0, 0)).length, 4, "with the spare");
  network.assertIdle();
});

Deno.test("A request that makes no sense is refused with what is wrong", () => {
  const network = new ChunkNetwork(3), bytes = bytesOf(10);
  const wrong: [Partial<Extract<ChunkRequestOp, { kind: "chunk-put" }>>, RegExp][] = [
    [
      { segment: { ...SEGMENT, segment: "../../etc/passwd" } },
      /32 hexadecimal digits, not "..\/..\/etc\/passwd"/,
    ],
    [{ segment: { ...SEGMENT, partition: 5 as PartitionId } }, /Partition 5 is none of 1 to 4/],
    [{ segment: { ...SEGMENT, partition: 0 as PartitionId } }, /32 hexadecimal digits|none of 1 to 4/],
    [{ chunk: 2 ** 32 }, /A chunk is an integer/],
    [{ chunk: -1 }, /A chunk is an integer/],
    [{ scheme: replicated(0) }, /1 to 8 copies, not 0/],
    [{ scheme: striped(31, 5) }, /not 31 and 5/],
    [{ bytes: new Uint8Array(0) }, /1 to 1048592 bytes, not 0/],
    [{ bytes: new Uint8Array(LIMITS.chunkBytesMax + 17) }, /bytes, not 1048593/],
  ];
  for (const [change, why] of wrong) {
    const op = {
      kind: "chunk-put" as const,
      segment: SEGMENT,
      chunk: 0,
      scheme: THREE,
      token: TOKEN,
      bytes,
      ...change,
    };
    assert.match(refused(network.answer(network.request(network.node(0), op), 1)).message, why);
    const { bytes: payload, token: _, ...rest } = op;
    const get = { ...rest, kind: "chunk-get" as const, length: payload.length, attempt: 0 };
    assert.match(refused(network.answer(network.request(network.node(0), get), 1)).message, why);
  }
  assert.deepEqual(network.nodes.flatMap((n) => n.disk.all), []);
});

Deno.test("who knows a segment's id alone puts nothing under it, not even where an ideal holder lacks it (Q6)", () => {
  const network = new ChunkNetwork(4), [first, second] = network.order();
  assert.equal(network.answer(network.put(first!, bytesOf(50), THREE)).kind, "stored");
  network.run(200_000);
  first!.disk.files.clear();
  const owner = TOKEN.subarray(32),
    tokens = [
      new Uint8Array(64),
      new Uint8Array([...new Uint8Array(32).fill(2), ...owner]),
      drawnSegment(new Uint8Array(32).fill(1), { bucket: "eve", key: "k" }).token,
      TOKEN.subarray(0, 63),
      new Uint8Array(0),
    ];
  for (const token of tokens) {
    const op = { kind: "chunk-put", segment: SEGMENT, chunk: 0, scheme: THREE, token } as const;
    const told = refused(network.answer(network.request(second!, { ...op, bytes: bytesOf(50, 9) })));
    assert.equal(told.reason, "denied");
  }
  network.run(200_000);
  assert.deepEqual(first!.disk.all, [], "nothing reached the disk");
  for (const { message } of network.sent) {
    if (message.kind !== "fragment-put") continue;
    assert.ok(
      !Buffer.from(message.bytes).includes(Buffer.from(TOKEN.subarray(0, 32))),
      "the secret goes to no peer",
    );
  }
  const got = network.answer(network.get(first!, 50, THREE));
  assert.ok(got.kind === "chunk");
  assert.deepEqual(Uint8Array.from(got.bytes), bytesOf(50));
});

for (const scheme of [replicated(3), replicated(2), striped(2, 1), striped(4, 2), striped(3, 3)]) {
  Deno.test(`some attempt reads a chunk without what a holder has of other content: ${JSON.stringify(scheme)} (G7)`, () => {
    const count = fragmentCount(scheme), length = 120;
    for (let bad = 0; bad < count; bad++) {
      const network = new ChunkNetwork(count + 1), order = network.order(count);
      assert.equal(network.answer(network.put(order[0]!, bytesOf(length), scheme)).kind, "stored");
      network.run(200_000);
      // Whole, and of the very name, but not what was written.
      const index = indexAt(scheme, bad), fragment = { ...SEGMENT, chunk: 0, index };
      const files = makeFragments(SEGMENT, 0, { scheme, sealed: bytesOf(length, 9), coder: erasureCoder });
      order[bad]!.disk.take({ kind: "write", op: 0, fragment, bytes: files[index]! });
      for (const asked of network.nodes) {
        const right: number[] = [];
        for (let attempt = 0; attempt <= readAttempts(scheme); attempt++) {
          const got = network.answer(network.get(asked, length, scheme, 0, attempt));
          assert.ok(got.kind === "chunk");
          if (Buffer.compare(got.bytes, bytesOf(length)) === 0) right.push(attempt);
        }
        assert.ok(right.length > 0, `fragment ${bad}, asked ${asked.id}: ${right}`);
      }
    }
  });
}

Deno.test("segments-gone is told to all members, itself among them", () => {
  const network = new ChunkNetwork(4);
  network.change((m) => m.id === "n3" ? { ...m, state: "removed" } : m);
  const segments = [SEGMENT];
  const id = network.request(network.node(1), { kind: "segments-gone", segments });
  assert.deepEqual(network.answer(id), { kind: "done", version: 1 });
  network.run(10_000);
  assert.deepEqual(network.nodes.map((n) => n.gone.length), [1, 1, 1, 0]);
  const many = Array.from({ length: LIMITS.segmentsPerHintMax + 1 }, () => SEGMENT);
  const refusal = network.answer(network.request(network.node(1), { kind: "segments-gone", segments: many }));
  assert.equal(refused(refusal).reason, "too-large");
});

Deno.test("Answers that nobody asked for, from others, or given twice change nothing (A2)", () => {
  const network = new ChunkNetwork(4), order = network.order(), bytes = bytesOf(10);
  network.tamper = (from, to, message) => {
    if (message.kind === "fragment-get") {
      // Another member answers first, under the same number.
      const bytes = new Uint8Array(60).fill(1);
      const other = network.nodes.find((n) => n.id !== from && n.id !== to)!;
      network.deliver(other.id, network.node(from), { kind: "fragment-get-reply", id: message.id, bytes });
      network.deliver(to, network.node(from), {
        kind: "fragment-put-reply",
        id: message.id,
        outcome: "stored",
      });
      network.deliver(to, network.node(from), { kind: "fragment-check-reply", id: message.id, held: [true] });
    }
    return [message, message];
  };
  for (const outcome of ["stored", "refused"] as const) {
    for (let id = 0; id < 5000; id += 100) {
      network.deliver(order[1]!.id, order[0]!, { kind: "fragment-put-reply", id, outcome });
    }
  }
  network.answer(network.put(order[0]!, bytes, THREE));
  network.run(50_000);
  assertChunk(network.answer(network.get(order[3]!, 10, THREE)), bytes);
  network.run(LIMITS.requestUs);
  network.assertIdle();
});

Deno.test("Bytes under way to one peer are bounded, and what waits is sent in its turn (A3)", () => {
  const network = new ChunkNetwork(2), bytes = new Uint8Array(LIMITS.chunkBytesMax);
  const other = network.node(1),
    inFlight = () =>
      network.sent.filter((s) => s.to === other.id).length -
      network.sent.filter((s) => s.from === other.id).length;
  for (let chunk = 0; chunk < 40; chunk++) network.put(network.node(0), bytes, replicated(2), chunk);
  assert.equal(
    inFlight(),
    Math.floor(LIMITS.fragmentBytesInFlightMax / (bytes.length + FRAGMENT_HEADER_BYTES)),
  );
  network.run(200_000);
  assert.equal(other.disk.all.length, 40);
  network.assertIdle();
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
