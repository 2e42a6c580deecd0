import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { crc32, fmix32, hashBytes32, hashString32 } from "../../../core/base/hash.ts";

Deno.test("crc32() gives the check value of the catalogue of CRC algorithms (CRC-32/ISO-HDLC)", () => {
  assert.equal(crc32(utf8Encode("123456789")), 0xcbf43926);
  assert.equal(crc32(new Uint8Array(0)), 0);
});

Deno.test("crc32() is that of the polynomial, bit by bit, and goes on from a seed", () => {
  const twin = (bytes: Uint8Array) => {
    let crc = ~0;
    for (const byte of bytes) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
    }
    return ~crc >>> 0;
  };
  fc.assert(fc.property(fc.uint8Array(), fc.nat(), (bytes, cut) => {
    assert.equal(crc32(bytes), twin(bytes));
    const at = cut % (bytes.length + 1);
    assert.equal(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at))), twin(bytes));
  }));
});

/** Published vectors of MurmurHash3 x86 32. */
Deno.test("hashBytes32() is MurmurHash3 x86 32", () => {
  const vectors: readonly [string, number, number][] = [
    ["", 0, 0],
    ["", 1, 0x514e28b7],
    ["", 0xffffffff, 0x81f16f39],
    ["\0\0\0\0", 0, 0x2362f9de],
    ["aaaa", 0x9747b28c, 0x5a97808a],
    ["aaa", 0x9747b28c, 0x283e0130],
    ["aa", 0x9747b28c, 0x5d211726],
    ["a", 0x9747b28c, 0x7fa09ea6],
    ["abcd", 0x9747b28c, 0xf0478627],
    ["abc", 0x9747b28c, 0xc84a62dd],
    ["ab", 0x9747b28c, 0x74875592],
    ["Hello, world!", 0x9747b28c, 0x24884cba],
    ["ππππππππ", 0x9747b28c, 0xd58063c1],
    ["The quick brown fox jumps over the lazy dog", 0x9747b28c, 0x2fa826cd],
  ];
  for (const [text, seed, hash] of vectors) {
    assert.equal(hashString32(text, seed), hash, JSON.stringify(text));
    assert.equal(hashBytes32(utf8Encode(text), seed), hash, JSON.stringify(text));
  }
  assert.equal(hashBytes32(Uint8Array.of(0xff, 0xff, 0xff, 0xff)), 0x76293b50);
  assert.equal(hashBytes32(Uint8Array.of(0x21, 0x43, 0x65, 0x87)), 0xf55b516b);
  assert.equal(hashBytes32(Uint8Array.of(0x21, 0x43, 0x65, 0x87), 0x5082edee), 0x2362f9de);
});

Deno.test("hashString32() is hashBytes32() of the UTF-8 form, whether ASCII or not", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary-ascii", maxLength: 20 }),
    fc.string({ unit: "grapheme", maxLength: 8 }),
  );
  fc.assert(fc.property(text, fc.integer(), (each, seed) => {
    assert.equal(hashString32(each, seed), hashBytes32(utf8Encode(each), seed));
  }));
});

Deno.test("fmix32() is a permutation: it can be undone", () => {
  const inverse = (x: number) => {
    x ^= x >>> 16;
    x = Math.imul(x, 0x7ed1b41d);
    x ^= (x >>> 13) ^ (x >>> 26);
    x = Math.imul(x, 0xa5cb9243);
    x ^= x >>> 16;
    return x >>> 0;
  };
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (x) => assert.equal(inverse(fmix32(x)), x)),
  );
});
