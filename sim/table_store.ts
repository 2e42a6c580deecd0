/**
 * Tables of a node whose files lie on a simulated disk: the very code that runs on real ones, its writer in the same
 * thread. What the writer's thread does beside flushing is done in pieces, after flushes.
 */
import type { Vault } from "../core/base/vault.ts";
import type { KeyRange, Row, Tables, TablesSnapshot } from "../core/base/ports.ts";
import { BlockCache } from "../core/tables/block_cache.ts";
import type { TablesOwner } from "../core/tables/errors.ts";
import { LayeredTables } from "../core/tables/layered_tables.ts";
import { Readers } from "../core/tables/readers.ts";
import type { Shape } from "../core/tables/plan.ts";
import { openStore, StoreWriter } from "../core/tables/store.ts";
import type { Change } from "../core/tables/version.ts";
import type { SimTableFiles } from "./table_files.ts";

/** Small, so that a short run flushes, merges and evicts often. */
export interface TableStoreSizes {
  readonly shape: Shape;
  readonly layerBytesMax: number;
  readonly layerRowsMax: number;
  readonly cacheBytesMax: number;
  readonly openMax: number;
}

export const SMALL_SIZES: TableStoreSizes = {
  shape: { level0Files: 3, level1Bytes: 24 * 1024, levelFactor: 4, fileBytes: 8 * 1024, blockBytes: 512 },
  layerBytesMax: 16 * 1024,
  layerRowsMax: 256,
  cacheBytesMax: 64 * 1024,
  openMax: 24,
};

export interface TableStoreOptions {
  readonly files: SimTableFiles;
  readonly vault: Vault;
  readonly owner: TablesOwner | null;
  readonly sizes?: TableStoreSizes;
}

export class TableStore implements Tables {
  readonly #tables: LayeredTables;
  readonly #writer: StoreWriter;
  readonly #readers: Readers;
  /** What the writer said while it was being asked. */
  #answers: Change[] = [];
  #asked = false;

  /** @throws what openStore() does */
  constructor({ files, vault, owner, sizes = SMALL_SIZES }: TableStoreOptions) {
    const { shape, layerBytesMax, layerRowsMax, cacheBytesMax, openMax } = sizes;
    const state = openStore({ files, vault, owner });
    const readers = this.#readers = new Readers({
      files,
      vault,
      cache: new BlockCache(cacheBytesMax),
      openMax,
    });
    const writer = this.#writer = new StoreWriter({ files, vault, state, shape });
    this.#tables = new LayeredTables({
      readers,
      version: state.version,
      layerBytesMax,
      layerRowsMax,
      writer: {
        flush: (packed, durable) => {
          this.#answers.push(packed.length === 0 ? { added: [], removed: [] } : writer.flush(packed));
          if (durable) writer.persist();
        },
        release: (numbers) => writer.release(numbers),
      },
    });
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
  deleteRange(span: { readonly start: Uint8Array; readonly end: Uint8Array }): void {
    this.#tables.deleteRange(span);
  }
  snapshot(): TablesSnapshot {
    return this.#tables.snapshot();
  }

  endStep(mark: number): void {
    this.#tables.endStep(mark);
    this.#hear();
  }
  durable(upTo: number): void {
    this.#tables.durable(upTo);
    this.#hear();
  }
  checkpoint(mark: number, done: () => void): void {
    this.#tables.checkpoint(mark, done);
    this.#hear();
  }

  /** Does what the writer has to do beside flushing, up to so many pieces. False: nothing is left to do. */
  work(pieces: number, bytesMax = 4096): boolean {
    for (; pieces > 0 && this.#writer.work !== null; pieces--) {
      const change = this.#writer.step(bytesMax);
      if (change !== null) this.#tables.changed(change);
    }
    return this.#writer.work !== null;
  }

  rotate(vault: Vault): void {
    this.#writer.rotate(vault);
    this.#readers.vault = vault;
  }

  generations(): number[] {
    return this.#writer.generations();
  }

  /** Live files of each level. */
  levels(): number[] {
    return this.#writer.version.levels.map((files) => files.length);
  }

  /** All that may be written is, and durable. */
  close(): void {
    this.#tables.drain(() => {});
    this.#hear();
    this.#writer.persist();
    this.abandon();
  }

  /** Ends as a crash would. */
  abandon(): void {
    this.#tables.stop();
    this.#writer.close();
    this.#readers.close();
  }

  /** Hands the writer's answers over, one after the other: each may bring the next question. */
  #hear(): void {
    if (this.#asked) return;
    this.#asked = true;
    try {
      for (let change = this.#answers.shift(); change !== undefined; change = this.#answers.shift()) {
        this.#tables.flushed(change);
      }
    } finally {
      this.#asked = false;
    }
  }
}
