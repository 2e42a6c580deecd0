import assert from "node:assert/strict";
import { utf8Encode } from "../../../core/base/bytes.ts";
import { RequestError } from "../../../cli/client/errors.ts";
import { LocalClient } from "../../../cli/host/local_client.ts";
import type { Op, Response } from "../../../core/wire/requests.ts";
import { secretRow } from "../../../core/objects/rows.ts";
import { text, until } from "../support.ts";
import { FailingFiles, statusAt, withLives } from "./life/lives.ts";
import { withPrivate } from "./life/private_lives.ts";

const put = (key: string, value: string): Op => ({ kind: "put", key, value: utf8Encode(value) });
const get = (key: string): Op => ({ kind: "get", key, read: "linearizable" });
const NODE = { kind: "node" } as const;

function valueOf(response: Response): string | null {
  assert.equal(response.kind, "value", JSON.stringify(response));
  return response.kind === "value" ? text(response.found?.value) : null;
}

Deno.test("a local client writes and reads through its node, whoever leads, beside clients of others", () =>
  withLives(async (lives) => {
    const a = await lives.start("a");
    const { address } = await a.ready;
    const b = await lives.start("b", { join: [address] });
    await b.ready;
    const here = a.client(NODE), there = b.client(NODE);
    const keys = Array.from({ length: 50 }, (_, i) => `k${i}`);
    const written = await Promise.all(
      keys.map((key, i) => (i % 2 === 0 ? here : there).request(put(key, key))),
    );
    for (const response of written) assert.equal(response.kind, "written");
    const read = await Promise.all(keys.map((key, i) => (i % 2 === 0 ? there : here).request(get(key))));
    assert.deepEqual(read.map(valueOf), keys);
    assert.equal(text((await (await lives.client(address)).get("k7"))?.value), "k7");
    here.close();
    const refused = await here.request(get("k0"));
    assert.ok(refused.kind === "refused" && refused.reason === "closing");
  }));

Deno.test("a local client's writes last over the lives of its node, each applied once", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    const { address } = await node.ready;
    const client = node.client(NODE);
    // Appends, one after the other: what is applied twice would be seen.
    let expected = "";
    let failing: FailingFiles | null = null;
    const append = async (mark: string) => {
      for (;;) {
        const found = await client.request(get("log"));
        const at = found.kind === "value" ? found.found : null;
        const before = found.kind === "value" ? text(found.found?.value) ?? "" : null;
        if (before === null) continue;
        if (before.endsWith(mark)) return;
        const done = await client.request({
          kind: "cas",
          key: "log",
          expect: at === null ? { kind: "absent" } : { kind: "version", version: at.version },
          value: utf8Encode(before + mark),
        });
        if (done.kind === "cas") {
          assert.ok(done.applied, "nobody else writes it, and no attempt counts twice");
          return;
        }
      }
    };
    for (let i = 0; i < 20; i++) {
      if (i === 7) failing = new FailingFiles("EIO", "Input/output error (os error 5)", ["writeSync"]);
      const mark = `<${i}>`;
      const appended = append(mark);
      if (failing !== null) {
        await until("the node to be down", async () => (await statusAt(address)).state === "down");
        failing[Symbol.dispose]();
        failing = null;
      }
      await appended;
      expected += mark;
    }
    assert.equal(valueOf(await client.request(get("log"))), expected);
  }));

Deno.test("a local client that nobody uses rests, and goes on when it is used", async () => {
  let open = 0, opened = 0;
  const client = new LocalClient({
    as: NODE,
    restMs: 30,
    open: (_, hearing) => {
      open++;
      opened++;
      return {
        send: (requests) =>
          queueMicrotask(() =>
            hearing.answers(requests.map(({ id, request }) => ({
              id,
              response: request.op.kind === "layout"
                ? { kind: "refused", reason: "denied", message: "No" }
                : { kind: "done", version: 1 },
            })))
          ),
        close: () => open--,
      };
    },
  });
  assert.equal((await client.request({ kind: "audit", limit: 1 })).kind, "done");
  assert.equal(open, 1);
  await until("it to rest", () => Promise.resolve(open === 0));
  assert.equal((await client.request({ kind: "audit", limit: 1 })).kind, "done");
  assert.equal(opened, 2);
  client.close();
  assert.equal(open, 0);
});

Deno.test("a local client has the rights of whom it asks as, and the node alone reads secrets", () =>
  withPrivate([], async (lives) => {
    const { operator } = lives;
    const node = lives.nodes.get("a")!;
    const { id, publicKey } = { id: "SOLOCALCLIENT234", publicKey: "ab".repeat(32) };
    const rights = [{ prefix: "star/", read: true, write: true, admin: false }];
    await operator.setAccess({ id, publicKey, name: "stars", rights });
    await operator.put(secretRow(id), "a secret");
    const key = node.client({ kind: "access", id }), itself = node.client(NODE);
    await until(
      "the node to know the key",
      async () => (await key.request(put("star/1", "x"))).kind === "written",
    );
    assert.equal(valueOf(await key.request(get("star/1"))), "x");
    for (const op of [get("moon"), put("moon", "x"), get(secretRow(id))]) {
      const refused = await key.request(op);
      assert.ok(refused.kind === "refused" && refused.reason === "denied", JSON.stringify(refused));
    }
    await assert.rejects(operator.get(secretRow(id)), (error) => error instanceof RequestError);
    assert.equal(valueOf(await itself.request(get(secretRow(id)))), "a secret");
    await operator.dropAccess(id);
    await until("the key to be void", async () => {
      const answer = await key.request(get("star/1"));
      return answer.kind === "refused" && answer.reason === "denied";
    });
  }));
