import { Random } from "../core/base/random.ts";
import { EventHeap } from "../sim/heap.ts";
import { Loop } from "../sim/loop.ts";

const OPERATIONS = 100_000;
const random = Random.fromSeed(1);
const delays = Int32Array.from({ length: 1 << 16 }, () => random.below(100_000));

for (const size of [100, 1_000, 10_000, 100_000]) {
  const heap = new EventHeap(size);
  for (let i = 0; i < size; i++) heap.push(delays[i & 0xffff]!, 0, i, 0, null);
  let next = 0;
  Deno.bench(`event heap of ${size}: ${OPERATIONS} pop + push`, { group: "heap" }, () => {
    for (let i = 0; i < OPERATIONS; i++) {
      heap.pop();
      heap.push(heap.time + delays[next++ & 0xffff]!, 0, i, 0, null);
    }
  });
}

Deno.bench(`bare loop: ${OPERATIONS} events of 1,000 timers`, { group: "loop" }, () => {
  const loop = new Loop();
  let next = 0;
  const handler = {
    handle(kind: number, a: number, b: number, payload: unknown): void {
      if (loop.events >= OPERATIONS) loop.halt();
      loop.at(loop.now + delays[next++ & 0xffff]!, kind, a, b, payload);
    },
    alarm(): void {},
  };
  for (let i = 0; i < 1_000; i++) loop.at(delays[i]!, 0, i, 0, null);
  loop.run(handler, Number.MAX_SAFE_INTEGER);
});
