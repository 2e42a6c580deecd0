/** The AWS command line: copy in parts, sync, versions, signed addresses, a node killed in the middle. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { withS3Network, writeFiles } from "./network.ts";

Deno.test("aws copies in parts, syncs, keeps versions and signs while a node is killed", () =>
  withS3Network(async ({ run, runAndKill, folder, lab, endpoint }) => {
    const aws = (...args: string[]) => run("aws", "--endpoint-url", endpoint, ...args);
    const json = async (...args: string[]) => JSON.parse(await aws("s3api", ...args, "--output", "json"));
    const here = await folder("here");
    await writeFiles(here, { files: 2, bytes: 128 * 1024 * 1024, seed: 7 });
    await aws("s3", "mb", "s3://awsome");
    const began = performance.now();
    const underWay = () => Promise.resolve(performance.now() - began > 1500);
    await runAndKill(
      underWay,
      "aws",
      "--endpoint-url",
      endpoint,
      "s3",
      "cp",
      "--recursive",
      "--no-progress",
      here,
      "s3://awsome/large/",
    );
    const back = await folder("back");
    await aws("s3", "cp", "--recursive", "--no-progress", "s3://awsome/large/", back);
    await run("diff", "-r", here, back);

    const tree = await folder("tree");
    await writeFiles(tree, { files: 60, bytes: 20_000, seed: 8 });
    await aws("s3", "sync", "--no-progress", tree, "s3://awsome/tree/");
    await Deno.remove(join(tree, "folder 0", "file-8-1.bin"));
    await aws("s3", "sync", "--no-progress", "--delete", tree, "s3://awsome/tree/");
    const listed = await aws("s3", "ls", "--recursive", "s3://awsome/tree/");
    assert.equal(listed.trimEnd().split("\n").length, 59);

    await aws(
      "s3api",
      "put-bucket-versioning",
      "--bucket",
      "awsome",
      "--versioning-configuration",
      "Status=Enabled",
    );
    const note = join(lab.directory, "note");
    for (const text of ["first", "second"]) {
      await Deno.writeTextFile(note, text);
      await aws("s3api", "put-object", "--bucket", "awsome", "--key", "note", "--body", note);
    }
    await aws("s3", "rm", "s3://awsome/note");
    const { Versions, DeleteMarkers } = await json(
      "list-object-versions",
      "--bucket",
      "awsome",
      "--prefix",
      "note",
    );
    assert.equal(Versions.length, 2);
    assert.equal(DeleteMarkers.length, 1);
    const first = Versions[1].VersionId as string;
    await aws("s3api", "get-object", "--bucket", "awsome", "--key", "note", "--version-id", first, note);
    assert.equal(await Deno.readTextFile(note), "first");
    const marker = DeleteMarkers[0].VersionId as string;
    await aws("s3api", "delete-object", "--bucket", "awsome", "--key", "note", "--version-id", marker);
    const url = (await aws("s3", "presign", "s3://awsome/note", "--expires-in", "300")).trim();
    const answer = await fetch(url);
    assert.deepEqual([answer.status, await answer.text()], [200, "second"]);
    const refused = await fetch(url.replace(/note\?/, "other?"));
    assert.equal(refused.status, 403);
    assert.match(await refused.text(), /<Code>SignatureDoesNotMatch<\/Code>/);
  }));
