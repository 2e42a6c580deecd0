/** The programs in examples/, as their readers run them. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { withS3Network } from "./network.ts";

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

Deno.test("the examples read, mirror and look into what is stored", () =>
  withS3Network(async ({ lab, run }) => {
    const done = async (...args: string[]) => {
      const { code, stderr } = await lab.run(...args);
      assert.equal(code, 0, stderr);
    };
    await done("bucket", "create", "sky");
    await done("import", "stars", path("fixtures/sky/bright.csv"), "--object", "so://sky/stars.csv");

    assert.match(
      await run("/usr/bin/python3", path("examples/brightest.py")),
      /^ {1,}-1\.44 {2}Sirius \(CMa\)\n/,
    );
    assert.match(await run("rclone", "cat", "so:sky/brightest.json"), /"name": "Sirius"/);

    const peek = [
      "run",
      "--allow-net",
      "--allow-env",
      "--config",
      path("deno.json"),
      path("examples/peek.ts"),
    ];
    const looked = await run(Deno.execPath(), ...peek, "sky/stars.csv");
    assert.match(looked, /begins with {2}hip,name,constellation,ra,dec,mag,bv\n/);

    const mirrored = await run("sh", path("examples/mirror.sh"), path("fixtures/scenarios"), "mirror");
    assert.match(mirrored, /Total objects: \d+/);
  }));
