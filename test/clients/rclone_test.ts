/** rclone: copy, sync and check of a gigabyte in many files, a node killed in the middle. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withS3Network, writeFiles } from "./network.ts";

const SMALL = { files: 600, bytes: 64 * 1024, seed: 1 };
const MIDDLE = { files: 160, bytes: 2 * 1024 * 1024, seed: 2 };
const LARGE = { files: 40, bytes: 16 * 1024 * 1024, seed: 3 };

Deno.test("rclone copies, checks, syncs and fetches a gigabyte in 800 files while a node is killed", () =>
  withS3Network(async ({ run, runAndKill, folder }) => {
    const here = await folder("here");
    for (const kind of [SMALL, MIDDLE, LARGE]) await writeFiles(join(here, `seed ${kind.seed}`), kind);
    await run("rclone", "mkdir", "so:files");
    const partly = async () =>
      (await run("rclone", "lsf", "-R", "--files-only", "so:files")).split("\n").length > 50;
    await runAndKill(partly, "rclone", "copy", "--transfers", "8", here, "so:files");
    await run("rclone", "check", "--download", here, "so:files");

    // What changes here changes there: one file more, one less, one other.
    await Deno.writeTextFile(join(here, "a new one é + & %.txt"), "new");
    await Deno.remove(join(here, "seed 1", "folder 0", "file-1-3.bin"));
    await Deno.writeTextFile(join(here, "seed 1", "folder 0", "file-1-4.bin"), "another");
    await run("rclone", "sync", here, "so:files");
    await run("rclone", "check", here, "so:files");
    assert.equal(await run("rclone", "cat", "so:files/a new one é + & %.txt"), "new");

    const back = await folder("back");
    await run("rclone", "copy", "--transfers", "8", "so:files", back);
    await run("diff", "-r", here, back);
    await run("rclone", "purge", "so:files");
    assert.equal(await run("rclone", "lsd", "so:"), "");
  }));
