/** The bulk lane between two hosts: Q1 to Q4 of cli/host/bulk_link.ts, R1 to R3 of cli/host/bulk_intake.ts. */
import assert from "node:assert/strict";
import { type NodeId, nodeId, partitionId } from "../../../../core/base/ids.ts";
import { LIMITS } from "../../../../core/base/limits.ts";
import { encodeMessages, WireError } from "../../../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../../../core/wire/framing.ts";
import type { Message, MessageOf } from "../../../../core/wire/messages.ts";
import { decodeHello, encodeHello, peerHello } from "../../../../core/wire/session.ts";
import { bulkFrame } from "../../../../cli/host/bulk_frame.ts";
import { BulkIntake, type BulkSocket } from "../../../../cli/host/bulk_intake.ts";
import { BulkLink, isBulk } from "../../../../cli/host/bulk_link.ts";
import { Transport, type TransportEvents } from "../../../../cli/host/transport.ts";
import { authority, identity, NETWORK, World } from "../members.ts";
import { until } from "../../support.ts";

const MiB = 1024 * 1024;
const QUIET: TransportEvents = {
  messages() {},
  requests() {},
  clientGone() {},
  peerLost() {},
  secrets() {},
  incident() {},
  refused() {},
  deaf() {},
};

function put(id: number, bytes: number): MessageOf<"fragment-put"> {
  const fragment = { partition: partitionId(1), segment: "0".repeat(32), chunk: id, index: 0 };
  return { kind: "fragment-put", id, fragment, bytes: new Uint8Array(bytes).fill(id) };
}
const nack = (sequence: number): Message => ({ kind: "nack", sequence });
const arrived = (what: string, holds: () => boolean) => until(what, () => Promise.resolve(holds()));

/** Two hosts, a and b, which hear one another, in the clear or over TLS. */
async function withPair(
  open: boolean,
  use: (pair: {
    a: Transport;
    b: Transport;
    /** What b heard of a, in that order. */
    heard: Message[];
    lost: string[];
    connections: () => number;
  }) => Promise<void>,
): Promise<void> {
  const world = new World(await authority());
  const heard: Message[] = [], lost: string[] = [], addresses = new Map<NodeId, string>();
  const make = async (name: string, events: TransportEvents) => {
    const who = await identity(world.by, name);
    world.members.set(name, { key: who.key, state: "active" });
    const transport = new Transport(events);
    const address = await transport.listen("127.0.0.1:0");
    addresses.set(nodeId(name), address);
    const credentials = open ? null : world.credentials(who);
    transport.begin(
      { node: nodeId(name), network: NETWORK, address, credentials },
      (peer) => addresses.get(peer) ?? null,
    );
    return transport;
  };
  const b = await make("b", { ...QUIET, messages: (_, messages) => void heard.push(...messages) });
  const a = await make("a", { ...QUIET, peerLost: (_, why) => void lost.push(why) });
  const connections = () => new Map(b.counters()).get("connections")!;
  try {
    await use({ a, b, heard, lost, connections });
  } finally {
    await Promise.all([a.close(), b.close()]);
  }
}

for (const open of [true, false]) {
  const how = open ? "in the clear" : "over TLS";
  Deno.test(`fragments arrive whole and in order ${how}, over a connection made when there is one to send`, () =>
    withPair(open, async ({ a, heard, lost, connections }) => {
      a.send(nodeId("b"), nack(1));
      a.flush();
      await arrived("the first message", () => heard.length === 1);
      assert.equal(connections(), 1);
      for (let id = 0; id < 24; id++) a.send(nodeId("b"), put(id, id % 2 === 0 ? MiB : 5000));
      a.send(nodeId("b"), nack(2));
      a.flush();
      await arrived("all", () => heard.length === 26);
      assert.equal(connections(), 2);
      const puts = heard.filter((message) => message.kind === "fragment-put");
      assert.deepEqual(puts.map(({ id }) => id), Array.from({ length: 24 }, (_, id) => id));
      for (const { id, bytes } of puts) {
        assert.equal(bytes.length, id % 2 === 0 ? MiB : 5000);
        assert.ok(bytes.every((byte) => byte === id));
      }
      // What was said after 12 MiB of fragments did not wait behind them.
      assert.ok(heard.findIndex((each) => each.kind === "nack" && each.sequence === 2) < 20);
      assert.deepEqual(lost, []);
    }));
}

Deno.test("only what carries a fragment goes over the bulk lane", () => {
  const fragment = put(0, 1).fragment;
  assert.ok(isBulk(put(0, 1)));
  assert.ok(isBulk({ kind: "fragment-get-reply", id: 1, bytes: new Uint8Array(1) }));
  const others: Message[] = [
    { kind: "fragment-get-reply", id: 1, bytes: null },
    { kind: "fragment-get", id: 1, fragment },
    { kind: "fragment-put-reply", id: 1, outcome: "stored" },
    { kind: "fragment-check", id: 1, fragments: [fragment] },
    { kind: "fragment-check-reply", id: 1, held: [true] },
    { kind: "segments-gone", segments: [fragment] },
    nack(1),
  ];
  for (const message of others) assert.ok(!isBulk(message), message.kind);
});

Deno.test("bulkFrame() makes the same bytes as seal() does, without copying large fragments", () => {
  for (const length of [0, 1, 100, 16_384, 16_385, 65_535, 65_536, MiB + 60, LIMITS.fragmentBytesMax]) {
    const messages = [put(200, length), {
      kind: "fragment-get-reply",
      id: 2 ** 40,
      bytes: put(7, length).bytes,
    }] as const;
    for (const message of messages) {
      const pieces = bulkFrame(message);
      assert.equal(pieces.length, length > 16_384 ? 2 : 1);
      if (pieces.length === 2) assert.equal(pieces[1], message.bytes);
      const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
      whole.set(pieces[0]!);
      if (pieces.length === 2) whole.set(pieces[1]!, pieces[0]!.length);
      const sealed = seal(encodeMessages([message], FRAME_HEADER_BYTES));
      assert.ok(
        whole.length === sealed.length && whole.every((byte, i) => byte === sealed[i]),
        `${length} bytes`,
      );
    }
  }
});

Deno.test("Q3: that the bulk lane cannot be made loses no peer, and what waits for it is dropped", async () => {
  const lost: string[] = [];
  const transport = new Transport({ ...QUIET, peerLost: (peer) => void lost.push(peer) });
  const address = await transport.listen("127.0.0.1:0");
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  gone.close();
  transport.begin(
    { node: nodeId("a"), network: NETWORK, address, credentials: null },
    () => `127.0.0.1:${gone.addr.port}`,
  );
  transport.send(nodeId("b"), put(1, 1000));
  const dropped = () => new Map(transport.counters()).get("bulk messages dropped") ?? 0;
  await arrived("it to be dropped", () => dropped() === 1);
  assert.deepEqual(lost, []);
  transport.send(nodeId("b"), nack(1));
  transport.flush();
  await arrived("the peer to be lost", () => lost.length === 1);
  await transport.close();
});

Deno.test("Q2: what waits on the bulk lane is bounded", () => {
  // It takes connections and says nothing.
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let dropped = 0;
  const link = new BulkLink({
    peer: nodeId("b"),
    address: () => `127.0.0.1:${silent.addr.port}`,
    hello: () => peerHello({ network: NETWORK, node: nodeId("a"), address: "127.0.0.1:1" }, "bulk"),
    credentials: () => null,
    count: (_, by) => dropped += by,
  });
  const message = put(1, MiB);
  for (let i = 0; i < 70; i++) link.send(message);
  assert.ok(link.waitingBytes <= LIMITS.bulkQueueBytesMax);
  assert.equal(dropped, 70 - Math.floor(LIMITS.bulkQueueBytesMax / (MiB + 128)));
  link.close();
  assert.equal(dropped, 70);
  assert.ok(link.waitingBytes < 100, "nothing but how the connection begins");
});

Deno.test("Q4: a bulk lane that is not used is closed, and made anew for the next fragment", async () => {
  const heard: number[] = [];
  const transport = new Transport({
    ...QUIET,
    messages: (_, messages) => {
      for (const message of messages) if (message.kind === "fragment-put") heard.push(message.id);
    },
  });
  const address = await transport.listen("127.0.0.1:0");
  transport.begin({ node: nodeId("b"), network: NETWORK, address, credentials: null }, () => null);
  const link = new BulkLink({
    peer: nodeId("b"),
    address: () => address,
    hello: () => peerHello({ network: NETWORK, node: nodeId("a"), address: "127.0.0.1:1" }, "bulk"),
    credentials: () => null,
    count: (what) => assert.fail(what),
    idleMs: 100,
  });
  const connections = () => new Map(transport.counters()).get("connections");
  for (const id of [1, 2]) {
    link.send(put(id, 3 * 1000));
    await arrived("the fragment", () => heard.length === id);
    await arrived("the connection to be closed", () => connections() === 0);
  }
  assert.deepEqual(heard, [1, 2]);
  link.close();
  await transport.close();
});

class FakeSocket implements BulkSocket {
  paused = false;
  broken: WireError | null = null;
  pause() {
    this.paused = true;
  }
  resume() {
    this.paused = false;
  }
  breakOff(error: WireError) {
    this.broken = error;
  }
}

Deno.test("R1 to R3: frames are handed over a little at a time, of all peers in turn, and who sends too much waits", async () => {
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  const handed: string[] = [];
  const intake = new BulkIntake((from, messages) => {
    for (const message of messages) if (message.kind === "fragment-put") handed.push(`${from}${message.id}`);
  });
  const frames = Array.from({ length: 6 }, (_, id) => encodeMessages([put(id, MiB)]));
  intake.take(nodeId("a"), a, frames.slice(0, 5));
  intake.take(nodeId("b"), b, frames.slice(0, 1));
  assert.deepEqual(handed, [], "nothing within the read");
  assert.deepEqual([a.paused, b.paused], [true, false]);
  const passes: string[][] = [];
  while (intake.waitingBytes > 0) {
    await new Promise((done) => setTimeout(done, 1));
    if (handed.length > 0) passes.push(handed.splice(0));
  }
  assert.deepEqual(passes.flat(), ["a0", "b0", "a1", "a2", "a3", "a4"]);
  assert.ok(passes.every((pass) => pass.length <= 2), JSON.stringify(passes));
  assert.equal(a.paused, false);
  intake.take(nodeId("a"), a, [encodeMessages([nack(1)])]);
  intake.take(nodeId("b"), b, [Uint8Array.of(1, 2, 3)]);
  await arrived("both to be refused", () => a.broken !== null && b.broken !== null);
  assert.deepEqual(handed, []);
  intake.take(nodeId("a"), a, frames.slice(0, 2));
  intake.forget(a);
  intake.close();
  assert.equal(intake.waitingBytes, 0);
});

Deno.test("R4: all of the lane rests for a moment now and then, and who is held back stays so", async () => {
  const [a, b] = [new FakeSocket(), new FakeSocket()];
  const intake = new BulkIntake(() => {});
  const frames = [0, 1, 2, 3, 4, 5].map((id) => encodeMessages([put(id, MiB)]));
  intake.heard(a);
  await arrived("the rest to end", () => !a.paused);
  // Other connections rest with it.
  for (let rested = 0; rested < 3;) {
    intake.heard(b);
    intake.heard(a);
    if (!a.paused) await new Promise((done) => setTimeout(done, 1));
    else {
      rested++;
      assert.ok(b.paused);
      await arrived("the rest to end", () => !a.paused && !b.paused);
    }
  }
  while (!a.paused) intake.heard(a);
  intake.take(nodeId("b"), b, frames);
  const held = intake.waitingBytes;
  while (a.paused) {
    assert.ok(b.paused || intake.waitingBytes < held);
    await new Promise((done) => setTimeout(done, 1));
  }
  await arrived("all to be handed over", () => intake.waitingBytes === 0 && !b.paused);
  intake.close();
});

Deno.test("decodeHello() refuses a client on the bulk lane", () => {
  const hello = peerHello({ network: NETWORK, node: nodeId("a"), address: "127.0.0.1:1" }, "bulk");
  assert.deepEqual(decodeHello(encodeHello(hello)), hello);
  const client = encodeHello({ ...hello, role: "client", node: null, address: null });
  assert.throws(() => decodeHello(client), WireError);
});
