/** What the forms of chunks and fragments refuse; that they give everything back, codec_test.ts and vectors_test.ts show. */
import assert from "node:assert/strict";
import { LIMITS } from "../../../core/base/limits.ts";
import { encode, type Wire, WireError } from "../../../core/wire/cbor.ts";
import { decodeMessage, decodeRequest, encodeMessage, encodeRequest } from "../../../core/wire/codec.ts";
import type { FragmentPut } from "../../../core/wire/messages.ts";
import { readScheme, schemeWire } from "../../../core/wire/object_codec.ts";
import { decodeWith } from "../../../core/wire/shared_codec.ts";
import { MESSAGE, OP, SCHEME } from "../../../core/wire/tags.ts";
import { MESSAGES, REQUESTS } from "../../support/wire_samples.ts";

const refused = (reason: WireError["reason"], decode: () => unknown) =>
  assert.throws(decode, (error) => error instanceof WireError && error.reason === reason);
const scheme = (wire: Wire) => decodeWith(encode(wire), readScheme);

Deno.test("readScheme() takes what can be used and nothing else", () => {
  const { copiesMax, stripeMax } = LIMITS;
  for (
    const one of [
      { kind: "replicated", copies: 1 },
      { kind: "replicated", copies: copiesMax },
      { kind: "striped", data: 1, parity: 1 },
      { kind: "striped", data: stripeMax - 1, parity: 1 },
    ] as const
  ) assert.deepEqual(scheme(schemeWire(one)), one);
  refused("range", () => scheme([SCHEME.replicated, 0]));
  refused("range", () => scheme([SCHEME.replicated, copiesMax + 1]));
  for (const [data, parity] of [[0, 1], [1, 0], [stripeMax, 1], [stripeMax - 1, 2]] as const) {
    refused("range", () => scheme([SCHEME.striped, data, parity]));
  }
  refused("arity", () => scheme([SCHEME.striped, 4]));
  refused("kind", () => scheme([3, 1]));
});

const put = MESSAGES["fragment-put"] as FragmentPut;
const name = (bytes: number): Wire => new Uint8Array(bytes).fill(7);

Deno.test("fragments of another length of id, past the stripe or longer than any are refused", () => {
  const decode = (fragment: Wire, bytes: Wire = name(3)) =>
    decodeMessage(encode([MESSAGE["fragment-put"], 1, fragment, bytes]));
  decode([1, name(16), 0, LIMITS.stripeMax - 1], name(LIMITS.fragmentBytesMax));
  refused("invalid", () => decode([1, name(15), 0, 0]));
  refused("range", () => decode([1, name(17), 0, 0]));
  refused("range", () => decode([1, name(16), 0x1_0000_0000, 0]));
  refused("range", () => decode([1, name(16), 0, LIMITS.stripeMax]));
  refused("range", () => decode([LIMITS.partitionsMax + 1, name(16), 0, 0]));
  refused("range", () => decode([1, name(16), 0, 0], name(LIMITS.fragmentBytesMax + 1)));
});

Deno.test("lists of fragments and segments are bounded, in requests and between peers", () => {
  const many = (count: number, item: Wire): Wire => Array.from({ length: count }, () => item);
  const fragment: Wire = [1, name(16), 0, 0], segment: Wire = [1, name(16)];
  const check = (count: number) => () =>
    decodeMessage(encode([MESSAGE["fragment-check"], 1, many(count, fragment)]));
  check(LIMITS.fragmentsPerCheckMax)();
  refused("range", check(LIMITS.fragmentsPerCheckMax + 1));
  const gone = (count: number) => () =>
    decodeRequest(encode([[OP["segments-gone"], many(count, segment)], null, null]));
  gone(LIMITS.segmentsPerHintMax)();
  refused("range", gone(LIMITS.segmentsPerHintMax + 1));
});

Deno.test("the longest message of fragments fits a frame", () => {
  const fragment = { ...put.fragment, partition: put.fragment.partition, chunk: 0xffff_ffff, index: 31 };
  const room = LIMITS.frameBytesMax - 64 * 1024;
  const whole: FragmentPut = {
    ...put,
    id: 2 ** 52 - 1,
    fragment,
    bytes: new Uint8Array(LIMITS.fragmentBytesMax),
  };
  assert.ok(encodeMessage(whole).length <= room);
  const fragments = new Array(LIMITS.fragmentsPerCheckMax).fill(fragment);
  assert.ok(encodeMessage({ kind: "fragment-check", id: 2 ** 52 - 1, fragments }).length <= room);
});

Deno.test("what a fragment or a chunk holds is not copied as it is decoded", () => {
  const message = encodeMessage(put), decoded = decodeMessage(message);
  assert.ok(decoded.kind === "fragment-put");
  assert.equal(decoded.bytes.buffer, message.buffer);
  const request = encodeRequest(REQUESTS["chunk-put"]!), { op } = decodeRequest(request);
  assert.ok(op.kind === "chunk-put");
  assert.equal(op.bytes.buffer, request.buffer);
});
