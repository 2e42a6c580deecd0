/** What any implementation of the port Tables must do, checked against a sorted array. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { compareBytes } from "../../core/base/bytes.ts";
import type { KeyRange, Row, Tables, TablesReader } from "../../core/base/ports.ts";

export interface TablesUnderTest {
  readonly tables: Tables;
  close(): void;
}

/** The naive twin: rows in an array, sorted anew after each write. */
class SortedArrayTables {
  rows: Row[] = [];
  get(key: Uint8Array): Uint8Array | null {
    return this.rows.find((row) => compareBytes(row[0], key) === 0)?.[1] ?? null;
  }
  set(key: Uint8Array, value: Uint8Array): void {
    this.delete(key);
    this.rows = [...this.rows, [key, value] as const].sort((a, b) => compareBytes(a[0], b[0]));
  }
  delete(key: Uint8Array): void {
    this.rows = this.rows.filter((row) => compareBytes(row[0], key) !== 0);
  }
  deleteRange(range: { start: Uint8Array; end: Uint8Array }): void {
    this.rows = this.rows.filter((row) =>
      compareBytes(row[0], range.start) < 0 || compareBytes(row[0], range.end) >= 0
    );
  }
  range({ start, end, reverse }: KeyRange): Row[] {
    const found = this.rows.filter(([key]) =>
      (start === null || compareBytes(key, start) >= 0) && (end === null || compareBytes(key, end) < 0)
    );
    return reverse === true ? found.reverse() : found;
  }
}

/** Few bytes, so that keys collide and are prefixes of each other; the ends of the byte and of ASCII among them. */
const key = fc.array(fc.constantFrom(0, 1, 0x61, 0x7f, 0x80, 0xe9, 0xff), { maxLength: 4 })
  .map((bytes) => Uint8Array.from(bytes));
const value = fc.uint8Array({ maxLength: 3 });
const bound = fc.option(key);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("set" as const), key, value }) },
  fc.record({ kind: fc.constant("delete" as const), key }),
  fc.record({ kind: fc.constant("delete-range" as const), start: key, end: key }),
  fc.record({ kind: fc.constant("snapshot" as const) }),
);
const ranges = fc.array(fc.record({ start: bound, end: bound, reverse: fc.boolean() }), {
  minLength: 1,
  maxLength: 8,
});

/** Registers the tests of one implementation. `makeTables` gives empty tables each time. */
export function checkTables(name: string, makeTables: () => TablesUnderTest): void {
  const withTables = (run: (tables: Tables) => void) => () => {
    const made = makeTables();
    try {
      run(made.tables);
    } finally {
      made.close();
    }
  };

  Deno.test(`${name}: any run of writes reads as a sorted array does`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), ranges, (steps, asked) => {
        withTables((tables) => {
          const twin = new SortedArrayTables();
          const snapshots = [];
          for (const s of steps) {
            if (s.kind === "set") tables.set(s.key, s.value), twin.set(s.key, s.value);
            else if (s.kind === "delete") tables.delete(s.key), twin.delete(s.key);
            else if (s.kind === "snapshot") {
              const kept = new SortedArrayTables();
              kept.rows = [...twin.rows];
              snapshots.push({ real: tables.snapshot(), kept });
            } else if (compareBytes(s.start, s.end) <= 0) tables.deleteRange(s), twin.deleteRange(s);
          }
          compare(tables, twin, asked);
          for (const { real, kept } of snapshots) {
            compare(real, kept, asked);
            real.close();
          }
        })();
      }),
      { numRuns: 60 },
    );
  });

  Deno.test(
    `${name}: get() tells an empty value from no row`,
    withTables((tables) => {
      const k = Uint8Array.of(1);
      assert.equal(tables.get(k), null);
      tables.set(k, new Uint8Array(0));
      assert.deepEqual(bytesOf(tables.get(k)), []);
    }),
  );

  Deno.test(
    `${name}: range() orders bytes as unsigned and a prefix first`,
    withTables((tables) => {
      const keys = [[], [0], [0, 0], [1], [0x7f], [0x80], [0xc3, 0xa9], [0xff], [0xff, 0xff]];
      for (const k of keys.toReversed()) tables.set(Uint8Array.from(k), Uint8Array.of(1));
      assert.deepEqual([...tables.range({ start: null, end: null })].map((row) => [...row[0]]), keys);
    }),
  );

  Deno.test(
    `${name}: range() with its bounds crossed or equal is empty`,
    withTables((tables) => {
      for (const k of [1, 2, 3]) tables.set(Uint8Array.of(k), Uint8Array.of(k));
      for (const reverse of [false, true]) {
        for (const [start, end] of [[2, 2], [3, 1]] as const) {
          assert.deepEqual([
            ...tables.range({ start: Uint8Array.of(start), end: Uint8Array.of(end), reverse }),
          ], []);
        }
      }
    }),
  );

  Deno.test(
    `${name}: snapshot() stays as it was while the tables go on`,
    withTables((tables) => {
      for (let k = 0; k < 200; k++) tables.set(Uint8Array.of(k), Uint8Array.of(1));
      const snapshot = tables.snapshot();
      tables.deleteRange({ start: Uint8Array.of(0), end: Uint8Array.of(100) });
      tables.set(Uint8Array.of(150), Uint8Array.of(2));
      const rows = [...snapshot.range({ start: null, end: null })];
      assert.equal(rows.length, 200);
      assert.deepEqual(bytesOf(snapshot.get(Uint8Array.of(150))), [1]);
      assert.deepEqual(bytesOf(tables.get(Uint8Array.of(150))), [2]);
      assert.equal([...tables.range({ start: null, end: null })].length, 100);
      snapshot.close();
    }),
  );
}

function compare(real: TablesReader, twin: SortedArrayTables, asked: readonly KeyRange[]): void {
  for (const range of [...asked, { start: null, end: null }, { start: null, end: null, reverse: true }]) {
    const rows = [...real.range(range)].map((row) => [[...row[0]], [...row[1]]]);
    assert.deepEqual(rows, twin.range(range).map((row) => [[...row[0]], [...row[1]]]));
  }
  for (const [k] of twin.rows) assert.deepEqual(bytesOf(real.get(k)), bytesOf(twin.get(k)));
  for (const { start } of asked) {
    if (start !== null) assert.deepEqual(bytesOf(real.get(start)), bytesOf(twin.get(start)));
  }
}

function bytesOf(bytes: Uint8Array | null): number[] | null {
  return bytes === null ? null : [...bytes];
}
