/** Every refusal of validate() by name, with the limit and the actual size in its message. */
import assert from "node:assert/strict";
import type { LogIndex, PartitionId, Term } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { type DataRequest, validate } from "../../../core/catalog/validate.ts";
import type { PutOptions, RefusalReason, Session } from "../../../core/wire/requests.ts";
import { put, session } from "./harness.ts";

/** By the first character, so that tests can place keys. */
const partitionOf = (key: string) => (key.charCodeAt(0) % 2 + 1) as PartitionId;
const value = (length: number) => new Uint8Array(length);
const range = (start: string, end: string | null, limit = 10): DataRequest["op"] => ({
  kind: "range",
  start,
  end,
  limit,
  reverse: false,
  keysOnly: false,
  read: "linearizable",
});
const transact = (op: Partial<Extract<DataRequest["op"], { kind: "transact" }>>): DataRequest["op"] => ({
  kind: "transact",
  conditions: [],
  then: [],
  otherwise: [],
  ...op,
});
const get = (key: string) => ({ kind: "get" as const, key });

const REFUSED: readonly [
  name: string,
  op: DataRequest["op"],
  reason: RefusalReason,
  message: RegExp,
  Session?,
][] = [
  ["an empty key", put("", "v"), "invalid", /at least 1 byte/],
  ["a key over the limit", put("k".repeat(1281), "v"), "too-large", /1280 bytes.*keyBytesMax.*not 1281/],
  ["a key over the limit in UTF-8 only", put("é".repeat(641), "v"), "too-large", /not 1282/],
  ["half a surrogate pair", put("a\ud800", "v"), "invalid", /surrogate/],
  [
    "a value over the limit",
    { kind: "put", key: "k", value: value(LIMITS.valueBytesMax + 1) },
    "too-large",
    /1048576 bytes.*not 1048577/,
  ],
  ["lease and ttlMs together", put("k", "v", { lease: "k", ttlMs: 500 }), "invalid", /not both/],
  [
    "a lease in another partition",
    put("a", "v", { lease: "b" }),
    "invalid",
    /"b" lies in partition 1.*"a" in 2.*tag/,
  ],
  ["an empty lease", put("a", "v", { lease: "" }), "invalid", /A lease has at least 1 byte/],
  ["a ttlMs too short", put("a", "v", { ttlMs: 99 }), "invalid", /100 to 2678400000.*not 99/],
  [
    "a ttlMs too long",
    { kind: "grant", lease: "a", ttlMs: LIMITS.leaseTtlMsMax + 1 },
    "invalid",
    /not 2678400001/,
  ],
  ["a ttlMs that is no integer", { kind: "grant", lease: "a", ttlMs: 500.5 }, "invalid", /not 500.5/],
  ["a history too long", put("a", "v", { history: 1001 }), "invalid", /0 to 1000.*not 1001/],
  ["a negative history", put("a", "v", { history: -1 }), "invalid", /not -1/],
  [
    "a grant without a name",
    { kind: "grant", lease: "", ttlMs: 500 },
    "invalid",
    /lease has at least 1 byte/,
  ],
  [
    "a lease name over the limit",
    { kind: "revoke", lease: "l".repeat(2000) },
    "too-large",
    /lease has at most 1280.*2000/,
  ],
  ["a get of an empty key", { ...get(""), read: "stale" }, "invalid", /at least 1 byte/],
  [
    "a version that is none",
    { ...get("k"), read: "stale", version: { term: -1 as Term, index: 0 as LogIndex } },
    "invalid",
    /not -1.0/,
  ],
  ["a history of an empty key", { kind: "history", key: "", read: "stale" }, "invalid", /at least 1 byte/],
  [
    "a cas that expects too long a value",
    {
      kind: "cas",
      key: "k",
      expect: { kind: "value", value: value(LIMITS.valueBytesMax + 1) },
      value: null,
    },
    "too-large",
    /not 1048577/,
  ],
  [
    "a cas that deletes with a lease",
    {
      kind: "cas",
      key: "k",
      expect: { kind: "present" },
      value: null,
      lease: "k",
    },
    "invalid",
    /takes no lease/,
  ],
  ["a range without a limit", range("", null, 0), "invalid", /1 to 1000.*not 0/],
  ["a range with too high a limit", range("", null, 1001), "invalid", /not 1001/],
  [
    "a range out of the rows of objects",
    range("\u0001o", null),
    "invalid",
    /ends at "\\u0002" at the latest, not at the last key/,
  ],
  ["a range past the rows of objects", range("\u0001o", "\u0003"), "invalid", /not at "\\u0003"/],
  [
    "a watch out of the rows of objects",
    { kind: "watch", start: "\u0001", end: null, from: [] },
    "invalid",
    /at the latest/,
  ],
  ["a bound over the limit", range("", "z".repeat(1282)), "too-large", /1281 bytes.*not 1282/],
  ["a bound with half a surrogate pair", range("\udc00", null), "invalid", /surrogate/],
  [
    "a watch's bound over the limit",
    { kind: "watch", start: "z".repeat(2000), end: null, from: [] },
    "too-large",
    /2000/,
  ],
  ["an empty transaction", transact({}), "invalid", /at least one key/],
  [
    "a transaction over two partitions",
    transact({ then: [get("a"), get("b")] }),
    "invalid",
    /one partition.*"a".*"b"/,
  ],
  [
    "a condition in another partition",
    transact({
      conditions: [{ key: "b", expect: { kind: "absent" } }],
      then: [get("a")],
    }),
    "invalid",
    /one partition/,
  ],
  [
    "a key twice in a branch",
    transact({ then: [get("a"), { kind: "delete", key: "a" }] }),
    "invalid",
    /"a" twice/,
  ],
  ["a transaction with an empty key", transact({ otherwise: [get("")] }), "invalid", /at least 1 byte/],
  [
    "too many items",
    transact({ then: Array.from({ length: 129 }, (_, i) => get(`a${i}`)) }),
    "too-large",
    /128 items in "then".*not 129/,
  ],
  [
    "a transaction too long as a whole",
    transact({
      then: ["a1", "a2", "a3"].map((key) => ({ kind: "put", key, value: value(LIMITS.valueBytesMax) })),
    }),
    "too-large",
    /2162688 bytes together.*not 3145734/,
  ],
  [
    "a client that is no hex",
    put("k", "v"),
    "invalid",
    /32 hexadecimal/,
    session(1, 0, { client: "Z".repeat(32) }),
  ],
  ["a sequence that is no integer", put("k", "v"), "invalid", /integers from 0/, session(1.5)],
  [
    "a session that acknowledges its own write",
    put("k", "v"),
    "invalid",
    /below 3.*sequence 2/,
    session(2, 3),
  ],
];

for (const [name, op, reason, message, withSession] of REFUSED) {
  Deno.test(`validate() refuses ${name}`, () => {
    const refused = validate(withSession === undefined ? { op } : { op, session: withSession }, partitionOf);
    assert.equal(refused?.reason, reason);
    assert.match(refused!.message, message);
    assert.match(refused!.message, /^[A-Z].*[^.]$/, "a capital first, no period last");
  });
}

Deno.test("validate() accepts everything at its limits", () => {
  const options: PutOptions = { ttlMs: LIMITS.leaseTtlMsMin, history: LIMITS.historyVersionsMax };
  const accepted: DataRequest[] = [
    { op: put("k".repeat(1280), ""), session: session(0) },
    {
      op: { kind: "put", key: "a\0", value: value(LIMITS.valueBytesMax), ...options },
      session: session(7, 7),
    },
    { op: put("a", "v", { lease: "c" }) },
    { op: range("", "z".repeat(1280) + "\0", 1000) },
    { op: range("\u0001o", "\u0002") },
    { op: range("\u0001o", "\u0001p", 1000) },
    { op: range("\u0002", null) },
    { op: transact({ then: Array.from({ length: 128 }, (_, i) => get(`a${i}`)), otherwise: [get("a")] }) },
    { op: { kind: "grant", lease: "l", ttlMs: LIMITS.leaseTtlMsMax } },
    { op: { kind: "watch", start: "", end: null, from: [] } },
  ];
  for (const request of accepted) assert.equal(validate(request, partitionOf), null);
});
