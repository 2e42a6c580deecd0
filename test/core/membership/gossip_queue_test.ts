import { deepEqual, equal, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { nodeId } from "../../../core/base/ids.ts";
import { LIMITS } from "../../../core/base/limits.ts";
import {
  GossipQueue,
  NO_UPDATES,
  retransmitLimit,
  updateBytes,
} from "../../../core/membership/gossip_queue.ts";
import type { Update } from "../../../core/wire/messages.ts";

function update(name: string, incarnation = 0, addressLength = 4): Update {
  const node = nodeId(name);
  return { node, address: "x".repeat(addressLength), incarnation, status: "alive", by: node };
}

/** The naive twin: sorts everything by (times sent, order of arrival there) for each message. */
class SlowQueue {
  #entries: { update: Update; sent: number; order: number }[] = [];
  #order = 0;

  get size(): number {
    return this.#entries.length;
  }
  put(update: Update, urgent: boolean): void {
    this.remove(update.node);
    this.#entries.push({ update, sent: urgent ? 0 : 1, order: this.#order++ });
  }
  putBeside(update: Update): void {
    this.#entries.push({ update, sent: 1, order: this.#order++ });
  }
  remove(node: string): void {
    this.#entries = this.#entries.filter((entry) => entry.update.node !== node);
  }
  take(first: Update | null, limit: number): Update[] {
    const out = first === null ? [] : [first];
    let bytes = first === null ? 0 : updateBytes(first);
    const sorted = this.#entries.sort((a, b) => a.sent - b.sent || a.order - b.order);
    const taken = [];
    for (const entry of sorted) {
      if (entry.sent > limit) continue;
      if (entry.update !== first) {
        bytes += updateBytes(entry.update);
        if (out.length >= LIMITS.gossipUpdatesMax || bytes > LIMITS.gossipBytesMax) break;
        out.push(entry.update);
      }
      taken.push(entry);
    }
    for (const entry of taken) {
      entry.sent++;
      entry.order = this.#order++;
    }
    this.#entries = this.#entries.filter((entry) => entry.sent <= limit);
    return out;
  }
}

const command = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ put: fc.nat(60), urgent: fc.boolean(), length: fc.constantFrom(4, 255) }),
  },
  { weight: 1, arbitrary: fc.record({ beside: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ remove: fc.nat(60) }) },
  { weight: 4, arbitrary: fc.record({ take: fc.constantFrom(4, 8), first: fc.boolean() }) },
);

Deno.test("GossipQueue chooses as its naive twin does", () => {
  fc.assert(fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
    const queue = new GossipQueue(), slow = new SlowQueue();
    let last: Update = update("first");
    commands.forEach((c, i) => {
      if ("put" in c) {
        last = update(`n${c.put}`, i, c.length);
        queue.put(last, c.urgent);
        slow.put(last, c.urgent);
      } else if ("beside" in c) {
        const beside = update(`n${c.beside}`, i);
        queue.putBeside(beside);
        slow.putBeside(beside);
      } else if ("remove" in c) {
        queue.remove(nodeId(`n${c.remove}`));
        slow.remove(`n${c.remove}`);
      } else {
        const first = c.first ? last : null;
        deepEqual(queue.take(first, c.take), slow.take(first, c.take));
      }
    });
    // Drained at last: nothing is lost and nothing is kept for ever.
    for (let i = 0; i < 1000 && queue.size > 0; i++) deepEqual(queue.take(null, 4), slow.take(null, 4));
    equal(queue.size, 0);
  }));
});

Deno.test("GossipQueue keeps to the limits of one message and to the number of sendings", () => {
  const queue = new GossipQueue();
  const sent = new Map<string, number>();
  for (let i = 0; i < 100; i++) queue.put(update(`n${i}`, 0, 1 + i));
  while (queue.size > 0) {
    const updates = queue.take(null, 8);
    ok(updates.length <= LIMITS.gossipUpdatesMax);
    ok(updates.reduce((sum, u) => sum + updateBytes(u), 0) <= LIMITS.gossipBytesMax);
    for (const { node } of updates) sent.set(node, (sent.get(node) ?? 0) + 1);
  }
  deepEqual([...new Set(sent.values())], [8]);
  equal(sent.size, 100);
});

Deno.test("GossipQueue gives one shared list where there is no news", () => {
  strictEqual(new GossipQueue().take(null, 8), NO_UPDATES);
  ok(Object.isFrozen(NO_UPDATES));
});

Deno.test("SWIM 4.1: news is sent λ·ceil(log10(n + 1)) times", () => {
  for (const n of [1, 2, 9, 10, 50, 99, 100, 999, 1000, 10_000]) {
    equal(retransmitLimit(n), 4 * Math.ceil(Math.log10(n + 1) - 1e-12), `n = ${n}`);
  }
});
