import assert from "node:assert/strict";
import fc from "fast-check";
import {
  compareBytes,
  compareUtf8,
  equalBytes,
  readUint32,
  release,
  releaseWhole,
  utf8Decode,
  utf8Encode,
  utf8Length,
  writeUint32,
} from "../../../core/base/bytes.ts";

const arbBytes = fc.uint8Array({ maxLength: 12, max: 3 });
/** Few code points, of every length in UTF-8 and on both sides of the surrogates, so that texts share beginnings. */
const arbText = fc.array(
  fc.constantFrom("a", "b", "é", "߿", "ࠀ", "\ud7ff", "\ue000", "\uffff", "\u{10000}", "\u{10ffff}"),
)
  .map((parts) => parts.join(""));

Deno.test("compareUtf8() orders as the encoded bytes do", () => {
  fc.assert(
    fc.property(arbText, arbText, (a, b) => {
      const expected = Math.sign(compareBytes(utf8Encode(a), utf8Encode(b)));
      assert.equal(Math.sign(compareUtf8(a, b)), expected);
    }),
    { numRuns: 1000 },
  );
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
    assert.equal(Math.sign(compareUtf8(a, b)), Math.sign(compareBytes(utf8Encode(a), utf8Encode(b))));
  }));
});

Deno.test("compareUtf8() puts U+FFFF before U+10000, which < does not", () => {
  assert.ok(compareUtf8("\uffff", "\u{10000}") < 0);
  assert.ok("\uffff" > "\u{10000}");
});

Deno.test("compareBytes() orders as the arrays' numbers do, a beginning before what it begins", () => {
  const twin = (a: Uint8Array, b: Uint8Array) => {
    const x = String.fromCharCode(...a), y = String.fromCharCode(...b);
    return x < y ? -1 : x > y ? 1 : 0;
  };
  fc.assert(fc.property(arbBytes, arbBytes, (a, b) => {
    assert.equal(Math.sign(compareBytes(a, b)), twin(a, b));
    assert.equal(equalBytes(a, b), twin(a, b) === 0);
  }));
});

Deno.test("utf8Length() counts what utf8Encode() gives, lone surrogates too", () => {
  fc.assert(fc.property(arbText, (text) => assert.equal(utf8Length(text), utf8Encode(text).length)));
  fc.assert(fc.property(fc.array(fc.nat({ max: 0xffff })), (units) => {
    const text = String.fromCharCode(...units);
    assert.equal(utf8Length(text), utf8Encode(text).length);
  }));
});

Deno.test("utf8Decode() undoes utf8Encode(), keeps a byte order mark, and refuses what is not UTF-8", () => {
  fc.assert(fc.property(arbText, (text) => assert.equal(utf8Decode(utf8Encode(text)), text)));
  assert.equal(utf8Decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
  assert.throws(() => utf8Decode(Uint8Array.of(0xc0, 0xaf)), TypeError);
});

Deno.test("readUint32() and writeUint32() are big-endian, as DataView's", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), fc.nat({ max: 4 }), (value, at) => {
    const bytes = new Uint8Array(8);
    writeUint32(bytes, at, value);
    assert.equal(new DataView(bytes.buffer).getUint32(at), value);
    assert.equal(readUint32(bytes, at), value);
  }));
});

Deno.test("release() and releaseWhole() take back what is large and shares its memory with nobody", () => {
  const chunk = new Uint8Array(1024 * 1024).subarray(44);
  release(chunk);
  assert.equal(chunk.length, 0);
  const half = new Uint8Array(1024 * 1024).subarray(512 * 1024), small = new Uint8Array(1000);
  release(half);
  release(small);
  assert.deepEqual([half.length, small.length], [512 * 1024, 1000]);
  const whole = new Uint8Array(48 * 1024), part = new Uint8Array(64 * 1024).subarray(1);
  releaseWhole(whole);
  releaseWhole(part);
  releaseWhole(small);
  assert.deepEqual([whole.length, part.length, small.length], [0, 64 * 1024 - 1, 1000]);
});
