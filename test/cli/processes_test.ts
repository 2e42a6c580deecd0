import assert from "node:assert/strict";
import { join } from "node:path";
import { until, withLab } from "./support.ts";

Deno.test("NodeProcess has each life of a node in one log, which can be read while the node runs", () =>
  withLab(async (lab) => {
    const ready = async () =>
      (await Deno.readTextFile(join(lab.directory, "a.log"))).match(/ is ready at .*\n/g) ?? [];
    const first = await lab.start({ id: "a" });
    await until("the first life in the log", async () => (await ready()).length === 1);
    await first.kill();
    await lab.start({ id: "a", listen: first.address });
    await until("both lives in the log", async () => (await ready()).length === 2);
    assert.match((await ready())[1]!, /recovered/);
  }));
