/** What can be wrong with tables that are opened or read. */

/**
 * The number of the tables' format.
 *  1, 2  an SQLite database, tables.db.
 *  3     sorted files and a manifest.
 */
export const TABLES_VERSION = 3;

/** What the tables' files hold cannot be what was written to them. */
export class TablesCorruptError extends Error {
  override readonly name = "TablesCorruptError";
  constructor(readonly file: string, readonly what: string, options?: ErrorOptions) {
    super(`Tables file "${file}" is damaged: ${what}`, options);
  }
}

/** Whose tables they are. */
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

/** The tables were written by a newer build. */
export class TablesVersionError extends Error {
  override readonly name = "TablesVersionError";
  constructor(readonly file: string, readonly version: number, newest: number = TABLES_VERSION) {
    super(
      `Tables file "${file}" has format ${version} and this build reads up to ${newest}. ` +
        `Start the build that wrote it`,
    );
  }
}

export function sameOwner(a: TablesOwner, b: TablesOwner): boolean {
  return a.node === b.node && a.network === b.network && a.disk === b.disk;
}

function ownerText({ node, network, disk }: TablesOwner): string {
  return `node "${node}" of network ${network}${disk === "" ? "" : ` on disk ${disk}`}`;
}
