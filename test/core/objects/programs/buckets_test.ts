import assert from "node:assert/strict";
import {
  abortUpload,
  changeBucket,
  createBucket,
  createUpload,
  deleteBucket,
  deleteObject,
  getBucket,
  head,
  listBuckets,
  put,
} from "../../../../core/objects/programs/programs.ts";
import { ObjectError } from "../../../../core/objects/types.ts";
import { bytesOf, Network, problemIs, Run } from "./network.ts";

Deno.test("a bucket is made once, with a name as S3 has them", () => {
  const network = new Network();
  for (const name of ["abc", "a.b-c", "0".repeat(63), "a1b"]) {
    assert.equal(network.run(createBucket(name, { owner: "ann" })).owner, "ann");
    assert.throws(() => network.run(createBucket(name, {})), problemIs("bucket-exists"));
    assert.equal(network.run(getBucket(name)).name, name);
  }
  for (
    const name of [
      "ab",
      "0".repeat(64),
      "Abc",
      "a_b",
      "-ab",
      "ab-",
      "a..b",
      "1.2.3.4",
      "a/b",
      "a\0b",
      "xn--a",
    ]
  ) {
    assert.throws(() => network.run(createBucket(name, {})), problemIs("invalid"));
  }
  const names = network.run(listBuckets(network.world)).map(({ name }) => name);
  assert.deepEqual(names, ["0".repeat(63), "a.b-c", "a1b", "abc"]);
  assert.throws(() => network.run(getBucket("nowhere")), problemIs("no-such-bucket"));
});

Deno.test("a scheme that needs more members than are active is refused, with the numbers", () => {
  const network = new Network({ members: 5 });
  const striped = { kind: "striped", data: 4, parity: 2 } as const;
  assert.throws(
    () => network.run(createBucket("maps", { scheme: striped })),
    (error) => problemIs("too-small")(error) && /6.*5/.test((error as ObjectError).message),
  );
  network.members = 6;
  assert.deepEqual(network.run(createBucket("maps", { scheme: striped })).scheme, striped);
  const none = { kind: "replicated", copies: 0 } as const;
  assert.throws(() => network.run(createBucket("maps-2", { scheme: none })), problemIs("invalid"));
  network.run(put(network.world, { bucket: "maps", key: "a", bytes: 30 }), bytesOf(30));
  const { version } = network.run(head(network.world, { bucket: "maps", key: "a" }));
  assert.ok(version.content.kind === "segments");
  assert.deepEqual(version.content.segments[0]!.scheme, striped);
});

Deno.test("changes of a bucket by several at once are all made", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const network = new Network({ seed });
    network.run(createBucket("maps", {}));
    const cors = [{ id: "c", origins: ["*"], methods: ["GET"], headers: [], expose: [], maxAgeSeconds: 5 }];
    const lifecycle = [{
      id: "l",
      enabled: true,
      prefix: "old/",
      tags: [["a", "b"] as const],
      sizeMin: 1,
      sizeMax: null,
      expireDays: 3,
      expireDateMs: null,
      expireMarkers: true,
      noncurrentDays: 7,
      noncurrentKept: 2,
      abortUploadDays: 1,
    }];
    const runs = [{ cors }, { lifecycle }, { versioning: "enabled" as const }, {
      tags: [["x", "y"] as const],
    }]
      .map((change) => new Run(network, changeBucket("maps", change)));
    network.interleave(runs);
    for (const run of runs) run.value();
    const bucket = network.run(getBucket("maps"));
    assert.deepEqual([bucket.cors, bucket.lifecycle, bucket.versioning, bucket.tags], [
      cors,
      lifecycle,
      "enabled",
      [[
        "x",
        "y",
      ]],
    ]);
  }
});

Deno.test("only an empty bucket is removed", () => {
  const network = new Network(), { world } = network;
  network.run(createBucket("maps", { versioning: "enabled" }));
  network.run(createBucket("maps-2", {}));
  network.run(put(world, { bucket: "maps-2", key: "a", bytes: 0 }));
  const remove = () => network.run(deleteBucket(world, "maps"));
  const { id } = network.run(put(world, { bucket: "maps", key: "a", bytes: 0 }));
  assert.throws(remove, problemIs("bucket-not-empty"));
  const { version } = network.run(deleteObject(world, { bucket: "maps", key: "a" }));
  assert.throws(remove, problemIs("bucket-not-empty"));
  for (const one of [id, version!]) {
    network.run(deleteObject(world, { bucket: "maps", key: "a", version: one }));
  }
  const upload = network.run(createUpload(world, { bucket: "maps", key: "a" }));
  assert.throws(remove, problemIs("bucket-not-empty"));
  network.run(abortUpload(world, "maps", "a", upload.id));
  remove();
  assert.throws(remove, problemIs("no-such-bucket"));
  assert.throws(
    () => network.run(put(world, { bucket: "maps", key: "a", bytes: 0 })),
    problemIs("no-such-bucket"),
  );
  // Made again, it takes objects at once, whatever fences stand.
  network.run(createBucket("maps", {}));
  network.run(put(world, { bucket: "maps", key: "a", bytes: 0 }));
  network.pass(2 * 3_600_000);
  assert.deepEqual(network.rows("\u0001f"), []);
});

Deno.test("B4: fences that nobody needs any more end by themselves", () => {
  const network = new Network();
  network.run(createBucket("maps", {}));
  network.run(deleteBucket(network.world, "maps"));
  assert.equal(network.rows("\u0001f").length, 3);
  network.pass(2 * 3_600_000);
  assert.deepEqual(network.rows("\u0001f"), []);
});

Deno.test("B1, B2, B3: whoever writes while buckets are removed, and crashes, no object is ever without its bucket", () => {
  let removed = 0, written = 0, calledOff = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const network = new Network({
      seed,
      partitions: 2,
      refused: seed % 3 === 0 ? 10 : 0,
      unsure: seed % 4 === 0 ? 60 : 0,
    });
    const { world, random } = network;
    network.intercept = () => null;
    const quiet = [network.refused, network.unsure] as const;
    [network.refused, network.unsure] = [0, 0];
    network.run(createBucket("maps", {}));
    [network.refused, network.unsure] = quiet;
    const runs: Run<unknown>[] = [];
    const crash = () => random.below(4) === 0 ? random.below(40) : Infinity;
    for (let i = 0; i < 2 + random.below(2); i++) {
      runs.push(new Run(network, deleteBucket(world, "maps"), undefined, crash()));
    }
    for (let i = 0; i < random.below(4); i++) {
      const size = random.pick([0, 30, 80]);
      const program = put(world, { bucket: "maps", key: `k${random.below(3)}`, bytes: size });
      runs.push(new Run(network, program, bytesOf(size), crash()));
    }
    if (random.below(2) === 0) runs.push(new Run(network, createUpload(world, { bucket: "maps", key: "u" })));
    if (random.below(3) === 0) {
      runs.push(new Run(network, createBucket("maps", {}), undefined, crash()));
    }
    network.interleave(runs);
    network.settle();
    [network.refused, network.unsure] = [0, 0];
    const isThere = network.rows("\u0001bmaps").length > 0;
    const objects = network.rows("\u0001o").length + network.rows("\u0001u").length;
    assert.ok(isThere || objects === 0, `Seed ${seed}: ${objects} objects have no bucket`);
    for (const run of runs) {
      if (run.error !== null) assert.ok(run.error instanceof ObjectError, `Seed ${seed}: ${run.error}`);
    }
    removed += isThere ? 0 : 1;
    written += objects > 0 ? 1 : 0;
    calledOff += isThere && network.rows("\u0001f").length > 0 ? 1 : 0;
    // B2: a removal that crashed is in nobody's way.
    if (isThere) network.run(put(world, { bucket: "maps", key: "after", bytes: 0 }));
  }
  assert.ok(removed > 50 && written > 50 && calledOff > 10, `${removed} ${written} ${calledOff}`);
});

Deno.test("a removal that is called off leaves no fence in the way of who may not take it down (B2)", () => {
  const network = new Network(), { world } = network, bucket = "maps";
  network.run(createBucket(bucket, {}));
  const object = { bucket, key: "a", bytes: 3 };
  // Between the first look and the fences.
  let fences = 0, inside = false;
  network.intercept = (op) => {
    if (inside || op.kind !== "cas" || !op.key.startsWith("\u0001f") || ++fences > 1) return null;
    inside = true;
    network.run(put(world, object), bytesOf(3));
    inside = false;
    return null;
  };
  assert.throws(() => network.run(deleteBucket(world, bucket)), problemIs("bucket-not-empty"));
  assert.ok(fences >= network.partitions);
  assert.deepEqual(network.rows("\u0001f"), []);
  network.run(put(world, { ...object, key: "b" }), bytesOf(3));
});
