import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeBucket, encodeBucket } from "../../../core/objects/records.ts";
import {
  decodeGarbage,
  decodePart,
  decodeUpload,
  encodeGarbage,
  encodePart,
  encodeUpload,
} from "../../../core/objects/records_upload.ts";
import {
  decodePage,
  decodeVersion,
  drawOf,
  encodePage,
  encodeVersion,
  versionId,
} from "../../../core/objects/records_version.ts";
import { WireError } from "../../../core/wire/cbor.ts";
import { BUCKET, DRAW, GARBAGE, PART, SEGMENT, UPLOAD, VERSION } from "../../support/arbitrary_records.ts";

/** What is encoded comes back; what is cut short, goes on or is changed is refused with WireError, or is another record. */
function assertCodec<T>(
  arbitrary: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
): void {
  fc.assert(
    fc.property(arbitrary, fc.nat(), fc.nat({ max: 255 }), (value, at, byte) => {
      const bytes = encode(value);
      assert.deepEqual(decode(bytes), structuredClone(value));
      assert.throws(() => decode(bytes.slice(0, at % bytes.length)), WireError);
      assert.throws(() => decode(Uint8Array.of(...bytes, byte)), WireError);
      const changed = bytes.slice();
      changed[at % bytes.length] = byte;
      try {
        assert.deepEqual(encode(decode(changed)), changed, "One record has one form");
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
}

Deno.test("records of buckets, versions, pages, uploads, parts and garbage come back as they were, and nothing else does", () => {
  assertCodec(BUCKET, encodeBucket, (bytes) => decodeBucket("maps", bytes));
  assertCodec(VERSION, encodeVersion, decodeVersion);
  assertCodec(fc.array(SEGMENT, { maxLength: 100 }), encodePage, decodePage);
  const name = { bucket: "maps", key: "a", id: "0".repeat(32) };
  assertCodec(
    UPLOAD.map((rest) => ({ ...name, ...rest })),
    encodeUpload,
    (bytes) => decodeUpload(name, bytes),
  );
  assertCodec(PART, encodePart, decodePart);
  assertCodec(GARBAGE, encodeGarbage, decodeGarbage);
});

Deno.test("ids of versions sort the newest first, whatever was drawn", () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 40 }), fc.nat({ max: 2 ** 40 }), DRAW, DRAW, (a, b, x, y) => {
    const [first, second] = [versionId(a, x), versionId(b, y)];
    assert.equal(first.length, 32);
    assert.equal(drawOf(first), x);
    if (a !== b) assert.equal(first < second, a > b);
  }));
});
