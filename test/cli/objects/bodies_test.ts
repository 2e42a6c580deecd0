import assert from "node:assert/strict";
import fc from "fast-check";
import { concatBytes } from "../../../core/base/bytes.ts";
import { BodySink, BodySource } from "../../../cli/objects/bodies.ts";

async function* pieces(list: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of list) {
    await Promise.resolve();
    yield piece;
  }
}
const streamOf = (list: readonly Uint8Array[]) => ReadableStream.from(pieces(list));

Deno.test("BodySource gives exact sizes out of any pieces, fewer only at the end", async () => {
  const arb = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(arb, fc.integer({ min: 1, max: 25 }), fc.boolean(), async (list, size, asStream) => {
      const source = new BodySource(asStream ? streamOf(list) : pieces(list));
      const taken: Uint8Array[] = [];
      for (;;) {
        const bytes = await source.read(size);
        taken.push(bytes);
        if (bytes.length < size) break;
      }
      assert.ok(taken.slice(0, -1).every(({ length }) => length === size));
      assert.deepEqual(concatBytes(taken), concatBytes(list));
      assert.equal((await source.read(size)).length, 0, "it stays at its end");
      source.cancel();
    }),
  );
});

Deno.test("BodySource copies nothing that came in one piece", async () => {
  const piece = Uint8Array.from({ length: 10 }, (_, i) => i);
  const source = new BodySource(pieces([piece, piece]));
  for (const [from, to] of [[0, 4], [4, 8]] as const) {
    const bytes = await source.read(4);
    assert.equal(bytes.buffer, piece.buffer);
    assert.deepEqual(bytes, piece.subarray(from, to));
  }
  assert.deepEqual(await source.read(4), Uint8Array.of(8, 9, 0, 1));
});

Deno.test("BodySource tells whoever has the body that nobody reads on, also while it waits for more", async () => {
  let cancelled = 0;
  const never = new ReadableStream<Uint8Array>({ cancel: () => void cancelled++ });
  const source = new BodySource(never);
  const read = source.read(1);
  source.cancel();
  assert.equal((await read).length, 0);
  assert.equal(cancelled, 1);

  let ended = false;
  const iterated = new BodySource((async function* () {
    try {
      yield Uint8Array.of(1, 2);
      yield Uint8Array.of(3);
    } finally {
      ended = true;
    }
  })());
  assert.deepEqual(await iterated.read(1), Uint8Array.of(1));
  iterated.cancel();
  await new Promise((done) => setTimeout(done, 0));
  assert.ok(ended);
});

Deno.test("BodySource hands on what breaks the body, and what is no bytes", async () => {
  const broken = new BodySource((async function* () {
    yield Uint8Array.of(1);
    throw new Error("The cable was cut");
  })());
  await assert.rejects(broken.read(2), /The cable was cut/);
  const text = ["x"] as unknown as Uint8Array[];
  await assert.rejects(new BodySource(pieces(text)).read(1), { name: "TypeError" });
});

function sinkOf() {
  const calls: string[] = [];
  const sink = new BodySink({ begin: () => calls.push("begin"), cancelled: () => calls.push("cancelled") });
  return { sink, calls };
}

Deno.test("BodySink begins when the first piece is wanted, and lets one wait", async () => {
  const { sink, calls } = sinkOf();
  assert.deepEqual(calls, []);
  const first = sink.next();
  assert.deepEqual(calls, ["begin"]);
  await sink.write(Uint8Array.of(1));
  assert.deepEqual((await first).value, Uint8Array.of(1));
  await sink.write(Uint8Array.of(2));
  let third = false;
  const writing = sink.write(Uint8Array.of(3)).then(() => third = true);
  await new Promise((done) => setTimeout(done, 5));
  assert.equal(third, false, "nobody took the second one yet");
  assert.deepEqual((await sink.next()).value, Uint8Array.of(2));
  await writing;
  sink.end();
  assert.deepEqual((await sink.next()).value, Uint8Array.of(3), "what was written before the end comes");
  assert.equal((await sink.next()).done, true);
  assert.equal((await sink.next()).done, true);
  assert.deepEqual(calls, ["begin"]);
});

Deno.test("BodySink throws what ended it, once, and lets a writer go where nobody takes any more", async () => {
  const failing = sinkOf().sink;
  const next = failing.next();
  failing.end({ error: new Error("It is damaged") });
  await assert.rejects(next, /It is damaged/);
  assert.equal((await failing.next()).done, true);

  const { sink, calls } = sinkOf();
  const first = sink.next();
  await sink.write(Uint8Array.of(1));
  await first;
  await sink.write(Uint8Array.of(2));
  const stuck = sink.write(Uint8Array.of(3));
  await sink.return();
  await stuck;
  assert.deepEqual(calls, ["begin", "cancelled"]);
  assert.equal((await sink.next()).done, true);
  await sink.write(Uint8Array.of(4));

  const untouched = sinkOf();
  await untouched.sink.return();
  assert.deepEqual(untouched.calls, [], "what was never begun is not cancelled");
});
