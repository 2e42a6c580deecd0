/** Decoders of what comes over connections, and of what the core keeps as bytes. */
import fc from "fast-check";
import { logIndex, partitionId } from "../../core/base/ids.ts";
import { Random } from "../../core/base/random.ts";
import { decodeCommand, encodeCommand, encodeInternal } from "../../core/catalog/command.ts";
import { validate } from "../../core/catalog/validate.ts";
import { decodeSystemCommand, encodeSystemCommand } from "../../core/system/command.ts";
import { encode, WireError } from "../../core/wire/cbor.ts";
import {
  decodeMessages,
  decodeRequests,
  decodeResponses,
  decodeWith,
  encodeMessages,
  encodeRequests,
  encodeResponses,
  requestIds,
} from "../../core/wire/codec.ts";
import { frame, FrameReader } from "../../core/wire/framing.ts";
import { isSystemOp, isWriteOp } from "../../core/wire/ops.ts";
import {
  decodeAdmission,
  decodeHello,
  decodeHelloReply,
  decodeSecrets,
  encodeAdmission,
  encodeHello,
  encodeHelloReply,
  encodeSecrets,
} from "../../core/wire/session.ts";
import {
  configurationWire,
  decodeView,
  encodeView,
  readConfiguration,
} from "../../core/wire/shared_codec.ts";
import {
  arbConfiguration,
  arbHello,
  arbHelloReply,
  arbInteger,
  arbMessage,
  arbOp,
  arbRequest,
  arbResponse,
  arbView,
  exactly,
} from "../support/arbitraries.ts";
import { type Decoder, decoder, drawn, someBytes } from "./decoder.ts";
import { FILES } from "./files.ts";
import { KEPT } from "./kept.ts";
import { OBJECTS } from "./objects.ts";
import { S3 } from "./s3.ts";

const arbRequests = fc.array(fc.record({ id: arbInteger, request: arbRequest }), {
  minLength: 1,
  maxLength: 4,
});
const arbResponses = fc.array(fc.record({ id: arbInteger, response: arbResponse }), { maxLength: 4 });
const arbSecret = fc.record({ id: arbInteger, secret: exactly(32) });

const CONNECTIONS: readonly Decoder[] = [
  decoder({
    name: "frames",
    errors: [WireError],
    sample: (random) => frame(...Array.from({ length: 1 + random.below(4) }, () => someBytes(random))),
    decode: readFrames,
    encode: (payloads) => frame(...payloads),
  }),
  decoder({
    name: "hello",
    errors: [WireError],
    sample: drawn(arbHello, encodeHello),
    decode: decodeHello,
    encode: encodeHello,
  }),
  decoder({
    name: "hello reply",
    errors: [WireError],
    sample: drawn(arbHelloReply, encodeHelloReply),
    decode: decodeHelloReply,
    encode: encodeHelloReply,
  }),
  decoder({
    name: "secrets",
    errors: [WireError],
    sample: drawn(fc.array(arbSecret, { maxLength: 3 }), encodeSecrets),
    decode: decodeSecrets,
    encode: encodeSecrets,
  }),
  decoder({
    name: "admission",
    errors: [WireError],
    sample: drawn(
      fc.record({
        certificate: fc.uint8Array({ maxLength: 600 }),
        secrets: fc.array(arbSecret, { maxLength: 3 }),
      }),
      encodeAdmission,
    ),
    decode: decodeAdmission,
    encode: encodeAdmission,
  }),
  decoder({
    name: "messages",
    errors: [WireError],
    sample: drawn(fc.array(arbMessage, { minLength: 1, maxLength: 4 }), encodeMessages),
    decode: decodeMessages,
    encode: encodeMessages,
  }),
  decoder({
    name: "requests",
    errors: [WireError],
    sample: drawn(arbRequests, encodeRequests),
    decode: decodeRequests,
    encode: encodeRequests,
  }),
  decoder({
    name: "ids of requests",
    errors: [],
    sample: drawn(arbRequests, encodeRequests),
    decode: requestIds,
  }),
  decoder({
    name: "responses",
    errors: [WireError],
    sample: drawn(arbResponses, encodeResponses),
    decode: decodeResponses,
    encode: encodeResponses,
  }),
];

const AGREED: readonly Decoder[] = [
  decoder({
    name: "view",
    errors: [WireError],
    sample: drawn(arbView, encodeView),
    decode: decodeView,
    encode: encodeView,
  }),
  decoder({
    name: "configuration",
    errors: [WireError],
    sample: drawn(arbConfiguration, (value) => encode(configurationWire(value))),
    decode: (bytes) => decodeWith(bytes, readConfiguration),
    encode: (value) => encode(configurationWire(value)),
  }),
  decoder({
    name: "catalog command",
    errors: [WireError],
    sample: catalogCommand,
    decode: decodeCommand,
  }),
  decoder({
    name: "system command",
    errors: [WireError],
    sample: systemCommand,
    decode: decodeSystemCommand,
  }),
];

export const DECODERS: readonly Decoder[] = [...CONNECTIONS, ...AGREED, ...KEPT, ...FILES, ...OBJECTS, ...S3];

// ---- frames

/** In chunks as a network might cut them. What is left without an end is refused here, or it would not be canonical. */
function readFrames(bytes: Uint8Array): Uint8Array[] {
  const reader = new FrameReader(), payloads: Uint8Array[] = [];
  const random = Random.fromSeed(bytes.length);
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + 1 + random.below(4096));
    payloads.push(...reader.push(bytes.subarray(at, end)));
    at = end;
  }
  if (reader.pendingBytes > bytes.length) throw new Error("More is kept than came");
  if (reader.pendingBytes > 0) throw new WireError("truncated", "A frame without its end");
  return payloads;
}

// ---- commands

/** Requests keep the wire's bounds; the catalog's are narrower: what it would refuse is drawn anew. */
function catalogCommand(random: Random): Uint8Array {
  if (random.chance(1, 8)) return internalCommand(random);
  for (;;) {
    const [request] = fc.sample(arbRequest, { numRuns: 1, seed: random.uint32() | 0 });
    const { op, ...session } = request!;
    if (isWriteOp(op) && validate({ op, ...session }, () => partitionId(1)) === null) {
      return encodeCommand({ op, ...session });
    }
  }
}

function internalCommand(random: Random): Uint8Array {
  if (random.chance(1, 2)) {
    return encodeInternal({
      kind: "expire",
      leases: [{ lease: "l", generation: logIndex(random.below(1000)) }],
    });
  }
  const client = "ffeeddccbbaa99887766554433221100";
  const sessions = [{ client, lastIndex: logIndex(random.below(1000)) }];
  return encodeInternal({ kind: "forget-sessions", sessions });
}

const arbSystemOp = arbOp.filter(isSystemOp);

function systemCommand(random: Random): Uint8Array {
  for (;;) {
    const [op] = fc.sample(arbSystemOp, { numRuns: 1, seed: random.uint32() | 0 });
    const bytes = encodeSystemCommand(op!);
    if (refusalOf(() => decodeSystemCommand(bytes)) === null) return bytes;
  }
}

function refusalOf(decode: () => void): WireError | null {
  try {
    decode();
    return null;
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
}
