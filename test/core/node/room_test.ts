import assert from "node:assert/strict";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { fillsDisk } from "../../../core/node/room.ts";
import { partitionOf } from "../../../core/placement/key.ts";
import type { Op, WriteOp } from "../../../core/wire/requests.ts";
import { Network } from "./network.ts";

const THREE = ["Alnilam", "Bellatrix", "Capella"];
const put: Op = { kind: "put", key: "k", value: utf8Encode("v") };
const P = partitionOf("k", 4);

function low(network: Network, ...names: readonly string[]): void {
  for (const name of names) network.step(nodeId(name), { kind: "space", low: true });
}
const leads = (network: Network, id: NodeId) =>
  network.node(id).replicas().filter(({ replica }) => replica.isLeader).length;
const reason = (network: Network, at: string, op: Op) => {
  const response = network.ask(at, op);
  return response.kind === "refused" ? response.reason : response.kind;
};
const transfers = (network: Network) => network.notes.filter(({ note }) => note.kind === "transfer").length;

Deno.test("Node short of space gives its leaderships to those that are not, and takes them back afterwards", () => {
  const network = new Network(THREE);
  network.settle();
  network.run(10_000_000);
  const id = network.leaderOf(P);
  const led = leads(network, id);
  assert.ok(led > 0);
  low(network, id);
  network.until(() => leads(network, id) === 0, 2_000_000, "It leads nothing");
  const given = transfers(network);
  network.run(20_000_000);
  assert.equal(transfers(network), given, "Nobody tries to hand leadership back");
  assert.equal(reason(network, id, put), "written");
  network.step(id, { kind: "space", low: false });
  network.until(() => leads(network, id) === led, 20_000_000, "It leads again what it is preferred for");
});

Deno.test("Node short of space with all the others refuses what fills the disk, and that alone, and stays leader (X1)", () => {
  const network = new Network(THREE);
  network.settle();
  assert.equal(reason(network, "Alnilam", put), "written");
  network.run(10_000_000);
  const leader = network.leaderOf(P);
  low(network, ...THREE);
  network.run(3_000_000);
  const given = transfers(network);
  network.run(20_000_000);
  assert.equal(transfers(network), given, "Leadership goes nowhere");
  assert.equal(network.leaderOf(P), leader);
  const refused = network.ask("Bellatrix", put);
  assert.ok(refused.kind === "refused" && refused.reason === "no-space", JSON.stringify(refused));
  assert.match(refused.message, /Nothing was written/);
  assert.equal(reason(network, "Alnilam", { kind: "get", key: "k", read: "linearizable" }), "value");
  assert.equal(reason(network, "Alnilam", { kind: "delete", key: "k" }), "written");
  const status = network.ask(leader, { kind: "status" });
  assert.ok(status.kind === "status" && status.status.counters.some(([name]) => name === "disk space low"));
  network.step(nodeId("Capella"), { kind: "space", low: false });
  network.until(() => network.leaderOf(P) === "Capella", 60_000_000, "The one with room takes over");
  assert.equal(reason(network, "Alnilam", put), "written");
});

Deno.test("Node short of space says so again to whoever has not heard (X2)", () => {
  const network = new Network(THREE);
  network.settle();
  network.run(10_000_000);
  const leader = network.leaderOf(P);
  const others = THREE.filter((name) => name !== leader);
  // Nobody hears of the others, so the leader tries them, and is told.
  for (const other of others) network.cut.add(`${other} ${leader}`);
  low(network, ...others);
  network.run(2_000);
  network.cut.clear();
  low(network, leader);
  network.run(5_000_000);
  assert.equal(network.leaderOf(P), leader);
  const given = transfers(network);
  network.run(20_000_000);
  assert.equal(transfers(network), given);
});

Deno.test("Node that begins anew with room is asked to lead soon, though nobody told that it has room (X2)", () => {
  const network = new Network(THREE);
  network.settle();
  network.run(10_000_000);
  const id = network.leaderOf(P);
  const others = THREE.filter((name) => name !== id);
  const led = leads(network, id);
  low(network, id);
  network.until(() => leads(network, id) === 0, 2_000_000, "It leads nothing");
  // As a new life would, it has room and says nothing of it.
  for (const other of others) network.cut.add(`${id} ${other}`);
  network.step(id, { kind: "space", low: false });
  network.run(2_000);
  network.cut.clear();
  for (const other of others) network.step(nodeId(other), { kind: "peer-lost", peer: id });
  network.until(() => leads(network, id) === led, 20_000_000, "It leads again what it is preferred for");
});

Deno.test("fillsDisk() is true of what adds data and false of what frees it", () => {
  const value = utf8Encode("v");
  const cas = { kind: "cas", key: "k", expect: { kind: "present" } } as const;
  const ops: readonly (readonly [WriteOp, boolean])[] = [
    [{ kind: "put", key: "k", value }, true],
    [{ kind: "delete", key: "k" }, false],
    [{ ...cas, value }, true],
    [{ ...cas, value: null }, false],
    [{ kind: "transact", conditions: [], then: [{ kind: "delete", key: "k" }], otherwise: [] }, false],
    [{ kind: "transact", conditions: [], then: [], otherwise: [{ kind: "put", key: "k", value }] }, true],
    [{ kind: "grant", lease: "l", ttlMs: 1000 }, true],
    [{ kind: "keep-alive", lease: "l" }, false],
    [{ kind: "revoke", lease: "l" }, false],
  ];
  for (const [op, fills] of ops) assert.equal(fillsDisk(op), fills, op.kind);
});
