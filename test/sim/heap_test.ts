import assert from "node:assert/strict";
import fc from "fast-check";
import { EventHeap } from "../../sim/heap.ts";

/** The slow, obvious queue: an array sorted before each pop. */
class NaiveQueue {
  #events: { time: number; sequence: number; payload: unknown }[] = [];
  #sequence = 0;
  push(time: number, payload: unknown): void {
    this.#events.push({ time, sequence: this.#sequence++, payload });
  }
  pop() {
    this.#events.sort((x, y) => x.time - y.time || x.sequence - y.sequence);
    return this.#events.shift();
  }
}

Deno.test("EventHeap gives what a sorted array gives, pushes and pops mixed", () => {
  const action = fc.oneof(
    { weight: 3, arbitrary: fc.record({ push: fc.integer({ min: 0, max: 20 }) }) },
    { weight: 2, arbitrary: fc.constant("pop" as const) },
  );
  fc.assert(fc.property(fc.array(action, { maxLength: 400 }), (actions) => {
    const heap = new EventHeap(2), naive = new NaiveQueue();
    let pushed = 0;
    for (const act of actions) {
      if (act === "pop") {
        const expected = naive.pop();
        assert.equal(heap.pop(), expected !== undefined);
        if (expected) {
          assert.deepEqual([heap.time, heap.sequence, heap.payload], [
            expected.time,
            expected.sequence,
            expected.payload,
          ]);
        }
      } else {
        const payload = { number: pushed++ };
        heap.push(act.push, pushed & 0xff, pushed, -pushed, payload);
        naive.push(act.push, payload);
      }
    }
    for (let expected = naive.pop(); expected; expected = naive.pop()) {
      assert.equal(heap.nextTime, expected.time);
      assert.ok(heap.pop());
      assert.equal(heap.payload, expected.payload);
      const number = (heap.payload as { number: number }).number + 1;
      assert.deepEqual([heap.kind, heap.a, heap.b], [number & 0xff, number, -number]);
    }
    assert.equal(heap.size, 0);
  }));
});

Deno.test("EventHeap keeps the order of pushes at one time", () => {
  const heap = new EventHeap(1);
  for (let i = 0; i < 100; i++) heap.push(7, 0, i, 0, null);
  const order: number[] = [];
  while (heap.pop()) order.push(heap.a);
  assert.deepEqual(order, Array.from({ length: 100 }, (_, i) => i));
});

Deno.test("EventHeap nextTime is Infinity when empty", () => {
  const heap = new EventHeap();
  assert.equal(heap.nextTime, Infinity);
  assert.equal(heap.pop(), false);
});

Deno.test("EventHeap refuses a capacity below one", () => {
  assert.throws(() => new EventHeap(0), RangeError);
});
