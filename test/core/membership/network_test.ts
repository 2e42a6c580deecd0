import { deepEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import type { NodeId } from "../../../core/base/ids.ts";
import { Network, SECOND } from "./network.ts";

const seed = fc.integer({ min: 0, max: 2 ** 31 });
const few = { numRuns: 20 };

Deno.test("No faults: nobody is ever suspected, on any seed and size", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 2, max: 50 }), (seed, nodes) => {
      const network = new Network({ seed, nodes, latencyUs: [200, 60_000], duplicatePercent: 5 });
      network.run(20 * SECOND);
      deepEqual(network.trace, []);
    }),
    few,
  );
});

Deno.test("SWIM 2: completeness: every living node learns of every crash, and of no other", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 3, max: 30 }), fc.boolean(), (seed, nodes, reset) => {
      const network = new Network({ seed, nodes });
      network.run(3 * SECOND);
      const victim = network.names[seed % nodes]!;
      network.crash(victim, { reset });
      network.runUntil(() => network.converged(), 15 * SECOND);
      network.run(5 * SECOND);
      ok(network.converged());
      deepEqual([...new Set(network.seen.map((o) => o.node))], [victim]);
      equal(network.observed("dead").length, nodes - 1, "each reports it once");
    }),
    few,
  );
});

Deno.test("Detection: a crash is known everywhere within 3 s, with connections reset within 1.3 s", () => {
  for (let seed = 1; seed <= 30; seed++) {
    for (const nodes of [3, 5, 10]) {
      for (const reset of [false, true]) {
        const network = new Network({ seed, nodes });
        network.run(3 * SECOND);
        network.crash(network.names[seed % nodes]!, { reset });
        const tookUs = network.runUntil(() => network.converged(), 10 * SECOND);
        ok(tookUs <= (reset ? 1_300_000 : 3_000_000), `${tookUs} us, seed ${seed}, ${nodes} nodes, ${reset}`);
      }
    }
  }
});

Deno.test("A third of 30 nodes at once: the rest learn of all and wrong nobody", () => {
  fc.assert(
    fc.property(seed, (seed) => {
      const network = new Network({ seed, nodes: 30 });
      network.run(3 * SECOND);
      const victims = network.names.filter((_, i) => i % 3 === 0);
      for (const victim of victims) network.crash(victim, { reset: seed % 2 === 0 });
      network.runUntil(() => network.converged(), 30 * SECOND);
      ok(network.observed("dead").every((o) => victims.includes(o.node)));
    }),
    { numRuns: 10 },
  );
});

Deno.test("Accuracy: 5% loss kills nobody, and whoever is suspected refutes", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 3, max: 30 }), (seed, nodes) => {
      const network = new Network({ seed, nodes, lossPercent: 5 });
      network.run(120 * SECOND);
      deepEqual(network.observed("dead"), []);
    }),
    few,
  );
});

Deno.test("SWIM 4.2: refutation wins: a suspicion started by a lost link ends everywhere, without a death", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 4, max: 20 }), (seed, nodes) => {
      const network = new Network({ seed, nodes });
      network.run(2 * SECOND);
      const [one, other] = network.names as [NodeId, NodeId];
      // One-way: `other` hears nothing of `one`, helpers reach it.
      network.connected = (from, to) => !(from === one && to === other);
      network.run(60 * SECOND);
      deepEqual(network.observed("dead"), []);
      network.heal();
      network.runUntil(() => network.converged(), 20 * SECOND);
    }),
    few,
  );
});

Deno.test("Lifeguard: one slow node does not get the healthy ones killed", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 4, max: 20 }), (seed, nodes) => {
      const network = new Network({ seed, nodes });
      network.run(2 * SECOND);
      const slow = network.names[0]!;
      network.slow(slow, 400_000);
      network.run(120 * SECOND);
      deepEqual(network.observed("dead").filter((o) => o.node !== slow), []);
      network.slow(slow, 0);
      network.runUntil(() => network.converged(), 60 * SECOND);
    }),
    few,
  );
});

Deno.test("A process stopped for 20 s buries nobody when it goes on, and is taken back", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 3, max: 20 }), (seed, nodes) => {
      const network = new Network({ seed, nodes });
      network.run(2 * SECOND);
      const stopped = network.names[0]!;
      network.pause(stopped, 20 * SECOND);
      network.run(20 * SECOND);
      deepEqual([...new Set(network.observed("dead").map((o) => o.node))], [stopped]);
      network.runUntil(() => network.converged(), 20 * SECOND);
      ok(network.observed("dead").every((o) => o.node === stopped));
    }),
    few,
  );
});

Deno.test("Partition: each half buries the other; healed, all are alive again by themselves and no one wronged", () => {
  fc.assert(
    fc.property(
      seed,
      fc.integer({ min: 2, max: 30 }),
      fc.integer({ min: 1, max: 29 }),
      (seed, nodes, cut) => {
        const network = new Network({ seed, nodes });
        network.run(2 * SECOND);
        const left = network.names.slice(0, 1 + cut % (nodes - 1)), right = network.names.slice(left.length);
        network.partition(left, right);
        // Long, because a few that lost many doubt themselves first (Lifeguard) and go on slowly.
        network.run(300 * SECOND);
        for (const name of network.names) {
          const own = left.includes(name) ? left : right;
          for (const node of network.names) {
            if (node === name) continue;
            equal(network.machine(name).liveness(node), own.includes(node) ? "alive" : "dead");
          }
        }
        const healed = network.now;
        network.heal();
        network.runUntil(() => network.converged(), 60 * SECOND);
        deepEqual(network.seen.filter((o) => o.at > healed && o.status !== "alive"), []);
      },
    ),
    few,
  );
});

Deno.test("Total isolation: a node that lost all others for ten minutes finds them again", () => {
  for (let seed = 1; seed <= 10; seed++) {
    const network = new Network({ seed, nodes: 5 });
    network.run(2 * SECOND);
    network.partition(...network.names.map((name) => [name]));
    network.run(600 * SECOND);
    for (const name of network.names) equal(network.machine(name).reachable, 0);
    network.heal();
    network.runUntil(() => network.converged(), 10 * SECOND);
  }
});

Deno.test("Restart: all processes crash and come back elsewhere, from their journals, and find each other", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 2, max: 20 }), fc.boolean(), (seed, nodes, moved) => {
      const network = new Network({ seed, nodes });
      network.run(2 * SECOND);
      for (const name of network.names) network.crash(name);
      network.run(5 * SECOND);
      for (const name of network.names) network.restart(name, moved ? `${name}:2` : `${name}:1`);
      const agreed = () =>
        network.converged() &&
        network.names.every((who) =>
          network.names.every((name) =>
            network.machine(who).addressOf(name) === (moved ? `${name}:2` : `${name}:1`)
          )
        );
      network.runUntil(agreed, 60 * SECOND);
    }),
    few,
  );
});

Deno.test("Restart: a crashed node is back in everybody's eyes soon after it starts", () => {
  fc.assert(
    fc.property(
      seed,
      fc.integer({ min: 2, max: 20 }),
      fc.integer({ min: 0, max: 10_000_000 }),
      (seed, nodes, downUs) => {
        const network = new Network({ seed, nodes });
        network.run(2 * SECOND);
        const victim = network.names[nodes - 1]!;
        network.crash(victim, { reset: true });
        network.run(downUs);
        network.restart(victim);
        network.runUntil(() => network.converged(), 30 * SECOND);
      },
    ),
    few,
  );
});

Deno.test("leave(): a member that leaves is never reported suspect or dead", () => {
  fc.assert(
    fc.property(seed, fc.integer({ min: 2, max: 30 }), (seed, nodes) => {
      const network = new Network({ seed, nodes });
      network.run(2 * SECOND);
      const gone = network.names[seed % nodes]!;
      network.leave(gone);
      network.run(SECOND);
      network.crash(gone, { reset: true });
      network.run(20 * SECOND);
      ok(network.agree((node) => (node === gone ? "left" : "alive")));
      ok(network.seen.every((o) => o.node === gone && o.status === "left"));
    }),
    few,
  );
});

Deno.test("Churn: crashes, restarts, partitions and loss at random, then healed: all agree with the truth", () => {
  const fault = fc.record({
    kind: fc.constantFrom("crash", "reset", "restart", "partition", "heal", "pause", "slow"),
    node: fc.nat(11),
    us: fc.integer({ min: 0, max: 5_000_000 }),
  });
  fc.assert(
    fc.property(seed, fc.array(fault, { maxLength: 20 }), (seed, faults) => {
      const network = new Network({ seed, nodes: 12, lossPercent: 3, duplicatePercent: 3 });
      const down = new Set<NodeId>();
      for (const { kind, node, us } of faults) {
        const name = network.names[node]!;
        if (kind === "partition") network.partition(network.names.slice(0, node), network.names.slice(node));
        else if (kind === "heal") network.heal();
        else if (kind === "pause") network.pause(name, us);
        else if (kind === "slow") network.slow(name, us / 10);
        else if (kind === "restart") {
          if (down.delete(name)) network.restart(name);
        } else if (!down.has(name)) {
          down.add(name);
          network.crash(name, { reset: kind === "reset" });
        }
        network.run(us);
      }
      network.heal();
      for (const name of network.names) network.slow(name, 0);
      network.runUntil(() => network.converged(), 90 * SECOND);
    }),
    few,
  );
});

Deno.test("Determinism: the same seed gives the same trace, another seed another", () => {
  const trace = (seed: number) => {
    const network = new Network({ seed, nodes: 10, lossPercent: 5 });
    network.run(5 * SECOND);
    network.crash(network.names[1]!, { reset: true });
    network.partition(network.names.slice(0, 5), network.names.slice(5));
    network.run(20 * SECOND);
    network.heal();
    network.run(20 * SECOND);
    const prints = network.names.map((name) => network.machine(name).fingerprint());
    return [network.messages, prints, network.trace];
  };
  deepEqual(trace(1), trace(1));
  ok(JSON.stringify(trace(1)) !== JSON.stringify(trace(2)));
});

Deno.test("Calm: each node sends four messages a second, however many there are", () => {
  for (const nodes of [3, 50]) {
    const network = new Network({ seed: 1, nodes });
    network.run(10 * SECOND);
    const before = network.messages;
    network.run(20 * SECOND);
    const each = (network.messages - before) / nodes / 20;
    ok(each >= 3.9 && each <= 4.3, `${each} messages a second from each of ${nodes}`);
  }
});
