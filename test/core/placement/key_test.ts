import assert from "node:assert/strict";
import fc from "fast-check";
import { hashString32 } from "../../../core/base/hash.ts";
import {
  bucketRow,
  garbageRow,
  newestRow,
  pageRow,
  partRow,
  secretRow,
  segmentRow,
  uploadRow,
  versionRow,
} from "../../../core/objects/rows.ts";
import { partitionId } from "../../../core/base/ids.ts";
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

const bucket = fc.stringMatching(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/);
/** Braces mean nothing in an object's key, and no key holds NUL. */
const objectKey = fc.array(fc.constantFrom("{", "}", "/", "a", "b", "é", "🌟", "\u0001"), {
  minLength: 1,
  maxLength: 8,
}).map((parts) => parts.join(""));
const name = fc.stringMatching(/^[0-9a-f]{1,32}$/);

Deno.test("partitionOf() puts all rows of one object where the hash of its bucket and key says", () => {
  fc.assert(
    fc.property(bucket, objectKey, name, fc.integer({ min: 1, max: 1024 }), (b, k, id, partitions) => {
      const rows = [
        newestRow(b, k),
        versionRow(b, k, id),
        pageRow(b, k, id, 7),
        uploadRow(b, k, id),
        partRow(b, k, id, 9),
        garbageRow(b, k, id),
      ];
      const wanted = hashString32(`${b}\0${k}`) % partitions + 1;
      for (const row of rows) assert.equal(partitionOf(row, partitions), wanted, JSON.stringify(row));
    }),
  );
});

Deno.test("partitionOf() puts the rows of segments where they say, and those of buckets and secrets by their whole name", () => {
  const segment = "00112233445566778899aabbccddeeff", owner = { bucket: "maps", key: "{x}" };
  for (const p of [1, 9, 10, 64, 255, 256, 1024]) {
    assert.equal(partitionOf(segmentRow({ partition: partitionId(p), ...owner }, segment), 1024), p);
  }
  const whole = (row: string, partitions: number) => hashString32(row) % partitions + 1;
  for (const row of [bucketRow("maps"), bucketRow("a{b}c"), secretRow("SOABCDEF"), secretRow("{x}y")]) {
    assert.equal(partitionOf(row, 1024), whole(row, 1024), JSON.stringify(row));
  }
  const beyond = segmentRow({ partition: partitionId(65), ...owner }, segment);
  assert.equal(partitionOf(beyond, 64), whole(`\u0001s0041${segment}\0maps\0{x}`, 64));
});

Deno.test("partitionOf() takes names that look like rows and are none, whatever they are", () => {
  const rows = [
    "\u0001",
    "\u0001s",
    "\u0001s0000",
    "\u0001szzzz",
    "\u0001s00",
    "\u0001o",
    "\u0001ox",
    "\u0001o\0",
    "\u0001x{a}",
  ];
  const rest = (row: string) => row.startsWith("\u0001o") ? row.slice(2) : row;
  for (const row of rows) {
    assert.equal(partitionOf(row, 64), hashString32(rest(row)) % 64 + 1, JSON.stringify(row));
  }
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.integer({ min: 1, max: 1024 }), (text, partitions) => {
      const p = partitionOf(`\u0001${text}`, partitions);
      assert.ok(Number.isInteger(p) && p >= 1 && p <= partitions);
    }),
  );
});
