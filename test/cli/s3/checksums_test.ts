import assert from "node:assert/strict";
import fc from "fast-check";
import {
  ALGORITHMS,
  checksummer,
  combineChecksums,
  parseBase64,
  parseChecksum,
  toBase64,
} from "../../../cli/s3/checksums.ts";

const hex = (bytes: Uint8Array) => bytes.toHex();
const of = (algorithm: typeof ALGORITHMS[number], ...pieces: Uint8Array[]) => {
  const sum = checksummer(algorithm);
  for (const piece of pieces) sum.update(piece);
  return sum.digest();
};

Deno.test("checksummer() gives the check values of the catalogue of CRCs", () => {
  const bytes = new TextEncoder().encode("123456789");
  assert.equal(hex(of("crc32", bytes)), "cbf43926");
  assert.equal(hex(of("crc32c", bytes)), "e3069283");
  assert.equal(hex(of("crc64nvme", bytes)), "ae8b14860a799888");
  assert.equal(hex(of("sha1", bytes)), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
});

/** The definition, a bit at a time. */
function naive(polynomial: bigint, width: number, bytes: Uint8Array): string {
  const ones = (1n << BigInt(width)) - 1n;
  let crc = ones;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ polynomial : crc >> 1n;
  }
  return (crc ^ ones).toString(16).padStart(width / 4, "0");
}

Deno.test("checksummer() agrees with the definition of each CRC, however the bytes are cut", () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 });
  fc.assert(
    fc.property(pieces, (cut) => {
      const bytes = new Uint8Array(cut.flatMap((piece) => [...piece]));
      assert.equal(hex(of("crc32", ...cut)), naive(0xedb88320n, 32, bytes));
      assert.equal(hex(of("crc32c", ...cut)), naive(0x82f63b78n, 32, bytes));
      assert.equal(hex(of("crc64nvme", ...cut)), naive(0x9a6c9329ac4bc9b5n, 64, bytes));
    }),
    { numRuns: 200, seed: 5008 },
  );
});

Deno.test("combineChecksums() makes of the parts' CRCs that of the whole", () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(parts, fc.constantFrom("crc32", "crc32c", "crc64nvme"), (cut, algorithm) => {
      const known = cut.map((bytes) => ({ bytes: bytes.length, checksum: of(algorithm, bytes) }));
      assert.equal(combineChecksums(algorithm, "FULL_OBJECT", known), toBase64(of(algorithm, ...cut)));
      const composite = toBase64(of(algorithm, ...known.map(({ checksum }) => checksum)));
      assert.equal(combineChecksums(algorithm, "COMPOSITE", known), `${composite}-${cut.length}`);
    }),
    { numRuns: 60, seed: 5009 },
  );
  const two = [{ bytes: 1, checksum: of("sha256") }, { bytes: 1, checksum: of("sha256") }];
  assert.throws(() => combineChecksums("sha256", "FULL_OBJECT", two), { code: "InvalidRequest" });
});

Deno.test("parseChecksum() takes Base64 of the right length only", () => {
  assert.equal(hex(parseChecksum("crc32", "y/Q5Jg==")), "cbf43926");
  for (const text of ["", "y/Q5Jg=", "y/Q5Jg", "y/Q5JgAA", "y_Q5Jg==", " y/Q5Jg=="]) {
    assert.throws(() => parseChecksum("crc32", text), { code: "InvalidRequest" }, text);
  }
  assert.equal(parseBase64("A==="), null);
});
