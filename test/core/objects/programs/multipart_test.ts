import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  abortUpload,
  completeUpload,
  copyPart,
  createBucket,
  createUpload,
  getBody,
  getUpload,
  head,
  listParts,
  put,
  putPart,
} from "../../../../core/objects/programs/programs.ts";
import { concatBytes } from "../../../../core/base/bytes.ts";
import type { GetOptions } from "../../../../core/objects/types.ts";
import { bytesOf, Network, problemIs, Run } from "./network.ts";

function stage(seed = 1) {
  const network = new Network({ seed }), { world } = network;
  network.run(createBucket("maps", {}));
  const object = { bucket: "maps", key: "a" };
  const { id: upload } = network.run(
    createUpload(world, { ...object, metadata: [["m", "1"]], tags: [["t", "1"]], owner: "ann" }),
  );
  const name = { ...object, upload };
  return {
    network,
    world,
    name,
    part: (part: number, body: Uint8Array) =>
      network.run(putPart(world, { ...name, part, bytes: body.length }), body),
    complete: (parts: readonly { number: number; etag: string }[], more = {}) =>
      network.run(completeUpload(world, { ...name, parts, ...more })),
    get: (more: Partial<GetOptions> = {}) => {
      const { version, span } = network.run(head(world, { ...object, ...more }));
      return network.read(getBody(world, object, version, span));
    },
    rows: (letters: string) => [...letters].map((letter) => network.rows(`\u0001${letter}`).length),
  };
}

Deno.test("an object is made of the parts that are named, and what was not named goes", () => {
  for (const count of [1, 2, 3, 7, 40]) {
    const { part, complete, get, rows, name, world, network } = stage();
    const bodies = Array.from({ length: count }, (_, i) => bytesOf(20 + i, i));
    const parts = bodies.map((body, i) => part(2 * i + 1, body));
    part(2, bytesOf(90));
    part(1, bytesOf(33));
    const first = part(1, bodies[0]!);
    const chosen = [first, ...parts.slice(1)].map(({ number, etag }) => ({ number, etag: `"${etag}"` }));
    const version = complete(chosen, { metadata: [["late", "2"]] });
    assert.match(version.etag, new RegExp(`^[0-9a-f]{32}-${count}$`));
    assert.deepEqual(version.metadata, [["late", "2"], ["m", "1"]]);
    assert.deepEqual([version.tags, version.owner], [[["t", "1"]], "ann"]);
    assert.deepEqual(get(), concatBytes(bodies));
    for (let i = 0; i < count; i++) assert.deepEqual(get({ part: i + 1 }), bodies[i]);
    const segments = bodies.reduce((sum, { length }) => sum + Math.ceil(length / 64), 0);
    assert.deepEqual(rows("upgs"), [0, 0, 0, segments]);
    // Asked for again, as by who had no answer.
    assert.deepEqual(complete(chosen), version);
    assert.throws(() => complete([{ number: 5, etag: "0" }]), problemIs("no-such-upload"));
    assert.throws(() => network.run(getUpload("maps", "a", name.upload)), problemIs("no-such-upload"));
    network.run(put(world, { bucket: "maps", key: "a", bytes: 0 }));
    assert.deepEqual(rows("mgs"), [0, 0, 0]);
    assert.throws(() => complete(chosen), problemIs("no-such-upload"));
  }
});

Deno.test("the ETag of several parts is the MD5 of their MD5s, and their number", () => {
  const { part, complete } = stage();
  const bodies = [bytesOf(20, 1), bytesOf(7, 2)];
  const parts = bodies.map((body, i) => part(i + 1, body));
  const md5 = (bytes: Uint8Array) => createHash("md5").update(bytes).digest();
  assert.deepEqual(parts.map(({ etag }) => etag), bodies.map((body) => md5(body).toString("hex")));
  assert.equal(complete(parts).etag, `${md5(concatBytes(bodies.map(md5))).toString("hex")}-2`);
});

Deno.test("parts that are wrong are refused, and the upload stays as it is", () => {
  const { part, complete, rows, name, network, world } = stage();
  const [one, two] = [part(1, bytesOf(19)), part(2, bytesOf(30))];
  assert.throws(() => complete([]), problemIs("invalid"));
  assert.throws(() => complete([two, one]), problemIs("invalid-part-order"));
  assert.throws(() => complete([one, one]), problemIs("invalid-part-order"));
  assert.throws(() => complete([{ number: 3, etag: one.etag }]), problemIs("invalid-part"));
  assert.throws(() => complete([{ number: 2, etag: one.etag }]), problemIs("invalid-part"));
  assert.throws(() => complete([one, two]), problemIs("too-small"));
  assert.throws(() => complete([two], { conditions: { ifMatch: ["*"] } }), problemIs("no-such-key"));
  assert.throws(() => part(0, bytesOf(1)), problemIs("invalid"));
  assert.throws(() => part(10_001, bytesOf(1)), problemIs("invalid"));
  const wrong = putPart(world, { ...name, part: 1, bytes: 30, md5: one.etag });
  assert.throws(() => network.run(wrong, bytesOf(30)), problemIs("bad-digest"));
  assert.deepEqual(rows("oupgs"), [0, 1, 2, 0, 2]);
  complete([two]);
  assert.deepEqual(rows("oupgs"), [1, 0, 0, 0, 1]);
  assert.throws(() => part(1, bytesOf(30)), problemIs("no-such-upload"));
});

Deno.test("an upload that is aborted leaves nothing; parts are listed page by page", () => {
  const { part, rows, name, network, world } = stage();
  for (let i = 1; i <= 30; i++) part(i * 3, bytesOf(i * 7));
  const numbers: number[] = [];
  for (let after: number | null = 0; after !== null;) {
    const page: { parts: { number: number }[]; next: number | null } = network.run(
      listParts(world, { ...name, after, limit: 7 }),
    );
    numbers.push(...page.parts.map(({ number }) => number));
    after = page.next;
  }
  assert.deepEqual(numbers, Array.from({ length: 30 }, (_, i) => 3 * i + 3));
  network.run(abortUpload(world, "maps", "a", name.upload));
  assert.deepEqual(rows("oupgs"), [0, 0, 0, 0, 0]);
  assert.equal(network.chunks.size, 0);
  const again = () => network.run(abortUpload(world, "maps", "a", name.upload));
  assert.throws(again, problemIs("no-such-upload"));
  for (const upload of ["nonsense", "0".repeat(32)]) {
    assert.throws(() => network.run(abortUpload(world, "maps", "a", upload)), problemIs("no-such-upload"));
  }
});

Deno.test("a part is copied from a version or a range of it", () => {
  const { complete, get, name, network, world } = stage();
  network.run(put(world, { bucket: "maps", key: "b", bytes: 200 }), bytesOf(200));
  const from = { bucket: "maps", key: "b" };
  const one = network.run(copyPart(world, from, { ...name, part: 1 }));
  const range = { kind: "from", start: 30, end: 99 } as const;
  const two = network.run(copyPart(world, { ...from, range }, { ...name, part: 2 }));
  complete([one, two]);
  assert.deepEqual(get(), concatBytes([bytesOf(200), bytesOf(200).slice(30, 100)]));
});

Deno.test("U1, U2: parts that are put while the upload is completed are in it whole, or not at all", () => {
  let completed = 0, refused = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const { network, world, name, part } = stage(seed);
    const old = [part(1, bytesOf(70, 1)), part(2, bytesOf(70, 2))];
    const completing = new Run(network, completeUpload(world, { ...name, parts: old }));
    const putting = [1, 2, 3].map((number) =>
      new Run(network, putPart(world, { ...name, part: number, bytes: 80 }), bytesOf(80, number))
    );
    for (let steps = network.random.below(150); steps > 0; steps--) {
      const run = network.random.pick(putting);
      if (!run.over) run.step();
    }
    network.interleave([completing, ...putting]);
    if (completing.done) {
      completed++;
      const object = { bucket: "maps", key: "a" }, { version, span } = network.run(head(world, object));
      const body = network.read(getBody(world, object, version, span));
      assert.deepEqual(body, concatBytes([bytesOf(70, 1), bytesOf(70, 2)]));
      assert.equal(network.rows("\u0001s").length, 4, `Seed ${seed}`);
    } else {
      refused++;
      assert.throws(() => completing.value(), problemIs("invalid-part"));
    }
    for (const run of putting) if (!run.done) assert.throws(() => run.value(), problemIs("no-such-upload"));
  }
  assert.ok(completed > 20 && refused > 20, `${completed} ${refused}`);
});
