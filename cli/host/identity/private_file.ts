/**
 * Files that only their owner may read. They are written whole or not at all, and one that others may read is refused
 * rather than used: whoever could read it may have.
 */
import { dirname } from "node:path";
import { syncDirectory, writeAll } from "../journal_segments.ts";

/**
 * rights: others may read it. size: longer than such a file is. kind: no plain file. unreadable: the system refuses;
 * `cause` is its error.
 */
export type PrivateFileErrorReason = "rights" | "size" | "kind" | "unreadable";

export class PrivateFileError extends Error {
  override readonly name = "PrivateFileError";
  constructor(readonly reason: PrivateFileErrorReason, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** What group and others may do with a file. */
const OTHERS = 0o077;

/**
 * The bytes of a file; null where there is none.
 * @throws {PrivateFileError}
 */
export function readPrivateFile(path: string, bytesMax: number): Uint8Array | null {
  try {
    // Looked at before it is opened: to open a pipe waits until somebody writes into it.
    checkKind(path, Deno.statSync(path));
    using file = Deno.openSync(path, { read: true });
    const { mode, size, ...info } = file.statSync();
    checkKind(path, info);
    checkRights(path, mode);
    if (size > bytesMax) {
      throw new PrivateFileError("size", `"${path}" has ${size} bytes, where ${bytesMax} are allowed`);
    }
    return readWhole(path, file, size);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    if (error instanceof PrivateFileError || error instanceof Deno.errors.NotCapable) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new PrivateFileError("unreadable", `Cannot read "${path}": ${why}`, { cause: error });
  }
}

/** Written whole or not at all, and durable when this returns. Errors are the system's. */
export function writePrivateFile(path: string, bytes: Uint8Array): void {
  const draft = `${path}.new`;
  removePrivateDraft(path);
  // Made anew, so that neither the rights of a file that was there count nor a link leads elsewhere.
  using file = Deno.openSync(draft, { write: true, createNew: true, mode: 0o600 });
  writeAll(file, bytes);
  file.syncSync();
  Deno.renameSync(draft, path);
  syncDirectory(dirname(path));
}

/** Removes what a write that was cut off left beside `path`. */
export function removePrivateDraft(path: string): void {
  try {
    Deno.removeSync(`${path}.new`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function checkKind(path: string, { isFile }: Pick<Deno.FileInfo, "isFile">): void {
  if (!isFile) throw new PrivateFileError("kind", `"${path}" is not a file`);
}

/** `mode` is null where the system has no such rights. */
function checkRights(path: string, mode: number | null): void {
  if (mode === null || (mode & OTHERS) === 0) return;
  throw new PrivateFileError(
    "rights",
    `"${path}" may be used by others (mode ${
      (mode & 0o777).toString(8)
    }). Run: chmod 600 "${path}". If others may ` +
      `have read it, replace the secrets in it`,
  );
}

function readWhole(path: string, file: Deno.FsFile, size: number): Uint8Array {
  const bytes = new Uint8Array(size + 1);
  let length = 0;
  for (let read; length < bytes.length && (read = file.readSync(bytes.subarray(length))) !== null;) {
    length += read;
  }
  if (length > size) throw new PrivateFileError("size", `"${path}" grew while it was read. Try again`);
  return bytes.slice(0, length);
}
