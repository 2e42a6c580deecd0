/** A private network that has lost its quorum for good goes on with its keys, its access keys and its data. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { NodeProcess } from "../../cli/processes.ts";
import { readProfile } from "../../cli/client/profile.ts";
import { untilSettled } from "../../cli/settled.ts";
import { programWith, text, until } from "./support.ts";
import { type PrivateLab, withPrivateLab } from "./private_support.ts";

const PASSPHRASE = "a passphrase for the second node";

/** Five nodes, the second one sealed, with a record in them and a client that may read. All are stopped then. */
async function lostThree(lab: PrivateLab): Promise<NodeProcess[]> {
  const first = await lab.start({ id: "a" });
  const token = await lab.invite({ uses: 4 });
  const others = await Promise.all(["b", "c", "d", "e"].map((id) => lab.start({ id, token })));
  const client = await lab.client();
  await untilSettled(client, { members: 5, msMax: 90_000 });
  for (let i = 0; i < 40; i++) await client.put(`key/${i}`, `value ${i}`);
  const reader = await lab.run(
    "access",
    "create",
    "reader",
    "--allow",
    "key/:r",
    "--profile-out",
    readerOf(lab),
  );
  assert.equal(reader.code, 0, reader.stderr);
  // Replicas that follow hear of the last commits with the next heartbeats.
  await new Promise((done) => setTimeout(done, 500));
  const nodes = [first, ...others];
  for (const node of nodes) await node.kill();
  const env = { SPACE_OPERA_PASSPHRASE: PASSPHRASE };
  const sealed = await programWith({ env }, "keys", "seal", "--data", join(lab.directory, "b"));
  assert.equal(sealed.code, 0, sealed.stderr);
  return nodes;
}

const readerOf = (lab: PrivateLab) => join(lab.directory, "reader.json");

/** The survivors run again under the new name, and old access keys are good. */
async function goesOn(lab: PrivateLab, nodes: readonly NodeProcess[], network: string): Promise<void> {
  const passphrase = join(lab.directory, "passphrase");
  await Deno.writeTextFile(passphrase, PASSPHRASE, { mode: 0o600 });
  const a = await lab.start({ id: "a", listen: nodes[0]!.address });
  const b = await lab.start({
    id: "b",
    listen: nodes[1]!.address,
    flags: ["--passphrase-file", passphrase, "--log-level", "debug"],
  });
  assert.deepEqual([a.ready.network, b.ready.network], [network, network]);
  const client = await lab.client();
  await untilSettled(client, { members: 2, msMax: 90_000 });
  await until("new keys, which the lost do not know", async () => {
    const { security } = (await client.layout()).view;
    return security!.keys.some(({ id, state }) => id === 2 && state === "current");
  });
  await client.put("after", "all");
  const reader = await lab.client({ profile: readProfile(readerOf(lab)) });
  let found = 0;
  for (let i = 0; i < 40; i++) {
    const value = text((await reader.get(`key/${i}`))?.value);
    if (value !== null) assert.equal(value, `value ${i}`), found++;
  }
  assert(found > 0);
  await assert.rejects(reader.get("after"), /may not read/);
}

Deno.test("recover goes on with the keys of a private network, and makes profiles fit", () =>
  withPrivateLab(async (lab) => {
    const nodes = await lostThree(lab);
    const data = ["a", "b"].flatMap((id) => ["--data", join(lab.directory, id)]);
    const closed = await programWith({}, "recover", ...data, "--yes", "--accept-loss");
    assert.equal(closed.code, 1);
    assert.match(closed.stderr, /passphrase is needed/);
    const env = { SPACE_OPERA_PASSPHRASE: PASSPHRASE };
    const recovered = await programWith(
      { env },
      ...["recover", ...data, "--profile", readerOf(lab), "--yes", "--accept-loss", "--json"],
    );
    assert.equal(recovered.code, 0, recovered.stderr);
    assert.match(recovered.stderr, /The profile ".*reader\.json" lets into the new network now/);
    await goesOn(lab, nodes, JSON.parse(recovered.stdout).network);
  }));

Deno.test("recover carries out a plan for a private network machine by machine, without its secrets leaving them", () =>
  withPrivateLab(async (lab) => {
    const nodes = await lostThree(lab);
    const env = { SPACE_OPERA_PASSPHRASE: PASSPHRASE };
    const recover = async (...args: string[]) => {
      const { code, stdout, stderr } = await programWith({ env }, "recover", ...args);
      assert.equal(code, 0, stderr);
      return stdout;
    };
    const written = async (name: string, content: string) => {
      const path = join(lab.directory, name);
      await Deno.writeTextFile(path, content);
      return path;
    };
    const files = [];
    for (const id of ["a", "b"]) {
      files.push(await written(`${id}.json`, await recover("inspect", "--data", join(lab.directory, id))));
    }
    const plan = await written("plan.json", await recover("plan", ...files, "--accept-loss"));
    const { keyring: { content } } = JSON.parse(
      await Deno.readTextFile(join(lab.directory, "a", "keyring.json")),
    );
    for (const path of [...files, plan]) {
      const said = await Deno.readTextFile(path);
      for (const secret of [content.seed, content.generations[0].secret]) assert(!said.includes(secret));
    }
    for (const id of ["a", "b"]) {
      const apply = ["apply", "--data", join(lab.directory, id), "--plan", plan, "--yes"];
      const also = id === "a" ? ["--profile", readerOf(lab)] : [];
      assert.match(await recover(...apply, ...also), /belongs to network \w+ now/);
      assert.match(await recover(...apply), /belonged to it already/);
    }
    await goesOn(lab, nodes, JSON.parse(await Deno.readTextFile(plan)).network);
  }));
