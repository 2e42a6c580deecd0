/** Joins, drains, removals and replacements, and what comes back from them. */
import assert from "node:assert/strict";
import { utf8Decode, utf8Encode } from "../../../core/base/bytes.ts";
import { nodeId, type PartitionId, SYSTEM_PARTITION } from "../../../core/base/ids.ts";
import type { MemberState } from "../../../core/wire/messages.ts";
import type { Op } from "../../../core/wire/requests.ts";
import { member, Network } from "./network.ts";

const FOUR = ["Alnilam", "Bellatrix", "Capella", "Deneb"];
const FIVE = [...FOUR, "Electra"];
const MINUTE = 60_000_000;

const put = (key: string, value: string): Op => ({ kind: "put", key, value: utf8Encode(value) });
const get = (key: string): Op => ({ kind: "get", key, read: "linearizable" });
const setState = (name: string, state: MemberState, force = false): Op => ({
  kind: "set-state",
  node: nodeId(name),
  state,
  force,
});

/** Writes until stopped, and knows what was acknowledged. */
class Writer {
  readonly acknowledged = new Map<string, string>();
  #n = 0;

  constructor(readonly network: Network) {}

  write(at: string): void {
    const key = `k${this.#n % 16}`, value = `v${this.#n++}`;
    // Unsure writes may be there or not, so what they overwrite is not known either.
    this.acknowledged.delete(key);
    if (this.network.ask(at, put(key, value)).kind === "written") this.acknowledged.set(key, value);
  }

  check(at: string): void {
    assert.ok(this.acknowledged.size > 0);
    for (const [key, value] of this.acknowledged) {
      const response = this.network.ask(at, get(key));
      assert.ok(response.kind === "value", JSON.stringify(response));
      assert.equal(response.found === null ? null : utf8Decode(response.found.value!), value, key);
    }
  }
}

function reason(network: Network, at: string, op: Op): string {
  const response = network.ask(at, op);
  return response.kind === "refused" ? `${response.reason}: ${response.message}` : response.kind;
}

/** Who still has `name` in the configuration of a partition that it leads. */
function countingOn(network: Network, name: string): PartitionId[] {
  const id = nodeId(name);
  return network.running.flatMap((node) =>
    node.replicas().filter(({ replica }) => {
      const { voters, outgoing, learners } = replica.configuration;
      return replica.isLeader && [...voters, ...outgoing, ...learners].includes(id);
    }).map(({ partition }) => partition)
  );
}

function untilRemoved(network: Network, name: string, at: string): void {
  network.until(
    () => network.stateOf(name, at) === "removed" && countingOn(network, name).length === 0,
    MINUTE,
    `${name} is removed and nobody counts on it`,
  );
}

Deno.test("Node is refused under a name whose data directory is another one, alive, dead or gone (S5)", () => {
  const network = new Network(FOUR);
  network.settle();
  const other = (name: string): Op => ({
    kind: "join",
    member: { ...member(name), disk: "elsewhere" },
    network: null,
  });
  assert.match(reason(network, "Alnilam", other("Deneb")), /^conflict: .*another --id/);
  network.kill("Deneb");
  network.until(() => network.stateOf("Deneb", "Alnilam") === "gone", MINUTE, "Deneb is gone");
  assert.match(reason(network, "Alnilam", other("Deneb")), /^conflict: .*disk Deneb, not elsewhere/);
  network.restart("Deneb");
  network.until(() => network.stateOf("Deneb", "Alnilam") === "active", MINUTE, "Deneb is back");
  network.until(() => network.placed(), MINUTE, "All is placed again");
});

Deno.test("Node that drained stays out when it starts again, and comes back when an operator says so", () => {
  const network = new Network(FOUR);
  network.settle();
  const writer = new Writer(network);
  for (let i = 0; i < 8; i++) writer.write("Alnilam");
  assert.equal(reason(network, "Bellatrix", setState("Deneb", "draining")), "done");
  untilRemoved(network, "Deneb", "Alnilam");
  assert.deepEqual(network.node("Deneb").replicas(), []);
  network.restart("Deneb");
  network.run(10_000_000);
  assert.equal(network.stateOf("Deneb", "Alnilam"), "removed");
  assert.ok(
    network.notes.some(({ node, note }) =>
      node === "Deneb" && note.kind === "standing" && note.state === "removed"
    ),
  );
  assert.equal(reason(network, "Bellatrix", setState("Deneb", "joining")), "done");
  network.until(() => network.stateOf("Deneb", "Alnilam") === "active", MINUTE, "Deneb is taken back");
  network.until(
    () => network.placed() && network.node("Deneb").replicas().length > 0,
    MINUTE,
    "It has its share",
  );
  writer.check("Deneb");
});

Deno.test("Node that drains can be kept, and a drain that was interrupted goes on", () => {
  const network = new Network(FOUR);
  network.settle();
  assert.equal(reason(network, "Alnilam", setState("Deneb", "draining")), "done");
  network.run(300_000);
  assert.equal(reason(network, "Alnilam", setState("Deneb", "active")), "done");
  network.run(5_000_000);
  assert.equal(network.stateOf("Deneb", "Alnilam"), "active");
  network.until(() => network.placed(), MINUTE, "All is placed again");
  assert.equal(reason(network, "Alnilam", setState("Deneb", "draining")), "done");
  network.run(100_000);
  network.restart("Deneb");
  assert.equal(reason(network, "Alnilam", setState("Deneb", "draining")), "done");
  untilRemoved(network, "Deneb", "Alnilam");
});

Deno.test("Node that dies while it drains counts as removed after the grace period, and stays out", () => {
  const network = new Network(FOUR);
  network.settle();
  network.ask("Alnilam", setState("Deneb", "draining"));
  network.kill("Deneb");
  untilRemoved(network, "Deneb", "Alnilam");
  network.restart("Deneb");
  network.until(() => network.node("Deneb").replicas().length === 0, MINUTE, "It lets go of what it held");
  network.run(5_000_000);
  assert.equal(network.stateOf("Deneb", "Deneb"), "removed");
});

Deno.test("Node refuses to drain or remove the last active member", () => {
  const network = new Network(["Alnilam", "Bellatrix"]);
  network.settle();
  network.ask("Alnilam", setState("Bellatrix", "draining"));
  network.run(3_000_000);
  assert.match(reason(network, "Alnilam", setState("Alnilam", "draining")), /^conflict: .*last active/);
  assert.match(reason(network, "Alnilam", setState("Alnilam", "removed", true)), /^conflict: .*last active/);
});

Deno.test("Node removes the dead at once, who just died by force, and nobody who is alive", () => {
  const network = new Network(FIVE, { graceUs: MINUTE });
  network.settle();
  const writer = new Writer(network);
  for (let i = 0; i < 16; i++) writer.write("Alnilam");
  assert.match(reason(network, "Alnilam", setState("Deneb", "removed")), /^conflict: .*drain it first/);
  network.kill("Deneb");
  assert.match(reason(network, "Alnilam", setState("Deneb", "removed")), /^conflict: .*until just now/);
  assert.equal(reason(network, "Alnilam", setState("Deneb", "removed", true)), "done");
  untilRemoved(network, "Deneb", "Alnilam");
  network.until(() => network.placed(), MINUTE, "All is placed again");
  writer.check("Bellatrix");
  network.kill("Electra");
  network.run(15_000_000);
  assert.equal(network.stateOf("Electra", "Alnilam"), "active", "The grace period is not over");
  assert.equal(reason(network, "Alnilam", setState("Electra", "removed")), "done");
  network.until(() => network.placed(), MINUTE, "All is placed again");
  writer.check("Capella");
});

Deno.test("Node that was removed while it was away learns so when it starts, and lets go of what it held", () => {
  const network = new Network(FOUR);
  network.settle();
  network.kill("Deneb");
  network.ask("Alnilam", setState("Deneb", "removed", true));
  untilRemoved(network, "Deneb", "Alnilam");
  network.restart("Deneb");
  assert.equal(network.stateOf("Deneb", "Deneb"), "active", "It does not know yet");
  network.until(() => network.stateOf("Deneb", "Deneb") === "removed", MINUTE, "It learns");
  network.until(() => network.node("Deneb").replicas().length === 0, MINUTE, "It lets go");
  network.run(5_000_000);
  assert.equal(network.stateOf("Deneb", "Alnilam"), "removed");
});

Deno.test("Node replaces two dead members one after the other without losing a write", () => {
  const network = new Network(FIVE);
  network.settle();
  const writer = new Writer(network);
  for (const dead of ["Electra", "Deneb"]) {
    for (let i = 0; i < 8; i++) writer.write("Alnilam");
    network.kill(dead);
    for (let i = 0; i < 8; i++) writer.write("Bellatrix");
    network.until(() => network.stateOf(dead, "Alnilam") === "gone", MINUTE, `${dead} is gone`);
    network.until(() => network.placed(), MINUTE, `${dead} is replaced`);
    writer.check("Capella");
  }
});

Deno.test("Node sees two dead members removed at once and what they held placed elsewhere", () => {
  const network = new Network([...FIVE, "Fomalhaut", "Gacrux"], { replicas: 5, graceUs: MINUTE });
  network.settle();
  const writer = new Writer(network);
  for (let i = 0; i < 16; i++) writer.write("Alnilam");
  network.kill("Alnilam");
  network.kill("Fomalhaut");
  network.run(1_000_000);
  for (const name of ["Alnilam", "Fomalhaut"]) network.ask("Bellatrix", setState(name, "removed", true));
  network.until(() => network.placed(), MINUTE, "Both are replaced");
  writer.check("Gacrux");
});

Deno.test("Node that leads the system partition drains like any other, and so do all its first voters in turn", () => {
  const network = new Network(["Alnilam", "Bellatrix", "Capella"]);
  network.settle();
  const writer = new Writer(network);
  for (let i = 0; i < 8; i++) writer.write("Alnilam");
  for (const name of ["Deneb", "Electra", "Fomalhaut"]) network.join(name, "Bellatrix");
  network.until(
    () => network.placed() && network.stateOf("Fomalhaut", "Alnilam") === "active",
    MINUTE,
    "They joined",
  );
  for (let left = 3; left > 0; left--) {
    const first = ["Alnilam", "Bellatrix", "Capella"].filter((n) =>
      network.stateOf(n, "Fomalhaut") === "active"
    );
    const leader = first.find((n) => n === network.leaderOf(SYSTEM_PARTITION)) ?? first[0]!;
    assert.equal(reason(network, "Fomalhaut", setState(leader, "draining")), "done");
    untilRemoved(network, leader, "Fomalhaut");
    network.kill(leader);
  }
  network.until(() => network.placed(), MINUTE, "All is placed");
  writer.check("Electra");
});

Deno.test("Node drains though leaders move while the partitions are reconfigured", () => {
  const network = new Network(FIVE);
  network.settle();
  const writer = new Writer(network);
  for (let i = 0; i < 16; i++) writer.write("Alnilam");
  network.ask("Alnilam", setState("Electra", "draining"));
  let joint = 0;
  for (let i = 0; network.stateOf("Electra", "Alnilam") !== "removed"; i++) {
    assert.ok(i < 20_000, "The drain ends");
    for (const node of network.running) {
      for (const { partition, replica } of node.replicas()) {
        const { outgoing, voters } = replica.configuration;
        if (!replica.isLeader || outgoing.length === 0) continue;
        joint++;
        const to = voters[(i + partition) % voters.length]!;
        if (i % 3 === 0 && to !== node.id) replica.transfer(to, network.now as never);
        network.step(node.id, { kind: "persisted", upTo: 0 });
      }
    }
    network.run(500);
    if (i % 200 === 199) writer.write("Bellatrix");
  }
  assert.ok(joint > 0, "A leader was moved in a joint configuration");
  network.until(() => network.placed(), MINUTE, "All is placed");
  writer.check("Capella");
});

Deno.test("Node that crashed in its first step founds the partitions that its journal does not name", () => {
  for (const kept of [1, 2, 5]) {
    const network = new Network(["Alnilam"]);
    const disk = network.disk("Alnilam");
    assert.ok(disk.records.length > 5 && disk.records[0]!.kind === "view");
    disk.records = disk.records.slice(0, kept);
    network.loseTables("Alnilam");
    network.restart("Alnilam");
    network.run(100_000);
    assert.equal(network.node("Alnilam").replicas().length, 5);
    assert.equal(network.ask("Alnilam", put("k", "v")).kind, "written");
  }
});

Deno.test("Newcomer is given nothing while an active member is missed, so that it can be lost as well (T3)", () => {
  const network = new Network(["Alnilam", "Bellatrix", "Capella"]);
  const writer = new Writer(network);
  network.settle();
  for (let i = 0; i < 16; i++) writer.write("Alnilam");
  network.kill("Capella");
  network.run(1_000_000);
  network.join("Deneb", "Alnilam");
  network.run(500_000);
  assert.equal(network.stateOf("Deneb", "Alnilam"), "joining");
  network.kill("Deneb");
  // Two of the first three are there, which is enough.
  network.run(MINUTE / 4);
  writer.check("Bellatrix");
  writer.write("Alnilam");
  writer.check("Alnilam");
});

Deno.test("Newcomer at the address of a member waits until that one is given up (T3)", () => {
  const network = new Network(["Alnilam", "Bellatrix", "Capella"]);
  network.settle();
  const newcomer = { ...member("Deneb"), address: member("Capella").address };
  assert.equal(network.ask("Alnilam", { kind: "join", member: newcomer, network: null }).kind, "joined");
  network.run(300_000);
  assert.equal(network.stateOf("Deneb", "Alnilam"), "joining");
});
