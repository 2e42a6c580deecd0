/** What the server does with slow, impatient and silent clients. */
import assert from "node:assert/strict";
import { LIMITS } from "../../../core/base/limits.ts";
import { ObjectError } from "../../../core/objects/types.ts";
import { patiently } from "../../../cli/s3/answers.ts";
import { xml } from "../../../cli/s3/xml.ts";
import { answered, expectStatus, signed, withFace } from "./support.ts";

/** Until it holds; a slow machine takes its time. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`It never came to be: ${what}`);
}

Deno.test("an object is read as fast as it is taken, and no further when the client goes", async () => {
  await withFace({}, async ({ send, store, server, url }) => {
    await send("PUT", "/stars");
    await send("PUT", "/stars/big", { body: new Uint8Array(32 << 20) });
    let pieces = 0;
    store.pieceBytes = 1 << 18;
    store.beforePiece = () => {
      pieces++;
      return Promise.resolve();
    };
    const headers = signed("GET", "/stars/big", `127.0.0.1:${server.port}`, {});
    const controller = new AbortController();
    const response = await fetch(`${url}/stars/big`, { headers, signal: controller.signal });
    const reader = response.body?.getReader();
    await reader?.read();
    await until("the sockets are full", () => pieces > 2);
    let before = -1;
    while (before !== pieces) {
      before = pieces;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    assert.ok(pieces < 128, `${pieces} of 128 pieces were read for a client that takes none`);
    assert.equal(store.reading.count, 1);
    assert.equal(server.requestsUnderWay(), 1);
    controller.abort();
    await until("reading ends", () => store.reading.count === 0 && server.requestsUnderWay() === 0);
  });
});

Deno.test("requests past the bound are told to slow down, and those after are served", async () => {
  await withFace({ requestsMax: 1 }, async ({ send, store, server }) => {
    await send("PUT", "/stars");
    await send("PUT", "/stars/k", { body: "bright" });
    const gate = Promise.withResolvers<void>();
    store.beforePiece = () => gate.promise;
    const slow = send("GET", "/stars/k");
    await until("one is under way", () => server.requestsUnderWay() === 1);
    const refused = expectStatus(await send("GET", "/stars/k"), 503, "SlowDown");
    assert.equal(refused.headers.get("retry-after"), "1");
    gate.resolve();
    assert.equal((await slow).text, "bright");
    await until("none is under way", () => server.requestsUnderWay() === 0);
    expectStatus(await send("GET", "/stars/k"), 200);
  });
});

Deno.test("stop() lets what is under way end, and cuts what does not", async () => {
  await withFace({}, async ({ send, store, server, url }) => {
    await send("PUT", "/stars");
    await send("PUT", "/stars/k", { body: "bright" });
    const gate = Promise.withResolvers<void>();
    store.beforePiece = () => gate.promise;
    const slow = send("GET", "/stars/k");
    await until("one is under way", () => server.requestsUnderWay() === 1);
    const stopped = server.stop(60_000);
    gate.resolve();
    assert.equal((await slow).text, "bright");
    await stopped;
    await assert.rejects(fetch(url), TypeError);
  });
  // An answer that was begun breaks off; of one that was not, the client is told.
  for (const bytes of [LIMITS.s3WholeBytesMax + 1, LIMITS.s3WholeBytesMax]) {
    await withFace({}, async ({ send, store, server }) => {
      await send("PUT", "/stars");
      await send("PUT", "/stars/k", { body: new Uint8Array(bytes) });
      const never = Promise.withResolvers<void>();
      store.beforePiece = () => never.promise;
      const asked = send("GET", "/stars/k");
      const slow = bytes > LIMITS.s3WholeBytesMax
        ? assert.rejects(asked)
        : asked.then((answer) => expectStatus(answer, 503, "SlowDown"));
      await until("one is under way", () => server.requestsUnderWay() === 1);
      await server.stop(50);
      await slow;
      never.resolve();
    });
  }
});

/** A request as it stands, and everything that comes back until the connection closes or `last` was seen. */
async function raw(port: number, pieces: readonly (string | Uint8Array)[], last: RegExp): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const sending = (async () => {
    for (const piece of pieces) {
      const bytes = typeof piece === "string" ? new TextEncoder().encode(piece) : piece;
      for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    }
  })().catch(() => {}); // A server that has answered may close before it has read all.
  let text = "";
  const buffer = new Uint8Array(65536);
  while (!last.test(text)) {
    const length = await connection.read(buffer).catch(() => null);
    if (length === null) break;
    text += new TextDecoder().decode(buffer.subarray(0, length));
  }
  await sending;
  return text;
}

const head = (method: string, path: string, port: number, more: Record<string, string>) => {
  const host = `127.0.0.1:${port}`, headers = signed(method, path, host, { payload: "UNSIGNED-PAYLOAD" });
  const lines = [...headers, ...Object.entries(more)].map(([name, value]) => `${name}: ${value}\r\n`).join(
    "",
  );
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${lines}\r\n`;
};

Deno.test("a client that waits for leave to send gets it; where there is nothing to send the connection ends", async () => {
  await withFace({}, async ({ send, server: { port } }) => {
    await send("PUT", "/stars");
    const expect = { expect: "100-continue" };
    const sent = await raw(
      port,
      [head("PUT", "/stars/k", port, { ...expect, "content-length": "3" }), "abc"],
      /200 OK[^]*\r\n\r\n/,
    );
    assert.match(sent, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK/);
    const empty = await raw(
      port,
      [head("PUT", "/stars/e", port, { ...expect, "content-length": "0" })],
      /200 OK[^]*\r\n\r\n/,
    );
    assert.match(empty, /^HTTP\/1.1 200 OK[^]*connection: close/i);
  });
});

Deno.test("a refused upload is read to its end if that is near, so that the connection can be used again", async () => {
  await withFace({}, async ({ server: { port } }) => {
    const body = new Uint8Array(1 << 20),
      put = head("PUT", "/none/k", port, { "content-length": String(body.length) });
    const twice = await raw(port, [put, body, put, body], /<\/Error>[^]*<\/Error>/);
    assert.equal(twice.match(/HTTP\/1.1 404 Not Found/g)?.length, 2);
    const endless = head("PUT", "/none/k", port, { "content-length": String(1 << 30) });
    const once = await raw(port, [endless, new Uint8Array(6 << 20)], /<\/Error>/);
    assert.match(once, /^HTTP\/1.1 404 Not Found[^]*connection: close/i);
  });
});

Deno.test("an upload whose client goes away is given up, and nothing is stored", async () => {
  await withFace({}, async ({ send, server: { port }, log }) => {
    await send("PUT", "/stars");
    await raw(port, [head("PUT", "/stars/k", port, { "content-length": "100" }), "abc"], /^/);
    await until("it is given up", () => log.some(({ code }) => code === "IncompleteBody"));
    expectStatus(await send("HEAD", "/stars/k"), 404);
  });
});

Deno.test("what breaks inside is told to the log and not to the client", async () => {
  await withFace({}, async ({ send, store, log }) => {
    store.fail("bucket", new Error("the disk at /secret/place"));
    const answer = expectStatus(await send("GET", "/stars?location"), 500, "InternalError");
    assert.ok(!answer.text.includes("secret"));
    assert.match(String(log.at(-1)?.error), /secret/);
    store.fail("bucket", new ObjectError("unavailable", "No quorum"));
    expectStatus(await send("GET", "/stars?location"), 503, "ServiceUnavailable");
    store.fail("bucket", new ObjectError("denied", "No right"));
    expectStatus(await send("GET", "/stars?location"), 403, "AccessDenied");
  });
});

Deno.test("patiently() begins an answer that takes long, and an error comes in it", async () => {
  const tell = { requestId: "1", resource: "/k", patienceMs: 20 };
  const later = <T>(work: () => T) =>
    new Promise<T>((resolve, reject) =>
      setTimeout(() => {
        try {
          resolve(work());
        } catch (error) {
          reject(error);
        }
      }, 200)
    );
  const done = await answered(
    await patiently(later(() => ({ root: xml("Done"), headers: new Headers() })), tell),
  );
  assert.match(done.text, /^<\?xml version="1.0" encoding="UTF-8"\?>\n +<Done xmlns="[^"]*"\/>$/);
  const failing = patiently(
    later(() => {
      throw new ObjectError("conflict", "Again");
    }),
    tell,
  );
  expectStatus(await answered(await failing), 200, "OperationAborted");
  const soon = patiently(Promise.reject(new ObjectError("conflict", "Again")), tell);
  await assert.rejects(soon, ObjectError);
});
