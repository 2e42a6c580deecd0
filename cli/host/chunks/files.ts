/**
 * What the fragments' files ask of a file system. Whatever waits for the disk does so on another thread; small files are made
 * and renamed at once, and only their syncs wait.
 */
import { existsSync } from "node:fs";
import { AtOnce } from "./at_once.ts";
import type { DirectoryEntry } from "./listing.ts";

export interface ChunkFileSystem {
  /** Makes or replaces a file for this user alone, durable but for its name. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** null: there is none. A file of more than `bytesMax` is not read, and comes as no bytes at all. */
  read(path: string, bytesMax: number): Promise<Uint8Array | null>;
  rename(from: string, to: string): Promise<void>;
  /** At once. */
  exists(path: string): boolean;
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

/** Longer ones are made on another thread. */
const AT_ONCE_BYTES_MAX = 128 * 1024;
const atOnce = new AtOnce();

const NEW: Deno.OpenOptions = { write: true, create: true, truncate: true, mode: 0o600 };

export const REAL_CHUNK_FILES: ChunkFileSystem = {
  async write(path, bytes) {
    const small = bytes.length <= AT_ONCE_BYTES_MAX && atOnce.isWise();
    using file = small ? atOnce.run(() => writeNew(path, bytes)) : await Deno.open(path, NEW);
    if (!small) {
      for (let at = 0; at < bytes.length;) at += await file.write(at === 0 ? bytes : bytes.subarray(at));
    }
    await file.syncData();
  },

  async read(path, bytesMax) {
    const file = await found(() => Deno.open(path, { read: true }));
    if (file === null) return null;
    using opened = file;
    const { size, isFile } = opened.statSync();
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

  async rename(from, to) {
    if (atOnce.isWise()) atOnce.run(() => Deno.renameSync(from, to));
    else await Deno.rename(from, to);
  },
  exists: existsSync,
  remove: async (path) => await found(() => Deno.remove(path).then(() => true)) ?? false,

  list: (folder) => found(() => Array.fromAsync(Deno.readDir(folder))),

  async stat(path) {
    const info = await found(() => Deno.lstat(path));
    return info === null ? null : { bytes: info.size, modifiedMs: info.mtime?.getTime() ?? 0 };
  },

  async syncFolder(folder) {
    // Whoever has just made a name in it has it in memory.
    using opened = Deno.openSync(folder, { read: true });
    await opened.sync();
  },

  makeFolder: (folder) => Deno.mkdirSync(folder, { recursive: true, mode: 0o700 }),
  removeFolder: (folder) => Deno.removeSync(folder),
};

function writeNew(path: string, bytes: Uint8Array): Deno.FsFile {
  const file = Deno.openSync(path, NEW);
  try {
    for (let at = 0; at < bytes.length;) at += file.writeSync(at === 0 ? bytes : bytes.subarray(at));
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

async function found<T>(act: () => Promise<T>): Promise<T | null> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
