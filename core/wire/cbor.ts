/**
 * The one form in which values leave a process: canonical CBOR (RFC 8949, section 4.2.1), restricted to what the wire
 * needs. A value is null, a boolean, an integer from 0 to 2^53 - 1, text (UTF-8), bytes or an array; there are no maps,
 * floats, negative integers, tags, undefined and no indefinite lengths. A record is an array by position, its first
 * item a small integer that names the kind.
 *
 * Both directions are our own, and cborg is what the tests hold them against. Encoding takes a value made of arrays
 * (encode.ts). Decoding takes none: a schema pulls the values it expects from a Reader, so a message is
 * checked and built in one pass without arrays in between. Measured (bench/codec_bench.ts, the quickest of many), an
 * append of one entry takes 0.14 µs, one of sixteen 0.94, a ping with four updates 0.74, beats of sixteen partitions
 * 0.50, where cborg takes 0.76, 4.3, 1.8 and 1.7 µs for the bare arrays, still unchecked. A Tokenizer that does not copy
 * byte strings halves that for appends (0.38 and 2.0), and leaves the rest as it is.
 *
 * Invariants
 *  R1  Nothing is allocated for a length or a count before it is known to fit into what is left of the input.
 *  R2  The Reader never recurses on what the input says: nesting is the schema's, and the schemas nest at most
 *      LIMITS.depthMax deep (a test checks every kind).
 *  R3  One value has one form. Whatever decodes, encodes to the same bytes again.
 *  R4  Hostile input throws WireError and nothing else.
 */
import type { Epoch, LogIndex, NodeId, PartitionId, Term } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { readUint32, utf8Decode } from "../base/bytes.ts";
import { ARRAY, BYTES, FALSE, NULL, TEXT, TRUE, UINT } from "./encode.ts";

export { encode, sizeBound, type Wire } from "./encode.ts";

/**
 * Why bytes were refused. truncated: they end too soon. trailing: they go on after the end. type: another type was due.
 * not-minimal: a longer form than needed. utf8: text that is none. range: a number or a length past its bound. arity:
 * an array with another number of items. kind: an unknown kind or name. invalid: well-formed, yet not what it names.
 * version: the peer speaks another version. checksum: damaged on the way. frame: a frame longer than allowed.
 */
export type WireErrorReason =
  | "truncated"
  | "trailing"
  | "type"
  | "not-minimal"
  | "utf8"
  | "range"
  | "arity"
  | "kind"
  | "invalid"
  | "version"
  | "checksum"
  | "frame";

/** Bytes from outside that cannot be what they should be. Close the connection, or refuse the record. */
export class WireError extends Error {
  override readonly name = "WireError";
  constructor(readonly reason: WireErrorReason, message: string) {
    super(message);
  }
}

/** Text up to this many bytes is built byte by byte where it is ASCII: quicker than a call of TextDecoder. */
const SHORT_TEXT_BYTES = 24;

/**
 * Takes values out of encoded bytes, one after the other. Byte strings come back as views of the input: it must never
 * be written again, and it lives as long as one of them does.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const reader = new Reader(encode([1, "Sirius"]));
 * reader.tuple(2);
 * assert.equal(reader.integer(), 1);
 * assert.equal(reader.text(64), "Sirius");
 * reader.end();
 * ```
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #highMax: number;
  #at = 0;

  /**
   * `told`: by another node or a client, so that no integer may be above 2^52 - 1. Who counts on from one (a term, a
   * version, an incarnation) can then still write down and say where that leads.
   */
  constructor(bytes: Uint8Array, { told = false } = {}) {
    this.#highMax = told ? HIGH_MAX_TOLD : HIGH_MAX;
    // A view of a subclass (node's Buffer) would give views of that subclass.
    this.#bytes = bytes.constructor === Uint8Array
      ? bytes
      : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Everything was taken. */
  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** @throws {WireError} unless everything was taken */
  end(): void {
    if (this.#at !== this.#bytes.length) {
      this.fail("trailing", `${this.#bytes.length - this.#at} bytes follow the end`);
    }
  }

  /** An integer from 0 to `max`. */
  integer(max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#head(UINT);
    if (value > max) this.fail("range", `The integer ${value} is above ${max}`);
    return value;
  }

  boolean(): boolean {
    const byte = this.#bytes[this.#at];
    if (byte !== TRUE && byte !== FALSE) this.#wrongType("a boolean");
    this.#at++;
    return byte === TRUE;
  }

  /** True, and a null taken, where null comes next. */
  skipNull(): boolean {
    if (this.#bytes[this.#at] !== NULL) return false;
    this.#at++;
    return true;
  }

  /** True, and `count` nulls taken, where that many come next. */
  skipNulls(count: number): boolean {
    for (let i = 0; i < count; i++) {
      if (this.#bytes[this.#at + i] !== NULL) return false;
    }
    this.#at += count;
    return true;
  }

  /** The number of items of an array, at most `max`. */
  array(max: number = LIMITS.arrayItemsMax): number {
    const count = this.#head(ARRAY);
    // R1: an item takes one byte at least.
    if (count > this.#bytes.length - this.#at) {
      this.fail("truncated", `An array of ${count} items is cut short`);
    }
    if (count > max) this.fail("range", `An array has ${count} items where ${max} are allowed`);
    return count;
  }

  /** The head of an array of exactly `arity` items. */
  tuple(arity: number): void {
    const count = this.#head(ARRAY);
    if (count !== arity) this.expectArity(count, arity);
  }

  /** Refuses `count` items where `arity` are due. */
  expectArity(count: number, arity: number): void {
    if (count !== arity) this.fail("arity", `An array has ${count} items instead of ${arity}`);
  }

  /** At most `max` bytes, as a view of the input. */
  bytes(max: number = Number.MAX_SAFE_INTEGER): Uint8Array {
    const length = this.#length(BYTES, max);
    const start = this.#at;
    this.#at = start + length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** Text of at most `max` bytes in UTF-8. */
  text(max: number = Number.MAX_SAFE_INTEGER): string {
    const length = this.#length(TEXT, max);
    const start = this.#at;
    this.#at = start + length;
    if (length <= SHORT_TEXT_BYTES) {
      const text = this.#shortAscii(start, this.#at);
      if (text !== null) return text;
    }
    try {
      return utf8Decode(this.#bytes.subarray(start, this.#at));
    } catch {
      return this.fail("utf8", `Text of ${length} bytes is not well-formed UTF-8`);
    }
  }

  /** Printable ASCII without spaces, at most `max` bytes: a name that goes into a trace as it is. */
  token(max: number): string {
    const length = this.#length(TEXT, max);
    const start = this.#at;
    this.#at = start + length;
    return tokens.find(this.#bytes, start, this.#at) ?? this.#newToken(start, this.#at);
  }

  nodeId(): NodeId {
    const id = this.token(NODE_ID_BYTES_MAX);
    if (id.length === 0) this.fail("invalid", "A node id is empty");
    return id as NodeId;
  }

  nodeIdOrNull(): NodeId | null {
    return this.skipNull() ? null : this.nodeId();
  }

  partition(): PartitionId {
    return this.integer(LIMITS.partitionsMax) as PartitionId;
  }

  term(): Term {
    return this.#head(UINT) as Term;
  }

  index(): LogIndex {
    return this.#head(UINT) as LogIndex;
  }

  epoch(): Epoch {
    return this.#head(UINT) as Epoch;
  }

  /** The name at the position given by an integer. */
  choice<T extends string>(names: readonly (T | undefined)[]): T {
    const code = this.#head(UINT);
    const name = code < names.length ? names[code] : undefined;
    return name ?? this.fail("kind", `No name has the number ${code}`);
  }

  /** @throws {WireError} always, with the position */
  fail(reason: WireErrorReason, what: string): never {
    throw new WireError(reason, `${what}, at byte ${this.#at} of ${this.#bytes.length}`);
  }

  #length(major: number, max: number): number {
    const length = this.#head(major);
    if (length > this.#bytes.length - this.#at) {
      this.fail("truncated", `A string of ${length} bytes is cut short`);
    }
    if (length > max) this.fail("range", `A string has ${length} bytes where ${max} are allowed`);
    return length;
  }

  /** The argument of a head of this major type, in its shortest form. */
  #head(major: number): number {
    const bytes = this.#bytes;
    const at = this.#at;
    const head = bytes[at];
    if (head === undefined || (head & 0xe0) !== major) this.#wrongType(MAJOR_NAMES[major >> 5]!);
    const info = head & 0x1f;
    if (info < 24) {
      this.#at = at + 1;
      return info;
    }
    return this.#longHead(bytes, at, info);
  }

  #longHead(bytes: Uint8Array, at: number, info: number): number {
    if (info > 27) this.fail("type", `A head with ${info} is reserved or of indefinite length`);
    const size = 1 << (info - 24);
    if (at + size >= bytes.length) this.fail("truncated", "A head is cut short");
    this.#at = at + 1 + size;
    if (info === 24) return this.#minimal(bytes[at + 1]!, 24);
    if (info === 25) return this.#minimal((bytes[at + 1]! << 8) | bytes[at + 2]!, 0x100);
    const high = readUint32(bytes, at + 1);
    if (info === 26) return this.#minimal(high, 0x1_0000);
    if (high > this.#highMax) {
      this.fail("range", `An integer is above 2^${this.#highMax === HIGH_MAX ? 53 : 52} - 1`);
    }
    return this.#minimal(high * 0x1_0000_0000 + readUint32(bytes, at + 5), 0x1_0000_0000);
  }

  #minimal(value: number, least: number): number {
    if (value < least) this.fail("not-minimal", `${value} is not in its shortest form`);
    return value;
  }

  #shortAscii(start: number, end: number): string | null {
    let text = "";
    for (let i = start; i < end; i++) {
      const byte = this.#bytes[i]!;
      if (byte > 0x7f) return null;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #newToken(start: number, end: number): string {
    let token = "";
    for (let i = start; i < end; i++) {
      const byte = this.#bytes[i]!;
      if (byte < 0x21 || byte > 0x7e) {
        this.fail("invalid", `A name holds the byte ${byte}, which is no printable ASCII`);
      }
      token += String.fromCharCode(byte);
    }
    tokens.add(token, this.#bytes, start, end);
    return token;
  }

  #wrongType(due: string): never {
    const head = this.#bytes[this.#at];
    if (head === undefined) this.fail("truncated", `The bytes end where ${due} is due`);
    return this.fail("type", `0x${head.toString(16).padStart(2, "0")} begins something else than ${due}`);
  }
}

/** Of an integer of eight bytes, the upper four. */
const HIGH_MAX = 0x1f_ffff;
const HIGH_MAX_TOLD = 0xf_ffff;

const MAJOR_NAMES = ["an integer from 0", "", "bytes", "text", "an array"];

const NODE_ID_BYTES_MAX = 64;
const REMEMBERED = 4096;

/**
 * The tokens seen lately, found by their bytes: one that comes again costs a comparison, not a string and its check,
 * and every copy of it is one string. It only remembers what decoding gives anyway.
 */
class TokenMemo {
  readonly #tokens: string[] = new Array(REMEMBERED).fill("");

  find(bytes: Uint8Array, start: number, end: number): string | null {
    const token = this.#tokens[slotOf(bytes, start, end)]!;
    if (token.length !== end - start) return null;
    for (let i = 0; i < token.length; i++) {
      if (token.charCodeAt(i) !== bytes[start + i]) return null;
    }
    return token;
  }

  add(token: string, bytes: Uint8Array, start: number, end: number): void {
    this.#tokens[slotOf(bytes, start, end)] = token;
  }
}

function slotOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let i = start; i < end; i++) hash = Math.imul(hash, 31) + bytes[i]! | 0;
  return (hash ^ (hash >>> 12)) & (REMEMBERED - 1);
}

const tokens = new TokenMemo();
