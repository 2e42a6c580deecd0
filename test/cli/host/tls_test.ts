/** Transports of a private network: who is let in as whom, and how TLS bears load. */
import assert from "node:assert/strict";
import net from "node:net";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { frame, FRAME_HEADER_BYTES, seal } from "../../../core/wire/framing.ts";
import type { GenerationSecret } from "../../../core/wire/session.ts";
import {
  clientHello,
  decodeHelloReply,
  encodeHello,
  peerHello,
  PREAMBLE,
} from "../../../core/wire/session.ts";
import { askAuthorities } from "../../../cli/host/ask_authorities.ts";
import { certificatePem } from "../../../cli/host/identity/certificates.ts";
import { PeerLink } from "../../../cli/host/peer_link.ts";
import { connectTo, FrameSocket } from "../../../cli/host/socket.ts";
import { acceptTls } from "../../../cli/host/tls.ts";
import { Carrier } from "../../../cli/host/tls_stream.ts";
import { Transport, type TransportEvents } from "../../../cli/host/transport.ts";
import { RawConnection, until } from "../support.ts";
import { authority, type Identity, identity, NETWORK, World } from "./members.ts";

interface Heard {
  readonly messages: (readonly [NodeId, number])[];
  readonly secrets: (readonly [NodeId, readonly GenerationSecret[]])[];
  readonly refused: string[];
  readonly lost: string[];
}

async function transportOf(
  world: World,
  id: string,
  who: Identity,
  addressOf: (peer: NodeId) => string | null,
) {
  const heard: Heard = { messages: [], secrets: [], refused: [], lost: [] };
  const events: TransportEvents = {
    messages: (from, messages) => {
      for (const each of messages) if (each.kind === "nack") heard.messages.push([from, each.sequence]);
    },
    requests() {},
    clientGone() {},
    peerLost: (_, why) => heard.lost.push(why),
    secrets: (from, secrets) => heard.secrets.push([from, secrets]),
    incident() {},
    refused: (_, why) => heard.refused.push(why),
    deaf() {},
  };
  const transport = new Transport(events);
  const address = await transport.listen("127.0.0.1:0");
  const credentials = world.credentials(who);
  transport.begin({ node: nodeId(id), network: NETWORK, address, credentials }, addressOf);
  return { transport, address, heard };
}

const nack = (sequence: number) => ({ kind: "nack", sequence }) as const;

/** Two members, a and b, and their transports. */
async function withPair(
  use: (pair: {
    world: World;
    a: Awaited<ReturnType<typeof transportOf>>;
    b: Awaited<ReturnType<typeof transportOf>>;
    ids: { a: Identity; b: Identity };
  }) => Promise<void>,
): Promise<void> {
  const world = new World(await authority());
  const ids = { a: await identity(world.by, "a"), b: await identity(world.by, "b") };
  world.members.set("a", { key: ids.a.key, state: "active" });
  world.members.set("b", { key: ids.b.key, state: "active" });
  const addresses = new Map<string, string>();
  const addressOf = (peer: NodeId) => addresses.get(peer) ?? null;
  const a = await transportOf(world, "a", ids.a, addressOf);
  const b = await transportOf(world, "b", ids.b, addressOf);
  addresses.set("a", a.address);
  addresses.set("b", b.address);
  try {
    await use({ world, a, b, ids });
  } finally {
    await Promise.all([a.transport.close(), b.transport.close()]);
  }
}

/** A link of whoever has `who`, that calls itself `as`. Resolves to why it was lost, or null when its message arrived. */
async function attempt(
  { world, as, who, peer, address, arrived }: {
    world: World;
    as: string;
    who: Identity;
    peer: string;
    address: string;
    arrived: () => boolean;
  },
): Promise<string | null> {
  let lost: string | null = null;
  const link = new PeerLink({
    peer: nodeId(peer),
    address: () => address,
    hello: () => peerHello({ network: NETWORK, node: nodeId(as), address: "127.0.0.1:1" }),
    credentials: () => world.credentials(who),
    lost: (why) => lost ??= why,
    count() {},
  });
  link.queue(nack(1));
  link.flush();
  await until("the link to stand or be lost", () => Promise.resolve(lost !== null || arrived()));
  link.close();
  return lost;
}

Deno.test("members speak to each other over TLS 1.3, each known by its key", () =>
  withPair(async ({ a, b }) => {
    for (let i = 0; i < 3; i++) a.transport.send(nodeId("b"), nack(i));
    a.transport.flush();
    b.transport.send(nodeId("a"), nack(7));
    b.transport.flush();
    await until(
      "messages at both ends",
      () => Promise.resolve(b.heard.messages.length === 3 && a.heard.messages.length === 1),
    );
    assert.deepEqual(b.heard.messages, [["a", 0], ["a", 1], ["a", 2]]);
    assert.deepEqual(a.heard.messages, [["b", 7]]);
    assert.deepEqual(a.heard.refused, []);
  }));

Deno.test("a certificate of the authority is no membership: unknown and evicted keys and impostors are refused", () =>
  withPair(async ({ world, b, ids }) => {
    const stranger = await identity(world.by, "x"), evicted = await identity(world.by, "e");
    world.members.set("e", { key: evicted.key, state: "evicted" });
    const arrived = () => b.heard.messages.length > 0;
    const at = { world, peer: "b", address: b.address, arrived };
    assert.equal(await attempt({ ...at, as: "x", who: stranger }), "refused: unknown");
    assert.equal(await attempt({ ...at, as: "a", who: stranger }), "refused: impostor");
    assert.equal(await attempt({ ...at, as: "e", who: evicted }), "refused: evicted");
    assert.equal(await attempt({ ...at, as: "x", who: evicted }), "refused: evicted", "under any name");
    assert.equal(await attempt({ ...at, as: "a", who: ids.a }), null);
    const foreign = await identity(await authority(), "a");
    assert.notEqual(await attempt({ ...at, as: "a", who: foreign, arrived: () => false }), null);
    assert.deepEqual(b.heard.messages, [["a", 1]]);
  }));

Deno.test("nothing is said to who answers in a member's place, though it has a certificate of the network", () =>
  withPair(async ({ world, a, b, ids }) => {
    world.members.set("c", { key: (await identity(world.by, "c")).key, state: "active" });
    const at = { world, as: "a", who: ids.a, address: b.address, arrived: () => b.heard.messages.length > 0 };
    assert.equal(await attempt({ ...at, peer: "c" }), "not spoken to: impostor");
    assert.deepEqual([b.heard.messages, b.heard.refused, a.heard.messages], [[], [], []]);
  }));

Deno.test("a view that shuts a member out ends its connections at once, those that it made and those made to it", () =>
  withPair(async ({ world, a, b, ids }) => {
    a.transport.send(nodeId("b"), nack(1));
    a.transport.flush();
    b.transport.send(nodeId("a"), nack(2));
    b.transport.flush();
    await until(
      "messages at both ends",
      () => Promise.resolve(b.heard.messages.length === 1 && a.heard.messages.length === 1),
    );
    world.members.set("b", { key: ids.b.key, state: "evicted" });
    a.transport.reconsider();
    await until("a to have ended its link to b", () => Promise.resolve(a.heard.lost.length === 1));
    assert.equal(a.heard.lost[0], "not spoken to: evicted");
    b.transport.send(nodeId("a"), nack(3));
    b.transport.flush();
    await until("b to be turned away", () => Promise.resolve(b.heard.lost.length > 0));
    assert.deepEqual(a.heard.messages, [["b", 2]]);
  }));

Deno.test("secrets go to the member whose key the view lists at that moment, and to nobody else", () =>
  withPair(async ({ world, a, b }) => {
    const secrets = [{ id: 1, secret: new Uint8Array(32).fill(5) }];
    a.transport.send(nodeId("b"), nack(1));
    a.transport.flush();
    await until("a message", () => Promise.resolve(b.heard.messages.length === 1));
    a.transport.sendSecrets(nodeId("b"), secrets);
    await until("the secrets", () => Promise.resolve(b.heard.secrets.length === 1));
    assert.deepEqual([...b.heard.secrets[0]![1][0]!.secret], [...secrets[0]!.secret]);
    // b is another node from now on, and nobody has told its old connection.
    world.members.set("b", { key: (await identity(world.by, "b")).key, state: "active" });
    a.transport.sendSecrets(nodeId("b"), secrets);
    await until("the connection to end", () => Promise.resolve(a.heard.lost.length === 1));
    assert.equal(b.heard.secrets.length, 1);
  }));

Deno.test("whoever speaks in the clear, without a certificate, or no protocol at all is refused and counted", () =>
  withPair(async ({ world, b, ids }) => {
    const clear = new RawConnection(b.address);
    clear.hello({});
    assert.equal(decodeHelloReply((await clear.next())!).reason, "denied");
    assert.equal(await clear.next(), null);
    const peer = new RawConnection(b.address);
    peer.hello({ role: "peer", network: NETWORK, node: nodeId("a"), address: "127.0.0.1:1" });
    assert.equal(decodeHelloReply((await peer.next())!).reason, "denied");
    const noise = new RawConnection(b.address, "GET / HTTP/1.1\r\n\r\n");
    assert.equal(await noise.next(), null);
    // As a client, with TLS and the right authority, and nothing to show.
    const reasons: string[] = [];
    for (const own of [null, ids.a.own]) {
      const authorities = [certificatePem(world.by.der)];
      const preamble = own === null ? "client" : "member";
      const done = Promise.withResolvers<void>();
      const socket: FrameSocket = connectTo(b.address, { preamble, own, authorities }, {
        connected: () => socket.send(seal(encodeHello(clientHello(null, null), FRAME_HEADER_BYTES))),
        frames: ([payload]) => {
          const { accepted, reason } = decodeHelloReply(payload!);
          reasons.push(accepted ? "accepted" : reason!);
          socket.destroy();
        },
        closed: () => done.resolve(),
      });
      await done.promise;
    }
    assert.deepEqual(reasons, ["denied", "accepted"], "a member may ask as a client");
    const counters = new Map(b.transport.counters());
    assert.equal(counters.get("connections refused: no preamble"), 1);
    assert.equal(counters.get("hellos refused: denied"), 3);
  }));

Deno.test("askAuthorities() learns the authorities and nothing secret", () =>
  withPair(async ({ world, a }) => {
    const answer = await askAuthorities(a.address);
    assert.equal(answer.network, NETWORK);
    assert.deepEqual(answer.authorities.map((der) => der.toHex()), [world.by.der.toHex()]);
    await assert.rejects(askAuthorities("127.0.0.1:1"));
  }));

/** The two ends of one connection over TLS. */
async function tlsPair(
  use: (ends: { near: FrameSocket; far: FrameSocket; got: () => number }) => Promise<void>,
) {
  const by = await authority();
  const server = await identity(by, "s"), client = await identity(by, "c");
  const authorities = [certificatePem(by.der)];
  let received = 0;
  const taken = Promise.withResolvers<FrameSocket>();
  const listener = net.createServer((socket) => {
    socket.once("readable", () => {
      assert.equal(new TextDecoder().decode(socket.read(4)), PREAMBLE.member);
      const carrier = new Carrier(socket);
      acceptTls(carrier, {
        material: { own: server.own, authorities },
        mutual: true,
        secured: (stream) => {
          const events = {
            frames: (payloads: readonly Uint8Array[]) => {
              for (const { length } of payloads) received += length;
            },
            closed() {},
          };
          taken.resolve(new FrameSocket(stream, events, carrier));
        },
        failed: (why) => taken.reject(new Error(why)),
      });
    });
  });
  await new Promise<void>((done) => listener.listen(0, "127.0.0.1", () => done()));
  const { port } = listener.address() as net.AddressInfo;
  const connected = Promise.withResolvers<void>(), closed = Promise.withResolvers<void>();
  const near = connectTo(`127.0.0.1:${port}`, { preamble: "member", own: client.own, authorities }, {
    connected: () => connected.resolve(),
    frames() {},
    closed: () => closed.resolve(),
  });
  await connected.promise;
  const far = await taken.promise;
  try {
    await use({ near, far, got: () => received });
  } finally {
    near.destroy();
    far.destroy();
    await closed.promise;
    await new Promise<void>((done) => listener.close(() => done()));
  }
}

const MIB = 1024 * 1024;

Deno.test("FrameSocket over TLS: who is paused reads no more, and what waits is known at the other end", () =>
  tlsPair(async ({ near, far, got }) => {
    far.pause();
    const payload = new Uint8Array(MIB);
    for (let i = 0; i < 48; i++) near.send(frame(payload));
    await new Promise((done) => setTimeout(done, 500));
    assert.equal(got(), 0);
    assert(far.heldBytes < 2 * MIB, `${far.heldBytes} bytes held by who reads nothing`);
    assert(near.waitingBytes > 32 * MIB, `only ${near.waitingBytes} bytes are known to wait`);
    far.resume();
    await until("all to arrive", () => Promise.resolve(got() === 48 * MIB));
    assert.equal(near.waitingBytes, 0);
  }));

Deno.test("FrameSocket over TLS: close() lets what was sent leave first", () =>
  tlsPair(async ({ near, got }) => {
    for (let i = 0; i < 16; i++) near.send(frame(new Uint8Array(MIB)));
    near.close("done");
    await until("all to arrive", () => Promise.resolve(got() === 16 * MIB));
  }));

Deno.test("FrameSocket over TLS: half a gigabyte in small and large frames arrives whole", () =>
  tlsPair(async ({ near, got }) => {
    const began = performance.now();
    let sent = 0;
    for (let i = 0; sent < 512 * MIB; i++) {
      const size = i % 8 === 0 ? 700_001 : 300 + i % 1000;
      near.send(frame(new Uint8Array(size)));
      sent += size;
      if (near.waitingBytes > 8 * MIB) await new Promise((done) => setTimeout(done, 0));
    }
    await until("all to arrive", () => Promise.resolve(got() === sent));
    const seconds = (performance.now() - began) / 1000;
    assert(seconds < 60, `${seconds} s`);
    console.log(`      ${Math.round(sent / seconds / 1e6)} MB/s with both ends in one process`);
  }));
