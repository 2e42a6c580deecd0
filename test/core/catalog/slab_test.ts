import assert from "node:assert/strict";
import fc from "fast-check";
import { Slab } from "../../../core/catalog/slab.ts";

Deno.test("Slab gives stretches of zeros that never overlap", () => {
  fc.assert(fc.property(fc.array(fc.nat({ max: 3000 }), { maxLength: 40 }), (lengths) => {
    const slab = new Slab();
    const taken = lengths.map((length, i) => {
      const bytes = slab.take(length);
      assert.deepEqual(bytes, new Uint8Array(length));
      return bytes.fill(i + 1);
    });
    taken.forEach((bytes, i) => assert.ok(bytes.every((byte) => byte === i + 1)));
  }));
});
