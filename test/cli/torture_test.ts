/** The short form of `deno task torture`, and what keeps it honest: its plan, its history and its checker. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import type { ObjectVersion } from "../../core/objects/types.ts";
import { checkHistory } from "../torture/check.ts";
import { type HistoryLine, readHistory } from "../torture/history_file.ts";
import { contentOf, firstDifference, NUMBER_HEADER, ObjectHistory } from "../torture/objects/history.ts";
import { FAULT_KINDS, partsHeld, planFaults } from "../torture/plan.ts";
import { torture } from "../torture/run.ts";
import { idOf, valueOf } from "../torture/workload.ts";

const SECONDS = 14;

Deno.test("real processes under faults lose nothing, and their history is linearizable", async () => {
  const lines: string[] = [];
  const result = await torture({
    seconds: SECONDS,
    nodes: 3,
    clients: 6,
    objects: 2,
    seed: 3,
    faults: ["kill", "crash-loop", "stop", "full", "io-error", "cut", "one-way", "loss"],
    history: null,
    partitions: 8,
    open: false,
    record: true,
    keep: false,
    tell: (line) => void lines.push(line),
  });
  assert.deepEqual(result.check.problems, [], `\n${lines.join("\n")}\n`);
  // It was a run worth the name.
  assert(result.check.faults.size > 2, lines.join("\n"));
  assert(result.check.ok > 300, `${result.check.ok} operations were answered`);
  assert.equal(result.check.replicas, 3 * 8);
});

Deno.test("contentOf() gives any part of a version's bytes, and no two versions have the same", () => {
  const whole = contentOf(7, 0, 1000);
  for (const [start, end] of [[0, 1000], [1, 8], [4, 5], [997, 1000], [333, 333]] as const) {
    assert.deepEqual(contentOf(7, start, end - start), whole.slice(start, end));
    assert.equal(firstDifference(7, start, whole.slice(start, end)), null);
  }
  const damaged = whole.slice();
  damaged[600]! ^= 1;
  assert.equal(firstDifference(7, 0, damaged), 600);
  assert.notEqual(firstDifference(8, 0, whole), null);
});

Deno.test("the history of objects tells an overwrite that was lost, a version nobody wrote, and one that is gone", () => {
  const history = () => new ObjectHistory((bucket) => bucket === "kept" ? "enabled" : "off");
  const put = (of: ObjectHistory, object: string) => {
    const value = of.number(object, 5);
    const recorded = of.invoked("a", object, { kind: "put", value, guard: null, made: null });
    of.completed(recorded, { kind: "put", value, guard: null, made: true });
    return value;
  };
  const saw = (of: ObjectHistory, object: string, action: Parameters<ObjectHistory["saw"]>[1]) =>
    of.saw({ client: "b", object, invoke: performance.now() }, action);
  const problemsOf = (of: ObjectHistory) => (of.check(), of.problems);

  const sound = history(), first = put(sound, "maps/x");
  saw(sound, "maps/x", { kind: "get", top: first });
  assert.deepEqual(problemsOf(sound), []);

  const lost = history(), old = put(lost, "maps/x");
  put(lost, "maps/x");
  saw(lost, "maps/x", { kind: "get", top: old });
  assert.match(problemsOf(lost).join(), /^maps\/x: no order explains/);

  const gone = history();
  put(gone, "kept/x");
  const newest = put(gone, "kept/x");
  saw(gone, "kept/x", { kind: "all", entries: [newest] });
  assert.match(problemsOf(gone).join(), /^kept\/x: no order explains/);

  const foreign = history(), number = put(foreign, "maps/x");
  const version: ObjectVersion = {
    id: "1",
    sequence: 1,
    isNull: true,
    deleted: false,
    bytes: 5,
    etag: "e",
    modifiedMs: 0,
    owner: "",
    metadata: [[NUMBER_HEADER, String(number)]],
    tags: [],
    content: { kind: "inline", bytes: new Uint8Array(5) },
    parts: [],
  };
  assert.equal(foreign.numberOf("maps/x", version), number);
  assert.equal(foreign.numberOf("maps/y", version), null);
  assert.equal(foreign.numberOf("maps/x", { ...version, bytes: 6 }), null);
  assert.equal(foreign.problems.length, 2);
});

const options = { seed: 5, nodes: 5, spanMs: 120_000, kinds: FAULT_KINDS, small: [1, 2], graceMs: 10_000 };

Deno.test("planFaults() gives the same plan for the same seed, and another for another", () => {
  assert.deepEqual(planFaults(options), planFaults(options));
  assert.notDeepEqual(planFaults(options), planFaults({ ...options, seed: 6 }));
  assert.deepEqual(new Set(planFaults(options).map(({ kind }) => kind)), new Set(FAULT_KINDS));
  assert(planFaults({ ...options, small: [] }).every(({ kind }) => kind !== "full" && kind !== "read-only"));
});

Deno.test("planFaults() never has two faults hold the same part of the network at once (P1 to P3)", () => {
  fc.assert(fc.property(fc.nat(), fc.integer({ min: 3, max: 7 }), (seed, nodes) => {
    const faults = planFaults({ ...options, seed, nodes, small: [1] });
    for (const [i, one] of faults.entries()) {
      assert(one.at + one.forMs <= options.spanMs);
      for (const other of faults.slice(i + 1)) {
        const shared = partsHeld(one, nodes).filter((part) => partsHeld(other, nodes).includes(part));
        assert(shared.length === 0 || one.at + one.forMs < other.at, JSON.stringify([one, other]));
      }
    }
  }));
});

Deno.test("idOf() names a value that is as it was written, and no other", () => {
  const value = valueOf(17, 40);
  assert.equal(value.length, 40);
  assert.equal(idOf(value), "v17/40");
  assert.match(idOf(value.subarray(0, 39)), /^damaged/);
  assert.match(idOf(value.map((byte, i) => i === 30 ? 0 : byte)), /^damaged/);
});

// ---- the checker

const HEADER: HistoryLine = {
  type: "header",
  format: "space-opera-history",
  version: 1,
  began: "2026-01-01T00:00:00.000Z",
  seed: 1,
  network: "n",
  nodes: [],
  clients: 2,
  partitions: 1,
  replicas: 3,
  left_out: [],
};
const END: HistoryLine = { type: "end", operations: 0, seconds: 1 };

/** A write of `value` by process 0, answered. */
function written(key: string, value: string, at: number): HistoryLine[] {
  const event = { process: 0, f: "write", key, value } as const;
  return [
    { ...event, type: "invoke", time: at },
    { ...event, type: "ok", time: at + 5, version: [1, at], existed: false },
  ];
}

function read(key: string, value: string | null, at: number): HistoryLine[] {
  const event = { process: 1, f: "read", key } as const;
  return [
    { ...event, type: "invoke", time: at, value: null },
    { ...event, type: "ok", time: at + 5, value, version: value === null ? null : [1, 1] },
  ];
}

function finalRead(key: string, value: string | null, index: number): HistoryLine {
  return { type: "final", key, value, version: value === null ? null : [1, index] };
}

async function problemsOf(...lines: HistoryLine[]): Promise<readonly string[]> {
  const path = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    await Deno.writeTextFile(path, [HEADER, ...lines].map((line) => JSON.stringify(line) + "\n").join(""));
    return (await checkHistory(path)).problems;
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("checkHistory() finds nothing in a history that is as it should be", async () => {
  const lines = [...written("k", "v1/9", 10), ...read("k", "v1/9", 20), finalRead("k", "v1/9", 10), END];
  assert.deepEqual(await problemsOf(...lines), []);
});

Deno.test("checkHistory() finds a stale read, a lost write and a value that nobody wrote", async () => {
  const stale = [...written("k", "v1/9", 10), ...read("k", null, 20), finalRead("k", "v1/9", 10), END];
  assert.match((await problemsOf(...stale))[0]!, /^Not linearizable: k/);
  const lost = [...written("k", "v1/9", 10), finalRead("k", null, 0), END];
  assert.match((await problemsOf(...lost))[0]!, /^Acknowledged write lost: k is gone/);
  const foreign = [
    ...written("k", "v1/9", 10),
    ...read("k", "damaged: x", 20),
    finalRead("k", "v1/9", 10),
    END,
  ];
  assert.match((await problemsOf(...foreign))[0]!, /^Not linearizable: k/);
});

Deno.test("checkHistory() takes a range without a key for a read of its absence, up to where the page ends", async () => {
  const value = { start: "a", end: "z", limit: 1 };
  const range = (items: [string, string][], more: boolean): HistoryLine[] => [
    { type: "invoke", process: 1, time: 40, f: "range", value },
    { type: "ok", process: 1, time: 50, f: "range", value, items, more },
  ];
  const before = [...written("b", "v1/9", 10), ...written("c", "v2/9", 20)];
  const after = [finalRead("b", "v1/9", 10), finalRead("c", "v2/9", 20), END];
  assert.deepEqual(await problemsOf(...before, ...range([["b", "v1/9"]], true), ...after), []);
  assert.match(
    (await problemsOf(...before, ...range([["b", "v1/9"]], false), ...after))[0]!,
    /^Not linearizable: c/,
  );
  assert.match(
    (await problemsOf(...before, ...range([["c", "v2/9"]], true), ...after))[0]!,
    /^Not linearizable: b/,
  );
});

Deno.test("checkHistory() lets an unknown write happen late, once, or never", async () => {
  const unknown: HistoryLine[] = [
    { type: "invoke", process: 2, time: 15, f: "write", key: "k", value: "v2/9" },
    { type: "info", process: 2, time: 16, f: "write", error: "unsure" },
  ];
  const first = written("k", "v1/9", 1);
  assert.deepEqual(
    await problemsOf(...first, ...unknown, ...read("k", "v1/9", 20), finalRead("k", "v1/9", 1), END),
    [],
  );
  const late = [...first, ...unknown, ...read("k", "v1/9", 20), ...read("k", "v2/9", 30)];
  assert.deepEqual(await problemsOf(...late, finalRead("k", "v2/9", 40), END), []);
  const twice = await problemsOf(...late, ...read("k", "v1/9", 40), finalRead("k", "v2/9", 50), END);
  assert.match(twice[0]!, /^Not linearizable: k/);
});

Deno.test("checkHistory() finds replicas that differ, what the run found wrong, and a run that broke off", async () => {
  const replica = (node: string, hash: string): HistoryLine => ({
    type: "replica",
    node,
    partition: 4,
    keys: 1,
    hash,
  });
  assert.match(
    (await problemsOf(replica("a", "1"), replica("b", "2"), END))[0]!,
    /^Replicas differ: partition 4/,
  );
  assert.deepEqual(await problemsOf({ type: "problem", what: "Node ended" }, END), ["Node ended"]);
  assert.match((await problemsOf(...written("k", "v1/9", 10)))[0]!, /broke off/);
});

Deno.test("readHistory() leaves out a last line that is cut off, and names a line that is wrong", async () => {
  const directory = await Deno.makeTempDir();
  const path = join(directory, "history.jsonl");
  const lines = async () => {
    const all: HistoryLine[] = [];
    for await (const line of readHistory(path)) all.push(line);
    return all;
  };
  try {
    await Deno.writeTextFile(path, `${JSON.stringify(HEADER)}\n{"type":"invo`);
    assert.deepEqual(await lines(), [HEADER]);
    await Deno.writeTextFile(path, `${JSON.stringify(HEADER)}\n{"type":"invoke","process":1}\n`);
    await assert.rejects(lines(), /^HistoryError: Line 2 of .* is no line of space-opera-history version 1/);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
