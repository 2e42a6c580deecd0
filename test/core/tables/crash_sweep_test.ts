import assert from "node:assert/strict";
import { sweep } from "./crash_sweep.ts";

Deno.test("Tables open to a whole step, whatever operation the power failed after", () => {
  let openings = 0, failures = 0;
  for (let seed = 1; seed <= 6; seed++) {
    const swept = sweep({ seed });
    openings += swept.openings;
    failures += swept.failures;
  }
  assert(openings > 500 && failures > 3, `${openings} openings, ${failures} failures`);
});
