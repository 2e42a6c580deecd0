/**
 * Takes over the tables of formats 1 and 2, which were an SQLite database. Nothing else here knows SQLite.
 *
 * The rows are copied into a folder beside the tables', which is then given their name: a crash before leaves the
 * database as it was, and the copy is begun anew; one after leaves only files to remove.
 */
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { crc32 } from "../../../core/base/hash.ts";
import type { Row } from "../../../core/base/ports.ts";
import type { Vault } from "../../../core/base/vault.ts";
import {
  sameOwner,
  TablesCorruptError,
  TablesForeignError,
  type TablesOwner,
  TablesVersionError,
} from "../../../core/tables/errors.ts";
import { MANIFEST } from "../../../core/tables/manifest.ts";
import { loadStore } from "../../../core/tables/load.ts";
import { DEFAULT_SHAPE } from "../../../core/tables/plan.ts";
import { syncDirectory } from "../journal_segments.ts";
import { statOf } from "../stat.ts";
import { DiskFiles } from "./files.ts";

/** The newest of the formats that were a database, as its user_version. */
const DATABASE_VERSION_MAX = 2;

/**
 * Puts what the database at `legacy` holds into new tables in the folder `path`, and removes it. Nothing happens where
 * there is no database, or an empty file.
 * @throws {TablesVersionError | TablesCorruptError | TablesForeignError}
 */
export function migrate(
  legacy: string,
  path: string,
  { vault, owner }: { vault: Vault; owner: TablesOwner | null },
): void {
  if ((statOf(legacy)?.size ?? 0) === 0) return;
  if (statOf(join(path, MANIFEST)) === null) {
    const copy = `${path}.new`;
    removeFolder(copy);
    try {
      copyRows(legacy, copy, { vault, owner });
    } catch (error) {
      removeFolder(copy);
      throw error;
    }
    // An empty folder is replaced; one with files of tables in it and no manifest is left to a person.
    Deno.renameSync(copy, path);
    syncDirectory(dirname(path));
  }
  // The database goes last: what is left of it is what says that this is to be done.
  for (const file of [`${legacy}-wal`, `${legacy}-shm`, legacy]) {
    if (statOf(file) !== null) Deno.removeSync(file);
  }
  syncDirectory(dirname(path));
}

function copyRows(
  legacy: string,
  copy: string,
  { vault, owner }: { vault: Vault; owner: TablesOwner | null },
): void {
  withDatabase(legacy, (database) => {
    const found = ownerOf(database);
    if (owner !== null && found !== null && !sameOwner(found, owner)) {
      throw new TablesForeignError(legacy, found, owner);
    }
    const options = { files: new DiskFiles(copy), vault, owner: found ?? owner, shape: DEFAULT_SHAPE };
    loadStore(options, rowsOf(legacy, database));
  });
}

function removeFolder(path: string): void {
  if (statOf(path) !== null) Deno.removeSync(path, { recursive: true });
}

function ownerOf(database: DatabaseSync): TablesOwner | null {
  if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'owner'").get() === undefined) return null;
  return database.prepare("SELECT node, network, disk FROM owner").get() as unknown as TablesOwner ?? null;
}

/** In the order of their keys. A row of format 1 has no checksum: what it holds is taken as it is. */
function* rowsOf(path: string, database: DatabaseSync): Generator<Row> {
  const { user_version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
  const checksum = user_version === 1 ? "NULL AS checksum" : "checksum";
  for (const row of database.prepare(`SELECT key, value, ${checksum} FROM rows ORDER BY key`).iterate()) {
    const { key, value, checksum } = row;
    if (
      !(key instanceof Uint8Array) || !(value instanceof Uint8Array) ||
      (checksum !== null && checksum !== crc32(value, crc32(key)))
    ) {
      const hex = key instanceof Uint8Array ? key.toHex() : String(key);
      throw new TablesCorruptError(path, `the checksum of the row with key ${hex} is wrong`);
    }
    yield [key, value];
  }
}

/** SQLite's names for a database whose bytes make no sense; a schema without what we made says the same. */
const DAMAGE = /malformed|not a database|no such (table|column)|database corruption/i;

function withDatabase(path: string, use: (database: DatabaseSync) => void): void {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path);
    const { user_version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (user_version > DATABASE_VERSION_MAX) {
      throw new TablesVersionError(path, user_version, DATABASE_VERSION_MAX);
    }
    use(database);
  } catch (error) {
    if (error instanceof Error && DAMAGE.test(error.message) && !(error instanceof TablesCorruptError)) {
      throw new TablesCorruptError(path, error.message, { cause: error });
    }
    throw error;
  } finally {
    database?.close();
  }
}
