/** The figures of the Raft paper (Ongaro and Ousterhout, extended version) that show logs, played through. */
import assert from "node:assert/strict";
import { after, type LogIndex, nodeId, type Term } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Leading } from "../../../core/replication/leading.ts";
import type { AppendReply, Configuration } from "../../../core/wire/messages.ts";
import { NOW, Side } from "./roles.ts";

const [A, B, C, D, E] = ["a", "b", "c", "d", "e"].map((name) => nodeId(name)) as [
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
  ReturnType<typeof nodeId>,
];
const TWO: Configuration = { voters: [A, B], outgoing: [], learners: [] };
const FIVE: Configuration = { voters: [A, B, C, D, E], outgoing: [], learners: [] };

/** The leader of term 8 in Figure 7, before it has added anything of its own. */
const LEADER = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
const FIGURE_7: readonly (readonly [string, readonly number[]])[] = [
  ["a: one entry short", [1, 1, 1, 4, 4, 5, 5, 6, 6]],
  ["b: far behind", [1, 1, 1, 4]],
  ["c: one entry too many", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]],
  ["d: two of a term of its own too many", [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7]],
  ["e: behind, and wrong at the end", [1, 1, 1, 4, 4, 4, 4]],
  ["f: wrong for long", [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]],
];

for (const [what, terms] of FIGURE_7) {
  Deno.test(`5.3, Figure 7: a follower's log is made the leader's (${what})`, () => {
    const leader = new Side(A, TWO, LEADER);
    const follower = new Side(B, TWO, terms);
    leader.leading.begin(8 as Term, NOW);
    leader.sync();
    let rounds = 0;
    while (leader.leading.progressOf(B)!.match < leader.ledger.log.last) {
      assert.ok(++rounds < 8, "the logs should have met by now");
      leader.effects.clear();
      leader.leading.feed(NOW);
      for (const append of leader.appendsFor(B)) {
        leader.leading.handleAppendReply(B, follower.take(A, append), NOW);
      }
    }
    assert.deepEqual(follower.terms, [...LEADER, 8]);
  });
}

Deno.test("5.3: a refused append skips a whole term of conflicting entries at a time", () => {
  const long = (own: number) => [1, ...Array.from({ length: 50 }, () => own)];
  const leader = new Side(A, TWO, long(3));
  const follower = new Side(B, TWO, long(2));
  leader.leading.begin(4 as Term, NOW);
  leader.leading.feed(NOW);
  const [first] = leader.appendsFor(B);
  leader.leading.handleAppendReply(B, follower.take(A, first!), NOW);
  leader.effects.clear();
  leader.leading.feed(NOW);
  assert.equal(leader.appendsFor(B)[0]!.prevIndex, 1);
});

const granted = (index: number): AppendReply => ({
  kind: "append-reply",
  partition: 1 as AppendReply["partition"],
  term: 4 as Term,
  ok: true,
  index: index as LogIndex,
  indexTerm: 0 as Term,
  refused: 0 as LogIndex,
});

Deno.test("5.4.2, Figure 8: an entry of an earlier term is not committed by counting its copies", () => {
  // (c): S1 leads term 4 and has copied its entry of term 2 to a majority. S5's of term 3 may still overwrite it.
  const s1 = new Side(A, FIVE, [1, 2], 1);
  s1.leading.begin(4 as Term, NOW);
  s1.sync();
  s1.leading.feed(NOW);
  s1.leading.handleAppendReply(B, granted(2), NOW);
  s1.leading.handleAppendReply(C, granted(2), NOW);
  s1.leading.advanceCommit();
  assert.equal(s1.ledger.commit, 1);
  // (e): once an entry of term 4 is on a majority, what precedes it is committed with it.
  s1.leading.handleAppendReply(B, granted(3), NOW);
  s1.leading.advanceCommit();
  assert.equal(s1.ledger.commit, 1);
  s1.leading.handleAppendReply(C, granted(3), NOW);
  s1.leading.advanceCommit();
  assert.equal(s1.ledger.commit, 3);
});

Deno.test("R1: a leader counts itself only as far as its own journal", () => {
  const leader = new Side(A, TWO, []);
  leader.leading.begin(4 as Term, NOW);
  leader.leading.feed(NOW);
  leader.leading.handleAppendReply(B, granted(1), NOW);
  leader.leading.advanceCommit();
  assert.equal(leader.ledger.commit, 0);
  leader.sync();
  leader.leading.advanceCommit();
  assert.equal(leader.ledger.commit, 1);
});

Deno.test("R2: an append that contradicts what is committed is refused", () => {
  const follower = new Side(B, TWO, [1, 1, 2], 3);
  const append = new Side(A, TWO, [1, 3]);
  append.leading.begin(5 as Term, NOW);
  append.leading.feed(NOW);
  const outcome = follower.following.accept(A, {
    ...append.appendsFor(B)[0]!,
    prevIndex: 1 as LogIndex,
    prevTerm: 1 as Term,
    entries: append.ledger.log.slice(2 as LogIndex, 3 as LogIndex),
  });
  assert.equal(outcome, "contradicts committed entries");
  assert.deepEqual(follower.terms, [1, 1, 2]);
});

Deno.test("5.5: an append that comes twice, or late, changes nothing", () => {
  const leader = new Side(A, TWO, [1, 1]);
  const follower = new Side(B, TWO, []);
  leader.leading.begin(2 as Term, NOW);
  const whole = {
    kind: "append",
    partition: leader.ledger.partition,
    term: 2 as Term,
    prevIndex: 0 as LogIndex,
    prevTerm: 0 as Term,
    commit: 0 as LogIndex,
  } as const;
  const entries = leader.ledger.log.slice(1 as LogIndex, 3 as LogIndex);
  follower.take(A, { ...whole, entries });
  const late = follower.take(A, { ...whole, entries: entries.slice(0, 1) });
  assert.equal(late.index, 3);
  assert.deepEqual(follower.terms, [1, 1, 2]);
  assert.equal(follower.effects.persist.length, 0);
});

Deno.test("An append with entries out of order, or of a later term than its own, is refused", () => {
  const follower = new Side(B, TWO, []);
  const entry = (index: number, term: number) =>
    new Side(A, TWO, Array(index).fill(term)).ledger.log.entryAt(index as LogIndex);
  const base = {
    kind: "append",
    partition: follower.ledger.partition,
    term: 3 as Term,
    prevIndex: 0 as LogIndex,
    prevTerm: 0 as Term,
    commit: 0 as LogIndex,
  } as const;
  for (
    const entries of [[entry(2, 1)], [entry(1, 4)], [entry(1, 2), entry(2, 1)], [entry(1, 1), entry(3, 1)]]
  ) {
    assert.equal(follower.following.accept(A, { ...base, entries }), "malformed");
  }
  const bad = { ...entry(1, 1), kind: "config" as const, data: Uint8Array.of(1) };
  assert.equal(follower.following.accept(A, { ...base, entries: [bad] }), "malformed");
  assert.deepEqual(follower.terms, []);
});

Deno.test("D 6.4.1: a lease ends a tenth before the earliest election, since clocks drift apart (E6)", () => {
  const { ledger } = new Side(A, TWO, []);
  const settings = { ...DEFAULT_SETTINGS, leaseReads: true };
  const leading = new Leading({ self: A, settings, ledger, openSnapshot: () => null, reachable: () => true });
  leading.begin(4 as Term, NOW);
  leading.beat(false, NOW, () => {});
  const answered = after(NOW, 1_000);
  const reply = { partition: 1 as AppendReply["partition"], term: 4 as Term, match: 0 as LogIndex, round: 1 };
  leading.handleBeatReply(B, reply, answered);
  // Counted from when the round began: a follower may have taken its promise up just then.
  assert.equal(leading.leaseUntil, after(NOW, settings.electionTimeoutUsMin * 0.9));
});
