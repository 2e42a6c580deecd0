/** Which partitions would be lost with a node's tables. */
import assert from "node:assert/strict";
import {
  type LogIndex,
  type NodeId,
  nodeId,
  type PartitionId,
  type Term,
} from "../../../../core/base/ids.ts";
import { onlyHere } from "../../../../cli/host/life/rebuild.ts";
import { encodeConfiguration } from "../../../../core/wire/configuration.ts";
import type { RecoveredReplica } from "../../../../core/wire/kernel.ts";
import type { Configuration } from "../../../../core/wire/messages.ts";

const [a, b] = [nodeId("a"), nodeId("b")];
const term = 1 as Term;
const voters = (...nodes: NodeId[]): Configuration => ({ voters: nodes, outgoing: [], learners: [] });

function replica(base: number, configuration: Configuration, ...newer: Configuration[]): RecoveredReplica {
  return {
    term,
    votedFor: null,
    exists: true,
    base: { index: base as LogIndex, term },
    configuration,
    configurationIndex: base as LogIndex,
    entries: newer.map((each, i) => ({
      term,
      index: base + i + 1 as LogIndex,
      kind: "config",
      data: encodeConfiguration(each),
    })),
  };
}

const lost = (...replicas: RecoveredReplica[]) =>
  onlyHere({
    view: null,
    incarnation: 0,
    peers: [],
    replicas: new Map(replicas.map((each, i) => [i as PartitionId, each])),
  }, a);

Deno.test("onlyHere() names partitions whose log begins later and that no other node votes in", () => {
  const joint = { voters: [a], outgoing: [a, b], learners: [] };
  assert.deepEqual(lost(replica(5, voters(a)), replica(5, voters(a, b)), replica(5, joint)), [0]);
  assert.deepEqual(lost(replica(0, voters(a)), { ...replica(5, voters(a)), exists: false }), []);
  assert.deepEqual(lost(replica(5, { ...voters(a), learners: [b] })), [0]);
});

Deno.test("onlyHere() goes by the newest configuration too: whoever is out of it may have dropped the data", () => {
  const joint = { voters: [a], outgoing: [a, b], learners: [] };
  assert.deepEqual(lost(replica(5, voters(a, b), joint), replica(5, voters(a, b), joint, voters(a))), [1]);
});
