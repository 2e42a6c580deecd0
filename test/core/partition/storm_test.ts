import assert from "node:assert/strict";
import { useTinyLimits } from "./cluster.ts";
import { storm } from "./storm.ts";

useTinyLimits();

Deno.test("Replica keeps Raft's promises through storms of faults, and comes together afterwards", () => {
  let acknowledged = 0, snapshots = 0, reads = 0, transfers = 0, dropped = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const report = storm({ seed, stormUs: 6_000_000 });
    acknowledged += report.acknowledged;
    reads += report.reads;
    snapshots += report.tally.get("snapshot-installed") ?? 0;
    transfers += report.tally.get("transfer") ?? 0;
    dropped += report.tally.get("dropped") ?? 0;
  }
  // A storm in which nothing happens proves nothing.
  assert.ok(acknowledged > 10_000 && reads > 5000 && snapshots > 200 && transfers > 50 && dropped > 50);
});

Deno.test("Replica replays bit for bit", () => {
  for (const seed of [3, 17, 40]) assert.equal(storm({ seed }).digest, storm({ seed }).digest);
});

/** Seeds that once found a fault, by what it was. Run whole: their course is the one that found it, or close to it. */
const REGRESSIONS: readonly (readonly [number, string])[] = [
  [
    13,
    "A replica that was dropped and crashed before its tables were durable began with rows it should not have",
  ],
  [24, "A snapshot crept on at one chunk a retry where chunks overtook each other"],
  [324, "A leader offered a snapshot of the empty state"],
  [
    432,
    "A leader could commit nothing without voters that waited for a snapshot it would not send before it committed",
  ],
  [750, "A read hung whose round was under way when its leader was left alone"],
  [895, "A learner on its way to being a voter was told by an older configuration to drop its log"],
  [
    2725,
    "No one could be elected where only a server that an uncommitted configuration leaves out had the entry",
  ],
  [3301, "A snapshot was repeated for ever to a follower that had crashed and been sent an old first chunk"],
];
for (const [seed, what] of REGRESSIONS) {
  Deno.test(`Seed ${seed}: ${what}`, () => {
    storm({ seed });
  });
}

Deno.test("The watchers catch a disk that says durable too early", () => {
  const complaints: string[] = [];
  for (let seed = 1; seed <= 25; seed++) {
    try {
      storm({ seed, lyingDisk: true });
    } catch (error) {
      complaints.push((error as Error).message);
    }
  }
  assert.ok(complaints.some((c) => /leads term \d+ with \d+ of \d+ entries/.test(c)), complaints.join("\n"));
});
