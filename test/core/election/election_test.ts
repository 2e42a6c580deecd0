import assert from "node:assert/strict";
import {
  type Instant,
  type LogIndex,
  NEVER,
  type NodeId,
  nodeId,
  type PartitionId,
  type Term,
} from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, type Settings } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { type Ballot, Election } from "../../../core/election/election.ts";
import { Effects } from "../../../core/wire/kernel.ts";
import type { Vote, VoteReply } from "../../../core/wire/messages.ts";

const [A, B, C] = ["a", "b", "c"].map((name) => nodeId(name)) as [NodeId, NodeId, NodeId];
const at = (us: number) => us as Instant;
const t = (term: number) => term as Term;
const PARTITION = 1 as PartitionId;

const BALLOT: Ballot = {
  configuration: { voters: [A, B, C], outgoing: [], learners: [] },
  lastIndex: 10 as LogIndex,
  lastTerm: t(3),
  mayVote: true,
};

function voter(settings: Partial<Settings> = {}, restarted = false) {
  const effects = new Effects();
  const election = new Election({
    partition: PARTITION,
    self: A,
    settings: { ...DEFAULT_SETTINGS, ...settings },
    random: Random.fromSeed(5),
    effects,
    term: t(3),
    votedFor: null,
    restarted,
  });
  election.electable = true;
  election.start(at(0));
  const ask = (from: NodeId, vote: Partial<Vote>, now = 0, ballot = BALLOT): VoteReply | null => {
    effects.clear();
    election.handleVote(
      from,
      {
        kind: "vote",
        partition: PARTITION,
        term: t(4),
        pre: false,
        transfer: false,
        lastIndex: 10 as LogIndex,
        lastTerm: t(3),
        ...vote,
      },
      ballot,
      at(now),
    );
    const [sent] = [...effects.sendNow, ...effects.sendAfterPersist];
    return sent === undefined ? null : sent.message as VoteReply;
  };
  const reply = (from: NodeId, answer: Partial<VoteReply>, now = 0) =>
    election.handleVoteReply(
      from,
      {
        kind: "vote-reply",
        partition: PARTITION,
        term: t(4),
        pre: false,
        granted: true,
        ...answer,
      },
      BALLOT,
      at(now),
    );
  return { election, effects, ask, reply };
}

Deno.test("5.2: a voter votes once a term, again for the same candidate, and only after its journal (E1, E2)", () => {
  const { election, effects, ask } = voter();
  assert.equal(ask(B, {})!.granted, true);
  assert.equal(effects.sendNow.length, 0);
  assert.ok(election.unrecorded);
  assert.equal(ask(C, {})!.granted, false);
  assert.equal(ask(B, {})!.granted, true);
  assert.equal(ask(C, { term: t(5) })!.granted, true);
  assert.equal(ask(B, { term: t(4) })!.term, 5);
});

Deno.test("5.4.1: the vote goes to no log that is less up to date: later term first, then longer", () => {
  const cases: readonly (readonly [number, number, boolean])[] = [
    [3, 10, true],
    [3, 11, true],
    [3, 9, false],
    [2, 99, false],
    [4, 1, true],
  ];
  for (const [lastTerm, lastIndex, granted] of cases) {
    const { ask } = voter();
    const vote = { lastTerm: t(lastTerm), lastIndex: lastIndex as LogIndex, term: t(9) };
    assert.equal(ask(B, vote)!.granted, granted, `${lastTerm}.${lastIndex}`);
  }
});

Deno.test("D 9.6: a pre-vote changes neither term nor vote (E3)", () => {
  const { election, ask } = voter();
  assert.deepEqual([ask(B, { pre: true })!.granted, ask(C, { pre: true })!.granted], [true, true]);
  assert.deepEqual([election.term, election.votedFor, election.unrecorded], [3, null, false]);
});

Deno.test("D 9.6: a candidate asks whether it could win before it raises its term", () => {
  const { election, effects, reply } = voter();
  election.wake(BALLOT, election.deadline);
  assert.deepEqual([election.role, election.term], ["pre-candidate", 3]);
  assert.ok(
    effects.sendNow.every(({ message }) => message.kind === "vote" && message.pre && message.term === 4),
  );
  reply(B, { pre: true });
  assert.deepEqual([election.role, election.term, election.votedFor], ["candidate", 4, A]);
  assert.equal(effects.sendAfterPersist.length, 2);
  election.recorded(1);
  election.persisted(BALLOT, at(0));
  reply(C, { pre: false });
  assert.equal(election.role, "leader");
});

Deno.test("A candidate counts its own vote when the journal has it, and not one of an earlier term (E7)", () => {
  const alone = { ...BALLOT, configuration: { voters: [A], outgoing: [], learners: [] } };
  const { election } = voter();
  election.campaign(alone, at(0));
  assert.deepEqual([election.role, election.term, election.unrecorded], ["candidate", 4, true]);
  election.recorded(7);
  assert.deepEqual([election.role, election.awaited], ["candidate", 7]);
  election.hear(B, t(5), at(1));
  election.persisted(alone, at(2));
  assert.deepEqual([election.role, election.term], ["follower", 5]);
  election.campaign(alone, at(3));
  election.recorded(8);
  election.persisted(alone, at(4));
  assert.deepEqual([election.role, election.term], ["leader", 6]);
});

Deno.test("5.2: a candidate gives up when it cannot win, and when it meets a leader", () => {
  const lost = voter();
  lost.election.campaign(BALLOT, at(0));
  lost.reply(B, { pre: true, granted: false, term: t(3) });
  lost.reply(C, { pre: true, granted: false, term: t(3) });
  assert.equal(lost.election.role, "follower");
  const met = voter();
  met.election.campaign(BALLOT, at(0));
  met.reply(B, { pre: true });
  assert.equal(met.election.hear(C, t(4), at(5)), "heard");
  assert.deepEqual([met.election.role, met.election.leader], ["follower", C]);
});

Deno.test("An old, repeated or unasked answer is no vote", () => {
  const { election, reply } = voter();
  reply(B, {});
  assert.equal(election.role, "follower");
  election.campaign(BALLOT, at(0));
  reply(B, { pre: true, term: t(3) });
  reply(B, { pre: false, term: t(4) });
  assert.equal(election.role, "pre-candidate");
  reply(B, { pre: true });
  reply(B, { pre: true });
  assert.equal(election.role, "candidate");
});

Deno.test("D 4.2.3: who hears a leader ignores requests for votes, and its term stays (E4)", () => {
  const { election, ask } = voter();
  election.hear(B, t(3), at(1000));
  assert.equal(ask(C, { term: t(9) }, 2000), null);
  assert.equal(ask(C, { term: t(9), pre: true }, 2000)!.granted, false);
  assert.equal(election.term, 3);
  assert.equal(ask(C, { term: t(9), pre: true }, 1000 + 300_000)!.granted, true);
  assert.equal(ask(C, { term: t(9), transfer: true }, 2000)!.granted, true);
});

Deno.test("A leader that asks for votes itself is not protected any more", () => {
  const { election, ask } = voter();
  election.hear(B, t(3), at(1000));
  election.hush();
  assert.equal(ask(B, { pre: true }, 2000)!.granted, true);
});

Deno.test("5.2: a term has one leader, whatever another says (E5)", () => {
  const { election } = voter();
  assert.equal(election.hear(B, t(4), at(0)), "heard");
  assert.equal(election.hear(C, t(4), at(1)), "usurper");
  assert.equal(election.hear(C, t(3), at(1)), "stale");
  assert.equal(election.leader, B);
  assert.equal(election.hear(C, t(5), at(2)), "heard");
});

Deno.test("A quiet follower has no timer; doubt about its leader, or a pre-vote, starts it again", () => {
  const { election, ask } = voter();
  election.hear(B, t(3), at(0));
  election.hush();
  assert.equal(election.deadline, NEVER);
  assert.equal(ask(C, { pre: true }, 9_000_000)!.granted, false);
  assert.ok(election.deadline >= 9_300_000 && election.deadline <= 9_600_000);
  election.hush();
  election.suspect(C, at(10_000_000));
  assert.equal(election.deadline, NEVER);
  election.suspect(B, at(10_000_000));
  assert.ok(election.deadline < NEVER);
  assert.equal(ask(C, { pre: true }, 10_000_001)!.granted, true);
});

Deno.test("A lost connection to the leader shortens the timer to one to three heartbeats; a beat undoes it", () => {
  const { election } = voter();
  election.hear(B, t(3), at(0));
  election.lost(B, at(1000));
  assert.ok(election.deadline >= 51_000 && election.deadline <= 151_000);
  election.hear(B, t(3), at(2000));
  assert.ok(election.deadline >= 302_000);
});

Deno.test("With lease reads no doubt and no restart shortens the protection of a leader (E6)", () => {
  const lease = voter({ leaseReads: true });
  lease.election.hear(B, t(3), at(0));
  lease.election.lost(B, at(1000));
  assert.ok(lease.election.deadline >= 300_000);
  assert.equal(lease.ask(C, { pre: true }, 299_999)!.granted, false);
  assert.equal(lease.ask(C, { pre: true }, 300_000)!.granted, true);
  const restarted = voter({ leaseReads: true }, true);
  assert.equal(restarted.ask(C, { term: t(9) }, 299_999), null);
  assert.equal(restarted.ask(C, { term: t(9) }, 300_000)!.granted, true);
});

Deno.test("D 3.10: a follower takes over at its leader's word only, and in its term only", () => {
  const { election, effects } = voter();
  election.hear(B, t(3), at(0));
  assert.equal(election.timeoutNow(C, t(3), BALLOT, at(1)), false);
  assert.equal(election.timeoutNow(B, t(2), BALLOT, at(1)), false);
  assert.equal(election.timeoutNow(B, t(3), BALLOT, at(1)), true);
  assert.deepEqual([election.role, election.term], ["candidate", 4]);
  assert.ok(effects.sendAfterPersist.every(({ message }) => message.kind === "vote" && message.transfer));
});

Deno.test("A replica without a configuration votes for no one: it may have forgotten what it acknowledged", () => {
  const { ask } = voter();
  const ballot = { ...BALLOT, mayVote: false, lastIndex: 0 as LogIndex, lastTerm: t(0) };
  assert.equal(ask(B, { pre: true }, 0, ballot)!.granted, false);
  assert.equal(ask(B, {}, 0, ballot)!.granted, false);
});

Deno.test("D 4.3: a joint configuration elects by both halves", () => {
  const { election, effects } = voter();
  const [D, E] = ["d", "e"].map((name) => nodeId(name)) as [NodeId, NodeId];
  const ballot = { ...BALLOT, configuration: { voters: [A, B, C], outgoing: [A, D, E], learners: [] } };
  election.campaign(ballot, at(0));
  assert.deepEqual(effects.sendNow.map((e) => e.to), [B, C, D, E]);
  const yes: VoteReply = { kind: "vote-reply", partition: PARTITION, term: t(4), pre: true, granted: true };
  election.handleVoteReply(B, yes, ballot, at(1));
  election.handleVoteReply(C, yes, ballot, at(1));
  assert.equal(election.role, "pre-candidate");
  election.handleVoteReply(E, yes, ballot, at(1));
  assert.equal(election.role, "candidate");
});
