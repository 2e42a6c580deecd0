import { join } from "node:path";
import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { MANIFEST } from "../../core/tables/manifest.ts";
import { fileNumber } from "../../core/tables/sorted_file.ts";
import { oldestSegment, syncDirectory } from "./journal_segments.ts";
import { statOf } from "./stat.ts";

const FORMAT_VERSION = 2;
const TABLES = "tables";
const CHUNKS = "chunks";
/** Of formats 1 and 2: see tables/migration.ts. */
const LEGACY_TABLES = "tables.db";

/** What a node is, kept in DIR/node.json. */
export interface NodeIdentity {
  readonly node: NodeId;
  readonly network: string;
  readonly zone: string;
  readonly capacity: number;
  /** It began the network, where others joined one. */
  readonly founder: boolean;
  /** Names this directory, see Member.disk. */
  readonly disk: string;
  /** Its network is private: there is a keyring beside this. */
  readonly private: boolean;
  /** A record of its journal has been durable: from then on it is this node only with that journal. */
  readonly started: boolean;
  /** Addresses of other members, as it knew them last. */
  readonly peers: readonly string[];
  /** The node that it was before its journal was damaged; null: none. */
  readonly formerly: NodeId | null;
  /** What the directory holds of journal and tables is that node's, and is to be moved into this folder first. */
  readonly aside: string | null;
}

/**
 * A node's data directory, locked for this process: node.json, the journal's segments, the tables' files and
 * those of fragments of objects. The lock goes with the process, however it ends.
 *
 * D1. node.json says that files are to be set aside before the first of them moves, and forgets it when all have: a
 *     crash in between never leaves a part of a journal that looks whole.
 */
export class DataDirectory {
  readonly path: string;
  readonly #lock: Deno.FsFile;

  private constructor(path: string, lock: Deno.FsFile) {
    this.path = path;
    this.#lock = lock;
  }

  /** @throws {Error} when another process has the directory, or it cannot be made */
  static open(path: string): DataDirectory {
    const lock = openLock(path);
    if (!lock.tryLockSync(true)) {
      lock.close();
      throw new Error(
        `Cannot use the data directory "${path}": another node runs on it. Stop that node, or choose another with --data`,
      );
    }
    return new DataDirectory(path, lock);
  }

  get tables(): string {
    return join(this.path, TABLES);
  }
  /**
   * Fragments of objects. They stay whatever becomes of journal and tables, as each says what it is: the node finds out
   * which are its own, and those of no object are removed.
   */
  get chunks(): string {
    return join(this.path, CHUNKS);
  }
  get hasJournal(): boolean {
    return oldestSegment(this.path) !== null;
  }
  /** The database of an older build, in which the tables may be still. */
  get legacyTables(): string {
    return join(this.path, LEGACY_TABLES);
  }
  /** An empty file is no tables. */
  get hasTables(): boolean {
    return [join(this.tables, MANIFEST), this.legacyTables]
      .some((path) => (statOf(path)?.size ?? 0) > 0);
  }
  /** A checkpoint has been taken, and the segments before it are gone: the journal has not all that was in the tables. */
  get journalBeganAnew(): boolean {
    return (oldestSegment(this.path) ?? 1) > 1;
  }

  /**
   * null where no node has lived here yet. An older format is brought up to this one, before anything else here is:
   * a build that knows only the older is refused by this file, with what to do.
   * @throws {Error} when node.json cannot be understood, or is missing where a node has lived
   */
  identity(): NodeIdentity | null {
    const file = join(this.path, "node.json");
    let text;
    try {
      text = Deno.readTextFileSync(file);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      if (!this.hasJournal && !this.hasTables) return null;
      throw new Error(
        `Cannot use the data directory "${this.path}": it has a journal and no node.json. Restore the file, or start ` +
          `on an empty directory`,
      );
    }
    const { identity, format } = parseIdentity(file, text, { started: this.hasJournal || this.hasTables });
    if (format < FORMAT_VERSION) this.writeIdentity(identity);
    return identity;
  }

  /** Written whole or not at all. */
  writeIdentity(identity: NodeIdentity): void {
    const file = join(this.path, "node.json");
    const text = JSON.stringify({ format: FORMAT_VERSION, ...identity }, null, 2) + "\n";
    const temporary = Deno.openSync(`${file}.new`, {
      create: true,
      truncate: true,
      write: true,
      mode: 0o600,
    });
    try {
      temporary.writeSync(new TextEncoder().encode(text));
      temporary.syncSync();
    } finally {
      temporary.close();
    }
    Deno.renameSync(`${file}.new`, file);
    syncDirectory(this.path);
  }

  /** A folder's name that is not taken, for what is to be set aside now. */
  nameAside(): string {
    const time = new Date().toISOString().replace(/\.\d+Z$/, "Z").replaceAll(":", "-");
    for (let i = 1;; i++) {
      const name = `damaged-${time}${i === 1 ? "" : `-${i}`}`;
      if (statOf(join(this.path, name)) === null) return name;
    }
  }

  /** Moves journal and tables into the folder; what has moved already is left. */
  setJournalAside(folder: string): void {
    const into = this.#folder(folder);
    for (const { name } of [...Deno.readDirSync(this.path)]) {
      if (/^journal-\d+\.log/.test(name)) Deno.renameSync(join(this.path, name), join(into, name));
    }
    this.setTablesAside(folder);
  }

  /**
   * Moves the tables into the folder. Of a database it goes first: its log is nothing without it, where a database
   * without its log would look whole.
   */
  setTablesAside(folder: string): void {
    const into = this.#folder(folder);
    for (const name of [TABLES, LEGACY_TABLES, `${LEGACY_TABLES}-wal`, `${LEGACY_TABLES}-shm`]) {
      const path = join(this.path, name);
      if (statOf(path) !== null) Deno.renameSync(path, join(into, name));
    }
    syncDirectory(into);
    syncDirectory(this.path);
  }

  /** Files of tables that lost their manifest, or of a database that was being set aside when the process ended. */
  get hasTablesRemains(): boolean {
    if (this.hasTables) return false;
    return statOf(`${this.legacyTables}-wal`) !== null ||
      (statOf(this.tables) !== null &&
        [...Deno.readDirSync(this.tables)].some(({ name }) => fileNumber(name) !== null));
  }

  close(): void {
    this.#lock.close();
  }

  #folder(name: string): string {
    const path = join(this.path, name);
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }
}

function openLock(path: string): Deno.FsFile {
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    return Deno.openSync(join(path, "lock"), { create: true, read: true, write: true, mode: 0o600 });
  } catch (error) {
    // Making the folder found a file in its place.
    const why = error instanceof Deno.errors.AlreadyExists
      ? "Not a directory"
      : error instanceof Error
      ? error.message
      : String(error);
    throw new Error(`Cannot use the data directory "${path}": ${why}. ${adviceOn(error)}`, { cause: error });
  }
}

function adviceOn(error: unknown): string {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return "Give this user the right to write there, or choose another with --data";
    case "EROFS":
      return "Mount the file system for writing, or choose another with --data";
    case "ENOSPC":
    case "EDQUOT":
      return "Make room there, or choose another with --data";
    default:
      return "Choose another with --data";
  }
}

/** @throws {Error} "Cannot read …", whatever is wrong with the text */
export function parseIdentity(
  file: string,
  text: string,
  { started }: { started: boolean },
): { identity: NodeIdentity; format: number } {
  try {
    const parsed = JSON.parse(text) as Record<string, unknown>;
    const { format, node, network, zone, capacity, founder } = parsed;
    if (format !== 1 && format !== FORMAT_VERSION) {
      throw new Error(
        `it has format ${format}, this program knows ${FORMAT_VERSION}; start the version that wrote it`,
      );
    }
    if (typeof node !== "string" || typeof network !== "string" || typeof zone !== "string") {
      throw new Error("node, network and zone are strings");
    }
    if (!isCapacity(capacity)) throw new Error(`capacity is an integer from 1 to ${LIMITS.capacityMax}`);
    if (typeof founder !== "boolean") throw new Error("founder is true or false");
    const later = parseLater(parsed, { started });
    return { identity: { node: nodeId(node), network, zone, capacity, founder, ...later }, format };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot read "${file}": ${why}. Restore the file, or start on an empty directory`);
  }
}

function isCapacity(found: unknown): found is number {
  return Number.isInteger(found) && Number(found) >= 1 && Number(found) <= LIMITS.capacityMax;
}

/** What format 1 did not have. */
function parseLater(
  { disk = "", private: isPrivate = false, started, peers = [], formerly = null, aside = null }: Record<
    string,
    unknown
  >,
  found: { started: boolean },
): Pick<NodeIdentity, "disk" | "private" | "started" | "peers" | "formerly" | "aside"> {
  if (typeof disk !== "string") throw new Error("disk is a string");
  if (typeof isPrivate !== "boolean") throw new Error("private is true or false");
  if (started !== undefined && typeof started !== "boolean") throw new Error("started is true or false");
  if (!Array.isArray(peers) || !peers.every((peer) => typeof peer === "string")) {
    throw new Error("peers is a list of strings");
  }
  if (formerly !== null && typeof formerly !== "string") throw new Error("formerly is a string or null");
  if (aside !== null && (typeof aside !== "string" || !/^damaged-[\w.-]+$/.test(aside))) {
    throw new Error("aside is the name of a folder or null");
  }
  return {
    disk,
    private: isPrivate,
    started: started ?? found.started,
    peers,
    formerly: formerly === null ? null : nodeId(formerly),
    aside,
  };
}
