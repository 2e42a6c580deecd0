/** The codec on what a busy cluster says most. `deno bench bench/codec_bench.ts`; the baseline is cborg alone. */
import { decode as cborgDecode, encodeInto } from "cborg";
import { logIndex, nodeId, partitionId, term } from "../core/base/ids.ts";
import {
  decodeMessages,
  decodeRequests,
  decodeResponses,
  encodeMessages,
  encodeRequests,
  encodeResponses,
} from "../core/wire/codec.ts";
import { frame, FRAME_HEADER_BYTES, FrameReader, seal } from "../core/wire/framing.ts";
import { messageWire } from "../core/wire/message_codec.ts";
import type { Append, Message } from "../core/wire/messages.ts";
import type { Request, Response } from "../core/wire/requests.ts";

const t3 = term(3);
const value = new Uint8Array(256).fill(7);

function append(entries: number): Append {
  const list = Array.from({ length: entries }, (_, i) => ({
    term: t3,
    index: logIndex(100_001 + i),
    kind: "command" as const,
    data: value,
  }));
  const prevIndex = logIndex(100_000);
  return {
    kind: "append",
    partition: partitionId(7),
    term: t3,
    prevIndex,
    prevTerm: t3,
    commit: prevIndex,
    entries: list,
  };
}

const stars = ["sirius", "canopus", "arcturus", "vega"].map(nodeId);
const updates = stars.map((node, i) => ({
  node,
  address: `10.0.0.${i}:7000`,
  incarnation: i,
  status: "alive" as const,
  by: node,
}));

const MESSAGES: Readonly<Record<string, Message>> = {
  "append of 1 entry of 256 B": append(1),
  "append of 16 entries of 256 B": append(16),
  "append-reply": {
    kind: "append-reply",
    partition: partitionId(7),
    term: t3,
    ok: true,
    index: logIndex(100_001),
    indexTerm: t3,
    refused: logIndex(0),
  },
  "ping with 4 updates": { kind: "ping", sequence: 123_456, target: stars[0]!, view: 12, updates },
  "ack": { kind: "ack", sequence: 123_456, view: 12, updates: [] },
  "beats of 16 partitions": {
    kind: "beats",
    beats: Array.from({ length: 16 }, (_, i) => ({
      partition: partitionId(i),
      term: t3,
      commit: logIndex(100_000 + i),
      round: 5000 + i,
      quiet: false,
    })),
  },
};

for (const [group, message] of Object.entries(MESSAGES)) {
  const messages = [message];
  const bytes = encodeMessages(messages).slice();
  const buffer = new Uint8Array(64 * 1024);
  Deno.bench("encode", { group, baseline: true }, () => void encodeMessages(messages));
  Deno.bench("decode", { group }, () => void decodeMessages(bytes));
  Deno.bench(
    "cborg: encodeInto one buffer",
    { group },
    () => void encodeInto([3, messageWire(message)], buffer),
  );
  Deno.bench("cborg: decode to bare arrays", { group }, () => void cborgDecode(bytes, { strict: true }));
}

const request: Request = {
  op: { kind: "put", key: "star/32349", value },
  session: {
    client: "ffeeddccbbaa99887766554433221100",
    sequence: 70_012,
    acknowledged: 70_011,
    opened: true,
  },
};
const response: Response = {
  kind: "written",
  version: { term: t3, index: logIndex(100_001) },
  existed: true,
};
{
  const group = "put of 256 B, alone in its frame";
  const requests = [{ id: 70_012, request }];
  const responses = [{ id: 70_012, response }];
  const requestBytes = encodeRequests(requests).slice();
  const responseBytes = encodeResponses(responses).slice();
  Deno.bench("encode the request", { group, baseline: true }, () => void encodeRequests(requests));
  Deno.bench("decode the request", { group }, () => void decodeRequests(requestBytes));
  Deno.bench("encode the response", { group }, () => void encodeResponses(responses));
  Deno.bench("decode the response", { group }, () => void decodeResponses(responseBytes));
}

{
  const group = "frames of 300 B";
  const payload = encodeRequests([{ id: 1, request }]).slice();
  const stream = frame(...new Array<Uint8Array>(200).fill(payload));
  const reader = new FrameReader();
  const messages = [MESSAGES["append of 1 entry of 256 B"]!];
  Deno.bench("encode and seal an append", { group, baseline: true }, () => {
    seal(encodeMessages(messages, FRAME_HEADER_BYTES));
  });
  Deno.bench("200 frames out of one chunk of 64 KiB", { group }, () => void reader.push(stream));
  Deno.bench("200 frames out of chunks of 1,460 B", { group }, () => {
    for (let at = 0; at < stream.length; at += 1460) reader.push(stream.subarray(at, at + 1460));
  });
}
