import assert from "node:assert/strict";
import {
  type Epoch,
  type LogIndex,
  type NodeId,
  nodeId,
  type PartitionId,
  SYSTEM_PARTITION,
  type Term,
} from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import {
  type Holding,
  needsNothing,
  planRecovery,
  recoveryRecords,
  surveyed,
  type Survivor,
} from "../../../core/node/salvage.ts";
import { NOWHERE } from "../../../core/partition/recovery.ts";
import { findMember } from "../../../core/system/system.ts";
import { utf8Decode, utf8Encode } from "../../../core/base/bytes.ts";
import { foldRecords } from "../../../core/wire/journal_state.ts";
import type { JournalRecord, Recovered } from "../../../core/wire/kernel.ts";
import type { Configuration, Member, SystemView } from "../../../core/wire/messages.ts";
import type { Security } from "../../../core/wire/security.ts";
import { CALM, Cluster, type Node, PARTITION, useTinyLimits } from "../partition/cluster.ts";
import { storm } from "../partition/storm.ts";
import { member, Network } from "./network.ts";
import { keyOf, OPERATOR } from "../../support/credentials.ts";
import { invite, PrivateNetwork, statementOf } from "./private_network.ts";

const OLD = "0".repeat(32), NEW = "1".repeat(32);
const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(nodeId) as [NodeId, NodeId, NodeId, NodeId, NodeId];

function viewOf(assignment: readonly (readonly NodeId[])[], version = 7): SystemView {
  return {
    version,
    network: OLD,
    settings: { ...DEFAULT_SETTINGS, partitions: assignment.length - 1 },
    epoch: 3 as Epoch,
    members: [a, b, c, d, e].map(member),
    assignment,
    security: null,
  };
}
const voters = (...nodes: NodeId[]): Configuration => ({ voters: nodes, outgoing: [], learners: [] });
const holding = (
  partition: number,
  [lastTerm, lastIndex]: readonly [number, number],
  configuration: Configuration,
  more: Partial<Holding> = {},
): Holding => ({
  partition: partition as PartitionId,
  term: lastTerm as Term,
  exists: true,
  hollow: false,
  lastIndex: lastIndex as LogIndex,
  lastTerm: lastTerm as Term,
  applied: { index: lastIndex as LogIndex, term: lastTerm as Term },
  configuration,
  ...more,
});
const survivor = (node: NodeId, view: SystemView, ...holdings: Holding[]): Survivor => ({
  node,
  network: view.network,
  view,
  viewAtEnd: view,
  holdings,
});

Deno.test("planRecovery() leaves alone what can elect a leader, and chooses the longest whole log elsewhere (V2, V3)", () => {
  const view = viewOf([[a, b, c], [a, b, c], [b, d, e], [a, d, e], [c, d, e]]);
  const abc = voters(a, b, c);
  const plan = planRecovery([
    survivor(a, view, holding(0, [2, 9], abc), holding(1, [2, 5], abc), holding(3, [4, 8], voters(a, d, e))),
    survivor(b, view, holding(0, [2, 9], abc), holding(1, [3, 4], abc), holding(2, [1, 6], voters(b, d, e))),
  ], NEW);
  assert.deepEqual(plan.partitions.map(({ kind, node }) => [kind, node]), [
    ["keep", a],
    ["keep", b],
    ["choose", b],
    ["choose", a],
    ["begin", plan.partitions[4]!.node],
  ]);
  assert.deepEqual(plan.lost, [c, d, e]);
  assert.deepEqual(plan.view.members.map(({ state }) => state), [
    "active",
    "active",
    "removed",
    "removed",
    "removed",
  ]);
  assert.equal(plan.view.version, 10);
  assert.equal(plan.view.network, NEW);
  assert.ok(!needsNothing(plan));
  assert.ok(plan.view.assignment.every((replicas) => replicas.length > 0));
});

Deno.test("planRecovery() does not take a leader's unfinished configuration for a lost quorum: others can still be elected", () => {
  const view = viewOf([[a, b, c], [a, b, c]]);
  const joint: Configuration = { voters: [a, d, e], outgoing: [a, b, c], learners: [] };
  const held = (at: readonly [number, number], configuration: Configuration) => [
    holding(0, [1, 1], voters(a, b, c)),
    holding(1, at, configuration),
  ];
  const plan = planRecovery([
    survivor(a, view, ...held([2, 9], joint)),
    survivor(b, view, ...held([2, 8], voters(a, b, c))),
    survivor(c, view, ...held([2, 8], voters(a, b, c))),
  ], NEW);
  assert.deepEqual([plan.partitions[1]!.kind, plan.partitions[1]!.node], ["keep", b]);
  assert.ok(needsNothing(plan));
});

Deno.test("planRecovery() never chooses who has no state, says what is known to be lost, and drops the hollow (V5)", () => {
  const view = viewOf([[a], [a, b, d, e, c]]);
  const all = voters(a, b, c, d, e);
  const plan = planRecovery([
    survivor(
      a,
      view,
      holding(0, [1, 1], voters(a)),
      holding(1, [5, 50], all, { hollow: true, applied: NOWHERE }),
    ),
    survivor(b, view, holding(1, [4, 40], all)),
  ], NEW);
  const { kind, node, term, drop, knownLost } = plan.partitions[1]!;
  assert.deepEqual([kind, node, term, drop, knownLost], ["choose", b, 6, [a], true]);
});

Deno.test("planRecovery() goes on from a hollow survivor's older state where no other has as much (V3)", () => {
  const view = viewOf([[a], [a, b, d, e, c]]);
  const all = voters(a, b, c, d, e);
  const applied = { index: 41 as LogIndex, term: 4 as Term };
  const plan = planRecovery([
    survivor(a, view, holding(0, [1, 1], voters(a)), holding(1, [5, 50], all, { hollow: true, applied })),
    survivor(b, view, holding(1, [4, 40], all)),
  ], NEW);
  const { kind, node, lastIndex, rebase, drop, knownLost } = plan.partitions[1]!;
  assert.deepEqual([kind, node, lastIndex, rebase, drop, knownLost], ["choose", a, 41, true, [], true]);
});

Deno.test("planRecovery() keeps a private network's keys and members, and voids what the old name signed or counted (V8)", () => {
  const identity = (name: string) => ({
    key: keyOf(name),
    holds: 2,
    uses: 1,
    statement: new Uint8Array(64).fill(7),
  });
  const security: Security = {
    keys: [
      { id: 1, state: "former", authority: Uint8Array.of(1) },
      { id: 2, state: "current", authority: Uint8Array.of(2) },
    ],
    access: [OPERATOR],
    invites: [invite()],
  };
  const plain = viewOf([[a, b, c], [a, b, c]]);
  const members = plain.members.map((m): Member => ({
    ...m,
    state: m.id === d ? "evicted" : "active",
    identity: identity(m.id),
  }));
  const view: SystemView = { ...plain, members, security };
  const held = holding(0, [2, 9], voters(a, b, c));
  const plan = planRecovery([survivor(a, view, held, holding(1, [2, 5], voters(a, b, c)))], NEW);
  assert.equal(plan.view.network, NEW);
  assert.deepEqual(plan.view.security, { ...security, invites: [] });
  assert.deepEqual(
    plan.view.members.map((m) => [m.id, m.state, m.identity]),
    [[a, "active"], [b, "removed"], [c, "removed"], [d, "evicted"], [e, "removed"]].map(([id, state]) => [
      id,
      state,
      { ...identity(id!), statement: new Uint8Array(0) },
    ]),
  );
  const open = planRecovery([survivor(a, plain, held)], NEW);
  assert.equal(open.view.security, null);
  assert.ok(open.view.members.every((m) => !("identity" in m)));
});

Deno.test("planRecovery() refuses nodes of two networks, one twice, and none", () => {
  const view = viewOf([[a], [a]]);
  assert.throws(() => planRecovery([], NEW), /at least one surviving node/);
  assert.throws(() => planRecovery([survivor(a, view), survivor(a, view)], NEW), /"a" is named twice/);
  assert.throws(
    () => planRecovery([survivor(a, view), survivor(b, { ...view, network: NEW })], NEW),
    /different networks/,
  );
});

Deno.test("planRecovery() takes the newest view, and of the system log's end only the chosen one's", () => {
  const view = viewOf([[a, b, c], [a, b, c]]), newer = { ...view, version: 20 };
  const fancied = { ...view, version: 30, epoch: 99 as Epoch };
  const plan = planRecovery([
    survivor(a, view, holding(0, [2, 9], voters(a, c, d))),
    { ...survivor(b, newer, holding(0, [1, 30], voters(b, c, d))), viewAtEnd: fancied },
  ], NEW);
  assert.equal(plan.partitions[0]!.node, a);
  assert.equal(plan.view.version, 21);
  assert.equal(plan.view.epoch, 4);
});

// ---- storms that end with the loss of a majority

useTinyLimits();

const recoveredOf = (node: Node, view: SystemView): Recovered => ({
  ...foldRecords([...node.disk.head, ...node.disk.live.map(({ record }) => record)]),
  view,
});

interface Loss {
  readonly kind: string;
  /** What some survivor had applied, and so was committed for all to see. */
  readonly known: number;
}

const positionOf = ({ disk: { tables } }: Node) => ({ index: tables.appliedIndex, term: tables.appliedTerm });

/** Gives up all but a few nodes of a cluster after a storm, recovers, and runs on with the rest. */
function loseMost(seed: number, cluster: Cluster): Loss {
  const random = Random.fromSeed(seed).fork("loss");
  for (const node of cluster.nodes) cluster.crash(node);
  const alive = random.shuffle([...cluster.nodes]).slice(0, random.between(1, cluster.nodes.length - 1));
  const view = { ...viewOf(Array.from({ length: PARTITION + 1 }, () => [])), version: 0 };
  const plan = planRecovery(
    alive.map((node) => surveyed(node.id, recoveredOf(node, view), () => positionOf(node))),
    NEW,
  );
  const recovery = plan.partitions[PARTITION]!;
  if (recovery.kind === "begin") return { kind: "begin", known: 0 };
  // The tables of a replica that was dropped may outlive it in a crash.
  const holds = (node: Node) => recoveredOf(node, view).replicas.get(PARTITION)?.exists === true;
  const known = Math.max(0, ...alive.filter(holds).map((node) => node.disk.tables.appliedIndex));
  assert.ok(recovery.lastIndex >= known, `The log chosen ends at ${recovery.lastIndex} before ${known}`);
  for (const node of alive) append(node, recoveryRecords(plan, node.id, recoveredOf(node, view)));
  for (const node of alive) {
    assert.deepEqual(recoveryRecords(plan, node.id, recoveredOf(node, plan.view)), [], "It is done once");
  }
  leave(cluster, alive, known);
  cluster.retarget(plan.view.assignment[PARTITION]!);
  // A log that was chosen is kept whole; who can be elected may be another than the plan looked at.
  const least = recovery.kind === "choose" ? recovery.lastIndex + 1 : known;
  const agreed = () => {
    const { leader, target } = cluster;
    const applied = leader?.replica?.appliedIndex ?? 0;
    return applied > 0 && applied >= least &&
      target.every((id) => cluster.node(id).replica?.appliedIndex === applied);
  };
  assert.ok(cluster.runUntil(30_000_000, agreed), "The survivors go on");
  const [first, ...rest] = cluster.target.map((id) => cluster.node(id).toy!);
  for (const toy of rest) assert.equal(toy.stateDigest(), first!.stateDigest());
  return { kind: recovery.kind, known };
}

/** Only these are left. What was committed beyond `known` is on none of their disks for certain, and may be decided anew. */
function leave(cluster: Cluster, alive: readonly Node[], known: number): void {
  for (const node of cluster.nodes) {
    if (alive.includes(node)) continue;
    node.up = true; // Nobody boots it any more.
    for (const other of alive) other.unseen.add(node.id);
  }
  cluster.nodes.splice(0, Infinity, ...alive);
  cluster.ids.splice(0, Infinity, ...alive.map(({ id }) => id));
  cluster.faults = CALM;
  cluster.heal();
  for (const index of [...cluster.committed.keys()]) if (index > known) cluster.committed.delete(index);
  cluster.committedMax = known;
  for (const node of alive) cluster.boot(node);
}

function append(node: Node, records: readonly JournalRecord[]): void {
  const { disk } = node;
  for (const record of records) {
    if (!("partition" in record) || record.partition !== PARTITION) continue;
    disk.live.push({ number: ++disk.written, record });
  }
  disk.durable = disk.written;
  disk.states = [];
}

Deno.test("planRecovery() loses nothing that a survivor knew, whatever the storm before, and survivors go on", () => {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= 300; seed++) {
    storm({
      seed,
      stormUs: 3_000_000,
      afterwards: (cluster) => {
        const { kind, known } = loseMost(seed, cluster);
        if (known > 0) seen.set(kind, (seen.get(kind) ?? 0) + 1);
      },
    });
  }
  assert.ok((seen.get("keep") ?? 0) > 50 && (seen.get("choose") ?? 0) > 50, JSON.stringify([...seen]));
});

// ---- a network

Deno.test("recoveryRecords() bring a network of whole nodes back from two of five, which then take newcomers in", () => {
  const network = new Network(["a", "b", "c", "d", "e"]);
  network.settle();
  const acknowledged = new Map<string, string>();
  for (let i = 0; i < 40; i++) {
    const value = utf8Encode(`v${i}`);
    if (network.ask("a", { kind: "put", key: `k${i}`, value }).kind === "written") {
      acknowledged.set(`k${i}`, `v${i}`);
    }
  }
  network.run(5_000_000); // All replicas have all of it.
  for (const name of ["a", "b", "c", "d", "e"]) network.kill(name);
  const left = [a, b];
  const recovered = (node: NodeId) => foldRecords(network.disk(node).records);
  const held = new Map(left.map((node) => [node, network.node(node).replicas()]));
  const survivors = left.map((node) =>
    surveyed(node, recovered(node), (partition) => {
      const slot = held.get(node)!.find((each) => each.partition === partition);
      const machine = slot?.catalog ?? slot?.system;
      return machine == null ? NOWHERE : { index: machine.appliedIndex, term: machine.appliedTerm };
    })
  );
  const plan = planRecovery(survivors, NEW);
  assert.ok(plan.partitions.some(({ kind }) => kind === "choose"));
  const begun = new Set(
    plan.partitions.filter(({ kind }) => kind === "begin").map(({ partition }) => partition),
  );
  for (const node of left) {
    const records = recoveryRecords(plan, node, recovered(node));
    // Cut short by a crash, it is completed by doing it again.
    for (const cut of [0, 1, Math.floor(records.length / 2), records.length - 1]) {
      const partly = foldRecords([...network.disk(node).records, ...records.slice(0, cut)]);
      const rest = recoveryRecords(plan, node, partly);
      const whole = foldRecords([...network.disk(node).records, ...records]);
      const mended = foldRecords([...network.disk(node).records, ...records.slice(0, cut), ...rest]);
      assert.deepEqual(mended.view, whole.view);
      for (const [partition, replica] of whole.replicas) {
        const again = mended.replicas.get(partition)!;
        assert.deepEqual([again.term, again.exists, again.base, again.entries.length], [
          replica.term,
          replica.exists,
          replica.base,
          replica.entries.length,
        ]);
      }
    }
    network.disk(node).records.push(...records);
  }
  for (const node of left) network.restart(node);
  network.until(() => network.placed(), 60_000_000, "The survivors hold everything");
  assert.equal(network.node("a").view().network, NEW);
  for (const [key, value] of acknowledged) {
    const response = network.ask("b", { kind: "get", key, read: "linearizable" });
    assert.ok(response.kind === "value", JSON.stringify(response));
    if (response.found === null) assert.ok(begun.size > 0, `${key} is lost though its partition is not`);
    else assert.equal(utf8Decode(response.found.value!), value);
  }
  network.join("f", "a");
  network.until(
    () => network.placed() && network.stateOf("f", "a") === "active",
    60_000_000,
    "A newcomer has its share",
  );
  assert.equal(network.ask("f", { kind: "put", key: "k", value: utf8Encode("v") }).kind, "written");
  assert.ok(network.leaderOf(SYSTEM_PARTITION));
});

Deno.test("recoveryRecords() bring a private network back with its keys: members sign anew, and rotate (V8)", () => {
  const network = new PrivateNetwork(["a", "b", "c"]);
  network.settle();
  assert.equal(network.ask("a", { kind: "put", key: "k", value: utf8Encode("v") }).kind, "written");
  network.done("a", { kind: "invite-add", invite: invite(), nowMs: 1 });
  network.run(5_000_000);
  for (const name of ["a", "b", "c"]) network.kill(name);
  const recovered = foldRecords(network.disk("a").records);
  const held = network.node("a").replicas();
  const surveyedA = surveyed(a, recovered, (partition) => {
    const slot = held.find((each) => each.partition === partition);
    const machine = slot?.catalog ?? slot?.system;
    return machine == null ? NOWHERE : { index: machine.appliedIndex, term: machine.appliedTerm };
  });
  const plan = planRecovery([surveyedA], NEW);
  network.disk("a").records.push(...recoveryRecords(plan, a, recovered));
  network.restart("a");
  network.until(() => network.placed(), 60_000_000, "The survivor holds everything");
  const value = network.ask("a", { kind: "get", key: "k", read: "linearizable" });
  assert.ok(value.kind === "value" && utf8Decode(value.found!.value!) === "v");
  assert.match(network.refusal("a", { kind: "get", key: "k", read: "stale" }, null), /^denied/);
  const statement = () => findMember(network.node("a").view(), a)!.identity!.statement;
  network.until(() => statement().length === 64, 60_000_000, "It has signed anew");
  assert.deepEqual(statement(), statementOf(a, 1));
  network.done("a", { kind: "keys-rotate" });
  network.until(() => network.keys("a") === "2 current", 60_000_000, "The keys are new");
  assert.throws(() => network.enter("d", "a"), /No invite is named/);
});
