import assert from "node:assert/strict";
import fc from "fast-check";
import { encode, type Reader, WireError } from "../../../core/wire/cbor.ts";
import {
  decodeMessage,
  decodeMessages,
  decodeRequest,
  decodeRequests,
  decodeResponse,
  decodeResponses,
  encodeMessage,
  encodeMessages,
  encodeRequest,
  encodeRequests,
  encodeResponse,
  encodeResponses,
  requestIds,
  WIRE_VERSION,
} from "../../../core/wire/codec.ts";
import { readRecord, recordWire } from "../../../core/wire/record_codec.ts";
import { decodeHello, decodeHelloReply, encodeHello, encodeHelloReply } from "../../../core/wire/session.ts";
import {
  configurationWire,
  decodeView,
  decodeWith,
  encodeView,
  entryWire,
  readConfiguration,
  readEntry,
} from "../../../core/wire/shared_codec.ts";
import { decodeConfiguration, encodeConfiguration } from "../../../core/wire/configuration.ts";
import {
  arbConfiguration,
  arbEntry,
  arbHello,
  arbHelloReply,
  arbInteger,
  arbMessage,
  arbRecord,
  arbRequest,
  arbResponse,
  arbView,
} from "../../support/arbitraries.ts";
import { HELLOS, MESSAGES, RECORDS, REQUESTS, RESPONSES } from "../../support/wire_samples.ts";

interface Codec<T> {
  readonly arb: fc.Arbitrary<T>;
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}
const codec = <T>(of: Codec<T>) => of as Codec<unknown>;
const part = <T>(read: (reader: Reader) => T) => (bytes: Uint8Array) => decodeWith(bytes, read);

const CODECS: Readonly<Record<string, Codec<unknown>>> = {
  message: codec({ arb: arbMessage, encode: encodeMessage, decode: decodeMessage }),
  request: codec({ arb: arbRequest, encode: encodeRequest, decode: decodeRequest }),
  response: codec({ arb: arbResponse, encode: encodeResponse, decode: decodeResponse }),
  record: codec({ arb: arbRecord, encode: (r) => encode(recordWire(r)), decode: part(readRecord) }),
  view: codec({ arb: arbView, encode: encodeView, decode: decodeView }),
  entry: codec({ arb: arbEntry, encode: (e) => encode(entryWire(e)), decode: part(readEntry) }),
  configuration: codec({
    arb: arbConfiguration,
    encode: (c) => encode(configurationWire(c)),
    decode: part(readConfiguration),
  }),
  hello: codec({ arb: arbHello, encode: encodeHello, decode: decodeHello }),
  "hello reply": codec({ arb: arbHelloReply, encode: encodeHelloReply, decode: decodeHelloReply }),
  "messages frame": codec({
    arb: fc.array(arbMessage, { maxLength: 4 }),
    encode: encodeMessages,
    decode: decodeMessages,
  }),
  "requests frame": codec({
    arb: fc.array(fc.record({ id: arbInteger, request: arbRequest }, { noNullPrototype: true }), {
      maxLength: 4,
    }),
    encode: encodeRequests,
    decode: decodeRequests,
  }),
  "responses frame": codec({
    arb: fc.array(fc.record({ id: arbInteger, response: arbResponse }, { noNullPrototype: true }), {
      maxLength: 4,
    }),
    encode: encodeResponses,
    decode: decodeResponses,
  }),
};

for (const [name, { arb, encode, decode }] of Object.entries(CODECS)) {
  Deno.test(`decoding gives back every ${name} exactly`, () => {
    fc.assert(fc.property(arb, (value) => assert.deepEqual(decode(encode(value)), value)), { numRuns: 300 });
  });

  Deno.test(`R3, R4: a damaged ${name} throws WireError, or decodes to what has just these bytes`, () => {
    const arbDamage = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(arb, arbDamage, (value, damage) => {
        const bytes = encode(value).slice();
        for (const [at, byte] of damage) bytes[at % bytes.length] = byte;
        refusedOrCanonical(bytes, encode, decode);
      }),
      { numRuns: 500 },
    );
  });

  Deno.test(`R4: a ${name} that is cut short, or goes on, throws WireError`, () => {
    fc.assert(fc.property(arb, fc.nat(), fc.nat({ max: 255 }), (value, cut, more) => {
      const bytes = encode(value);
      assert.throws(() => decode(bytes.subarray(0, cut % bytes.length)), WireError);
      assert.throws(() => decode(Uint8Array.from([...bytes, more])), WireError);
    }));
  });

  Deno.test(`R4: random bytes as a ${name} throw WireError and nothing else`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => refusedOrCanonical(bytes, encode, decode)),
      { numRuns: 500 },
    );
  });
}

function refusedOrCanonical<T>(
  bytes: Uint8Array,
  encode: (v: T) => Uint8Array,
  decode: (b: Uint8Array) => T,
): void {
  let value: T;
  try {
    value = decode(bytes);
  } catch (error) {
    assert.ok(error instanceof WireError, String(error));
    return;
  }
  assert.deepEqual(encode(value), bytes);
}

/** Every byte of every sample, changed to values that mean something in CBOR. */
Deno.test("R3, R4: no single changed byte of any sample gets past decoding but as another value's own form", () => {
  const all: [Record<string, unknown>, Codec<unknown>][] = [
    [MESSAGES, CODECS["message"]!],
    [REQUESTS, CODECS["request"]!],
    [RESPONSES, CODECS["response"]!],
    [RECORDS, CODECS["record"]!],
    [HELLOS, CODECS["hello"]!],
  ];
  const values = [
    0x00,
    0x17,
    0x18,
    0x1b,
    0x20,
    0x40,
    0x5f,
    0x60,
    0x7b,
    0x80,
    0x9a,
    0x9f,
    0xa1,
    0xc0,
    0xf4,
    0xf6,
    0xff,
  ];
  for (const [samples, { encode, decode }] of all) {
    for (const sample of Object.values(samples)) {
      const whole = encode(sample);
      for (let at = 0; at < whole.length; at++) {
        for (const byte of values) {
          const bytes = whole.slice();
          bytes[at] = byte;
          refusedOrCanonical(bytes, encode, decode);
        }
      }
    }
  }
});

Deno.test("the data of a config entry has the form of a configuration in a message", () => {
  fc.assert(fc.property(arbConfiguration, (configuration) => {
    const bytes = encodeConfiguration(configuration);
    assert.deepEqual(decodeWith(bytes, readConfiguration), configuration);
    const decoded = decodeConfiguration(encode(configurationWire(configuration)));
    if (decoded !== null) assert.deepEqual(decoded, configuration);
  }));
});

Deno.test("encodeRequests() refuses a key with a lone surrogate, which would become another key", () => {
  for (const key of ["\ud800", "a\udc00b"]) {
    assert.throws(() => encodeRequest({ op: { kind: "delete", key } }), TypeError);
    assert.throws(() => encodeRequest({ op: { kind: "get", key, read: "stale" } }), /lone surrogate/);
  }
});

Deno.test("decodeRequests() lets keys and values of any size pass, for the node to refuse with their size", () => {
  const request = { op: { kind: "put" as const, key: "", value: new Uint8Array(2 * 1024 * 1024) } };
  assert.deepEqual(decodeRequests(encodeRequests([{ id: 1, request }])), [{ id: 1, request }]);
});

Deno.test("requestIds() tells the requests up to and with the malformed one", () => {
  const good = { op: { kind: "get" as const, key: "k", read: "stale" as const } };
  const payload = encodeRequests([5, 6, 7].map((id) => ({ id, request: good }))).slice();
  assert.deepEqual(requestIds(payload), [5, 6, 7]);
  const second = payload.indexOf(6);
  payload[second + 1] = 0x80; // the request itself: an array of none
  assert.throws(() => decodeRequests(payload), WireError);
  assert.deepEqual(requestIds(payload), [5, 6]);
  assert.deepEqual(requestIds(Uint8Array.of(0xff)), []);
});

Deno.test("decodeHello() refuses another version by that name, whatever follows it", () => {
  for (const rest of [0, ["more", "fields", 1, 2, 3, 4], null]) {
    const refusedAs = (error: unknown) => error instanceof WireError && error.reason === "version";
    assert.throws(() => decodeHello(encode([1, WIRE_VERSION + 1, rest])), refusedAs);
    assert.throws(() => decodeHelloReply(encode([2, 99, rest])), refusedAs);
  }
});

Deno.test("decodeHello() refuses a peer without its id or address", () => {
  for (const hello of [{ node: null }, { address: null }]) {
    assert.throws(() => decodeHello(encodeHello({ ...HELLOS["peer"]!, ...hello })), WireError);
  }
});

Deno.test("a frame of one kind is refused where another is due", () => {
  const payload = encodeMessages([MESSAGES["nack"]!]);
  assert.throws(() => decodeRequests(payload), WireError);
  assert.throws(() => decodeResponses(payload), WireError);
  assert.throws(() => decodeHello(payload), WireError);
  assert.throws(() => decodeMessages(encodeHello(HELLOS["client"]!)), WireError);
});
