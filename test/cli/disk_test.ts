/** Real processes on a small file system that fills up: a tmpfs of their own, where this user may mount one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readAllRows } from "./host/directories.ts";
import { type NodeStatus, program, startThreeOn, text, until, withLab } from "./support.ts";

const MiB = 1024 * 1024;
const mayMount = Deno.build.os === "linux" && Deno.uid() === 0 && await mounts();

async function run(command: string, ...args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output();
  return success;
}

async function mounts(): Promise<boolean> {
  const path = await Deno.makeTempDir();
  const mounted = await run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path);
  if (mounted) await run("umount", path);
  await Deno.remove(path);
  return mounted;
}

/** A file system of this size at `path`, unmounted afterwards. */
async function withSmallDisk(path: string, bytes: number, use: () => Promise<void>): Promise<void> {
  await Deno.mkdir(path);
  assert(await run("mount", "-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", path));
  try {
    await use();
  } finally {
    await run("umount", "--lazy", path);
  }
}

/** Takes all that is left. Returns the file that does. */
async function fill(path: string): Promise<string> {
  const name = join(path, "filler");
  const file = await Deno.open(name, { create: true, write: true });
  const piece = new Uint8Array(64 * 1024);
  try {
    for (;;) await file.write(piece);
  } catch (error) {
    assert.equal((error as Error & { code: string }).code, "ENOSPC");
  }
  file.close();
  return name;
}

const STATUS_TRIES = 4;

/** Asked anew where no answer came: when a life of the node ends, so does the connection on which it was asked. */
async function statusOf(address: string): Promise<NodeStatus> {
  for (let tries = 1;; tries++) {
    const { code, stdout, stderr } = await program("status", "--json", "--connect", address);
    if (code === 0) return JSON.parse(stdout);
    if (tries === STATUS_TRIES) throw new Error(`status ended with exit code ${code}: ${stderr}`);
  }
}

/**
 * What a stopped node holds of the data partitions: partition, key and value of every row but positions. In between the
 * key has a generation, which tells only how often a snapshot was installed (core/catalog/rows.ts).
 */
async function rowsOf(data: string): Promise<string[]> {
  const rows = await readAllRows(data);
  return rows.map(([key, value]) => [key.toHex().toUpperCase(), value.toHex().toUpperCase()] as const)
    .map(([key, value]) => `${key.slice(0, 4)} ${key.slice(12)} ${value}`)
    .filter((row) => /^(?!0000)[0-9A-F]{4} 0[2-7]/.test(row)).sort();
}

Deno.test({
  name:
    "a node whose disk is full stands aside, says so, and comes back when there is room, with nothing lost",
  ignore: !mayMount,
  fn: () =>
    withLab(async (lab) => {
      const small = join(lab.directory, "small");
      await withSmallDisk(small, 48 * MiB, async () => {
        const nodes = await startThreeOn(lab, { c: join(small, "c") });
        const [a, b, c] = nodes;
        const client = await lab.client(a, b, c);
        const acknowledged = new Map<string, string>();
        const write = async (name: string) => {
          await client.put(name, name.repeat(500));
          acknowledged.set(name, name.repeat(500));
        };
        for (let i = 0; i < 50; i++) await write(`before/${i}`);
        const filler = await fill(small);
        // Its journal has some room of its own left: writes go on until it is used up, and beyond.
        for (let i = 0, state = ""; state !== "down"; i++) {
          await Promise.all(Array.from({ length: 20 }, (_, k) => write(`full/${i}/${k}`)));
          ({ state } = await statusOf(c.address));
        }
        const { trouble } = await statusOf(c.address);
        assert.equal(trouble?.kind, "no-space");
        assert.match(trouble?.what ?? "", /small\/c\/.*No space left on device|database or disk is full/);
        const shown = await program("status", "--connect", c.address);
        assert.match(shown.stdout, /^state +down: /m);
        assert.match(shown.stdout, /^waits for .* of free space$/m);
        // A client that is given only this node finds the others in the layout it already has; a new one is sent on.
        for (let i = 0; i < 50; i++) await write(`without/${i}`);
        const other = await lab.client(c, a);
        await other.put("sent on", "1");

        await Deno.remove(filler);
        await until("the node to be up again", async () => (await statusOf(c.address)).state === "active");
        for (let i = 0; i < 50; i++) await write(`after/${i}`);
        for (const [key, value] of acknowledged) {
          assert.equal(text((await client.get(key))?.value), value, key);
        }
        await until("all three to have applied everything", async () => {
          const all = await Promise.all(nodes.map(({ address }) => statusOf(address)));
          const applied = (status: NodeStatus) =>
            status.replicas.map((r) => `${r.partition}:${r.applied}`).join();
          return all.every((status) => status.replicas.length === 9 && applied(status) === applied(all[0]!));
        });
        for (const node of nodes) assert.equal(await node.stop(), 0);
        const rows = await Promise.all(
          [join(lab.directory, "a"), join(lab.directory, "b"), join(small, "c")].map(rowsOf),
        );
        assert(rows[0]!.length > acknowledged.size);
        for (const other of rows.slice(1)) {
          assert.equal(other.length, rows[0]!.length);
          for (const [i, row] of other.entries()) assert(row === rows[0]![i], row.slice(0, 100));
        }
      });
    }),
});
