/**
 * `deno task bench:repair [--gib=2] [--stripe]`: six real nodes of a private network on this machine hold 2 GiB of objects
 * in three copies; one is killed. How long until every chunk has all its copies again, once the network has given the node
 * up, and how many bytes moved for it, against the fewest possible. --stripe: seven nodes and stripes of 4+2.
 */
import { randomBytes } from "node:crypto";
import { openStore } from "../cli/objects/open_store.ts";
import type { ChunkStatus, Scheme } from "../core/wire/objects.ts";
import { nodeId } from "../core/base/ids.ts";
import { type S3Network, withS3Network } from "./s3_network.ts";

const MiB = 2 ** 20;
const OBJECT_BYTES = 64 * MiB;
const WAIT_MS_MAX = 1_800_000;

async function* body(bytes: number): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(randomBytes(MiB));
  for (let done = 0; done < bytes; done += MiB) yield block;
}

async function statuses({ client }: S3Network, ids: readonly string[]): Promise<ChunkStatus[]> {
  return await Promise.all(ids.map(async (id) => (await client.status(nodeId(id))).chunks));
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (const giveUp = performance.now() + WAIT_MS_MAX; !(await holds());) {
    if (performance.now() > giveUp) throw new Error("The network did not get there in half an hour");
    await new Promise((done) => setTimeout(done, 250));
  }
}

function sum(each: readonly ChunkStatus[], of: (status: ChunkStatus) => number): number {
  return each.reduce((total, status) => total + of(status), 0);
}

async function main(args: readonly string[]): Promise<void> {
  const gib = Number(args.find((arg) => arg.startsWith("--gib="))?.slice("--gib=".length) ?? 2);
  const isStriped = args.includes("--stripe");
  const scheme: Scheme = isStriped
    ? { kind: "striped", data: 4, parity: 2 }
    : { kind: "replicated", copies: 3 };
  await withS3Network(isStriped ? 7 : 6, async (network) => {
    const { client, nodes } = network;
    const store = openStore(client);
    await store.createBucket("repair", { scheme });
    for (let i = 0; i * OBJECT_BYTES < gib * 2 ** 30; i++) {
      await store.put({ bucket: "repair", key: `o${i}`, bytes: OBJECT_BYTES }, body(OBJECT_BYTES));
    }
    const all = nodes.map(({ ready }) => ready.node);
    await until(async () => {
      const each = await statuses(network, all);
      return each.every((status) => status.looked && status.missing === 0 && status.surplus === 0);
    });
    const victim = nodes[nodes.length - 1]!;
    const lost = (await statuses(network, [victim.ready.node]))[0]!;
    const rest = all.filter((id) => id !== victim.ready.node);
    const before = sum(await statuses(network, rest), ({ fetchedBytes }) => fetchedBytes);
    await victim.kill();
    const killedAt = performance.now();
    await until(async () => (await client.layout()).view.members.some(({ state }) => state === "gone"));
    const goneAt = performance.now();
    await until(async () => {
      const each = await statuses(network, rest);
      return each.every((status) => status.looked && status.missing === 0) &&
        sum(each, (status) => status.fragments) > 0;
    });
    const doneAt = performance.now();
    const moved = sum(await statuses(network, rest), ({ fetchedBytes }) => fetchedBytes) - before;
    // A copy is fetched once; for a part of a stripe its holder needs four others.
    const fewest = lost.bytes * (scheme.kind === "striped" ? scheme.data : 1);
    console.log(
      `The node that was lost held ${lost.fragments} fragments, ${(lost.bytes / MiB).toFixed(0)} MiB`,
    );
    console.log(`Given up after ${((goneAt - killedAt) / 1000).toFixed(1)} s`);
    console.log(`Full redundancy ${((doneAt - goneAt) / 1000).toFixed(1)} s later`);
    console.log(
      `Moved ${(moved / MiB).toFixed(0)} MiB: ${(moved / fewest).toFixed(3)} times the fewest possible`,
    );
  });
}

if (import.meta.main) await main(Deno.args);
