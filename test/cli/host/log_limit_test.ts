import assert from "node:assert/strict";
import { LogLimit, RepeatLimit } from "../../../cli/host/log_limit.ts";

Deno.test("LogLimit lets a few lines through, and tells later how many it held back", () => {
  let now = 5;
  const limit = new LogLimit({ clock: () => now });
  const taken = Array.from({ length: 1000 }, () => limit.take());
  assert.deepEqual(taken.slice(0, 20), Array(20).fill(0));
  assert.deepEqual(taken.slice(20), Array(980).fill(null));
  now += 10_000;
  assert.deepEqual([limit.take(), limit.take()], [980, 0]);
});

Deno.test("RepeatLimit lets a line through once in five minutes, tells how often it was held back, and others through", () => {
  let now = 5;
  const limit = new RepeatLimit({ clock: () => now });
  assert.equal(limit.take("10.0.0.1 TLS failed: socket hang up"), 0);
  for (let i = 0; i < 100; i++, now += 2_000) {
    assert.equal(limit.take("10.0.0.1 TLS failed: socket hang up"), null);
  }
  assert.equal(limit.take("10.0.0.1 it showed no certificate"), 0);
  assert.equal(limit.take("10.0.0.2 TLS failed: socket hang up"), 0);
  now += 100_000;
  assert.equal(limit.take("10.0.0.1 TLS failed: socket hang up"), 100);
  assert.equal(limit.take("10.0.0.1 TLS failed: socket hang up"), null);
});

Deno.test("RepeatLimit forgets what was written longest ago, however many different lines come", () => {
  const limit = new RepeatLimit({ clock: () => 5 });
  for (let i = 0; i < 1024; i++) assert.equal(limit.take(`line ${i}`), 0);
  assert.equal(limit.take("line 0"), null);
  assert.equal(limit.take("line 1024"), 0);
  assert.equal(limit.take("line 1"), null);
  assert.equal(limit.take("line 0"), 0, "forgotten");
});
