/**
 * Takes the values out of DER (X.690), which is what certificates are written in. It knows what the certificates of a
 * network have and no more: definite lengths in their shortest form, tags of one byte. Hostile bytes throw DerError and
 * nothing else, and nothing is copied.
 */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

export class DerError extends Error {
  override readonly name = "DerError";
}

/**
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const reader = new DerReader(Uint8Array.fromHex("3003020105"));
 * const sequence = reader.enter(TAG.sequence);
 * assert.deepEqual([...sequence.bytes(TAG.integer)], [5]);
 * sequence.end();
 * reader.end();
 * ```
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The tag that comes next; null at the end. */
  get next(): number | null {
    return this.#bytes[this.#at] ?? null;
  }

  /** What is inside the next value, which has this tag. */
  enter(tag: number): DerReader {
    return new DerReader(this.bytes(tag));
  }

  /** The content of the next value, which has this tag. */
  bytes(tag: number): Uint8Array {
    const found = this.next;
    if (found !== tag) {
      throw new DerError(`at byte ${this.#at} the tag ${tag} is due, and ${found ?? "the end"} was found`);
    }
    this.#at++;
    const length = this.#length();
    if (length > this.#bytes.length - this.#at) throw new DerError(`a value of ${length} bytes is cut short`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** The next value with its tag and length. */
  whole(tag: number): Uint8Array {
    const start = this.#at;
    this.bytes(tag);
    return this.#bytes.subarray(start, this.#at);
  }

  /** The bytes of a bit string whose last byte has `unused` bits that say nothing. */
  bits(unused = 0): Uint8Array {
    const content = this.bytes(TAG.bitString);
    if (content[0] !== unused) {
      throw new DerError(`a bit string has ${content[0]} unused bits, not ${unused}`);
    }
    return content.subarray(1);
  }

  /** An object identifier, in hexadecimal digits of its content. */
  oid(): string {
    return this.bytes(TAG.oid).toHex();
  }

  boolean(): boolean {
    const content = this.bytes(TAG.boolean);
    const value = content[0];
    if (content.length !== 1 || (value !== 0 && value !== 0xff)) throw new DerError("a boolean is 00 or ff");
    return value === 0xff;
  }

  /** Milliseconds since 1970 of a time as certificates have it (RFC 5280, section 4.1.2.5). */
  time(): number {
    const tag = this.next === TAG.utcTime ? TAG.utcTime : TAG.generalizedTime;
    const text = String.fromCharCode(...this.bytes(tag).subarray(0, LONGEST_TIME + 1));
    const match = (tag === TAG.utcTime ? UTC_TIME : GENERALIZED_TIME).exec(text);
    if (match === null) throw new DerError("a time has another form than YYMMDDhhmmssZ or YYYYMMDDhhmmssZ");
    const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
      ...[number, number, number, number, number, number],
    ];
    const full = tag === TAG.utcTime ? year + (year < 50 ? 2000 : 1900) : year;
    const ms = Date.UTC(full, month - 1, day, hour, minute, second);
    const date = new Date(ms);
    // A 31st of February would have become a day in March.
    if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || date.getUTCHours() !== hour) {
      throw new DerError("a time names no day or no hour");
    }
    return ms;
  }

  /** @throws {DerError} unless everything was taken */
  end(): void {
    if (!this.atEnd) throw new DerError(`${this.#bytes.length - this.#at} bytes follow the end`);
  }

  #length(): number {
    const first = this.#bytes[this.#at++];
    if (first === undefined) throw new DerError("a length is missing");
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 2) throw new DerError(`a length of ${count} bytes is not used here`);
    let length = 0;
    for (let i = 0; i < count; i++) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new DerError("a length is cut short");
      length = (length << 8) | byte;
    }
    if (length < (count === 1 ? 0x80 : 0x100)) throw new DerError("a length is not in its shortest form");
    return length;
  }
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)([0-5]\d)([0-5]\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)([0-5]\d)([0-5]\d)Z$/;
const LONGEST_TIME = "YYYYMMDDhhmmssZ".length;
