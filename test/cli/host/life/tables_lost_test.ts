/** A node whose tables are lost while its journal still begins with segment 1. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { createTables } from "../../../../cli/host/tables/tables.ts";
import { nodeId } from "../../../../core/base/ids.ts";
import { leave, replicaAt, viewOf } from "../directories.ts";
import { withLives } from "./lives.ts";

Deno.test("a node is refused that lost the only copy, though a crash left the journal's first segment", () =>
  withLives(async (lives) => {
    const a = nodeId("a");
    const records = [0, 1].flatMap((partition) => replicaAt(partition, a));
    const path = await leave(lives.directory, "a", { view: viewOf(["a"]), records, tables: null });
    const names = () => [...Deno.readDirSync(path)].map(({ name }) => name).sort();
    const before = names();
    assert(before.includes("journal-00000001.log"), String(before));
    const node = await lives.start("a");
    await assert.rejects(
      node.ready,
      /has lost its tables\. No other node has the data of partition 0, 1/,
    );
    assert.deepEqual(names(), before);
  }));

Deno.test("a node is refused whose only copy was replaced with another node's tables, and nothing is touched", () =>
  withLives(async (lives) => {
    const a = nodeId("a");
    const records = [0, 1].flatMap((partition) => replicaAt(partition, a));
    const path = await leave(lives.directory, "a", { view: viewOf(["a"]), records, tables: null });
    const network = "9".repeat(32);
    createTables(join(path, "tables"), { node: "x", network, disk: "9".repeat(16) });
    const before = Deno.readFileSync(join(path, "tables/manifest"));
    const node = await lives.start("a");
    await assert.rejects(
      node.ready,
      /belongs to node "x" of network 9{32} .*, not to node "a" of network 0{32} .*No other node has the data of partition 0, 1/,
    );
    assert.deepEqual(Deno.readFileSync(join(path, "tables/manifest")), before);
  }));
