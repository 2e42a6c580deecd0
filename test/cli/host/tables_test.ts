import assert from "node:assert/strict";
import fc from "fast-check";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import {
  disownDatabase,
  TablesCorruptError,
  TablesForeignError,
  type TablesOwner,
  TablesVersionError,
} from "../../../cli/host/tables/database.ts";
import { SqliteTables } from "../../../cli/host/tables/tables.ts";
import type { TablesReader } from "../../../core/base/ports.ts";
import { checkTables } from "../../support/tables_conformance.ts";

function unexpected(message: string): void {
  throw new Error(message);
}

const directories: string[] = [];

// Not earlier: a writer that was just abandoned may be making its files still.
addEventListener("unload", () => {
  for (const directory of directories) {
    try {
      Deno.removeSync(directory, { recursive: true });
    } catch (error) {
      console.warn(`Left ${directory} behind: ${error}`);
    }
  }
});

function freshPath(): string {
  const directory = Deno.makeTempDirSync({ prefix: "space-opera-tables-" });
  directories.push(directory);
  return join(directory, "tables.db");
}

checkTables("SqliteTables", () => {
  const tables = new SqliteTables(freshPath(), unexpected);
  return { tables, close: () => tables.abandon() };
});

const bytes = (...values: number[]) => Uint8Array.from(values);
const all = (reader: TablesReader, reverse = false) =>
  [...reader.range({ start: null, end: null, reverse })].map(([key, value]) => `${key}=${value}`);

const smallKey = fc.array(fc.constantFrom(0, 1, 0x7f, 0xff), { maxLength: 3 }).map((b) => Uint8Array.from(b));
const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("set" as const),
      key: smallKey,
      value: fc.uint8Array({ maxLength: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete" as const), key: smallKey }) },
  fc.record({ kind: fc.constant("delete-range" as const), start: smallKey, end: smallKey }),
  fc.record({ kind: fc.constant("snapshot" as const) }),
  fc.record({ kind: fc.constant("checkpoint" as const), wait: fc.boolean() }),
);

Deno.test("SqliteTables reads the same wherever its writes have got to, and after it is opened again", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 60 }), async (actions) => {
      const path = freshPath();
      let mark = 0;
      let tables = new SqliteTables(path, unexpected);
      const twin = new Map<string, Uint8Array>();
      const expected = () =>
        [...twin].map(([key, value]) =>
          [key === "" ? bytes() : bytes(...key.split(",").map(Number)), value] as const
        )
          .sort((a, b) => Buffer.compare(a[0], b[0])).map(([key, value]) => `${key}=${value}`);
      const snapshots: { close(): void; reader: TablesReader; then: string[] }[] = [];
      let checkpoint = Promise.resolve();
      for (const a of actions) {
        if (a.kind === "set") tables.set(a.key, a.value), twin.set(String(a.key), a.value);
        else if (a.kind === "delete") tables.delete(a.key), twin.delete(String(a.key));
        else if (a.kind === "delete-range") {
          tables.deleteRange(a);
          for (const key of [...twin.keys()]) {
            const raw = key === "" ? bytes() : bytes(...key.split(",").map(Number));
            if (Buffer.compare(a.start, raw) <= 0 && Buffer.compare(raw, a.end) < 0) twin.delete(key);
          }
        } else if (a.kind === "snapshot") {
          const reader = tables.snapshot();
          snapshots.push({ reader, close: () => reader.close(), then: expected() });
        } else {
          await checkpoint;
          tables.endStep(++mark);
          checkpoint = tables.checkpoint(mark);
          tables.durable(mark);
          if (a.wait) await checkpoint;
        }
        assert.deepEqual(all(tables), expected());
      }
      assert.deepEqual(all(tables, true), expected().reverse());
      for (const snapshot of snapshots) {
        assert.deepEqual(all(snapshot.reader), snapshot.then);
        snapshot.close();
      }
      await checkpoint;
      tables.endStep(++mark);
      tables.durable(mark);
      await tables.close();
      tables = new SqliteTables(path, unexpected);
      assert.deepEqual(all(tables), expected());
      await tables.abandon();
    }),
    { numRuns: 25, endOnFailure: true },
  );
});

Deno.test("SqliteTables pages long ranges in both directions across layers and the database", async () => {
  const path = freshPath();
  const tables = new SqliteTables(path, unexpected);
  const key = (i: number) => bytes(i >> 8, i & 255);
  for (let i = 0; i < 3000; i += 2) tables.set(key(i), bytes(1));
  tables.endStep(1);
  const done = tables.checkpoint(1);
  tables.durable(1);
  await done;
  for (let i = 1; i < 3000; i += 2) tables.set(key(i), bytes(2));
  for (let i = 0; i < 3000; i += 10) tables.delete(key(i));
  const wanted = Array.from({ length: 3000 }, (_, i) => i).filter((i) => i % 10 !== 0);
  const seen = (reverse: boolean) =>
    [...tables.range({ start: null, end: null, reverse })].map(([k]) => k[0]! * 256 + k[1]!);
  assert.deepEqual(seen(false), wanted);
  assert.deepEqual(seen(true), wanted.toReversed());
  await tables.abandon();
});

Deno.test("SqliteTables commits no step before its journal records are durable", async () => {
  const path = freshPath();
  let tables = new SqliteTables(path, unexpected);
  tables.set(bytes(1), bytes(1));
  tables.endStep(1);
  const first = tables.checkpoint(1);
  tables.durable(1);
  await first;
  tables.set(bytes(2), bytes(2));
  tables.endStep(2);
  void tables.checkpoint(2);
  // Record 2 never becomes durable: nothing of its step may be found after the crash.
  await new Promise((done) => setTimeout(done, 30));
  await tables.abandon();
  tables = new SqliteTables(path, unexpected);
  assert.deepEqual(all(tables), ["1=1"]);
  await tables.abandon();
});

Deno.test("SqliteTables closes without steps whose journal records are not durable", async () => {
  const path = freshPath();
  let tables = new SqliteTables(path, unexpected);
  tables.set(bytes(1), bytes(1));
  tables.endStep(1);
  tables.durable(1);
  await tables.close();
  tables = new SqliteTables(path, unexpected);
  tables.set(bytes(2), bytes(2));
  tables.endStep(2);
  tables.durable(1);
  await tables.close();
  tables = new SqliteTables(path, unexpected);
  assert.deepEqual(all(tables), ["1=1"]);
  await tables.abandon();
});

Deno.test("SqliteTables commits a step whole though a snapshot was taken in its middle", async () => {
  const path = freshPath();
  let tables = new SqliteTables(path, unexpected);
  tables.set(bytes(1), bytes(1));
  const snapshot = tables.snapshot();
  tables.set(bytes(2), bytes(2));
  tables.durable(0);
  await new Promise((done) => setTimeout(done, 30));
  assert.deepEqual(all(snapshot), ["1=1"]);
  snapshot.close();
  await tables.abandon();
  tables = new SqliteTables(path, unexpected);
  assert.deepEqual(all(tables), [], "half a step was committed");
  await tables.abandon();
});

Deno.test("SqliteTables refuses a database of another format", async () => {
  const path = freshPath();
  await new SqliteTables(path, unexpected).abandon();
  const file = Deno.openSync(path, { read: true, write: true });
  // user_version is at offset 60 of the database header.
  file.seekSync(60, Deno.SeekMode.Start);
  file.writeSync(bytes(0, 0, 0, 9));
  file.close();
  assert.throws(() => new SqliteTables(path, unexpected), /format 9/);
});

Deno.test("SqliteTables takes over tables of format 1, and checks what is written from then on", async () => {
  const path = freshPath();
  const old = new DatabaseSync(path);
  old.exec("CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL); PRAGMA user_version=1");
  old.prepare("INSERT INTO rows VALUES (?, ?)").run(bytes(1), bytes(10));
  old.close();
  const tables = new SqliteTables(path, unexpected);
  assert.deepEqual(all(tables), ["1=10"]);
  tables.set(bytes(2), bytes(20));
  tables.endStep(0);
  await tables.close();
  const now = new DatabaseSync(path);
  const rows = now.prepare("SELECT checksum IS NULL AS bare FROM rows ORDER BY key").all();
  assert.deepEqual(rows.map(({ bare }) => bare), [1, 0]);
  assert.deepEqual({ ...now.prepare("PRAGMA user_version").get() }, { user_version: 2 });
  now.close();
});

Deno.test("SqliteTables refuses tables of a newer format and what is no database, naming the file", () => {
  const newer = freshPath();
  const database = new DatabaseSync(newer);
  database.exec("PRAGMA user_version=3");
  database.close();
  assert.throws(() => new SqliteTables(newer, unexpected), (error) => {
    assert.ok(error instanceof TablesVersionError);
    assert.match(error.message, /tables\.db" has format 3 and this build reads up to 2/);
    return true;
  });
  const noise = freshPath();
  Deno.writeFileSync(noise, new Uint8Array(4096).fill(7));
  assert.throws(() => new SqliteTables(noise, unexpected), (error) => {
    assert.ok(error instanceof TablesCorruptError);
    assert.equal(error.file, noise);
    return true;
  });
});

Deno.test("SqliteTables belong to who opened them first, and to nobody else until they are disowned", async () => {
  const path = freshPath();
  const open = (owner: TablesOwner | null) => new SqliteTables(path, unexpected, owner).close();
  const a = { node: "a", network: "1".repeat(32), disk: "d".repeat(16) };
  const others = [{ ...a, node: "b" }, { ...a, network: "2".repeat(32) }, { ...a, disk: "e".repeat(16) }];
  // As a build that knew of no owner left them.
  await open(null);
  await open(a);
  await open(a);
  for (const other of others) {
    assert.throws(() => open(other), (error) => {
      assert.ok(error instanceof TablesForeignError);
      assert.equal(
        error.message,
        `Tables file "${path}" belongs to node "a" of network ${a.network} on disk ${a.disk}, ` +
          `not to node "${other.node}" of network ${other.network} on disk ${other.disk}`,
      );
      return true;
    });
  }
  await open(a);
  disownDatabase(path);
  await open(others[1]!);
  assert.throws(() => open(a), TablesForeignError);
});

Deno.test("SqliteTables finds a changed byte that SQLite does not: of a value always, of an index's key in range()", async () => {
  const key = new TextEncoder().encode("the key of it"), value = new TextEncoder().encode("the value of it");
  for (const part of ["value", "key"] as const) {
    const path = freshPath();
    const first = new SqliteTables(path, unexpected);
    first.set(key, value);
    first.endStep(0);
    await first.close();
    const file = Deno.readFileSync(path), text = new TextDecoder("latin1").decode(file);
    const inTable = text.indexOf("the key of itthe value of it");
    const inIndex = text.replace("the key of itthe value", "-".repeat(22)).indexOf("the key of it");
    file[part === "value" ? inTable + key.length : inIndex]! ^= 0x20;
    Deno.writeFileSync(path, file);
    const tables = new SqliteTables(path, unexpected);
    if (part === "value") assert.throws(() => tables.get(key), TablesCorruptError);
    assert.throws(() => all(tables), TablesCorruptError);
    await tables.abandon();
  }
});
