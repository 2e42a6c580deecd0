import assert from "node:assert/strict";
import fc from "fast-check";
import { instant, nodeId, partitionId } from "../../../core/base/ids.ts";
import type { ChunkOp } from "../../../core/wire/objects.ts";
import { Effects } from "../../../core/wire/kernel.ts";
import { effectsDigest } from "../../../core/wire/effects_digest.ts";
import { encodeMessage } from "../../../core/wire/codec.ts";
import { arbMessage, arbNodeId, arbRecord, arbResponse } from "../../support/arbitraries.ts";
import { MESSAGES, RECORDS, RESPONSES } from "../../support/wire_samples.ts";

const WAKE = instant(1000);

function digestOf(fill: (effects: Effects) => void, wake = WAKE): number {
  const effects = new Effects();
  fill(effects);
  return effectsDigest(effects, wake);
}

const a = nodeId("a"), b = nodeId("b");
const messages = Object.values(MESSAGES),
  records = Object.values(RECORDS),
  responses = Object.values(RESPONSES);

Deno.test("effectsDigest() is the same for equal effects, whatever objects they are made of", () => {
  fc.assert(fc.property(arbMessage, arbRecord, arbResponse, arbNodeId, (message, record, response, to) => {
    const fill = (effects: Effects) => {
      effects.record(record);
      effects.send(to, message);
      effects.sendDurable(to, message);
      effects.reply(1, 2, response);
    };
    const copy = structuredClone({ message, record, response });
    const again = (effects: Effects) => {
      effects.record(copy.record);
      effects.send(to, copy.message);
      effects.sendDurable(to, copy.message);
      effects.reply(1, 2, copy.response);
    };
    assert.equal(digestOf(fill), digestOf(again));
  }));
});

const fragment = { partition: partitionId(3), segment: "ab".repeat(16), chunk: 1, index: 0 };
const chunkOps: ChunkOp[] = [
  { kind: "write", op: 1, fragment, bytes: Uint8Array.of(1) },
  { kind: "write", op: 1, fragment, bytes: Uint8Array.of(2) },
  { kind: "write", op: 1, fragment: { ...fragment, segment: "ac".repeat(16) }, bytes: Uint8Array.of(1) },
  { kind: "read", op: 1, fragment },
  { kind: "read", op: 2, fragment },
  { kind: "read", op: 1, fragment: { ...fragment, chunk: 0, index: 1 } },
  { kind: "remove", op: 1, fragments: [fragment] },
  { kind: "list", op: 1, partition: fragment.partition, after: fragment, max: 9 },
  { kind: "list", op: 1, partition: fragment.partition, after: null, max: 9 },
  { kind: "partitions", op: 1 },
];

Deno.test("effectsDigest() tells apart whatever a host would do differently", () => {
  const [one, other] = [messages[0]!, messages[1]!];
  const variants: ((effects: Effects) => void)[] = [
    () => {},
    ...records.map((record) => (effects: Effects) => effects.record(record)),
    ...messages.map((message) => (effects: Effects) => effects.send(a, message)),
    ...messages.map((message) => (effects: Effects) => effects.sendDurable(a, message)),
    ...responses.map((response) => (effects: Effects) => effects.reply(1, 2, response)),
    ...records.map((record) => (effects: Effects) =>
      void (effects.checkpoint = { number: 1, records: [record] })
    ),
    ...chunkOps.map((op) => (effects: Effects) => void effects.chunkOps.push(op)),
    (effects) => effects.chunkOps.push(chunkOps[0]!, chunkOps[1]!),
    (effects) => effects.chunkOps.push(chunkOps[1]!, chunkOps[0]!),
    (effects) => effects.send(b, one),
    (effects) => [one, other].forEach((message) => effects.send(a, message)),
    (effects) => [other, one].forEach((message) => effects.send(a, message)),
    (effects) => [one, one].forEach((message) => effects.send(a, message)),
    (effects) => effects.reply(2, 2, responses[0]!),
    (effects) => effects.reply(1, 3, responses[0]!),
    (effects) => void (effects.checkpoint = { number: 1, records: [] }),
    (effects) => void (effects.checkpoint = { number: 2, records: [] }),
    (effects) => void (effects.stopped = true),
    (effects) => void (effects.persistedUpTo = 7),
    (effects) => effects.note({ kind: "view", version: 3, epoch: 1 }),
    (effects) => effects.note({ kind: "view", version: 3, epoch: 2 }),
  ];
  const digests = new Map<number, number>();
  variants.forEach((fill, i) => {
    const digest = digestOf(fill);
    assert.equal(digests.get(digest), undefined, `variants ${digests.get(digest)} and ${i}`);
    digests.set(digest, i);
  });
  assert.notEqual(digestOf(() => {}), digestOf(() => {}, instant(1001)));
  assert.notEqual(digestOf(() => {}, instant(1)), digestOf(() => {}, instant(0x1_0000_0001)));
});

Deno.test("effectsDigest() differs where two messages do", () => {
  let differing = 0;
  fc.assert(
    fc.property(arbMessage, arbMessage, (one, other) => {
      if (encodeMessage(one).toHex() === encodeMessage(other).toHex()) return;
      differing++;
      assert.notEqual(
        digestOf((effects) => effects.send(a, one)),
        digestOf((effects) => effects.send(a, other)),
      );
    }),
    { seed: 42, numRuns: 500 },
  );
  assert(differing > 400);
});
