/** What rights on objects cover: Z6 to Z8 of core/node/rights.ts. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { compareUtf8, prefixEnd } from "../../../core/base/bytes.ts";
import { partitionId } from "../../../core/base/ids.ts";
import { coversKey, coversSpan, nameShown, within } from "../../../core/node/coverage.ts";
import { denial } from "../../../core/node/rights.ts";
import {
  bucketRow,
  garbageRow,
  newestRow,
  pageRow,
  partRow,
  secretRow,
  segmentRow,
  segmentRows,
  uploadRow,
  versionRow,
} from "../../../core/objects/rows.ts";
import type { SystemView } from "../../../core/wire/messages.ts";
import type { Op, TransactOp } from "../../../core/wire/requests.ts";
import type { AccessKey, Principal } from "../../../core/wire/security.ts";
import { access, OPERATOR, right } from "../../support/credentials.ts";
import { a, genesis } from "../system/private_view.ts";

const KEYS: AccessKey[] = [
  OPERATOR,
  access("EVERYTHING", right("", "rw")),
  access("OBJECTS", right("so://", "rw")),
  access("MAPS", right("so://maps/", "rw")),
  access("MAPSR", right("so://maps/", "r")),
  access("MAPSW", right("so://maps/", "w")),
  access("YEAR", right("so://maps/2026/", "rw")),
  access("MAPSALL", right("so://maps", "rw")),
  access("KV", right("s", "rw"), right("so:", "rw"), right("\u0001", "rw"), right("maps", "rw")),
  access("TEAM", right("so://maps/", "rwa")),
  access("SADMIN", right("s", "rwa")),
].sort((x, y) => (x.id < y.id ? -1 : 1));
const view: SystemView = { ...genesis, security: { ...genesis.security!, access: KEYS } };
const says = (id: string, op: Op): boolean => {
  const refused = denial(view, { kind: "access", id }, op);
  if (refused !== null) assert.equal(refused.reason, "denied");
  return refused === null;
};
const value = Uint8Array.of(1);
const get = (key: string): Op => ({ kind: "get", key, read: "linearizable" });
const put = (key: string): Op => ({ kind: "put", key, value });
const range = (start: string, end: string | null = prefixEnd(start)): Op => ({
  kind: "range",
  start,
  end,
  limit: 9,
  reverse: false,
  keysOnly: false,
  read: "linearizable",
});
const watch = (start: string, end: string | null): Op => ({ kind: "watch", start, end, from: [] });
const ofObject = (bucket: string, key: string): string[] => [
  newestRow(bucket, key),
  versionRow(bucket, key, "00ff"),
  pageRow(bucket, key, "00ff", 1),
  uploadRow(bucket, key, "aa"),
  partRow(bucket, key, "aa", 7),
  garbageRow(bucket, key, "bb"),
  segmentOf(bucket, key),
];
const SEGMENT = "ab".repeat(16);
const segmentOf = (bucket: string, key: string) =>
  segmentRow({ partition: partitionId(3), bucket, key }, SEGMENT);
const segment = segmentOf("maps", "2026/orion.jpg");

function check(table: readonly (readonly [id: string, op: Op, allowed: boolean])[]): void {
  for (const [id, op, allowed] of table) assert.equal(says(id, op), allowed, `${id} ${JSON.stringify(op)}`);
}

Deno.test("rights on objects cover the rows of those objects, by their names so://bucket/key (Z6)", () => {
  for (const row of ofObject("maps", "2026/orion.jpg")) {
    for (const op of [get(row), put(row), { kind: "delete", key: row } as const]) {
      for (const id of ["OPERATOR", "EVERYTHING", "OBJECTS", "MAPS", "YEAR", "MAPSALL"]) {
        assert.ok(says(id, op), `${id} ${JSON.stringify(op)}`);
      }
      assert.ok(!says("KV", op), `a right on keys covers no rows: ${JSON.stringify(op)}`);
    }
    check([["MAPSR", get(row), true], ["MAPSR", put(row), false], ["MAPSW", get(row), false], [
      "MAPSW",
      put(row),
      true,
    ]]);
  }
  for (const row of ofObject("maps", "2025/orion.jpg")) {
    check([["YEAR", get(row), false], ["YEAR", put(row), false], ["MAPS", get(row), true]]);
  }
  for (const row of [...ofObject("maps-2", "2026/x"), ...ofObject("map", "s/2026/")]) {
    check([["MAPS", get(row), false], ["YEAR", get(row), false], ["OBJECTS", get(row), true]]);
  }
  check([["MAPSALL", get(newestRow("maps-2", "x")), true], ["MAPSALL", get(newestRow("map", "x")), false]]);
  // A bucket has no slash: what looks like the key "2026/x" of "maps" is of another "bucket".
  check([["MAPS", put(newestRow("maps/2026", "x")), false], ["MAPS", put(bucketRow("maps/x")), false]]);
});

Deno.test("rights on objects cover no ordinary keys, and rights on keys no rows, whatever they are named (Z6)", () => {
  check([
    ["OBJECTS", get("so://maps/x"), false],
    ["MAPS", get("so://maps/x"), false],
    ["MAPS", put("so://maps/x"), false],
    ["MAPS", range("so://maps/"), false],
    ["KV", get("so://maps/x"), true],
    ["KV", range("so://maps/"), true],
    ["KV", get("star"), true],
    ["KV", get(bucketRow("maps")), false],
    ["KV", get(segment), false],
    ["KV", range("\u0001o"), false],
    ["KV", get("\u0001x"), false],
    ["EVERYTHING", get("so://maps/x"), true],
  ]);
});

Deno.test("a bucket is read by who has any right in it, and changed by who may write all of it", () => {
  const own = bucketRow("maps"), other = bucketRow("maps-2");
  for (const id of ["OPERATOR", "EVERYTHING", "OBJECTS", "MAPS", "MAPSR", "MAPSW", "YEAR", "MAPSALL"]) {
    assert.ok(says(id, get(own)), id);
  }
  for (const id of ["MAPS", "MAPSR", "MAPSW", "YEAR", "KV"]) assert.ok(!says(id, get(other)), id);
  for (const id of ["OPERATOR", "EVERYTHING", "OBJECTS", "MAPS", "MAPSW", "MAPSALL"]) {
    assert.ok(says(id, put(own)), id);
  }
  for (const id of ["MAPSR", "YEAR", "KV"]) assert.ok(!says(id, put(own)), id);
  check([
    ["OBJECTS", range("\u0001b"), true],
    ["EVERYTHING", range("\u0001b"), true],
    ["MAPS", range("\u0001b"), false],
    ["MAPS", range("\u0001bmaps"), false],
    ["MAPSALL", range("\u0001bmaps"), true],
    ["MAPSALL", range("\u0001b"), false],
  ]);
});

Deno.test("rows are listed by who may read all of the listing", () => {
  for (const kind of "ovmupg") {
    const all = `\u0001${kind}`, bucket = `\u0001${kind}maps\0`;
    check([
      ["OBJECTS", range(all), true],
      ["EVERYTHING", range(all), true],
      ["MAPS", range(all), false],
      ["MAPS", range(bucket), true],
      ["MAPS", range(`${bucket}2026/m`, prefixEnd(`${bucket}2026/`)), true],
      ["MAPS", range(bucket, "\u0001z"), false],
      ["MAPS", range(bucket, null), false],
      ["MAPSW", range(bucket), false],
      ["YEAR", range(bucket), false],
      ["YEAR", range(`${bucket}2026/`), true],
      ["YEAR", watch(`${bucket}2026/`, prefixEnd(`${bucket}2026/`)), true],
      ["YEAR", watch(bucket, prefixEnd(bucket)), false],
    ]);
  }
  // Of any and all kinds at once: secrets would be among them.
  for (const id of ["OPERATOR", "EVERYTHING", "OBJECTS"]) {
    for (const op of [range("\u0001", "\u0002"), range("\u0001j", "\u0001l"), range("\u0001b", "\u0002")]) {
      assert.ok(!says(id, op), `${id} ${JSON.stringify(op)}`);
    }
  }
});

Deno.test("a range over all keys passes rows over, so that a right on all keys still covers it", () => {
  check([
    ["EVERYTHING", range("", null), true],
    ["OPERATOR", watch("", null), true],
    ["OBJECTS", range("", null), false],
    ["MAPS", range("", "\u0001"), false],
  ]);
});

Deno.test("chunks are covered by any right on objects, a segment's row by one on its object, their list by one on all (Z7)", () => {
  const chunk = { segment: { partition: partitionId(3), segment: SEGMENT }, chunk: 0 } as const;
  const scheme = { kind: "replicated", copies: 3 } as const;
  const reading: Op = { kind: "chunk-get", ...chunk, scheme, length: 10, attempt: 0 };
  const token = new Uint8Array(64);
  const writing: Op = { kind: "chunk-put", ...chunk, scheme, token, bytes: value };
  const gone: Op = { kind: "segments-gone", segments: [chunk.segment] };
  for (const id of ["OPERATOR", "EVERYTHING", "OBJECTS", "MAPS", "YEAR", "MAPSALL"]) {
    for (const op of [reading, writing, gone, get(segment), put(segment)]) assert.ok(says(id, op), id);
  }
  check([
    ["MAPSR", reading, true],
    ["MAPSR", writing, false],
    ["MAPSR", gone, false],
    ["MAPSR", put(segment), false],
    ["MAPSW", reading, false],
    ["MAPSW", writing, true],
    ["MAPSW", gone, true],
    ["MAPSW", put(segment), true],
    ["MAPSW", get(segment), false],
    ["KV", reading, false],
    ["KV", writing, false],
    ["KV", gone, false],
    ["OBJECTS", range("\u0001s0003"), true],
    ["MAPS", range("\u0001s0003"), false],
    ["MAPS", range("\u0001s"), false],
    ["MAPS", range(segment, `${segment}\0`), true],
    ["MAPS", range(segmentRows(partitionId(3), SEGMENT)), false],
  ]);
  // Names that are none of a segment: whatever they hold, they are covered with all objects alone.
  const near = [
    `\u0001s0003${SEGMENT}`,
    `\u0001s0003${SEGMENT}maps\0x`,
    `\u0001s003${SEGMENT}\0maps\0x`,
    "\u0001s",
  ];
  for (const name of [...near, `\u0001s0003${SEGMENT}0\0maps\0x`]) {
    for (const op of [get(name), put(name)]) {
      check([["OBJECTS", op, true], ["MAPS", op, false], ["MAPSALL", op, false]]);
    }
  }
  assert.match(
    denial(view, { kind: "access", id: "KV" }, reading)!.message,
    /may not read objects: it needs the right read on a prefix such as "so:\/\/bucket\/"/,
  );
});

Deno.test("who may read an object and write others does nothing to the rows of its segments (Z7)", () => {
  const rights = [right("so://public/", "r"), right("so://eve/", "rw")];
  const keys = [OPERATOR, access("EVE", ...rights)].sort((x, y) => (x.id < y.id ? -1 : 1));
  const eves: SystemView = { ...genesis, security: { ...genesis.security!, access: keys } };
  const who: Principal = { kind: "access", id: "EVE" }, row = segmentOf("public", "x");
  const may = (op: Op) => denial(eves, who, op) === null;
  assert.ok(may(get(newestRow("public", "x"))) && may(get(row)), "what it may read names the segment");
  const inside: TransactOp = { kind: "transact", conditions: [], then: [], otherwise: [] };
  const harms: Op[] = [
    put(row),
    { kind: "delete", key: row },
    { kind: "cas", key: row, expect: { kind: "present" }, value: null },
    { kind: "keep-alive", lease: row },
    { kind: "revoke", lease: row },
    { kind: "grant", lease: row, ttlMs: 1000 },
    { ...inside, then: [{ kind: "delete", key: row }] },
    { ...inside, otherwise: [{ kind: "put", key: row, value }] },
    { kind: "put", key: segmentOf("eve", "x"), value, lease: row },
  ];
  for (const op of harms) assert.ok(!may(op), JSON.stringify(op));
  assert.match(denial(eves, who, put(row))!.message, /may not write "so:\/\/public\/x"/);
  assert.ok(may(put(segmentOf("eve", "x"))), "a row of its own, which counts for nothing (R1)");
});

Deno.test("an S3 secret is read by members alone, and written by who administers its access key (Z8)", () => {
  const member: Principal = { kind: "member", node: a };
  const row = secretRow("MAPSR");
  const reading: Op[] = [
    get(row),
    { kind: "history", key: row, read: "stale" },
    range(row, `${row}\0`),
    range("\u0001k"),
    watch(row, `${row}\0`),
    watch("\u0001k", "\u0001l"),
    { kind: "cas", key: row, expect: { kind: "absent" }, value },
  ];
  const inside: TransactOp = { kind: "transact", conditions: [], then: [], otherwise: [] };
  reading.push(
    { ...inside, conditions: [{ key: row, expect: { kind: "value", value } }] },
    { ...inside, then: [{ kind: "get", key: row }] },
    { ...inside, otherwise: [{ kind: "get", key: row }] },
  );
  for (const op of reading) {
    for (const id of ["OPERATOR", "EVERYTHING", "TEAM", "MAPSR"]) {
      assert.ok(!says(id, op), `${id} ${JSON.stringify(op)}`);
    }
    assert.equal(denial(view, member, op), null);
  }
  for (const op of [put(row), { kind: "delete", key: row } as const]) {
    check([["OPERATOR", op, true], ["TEAM", op, true], ["EVERYTHING", op, false], ["MAPSR", op, false], [
      "MAPS",
      op,
      false,
    ]]);
    assert.equal(denial(view, member, op), null);
  }
  check([
    ["TEAM", put(secretRow("OBJECTS")), false],
    ["TEAM", put(secretRow("NOBODY")), false],
    ["OPERATOR", put(secretRow("NOBODY")), true],
    ["OPERATOR", { kind: "put", key: "x", value, lease: row }, true],
    ["EVERYTHING", { kind: "put", key: "x", value, lease: row }, false],
  ]);
});

Deno.test("who administers keys gives no rights on objects, and the other way round (Z3, Z6)", () => {
  const set = (prefix: string): Op => ({ kind: "access-set", access: access("NEW", right(prefix, "rw")) });
  check([
    ["SADMIN", set("star/"), true],
    ["SADMIN", set("so://maps/"), false],
    ["SADMIN", set("so:/"), true],
    ["TEAM", set("so://maps/2026/"), true],
    ["TEAM", set("so://map"), false],
    ["TEAM", set("star"), false],
    ["OPERATOR", set("so://"), true],
    ["SADMIN", { kind: "access-drop", id: "MAPS" }, false],
    ["TEAM", { kind: "access-drop", id: "MAPSR" }, true],
  ]);
  assert.ok(within("so://maps/", "") && within("star", "") && !within("", "so://") && !within("", "s"));
});

const part = fc.string({ unit: fc.constantFrom("a", "b", "/", "\0", "\uffff", "\u{10000}"), maxLength: 3 });
const row = fc.tuple(fc.constantFrom("o", "v", "m", "u", "p", "g", "b", "s", "k", "x", ""), part).map((
  [kind, rest],
) => `\u0001${kind}${rest}`);

Deno.test("coversSpan() is true only where coversKey() is for every key of the span, and none is a secret", () => {
  let yes = 0;
  const prefix = fc.oneof(fc.constant(""), part, part.map((p) => `so://${p}`));
  fc.assert(
    fc.property(
      prefix,
      fc.oneof(row, part),
      fc.option(fc.oneof(row, part)),
      fc.array(fc.oneof(row, part), {
        minLength: 8,
        size: "max",
        maxLength: 40,
      }),
      (on, start, end, probes) => {
        const given = right(on, "r");
        if (!coversSpan(given, start, end)) return;
        yes++;
        for (const probe of [...probes, ...probes.map((p) => start + p)]) {
          if (compareUtf8(start, probe) > 0 || (end !== null && compareUtf8(probe, end) >= 0)) continue;
          const shown = start.startsWith("\u0001") || !probe.startsWith("\u0001");
          if (!shown) continue;
          // No bucket has a slash, so that a row of one never comes to be.
          if (probe.startsWith("\u0001b") && probe.includes("/")) continue;
          assert.ok(!probe.startsWith("\u0001k"), JSON.stringify([on, start, end, probe]));
          assert.ok(coversKey(given, "read", probe), JSON.stringify([on, start, end, probe]));
        }
      },
    ),
    { numRuns: 5000 },
  );
  assert.ok(yes > 100, `${yes}`);
});

Deno.test("nameShown() says of rows which object they are of", () => {
  const version = "0".repeat(32);
  for (
    const row of [
      newestRow("maps", "2026/a"),
      versionRow("maps", "2026/a", version),
      pageRow("maps", "2026/a", version, 1),
      uploadRow("maps", "2026/a", version),
      partRow("maps", "2026/a", version, 1),
      garbageRow("maps", "2026/a", version),
      segmentOf("maps", "2026/a"),
    ]
  ) assert.equal(nameShown(row), "so://maps/2026/a");
  assert.equal(nameShown(newestRow("maps", "")), "so://maps/");
  assert.equal(nameShown(bucketRow("maps")), "so://maps");
  assert.equal(nameShown(bucketRow("")), "so://");
  assert.equal(nameShown("star/1"), "star/1");
});
