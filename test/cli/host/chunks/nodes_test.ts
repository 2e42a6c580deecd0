/** Chunks in real nodes: on their disks, over both lanes, beside heartbeats. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { partitionId } from "../../../../core/base/ids.ts";
import { drawnSegment } from "../../../../core/objects/segment_id.ts";
import type { Scheme } from "../../../../core/wire/objects.ts";
import type { NodeStatus } from "../../../../core/wire/requests.ts";
import { type Client, connect } from "../../../../cli/client/client.ts";
import { untilSettled } from "../../../../cli/settled.ts";
import { statusAt, withLives } from "../life/lives.ts";
import { text, until } from "../../support.ts";

const MiB = 1024 * 1024;
const SCHEME: Scheme = { kind: "replicated", copies: 3 };
const { id, token } = drawnSegment(new Uint8Array(32), { bucket: "b", key: "k" });
const SEGMENT = { partition: partitionId(1), segment: id };
/** Sealed: a little more than 1 MiB. */
const BYTES = MiB + 16;

function chunkOf(chunk: number): Uint8Array {
  const bytes = new Uint8Array(BYTES);
  for (let at = 0; at < BYTES; at += 4) {
    new DataView(bytes.buffer).setUint32(at, Math.imul(at + chunk, 0x9e3779b1));
  }
  return bytes;
}

async function putAll(client: Client, count: number): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: 6 }, async () => {
    while (next < count) {
      const chunk = next++;
      const op = {
        kind: "chunk-put",
        segment: SEGMENT,
        chunk,
        scheme: SCHEME,
        token,
        bytes: chunkOf(chunk),
      } as const;
      const response = await client.request(op);
      assert.equal(response.kind, "stored", JSON.stringify(response));
    }
  }));
}

async function get(client: Client, chunk: number): Promise<Uint8Array | null> {
  const op = {
    kind: "chunk-get",
    segment: SEGMENT,
    chunk,
    scheme: SCHEME,
    length: BYTES,
    attempt: 0,
  } as const;
  const response = await client.request(op);
  return response.kind === "chunk" ? response.bytes : null;
}

/** Of each partition, in which term it is: each election adds to one. */
function termsOf({ replicas }: NodeStatus): string {
  return replicas.map(({ partition, term }) => `${partition}: ${term}`).sort().join(", ");
}

/** How late the latest of this thread's timers came. */
class Lateness {
  #latest = 0;
  #due = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    this.#latest = Math.max(this.#latest, now - this.#due - 5);
    this.#due = now;
  }, 5);
  end(): number {
    clearInterval(this.#timer);
    return this.#latest;
  }
}

function filesIn(data: string): string[] {
  try {
    return [...Deno.readDirSync(join(data, "chunks"))].flatMap(({ name }) =>
      [...Deno.readDirSync(join(data, "chunks", name))].map((file) => file.name)
    ).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

Deno.test("three nodes keep chunks of 1 MiB, give them back through any of them and after a restart, and elect nobody meanwhile", () =>
  withLives(async (lives) => {
    const COUNT = 40;
    const a = await lives.start("a"), at = (await a.ready).address;
    const addresses = [at];
    const nodes = [a];
    for (const id of ["b", "c"]) {
      const node = await lives.start(id, { join: [at] });
      addresses.push((await node.ready).address);
      nodes.push(node);
    }
    const terms = async () => (await Promise.all(addresses.map((address) => statusAt(address)))).map(termsOf);
    const client = await lives.client(at);
    await untilSettled(client, { members: 3, msMax: 60_000 });
    const before = await terms(), lateness = new Lateness();
    await putAll(client, COUNT);
    const lateMs = lateness.end();
    // Followers wait for 300 ms at least. Where the machine itself stood still for long they may be right.
    if (lateMs < 200) assert.deepEqual(await terms(), before, "elections");
    const folders = ["a", "b", "c"].map((id) => join(lives.directory, id));
    await until(
      "all copies",
      () => Promise.resolve(folders.every((folder) => filesIn(folder).length === COUNT)),
    );
    for (const folder of folders) assert.ok(filesIn(folder).every((name) => !name.endsWith(".new")));

    await nodes[2]!.stop();
    const again = await lives.start("c");
    const elsewhere = await lives.client((await again.ready).address);
    for (let chunk = 0; chunk < COUNT; chunk += 7) {
      assert.deepEqual(await get(elsewhere, chunk), chunkOf(chunk), `chunk ${chunk}`);
    }
    assert.equal(filesIn(folders[2]!).length, COUNT);
  }));

Deno.test("a disk that fails for fragments alone leaves the node up, and who asked is told", () =>
  withLives(async (lives) => {
    const node = await lives.start("a"), { address } = await node.ready;
    // A file where the folder should be.
    Deno.writeTextFileSync(join(lives.directory, "a", "chunks"), "in the way");
    // A refusal is asked again for until then.
    using client = await connect({ addresses: [address], timeoutMs: 3000 });
    await client.put("k", "v");
    const one: Scheme = { kind: "replicated", copies: 1 };
    const bytes = chunkOf(0);
    const put = { kind: "chunk-put", segment: SEGMENT, chunk: 0, scheme: one, token, bytes } as const;
    assert.equal((await client.request(put)).kind, "refused");
    assert.equal((await client.status()).trouble, null);
    assert.equal(text((await client.get("k"))?.value), "v");
    Deno.removeSync(join(lives.directory, "a", "chunks"));
    await until("the write to be taken again", async () => (await client.request(put)).kind === "stored");
  }));
