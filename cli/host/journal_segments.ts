/** The journal's segments as files, and what is asked of the file system that holds them. */
import { join } from "node:path";
import { invariant } from "../../core/base/invariant.ts";
import { readUint32 } from "../../core/base/bytes.ts";
import { SALT_BYTES, type Vault } from "../../core/base/vault.ts";
import { encodeSegmentHeader, type SegmentHeader } from "../../core/wire/journal.ts";
import { OPENING_BYTES, type RecordCipher, recordCipher } from "../../core/wire/journal_cipher.ts";

/** An open segment, as Deno has it. */
export type JournalFile = Pick<
  Deno.FsFile,
  "readSync" | "writeSync" | "seekSync" | "truncateSync" | "syncSync" | "syncDataSync" | "syncData" | "close"
>;

/** What the journal asks of a file system. */
export interface JournalFileSystem {
  /** The names in a directory. */
  list(directory: string): string[];
  read(path: string): Uint8Array;
  open(path: string, options: Deno.OpenOptions): JournalFile;
  remove(path: string): void;
  syncDirectory(path: string): void;
}

export const REAL_FILES: JournalFileSystem = {
  list: (directory) => Array.from(Deno.readDirSync(directory), ({ name }) => name),
  read: (path) => Deno.readFileSync(path),
  open: (path, options) => Deno.openSync(path, options),
  remove: (path) => Deno.removeSync(path),
  syncDirectory,
};

/** An open segment that is written to. */
export interface Segment {
  readonly number: number;
  readonly salt: number;
  /** Of its key; 0: nothing is encrypted in it. */
  readonly generation: number;
  readonly cipher: RecordCipher | null;
  readonly file: JournalFile;
}

/** A segment could not be written or synced. `cause` is the system's error. */
export class JournalWriteError extends Error {
  override readonly name = "JournalWriteError";
  constructor(path: string, cause: unknown) {
    super(`Cannot write the journal "${path}": ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

export function segmentPath(directory: string, number: number): string {
  return join(directory, segmentName(number));
}

export function segmentName(number: number): string {
  return `journal-${String(number).padStart(8, "0")}.log`;
}

/** The numbers of the segments among a directory's names, oldest first. */
export function segmentNumbers(names: readonly string[]): number[] {
  const numbers: number[] = [];
  for (const name of names) {
    const match = /^journal-(\d{8,})\.log$/.exec(name);
    if (match !== null) numbers.push(Number(match[1]));
  }
  return numbers.sort((a, b) => a - b);
}

/** The number of the oldest segment in `directory`, past 1 once a checkpoint was taken; null: there is no journal. */
export function oldestSegment(directory: string): number | null {
  return segmentNumbers(REAL_FILES.list(directory))[0] ?? null;
}

/**
 * Begins a segment with a salt of its own, encrypted with the current generation of `vault`; header and name are durable
 * when this returns (J2).
 * @throws {JournalWriteError}
 */
export function createSegment(
  files: JournalFileSystem,
  directory: string,
  { number, vault, ...place }: Omit<SegmentHeader, "salt" | "key" | "segment"> & {
    readonly number: number;
    readonly vault: Vault;
  },
): Segment {
  const path = segmentPath(directory, number), drawn = crypto.getRandomValues(new Uint8Array(SALT_BYTES));
  const generation = vault.current, salt = readUint32(drawn, 0);
  const key = generation === 0 ? null : { generation, salt: drawn };
  const header = encodeSegmentHeader({ ...place, segment: number, salt, key });
  const cipher = recordCipher(vault, { key, header, opening: drawnOpening() });
  let file: JournalFile | null = null;
  try {
    file = files.open(path, { write: true, createNew: true, mode: 0o600 });
    writeAll(file, header);
    file.syncSync();
    files.syncDirectory(directory);
  } catch (error) {
    file?.close();
    throw new JournalWriteError(path, error);
  }
  return { number, salt, generation, cipher, file };
}

/** C1 in core/wire/journal_cipher.ts. */
export function drawnOpening(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(OPENING_BYTES));
}

export function writeAll(file: JournalFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) {
    const written = file.writeSync(at === 0 ? bytes : bytes.subarray(at));
    invariant(written > 0, "A write that fails says so");
    at += written;
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): void {
  using directory = Deno.openSync(path, { read: true });
  directory.syncSync();
}
