/** restic: backup, forget, prune, check and restore, byte for byte, a node killed in the middle of a backup. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withS3Network, writeFiles } from "./network.ts";

Deno.test("restic backs up, forgets, prunes, checks and restores while a node is killed", () =>
  withS3Network(async ({ run, runAndKill, folder, endpoint, lab }) => {
    const restic = ["--repo", `s3:${endpoint}/backups/home`];
    const here = await folder("here");
    await writeFiles(join(here, "first"), { files: 200, bytes: 200_000, seed: 11 });
    await run("restic", ...restic, "init");
    await run("restic", ...restic, "backup", here);
    await writeFiles(join(here, "second"), { files: 100, bytes: 3 * 1024 * 1024, seed: 12 });
    await Deno.remove(join(here, "first", "folder 0"), { recursive: true });
    const began = performance.now();
    const underWay = () => Promise.resolve(performance.now() - began > 1000);
    await runAndKill(underWay, "restic", ...restic, "backup", here);
    await run("restic", ...restic, "check");
    const restored = join(lab.directory, "restored");
    await run("restic", ...restic, "restore", "latest", "--target", restored);
    await run("diff", "-r", here, join(restored, here));

    await run("restic", ...restic, "forget", "--keep-last", "1", "--prune");
    const snapshots = JSON.parse(await run("restic", ...restic, "snapshots", "--json")) as unknown[];
    assert.equal(snapshots.length, 1);
    await run("restic", ...restic, "check", "--read-data");
    const again = join(lab.directory, "again");
    await run("restic", ...restic, "restore", "latest", "--target", again);
    await run("diff", "-r", here, join(again, here));
  }));
