import assert from "node:assert/strict";
import fc from "fast-check";
import { concatBytes } from "../../../core/base/bytes.ts";
import { instant, logIndex, nodeId, type PartitionId } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { DEFAULT_TUNING, tuningOf } from "../../../core/base/tuning.ts";
import { encode, Reader } from "../../../core/wire/cbor.ts";
import { inputWire, readInput } from "../../../core/wire/input_codec.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import type { Input, Recovered, RecoveredReplica } from "../../../core/wire/kernel.ts";
import {
  encodeItem,
  encodeItemFrame,
  encodePartHeader,
  PART_HEADER_BYTES,
  PartReader,
  readItem,
  RECORDING_VERSION,
  RecordingError,
  type RecordingItem,
  recordsOf,
} from "../../../core/wire/recording.ts";
import {
  arbAddress,
  arbBytes,
  arbConfiguration,
  arbHex32,
  arbInteger,
  arbMessage,
  arbNodeId,
  arbPartition,
  arbRecord,
  arbRequest,
  arbTerm,
  arbView,
} from "../../support/arbitraries.ts";
import { arbChunkResult } from "../../support/arbitrary_objects.ts";
import { arbAuthority, arbPrincipal, arbStatement } from "../../support/arbitrary_security.ts";

const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record<T>(fields, { noNullPrototype: true });

const arbInput: fc.Arbitrary<Input> = fc.oneof(
  fc.constantFrom<Input>({ kind: "start" }, { kind: "wake" }, { kind: "checkpoint" }, { kind: "stop" }),
  record({
    kind: fc.constant("messages" as const),
    from: arbNodeId,
    messages: fc.array(arbMessage, { maxLength: 4 }),
  }),
  record({ kind: fc.constant("persisted" as const), upTo: arbInteger }),
  record({ kind: fc.constant("checkpointed" as const), checkpoint: arbInteger }),
  record({
    kind: fc.constant("requests" as const),
    requests: fc.array(
      fc.record(
        { client: arbInteger, id: arbInteger, request: arbRequest, who: arbPrincipal },
        { noNullPrototype: true, requiredKeys: ["client", "id", "request"] },
      ),
      { maxLength: 4 },
    ),
  }),
  record({ kind: fc.constant("client-gone" as const), client: arbInteger }),
  record({ kind: fc.constant("space" as const), low: fc.boolean() }),
  record({
    kind: fc.constant("chunks" as const),
    results: fc.array(arbChunkResult, { maxLength: 4 }),
  }),
  record({ kind: fc.constant("peer-lost" as const), peer: arbNodeId }),
  record({
    kind: fc.constant("keys" as const),
    holds: arbInteger,
    uses: arbInteger,
    statement: arbStatement,
  }),
  record({ kind: fc.constant("key-made" as const), id: arbInteger, authority: arbAuthority }),
);
const arbWord = fc.nat({ max: 0xffff_ffff });
const arbInstant = fc.nat().map(instant);
const arbItem: fc.Arbitrary<RecordingItem> = fc.oneof(
  record({
    kind: fc.constant("step" as const),
    now: arbInstant,
    fingerprint: arbWord,
    digest: arbWord,
    input: arbInput,
  }),
  record({ kind: fc.constant("broke" as const), now: arbInstant, message: fc.string(), input: arbInput }),
  record({ kind: fc.constant("record" as const), record: arbRecord }),
  record({
    kind: fc.constant("rows" as const),
    rows: fc.array(fc.tuple(arbBytes, arbBytes), { maxLength: 4 }),
  }),
  record({ kind: fc.constant("begun" as const), rows: fc.nat() }),
  record({
    kind: fc.constant("state" as const),
    view: fc.nat(),
    partitions: fc.array(
      record({ partition: arbPartition, applied: fc.nat().map(logIndex), digest: arbWord }),
      { maxLength: 4 },
    ),
  }),
  record({
    kind: fc.constant("end" as const),
    reason: fc.constantFrom("stopped" as const, "failed" as const, "full" as const, "overflow" as const),
    steps: fc.nat(),
  }),
  record({
    kind: fc.constant("life" as const),
    life: record({
      node: arbNodeId,
      address: arbAddress,
      network: arbHex32,
      wallMs: fc.nat(),
      startedAt: arbInstant,
      random: fc.tuple(arbWord, arbWord, arbWord),
      tuning: fc.constantFrom(DEFAULT_TUNING, tuningOf({ appendEntriesMax: 3 })),
      origin: fc.constantFrom("genesis" as const, "joined" as const, "recovered" as const),
      view: arbView,
      records: fc.nat(),
    }).map((life) => life.origin === "recovered" ? { ...life, view: null } : life),
  }),
);

const PLACE = { number: 0, salt: 7 };
const HEADER = {
  node: nodeId("sirius"),
  life: "a1b2",
  part: 3,
  program: "0.1.0",
  salt: PLACE.salt,
  network: "",
  key: null,
};

/** A part with a frame for each of `frames`. */
function part(...frames: readonly (readonly RecordingItem[])[]): Uint8Array {
  return concatBytes([
    encodePartHeader(HEADER),
    ...frames.map((items, number) => encodeItemFrame(items.map(encodeItem), { ...PLACE, number })),
  ]);
}

/** Everything in a part, and how many bytes were cut. */
function read(bytes: Uint8Array, { last = true } = {}): { items: RecordingItem[]; torn: number } {
  const reader = new PartReader({ file: "flight.000003", bytes, last });
  const items: RecordingItem[] = [];
  for (let found; (found = reader.next()) !== null;) items.push(...found);
  return { items, torn: reader.tornBytes };
}

const refused = (message: RegExp, offset?: number) => (error: unknown) =>
  error instanceof RecordingError && error.file === "flight.000003" && message.test(error.message) &&
  (offset === undefined || error.offset === offset);

const WAKE: RecordingItem = {
  kind: "step",
  now: instant(5),
  fingerprint: 1,
  digest: 2,
  input: { kind: "wake" },
};
const SPACE: RecordingItem = { ...WAKE, input: { kind: "space", low: true } };

Deno.test("inputWire() and readInput() give every input back", () => {
  fc.assert(fc.property(arbInput, (input) => {
    const reader = new Reader(encode(inputWire(input)));
    assert.deepEqual(readInput(reader), input);
    reader.end();
  }));
});

Deno.test("encodeItem() and readItem() give every item back", () => {
  fc.assert(fc.property(arbItem, (item) => {
    const reader = new Reader(encodeItem(item));
    assert.deepEqual(readItem(reader), item);
    reader.end();
  }));
});

Deno.test("PartReader gives back the header and all items of a part in order", () => {
  fc.assert(fc.property(fc.array(fc.array(arbItem, { maxLength: 4 }), { maxLength: 4 }), (frames) => {
    const bytes = part(...frames);
    assert.deepEqual(new PartReader({ file: "f", bytes, last: false }).header, HEADER);
    assert.deepEqual(read(bytes, { last: false }), { items: frames.flat(), torn: 0 });
  }));
});

Deno.test("PartReader cuts a torn end, wherever it was torn, in the last part alone (G3)", () => {
  const whole = part([WAKE], [SPACE, WAKE]), first = part([WAKE]).length;
  for (let length = first; length < whole.length; length++) {
    assert.deepEqual(read(whole.slice(0, length)), { items: [WAKE], torn: length - first });
    if (length > first) {
      assert.throws(() => read(whole.slice(0, length), { last: false }), refused(/cut short/, first));
    }
  }
  const zeros = concatBytes([part([WAKE]), new Uint8Array(100)]);
  assert.deepEqual(read(zeros), { items: [WAKE], torn: 100 });
  assert.throws(() => read(zeros, { last: false }), refused(/damaged/, first));
});

Deno.test("PartReader refuses a part in which any bit is another, and says where (G3)", () => {
  const whole = part([WAKE], [SPACE, WAKE]), first = part([WAKE]).length;
  for (let at = 0; at < whole.length; at++) {
    const bytes = whole.slice();
    bytes[at]! ^= 1 << (at % 8);
    const offset = at < PART_HEADER_BYTES ? 0 : at < first ? PART_HEADER_BYTES : first;
    assert.throws(() => read(bytes), refused(/./, offset), `byte ${at}`);
  }
});

Deno.test("PartReader refuses frames that are missing or in another order (G2)", () => {
  const header = encodePartHeader(HEADER);
  const frame = (number: number) => encodeItemFrame([encodeItem(WAKE)], { ...PLACE, number });
  const bytes = concatBytes([header, frame(0), frame(2)]);
  assert.throws(() => read(bytes), refused(/frame 2 stands where 1 should/));
  const other = encodeItemFrame([encodeItem(WAKE)], { number: 0, salt: 8 });
  assert.throws(() => read(concatBytes([header, other])), refused(/checksum/));
});

Deno.test("PartReader refuses what is no recording, and the formats of other builds, and says what to do", () => {
  assert.throws(() => read(new Uint8Array(1000)), refused(/no recording.*--record/, 0));
  assert.throws(() => read(new Uint8Array(0)), refused(/no recording/));
  assert.throws(() => read(part([WAKE]).slice(0, 100)), refused(/cut short/));
  const newer = part([WAKE]);
  newer[11] = RECORDING_VERSION + 1;
  assert.throws(() => read(newer), refused(new RegExp(`format ${RECORDING_VERSION + 1}.*Use the build`), 0));
});

Deno.test("recordsOf() gives records that add up to what was recovered", () => {
  const arbReplica: fc.Arbitrary<RecoveredReplica> = record({
    term: arbTerm,
    votedFor: fc.option(arbNodeId),
    base: record({ index: fc.nat({ max: 1000 }).map(logIndex), term: arbTerm }),
    configuration: arbConfiguration,
    configurationIndex: fc.nat().map(logIndex),
    lengths: fc.array(fc.constantFrom(0, 5, 200_000), { maxLength: 6 }),
  }).map(({ lengths, ...replica }) => ({
    ...replica,
    exists: true,
    entries: lengths.map((length, i) => ({
      term: replica.term,
      index: logIndex(replica.base.index + 1 + i),
      kind: "command" as const,
      data: new Uint8Array(length).fill(i),
    })),
  }));
  const arbRecovered: fc.Arbitrary<Recovered> = record({
    view: fc.option(arbView),
    incarnation: fc.nat(),
    peers: fc.array(record({ node: arbNodeId, address: arbAddress }), { maxLength: 3 }),
    replicas: fc.array(fc.tuple(arbPartition as fc.Arbitrary<PartitionId>, arbReplica), { maxLength: 3 })
      .map((pairs) => new Map(pairs)),
  });
  const plain = ({ view, incarnation, peers, replicas }: Recovered) => ({
    view,
    incarnation,
    peers,
    replicas: [...replicas].sort(([a], [b]) => a - b).map(([partition, replica]) => [
      partition,
      replica.term,
      replica.votedFor,
      replica.exists,
      replica.base,
      replica.configuration,
      replica.configurationIndex,
      replica.entries,
    ]),
  });
  fc.assert(
    fc.property(arbRecovered, (recovered) => {
      assert.deepEqual(plain(foldRecords(recordsOf(recovered))), plain(recovered));
    }),
    { numRuns: 50 },
  );
  const dropped: RecoveredReplica = { ...fc.sample(arbReplica, { seed: 1, numRuns: 1 })[0]!, exists: false };
  const found = foldRecords(
    recordsOf({ view: null, incarnation: 3, peers: [], replicas: new Map([[5 as PartitionId, dropped]]) }),
  );
  assert.deepEqual(
    [found.replicas.get(5 as PartitionId)?.exists, found.replicas.get(5 as PartitionId)?.term],
    [false, dropped.term],
  );
});

/** A part with items that were changed, all checksums right, so that the changes reach what lies behind those. */
function mutated(items: readonly RecordingItem[], random: Random): Uint8Array {
  const payload = concatBytes(items.map(encodeItem));
  for (let i = random.below(4); i > 0; i--) payload[random.below(payload.length)] = random.below(256);
  const length = random.chance(1, 4) ? random.between(1, payload.length) : payload.length;
  return sealed(payload.subarray(0, length), items.length);
}

/** A part with one frame, which says that its payload has `count` items. */
function sealed(payload: Uint8Array, count = 1): Uint8Array {
  const rest = Array.from({ length: count - 1 }, () => new Uint8Array(0));
  return concatBytes([encodePartHeader(HEADER), encodeItemFrame([payload, ...rest], PLACE)]);
}

Deno.test("PartReader throws nothing but RecordingError, whatever the bytes are (G4)", () => {
  const seed = 20_240_601, random = Random.fromSeed(seed);
  const samples = fc.sample(fc.array(arbItem, { minLength: 1, maxLength: 5 }), { seed, numRuns: 200 });
  let accepted = 0, refusals = 0;
  for (const items of samples) {
    const bytes = part(items);
    for (let i = 0; i < 20; i++) {
      const hostile = random.chance(1, 3)
        ? bytes.map((byte) => random.chance(1, 100) ? random.below(256) : byte)
        : mutated(items, random);
      try {
        read(hostile);
        accepted++;
      } catch (error) {
        assert(error instanceof RecordingError, `seed ${seed}: ${error}`);
        refusals++;
      }
    }
  }
  assert(accepted > 10 && refusals > 1000, `${accepted} accepted, ${refusals} refused`);
});

Deno.test("PartReader takes no memory for a length or a count that is not there (G4)", () => {
  // An array that says it has 2^32 - 1 items, and text of as many bytes.
  for (const head of [0x9a, 0x7a, 0x5a]) {
    const hostile = Uint8Array.of(0x82, 0x02, head, 0xff, 0xff, 0xff, 0xff);
    assert.throws(
      () => read(sealed(hostile)),
      refused(/makes no sense/),
    );
  }
});

Deno.test("encodeItemFrame() refuses more than a reader would take", () => {
  assert.throws(() => encodeItemFrame([new Uint8Array(64 * 1024 * 1024)], PLACE), RangeError);
});
