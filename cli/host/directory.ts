import { join } from "node:path";
import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { oldestSegment, syncDirectory } from "./journal.ts";

const FORMAT_VERSION = 2;

/** What a node is for life, kept in DIR/node.json. */
export interface NodeIdentity {
  readonly node: NodeId;
  readonly network: string;
  readonly zone: string;
  readonly capacity: number;
  /** It began the network, where others joined one. */
  readonly founder: boolean;
  /** Names this directory, see Member.disk. */
  readonly disk: string;
}

/**
 * A node's data directory, locked for this process: node.json, the journal's segments and the tables' database.
 * The lock goes with the process, however it ends.
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
    return join(this.path, "tables.db");
  }

  /**
   * null where no node has lived here yet.
   * @throws {Error} when node.json cannot be understood, or is missing where a node has lived
   */
  identity(): NodeIdentity | null {
    const file = join(this.path, "node.json");
    let text;
    try {
      text = Deno.readTextFileSync(file);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      if (oldestSegment(this.path) === null) return null;
      throw new Error(
        `Cannot use the data directory "${this.path}": it has a journal and no node.json. Restore the file, or start on an empty directory`,
      );
    }
    const oldest = oldestSegment(this.path);
    const tables = exists(this.tables);
    // The tables are made when the journal is there already: it was lost, and with it what this node has promised.
    if (oldest === null && tables) throw this.#lost("its journal");
    // A checkpoint made the tables durable, and what they hold left the journal.
    if (oldest !== null && oldest > 1 && !tables) throw this.#lost("tables.db");
    return parseIdentity(file, text);
  }

  #lost(what: string): Error {
    return new Error(
      `Cannot use the data directory "${this.path}": ${what} is missing. Restore it, or remove the directory and ` +
        `let the node join again under a new id`,
    );
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
    temporary.writeSync(new TextEncoder().encode(text));
    temporary.syncSync();
    temporary.close();
    Deno.renameSync(`${file}.new`, file);
    syncDirectory(this.path);
  }

  close(): void {
    this.#lock.close();
  }
}

function openLock(path: string): Deno.FsFile {
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    return Deno.openSync(join(path, "lock"), { create: true, read: true, write: true, mode: 0o600 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot use the data directory "${path}": ${why}. Choose another with --data`);
  }
}

function parseIdentity(file: string, text: string): NodeIdentity {
  try {
    const { format, node, network, zone, capacity, founder, disk = "" } = JSON.parse(text) as Record<
      string,
      unknown
    >;
    if (format !== 1 && format !== FORMAT_VERSION) {
      throw new Error(
        `it has format ${format}, this program knows ${FORMAT_VERSION}; start the version that wrote it`,
      );
    }
    if (typeof node !== "string" || typeof network !== "string" || typeof zone !== "string") {
      throw new Error("node, network and zone are strings");
    }
    if (typeof disk !== "string") throw new Error("disk is a string");
    if (typeof capacity !== "number") throw new Error("capacity is a number");
    if (typeof founder !== "boolean") throw new Error("founder is true or false");
    return { node: nodeId(node), network, zone, capacity, founder, disk };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot read "${file}": ${why}. Restore the file, or start on an empty directory`);
  }
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
