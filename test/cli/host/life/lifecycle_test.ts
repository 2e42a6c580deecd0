/** A node in this process whose disk fails: what it says, what it does, and what is left afterwards. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DiskFiles } from "../../../../cli/host/tables/files.ts";
import { createTables, DiskTables } from "../../../../cli/host/tables/tables.ts";
import { readManifestOwner } from "../../../../core/tables/manifest.ts";
import { connect } from "../../../../cli/client/client.ts";
import { nodeId, RequestError } from "../../../../mod.ts";
import { text, until } from "../../support.ts";
import { systemError } from "../../../../sim/simulated_files.ts";
import { FailingFiles, statusAt, withLives } from "./lives.ts";

const FAULTS = [
  {
    what: "sync fails",
    code: "EIO",
    text: "Input/output error (os error 5)",
    methods: ["syncDataSync", "syncData"],
    kind: "disk",
  },
  {
    what: "write fails",
    code: "EIO",
    text: "Input/output error (os error 5)",
    methods: ["writeSync"],
    kind: "disk",
  },
  {
    what: "write finds no room",
    code: "ENOSPC",
    text: "No space left on device (os error 28)",
    methods: ["writeSync"],
    kind: "no-space",
  },
] as const;

for (const { what, code, text: words, methods, kind } of FAULTS) {
  Deno.test(`a node whose ${what} is down until that is over, and has all that it acknowledged`, () =>
    withLives(async (lives) => {
      const node = await lives.start("a");
      const { address } = await node.ready;
      const client = await lives.client(address);
      for (let i = 0; i < 20; i++) await client.put(`k${i}`, String(i));
      {
        using failing = new FailingFiles(code, words, methods);
        using other = await connect({ addresses: [address], timeoutMs: 1500 });
        await assert.rejects(
          other.put("lost", "?"),
          (error) =>
            error instanceof RequestError && (error.reason === "unsure" || error.reason === "timeout"),
        );
        const { state, trouble } = await statusAt(address);
        assert.equal(state, "down");
        assert.equal(trouble?.kind, kind);
        assert.match(trouble?.what ?? "", new RegExp(`journal-\\d+\\.log.*${words.slice(0, 12)}`));
        assert(Math.abs(Date.now() - (trouble?.sinceMs ?? 0)) < 10_000);
        assert(failing.calls > 0);
      }
      await until("the node to be up again", async () => (await statusAt(address)).state === "active");
      assert.equal((await statusAt(address)).trouble, null);
      for (let i = 0; i < 20; i++) assert.equal(text((await client.get(`k${i}`))?.value), String(i));
      await client.put("after", "1");
      assert.equal(text((await client.get("after"))?.value), "1");
    }));
}

Deno.test("a node that goes down says why already while its files are being closed (L2)", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    const { address } = await node.ready;
    const closing = Promise.withResolvers<void>();
    const abandon = DiskTables.prototype.abandon;
    DiskTables.prototype.abandon = async function () {
      await closing.promise;
      await abandon.call(this);
    };
    try {
      using _ = new FailingFiles("EIO", "Input/output error (os error 5)", ["writeSync"]);
      using other = await connect({ addresses: [address], timeoutMs: 500 });
      await assert.rejects(other.put("k", "v"));
      const { state, trouble } = await statusAt(address);
      assert.deepEqual([state, trouble?.kind], ["down", "disk"]);
    } finally {
      closing.resolve();
      DiskTables.prototype.abandon = abandon;
    }
    await until("the node to be up again", async () => (await statusAt(address)).state === "active");
  }));

Deno.test("a node whose files cannot be read as it starts is down, and starts when they can", () =>
  withLives(async (lives) => {
    const first = await lives.start("a");
    const { address } = await first.ready;
    await (await lives.client(address)).put("k", "v");
    await first.stop();
    const healthy = Deno.readFileSync;
    Deno.readFileSync = () => {
      throw systemError("EIO", "Input/output error (os error 5)");
    };
    try {
      await lives.start("a", { listen: address });
      await until("the node to say so", async () => (await statusAt(address)).trouble?.kind === "disk");
    } finally {
      Deno.readFileSync = healthy;
    }
    await until("the node to be up", async () => (await statusAt(address)).state === "active");
    assert.equal(text((await (await lives.client(address)).get("k"))?.value), "v");
  }));

/** Less than a node that is up takes at most: one that is down has nothing to wait for, on whatever machine. */
const STOPPED_MS_MAX = 7000;

Deno.test("a node that is down ends at once when it is told to stop", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    const { address } = await node.ready;
    using _ = new FailingFiles("EIO", "Input/output error (os error 5)", ["writeSync"]);
    using other = await connect({ addresses: [address], timeoutMs: 500 });
    await assert.rejects(other.put("k", "v"));
    await until("the node to be down", async () => (await statusAt(address)).state === "down");
    const began = performance.now();
    await node.stop();
    const ms = performance.now() - began;
    assert(ms < STOPPED_MS_MAX, `it took ${ms} ms`);
  }));

Deno.test("below its reserve a node takes no writes and says why; reads go on", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    const { address } = await node.ready;
    await (await lives.client(address)).put("k", "v");
    await node.stop();
    const again = await lives.start("a", { listen: address, reserve: 2 ** 50 });
    await again.ready;
    const client = await lives.client(address);
    assert.equal(text((await client.get("k"))?.value), "v");
    await assert.rejects(
      client.put("k", "w"),
      (error) => error instanceof RequestError && error.reason === "no-space",
    );
    const { state, trouble } = await statusAt(address);
    assert.equal(state, "active");
    assert.equal(trouble?.kind, "low-space");
    assert.match(trouble?.what ?? "", /the reserve is 1073741824 MiB/);
  }));

Deno.test("a damaged journal makes a node of a network a new one, which gets its data from the others", () =>
  withLives(async (lives) => {
    const a = await lives.start("a");
    const seed = (await a.ready).address;
    const b = await lives.start("b", { join: [seed], zone: "Ori", capacity: 70 });
    const c = await lives.start("c", { join: [seed] });
    const [atB, atC] = [(await b.ready).address, (await c.ready).address];
    const client = await lives.client(seed, atC);
    await until(
      "three voters",
      async () => (await client.layout()).view.assignment.every((r) => r.length === 3),
    );
    for (let i = 0; i < 50; i++) await client.put(`k${i}`, "x".repeat(200));
    await until("node.json to know the peers", async () => {
      const { peers } = JSON.parse(await Deno.readTextFile(join(lives.directory, "b", "node.json")));
      return peers.length === 2;
    });
    await b.stop();
    await spoil(newestJournal(join(lives.directory, "b")), 200);
    const again = await lives.start("b", { listen: atB });
    const ready = await again.ready;
    assert.equal(ready.id, "b.2");
    await until("the new node to hold its share, and the old one to be gone", async () => {
      const { view } = await client.layout();
      const [old, next] = ["b", "b.2"].map((id) => view.members.find((member) => member.id === id));
      if (next === undefined) return false;
      assert.equal(next.zone, "Ori");
      assert.equal(next.capacity, 70);
      assert.notEqual(next.disk, old?.disk);
      return old?.state === "gone" && view.assignment.every((r) => r.length === 3 && r.includes(next.id));
    });
    const names = [...Deno.readDirSync(join(lives.directory, "b"))].map(({ name }) => name);
    const aside = names.find((name) => name.startsWith("damaged-"))!;
    const kept = [...Deno.readDirSync(join(lives.directory, "b", aside))].map(({ name }) => name).sort();
    assert(kept.includes("tables") && kept.some((name) => /^journal-\d+\.log$/.test(name)), String(kept));
    await until("the new node to have the data", async () => {
      const { replicas } = await statusAt(atB);
      return replicas.length === 3 &&
        replicas.every(({ applied, commit }) => applied === commit && applied > 0);
    });
  }));

Deno.test("a rebuilt node passes over names that another data directory had, of members and of former ones (S5)", () =>
  withLives(async (lives) => {
    const a = await lives.start("a");
    const seed = (await a.ready).address;
    const b = await lives.start("b", { join: [seed] });
    const atB = (await b.ready).address;
    const former = await lives.start("b.2", { join: [seed] });
    await (await lives.start("b.3", { join: [seed] })).ready;
    await former.ready;
    const client = await lives.client(seed);
    await former.stop();
    await client.setState(nodeId("b.2"), "removed", { force: true });
    await b.stop();
    await Deno.remove(newestJournal(join(lives.directory, "b")));
    const again = await lives.start("b", { listen: atB, join: [seed] });
    assert.equal((await again.ready).id, "b.4");
    const { members } = (await client.layout()).view;
    assert.equal(members.find(({ id }) => id === "b.2")?.state, "removed");
  }));

Deno.test("a node whose journal lost its end, as its tables show, comes back as a new one", () =>
  withLives(async (lives) => {
    const a = await lives.start("a");
    const seed = (await a.ready).address;
    const b = await lives.start("b", { join: [seed] });
    const c = await lives.start("c", { join: [seed] });
    const [atB, atC] = [(await b.ready).address, (await c.ready).address];
    const client = await lives.client(seed, atC);
    await until(
      "b to hold what is written",
      async () => (await client.layout()).view.assignment.every((r) => r.length === 3),
    );
    for (let i = 0; i < 50; i++) await client.put(`k${i}`, "x".repeat(200));
    await until("b to have it all", async () => {
      const [at, of] = await Promise.all([statusAt(atB), statusAt(seed)]);
      return at.replicas.length === 3 &&
        at.replicas.every(({ applied }, i) => applied === of.replicas[i]!.applied);
    });
    await b.stop();
    const journal = newestJournal(join(lives.directory, "b"));
    await Deno.truncate(journal, (await Deno.stat(journal)).size - 2000);
    const again = await lives.start("b", { listen: atB, join: [seed] });
    await again.ready;
    await until("a new node to be there", async () => {
      const { view } = await client.layout();
      return view.members.some(({ id, state }) => id === "b.2" && state === "active");
    });
  }));

Deno.test("a rebuilt node whose peers are away says so, founds nothing, and joins when they are back", () =>
  withLives(async (lives) => {
    const a = await lives.start("a");
    const seed = (await a.ready).address;
    const [b, c] = [await lives.start("b", { join: [seed] }), await lives.start("c", { join: [seed] })];
    const [{ address: atB, network }, { address: atC }] = await Promise.all([b.ready, c.ready]);
    const client = await lives.client(seed);
    await until(
      "three voters",
      async () => (await client.layout()).view.assignment.every((r) => r.length === 3),
    );
    await client.put("k", "v");
    for (const node of [b, c, a]) await node.stop();
    const journals = [...Deno.readDirSync(join(lives.directory, "b"))].filter(({ name }) =>
      name.startsWith("journal-")
    );
    for (const { name } of journals) await Deno.remove(join(lives.directory, "b", name));
    const again = await lives.start("b", { listen: atB });
    await until(
      "the node to say that it is alone",
      async () => (await statusAt(atB)).trouble?.kind === "alone",
    );
    const { node, state, trouble } = await statusAt(atB);
    assert.deepEqual([node, state], ["b.2", "down"]);
    assert.match(trouble?.what ?? "", /Node "b\.2", which was "b", has to join network [0-9a-f]{32} anew: /);
    await lives.start("a", { listen: seed });
    await lives.start("c", { listen: atC });
    const ready = await again.ready;
    assert.deepEqual([ready.id, ready.network, ready.origin], ["b.2", network, "joined"]);
    assert.equal(text((await client.get("k"))?.value), "v");
  }));

Deno.test("a node whose tables are damaged or lost keeps its name, and gets the data from the others", () =>
  withLives(async (lives) => {
    const a = await lives.start("a");
    const seed = (await a.ready).address;
    let b = await lives.start("b", { join: [seed] });
    const atB = (await b.ready).address;
    await (await lives.start("c", { join: [seed] })).ready;
    const client = await lives.client(seed);
    const settled = async () => {
      const { replicas } = await statusAt(atB);
      return replicas.length === 3 && replicas.every((r) => r.voters.length === 3 && r.applied === r.commit);
    };
    await until("three voters", settled);
    for (let i = 0; i < 50; i++) await client.put(`k${i}`, "x".repeat(200));
    const data = join(lives.directory, "b");
    const spoils = [
      () => Deno.writeFile(join(data, "tables/manifest"), new Uint8Array(65536).fill(7)),
      () => damageSortedFile(join(data, "tables")),
      () => Deno.remove(join(data, "tables/manifest")),
      () => Deno.remove(join(data, "tables"), { recursive: true }),
      () => putForeignTables(data),
    ];
    for (const spoilTables of spoils) {
      await b.stop();
      await spoilTables();
      b = await lives.start("b", { listen: atB });
      assert.equal((await b.ready).id, "b");
      await until("the data to be there again", settled);
      await client.put("again", "v");
    }
    const names = [...Deno.readDirSync(data)].map(({ name }) => name);
    const kept = names.filter((name) => name.startsWith("damaged-"));
    assert(kept.some((name) => isForeign(join(data, name, "tables"))), String(names));
  }));

const STRANGER = { node: "x", network: "9".repeat(32), disk: "9".repeat(16) };

/** One byte in the midst of the first of them. */
async function damageSortedFile(tables: string): Promise<void> {
  const name = [...Deno.readDirSync(tables)].map(({ name }) => name).find((name) => name.endsWith(".tbl"))!;
  const bytes = await Deno.readFile(join(tables, name));
  bytes[bytes.length >> 1]! ^= 1;
  await Deno.writeFile(join(tables, name), bytes);
}

/** Whole tables, of another node, in the place of this one's. */
async function putForeignTables(data: string): Promise<void> {
  await Deno.remove(join(data, "tables"), { recursive: true });
  createTables(join(data, "tables"), STRANGER);
}

function isForeign(tables: string): boolean {
  try {
    return readManifestOwner(new DiskFiles(tables))?.node === STRANGER.node;
  } catch {
    // Damaged.
    return false;
  }
}

function newestJournal(directory: string): string {
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) =>
    name.startsWith("journal-")
  );
  return join(directory, names.sort().at(-1)!);
}

/** Changes one byte. */
export async function spoil(path: string, at: number): Promise<void> {
  const bytes = await Deno.readFile(path);
  bytes[at]! ^= 0xff;
  await Deno.writeFile(path, bytes);
}
