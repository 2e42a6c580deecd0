import assert from "node:assert/strict";
import fc from "fast-check";
import { type Instant, NEVER } from "../../core/base/ids.ts";
import { Clock } from "../../sim/clock.ts";

const drift = fc.integer({ min: -100_000, max: 100_000 });

Deno.test("Clock.read() never decreases through drifts and jumps", () => {
  const change = fc.record({ after: fc.nat(1_000_000), jump: fc.nat(1_000_000), driftPpm: drift });
  fc.assert(fc.property(fc.nat(1_000_000), drift, fc.array(change), (offsetUs, driftPpm, changes) => {
    const clock = new Clock({ offsetUs, driftPpm });
    let at = 0, last = clock.read(0) as number;
    assert.equal(last, offsetUs);
    for (const c of changes) {
      at += c.after;
      clock.jump(c.jump, at);
      clock.setDrift(c.driftPpm, at);
      const read = clock.read(at);
      assert.ok(read >= last);
      last = read;
    }
  }));
});

Deno.test("Clock.virtual() is the first time that shows what was asked for", () => {
  fc.assert(fc.property(fc.nat(1e9), drift, fc.nat(1e9), fc.nat(1e9), (offsetUs, driftPpm, from, ahead) => {
    const twin = () => new Clock({ offsetUs, driftPpm });
    const local = (twin().read(from) + ahead) as Instant;
    const at = twin().virtual(local, from);
    assert.ok(at >= from);
    assert.ok(twin().read(at) >= local);
    if (at > from) assert.ok(twin().read(at - 1) < local);
  }));
});

Deno.test("Clock.virtual() of NEVER is Infinity", () => {
  assert.equal(new Clock({ offsetUs: 0, driftPpm: 0 }).virtual(NEVER, 5), Infinity);
});

Deno.test("Clock refuses a drift that would stop it", () => {
  assert.throws(() => new Clock({ offsetUs: 0, driftPpm: -1_000_000 }), RangeError);
  assert.throws(() => new Clock({ offsetUs: -1, driftPpm: 0 }), RangeError);
});
