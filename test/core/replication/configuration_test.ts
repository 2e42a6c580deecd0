import assert from "node:assert/strict";
import fc from "fast-check";
import { type LogIndex, nodeId } from "../../../core/base/ids.ts";
import {
  ConfigurationHistory,
  nextConfiguration,
  satisfies,
} from "../../../core/replication/configuration.ts";
import {
  decodeConfiguration,
  encodeConfiguration,
  hasQuorum,
  isConfiguration,
} from "../../../core/wire/configuration.ts";
import type { Configuration } from "../../../core/wire/messages.ts";

const NODES = [..."abcdefg"].map((name) => nodeId(name));
const plain = (voters: string): Configuration => ({
  voters: [...voters].map((v) => nodeId(v)),
  outgoing: [],
  learners: [],
});

Deno.test("nextConfiguration() leads from any voters to any target, and every step shares a quorum with the one before", () => {
  fc.assert(fc.property(
    fc.subarray(NODES, { minLength: 1 }),
    fc.subarray(NODES, { minLength: 1 }),
    (voters, target) => {
      let current: Configuration = { voters, outgoing: [], learners: [] };
      for (let steps = 0; !satisfies(current, target); steps++) {
        assert.ok(steps < 4, "at most: learners, joint, new");
        const next = nextConfiguration(current, target, () => true);
        assert.ok(next !== null);
        assert.ok(isConfiguration(next));
        assertNoDisjointQuorums(current, next);
        current = next;
      }
      assert.equal(nextConfiguration(current, target, () => true), null);
    },
  ));
});

function assertNoDisjointQuorums(a: Configuration, b: Configuration): void {
  for (let mask = 0; mask < 1 << NODES.length; mask++) {
    const left = hasQuorum(a, (node) => (mask & (1 << NODES.indexOf(node))) !== 0);
    const right = hasQuorum(b, (node) => (mask & (1 << NODES.indexOf(node))) === 0);
    assert.ok(!(left && right), `${mask.toString(2)} and its complement both decide`);
  }
}

Deno.test("nextConfiguration() waits for learners, and for a majority of the new voters", () => {
  const abc = plain("abc");
  const target = ["a", "b", "d"].map((n) => nodeId(n));
  const learning = nextConfiguration(abc, target, () => true)!;
  assert.deepEqual(learning, { ...abc, learners: ["d"] });
  assert.equal(nextConfiguration(learning, target, (node) => node !== "d"), null);
  assert.equal(nextConfiguration(learning, target, (node) => node === "d"), null);
  assert.deepEqual(nextConfiguration(learning, target, (node) => node !== "a"), {
    voters: target,
    outgoing: abc.voters,
    learners: [],
  });
});

Deno.test("nextConfiguration() lets go of a learner that is not wanted any more", () => {
  const learning = { ...plain("abc"), learners: [nodeId("d")] };
  assert.deepEqual(nextConfiguration(learning, plain("abc").voters, () => true), plain("abc"));
});

Deno.test("ConfigurationHistory falls back when the entry that brought a configuration is cut off (section 6)", () => {
  const history = new ConfigurationHistory(0 as LogIndex, plain("abc"));
  history.add(5 as LogIndex, plain("ab"));
  history.add(9 as LogIndex, plain("a"));
  assert.equal(history.truncate(10 as LogIndex), false);
  assert.equal(history.truncate(9 as LogIndex), true);
  assert.deepEqual(history.effective, plain("ab"));
  assert.deepEqual(history.at(4 as LogIndex).configuration, plain("abc"));
  history.compact(7 as LogIndex);
  assert.deepEqual(history.at(7 as LogIndex), { index: 5, configuration: plain("ab") });
});

Deno.test("decodeConfiguration() gives back what was encoded", () => {
  fc.assert(fc.property(
    fc.subarray(NODES, { minLength: 1 }),
    fc.subarray(NODES),
    fc.subarray(NODES),
    (voters, outgoing, others) => {
      const learners = others.filter((n) => !voters.includes(n) && !outgoing.includes(n));
      const configuration = { voters, outgoing, learners };
      assert.deepEqual(decodeConfiguration(encodeConfiguration(configuration)), configuration);
    },
  ));
});

Deno.test("decodeConfiguration() refuses what is no configuration", () => {
  const bad: unknown[] = [
    { voters: [], outgoing: [], learners: [] },
    { voters: ["a", "a"], outgoing: [], learners: [] },
    { voters: ["a"], outgoing: [], learners: ["a"] },
    { voters: ["with space"], outgoing: [], learners: [] },
    { voters: [..."abcdefghijklmnopq"], outgoing: [], learners: [] },
  ];
  for (const value of bad) {
    assert.equal(decodeConfiguration(encodeConfiguration(value as Configuration)), null);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
    const decoded = decodeConfiguration(bytes);
    assert.ok(decoded === null || isConfiguration(decoded));
  }));
});
