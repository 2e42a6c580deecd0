/** How a network's keys are made, spread, used and forgotten, and what becomes of that when something happens meanwhile. */
import assert from "node:assert/strict";
import { nodeId } from "../../../core/base/ids.ts";
import { findMember } from "../../../core/system/system.ts";
import type { Message } from "../../../core/wire/messages.ts";
import type { Op } from "../../../core/wire/requests.ts";
import { holdsOf, invite, privateMember, PrivateNetwork } from "./private_network.ts";

const THREE = ["Alnilam", "Bellatrix", "Capella"];
const FOUR = [...THREE, "Deneb"];
const ROTATE: Op = { kind: "keys-rotate" };
const evict = (name: string, force = false): Op => ({ kind: "evict", node: nodeId(name), force });
const MINUTE = 60_000_000;

function settled(names: readonly string[]): PrivateNetwork {
  const network = new PrivateNetwork(names);
  network.settle();
  return network;
}
function untilKeys(network: PrivateNetwork, keys: string, at: readonly string[]): void {
  network.until(() => at.every((name) => network.keys(name) === keys), MINUTE, `${at} have the keys ${keys}`);
}

Deno.test("Rotation over three nodes: the leader's host makes, the others ask who has it, and the old one goes (golden)", () => {
  const network = settled(THREE);
  const leader = network.leaderOf(0);
  const [first, second] = THREE.filter((name) => name !== leader);
  network.done(first!, ROTATE);
  untilKeys(network, "2 current", THREE);
  // The maker reports that it has what it made; that shows the others whom to ask.
  assert.deepEqual(network.story, [
    `${leader} is to make 2`,
    `${first} asks ${leader} for 2`,
    `${second} asks ${leader} for 2`,
    `${leader} offers ${first} 2`,
    `${leader} offers ${second} 2`,
  ]);
  const secrets = THREE.map((name) => network.ring(name).secrets.get(2));
  assert.ok(secrets[0] !== undefined && secrets.every((secret) => secret === secrets[0]));
  assert.ok(THREE.every((name) => !network.ring(name).secrets.has(1) || network.ring(name).uses === 2));
  for (const name of THREE) {
    const { identity } = findMember(network.node("Alnilam").view(), nodeId(name))!;
    assert.deepEqual([identity?.holds, identity?.uses, identity?.statement.length], [2, 2, 64]);
  }
});

Deno.test("Join by invite: the newcomer has all secrets, reports them, and takes part in the next rotation (golden)", () => {
  const network = settled(THREE);
  network.done("Alnilam", { kind: "invite-add", invite: invite({ zone: "Cyg" }), nowMs: 1 });
  network.enter("Deneb", "Bellatrix");
  network.until(() => network.stateOf("Deneb", "Alnilam") === "active", MINUTE, "Deneb is active");
  network.until(
    () => holdsOf(network, "Deneb", "Alnilam") === 1,
    MINUTE,
    "Deneb has told that it holds the key",
  );
  assert.deepEqual(network.story, []);
  assert.equal(findMember(network.node("Alnilam").view(), nodeId("Deneb"))?.zone, "Cyg");
  assert.equal(network.node("Capella").view().security!.invites[0]!.uses, 0);
  const join: Op = { kind: "join", member: privateMember("Electra"), network: null };
  assert.match(
    network.refusal("Capella", join, { kind: "invite", id: "0123456789abcdef", proof: "0".repeat(64) }),
    /secret of invite .* is wrong/,
  );
  assert.throws(() => network.enter("Electra", "Capella"), /is used up/);
  network.done("Deneb", ROTATE);
  untilKeys(network, "2 current", FOUR);
  assert.equal(network.ring("Deneb").secrets.get(2), network.ring("Alnilam").secrets.get(2));
});

Deno.test("Eviction rotates: the evicted learns that it is out, gets nothing more, and no way back (golden)", () => {
  const network = settled(FOUR);
  const others = FOUR.filter((name) => name !== "Deneb");
  network.ask("Alnilam", { kind: "put", key: "k", value: Uint8Array.of(1) });
  const told: string[] = [];
  network.done("Alnilam", evict("Deneb"));
  const sending = network.sending;
  network.sending = (from, to, message) => {
    if (to === "Deneb" && network.stateOf("Deneb", from) === "evicted") told.push(message.kind);
    sending(from, to, message);
  };
  untilKeys(network, "2 current", others);
  network.until(() => network.stateOf("Deneb", "Deneb") === "evicted", MINUTE, "Deneb knows");
  network.run(10_000_000);
  assert.ok(
    network.story.length > 0 && network.story.every((line) => !line.includes("Deneb")),
    network.story.join("\n"),
  );
  assert.deepEqual([...new Set(told)].filter((kind) => kind !== "ack" && kind !== "layout-is"), []);
  assert.ok(!network.ring("Deneb").secrets.has(2));
  assert.equal(network.stateOf("Deneb", "Alnilam"), "evicted");
  assert.ok(network.placed(), "Its replicas are elsewhere");
  assert.match(
    network.refusal("Deneb", { kind: "get", key: "k", read: "stale" }),
    /^down: Node "Deneb" was evicted/,
  );
  assert.match(network.refusal("Deneb", { kind: "layout" }), /^down/);
  const status = network.ask("Deneb", { kind: "status" });
  assert.equal(status.kind === "status" ? status.status.state : "", "evicted");
  assert.equal(network.ask("Alnilam", { kind: "get", key: "k", read: "linearizable" }).kind, "value");
});

Deno.test("Eviction is refused where a partition needs the member for its majority, and done with force (T5)", () => {
  const two = settled(["Alnilam", "Bellatrix"]);
  assert.match(
    two.refusal("Alnilam", evict("Bellatrix")),
    /^conflict: Without node "Bellatrix" partition 0 has 1 of 2 replicas/,
  );
  const network = settled(THREE);
  network.kill("Capella");
  const dead = () =>
    ["Alnilam", "Bellatrix"].every((n) => network.node(n).membership.liveness(nodeId("Capella")) === "dead");
  network.until(dead, MINUTE, "Capella is missed");
  assert.match(
    network.refusal("Bellatrix", evict("Alnilam")),
    /^conflict: Without node "Alnilam" partition 0 has 1 of 3/,
  );
  network.done("Bellatrix", evict("Alnilam", true));
});

Deno.test("Eviction of the only member is refused for that it is, with and without force", () => {
  const network = settled(["Alnilam"]);
  for (const force of [false, true]) {
    assert.match(
      network.refusal("Alnilam", evict("Alnilam", force)),
      /^conflict: Node "Alnilam" is the last active member and must stay$/,
    );
  }
});

Deno.test("Eviction of one of two goes by way of removal, while it can still help", () => {
  const network = settled(["Alnilam", "Bellatrix"]);
  network.done("Alnilam", { kind: "set-state", node: nodeId("Bellatrix"), state: "removed", force: true });
  network.until(() => network.placed(), MINUTE, "All is at Alnilam");
  network.done("Alnilam", evict("Bellatrix"));
  untilKeys(network, "2 current", ["Alnilam"]);
});

Deno.test("Eviction of the system partition's leader: another leads, and has the new key made", () => {
  const network = settled(FOUR);
  const leader = network.leaderOf(0), others = FOUR.filter((name) => name !== leader);
  network.done(others[0]!, evict(leader));
  untilKeys(network, "2 current", others);
  const leads = (name: string) =>
    network.node(name).replicas().some((r) => r.partition === 0 && r.replica.isLeader);
  assert.ok(others.some(leads));
  network.until(() => !leads(leader) && network.stateOf(leader, leader) === "evicted", MINUTE, "It knows");
  assert.ok(!network.ring(leader).secrets.has(2));
});

Deno.test("Eviction during a rotation replaces the generation that the evicted has seen", () => {
  const names = [...FOUR, "Electra"], network = settled(names);
  const [lost, evicted, ...others] = names.filter((name) => name !== network.leaderOf(0));
  others.push(network.leaderOf(0));
  // As long as one is missed, the second generation cannot be current.
  network.kill(lost!);
  network.done(others[0]!, ROTATE);
  network.until(() => network.ring(evicted!).secrets.has(2), MINUTE, "It is given the secret");
  network.done(others[0]!, evict(evicted!, true));
  assert.match(network.keys(others[0]!), /^1 current, 3 (wanted|made)$/);
  network.until(
    () => others.every((name) => network.keys(name) === "1 former, 3 current"),
    MINUTE,
    "3 is current",
  );
  assert.ok(!network.ring(evicted!).secrets.has(3));
  assert.ok(others.every((name) => !network.ring(name).secrets.has(2)), "What it has seen is thrown away");
});

Deno.test("A generation outlives its maker: the next leader's host makes another, and the first agreed on counts (Y2)", () => {
  const network = settled(FOUR);
  const leader = network.leaderOf(0), others = FOUR.filter((name) => name !== leader);
  network.idle.add(leader);
  network.done(others[0]!, ROTATE);
  network.until(() => network.story.includes(`${leader} is to make 2`), MINUTE, "The leader is asked");
  network.kill(leader);
  network.until(
    () => others.every((name) => network.keys(name).endsWith("2 current")),
    MINUTE,
    "2 is current without it",
  );
  // It has made one too, and comes back with it: it counts for nothing, and it learns the other.
  network.idle.clear();
  network.ring(leader).made.set(2, "ff");
  network.restart(leader);
  network.until(() => network.stateOf(leader, others[0]!) === "active", MINUTE, "It is back");
  network.until(() => holdsOf(network, leader, others[0]!) === 2, MINUTE, "It holds 2");
  assert.equal(network.ring(leader).secrets.get(2), network.ring(others[0]!).secrets.get(2));
  untilKeys(network, "2 current", FOUR);
});

Deno.test("A generation whose maker is lost before it gave it to anyone is replaced (G6, T4)", () => {
  const network = settled(FOUR);
  const leader = network.leaderOf(0), others = FOUR.filter((name) => name !== leader);
  network.done(others[0]!, ROTATE);
  network.until(() => others.some((name) => network.keys(name) === "1 current, 2 made"), MINUTE, "2 is made");
  network.kill(leader);
  assert.ok(others.every((name) => !network.ring(name).secrets.has(2)), "Nobody else has it");
  // Generation 1 stays, for its maker may come back with it.
  network.until(
    () => others.every((name) => network.keys(name) === "1 former, 3 current"),
    MINUTE,
    "3 is current",
  );
});

Deno.test("A member that is gone during two rotations comes back and learns what it missed (Y5)", () => {
  const network = settled(FOUR);
  network.kill("Deneb");
  network.until(() => network.stateOf("Deneb", "Alnilam") === "gone", MINUTE, "Deneb is gone");
  for (const id of [2, 3]) {
    network.done("Alnilam", ROTATE);
    network.until(
      () => THREE.every((name) => network.keys(name).endsWith(`${id} current`)),
      MINUTE,
      `${id} is current`,
    );
  }
  network.story.length = 0;
  network.restart("Deneb");
  untilKeys(network, "3 current", FOUR);
  assert.equal(network.stateOf("Deneb", "Alnilam"), "active");
  assert.ok(
    network.story[0]!.startsWith("Deneb asks ") && network.story[0]!.endsWith(" for 2,3"),
    network.story.join(),
  );
});

Deno.test("A newcomer that joins during a rotation is waited for, and gets the generation on its way", () => {
  const network = settled(THREE);
  network.done("Alnilam", { kind: "invite-add", invite: invite(), nowMs: 1 });
  const leader = network.leaderOf(0);
  network.idle.add(leader);
  network.done("Alnilam", ROTATE);
  network.run(500_000);
  network.enter("Deneb", "Bellatrix");
  network.idle.delete(leader);
  untilKeys(network, "2 current", FOUR);
  assert.equal(network.ring("Deneb").secrets.get(2), network.ring("Alnilam").secrets.get(2));
});

Deno.test("A node offers no secret to who is gone or a stranger, and none that its host has not (Y1)", () => {
  const network = settled(FOUR);
  network.kill("Deneb");
  network.until(() => network.stateOf("Deneb", "Alnilam") === "gone", MINUTE, "Deneb is gone");
  network.story.length = 0;
  const get = (ids: number[]): Message => ({ kind: "key-get", ids });
  const ask = (from: string, ids: number[]) =>
    network.step(nodeId("Alnilam"), { kind: "messages", from: nodeId(from), messages: [get(ids)] });
  ask("Deneb", [1]);
  ask("Nobody", [1]);
  ask("Bellatrix", [2, 7]);
  assert.deepEqual(network.story, []);
  ask("Bellatrix", [7, 1, 1]);
  assert.deepEqual(network.story, ["Alnilam offers Bellatrix 1"]);
  const whys = network.notes.flatMap(({ note }) =>
    note.kind === "refused" && note.message === "key-get" ? [note.why] : []
  );
  assert.deepEqual(whys, ["It is gone", "It is no member"]);
});

Deno.test("A node that lacks a generation itself does not offer it, and goes on asking for it (Y1, Y4)", () => {
  const network = settled(THREE);
  const lacking = nodeId(THREE.find((name) => name !== network.leaderOf(0))!);
  const other = nodeId(THREE.find((name) => name !== lacking)!);
  network.deaf.add(lacking);
  network.done(other, ROTATE);
  network.until(() => network.keys(lacking) === "1 current, 2 made", MINUTE, "2 is made");
  network.run(5_000_000);
  assert.equal(network.keys(lacking), "1 current, 2 made");
  assert.ok(network.story.filter((line) => line.startsWith(`${lacking} asks`)).length >= 4);
  network.story.length = 0;
  const get: Message = { kind: "key-get", ids: [1, 2] };
  network.step(lacking, { kind: "messages", from: other, messages: [get] });
  assert.deepEqual(network.story, [`${lacking} offers ${other} 1`]);
  network.deaf.clear();
  untilKeys(network, "2 current", THREE);
});

Deno.test("A calm network is quiet about its keys", () => {
  const network = settled(THREE);
  network.run(5_000_000);
  const { version } = network.node("Alnilam").view();
  network.run(30_000_000);
  assert.deepEqual([network.story, network.node("Alnilam").view().version], [[], version]);
});
