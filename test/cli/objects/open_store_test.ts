/** Objects in real nodes, in this process: over a client in one of them, and over one that comes by connection. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { ObjectError } from "../../../core/objects/types.ts";
import { openStore } from "../../../cli/objects/open_store.ts";
import type { ObjectStore } from "../../../cli/objects/store.ts";
import type { RunningNode } from "../../../cli/host/start.ts";
import { type Lives, withLives } from "../host/life/lives.ts";
import { until } from "../support.ts";

const NODE = { kind: "node" } as const;
const MiB = 1024 * 1024;

async function three(lives: Lives): Promise<[RunningNode, RunningNode, RunningNode]> {
  const a = await lives.start("a");
  const { address } = await a.ready;
  const [b, c] = await Promise.all([
    lives.start("b", { join: [address] }),
    lives.start("c", { join: [address] }),
  ]);
  await Promise.all([b.ready, c.ready]);
  const client = await lives.client(address);
  await until("three active members", async () => {
    const { view } = await client.layout();
    return view.members.filter(({ state }) => state === "active").length === 3;
  });
  return [a, b, c];
}

/** Bytes that tell where they are. */
function bytesOf(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) bytes[i] = (state = Math.imul(state, 1103515245) + 12345 | 0) >>> 16;
  return bytes;
}
async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.subarray(at, at + size);
  }
}
async function readAll(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}
const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest("hex");
const problem = (wanted: ObjectError["problem"]) => (error: unknown) =>
  error instanceof ObjectError && error.problem === wanted || assert.fail(String(error));

async function roundTrip(
  writer: ObjectStore,
  reader: ObjectStore,
  key: string,
  length: number,
): Promise<void> {
  const bytes = bytesOf(length, length);
  const put = await writer.put({ bucket: "maps", key, bytes: length }, inPieces(bytes, 70_001));
  assert.equal(put.etag, md5(bytes));
  const got = await reader.get({ bucket: "maps", key });
  assert.equal(got.version.etag, put.etag);
  assert.deepEqual(await readAll(got.body), bytes);
  if (length < 10) return;
  const span = { kind: "from", start: length >> 1, end: (length >> 1) + 5 } as const;
  const part = await reader.get({ bucket: "maps", key, range: span });
  assert.deepEqual(await readAll(part.body), bytes.subarray(span.start, span.end + 1));
}

Deno.test("objects of all sizes are written and read whole and in part, through any node", () =>
  withLives(async (lives) => {
    const [a, b, c] = await three(lives);
    const here = openStore(a.client(NODE)), there = openStore(b.client(NODE));
    const far = openStore(await lives.client((await c.ready).address));
    await here.createBucket("maps", { scheme: { kind: "replicated", copies: 3 } });
    const stores = [here, there, far];
    for (const [i, length] of [0, 1, 4096, 4097, MiB - 1, MiB, 3 * MiB + 17, 12 * MiB + 1].entries()) {
      await roundTrip(stores[i % 3]!, stores[(i + 1) % 3]!, `size/${length}`, length);
    }
    const listed = await far.list({ bucket: "maps", prefix: "size/", limit: 100 });
    assert.equal(listed.objects.length, 8);
    assert.equal((await there.delete({ bucket: "maps", key: "size/4097" })).existed, true);
    await assert.rejects(here.head({ bucket: "maps", key: "size/4097" }), problem("no-such-key"));
  }));

Deno.test("objects in stripes are written and read", () =>
  withLives(async (lives) => {
    const [a, b] = await three(lives);
    const here = openStore(a.client(NODE)), there = openStore(b.client(NODE));
    await here.createBucket("maps", { scheme: { kind: "striped", data: 2, parity: 1 } });
    await roundTrip(here, there, "striped", 2 * MiB + 5);
  }));

Deno.test("a body that breaks, ends early or is given up leaves no object behind", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    await node.ready;
    const store = openStore(node.client(NODE));
    await store.createBucket("maps", {});
    const bytes = bytesOf(3 * MiB);
    await assert.rejects(
      store.put({ bucket: "maps", key: "short", bytes: bytes.length + 1 }, inPieces(bytes, MiB)),
      problem("invalid"),
    );
    const broken = (async function* () {
      yield bytes;
      throw new Error("The cable was cut");
    })();
    await assert.rejects(
      store.put({ bucket: "maps", key: "broken", bytes: null }, broken),
      /The cable was cut/,
    );
    const giveUp = new AbortController();
    let cancelled = false;
    const stuck = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(bytes);
        setTimeout(() => giveUp.abort(), 20);
        return new Promise(() => {});
      },
      cancel: () => void (cancelled = true),
    });
    await assert.rejects(
      store.put({ bucket: "maps", key: "given-up", bytes: null }, stuck, giveUp.signal),
      problem("unavailable"),
    );
    assert.ok(cancelled);
    for (const key of ["short", "broken", "given-up"]) {
      await assert.rejects(store.head({ bucket: "maps", key }), problem("no-such-key"));
    }
  }));

Deno.test("an upload in parts becomes one object", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    await node.ready;
    const store = openStore(node.client(NODE)), at = { bucket: "maps", key: "parts" };
    await store.createBucket("maps", {});
    const { id: upload } = await store.createUpload({ ...at, metadata: [["content-type", "image/png"]] });
    const whole = bytesOf(11 * MiB), cuts = [0, 5 * MiB, 10 * MiB, whole.length];
    const parts = await Promise.all([1, 2, 3].map(async (part) => {
      const bytes = whole.subarray(cuts[part - 1], cuts[part]);
      const { etag } = await store.putPart(
        { ...at, upload, part, bytes: bytes.length },
        inPieces(bytes, 300_000),
      );
      return { number: part, etag };
    }));
    assert.equal((await store.listParts({ ...at, upload, after: 0, limit: 10 })).parts.length, 3);
    const done = await store.completeUpload({ ...at, upload, parts });
    assert.match(done.etag, /^[0-9a-f]{32}-3$/);
    const got = await store.get(at);
    assert.equal(md5(await readAll(got.body)), md5(whole));
    assert.deepEqual(got.version.parts, [5 * MiB, 5 * MiB, MiB]);
  }));

Deno.test("a body that nobody reads to its end lets go of what it had begun", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    await node.ready;
    const client = node.client(NODE), store = openStore(client), at = { bucket: "maps", key: "k" };
    await store.createBucket("maps", {});
    await store.put({ ...at, bytes: null }, inPieces(bytesOf(9 * MiB), MiB));
    const { body } = await store.get(at);
    assert.equal((await body.next()).value?.length, MiB);
    await body.return?.();
    assert.equal((await body.next()).done, true);
    const unread = await store.get(at);
    await unread.body.return?.();
    const gone = new AbortController(), { body: cut } = await store.get(at, gone.signal);
    await cut.next();
    gone.abort();
    await assert.rejects(async () => {
      for await (const _ of cut);
    }, problem("unavailable"));
  }));
