/**
 * The bytes of a flight recording: what one node was told, step by step, and what came of it. A recording is a series
 * of parts (files). Each life of a node, from the making of its kernel to its end, begins a part of its own:
 *
 *     part     header of 512 bytes: magic | u32 format | u32 salt | u32 CRC-32 |
 *                [node, life, part of that life, wire version, journal version, program, network, key] | zeros
 *     key      null, or [generation, salt of 32 bytes], of which the first four are the part's salt
 *              frame …
 *     frame    u32 length | u32 number | u32 CRC-32 of these two | u32 CRC-32 of the payload | payload
 *     payload  count | item …      items in canonical CBOR, see RecordingItem
 *
 * Numbers are big-endian. Checksums start from the part's salt, drawn at random. Where there is a key, payloads are
 * encrypted (journal_cipher.ts), bound to the part's header and their frame's number; the header is not, so that it can
 * be told whose recording this is and which key opens it.
 *
 * Invariants
 *  G1  A life is: `life`, then `record` items (as many as `life` says), then steps in order. `rows` and `begun` come
 *      anywhere after `life`: the tables are copied while the node runs already, from a snapshot of its beginning.
 *      Without `begun` nothing can be replayed. `end` is the last item, where there is one.
 *  G2  Frames of a part are numbered from 0 and parts of a life from 1, without gaps.
 *  G3  What a kill leaves is the first bytes of what would have been written. So a frame whose header is whole and
 *      right and whose payload goes past the end, or a header cut short, or nothing but zeros to the end, is torn if
 *      it lies in the last part of its life: it is cut. Everything else that cannot be read is damage.
 *  G4  Hostile bytes throw RecordingError and nothing else, and never more is allocated than the part is long.
 */
import { equalBytes, isZero, readUint32, utf8Encode, writeUint32 } from "../base/bytes.ts";
import { crc32 } from "../base/hash.ts";
import type { NodeId } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import { OPEN_VAULT, SALT_BYTES, UnknownKeyError, type Vault } from "../base/vault.ts";
import { encode, Reader, WireError } from "./cbor.ts";
import { JOURNAL_VERSION, type SegmentKey } from "./journal.ts";
import { placeOf, type RecordCipher, recordCipher } from "./journal_cipher.ts";
import { readItem, type RecordingItem } from "./recording_items.ts";
import { WIRE_VERSION } from "./tags.ts";

export * from "./recording_items.ts";

/** Raised with every change of the format that an older build could misread. */
export const RECORDING_VERSION = 2;

const MAGIC = utf8Encode("SPOPREC\n");
export const PART_HEADER_BYTES = 512;
/** Behind magic, format, salt and checksum. */
const PART_BODY_AT = 20;
export const ITEM_FRAME_HEADER_BYTES = 16;
const PROGRAM_BYTES_MAX = 64;
const LIFE_BYTES_MAX = 32;
const NETWORK_BYTES_MAX = 64;

/** A recording that cannot be used. `file` and `offset` (in bytes) say where that was seen. */
export class RecordingError extends Error {
  override readonly name = "RecordingError";
  constructor(readonly file: string, readonly offset: number, message: string) {
    super(message);
  }
}

export interface PartHeader {
  readonly node: NodeId;
  /** Names one life of one node: printable, drawn at random. */
  readonly life: string;
  /** 1 for the first part of that life. */
  readonly part: number;
  /** The build that wrote it. */
  readonly program: string;
  /** 32 bits drawn at random; of an encrypted part the first of its key's salt. */
  readonly salt: number;
  /** Empty where it is not known. */
  readonly network: string;
  /** null: nothing is encrypted. */
  readonly key: SegmentKey | null;
}

/** Of a part of an open network unless it says otherwise. */
export type NewPart = Omit<PartHeader, "network" | "key"> & Partial<Pick<PartHeader, "network" | "key">>;

/** The first bytes of a part. */
export function encodePartHeader(
  { node, life, part, program, salt, network = "", key = null }: NewPart,
): Uint8Array {
  invariant(key === null || readUint32(key.salt, 0) === salt, "A part's salt begins its key's");
  const bytes = new Uint8Array(PART_HEADER_BYTES);
  bytes.set(MAGIC);
  writeUint32(bytes, 8, RECORDING_VERSION);
  writeUint32(bytes, 12, salt);
  const keyWire = key === null ? null : [key.generation, key.salt];
  const body = [node, life, part, WIRE_VERSION, JOURNAL_VERSION, program, network, keyWire];
  bytes.set(encode(body), PART_BODY_AT);
  writeUint32(bytes, 16, headerChecksum(bytes));
  return bytes;
}

/**
 * Reads the header of the part in `file`.
 * @throws {RecordingError} when it is no part, damaged, or of a format or version that this build cannot replay
 */
export function readPartHeader(file: string, bytes: Uint8Array): PartHeader {
  const refuse = (message: string): never => {
    throw new RecordingError(file, 0, `Cannot replay "${file}": ${message}`);
  };
  if (bytes.length < MAGIC.length || !equalBytes(bytes.subarray(0, MAGIC.length), MAGIC)) {
    return refuse("it is no recording. Name files that a node wrote with --record");
  }
  const cutShort = "its header is cut short, and there is nothing behind it";
  if (bytes.length < PART_BODY_AT) return refuse(cutShort);
  const format = readUint32(bytes, 8);
  // A newer format may lay out everything behind its number in another way.
  if (format !== RECORDING_VERSION) {
    return refuse(
      `it has format ${format} and this build reads ${RECORDING_VERSION}. Use the build that wrote it`,
    );
  }
  if (bytes.length < PART_HEADER_BYTES) return refuse(cutShort);
  if (readUint32(bytes, 16) !== headerChecksum(bytes)) return refuse("its header is damaged");
  const reader = new Reader(bytes.subarray(PART_BODY_AT, PART_HEADER_BYTES));
  try {
    reader.tuple(8);
    const node = reader.nodeId(), life = reader.token(LIFE_BYTES_MAX), part = reader.integer();
    const wire = reader.integer(), journal = reader.integer(), program = reader.text(PROGRAM_BYTES_MAX);
    if (wire !== WIRE_VERSION || journal !== JOURNAL_VERSION) {
      return refuse(
        `version ${program} wrote it with wire version ${wire} and journal version ${journal}, and this build has ` +
          `${WIRE_VERSION} and ${JOURNAL_VERSION}. Use the build that wrote it`,
      );
    }
    const network = reader.text(NETWORK_BYTES_MAX);
    const salt = readUint32(bytes, 12);
    return { node, life, part, program, salt, network, key: readKey(reader, salt) };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return refuse(`its header makes no sense: ${error.message}`);
  }
}

function readKey(reader: Reader, begun: number): SegmentKey | null {
  if (reader.skipNull()) return null;
  reader.tuple(2);
  const generation = reader.integer(), salt = reader.bytes(SALT_BYTES);
  if (generation === 0 || salt.length !== SALT_BYTES || readUint32(salt, 0) !== begun) {
    reader.fail("range", "It names no key");
  }
  return { generation, salt: salt.slice() };
}

/**
 * Of the part with this header. `opening`: drawn for it, null where it is only read.
 * @throws {UnknownKeyError}
 */
export function partCipher(
  vault: Vault,
  header: PartHeader,
  opening: Uint8Array | null,
): RecordCipher | null {
  return recordCipher(vault, {
    purpose: "recording",
    key: header.key,
    header: encodePartHeader(header),
    opening,
  });
}

/** Of all but the magic and the checksum itself. */
function headerChecksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(PART_BODY_AT, PART_HEADER_BYTES), crc32(bytes.subarray(8, 16)));
}

/**
 * The frame that holds `items`, encoded by encodeItem().
 * @throws {RangeError} when they are longer than LIMITS.recordingFrameBytesMax
 */
export function encodeItemFrame(
  items: readonly Uint8Array[],
  { number, salt, cipher = null }: {
    readonly number: number;
    readonly salt: number;
    /** Of the part; null or none: nothing is encrypted. */
    readonly cipher?: RecordCipher | null;
  },
): Uint8Array {
  const count = encode(items.length);
  let length = count.length;
  for (const item of items) length += item.length;
  if (length > LIMITS.recordingFrameBytesMax) {
    throw new RangeError(
      `A frame of a recording holds up to ${LIMITS.recordingFrameBytesMax} bytes, not ${length}`,
    );
  }
  const text = new Uint8Array(length);
  text.set(count);
  let at = count.length;
  for (const item of items) {
    text.set(item, at);
    at += item.length;
  }
  const payload = cipher === null ? text : cipher.encrypt(placeOf(number), text);
  const bytes = new Uint8Array(ITEM_FRAME_HEADER_BYTES + payload.length);
  bytes.set(payload, ITEM_FRAME_HEADER_BYTES);
  writeUint32(bytes, 0, payload.length);
  writeUint32(bytes, 4, number);
  writeUint32(bytes, 8, crc32(bytes.subarray(0, 8), salt));
  writeUint32(bytes, 12, crc32(bytes.subarray(ITEM_FRAME_HEADER_BYTES), salt));
  return bytes;
}

export interface Part {
  /** For messages: the file's name. */
  readonly file: string;
  readonly bytes: Uint8Array;
  /** True for the last part that is there of a life: only this one may have a torn end (G3). */
  readonly last: boolean;
}

/** Takes the items out of one part, frame by frame. */
export class PartReader {
  readonly header: PartHeader;
  readonly #part: Part;
  #at = PART_HEADER_BYTES;
  #number = 0;
  readonly #cipher: RecordCipher | null;

  /** @throws {RecordingError} see readPartHeader(); also where `vault` lacks its key */
  constructor(part: Part, vault: Vault = OPEN_VAULT) {
    this.#part = part;
    this.header = readPartHeader(part.file, part.bytes);
    try {
      this.#cipher = partCipher(vault, this.header, null);
    } catch (error) {
      if (!(error instanceof UnknownKeyError)) throw error;
      throw this.#locked("no keyring was given that has it");
    }
  }

  /** Bytes behind the last whole frame, once next() has returned null. */
  get tornBytes(): number {
    return this.#part.bytes.length - this.#at;
  }

  /**
   * The items of the next frame; null at the end.
   * @throws {RecordingError} when it is damaged
   */
  next(): RecordingItem[] | null {
    const { bytes, last } = this.#part;
    const left = bytes.length - this.#at;
    if (left === 0) return null;
    if (left < ITEM_FRAME_HEADER_BYTES) return last ? null : this.#damaged("a frame is cut short");
    const header = bytes.subarray(this.#at, this.#at + ITEM_FRAME_HEADER_BYTES);
    if (crc32(header.subarray(0, 8), this.header.salt) !== readUint32(header, 8)) {
      if (last && isZero(bytes, this.#at)) return null;
      return this.#damaged("the header of a frame has another checksum than it should");
    }
    const length = readUint32(header, 0), end = this.#at + ITEM_FRAME_HEADER_BYTES + length;
    if (readUint32(header, 4) !== this.#number) {
      return this.#damaged(`frame ${readUint32(header, 4)} stands where ${this.#number} should`);
    }
    if (end > bytes.length) return last ? null : this.#damaged("a frame is cut short");
    // A copy, so that what is kept of a frame holds no whole part in memory.
    const payload = bytes.slice(this.#at + ITEM_FRAME_HEADER_BYTES, end);
    if (crc32(payload, this.header.salt) !== readUint32(header, 12)) {
      return this.#damaged("a frame has another checksum than it should");
    }
    const items = this.#decode(this.#opened(payload));
    this.#at = end;
    this.#number++;
    return items;
  }

  #opened(payload: Uint8Array): Uint8Array {
    if (this.#cipher === null) return payload;
    const text = this.#cipher.decrypt(placeOf(this.#number), payload);
    if (text !== null) return text;
    // Where a frame did open, the key is right.
    if (this.#number === 0) throw this.#locked("the one in the keyring does not open it");
    return this.#damaged("a frame is not as it was encrypted, though its checksum is right");
  }

  #locked(why: string): RecordingError {
    const { file } = this.#part, { network, key, node } = this.header;
    const whose = network === "" ? "" : ` of network ${network}`;
    return new RecordingError(
      file,
      0,
      `Cannot replay "${file}": node "${node}" encrypted it with key generation ${
        key!.generation
      }${whose}, and ${why}. ` +
        `Name the data directory of a node of that network with --data, or its keyring with --keyring`,
    );
  }

  #decode(payload: Uint8Array): RecordingItem[] {
    const reader = new Reader(payload);
    try {
      const count = reader.integer(payload.length);
      const items: RecordingItem[] = [];
      for (let i = 0; i < count; i++) items.push(readItem(reader));
      reader.end();
      return items;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return this.#damaged(`a frame makes no sense: ${error.message}`);
    }
  }

  #damaged(what: string): never {
    const { file } = this.#part;
    throw new RecordingError(file, this.#at, `Recording "${file}" is damaged at byte ${this.#at}: ${what}`);
  }
}
