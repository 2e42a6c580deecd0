/** What the fragments' files ask of a file system. Whatever waits for the disk does so on another thread. */
import type { DirectoryEntry } from "./listing.ts";

export interface ChunkFileSystem {
  /** Makes or replaces a file for this user alone, durable but for its name. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** null: there is none. A file of more than `bytesMax` is not read, and comes as no bytes at all. */
  read(path: string, bytesMax: number): Promise<Uint8Array | null>;
  rename(from: string, to: string): Promise<void>;
  /** False: there was none. */
  remove(path: string): Promise<boolean>;
  /** null: there is no such folder. */
  list(folder: string): Promise<DirectoryEntry[] | null>;
  /** null: there is no such file. */
  stat(path: string): Promise<{ readonly bytes: number; readonly modifiedMs: number } | null>;
  /** Makes the names in a folder durable. */
  syncFolder(folder: string): Promise<void>;
  /** For this user alone; one that is there stays. */
  makeFolder(folder: string): void;
  /** Only where it is empty. */
  removeFolder(folder: string): void;
}

export const REAL_CHUNK_FILES: ChunkFileSystem = {
  async write(path, bytes) {
    using file = await Deno.open(path, { write: true, create: true, truncate: true, mode: 0o600 });
    for (let at = 0; at < bytes.length;) at += await file.write(at === 0 ? bytes : bytes.subarray(at));
    await file.syncData();
  },

  async read(path, bytesMax) {
    const file = await found(() => Deno.open(path, { read: true }));
    if (file === null) return null;
    using opened = file;
    const { size, isFile } = await opened.stat();
    if (!isFile || size > bytesMax) return new Uint8Array(0);
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size;) {
      const read = await opened.read(at === 0 ? bytes : bytes.subarray(at));
      // It became shorter meanwhile.
      if (read === null) return bytes.subarray(0, at);
      at += read;
    }
    return bytes;
  },

  rename: (from, to) => Deno.rename(from, to),
  remove: async (path) => await found(() => Deno.remove(path).then(() => true)) ?? false,

  list: (folder) => found(() => Array.fromAsync(Deno.readDir(folder))),

  async stat(path) {
    const info = await found(() => Deno.lstat(path));
    return info === null ? null : { bytes: info.size, modifiedMs: info.mtime?.getTime() ?? 0 };
  },

  async syncFolder(folder) {
    using opened = await Deno.open(folder, { read: true });
    await opened.sync();
  },

  makeFolder: (folder) => Deno.mkdirSync(folder, { recursive: true, mode: 0o700 }),
  removeFolder: (folder) => Deno.removeSync(folder),
};

async function found<T>(act: () => Promise<T>): Promise<T | null> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
