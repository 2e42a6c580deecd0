/** What a node has promised others survives whatever happens to it in the same moment. */
import assert from "node:assert/strict";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { type LogIndex, nodeId, type PartitionId, type Term } from "../../../core/base/ids.ts";
import { partitionOf } from "../../../core/placement/key.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import type { Message } from "../../../core/wire/messages.ts";
import { Network } from "./network.ts";

/** A key of a partition, of the four that these networks have. */
function keyIn(partition: number): string {
  for (let i = 0;; i++) if (partitionOf(`k${i}`, 4) === partition) return `k${i}`;
}

const vote = (partition: number, term: number): Message =>
  ({
    kind: "vote",
    partition,
    term: term as Term,
    pre: false,
    transfer: false,
    lastIndex: 1_000_000 as LogIndex,
    lastTerm: term - 1 as Term,
  }) as Message;

/** Deneb holds a replica that the newest layout gives to others, who are too slow to say so. */
function outsider() {
  const names = ["Alnilam", "Bellatrix", "Capella", "Deneb"];
  const network = new Network(names);
  network.settle();
  const deneb = network.node("Deneb");
  const held = deneb.replicas().filter((s) => s.partition > 0 && !s.replica.isLeader);
  assert.ok(held.length > 0);
  const { partition } = held[0]!;
  const { term, configurationIndex } = held[0]!.replica;
  for (const name of names.slice(0, 3)) network.cut.add(`${name} Deneb`);
  const view = network.node("Alnilam").view();
  const assignment = view.assignment.map((replicas) => replicas.filter((id) => id !== "Deneb"));
  const newer: Message = { kind: "layout-is", view: { ...view, version: view.version + 1, assignment } };
  const from = nodeId("Alnilam");
  network.run(5_000_000);
  network.step(deneb.id, { kind: "messages", from, messages: [newer] });
  const verdict = (commit: number): Message => ({
    kind: "replica-verdict",
    partition,
    term,
    commit: commit as LogIndex,
    needed: false,
  });
  const hear = (...messages: Message[]) => network.step(deneb.id, { kind: "messages", from, messages });
  const holds = () => deneb.replicas().some((s) => s.partition === partition);
  return { network, from, partition, term, configurationIndex, verdict, hear, holds };
}

Deno.test("Node drops a replica when told of a log committed as far as its own newest configuration (N3)", () => {
  const { configurationIndex, verdict, hear, holds } = outsider();
  hear(verdict(configurationIndex - 1));
  assert.ok(holds(), "Its configuration may be a newer one");
  // Seed 626 of swarm: the committed configuration was older than its own, which had never been committed.
  hear(verdict(configurationIndex));
  assert.ok(!holds());
});

Deno.test("Node records a vote that it gives in the step in which it drops the replica (E2)", () => {
  const { network, from, partition, term, configurationIndex, verdict, hear, holds } = outsider();
  const later = term + 5;
  hear(vote(partition, later), verdict(configurationIndex + 1));
  assert.ok(!holds(), "It is dropped");
  const recovered = foldRecords(network.disk("Deneb").records).replicas.get(partition)!;
  assert.deepEqual([recovered.exists, recovered.term, recovered.votedFor], [false, later, from]);
});

Deno.test("Founder that lost its first records elects nobody while a leader that it heard may have a lease (E6)", () => {
  const network = new Network(["Alnilam", "Bellatrix", "Capella"], { leaseReads: true });
  network.settle();
  const { records } = network.disk("Capella");
  const first = records.find((record) => record.kind === "view")!;
  assert.ok(first.kind === "view" && first.view.version === 0);
  network.disk("Capella").records = [first];
  network.restart("Capella");
  const from = nodeId("Bellatrix"), partition = 1 as PartitionId;
  const votedFor = () => foldRecords(network.disk("Capella").records).replicas.get(partition)!.votedFor;
  network.step(nodeId("Capella"), { kind: "messages", from, messages: [vote(partition, 9)] });
  assert.equal(votedFor(), null);
  network.cut.add("Alnilam Capella").add("Bellatrix Capella");
  network.run(5_000_000);
  network.step(nodeId("Capella"), { kind: "messages", from, messages: [vote(partition, 99)] });
  assert.equal(votedFor(), from);
});

Deno.test("Node whose journal ends before its tables does not go on: the journal has lost what was promised (P1)", () => {
  const network = new Network(["Alnilam", "Bellatrix", "Capella"]);
  network.settle();
  assert.equal(network.ask("Alnilam", { kind: "put", key: "k", value: utf8Encode("v") }).kind, "written");
  network.run(1_000_000);
  const disk = network.disk("Capella");
  const last = disk.records.findLastIndex((r) => r.kind === "entries" && r.partition > 0);
  disk.records = disk.records.slice(0, last);
  assert.throws(() => network.restart("Capella"), { name: "JournalBehindError", message: /lost its end/ });
});

Deno.test("Node that opens a dropped replica again keeps to the vote of its earlier life (E2)", () => {
  const { network, partition, term, configurationIndex, verdict, hear, holds, from } = outsider();
  const later = term + 5, deneb = nodeId("Deneb");
  hear(vote(partition, later), verdict(configurationIndex + 1));
  assert.ok(!holds());
  const append: Message = {
    kind: "append",
    partition,
    term: later as Term,
    prevIndex: 0 as LogIndex,
    prevTerm: 0 as Term,
    commit: 0 as LogIndex,
    entries: [],
  };
  network.step(deneb, { kind: "messages", from: nodeId("Capella"), messages: [append] });
  const replica = network.node("Deneb").replicas().find((s) => s.partition === partition)?.replica;
  assert.deepEqual([replica?.term, replica?.votedFor], [later, from]);
});

Deno.test("Node's view never goes back, and is in the journal (L1, L2)", () => {
  const network = new Network(["Alnilam", "Bellatrix", "Capella"]);
  network.settle();
  const capella = network.node("Capella"), from = nodeId("Alnilam");
  for (const name of ["Alnilam", "Bellatrix"]) network.cut.add(`${name} Capella`);
  const view = capella.view(), version = view.version + 2;
  const hear = (version: number) =>
    network.step(capella.id, {
      kind: "messages",
      from,
      messages: [{ kind: "layout-is", view: { ...view, version } }],
    });
  hear(version);
  assert.equal(foldRecords(network.disk("Capella").records).view?.version, version);
  hear(version - 1);
  assert.equal(capella.view().version, version);
  network.restart("Capella");
  assert.equal(network.node("Capella").view().version, version);
});

Deno.test("Gateway that lost who had a write says that it may have been done, not that it was not (R1)", () => {
  const names = ["Alnilam", "Bellatrix", "Capella"];
  const network = new Network(names);
  network.settle();
  const leader = network.leaderOf(1);
  const gateway = names.find((name) => name !== leader)!;
  const key = keyIn(1);
  network.cut.add(`${leader} ${gateway}`);
  const id = network.request(gateway, { kind: "put", key, value: utf8Encode("v") });
  network.run(50_000);
  network.step(nodeId(gateway), { kind: "peer-lost", peer: leader });
  const answer = network.replies.find((reply) => reply.id === id)?.response;
  assert.equal(answer?.kind === "refused" && answer.reason, "unsure");
  network.cut.clear();
  assert.equal(network.ask(leader, { kind: "get", key, read: "linearizable" }).kind, "value");
});

Deno.test("Node that leads again counts a member's absence anew (T2)", () => {
  const names = ["Alnilam", "Bellatrix", "Capella", "Deneb"];
  const network = new Network(names, { graceUs: 20_000_000, systemReplicas: 3 });
  network.settle();
  network.run(10_000_000);
  const first = network.leaderOf(0);
  const away = names.find((name) => !network.node(first).view().assignment[0]!.includes(nodeId(name)))!;
  const space = (low: boolean) => network.step(first, { kind: "space", low });
  network.kill(away);
  network.run(5_000_000);
  space(true);
  network.until(() => network.leaderOf(0) !== first, 10_000_000, "Another leads the system partition");
  network.restart(away);
  network.run(20_000_000);
  assert.equal(network.stateOf(away, first), "active");
  network.kill(away);
  space(false);
  network.until(() => network.leaderOf(0) === first, 15_000_000, "The first leads again");
  network.run(2_000_000);
  assert.equal(network.stateOf(away, first), "active");
  network.until(() => network.stateOf(away, first) === "gone", 40_000_000, "Then it is declared gone");
});
