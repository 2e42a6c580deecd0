import type { KeyRange, Row, Tables, TablesSnapshot } from "../../../core/base/ports.ts";
import { unreachable } from "../../../core/base/invariant.ts";
import { BlockCache } from "../../../core/tables/block_cache.ts";
import { TablesCorruptError, type TablesOwner } from "../../../core/tables/errors.ts";
import { LayeredTables } from "../../../core/tables/layered_tables.ts";
import type { Manifest } from "../../../core/tables/manifest.ts";
import { Readers } from "../../../core/tables/readers.ts";
import { disownStore, openStore } from "../../../core/tables/store.ts";
import type { Span } from "../../../core/tables/span.ts";
import { DiskFiles } from "./files.ts";
import { NO_KEYS, type TablesKeys, vaultOf } from "./keys.ts";
import { migrate } from "./migration.ts";
import type { FromWriter, ToWriter } from "./writer.ts";

/** A layer of about this size is handed to the writer. */
const LAYER_BYTES_MAX = 2 * 1024 * 1024;
const LAYER_ROWS_MAX = 8192;
/** Of decrypted blocks. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024;
/** Each open file keeps its index and its filter in memory: about 100 KiB. */
const OPEN_FILES_MAX = 200;

export interface TablesOptions {
  /** The folder of the tables' files. */
  readonly path: string;
  /** The database that an older build kept them in, to be taken over where it is there. */
  readonly legacy?: string | null;
  /** null: whose tables they are is not looked at. */
  readonly owner?: TablesOwner | null;
  readonly keys?: TablesKeys;
  /** Told once when they cannot be written any more. TablesCorruptError: what is there cannot be read. */
  readonly failed: (error: Error) => void;
}

/**
 * The tables of one node: files in a folder, and on top of them, in memory, the layers of writes that its writer thread
 * has not put into files yet (core/tables). Reading is done here, writing and merging on that thread.
 */
export class DiskTables implements Tables {
  readonly #path: string;
  readonly #tables: LayeredTables;
  readonly #readers: Readers;
  readonly #writer: Worker;
  readonly #failed: (error: Error) => void;
  #generations: readonly number[];
  #closed: (() => void) | null = null;
  #abandoned = false;
  /** Its thread ended by itself. */
  #writerDead = false;

  /**
   * Opens the tables, making them where they are missing.
   * @throws what openStore() and migrate() do
   */
  constructor({ path, legacy = null, owner = null, keys = NO_KEYS, failed }: TablesOptions) {
    const vault = vaultOf(keys);
    if (legacy !== null) migrate(legacy, path, { vault, owner });
    const files = new DiskFiles(path);
    const { manifest, version } = openStore({ files, vault, owner });
    this.#path = path;
    this.#failed = failed;
    this.#generations = generationsOf(manifest);
    const cache = new BlockCache(CACHE_BYTES_MAX);
    this.#readers = new Readers({ files, vault, cache, openMax: OPEN_FILES_MAX });
    this.#tables = new LayeredTables({
      readers: this.#readers,
      version,
      layerBytesMax: LAYER_BYTES_MAX,
      layerRowsMax: LAYER_ROWS_MAX,
      writer: {
        flush: (packed, durable) => this.#tell({ kind: "flush", packed, durable }, [packed.buffer]),
        release: (numbers) => this.#tell({ kind: "release", numbers }),
      },
    });
    this.#writer = new Worker(new URL(writerFile(import.meta.url), import.meta.url), { type: "module" });
    this.#writer.onmessage = (event: MessageEvent<FromWriter>) => this.#heard(event.data);
    this.#writer.onerror = (event) => {
      event.preventDefault();
      this.#writerDead = true;
      this.#fail(new Error(`Cannot write the tables in "${path}": ${event.message}`));
      this.#closed?.();
    };
    this.#tell({ kind: "open", path, keys, manifest });
  }

  get(key: Uint8Array): Uint8Array | null {
    return this.#tables.get(key);
  }

  range(range: KeyRange): Iterable<Row> {
    return this.#tables.range(range);
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#tables.set(key, value);
  }

  delete(key: Uint8Array): void {
    this.#tables.delete(key);
  }

  deleteRange(span: Span): void {
    this.#tables.deleteRange(span);
  }

  snapshot(): TablesSnapshot {
    return this.#tables.snapshot();
  }

  /** The end of a step. `mark`: the last journal record that the node has asked for so far. */
  endStep(mark: number): void {
    this.#tables.endStep(mark);
  }

  /** The journal is durable up to and with the record of this number. */
  durable(upTo: number): void {
    this.#tables.durable(upTo);
  }

  /** Resolves when everything up to the step that just ended, with this mark, would survive a loss of power. */
  checkpoint(mark: number): Promise<void> {
    return new Promise((done) => this.#tables.checkpoint(mark, done));
  }

  /**
   * Writes with the current generation of these keys from now on, and in the background again what has another. The keys
   * have all generations that are in use.
   */
  rotate(keys: TablesKeys): void {
    this.#readers.vault = vaultOf(keys);
    this.#tell({ kind: "rotate", keys });
  }

  /** The key generations that files on the disk are sealed with, in rising order; 0 among them where some are not. */
  generations(): readonly number[] {
    return this.#generations;
  }

  /** How many files are live. */
  files(): number {
    return [...this.#tables.version.files()].length;
  }

  /** Makes durable what may be and closes the files. To be called between two steps; no other call may follow. */
  async close(): Promise<void> {
    await new Promise<void>((closed) => {
      this.#closed = closed;
      if (this.#writerDead) return closed();
      this.#tables.drain(() => this.#tell({ kind: "close", persist: true }));
    });
    this.#end();
  }

  /**
   * Ends as a crash would: nothing more is written than the batch that the writer is at. Resolves when it is done with
   * that, however long a bad disk takes: nothing must come to the files under whoever opens them next.
   */
  async abandon(): Promise<void> {
    this.#abandoned = true;
    this.#tables.stop();
    if (!this.#writerDead) {
      await new Promise<void>((closed) => {
        this.#closed = closed;
        this.#tell({ kind: "close", persist: false });
      });
    }
    this.#end();
  }

  #end(): void {
    this.#writer.terminate();
    this.#readers.close();
  }

  #heard(message: FromWriter): void {
    switch (message.kind) {
      case "flushed":
        this.#generations = message.generations;
        return this.#tables.flushed(message.change);
      case "changed":
        this.#generations = message.generations;
        return this.#tables.changed(message.change);
      case "closed":
        return this.#closed?.();
      case "failed": {
        const { corrupt, message: what } = message;
        const error = corrupt === null
          ? new Error(`Cannot write the tables in "${this.#path}": ${what}`)
          : new TablesCorruptError(corrupt.file, corrupt.what);
        return this.#fail(error);
      }
      default:
        unreachable(message);
    }
  }

  #fail(error: Error): void {
    this.#failed(error);
    if (!this.#abandoned) this.#closed?.();
  }

  #tell(message: ToWriter, transfer: Transferable[] = []): void {
    this.#writer.postMessage(message, transfer);
  }
}

/** Makes tables without a row that are `owner`'s. For tests. */
export function createTables(path: string, owner: TablesOwner | null, keys = NO_KEYS): void {
  openStore({ files: new DiskFiles(path), vault: vaultOf(keys), owner });
}

/** Whoever opens the tables next is their owner. Of a node that is about to belong to another network. */
export function disownTables(path: string, keys: TablesKeys = NO_KEYS): void {
  disownStore({ files: new DiskFiles(path), vault: vaultOf(keys) });
}

function generationsOf({ generation, files }: Manifest): number[] {
  return [...new Set([generation, ...files.map((file) => file.generation)])].sort((a, b) => a - b);
}

/** Beside this file; a bundle holds it as a script of its own. */
function writerFile(self: string): string {
  return self.endsWith(".ts") ? "./writer.ts" : "./tables-writer.js";
}
