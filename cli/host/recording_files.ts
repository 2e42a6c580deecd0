/** A recording on disk: the parts FILE.000001, FILE.000002 … of the lives of a node, oldest first. */
import { basename, dirname, join, resolve } from "node:path";
import { OPEN_VAULT, type Vault } from "../../core/base/vault.ts";
import {
  PART_HEADER_BYTES,
  type PartHeader,
  PartReader,
  readPartHeader,
  RecordingError,
  type RecordingItem,
} from "../../core/wire/recording.ts";

export interface PartFile {
  readonly path: string;
  readonly number: number;
  readonly bytes: number;
  /** null: a crash left less than a header. */
  readonly header: PartHeader | null;
}

export function partPath(file: string, number: number): string {
  return `${file}.${String(number).padStart(6, "0")}`;
}

/**
 * The parts of the recording `file`, in order.
 * @throws {RecordingError} when one of them is no part of a recording, or of another version
 */
export function listParts(file: string): PartFile[] {
  const directory = dirname(file), prefix = `${basename(file)}.`;
  const numbers: number[] = [];
  for (const { name, isFile } of Deno.readDirSync(directory)) {
    const digits = name.startsWith(prefix) ? name.slice(prefix.length) : "";
    if (isFile && /^\d{6,}$/.test(digits)) numbers.push(Number(digits));
  }
  return numbers.sort((a, b) => a - b).map((number) =>
    openPart(join(directory, partPath(basename(file), number)), number)
  );
}

/** @throws {RecordingError} see readPartHeader() */
export function openPart(path: string, number = 0): PartFile {
  using file = Deno.openSync(path, { read: true });
  const bytes = new Uint8Array(PART_HEADER_BYTES);
  let filled = 0;
  for (let n; filled < bytes.length && (n = file.readSync(bytes.subarray(filled))) !== null;) filled += n;
  const { size } = file.statSync();
  const torn = bytes.subarray(0, filled).every((byte) => byte === 0);
  const header = torn ? null : readPartHeader(path, bytes.subarray(0, filled));
  return { path, number, bytes: size, header };
}

/** The parts of one life, in order. */
export class LifeFiles {
  readonly parts: PartFile[] = [];
  readonly header: PartHeader;
  readonly #vault: Vault;

  constructor(header: PartHeader, vault: Vault) {
    this.header = header;
    this.#vault = vault;
  }

  /**
   * Reads the life from its beginning, one part at a time.
   * @throws {RecordingError} where it is damaged, or encrypted with a key that is not there
   */
  *items(): Generator<RecordingItem> {
    for (const [i, { path }] of this.parts.entries()) {
      const last = i === this.parts.length - 1;
      const reader = new PartReader({ file: path, bytes: Deno.readFileSync(path), last }, this.#vault);
      for (let items; (items = reader.next()) !== null;) yield* items;
    }
  }
}

/**
 * The lives in `names`, in the order given: names of parts, or of whole recordings as they were given to --record.
 * `vault` opens those that are encrypted.
 * @throws {RecordingError} when a name is no recording, or a part is missing
 */
export function findLives(names: readonly string[], vault: Vault = OPEN_VAULT): LifeFiles[] {
  const parts = new Map<string, PartFile>();
  for (const name of names) for (const part of partsNamed(name)) parts.set(resolve(part.path), part);
  const lives: LifeFiles[] = [];
  for (const part of parts.values()) {
    const { path, header } = part;
    // A crash just as the part was begun.
    if (header === null) continue;
    let life = lives.at(-1);
    if (life === undefined || life.header.life !== header.life) {
      life = new LifeFiles(header, vault);
      lives.push(life);
    }
    const due = life.parts.length + 1;
    if (header.part !== due) {
      throw new RecordingError(
        path,
        0,
        `Cannot replay "${path}": it is part ${header.part} of a life of node "${header.node}", and part ${due} is ` +
          `missing. Name all parts, in order`,
      );
    }
    life.parts.push(part);
  }
  return lives;
}

function partsNamed(name: string): PartFile[] {
  try {
    if (Deno.statSync(name).isFile) return [openPart(name)];
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    const parts = listParts(name);
    if (parts.length > 0) return parts;
  }
  throw new RecordingError(
    name,
    0,
    `No recording "${name}" is here. Name files that a node wrote with --record`,
  );
}
