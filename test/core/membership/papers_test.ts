import { deepEqual, equal, ok } from "node:assert/strict";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { NO_UPDATES } from "../../../core/membership/gossip_queue.ts";
import { a, b, Bench, c, only, probeIntervalUs, probeTimeoutUs, says, type Sent } from "./bench.ts";

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
