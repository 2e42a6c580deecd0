import assert from "node:assert/strict";
import { nodeId, type PartitionId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import { encodeVersion, versionId } from "../../../core/objects/records_version.ts";
import { encodeSegmentRecord } from "../../../core/objects/registry.ts";
import { garbageRow, newestRow, segmentRow } from "../../../core/objects/rows.ts";
import type { Scheme } from "../../../core/wire/objects.ts";
import { ChunkDisk, DEFAULT_CHUNK_DISK } from "../../../sim/objects/chunk_disk.ts";
import { type ObjectRow, type Shelf, spaceReport } from "../../../sim/objects/space.ts";

const PARTITION = 3 as PartitionId, SEGMENT = "5".repeat(32);
const SCHEME: Scheme = { kind: "replicated", copies: 3 };
const VIEW = genesisView({
  network: "0".repeat(32),
  settings: DEFAULT_SETTINGS,
  security: null,
  members: ["a", "b", "c"].map((name) => ({
    id: nodeId(name),
    address: `${name}:1`,
    zone: name,
    capacity: 1,
    state: "active" as const,
    incarnation: 1,
    disk: "0".repeat(16),
  })),
});

const SEGMENT_ROW: ObjectRow = {
  partition: PARTITION,
  key: segmentRow({ partition: PARTITION, bucket: "maps", key: "x" }, SEGMENT),
  value: encodeSegmentRecord({
    bytes: 300,
    chunkBytes: 200,
    scheme: SCHEME,
    proof: new Uint8Array(32),
    pending: false,
  }),
};
const VERSION_ROW: ObjectRow = {
  partition: PARTITION,
  key: newestRow("maps", "x"),
  value: encodeVersion({
    olderNull: null,
    upload: null,
    version: {
      id: versionId(1, "0".repeat(20)),
      sequence: 1,
      isNull: true,
      deleted: false,
      bytes: 300,
      etag: "0".repeat(32),
      modifiedMs: 1,
      owner: "",
      metadata: [],
      tags: [],
      parts: [],
      content: {
        kind: "segments",
        pages: 0,
        segments: [{ id: SEGMENT, key: new Uint8Array(32), bytes: 300, chunkBytes: 200, scheme: SCHEME }],
      },
    },
  }),
};
const ROWS = [SEGMENT_ROW, VERSION_ROW];

/** All three members have both chunks. */
function shelves(): (Shelf & { readonly chunks: ChunkDisk })[] {
  return ["a", "b", "c"].map((name, i) => {
    const chunks = new ChunkDisk(DEFAULT_CHUNK_DISK, Random.fromSeed(i));
    for (const chunk of [0, 1]) {
      chunks.place({ partition: PARTITION, segment: SEGMENT, chunk, index: 0 }, 100, SCHEME);
    }
    return { node: nodeId(name), chunks };
  });
}

Deno.test("spaceReport() finds nothing where rows, placement and disks agree", () => {
  const report = spaceReport(ROWS, VIEW, shelves());
  assert.deepEqual([report.problems, report.rotten, report.fragments], [[], [], 6]);
});

Deno.test("Z1: a segment without a row, and a row without an owner, are told", () => {
  assert.match(spaceReport([VERSION_ROW], VIEW, []).problems[0]!, /has no row/);
  assert.match(spaceReport([SEGMENT_ROW], VIEW, shelves()).problems[0]!, /belongs to nothing/);
});

Deno.test("Z2: garbage that is left is told", () => {
  const row = { partition: PARTITION, key: garbageRow("maps", "x", "1"), value: new Uint8Array(0) };
  assert.match(spaceReport([...ROWS, row], VIEW, shelves()).problems[0]!, /garbage that nobody collected/);
});

Deno.test("Z3: a fragment that lacks, one too many and one that is damaged are told", () => {
  const fragment = { partition: PARTITION, segment: SEGMENT, chunk: 1, index: 0 };
  const lacking = shelves(), more = shelves(), damaged = shelves();
  lacking[1]!.chunks.vanish(fragment);
  assert.match(spaceReport(ROWS, VIEW, lacking).problems.join(), /^b lacks 5+-00000001-00$/);
  more[2]!.chunks.place({ ...fragment, chunk: 2 }, 100, SCHEME);
  assert.match(
    spaceReport(ROWS, VIEW, more).problems.join(),
    /^c holds 5+-00000002-00, 100 bytes, which it should not$/,
  );
  damaged[0]!.chunks.stored(fragment)!.harm = { kind: "rot", at: 1 };
  const report = spaceReport(ROWS, VIEW, damaged);
  assert.deepEqual(report.problems, []);
  assert.match(report.rotten.join(), /^a holds 5+-00000001-00 damaged since/);
});
