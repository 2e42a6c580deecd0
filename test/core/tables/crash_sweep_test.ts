import assert from "node:assert/strict";
import type { WritableFile } from "../../../core/tables/files.ts";
import { SimTableFiles } from "../../../sim/table_files.ts";
import { sweep, SweepError } from "./crash_sweep.ts";

Deno.test("Tables open to a whole step, whatever operation the power failed after", () => {
  let openings = 0, failures = 0;
  for (let seed = 1; seed <= 6; seed++) {
    const swept = sweep({ seed });
    openings += swept.openings;
    failures += swept.failures;
  }
  assert(openings > 500 && failures > 3, `${openings} openings, ${failures} failures`);
});

/** Says that names are certain, and they are not. */
class UnsyncedNames extends SimTableFiles {
  override syncDirectory(): void {
    this.done("sync directory, not really");
  }
}

/** Says that what was appended is certain, and it is not. */
class UnsyncedFiles extends SimTableFiles {
  override create(name: string): WritableFile {
    return { ...super.create(name), sync: () => this.done(`sync ${name}, not really`) };
  }
}

for (const Broken of [UnsyncedNames, UnsyncedFiles]) {
  Deno.test(`The sweep notices ${Broken.name}`, () => {
    const sweeps = () => {
      for (let seed = 1; seed <= 10; seed++) sweep({ seed, files: (random) => new Broken(random) });
    };
    assert.throws(sweeps, SweepError);
  });
}
