import assert from "node:assert/strict";
import { LogLimit } from "../../../cli/host/log_limit.ts";

Deno.test("LogLimit lets a few lines through, and tells later how many it held back", () => {
  let now = 5;
  const limit = new LogLimit({ clock: () => now });
  const taken = Array.from({ length: 1000 }, () => limit.take());
  assert.deepEqual(taken.slice(0, 20), Array(20).fill(0));
  assert.deepEqual(taken.slice(20), Array(980).fill(null));
  now += 10_000;
  assert.deepEqual([limit.take(), limit.take()], [980, 0]);
});
