import assert from "node:assert/strict";
import fc from "fast-check";
import type { LogIndex, PartitionId, Term } from "../../../core/base/ids.ts";
import { Log } from "../../../core/replication/log.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import { Effects, type JournalRecord } from "../../../core/wire/kernel.ts";
import type { Entry } from "../../../core/wire/messages.ts";

const PARTITION = 7 as PartitionId;
const entry = (index: number, term: number): Entry => ({
  index: index as LogIndex,
  term: term as Term,
  kind: "command",
  data: Uint8Array.of(index & 255, term & 255),
});

/** The twin: a plain list of terms, and for each position when its entry was last handed to the journal. */
class NaiveLog {
  terms: number[] = [];
  base = 0;
  baseTerm = 0;
  recordedAt: (number | null)[] = [];
  stable(durable: number): number {
    let stable = this.base;
    while (
      stable < this.terms.length && this.recordedAt[stable] !== null && this.recordedAt[stable]! <= durable
    ) {
      stable++;
    }
    return stable;
  }
}

type Op =
  | { readonly kind: "append"; readonly up: number; readonly count: number }
  | { readonly kind: "truncate" | "compact"; readonly at: number }
  | { readonly kind: "record" }
  | { readonly kind: "persist"; readonly behind: number };

const ops: fc.Arbitrary<Op> = fc.oneof(
  fc.record({ kind: fc.constant("append" as const), up: fc.nat(2), count: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constantFrom("truncate" as const, "compact" as const), at: fc.nat(20) }),
  fc.record({ kind: fc.constant("record" as const) }),
  fc.record({ kind: fc.constant("persist" as const), behind: fc.nat(2) }),
);

Deno.test("Log agrees with its naive twin, and the journal with both", () => {
  fc.assert(fc.property(fc.array(ops, { maxLength: 40 }), (script) => {
    const effects = new Effects();
    const records: JournalRecord[] = [];
    const log = new Log({ index: 0 as LogIndex, term: 0 as Term }, []);
    const twin = new NaiveLog();
    let term = 1, durable = 0;
    for (const op of script) {
      if (op.kind === "append") {
        term += op.up;
        for (let i = 0; i < op.count; i++) {
          log.append(entry(twin.terms.length + 1, term));
          twin.terms.push(term);
          twin.recordedAt.push(null);
        }
      } else if (op.kind === "truncate") {
        const from = twin.base + 1 + op.at;
        if (from > twin.terms.length) continue;
        log.truncate(from as LogIndex, PARTITION, effects);
        twin.terms.length = from - 1;
        twin.recordedAt.length = from - 1;
      } else if (op.kind === "record") {
        log.record(PARTITION, effects);
        twin.recordedAt = twin.recordedAt.map((at) => at ?? effects.persistedUpTo);
      } else if (op.kind === "persist") {
        durable = Math.max(durable, effects.persistedUpTo - op.behind);
        log.persisted(durable);
      } else {
        const to = Math.min(twin.base + op.at, twin.stable(durable));
        log.compact(to as LogIndex);
        twin.baseTerm = to === 0 ? 0 : twin.terms[to - 1]!;
        twin.base = to;
      }
      records.push(...effects.persist);
      effects.clear();
      compare(log, twin, durable);
    }
    log.record(PARTITION, effects);
    records.push(...effects.persist);
    const recovered = foldRecords(records).replicas.get(PARTITION);
    assert.deepEqual((recovered?.entries ?? []).map((e) => e.term), twin.terms);
  }));
});

function compare(log: Log, twin: NaiveLog, durable: number): void {
  assert.equal(log.last, twin.terms.length);
  assert.equal(log.base, twin.base);
  assert.equal(log.length, twin.terms.length - twin.base);
  assert.equal(log.stable, twin.stable(durable));
  for (let i = 0; i <= twin.terms.length + 1; i++) {
    const due = i < twin.base ? null : i === twin.base ? twin.baseTerm : twin.terms[i - 1] ?? null;
    assert.equal(log.termAt(i as LogIndex), due, `term at ${i}`);
  }
  const kept = twin.terms.slice(twin.base).map((term, i) => entry(twin.base + i + 1, term));
  assert.deepEqual(log.batch(twin.base + 1 as LogIndex, 100, 1e9), kept);
}

Deno.test("Log.truncate() takes durability along, so that a replaced entry is not taken for a durable one", () => {
  const effects = new Effects();
  const log = new Log({ index: 0 as LogIndex, term: 0 as Term }, []);
  log.append(entry(1, 1));
  log.append(entry(2, 1));
  log.record(PARTITION, effects);
  log.truncate(2 as LogIndex, PARTITION, effects);
  log.append(entry(2, 2));
  log.persisted(effects.persistedUpTo);
  assert.equal(log.stable, 1);
  log.record(PARTITION, effects);
  log.persisted(effects.persistedUpTo);
  assert.equal(log.stable, 2);
});

Deno.test("Log.batch() ends by bytes but always moves on", () => {
  const log = new Log({ index: 0 as LogIndex, term: 0 as Term }, []);
  for (let i = 1; i <= 5; i++) log.append(entry(i, 1));
  assert.equal(log.batch(1 as LogIndex, 10, 1).length, 1);
  assert.equal(log.batch(2 as LogIndex, 3, 1e6).length, 3);
  assert.equal(log.batch(5 as LogIndex, 3, 1e6).length, 1);
});
