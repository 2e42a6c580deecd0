/** s3cmd: buckets, an object in parts, sync, metadata, deletion, a node killed in the middle of a put. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withS3Network, writeFiles } from "./network.ts";

Deno.test("s3cmd puts in parts, lists, syncs, copies, moves and deletes while a node is killed", () =>
  withS3Network(async ({ run, runAndKill, folder, lab }) => {
    const here = await folder("here");
    await writeFiles(here, { files: 3, bytes: 96 * 1024 * 1024, seed: 5 });
    const large = join(here, "folder 0", "file-5-0.bin");
    await run("s3cmd", "mb", "s3://cmd");
    assert.match(await run("s3cmd", "ls"), /s3:\/\/cmd\n/);
    // A second after its start the upload is under way: it takes longer than that.
    const began = performance.now();
    const underWay = () => Promise.resolve(performance.now() - began > 1000);
    await runAndKill(underWay, "s3cmd", "put", "--recursive", "--no-progress", `${here}/`, "s3://cmd/large/");
    await run(
      "s3cmd",
      "get",
      "--no-progress",
      "s3://cmd/large/folder 0/file-5-0.bin",
      join(lab.directory, "back"),
    );
    await run("cmp", large, join(lab.directory, "back"));

    const tree = await folder("tree");
    await writeFiles(tree, { files: 50, bytes: 30_000, seed: 6 });
    await run("s3cmd", "sync", "--no-progress", `${tree}/`, "s3://cmd/tree/");
    assert.equal(
      (await run("s3cmd", "ls", "--recursive", "s3://cmd/tree/")).trimEnd().split("\n").length,
      50,
    );
    const copy = await folder("copy");
    await run("s3cmd", "sync", "--no-progress", "s3://cmd/tree/", `${copy}/`);
    await run("diff", "-r", tree, copy);

    await run("s3cmd", "cp", "s3://cmd/tree/folder 0/file-6-0.bin", "s3://cmd/copied");
    await run("s3cmd", "modify", "--add-header=x-amz-meta-star: Vega", "s3://cmd/copied");
    assert.match(await run("s3cmd", "info", "s3://cmd/copied"), /x-amz-meta-star:\s*Vega/);
    await run("s3cmd", "mv", "s3://cmd/copied", "s3://cmd/moved");
    const moved = join(lab.directory, "moved");
    await run("s3cmd", "get", "--no-progress", "s3://cmd/moved", moved);
    await run("cmp", join(tree, "folder 0", "file-6-0.bin"), moved);
    await run("s3cmd", "rm", "--recursive", "--force", "s3://cmd/");
    await run("s3cmd", "rb", "s3://cmd");
    assert.equal(await run("s3cmd", "ls"), "");
  }));
