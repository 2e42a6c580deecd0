import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { PartitionId } from "../../../../core/base/ids.ts";
import {
  changeBucket,
  copy,
  createBucket,
  deleteObject,
  getBody,
  head,
  listVersions,
  maintain,
  put,
  restore,
  setTags,
} from "../../../../core/objects/programs/programs.ts";
import type { GetOptions, ObjectVersion, PutOptions, Versioning } from "../../../../core/objects/types.ts";
import { bytesOf, Network, type NetworkOptions, problemIs, refused } from "./network.ts";

const SIZES = [0, 1, 4, 5, 16, 17, 48, 64, 65, 300, 1000];

function stage(versioning: Versioning = "off", options: NetworkOptions = {}) {
  const network = new Network(options);
  network.run(createBucket("maps", { versioning }));
  const { world } = network;
  return {
    network,
    world,
    put: (key: string, body: Uint8Array, more: Partial<PutOptions> = {}): ObjectVersion =>
      network.run(put(world, { bucket: "maps", key, bytes: body.length, ...more }), body),
    get: (options: Partial<GetOptions> & { key: string }): Uint8Array => {
      const asked = { bucket: "maps", ...options };
      const { version, span } = network.run(head(world, asked));
      return network.read(getBody(world, asked, version, span));
    },
    head: (options: Partial<GetOptions> & { key: string }): ObjectVersion =>
      network.run(head(world, { bucket: "maps", ...options })).version,
    remove: (key: string, version?: string) =>
      network.run(deleteObject(world, { bucket: "maps", key, version })),
    versions: () => network.run(listVersions(world, { bucket: "maps", limit: 1000 })).versions,
    /** Nothing is registered, stored or left over. */
    assertEmpty(): void {
      network.pass(2 * 3_600_000);
      for (const letter of "ovmupgs") {
        assert.deepEqual(network.rows(`\u0001${letter}`).map(({ key }) => key), [], letter);
      }
      network.sweepOrphans();
      assert.equal(network.chunks.size, 0);
    },
  };
}

Deno.test("what is put is got back byte for byte, of every size, and all of it goes when it is deleted", () => {
  const { put, get, head, remove, assertEmpty, network } = stage();
  for (const size of SIZES) {
    const body = bytesOf(size, size + 1), key = `of ${size}`;
    const version = put(key, body, { metadata: [["b", "2"], ["a", "1"]], tags: [["t", "v"]], owner: "ann" });
    assert.equal(version.bytes, size);
    assert.equal(version.etag, createHash("md5").update(body).digest("hex"));
    assert.deepEqual(version.metadata, [["a", "1"], ["b", "2"]]);
    assert.equal(version.content.kind, size <= 4 ? "inline" : "segments");
    assert.deepEqual(get({ key }), body);
    assert.deepEqual(head({ key }), version);
  }
  // 1000 bytes are 16 segments, in 6 pages.
  assert.equal(network.rows("\u0001m").length, 8);
  for (const size of SIZES) assert.equal(remove(`of ${size}`).existed, true);
  assert.equal(remove("of 5").existed, false);
  assertEmpty();
});

Deno.test("a body is as long as announced, or nothing is stored", () => {
  for (const [announced, length] of [[10, 9], [10, 11], [100, 99], [16, 300], [0, 1]] as const) {
    const { network, world, assertEmpty } = stage();
    const program = put(world, { bucket: "maps", key: "a", bytes: announced });
    assert.throws(() => network.run(program, bytesOf(length)), problemIs("invalid"));
    assertEmpty();
  }
  const { network, world } = stage();
  const version = network.run(put(world, { bucket: "maps", key: "a", bytes: null }), bytesOf(200));
  assert.equal(version.bytes, 200);
});

Deno.test("a body with another MD5 than announced is refused, and what it replaced stays", () => {
  const { put, get, network } = stage();
  put("a", bytesOf(100, 1));
  const wrong = createHash("md5").update("other").digest("hex");
  assert.throws(() => put("a", bytesOf(100, 2), { md5: wrong }), problemIs("bad-digest"));
  assert.deepEqual(get({ key: "a" }), bytesOf(100, 1));
  assert.equal(network.rows("\u0001s").length, 2);
  put("a", bytesOf(100, 2), { md5: createHash("md5").update(bytesOf(100, 2)).digest("hex").toUpperCase() });
  assert.deepEqual(get({ key: "a" }), bytesOf(100, 2));
  assert.equal(network.rows("\u0001s").length, 2);
});

Deno.test("metadata that is known late is added; names and sizes are held to their limits", () => {
  const { put, head } = stage();
  put("a", bytesOf(30), { metadata: [["x", "1"]], late: () => [["checksum", "2"]] });
  assert.deepEqual(head({ key: "a" }).metadata, [["checksum", "2"], ["x", "1"]]);
  assert.throws(() => put("", bytesOf(1)), problemIs("invalid"));
  assert.throws(() => put("a\0b", bytesOf(1)), problemIs("invalid"));
  assert.throws(() => put("\ud800", bytesOf(1)), problemIs("invalid"));
  assert.throws(() => put("é".repeat(513), bytesOf(1)), problemIs("too-large"));
  put("é".repeat(512), bytesOf(1));
  assert.throws(() => put("a", bytesOf(1), { metadata: [["x", "y".repeat(9000)]] }), problemIs("too-large"));
  const tags = Array.from({ length: 11 }, (_, i) => [`${i}`, ""] as const);
  assert.throws(() => put("a", bytesOf(1), { tags }), problemIs("invalid"));
  assert.throws(
    () => put("a", bytesOf(1), { metadata: [["x", "1"]], late: () => [["x", "2"]] }),
    problemIs("invalid"),
  );
});

Deno.test("every range of an object is had without reading more chunks than it takes", () => {
  const { put, get, network } = stage();
  const body = bytesOf(300, 5);
  put("a", body);
  for (let start = 0; start < 300; start += 13) {
    for (let end = start; end < 300; end += 17) {
      let chunks = 0;
      network.intercept = (op) => {
        if (op.kind === "chunk-get") chunks++;
        return null;
      };
      assert.deepEqual(get({ key: "a", range: { kind: "from", start, end } }), body.slice(start, end + 1));
      assert.equal(chunks, Math.floor(end / 16) - Math.floor(start / 16) + 1);
    }
  }
  assert.deepEqual(get({ key: "a", range: { kind: "last", bytes: 20 } }), body.slice(280));
  assert.deepEqual(get({ key: "a", range: { kind: "last", bytes: 999 } }), body);
  assert.deepEqual(get({ key: "a", range: { kind: "from", start: 290, end: null } }), body.slice(290));
  assert.deepEqual(get({ key: "a", range: { kind: "from", start: 290, end: 9999 } }), body.slice(290));
  for (
    const range of [
      { kind: "from", start: 300, end: null },
      { kind: "last", bytes: 0 },
      { kind: "from", start: 5, end: 4 },
    ] as const
  ) assert.throws(() => get({ key: "a", range }), problemIs("range"));
  put("empty", bytesOf(0));
  assert.throws(() => get({ key: "empty", range: { kind: "last", bytes: 5 } }), problemIs("range"));
  assert.deepEqual(get({ key: "a", part: 1 }), body);
  assert.throws(() => get({ key: "a", part: 2 }), problemIs("range"));
});

Deno.test("conditions of reads are judged as HTTP has it", () => {
  const { put, head, network } = stage();
  const { etag, modifiedMs } = put("a", bytesOf(5));
  const has = (conditions: GetOptions["conditions"]) => head({ key: "a", conditions: conditions! });
  has({ ifMatch: [`"${etag}"`] });
  has({ ifMatch: ["*"] });
  has({ ifNoneMatch: ["0"], ifModifiedSinceMs: modifiedMs });
  has({ ifMatch: [etag], ifUnmodifiedSinceMs: modifiedMs - 5000 });
  has({ ifUnmodifiedSinceMs: modifiedMs });
  has({ ifModifiedSinceMs: modifiedMs - 1000 });
  assert.throws(() => has({ ifMatch: ["0"] }), problemIs("precondition"));
  assert.throws(() => has({ ifUnmodifiedSinceMs: modifiedMs - 1000 }), problemIs("precondition"));
  assert.throws(() => has({ ifNoneMatch: [`W/"${etag}"`] }), problemIs("not-modified"));
  assert.throws(() => has({ ifNoneMatch: ["*"] }), problemIs("not-modified"));
  assert.throws(() => has({ ifModifiedSinceMs: modifiedMs }), problemIs("not-modified"));
  assert.throws(() => head({ key: "b" }), problemIs("no-such-key"));
  assert.throws(() => head({ key: "a", bucket: "nowhere" }), problemIs("no-such-bucket"));
  assert.throws(() => head({ key: "a", version: "nonsense" }), problemIs("no-such-version"));
  assert.equal(network.chunks.size, 1);
});

Deno.test("conditions of writes are judged before the body is sent and when it is committed", () => {
  const { put, network } = stage();
  assert.throws(() => put("a", bytesOf(50), { conditions: { ifMatch: ["*"] } }), problemIs("no-such-key"));
  const first = put("a", bytesOf(50), { conditions: { ifNoneMatch: ["*"] } });
  const chunks = network.chunks.size;
  for (
    const conditions of [{ ifNoneMatch: ["*"] }, { ifNoneMatch: [first.etag] }, { ifMatch: ["0"] }]
  ) assert.throws(() => put("a", bytesOf(50), { conditions }), problemIs("precondition"));
  assert.equal(network.chunks.size, chunks, "No chunk was written for what was refused");
  put("a", bytesOf(60), { conditions: { ifMatch: [first.etag] } });
  assert.throws(
    () => put("a", bytesOf(50), { conditions: { ifMatch: [first.etag] } }),
    problemIs("precondition"),
  );
});

Deno.test("versions are kept: got by id, hidden by markers, removed one by one, restored", () => {
  const { put, get, head, remove, versions, network, world, assertEmpty } = stage("enabled");
  const ids = [10, 100, 1000].map((size) => put("a", bytesOf(size, size)).id);
  assert.deepEqual(versions().map(({ version }) => version.id), ids.toReversed());
  assert.deepEqual(versions().map(({ newest }) => newest), [true, false, false]);
  for (const [i, size] of [10, 100, 1000].entries()) {
    assert.deepEqual(get({ key: "a", version: ids[i]! }), bytesOf(size, size));
  }
  const { version: marker, marker: isMarker } = remove("a");
  assert.equal(isMarker, true);
  assert.throws(() => get({ key: "a" }), problemIs("deleted"));
  assert.throws(() => get({ key: "a", version: marker! }), problemIs("deleted"));
  assert.deepEqual(get({ key: "a", version: ids[2]! }), bytesOf(1000, 1000));
  // Without the marker, what it hid is there again.
  assert.deepEqual(remove("a", marker!), { existed: true, version: marker, marker: true });
  assert.deepEqual(get({ key: "a" }), bytesOf(1000, 1000));
  assert.equal(remove("a", ids[1]!).existed, true);
  assert.equal(remove("a", ids[1]!).existed, false);
  assert.throws(() => head({ key: "a", version: ids[1]! }), problemIs("no-such-version"));
  const restored = network.run(restore(world, { bucket: "maps", key: "a", version: ids[0]! }));
  assert.deepEqual(get({ key: "a" }), bytesOf(10, 10));
  assert.deepEqual(versions().map(({ version }) => version.id), [restored.id, ids[2], ids[0]]);
  for (const { version } of versions()) remove("a", version.id);
  assert.throws(() => get({ key: "a" }), problemIs("no-such-key"));
  assertEmpty();
});

Deno.test("while versions are suspended, what is written replaces the null version wherever it lies", () => {
  const { put, get, remove, versions, network, assertEmpty } = stage();
  const change = (versioning: Versioning) => network.run(changeBucket("maps", { versioning }));
  const shown = () =>
    versions().map(({ version }) =>
      `${version.isNull ? "null" : "id"} ${version.deleted ? "x" : version.bytes}`
    );
  put("a", bytesOf(20));
  change("enabled");
  const kept = put("a", bytesOf(21)).id;
  assert.deepEqual(shown(), ["id 21", "null 20"]);
  assert.deepEqual(get({ key: "a", version: "null" }), bytesOf(20));
  change("suspended");
  put("a", bytesOf(22));
  assert.deepEqual(shown(), ["null 22", "id 21"]);
  assert.deepEqual(remove("a"), { existed: true, version: "null", marker: true });
  assert.deepEqual(shown(), ["null x", "id 21"]);
  change("enabled");
  put("a", bytesOf(23));
  change("suspended");
  assert.deepEqual(shown(), ["id 23", "null x", "id 21"]);
  put("a", bytesOf(24));
  assert.deepEqual(shown(), ["null 24", "id 23", "id 21"]);
  assert.deepEqual(remove("a", "null"), { existed: true, version: "null", marker: false });
  assert.equal(remove("a", "null").existed, false);
  remove("a", kept);
  remove("a", versions()[0]!.version.id);
  assertEmpty();
  assert.throws(() => change("off"), problemIs("invalid"));
});

Deno.test("tags are set on the newest version or on one that is named, and nothing else changes", () => {
  const { put, head, remove, get, network, world } = stage("enabled");
  const first = put("a", bytesOf(40)), second = put("a", bytesOf(41));
  network.run(setTags(world, { bucket: "maps", key: "a", version: first.id }, [["x", "1"]]));
  network.run(setTags(world, { bucket: "maps", key: "a" }, [["x", "2"]]));
  assert.deepEqual(head({ key: "a", version: first.id }), { ...first, tags: [["x", "1"]] });
  assert.deepEqual(head({ key: "a" }), { ...second, tags: [["x", "2"]] });
  assert.deepEqual(get({ key: "a" }), bytesOf(41));
  const { version } = remove("a");
  const set = (version?: string) => network.run(setTags(world, { bucket: "maps", key: "a", version }, []));
  assert.throws(() => set(), problemIs("deleted"));
  assert.throws(() => set(version!), problemIs("deleted"));
  assert.throws(() => set("0".repeat(32)), problemIs("no-such-version"));
});

Deno.test("a copy has content, metadata and tags of its source unless others are given; onto itself, too", () => {
  const { put, get, head, network, world } = stage();
  network.run(createBucket("other", {}));
  put("a", bytesOf(150), { metadata: [["m", "1"]], tags: [["t", "1"]] });
  const from = { bucket: "maps", key: "a" };
  network.run(copy(world, from, { bucket: "other", key: "b" }));
  assert.deepEqual(get({ bucket: "other", key: "b" }), bytesOf(150));
  assert.deepEqual(head({ bucket: "other", key: "b" }).metadata, [["m", "1"]]);
  assert.deepEqual(head({ bucket: "other", key: "b" }).tags, [["t", "1"]]);
  network.run(copy(world, from, { ...from, metadata: [["m", "2"]], tags: [] }));
  assert.deepEqual(get(from), bytesOf(150));
  assert.deepEqual([head(from).metadata, head(from).tags], [[["m", "2"]], []]);
  network.run(copy(world, { ...from, range: { kind: "from", start: 3, end: 50 } }, { ...from, key: "c" }));
  assert.deepEqual(get({ key: "c" }), bytesOf(150).slice(3, 51));
  assert.throws(() => network.run(copy(world, { ...from, key: "?" }, from)), problemIs("no-such-key"));
});

Deno.test("a version that goes while it is read is told from one that is damaged", () => {
  const { put, network, world, remove } = stage();
  const asked = { bucket: "maps", key: "a" };
  const begin = () => {
    put("a", bytesOf(100));
    const { version, span } = network.run(head(world, asked));
    return getBody(world, asked, version, span);
  };
  const gone = begin();
  remove("a");
  assert.throws(() => network.read(gone), problemIs("no-such-key"));
  const replaced = begin();
  put("a", bytesOf(100));
  assert.throws(() => network.read(replaced), problemIs("unavailable"));
  const lost = begin();
  network.chunks.delete([...network.chunks.keys()].at(-1)!);
  assert.throws(() => network.read(lost), problemIs("damaged"));
  const changed = begin();
  for (const bytes of network.chunks.values()) bytes[3]! ^= 1;
  assert.throws(() => network.read(changed), problemIs("damaged"));
});

Deno.test("a chunk that does not open is read again, a few times, until it does (G7)", () => {
  const { put, network, world } = stage();
  const content = bytesOf(100), asked = { bucket: "maps", key: "a" };
  put("a", content);
  const { version, span } = network.run(head(world, asked));
  const readFrom = (good: number) => {
    const attempts: number[] = [];
    let bad: string | null = null;
    network.intercept = (op) => {
      if (op.kind !== "chunk-get" || op.segment.segment !== (bad ??= op.segment.segment) || op.chunk !== 1) {
        return null;
      }
      attempts.push(op.attempt);
      if (op.attempt === good) return null;
      return op.attempt === 2 ? refused("timeout") : { kind: "chunk", bytes: new Uint8Array(op.length) };
    };
    return { attempts, read: () => network.read(getBody(world, asked, version, span)) };
  };
  for (const good of [0, 1, 3]) {
    const { attempts, read } = readFrom(good);
    assert.deepEqual(Uint8Array.from(read()), content);
    assert.deepEqual(attempts, Array.from({ length: good + 1 }, (_, i) => i));
  }
  const { attempts, read } = readFrom(99);
  assert.throws(read, problemIs("damaged"));
  assert.deepEqual(attempts, [0, 1, 2, 3], "as many as there are copies, past the first");
});

Deno.test("what keeps chunks from being stored comes out by its name, and leaves nothing", () => {
  for (
    const [reason, problem] of [
      ["no-space", "no-space"],
      ["conflict", "too-small"],
      ["timeout", "unavailable"],
      ["denied", "denied"],
      ["too-large", "too-large"],
    ] as const
  ) {
    const { put, network, assertEmpty } = stage();
    let chunks = 0;
    network.intercept = (op) => op.kind === "chunk-put" && ++chunks > 4 ? refused(reason) : null;
    assert.throws(() => put("a", bytesOf(300)), problemIs(problem));
    network.intercept = () => null;
    assertEmpty();
  }
});

Deno.test("a write that takes too long is given up; one that is registered is kept alive", () => {
  const { network, world, put, get, assertEmpty } = stage();
  const slow = (size: number, minutes: number) => {
    network.intercept = (op) => {
      if (op.kind === "chunk-put") network.pass(minutes * 60_000);
      return null;
    };
    return network.run(put_(size), bytesOf(size));
  };
  const put_ = (size: number) => putProgram(world, size);
  assert.throws(() => slow(30, 20), problemIs("unavailable"));
  assert.throws(() => slow(200, 61), problemIs("unavailable"));
  network.intercept = () => null;
  assertEmpty();
  slow(300, 25);
  network.intercept = () => null;
  network.pass(3 * 3_600_000);
  assert.deepEqual(get({ key: "slow" }), bytesOf(300));
  put("slow", bytesOf(1));
});
function putProgram(world: Network["world"], size: number) {
  return put(world, { bucket: "maps", key: "slow", bytes: size });
}

Deno.test("a row that cannot be read is damaged, and no other is", () => {
  const { put, get, network, versions } = stage();
  put("a", bytesOf(10));
  put("b", bytesOf(10));
  for (const { key } of network.rows("\u0001omaps\0a")) {
    network.answer({ kind: "put", key, value: Uint8Array.of(0x81, 0x63) });
  }
  assert.throws(() => get({ key: "a" }), problemIs("damaged"));
  assert.throws(() => put("a", bytesOf(10)), problemIs("damaged"));
  assert.deepEqual(get({ key: "b" }), bytesOf(10));
  assert.deepEqual(versions().map(({ key }) => key), ["b"]);
});

Deno.test("W2: what is registered and ends before the commit is not committed", () => {
  const { put, network, assertEmpty } = stage();
  for (const size of [100, 400]) {
    const late = () => {
      network.pass(2 * 3_600_000);
      return [];
    };
    assert.throws(() => put("a", bytesOf(size), { late }), problemIs("unavailable"));
  }
  assertEmpty();
});

Deno.test("G2: a claim is taken by its commit or given up, never both", () => {
  for (const hours of [0, 2]) {
    const { put, get, network, world, assertEmpty, remove } = stage();
    let stopped = false;
    network.intercept = (op) => {
      const commits = op.kind === "transact" && op.then.some(({ key }) => key === "\u0001omaps\0a");
      if (commits && !stopped) {
        stopped = true;
        network.nowMs += hours * 3_600_000;
        for (let p = 1; p <= network.partitions; p++) {
          network.run(maintain(world, { partition: p as PartitionId, cursor: null, rowsMax: 100 }));
        }
      }
      return null;
    };
    if (hours === 0) {
      put("a", bytesOf(400));
      assert.deepEqual(get({ key: "a" }), bytesOf(400));
      remove("a");
    } else assert.throws(() => put("a", bytesOf(400)), problemIs("unavailable"));
    assert.ok(stopped);
    assertEmpty();
  }
});

Deno.test("P4: where there was nothing, a write of which nothing is known is not asked for again", () => {
  for (const applied of [true, false]) {
    const { network, put } = stage();
    let commits = 0;
    network.intercept = (op) => {
      if (op.kind !== "transact") return null;
      commits++;
      if (!applied) return refused("unsure");
      network.intercept = () => null;
      network.answer(op);
      network.intercept = (op) => op.kind === "transact" ? refused("unsure") : null;
      return refused("unsure");
    };
    if (applied) assert.equal(put("a", bytesOf(3)).bytes, 3);
    else assert.throws(() => put("a", bytesOf(3)), problemIs("unavailable"));
    assert.equal(commits, 1);
  }
});
