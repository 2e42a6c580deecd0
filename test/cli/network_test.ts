/** Three real processes on this machine's loopback: what a network must do whatever happens to its nodes. */
import assert from "node:assert/strict";
import { connect, nodeId, RequestError } from "../../mod.ts";
import { startThree, text, until, withLab } from "./support.ts";

Deno.test("three nodes form a network, and any of them answers for any key", () =>
  withLab(async (lab) => {
    const nodes = await startThree(lab);
    for (const [i, node] of nodes.entries()) {
      const client = await lab.client(node);
      for (let k = 0; k < 20; k++) await client.put(`key/${i}/${k}`, `${i}.${k}`);
    }
    for (const node of nodes) {
      const client = await lab.client(node);
      const found = new Map<string, string | null>();
      for await (const { key, value } of client.range({ prefix: "key/" })) found.set(key, text(value));
      assert.equal(found.size, 60);
      assert.equal(found.get("key/2/7"), "2.7");
    }
  }));

Deno.test("a client puts, gets, deletes, compares, transacts and keeps leases", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const client = await lab.client(node);
    const first = await client.put("k", "1");
    assert.equal(first.existed, false);
    assert.deepEqual((await client.get("k"))?.version, first.version);
    assert.equal((await client.cas("k", { expect: { kind: "absent" }, value: "2" })).applied, false);
    assert.equal(
      (await client.cas("k", { expect: { kind: "version", version: first.version }, value: "2" })).applied,
      true,
    );
    assert.equal(text((await client.get("k"))?.value), "2");
    assert.equal((await client.delete("k")).existed, true);
    assert.equal(await client.get("k"), null);

    const { held, results } = await client.transact({
      conditions: [{ key: "{t}a", expect: { kind: "absent" } }],
      then: [{ kind: "put", key: "{t}a", value: new Uint8Array([1]) }, { kind: "get", key: "{t}b" }],
    });
    assert.equal(held, true);
    assert.deepEqual(results, [null, null]);
    assert.deepEqual([...(await client.get("{t}a"))!.value!], [1]);

    await client.put("mood", "fine", { history: 5 });
    await client.put("mood", "better");
    assert.deepEqual((await client.history("mood")).map((item) => text(item.value)), ["better", "fine"]);

    await client.put("lamp", "on", { ttlMs: 300 });
    assert.equal(text((await client.get("lamp"))?.value), "on");
    await until("the lamp to go out", async () => await client.get("lamp") === null);
  }));

Deno.test("a client keeps to the network it first met, though an address has come to belong to another", () =>
  withLab(async (lab) => {
    const one = await lab.start({ id: "a" });
    const client = await connect({ addresses: [one.address], timeoutMs: 2000 });
    try {
      await client.put("k", "1");
      await one.kill();
      const other = await lab.start({ id: "a", data: `${lab.directory}/other`, listen: one.address });
      await assert.rejects(client.put("k", "2"), RequestError);
      assert.equal(await (await lab.client(other)).get("k"), null);
    } finally {
      client.close();
    }
  }));

Deno.test("a watch tells changes in order and ends when its loop is left", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const client = await lab.client(node);
    const stream = client.watch({ key: "w" });
    await stream.established;
    for (let i = 0; i < 50; i++) await client.put("w", String(i));
    await client.delete("w");
    const seen: (string | null)[] = [];
    for await (const { events } of stream) {
      for (const event of events) seen.push(text(event.value));
      if (seen.at(-1) === null) break;
    }
    assert.deepEqual(seen, [...Array.from({ length: 50 }, (_, i) => String(i)), null]);
  }));

Deno.test("a node killed while it leads costs no acknowledged write, and comes back with what it had", () =>
  withLab(async (lab) => {
    const [a, b, c] = await startThree(lab);
    const client = await lab.client(a, b, c);
    const acknowledged = new Map<string, string>();
    let writing = true;
    const writers = Array.from({ length: 8 }, async (_, w) => {
      for (let i = 0; writing; i++) {
        const key = `key/${w}/${i % 50}`;
        await client.put(key, String(i));
        acknowledged.set(key, String(i));
      }
    });
    await until("some writes", () => Promise.resolve(acknowledged.size > 100));
    await b.kill();
    const before = acknowledged.size;
    await until("writes after the loss", () => Promise.resolve(acknowledged.size > before + 50));
    const again = await lab.start({ id: "b", listen: b.address });
    assert.equal(again.ready.origin, "recovered");
    await until(
      "the node to be back",
      async () => (await client.members()).every((m) => m.liveness === "alive"),
    );
    writing = false;
    await Promise.all(writers);
    for (const [key, value] of acknowledged) assert.equal(text((await client.get(key))?.value), value, key);
  }));

Deno.test("all nodes killed at once and started again have everything that was acknowledged", () =>
  withLab(async (lab) => {
    const nodes = await startThree(lab);
    const client = await lab.client(...nodes);
    await Promise.all(Array.from({ length: 200 }, (_, i) => client.put(`key/${i}`, `value ${i}`)));
    await Promise.all(nodes.map((node) => node.kill()));
    for (const node of nodes) await lab.start({ id: node.ready.node, listen: node.address });
    const found = new Map<string, string | null>();
    for await (const { key, value } of client.range({ prefix: "key/" })) found.set(key, text(value));
    assert.equal(found.size, 200);
    for (const [key, value] of found) assert.equal(value, `value ${key.slice(4)}`);
  }));

Deno.test("SIGTERM lets a node hand over and end with code 0, and its restart reads no torn journal", () =>
  withLab(async (lab) => {
    const [a, b, c] = await startThree(lab);
    const client = await lab.client(a, c);
    await client.put("k", "v");
    assert.equal(await b.stop(), 0);
    assert.equal(text((await client.get("k"))?.value), "v");
    const again = await lab.start({ id: "b", listen: b.address });
    assert.equal(again.ready.origin, "recovered");
    assert.equal(again.ready.network, a.ready.network);
  }));

Deno.test("a client that asks for more than it can be told at once gets it all, over one connection", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const client = await lab.client(node);
    const value = new Uint8Array(1024 * 1024).fill(7);
    await client.put("big", value);
    const connections = async () => new Map((await client.status()).counters).get("clients");
    const before = await connections();
    const sizes = await Promise.all(
      Array.from({ length: 120 }, async () => (await client.get("big"))?.value?.length),
    );
    assert(sizes.every((size) => size === value.length));
    assert.equal(await connections(), before);
  }));

Deno.test("a client passes over a process that accepts connections and says nothing", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const client = await connect({ addresses: [`127.0.0.1:${silent.addr.port}`, node.address] });
    await client.put("k", "v");
    client.close();
  }));

Deno.test("what a client cannot send is refused, and so is all that comes after close()", () =>
  withLab(async (lab) => {
    const node = await lab.start({ id: "a" });
    const client = await lab.client(node);
    const refused = (reason: string) => (error: unknown) =>
      error instanceof RequestError && error.reason === reason;
    await assert.rejects(client.put("\ud800", "v"), refused("invalid"));
    await assert.rejects(client.watch({ key: "\ud800" }).established, refused("invalid"));
    await assert.rejects(client.setState(nodeId("b"), "draining"), refused("not-found"));
    const stream = client.watch({ key: "k" });
    await stream.established;
    client.close();
    await assert.rejects(stream.next(), refused("closing"));
    await assert.rejects(client.put("k", "v"), refused("closing"));
    await assert.rejects(client.watch({ key: "k" }).established, refused("closing"));
  }));
