/**
 * One test for each rule that the Raft paper or Ongaro's dissertation (section numbers with a D) states, on whole
 * replicas. Figures 7 and 8 are in test/core/replication/figures_test.ts.
 */
import assert from "node:assert/strict";
import { NEVER, type NodeId, nodeId } from "../../../core/base/ids.ts";
import type { Message } from "../../../core/wire/messages.ts";
import { Cluster, type ClusterOptions, Node, useTinyLimits } from "./cluster.ts";

useTinyLimits();
const SECOND = 1_000_000;
const ids = (names: string): NodeId[] => [...names].map((name) => nodeId(name));

/** A cluster with a leader that has committed its first entry. */
function ready(options: Partial<ClusterOptions> & { nodes: number }): Cluster {
  const cluster = new Cluster({ seed: 11, founders: options.nodes, ...options });
  assert.ok(cluster.runUntil(5 * SECOND, () => (cluster.leader?.replica?.commitIndex ?? 0) > 0));
  cluster.run(SECOND / 10);
  return cluster;
}

function followersOf(cluster: Cluster) {
  return cluster.nodes.filter((node) => node !== cluster.leader);
}

/** The present leader is the preferred one, and has nothing left to do. */
function settle(cluster: Cluster): void {
  cluster.retarget([cluster.leader!.id, ...followersOf(cluster).map((node) => node.id)]);
  cluster.run(3 * SECOND);
  assert.ok(cluster.replicas.every((replica) => replica.quiet));
}

function written(cluster: Cluster, us = 5 * SECOND): number {
  const token = cluster.propose(cluster.leader!);
  assert.ok(cluster.runUntil(us, () => cluster.outcomes.get(token)?.kind === "done"), "the write is done");
  return token;
}

const reasonOf = (cluster: Cluster, token: number) => {
  const outcome = cluster.outcomes.get(token);
  return outcome?.kind === "refused" ? outcome.reason : outcome?.kind;
};

Deno.test("5.1: a server of an earlier term is refused, and steps down when it learns of the later one", () => {
  const cluster = ready({ nodes: 3 });
  const old = cluster.leader!;
  cluster.isolate(old.id);
  const lost = cluster.propose(old);
  assert.ok(cluster.runUntil(3 * SECOND, () => cluster.leader !== old && cluster.leader !== null));
  assert.ok(cluster.leader!.replica!.term > old.replica!.term);
  cluster.heal();
  cluster.run(SECOND);
  assert.equal(old.replica!.role, "follower");
  assert.equal(old.replica!.term, cluster.leader!.replica!.term);
  assert.equal(reasonOf(cluster, lost), "unsure");
});

Deno.test("5.2: at most one leader a term, and split votes end by randomised timeouts", () => {
  for (let seed = 1; seed <= 30; seed++) {
    // The watchers fail at two leaders in a term.
    const cluster = new Cluster({ seed, nodes: 5, founders: 5 });
    assert.ok(cluster.runUntil(5 * SECOND, () => cluster.leader !== null), `seed ${seed}`);
  }
});

Deno.test("5.3: a follower that missed entries is brought to the leader's log", () => {
  const cluster = ready({ nodes: 3 });
  const [late] = followersOf(cluster);
  cluster.isolate(late!.id);
  for (let i = 0; i < 10; i++) written(cluster);
  assert.equal(late!.toy!.numbers.length, 0);
  cluster.heal();
  cluster.run(2 * SECOND);
  assert.deepEqual(late!.toy!.numbers, cluster.leader!.toy!.numbers);
});

Deno.test("5.4.1: a candidate that lacks a committed entry is not elected", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = ready({ nodes: 5, seed });
    const old = cluster.leader!;
    const [x, y] = followersOf(cluster);
    cluster.filter = (_from, to, message) => message.kind === "append" && (to === x!.id || to === y!.id);
    const token = written(cluster);
    cluster.crash(old);
    cluster.filter = () => false;
    assert.ok(cluster.runUntil(5 * SECOND, () => cluster.leader !== null));
    assert.ok(cluster.leader !== x && cluster.leader !== y);
    cluster.run(SECOND);
    assert.ok(cluster.leader!.toy!.numbers.includes(token));
  }
});

Deno.test("5.4.3: what was acknowledged is in the log of every later leader", () => {
  const cluster = ready({ nodes: 3 });
  const tokens: number[] = [];
  for (let i = 0; i < 6; i++) {
    tokens.push(written(cluster));
    const old = cluster.leader!;
    cluster.crash(old);
    assert.ok(cluster.runUntil(5 * SECOND, () => cluster.leader !== null));
    cluster.boot(old);
    cluster.run(SECOND);
    const { numbers } = cluster.leader!.toy!;
    for (const token of tokens) assert.ok(numbers.includes(token));
  }
});

Deno.test("5.5: messages that are lost, late or repeated do no harm", () => {
  const cluster = ready({ nodes: 3 });
  cluster.faults = { ...cluster.faults, lost: 100, repeated: 300, delayed: 100 };
  const tokens = Array.from({ length: 30 }, () => written(cluster, 20 * SECOND));
  const times = (n: number) => cluster.leader!.toy!.numbers.filter((m) => m === n).length;
  for (const token of tokens) assert.equal(times(token), 1);
});

Deno.test("6: a configuration changes from one set of servers to another while writes go on", () => {
  const cluster = ready({ nodes: 6, founders: 3 });
  cluster.retarget(ids("def"));
  for (let i = 0; i < 20; i++) {
    assert.ok(cluster.runUntil(5 * SECOND, () => cluster.leader !== null));
    cluster.propose(cluster.leader!);
    cluster.run(SECOND / 10);
  }
  cluster.run(2 * SECOND);
  assert.deepEqual([...cluster.leader!.replica!.configuration.voters].sort(), ids("def"));
  const d = cluster.node("d").toy!;
  for (const token of cluster.acknowledged.keys()) assert.ok(d.numbers.includes(token));
});

Deno.test("7: a follower that is behind the leader's log is sent a snapshot, and goes on from there", () => {
  const cluster = ready({ nodes: 3 });
  const [late] = followersOf(cluster);
  cluster.crash(late!);
  for (let i = 0; i < 60; i++) written(cluster);
  assert.ok(cluster.leader!.replica!.baseIndex > 10);
  cluster.boot(late!);
  cluster.run(3 * SECOND);
  assert.ok((cluster.tally.get("snapshot-installed") ?? 0) > 0);
  assert.deepEqual(late!.toy!.numbers, cluster.leader!.toy!.numbers);
});

Deno.test("7: a snapshot counts only once a checkpoint has made it durable (P4), and is sent again if a crash took it", () => {
  const cluster = ready({ nodes: 3 });
  const [late] = followersOf(cluster);
  cluster.crash(late!);
  for (let i = 0; i < 60; i++) written(cluster);
  cluster.boot(late!);
  const installed = () => (cluster.tally.get("snapshot-installed") ?? 0) > 0;
  assert.ok(cluster.runUntil(5 * SECOND, installed));
  assert.ok(late!.replica!.hollow);
  late!.disk.durable = late!.disk.written;
  late!.disk.states = [];
  cluster.crash(late!);
  cluster.boot(late!);
  // The journal speaks of a snapshot that the tables do not have (P3).
  assert.ok(late!.replica!.hollow && late!.replica!.appliedIndex < late!.replica!.baseIndex);
  const { id, replica } = cluster.leader!, { term } = replica!;
  // It calls for a leader (E8), and unseats none.
  assert.ok(cluster.runUntil(5 * SECOND, () => !late!.replica!.hollow));
  assert.deepEqual([cluster.leader!.id, cluster.leader!.replica!.term], [id, term]);
  assert.deepEqual(late!.toy!.numbers, cluster.leader!.toy!.numbers);
});

Deno.test("8: a leader that was replaced serves no read, and a new one none before it has committed an entry of its term", () => {
  const cluster = ready({ nodes: 3 });
  const old = cluster.leader!;
  cluster.isolate(old.id);
  const stale = cluster.read(old);
  cluster.run(3 * SECOND);
  assert.equal(reasonOf(cluster, stale), "moved");
  cluster.heal();
  cluster.run(SECOND);
  const fresh = cluster.leader!;
  assert.notEqual(fresh, old);
  assert.equal(reasonOf(cluster, cluster.read(old)), "moved");
  // The next leader cannot commit: no read of it is answered, however many rounds of beats are.
  cluster.crash(fresh);
  cluster.lookAround();
  cluster.filter = (_from, _to, message) => message.kind === "append";
  assert.ok(cluster.runUntil(5 * SECOND, () => cluster.leader !== null));
  const early = cluster.read(cluster.leader!);
  cluster.run(SECOND / 2);
  assert.equal(cluster.outcomes.get(early), undefined);
  cluster.filter = () => false;
  cluster.run(SECOND);
  assert.equal(reasonOf(cluster, early), "done");
});

Deno.test("D 3.10: leadership is handed over within a few round trips, and what came meanwhile is sent on", () => {
  const cluster = ready({ nodes: 3 });
  const old = cluster.leader!;
  const [heir] = followersOf(cluster);
  cluster.step(old, (replica, now) => replica.transfer(heir!.id, now));
  const token = cluster.propose(old);
  assert.ok(cluster.runUntil(SECOND / 10, () => heir!.replica!.isLeader));
  cluster.run(SECOND / 10);
  const outcome = cluster.outcomes.get(token);
  assert.ok(outcome?.kind === "refused" && outcome.reason === "moved" && outcome.leader === heir!.id);
});

Deno.test("D 3.10: a transfer to a server that does not answer ends, and held writes go on here", () => {
  const cluster = ready({ nodes: 3 });
  const [heir] = followersOf(cluster);
  cluster.isolate(heir!.id);
  const ahead = cluster.propose(cluster.leader!);
  cluster.step(cluster.leader!, (replica, now) => replica.transfer(heir!.id, now));
  const token = cluster.propose(cluster.leader!);
  cluster.run(2 * SECOND);
  assert.equal(reasonOf(cluster, ahead), "done");
  assert.equal(reasonOf(cluster, token), "done");
});

Deno.test("D 4.1: one configuration change at a time", () => {
  const cluster = ready({ nodes: 7, founders: 3 });
  for (const target of ["abcd", "defg", "abg", "cde"]) {
    cluster.retarget(ids(target));
    cluster.run(SECOND / 20);
  }
  assert.ok(
    cluster.runUntil(
      20 * SECOND,
      () =>
        [...cluster.leader?.replica?.committedConfiguration.voters ?? []].sort().join("") === "cde" &&
        cluster.leader?.replica?.committedConfiguration.outgoing.length === 0,
    ),
  );
});

Deno.test("D 4.2.1: a new server does not vote until it has caught up", () => {
  const cluster = ready({ nodes: 4, founders: 3 });
  cluster.filter = (_from, to, message) => to === "d" && message.kind !== "beats";
  cluster.retarget(ids("abcd"));
  for (let i = 0; i < 5; i++) written(cluster);
  cluster.run(SECOND);
  const { configuration } = cluster.leader!.replica!;
  assert.deepEqual([configuration.voters.length, configuration.learners], [3, ids("d")]);
  cluster.filter = () => false;
  cluster.run(3 * SECOND);
  assert.equal(cluster.leader!.replica!.configuration.voters.length, 4);
  assert.equal(cluster.node("d").replica!.role, "follower");
});

Deno.test("D 4.2.2: a leader that is not wanted hands over, then leaves", () => {
  const cluster = ready({ nodes: 4, founders: 3 });
  const old = cluster.leader!;
  const rest = cluster.ids.filter((id) => id !== old.id);
  cluster.retarget(rest);
  assert.ok(cluster.runUntil(10 * SECOND, () =>
    cluster.leader !== null && cluster.leader !== old &&
    [...cluster.leader.replica!.committedConfiguration.voters].sort().join() === rest.join()));
  written(cluster);
  assert.ok(!old.replica!.isLeader);
});

Deno.test("D 4.2.2: a leader that nobody takes over from goes when the configuration without it is committed", () => {
  const cluster = ready({ nodes: 4, founders: 3 });
  const old = cluster.leader!, { term } = old.replica!;
  const rest = cluster.ids.filter((id) => id !== old.id);
  cluster.filter = (_from, _to, message) => message.kind === "timeout-now";
  cluster.retarget(rest);
  const gone = () => {
    const { voters, outgoing } = old.replica!.committedConfiguration;
    return outgoing.length === 0 && !voters.includes(old.id);
  };
  assert.ok(cluster.runUntil(30 * SECOND, gone));
  assert.deepEqual([old.replica!.term, old.replica!.isLeader], [term, false]);
});

Deno.test("D 4.2.3: a server that was removed and does not know it disturbs no one", () => {
  const cluster = ready({ nodes: 4, founders: 4 });
  const removed = followersOf(cluster)[0]!;
  const rest = cluster.ids.filter((id) => id !== removed.id);
  cluster.isolate(removed.id);
  cluster.retarget(rest);
  cluster.run(3 * SECOND);
  const { term } = cluster.leader!.replica!;
  const leader = cluster.leader;
  cluster.heal();
  for (let i = 0; i < 50; i++) {
    cluster.run(SECOND / 10);
    if (i % 10 === 0) written(cluster);
  }
  assert.ok((cluster.tally.get("campaign") ?? 0) > 3, "it did campaign");
  assert.equal(cluster.leader, leader);
  assert.equal(cluster.leader!.replica!.term, term);
});

Deno.test("D 4.3: in a joint configuration neither half decides alone", () => {
  const cluster = ready({ nodes: 6, founders: 3 });
  const joint = () => cluster.leader?.replica?.configuration.outgoing.length ?? 0;
  cluster.retarget(ids("def"));
  assert.ok(cluster.runUntil(10 * SECOND, () => joint() > 0));
  const newcomers = ids("def");
  const between = (from: NodeId, to: NodeId) => newcomers.includes(from) !== newcomers.includes(to);
  cluster.filter = (from, to, message) => between(from, to) && message.kind.startsWith("append");
  const { leader } = cluster;
  const token = cluster.propose(leader!);
  cluster.run(SECOND / 4);
  assert.equal(cluster.outcomes.get(token), undefined);
  cluster.filter = () => false;
  cluster.run(10 * SECOND);
  assert.deepEqual([...cluster.leader!.replica!.configuration.voters].sort(), newcomers);
});

Deno.test("D 6.2: a leader that no quorum answers gives up", () => {
  const cluster = ready({ nodes: 3 });
  const old = cluster.leader!;
  cluster.isolate(old.id);
  const waiting = cluster.read(old);
  cluster.run(SECOND);
  assert.ok(!old.replica!.isLeader);
  assert.equal(reasonOf(cluster, waiting), "moved");
});

Deno.test("D 6.4: reads share rounds, and append nothing", () => {
  const cluster = ready({ nodes: 3 });
  const { lastIndex } = cluster.leader!.replica!;
  let beats = 0;
  cluster.filter = (_from, _to, message) => {
    if (message.kind === "beats") beats++;
    return false;
  };
  const tokens = Array.from({ length: 100 }, () => cluster.read(cluster.leader!));
  cluster.run(SECOND / 50);
  for (const token of tokens) assert.equal(reasonOf(cluster, token), "done");
  assert.equal(cluster.leader!.replica!.lastIndex, lastIndex);
  assert.ok(beats <= 2 * 3, `${beats} beats for 100 reads`);
});

Deno.test("D 6.4.1: with a lease a read needs no round, and none is left when the leader hands over", () => {
  const cluster = ready({ nodes: 3, settings: { leaseReads: true } });
  const { leader } = cluster;
  const token = cluster.read(leader!);
  assert.equal(reasonOf(cluster, token), "done");
  // Once told to take over, a follower may do so at any time: from then on this leader asks again.
  const [heir] = followersOf(cluster);
  cluster.filter = (_from, _to, message) => message.kind === "timeout-now";
  cluster.step(leader!, (replica, now) => replica.transfer(heir!.id, now));
  cluster.run(SECOND);
  assert.equal(cluster.leader, leader);
  assert.equal(cluster.outcomes.get(cluster.read(leader!)), undefined);
});

Deno.test("D 9.6: a server that was cut off does not raise the term when it comes back", () => {
  const cluster = ready({ nodes: 3 });
  const [lonely] = followersOf(cluster);
  cluster.isolate(lonely!.id);
  cluster.run(5 * SECOND);
  const { term } = cluster.leader!.replica!;
  assert.equal(lonely!.replica!.term, term);
  cluster.heal();
  cluster.run(2 * SECOND);
  assert.equal(cluster.leader!.replica!.term, term);
  assert.equal(lonely!.replica!.leader, cluster.leader!.id);
});

// ---- what is not in the papers

Deno.test("An idle partition goes quiet: no messages, no timers, and a write wakes it", () => {
  const cluster = ready({ nodes: 3 });
  settle(cluster);
  for (const { replica } of cluster.nodes) {
    assert.ok(replica!.quiet && !replica!.wantsBeats);
    assert.equal(replica!.nextWake(), NEVER);
  }
  const sent: Message[] = [];
  cluster.filter = (_from, _to, message) => sent.push(message) < 0;
  cluster.run(10 * SECOND);
  assert.equal(sent.length, 0);
  written(cluster);
});

Deno.test("A read does not wake a quiet partition, unless no quorum answers it", () => {
  const cluster = ready({ nodes: 3 });
  settle(cluster);
  const leader = cluster.leader!;
  const sent: Message[] = [];
  let cut = false;
  cluster.filter = (_from, _to, message) => sent.push(message) > 0 && cut;
  const token = cluster.read(leader);
  cluster.run(5 * SECOND);
  assert.equal(reasonOf(cluster, token), "done");
  assert.deepEqual(sent.map((m) => m.kind).sort(), ["beat-replies", "beat-replies", "beats", "beats"]);
  assert.ok(cluster.nodes.every(({ replica }) => replica!.quiet));
  cut = true;
  const lost = cluster.read(leader);
  cluster.run(2 * SECOND);
  assert.ok(!leader.replica!.isLeader, "Check-quorum runs while a read waits");
  assert.equal(reasonOf(cluster, lost), "moved");
});

Deno.test("A quiet partition whose leader dies elects another when membership says so", () => {
  const cluster = ready({ nodes: 3 });
  settle(cluster);
  const old = cluster.leader!;
  old.up = false;
  cluster.run(5 * SECOND);
  assert.equal(cluster.leader, null);
  cluster.lookAround();
  assert.ok(cluster.runUntil(2 * SECOND, () => cluster.leader !== null));
});

Deno.test("A broken connection to the leader shortens the wait for the next one", () => {
  const cluster = ready({ nodes: 3 });
  const old = cluster.leader!;
  old.up = false;
  const died = cluster.now;
  for (const node of followersOf(cluster)) cluster.step(node, (r, now) => r.peerLost(old.id, now));
  assert.ok(cluster.runUntil(SECOND, () => cluster.leader !== null));
  assert.ok(cluster.now - died < 250_000, `took ${cluster.now - died} µs`);
});

Deno.test("A restarted follower finds a quiet leader, and leaves it in office", () => {
  const cluster = ready({ nodes: 3 });
  settle(cluster);
  const { leader } = cluster;
  const { term } = leader!.replica!;
  const [other] = followersOf(cluster);
  other!.up = false;
  cluster.boot(other!);
  cluster.run(2 * SECOND);
  assert.equal(other!.replica!.leader, leader!.id);
  assert.equal(cluster.leader, leader);
  assert.equal(leader!.replica!.term, term);
});

Deno.test("A sole voter elects itself as soon as its vote is durable (E7), and is quiet at once", () => {
  const cluster = new Cluster({ seed: 1, nodes: 1, founders: 1 });
  assert.equal(cluster.leader, null);
  cluster.run(10_000);
  assert.ok(cluster.leader!.replica!.isLeader);
  written(cluster);
  assert.ok(cluster.leader!.replica!.quiet);
  assert.equal(cluster.leader!.replica!.nextWake(), NEVER);
  assert.equal(reasonOf(cluster, cluster.read(cluster.leader!)), "done");
});

Deno.test("The preferred replica gets the lead once it has been fit for a while", () => {
  const cluster = ready({ nodes: 3 });
  const [wanted] = followersOf(cluster);
  cluster.retarget([wanted!.id, ...cluster.ids.filter((id) => id !== wanted!.id)]);
  cluster.run(SECOND);
  assert.notEqual(cluster.leader, wanted);
  cluster.run(4 * SECOND);
  assert.equal(cluster.leader, wanted);
});

Deno.test("stop() hands leadership to a follower that has everything", () => {
  const cluster = ready({ nodes: 3 });
  const old = cluster.leader!;
  cluster.step(old, (replica, now) => replica.stop(now));
  assert.ok(cluster.runUntil(SECOND / 10, () => cluster.leader !== null && cluster.leader !== old));
  written(cluster);
});

Deno.test("A leader with too much under way answers busy, and every token is answered once", () => {
  const cluster = ready({ nodes: 3 });
  const tokens = Array.from({ length: 100 }, () => cluster.propose(cluster.leader!));
  cluster.run(SECOND);
  const outcomes = tokens.map((token) => reasonOf(cluster, token));
  assert.equal(outcomes.filter((o) => o === "done").length, 64);
  assert.equal(outcomes.filter((o) => o === "busy").length, 36);
});

Deno.test("A dropped replica keeps its vote, and votes for no one", () => {
  const cluster = ready({ nodes: 3 });
  const node = followersOf(cluster)[0]!;
  const { term, votedFor } = node.replica!;
  const granted: Message[] = [];
  cluster.filter = (from, _to, message) => {
    if (from === node.id && message.kind === "vote-reply" && message.granted) granted.push(message);
    return message.kind === "snapshot";
  };
  cluster.step(node, (replica, now) => replica.drop(now));
  assert.deepEqual([node.replica!.term, node.replica!.votedFor], [term, votedFor]);
  assert.deepEqual(node.replica!.checkpointRecords(), [{ kind: "vote", partition: 3, term, votedFor }]);
  cluster.run(SECOND / 10);
  cluster.crash(node);
  cluster.boot(node);
  assert.deepEqual([node.replica!.term, node.replica!.votedFor], [term, votedFor]);
  cluster.crash(cluster.leader!);
  cluster.lookAround();
  cluster.run(5 * SECOND);
  assert.equal(granted.length, 0);
});

Deno.test("A replica that lost its journal vouches for no leader: it cannot know that there is a newer one (P6)", () => {
  const cluster = ready({ nodes: 3 });
  const old = cluster.leader!;
  const followers = followersOf(cluster);
  // Another leader commits what the old one does not hear of, with the help of one that then forgets it all.
  cluster.isolate(old.id);
  for (const node of followers) cluster.step(node, (replica, now) => replica.peerLost(old.id, now));
  assert.ok(cluster.runUntil(SECOND, () => cluster.leader !== old && cluster.leader !== null));
  assert.ok(old.replica!.isLeader);
  const winner = cluster.leader!;
  const token = cluster.propose(winner);
  assert.ok(cluster.runUntil(SECOND / 10, () => cluster.outcomes.get(token)?.kind === "done"));
  const helper = followers.find((node) => node !== winner)!;
  cluster.crash(helper);
  const blank = new Node(helper.id, helper.offset);
  blank.wiped = true;
  blank.life = helper.life + 1;
  cluster.nodes[cluster.nodes.indexOf(helper)] = blank;
  cluster.boot(blank);
  cluster.heal();
  cluster.isolate(winner.id);
  assert.ok(old.replica!.isLeader);
  const read = cluster.read(old);
  cluster.run(SECOND / 5);
  assert.notEqual(reasonOf(cluster, read), "done");
});
