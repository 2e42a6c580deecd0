import assert from "node:assert/strict";
import fc from "fast-check";
import { type NodeId, nodeId, partitionId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { ViewHolders } from "../../../core/node/holders.ts";
import { encodeFragment, fragmentHash, makeFragments } from "../../../core/objects/fragment.ts";
import { erasureCoder as coder } from "../../../core/objects/erasure.ts";
import { drawnSegment } from "../../../core/objects/segment_id.ts";
import type { Message } from "../../../core/wire/messages.ts";
import type { FragmentId, Scheme } from "../../../core/wire/objects.ts";
import type { Op, Response } from "../../../core/wire/requests.ts";
import { fragmentIds } from "../objects/arbitraries.ts";
import { Network } from "./network.ts";

const THREE: Scheme = { kind: "replicated", copies: 3 };
const STRIPE: Scheme = { kind: "striped", data: 2, parity: 1 };
const { id, token } = drawnSegment(new Uint8Array(32), { bucket: "b", key: "k" });
const SEGMENT = { partition: partitionId(3), segment: id };
const NAMES = ["a", "b", "c", "d", "e"];

const bytesOf = (chunk: number) => Uint8Array.from({ length: 200 + chunk }, (_, i) => 7 * i + chunk);
const putOp = (chunk: number, scheme: Scheme): Op => ({
  kind: "chunk-put",
  segment: SEGMENT,
  chunk,
  scheme,
  token,
  bytes: bytesOf(chunk),
});
const getOp = (chunk: number, scheme: Scheme): Op => ({
  kind: "chunk-get",
  segment: SEGMENT,
  chunk,
  scheme,
  length: bytesOf(chunk).length,
  attempt: 0,
});

function assertChunks(network: Network, names: readonly string[], count: number): void {
  for (const name of names) {
    for (let chunk = 0; chunk < count; chunk++) {
      const got = network.ask(name, getOp(chunk, chunk % 2 === 0 ? THREE : STRIPE));
      assert.ok(got.kind === "chunk", `${chunk} at ${name}: ${JSON.stringify(got)}`);
      assert.deepEqual(Uint8Array.from(got.bytes), bytesOf(chunk));
    }
  }
}
function started(count = 12): Network {
  const network = new Network(NAMES);
  network.settle();
  for (let chunk = 0; chunk < count; chunk++) {
    const stored = network.ask(NAMES[chunk % 5]!, putOp(chunk, chunk % 2 === 0 ? THREE : STRIPE));
    assert.equal(stored.kind, "stored", JSON.stringify(stored));
  }
  network.run(100_000);
  return network;
}
function holdersOf(network: Network, chunk: number): NodeId[] {
  return new ViewHolders(network.node("a").view()).place(fragmentHash(SEGMENT.segment, chunk), 3) as NodeId[];
}

Deno.test("Chunks are read everywhere, with any one node down, and after all have started again", () => {
  const network = started();
  assertChunks(network, NAMES, 12);
  for (const lost of ["b", "e"]) {
    network.kill(lost);
    assertChunks(network, NAMES.filter((name) => name !== lost), 12);
    network.restart(lost);
    network.run(3_000_000);
  }
  for (const name of NAMES) network.restart(name);
  network.settle();
  assertChunks(network, NAMES, 12);
});

Deno.test("Chunks are written with one node dead: a spare holds its share", () => {
  const network = new Network(NAMES, { graceUs: 60_000_000 });
  network.settle();
  const [first, second, third] = holdersOf(network, 0);
  network.kill(second!);
  const asker = [first!, third!, ...NAMES].find((name) => name !== second)!;
  network.until(
    () => network.node(asker).membership.liveness(second!) === "dead",
    20_000_000,
    "Its death is noticed",
  );
  const before = network.now, stored = network.ask(asker, putOp(0, THREE));
  assert.deepEqual(stored, { kind: "stored", fragments: 2, wanted: 3 });
  assert.ok(network.now - before < 100_000, "without waiting for it");
  network.run(100_000);
  const held = NAMES.filter((name) => network.chunksOf(name).all.length > 0);
  assert.equal(held.length, 3);
  assert.ok(!held.includes(second!));
});

Deno.test("Chunks stay readable while members come and leave, wherever their fragments are", () => {
  const network = started();
  const joined = network.join("f", "a");
  network.until(
    () => NAMES.every((name) => network.stateOf("f", name) === "active"),
    20_000_000,
    "It is active everywhere",
  );
  assertChunks(network, [...NAMES, joined.id], 12);
  const gone = network.ask("a", { kind: "set-state", node: nodeId("c"), state: "draining", force: false });
  assert.equal(gone.kind, "done", JSON.stringify(gone));
  network.run(50_000);
  assertChunks(network, ["a", "f"], 12);
});

Deno.test("A node short of space takes no fragment, and one that stops takes no chunk", () => {
  const network = new Network(["a", "b", "c"]);
  network.settle();
  for (const name of ["b", "c"]) network.step(nodeId(name), { kind: "space", low: true });
  const full = network.ask("a", putOp(0, THREE));
  assert.ok(full.kind === "refused" && full.reason === "no-space", JSON.stringify(full));
  network.step(nodeId("b"), { kind: "space", low: false });
  assert.equal(network.ask("a", putOp(0, THREE)).kind, "stored");
  network.step(nodeId("a"), { kind: "stop" });
  const closing = network.ask("a", getOp(0, THREE));
  assert.ok(closing.kind === "refused" && closing.reason === "closing");
});

Deno.test("Who is on its way out takes no fragments from those who do not know it", () => {
  const network = started(0), [first] = holdersOf(network, 0), leaving = nodeId(first!);
  const asker = nodeId(NAMES.find((name) => name !== first)!);
  const held = () => network.chunksOf(first!).all.length;
  const fragment = { ...SEGMENT, chunk: 0, index: 0 };
  const [bytes] = makeFragments(SEGMENT, 0, { scheme: THREE, sealed: bytesOf(0), coder });
  const drained = network.ask(asker, { kind: "set-state", node: leaving, state: "draining", force: false });
  assert.equal(drained.kind, "done", JSON.stringify(drained));
  network.until(
    () => network.stateOf(first!, first!) === "draining",
    5_000_000,
    "It knows that it is to leave",
  );
  network.step(leaving, {
    kind: "messages",
    from: asker,
    messages: [{ kind: "fragment-put", id: 7, fragment, bytes: bytes! }],
  });
  network.run(100_000);
  assert.equal(held(), 0);
  const stored = network.ask(asker, putOp(0, THREE));
  assert.equal(stored.kind, "stored", JSON.stringify(stored));
  network.run(100_000);
  assert.equal(held(), 0);
});

Deno.test("segments-gone is answered, and does no harm to what is registered nowhere yet", () => {
  const network = started(2);
  assert.equal(network.ask("d", { kind: "segments-gone", segments: [] }).kind, "done");
  assertChunks(network, ["a"], 2);
});

Deno.test("Nothing that peers say of fragments makes a node throw, or answers what it did not ask (K2)", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fragmentIds.map((id) =>
      encodeFragment({ ...id, index: 0 }, { scheme: THREE, sealedBytes: 9, payload: new Uint8Array(9) })
    ),
  );
  const id = fc.nat({ max: 2 ** 31 });
  const messages: fc.Arbitrary<Message> = fc.oneof(
    fc.record({ kind: fc.constant("fragment-put" as const), id, fragment: fragmentIds, bytes }),
    fc.record({
      kind: fc.constant("fragment-put-reply" as const),
      id,
      outcome: fc.constantFrom("stored" as const, "no-space" as const, "failed" as const, "refused" as const),
    }),
    fc.record({ kind: fc.constant("fragment-get" as const), id, fragment: fragmentIds }),
    fc.record({ kind: fc.constant("fragment-get-reply" as const), id, bytes: fc.option(bytes) }),
    fc.record({
      kind: fc.constant("fragment-check" as const),
      id,
      fragments: fc.array(fragmentIds, { maxLength: 5 }),
    }),
    fc.record({ kind: fc.constant("fragment-check-reply" as const), id, held: fc.array(fc.boolean()) }),
    fc.record({
      kind: fc.constant("segments-gone" as const),
      segments: fc.array(fragmentIds.map(({ partition, segment }) => ({ partition, segment })), {
        maxLength: 5,
      }),
    }),
  );
  const network = new Network(["a", "b", "c"]);
  network.settle();
  fc.assert(fc.property(fc.array(messages, { maxLength: 6 }), fc.boolean(), (said, ask) => {
    const request = ask ? network.request("a", getOp(0, STRIPE)) : null;
    network.step(nodeId("a"), { kind: "messages", from: nodeId("b"), messages: said });
    network.run(10_000);
    const told = network.replies.filter((reply) => reply.id === request);
    assert.ok(told.length <= 1);
    assert.ok(told.every(({ response }) => response.kind === "refused"));
  }));
  assert.equal(network.ask("a", putOp(0, THREE)).kind, "stored");
});

Deno.test("Answers are repeated for the number that was asked, and for no other peer", () => {
  const network = started(4);
  // All that is asked is answered with other fragments' bytes by one of the holders.
  const other: FragmentId = { ...SEGMENT, chunk: 99, index: 0 };
  const file = makeFragments(other, 99, { scheme: THREE, sealed: new Uint8Array(50), coder })[0]!;
  const [liar] = holdersOf(network, 0);
  const chunks = network.chunksOf(liar!);
  for (const entry of chunks.files.values()) entry.bytes = file;
  assertChunks(network, NAMES, 4);
  assert.ok(chunks.all.length < 4, "what was rotten was removed");
});

Deno.test("A request for chunks is held to the asker's limits, not to the network's", () => {
  const network = new Network(["a"]);
  network.settle();
  const answers: Response[] = [];
  for (let chunk = 0; chunk < LIMITS.chunkRequestsMax + 1; chunk++) network.request("a", putOp(chunk, THREE));
  network.run(LIMITS.requestUs);
  for (const { response } of network.replies) answers.push(response);
  const busy = answers.filter((r) => r.kind === "refused" && r.reason === "busy");
  assert.equal(busy.length, 1);
  assert.deepEqual(
    new Set(answers.filter((r) => r.kind !== "refused").map((r) => JSON.stringify(r))),
    new Set([JSON.stringify({ kind: "stored", fragments: 1, wanted: 1 })]),
    "alone it is the one that is wanted",
  );
});

Deno.test("ViewHolders places over active members, and knows who is leaving", () => {
  const network = new Network(NAMES);
  const view = network.node("a").view();
  const states = ["active", "draining", "joining", "gone", "evicted"] as const;
  const members = view.members.map((m, i) => ({ ...m, state: states[i]! }));
  const holders = new ViewHolders({ ...view, members });
  assert.equal(holders.active, 1);
  assert.deepEqual(holders.place(5, 3).filter((id) => id !== null), ["a"]);
  assert.deepEqual([holders.place(5, 3).length, holders.spares(5, 3, 9)], [3, []]);
  assert.deepEqual(holders.leaving, ["b"]);
  assert.deepEqual(holders.all, ["a", "b"]);
});
