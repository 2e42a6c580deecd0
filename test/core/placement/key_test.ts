import assert from "node:assert/strict";
import fc from "fast-check";
import { hashString32 } from "../../../core/base/hash.ts";
import { partitionOf } from "../../../core/placement/key.ts";

/** The rule of the Redis Cluster specification ("Hash tags"), letter by letter. */
function naiveTag(key: string): string {
  let open = -1;
  for (let i = 0; i < key.length; i++) {
    if (open < 0 && key[i] === "{") open = i;
    else if (open >= 0 && key[i] === "}") return i === open + 1 ? key : key.slice(open + 1, i);
  }
  return key;
}

Deno.test("partitionOf() pins its partitions, which must never change", () => {
  assert.deepEqual(["a", "hip/32349", "Ω", "{orion}/1", ""].map((key) => partitionOf(key, 64)), [
    51,
    59,
    50,
    43,
    1,
  ]);
});

Deno.test("partitionOf() hashes the tag in braces, as Redis Cluster does", () => {
  const same = (a: string, b: string) => assert.equal(partitionOf(a, 1024), partitionOf(b, 1024));
  same("{user1000}.following", "{user1000}.followers");
  same("{user1000}.following", "user1000");
  same("foo{{bar}}zap", "{bar");
  same("foo{bar}{zap}", "bar");
  assert.notEqual(partitionOf("foo{}{bar}", 1024), partitionOf("bar", 1024));
});

Deno.test("partitionOf() agrees with its naive twin", () => {
  const key = fc.array(fc.constantFrom("{", "}", "a", "b", "é", "🌟"), { maxLength: 8 }).map((parts) =>
    parts.join("")
  );
  fc.assert(fc.property(key, fc.integer({ min: 1, max: 1024 }), (text, partitions) => {
    assert.equal(partitionOf(text, partitions), hashString32(naiveTag(text)) % partitions + 1);
  }));
});

Deno.test("partitionOf() spreads keys evenly over 1..P", () => {
  const counts = new Array<number>(65).fill(0);
  for (let hip = 0; hip < 64_000; hip++) counts[partitionOf(`star/${hip}`, 64)]!++;
  assert.equal(counts[0], 0);
  // 1000 are expected of each; the standard deviation is 31.
  assert.ok(Math.min(...counts.slice(1)) > 840 && Math.max(...counts.slice(1)) < 1160, `${counts}`);
});

Deno.test("partitionOf() refuses a number of partitions out of bounds", () => {
  for (const wrong of [0, 1025, 1.5, NaN]) {
    assert.throws(() => partitionOf("a", wrong), { name: "RangeError" });
  }
});
