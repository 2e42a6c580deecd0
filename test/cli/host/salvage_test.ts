/** What `recover` does to data directories, each of them staged. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { formatPlan } from "../../../cli/commands/recovery_files.ts";
import { applyRecovery, survey } from "../../../cli/host/salvage.ts";
import { createTables } from "../../../cli/host/tables/tables.ts";
import { Catalog } from "../../../core/catalog/catalog.ts";
import { nodeId, type PartitionId } from "../../../core/base/ids.ts";
import { planRecovery, type RecoveryPlan } from "../../../core/node/salvage.ts";
import { program, text, until } from "../support.ts";
import { leave, replicaAt, viewOf, withTables } from "./directories.ts";
import { statusAt, withLives } from "./life/lives.ts";

const NEW = "1".repeat(32);
const DATA = 1 as PartitionId;
const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(nodeId);
const appliedIn = (path: string) =>
  withTables(path, (tables) => Number(new Catalog({ partition: DATA, tables }).appliedIndex));

Deno.test("applyRecovery() drops what the tables hold of a partition that begins anew", () =>
  withLives(async (lives) => {
    const view = viewOf(["a", "b", "c"]);
    // The replica of partition 1 was dropped just before the crash; its rows were still to go.
    const dropped = [...replicaAt(1, b!, c!), { kind: "drop", partition: DATA } as const];
    const path = await leave(lives.directory, "a", {
      view,
      records: [...replicaAt(0, a!, b!, c!), ...dropped],
      tables: [0, 1],
    });
    assert.equal(await appliedIn(path), 5);
    const plan = planRecovery([await survey(path)], NEW);
    assert.deepEqual(plan.partitions.map(({ kind, node }) => [kind, node]), [["choose", a], ["begin", a]]);
    assert.equal(await applyRecovery(path, plan), true);
    assert.equal(await appliedIn(path), 0);
    assert.equal(await applyRecovery(path, plan), false);

    const node = await lives.start("a");
    const { address, network } = await node.ready;
    assert.equal(network, NEW);
    const client = await lives.client(address);
    await client.put("k", "v");
    assert.equal(text((await client.get("k"))?.value), "v");
  }));

Deno.test("survey() and applyRecovery() open what is encrypted with the keys they are given, and say which they need", () =>
  withLives(async (lives) => {
    const keys = { secrets: new Map([[1, new Uint8Array(32).fill(1)]]), current: 1 };
    const records = [0, 1].flatMap((p) => replicaAt(p, a!, b!, c!));
    const path = await leave(lives.directory, "a", {
      view: viewOf(["a", "b", "c"]),
      records,
      tables: [0, 1],
      keys,
    });
    await assert.rejects(
      survey(path),
      /journal-00000001\.log" is encrypted with key generation 1, which is not in/,
    );
    const plan = planRecovery([await survey(path, keys)], NEW);
    assert.equal(await applyRecovery(path, plan, keys), true);
    assert.equal((await survey(path, keys)).view.network, NEW);
  }));

Deno.test("survey() refuses tables that are another node's", () =>
  withLives(async (lives) => {
    const view = viewOf(["a", "b", "c"]);
    const records = [0, 1].flatMap((p) => replicaAt(p, a!, b!, c!));
    const path = await leave(lives.directory, "a", { view, records, tables: null });
    createTables(join(path, "tables"), { node: "b", network: view.network, disk: "b".repeat(16) });
    await assert.rejects(survey(path), /tables\/manifest" belongs to node "b" of .*, not to node "a" of /);
  }));

Deno.test("recover, killed between two directories, is completed by the same command", () =>
  withLives(async (lives) => {
    const view = viewOf(["a", "b", "c", "d", "e"], { replicas: 5 });
    const records = [0, 1].flatMap((p) => replicaAt(p, a!, b!, c!, d!, e!));
    const paths: string[] = [];
    for (const name of ["a", "b"]) {
      paths.push(await leave(lives.directory, name, { view, records, tables: [0, 1] }));
    }
    const plan = planRecovery(await Promise.all(paths.map((path) => survey(path))), NEW);
    for (const path of paths) {
      const text = formatPlan({ ...plan, issuedMs: null });
      await Deno.writeTextFile(join(path, "recovery.json"), text);
    }
    assert.equal(await applyRecovery(paths[0]!, plan), true);

    const { code, stdout, stderr } = await program(
      "recover",
      ...paths.flatMap((path) => ["--data", path]),
      "--yes",
      "--json",
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^Completing the recovery of network 0{32} that was begun before/);
    assert.equal((JSON.parse(stdout) as RecoveryPlan).network, NEW, "The plan that was begun, and no other");
    for (const path of paths) {
      const { network } = JSON.parse(await Deno.readTextFile(join(path, "node.json")));
      assert.equal(network, NEW);
      assert.deepEqual([...Deno.readDirSync(path)].filter(({ name }) => name.startsWith("recovery")), []);
    }
    const nodes = [await lives.start("a"), await lives.start("b")];
    const at = (await nodes[0]!.ready).address;
    await nodes[1]!.ready;
    await until(
      "both partitions to be led",
      async () => (await statusAt(at)).replicas.filter(({ role }) => role === "leader").length > 0,
    );
  }));
