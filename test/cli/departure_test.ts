/** Real nodes that leave and come back. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { FLAGS, program, startThree, text, until, withLab } from "./support.ts";

Deno.test("drain, remove and rejoin from the command line: everything stays readable, who is out stays out", () =>
  withLab(async (lab) => {
    const [a, b, c] = await startThree(lab);
    const d = await lab.start({ id: "d", join: a.address });
    const client = await lab.client(a, b, c);
    const so = (...args: string[]) => program(...args, "--connect", a.address);
    for (let i = 0; i < 40; i++) await client.put(`key/${i}`, `value ${i}`);
    const state = async (id: string) => (await client.layout()).view.members.find((m) => m.id === id)?.state;
    await until("d to be active", async () => await state("d") === "active");

    const early = await so("remove", "d");
    assert.equal(early.code, 1);
    assert.match(early.stderr, /^Node "d" is alive.*drain it first \(`space-opera drain d`\)/);
    const drained = await so("drain", "d");
    assert.equal(drained.code, 0, drained.stderr);
    assert.equal(
      drained.stdout,
      'Node "d" is drained: it holds nothing, and no partition counts on it. It may be stopped\n',
    );
    assert.equal(await state("d"), "removed");
    assert.equal(await d.stop(), 0);
    const again = await lab.start({ id: "d", listen: d.address });
    assert.match(
      (await program("status", "--connect", again.address)).stdout,
      /^state +removed: .*stays out/m,
    );
    assert.equal((await so("drain", "d")).code, 0, "A drain that is done may be asked for again");
    assert.match((await so("drain", "d", "--cancel")).stdout, /taken back/);
    await until("d to be active again", async () => await state("d") === "active");

    await again.kill();
    assert.equal((await so("remove", "d", "--force")).stdout, 'Node "d" is removed\n');
    // Another disk under the same name is another node.
    const impostor = await program(
      ...["node", "--dev", "--id", "d", "--join", a.address, "--listen", "127.0.0.1:0", ...FLAGS],
      ...["--data", join(lab.directory, "other")],
    );
    assert.equal(impostor.code, 1);
    assert.match(impostor.stderr, /another --id/);
    for (let i = 0; i < 40; i++) assert.equal(text((await client.get(`key/${i}`))?.value), `value ${i}`);
    assert.equal((await so("drain", "b", "--no-wait")).code, 0);
    await until("b to have left", async () => await state("b") === "removed");
    const last = await so("drain", "c");
    assert.match(last.stderr, /^Without "c" the network has 1 active member:/);
    assert.match((await so("drain", "a")).stderr, /"a" is the last active member and must stay/);
  }));

Deno.test("remove tells what is lost where a node has the only copies", () =>
  withLab(async (lab) => {
    const a = await lab.start({ id: "a", flags: [...FLAGS, "--replicas", "1"] });
    const b = await lab.start({ id: "b", join: a.address });
    const client = await lab.client(a);
    const held = async () =>
      (await client.layout()).view.assignment.filter((r) => r.length === 1 && r[0] === "b").length;
    await until("b to have a share", async () => await held() > 0);
    await b.kill();
    const count = await held();
    const { stderr } = await program("remove", "b", "--force", "--connect", a.address);
    assert.match(
      stderr,
      new RegExp(`^Node "b" alone holds ${count} partitions .*their data is lost with it`),
    );
  }));
