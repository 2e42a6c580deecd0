import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type net from "node:net";
import { Gate } from "../../../cli/host/gate.ts";

class FakeSocket extends EventEmitter {
  destroyed = false;
  constructor(readonly remoteAddress: string | undefined) {
    super();
  }
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
  }
}

function harness(descriptors = 20_000) {
  const counted = new Map<string, number>();
  const gate = new Gate({ count: (name) => counted.set(name, (counted.get(name) ?? 0) + 1), descriptors });
  const enter = (address: string) => {
    const socket = new FakeSocket(address);
    return { socket, entered: gate.enter(socket as unknown as net.Socket) };
  };
  const admit = (socket: FakeSocket, role: "peer" | "client") =>
    gate.admit(socket as unknown as net.Socket, role);
  return { gate, counted, enter, admit, gauges: () => new Map(gate.counters()) };
}

Deno.test("Gate: of too many handshakes from one address the oldest goes, and other addresses lose none (A1)", () => {
  const { enter, counted, gauges } = harness();
  const other = enter("10.0.0.2").socket;
  const flood = Array.from({ length: 1000 }, () => enter("10.0.0.1"));
  assert(flood.every(({ entered }) => entered));
  assert.equal(flood.filter(({ socket }) => !socket.destroyed).length, 256);
  assert(flood.slice(-256).every(({ socket }) => !socket.destroyed));
  assert.equal(other.destroyed, false);
  assert.equal(counted.get("handshakes cut short"), 744);
  assert.equal(gauges().get("handshakes under way"), 257);
});

Deno.test("Gate: too many handshakes from many addresses take from the address that has most (A1)", () => {
  const { enter, gauges } = harness();
  const lone = enter("10.0.1.1").socket;
  for (let a = 0; a < 5; a++) for (let i = 0; i < 250; i++) enter(`10.0.0.${a}`);
  assert.equal(gauges().get("handshakes under way"), 1024);
  assert.equal(lone.destroyed, false);
});

Deno.test("Gate: clients of one address are bounded, and its peers have room of their own (A2)", () => {
  const { enter, admit, counted } = harness();
  const sockets = Array.from({ length: 4096 }, () => {
    const { socket } = enter("10.0.0.1");
    assert(admit(socket, "client"));
    return socket;
  });
  assert.equal(admit(enter("10.0.0.1").socket, "client"), false);
  assert.equal(counted.get("connections refused: too many clients"), 1);
  assert(admit(enter("10.0.0.1").socket, "peer"));
  assert(admit(enter("10.0.0.2").socket, "client"));
  sockets[0]!.destroy();
  assert(admit(enter("10.0.0.1").socket, "client"));
});

Deno.test("Gate: descriptors are kept back for files, and peers find room where clients have none (A3)", () => {
  const { enter, admit, counted, gauges } = harness(1024);
  let clients = 0;
  for (;;) {
    const { socket, entered } = enter(`10.0.0.${clients % 200}`);
    assert(entered);
    if (!admit(socket, "client")) break;
    clients++;
  }
  assert.equal(clients, 576);
  for (let i = 0; i < 300; i++) enter("10.0.1.1");
  assert.equal(gauges().get("connections"), 768);
  assert(admit(enter("10.0.2.1").socket, "peer"));
  assert(counted.get("handshakes cut short")! > 0);
});

Deno.test("Gate: what has gone is forgotten, and a socket that broke early is closed", () => {
  const { enter, admit, gauges, gate } = harness();
  for (let i = 0; i < 100; i++) {
    const { socket } = enter("10.0.0.1");
    if (i % 2 === 0) admit(socket, i % 4 === 0 ? "client" : "peer");
    socket.destroy();
    assert.equal(admit(socket, "client"), false);
  }
  assert.equal(gauges().get("connections"), 0);
  assert.equal(gauges().get("handshakes under way"), 0);
  const broken = new FakeSocket(undefined);
  assert.equal(gate.enter(broken as unknown as net.Socket), false);
  assert(broken.destroyed);
});
