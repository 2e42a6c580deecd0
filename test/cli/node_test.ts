/** One real process: its data directory, and what it says to those who break the rules. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { RequestError } from "../../mod.ts";
import { decodeResponses, encodeRequests, WIRE_VERSION } from "../../core/wire/codec.ts";
import { frame, FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import { nodeId } from "../../core/base/ids.ts";
import { decodeHelloReply } from "../../core/wire/session.ts";
import { RawConnection, text, withLab } from "./support.ts";

Deno.test("a second node on the same data directory is refused, and the first goes on", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    await assert.rejects(lab.start({ id: "a" }), /another node runs on it/);
    const client = await lab.client(node);
    await client.put("k", "v");
  }));

Deno.test("a data directory is for its owner alone", () =>
  withLab(async (lab) => {
    await lab.start({ id: "a" });
    const path = join(lab.directory, "a");
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o700);
    for await (const { name } of Deno.readDir(path)) {
      const { mode, isDirectory } = await Deno.stat(join(path, name));
      assert.equal(mode! & 0o777, isDirectory ? 0o700 : 0o600, name);
    }
  }));

Deno.test("keys and values over a limit are refused with the limit and the size, and the connection is kept", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const client = await lab.client(node);
    const refused = (reason: string, ...words: string[]) => (error: unknown) => {
      assert(error instanceof RequestError);
      assert.equal(error.reason, reason);
      for (const word of words) assert.match(error.message, new RegExp(word));
      return true;
    };
    await assert.rejects(
      client.put("k", new Uint8Array(1024 * 1024 + 1)),
      refused("too-large", "1048576", "1048577"),
    );
    await assert.rejects(client.put("k".repeat(1281), "v"), refused("too-large", "1280", "1281"));
    await assert.rejects(client.put("", "v"), refused("invalid"));
    await client.put("k".repeat(1024), new Uint8Array(1024 * 1024));
    assert.equal((await client.get("k".repeat(1024)))?.value?.length, 1024 * 1024);
  }));

Deno.test("a request that the client let through is checked by the node all the same", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const raw = new RawConnection(node.address);
    raw.hello({});
    assert.equal(decodeHelloReply((await raw.next())!).accepted, true);
    const put = (id: number, key: string, value: Uint8Array) => ({
      id,
      request: { op: { kind: "put", key, value } as const },
    });
    raw.send(
      seal(
        encodeRequests([put(1, "", new Uint8Array(1)), put(2, "ok", new Uint8Array(1))], FRAME_HEADER_BYTES),
      ),
    );
    const answers = new Map<number, string>();
    while (answers.size < 2) {
      for (const { id, response } of decodeResponses((await raw.next())!)) answers.set(id, response.kind);
    }
    assert.equal(answers.get(1), "refused");
    assert.equal(answers.get(2), "written");
    raw.close();
  }));

Deno.test("a malformed request in a good frame is answered with its id, and the connection is kept", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const raw = new RawConnection(node.address);
    raw.hello({});
    await raw.next();
    const good = encodeRequests([{ id: 7, request: { op: { kind: "status" } } }]);
    // The request of [4, [7, request]] is the last part: an operation that does not exist stands in its place.
    const bad = good.slice();
    bad[bad.length - 1] = 0x18;
    raw.send(frame(bad));
    const [answer] = decodeResponses((await raw.next())!);
    assert.equal(answer?.id, 7);
    assert.equal(answer?.response.kind === "refused" && answer.response.reason, "invalid");
    raw.send(frame(good));
    assert.equal(decodeResponses((await raw.next())!)[0]?.response.kind, "status");
    raw.close();
  }));

Deno.test("frames that break the rules end their connection and nothing else", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const client = await lab.client(node);
    await client.put("k", "v");
    const whole = frame(encodeRequests([{ id: 1, request: { op: { kind: "status" } } }]));
    const damaged = whole.slice();
    damaged[damaged.length - 1]! ^= 1;
    const tooLong = new Uint8Array([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    const noise = frame(new Uint8Array([1, 2, 3, 4, 5]));
    for (const bytes of [damaged, tooLong, noise]) {
      for (const greet of [true, false]) {
        const raw = new RawConnection(node.address);
        if (greet) {
          raw.hello({});
          await raw.next();
        }
        raw.send(bytes);
        while (await raw.next() !== null);
      }
    }
    // Before its hello nobody is given room for a large frame.
    const early = new RawConnection(node.address);
    early.send(new Uint8Array([0, 0x10, 0, 0, ...new Uint8Array(100_000)]));
    while (await early.next() !== null);
    assert.equal(text((await client.get("k"))?.value), "v");
    const counters = new Map((await client.status()).counters);
    assert.equal(counters.get("connections refused"), 7);
  }));

Deno.test("a hello of another network, of the node itself or of another version is refused with its reason", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const { network } = node.ready;
    const peer = { role: "peer", network, node: nodeId("b"), address: "127.0.0.1:1" } as const;
    const cases = [
      [{ network: "0".repeat(32) }, "foreign"],
      [{ ...peer, network: "0".repeat(32) }, "foreign"],
      [{ ...peer, node: nodeId("a") }, "self"],
      [{ version: WIRE_VERSION + 1 }, "version"],
    ] as const;
    for (const [hello, reason] of cases) {
      const raw = new RawConnection(node.address);
      raw.hello(hello);
      const reply = decodeHelloReply((await raw.next())!);
      assert.equal(reply.accepted, false);
      assert.equal(reply.reason, reason);
      assert.equal(await raw.next(), null);
    }
  }));
