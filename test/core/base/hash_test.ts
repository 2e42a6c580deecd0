import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { crc32, fmix32, hashBytes32, hashString32 } from "../../../core/base/hash.ts";

/** Published vectors of MurmurHash3 x86 32: bytes, seed, hash. They never change, or every key moves. */
const MURMUR: readonly (readonly [readonly number[], number, number])[] = [
  [[], 0, 0],
  [[], 1, 0x514e28b7],
  [[], 0xffffffff, 0x81f16f39],
  [[0xff, 0xff, 0xff, 0xff], 0, 0x76293b50],
  [[0x21, 0x43, 0x65, 0x87], 0, 0xf55b516b],
  [[0x21, 0x43, 0x65, 0x87], 0x5082edee, 0x2362f9de],
  [[0x21, 0x43, 0x65], 0, 0x7e4a8634],
  [[0x21, 0x43], 0, 0xa0f7b07a],
  [[0x21], 0, 0x72661cf4],
  [[0, 0, 0, 0], 0, 0x2362f9de],
  [[0, 0, 0], 0, 0x85f0b427],
  [[0, 0], 0, 0x30f4c306],
  [[0], 0, 0x514e28b7],
];

Deno.test("hashBytes32() is MurmurHash3", () => {
  for (const [bytes, seed, hash] of MURMUR) {
    assert.equal(hashBytes32(Uint8Array.from(bytes), seed), hash, `[${bytes}] seed ${seed}`);
  }
});

Deno.test("hashString32() hashes the UTF-8 form", () => {
  assert.equal(hashString32("Hello, world!", 0x9747b28c), 0x24884cba);
  assert.equal(hashString32("The quick brown fox jumps over the lazy dog", 0x9747b28c), 0x2fa826cd);
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.nat(),
      (s, seed) => hashString32(s, seed) === hashBytes32(utf8Encode(s), seed),
    ),
  );
});

/** MurmurHash3's finaliser in exact arithmetic. */
function naiveFmix(x: bigint): bigint {
  x ^= x >> 16n;
  x = (x * 0x85ebca6bn) & 0xffff_ffffn;
  x ^= x >> 13n;
  x = (x * 0xc2b2ae35n) & 0xffff_ffffn;
  return x ^ (x >> 16n);
}

Deno.test("fmix32() agrees with exact arithmetic, takes signed and unsigned alike", () => {
  const unsigned = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(fc.property(unsigned, (x) => {
    assert.equal(fmix32(x), Number(naiveFmix(BigInt(x))));
    assert.equal(fmix32(x | 0), fmix32(x));
  }));
});

Deno.test("crc32() gives the check value of CRC-32 and goes on from a seed", () => {
  assert.equal(crc32(utf8Encode("123456789")), 0xcbf43926);
  fc.assert(fc.property(fc.uint8Array(), fc.nat(), (bytes, cut) => {
    const at = bytes.length === 0 ? 0 : cut % bytes.length;
    assert.equal(crc32(bytes.subarray(at), crc32(bytes.subarray(0, at))), crc32(bytes));
  }));
});
