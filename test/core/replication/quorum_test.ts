import assert from "node:assert/strict";
import fc from "fast-check";
import { type NodeId, nodeId } from "../../../core/base/ids.ts";
import { quorumValue } from "../../../core/replication/quorum.ts";
import { hasQuorum } from "../../../core/wire/configuration.ts";
import type { Configuration } from "../../../core/wire/messages.ts";

const NODES = [..."abcdefghi"].map((name) => nodeId(name));

const configurations: fc.Arbitrary<Configuration> = fc.record({
  voters: fc.subarray(NODES, { minLength: 1 }),
  outgoing: fc.subarray(NODES),
  learners: fc.constant([]),
});
const values = fc.array(fc.nat(12), { minLength: NODES.length, maxLength: NODES.length });

/** The twin: tries every value there is, from the top. */
function naiveQuorumValue(configuration: Configuration, valueOf: (node: NodeId) => number): number {
  for (let value = 12; value > 0; value--) {
    if (hasQuorum(configuration, (node) => valueOf(node) >= value)) return value;
  }
  return 0;
}

Deno.test("quorumValue() is the largest value that a quorum reaches, as its naive twin finds it", () => {
  fc.assert(fc.property(configurations, values, (configuration, list) => {
    const valueOf = (node: NodeId) => list[NODES.indexOf(node)]!;
    assert.equal(quorumValue(configuration, valueOf), naiveQuorumValue(configuration, valueOf));
  }));
});

Deno.test("quorumValue() never falls when a value grows", () => {
  fc.assert(fc.property(configurations, values, fc.nat(8), (configuration, list, at) => {
    const before = quorumValue(configuration, (node) => list[NODES.indexOf(node)]!);
    const more = list.map((value, i) => i === at ? value + 3 : value);
    assert.ok(quorumValue(configuration, (node) => more[NODES.indexOf(node)]!) >= before);
  }));
});

Deno.test("hasQuorum() holds for no two disjoint sets of voters", () => {
  fc.assert(fc.property(configurations, fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }), (c, side) => {
    const left = hasQuorum(c, (node) => side[NODES.indexOf(node)]!);
    const right = hasQuorum(c, (node) => !side[NODES.indexOf(node)]!);
    assert.ok(!(left && right));
  }));
});
