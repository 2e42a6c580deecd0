import { deepEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { type Instant, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS, LIMITS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { NO_UPDATES } from "../../../core/membership/gossip_queue.ts";
import { Membership, type MembershipMessage } from "../../../core/membership/membership.ts";
import { Effects, type JournalRecord, type Note } from "../../../core/wire/kernel.ts";
import type { Liveness, Update } from "../../../core/wire/messages.ts";

const { probeIntervalUs, probeTimeoutUs } = DEFAULT_SETTINGS;
const a = nodeId("a"), b = nodeId("b"), c = nodeId("c"), d = nodeId("d"), e = nodeId("e");

function says(name: string, status: Liveness, incarnation: number, by = name, address = `${name}:1`): Update {
  return { node: nodeId(name), address, incarnation, status, by: nodeId(by) };
}

type Sent = { readonly to: string } & MembershipMessage;

/** Node `a` alone on the table, with all that it sends, notes and records in hand. */
class Bench {
  now = 0;
  readonly machine: Membership;
  readonly effects = new Effects();

  constructor(peers: string[], options: { seed?: number; incarnation?: number } = {}) {
    this.machine = new Membership({
      self: a,
      address: "a:1",
      incarnation: options.incarnation ?? 0,
      random: Random.fromSeed(options.seed ?? 1),
      settings: DEFAULT_SETTINGS,
      peers: peers.map((name) => ({ node: nodeId(name), address: `${name}:1` })),
    });
  }

  /** A bench on which the start is over. */
  static started(peers: string[], options: { seed?: number; incarnation?: number } = {}): Bench {
    const bench = new Bench(peers, options);
    bench.act((m, now, effects) => m.wake(now, effects));
    return bench;
  }

  act(run: (machine: Membership, now: Instant, effects: Effects) => void): Sent[] {
    this.effects.clear();
    run(this.machine, this.now as Instant, this.effects);
    return this.effects.sendNow.map(({ to, message }) => ({ to, ...(message as MembershipMessage) }));
  }

  hear(from: string, message: MembershipMessage): Sent[] {
    return this.act((m, now, effects) => m.handle(nodeId(from), message, now, effects));
  }

  gossip(from: string, ...updates: Update[]): Sent[] {
    return this.hear(from, { kind: "ack", sequence: 0, view: 0, updates });
  }

  ping(from: string, ...updates: Update[]): Update[] {
    const sent = this.hear(from, { kind: "ping", sequence: 7, target: a, view: 0, updates });
    const ack = sent.find((m) => m.kind === "ack" && m.to === from && m.sequence === 7);
    return ack?.kind === "ack" ? [...ack.updates] : [];
  }

  /** Steps all wakes up to `us` from now. */
  pass(us: number): Sent[] {
    const end = this.now + us;
    const sent: Sent[] = [];
    while (this.machine.nextWake() <= end) {
      this.now = Math.max(this.now, this.machine.nextWake());
      sent.push(...this.act((m, now, effects) => m.wake(now, effects)));
    }
    this.now = end;
    return sent;
  }

  /** Wakes until a ping of the given member leaves, answering every other ping; gives that ping's sequence. */
  untilProbed(target: string): number {
    for (;;) {
      this.now = Math.max(this.now, this.machine.nextWake());
      for (const m of this.act((m, now, effects) => m.wake(now, effects))) {
        if (m.kind !== "ping") continue;
        if (m.to === target) return m.sequence;
        this.answer(m.to, m.sequence);
      }
    }
  }

  answer(from: string, sequence: number, ...updates: Update[]): Sent[] {
    return this.hear(from, { kind: "ack", sequence, view: 0, updates });
  }

  notes<K extends Note["kind"]>(kind: K): Extract<Note, { kind: K }>[] {
    return this.effects.notes.filter((note): note is Extract<Note, { kind: K }> => note.kind === kind);
  }

  peersRecords(): Extract<JournalRecord, { kind: "peers" }>[] {
    return this.effects.persist.filter((r) => r.kind === "peers");
  }
}

function only<K extends MembershipMessage["kind"]>(sent: Sent[], kind: K): Extract<Sent, { kind: K }>[] {
  return sent.filter((m): m is Extract<Sent, { kind: K }> => m.kind === kind);
}

// ---- SWIM

Deno.test("SWIM 3.1: a member that answers its ping is left alone", () => {
  const bench = Bench.started(["b", "c"]);
  bench.answer("b", bench.untilProbed("b"));
  const asked = only(bench.pass(probeIntervalUs - 1), "ping-request");
  deepEqual(asked, []);
  equal(bench.machine.liveness(b), "alive");
});

Deno.test("SWIM 3.1: a member that does not answer in time is probed through k = 3 others, then suspect", () => {
  const bench = Bench.started(["b", "c", "d", "e", "f"]);
  const sequence = bench.untilProbed("b");
  deepEqual(only(bench.pass(probeTimeoutUs - 1), "ping-request"), []);
  const asked = only(bench.pass(1), "ping-request");
  equal(new Set(asked.map((m) => m.to)).size, 3);
  ok(asked.every((m) => m.target === b && m.sequence === sequence && m.to !== b));
  bench.pass(probeIntervalUs - probeTimeoutUs - 1);
  equal(bench.machine.liveness(b), "alive");
  bench.pass(1);
  equal(bench.machine.liveness(b), "suspect");
});

Deno.test("SWIM 3.1: an answer through another saves the member, a late direct one too", () => {
  for (const how of ["helper", "late"]) {
    const bench = Bench.started(["b", "c", "d"]);
    const sequence = bench.untilProbed("b");
    const asked = only(bench.pass(probeTimeoutUs), "ping-request");
    bench.answer(how === "helper" ? asked[0]!.to : "b", sequence);
    bench.pass(probeIntervalUs - probeTimeoutUs);
    equal(bench.machine.liveness(b), "alive", how);
  }
});

Deno.test("SWIM 3.1: an answer from one who was not asked saves nobody", () => {
  const bench = Bench.started(["b", "c"]);
  bench.answer("c", bench.untilProbed("b"));
  equal(bench.notes("refused")[0]?.why, "not asked");
  bench.pass(probeIntervalUs);
  equal(bench.machine.liveness(b), "suspect");
});

Deno.test("SWIM 3.1: a helper pings the target and passes its answer on", () => {
  const bench = Bench.started(["b", "c"]);
  const [ping] = only(
    bench.hear("b", { kind: "ping-request", sequence: 41, target: c, updates: NO_UPDATES }),
    "ping",
  );
  equal(ping?.to, "c");
  const passed = only(bench.answer("c", ping!.sequence), "ack").filter((m) => m.sequence === 41);
  deepEqual(passed.map((m) => m.to), ["b"]);
  // Answered once: the same answer again goes nowhere.
  deepEqual(only(bench.answer("c", ping!.sequence), "ack").filter((m) => m.sequence === 41), []);
});

Deno.test("SWIM 4.1: news rides on pings and acks, and a calm ping carries the shared empty list", () => {
  const calm = Bench.started(["b"]);
  while (calm.ping("b").length > 0);
  const acks = only(
    calm.hear("b", { kind: "ping", sequence: 1, target: a, view: 0, updates: NO_UPDATES }),
    "ack",
  );
  ok(acks.every((m) => m.updates === NO_UPDATES));
  const news = says("x", "alive", 4);
  calm.gossip("b", news);
  ok(calm.ping("b").includes(news));
});

Deno.test("SWIM 4.2: a suspect that does not refute in time is dead", () => {
  const bench = Bench.started(["b", "c"]);
  bench.gossip("c", says("b", "suspect", 0, "c"));
  equal(bench.machine.liveness(b), "suspect");
  bench.machine.takeChanges();
  bench.pass(7 * DEFAULT_SETTINGS.suspicionMultiplier * probeIntervalUs);
  equal(bench.machine.liveness(b), "dead");
});

Deno.test("SWIM 4.2: alive overrides suspicion only with a higher incarnation", () => {
  const bench = Bench.started(["b", "c"]);
  bench.gossip("c", says("b", "suspect", 3, "c"));
  bench.gossip("c", says("b", "alive", 3));
  equal(bench.machine.liveness(b), "suspect");
  bench.gossip("c", says("b", "alive", 4));
  equal(bench.machine.liveness(b), "alive");
  bench.gossip("c", says("b", "suspect", 3, "c"));
  equal(bench.machine.liveness(b), "alive");
});

Deno.test("SWIM 4.2: a member that hears of its own suspicion refutes with a higher incarnation", () => {
  const bench = Bench.started(["b", "c"]);
  const answer = bench.ping("b", says("a", "suspect", 0, "c"));
  equal(bench.machine.incarnation, 1);
  deepEqual(answer[0], says("a", "alive", 1));
  deepEqual(bench.peersRecords().map((r) => r.incarnation), [1], "recorded at once");
  equal(bench.machine.liveness(a), "alive");
});

Deno.test("SWIM 4.2: claims about an earlier incarnation need no new one, but the sender is told", () => {
  const bench = Bench.started(["b", "c"], { incarnation: 5 });
  deepEqual(bench.ping("b", says("a", "dead", 3, "c"))[0], says("a", "alive", 5));
  const told = only(bench.gossip("c", says("a", "dead", 3, "b")), "ack").filter((m) => m.to === "c");
  deepEqual(told[0]?.updates[0], says("a", "alive", 5));
  equal(bench.machine.incarnation, 5);
});

Deno.test("SWIM 4.2: whoever still accuses one that refuted, or that left, is told", () => {
  for (const status of ["suspect", "dead"] as const) {
    const bench = Bench.started(["b", "c"]);
    bench.gossip("b", says("b", "alive", 2), says("d", "left", 0));
    deepEqual(bench.ping("c", says("b", status, 1, "c"))[0], says("b", "alive", 2));
    const told = only(bench.gossip("c", says("d", status, 0, "c")), "ack").filter((m) => m.to === "c");
    deepEqual(told[0]?.updates[0], says("d", "left", 0));
  }
});

// ---- Lifeguard

Deno.test("Lifeguard IV.A: failed probes raise the local health score, answered ones lower it", () => {
  const bench = Bench.started(["b"]);
  bench.untilProbed("b");
  const [again] = only(bench.pass(probeIntervalUs), "ping").slice(-1);
  equal(bench.machine.health, 1);
  bench.answer("b", again!.sequence);
  equal(bench.machine.health, 0);
});

Deno.test("Lifeguard IV.A: missing nacks raise the score, nacks that come say that only the target is at fault", () => {
  for (const nacks of [0, 1, 2]) {
    const bench = Bench.started(["b", "c", "d"]);
    const sequence = bench.untilProbed("b");
    const asked = only(bench.pass(probeTimeoutUs), "ping-request");
    for (const { to } of asked.slice(0, nacks)) {
      bench.hear(to, { kind: "nack", sequence });
      bench.hear(to, { kind: "nack", sequence });
    }
    const others: Sent[] = bench.pass(probeIntervalUs - probeTimeoutUs);
    ok(others.length > 0);
    equal(bench.machine.health, 2 - nacks);
  }
});

Deno.test("Lifeguard IV.A: the score stretches the protocol period and the probe timeout", () => {
  const bench = Bench.started(["b", "c", "d"]);
  for (let i = 0; i < 12; i++) bench.ping("b", says("a", "suspect", bench.machine.incarnation, "c"));
  equal(bench.machine.health, 8, "it saturates");
  const sequence = bench.untilProbed("d");
  const health = bench.machine.health;
  ok(health > 0 && sequence > 0);
  deepEqual(only(bench.pass(probeTimeoutUs * (1 + health) - 1), "ping-request"), []);
  equal(only(bench.pass(1), "ping-request").length, 2);
});

Deno.test("Lifeguard IV.A: a helper sends a nack before the prober gives up, and an answer after it all the same", () => {
  const bench = Bench.started(["b", "c"]);
  const [ping] = only(
    bench.hear("b", { kind: "ping-request", sequence: 41, target: c, updates: NO_UPDATES }),
    "ping",
  );
  deepEqual(only(bench.pass(probeTimeoutUs * 8 / 10 - 1), "nack"), []);
  deepEqual(only(bench.pass(1), "nack"), [{ to: b, kind: "nack", sequence: 41 }]);
  ok(only(bench.answer("c", ping!.sequence), "ack").some((m) => m.to === "b" && m.sequence === 41));
});

Deno.test("Lifeguard IV.B: confirmations by others shorten a suspicion, the same one twice does not", () => {
  const deathAfter = (...confirmers: string[]) => {
    const bench = Bench.started(["b", "c", "d", "e", "f"]);
    bench.gossip("c", says("b", "suspect", 0, "c"));
    const start = bench.now;
    for (const by of confirmers) bench.gossip("c", says("b", "suspect", 0, by));
    while (bench.machine.liveness(b) === "suspect") {
      bench.now = bench.machine.nextWake();
      for (const m of only(bench.act((m, now, effects) => m.wake(now, effects)), "ping")) {
        if (m.to !== "b") bench.answer(m.to, m.sequence);
      }
    }
    return bench.now - start;
  };
  const alone = deathAfter("c"), two = deathAfter("d"), three = deathAfter("d", "e");
  ok(alone > two && two > three, `${alone} > ${two} > ${three}`);
  // With a's own failed probe, d and e, all three confirmations are there: the shortest.
  equal(three, DEFAULT_SETTINGS.suspicionMultiplier * probeIntervalUs);
  equal(deathAfter("d", "d", "b", "nobody"), two, "known members, once each, and not the suspect itself");
});

Deno.test("Lifeguard IV.C: a ping tells a suspect of its suspicion first (buddy system)", () => {
  const bench = Bench.started(["b", "c"]);
  const suspicion = says("b", "suspect", 0, "c");
  const sent = bench.gossip("c", suspicion);
  const ping = only(sent, "ping").find((m) => m.to === "b");
  deepEqual(ping?.updates[0], suspicion, "whoever hears of it looks at once");
  deepEqual(bench.ping("b")[0], suspicion, "and when the suspect pings, the ack tells it");
});

// ---- this project's own

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
