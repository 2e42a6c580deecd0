import assert from "node:assert/strict";
import { ChunkDisk, DEFAULT_CHUNK_DISK } from "../../../sim/objects/chunk_disk.ts";
import { type LogIndex, type NodeId, nodeId, type PartitionId, type Term } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { Effects, type JournalRecord, type Note } from "../../../core/wire/kernel.ts";
import type { Entry } from "../../../core/wire/messages.ts";
import { type RaftCheck, RaftChecker } from "../../../sim/checkers/raft.ts";
import { Clock } from "../../../sim/clock.ts";
import { DEFAULT_DISK, Disk } from "../../../sim/disk.ts";
import { Machine } from "../../../sim/machine.ts";

const P = 1 as PartitionId;
const entry = (index: number, term: number, data = 0): Entry => ({
  index: index as LogIndex,
  term: term as Term,
  kind: "command",
  data: new Uint8Array([data]),
});
const entries = (...list: Entry[]): JournalRecord => ({ kind: "entries", partition: P, entries: list });
const vote = (term: number): JournalRecord => ({
  kind: "vote",
  partition: P,
  term: term as Term,
  votedFor: null,
});
const leader = (term: number): Note => ({ kind: "leader", partition: P, term: term as Term });
const applied = (index: number): Note => ({ kind: "applied", partition: P, index: index as LogIndex });

/** Plays what nodes a, b, c journal and note, and collects what the checker finds. */
class Stage {
  readonly found: RaftCheck[] = [];
  readonly checker = new RaftChecker((check) => this.found.push(check));
  readonly #machines = ["a", "b", "c"].map((name, index) => machine(nodeId(name), index));

  constructor() {
    for (const one of this.#machines) this.checker.started(one, { kind: "genesis", view: NO_VIEW });
  }

  step(node: number, ...what: (JournalRecord | Note)[]): this {
    const effects = new Effects();
    for (const thing of what) {
      if (isRecord(thing)) effects.record(thing);
      else effects.note(thing);
    }
    this.checker.stepped(this.#machines[node]!, { kind: "wake" }, effects);
    return this;
  }
}
const NO_VIEW = null as never;

function machine(id: NodeId, index: number): Machine {
  const random = Random.fromSeed(1);
  return new Machine({
    index,
    id,
    address: id,
    zone: "z",
    capacity: 1,
    clock: new Clock({ offsetUs: 0, driftPpm: 0 }),
    disk: new Disk(id, DEFAULT_DISK, random),
    chunks: new ChunkDisk(DEFAULT_CHUNK_DISK, random),
    random,
  });
}

function isRecord(thing: JournalRecord | Note): thing is JournalRecord {
  return thing.kind === "vote" || thing.kind === "entries" || thing.kind === "truncate" ||
    thing.kind === "base";
}

Deno.test("RaftChecker finds nothing in a sound run", () => {
  const { found } = new Stage()
    .step(0, vote(1), leader(1), entries(entry(1, 1), entry(2, 1)))
    .step(1, vote(1), entries(entry(1, 1), entry(2, 1)))
    .step(0, applied(2))
    .step(0, entries(entry(3, 1, 7)))
    .step(1, vote(2), leader(2), entries(entry(3, 2)))
    .step(0, vote(2), { kind: "truncate", partition: P, from: 3 as LogIndex }, entries(entry(3, 2)))
    .step(1, applied(3))
    .step(0, applied(3));
  assert.deepEqual(found, []);
});

Deno.test("one leader a term catches two leaders of one term", () => {
  const { found } = new Stage().step(0, vote(1), leader(1)).step(1, vote(1), leader(1));
  assert.deepEqual(found, ["one leader a term"]);
});

Deno.test("log matching catches two logs that agree on an entry and differ before it", () => {
  const { found } = new Stage()
    .step(0, entries(entry(1, 1, 5), entry(2, 2)))
    .step(1, entries(entry(1, 1, 6), entry(2, 2)));
  assert.deepEqual(found, ["log matching", "log matching"]);
});

Deno.test("log matching catches a log with a gap", () => {
  assert.deepEqual(new Stage().step(0, entries(entry(2, 1))).found, ["log matching"]);
});

Deno.test("leader completeness catches a leader without a committed entry", () => {
  const { found } = new Stage()
    .step(0, vote(1), leader(1), entries(entry(1, 1), entry(2, 1)), applied(2))
    .step(1, vote(1), entries(entry(1, 1)))
    .step(1, vote(2), leader(2));
  assert.deepEqual(found, ["leader completeness"]);
});

Deno.test("leader completeness allows a late leader of a term before the commit's", () => {
  const { found } = new Stage()
    .step(0, vote(3), leader(3), entries(entry(1, 3)), applied(1))
    .step(1, vote(2), leader(2));
  assert.deepEqual(found, []);
});

Deno.test("state machine safety catches another entry applied at the same index", () => {
  const { found } = new Stage()
    .step(0, vote(1), entries(entry(1, 1)), applied(1))
    .step(1, vote(2), entries(entry(1, 2)), applied(1));
  assert.deepEqual(found, ["state machine safety"]);
});

Deno.test("state machine safety catches applied entries that are taken back", () => {
  const { found } = new Stage()
    .step(0, vote(1), entries(entry(1, 1)), applied(1))
    .step(0, { kind: "truncate", partition: P, from: 1 as LogIndex });
  assert.deepEqual(found, ["state machine safety"]);
});

Deno.test("state machine safety catches what is applied beyond the log", () => {
  assert.deepEqual(new Stage().step(0, entries(entry(1, 1)), applied(2)).found, ["state machine safety"]);
});
