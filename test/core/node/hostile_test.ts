/** What fuzzing found that a client or a peer could end a node with (K2), by the seed of `deno task fuzz --only node`. */
import assert from "node:assert/strict";
import { logIndex, nodeId, partitionId, SYSTEM_PARTITION, term } from "../../../core/base/ids.ts";
import { encodeMessages } from "../../../core/wire/codec.ts";
import type { Message, MessageOf } from "../../../core/wire/messages.ts";
import { Network } from "./network.ts";

function settled(): Network {
  const network = new Network(["a", "b", "c"]);
  network.sending = (_from, _to, message) => void encodeMessages([message]);
  network.settle();
  return network;
}

function tell(network: Network, to: string, from: string, ...messages: Message[]): void {
  network.step(nodeId(to), { kind: "messages", from: nodeId(from), messages });
  network.run(3_000_000);
}

function refusals(network: Network): string[] {
  return network.notes.flatMap(({ note }) => note.kind === "refused" ? [note.why] : []);
}

Deno.test("Node refuses a range over the system partition, which holds no keys (seed 98)", () => {
  const network = settled();
  for (const read of ["stale", "linearizable"] as const) {
    const answer = network.ask("a", {
      kind: "range",
      start: "",
      end: null,
      limit: 10,
      reverse: false,
      keysOnly: true,
      read,
      partition: SYSTEM_PARTITION,
    });
    assert.equal(answer.kind, "refused");
    assert.match(answer.kind === "refused" ? answer.message : "", /Partition 0 holds no keys; .* 1 to 4/);
  }
});

function snapshotOf(
  partition: number,
  row: Uint8Array,
  change: Partial<MessageOf<"snapshot">> = {},
): Message {
  return {
    kind: "snapshot",
    partition: partitionId(partition),
    term: term(90),
    index: logIndex(80),
    indexTerm: term(80),
    configuration: { voters: [nodeId("a"), nodeId("b"), nodeId("c")], outgoing: [], learners: [] },
    configurationIndex: logIndex(1),
    transfer: 1,
    sequence: 0,
    done: true,
    rows: [[Uint8Array.of(0, 0, 2, 65), row]],
    ...change,
  };
}

Deno.test("Node keeps its state where a snapshot's rows are damaged or missing (seed 341)", () => {
  const network = settled();
  const partition = network.node("c").replicas().find((slot) => slot.catalog !== null)!.partition;
  const before = network.node("c").replicas().map(({ replica }) => replica.appliedIndex);
  tell(network, "c", "a", snapshotOf(partition, new Uint8Array(40).fill(7)));
  tell(
    network,
    "c",
    "a",
    snapshotOf(partition, new Uint8Array(0), { transfer: 2, rows: [], term: term(91) }),
  );
  tell(network, "c", "a", snapshotOf(0, Uint8Array.of(0xff), { transfer: 3 }));
  const why = refusals(network);
  assert(why.some((text) => /wrong seal/.test(text)), why.join());
  assert(why.some((text) => /does not say what it is of/.test(text)), why.join());
  assert(why.some((text) => /holds no view/.test(text)), why.join());
  network.settle();
  const after = network.node("c").replicas().map(({ replica }) => replica.appliedIndex);
  assert(after.every((index, i) => index >= before[i]!));
});

Deno.test("Node refuses a view whose parts do not fit together (seeds 24 and 1045)", () => {
  const network = settled();
  const view = network.node("a").view(), version = view.version + 100;
  const made = [
    { ...view, version, assignment: view.assignment.slice(1) },
    { ...view, version, members: view.members.toReversed() },
    { ...view, version, assignment: view.assignment.map(([first]) => [first!, first!]) },
    { ...view, version, settings: { ...view.settings, partitions: 8 } },
  ];
  for (const next of made) tell(network, "a", "b", { kind: "layout-is", view: next });
  assert.equal(refusals(network).filter((why) => why === "Its parts do not fit together").length, 4);
  assert.equal(network.node("a").view().version, view.version);
});

Deno.test("Node goes on from the largest term that a peer can tell it (seeds 2 and 6)", () => {
  const network = settled();
  const most = term(2 ** 52 - 1);
  const vote: Message = {
    kind: "vote",
    partition: SYSTEM_PARTITION,
    term: most,
    pre: false,
    transfer: true,
    lastIndex: logIndex(1000),
    lastTerm: term(1),
  };
  tell(network, "b", "a", vote);
  network.settle();
  network.restart("b");
  network.settle();
  assert(network.node("b").replicas()[0]!.replica.term >= most);
});
