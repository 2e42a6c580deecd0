/** Nodes with the S3 face in this process. What the face answers to what, test/cli/s3 has. */
import assert from "node:assert/strict";
import { getLogger } from "@logtape/logtape";
import { makeAccessKey } from "../../../cli/host/identity/access_key.ts";
import { openS3Face, type S3Face, type S3FaceOptions } from "../../../cli/host/s3_face.ts";
import { makeS3Secret, S3Secrets, secretValue } from "../../../cli/objects/s3_secrets.ts";
import { secretRow } from "../../../core/objects/rows.ts";
import type { Op, Response as Answer } from "../../../core/wire/requests.ts";
import type { Right } from "../../../core/wire/security.ts";
import { answered, type Sent, signed } from "../s3/support.ts";
import { until } from "../support.ts";
import { FailingFiles, statusAt, withLives } from "./life/lives.ts";
import { type PrivateLives, withPrivate } from "./life/private_lives.ts";

const log = getLogger("space-opera-test");
const faceOf = (node: S3FaceOptions["node"], open: boolean): S3Face =>
  openS3Face({ node, listen: "127.0.0.1:0", domain: null, tls: null, open, log });

async function send(face: S3Face, method: string, path: string, init: Sent) {
  const headers = signed(method, path, new URL(face.url).host, init);
  return await answered(await fetch(`${face.url}${path}`, { method, headers, body: init.body ?? null }));
}

async function accessKey(
  { operator }: PrivateLives,
  rights: readonly Right[],
): Promise<{ id: string; secret: string }> {
  const { id, publicKey } = makeAccessKey(), secret = makeS3Secret();
  await operator.setAccess({ id, publicKey, name: "s3", rights });
  await operator.put(secretRow(id), secretValue(secret));
  return { id, secret };
}
const rights = (prefix: string): Right[] => [{ prefix, read: true, write: true, admin: false }];

Deno.test("an open network's node serves objects to S3 clients, signed or not", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    await node.ready;
    const face = faceOf(node, true);
    try {
      assert.equal((await fetch(`${face.url}/maps`, { method: "PUT" })).status, 200);
      const body = new Uint8Array(3_000_000).map((_, i) => i * 7);
      const put = await fetch(`${face.url}/maps/orion.bin`, { method: "PUT", body });
      assert.equal(put.status, 200, await put.text());
      const got = await fetch(`${face.url}/maps/orion.bin`);
      assert.deepEqual(new Uint8Array(await got.arrayBuffer()), body);
      const again = await send(face, "GET", "/maps?list-type=2", { id: "ANY", secret: "any" });
      assert.match(again.text, /<Key>orion.bin<\/Key>/);
    } finally {
      await face.stop(1000);
    }
  }));

Deno.test("a private network's node lets in whose access key has an S3 secret, with its rights", () =>
  withPrivate([], async (lives) => {
    const face = faceOf(lives.nodes.get("a")!, false);
    try {
      const crew = await accessKey(lives, rights("so://maps/")),
        guest = await accessKey(lives, rights("so://other/"));
      const ask = (method: string, path: string, init: Sent) => send(face, method, path, init);
      const made = await ask("PUT", "/maps", crew);
      assert.equal(made.status, 200, made.text);
      assert.equal((await ask("PUT", "/maps/a", { ...crew, body: "Vega" })).status, 200);
      assert.equal((await ask("GET", "/maps/a", crew)).text, "Vega");
      for (
        const [method, path] of [["GET", "/maps/a"], ["PUT", "/maps/b"], ["GET", "/maps"], [
          "DELETE",
          "/maps/a",
        ]] as const
      ) {
        const denied = await ask(method, path, guest);
        assert.deepEqual(
          [denied.status, denied.code],
          [403, "AccessDenied"],
          `${method} ${path} ${denied.text}`,
        );
      }
      assert.equal((await fetch(`${face.url}/maps/a`).then(answered)).code, "AccessDenied");
      assert.equal(
        (await ask("GET", "/maps/a", { ...crew, secret: guest.secret })).code,
        "SignatureDoesNotMatch",
      );
      assert.equal((await ask("GET", "/maps/a", { id: "SONOBODY", secret: "x" })).code, "InvalidAccessKeyId");
      await lives.operator.delete(secretRow(crew.id));
      await until(
        "the secret to be void",
        async () => (await ask("GET", "/maps/a", crew)).code === "InvalidAccessKeyId",
      );
      await lives.operator.dropAccess(guest.id);
      await until(
        "the key to be void",
        async () => (await ask("GET", "/other/a", guest)).code === "InvalidAccessKeyId",
      );
    } finally {
      await face.stop(1000);
    }
  }));

Deno.test("the S3 face stays while its node is down, and what was asked meanwhile is done afterwards", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    const { address } = await node.ready;
    const face = faceOf(node, true);
    try {
      assert.equal((await fetch(`${face.url}/maps`, { method: "PUT" })).status, 200);
      const failing = new FailingFiles("EIO", "Input/output error (os error 5)", ["writeSync"]);
      const putting = fetch(`${face.url}/maps/a`, { method: "PUT", body: "Vega" });
      try {
        await until("the node to be down", async () => (await statusAt(address)).state === "down");
      } finally {
        failing[Symbol.dispose]();
      }
      const put = await putting;
      assert.equal(put.status, 200, await put.text());
      assert.equal(await (await fetch(`${face.url}/maps/a`)).text(), "Vega");
    } finally {
      await face.stop(1000);
    }
  }));

Deno.test("openS3Face() says where it cannot listen", () =>
  withLives(async (lives) => {
    const node = await lives.start("a");
    const { address } = await node.ready;
    const taken = { node, listen: address, domain: null, tls: null, open: true, log };
    assert.throws(() => openS3Face(taken), /in use/i);
  }));

Deno.test("S3Secrets asks once for what many ask at once, remembers it for seconds, and what failed not at all", async () => {
  let nowMs = 0, asked = 0, secret: string | null = "first", down = false;
  const client = {
    request(op: Op): Promise<Answer> {
      if (down) return Promise.resolve({ kind: "refused", reason: "down", message: "It is down" });
      if (op.kind === "layout") {
        const view = { security: { access: [{ id: "SOSTAR" }] } };
        return Promise.resolve({ kind: "layout", view, leaders: [] } as unknown as Answer);
      }
      asked++;
      const found = secret === null
        ? null
        : { key: "k", value: secretValue(secret), version: { term: 1, index: 1 } };
      return Promise.resolve({ kind: "value", found, ageUs: 0 } as unknown as Answer);
    },
  };
  const secrets = new S3Secrets(client, () => nowMs);
  assert.deepEqual(await Promise.all([1, 2, 3].map(() => secrets.secretOf("SOSTAR"))), [
    "first",
    "first",
    "first",
  ]);
  assert.equal(asked, 1);
  secret = "second";
  nowMs = 4999;
  assert.equal(await secrets.secretOf("SOSTAR"), "first");
  nowMs = 5001;
  assert.equal(await secrets.secretOf("SOSTAR"), "second");
  for (const strange of ["", "x".repeat(33), "a b", "SO\u0001"]) {
    assert.equal(await secrets.secretOf(strange), null);
  }
  assert.equal(asked, 2);
  assert.equal(await secrets.secretOf("SONOBODY"), null);
  assert.equal(asked, 2, "of a key that is not there no secret is looked for");
  secret = null;
  nowMs = 11_000;
  assert.equal(await secrets.secretOf("SOSTAR"), null);
  secret = "third";
  nowMs = 12_001;
  assert.equal(await secrets.secretOf("SOSTAR"), "third", "that there is none is believed for a second");
  nowMs = 20_000;
  down = true;
  await assert.rejects(secrets.secretOf("SOSTAR"), { problem: "unavailable" });
  down = false;
  assert.equal(await secrets.secretOf("SOSTAR"), "third");
});

Deno.test("S3Secrets takes a row that is empty or no text for none: nobody signs with that", async () => {
  let value = new Uint8Array(0);
  const client = {
    request(op: Op): Promise<Answer> {
      const view = { security: { access: [{ id: "SOSTAR" }] } };
      const found = { key: "k", value, version: { term: 1, index: 1 } };
      const answer = op.kind === "layout"
        ? { kind: "layout", view, leaders: [] }
        : { kind: "value", found, ageUs: 0 };
      return Promise.resolve(answer as unknown as Answer);
    },
  };
  for (const bytes of [[], [0xff, 0xfe]]) {
    value = Uint8Array.from(bytes);
    assert.equal(await new S3Secrets(client).secretOf("SOSTAR"), null);
  }
});
