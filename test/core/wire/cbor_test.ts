import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { encode as cborgEncode } from "cborg";
import fc from "fast-check";
import { LIMITS } from "../../../core/base/limits.ts";
import {
  encode,
  Reader,
  sizeBound,
  type Wire,
  WireError,
  type WireErrorReason,
} from "../../../core/wire/cbor.ts";
import { arbBytes, arbInteger, arbNodeId, arbText } from "../../support/arbitraries.ts";

const arbWire: fc.Arbitrary<Wire> = fc.letrec<{ value: Wire }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    arbInteger,
    arbText,
    arbBytes,
    fc.array(tie("value"), { maxLength: 30 }),
  ),
})).value;

/** Takes what `value` says must come: a schema made of the value itself. */
function take(reader: Reader, value: Wire): Wire {
  if (value === null) {
    assert.ok(reader.skipNull());
    return null;
  }
  if (typeof value === "boolean") return reader.boolean();
  if (typeof value === "number") return reader.integer();
  if (typeof value === "string") return reader.text();
  if (value instanceof Uint8Array) return reader.bytes();
  const count = reader.array();
  assert.equal(count, value.length);
  return (value as readonly Wire[]).map((item) => take(reader, item));
}

function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

function refused(reason: WireErrorReason, act: () => unknown): void {
  assert.throws(act, (error) => error instanceof WireError && error.reason === reason);
}

Deno.test("encode() gives the same bytes as cborg's plain encode()", () => {
  fc.assert(fc.property(arbWire, (value) => {
    assert.deepEqual(encode(value), new Uint8Array(cborgEncode(value)));
  }));
});

Deno.test("encode() gives the same bytes as cborg's at every length where the form changes", () => {
  const sizes = [0, 15, 16, 17, 23, 24, 95, 96, 97, 255, 256, 257, 4000, 65_535, 65_536];
  for (const size of sizes) {
    const texts = ["x", "é", "☉", "🌟"].map((unit) => unit.repeat(size));
    for (const text of [...texts, "x".repeat(size) + "é"]) {
      assert.deepEqual(encode(text), new Uint8Array(cborgEncode(text)));
    }
    for (const value of [new Uint8Array(size).fill(7), new Array<number>(size).fill(7), size]) {
      assert.deepEqual(encode(value), new Uint8Array(cborgEncode(value)));
    }
  }
  for (let bit = 0; bit <= 53; bit++) {
    for (const value of [2 ** bit - 1, Math.min(2 ** bit, Number.MAX_SAFE_INTEGER)]) {
      assert.deepEqual(encode(value), new Uint8Array(cborgEncode(value)));
    }
  }
});

Deno.test("encode() refuses a number that is no integer from 0 to 2^53 - 1", () => {
  for (const value of [-1, -0.5, 0.5, 2 ** 53, NaN, Infinity, -Infinity]) {
    assert.throws(() => encode([value]), RangeError);
  }
});

Deno.test("Reader takes back what encode() wrote, and nothing is left", () => {
  fc.assert(fc.property(arbWire, (value) => {
    const reader = new Reader(encode(value));
    assert.deepEqual(take(reader, value), value);
    reader.end();
  }));
});

Deno.test("sizeBound() is never below the encoded size", () => {
  fc.assert(fc.property(arbWire, (value) => sizeBound(value) >= encode(value).length));
});

Deno.test("encode() never writes again into bytes that it handed out", () => {
  const kept: [Uint8Array, string][] = [];
  for (let i = 0; i < 3000; i++) {
    const bytes = encode([i, "x".repeat(i % 50), new Uint8Array(i % 700)]);
    kept.push([bytes, Buffer.from(bytes).toString("hex")]);
  }
  for (const [bytes, hex] of kept) assert.equal(Buffer.from(bytes).toString("hex"), hex);
});

Deno.test("encode() leaves the headroom asked for, for small and for large values", () => {
  for (const size of [1, 5000, 1_000_000]) {
    const value = new Uint8Array(size).fill(9);
    const bytes = encode(value, 8);
    assert.deepEqual(bytes.subarray(8), encode(value));
    assert.ok(
      bytes.buffer.byteLength < size * 1.3 + 16 * 1024 + 16,
      "a large value keeps no larger buffer alive",
    );
  }
});

Deno.test("Reader.integer() takes exactly the shortest forms up to 2^53 - 1", () => {
  const right: [string, number][] = [
    ["00", 0],
    ["17", 23],
    ["1818", 24],
    ["18ff", 255],
    ["190100", 256],
    ["19ffff", 65_535],
    ["1a00010000", 65_536],
    ["1affffffff", 0xffff_ffff],
    ["1b0000000100000000", 0x1_0000_0000],
    ["1b001fffffffffffff", Number.MAX_SAFE_INTEGER],
  ];
  for (const [hex, value] of right) assert.equal(new Reader(unhex(hex)).integer(), value);
  for (const hex of ["1817", "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff"]) {
    refused("not-minimal", () => new Reader(unhex(hex)).integer());
  }
  for (const hex of ["1b0020000000000000", "1bffffffffffffffff"]) {
    refused("range", () => new Reader(unhex(hex)).integer());
  }
  refused("range", () => new Reader(unhex("1819")).integer(24));
});

Deno.test("Reader of what was told takes integers up to 2^52 - 1, so that they can be counted on from", () => {
  const read = (hex: string) => new Reader(unhex(hex), { told: true }).integer();
  assert.equal(read("1b000fffffffffffff"), 2 ** 52 - 1);
  for (const hex of ["1b0010000000000000", "1b001fffffffffffff"]) refused("range", () => read(hex));
});

Deno.test("Reader refuses every type that the wire does not have", () => {
  const cases: [string, WireErrorReason][] = [
    ["20", "type"], // -1
    ["a0", "type"], // an empty map
    ["c000", "type"], // a tag
    ["f7", "type"], // undefined
    ["f93c00", "type"], // 1.0
    ["fb3ff0000000000000", "type"],
    ["f820", "type"], // a simple value
    ["ff", "type"], // break
    ["1c", "type"], // reserved
    ["1f", "type"],
    ["", "truncated"],
    ["18", "truncated"],
    ["1900", "truncated"],
    ["1b00000001000000", "truncated"],
  ];
  for (const [hex, reason] of cases) refused(reason, () => new Reader(unhex(hex)).integer());
  refused("type", () => new Reader(unhex("5f4100ff")).bytes());
  refused("type", () => new Reader(unhex("7f6161ff")).text());
  refused("type", () => new Reader(unhex("9f00ff")).array());
  refused("type", () => new Reader(unhex("00")).boolean());
  refused("truncated", () => new Reader(unhex("")).boolean());
  refused("trailing", () => new Reader(unhex("00")).end());
});

Deno.test("R1: Reader refuses a length or a count before it allocates for it", () => {
  refused("truncated", () => new Reader(unhex("5affffffff")).bytes());
  refused("truncated", () => new Reader(unhex("7b001fffffffffffff")).text());
  refused("truncated", () => new Reader(unhex("9affffffff")).array());
  refused("truncated", () => new Reader(unhex("4200")).bytes());
  refused("range", () => new Reader(unhex("4200ff")).bytes(1));
  refused("range", () => new Reader(unhex("626161")).text(1));
  refused("range", () => new Reader(unhex("820000")).array(1));
  const many = encode(new Array(LIMITS.arrayItemsMax + 1).fill(0));
  refused("range", () => new Reader(many).array());
  refused("arity", () => new Reader(unhex("820000")).tuple(3));
});

Deno.test("Reader.text() takes well-formed UTF-8 only, of any length", () => {
  for (const bad of ["ff", "c0af", "eda080", "f8888080", "e282", "80", "f4908080"]) {
    const size = bad.length / 2;
    refused("utf8", () => new Reader(unhex((0x60 + size).toString(16) + bad)).text());
    const long = new Uint8Array([0x78, 40 + size, ...new Array(40).fill(0x61), ...unhex(bad)]);
    refused("utf8", () => new Reader(long).text());
  }
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 80 }), (text) => {
    assert.equal(new Reader(encode(text)).text(), text);
  }));
  assert.equal(new Reader(encode("\ufeffbom")).text(), "\ufeffbom");
});

Deno.test("Reader.nodeId() takes node ids only, however often and in whatever order they come", () => {
  fc.assert(fc.property(fc.array(arbNodeId, { minLength: 1, maxLength: 50 }), (ids) => {
    for (const id of [...ids, ...ids]) assert.equal(new Reader(encode(id)).nodeId(), id);
  }));
  for (const bad of ["", "with space", "é", "tab\t", "\u007f"]) {
    refused("invalid", () => new Reader(encode(bad)).nodeId());
  }
  refused("range", () => new Reader(encode("x".repeat(65))).nodeId());
});

Deno.test("Reader.token() takes printable ASCII without spaces, of no bytes too", () => {
  for (const good of ["", "10.0.0.1:7000", "[::1]:65535"]) {
    assert.equal(new Reader(encode(good)).token(255), good);
  }
  for (const bad of ["a b", "a\nb", "ü:1"]) refused("invalid", () => new Reader(encode(bad)).token(255));
  refused("range", () => new Reader(encode("aaa")).token(2));
});

Deno.test("Reader.bytes() gives a plain view of the input, even of a node Buffer", () => {
  const encoded = encode(Uint8Array.of(1, 2, 3));
  const view = new Reader(encoded).bytes();
  assert.equal(view.buffer, encoded.buffer);
  const ofBuffer = new Reader(Buffer.from(encoded)).bytes();
  assert.equal(ofBuffer.constructor, Uint8Array);
  assert.deepEqual(ofBuffer, Uint8Array.of(1, 2, 3));
});

Deno.test("Reader.skipNulls() takes all of them or none", () => {
  const reader = new Reader(unhex("f6f600"));
  assert.equal(reader.skipNulls(3), false);
  assert.equal(reader.skipNulls(2), true);
  assert.equal(reader.integer(), 0);
  reader.end();
});
