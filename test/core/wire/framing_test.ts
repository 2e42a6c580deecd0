import assert from "node:assert/strict";
import fc from "fast-check";
import { LIMITS } from "../../../core/base/limits.ts";
import { encode, WireError } from "../../../core/wire/cbor.ts";
import { frame, FRAME_HEADER_BYTES, FrameReader, seal } from "../../../core/wire/framing.ts";

const arbPayloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 6 });

function pushAll(reader: FrameReader, chunks: readonly Uint8Array[]): Uint8Array[] {
  return chunks.flatMap((chunk) => reader.push(chunk));
}

Deno.test("FrameReader finds the same frames wherever a stream is cut in two", () => {
  const payloads = [
    Uint8Array.of(1),
    new Uint8Array(30).fill(2),
    Uint8Array.of(3, 3),
    new Uint8Array(9).fill(4),
  ];
  const stream = frame(...payloads);
  for (let cut = 0; cut <= stream.length; cut++) {
    const reader = new FrameReader();
    assert.deepEqual(
      pushAll(reader, [stream.subarray(0, cut), stream.subarray(cut)]),
      payloads,
      `cut at ${cut}`,
    );
    assert.equal(reader.pendingBytes, 0);
  }
});

Deno.test("FrameReader finds the same frames however a stream is cut, byte by byte too", () => {
  fc.assert(fc.property(arbPayloads, fc.array(fc.nat({ max: 50 }), { maxLength: 20 }), (payloads, sizes) => {
    const stream = frame(...payloads);
    const chunks: Uint8Array[] = [];
    let at = 0;
    for (const size of sizes) {
      chunks.push(stream.slice(at, at + size));
      at = Math.min(stream.length, at + size);
    }
    chunks.push(stream.slice(at));
    assert.deepEqual(pushAll(new FrameReader(), chunks), payloads);
    assert.deepEqual(pushAll(new FrameReader(), Array.from(stream, (byte) => Uint8Array.of(byte))), payloads);
  }));
});

Deno.test("FrameReader gives a frame within one chunk as a view of it, and copies no other chunk into it", () => {
  const stream = frame(Uint8Array.of(1, 2, 3), Uint8Array.of(4));
  const [first, second] = new FrameReader().push(stream);
  assert.equal(first!.buffer, stream.buffer);
  assert.equal(second!.buffer, stream.buffer);
});

Deno.test("F1: FrameReader refuses every single changed byte of a payload or a checksum", () => {
  const whole = frame(Uint8Array.of(10, 20, 30, 40));
  for (let at = 4; at < whole.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const stream = whole.slice();
      stream[at]! ^= 1 << bit;
      const isChecksum = (error: unknown) => error instanceof WireError && error.reason === "checksum";
      assert.throws(() => new FrameReader().push(stream), isChecksum);
    }
  }
});

Deno.test("F2: FrameReader refuses a frame of no or too many bytes by its header alone", () => {
  const isFrame = (error: unknown) => error instanceof WireError && error.reason === "frame";
  for (const length of [0, LIMITS.frameBytesMax + 1, 0xffff_ffff]) {
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    new DataView(header.buffer).setUint32(0, length);
    assert.throws(() => new FrameReader().push(header), isFrame);
    assert.throws(
      () => pushAll(new FrameReader(), Array.from(header, (byte) => Uint8Array.of(byte))),
      isFrame,
    );
  }
});

Deno.test("F2: FrameReader takes the largest frame that is allowed, in pieces", () => {
  const payload = new Uint8Array(LIMITS.frameBytesMax).fill(5);
  const stream = frame(payload);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < stream.length; at += 65_536) chunks.push(stream.subarray(at, at + 65_536));
  assert.deepEqual(pushAll(new FrameReader(), chunks), [payload]);
});

Deno.test("F4: FrameReader refuses all that follows an error", () => {
  const reader = new FrameReader();
  const broken = frame(Uint8Array.of(1));
  broken[8] = 2;
  assert.throws(() => reader.push(broken), WireError);
  assert.throws(() => reader.push(frame(Uint8Array.of(1))), WireError);
});

Deno.test("seal() makes of an encoded value with headroom the frame that frame() makes", () => {
  const value = [1, "sirius", new Uint8Array(20)];
  assert.deepEqual(seal(encode(value, FRAME_HEADER_BYTES)), frame(encode(value)));
});

Deno.test("frame() and seal() refuse an empty payload and one above LIMITS.frameBytesMax", () => {
  for (const length of [0, LIMITS.frameBytesMax + 1]) {
    assert.throws(() => frame(new Uint8Array(length)), RangeError);
    assert.throws(() => seal(new Uint8Array(FRAME_HEADER_BYTES + length)), RangeError);
  }
});
