import assert from "node:assert/strict";
import fc from "fast-check";
import { Alarms } from "../../sim/alarms.ts";

const command = fc.oneof(
  fc.record({
    owner: fc.nat(40),
    time: fc.oneof({ weight: 4, arbitrary: fc.nat(30) }, fc.constant(Infinity)),
  }),
  fc.constant("take" as const),
);

Deno.test("Alarms ring like their naive twin: by time, then owner, each only as it was set last", () => {
  fc.assert(fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
    const alarms = new Alarms(), twin = new Map<number, number>();
    const first = () => [...twin].sort(([a, at], [b, bt]) => at - bt || a - b)[0];
    for (const c of commands) {
      if (c !== "take") {
        alarms.set(c.owner, c.time);
        if (c.time === Infinity) twin.delete(c.owner);
        else twin.set(c.owner, c.time);
      } else if (first() !== undefined) {
        const [owner] = first()!;
        assert.equal(alarms.take(), owner);
        twin.delete(owner);
      }
      assert.equal(alarms.nextTime, first()?.[1] ?? Infinity);
    }
    while (first() !== undefined) {
      const [owner] = first()!;
      assert.equal(alarms.take(), owner);
      twin.delete(owner);
    }
    assert.equal(alarms.nextTime, Infinity);
  }));
});
