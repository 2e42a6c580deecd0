import assert from "node:assert/strict";
import type { ObjectVersion, Versioning } from "../../../core/objects/types.ts";
import { linearizable } from "../../../sim/checkers/linearizability.ts";
import { NUMBER_HEADER, ObjectHistory } from "../../../sim/objects/history.ts";
import { type ObjectAction, objectModel, type ObjectOperation } from "../../../sim/objects/model.ts";

/** Operations one after the other; `maybe` ones never came back. */
function verdict(versioning: Versioning, actions: readonly (ObjectAction | { maybe: ObjectAction })[]) {
  const operations = actions.map((entry, i): ObjectOperation =>
    "maybe" in entry
      ? { action: entry.maybe, invoke: 10 * i, complete: Infinity }
      : { action: entry, invoke: 10 * i, complete: 10 * i + 5 }
  );
  return linearizable(operations, objectModel(versioning, (number) => `e${number}`)).kind;
}
const put = (value: number): ObjectAction => ({ kind: "put", value, guard: null, made: true });
const create = (value: number, made: boolean): ObjectAction => ({
  kind: "put",
  value,
  guard: { kind: "absent" },
  made,
});
const got = (top: number | "none" | "marker" | "gone"): ObjectAction => ({ kind: "get", top });
const all = (...entries: (number | "marker")[]): ObjectAction => ({ kind: "all", entries });

Deno.test("objectModel: a get sees the newest version that was put, and no older one", () => {
  assert.equal(verdict("off", [put(1), got(1), put(2), got(2)]), "linearizable");
  assert.equal(verdict("off", [put(1), put(2), got(1)]), "broken");
  assert.equal(verdict("off", [put(1), { maybe: put(2) }, got(1), got(2), got(2)]), "linearizable");
  assert.equal(verdict("off", [put(1), { maybe: put(2) }, got(2), got(1)]), "broken");
  assert.equal(verdict("off", [put(1), { kind: "delete" }, got("none")]), "linearizable");
  assert.equal(verdict("off", [put(1), got("none")]), "broken");
});

Deno.test("objectModel: of several who create, one wins", () => {
  assert.equal(verdict("off", [create(1, true), create(2, false), got(1)]), "linearizable");
  assert.equal(verdict("off", [create(1, true), create(2, true)]), "broken");
  assert.equal(verdict("enabled", [put(1), { kind: "delete" }, create(2, true)]), "linearizable");
  assert.equal(verdict("off", [create(1, false)]), "broken");
});

Deno.test("objectModel: what replaces an ETag replaces no other", () => {
  const replace = (value: number, etag: string, made: boolean): ObjectAction => ({
    kind: "put",
    value,
    guard: { kind: "etag", etag },
    made,
  });
  assert.equal(verdict("off", [put(1), replace(2, "e1", true), got(2)]), "linearizable");
  assert.equal(verdict("off", [put(1), put(2), replace(3, "e1", true)]), "broken");
  assert.equal(verdict("off", [put(1), put(2), replace(3, "e1", false), got(2)]), "linearizable");
  assert.equal(verdict("off", [replace(1, "e1", true)]), "broken");
});

Deno.test("objectModel keeps versions and markers where they are kept, and replaces the null version where suspended", () => {
  assert.equal(
    verdict("enabled", [put(1), put(2), { kind: "delete" }, got("marker"), all("marker", 2, 1)]),
    "linearizable",
  );
  assert.equal(verdict("enabled", [put(1), put(2), all(2)]), "broken");
  assert.equal(verdict("enabled", [put(1), put(2), { kind: "remove", value: 2 }, got(1)]), "linearizable");
  assert.equal(
    verdict("enabled", [put(1), put(2), { kind: "find", value: 1, there: false }]),
    "broken",
  );
  assert.equal(
    verdict("suspended", [put(1), put(2), { kind: "delete" }, all("marker"), put(3), all(3)]),
    "linearizable",
  );
  assert.equal(verdict("off", [put(1), put(2), all(2)]), "linearizable");
});

function version(number: number, etag: string): ObjectVersion {
  return {
    id: "",
    sequence: 1,
    isNull: false,
    deleted: false,
    bytes: 0,
    etag,
    modifiedMs: 0,
    owner: "",
    metadata: [[NUMBER_HEADER, String(number)]],
    tags: [],
    content: { kind: "inline", bytes: new Uint8Array(0) },
    parts: [],
  };
}

Deno.test("H1: ObjectHistory knows bytes that nobody wrote, and versions that nobody made", () => {
  const history = new ObjectHistory(() => "off");
  const number = history.number("a/x", Uint8Array.of(1, 2, 3));
  const etag = "5289df737df57326fcdd22597afb1fac";
  assert.equal(history.numberOf("a/x", version(number, etag)), number);
  assert.ok(typeof history.numberOf("a/x", version(number, "")) === "object");
  assert.ok(typeof history.numberOf("a/y", version(number, etag)) === "object");
  const read = (start: number, ...bytes: number[]) =>
    history.contentProblem("a/x", number, { start, bytes: Uint8Array.from(bytes), total: 3 });
  assert.equal(read(0, 1, 2, 3), null);
  assert.equal(read(1, 2), null);
  assert.notEqual(read(1, 3), null);
  assert.notEqual(read(2, 3, 4), null);
});

Deno.test("H1: a copy has the content of some version of its source, the same at every look", () => {
  const history = new ObjectHistory(() => "off");
  for (const byte of [1, 2]) history.number("a/x", Uint8Array.of(byte));
  const copy = history.numberOfCopy("a/y", "a/x");
  const read = (byte: number) =>
    history.contentProblem("a/y", copy, { start: 0, bytes: Uint8Array.of(byte), total: 1 });
  assert.notEqual(read(3), null);
  assert.equal(read(2), null);
  assert.notEqual(read(1), null);
});

Deno.test("H2: ObjectHistory tells which key has no order", () => {
  const history = new ObjectHistory(() => "off");
  const number = history.number("a/x", Uint8Array.of(1));
  const recorded = history.invoked(0, "a/x", put(number), 10);
  history.completed(recorded, 20);
  assert.deepEqual(history.check().problems, []);
  history.saw({ client: 1, object: "a/x", invoke: 30, now: 40 }, got("none"));
  const { problems } = history.check();
  assert.ok(problems.length === 1 && problems[0]!.startsWith("a/x: no order explains"), problems.join());
});
