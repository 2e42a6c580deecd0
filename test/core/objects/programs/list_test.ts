import assert from "node:assert/strict";
import fc from "fast-check";
import { compareUtf8 } from "../../../../core/base/bytes.ts";
import {
  createBucket,
  createUpload,
  deleteObject,
  list,
  listUploads,
  listVersions,
  put,
} from "../../../../core/objects/programs/programs.ts";
import type { ListOptions, Versioning } from "../../../../core/objects/types.ts";
import { bytesOf, Network, problemIs } from "./network.ts";

interface Entry {
  readonly name: string;
  readonly isPrefix: boolean;
}

/** All entries of a bucket at once, then those that are asked for. */
function naiveEntries(
  keys: readonly string[],
  { prefix = "", delimiter = "", after }: Omit<ListOptions, "limit">,
) {
  const entries = new Map<string, Entry>();
  for (const key of keys) {
    if (!key.startsWith(prefix)) continue;
    const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    const name = at < 0 ? key : key.slice(0, at + delimiter.length);
    entries.set(name, { name, isPrefix: at >= 0 });
  }
  return [...entries.values()]
    .filter(({ name }) => after === undefined || compareUtf8(name, after) > 0)
    .sort((a, b) => compareUtf8(a.name, b.name));
}

const TEXT = fc.string({
  unit: fc.constantFrom("a", "b", "/", "-", "é", "\uffff", "\u{1f30d}", "\u0001"),
  maxLength: 6,
});
const KEY = TEXT.filter((text) => text.length > 0);

function bucketOf(keys: readonly string[], deleted: readonly string[], versioning: Versioning): Network {
  const network = new Network();
  network.run(createBucket("maps", { versioning }));
  network.run(createBucket("map", {}));
  network.run(createBucket("maps-2", {}));
  for (const bucket of ["map", "maps-2"]) {
    network.run(put(network.world, { bucket, key: "a/other", bytes: 1 }), bytesOf(1));
  }
  for (const key of keys) network.run(put(network.world, { bucket: "maps", key, bytes: 1 }), bytesOf(1));
  for (const key of deleted) network.run(deleteObject(network.world, { bucket: "maps", key }));
  return network;
}

Deno.test("list() shows what a naive list of all keys shows, page by page (property)", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(KEY, { maxLength: 40 }),
      fc.array(fc.nat(), { maxLength: 10 }),
      fc.constantFrom<Versioning>("off", "enabled"),
      TEXT,
      fc.constantFrom("", "/", "a", "-/", "\u{1f30d}"),
      fc.option(TEXT, { nil: undefined }),
      fc.integer({ min: 1, max: 12 }),
      (keys, picks, versioning, prefix, delimiter, after, limit) => {
        const deleted = [...new Set(picks.map((i) => keys[i % Math.max(1, keys.length)]!))].filter(Boolean);
        const network = bucketOf(keys, deleted, versioning);
        const living = keys.filter((key) => !deleted.includes(key));
        for (const start of [undefined, after]) {
          const options = { bucket: "maps", prefix, delimiter };
          const expected = naiveEntries(living, {
            ...options,
            ...(start === undefined ? {} : { after: start }),
          });
          const found: Entry[] = [];
          for (let next = start ?? null, first = true; first || next !== null; first = false) {
            const page = network.run(
              list(network.world, { ...options, limit, ...(next === null ? {} : { after: next }) }),
            );
            const entries = [
              ...page.objects.map(({ key }) => ({ name: key, isPrefix: false })),
              ...page.prefixes.map((name) => ({ name, isPrefix: true })),
            ].sort((a, b) => compareUtf8(a.name, b.name));
            found.push(...entries);
            assert.equal(entries.length, Math.min(limit, expected.length - found.length + entries.length));
            next = page.next;
          }
          assert.deepEqual(found, expected);
        }
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("listVersions() shows all versions of all keys, newest first, page by page (property)", () => {
  fc.assert(
    fc.property(
      fc.array(KEY, { minLength: 1, maxLength: 30 }),
      fc.array(fc.nat(), { maxLength: 8 }),
      TEXT.map((text) => [...text].slice(0, 1).join("")),
      fc.constantFrom("", "/", "a"),
      fc.integer({ min: 1, max: 7 }),
      (writes, picks, prefix, delimiter, limit) => {
        const deleted = picks.map((i) => writes[i % writes.length]!);
        const network = bucketOf(writes, deleted, "enabled");
        const counts = new Map<string, number>();
        for (const key of [...writes, ...deleted]) counts.set(key, (counts.get(key) ?? 0) + 1);
        const expected = naiveEntries([...counts.keys()], { bucket: "maps", prefix, delimiter })
          .flatMap(({ name, isPrefix }) =>
            isPrefix ? [name] : new Array<string>(counts.get(name)!).fill(name)
          );
        const found: string[] = [], ids = new Map<string, string[]>();
        for (
          let next: { key: string; version: string | null } | null = null, first = true;
          first || next !== null;
        ) {
          first = false;
          const page: ReturnType<typeof listVersions> extends Generator<unknown, infer R> ? R : never =
            network.run(
              listVersions(network.world, {
                bucket: "maps",
                prefix,
                delimiter,
                limit,
                ...(next === null ? {} : { after: next.key }),
                ...(next?.version == null ? {} : { afterVersion: next.version }),
              }),
            );
          for (const { key, version, newest } of page.versions) {
            const before = ids.get(key) ?? [];
            assert.equal(newest, before.length === 0);
            ids.set(key, [...before, version.id]);
          }
          const names = [...page.versions.map(({ key }) => key), ...page.prefixes];
          assert.ok(names.length <= limit);
          found.push(...names.sort(compareUtf8));
          next = page.next;
        }
        assert.deepEqual(found, expected);
        for (const [key, list] of ids) {
          assert.equal(list.length, counts.get(key));
          assert.deepEqual(list, [...new Set(list)].sort(), "Newest first");
        }
      },
    ),
    { numRuns: 150 },
  );
});

Deno.test("listUploads() goes on within a key, and over common prefixes", () => {
  const network = bucketOf([], [], "off"), { world } = network;
  const keys = ["a", "a", "a", "b/1", "b/2", "c", "c"];
  const uploads = keys.map((key) => network.run(createUpload(world, { bucket: "maps", key })));
  for (const limit of [1, 2, 3, 10]) {
    for (const delimiter of ["", "/"]) {
      const found: string[] = [];
      for (let next: { key: string; upload: string } | null = null, first = true; first || next !== null;) {
        first = false;
        const page: ReturnType<typeof listUploads> extends Generator<unknown, infer R> ? R : never = network
          .run(
            listUploads(world, {
              bucket: "maps",
              delimiter,
              limit,
              ...(next === null
                ? {}
                : { after: next.key, ...(next.upload === "" ? {} : { afterUpload: next.upload }) }),
            }),
          );
        found.push(...[...page.uploads.map(({ key, id }) => `${key} ${id}`), ...page.prefixes].sort());
        next = page.next;
      }
      const expected = uploads.map(({ key, id }) => `${key} ${id}`).sort();
      const grouped = [...expected.filter((name) => !name.startsWith("b/")), "b/"].sort();
      assert.deepEqual(found, delimiter === "" ? expected : grouped);
    }
  }
});

Deno.test("list() jumps over common prefixes instead of reading them, and passes markers over", () => {
  const keys = Array.from({ length: 200 }, (_, i) => `dir ${i % 2}/${i}`);
  const network = bucketOf(keys, keys.slice(0, 50), "enabled");
  let rows = 0;
  const { world } = network;
  network.intercept = (op) => {
    if (op.kind === "range") rows += op.limit;
    return null;
  };
  const page = network.run(list(world, { bucket: "maps", delimiter: "/", limit: 100 }));
  assert.deepEqual([page.prefixes, page.objects, page.next], [["dir 0/", "dir 1/"], [], null]);
  assert.ok(rows < 100, `${rows} rows`);
  const first = network.run(list(world, { bucket: "maps", limit: 1 }));
  assert.equal(first.objects.length, 1);
});

Deno.test("a record that cannot be read is told of by its key, and hides no other", () => {
  const network = bucketOf(["a", "b", "c"], [], "enabled"), { world } = network;
  for (const { key } of network.rows("\u0001omaps\0b")) {
    network.answer({ kind: "put", key, value: Uint8Array.of(1, 2, 3) });
  }
  const page = network.run(list(world, { bucket: "maps", limit: 10 }));
  assert.deepEqual(page.objects.map(({ key }) => key), ["a", "c"]);
  assert.deepEqual(page.damaged, ["b"]);
  const versions = network.run(listVersions(world, { bucket: "maps", limit: 10 }));
  assert.deepEqual([versions.versions.length, versions.damaged], [2, ["b"]]);
});

Deno.test("a list refuses what it cannot do", () => {
  const network = bucketOf([], [], "off"), { world } = network;
  for (const limit of [0, -1, 1.5, 1001]) {
    assert.throws(() => network.run(list(world, { bucket: "maps", limit })), problemIs("invalid"));
  }
  assert.throws(() => network.run(list(world, { bucket: "nowhere", limit: 1 })), problemIs("no-such-bucket"));
  const long = "x".repeat(1025);
  for (const more of [{ prefix: long }, { after: long }, { delimiter: "\ud800" }]) {
    assert.throws(
      () => network.run(list(world, { bucket: "maps", limit: 1, ...more })),
      problemIs("invalid"),
    );
  }
  assert.deepEqual(network.run(list(world, { bucket: "maps", limit: 1, prefix: "a\0" })).objects, []);
});
