/** Five real nodes of which three are lost for good. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { NodeProcess } from "../../cli/processes.ts";
import { untilSettled } from "../../cli/settled.ts";
import { nodeId } from "../../mod.ts";
import { type Lab, program, text, until, withLab } from "./support.ts";

async function startFive(lab: Lab): Promise<NodeProcess[]> {
  const first = await lab.start({ id: "a" });
  const rest = await Promise.all(["b", "c", "d", "e"].map((id) => lab.start({ id, join: first.address })));
  const client = await lab.client(first);
  await untilSettled(client, { members: 5, msMax: 90_000 });
  return [first, ...rest];
}

const dataOf = (lab: Lab, ...ids: string[]) => ids.flatMap((id) => ["--data", join(lab.directory, id)]);

Deno.test("recover goes on with two of five, keeps what they had, and refuses who comes back", () =>
  withLab(async (lab) => {
    const nodes = await startFive(lab);
    const writer = await lab.client(...nodes);
    await Promise.all(Array.from({ length: 60 }, (_, i) => writer.put(`key/${i}`, `value ${i}`)));
    // Replicas that follow hear of the last commits with the next heartbeats.
    await new Promise((done) => setTimeout(done, 500));
    const running = await program("recover", ...dataOf(lab, "a"), "--yes");
    assert.match(running.stderr, /another node runs on it/);
    for (const node of nodes) await node.kill();

    const unneeded = await program("recover", ...dataOf(lab, "a", "b", "c", "d"), "--yes");
    assert.equal(unneeded.code, 1);
    assert.match(unneeded.stderr, /^Every partition can elect a leader among a, b, c, d: nothing is lost/);
    const asked = await program("recover", ...dataOf(lab, "a", "b"), "--accept-loss");
    assert.equal(asked.code, 2, asked.stderr);
    assert.match(asked.stderr, /Nobody can be asked here/);
    const recovered = await program("recover", ...dataOf(lab, "a", "b"), "--yes", "--accept-loss", "--json");
    assert.equal(recovered.code, 0, recovered.stderr);
    assert.match(recovered.stderr, /given up +c, d, e/);
    const plan = JSON.parse(recovered.stdout) as { network: string; partitions: { kind: string }[] };
    const empty = plan.partitions.filter(({ kind }) => kind === "begin").length;

    const [a, b] = await Promise.all(
      nodes.slice(0, 2).map((node) => lab.start({ id: node.ready.node, listen: node.address })),
    ) as [NodeProcess, NodeProcess];
    assert.deepEqual([a.ready.network, b.ready.network], [plan.network, plan.network]);
    const client = await lab.client(a, b);
    await untilSettled(client, { members: 2, msMax: 90_000 });
    const partitions = (await client.layout()).view.settings.partitions;
    let found = 0;
    for (let i = 0; i < 60; i++) {
      const value = text((await client.get(`key/${i}`))?.value);
      if (value === null) continue;
      assert.equal(value, `value ${i}`);
      found++;
    }
    // Three of the five held all three replicas of a partition only where none of these two has one.
    if (empty === 0) assert.equal(found, 60);
    else assert.ok(found > 0 && empty < partitions);
    await client.put("after", "all");
    assert.equal(text((await client.get("after"))?.value), "all");

    // One of the lost comes back after all: it finds nobody of its network, and disturbs nobody.
    const late = await lab.start({ id: "c", listen: nodes[2]!.address });
    assert.notEqual(late.ready.network, plan.network);
    const aside = await lab.client(late);
    const refusals = async () =>
      (await client.status(nodeId("a"))).counters.find(([name]) => name === "connections refused")?.[1] ?? 0;
    await until("the late one to be turned away", async () => await refusals() > 0);
    assert.ok((await aside.status(nodeId("c"))).replicas.every(({ role }) => role !== "leader"));
    await client.put("after", "that");
    assert.equal((await client.members()).find(({ id }) => id === "c")?.state, "removed");
  }));

Deno.test("recover works over files from several machines, and completes what was interrupted", () =>
  withLab(async (lab) => {
    const nodes = await startFive(lab);
    const writer = await lab.client(...nodes);
    await writer.put("k", "v");
    await new Promise((done) => setTimeout(done, 500));
    for (const node of nodes) await node.kill();
    const files = [];
    for (const id of ["a", "b"]) {
      const { stdout, code, stderr } = await program("recover", "inspect", ...dataOf(lab, id));
      assert.equal(code, 0, stderr);
      files.push(join(lab.directory, `${id}.json`));
      await Deno.writeTextFile(files.at(-1)!, stdout);
    }
    const planned = await program("recover", "plan", ...files, "--accept-loss");
    assert.equal(planned.code, 0, planned.stderr);
    const plan = join(lab.directory, "plan.json");
    await Deno.writeTextFile(plan, planned.stdout);
    for (
      const [id, said] of [["a", /belongs to network \w+ now/], ["a", /belonged to it already/], [
        "b",
        /now/,
      ]] as const
    ) {
      const applied = await program("recover", "apply", ...dataOf(lab, id), "--plan", plan, "--yes");
      assert.equal(applied.code, 0, applied.stderr);
      assert.match(applied.stdout, said);
    }
    const a = await lab.start({ id: "a", listen: nodes[0]!.address });
    await lab.start({ id: "b", listen: nodes[1]!.address });
    const client = await lab.client(a);
    await untilSettled(client, { members: 2, msMax: 90_000 });
    await client.put("k", "w");
    await until("both to have it", async () => text((await client.get("k"))?.value) === "w");
  }));
