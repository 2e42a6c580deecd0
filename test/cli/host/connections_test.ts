/** Connections that do not do what they should, and a process that has no room for more of them. */
import assert from "node:assert/strict";
import net from "node:net";
import { join } from "node:path";
import { nodeId } from "../../../core/base/ids.ts";
import { frame } from "../../../core/wire/framing.ts";
import type { ClientRequestFrame } from "../../../core/wire/codec.ts";
import { encodeRequests } from "../../../core/wire/codec.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { peerHello } from "../../../core/wire/session.ts";
import { connect } from "../../../cli/client/client.ts";
import { ClientLink } from "../../../cli/host/client_link.ts";
import { PeerLink } from "../../../cli/host/peer_link.ts";
import { FrameSocket } from "../../../cli/host/socket.ts";
import { Transport, type TransportEvents } from "../../../cli/host/transport.ts";
import { RawConnection, until } from "../support.ts";

const QUIET: TransportEvents = {
  messages() {},
  requests() {},
  clientGone() {},
  peerLost() {},
  refused() {},
  secrets() {},
  incident() {},
  deaf() {},
};
const NETWORK = "0".repeat(32);

function linkTo(
  address: string,
  lost: (why: string) => void,
  own = "127.0.0.1:1",
  peer = "b",
): PeerLink {
  return new PeerLink({
    peer: nodeId(peer),
    address: () => address,
    hello: () => peerHello({ network: NETWORK, node: nodeId("a"), address: own }),
    credentials: () => null,
    lost,
    count() {},
  });
}

Deno.test("PeerLink: who answers in the peer's place is not the peer, and the peer is lost", async () => {
  const heard: string[] = [];
  const transport = new Transport({ ...QUIET, messages: (from) => heard.push(from) });
  const address = await transport.listen("127.0.0.1:0");
  transport.begin({ node: nodeId("b.2"), network: NETWORK, address, credentials: null }, () => null);
  const { promise, resolve } = Promise.withResolvers<string>();
  const link = linkTo(address, resolve);
  link.queue({ kind: "nack", sequence: 1 });
  link.flush();
  assert.equal(await promise, 'node "b.2" answered instead');
  link.close();
  await transport.close();
  assert.deepEqual(heard, []);
});

Deno.test("PeerLink: a peer that is said to be where this node is, is not called", async () => {
  const calls: string[] = [];
  const transport = new Transport({ ...QUIET, refused: (_, why) => calls.push(why) });
  const address = await transport.listen("127.0.0.1:0");
  transport.begin({ node: nodeId("b.2"), network: NETWORK, address, credentials: null }, () => null);
  const { promise, resolve } = Promise.withResolvers<string>();
  const link = linkTo(address, resolve, address);
  link.queue({ kind: "nack", sequence: 1 });
  link.flush();
  assert.equal(await promise, "its address is this node's own now");
  link.close();
  await transport.close();
  assert.deepEqual(calls, []);
});

Deno.test("Transport: who calls for a former node of this address leaves the connection that stands alone", async () => {
  const heard: number[] = [];
  const transport = new Transport({
    ...QUIET,
    messages: (_, messages) =>
      messages.forEach((message) => message.kind === "nack" && heard.push(message.sequence)),
  });
  const address = await transport.listen("127.0.0.1:0");
  transport.begin({ node: nodeId("b"), network: NETWORK, address, credentials: null }, () => null);
  const lost: string[] = [];
  const good = linkTo(address, (why) => lost.push(why));
  const say = (sequence: number) => {
    good.queue({ kind: "nack", sequence });
    good.flush();
  };
  say(1);
  await until("the first message", () => Promise.resolve(heard.length === 1));
  const { promise, resolve } = Promise.withResolvers<string>();
  const former = linkTo(address, resolve, "127.0.0.1:1", "b.0");
  former.queue({ kind: "nack", sequence: 9 });
  former.flush();
  assert.equal(await promise, 'node "b" answered instead');
  say(2);
  await until("the second message", () => Promise.resolve(heard.length === 2));
  assert.deepEqual(heard, [1, 2]);
  assert.deepEqual(lost, []);
  good.close();
  former.close();
  await transport.close();
});

Deno.test("PeerLink: a process that takes the connection and does not answer the hello is lost", async () => {
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { promise, resolve } = Promise.withResolvers<string>();
  const link = linkTo(`127.0.0.1:${silent.addr.port}`, resolve);
  link.queue({ kind: "nack", sequence: 1 });
  link.flush();
  assert.match(await promise, /no answer to the hello within 3000 ms/);
  link.close();
});

Deno.test("Transport: peers are turned away between pause() and begin(), and clients are not", async () => {
  let asked = 0;
  const transport = new Transport({ ...QUIET, requests: () => asked++ });
  const address = await transport.listen("127.0.0.1:0");
  const self = { node: nodeId("b"), network: NETWORK, address, credentials: null };
  transport.begin(self, () => null);
  const before = new RawConnection(address);
  before.hello({});
  await before.next();
  transport.pause("this node is down");
  assert.equal(await before.next(), null);
  const { promise, resolve } = Promise.withResolvers<string>();
  const link = linkTo(address, resolve);
  link.queue({ kind: "nack", sequence: 1 });
  link.flush();
  assert.equal(await promise, "refused: closing");
  const client = new RawConnection(address);
  client.hello({});
  await client.next();
  client.send(frame(encodeRequests([{ id: 1, request: { op: { kind: "status" } } }])));
  await until("the request to arrive", () => Promise.resolve(asked === 1));
  client.close();
  link.close();
  await transport.close();
});

Deno.test("FrameSocket.checkFrame() ends a connection whose frame is under way for too long, and no other", async () => {
  const sockets: FrameSocket[] = [];
  const closed: string[] = [];
  const server = net.createServer((socket) => {
    sockets.push(new FrameSocket(socket, { frames() {}, closed: (why) => void closed.push(why) }));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as net.AddressInfo;
  const half = frame(new Uint8Array(100)).subarray(0, 50);
  const clients = [half, frame(new Uint8Array(100))].map((bytes) => {
    const client = new RawConnection(`127.0.0.1:${port}`, null);
    client.send(bytes);
    return client;
  });
  await until("both connections", () => Promise.resolve(sockets.length === 2));
  await new Promise((done) => setTimeout(done, 50));
  for (const socket of sockets) socket.checkFrame(performance.now() + 30_000);
  assert.equal(clients.some((client) => client.closed), false);
  for (const socket of sockets) socket.checkFrame(performance.now() + 61_000);
  await until("one to be closed", () => Promise.resolve(closed.length === 1));
  assert.match(closed[0]!, /A frame did not come to its end within 60 s/);
  for (const client of clients) client.close();
  await new Promise<void>((done) => server.close(() => done()));
});

Deno.test("ClientLink hands over large requests only as far as their bytes have room (C2)", () => {
  const taken: ClientRequestFrame[] = [];
  const link = new ClientLink({
    client: 1,
    socket: {
      waitingBytes: 0,
      heldBytes: 0,
      pause() {},
      resume() {},
      send() {},
      close() {},
      destroy() {},
      breakOff() {},
    },
    hand: (requests) => void taken.push(...requests),
    turns: { ready: (client) => void client.serve(Infinity), gone() {}, taken() {}, answered() {} },
    memory: { share: Infinity },
    count() {},
  });
  const requests: ClientRequestFrame[] = Array.from({ length: 60 }, (_, i) => ({
    id: i + 1,
    request: { op: { kind: "put", key: "k", value: new Uint8Array(1024 * 1024) } },
  }));
  let underWay = 0, most = 0, all = 0;
  const look = () => {
    const next = taken.splice(0);
    underWay += next.length;
    most = Math.max(most, underWay);
    all += next.length;
    return next;
  };
  for (let i = 0; i < requests.length; i += 3) link.receive([encodeRequests(requests.slice(i, i + 3))]);
  for (let next = look(); next.length > 0; next = look()) {
    // Half of them are answered before more are asked for.
    for (const { id } of next.slice(0, Math.ceil(next.length / 2))) {
      link.reply(id, { kind: "done", version: 0 });
      underWay--;
    }
    link.flush();
    link.proceed();
  }
  link.gone();
  assert.equal(most, LIMITS.clientQueueBytesMax / (1024 * 1024));
  assert(all >= most);
});

Deno.test({
  name: "a node that ran out of file descriptors takes connections again when it has some",
  ignore: Deno.build.os === "windows",
  async fn() {
    const directory = await Deno.makeTempDir({ prefix: "space-opera-test-" });
    const main = new URL("../../../cli/main.ts", import.meta.url).href;
    const command = [
      `"${Deno.execPath()}" run --quiet --allow-net --allow-read --allow-write`,
      `--allow-sys=networkInterfaces,statfs "${main}" node --dev --json --partitions 1`,
      `--data "${join(directory, "a")}" --listen 127.0.0.1:0`,
    ].join(" ");
    const child = new Deno.Command("sh", {
      args: ["-c", `ulimit -n 96; exec ${command}`],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    try {
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const { address } = JSON.parse((await reader.read()).value!);
      const connections = Array.from({ length: 150 }, () => new RawConnection(address));
      await new Promise((done) => setTimeout(done, 1500));
      for (const connection of connections) connection.close();
      await until("the node to take a connection", async () => {
        try {
          using client = await connect({ addresses: [address], timeoutMs: 1000 });
          return (await client.status(client.home)).state === "active";
        } catch {
          return false;
        }
      });
      await reader.cancel();
    } finally {
      child.kill("SIGKILL");
      await child.status;
      await Deno.remove(directory, { recursive: true });
    }
  },
});
