/**
 * Requests that are not as they should be, against a real node: each is answered with what is wrong with it, and the same
 * connection, the node and what it holds are as before. Bytes are made by hand where the client's library would refuse.
 * Each is tried in an open network, and inside TLS in a private one, where an access key may do everything.
 */
import assert from "node:assert/strict";
import net from "node:net";
import { type Client, connect } from "../../cli/client/client.ts";
import type { Profile } from "../../cli/client/profile.ts";
import { parseAddress } from "../../cli/host/socket.ts";
import type { NodeProcess } from "../../cli/processes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { logIndex, nodeId, partitionId, term } from "../../core/base/ids.ts";
import {
  type ClientRequestFrame,
  type ClientResponseFrame,
  decodeResponses,
  encode,
  encodeRequests,
  encodeResponses,
  type Wire,
} from "../../core/wire/codec.ts";
import { frame } from "../../core/wire/framing.ts";
import type { Op, Response, Session } from "../../core/wire/requests.ts";
import { decodeHelloReply, PREAMBLE } from "../../core/wire/session.ts";
import { FRAME, OP } from "../../core/wire/tags.ts";
import { withPrivateLab } from "../cli/private_support.ts";
import { RawConnection, text, until, withLab } from "../cli/support.ts";

const VALUE = Uint8Array.of(1);
/** Before a node that had no time is asked again. */
const BUSY_MS = 500;

const KINDS = ["open", "private"] as const;

/** One node alone, and a client of it. `profile`: null in an open network. */
interface Ground {
  readonly node: NodeProcess;
  readonly client: Client;
  readonly profile: Profile | null;
}

async function withGround(kind: typeof KINDS[number], use: (ground: Ground) => Promise<void>): Promise<void> {
  if (kind === "open") {
    await withLab(async (lab) => {
      const node = await lab.start({ id: "a" });
      await use({ node, client: await lab.client(node), profile: null });
    });
  } else {
    await withPrivateLab(async (lab) => {
      const node = await lab.start({ id: "a" });
      await use({ node, client: await lab.client(), profile: lab.profile });
    });
  }
}

/** A client's connection of which every byte is chosen here. */
class Rude {
  readonly raw: RawConnection;
  readonly #ground: Ground;
  readonly #answers: ClientResponseFrame[] = [];

  constructor(ground: Ground) {
    const { node, profile } = ground;
    this.#ground = ground;
    this.raw = new RawConnection(
      node.address,
      profile === null ? PREAMBLE.open : PREAMBLE.client,
      profile,
    );
  }

  async greet(): Promise<this> {
    const payload = await this.raw.greet();
    assert.notEqual(payload, null, "the node answers");
    assert.equal(decodeHelloReply(payload!).accepted, true, "the node takes the connection");
    return this;
  }

  another(): Promise<Rude> {
    return new Rude(this.#ground).greet();
  }

  requests(...requests: readonly (readonly [number, Op, Session?])[]): void {
    this.raw.send(frame(payloadOf(...requests)));
  }

  /** One request whose operation is any CBOR. */
  wire(id: number, op: Wire): void {
    this.raw.send(frame(encode([FRAME.requests, [id, [op, null, null]]])));
  }

  async answer(id: number): Promise<Response> {
    for (;;) {
      const at = this.#answers.findIndex((answer) => answer.id === id);
      if (at >= 0) return this.#answers.splice(at, 1)[0]!.response;
      const payload = await this.raw.next();
      assert.notEqual(payload, null, `The connection was closed before the answer to ${id}`);
      this.#answers.push(...decodeResponses(payload!));
    }
  }

  /** The answer to a request that was sent with this id, sent again as long as the node has no time for it (O3 of load.ts). */
  async served(id: number, op: Op): Promise<Response> {
    for (;;) {
      const answer = await this.answer(id);
      if (answer.kind !== "refused" || answer.reason !== "busy") return answer;
      await pause(BUSY_MS);
      this.requests([id, op]);
    }
  }

  async refused(id: number, reason: string, message: RegExp): Promise<void> {
    const response = await this.answer(id);
    assert(response.kind === "refused", `${response.kind} instead of a refusal`);
    assert.equal(response.reason, reason, response.message);
    assert.match(response.message, message);
  }
}

function payloadOf(...requests: readonly (readonly [number, Op, Session?])[]): Uint8Array {
  return encodeRequests(requests.map(([id, op, session]): ClientRequestFrame => ({
    id,
    request: session === undefined ? { op } : { op, session },
  })));
}

const put = (key: string, value = VALUE): Op => ({ kind: "put", key, value });
const get = (key: string): Op => ({ kind: "get", key, read: "linearizable" });

async function keysOf(client: Client): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of client.range()) keys.push(key);
  return keys.sort();
}

/** Runs one attack, and then looks whether the same connection, others, and the data are well. */
function test(
  name: string,
  attack: (rude: Rude, ground: Ground) => Promise<void>,
): void {
  for (const kind of KINDS) {
    Deno.test(`malformed, ${kind}: ${name}`, () =>
      withGround(kind, async (ground) => {
        const { client } = ground;
        await client.put("kept", "safe");
        const rude = await new Rude(ground).greet();
        await attack(rude, ground);
        rude.requests([9001, get("kept")], [9002, put("after")], [9003, get("after")]);
        const kept = await rude.answer(9001);
        assert(kept.kind === "value" && text(kept.found?.value) === "safe", "the same connection is served");
        assert.equal((await rude.answer(9002)).kind, "written");
        assert.equal((await rude.answer(9003)).kind, "value");
        assert.equal(text((await client.get("kept"))?.value), "safe", "nothing was lost");
        assert.equal((await client.status(nodeId("a"))).state, "active");
        rude.raw.close();
      }));
  }
}

test("a key that is too long", async (rude, { client }) => {
  const long = "k".repeat(LIMITS.keyBytesMax + 1), longest = "k".repeat(LIMITS.keyBytesMax);
  rude.requests([1, put(long)], [2, get(long)], [3, { kind: "delete", key: long }], [4, put(longest)]);
  for (const id of [1, 2, 3]) await rude.refused(id, "too-large", /at most 1280 bytes .*, not 1281/);
  assert.equal((await rude.answer(4)).kind, "written");
  assert.deepEqual((await client.get(longest))?.value, VALUE);
});

test("a key that is too long in bytes, and not in characters", async (rude) => {
  rude.requests([1, put("☉".repeat(427))], [2, put("☉".repeat(426))]);
  await rude.refused(1, "too-large", /not 1281/);
  assert.equal((await rude.answer(2)).kind, "written");
});

test("a value that is too long", async (rude, { client }) => {
  await client.put("k", "before");
  rude.requests([1, put("k", new Uint8Array(LIMITS.valueBytesMax + 1))]);
  await rude.refused(1, "too-large", /at most 1048576 bytes .*, not 1048577/);
  assert.equal(text((await client.get("k"))?.value), "before");
  rude.requests([2, put("k", new Uint8Array(LIMITS.valueBytesMax))]);
  assert.equal((await rude.answer(2)).kind, "written");
});

test("an empty key", async (rude) => {
  rude.requests([1, put("")], [2, get("")], [3, { kind: "delete", key: "" }]);
  for (const id of [1, 2, 3]) await rude.refused(id, "invalid", /A key has at least 1 byte/);
});

test("a key that is not UTF-8", async (rude, { client }) => {
  for (const bad of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x98]]) {
    const payload = payloadOf([1, put("a".repeat(bad.length) + "bcd")]).slice();
    payload.set(bad, payload.indexOf(0x61));
    rude.raw.send(frame(payload));
    await rude.refused(1, "invalid", /not well-formed UTF-8/);
  }
  assert.deepEqual(await keysOf(client), ["kept"]);
});

test("no key", async (rude) => {
  rude.wire(1, [OP.put, VALUE, null, null, null]);
  await rude.refused(1, "invalid", /An array has 5 items instead of 6/);
  rude.wire(2, [OP.put, null, VALUE, null, null, null]);
  await rude.refused(2, "invalid", /begins something else than text/);
  rude.wire(3, [OP.get]);
  await rude.refused(3, "invalid", /items instead of 4/);
});

test("no value", async (rude, { client }) => {
  rude.wire(1, [OP.put, "k", null, null, null, null]);
  await rude.refused(1, "invalid", /begins something else than bytes/);
  rude.wire(2, [OP.put, "k"]);
  await rude.refused(2, "invalid", /An array has 2 items instead of 6/);
  assert.equal(await client.get("k"), null);
});

test("many keys where one is due", async (rude, { client }) => {
  rude.wire(1, [OP.put, ["a", "b", "c"], VALUE, null, null, null]);
  await rude.refused(1, "invalid", /begins something else than text/);
  rude.wire(2, [OP.delete, "kept", "kept2", "kept3"]);
  await rude.refused(2, "invalid", /An array has 4 items instead of 2/);
  assert.notEqual(await client.get("kept"), null);
  const keys = Array.from({ length: LIMITS.transactionItemsMax + 1 }, (_, i) => `{t}${i}`);
  const many = keys.map((key): Extract<Op, { kind: "put" }> => ({ kind: "put", key, value: VALUE }));
  rude.requests([3, { kind: "transact", conditions: [], then: many, otherwise: [] }]);
  await rude.refused(3, "too-large", /at most 128 items in "then" .*, not 129/);
  assert.equal(await client.get("{t}0"), null, "none of them was put");
});

test("many values where one is due", async (rude, { client }) => {
  rude.wire(1, [OP.put, "k", [VALUE, VALUE], null, null, null]);
  await rude.refused(1, "invalid", /begins something else than bytes/);
  rude.wire(2, [OP.put, "k", VALUE, VALUE, VALUE, null, null, null]);
  await rude.refused(2, "invalid", /An array has 8 items instead of 6/);
  assert.equal(await client.get("k"), null);
});

test("only keys", async (rude, { client }) => {
  rude.wire(1, ["a", "b", "c", "d"]);
  await rude.refused(1, "invalid", /begins something else than an integer/);
  rude.raw.send(frame(encode([FRAME.requests, [2, "a"], [3, "b"]])));
  await rude.refused(2, "invalid", /begins something else than an array/);
  assert.deepEqual(await keysOf(client), ["kept"]);
});

test("only values", async (rude, { client }) => {
  rude.wire(1, [VALUE, VALUE, VALUE, VALUE]);
  await rude.refused(1, "invalid", /begins something else than an integer/);
  rude.wire(2, VALUE);
  await rude.refused(2, "invalid", /begins something else than an array/);
  assert.deepEqual(await keysOf(client), ["kept"]);
});

test(
  "one bad request among good ones in a frame: none of that frame is done, and each is told",
  async (rude, { client }) => {
    const payload = encode([
      FRAME.requests,
      [1, [[OP.put, "x", VALUE, null, null, null], null, null]],
      [2, [[OP.put, "y"], null, null]],
      [3, [[OP.put, "z", VALUE, null, null, null], null, null]],
    ]);
    rude.raw.send(frame(payload));
    for (const id of [1, 2]) await rude.refused(id, "invalid", /An array has 2 items instead of 6/);
    for (const key of ["x", "y", "z"]) assert.equal(await client.get(key), null);
  },
);

test("a request begun and never finished", async (rude, { client }) => {
  const whole = frame(payloadOf([1, put("half", new Uint8Array(100_000))]));
  const stuck = await rude.another();
  stuck.raw.send(whole.subarray(0, 60_000));
  await client.put("meanwhile", "v");
  rude.requests([2, get("meanwhile")]);
  assert.equal((await rude.answer(2)).kind, "value");
  stuck.raw.close();
  assert.equal(await client.get("half"), null, "half a request does nothing");
});

test("requests out of order", async (rude, { client }) => {
  const session = (sequence: number, acknowledged = 1): Session => ({
    client: "ab".repeat(16),
    sequence,
    acknowledged,
    opened: false,
  });
  // Ids and sequences as they please; each write is done once, whatever came before it.
  rude.requests([70, put("o", Uint8Array.of(3)), session(3)], [5, put("o", Uint8Array.of(1)), session(1)]);
  rude.requests([6, put("o", Uint8Array.of(2)), session(2)], [4, put("o", Uint8Array.of(9)), session(3)]);
  for (const id of [4, 5, 6, 70]) assert.equal((await rude.answer(id)).kind, "written");
  assert.deepEqual(
    (await client.get("o"))?.value,
    Uint8Array.of(2),
    "the retry of sequence 3 changed nothing",
  );
  rude.requests([8, put("o"), session(4, 5)]);
  await rude.refused(8, "invalid", /acknowledges the answers below 5/);
  // The same id twice at once is answered twice.
  rude.requests([9, get("o")], [9, get("o")]);
  assert.equal((await rude.answer(9)).kind, "value");
  assert.equal((await rude.answer(9)).kind, "value");
});

test("an end of a watch that never began, and requests for other roles", async (rude) => {
  rude.requests([1, { kind: "unwatch", watch: 12345 }]);
  assert.equal((await rude.answer(1)).kind, "done");
  for (const tag of [FRAME.messages, FRAME.responses, FRAME.hello]) {
    const other = await rude.another();
    other.raw.send(frame(encode([tag, [1, [[OP.status], null, null]]])));
    assert.equal(await other.raw.next(), null, "a frame that only others send ends the connection");
  }
});

test("a frame split over many packets", async (rude) => {
  for (const [id, op] of [[1, put("split", new Uint8Array(500).fill(7))], [2, get("split")]] as const) {
    for (const byte of frame(payloadOf([id, op]))) {
      rude.raw.send(Uint8Array.of(byte));
      if (byte % 16 === 0) await pause(1);
    }
    const { kind } = await rude.answer(id);
    assert.equal(kind, id === 1 ? "written" : "value");
  }
});

test("many frames in one packet", async (rude) => {
  const frames = Array.from({ length: 500 }, (_, i) => payloadOf([i, put(`many/${i}`)]));
  rude.raw.send(frame(...frames));
  for (let i = 0; i < 500; i++) {
    assert.equal((await rude.served(i, put(`many/${i}`))).kind, "written");
  }
});

test("more requests in a frame than a client may have under way", async (rude, { client }) => {
  const many = (count: number) =>
    payloadOf(...Array.from({ length: count }, (_, id) => [id, get("kept")] as const));
  rude.raw.send(frame(many(LIMITS.requestsPerClientMax)));
  for (let id = 0; id < LIMITS.requestsPerClientMax; id++) {
    assert.equal((await rude.served(id, get("kept"))).kind, "value");
  }
  const other = await rude.another();
  other.raw.send(frame(many(LIMITS.requestsPerClientMax + 1)));
  assert.equal(await other.raw.next(), null, "that is no honest client, and its connection ends");
  assert.notEqual(await client.get("kept"), null);
});

// ---- late answers, and those that nobody asked for: the client's side

/** Between a client and a node: holds answers back, and adds some of its own. */
class Between {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #toClient: net.Socket | null = null;
  readonly #toNode = new Set<net.Socket>();
  /** Connections of the client that are over. */
  ended = 0;
  #held: Uint8Array[] | null = null;

  constructor(node: string) {
    const { host, port } = parseAddress(node);
    this.#server = net.createServer((client) => {
      const upstream = net.connect({ host, port });
      this.#toClient = client;
      this.#toNode.add(upstream);
      client.on("close", () => {
        this.ended++;
        this.#toNode.delete(upstream);
      });
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
      }
      client.on("data", (bytes: Uint8Array) => upstream.write(bytes));
      upstream.on(
        "data",
        (bytes: Uint8Array) => this.#held === null ? client.write(bytes) : this.#held.push(bytes),
      );
      client.on("close", () => upstream.destroy());
      upstream.on("close", () => client.destroy());
    });
  }

  listen(): Promise<string> {
    return new Promise((done) => {
      this.#server.listen(0, "127.0.0.1", () => {
        done(`127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`);
      });
    });
  }

  hold(): void {
    this.#held = [];
  }

  release(): void {
    for (const bytes of this.#held ?? []) this.#toClient?.write(bytes);
    this.#held = null;
  }

  say(bytes: Uint8Array): void {
    this.#toClient?.write(bytes);
  }

  /** As if the client had, on all its connections. */
  sayToNode(bytes: Uint8Array): void {
    for (const upstream of this.#toNode) upstream.write(bytes);
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((done) => this.#server.close(() => done()));
  }
}

async function withBetween(
  kind: typeof KINDS[number],
  use: (between: Between, client: Client) => Promise<void>,
): Promise<void> {
  await withGround(kind, async ({ node, profile }) => {
    const between = new Between(node.address);
    try {
      const addresses = [await between.listen()];
      using client = await connect({ addresses, timeoutMs: 700, ...(profile === null ? {} : { profile }) });
      await client.put("k", "1");
      await use(between, client);
    } finally {
      await between.close();
    }
  });
}

for (const kind of KINDS) {
  Deno.test(`malformed, ${kind}: answers that come when the client has given up change nothing for what it asks next`, () =>
    withBetween(kind, async (between, client) => {
      between.hold();
      await assert.rejects(client.put("k", "2"), /the change may have been made/);
      await assert.rejects(client.get("k"), /nothing was changed/);
      between.release();
      await pause(50);
      assert.equal(text((await client.get("k"))?.value), "2");
      await client.put("k", "3");
      assert.equal(text((await client.get("k"))?.value), "3");
    }));

  Deno.test(`malformed, ${kind}: a server that breaks the rules loses the client's connection, and the client makes another`, () =>
    withBetween(kind, async (between, client) => {
      between.say(frame(Uint8Array.of(0xff, 0xff)));
      await pause(50);
      assert.equal(text((await client.get("k"))?.value), "1");
    }));
}

Deno.test("malformed, private: bytes that are no TLS end a connection at once, and the client makes another", () =>
  withBetween("private", async (between, client) => {
    const noise = new Uint8Array(7000).fill(0xff), { ended } = between;
    between.say(noise);
    await until("the client to give it up", () => Promise.resolve(between.ended > ended));
    assert.equal(text((await client.get("k"))?.value), "1");
  }));

Deno.test("malformed, private: bytes that are no TLS end a connection at once at the node too", () =>
  withGround("private", async ({ node, client, profile }) => {
    const between = new Between(node.address);
    const connection = new RawConnection(await between.listen(), PREAMBLE.client, profile);
    assert.notEqual(await connection.greet(), null);
    between.sayToNode(new Uint8Array(7000).fill(0xff));
    assert.equal(await connection.next(), null, "the node closes it");
    await client.put("k", "v");
    await between.close();
  }));

// Inside TLS nobody can say such a thing but the node.
Deno.test("malformed, open: answers to what nobody asked are passed over", () =>
  withBetween("open", async (between, client) => {
    const version = { term: term(1), index: logIndex(1) };
    const stray: Response[] = [
      { kind: "written", version, existed: true },
      { kind: "value", found: { key: "k", value: VALUE, version }, ageUs: 0 },
      { kind: "refused", reason: "invalid", message: "no" },
      { kind: "events", partition: partitionId(1), upTo: logIndex(9), events: [], gap: true },
    ];
    for (const response of stray) {
      for (const id of [0, 1, 999_999]) between.say(frame(encodeResponses([{ id, response }])));
    }
    await pause(50);
    assert.equal(text((await client.get("k"))?.value), "1");
    await client.put("k", "2");
    assert.equal(text((await client.get("k"))?.value), "2");
  }));

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
