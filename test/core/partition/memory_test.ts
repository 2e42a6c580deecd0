/** What replicas may and may not do that have lost their tables, or their journal. P3 and P6 of replica.ts. */
import assert from "node:assert/strict";
import {
  type Instant,
  type LogIndex,
  type NodeId,
  nodeId,
  type PartitionId,
  type Term,
} from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { Replica } from "../../../core/partition/replica.ts";
import { Effects, type RecoveredReplica } from "../../../core/wire/kernel.ts";
import type { Configuration, Entry, MessageOf } from "../../../core/wire/messages.ts";
import { Cluster, Node, useTinyLimits } from "./cluster.ts";
import { EMPTY_TOY, number4, Toy } from "./toy.ts";

useTinyLimits();
const SECOND = 1_000_000;
const [a, b, c] = ["a", "b", "c"].map(nodeId) as [NodeId, NodeId, NodeId];
const ABC: Configuration = { voters: [a, b, c], outgoing: [], learners: [] };
const PARTITION = 1 as PartitionId;
const at = (index: number) => index as LogIndex;
const inTerm = (term: number) => term as Term;

const entry = (index: number, term: number): Entry => ({
  term: inTerm(term),
  index: at(index),
  kind: "command",
  data: number4(index),
});

/** Replica b alone, with what its journal says. Whatever it records is durable at once. */
class Alone {
  readonly effects = new Effects();
  readonly toy = new Toy(EMPTY_TOY);
  readonly replica: Replica;
  checkpoints = 0;
  #now = 1;

  constructor(recovered: RecoveredReplica | null) {
    this.replica = new Replica({
      partition: PARTITION,
      self: b,
      settings: DEFAULT_SETTINGS,
      random: Random.fromSeed(1),
      machine: this.toy,
      host: {
        effects: this.effects,
        beat: () => {},
        beatReply: () => {},
        answer: () => {},
        readable: () => {},
        requestCheckpoint: () => this.checkpoints++,
        reachable: () => true,
        fit: () => true,
      },
      recovered,
      bootstrap: null,
    });
    this.step((r, now) => r.start(now));
  }

  /** Returns what left for others. */
  step(act: (replica: Replica, now: Instant) => void): Effects {
    const now = this.#now++ as Instant;
    this.effects.clear();
    act(this.replica, now);
    this.replica.evaluate(now);
    this.replica.persisted(this.effects.persistedUpTo, now);
    return this.effects;
  }
}

const journal = (base: number, entries: readonly Entry[], term = 2): RecoveredReplica => ({
  term: inTerm(term),
  votedFor: a,
  exists: true,
  base: { index: at(base), term: inTerm(1) },
  configuration: ABC,
  configurationIndex: at(0),
  entries,
});
const snapshot = (index: number, indexTerm: number, configuration = ABC): MessageOf<"snapshot"> => ({
  kind: "snapshot",
  partition: PARTITION,
  term: inTerm(2),
  index: at(index),
  indexTerm: inTerm(indexTerm),
  configuration,
  configurationIndex: at(0),
  transfer: 1,
  sequence: 0,
  done: true,
  rows: [],
});
const vote = (lastIndex: number, lastTerm: number): MessageOf<"vote"> => ({
  kind: "vote",
  partition: PARTITION,
  term: inTerm(3),
  pre: false,
  transfer: true,
  lastIndex: at(lastIndex),
  lastTerm: inTerm(lastTerm),
});
const grants = ({ sendAfterPersist }: Effects) =>
  sendAfterPersist.some(({ message }) => message.kind === "vote-reply" && message.granted);

Deno.test("P3: a hollow replica votes by its journal, for a log that is as good and for no other", () => {
  const log = () => new Alone(journal(10, [11, 12, 13].map((i) => entry(i, 2))));
  assert.ok(log().replica.hollow);
  assert.ok(!grants(log().step((r, now) => r.handle(c, vote(12, 2), now))));
  assert.ok(grants(log().step((r, now) => r.handle(c, vote(13, 2), now))));
});

Deno.test("P3: a hollow replica acknowledges and appends nothing, and asks for a snapshot as new as its base", () => {
  const alone = new Alone(journal(10, [entry(11, 2)]));
  const append: MessageOf<"append"> = {
    kind: "append",
    partition: PARTITION,
    term: inTerm(2),
    prevIndex: at(11),
    prevTerm: inTerm(2),
    commit: at(11),
    entries: [entry(12, 2)],
  };
  const { sendNow, sendAfterPersist } = alone.step((r, now) => r.handle(a, append, now));
  assert.deepEqual(sendAfterPersist, []);
  const replies = sendNow.map(({ message }) => message).filter((m) => m.kind === "append-reply");
  assert.deepEqual(replies.map(({ ok, index, refused }) => [ok, index, refused]), [[false, 10, 0]]);
  assert.equal(alone.replica.lastIndex, 11);
});

Deno.test("P3: a snapshot of an earlier position takes nothing back that was acknowledged", () => {
  const alone = new Alone(journal(10, [11, 12, 13].map((i) => entry(i, 2))));
  const { persist } = alone.step((r, now) => r.handle(a, snapshot(12, 2), now));
  // A base in the journal would void the entries after it, and a crash could come before they were written again.
  assert.deepEqual(persist, []);
  assert.equal(alone.checkpoints, 1);
  assert.equal(alone.replica.lastIndex, 13);
  alone.step((r, now) => r.checkpointed(now));
  assert.ok(!alone.replica.hollow);
  assert.equal(alone.toy.appliedIndex, 12);
  assert.ok(!grants(alone.step((r, now) => r.handle(c, vote(12, 2), now))));
});

Deno.test("P3: a snapshot older than the base is not installed: one as new as what was acknowledged is asked for", () => {
  const alone = new Alone(journal(10, []));
  const { sendNow } = alone.step((r, now) => r.handle(a, snapshot(8, 1), now));
  assert.ok(alone.replica.hollow);
  assert.deepEqual([alone.toy.appliedIndex, alone.checkpoints], [0, 0]);
  const asked = sendNow.map(({ message }) => message).filter((m) => m.kind === "append-reply");
  assert.deepEqual(asked.map(({ ok, index }) => [ok, index]), [[false, 10]]);
});

Deno.test("P1: what is committed is applied only when it is durable in the own journal", () => {
  const alone = new Alone({ ...journal(0, []), base: { index: at(0), term: inTerm(0) } });
  const append: MessageOf<"append"> = {
    kind: "append",
    partition: PARTITION,
    term: inTerm(2),
    prevIndex: at(0),
    prevTerm: inTerm(0),
    commit: at(1),
    entries: [entry(1, 2)],
  };
  alone.step((r, now) => r.handle(a, append, now));
  assert.deepEqual([alone.replica.commitIndex, alone.toy.appliedIndex], [1, 0]);
  // The sync that follows a step is over by the next.
  alone.step(() => {});
  assert.equal(alone.toy.appliedIndex, 1);
});

Deno.test("S1: chunks of two attempts are not put together, be they of one leader and one term", () => {
  const newcomer = new Alone(null), configuration = { voters: [a, c], outgoing: [], learners: [b] };
  const chunk = (transfer: number, sequence: number) => ({
    ...snapshot(5, 1, configuration),
    transfer,
    sequence,
    done: sequence === 1,
  });
  newcomer.step((r, now) => r.handle(a, chunk(1, 0), now));
  newcomer.step((r, now) => r.handle(a, chunk(2, 1), now));
  assert.equal(newcomer.toy.appliedIndex, 0);
  newcomer.step((r, now) => r.handle(a, chunk(2, 0), now));
  newcomer.step((r, now) => r.handle(a, chunk(1, 1), now));
  assert.equal(newcomer.toy.appliedIndex, 0);
  newcomer.step((r, now) => r.handle(a, chunk(2, 1), now));
  assert.equal(newcomer.toy.appliedIndex, 5);
});

Deno.test("P3: a snapshot that contradicts what follows the base takes its place: none of that was committed", () => {
  const alone = new Alone(journal(10, [11, 12, 13].map((i) => entry(i, 1)), 1));
  alone.step((r, now) => r.handle(a, snapshot(12, 2), now));
  assert.equal(alone.replica.lastIndex, 12);
  assert.equal(alone.replica.baseIndex, 12);
});

Deno.test("P3: a hollow replica in a quiet partition calls for its leader, and never for a vote that counts", () => {
  const alone = new Alone(journal(10, []));
  const due = alone.replica.nextWake();
  const { sendNow } = alone.step((r) => r.wake(due));
  const asked = sendNow.map((
    { to, message },
  ) => [to, message.kind === "vote" && message.pre && message.term]);
  assert.deepEqual(asked, [[a, 2], [c, 2]]);
  assert.equal(alone.replica.role, "follower");
});

Deno.test("P6: a replica without a journal takes no snapshot from who counts it as a voter, but one as a learner", () => {
  const blank = new Alone(null);
  blank.step((r, now) => r.handle(a, snapshot(5, 1), now));
  assert.ok(blank.replica.hollow && blank.toy.appliedIndex === 0);
  assert.ok(!grants(blank.step((r, now) => r.handle(c, vote(9, 2), now))));
  const newcomer = new Alone(null);
  newcomer.step((r, now) =>
    r.handle(a, snapshot(5, 1, { voters: [a, c], outgoing: [], learners: [b] }), now)
  );
  assert.equal(newcomer.toy.appliedIndex, 5);
});

Deno.test("P6: a leader commits nothing with a voter that lost its journal, until it is out and in again", () => {
  const cluster = new Cluster({ seed: 5, nodes: 3, founders: 3 });
  assert.ok(cluster.runUntil(5 * SECOND, () => (cluster.leader?.replica?.commitIndex ?? 0) > 0));
  const leader = cluster.leader!;
  const [lost, other] = cluster.nodes.filter((node) => node !== leader) as [Node, Node];
  cluster.run(SECOND);
  cluster.crash(lost);
  const blank = new Node(lost.id, lost.offset);
  blank.wiped = true;
  cluster.nodes[cluster.nodes.indexOf(lost)] = blank;
  cluster.boot(blank);
  cluster.isolate(other.id);
  const token = cluster.propose(leader);
  cluster.run(5 * SECOND);
  assert.notEqual(cluster.outcomes.get(token)?.kind, "done");
  cluster.heal();
  assert.ok(cluster.runUntil(5 * SECOND, () => cluster.leader !== null));
  cluster.retarget([leader.id, other.id]);
  const voters = () => [...cluster.leader?.replica?.committedConfiguration.voters ?? []].sort().join("");
  assert.ok(cluster.runUntil(5 * SECOND, () => voters() === [leader.id, other.id].sort().join("")));
  cluster.retarget([leader.id, other.id, lost.id]);
  assert.ok(cluster.runUntil(5 * SECOND, () => voters() === "abc"), "It comes in again as a newcomer");
});
