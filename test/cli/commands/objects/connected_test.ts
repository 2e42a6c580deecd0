import assert from "node:assert/strict";
import { asUsage, Gate, isPassing, persistently } from "../../../../cli/commands/objects/connected.ts";
import { UsageError } from "../../../../cli/commands/errors.ts";
import { ObjectError } from "../../../../core/objects/types.ts";

Deno.test("Gate lets so many through at once, in their order, also after one has failed", async () => {
  const gate = new Gate(2);
  const ends: (() => void)[] = [];
  const begun: number[] = [];
  const works = [0, 1, 2, 3].map((number) =>
    gate.through(async () => {
      begun.push(number);
      await new Promise<void>((end) => ends.push(end));
      if (number === 0) throw new Error("broken");
      return number;
    })
  );
  const failed = assert.rejects(works[0]!, /broken/);
  const turn = () => new Promise((done) => setTimeout(done));
  await turn();
  assert.deepEqual(begun, [0, 1]);
  ends[0]!();
  await turn();
  assert.deepEqual(begun, [0, 1, 2]);
  ends[1]!();
  ends[2]!();
  await turn();
  ends[3]!();
  await failed;
  assert.deepEqual(await Promise.all(works.slice(1)), [1, 2, 3]);
});

Deno.test("persistently() tries again what may pass, and nothing else, and stops when told to", async () => {
  const passing = new ObjectError("unavailable", "Try again");
  let tries = 0;
  const failing = (times: number, error: Error) => () => {
    tries++;
    return tries <= times ? Promise.reject(error) : Promise.resolve("done");
  };
  const { signal } = new AbortController();
  assert.equal(await persistently(2, signal, failing(1, passing)), "done");
  tries = 0;
  await assert.rejects(persistently(2, signal, failing(2, passing)), /Try again/);
  assert.equal(tries, 2);
  tries = 0;
  await assert.rejects(persistently(2, signal, failing(2, new ObjectError("denied", "No"))), /No/);
  assert.equal(tries, 1);
  tries = 0;
  await assert.rejects(persistently(2, AbortSignal.abort(), failing(2, passing)), /Try again/);
  assert.equal(tries, 1);
});

Deno.test("what cannot be meant is wrong usage, whatever else failed is not", () => {
  assert(asUsage(new ObjectError("invalid", "x")) instanceof UsageError);
  const other = new ObjectError("no-such-key", "x");
  assert.equal(asUsage(other), other);
  assert(!isPassing(other) && !isPassing(new Error("x")));
});
