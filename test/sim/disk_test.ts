import assert from "node:assert/strict";
import fc from "fast-check";
import { type LogIndex, nodeId, SYSTEM_PARTITION, type Term } from "../../core/base/ids.ts";
import { Random } from "../../core/base/random.ts";
import { Effects, type JournalRecord } from "../../core/wire/kernel.ts";
import { DEFAULT_DISK, Disk } from "../../sim/disk.ts";
import { allRows } from "../../sim/tables.ts";

const NODE = nodeId("rigel");
const KEY = new Uint8Array([1]);
const APPLIED = { kind: "applied", partition: SYSTEM_PARTITION, index: 1 as LogIndex } as const;
const KINDS = ["memory", "files"] as const;

/** A node that counts a term up: its whole state is one vote record and, in its tables, the number last "applied". */
class Counter {
  readonly disk: Disk;
  readonly effects = new Effects();
  term = 0;
  checkpoints = 0;
  /** What the host has promised. */
  durableTerm = 0;
  checkpointTerm = 0;
  #termOfNumber = new Map<number, number>();
  #termOfCheckpoint = new Map<number, number>();

  constructor(seed: number, tables: "memory" | "files" = "memory") {
    const options = { ...DEFAULT_DISK, encrypted: true, tables };
    this.disk = new Disk(NODE, options, Random.fromSeed(seed));
  }

  step(checkpoint: boolean): void {
    this.effects.clear();
    this.term++;
    this.effects.record(this.#vote());
    this.disk.tables.set(KEY, new Uint8Array([this.term]));
    if (checkpoint) {
      this.effects.checkpoint = { number: ++this.checkpoints, records: [this.#vote()] };
      this.#termOfCheckpoint.set(this.checkpoints, this.term);
    }
    this.#termOfNumber.set(this.effects.persistedUpTo, this.term);
    this.disk.write(this.effects, 0);
    this.disk.stepped({ persistedUpTo: this.effects.persistedUpTo, notes: [APPLIED] });
  }

  /** Returns whether a checkpoint was completed. */
  sync(): boolean {
    if (this.disk.beginSync() < 0) return false;
    this.disk.endSync(0);
    this.durableTerm = this.#termOfNumber.get(this.disk.durableUpTo) ?? this.durableTerm;
    const completed = this.disk.takeCompleted();
    if (completed >= 0) this.checkpointTerm = this.#termOfCheckpoint.get(completed)!;
    return completed >= 0;
  }

  /** The terms that journal and tables hold afterwards. */
  afterCrash(): { journal: number; tables: number } {
    this.disk.crash("power", 0);
    const journal = this.disk.recovered().replicas.get(SYSTEM_PARTITION)?.term ?? 0;
    return { journal, tables: this.disk.tables.get(KEY)?.[0] ?? 0 };
  }

  #vote(): JournalRecord {
    return { kind: "vote", partition: SYSTEM_PARTITION, term: this.term as Term, votedFor: NODE };
  }
}

const action = fc.constantFrom("step", "step", "step", "checkpoint", "sync", "sync", "tables");

Deno.test("Disk.crash() keeps what was durable, and tables between the checkpoint and the journal", () =>
  KINDS.forEach((kind) => {
    const seen = { lostSome: 0, keptUnsynced: 0, oldTables: 0, checkpointed: 0 };
    fc.assert(
      fc.property(fc.nat(1e6), fc.array(action, { maxLength: 60, size: "max" }), (seed, actions) => {
        const node = new Counter(seed, kind);
        let underWay = false, tablesDue = false;
        for (const act of actions) {
          if (act === "step") node.step(false);
          else if (act === "checkpoint" && !underWay) {
            node.step(true);
            underWay = tablesDue = true;
          } else if (act === "tables" && tablesDue) {
            node.disk.endTables(0);
            tablesDue = false;
          } else if (act === "sync" && node.sync()) {
            underWay = false;
            seen.checkpointed++;
          }
        }
        const { journal, tables } = node.afterCrash();
        assert.ok(
          journal >= node.durableTerm && journal <= node.term,
          `${journal} of ${node.durableTerm}..${node.term}`,
        );
        assert.ok(
          tables >= node.checkpointTerm && tables <= journal,
          `${tables} of ${node.checkpointTerm}..${journal}`,
        );
        if (journal < node.term) seen.lostSome++;
        if (journal > node.durableTerm) seen.keptUnsynced++;
        if (tables < journal) seen.oldTables++;
      }),
      { numRuns: 500 },
    );
    for (const [what, times] of Object.entries(seen)) assert.ok(times > 5, `${what} came up ${times} times`);
  }));

Deno.test("Disk goes on after crash upon crash", () =>
  KINDS.forEach((kind) => {
    fc.assert(
      fc.property(
        fc.nat(1e6),
        fc.array(fc.array(action, { maxLength: 12 }), { maxLength: 8 }),
        (seed, lives) => {
          const node = new Counter(seed, kind);
          let before = 0;
          for (const actions of lives) {
            node.effects.persistedUpTo = 0;
            let underWay = false;
            for (const act of actions) {
              if (act === "checkpoint" && !underWay) {
                node.step(true);
                underWay = true;
                node.disk.endTables(0);
              } else if (act === "step") node.step(false);
              else if (node.sync()) underWay = false;
            }
            const { journal, tables } = node.afterCrash();
            assert.ok(journal >= before && tables <= journal);
            before = node.term = journal;
            node.disk.tables.set(KEY, new Uint8Array([tables]));
          }
        },
      ),
      { numRuns: 200 },
    );
  }));

Deno.test("Disk.shutDown() loses nothing", () =>
  KINDS.forEach((kind) => {
    const node = new Counter(1, kind);
    for (let i = 0; i < 5; i++) node.step(i === 2);
    node.disk.shutDown();
    assert.equal(node.disk.recovered().replicas.get(SYSTEM_PARTITION)?.term, 5);
    assert.equal(node.disk.tables.get(KEY)?.[0], 5);
  }));

Deno.test("Disk.damageTables() of files is met where they are read or opened: they come back empty, or as they were", () => {
  let lost = 0, whole = 0;
  for (let seed = 0; seed < 60; seed++) {
    const node = new Counter(seed, "files");
    for (let i = 0; i < 5; i++) node.step(i === 2);
    node.sync();
    node.disk.endTables(0);
    while (node.sync());
    node.disk.shutDown();
    node.disk.damageTables(Random.fromSeed(seed));
    let found = false;
    try {
      assert.equal(node.disk.tables.get(KEY)?.[0], 5);
    } catch (error) {
      assert.ok(node.disk.found(error), String(error));
      found = true;
    }
    const state = node.disk.crash("power", 0);
    assert.ok(state.kind === "whole" && (state.tablesLost || !found));
    if (state.tablesLost) {
      assert.deepEqual(allRows(node.disk.tables), []);
      assert.ok(!node.disk.damaged);
      lost++;
    } else if (!found) whole++;
  }
  assert.ok(lost > 30 && whole > 0, `${lost} lost, ${whole} whole`);
  assert.ok(!new Counter(1, "files").disk.found(new Error("of another kind")));
});

Deno.test("Disk.damageTables() is met at the next stop: they come back empty, the journal whole", () => {
  const node = new Counter(1);
  for (let i = 0; i < 5; i++) node.step(false);
  node.sync();
  node.disk.damageTables(Random.fromSeed(1));
  assert.ok(node.disk.damaged);
  const state = node.disk.crash("power", 0);
  assert.ok(state.kind === "whole" && state.tablesLost);
  assert.equal(node.disk.recovered().replicas.get(SYSTEM_PARTITION)?.term, 5);
  assert.deepEqual(allRows(node.disk.tables), []);
  assert.ok(!node.disk.damaged);
});

Deno.test("Disk.damageJournal() is met at the next stop, in good order or not: the disk is lost", () => {
  for (const inOrder of [true, false]) {
    const node = new Counter(2);
    for (let i = 0; i < 5; i++) {
      node.step(false);
      node.sync();
    }
    assert.ok(node.disk.damageJournal("rot", Random.fromSeed(1), 0));
    const state = inOrder ? node.disk.shutDown() : node.disk.crash("power", 0);
    assert.ok(state.kind === "lost" && state.why.includes("is damaged at byte"), JSON.stringify(state));
  }
});

Deno.test("Disk.room shrinks with the journal, and a checkpoint gives back what it drops", () => {
  const node = new Counter(3);
  node.disk.room = 1000;
  for (let i = 0; i < 10; i++) node.step(false);
  const before = node.disk.room;
  assert.ok(before < 500 && before > 0, `${before}`);
  node.step(true);
  node.disk.endTables(0);
  while (!node.sync());
  assert.ok(node.disk.room > before + 300, `${node.disk.room} after ${before}`);
});

Deno.test("Disk.beginSync() takes longer on a slow disk", () => {
  const node = new Counter(4);
  node.step(false);
  node.disk.extraSyncUs = 50_000;
  const { syncUsMin, syncUsMax } = DEFAULT_DISK, us = node.disk.beginSync();
  assert.ok(us >= 50_000 + syncUsMin && us <= 50_000 + syncUsMax);
});
