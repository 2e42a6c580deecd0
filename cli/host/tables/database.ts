import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { KeyRange, Row } from "../../../core/base/ports.ts";
import { EMPTY_BYTES } from "../../../core/base/bytes.ts";
import { crc32 } from "../../../core/base/hash.ts";
import type { Base } from "./layer.ts";

/**
 * The number of the tables' format, kept as the database's user_version.
 *  1  rows of key and value.
 *  2  a row bears the checksum of both. Rows that format 1 wrote have none (null), and get one when written again.
 */
const FORMAT_VERSION = 2;

/** What the tables' files hold cannot be what was written to them. */
export class TablesCorruptError extends Error {
  override readonly name = "TablesCorruptError";
  constructor(readonly file: string, what: string, options?: ErrorOptions) {
    super(`Tables file "${file}" is damaged: ${what}`, options);
  }
}

/** Whose tables a database holds. */
export interface TablesOwner {
  readonly node: string;
  readonly network: string;
  /** See Member.disk. */
  readonly disk: string;
}

/** The tables are another node's: not a row of them says anything of this one. */
export class TablesForeignError extends Error {
  override readonly name = "TablesForeignError";
  constructor(readonly file: string, found: TablesOwner, expected: TablesOwner) {
    super(`Tables file "${file}" belongs to ${ownerText(found)}, not to ${ownerText(expected)}`);
  }
}

function ownerText({ node, network, disk }: TablesOwner): string {
  return `node "${node}" of network ${network}${disk === "" ? "" : ` on disk ${disk}`}`;
}

/** The tables were written by a newer build. */
export class TablesVersionError extends Error {
  override readonly name = "TablesVersionError";
  constructor(readonly file: string, readonly version: number) {
    super(
      `Tables file "${file}" has format ${version} and this build reads up to ${FORMAT_VERSION}. Start the build that wrote it`,
    );
  }
}

/**
 * CRC-32 of key and value. SQLite has no checksums of its own: a changed byte within a value would be read as it is.
 * The key's length needs no place in it: key and value are told apart by the database's own record.
 */
export function rowChecksum(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key));
}

/** Settings of every connection. Commits are not synced one by one: the journal can replay them (see writer.ts). */
export function configure(database: DatabaseSync): void {
  database.exec(
    "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;" +
      "PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY",
  );
}

/**
 * Makes the database where it is missing, and brings an older format up to this one. One that names no owner yet is
 * given this one: a new one, one that was written before tables named theirs, one that disownDatabase() was called on.
 * @throws {TablesVersionError | TablesCorruptError} when a newer build wrote it, or it is no database
 * @throws {TablesForeignError} when it names another owner
 */
export function createDatabase(path: string, owner: TablesOwner | null): void {
  // For this user alone; the log and its index beside it are made with the same rights.
  Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
  const database = new DatabaseSync(path);
  try {
    reading(path, () => {
      configure(database);
      const { user_version: found } = database.prepare("PRAGMA user_version").get() as {
        user_version: number;
      };
      if (found > FORMAT_VERSION) throw new TablesVersionError(path, found);
      if (found < FORMAT_VERSION) database.exec(upgrade(found));
      // Names the columns: a schema that is not the one expected is found here and not in the midst of a step.
      database.prepare("SELECT key, value, checksum FROM rows LIMIT 0").all();
    });
    if (owner !== null) claim(path, database, owner);
  } finally {
    database.close();
  }
}

/** `id` is always 1: there is one owner. Builds that do not know this table leave it as it is. */
const OWNER_SCHEMA = "CREATE TABLE IF NOT EXISTS owner " +
  "(id INTEGER PRIMARY KEY CHECK (id = 1), node TEXT NOT NULL, network TEXT NOT NULL, disk TEXT NOT NULL)";

function claim(path: string, database: DatabaseSync, owner: TablesOwner): void {
  const { node, network, disk } = owner;
  const found = reading(path, () => {
    database.exec(`BEGIN IMMEDIATE; ${OWNER_SCHEMA}`);
    database.prepare("INSERT OR IGNORE INTO owner VALUES (1, ?, ?, ?)").run(node, network, disk);
    database.exec("COMMIT");
    return database.prepare("SELECT node, network, disk FROM owner").get() as unknown as TablesOwner;
  });
  if (found.node !== node || found.network !== network || found.disk !== disk) {
    throw new TablesForeignError(path, found, owner);
  }
}

/** Whoever opens the tables next is their owner. Of a node that is about to belong to another network. */
export function disownDatabase(path: string): void {
  const database = new DatabaseSync(path);
  try {
    reading(path, () => {
      configure(database);
      database.exec("DROP TABLE IF EXISTS owner");
    });
  } finally {
    database.close();
  }
}

function upgrade(from: number): string {
  const change = from === 0
    ? "CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER)"
    : "ALTER TABLE rows ADD COLUMN checksum INTEGER";
  return `BEGIN; ${change}; PRAGMA user_version=${FORMAT_VERSION}; COMMIT`;
}

/** SQLite's names for a database whose bytes make no sense; a schema without what we made says the same. */
const DAMAGE = /malformed|not a database|no such (table|column)|database corruption/i;

/** Does `read`, and says of damage that SQLite finds which file it is in. */
function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Error && DAMAGE.test(error.message)) {
      throw new TablesCorruptError(path, error.message, { cause: error });
    }
    if (error instanceof TablesVersionError) throw error;
    throw new Error(`Cannot read "${path}": ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

type StoredValue = readonly [Uint8Array, number | null];
type StoredRow = readonly [Uint8Array, Uint8Array, number | null];

/** Damage may have changed a column's type too. */
function isRight(key: Uint8Array, value: Uint8Array, checksum: number | null): boolean {
  if (!(key instanceof Uint8Array) || !(value instanceof Uint8Array)) return false;
  return checksum === null || checksum === rowChecksum(key, value);
}

/** One reading connection. Throws TablesCorruptError where what it reads is not what was written. */
export class Reader implements Base {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #pages: readonly StatementSync[];
  #held = false;

  constructor(path: string) {
    this.#path = path;
    this.#database = new DatabaseSync(path);
    configure(this.#database);
    this.#database.exec("PRAGMA query_only=1");
    this.#get = asArrays(this.#database.prepare("SELECT value, checksum FROM rows WHERE key = ?"));
    this.#pages = ["key >= ?1", "key >= ?1 AND key < ?2"].flatMap((where) =>
      ["ASC", "DESC"].map((order) => {
        const limit = where.includes("?2") ? "?3" : "?2";
        return asArrays(
          this.#database.prepare(
            `SELECT key, value, checksum FROM rows WHERE ${where} ORDER BY key ${order} LIMIT ${limit}`,
          ),
        );
      })
    );
  }

  get(key: Uint8Array): Uint8Array | null {
    const row = reading(this.#path, () => this.#get.get(key)) as unknown as StoredValue | undefined;
    if (row === undefined) return null;
    const [value, checksum] = row;
    if (!isRight(key, value, checksum)) throw this.#wrong(key);
    return value;
  }

  page(range: KeyRange, rowsMax: number): readonly Row[] {
    const start = range.start ?? EMPTY_BYTES;
    const descending = range.reverse ? 1 : 0;
    const { end } = range;
    const stored = reading(
      this.#path,
      () =>
        end === null
          ? this.#pages[descending]!.all(start, rowsMax)
          : this.#pages[2 + descending]!.all(start, end, rowsMax),
    ) as unknown as StoredRow[];
    for (const row of stored) {
      if (!isRight(row[0], row[1], row[2])) throw this.#wrong(row[0]);
      // A Row is key and value: rows are sent to other nodes as they are.
      (row as unknown as unknown[]).length = 2;
    }
    return stored as unknown as Row[];
  }

  #wrong(key: Uint8Array): TablesCorruptError {
    const hex = key instanceof Uint8Array ? key.toHex() : String(key);
    return new TablesCorruptError(this.#path, `the checksum of the row with key ${hex} is wrong`);
  }

  /** From now on reads the database as it is at this moment, until release(). */
  hold(): void {
    // A transaction takes its view with its first read, not with BEGIN.
    this.#database.exec("BEGIN; SELECT 1 FROM rows LIMIT 1");
    this.#held = true;
  }

  release(): void {
    if (this.#held) this.#database.exec("COMMIT");
    this.#held = false;
  }

  close(): void {
    this.release();
    this.#database.close();
  }
}

/** Rows as arrays, which are Rows already. Deno has the method, its types lack it. */
function asArrays(statement: StatementSync): StatementSync {
  (statement as StatementSync & { setReturnArrays(on: boolean): void }).setReturnArrays(true);
  return statement;
}
