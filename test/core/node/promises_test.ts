/** What a node has promised others survives whatever happens to it in the same moment. */
import assert from "node:assert/strict";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { type LogIndex, nodeId, type PartitionId, type Term } from "../../../core/base/ids.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import type { Message } from "../../../core/wire/messages.ts";
import { Network } from "./network.ts";

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
