/** The tables' files on a real disk: all in one folder, each for this user alone. */
import { join } from "node:path";
import { invariant } from "../../../core/base/invariant.ts";
import { SALT_BYTES } from "../../../core/base/vault.ts";
import type { ReadableFile, TableFiles, WritableFile } from "../../../core/tables/files.ts";
import { syncDirectory } from "../journal_segments.ts";

export class DiskFiles implements TableFiles {
  readonly #folder: string;

  /** Makes the folder where it is missing. */
  constructor(folder: string) {
    this.#folder = folder;
    try {
      Deno.mkdirSync(folder, { mode: 0o700 });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      return;
    }
    syncDirectory(join(folder, ".."));
  }

  list(): string[] {
    return Array.from(Deno.readDirSync(this.#folder), ({ name }) => name);
  }

  create(name: string): WritableFile {
    const file = Deno.openSync(this.describe(name), { write: true, createNew: true, mode: 0o600 });
    return {
      append: (bytes) => {
        for (let at = 0; at < bytes.length;) {
          const written = file.writeSync(at === 0 ? bytes : bytes.subarray(at));
          invariant(written > 0, "A write that fails says so");
          at += written;
        }
      },
      sync: () => file.syncDataSync(),
      close: () => file.close(),
    };
  }

  open(name: string): ReadableFile | null {
    let file: Deno.FsFile;
    try {
      file = Deno.openSync(this.describe(name), { read: true });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }
    return {
      read: (at, into) => {
        file.seekSync(at, Deno.SeekMode.Start);
        for (let done = 0; done < into.length;) {
          const read = file.readSync(done === 0 ? into : into.subarray(done));
          if (read === null) return done;
          done += read;
        }
        return into.length;
      },
      size: () => file.statSync().size,
      close: () => file.close(),
    };
  }

  rename(from: string, to: string): void {
    Deno.renameSync(this.describe(from), this.describe(to));
  }

  remove(name: string): void {
    Deno.removeSync(this.describe(name));
  }

  syncDirectory(): void {
    syncDirectory(this.#folder);
  }

  salt(): Uint8Array {
    return crypto.getRandomValues(new Uint8Array(SALT_BYTES));
  }

  describe(name: string): string {
    return join(this.#folder, name);
  }
}
