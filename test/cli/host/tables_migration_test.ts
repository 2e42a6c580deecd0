/** What older builds left of tables, in tables.db, and what this one makes of it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { TablesKeys } from "../../../cli/host/tables/keys.ts";
import { DiskTables } from "../../../cli/host/tables/tables.ts";
import { crc32 } from "../../../core/base/hash.ts";
import {
  TablesCorruptError,
  TablesForeignError,
  type TablesOwner,
  TablesVersionError,
} from "../../../core/tables/errors.ts";

const KEYS: TablesKeys = { secrets: new Map([[1, new Uint8Array(32).fill(1)]]), current: 1 };
const OWNER = { node: "a", network: "1".repeat(32), disk: "d".repeat(16) };
const ROWS = Array.from(
  { length: 20_000 },
  (_, i) => [Uint8Array.of(i >> 8, i & 255), new Uint8Array(300).fill(i)] as const,
);

async function withFolder(use: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "space-opera-migration-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** As builds of that format wrote it; a log is left where the database is not closed in good order. */
function writeDatabase(
  folder: string,
  { format, rows = ROWS, owner = null }: {
    format: 1 | 2;
    rows?: readonly (readonly [Uint8Array, Uint8Array])[];
    owner?: TablesOwner | null;
  },
): void {
  const database = new DatabaseSync(join(folder, "tables.db"));
  const checksum = format === 2 ? ", checksum INTEGER" : "";
  database.exec(
    `PRAGMA journal_mode=WAL; CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL${checksum});` +
      `PRAGMA user_version=${format}; BEGIN`,
  );
  const insert = database.prepare(`INSERT INTO rows VALUES (?, ?${format === 2 ? ", ?" : ""})`);
  for (const [key, value] of rows) {
    // Every fifth row of format 2 is one that format 1 wrote: it has no checksum.
    const proof = key[1]! % 5 === 0 ? null : crc32(value, crc32(key));
    if (format === 2) insert.run(key, value, proof);
    else insert.run(key, value);
  }
  database.exec("COMMIT");
  if (owner !== null) {
    database.exec("CREATE TABLE owner (id INTEGER PRIMARY KEY, node TEXT, network TEXT, disk TEXT)");
    database.prepare("INSERT INTO owner VALUES (1, ?, ?, ?)").run(owner.node, owner.network, owner.disk);
  }
  database.close();
}

function open(folder: string, owner: TablesOwner | null = OWNER): DiskTables {
  return new DiskTables({
    path: join(folder, "tables"),
    legacy: join(folder, "tables.db"),
    owner,
    keys: KEYS,
    failed: (error) => {
      throw error;
    },
  });
}

async function expectRows(folder: string): Promise<void> {
  const tables = open(folder);
  const rows = [...tables.range({ start: null, end: null })];
  assert.equal(rows.length, ROWS.length);
  for (const [i, row] of rows.entries()) assert.deepEqual(row, ROWS[i]);
  await tables.abandon();
  assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["tables"]);
}

for (const format of [1, 2] as const) {
  Deno.test(`DiskTables takes over a database of format ${format}, once`, () =>
    withFolder(async (folder) => {
      writeDatabase(folder, { format, owner: format === 2 ? OWNER : null });
      await expectRows(folder);
      await expectRows(folder);
      for (const { name } of Deno.readDirSync(join(folder, "tables"))) {
        const bytes = Deno.readFileSync(join(folder, "tables", name));
        assert.equal(new TextDecoder("latin1").decode(bytes).includes("\x07".repeat(50)), false);
      }
    }));
}

Deno.test("DiskTables begins the copy anew that a crash has interrupted, and ends one that was whole", () =>
  withFolder(async (folder) => {
    writeDatabase(folder, { format: 2 });
    await Deno.mkdir(join(folder, "tables.new"));
    await Deno.writeTextFile(join(folder, "tables.new", "00000001.tbl"), "a part");
    await expectRows(folder);
    // As if it had ended between the rename and the removal.
    writeDatabase(folder, { format: 2, rows: [] });
    await expectRows(folder);
  }));

Deno.test("DiskTables refuses a database that is damaged, another's or a newer build's, and leaves it", () =>
  withFolder((folder) => {
    const path = join(folder, "tables.db");
    const refused = (check: (error: Error) => void) => {
      const before = Deno.readFileSync(path);
      assert.throws(() => open(folder), (error) => {
        check(error as Error);
        return true;
      });
      assert.deepEqual(Deno.readFileSync(path), before);
      Deno.removeSync(path);
    };
    Deno.writeFileSync(path, new Uint8Array(4096).fill(7));
    refused((error) => assert(error instanceof TablesCorruptError && error.file === path, String(error)));

    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version=3");
    database.close();
    refused((error) => {
      assert(error instanceof TablesVersionError);
      assert.match(error.message, /tables\.db" has format 3 and this build reads up to 2/);
    });

    writeDatabase(folder, { format: 2, owner: { ...OWNER, node: "b" } });
    refused((error) => {
      assert(error instanceof TablesForeignError);
      assert.match(error.message, /tables\.db" belongs to node "b"/);
    });

    writeDatabase(folder, { format: 2 });
    const bytes = Deno.readFileSync(path), value = ROWS[7]![1];
    const at = new TextDecoder("latin1").decode(bytes).indexOf(new TextDecoder("latin1").decode(value));
    bytes[at + 50]! ^= 1;
    Deno.writeFileSync(path, bytes);
    refused((error) => {
      assert(error instanceof TablesCorruptError);
      assert.match(error.message, /the checksum of the row with key 0007 is wrong/);
    });
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), []);
  }));
