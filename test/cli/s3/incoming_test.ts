import assert from "node:assert/strict";
import { Incoming } from "../../../cli/s3/incoming.ts";

const MiB = 1024 * 1024;

/** A body of `bytes` that comes in pieces of `each`, of which `announced` were promised. */
function requestOf(bytes: number, each: number, announced = bytes): Request {
  let at = 0;
  const body = new ReadableStream({
    type: "bytes",
    pull(controller) {
      const piece = new Uint8Array(Math.min(each, bytes - at));
      for (let i = 0; i < piece.length; i++) piece[i] = (at + i) % 251;
      at += piece.length;
      if (piece.length > 0) return controller.enqueue(piece);
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
  return new Request("http://s3.example/b/k", {
    method: "PUT",
    headers: { "content-length": String(announced) },
    body,
  });
}

async function lengthsOf(request: Request): Promise<number[]> {
  const lengths: number[] = [];
  let at = 0;
  for await (const piece of new Incoming(request).read()) {
    assert.ok(piece.every((byte, i) => byte === (at + i) % 251), `from byte ${at}`);
    at += piece.length;
    lengths.push(piece.length);
  }
  return lengths;
}

Deno.test("a long body comes in pieces of 1 MiB, each in memory of its own, and a short one as it is read", async () => {
  assert.deepEqual(await lengthsOf(requestOf(2 * MiB + 5, 100_000)), [MiB, MiB, 5]);
  assert.deepEqual(await lengthsOf(requestOf(MiB, 3 * MiB)), [MiB]);
  assert.deepEqual(await lengthsOf(requestOf(3000, 1000)), [1000, 1000, 1000]);
  for await (const { buffer, length } of new Incoming(requestOf(2 * MiB, 70_000)).read()) {
    assert.equal(buffer.byteLength, length);
  }
});

Deno.test("all of a body comes, whatever was announced", async () => {
  const sum = (lengths: number[]) => lengths.reduce((a, b) => a + b, 0);
  assert.equal(sum(await lengthsOf(requestOf(MiB + 7, 90_000, 300_000))), MiB + 7);
  assert.equal(sum(await lengthsOf(requestOf(400_000, 90_000, 5 * MiB))), 400_000);
});
