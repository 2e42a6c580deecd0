/**
 * The manifest: which files are live, and whose the tables are. Written anew as a whole each time, with a salt of its
 * own, and put in the place of the one before by a rename.
 *
 *     magic | u32 format | u32 length of the header | u32 generation | salt | owner | u32 CRC-32 of what is before it
 *     sealed  u48 next number | u32 files | files, with the header as additional data
 *
 * The owner is clear, so that tables of another network are told from damage without its keys.
 */
import { compareBytes, equalBytes, readUint32, utf8Decode, utf8Encode, writeUint32 } from "../base/bytes.ts";
import { crc32 } from "../base/hash.ts";
import { SALT_BYTES, type Vault } from "../base/vault.ts";
import { TABLES_VERSION, TablesCorruptError, type TablesOwner, TablesVersionError } from "./errors.ts";
import type { TableFiles } from "./files.ts";
import { Packer, Unpacker } from "./packing.ts";
import { PART, Seal } from "./seal.ts";
import { HEADER_BYTES } from "./sorted_file.ts";
import { type FileInfo, LEVELS } from "./version.ts";

export const MANIFEST = "manifest";
export const NEW_MANIFEST = "manifest.new";

const MAGIC = utf8Encode("SPOPTBM\n");
/** Magic, format, length of the header. */
const FIXED_BYTES = 16;
/** Of an owner's text, and of a header: bounds before anything is believed. */
const TEXT_BYTES_MAX = 4096;
const HEADER_BYTES_MAX = 16 * 1024;

export interface Manifest {
  /** null: whoever opens the tables next. */
  readonly owner: TablesOwner | null;
  readonly generation: number;
  /** No file has had this number or one above it. */
  readonly nextNumber: number;
  readonly files: readonly FileInfo[];
}

/** Durable when this returns, and all names with it. The files that it names are durable before (S2). */
export function writeManifest(
  { files, vault }: { files: TableFiles; vault: Vault },
  manifest: Omit<Manifest, "generation">,
): void {
  const sealed = { generation: vault.current, salt: files.salt() };
  const header = encodeHeader(manifest.owner, sealed);
  const body = new Seal(vault, sealed).seal(PART.manifest, 0, encodeBody(manifest), header);
  if (files.list().includes(NEW_MANIFEST)) files.remove(NEW_MANIFEST);
  const file = files.create(NEW_MANIFEST);
  try {
    file.append(header);
    file.append(body);
    file.sync();
  } finally {
    file.close();
  }
  files.rename(NEW_MANIFEST, MANIFEST);
  files.syncDirectory();
}

/**
 * null: there is none.
 * @throws {TablesCorruptError | TablesVersionError | UnknownKeyError}
 */
export function readManifest({ files, vault }: { files: TableFiles; vault: Vault }): Manifest | null {
  const bytes = readWhole(files, MANIFEST);
  if (bytes === null) return null;
  const path = files.describe(MANIFEST);
  const header = checkedHeader(bytes, path);
  try {
    const from = new Unpacker(header, FIXED_BYTES);
    const generation = from.uint32(), salt = from.raw(SALT_BYTES), owner = readOwner(from);
    // What is put there by others is not taken for less private than it has to be.
    if (generation === 0 && vault.current !== 0) {
      throw new TablesCorruptError(path, "it is not encrypted, and the network is private");
    }
    const seal = new Seal(vault, { generation, salt });
    const body = seal.open(PART.manifest, 0, bytes.subarray(header.length), header);
    if (body === null) {
      const what = generation === 0
        ? "the checksum of its list of files is wrong"
        : `the seal of its list of files is wrong, or key generation ${generation} has another secret`;
      throw new TablesCorruptError(path, what);
    }
    return { owner, generation, ...decodeBody(body) };
  } catch (error) {
    // Of what is sealed nothing ends too early unless it was written so.
    if (error instanceof RangeError) throw new TablesCorruptError(path, error.message, { cause: error });
    throw error;
  }
}

/** Whose the tables are, without their keys; null: nobody's, or there is no manifest. */
export function readManifestOwner(files: TableFiles): TablesOwner | null {
  const bytes = readWhole(files, MANIFEST);
  if (bytes === null) return null;
  const from = new Unpacker(checkedHeader(bytes, files.describe(MANIFEST)), FIXED_BYTES + 4 + SALT_BYTES);
  return readOwner(from);
}

function readWhole(files: TableFiles, name: string): Uint8Array | null {
  const file = files.open(name);
  if (file === null) return null;
  try {
    const bytes = new Uint8Array(file.size());
    return bytes.subarray(0, file.read(0, bytes));
  } finally {
    file.close();
  }
}

function encodeHeader(
  owner: TablesOwner | null,
  { generation, salt }: { generation: number; salt: Uint8Array },
): Uint8Array {
  const packer = new Packer();
  packer.raw(MAGIC);
  packer.uint32(TABLES_VERSION);
  packer.uint32(0);
  packer.uint32(generation);
  packer.raw(salt);
  packer.uint8(owner === null ? 0 : 1);
  for (const text of owner === null ? [] : [owner.node, owner.network, owner.disk]) {
    packer.bytes(utf8Encode(text));
  }
  packer.uint32(0);
  const header = packer.finish();
  writeUint32(header, 12, header.length);
  writeUint32(header, header.length - 4, crc32(header.subarray(0, header.length - 4)));
  return header;
}

/** The header with its checksum right. Formats to come begin like this one, so that it is told from damage. */
function checkedHeader(bytes: Uint8Array, path: string): Uint8Array {
  const length = bytes.length < FIXED_BYTES ? 0 : readUint32(bytes, 12);
  if (length <= FIXED_BYTES || length > Math.min(bytes.length, HEADER_BYTES_MAX)) {
    throw new TablesCorruptError(path, "it has no header");
  }
  const header = bytes.subarray(0, length);
  if (!equalBytes(header.subarray(0, MAGIC.length), MAGIC)) {
    throw new TablesCorruptError(path, "it does not begin as a manifest does");
  }
  if (crc32(header.subarray(0, length - 4)) !== readUint32(header, length - 4)) {
    throw new TablesCorruptError(path, "the checksum of its header is wrong");
  }
  const version = readUint32(header, MAGIC.length);
  if (version !== TABLES_VERSION) throw new TablesVersionError(path, version);
  return header;
}

function readOwner(from: Unpacker): TablesOwner | null {
  if (from.uint8() === 0) return null;
  const text = () => {
    const bytes = from.bytes();
    if (bytes.length > TEXT_BYTES_MAX) throw new RangeError("A name in it is too long");
    return utf8Decode(bytes);
  };
  return { node: text(), network: text(), disk: text() };
}

function encodeBody({ nextNumber, files }: Omit<Manifest, "generation">): Uint8Array {
  const packer = new Packer();
  packer.uint48(nextNumber);
  packer.uint32(files.length);
  for (const file of files) {
    packer.uint48(file.number);
    packer.uint8(file.level);
    packer.uint48(file.age);
    packer.uint32(file.generation);
    packer.raw(file.salt);
    packer.uint48(file.bytes);
    packer.uint32(file.rows);
    packer.uint32(file.spans);
    packer.uint48(file.tailAt);
    packer.bytes(file.first);
    packer.bytes(file.end);
  }
  return packer.finish();
}

function decodeBody(body: Uint8Array): Pick<Manifest, "nextNumber" | "files"> {
  const from = new Unpacker(body), nextNumber = from.uint48(), files: FileInfo[] = [];
  for (let left = from.count(SALT_BYTES); left > 0; left--) files.push(readFile(from));
  const numbers = new Set(files.map(({ number }) => number));
  if (numbers.size < files.length) throw new RangeError("It names a file twice");
  for (const number of numbers) {
    if (number >= nextNumber) {
      throw new RangeError(`It names file ${number}, and the next one is ${nextNumber}`);
    }
  }
  if (!from.ended) throw new RangeError("It goes on behind its end");
  return { nextNumber, files };
}

function readFile(from: Unpacker): FileInfo {
  const number = from.uint48(), level = from.uint8();
  if (level >= LEVELS) throw new RangeError(`It names level ${level}`);
  const file = {
    number,
    level,
    age: from.uint48(),
    generation: from.uint32(),
    salt: from.raw(SALT_BYTES).slice(),
    bytes: from.uint48(),
    rows: from.uint32(),
    spans: from.uint32(),
    tailAt: from.uint48(),
    first: from.bytes().slice(),
    end: from.bytes().slice(),
  };
  if (file.tailAt < HEADER_BYTES || file.bytes < file.tailAt) {
    throw new RangeError(`The lengths of file ${number} contradict each other`);
  }
  if (compareBytes(file.first, file.end) >= 0) throw new RangeError(`File ${number} ends before it begins`);
  return file;
}
