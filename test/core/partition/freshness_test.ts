import assert from "node:assert/strict";
import type { Instant, LogIndex } from "../../../core/base/ids.ts";
import { decodeResponses, encodeResponses } from "../../../core/wire/codec.ts";
import { AGE_UNKNOWN_US } from "../../../core/wire/requests.ts";
import { Freshness } from "../../../core/partition/freshness.ts";

const at = (time: number) => time as Instant;
const index = (value: number) => value as LogIndex;

Deno.test("F1: the age counts from the newest append whose commit is applied", () => {
  const freshness = new Freshness();
  freshness.heard(index(5), index(3), at(100));
  assert.equal(freshness.ageUs(index(4), at(150)), AGE_UNKNOWN_US);
  assert.equal(freshness.ageUs(index(5), at(150)), 50);
  freshness.heard(index(9), index(5), at(200));
  assert.equal(freshness.ageUs(index(8), at(250)), 150);
});

Deno.test("F1: appends that come faster than they are applied do not make the age grow without end", () => {
  const freshness = new Freshness();
  let now = 0;
  for (let commit = 1; commit <= 50; commit++) {
    freshness.heard(index(commit), index(Math.max(0, commit - 3)), at(now += 10));
  }
  assert.ok(freshness.ageUs(index(47), at(now)) <= 60, String(freshness.ageUs(index(47), at(now))));
});

Deno.test("Seed 30: a replica that came back after a while said that what it had was new (F2)", () => {
  const freshness = new Freshness();
  assert.equal(freshness.ageUs(index(400), at(1_000_000)), AGE_UNKNOWN_US);
});

Deno.test("an answer of unknown age can be told to a client", () => {
  const answer = { id: 1, response: { kind: "value", found: null, ageUs: AGE_UNKNOWN_US } } as const;
  assert.deepEqual(decodeResponses(encodeResponses([answer])), [answer]);
});
