import assert from "node:assert/strict";
import { LIMITS } from "../../../core/base/limits.ts";
import { DEFAULT_TUNING, type Tuning, tuningOf } from "../../../core/base/tuning.ts";

Deno.test("DEFAULT_TUNING is LIMITS, by name", () => {
  for (const name of Object.keys(DEFAULT_TUNING) as (keyof Tuning)[]) {
    assert.equal(DEFAULT_TUNING[name], LIMITS[name], name);
  }
});

Deno.test("tuningOf() keeps what is given and refuses what is out of bounds or frees nothing", () => {
  assert.equal(tuningOf({ logEntriesKept: 7 }).logEntriesKept, 7);
  assert.throws(() => tuningOf({ logEntriesKept: 0 }), /logEntriesKept is an integer from 1 to 512, not 0/);
  assert.throws(() => tuningOf({ logBytesMax: LIMITS.logBytesMax + 1 }), /logBytesMax/);
  assert.throws(() => tuningOf({ logEntriesMax: 8, logEntriesKept: 8 }), /Compaction must free something/);
});
