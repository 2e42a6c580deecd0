import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { utf8Encode } from "../../../../core/base/bytes.ts";
import type { PartitionId } from "../../../../core/base/ids.ts";
import {
  abortUpload,
  changeBucket,
  completeUpload,
  copy,
  createBucket,
  createUpload,
  deleteObject,
  getBody,
  head,
  listParts,
  listVersions,
  maintain,
  put,
  putPart,
  setTags,
} from "../../../../core/objects/programs/programs.ts";
import { decodePart, decodeUpload } from "../../../../core/objects/records_upload.ts";
import { decodePage, decodeVersion, drawOf } from "../../../../core/objects/records_version.ts";
import {
  type Content,
  ObjectError,
  type ObjectVersion,
  type Program,
} from "../../../../core/objects/types.ts";
import { bytesOf, Network, Run } from "./network.ts";

const HOUR_MS = 3_600_000;
const SIZES = [0, 3, 20, 60, 130, 400];

/** What is in `content` of the object whose rows have this name. */
function segmentsOf(network: Network, name: string, draw: string, content: Content): string[] {
  if (content.kind === "inline") return [];
  const ids = content.segments.map(({ id }) => id);
  for (let page = 0; page < content.pages; page++) {
    const rows = network.rows(`\u0001m${name}\0${draw}\0${page.toString(16).padStart(4, "0")}`);
    assert.equal(rows.length, 1, "A page of a living version is there");
    ids.push(...decodePage(rows[0]!.value!).map(({ id }) => id));
  }
  return ids;
}

/** What is stored is what versions and parts name, and nothing else; and it can be read. */
function check(network: Network, seed: number): ObjectVersion[] {
  const { world } = network;
  [network.refused, network.unsure] = [0, 0];
  network.settle();
  const readable = (): ObjectVersion[] => {
    const found = network.run(listVersions(world, { bucket: "maps", limit: 1000 }));
    assert.equal(found.damaged, undefined);
    for (const { key, version } of found.versions) {
      if (version.deleted) continue;
      const asked = { bucket: "maps", key, version: version.id };
      const got = network.read(getBody(world, asked, version, { start: 0, end: version.bytes }));
      assert.equal(got.length, version.bytes);
      if (version.parts.length === 0) {
        assert.equal(createHash("md5").update(got).digest("hex"), version.etag, `Seed ${seed}`);
      }
    }
    return found.versions.map(({ version }) => version);
  };
  readable();
  for (let hours = 0; hours < 3; hours++) {
    network.pass(HOUR_MS + 60_000);
    for (let partition = 1; partition <= network.partitions; partition++) {
      for (let cursor: string | null = null, first = true; first || cursor !== null; first = false) {
        const done: { next: string | null; failed: readonly string[] } = network.run(
          maintain(world, { partition: partition as PartitionId, cursor, rowsMax: 5 }),
        );
        assert.deepEqual(done.failed, []);
        cursor = done.next;
      }
    }
  }
  network.sweepOrphans();
  const versions = readable();
  // P3, G1, U3, W3: rows of segments and pages are those that something names.
  const named: string[] = [], pages: string[] = [], keys = new Map<string, ObjectVersion[]>();
  for (const row of [...network.rows("\u0001o"), ...network.rows("\u0001v")]) {
    const name = row.key.slice(2).split("\0").slice(0, 2).join("\0");
    const { version } = decodeVersion(row.value!);
    named.push(...segmentsOf(network, name, drawOf(version.id), version.content));
    if (version.content.kind === "segments") {
      for (let page = 0; page < version.content.pages; page++) pages.push(`${name}\0${drawOf(version.id)}`);
    }
    keys.set(name, [...keys.get(name) ?? [], version]);
  }
  for (const row of network.rows("\u0001p")) {
    named.push(...decodePart(row.value!).segments.map(({ id }) => id));
  }
  const registered = network.rows("\u0001s").map(({ key }) => key.slice(6, 38));
  assert.deepEqual(registered.toSorted(), named.toSorted(), `Seed ${seed}: segments`);
  const pageRows = network.rows("\u0001m").map(({ key }) => key.slice(2).split("\0").slice(0, 3).join("\0"));
  assert.deepEqual(pageRows.toSorted(), pages.toSorted(), `Seed ${seed}: pages`);
  assert.deepEqual(network.rows("\u0001g"), [], `Seed ${seed}: garbage`);
  // The newest row first, and all in one order.
  for (const [name, list] of keys) {
    assert.equal(network.rows(`\u0001o${name}`).filter(({ key }) => key === `\u0001o${name}`).length, 1);
    const [newest, ...older] = list;
    for (const one of older) assert.ok(one.sequence < newest!.sequence, `Seed ${seed}: order`);
    assert.equal(new Set(list.map(({ sequence }) => sequence)).size, list.length);
    assert.ok(list.filter(({ isNull }) => isNull).length <= 1, `Seed ${seed}: one null version`);
  }
  for (const row of network.rows("\u0001p")) {
    const upload = row.key.slice(2).split("\0").slice(0, 3).join("\0");
    const rows = network.rows(`\u0001u${upload}`);
    assert.equal(rows.length, 1, `Seed ${seed}: parts have their upload`);
    const [bucket, key, id] = upload.split("\0") as [string, string, string];
    decodeUpload({ bucket, key, id }, rows[0]!.value!);
  }
  return versions;
}

/** What may come of a program under faults. */
function assertOrderly(runs: readonly Run<unknown>[], seed: number): void {
  for (const run of runs) {
    const { error } = run;
    assert.ok(
      error === null || error instanceof ObjectError,
      `Seed ${seed}: ${error instanceof Error ? error.stack : error}`,
    );
  }
}

function* multipart(network: Network, key: string): Program<ObjectVersion | null> {
  const { world, random } = network;
  const { id: upload } = yield* createUpload(world, { bucket: "maps", key });
  const name = { bucket: "maps", key, upload };
  const count = 1 + random.below(4);
  for (let part = 1; part <= count; part++) {
    const bytes = 20 + random.below(60);
    yield* putPart(world, { ...name, part: 1 + random.below(3) * 2, bytes });
  }
  if (random.below(4) === 0) {
    yield* abortUpload(world, "maps", key, upload);
    return null;
  }
  const { parts } = yield* listParts(world, { ...name, after: 0, limit: 100 });
  const chosen = parts.filter(() => random.below(4) > 0);
  if (chosen.length === 0) return null;
  const options = { ...name, parts: chosen.map(({ number, etag }) => ({ number, etag })) };
  const made = yield* completeUpload(world, options);
  return made;
}

function anyProgram(network: Network): Run<unknown> {
  const { world, random } = network;
  const key = random.pick(["a", "b"]), bucket = "maps";
  const size = random.pick(SIZES), body = bytesOf(size, random.below(1000));
  const crash = random.below(3) === 0 ? random.below(60) : Infinity;
  const run = (program: Program<unknown>, bytes = body) => new Run(network, program, bytes, crash);
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
      return run(put(world, { bucket, key, bytes: random.below(2) === 0 ? null : size }));
    case 3:
      return run(put(world, { bucket, key, bytes: size, conditions: { ifNoneMatch: ["*"] } }));
    case 4:
      return run(deleteObject(world, { bucket, key }));
    case 5:
      return run((function* () {
        const { versions } = yield* listVersions(world, { bucket, limit: 100 });
        if (versions.length === 0) return null;
        const { key, version } = random.pick(versions);
        return yield* deleteObject(world, { bucket, key, version: version.id });
      })());
    case 6:
      return run(setTags(world, { bucket, key }, [["t", `${random.below(10)}`]]));
    case 7:
      return run(copy(world, { bucket, key }, { bucket, key: random.pick(["a", "b"]) }));
    case 8:
      return run(multipart(network, key), bytesOf(1000, random.below(1000)));
    default:
      return run(changeBucket(bucket, { versioning: random.pick(["enabled", "suspended"] as const) }));
  }
}

Deno.test("whatever runs at once, fails, is unsure or crashes: versions are whole, and nothing is left over", () => {
  let crashed = 0, failed = 0, versions = 0;
  for (let seed = 1; seed <= 500; seed++) {
    const network = new Network({ seed, partitions: 2 });
    const { random } = network;
    const versioning = random.pick(["off", "enabled", "suspended"] as const);
    network.run(createBucket("maps", { versioning }));
    network.refused = random.pick([0, 0, 20, 60]);
    network.unsure = random.pick([0, 0, 40, 120]);
    for (let round = 0; round < 3; round++) {
      const runs = Array.from({ length: 1 + random.below(5) }, () => anyProgram(network));
      network.interleave(runs);
      assertOrderly(runs, seed);
      crashed += runs.filter((run) => !run.done && run.error === null).length;
      failed += runs.filter((run) => run.error !== null).length;
    }
    versions += check(network, seed).length;
  }
  assert.ok(crashed > 300 && failed > 300 && versions > 300, `${crashed} ${failed} ${versions}`);
});

Deno.test("of several that make what must not exist yet, one wins", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const network = new Network({ seed, partitions: 2 });
    const { world, random } = network;
    network.run(createBucket("maps", { versioning: random.pick(["off", "enabled"] as const) }));
    network.unsure = random.pick([0, 100]);
    const runs = Array.from({ length: 5 }, (_, i) => {
      const size = random.pick(SIZES);
      const program = put(world, {
        bucket: "maps",
        key: "a",
        bytes: size,
        conditions: { ifNoneMatch: ["*"] },
      });
      return new Run(network, program, bytesOf(size, i));
    });
    network.interleave(runs);
    assertOrderly(runs, seed);
    const winners = runs.filter((run) => run.done);
    const unknown = runs.filter(({ error }) =>
      error instanceof ObjectError && error.problem === "unavailable"
    );
    assert.ok(winners.length <= 1, `Seed ${seed}: ${winners.length} won`);
    assert.ok(winners.length + unknown.length >= 1, `Seed ${seed}: nobody won`);
    const versions = check(network, seed);
    assert.equal(versions.length, 1, `Seed ${seed}`);
    if (winners.length === 1) assert.equal(versions[0]!.id, winners[0]!.value().id);
  }
});

Deno.test("P1: no update is lost where each is made on what was read", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const network = new Network({ seed, partitions: 2 });
    const { world, random } = network;
    network.run(createBucket("maps", { versioning: random.pick(["off", "enabled", "suspended"] as const) }));
    network.run(put(world, { bucket: "maps", key: "n", bytes: 1 }), utf8Encode("0"));
    network.unsure = random.pick([0, 60]);
    const increment = function* (): Program<void> {
      for (;;) {
        const { version } = yield* head(world, { bucket: "maps", key: "n" });
        assert.ok(version.content.kind === "inline");
        const count = Number(new TextDecoder().decode(version.content.bytes)) + 1;
        // A body of its own: what the driver would read.
        const program = put(world, {
          bucket: "maps",
          key: "n",
          bytes: null,
          conditions: { ifMatch: [version.etag] },
        });
        try {
          return yield* withBody(program, utf8Encode(String(count)));
        } catch (error) {
          if (!(error instanceof ObjectError) || error.problem !== "precondition") throw error;
        }
      }
    };
    const runs = Array.from({ length: 6 }, () => new Run(network, increment()));
    network.interleave(runs);
    assertOrderly(runs, seed);
    network.unsure = 0;
    network.settle();
    const { version } = network.run(head(world, { bucket: "maps", key: "n" }));
    assert.ok(version.content.kind === "inline");
    const count = Number(new TextDecoder().decode(version.content.bytes));
    const done = runs.filter((run) => run.done).length;
    assert.ok(count >= done && count <= runs.length, `Seed ${seed}: ${count} of ${done} to ${runs.length}`);
  }
});

/** Answers the reads of a program with `body`. */
function* withBody(program: Program<unknown>, body: Uint8Array): Program<void> {
  let at = 0;
  for (let next = program.next(undefined); next.done !== true;) {
    const asked = next.value;
    if (asked.kind !== "read") next = program.next(yield asked);
    else {
      next = program.next(body.slice(at, at + asked.bytes));
      at += asked.bytes;
    }
  }
}

Deno.test("P4: a write of which nothing is known is looked for, and answered as what it came to", () => {
  let answered = 0, unknown = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const network = new Network({ seed, partitions: 1 });
    const { world, random } = network;
    network.run(createBucket("maps", { versioning: "enabled" }));
    network.unsure = 400;
    const runs = Array.from({ length: 3 }, (_, i) => {
      const size = random.pick(SIZES);
      return new Run(network, put(world, { bucket: "maps", key: "a", bytes: size }), bytesOf(size, i));
    });
    network.interleave(runs);
    assertOrderly(runs, seed);
    const ids = new Set(check(network, seed).map(({ id }) => id));
    for (const run of runs) {
      // Versions are kept: what was acknowledged is there, once.
      if (run.done) assert.ok(ids.has(run.value().id), `Seed ${seed}`);
      answered += run.done ? 1 : 0;
      unknown += run.done ? 0 : 1;
    }
    const done = runs.filter((run) => run.done).length;
    assert.ok(
      ids.size >= done && ids.size <= runs.length,
      `Seed ${seed}: ${ids.size} versions of ${done} puts`,
    );
  }
  assert.ok(answered > 400 && unknown > 20, `${answered} ${unknown}`);
});
