/** Tables that are lost or old while the journal is whole: the replicas are hollow, and rebuilt by their peers. */
import assert from "node:assert/strict";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import type { Op } from "../../../core/wire/requests.ts";
import { Network } from "./network.ts";

const THREE = ["Alnilam", "Bellatrix", "Capella"];
const put = (key: string, bytes: number): Op => ({ kind: "put", key, value: new Uint8Array(bytes) });
const hollow = (network: Network, name: string) =>
  network.node(name).replicas().filter(({ replica }) => replica.hollow).length;

/** Enough for a checkpoint, after which the journals' logs have bases. */
function fill(network: Network): void {
  for (let i = 0; i * 500_000 < LIMITS.journalBytesPerCheckpoint * 1.1; i++) {
    assert.equal(network.ask("Alnilam", put(`k${i % 8}`, 500_000)).kind, "written");
  }
  network.run(1_000_000);
}

Deno.test("Node that lost its tables starts hollow, is no burden, and is rebuilt (P3)", () => {
  const network = new Network(THREE);
  network.settle();
  fill(network);
  for (const name of THREE) {
    const bases = network.disk(name).records.filter((r) => r.kind === "base" && r.index > 0).length;
    assert.ok(bases > 0, "There was a checkpoint");
    network.loseTables(name);
    network.restart(name);
    assert.ok(hollow(network, name) > 0, `${name} is hollow`);
    const other = THREE.find((n) => n !== name)!;
    network.until(() => network.ask(other, put("k", 10)).kind === "written", 20_000_000, "The others go on");
    network.until(() => hollow(network, name) === 0, 20_000_000, `${name} is rebuilt`);
    network.until(() => network.placed(), 20_000_000, "All is as it was");
  }
  network.run(3_000_000);
  const digests = THREE.map((name) =>
    network.node(name).replicas().map(({ catalog, system }) => (catalog ?? system)!.stateDigest())
  );
  assert.deepEqual(digests[1], digests[0]);
  assert.deepEqual(digests[2], digests[0]);
  assert.ok(!network.notes.some(({ note }) => note.kind === "refused"));
});

Deno.test("Node that is hollow serves no stale read: it cannot say how old its state is", () => {
  const network = new Network(THREE);
  network.settle();
  fill(network);
  const cut = THREE.slice(0, 2);
  network.loseTables("Capella");
  for (const name of cut) network.cut.add(`${name} Capella`).add(`Capella ${name}`);
  network.restart("Capella");
  network.run(100_000);
  assert.ok(hollow(network, "Capella") > 0);
  for (let i = 0; i < 8; i++) {
    const response = network.ask("Capella", { kind: "get", key: `k${i}`, read: "stale" });
    assert.equal(response.kind, "refused", JSON.stringify(response));
  }
});

Deno.test("Node alone with its tables lost says nothing rather than that there is nothing", () => {
  const network = new Network(["Alnilam"]);
  network.settle();
  fill(network);
  network.loseTables("Alnilam");
  network.restart("Alnilam");
  network.run(5_000_000);
  const all = network.node("Alnilam").replicas();
  assert.ok(all.some(({ replica }) => replica.hollow && !replica.isLeader));
  const op: Op = { kind: "cas", key: "k0", expect: { kind: "absent" }, value: utf8Encode("mine") };
  assert.equal(network.ask("Alnilam", op).kind, "refused");
});
