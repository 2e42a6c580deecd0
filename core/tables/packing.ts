/** Numbers and byte strings in a row: what manifests and the tails of files are made of. Big-endian. */
import { readUint32, writeUint32 } from "../base/bytes.ts";

const UINT48_MAX = 2 ** 48 - 1;

export class Packer {
  #bytes = new Uint8Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  uint8(value: number): void {
    this.#room(1)[this.#length++] = value;
  }
  uint32(value: number): void {
    writeUint32(this.#room(4), this.#length, value);
    this.#length += 4;
  }
  uint48(value: number): void {
    if (!(value >= 0 && value <= UINT48_MAX)) {
      throw new RangeError(`A packed number has 48 bits, not ${value}`);
    }
    const bytes = this.#room(6), high = Math.floor(value / 0x1_0000_0000);
    bytes[this.#length] = high >>> 8;
    bytes[this.#length + 1] = high;
    writeUint32(bytes, this.#length + 2, value);
    this.#length += 6;
  }
  raw(value: Uint8Array): void {
    this.#room(value.length).set(value, this.#length);
    this.#length += value.length;
  }
  /** With its length. */
  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.raw(value);
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(more: number): Uint8Array {
    if (this.#length + more > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#length + more, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    return this.#bytes;
  }
}

/** Throws RangeError where the bytes end too early. */
export class Unpacker {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get at(): number {
    return this.#at;
  }
  get ended(): boolean {
    return this.#at === this.#bytes.length;
  }

  uint8(): number {
    return this.#bytes[this.#take(1)]!;
  }
  uint32(): number {
    return readUint32(this.#bytes, this.#take(4));
  }
  /** How many things follow, each of at least `bytesMin`. */
  count(bytesMin: number): number {
    const count = this.uint32();
    if (count * bytesMin > this.#bytes.length - this.#at) throw new RangeError("It ends too early");
    return count;
  }
  uint48(): number {
    const at = this.#take(6);
    return (this.#bytes[at]! * 256 + this.#bytes[at + 1]!) * 0x1_0000_0000 + readUint32(this.#bytes, at + 2);
  }
  /** A view of the bytes. */
  raw(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }
  bytes(): Uint8Array {
    return this.raw(this.uint32());
  }

  #take(length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) throw new RangeError("It ends too early");
    this.#at = at + length;
    return at;
  }
}
