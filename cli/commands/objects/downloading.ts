/**
 * Objects into files. The bytes go into a file beside the one wanted, named after the version, which takes its place
 * when it is whole; broken off, the next get of the same version goes on where that one ends.
 */
import { basename, dirname, join } from "node:path";
import type { ObjectVersion } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { nameOf } from "./location.ts";

export interface DownloadOptions {
  readonly store: ObjectStore;
  readonly bucket: string;
  readonly key: string;
  readonly version: string | undefined;
  readonly path: string;
  readonly resume: boolean;
  /** Told as bytes are there; `kept`: they were there before. */
  readonly progress: (bytes: number, kept: boolean) => void;
}

/** The file is whole, or as it was. */
export async function downloadFile(options: DownloadOptions): Promise<ObjectVersion> {
  const { store, bucket, key, path, progress } = options;
  const { version } = await store.head({ bucket, key, version: options.version });
  const folder = dirname(path);
  await Deno.mkdir(folder, { recursive: true });
  const part = join(folder, `.${basename(path)}.${version.id}.part`);
  const had = options.resume ? await sizeOf(part) : 0;
  const start = had > 0 && had <= version.bytes ? had : 0;
  {
    using file = await Deno.open(part, { create: true, write: true, truncate: start === 0, mode: 0o600 });
    await file.seek(start, Deno.SeekMode.Start);
    if (start > 0) progress(start, true);
    if (start < version.bytes || version.bytes === 0) {
      const range = start === 0 ? undefined : { kind: "from", start, end: null } as const;
      const { version: got, body } = await store.get({ bucket, key, version: named(version), range });
      if (got.id !== version.id) {
        await body.return?.();
        throw new Error(`"${nameOf(options)}" was replaced while it was read; get it again`);
      }
      for await (const chunk of body) {
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
        progress(chunk.length, false);
      }
    }
    await file.syncData();
  }
  await Deno.chmod(part, 0o666 & ~Deno.umask());
  await Deno.rename(part, path);
  return version;
}

/** What names this version and no later one; where none are kept, the newest is all there is. */
function named({ id, isNull }: ObjectVersion): string {
  return isNull ? "null" : id;
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
