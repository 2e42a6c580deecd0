import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { KeyRange, Row } from "../../../core/base/ports.ts";
import { EMPTY_BYTES } from "../../../core/base/bytes.ts";
import type { Base } from "./layer.ts";

const FORMAT_VERSION = 1;

/** Settings of every connection. Commits are not synced one by one: the journal can replay them (see writer.ts). */
export function configure(database: DatabaseSync): void {
  database.exec(
    "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;" +
      "PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY",
  );
}

/**
 * Makes the database where it is missing.
 * @throws {Error} when the file was written by another version, or is no database
 */
export function createDatabase(path: string): void {
  // For this user alone; the log and its index beside it are made with the same rights.
  Deno.openSync(path, { create: true, write: true, mode: 0o600 }).close();
  const database = new DatabaseSync(path);
  try {
    tryReading(path, () => configure(database));
    const { user_version: found } = database.prepare("PRAGMA user_version").get() as { user_version: number };
    if (found === 0) {
      database.exec(
        `BEGIN; CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB NOT NULL); PRAGMA user_version=${FORMAT_VERSION}; COMMIT`,
      );
    } else if (found !== FORMAT_VERSION) {
      throw new Error(
        `Cannot read "${path}": it has format ${found}, this program knows ${FORMAT_VERSION}. Start the version that wrote it`,
      );
    }
  } finally {
    database.close();
  }
}

/** The first reading of a database is what finds that it is none. */
function tryReading(path: string, read: () => void): void {
  try {
    read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot read "${path}": ${why}`, { cause: error });
  }
}

/** One reading connection. */
export class Reader implements Base {
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #pages: readonly StatementSync[];
  #held = false;

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    configure(this.#database);
    this.#database.exec("PRAGMA query_only=1");
    this.#get = asArrays(this.#database.prepare("SELECT value FROM rows WHERE key = ?"));
    this.#pages = ["key >= ?1", "key >= ?1 AND key < ?2"].flatMap((where) =>
      ["ASC", "DESC"].map((order) => {
        const limit = where.includes("?2") ? "?3" : "?2";
        return asArrays(
          this.#database.prepare(
            `SELECT key, value FROM rows WHERE ${where} ORDER BY key ${order} LIMIT ${limit}`,
          ),
        );
      })
    );
  }

  get(key: Uint8Array): Uint8Array | null {
    const row = this.#get.get(key) as unknown as [Uint8Array] | undefined;
    return row === undefined ? null : row[0];
  }

  page(range: KeyRange, rowsMax: number): readonly Row[] {
    const start = range.start ?? EMPTY_BYTES;
    const descending = range.reverse ? 1 : 0;
    const rows = range.end === null
      ? this.#pages[descending]!.all(start, rowsMax)
      : this.#pages[2 + descending]!.all(start, range.end, rowsMax);
    return rows as unknown as Row[];
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
