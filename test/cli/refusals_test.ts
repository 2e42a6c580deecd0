/** What a node refuses to start on: the message, once, and exit code 1. docs/troubleshooting.md has each of them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeUint32 } from "../../core/base/bytes.ts";
import { crc32 } from "../../core/base/hash.ts";
import { FLAGS, program, text, until, withLab } from "./support.ts";

const docs = await Deno.readTextFile(new URL("../../docs/troubleshooting.md", import.meta.url));

/** Runs a node that is to refuse, and returns what it said. */
async function refused(data: string, ...flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await program(
    "node",
    "--data",
    data,
    "--listen",
    "127.0.0.1:0",
    "--dev",
    "--json",
    ...flags,
  );
  assert.equal(code, 1, stderr);
  assert.equal(stdout, "");
  const lines = stderr.trimEnd().split("\n");
  assert.equal(lines.length, 1, `said once: ${stderr}`);
  return lines[0]!;
}

/** Files of a node that ran alone, copied afresh for each case. */
async function withAlone(use: (copy: () => Promise<string>) => Promise<void>): Promise<void> {
  await withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const client = await lab.client(node);
    for (let i = 0; i < 20; i++) await client.put(`k${i}`, "v");
    await node.stop();
    const from = join(lab.directory, "a");
    let copies = 0;
    await use(async () => {
      const to = join(lab.directory, `copy-${++copies}`);
      await Deno.mkdir(to);
      await copyFiles(from, to);
      await Deno.mkdir(join(to, "tables"));
      await copyFiles(join(from, "tables"), join(to, "tables"));
      return to;
    });
  });
}

async function copyFiles(from: string, to: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(from)) {
    if (isFile) await Deno.copyFile(join(from, name), join(to, name));
  }
}

async function change(path: string, edit: (bytes: Uint8Array) => void): Promise<void> {
  const bytes = await Deno.readFile(path);
  edit(bytes);
  await Deno.writeFile(path, bytes);
}

async function changeIdentity(data: string, part: Record<string, unknown>): Promise<void> {
  const path = join(data, "node.json");
  await Deno.writeTextFile(path, JSON.stringify({ ...JSON.parse(await Deno.readTextFile(path)), ...part }));
}

async function names(data: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(data)) found.push(name);
  return found.sort();
}

const JOURNAL = "journal-00000001.log";

Deno.test("a node alone whose journal is damaged is refused with file and offset, and nothing is touched", () =>
  withAlone(async (copy) => {
    const data = await copy();
    const before = await names(data);
    await change(join(data, JOURNAL), (bytes) => bytes[400]! ^= 1);
    const said = await refused(data);
    assert.match(said, /journal-00000001\.log" is damaged at byte \d+/);
    assert.match(said, /No other node is known to have this data/);
    assert.match(said, /Restore it from a copy/);
    assert.deepEqual(await names(data), before);

    const lost = await copy();
    await Deno.remove(join(lost, JOURNAL));
    assert.match(await refused(lost), /its journal is missing.*No other node is known/);
  }));

Deno.test("files of another format, node or network are refused with what to do", () =>
  withAlone(async (copy) => {
    const newer = await copy();
    await change(join(newer, JOURNAL), (bytes) => {
      writeUint32(bytes, 8, 99);
      writeUint32(bytes, 16, crc32(bytes.subarray(20, 128), crc32(bytes.subarray(8, 16))));
    });
    assert.match(await refused(newer), /has format 99 and this build reads .*Start the build that wrote it/);

    const other = await copy();
    await changeIdentity(other, { node: "b" });
    assert.match(await refused(other), /belongs to node "a", not to "b"/);

    const network = await copy();
    await changeIdentity(network, { network: "0".repeat(32) });
    assert.match(await refused(network), /node\.json is of network 0{32}, the journal of [0-9a-f]{32}/);

    const identity = await copy();
    await changeIdentity(identity, { format: 9 });
    assert.match(await refused(identity), /node\.json": it has format 9/);

    const tables = await copy();
    await change(join(tables, "tables/manifest"), (bytes) => {
      const view = new DataView(bytes.buffer), length = view.getUint32(12);
      view.setUint32(8, 9);
      view.setUint32(length - 4, crc32(bytes.subarray(0, length - 4)));
    });
    assert.match(
      await refused(tables),
      /tables\/manifest" has format 9 and this build reads .*Start the build that wrote it/,
    );
  }));

Deno.test("tables that the journal can still replay are made anew, those that it cannot are refused where no peer has them", () =>
  withLab(async (lab) => {
    const data = join(lab.directory, "a");
    let node = await lab.start({ id: "a", flags: [...FLAGS, "--replicas", "1"] });
    let client = await lab.client(node);
    await client.put("k", "v");
    await node.stop();
    await Deno.writeFile(join(data, "tables/manifest"), new Uint8Array(8192).fill(1));
    node = await lab.start({ id: "a", listen: node.address });
    client = await lab.client(node);
    assert.equal(text((await client.get("k"))?.value), "v");
    // Until a checkpoint is taken and the journal has let go of the beginning.
    const value = new Uint8Array(1024 * 1024);
    for (let i = 0; i < 40; i++) await client.put(`big/${i}`, value);
    await until("the checkpoint", async () => !(await names(data)).includes(JOURNAL));
    await node.stop();
    await Deno.truncate(join(data, "tables/manifest"));
    assert.match(await refused(data), /has lost its tables\. No other node has the data of partition \d/);
    assert.equal((await Deno.stat(join(data, "tables/manifest"))).size, 0);
    await Deno.remove(join(data, "tables/manifest"));
    const said = await refused(data);
    assert.match(said, /has lost its tables.*No other node has the data of partition \d.*Restore/);
  }));

Deno.test("a directory or an address that cannot be used is refused with the system's reason", () =>
  withLab(async (lab) => {
    const file = join(lab.directory, "file");
    await Deno.writeTextFile(file, "");
    assert.match(
      await refused(join(file, "x")),
      /Cannot use the data directory ".*\/file\/x": Not a directory/,
    );
    assert.match(await refused(file), /Cannot use the data directory ".*\/file": Not a directory/);
    const node = await lab.start({ id: "a" });
    assert.match(await refused(join(lab.directory, "a")), /another node runs on it\. Stop that node/);
    const said = await program(
      ...["node", "--dev", "--data", join(lab.directory, "b"), "--listen", node.address],
    );
    assert.equal(said.code, 1);
    assert.match(said.stderr, /^Cannot listen on ".*": .*Choose another address with --listen\n$/);
  }));

Deno.test("a node that has nobody to rejoin by is refused", () =>
  withAlone(async (copy) => {
    const data = await copy();
    await changeIdentity(data, { founder: false, started: false });
    await Deno.remove(join(data, JOURNAL));
    await Deno.remove(join(data, "tables"), { recursive: true });
    assert.match(await refused(data), /has not finished joining network .*--join/);
  }));

Deno.test("docs/troubleshooting.md has every refusal", () => {
  for (
    const words of [
      "is damaged at byte",
      "its journal is missing",
      "No other node is known to have this data",
      "Start the build that wrote it",
      "belongs to node",
      "node.json is of network",
      "it has format",
      "has lost its tables",
      "another node runs on it",
      "Cannot listen on",
      "has not finished joining",
      "is known with another data directory",
      "Cannot join as node",
      "No space left on device",
      "Input/output error",
      "the reserve is",
      "comes back as",
    ]
  ) assert(docs.includes(words), words);
});
