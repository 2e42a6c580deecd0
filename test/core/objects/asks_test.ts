/** What shows only when messages are lost or late, or where few are left to ask. */
import assert from "node:assert/strict";
import type { Instant } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { fragmentKey, makeFragments } from "../../../core/objects/fragment.ts";
import { erasureCoder as coder } from "../../../core/objects/erasure.ts";
import type { Message } from "../../../core/wire/messages.ts";
import type { Scheme } from "../../../core/wire/objects.ts";
import {
  bytesOf,
  ChunkNetwork,
  type ChunkNode,
  fragmentAt,
  LATENCY_US,
  replicated,
  SEGMENT,
  striped,
} from "./chunk_network.ts";

const THREE = replicated(3);

/** Puts a fragment on a node's disk, wherever placement wants it. */
function give(node: ChunkNode, scheme: Scheme, index = 0, sealed = bytesOf(40)): void {
  const file = makeFragments(SEGMENT, 0, { scheme, sealed, coder })[index]!, fragment = fragmentAt(0, index);
  node.disk.files.set(fragmentKey(fragment), { fragment, bytes: file });
}
/** What comes of fetching chunk 0, waited for. */
function fetched(network: ChunkNetwork, node: ChunkNode, scheme: Scheme, withoutSelf = false): string[] {
  const heard: string[] = [];
  network.act(node, () =>
    void node.objects.fetcher.fetchChunk(
      { segment: SEGMENT, chunk: 0, scheme, sealedBytes: 40 },
      { until: (network.now + 3_000_000) as Instant, withoutSelf },
      network.now as Instant,
      ({ kind }) => void heard.push(kind),
    ));
  return heard;
}

Deno.test("What was lost on the way is sent again (A4)", () => {
  for (const kind of ["fragment-put", "fragment-put-reply"] as const) {
    const network = new ChunkNetwork(2);
    let lost = 0;
    network.tamper = (_from, _to, message) => message.kind === kind && lost++ === 0 ? [] : [message];
    const stored = network.answer(network.put(network.node(0), bytesOf(40), replicated(2)));
    assert.deepEqual(stored, { kind: "stored", fragments: 2, wanted: 2 }, kind);
    network.assertIdle();
  }
  for (const kind of ["fragment-get", "fragment-get-reply", "fragment-check"] as const) {
    const network = new ChunkNetwork(5), order = network.order();
    const scheme = kind === "fragment-check" ? striped(1, 1) : replicated(1);
    give(kind === "fragment-check" ? order[4]! : order[0]!, scheme);
    let lost = 0;
    network.tamper = (_from, _to, message) => message.kind === kind && lost++ < 4 ? [] : [message];
    assert.equal(network.answer(network.get(order[3]!, 40, scheme)).kind, "chunk", kind);
  }
});

Deno.test("Nobody is told what was cancelled, asked of others or of itself (A1)", () => {
  const network = new ChunkNetwork(2), node = network.node(0);
  for (const to of network.nodes) {
    network.act(node, () => {
      const now = network.now as Instant, until = (now + 1_000_000) as Instant;
      const { asks } = node.objects, told = () => assert.fail("It was cancelled");
      const fragment = fragmentAt(0, 0);
      asks.cancel(asks.get(to.id, { fragment, bytes: 10, until }, now, told), now);
      asks.cancel(asks.put(to.id, { fragment, bytes: new Uint8Array(9), until }, now, told), now);
      asks.cancel(asks.check(to.id, { fragments: [fragment], until }, now, told), now);
    });
  }
  network.run(2_000_000);
  network.assertIdle();
});

Deno.test("A check answered about another number of fragments tells nothing", () => {
  const network = new ChunkNetwork(2), node = network.node(0), heard: unknown[] = [];
  network.tamper = (_from, _to, message) =>
    message.kind === "fragment-check-reply" ? [{ ...message, held: [true, true] }] : [message];
  network.act(node, () =>
    void node.objects.asks.check(
      network.node(1).id,
      { fragments: [fragmentAt(0, 0)], until: (network.now + 1_000_000) as Instant },
      network.now as Instant,
      (held) => void heard.push(held),
    ));
  network.run(50_000);
  assert.deepEqual(heard, [null]);
});

Deno.test("Who was lost while it was asked may have it: unsure, not absent (G5)", () => {
  for (const scheme of [THREE, striped(1, 1)]) {
    const network = new ChunkNetwork(4), order = network.order(), asker = order[0]!;
    const lost = order[3]!;
    lost.silent = true;
    const heard = fetched(network, asker, scheme);
    network.run(1_500_000);
    assert.deepEqual(heard, []);
    network.act(asker, () => asker.objects.peerDown(lost.id, network.now as Instant));
    assert.deepEqual(heard, ["unsure"]);
    network.assertIdle();
  }
});

Deno.test("Repair does not take its own spare copy for another's", () => {
  const network = new ChunkNetwork(5), spare = network.order()[4]!;
  give(spare, THREE);
  const heard = fetched(network, spare, THREE, true);
  network.run(100_000);
  assert.deepEqual(heard, ["absent"]);
  assert.equal(spare.disk.asked.get("read"), undefined);
  assert.deepEqual(fetched(network, network.order()[0]!, THREE), []);
});

Deno.test("Who is on its way out is asked before spares, and every member is at last (G3)", () => {
  const network = new ChunkNetwork(60), order = network.order(), reader = order[1]!;
  const leaving = order[50]!, last = order[58]!;
  network.change((m) => m.id === leaving.id ? { ...m, state: "draining" } : m);
  give(last, THREE);
  const heard = fetched(network, reader, THREE);
  network.run(1_000_000);
  assert.deepEqual(heard, ["found"]);
  const asked = network.sent.filter((s) => s.from === reader.id).map((s) => s.to);
  assert.equal(asked.indexOf(leaving.id), 2, "after the other two that should hold it");
  assert.equal(new Set(asked).size, asked.length, "each once");
});

Deno.test("When a fetch ends nobody is waited for any more", () => {
  const network = new ChunkNetwork(5, { hedgeUs: 10_000 }), order = network.order(), reader = order[4]!;
  give(order[1]!, THREE);
  order[0]!.silent = true;
  assert.equal(network.answer(network.get(reader, 40, THREE)).kind, "chunk");
  assert.equal(reader.objects.asks.size, 0);
});

Deno.test("A put whose answer was given waits for nobody who is late; one without an answer does (Q1)", () => {
  const network = new ChunkNetwork(3, { putPatienceUs: 100_000 }), order = network.order();
  order[2]!.silent = true;
  assert.equal(network.answer(network.put(order[0]!, bytesOf(40), THREE)).kind, "stored");
  assert.equal(order[0]!.objects.requests, 1);
  network.run(100_001);
  network.assertIdle();

  const far = new ChunkNetwork(3, { putPatienceUs: 100_000 });
  far.latency = () => 900_000;
  assert.equal(far.answer(far.put(far.node(0), bytesOf(40), THREE)).kind, "stored");
});

Deno.test("Only who is surely there is a spare (Q3)", () => {
  const network = new ChunkNetwork(6), order = network.order();
  order[1]!.presence = "away";
  order[3]!.presence = "doubtful";
  assert.equal(network.answer(network.put(order[0]!, bytesOf(40), THREE)).kind, "stored");
  network.run(100_000);
  assert.deepEqual(order.map((n) => n.disk.all.length), [1, 0, 1, 0, 1, 0]);
});

Deno.test("Bytes that were gathered make room for the next (Q5)", () => {
  const network = new ChunkNetwork(2), length = LIMITS.chunkBytesMax;
  for (let i = 0; i < 2 * LIMITS.chunkBytesPendingMax / length; i++) {
    for (const id of [0, 1].map((j) => network.get(network.node(0), length, THREE, 2 * i + j))) {
      const answer = network.answer(id);
      assert.ok(answer.kind === "refused" && answer.reason === "not-found", JSON.stringify(answer));
    }
  }
});

Deno.test("A question waits no longer than its asker said, and its answer comes to nothing afterwards", () => {
  const network = new ChunkNetwork(2), node = network.node(0), heard: string[] = [];
  const late: Message[] = [];
  network.tamper = (_from, to, message) => {
    if (to === node.id) late.push(message);
    return to === node.id ? [] : [message];
  };
  network.act(node, () =>
    void node.objects.asks.get(
      network.node(1).id,
      { fragment: fragmentAt(0, 0), bytes: 10, until: (network.now + 20 * LATENCY_US) as Instant },
      network.now as Instant,
      ({ kind }) => void heard.push(kind),
    ));
  network.run(20 * LATENCY_US - 1);
  assert.deepEqual(heard, []);
  network.run(1);
  assert.deepEqual(heard, ["lost"]);
  assert.equal(late.length, 1);
  network.deliver(network.node(1).id, node, late[0]!);
  assert.equal(heard.length, 1);
});
