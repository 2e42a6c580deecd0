/**
 * The bytes of every kind, pinned both ways: a difference means that old nodes and old journals no longer understand
 * new ones. After a change that is meant so (and a new WIRE_VERSION or JOURNAL_VERSION), write them anew with
 *
 *     UPDATE_VECTORS=1 deno test --allow-read --allow-write=fixtures --allow-env=UPDATE_VECTORS test/core/wire/vectors_test.ts
 *
 * and read the difference before it is committed.
 */
import assert from "node:assert/strict";
import { decode as cborgDecode } from "cborg";
import { nodeId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { encode } from "../../../core/wire/cbor.ts";
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
} from "../../../core/wire/codec.ts";
import { frame } from "../../../core/wire/framing.ts";
import { encodeMark, encodeRecords, encodeSeal, encodeSegmentHeader } from "../../../core/wire/journal.ts";
import { readRecord, recordWire } from "../../../core/wire/record_codec.ts";
import { decodeHello, decodeHelloReply, encodeHello, encodeHelloReply } from "../../../core/wire/session.ts";
import { decodeWith } from "../../../core/wire/shared_codec.ts";
import { EXPECTATION, MESSAGE, OP, RECORD, RESPONSE } from "../../../core/wire/tags.ts";
import {
  HELLO_REPLIES,
  HELLOS,
  MESSAGES,
  PROVEN_HELLOS,
  RECORDS,
  REQUESTS,
  RESPONSES,
  type Samples,
} from "../../support/wire_samples.ts";

const FILE = new URL("../../../fixtures/wire/vectors.json", import.meta.url);

interface Codec<T> {
  readonly samples: Samples<T>;
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}
const codec = <T>(of: Codec<T>) => of as Codec<unknown>;

const CODECS: Readonly<Record<string, Codec<unknown>>> = {
  message: codec({ samples: MESSAGES, encode: encodeMessage, decode: decodeMessage }),
  request: codec({ samples: REQUESTS, encode: encodeRequest, decode: decodeRequest }),
  response: codec({ samples: RESPONSES, encode: encodeResponse, decode: decodeResponse }),
  record: codec({
    samples: RECORDS,
    encode: (record) => encode(recordWire(record)),
    decode: (bytes) => decodeWith(bytes, readRecord),
  }),
  hello: codec({ samples: { ...HELLOS, ...PROVEN_HELLOS }, encode: encodeHello, decode: decodeHello }),
  "hello-reply": codec({ samples: HELLO_REPLIES, encode: encodeHelloReply, decode: decodeHelloReply }),
  frame: codec({
    samples: {
      messages: { messages: [MESSAGES["nack"]!, MESSAGES["timeout-now"]!] },
    },
    encode: ({ messages }) => encodeMessages(messages),
    decode: (bytes) => ({ messages: decodeMessages(bytes) }),
  }),
  "requests frame": codec({
    samples: { two: [{ id: 1, request: REQUESTS["get"]! }, { id: 2, request: REQUESTS["put"]! }] },
    encode: encodeRequests,
    decode: decodeRequests,
  }),
  "responses frame": codec({
    samples: { two: [{ id: 2, response: RESPONSES["written"]! }, { id: 1, response: RESPONSES["value"]! }] },
    encode: encodeResponses,
    decode: decodeResponses,
  }),
};

/** Formats that are not read back by one function: their bytes alone are pinned. */
const LAYOUTS: Readonly<Record<string, () => Uint8Array>> = {
  "frame on a stream": () => frame(Uint8Array.of(1, 2, 3), Uint8Array.of(4)),
  "segment header": () =>
    encodeSegmentHeader({
      node: nodeId("sirius"),
      segment: 2,
      firstSequence: 0x1_0000_0001,
      salt: 0xdeadbeef,
    }),
  "journal records": () =>
    encodeRecords([RECORDS["drop"]!, RECORDS["vote"]!], {
      firstSequence: 0x1_0000_0002,
      durableUpTo: 0x1_0000_0000,
      salt: 0xdeadbeef,
    }),
  "checkpoint head": () =>
    encodeRecords([RECORDS["drop"]!], { firstSequence: 1, durableUpTo: 0, salt: 0, head: true }),
  "checkpoint mark": () => encodeMark(3, { firstSequence: 9, durableUpTo: 7, salt: 0 }),
  seal: () => encodeSeal({ firstSequence: 10, durableUpTo: 9, salt: 0xdeadbeef }),
};

type Vectors = Record<string, Record<string, string>>;

function currentVectors(): Vectors {
  const vectors: Vectors = {};
  for (const [group, { samples, encode }] of Object.entries(CODECS)) {
    vectors[group] = {};
    for (const [name, value] of Object.entries(samples)) vectors[group][name] = hex(encode(value));
  }
  vectors["layout"] = {};
  for (const [name, bytes] of Object.entries(LAYOUTS)) vectors["layout"][name] = hex(bytes());
  return vectors;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Asks for the variable only where it may be read: the tests as such need no permission for it. */
function mayUpdate(): boolean {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "UPDATE_VECTORS" });
  return state === "granted" && Deno.env.get("UPDATE_VECTORS") === "1";
}
if (mayUpdate()) Deno.writeTextFileSync(FILE, JSON.stringify(currentVectors(), null, 2) + "\n");

const pinned = JSON.parse(Deno.readTextFileSync(FILE)) as Vectors;

Deno.test("encoding gives the pinned bytes of every sample", () => {
  assert.deepEqual(currentVectors(), pinned);
});

Deno.test("decoding the pinned bytes gives every sample", () => {
  for (const [group, { samples, decode }] of Object.entries(CODECS)) {
    for (const [name, value] of Object.entries(samples)) {
      assert.deepEqual(decode(unhex(pinned[group]![name]!)), value, `${group} ${name}`);
    }
  }
});

Deno.test("the samples hold every kind", () => {
  const kinds = (samples: Samples<{ kind: string }>) =>
    new Set(Object.values(samples).map((one) => one.kind));
  assert.deepEqual(kinds(MESSAGES), new Set(Object.keys(MESSAGE)));
  assert.deepEqual(kinds(RESPONSES), new Set(Object.keys(RESPONSE)));
  assert.deepEqual(kinds(RECORDS), new Set(Object.keys(RECORD)));
  const ops = Object.values(REQUESTS).map((request) => request.op);
  assert.deepEqual(new Set(ops.map((op) => op.kind)), new Set(Object.keys(OP)));
  const expectations = ops.flatMap((op) => op.kind === "cas" ? [op.expect.kind] : []);
  assert.deepEqual(new Set(expectations), new Set(Object.keys(EXPECTATION)));
});

Deno.test("R2: no sample nests deeper than LIMITS.depthMax, in the frame that carries it", () => {
  const depth = (value: unknown): number => Array.isArray(value) ? 1 + Math.max(0, ...value.map(depth)) : 0;
  for (const group of Object.values(pinned)) {
    for (const [name, text] of Object.entries(group)) {
      const whole = pinned["layout"] === group ? null : cborgDecode(unhex(text));
      // A frame and the id beside a request add one level each.
      assert.ok(depth(whole) + 2 <= LIMITS.depthMax, name);
    }
  }
});
