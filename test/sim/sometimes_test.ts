import assert from "node:assert/strict";
import { countFired, neverFired, Sometimes, SOMETIMES_NAMES } from "../../sim/sometimes.ts";
import { SweepTotals, type SweptSeed } from "../../sim/sweep_totals.ts";

function swept(seed: number, more: Partial<SweptSeed> = {}): SweptSeed {
  const nothing = { events: 0, virtualSeconds: 0, operations: 0, wallSeconds: 0, faults: [], sometimes: [] };
  return { seed, ok: true, ...nothing, ...more };
}

Deno.test("Sometimes tells what was so, once each, in the order of the registry", () => {
  const sometimes = new Sometimes();
  for (const name of ["snapshot installed", "log compacted", "snapshot installed"] as const) {
    sometimes.fire(name);
  }
  assert.deepEqual(sometimes.fired, ["log compacted", "snapshot installed"]);
});

Deno.test("neverFired() demands a situation only of a sweep that is long enough for it", () => {
  const counts = countFired([["snapshot installed"]]);
  assert.equal(neverFired(counts, 199).missing.length, 0);
  const often = neverFired(counts, 200);
  assert.ok(often.missing.includes("log compacted") && !often.missing.includes("snapshot installed"));
  assert.ok(often.tolerated.includes("joint configuration rolled back"));
  assert.equal(neverFired(counts, 2000).missing.length, SOMETIMES_NAMES.length - 1);
});

Deno.test("SweepTotals of a swarm miss what never came; those of another scenario miss nothing", () => {
  const seeds = Array.from({ length: 200 }, (_, i) => swept(i + 1));
  assert.ok(new SweepTotals(seeds, true).missing.includes("lease expired"));
  assert.match(new SweepTotals(seeds, true).describe(), /MISSING lease expired: /);
  assert.deepEqual(new SweepTotals(seeds, false).missing, []);
});

Deno.test("SweepTotals adds up seeds, and names the slowest first", () => {
  const totals = new SweepTotals([
    swept(1, { wallSeconds: 1, virtualSeconds: 1800, faults: [["crash", 2]], sometimes: ["log compacted"] }),
    swept(2, { wallSeconds: 3, virtualSeconds: 1800, faults: [["crash", 1], ["jump", 1]] }),
  ], true);
  assert.match(
    totals.describe(),
    /1\.0 virtual hours.*4 s of work\nfaults +3 crash, 1 jump\nslowest +2 \(3\.0 s\), 1/,
  );
});
