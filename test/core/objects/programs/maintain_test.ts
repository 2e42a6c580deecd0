import assert from "node:assert/strict";
import type { PartitionId } from "../../../../core/base/ids.ts";
import {
  changeBucket,
  createBucket,
  createUpload,
  deleteObject,
  listVersions,
  maintain,
  put,
  putPart,
} from "../../../../core/objects/programs/programs.ts";
import type { LifecycleRule } from "../../../../core/objects/types.ts";
import { bytesOf, Network, Run } from "./network.ts";

const DAY_MS = 24 * 3_600_000;
const NO_RULE: LifecycleRule = {
  id: "r",
  enabled: true,
  prefix: "",
  tags: [],
  sizeMin: null,
  sizeMax: null,
  expireDays: null,
  expireDateMs: null,
  expireMarkers: false,
  noncurrentDays: null,
  noncurrentKept: null,
  abortUploadDays: null,
};

function stage(versioning: "off" | "enabled", rules: readonly Partial<LifecycleRule>[]) {
  const network = new Network(), { world } = network;
  network.run(createBucket("maps", { versioning }));
  network.run(changeBucket("maps", { lifecycle: rules.map((rule) => ({ ...NO_RULE, ...rule })) }));
  return {
    network,
    world,
    put: (key: string, size = 30, tags: readonly (readonly [string, string])[] = []) =>
      network.run(put(world, { bucket: "maps", key, bytes: size, tags }), bytesOf(size)),
    days: (days: number) => network.nowMs += days * DAY_MS,
    keep: (rowsMax = 5) => {
      for (let partition = 1; partition <= network.partitions; partition++) {
        for (let cursor: string | null = null, first = true; first || cursor !== null; first = false) {
          const done: { next: string | null } = network.run(
            maintain(world, { partition: partition as PartitionId, cursor, rowsMax }),
          );
          cursor = done.next;
        }
      }
    },
    /** Keys with their versions, newest first; "x" is a marker. */
    shown: () =>
      network.run(listVersions(world, { bucket: "maps", limit: 1000 })).versions
        .map(({ key, version }) => `${key} ${version.deleted ? "x" : version.bytes}`),
  };
}

Deno.test("maintain() expires what a rule covers, when its days are over, and nothing else", () => {
  const { put, days, keep, shown, network } = stage("off", [
    { prefix: "old/", expireDays: 3 },
    { tags: [["t", "1"]], expireDays: 1 },
    { sizeMin: 50, sizeMax: 70, expireDays: 2 },
    { prefix: "off/", expireDays: 1, enabled: false },
  ]);
  for (const key of ["old/a", "old/b", "new/a", "off/a"]) put(key);
  put("tagged", 30, [["t", "1"]]);
  put("untagged", 30, [["t", "2"]]);
  for (const size of [50, 60, 70]) put(`of ${size}`, size);
  keep();
  assert.equal(shown().length, 9);
  // What was written on the first at midnight is a day old on the second.
  days(1);
  keep();
  assert.deepEqual(shown().includes("tagged 30"), false);
  days(1);
  keep();
  assert.deepEqual(shown(), [
    "new/a 30",
    "of 50 50",
    "of 70 70",
    "off/a 30",
    "old/a 30",
    "old/b 30",
    "untagged 30",
  ]);
  put("old/b", 31);
  days(1);
  keep();
  assert.deepEqual(shown(), ["new/a 30", "of 50 50", "of 70 70", "off/a 30", "old/b 31", "untagged 30"]);
  assert.equal(network.rows("\u0001s").length, 7);
});

Deno.test("maintain() hides what expires behind a marker where versions are kept, and removes markers that hide nothing", () => {
  const { put, days, keep, shown } = stage("enabled", [
    { expireDays: 5 },
    { noncurrentDays: 2 },
    { expireMarkers: true },
  ]);
  put("a", 30);
  put("b", 31);
  days(5);
  put("b", 32);
  keep();
  assert.deepEqual(shown(), ["a x", "a 30", "b 32", "b 31"]);
  days(2);
  keep();
  assert.deepEqual(shown(), ["a x", "b 32"]);
  keep();
  assert.deepEqual(shown(), ["b 32"]);
});

Deno.test("maintain() keeps as many noncurrent versions as a rule says", () => {
  const { put, days, keep, shown } = stage("enabled", [{ noncurrentDays: 1, noncurrentKept: 2 }]);
  for (let size = 1; size <= 12; size++) put("a", size);
  for (let size = 1; size <= 2; size++) put("b", size);
  keep();
  assert.equal(shown().length, 14);
  days(1);
  keep();
  assert.deepEqual(shown(), ["a 12", "a 11", "a 10", "b 2", "b 1"]);
});

Deno.test("maintain() aborts no uploads that a rule is not about", () => {
  const { network, world, days, keep } = stage("off", [
    { tags: [["t", "1"]], abortUploadDays: 1 },
    { sizeMin: 1000, abortUploadDays: 1 },
  ]);
  for (const [key, tags] of [["tagged", [["t", "1"]]], ["other", [["t", "2"]]], ["bare", []]] as const) {
    network.run(createUpload(world, { bucket: "maps", key, tags }));
  }
  days(3);
  keep();
  const left = network.rows("\u0001u").map(({ key }) => key.split("\0")[1]).sort();
  assert.deepEqual(left, ["bare", "other"]);
});

Deno.test("maintain() aborts uploads that were begun long ago", () => {
  const { network, world, days, keep } = stage("off", [{ prefix: "u", abortUploadDays: 2 }]);
  const begin = (key: string) => {
    const { id: upload } = network.run(createUpload(world, { bucket: "maps", key }));
    network.run(putPart(world, { bucket: "maps", key, upload, part: 1, bytes: 100 }), bytesOf(100));
  };
  begin("u1");
  begin("other");
  days(1);
  begin("u2");
  days(1);
  keep();
  const left = network.rows("\u0001u").map(({ key }) => key.split("\0")[1]).sort();
  assert.deepEqual(left, ["other", "u2"]);
  assert.equal(network.rows("\u0001p").length, 2);
  assert.equal(network.rows("\u0001s").length, 4);
});

Deno.test("maintain() by several at once does what one does, and goes on past what it cannot read", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const { network, world, put, days, shown } = stage("enabled", [
      { expireDays: 2 },
      { noncurrentDays: 1, noncurrentKept: 1 },
    ]);
    for (let i = 0; i < 12; i++) put(`k${i % 3}`, 40 + i);
    network.run(deleteObject(world, { bucket: "maps", key: "k2" }));
    const [bad] = network.rows("\u0001vmaps\0k0");
    network.answer({ kind: "put", key: bad!.key, value: Uint8Array.of(7) });
    days(3);
    const runs = [1, 2, 3, 1, 2, 3].map((partition) =>
      new Run(network, maintain(world, { partition: partition as PartitionId, cursor: null, rowsMax: 100 }))
    );
    network.interleave(runs);
    const failed = runs.flatMap((run) => run.value().failed);
    assert.ok(failed.includes(bad!.key), `Seed ${seed}`);
    assert.ok(shown().filter((one) => one.endsWith("x")).length === 3, `Seed ${seed}: ${shown()}`);
  }
});
