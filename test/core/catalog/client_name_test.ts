import assert from "node:assert/strict";
import fc from "fast-check";
import { bytesToHex, CLIENT_BYTES, hexToBytes } from "../../../core/catalog/client_name.ts";

Deno.test("bytesToHex() and hexToBytes() say the same of names seen before and of new ones", () => {
  const name = fc.uint8Array({ minLength: CLIENT_BYTES, maxLength: CLIENT_BYTES, max: 255 });
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 8 }), fc.nat({ max: 3 }), (names, before) => {
      for (const bytes of [...names, ...names]) {
        const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
        const row = new Uint8Array([...new Uint8Array(before), ...bytes, 7]);
        assert.equal(bytesToHex(row, before), hex);
        assert.deepEqual(hexToBytes(hex), bytes);
      }
    }),
  );
});

Deno.test("more names than are remembered stay apart", () => {
  const hexOf = (i: number) => i.toString(16).padStart(2 * CLIENT_BYTES, "0");
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 10_000; i++) assert.equal(bytesToHex(hexToBytes(hexOf(i)), 0), hexOf(i));
  }
});
