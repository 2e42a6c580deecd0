import fc from "fast-check";
import assert from "node:assert/strict";
import { LIMITS } from "../../../core/base/limits.ts";
import {
  decodeSegmentRecord,
  encodeSegmentRecord,
  type SegmentRecord,
} from "../../../core/objects/registry.ts";
import { WireError } from "../../../core/wire/cbor.ts";
import { schemes } from "./arbitraries.ts";

const records: fc.Arbitrary<SegmentRecord> = fc.record({
  bytes: fc.integer({ min: 1, max: LIMITS.segmentChunksMax }),
  chunkBytes: fc.integer({ min: 1, max: LIMITS.chunkBytesMax }),
  scheme: schemes,
  bucket: fc.constantFrom("maps", "a".repeat(63)),
  key: fc.string({ unit: "grapheme", maxLength: 100 }),
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

Deno.test("decodeSegmentRecord() refuses segments without bytes or chunks, and formats it does not know", () => {
  const record: SegmentRecord = {
    bytes: 1,
    chunkBytes: 1,
    scheme: { kind: "replicated", copies: 3 },
    bucket: "b",
    key: "k",
    pending: false,
  };
  const decoded = (change: Partial<SegmentRecord>) => () =>
    decodeSegmentRecord(encodeSegmentRecord({ ...record, ...change }));
  assert.throws(decoded({ bytes: 0 }), /not empty/);
  assert.throws(decoded({ chunkBytes: 0 }), /not empty/);
  assert.throws(decoded({ bytes: LIMITS.segmentBytesMax + 1 }), WireError);
  assert.throws(decoded({ bytes: 2 * LIMITS.segmentChunksMax + 1, chunkBytes: 2 }), WireError);
  assert.equal(decoded({ bytes: 2 * LIMITS.segmentChunksMax, chunkBytes: 2 })().chunkBytes, 2);
  assert.deepEqual(decoded({ bytes: 0, pending: true })().bytes, 0);
  const other = encodeSegmentRecord(record).slice();
  other[1] = 2;
  assert.throws(() => decodeSegmentRecord(other), /format 2, and this version reads format 1/);
});
