import assert from "node:assert/strict";
import { AtOnce } from "../../../../cli/host/chunks/at_once.ts";

Deno.test("what is quick is done at once, what has become slow is not, and now and then it is tried again", () => {
  let now = 0, takes = 0.1;
  const atOnce = new AtOnce(() => now);
  /** Of the next `count` pieces, how many are done at once. */
  const done = (count: number) => {
    let wise = 0;
    for (let i = 0; i < count; i++) {
      if (!atOnce.isWise()) continue;
      wise++;
      assert.equal(atOnce.run(() => (now += takes, i)), i);
    }
    return wise;
  };
  assert.equal(done(100), 100);
  takes = 5000;
  assert.equal(done(1), 1);
  assert.ok(done(1000) <= 17, "a disk that is slow is left to the threads, but for a try now and then");
  takes = 0.1;
  assert.ok(done(300) > 100, "it is quick again");

  takes = 20;
  done(1000);
  assert.throws(() =>
    new AtOnce().run(() => {
      throw new Error("told");
    }), /told/);
});

Deno.test("one slow piece among many quick ones changes nothing for long", () => {
  let now = 0;
  const atOnce = new AtOnce(() => now);
  let wise = 0;
  for (let i = 0; i < 1000; i++) {
    if (!atOnce.isWise()) continue;
    wise++;
    atOnce.run(() => now += i % 100 === 0 ? 30 : 0.1);
  }
  assert.equal(wise, 1000);
});
