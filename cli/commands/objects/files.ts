/** Local files as bodies of objects, and what their names tell of their content. */
import { basename, join } from "node:path";
import type { ObjectLocation } from "./location.ts";
import { UsageError } from "../errors.ts";

const READ_BYTES = 1024 * 1024;

/** A file as it was found. */
export interface LocalFile {
  readonly path: string;
  /** What it is called under what was named: with "/" between folders. */
  readonly relative: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

/** Why a file, or a folder, cannot be carried; the others can. */
export interface UnfitFile {
  readonly path: string;
  readonly error: Error;
}

/** Bytes of a file from `start` up to without `end`. @throws {Error} when it is not as it was found */
export async function* fileBytes(source: LocalFile, start: number, end: number): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(source.path);
  await file.seek(start, Deno.SeekMode.Start);
  for (let left = end - start; left > 0;) {
    const buffer = new Uint8Array(Math.min(READ_BYTES, left));
    const read = await file.read(buffer);
    if (read === null) throw changedError(source);
    left -= read;
    if (left === 0) await checkSame(source);
    yield buffer.subarray(0, read);
  }
}

/** @throws {Error} when the file is not as it was found */
export async function checkSame(source: LocalFile): Promise<void> {
  const { size, mtime } = await statFile(source.path);
  if (size !== source.bytes || mtimeOf(mtime) !== source.modifiedMs) throw changedError(source);
}

function changedError({ path }: LocalFile): Error {
  return new Error(`"${path}" changed while it was read; give the same command again when it is at rest`);
}

function mtimeOf(mtime: Date | null): number {
  return mtime?.getTime() ?? 0;
}

/**
 * The files that `path` is or holds, in the order of their names. A folder comes with its own name, unless "/" stands
 * behind it or it has none, as ".".
 */
export async function* localFiles(path: string, recursive: boolean): AsyncGenerator<LocalFile | UnfitFile> {
  const info = await statFile(path);
  if (info.isFile) return yield found(path, basename(path), info);
  if (!info.isDirectory) {
    throw new UsageError(`"${path}" is no file; put what comes out of it through a pipe, as "-"`);
  }
  if (!recursive) throw new UsageError(`"${path}" is a folder; add --recursive to take all that is in it`);
  const name = basename(path);
  const isNamed = !/[/\\]$/.test(path) && name !== "." && name !== "..";
  yield* filesBelow(path, isNamed ? `${name}/` : "");
}

async function* filesBelow(path: string, prefix: string): AsyncGenerator<LocalFile | UnfitFile> {
  let entries: Deno.DirEntry[];
  try {
    entries = await Array.fromAsync(Deno.readDir(path));
  } catch (error) {
    return yield { path, error: unreadable(path, error) };
  }
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    const inside = join(path, entry.name), relative = `${prefix}${entry.name}`;
    // A link to a folder is not followed: it may lead round in a circle.
    if (entry.isDirectory) yield* filesBelow(inside, `${relative}/`);
    else {
      try {
        const info = await statFile(inside);
        if (info.isFile) yield found(inside, relative, info);
        else if (entry.isSymlink && info.isDirectory) {
          yield {
            path: inside,
            error: new Error("It is a link to a folder, which is not followed; name it"),
          };
        }
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        yield { path: inside, error };
      }
    }
  }
}

function found(path: string, relative: string, { size, mtime }: Deno.FileInfo): LocalFile {
  return { path, relative, bytes: size, modifiedMs: mtimeOf(mtime) };
}

async function statFile(path: string): Promise<Deno.FileInfo> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): Error {
  const why = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
  return new Error(`Cannot read "${path}": ${why}`);
}

/** Removes the folder, if all that is left in it are folders without files. */
export async function removeEmpty(folder: string): Promise<void> {
  try {
    if (!(await Deno.lstat(folder)).isDirectory) return;
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      if (isDirectory) await removeEmpty(join(folder, name));
    }
    await Deno.remove(folder);
  } catch (error) {
    // It is gone already, holds more, or is not ours to remove: what was to be moved has been.
    if (!(error instanceof Error) || error instanceof TypeError) throw error;
  }
}

/** Where below `folder` an object goes that is called `relative` there. Never outside of it. */
export function placeBelow(folder: string, relative: string, from: ObjectLocation): string {
  const parts = relative.split("/");
  const isUnfit = parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"));
  if (isUnfit || relative.includes("\\") && Deno.build.os === "windows") {
    throw new Error(
      `"${from.key}" cannot be a file below "${folder}"; get it alone, and name the file that it shall be`,
    );
  }
  return join(folder, ...parts);
}

const TYPES: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  avif: "image/avif",
  css: "text/css",
  csv: "text/csv",
  gif: "image/gif",
  gz: "application/gzip",
  htm: "text/html",
  html: "text/html",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  js: "text/javascript",
  json: "application/json",
  md: "text/markdown",
  mjs: "text/javascript",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  pdf: "application/pdf",
  png: "image/png",
  svg: "image/svg+xml",
  tar: "application/x-tar",
  txt: "text/plain",
  wasm: "application/wasm",
  wav: "audio/wav",
  webm: "video/webm",
  webp: "image/webp",
  xml: "application/xml",
  yaml: "application/yaml",
  yml: "application/yaml",
  zip: "application/zip",
  zst: "application/zstd",
});

/** By the name's end; what nobody knows is bytes. */
export function contentTypeOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return TYPES[name.slice(dot + 1).toLowerCase()] ?? "application/octet-stream";
}
