import { dirname, join } from "node:path";
import type { PartitionId } from "../../../core/base/ids.ts";
import type { ChunkFileSystem } from "./files.ts";
import { folderName } from "./names.ts";

/** Makes the names in one folder durable: who asks while a sync is under way shares the next one. */
class FolderSync {
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;

  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** By a sync that begins after this call. */
  request(): Promise<void> {
    if (this.#running === null) return this.#begin();
    return this.#next ??= this.#running.catch(() => {}).then(() => {
      this.#next = null;
      return this.#begin();
    });
  }

  #begin(): Promise<void> {
    const running = this.#running = this.#sync().finally(() => {
      if (this.#running === running) this.#running = null;
    });
    return running;
  }
}

/** The partitions' folders: made when something is to be written there, removed when nothing is left. */
export class Folders {
  readonly #files: ChunkFileSystem;
  readonly #root: string;
  readonly #rootSync: FolderSync;
  #rootDurable = false;
  readonly #syncs = new Map<PartitionId, FolderSync>();
  /** Those whose own name is durable. */
  readonly #durable = new Set<PartitionId>();
  /** Writes under way. */
  readonly #writes = new Map<PartitionId, number>();

  constructor(files: ChunkFileSystem, root: string) {
    this.#files = files;
    this.#root = root;
    this.#rootSync = new FolderSync(() => files.syncFolder(root));
  }

  pathOf(partition: PartitionId): string {
    return join(this.#root, folderName(partition));
  }

  /** Does `write` in the folder, which is there and stays, and makes the names in it durable. */
  async within(partition: PartitionId, write: () => Promise<void>): Promise<void> {
    this.#writes.set(partition, (this.#writes.get(partition) ?? 0) + 1);
    try {
      try {
        await this.#make(partition);
        await write();
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
        // Somebody else took the folder away.
        this.#durable.delete(partition);
        this.#rootDurable = false;
        await this.#make(partition);
        await write();
      }
      await this.#syncOf(partition).request();
    } finally {
      const left = this.#writes.get(partition)! - 1;
      if (left > 0) this.#writes.set(partition, left);
      else this.#writes.delete(partition);
    }
  }

  /** Removes a folder that was found empty. */
  removeEmpty(partition: PartitionId): void {
    if (this.#writes.has(partition)) return;
    this.#durable.delete(partition);
    this.#syncs.delete(partition);
    try {
      this.#files.removeFolder(this.pathOf(partition));
    } catch {
      // It is not empty any more, gone, or cannot be removed now: there will be another time.
    }
  }

  async #make(partition: PartitionId): Promise<void> {
    if (this.#durable.has(partition)) return;
    this.#files.makeFolder(this.pathOf(partition));
    if (!this.#rootDurable) await this.#files.syncFolder(dirname(this.#root));
    this.#rootDurable = true;
    await this.#rootSync.request();
    this.#durable.add(partition);
  }

  #syncOf(partition: PartitionId): FolderSync {
    let sync = this.#syncs.get(partition);
    if (sync === undefined) {
      this.#syncs.set(partition, sync = new FolderSync(() => this.#files.syncFolder(this.pathOf(partition))));
    }
    return sync;
  }
}
