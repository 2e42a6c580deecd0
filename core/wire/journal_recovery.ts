/** Reads a journal back after a stop of any kind. The format and its rules J1 to J9 are in journal.ts. */
import type { NodeId } from "../base/ids.ts";
import { OPEN_VAULT, UnknownKeyError, type Vault } from "../base/vault.ts";
import { Reader, WireError } from "./cbor.ts";
import {
  JOURNAL_VERSION,
  offsetOfRecord,
  PART,
  provesDurable,
  type RawRecord,
  readRawRecord,
  readSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  type SegmentKey,
  type SegmentStart,
} from "./journal.ts";
import { type RecordCipher, recordCipher } from "./journal_cipher.ts";
import { JournalState } from "./journal_state.ts";
import type { JournalRecord, Recovered } from "./kernel.ts";
import { readRecord } from "./record_codec.ts";

/** A journal that must not be used as it is. `file` and `offset` (in bytes) say where that was seen. */
export class JournalError extends Error {
  override readonly name: string = "JournalError";
  constructor(readonly file: string, readonly offset: number, message: string) {
    super(message);
  }
}

/** Something that had been durable cannot be read. */
export class JournalCorruptError extends JournalError {
  override readonly name = "JournalCorruptError";
  constructor(file: string, offset: number, what: string) {
    super(
      file,
      offset,
      `Journal file "${file}" is damaged at byte ${offset}: ${what}`,
    );
  }
}

/** The journal was written by another build: a newer one, or one too old to be read. */
export class JournalVersionError extends JournalError {
  override readonly name = "JournalVersionError";
  constructor(file: string, readonly version: number) {
    super(
      file,
      0,
      `Journal file "${file}" has format ${version} and this build reads up to ${JOURNAL_VERSION}. Start the build that wrote it`,
    );
  }
}

/** The journal is another node's. */
export class JournalOwnerError extends JournalError {
  override readonly name = "JournalOwnerError";
  constructor(file: string, readonly owner: NodeId, expected: NodeId) {
    super(
      file,
      0,
      `Journal file "${file}" belongs to node "${owner}", not to "${expected}". Start the node with its own data directory`,
    );
  }
}

/** The keyring does not open the journal: it lacks the generation, or has another secret under its number. */
export class JournalKeyError extends JournalError {
  override readonly name = "JournalKeyError";
  constructor(file: string, offset: number, readonly generation: number, what: string) {
    super(
      file,
      offset,
      `Journal file "${file}" is encrypted with key generation ${generation}, ${what}. Restore the keyring.json that ` +
        `belongs to this data directory`,
    );
  }
}

/** The journal is not encrypted where the network's keys are: no crash makes it so, somebody put the file there. */
export class JournalPlainError extends JournalError {
  override readonly name = "JournalPlainError";
  constructor(file: string) {
    super(
      file,
      0,
      `Journal file "${file}" is not encrypted, and the network of this data directory is private: another file was put ` +
        `in its place, or its header was altered. Restore the directory from a copy, or start anew on an empty one`,
    );
  }
}

export interface JournalSegment {
  /** For messages: the file's name. */
  readonly name: string;
  /** By its name. A header that says another is what a removed segment left on the disk, and counts as none. */
  readonly number?: number;
  /** Read once, before recovery ends; nothing recovered refers to them afterwards. */
  readonly bytes: Uint8Array;
}

export interface JournalRecovery {
  readonly recovered: Recovered;
  /** The sequence of the last whole record; 0 where there is none. */
  readonly lastSequence: number;
  /** The segment to go on with, and where it ends once the tail is cut; null: begin with segment 1. */
  readonly append: {
    readonly name: string;
    readonly segment: number;
    readonly salt: number;
    /** null: nothing is encrypted in it. */
    readonly key: SegmentKey | null;
    readonly offset: number;
    /** Bytes from here to `offset` are whole and proven by nothing: to be written again (J9). */
    readonly unproven: number;
    /** Below JOURNAL_VERSION: to go on, begin a new segment without a head. */
    readonly version: number;
  } | null;
  /** Bytes to cut before anything else is written (J5). A segment cut at 0 is deleted. */
  readonly tail: { readonly segment: string; readonly cutAt: number; readonly bytes: number } | null;
  /** The segments that were read, oldest first, and the key generation of each; 0: none. */
  readonly generations: readonly { readonly segment: number; readonly generation: number }[];
}

/**
 * Recovers a journal from its segments, oldest first.
 * @throws {JournalCorruptError | JournalVersionError | JournalOwnerError | JournalKeyError | JournalPlainError}
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { nodeId } from "../base/ids.ts";
 * import { encodeSegmentHeader } from "./journal.ts";
 * const node = nodeId("sirius");
 * const bytes = encodeSegmentHeader({ node, segment: 1, firstSequence: 1, salt: 5 });
 * const { lastSequence, append, tail } = recoverJournal([{ name: "journal-1", bytes }], node);
 * assert.deepEqual([lastSequence, append?.offset, tail], [0, 128, null]);
 * ```
 */
export function recoverJournal(
  segments: readonly JournalSegment[],
  node: NodeId,
  vault: Vault = OPEN_VAULT,
): JournalRecovery {
  const replay = new JournalReplay(node, vault);
  for (let i = startSegment(segments); i < segments.length; i++) {
    replay.add(segments[i]!, i === segments.length - 1);
  }
  return replay.finish();
}

/** The position of the segment that recovery starts at (J6). */
function startSegment(segments: readonly JournalSegment[]): number {
  for (let i = segments.length - 1; i > 0; i--) {
    if (isCheckpointed(segments[i]!)) return i;
  }
  return 0;
}

/**
 * True where recovery may start at this segment: it is the first of all, or its checkpoint is complete. A host that
 * reads one file at a time looks from the newest to the oldest for the first such, and feeds a JournalReplay from there.
 * @throws {JournalVersionError}
 */
export function isCheckpointed(segment: JournalSegment): boolean {
  const { name, bytes } = segment;
  const start = startOf(segment);
  if (start.kind === "version") throw new JournalVersionError(name, start.version);
  if (start.kind === "damaged") return false;
  if (start.header.segment === 1) return true;
  const { salt, firstSequence } = start.header;
  let at = SEGMENT_HEADER_BYTES;
  for (let due = firstSequence;; due++) {
    const raw = readRawRecord(bytes, at, salt);
    if (raw === null || raw.sequence !== due) return false;
    if (raw.part === PART.mark) return true;
    at = raw.end;
  }
}

function startOf({ bytes, number }: JournalSegment): SegmentStart {
  const start = readSegmentHeader(bytes);
  if (start.kind !== "segment" || number === undefined || start.header.segment === number) return start;
  return { kind: "damaged" };
}

/** Recovery segment by segment, from the one to start at to the newest; keeps no segment's bytes. */
export class JournalReplay {
  readonly #node: NodeId;
  readonly #vault: Vault;
  readonly #state = new JournalState();
  readonly #generations: { readonly segment: number; readonly generation: number }[] = [];
  /** The sequence due next; 0 before the first segment. */
  #due = 0;
  /** The last sequence that is known to have been durable. */
  #proven = 0;
  #append: JournalRecovery["append"] = null;
  #tail: JournalRecovery["tail"] = null;

  constructor(node: NodeId, vault: Vault = OPEN_VAULT) {
    this.#node = node;
    this.#vault = vault;
  }

  /** @throws {JournalCorruptError | JournalVersionError | JournalOwnerError | JournalKeyError | JournalPlainError} */
  add(segment: JournalSegment, last: boolean): void {
    const { name, bytes } = segment;
    const header = this.#open(segment, last);
    if (header === null) return;
    const first = this.#append === null, cipher = this.#cipherOf(segment, header);
    // J2: what lies before this segment had been durable, and so had its header when something follows it.
    this.#proven = Math.max(this.#proven, header.firstSequence - 1);
    let at = SEGMENT_HEADER_BYTES;
    while (at < bytes.length) {
      const raw = readRawRecord(bytes, at, header.salt);
      if (raw === null || raw.sequence !== this.#due) {
        this.#cut(segment, at, header.salt, last);
        break;
      }
      const payload = opened(raw, { cipher, key: header.key, name, at });
      if (raw.part === PART.live || (raw.part === PART.head && first)) {
        this.#apply(name, at, raw.sequence, payload);
      }
      this.#proven = Math.max(this.#proven, raw.durableUpTo);
      this.#due++;
      at = raw.end;
    }
    this.#state.own();
    const unproven = at === SEGMENT_HEADER_BYTES
      ? 0
      : offsetOfRecord(bytes, { first: header.firstSequence, sequence: this.#proven + 1 });
    const { segment: number, salt, key, version } = header;
    this.#append = { name, segment: number, salt, key, offset: at, unproven, version };
    this.#generations.push({ segment: number, generation: key?.generation ?? 0 });
  }

  finish(): JournalRecovery {
    return {
      recovered: this.#state.recovered(),
      lastSequence: Math.max(0, this.#due - 1),
      append: this.#append,
      tail: this.#tail,
      generations: this.#generations,
    };
  }

  /** The header; null where the segment is nothing but a torn one. */
  #open(segment: JournalSegment, last: boolean): Required<SegmentHeader> | null {
    const { name, bytes } = segment;
    const start = startOf(segment);
    if (start.kind === "version") throw new JournalVersionError(name, start.version);
    if (start.kind === "damaged") {
      // J2: with anything behind it, the header had been whole.
      if (!last || bytes.length > SEGMENT_HEADER_BYTES) {
        throw new JournalCorruptError(name, 0, "its header cannot be read");
      }
      this.#tail = { segment: name, cutAt: 0, bytes: bytes.length };
      return null;
    }
    const { header } = start;
    if (header.node !== this.#node) throw new JournalOwnerError(name, header.node, this.#node);
    if (this.#due === 0) {
      if (header.segment !== 1 && !isCheckpointed(segment)) {
        throw new JournalCorruptError(
          name,
          SEGMENT_HEADER_BYTES,
          "its checkpoint is incomplete and no older segment is left",
        );
      }
      this.#due = header.firstSequence;
    }
    if (header.firstSequence !== this.#due) {
      const what =
        `it begins with record ${header.firstSequence} where ${this.#due} is due, a segment before it is missing`;
      throw new JournalCorruptError(name, 0, what);
    }
    return header;
  }

  /** What is at `at` cannot be read: a torn end, or damage (J7). */
  #cut({ name, bytes }: JournalSegment, at: number, salt: number, last: boolean): void {
    const due = this.#due;
    if (!last) {
      throw new JournalCorruptError(name, at, `record ${due} cannot be read, and a newer segment exists`);
    }
    if (provesDurable(bytes, { from: at, sequence: due, salt })) {
      throw new JournalCorruptError(
        name,
        at,
        `record ${due} cannot be read, and later ones prove that it was durable`,
      );
    }
    this.#tail = { segment: name, cutAt: at, bytes: bytes.length - at };
  }

  #cipherOf({ name, bytes }: JournalSegment, { key }: Required<SegmentHeader>): RecordCipher | null {
    if (key === null && this.#vault.current !== 0) throw new JournalPlainError(name); // C5
    try {
      return recordCipher(this.#vault, {
        key,
        header: bytes.subarray(0, SEGMENT_HEADER_BYTES),
        opening: null,
      });
    } catch (error) {
      if (!(error instanceof UnknownKeyError)) throw error;
      throw new JournalKeyError(name, 0, error.generation, "which is not in the keyring");
    }
  }

  #apply(name: string, at: number, sequence: number, payload: Uint8Array): void {
    for (const record of decodeRecords(name, at, sequence, payload)) {
      const wrong = this.#state.apply(record);
      if (wrong !== null) throw new JournalCorruptError(name, at, wrong);
    }
  }
}

/** What the payload of a record says, checked as far as its segment's key can (C3, C4 in journal_cipher.ts). */
function opened(
  raw: RawRecord,
  { cipher, key, name, at }: {
    cipher: RecordCipher | null;
    key: SegmentKey | null;
    name: string;
    at: number;
  },
): Uint8Array {
  if (cipher === null) return raw.payload;
  const payload = cipher.decrypt(raw.place, raw.payload);
  if (payload !== null) return payload;
  // Where a record of the segment did open, the key is right.
  if (at === SEGMENT_HEADER_BYTES) {
    const what = "and does not open with what the keyring has for it";
    throw new JournalKeyError(name, at, key!.generation, what);
  }
  throw new JournalCorruptError(
    name,
    at,
    `record ${raw.sequence} is not as it was encrypted, though its checksum is right`,
  );
}

/** The checksum was right: a payload that does not decode was written so, and no crash explains it. */
function decodeRecords(name: string, at: number, sequence: number, payload: Uint8Array): JournalRecord[] {
  try {
    return readBatch(payload);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new JournalCorruptError(name, at, `record ${sequence} does not decode (${error.message})`);
  }
}

/** The node's records in the payload of one of the journal's. @throws {WireError} */
export function readBatch(payload: Uint8Array): JournalRecord[] {
  const reader = new Reader(payload), records = [readRecord(reader)];
  while (!reader.done) records.push(readRecord(reader));
  return records;
}
