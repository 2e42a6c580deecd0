/** Faults of disks and processes under objects, in real node processes. `deno task torture` has more of them. */
import assert from "node:assert/strict";
import { basename, dirname, join } from "node:path";
import { parseFileName, parseFolderName } from "../../../cli/host/chunks/names.ts";
import { openStore } from "../../../cli/objects/open_store.ts";
import type { ObjectStore } from "../../../cli/objects/store.ts";
import type { Client } from "../../../cli/client/client.ts";
import type { ChunkStatus } from "../../../core/wire/objects.ts";
import { parseFragment } from "../../../core/objects/fragment.ts";
import { ObjectError } from "../../../core/objects/types.ts";
import { contentOf, firstDifference } from "../../torture/objects/history.ts";
import { startThree, until, withLab } from "../support.ts";

const MiB = 1024 * 1024;
const BYTES = MiB + 17;
const OBJECTS = 6;

async function put(store: ObjectStore, number: number, bytes = BYTES): Promise<void> {
  await store.put({ bucket: "maps", key: `${number}`, bytes }, bodyOf(number, bytes));
}
async function* bodyOf(number: number, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes; at += 65_536) yield contentOf(number, at, Math.min(65_536, bytes - at));
}
async function assertWhole(store: ObjectStore, number: number, bytes = BYTES): Promise<void> {
  const { body } = await store.get({ bucket: "maps", key: `${number}` });
  let at = 0;
  for await (const piece of body) {
    assert.equal(firstDifference(number, at, piece), null, `object ${number}`);
    at += piece.length;
  }
  assert.equal(at, bytes, `object ${number}`);
}
async function chunksOf(client: Client, name: string): Promise<ChunkStatus> {
  const { view } = await client.layout();
  const { id } = view.members.find((member) => member.id === name)!;
  return (await client.status(id)).chunks;
}
function* fragmentFiles(data: string): Generator<string> {
  for (const { name: folder, isDirectory } of Deno.readDirSync(join(data, "chunks"))) {
    if (!isDirectory) continue;
    for (const { name } of Deno.readDirSync(join(data, "chunks", folder))) {
      yield join(data, "chunks", folder, name);
    }
  }
}
function isWhole(path: string): boolean {
  const partition = parseFolderName(basename(dirname(path)));
  const fragment = partition === null ? null : parseFileName(partition, basename(path));
  // A file that is being written, or was just removed, is looked at again.
  if (fragment === null) return false;
  try {
    return parseFragment(Deno.readFileSync(path), fragment) !== null;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return false;
  }
}
function filesOf(data: string): number {
  try {
    return [...fragmentFiles(data)].length;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return 0;
  }
}

Deno.test("fragments that are damaged, or lost while their node is down, are made anew, and reads stay right", () =>
  withLab(async (lab) => {
    const [a, b, c] = await startThree(lab), data = join(lab.directory, "b");
    const client = await lab.client(a, c), store = openStore(client);
    const near = openStore(await lab.client(b));
    await store.createBucket("maps", { scheme: { kind: "replicated", copies: 3 } });
    for (let i = 1; i <= OBJECTS; i++) await put(store, i);
    const wanted = 2 * OBJECTS;
    await until("three copies of each chunk", () => Promise.resolve(filesOf(data) === wanted));

    for (const path of fragmentFiles(data)) {
      const bytes = Deno.readFileSync(path);
      bytes[bytes.length >> 1]! ^= 1;
      Deno.writeFileSync(path, bytes);
    }
    for (let i = 1; i <= OBJECTS; i++) await assertWhole(near, i);
    // Who read them found some; a life begins with a scrub, which finds the others.
    await b.stop();
    const again = await lab.start({ id: "b", listen: b.address, join: a.address });
    await until("all is whole", () => Promise.resolve([...fragmentFiles(data)].every(isWhole)));
    await until("nothing is missing", () => Promise.resolve(filesOf(data) === wanted));

    await again.stop();
    await Deno.remove(join(data, "chunks"), { recursive: true });
    await put(store, OBJECTS + 1);
    await lab.start({ id: "b", listen: b.address, join: a.address });
    await until("all is there again", () => Promise.resolve(filesOf(data) === wanted + 2));
    await until("its status says so", async () => {
      const { missing, lost, looked } = await chunksOf(client, "b");
      return missing === 0 && lost === 0 && looked;
    });
    for (let i = 1; i <= OBJECTS + 1; i++) await assertWhole(store, i);
  }));

Deno.test("of a put whose gateway is killed nothing is visible, or all of it", () =>
  withLab(async (lab) => {
    const [a, b, c] = await startThree(lab), bytes = 24 * MiB;
    const store = openStore(await lab.client(a, c)), through = openStore(await lab.client(b));
    await store.createBucket("maps", { scheme: { kind: "replicated", copies: 3 } });
    await put(store, 1);
    const written = put(through, 2, bytes).then(() => true, (error: unknown) => {
      assert(error instanceof ObjectError, String(error));
      return false;
    });
    const data = join(lab.directory, "a");
    await until("a part of it is stored", () => Promise.resolve(filesOf(data) > 4));
    await b.kill();
    // The client goes on through another node.
    const done = await written;
    const listed = await store.list({ bucket: "maps", limit: 10 });
    if (listed.objects.length === 2) await assertWhole(store, 2, bytes);
    else assert(!done, "What was acknowledged is there");
    await assertWhole(store, 1);
  }));
