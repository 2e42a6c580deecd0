/** A client whose only node cannot tell it a layout: what only that node may be asked must reach it all the same. */
import assert from "node:assert/strict";
import net from "node:net";
import { once } from "node:events";
import { nodeId } from "../../../core/base/ids.ts";
import { type ClientRequestFrame, decodeRequests, encodeResponses } from "../../../core/wire/codec.ts";
import { frame, FrameReader } from "../../../core/wire/framing.ts";
import { encodeHelloReply, PREAMBLE_BYTES } from "../../../core/wire/session.ts";
import { WIRE_VERSION } from "../../../core/wire/tags.ts";
import { type Client, connect } from "../../../cli/client/client.ts";
import { RequestError } from "../../../cli/client/errors.ts";
import { answerWhileDown } from "../../../cli/host/life/down.ts";

const NODE = nodeId("a");
const ABSENT = { node: NODE, network: null, trouble: null, counters: [] };
const LATE_MS = 150;

interface Conversation {
  readonly socket: net.Socket;
  /** Of connections, from 1. */
  readonly number: number;
  answer(...requests: ClientRequestFrame[]): void;
}

/** A node that is down, and says what `hears` makes it say. */
async function withDownNode(
  hears: (conversation: Conversation, requests: readonly ClientRequestFrame[]) => void,
  use: (client: Client) => Promise<void>,
): Promise<void> {
  let connections = 0;
  const server = net.createServer((socket) => {
    const reader = new FrameReader(), number = ++connections;
    let before = PREAMBLE_BYTES, greeted = false;
    const say = (payload: Uint8Array) => socket.destroyed || socket.write(frame(payload));
    const answer = (...requests: ClientRequestFrame[]) =>
      say(encodeResponses(
        requests.map((request) => ({ id: request.id, response: answerWhileDown(ABSENT, request) })),
      ));
    socket.on("error", () => {});
    socket.on("data", (chunk: Uint8Array) => {
      const skipped = Math.min(before, chunk.length);
      before -= skipped;
      for (const payload of reader.push(new Uint8Array(chunk.subarray(skipped)))) {
        if (greeted) hears({ socket, number, answer }, decodeRequests(payload));
        else {
          greeted = true;
          say(encodeHelloReply({
            ...{ version: WIRE_VERSION, accepted: true, reason: null, network: null },
            ...{ node: NODE, address: "127.0.0.1:1", clockMs: null },
          }));
        }
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const client = await connect({ addresses: [`127.0.0.1:${port}`], timeoutMs: 5000 });
  try {
    await use(client);
  } finally {
    client.close();
    server.close();
  }
}

const isPinned = ({ request }: ClientRequestFrame) => request.op.kind === "status";

Deno.test("A node that is down and takes its time is not left before it has answered what only it may be asked", async () => {
  await withDownNode(({ answer }, requests) => {
    for (const request of requests) {
      if (isPinned(request)) setTimeout(() => answer(request), LATE_MS);
      else answer(request);
    }
  }, async (client) => {
    const { node, state } = await client.status(client.home);
    assert.deepEqual([node, state], [NODE, "down"]);
  });
});

Deno.test("What only one node may be asked leaves when a connection to it opens, though no layout is known", async () => {
  await withDownNode(({ socket, number, answer }, requests) => {
    if (number <= 3) socket.destroy();
    else answer(...requests);
  }, async (client) => {
    // Several, so that one of them waits while the connection of another opens.
    const found = await Promise.all(Array.from({ length: 5 }, () => client.status(client.home)));
    assert.deepEqual(found.map(({ state }) => state), Array(5).fill("down"));
  });
});

Deno.test("A node that is down is asked by turns for what any may answer, until the deadline", async () => {
  let asked = 0;
  await withDownNode(({ answer }, requests) => {
    asked += requests.length;
    answer(...requests);
  }, async (client) => {
    await assert.rejects(client.get("k"), (error) => error instanceof RequestError);
    assert.ok(asked >= 3 && asked < 500, `It was asked ${asked} times`);
  });
});
