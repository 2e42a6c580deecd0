import assert from "node:assert/strict";
import fc from "fast-check";
import { join } from "node:path";
import { NO_KEYS, type TablesKeys } from "../../../cli/host/tables/keys.ts";
import { DiskTables, disownTables } from "../../../cli/host/tables/tables.ts";
import { UnknownKeyError } from "../../../core/base/vault.ts";
import { TablesCorruptError, TablesForeignError, type TablesOwner } from "../../../core/tables/errors.ts";
import type { TablesReader } from "../../../core/base/ports.ts";
import { checkTables } from "../../support/tables_conformance.ts";

function unexpected(error: Error): void {
  throw error;
}

const SECRETS = new Map([1, 2].map((id) => [id, new Uint8Array(32).fill(id)]));
const KEYS: TablesKeys = { secrets: SECRETS, current: 1 };

function open(
  path: string,
  { keys = KEYS, owner = null }: { keys?: TablesKeys; owner?: TablesOwner | null } = {},
) {
  return new DiskTables({ path, keys, owner, failed: unexpected });
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
  return join(directory, "tables");
}

checkTables("DiskTables", () => {
  const tables = open(freshPath());
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

Deno.test("DiskTables reads the same wherever its writes have got to, and after it is opened again", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 60 }), async (actions) => {
      const path = freshPath();
      let mark = 0;
      let tables = open(path);
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
      tables = open(path);
      assert.deepEqual(all(tables), expected());
      await tables.abandon();
    }),
    { numRuns: 25, endOnFailure: true },
  );
});

Deno.test("DiskTables pages long ranges in both directions across layers and files", async () => {
  const path = freshPath();
  const tables = open(path);
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

Deno.test("DiskTables commits no step before its journal records are durable", async () => {
  const path = freshPath();
  let tables = open(path);
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
  tables = open(path);
  assert.deepEqual(all(tables), ["1=1"]);
  await tables.abandon();
});

Deno.test("DiskTables closes without steps whose journal records are not durable", async () => {
  const path = freshPath();
  let tables = open(path);
  tables.set(bytes(1), bytes(1));
  tables.endStep(1);
  tables.durable(1);
  await tables.close();
  tables = open(path);
  tables.set(bytes(2), bytes(2));
  tables.endStep(2);
  tables.durable(1);
  await tables.close();
  tables = open(path);
  assert.deepEqual(all(tables), ["1=1"]);
  await tables.abandon();
});

Deno.test("DiskTables commits a step whole though a snapshot was taken in its middle", async () => {
  const path = freshPath();
  let tables = open(path);
  tables.set(bytes(1), bytes(1));
  const snapshot = tables.snapshot();
  tables.set(bytes(2), bytes(2));
  tables.durable(0);
  await new Promise((done) => setTimeout(done, 30));
  assert.deepEqual(all(snapshot), ["1=1"]);
  snapshot.close();
  await tables.abandon();
  tables = open(path);
  assert.deepEqual(all(tables), [], "half a step was committed");
  await tables.abandon();
});

Deno.test("DiskTables puts nothing into its folder that could be read without the keys", async () => {
  const path = freshPath(), tables = open(path);
  tables.set(new TextEncoder().encode("a secret key"), new TextEncoder().encode("a secret value"));
  tables.endStep(0);
  await tables.close();
  const names = [...Deno.readDirSync(path)].map(({ name }) => name).sort();
  assert.deepEqual(names, ["00000001.tbl", "manifest"]);
  for (const name of names) {
    const text = new TextDecoder("latin1").decode(Deno.readFileSync(join(path, name)));
    assert(!text.includes("secret"), name);
    assert.equal(Deno.statSync(join(path, name)).mode! & 0o777, 0o600);
  }
  assert.throws(() => open(path, { keys: NO_KEYS }), UnknownKeyError);
});

Deno.test("DiskTables belong to who opened them first, and to nobody else until they are disowned", async () => {
  const path = freshPath();
  const use = (owner: TablesOwner | null) => open(path, { owner }).close();
  const a = { node: "a", network: "1".repeat(32), disk: "d".repeat(16) };
  const others = [{ ...a, node: "b" }, { ...a, network: "2".repeat(32) }, { ...a, disk: "e".repeat(16) }];
  await use(null);
  await use(a);
  await use(a);
  for (const other of others) {
    assert.throws(() => use(other), (error) => {
      assert.ok(error instanceof TablesForeignError);
      assert.equal(
        error.message,
        `Tables file "${
          join(path, "manifest")
        }" belongs to node "a" of network ${a.network} on disk ${a.disk}, ` +
          `not to node "${other.node}" of network ${other.network} on disk ${other.disk}`,
      );
      return true;
    });
  }
  await use(a);
  disownTables(path, KEYS);
  await use(others[1]!);
  assert.throws(() => use(a), TablesForeignError);
});

Deno.test("DiskTables find a changed byte and name the file and the place, here and on the writer's thread", async () => {
  const path = freshPath(), value = new Uint8Array(1000).fill(1);
  let tables = open(path);
  const write = (from: number) => {
    for (let i = 0; i < 100; i++) tables.set(bytes(from, i), value);
  };
  write(0);
  tables.endStep(0);
  await tables.close();
  const file = join(path, "00000001.tbl"), changed = Deno.readFileSync(file);
  changed[50_000]! ^= 4;
  Deno.writeFileSync(file, changed);
  const failed = Promise.withResolvers<Error>();
  tables = new DiskTables({ path, keys: KEYS, failed: failed.resolve });
  assert.deepEqual(tables.get(bytes(0, 1)), value);
  const wrong = /00000001\.tbl" is damaged: the seal of block \d+ at offset (4|5)\d{4} is wrong/;
  assert.throws(
    () => all(tables),
    (error) => error instanceof TablesCorruptError && wrong.test(error.message),
  );
  // Until level 0 has enough files, it is merged, and the writer reads the damaged one.
  for (let mark = 1; mark < 5; mark++) {
    write(0);
    tables.endStep(mark);
    tables.durable(mark);
    await Promise.race([tables.checkpoint(mark), failed.promise]);
  }
  const error = await failed.promise;
  assert(error instanceof TablesCorruptError, String(error));
  assert.match(error.message, wrong);
  await tables.abandon();
});

Deno.test("DiskTables write again with the current key what an older one sealed", async () => {
  const path = freshPath(), tables = open(path);
  for (let i = 0; i < 100; i++) tables.set(bytes(i), bytes(i));
  tables.endStep(1);
  tables.durable(1);
  await tables.checkpoint(1);
  const before = all(tables);
  assert.deepEqual(tables.generations(), [1]);
  tables.rotate({ secrets: SECRETS, current: 2 });
  for (let i = 0; i < 200 && tables.generations().includes(1); i++) {
    await new Promise((done) => setTimeout(done, 10));
  }
  assert.deepEqual(tables.generations(), [2]);
  assert.deepEqual(all(tables), before);
  await tables.close();
  const only = open(path, { keys: { secrets: new Map([[2, SECRETS.get(2)!]]), current: 2 } });
  assert.deepEqual(all(only), before);
  await only.abandon();
});

Deno.test("DiskTables merge what was flushed while it is read, and leave no file behind", async () => {
  const path = freshPath();
  let tables = open(path);
  const value = new Uint8Array(400);
  const key = (i: number) => bytes(i >> 16, i >> 8 & 255, i & 255);
  const twin = new Map<number, number>();
  for (let mark = 1; mark <= 40; mark++) {
    for (let i = 0; i < 1500; i++) {
      const at = (mark * 7919 + i * 104729) % 20_000;
      tables.set(key(at), value.with(0, mark));
      twin.set(at, mark);
    }
    tables.endStep(mark);
    tables.durable(mark);
    for (const at of [mark, mark * 100, mark * 400]) {
      assert.equal(tables.get(key(at))?.[0], twin.get(at));
    }
    if (mark % 10 === 0) await tables.checkpoint(mark);
    await new Promise((done) => setTimeout(done, 5));
  }
  await tables.close();
  tables = open(path);
  const rows = [...tables.range({ start: null, end: null })];
  assert.equal(rows.length, twin.size);
  for (const [k, v] of rows) assert.equal(v[0], twin.get(k[0]! << 16 | k[1]! << 8 | k[2]!));
  const live = tables.files();
  await tables.abandon();
  const found = [...Deno.readDirSync(path)].filter(({ name }) => name.endsWith(".tbl")).length;
  assert.equal(found, live);
});
