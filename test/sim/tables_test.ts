import assert from "node:assert/strict";
import fc from "fast-check";
import type { Row, TablesSnapshot } from "../../core/base/ports.ts";
import { Random } from "../../core/base/random.ts";
import { allRows, MemoryTables, type TablesCheckpoint } from "../../sim/tables.ts";
import { checkTables } from "../support/tables_conformance.ts";

checkTables("MemoryTables", () => ({ tables: new MemoryTables(), close: () => {} }));

Deno.test("MemoryTables.restore() goes back to any earlier checkpoint, as often as asked", () => {
  const write = fc.record({ key: fc.nat(300), value: fc.nat(255) });
  fc.assert(fc.property(fc.array(write, { minLength: 1, maxLength: 400 }), fc.nat(), (writes, at) => {
    const tables = new MemoryTables();
    const cut = at % writes.length;
    let checkpoint: TablesCheckpoint | null = null;
    let then: unknown = null;
    writes.forEach(({ key, value }, i) => {
      if (i === cut) checkpoint = tables.checkpoint(), then = allRows(tables);
      const bytes = Uint8Array.of(key >> 8, key & 255);
      if (value % 3 === 0) tables.delete(bytes);
      else tables.set(bytes, Uint8Array.of(value));
    });
    assert.ok(checkpoint !== null);
    for (let round = 0; round < 2; round++) {
      tables.restore(checkpoint);
      assert.deepEqual(allRows(tables), then);
      tables.set(Uint8Array.of(9, 9), Uint8Array.of(round));
      tables.deleteRange({ start: Uint8Array.of(0), end: Uint8Array.of(1) });
    }
    assert.deepEqual(allRows(new MemoryTables(checkpoint)), then);
  }));
});

Deno.test("MemoryTables.snapshot() refuses reads once closed", () => {
  const snapshot = new MemoryTables().snapshot();
  snapshot.close();
  assert.throws(() => snapshot.get(Uint8Array.of(1)), /snapshot of the tables is closed/);
});

Deno.test("MemoryTables holds thousands of rows as a plain map does, snapshots included", () => {
  fc.assert(
    fc.property(fc.nat(), (seed) => {
      const random = Random.fromSeed(seed);
      const tables = new MemoryTables();
      const twin = new Map<number, number>();
      const snapshots: { real: TablesSnapshot; kept: string }[] = [];
      for (let i = 0; i < 6000; i++) {
        const key = random.below(5000), draw = random.below(1000);
        if (draw < 700) tables.set(bytesOf(key), bytesOf(i)), twin.set(key, i);
        else if (draw < 990) tables.delete(bytesOf(key)), twin.delete(key);
        else if (draw < 995) {
          const end = key + random.below(300);
          tables.deleteRange({ start: bytesOf(key), end: bytesOf(end) });
          for (let k = key; k < end; k++) twin.delete(k);
        } else snapshots.push({ real: tables.snapshot(), kept: textOfMap(twin) });
      }
      snapshots.push({ real: tables.snapshot(), kept: textOfMap(twin) });
      for (const { real, kept } of snapshots) assert.equal(textOfRows(allRows(real)), kept);
    }),
    { numRuns: 4 },
  );
});

const bytesOf = (n: number) => Uint8Array.of(n >> 8, n & 255);
const textOfRows = (rows: readonly Row[]) => rows.map(([k, v]) => `${k}=${v}`).join(" ");
const textOfMap = (map: Map<number, number>) =>
  textOfRows([...map].sort((a, b) => a[0] - b[0]).map(([k, v]) => [bytesOf(k), bytesOf(v)] as const));
