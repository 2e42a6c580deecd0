import assert from "node:assert/strict";
import fc from "fast-check";
import {
  compareBytes,
  compareUtf8,
  equalBytes,
  readUint32,
  utf8Decode,
  utf8Encode,
  utf8Length,
  writeUint32,
} from "../../../core/base/bytes.ts";

const text = fc.string({ unit: "grapheme" });
const wellFormed = fc.oneof(text, fc.string({ unit: "binary" }));
const anyBytes = fc.uint8Array({ maxLength: 40 });

Deno.test("utf8Length() is the length of the encoded form, lone surrogates included", () => {
  fc.assert(fc.property(wellFormed, (s) => utf8Length(s) === utf8Encode(s).length));
  const units = fc.array(fc.integer({ min: 0xd700, max: 0xe100 }), { maxLength: 8 });
  fc.assert(fc.property(units, (codes) => {
    const s = String.fromCharCode(...codes);
    return utf8Length(s) === utf8Encode(s).length;
  }));
});

Deno.test("compareUtf8() orders as the encoded forms do", () => {
  const sign = (n: number) => Math.sign(n);
  fc.assert(
    fc.property(
      wellFormed,
      wellFormed,
      (a, b) => sign(compareUtf8(a, b)) === sign(compareBytes(utf8Encode(a), utf8Encode(b))),
    ),
  );
  // U+1F600 is written with surrogates, which are smaller units than U+FF5E.
  assert.ok(compareUtf8("\u{1f600}", "\uff5e") > 0);
  assert.ok("\u{1f600}" < "\uff5e");
  assert.ok(compareUtf8("a", "ab") < 0);
  assert.equal(compareUtf8("ab", "ab"), 0);
});

Deno.test("compareBytes() is a total order with the shorter first", () => {
  fc.assert(fc.property(anyBytes, anyBytes, (a, b) => {
    const hex = (bytes: Uint8Array) => bytes.toHex();
    const expected = hex(a) < hex(b) ? -1 : hex(a) > hex(b) ? 1 : 0;
    assert.equal(Math.sign(compareBytes(a, b)), expected);
    assert.equal(equalBytes(a, b), expected === 0);
  }));
  fc.assert(fc.property(anyBytes, (a) => equalBytes(a, a.slice())));
});

Deno.test("utf8Decode() gives back what was encoded, a byte order mark too, and refuses what is no UTF-8", () => {
  fc.assert(fc.property(text, (s) => utf8Decode(utf8Encode(s)) === s));
  assert.equal(utf8Decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa");
  for (const bad of [[0x80], [0xc3], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80]]) {
    assert.throws(() => utf8Decode(Uint8Array.from(bad)), TypeError);
  }
});

Deno.test("writeUint32() and readUint32() are big-endian and keep the low 32 bits", () => {
  const bytes = new Uint8Array(6);
  writeUint32(bytes, 1, 0x89abcdef);
  assert.deepEqual([...bytes], [0, 0x89, 0xab, 0xcd, 0xef, 0]);
  assert.equal(readUint32(bytes, 1), 0x89abcdef);
  fc.assert(fc.property(fc.maxSafeNat(), (n) => {
    writeUint32(bytes, 0, n);
    return readUint32(bytes, 0) === n % 2 ** 32;
  }));
});
