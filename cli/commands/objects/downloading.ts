/**
 * Objects into files. The bytes go into a file beside the one wanted, named after the version, which takes its place
 * when it is whole; broken off, the next get of the same version goes on where that one ends.
 */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { ObjectError, type ObjectVersion } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { isPassing } from "./connected.ts";
import { nameOf } from "./location.ts";
import type { CountBytes } from "./uploading.ts";

/** In a row, without a byte in between. */
const TRIES = 5;
const READ_BYTES = 1024 * 1024;
/** What file systems allow. */
const NAME_BYTES_MAX = 255;

interface Source {
  readonly store: ObjectStore;
  readonly bucket: string;
  readonly key: string;
  readonly signal: AbortSignal;
}

export interface DownloadOptions extends Source {
  readonly version: string | undefined;
  readonly path: string;
  readonly resume: boolean;
  /** What was begun of other versions of it is cleared away. */
  readonly tidy: boolean;
  readonly progress: CountBytes;
}

/** The file is whole, or as it was. What is no file, such as a device, is written to. */
export async function downloadFile(options: DownloadOptions): Promise<ObjectVersion> {
  const { store, bucket, key, progress } = options;
  const { version } = await store.head({ bucket, key, version: options.version });
  const before = await existing(options.path);
  if (before?.isDirectory) {
    throw new Error(`"${options.path}" is a folder here, and cannot become a file; name another`);
  }
  if (before !== null && !before.isFile) return await writeTo(options, version);
  const { path } = before ?? options;
  const part = partPath(path, version.id);
  await Deno.mkdir(dirname(path), { recursive: true });
  const resumed = options.resume && await sizeOf(part) > 0;
  await fetchInto(part, options, version, resumed);
  if (resumed && !(await isWhole(part, version))) {
    progress(-version.bytes, false);
    await fetchInto(part, options, version, false);
  }
  if (before !== null) await Deno.chmod(part, before.mode);
  await Deno.rename(part, path);
  if (options.tidy) await removeOthers(path, version.id);
  return version;
}

async function fetchInto(
  part: string,
  options: DownloadOptions,
  version: ObjectVersion,
  resume: boolean,
): Promise<void> {
  const had = resume ? await sizeOf(part) : 0;
  const start = had <= version.bytes ? had : 0;
  using file = await Deno.open(part, { create: true, write: true, truncate: start === 0 });
  await file.seek(start, Deno.SeekMode.Start);
  if (start > 0) options.progress(start, true);
  for await (const chunk of contentOf(options, version, start)) {
    await writeAll(file, chunk);
    options.progress(chunk.length, false);
  }
  await file.syncData();
}

async function writeTo(options: DownloadOptions, version: ObjectVersion): Promise<ObjectVersion> {
  using file = await Deno.open(options.path, { write: true });
  for await (const chunk of contentOf(options, version, 0)) {
    await writeAll(file, chunk);
    options.progress(chunk.length, false);
  }
  return version;
}

export async function writeAll(
  to: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

/** What `version` holds from `start` on. Goes on by itself after what passes. @throws {Error} when another took its place */
export async function* contentOf(
  { store, bucket, key, signal }: Source,
  version: ObjectVersion,
  start: number,
): AsyncGenerator<Uint8Array> {
  let at = start;
  for (let tries = 1; at < version.bytes; tries++) {
    try {
      const range = at === 0 ? undefined : { kind: "from", start: at, end: null } as const;
      const got = await store.get({ bucket, key, version: named(version), range }, signal);
      if (got.version.id !== version.id) throw replacedError(bucket, key);
      for await (const chunk of got.body) {
        yield chunk;
        at += chunk.length;
        tries = 1;
      }
    } catch (error) {
      if (error instanceof ObjectError && error.problem === "no-such-version") {
        throw replacedError(bucket, key);
      }
      if (tries >= TRIES || signal.aborted || !isPassing(error)) throw error;
      await new Promise((done) => setTimeout(done, 500 * tries));
    }
  }
}

function replacedError(bucket: string, key: string): Error {
  return new Error(`"${nameOf({ bucket, key })}" was replaced while it was read; get it again`);
}

/** What names this version and no later one; where none are kept, the newest is all there is. */
export function named({ id, isNull }: ObjectVersion): string {
  return isNull ? "null" : id;
}

/**
 * Whether the file has the digest of the version: a loss of power may leave a file as long as it was to be, without what
 * was written to it. Copies of objects of parts say nothing of these; they are believed.
 */
async function isWhole(path: string, { bytes, etag, parts }: ObjectVersion): Promise<boolean> {
  if (await sizeOf(path) !== bytes) return false;
  if (!/^[0-9a-f]{32}(-\d+)?$/.test(etag) || etag.includes("-") !== parts.length > 0) return true;
  using file = await Deno.open(path);
  const all = createHash("md5");
  const buffer = new Uint8Array(READ_BYTES);
  for (const length of parts.length > 0 ? parts : [bytes]) {
    const hash = createHash("md5");
    for (let left = length; left > 0;) {
      const read = await file.read(buffer.subarray(0, Math.min(left, buffer.length)));
      if (read === null) return false;
      hash.update(buffer.subarray(0, read));
      left -= read;
    }
    const digest = hash.digest();
    if (parts.length === 0) return digest.toString("hex") === etag;
    all.update(digest);
  }
  return `${all.digest("hex")}-${parts.length}` === etag;
}

interface Existing {
  readonly path: string;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
  readonly mode: number;
}

/** What stands at the path now, links followed. */
async function existing(
  path: string,
): Promise<Existing | null> {
  try {
    const real = await Deno.realPath(path);
    const { isFile, isDirectory, mode } = await Deno.stat(real);
    return { path: real, isFile, isDirectory, mode: (mode ?? 0o644) & 0o777 };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** The file beside `path` that gathers the version. */
export function partPath(path: string, version: string): string {
  return join(dirname(path), `${partBegin(path)}${version}.part`);
}

/** Names that are nearly as long as they may be have no room for more. */
function partBegin(path: string): string {
  const name = basename(path);
  const bytes = new TextEncoder().encode(name).length;
  const stem = bytes > NAME_BYTES_MAX - 48
    ? createHash("sha256").update(name).digest("hex").slice(0, 32)
    : name;
  return `.${stem}.`;
}

async function removeOthers(path: string, version: string): Promise<void> {
  const begin = partBegin(path), folder = dirname(path);
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const id = name.startsWith(begin) && name.endsWith(".part") ? name.slice(begin.length, -5) : "";
      if (/^[0-9a-f]{32}$/.test(id) && id !== version) await Deno.remove(join(folder, name));
    }
  } catch (error) {
    // A folder that may not be read keeps them.
    if (!(error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotFound)) {
      throw error;
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
