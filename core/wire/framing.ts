/**
 * Frames on a stream: [u32 length of the payload][u32 CRC-32 of the payload][payload], numbers big-endian.
 *
 * Invariants
 *  F1  A payload is given out only after its checksum was found right.
 *  F2  Nothing is kept of a frame whose length is above LIMITS.frameBytesMax: its header alone is refused.
 *  F3  Work and memory are linear in the bytes that came, however they are cut. A frame that lies within one chunk is
 *      not copied but given out as a view of it, so chunks must never be written again.
 *  F4  After an error the stream has lost its step: the reader refuses all that follows.
 */
import { readUint32, writeUint32 } from "../base/bytes.ts";
import { crc32 } from "../base/hash.ts";
import { LIMITS } from "../base/limits.ts";
import { WireError } from "./cbor.ts";

export const FRAME_HEADER_BYTES = 8;

/**
 * Fills in the header of a frame whose payload was encoded with a headroom of FRAME_HEADER_BYTES. Returns `frame`.
 * @throws {RangeError} when the payload is empty or above LIMITS.frameBytesMax
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { encodeMessages } from "./codec.ts";
 * const bytes = seal(encodeMessages([{ kind: "nack", sequence: 7 }], FRAME_HEADER_BYTES));
 * assert.deepEqual(bytes, frame(encodeMessages([{ kind: "nack", sequence: 7 }])));
 * ```
 */
export function seal(frame: Uint8Array): Uint8Array {
  const length = frame.length - FRAME_HEADER_BYTES;
  checkLength(length);
  writeUint32(frame, 0, length);
  writeUint32(frame, 4, crc32(frame.subarray(FRAME_HEADER_BYTES)));
  return frame;
}

/** One buffer with a frame for each of `payloads`. */
export function frame(...payloads: readonly Uint8Array[]): Uint8Array {
  let total = 0;
  for (const payload of payloads) {
    checkLength(payload.length);
    total += FRAME_HEADER_BYTES + payload.length;
  }
  const out = new Uint8Array(total);
  let at = 0;
  for (const payload of payloads) {
    writeUint32(out, at, payload.length);
    writeUint32(out, at + 4, crc32(payload));
    out.set(payload, at + FRAME_HEADER_BYTES);
    at += FRAME_HEADER_BYTES + payload.length;
  }
  return out;
}

function checkLength(length: number): void {
  if (length < 1 || length > LIMITS.frameBytesMax) {
    throw new RangeError(`A frame holds 1 to ${LIMITS.frameBytesMax} bytes, not ${length}`);
  }
}

const NO_BYTES = new Uint8Array(0);

/**
 * Finds the frames in a stream that comes in chunks of any size.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const reader = new FrameReader();
 * const stream = frame(Uint8Array.of(1, 2), Uint8Array.of(3));
 * assert.deepEqual(reader.push(stream.subarray(0, 12)), [Uint8Array.of(1, 2)]);
 * assert.deepEqual(reader.push(stream.subarray(12)), [Uint8Array.of(3)]);
 * ```
 */
export class FrameReader {
  /** What came of the header, as long as it is not whole. */
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  /** The payload of the frame under way, of the length its header says but grown as bytes come (F2). */
  #payload = NO_BYTES;
  #payloadLength = 0;
  #filled = 0;
  #checksum = 0;
  #broken: WireError | null = null;

  /**
   * The payloads of all frames that `chunk` completes, in order.
   * @throws {WireError} "frame" for a length that is not allowed, "checksum" for a damaged payload
   */
  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#broken !== null) throw this.#broken;
    const payloads: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length) at = this.#take(chunk, at, payloads);
    return payloads;
  }

  /** Bytes kept of a frame that is not whole yet. */
  get pendingBytes(): number {
    return this.#headerFilled + this.#filled;
  }

  /** Takes the next part of `chunk` and returns where the one after it begins. */
  #take(chunk: Uint8Array, at: number, payloads: Uint8Array[]): number {
    if (this.#headerFilled === 0 && chunk.length - at >= FRAME_HEADER_BYTES) {
      this.#openFrame(readUint32(chunk, at), readUint32(chunk, at + 4));
      at += FRAME_HEADER_BYTES;
      if (chunk.length - at >= this.#payloadLength) {
        const end = at + this.#payloadLength;
        this.#closeFrame(chunk.subarray(at, end), payloads);
        return end;
      }
      this.#headerFilled = FRAME_HEADER_BYTES;
    }
    if (this.#headerFilled < FRAME_HEADER_BYTES) return this.#takeHeader(chunk, at);
    return this.#takePayload(chunk, at, payloads);
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + FRAME_HEADER_BYTES - this.#headerFilled);
    this.#header.set(chunk.subarray(at, end), this.#headerFilled);
    this.#headerFilled += end - at;
    if (this.#headerFilled === FRAME_HEADER_BYTES) {
      this.#openFrame(readUint32(this.#header, 0), readUint32(this.#header, 4));
    }
    return end;
  }

  #takePayload(chunk: Uint8Array, at: number, payloads: Uint8Array[]): number {
    const end = Math.min(chunk.length, at + this.#payloadLength - this.#filled);
    this.#reserve(this.#filled + end - at);
    this.#payload.set(chunk.subarray(at, end), this.#filled);
    this.#filled += end - at;
    if (this.#filled === this.#payloadLength) {
      const payload = this.#payload.subarray(0, this.#filled);
      this.#payload = NO_BYTES;
      this.#filled = 0;
      this.#headerFilled = 0;
      this.#closeFrame(payload, payloads);
    }
    return end;
  }

  /** Grows sixteenfold, so that a header that promises much costs little memory before the bytes come. */
  #reserve(needed: number): void {
    if (needed <= this.#payload.length) return;
    const length = Math.min(
      this.#payloadLength,
      Math.max(needed, 16 * this.#payload.length, GROWTH_BYTES_MIN),
    );
    const grown = new Uint8Array(length);
    grown.set(this.#payload.subarray(0, this.#filled));
    this.#payload = grown;
  }

  #openFrame(length: number, checksum: number): void {
    if (length < 1 || length > LIMITS.frameBytesMax) {
      this.#fail("frame", `A frame of ${length} bytes came where 1 to ${LIMITS.frameBytesMax} are allowed`);
    }
    this.#payloadLength = length;
    this.#checksum = checksum;
  }

  #closeFrame(payload: Uint8Array, payloads: Uint8Array[]): void {
    if (crc32(payload) !== this.#checksum) {
      this.#fail("checksum", `A frame of ${payload.length} bytes was damaged on the way`);
    }
    payloads.push(payload);
  }

  #fail(reason: "frame" | "checksum", message: string): never {
    this.#broken = new WireError(reason, message);
    throw this.#broken;
  }
}

const GROWTH_BYTES_MIN = 64 * 1024;
