import { deepEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { nodeId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import { NO_UPDATES } from "../../../core/membership/gossip_queue.ts";
import type { MembershipMessage } from "../../../core/membership/membership.ts";
import type { Liveness } from "../../../core/wire/messages.ts";
import { a, b, Bench, c, d, e, only, probeIntervalUs, probeTimeoutUs, says } from "./bench.ts";

Deno.test("peerLost() probes at once, asks others soon, and suspects within 250 ms", () => {
  const bench = Bench.started(["b", "c", "d"]);
  const pings = only(bench.act((m, now, effects) => m.peerLost(b, now, effects)), "ping");
  deepEqual(pings.map((m) => m.to), ["b"]);
  const start = bench.now;
  let asked = 0;
  while (bench.machine.liveness(b) === "alive") {
    bench.now = bench.machine.nextWake();
    for (const m of bench.act((m, now, effects) => m.wake(now, effects))) {
      if (m.kind === "ping" && m.to !== "b") bench.answer(m.to, m.sequence);
      if (m.kind === "ping-request" && m.target === b) asked++;
    }
  }
  equal(asked, 2);
  ok(bench.now - start <= 250_000);
});

Deno.test("peerLost() of one who answers, who is unknown or who is dead changes nothing", () => {
  const bench = Bench.started(["b", "c", "d"]);
  const [ping] = only(bench.act((m, now, effects) => m.peerLost(b, now, effects)), "ping");
  bench.answer("b", ping!.sequence);
  bench.gossip("c", says("d", "suspect", 0, "c"), says("d", "dead", 0, "c"));
  for (const node of [nodeId("x"), d]) {
    deepEqual(only(bench.act((m, now, effects) => m.peerLost(node, now, effects)), "ping"), []);
  }
  equal(bench.machine.liveness(b), "alive");
});

Deno.test("peerLost() while a probe waits asks others at once", () => {
  const bench = Bench.started(["b", "c", "d"]);
  bench.untilProbed("b");
  const sent = bench.act((m, now, effects) => m.peerLost(b, now, effects));
  equal(only(sent, "ping-request").length, 2);
  bench.pass(probeTimeoutUs);
  equal(bench.machine.liveness(b), "suspect", "sooner than an ordinary probe fails");
});

Deno.test("News of a new life ends the probe of the old one", () => {
  const bench = Bench.started(["b", "c"]);
  bench.untilProbed("b");
  bench.gossip("c", says("b", "alive", 1));
  bench.pass(probeIntervalUs - 1);
  equal(bench.machine.liveness(b), "alive");
  equal(bench.machine.health, 0);
});

Deno.test("takeChanges() reports each change of status or address once, in order (invariant 4)", () => {
  const bench = Bench.started(["b", "c"]);
  deepEqual(bench.machine.takeChanges(), []);
  bench.gossip("c", says("b", "suspect", 0, "c"), says("b", "suspect", 0, "c"));
  bench.gossip("c", says("b", "alive", 1), says("b", "alive", 2), says("b", "alive", 3, "b", "new:1"));
  bench.gossip("c", says("x", "alive", 9));
  const expected = [
    { node: b, status: "suspect", incarnation: 0 },
    { node: b, status: "alive", incarnation: 1 },
    { node: b, status: "alive", incarnation: 3 },
    { node: nodeId("x"), status: "alive", incarnation: 9 },
  ];
  deepEqual(bench.machine.takeChanges(), expected);
  deepEqual(bench.machine.takeChanges(), []);
  deepEqual(bench.notes("member").map((note) => note.node), ["x"]);
});

Deno.test("A restarted process at a new address takes the old one's place", () => {
  const bench = Bench.started(["b", "c"]);
  bench.gossip("c", says("b", "suspect", 2, "c"), says("b", "dead", 2, "c"));
  bench.gossip("b", says("b", "alive", 3, "b", "elsewhere:9"));
  equal(bench.machine.liveness(b), "alive");
  equal(bench.machine.addressOf(b), "elsewhere:9");
  bench.gossip("c", says("b", "alive", 2));
  equal(bench.machine.addressOf(b), "elsewhere:9");
});

Deno.test("A dead member that pings is told, and once it refutes the tables are exchanged", () => {
  const bench = Bench.started(["b", "c"]);
  bench.pass(probeIntervalUs);
  const death = says("b", "dead", 0, "c");
  bench.gossip("c", says("b", "suspect", 0, "c"), death);
  ok(bench.ping("b").includes(death));
  const sent = bench.gossip("b", says("b", "alive", 1));
  deepEqual(only(sent, "push-pull").map((m) => [m.to, m.reply]), [["b", false]]);
});

Deno.test("A stranger that pings is answered and asked for its table", () => {
  const bench = Bench.started(["b"]);
  bench.pass(probeIntervalUs);
  const sent = bench.hear("x", { kind: "ping", sequence: 3, target: a, view: 0, updates: NO_UPDATES });
  ok(sent.some((m) => m.to === "x" && m.kind === "ack" && m.sequence === 3));
  ok(sent.some((m) => m.to === "x" && m.kind === "push-pull" && !m.reply));
});

Deno.test("push-pull answers with the whole table, self included, and merges what came", () => {
  const bench = Bench.started(["b"]);
  const members = [says("b", "alive", 0), says("x", "alive", 2), says("y", "left", 1)];
  const [answer] = only(bench.hear("b", { kind: "push-pull", reply: false, members }), "push-pull");
  deepEqual(answer, { to: b, kind: "push-pull", reply: true, members: [says("a", "alive", 0), ...members] });
  deepEqual(only(bench.hear("b", { kind: "push-pull", reply: true, members }), "push-pull"), []);
  equal(bench.machine.liveness(nodeId("y")), "left");
});

Deno.test("A death of one who is not suspect here is put to it first, not believed (invariant 5)", () => {
  const claim = says("b", "dead", 0, "x");
  const claims: MembershipMessage[] = [
    { kind: "push-pull", reply: true, members: [claim] },
    { kind: "ack", sequence: 0, view: 0, updates: [claim] },
  ];
  for (const message of claims) {
    for (const answers of [true, false]) {
      const bench = Bench.started(["b", "c"]);
      const pings = only(bench.hear("c", message), "ping");
      deepEqual(pings.map((m) => [m.to, m.updates[0]]), [["b", claim]]);
      equal(bench.machine.liveness(b), "alive");
      if (answers) bench.answer("b", pings[0]!.sequence, says("b", "alive", 1));
      bench.pass(probeIntervalUs);
      equal(bench.machine.liveness(b), answers ? "alive" : "dead", "but silence counts");
    }
  }
});

Deno.test("A live member is asked about the dead along with its ping, and corrects what is out of date", () => {
  const bench = Bench.started(["b", "c"]);
  const death = says("b", "dead", 0, "c");
  bench.gossip("c", says("b", "suspect", 0, "c"), death);
  while (bench.ping("c").length > 0);
  for (let i = 0; i < 3; i++) {
    const [asked] = only(bench.pass(probeIntervalUs), "ping").filter((m) => m.to === "c");
    deepEqual(asked?.updates, [death]);
    bench.answer("c", asked!.sequence);
  }
});

Deno.test("leave() tells others, who then neither probe nor bury the member", () => {
  const bench = Bench.started(["b", "c"]);
  const sent = bench.act((m, now, effects) => m.leave(now, effects));
  deepEqual([...new Set(sent.map((m) => m.to))].sort(), ["b", "c"]);
  ok(sent.every((m) => m.kind === "ack" && m.updates[0]?.status === "left" && m.updates[0].node === a));
  deepEqual(only(bench.pass(20 * probeIntervalUs), "ping"), []);
  equal(bench.ping("b", says("a", "dead", 0, "b"))[0]?.status, "left");

  const other = Bench.started(["b", "c"]);
  other.gossip("b", says("b", "left", 0), says("b", "dead", 0, "c"));
  equal(other.machine.liveness(b), "left");
  for (let i = 0; i < 20; i++) {
    for (const m of only(other.pass(probeIntervalUs / 2), "ping")) {
      equal(m.to, "c");
      other.answer("c", m.sequence);
    }
  }
});

Deno.test("forget() is for good: rumours, tables and pings of the node do not bring it back", () => {
  const bench = Bench.started(["b", "c"]);
  bench.gossip("c", says("b", "suspect", 0, "c"));
  bench.act((m) => m.forget(b));
  equal(bench.machine.liveness(b), "unknown");
  equal(bench.machine.addressOf(b), null);
  bench.gossip("c", says("b", "alive", 9));
  bench.hear("c", { kind: "push-pull", reply: true, members: [says("b", "alive", 9)] });
  deepEqual(bench.ping("b", says("b", "alive", 9)).filter((u) => u.node === b), []);
  equal(bench.notes("refused")[0]?.why, "declared gone");
  bench.pass(20 * probeIntervalUs);
  equal(bench.machine.liveness(b), "unknown");
  bench.act((m, now, effects) => m.add(b, "b:2", now, effects));
  equal(bench.machine.liveness(b), "alive", "the network's agreement may");
});

Deno.test("add() gives an address until the member itself is heard of", () => {
  const bench = Bench.started([]);
  bench.act((m, now, effects) => m.add(b, "b:1", now, effects));
  bench.act((m, now, effects) => m.add(b, "b:2", now, effects));
  equal(bench.machine.addressOf(b), "b:2");
  bench.gossip("b", says("b", "alive", 1, "b", "b:3"));
  bench.act((m, now, effects) => m.add(b, "b:2", now, effects));
  equal(bench.machine.addressOf(b), "b:3");
});

Deno.test("The journal gets known peers and the incarnation at the start, then at most every 5 s", () => {
  const bench = Bench.started(["b"], { incarnation: 3 });
  deepEqual(bench.peersRecords(), [{ kind: "peers", incarnation: 3, peers: [{ node: b, address: "b:1" }] }]);
  const written: number[] = [];
  for (let i = 0; bench.now < 20_000_000; i++) {
    bench.gossip("b", says(`x${i}`, "left", 1));
    const at = bench.now;
    while (bench.now < at + 100_000) {
      const wake = Math.min(bench.machine.nextWake(), at + 100_000);
      bench.now = Math.max(bench.now, wake);
      const sent = bench.act((m, now, effects) => m.wake(now, effects));
      if (bench.peersRecords().length > 0) written.push(bench.now);
      for (const m of only(sent, "ping")) bench.answer(m.to, m.sequence);
    }
  }
  ok(written.length >= 3, `${written}`);
  written.reduce((last, at) => (ok(at - last >= 5_000_000, `${written}`), at), 0);
  deepEqual(bench.machine.record().kind, "peers");
});

Deno.test("Health: a process that was stopped does not blame others for its own silence", () => {
  const bench = Bench.started(["b", "c", "d"]);
  bench.untilProbed("b");
  bench.gossip("d", says("c", "suspect", 0, "d"));
  bench.now += 60_000_000;
  bench.act((m, now, effects) => m.wake(now, effects));
  deepEqual([bench.machine.liveness(b), bench.machine.liveness(c)], ["alive", "suspect"]);
  equal(bench.machine.health, 1);
});

Deno.test("takeNewerView() gives the highest version heard above the own, with who has it, once", () => {
  const bench = Bench.started(["b", "c", "d"]);
  bench.machine.viewVersion = 10;
  equal(bench.machine.takeNewerView(), null);
  for (const [from, view] of [["b", 10], ["c", 12], ["d", 11]] as const) {
    bench.hear(from, { kind: "ping", sequence: 1, target: a, view, updates: NO_UPDATES });
  }
  deepEqual(bench.machine.takeNewerView(), { version: 12, from: c });
  equal(bench.machine.takeNewerView(), null);
  bench.hear("d", { kind: "ack", sequence: 1, view: 11, updates: NO_UPDATES });
  bench.machine.viewVersion = 11;
  equal(bench.machine.takeNewerView(), null, "fetched meanwhile");
});

Deno.test("nextWake() is the next protocol period when nothing is under way (invariant 7)", () => {
  const bench = Bench.started(["b", "c", "d"]);
  while (bench.ping("b").length > 0);
  bench.pass(probeIntervalUs);
  const ticks: number[] = [];
  for (let i = 0; i < 10; i++) {
    bench.now = bench.machine.nextWake();
    const pings = only(bench.act((m, now, effects) => m.wake(now, effects)), "ping");
    if (pings.length > 0) ticks.push(bench.now);
    equal(bench.machine.nextWake() > bench.now, true);
    for (const m of pings) bench.answer(m.to, m.sequence);
  }
  equal(ticks.length, 10, "each wake was a probe");
});

Deno.test("Messages that make no sense are refused and noted", () => {
  const bench = Bench.started(["b", "c"]);
  const why = () => bench.notes("refused").map((note) => note.why);
  bench.hear("b", { kind: "ping", sequence: 1, target: c, view: 0, updates: NO_UPDATES });
  deepEqual([why(), only(bench.act(() => {}), "ack")], [["meant for another"], []]);
  bench.hear("a", { kind: "nack", sequence: 1 });
  deepEqual(why(), ["from myself"]);
  const nacks = only(
    bench.hear("b", { kind: "ping-request", sequence: 5, target: e, updates: NO_UPDATES }),
    "nack",
  );
  deepEqual([why(), nacks.map((m) => m.sequence)], [["unknown target"], [5]]);
  const absurd = [2 ** 41, Number.MAX_SAFE_INTEGER, Infinity, 2.5];
  for (const incarnation of absurd) {
    for (const name of ["a", "b", "x"]) {
      bench.gossip("c", says(name, "suspect", incarnation, "c"));
      deepEqual(why(), ["absurd incarnation"], `${name} ${incarnation}`);
    }
  }
  for (const incarnation of [NaN, -1]) bench.gossip("c", says("b", "suspect", incarnation, "c"));
  bench.gossip("c", says("x", "alive", 1, "x", ""), says("y", "alive", 1, "y", "z".repeat(256)));
  deepEqual(why(), ["absurd address", "absurd address"]);
  bench.gossip("c", { ...says("x", "alive", 1), node: "no id" as typeof a });
  deepEqual(why(), ["no node id"]);
  deepEqual([bench.machine.incarnation, bench.machine.liveness(b)], [0, "alive"]);
  equal(bench.machine.members().length, 2);
});

Deno.test("The table takes no more members than a network may have", () => {
  const bench = Bench.started(["b"]);
  const members = Array.from({ length: LIMITS.membersMax + 5 }, (_, i) => says(`x${i}`, "alive", 1));
  bench.hear("b", { kind: "push-pull", reply: true, members });
  equal(bench.machine.members().length, LIMITS.membersMax);
  equal(bench.notes("refused").length, 6);
});

const name = fc.constantFrom("a", "b", "c", "d", "x", "y");
const incarnation = fc.oneof(fc.nat(5), fc.double(), fc.constantFrom(2 ** 40, 2 ** 53 - 1, -1, NaN));
const anUpdate = fc.record({
  node: name.map(nodeId),
  address: fc.string({ maxLength: 300 }),
  incarnation,
  status: fc.constantFrom<Liveness>("alive", "suspect", "dead", "left"),
  by: name.map(nodeId),
});
const updates = fc.array(anUpdate, { maxLength: 40 });
const sequence = fc.oneof(fc.nat(20), fc.double());
const message: fc.Arbitrary<MembershipMessage> = fc.oneof(
  fc.record({ kind: fc.constant("ping"), sequence, target: name.map(nodeId), view: sequence, updates }),
  fc.record({ kind: fc.constant("ack"), sequence, view: sequence, updates }),
  fc.record({ kind: fc.constant("ping-request"), sequence, target: name.map(nodeId), updates }),
  fc.record({ kind: fc.constant("nack"), sequence }),
  fc.record({ kind: fc.constant("push-pull"), reply: fc.boolean(), members: updates }),
);
const event = fc.oneof(
  fc.record({ from: name, message }),
  fc.record({ pass: fc.nat(3_000_000) }),
  fc.record({ lost: name }),
  fc.record({ forget: name }),
  fc.record({ add: name }),
);

Deno.test("Nothing a peer says makes it throw, beliefs only rise, and changes mirror them (invariants 1, 2, 4)", () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.nat(), (events, seed) => {
      const bench = Bench.started(["b", "c", "d"], { seed });
      const mirror = new Map<string, Liveness>([["b", "alive"], ["c", "alive"], ["d", "alive"]]);
      const incarnations = new Map<string, number>();
      for (const what of events) {
        if ("message" in what) bench.hear(what.from, what.message);
        else if ("pass" in what) bench.pass(what.pass);
        else if ("lost" in what) bench.act((m, now, effects) => m.peerLost(nodeId(what.lost), now, effects));
        else if ("add" in what) {
          bench.act((m, now, effects) => m.add(nodeId(what.add), "here:1", now, effects));
        } else {
          bench.act((m) => m.forget(nodeId(what.forget)));
          if (what.forget !== "a") {
            mirror.delete(what.forget);
            incarnations.delete(what.forget);
          }
        }
        for (const { node, status } of bench.machine.takeChanges()) mirror.set(node, status);
        for (const { node, incarnation } of bench.machine.members()) {
          ok(Number.isSafeInteger(incarnation) && incarnation >= (incarnations.get(node) ?? 0));
          incarnations.set(node, incarnation);
        }
        const believed = bench.machine.members().map(({ node, status }) => [node, status]);
        deepEqual(believed, [...mirror].sort(([x], [y]) => (x < y ? -1 : 1)));
        equal(bench.machine.liveness(a), "alive");
        ok(bench.machine.nextWake() >= bench.now, "no wake is left behind");
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("Membership() refuses an incarnation that is none", () => {
  for (const bad of [-1, 0.5, NaN]) throws(() => new Bench([], { incarnation: bad }), RangeError);
});

Deno.test("describe() tells all in one line", () => {
  const bench = Bench.started(["c", "b"], { incarnation: 2 });
  bench.gossip("c", says("b", "suspect", 1, "c"));
  equal(bench.machine.describe(), "a 2 alive, health 0: b 1 suspect, c 0 alive");
  equal(new Bench([]).machine.describe(), "a 0 alive, health 0");
});
