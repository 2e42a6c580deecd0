import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Mutant, mutate } from "../../mutants/mutant.ts";
import { JOURNAL_MUTANTS } from "./journal_mutants.ts";
import { sweep } from "./journal_sweep.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** What the sweep needs of the tree. */
const COPIED = [
  "core/base",
  "core/wire",
  "cli/host",
  "sim/simulated_files.ts",
  "test/cli/host",
  "test/support",
  "deno.json",
  "deno.lock",
];
/** A broken journal has this many stories to be caught in; each is caught in one of the first few. */
const SEEDS = "1..60";

Deno.test("JournalFiles loses nothing that was durable wherever the power fails, then fails again", async () => {
  let recoveries = 0, failures = 0;
  for (let seed = 1; seed <= 6; seed++) {
    const swept = await sweep({ seed });
    recoveries += swept.recoveries;
    failures += swept.failures;
  }
  assert.ok(recoveries > 500 && failures > 0, `${recoveries} recoveries, ${failures} failures`);
});

Deno.test("the sweep of crashes catches every journal that is broken on purpose", async () => {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-sweep-" });
  try {
    const waiting = [...JOURNAL_MUTANTS], escaped: string[] = [];
    await Promise.all(["a", "b"].map(async (name) => {
      const tree = join(directory, name);
      for (const path of COPIED) copy(path, tree);
      for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
        const said = await hunt(mutant, tree);
        if (said !== null) escaped.push(`${mutant.name}: ${said}`);
      }
    }));
    assert.deepEqual(escaped, []);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

/** What the sweep says of a copy of the tree with this mistake in it; null: it has caught it. */
async function hunt(mutant: Mutant, tree: string): Promise<string | null> {
  const source = await Deno.readTextFile(join(ROOT, mutant.file));
  await Deno.writeTextFile(join(tree, mutant.file), mutate(source, mutant));
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "test/cli/host/journal_sweep.ts", SEEDS],
    cwd: tree,
  }).output();
  await Deno.writeTextFile(join(tree, mutant.file), source);
  const said = new TextDecoder().decode(stderr);
  return code === 1 && /^Seed \d+: /.test(said) ? null : `exit code ${code}: ${said}`;
}

function copy(path: string, directory: string): void {
  const from = join(ROOT, path), to = join(directory, path);
  if (Deno.statSync(from).isDirectory) {
    Deno.mkdirSync(to, { recursive: true });
    for (const { name } of Deno.readDirSync(from)) copy(join(path, name), directory);
  } else {
    Deno.mkdirSync(dirname(to), { recursive: true });
    Deno.copyFileSync(from, to);
  }
}
