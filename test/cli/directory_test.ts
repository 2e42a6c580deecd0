/** A node's data directory: what was lost is noticed, and what failed leaves nothing in the way. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { FLAGS, text, withLab } from "./support.ts";
import { parseIdentity } from "../../cli/host/directory.ts";

async function removeFiles(directory: string, which: RegExp): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    if (which.test(name)) await Deno.remove(join(directory, name));
  }
}

Deno.test("a node does not take the name of a member that is there, and its next try begins anew", () =>
  withLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    const data = join(lab.directory, "second");
    await assert.rejects(
      lab.start({ id: "a", data, join: a.address }),
      /Cannot join as node "a": it is a member at/,
    );
    const b = await lab.start({ id: "b", data, join: a.address });
    assert.equal(b.ready.origin, "joined");
    assert.equal(b.ready.node, "b");
  }));

Deno.test("a member that lost its data is not taken for the one it was (its votes and its log are gone)", () =>
  withLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    const b = await lab.start({ id: "b", join: a.address });
    await b.kill();
    await removeFiles(join(lab.directory, "b"), /^journal-/);
    const again = { id: "b", listen: b.address, join: a.address };
    await assert.rejects(
      lab.start({ ...again, flags: [...FLAGS, "--no-rebuild"] }),
      /its journal is missing/,
    );
    await Deno.remove(join(lab.directory, "b"), { recursive: true });
    await assert.rejects(lab.start(again), /Cannot join as node "b".*choose another --id/);
    const other = await lab.start({ ...again, id: "b2" });
    assert.equal(other.ready.origin, "joined");
  }));

Deno.test("a node without its node.json is refused, and starts when the file is back", () =>
  withLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    await (await lab.client(a)).put("k", "v");
    assert.equal(await a.stop(), 0);
    const file = join(lab.directory, "a", "node.json");
    const identity = await Deno.readTextFile(file);
    await Deno.remove(file);
    await assert.rejects(lab.start({ id: "a" }), /a journal and no node\.json/);
    await Deno.writeTextFile(file, "{");
    await assert.rejects(lab.start({ id: "a" }), /Cannot read ".*node\.json"/);
    await Deno.writeTextFile(file, identity);
    const again = await lab.start({ id: "a" });
    assert.equal(text((await (await lab.client(again)).get("k"))?.value), "v");
  }));

Deno.test("a node.json with a capacity that no member may have is refused", () => {
  const text = (capacity: string) =>
    `{"format":2,"node":"a","network":"n","zone":"","capacity":${capacity},"founder":true,"started":true}`;
  const parse = (capacity: string) => parseIdentity("node.json", text(capacity), { started: true });
  for (const bad of ["1e999", "0", "-1", "0.5", "1000001", '"100"', "null"]) {
    assert.throws(() => parse(bad), /capacity is an integer from 1 to 1000000/, bad);
  }
  for (const good of ["1", "1000000"]) assert.equal(parse(good).identity.capacity, Number(good));
});
