import fc from "fast-check";
import assert from "node:assert/strict";
import { LIMITS } from "../../../core/base/limits.ts";
import {
  decodeSegmentRecord,
  encodeSegmentRecord,
  registeredOf,
  type SegmentRecord,
} from "../../../core/objects/registry.ts";
import { logIndex, partitionId, term } from "../../../core/base/ids.ts";
import { segmentRow } from "../../../core/objects/rows.ts";
import { drawnSegment } from "../../../core/objects/segment_id.ts";
import type { KeyValue } from "../../../core/wire/requests.ts";
import { WireError } from "../../../core/wire/cbor.ts";
import { schemes } from "./arbitraries.ts";

const records: fc.Arbitrary<SegmentRecord> = fc.record({
  bytes: fc.integer({ min: 1, max: LIMITS.segmentChunksMax }),
  chunkBytes: fc.integer({ min: 1, max: LIMITS.chunkBytesMax }),
  scheme: schemes,
  proof: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  pending: fc.boolean(),
}, { noNullPrototype: true });

Deno.test("decodeSegmentRecord() gives back what encodeSegmentRecord() was given", () => {
  fc.assert(fc.property(records, (record) => {
    assert.deepEqual(decodeSegmentRecord(encodeSegmentRecord(record)), record);
  }));
});

Deno.test("decodeSegmentRecord() takes no bytes that are changed, cut or followed by others for a record it would not write", () => {
  fc.assert(fc.property(records, fc.nat(), fc.nat(255), (record, at, byte) => {
    const bytes = encodeSegmentRecord(record);
    const changed = bytes.slice();
    changed[at % bytes.length] = byte;
    for (const given of [changed, bytes.subarray(0, at % bytes.length), new Uint8Array([...bytes, byte])]) {
      try {
        assert.deepEqual(encodeSegmentRecord(decodeSegmentRecord(given)), given);
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }
  }));
});

Deno.test("registeredOf() takes the owner's row wherever it stands among others, in one page or several (R1, R2)", () => {
  const partition = partitionId(7),
    { id, proof } = drawnSegment(new Uint8Array(32).fill(3), { bucket: "maps", key: "x" });
  const row = (bucket: string, segment: string, value: Uint8Array | null): KeyValue => ({
    key: segmentRow({ partition, bucket, key: "x" }, segment),
    value,
    version: { term: term(1), index: logIndex(1) },
  });
  const record: SegmentRecord = {
    ...{ bytes: 10, chunkBytes: 5, scheme: { kind: "replicated", copies: 3 }, proof, pending: false },
  };
  const value = encodeSegmentRecord(record), forged = encodeSegmentRecord({ ...record, pending: true });
  const other = row("maps", "0".repeat(32), forged), last = row("maps", "f".repeat(32), value);
  fc.assert(fc.property(
    fc.nat(5),
    fc.nat(5),
    fc.boolean(),
    fc.nat(12),
    fc.constantFrom(forged, value, new Uint8Array([0x80])),
    (before, after, owned, cut, given) => {
      const rows = [
        other,
        ...Array.from({ length: before }, (_, i) => row(`a${i}`, id, given)),
        ...(owned ? [row("maps", id, value)] : []),
        ...Array.from({ length: after }, (_, i) => row(`z${i}`, id, given)),
        { ...other, key: "\u0001s0007" },
        last,
      ];
      const first = registeredOf(rows.slice(0, cut)), carried = first.pop() ?? null;
      const all = [...first, ...registeredOf(rows.slice(cut), carried)];
      const found = all.map(({ segment, record }) => [segment, record]);
      const decoded = (bytes: Uint8Array) => bytes.length === 1 ? null : decodeSegmentRecord(bytes);
      const of = owned ? record : before + after === 1 ? decoded(given) : null;
      assert.deepEqual(found, [
        ["0".repeat(32), decoded(forged)],
        ...(owned || before + after > 0 ? [[id, of]] : []),
        ["f".repeat(32), record],
      ]);
    },
  ));
});

Deno.test("decodeSegmentRecord() refuses segments without bytes or chunks, and formats it does not know", () => {
  const record: SegmentRecord = {
    bytes: 1,
    chunkBytes: 1,
    scheme: { kind: "replicated", copies: 3 },
    proof: new Uint8Array(32),
    pending: false,
  };
  const decoded = (change: Partial<SegmentRecord>) => () =>
    decodeSegmentRecord(encodeSegmentRecord({ ...record, ...change }));
  assert.throws(decoded({ bytes: 0 }), /not empty/);
  assert.throws(decoded({ chunkBytes: 0 }), /not empty/);
  assert.throws(decoded({ proof: new Uint8Array(31) }), /32 bytes, not 31/);
  assert.throws(decoded({ proof: new Uint8Array(33) }), WireError);
  assert.throws(decoded({ bytes: LIMITS.segmentBytesMax + 1 }), WireError);
  assert.throws(decoded({ bytes: 2 * LIMITS.segmentChunksMax + 1, chunkBytes: 2 }), WireError);
  assert.equal(decoded({ bytes: 2 * LIMITS.segmentChunksMax, chunkBytes: 2 })().chunkBytes, 2);
  assert.deepEqual(decoded({ bytes: 0, pending: true })().bytes, 0);
  const other = encodeSegmentRecord(record).slice();
  other[1] = 2;
  assert.throws(() => decodeSegmentRecord(other), /format 2, and this version reads format 1/);
});
