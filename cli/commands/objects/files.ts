/** Local files as bodies of objects, and what their names tell of their content. */
import { basename, join } from "node:path";
import type { ObjectLocation } from "./location.ts";
import { UsageError } from "../errors.ts";

const READ_BYTES = 1024 * 1024;

/** Bytes of a file from `start` up to without `end`. @throws {Error} when it has become shorter */
export async function* fileBytes(path: string, start: number, end: number): AsyncGenerator<Uint8Array> {
  using file = await Deno.open(path);
  await file.seek(start, Deno.SeekMode.Start);
  for (let left = end - start; left > 0;) {
    const buffer = new Uint8Array(Math.min(READ_BYTES, left));
    const read = await file.read(buffer);
    if (read === null) throw new Error(`"${path}" became shorter while it was read; put it again`);
    left -= read;
    yield buffer.subarray(0, read);
  }
}

export interface LocalFile {
  readonly path: string;
  /** What it is called under what was named: with "/" between folders. */
  readonly relative: string;
  readonly bytes: number;
}

/** The files that `path` is or holds, in the order of their names. */
export async function* localFiles(path: string, recursive: boolean): AsyncGenerator<LocalFile> {
  const info = await statFile(path);
  if (info.isFile) return yield { path, relative: basename(path), bytes: info.size };
  if (!info.isDirectory) throw new UsageError(`"${path}" is neither a file nor a folder`);
  if (!recursive) throw new UsageError(`"${path}" is a folder; add --recursive to take all that is in it`);
  yield* filesBelow(path, "");
}

async function* filesBelow(path: string, prefix: string): AsyncGenerator<LocalFile> {
  const entries = await Array.fromAsync(Deno.readDir(path));
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const entry of entries) {
    const inside = join(path, entry.name), relative = `${prefix}${entry.name}`;
    // A link to a folder is not followed: it may lead round in a circle.
    if (entry.isDirectory) yield* filesBelow(inside, `${relative}/`);
    else {
      const info = await statFile(inside);
      if (info.isFile) yield { path: inside, relative, bytes: info.size };
    }
  }
}

async function statFile(path: string): Promise<Deno.FileInfo> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new Error(`Cannot read "${path}": ${why}`);
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
