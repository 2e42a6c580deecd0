/** Private networks, in this process: admission, eviction, rotation, access. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { nodeId } from "../../../../core/base/ids.ts";
import { connect } from "../../../../cli/client/client.ts";
import { ConnectError } from "../../../../cli/client/errors.ts";
import { type Profile, readProfile } from "../../../../cli/client/profile.ts";
import { Credentials, makeAccessKey } from "../../../../cli/host/identity/access_key.ts";
import { readAuthority } from "../../../../cli/host/identity/certificates.ts";
import { newSeed, publicKeyOfSeed, signWithSeed } from "../../../../cli/host/identity/ed25519.ts";
import { Keyring } from "../../../../cli/host/identity/keyring.ts";
import { askToJoin } from "../../../../cli/host/join.ts";
import { foundingKeyring } from "../../../../cli/host/life/founding.ts";
import type { Right } from "../../../../core/wire/security.ts";
import { text, until } from "../../support.ts";
import { statusAt, withLives } from "./lives.ts";
import { keysOf, type PrivateLives, withPrivate } from "./private_lives.ts";

const denied = { reason: "denied" };
/** Seconds, on a machine that is busy with much else: far from the months for which its certificate is valid. */
const EVICTED_MS_MAX = 30_000;

/** A profile with an access key of its own. */
async function accessTo({ operator, profile }: PrivateLives, rights: readonly Right[]): Promise<Profile> {
  const { id, secret, publicKey } = makeAccessKey();
  await operator.setAccess({ id, publicKey, name: "test", rights });
  return { ...profile, access: new Credentials({ id, secret }) };
}

/** Every byte of every file of the directory that is not one of the names. */
async function bytesOf(directory: string): Promise<string> {
  let all = "";
  for await (const { name, isFile } of Deno.readDir(directory)) {
    const path = join(directory, name);
    all += isFile ? new TextDecoder("latin1").decode(await Deno.readFile(path)) : await bytesOf(path);
  }
  return all;
}

Deno.test("three nodes that joined by invite go on after a restart of all, and nothing readable lies on their disks", () =>
  withPrivate(["b", "c"], async (lives) => {
    for (let i = 0; i < 50; i++) await lives.operator.put(`planet/arrakis-${i}`, `spice-must-flow-${i}`);
    const addresses = new Map<string, string>();
    for (const [id, node] of lives.nodes) addresses.set(id, (await node.ready).address);
    await Promise.all([...lives.nodes.values()].map((node) => node.stop()));
    for (const id of ["a", "b", "c"]) {
      const bytes = await bytesOf(join(lives.directory, id));
      assert.equal(/arrakis|spice-must/.test(bytes), false, `of ${id}`);
    }
    await Promise.all([...addresses].map(([id, listen]) => lives.again(id, { listen })));
    const client = await lives.as(lives.profile);
    assert.equal(text((await client.get("planet/arrakis-49"))?.value), "spice-must-flow-49");
    await client.put("planet/caladan", "rain");
  }));

Deno.test("who comes without a profile, or with another network's, is told so and gets nothing", () =>
  withPrivate([], async (lives) => {
    const { address } = await lives.nodes.get("a")!.ready;
    const refused = (options: Parameters<typeof connect>[0], words: RegExp) =>
      assert.rejects(connect({ addresses: [address], timeoutMs: 3000, ...options }), (error) => {
        assert(error instanceof ConnectError);
        assert.match(error.message, words);
        assert(error.message.includes(address));
        return true;
      });
    await refused({}, /the network is private, and lets in only who shows a profile/);
    const { access: _, ...rest } = lives.profile;
    await refused({ profile: { ...rest, access: null } }, /no access key to log in with/);
    await refused({
      profile: { ...lives.profile, access: new Credentials(makeAccessKey()) },
    }, /access key "SO\w+" does not let it in/);
    await withPrivate([], async (other) => {
      await refused({ profile: other.profile }, /network [0-9a-f]{32} is there, and the profile is for/);
    });
    await withLives(async (open) => {
      const there = await (await open.start("o")).ready;
      await assert.rejects(
        connect({ profile: lives.profile, addresses: [there.address], timeoutMs: 3000 }),
        /the open network [0-9a-f]{32} is there, and the profile is for/,
      );
    });
  }));

Deno.test("an access key may do what its rights say, and is out at once when it is revoked", () =>
  withPrivate(["b"], async (lives) => {
    const profile = await accessTo(lives, [{ prefix: "crew/", read: true, write: true, admin: false }]);
    await lives.operator.put("ship/secret", "x");
    const client = await lives.as(profile);
    await client.put("crew/ripley", "warrant officer");
    assert.equal(text((await client.get("crew/ripley"))?.value), "warrant officer");
    await assert.rejects(client.get("ship/secret"), denied);
    await assert.rejects(client.put("ship/secret", "y"), denied);
    await assert.rejects(client.rotateKeys(), denied);
    await assert.rejects(client.evict(nodeId("b")), denied);
    const watch = client.watch({ prefix: "crew/" });
    await watch.established;
    const first = watch.next();
    await lives.operator.put("crew/ash", "science officer");
    assert.equal((await first).value!.events[0]!.key, "crew/ash");
    const ended = watch.next().then(() => "an event", () => "refused");
    await lives.operator.dropAccess(profile.access!.id);
    await until("the key to be refused", () => client.get("crew/ripley").then(() => false, () => true));
    assert.equal(await ended, "refused");
    await assert.rejects(
      connect({ profile, timeoutMs: 3000 }),
      /does not let it in: it was revoked|too many wrong log-ins/,
    );
    const events = await lives.operator.audit({});
    const told = events.map(({ who, what, outcome }) => `${who} ${what} ${outcome}`).join("\n");
    assert.match(told, /access-drop/);
    assert.match(told, new RegExp(`key ${profile.access!.id} get "ship/secret" denied`));
    assert.match(told, new RegExp(`key ${profile.access!.id} log in denied`));
  }));

Deno.test("an evicted node is cut off within seconds, says why it is down, and never comes back under its key", () =>
  withPrivate(["b", "c"], async (lives) => {
    const { operator } = lives, { address } = await lives.nodes.get("c")!.ready;
    await operator.put("k", "v");
    const began = performance.now();
    await operator.evict(nodeId("c"));
    await until("new keys, without c", async () => keysOf(await lives.view()) === "2:current");
    // Whoever has heard nothing of the others' new keys still believes it.
    const alone = { ...lives.profile, addresses: [address] };
    await until("c to be down", async () => {
      const { state, trouble } = await statusAt(address, alone);
      return state === "down" && trouble?.kind === "evicted";
    });
    const ms = performance.now() - began;
    assert(ms < EVICTED_MS_MAX, `it took ${ms} ms`);
    assert.equal((await lives.view()).members.find(({ id }) => id === "c")!.state, "evicted");
    await operator.put("k", "w");
    await lives.nodes.get("c")!.stop();
    // It has its files and its keys, and the address of others, and is let in nowhere.
    await lives.again("c", { listen: address });
    await new Promise((done) => setTimeout(done, 3000));
    const members = await operator.members();
    assert.equal(members.find(({ id }) => id === "c")!.state, "evicted");
    assert.notEqual(members.find(({ id }) => id === "c")!.liveness, "alive");
    assert.equal(text((await operator.get("k"))?.value), "w");
    // Nor with an invite, under another name but with the same key.
    await lives.nodes.get("c")!.stop();
    const token = await lives.token();
    await Deno.mkdir(join(lives.directory, "d"));
    const stolen = Keyring.open({ directory: join(lives.directory, "c") });
    assert.equal(stolen.has(2), false, "what was made after its eviction");
    await Deno.copyFile(
      join(lives.directory, "c", "keyring.json"),
      join(lives.directory, "d", "keyring.json"),
    );
    const d = await lives.start("d", { open: false, token });
    await assert.rejects(d.ready, /evicted/);
  }));

Deno.test("keys rotate to the end though a node is restarted meanwhile, and clients follow", () =>
  withPrivate(["b", "c"], async (lives) => {
    const { operator } = lives;
    for (let i = 0; i < 20; i++) await operator.put(`k${i}`, `before ${i}`);
    const { address } = await lives.nodes.get("b")!.ready;
    await operator.rotateKeys();
    await lives.nodes.get("b")!.stop();
    await operator.put("k0", "meanwhile");
    await lives.again("b", { listen: address });
    await until("the old keys to be forgotten", async () => keysOf(await lives.view()) === "2:current");
    for (const { identity } of (await lives.view()).members) {
      assert.deepEqual([identity!.holds, identity!.uses], [2, 2]);
    }
    await until("the keyrings to have forgotten them", () => {
      const left = ["a", "b", "c"].map((id) =>
        Keyring.open({ directory: join(lives.directory, id) }).generations.map((generation) => generation.id)
      );
      return Promise.resolve(left.every((ids) => ids.join() === "2"));
    });
    // The one that stood, and one that knows the first authority alone.
    assert.equal(text((await operator.get("k0"))?.value), "meanwhile");
    let learned: Profile | null = null;
    using late = await connect({
      profile: { ...lives.profile, members: await members(lives) },
      profileChanged: (profile) => learned = profile,
    });
    assert.equal(text((await late.get("k19"))?.value), "before 19");
    assert.deepEqual(learned!.authorities.map(({ generation }) => generation), [2]);
    // And after a restart of all with the new keys alone.
    const addresses = new Map<string, string>();
    for (const [id, node] of lives.nodes) addresses.set(id, (await node.ready).address);
    await Promise.all([...lives.nodes.values()].map((node) => node.stop()));
    await Promise.all([...addresses].map(([id, listen]) => lives.again(id, { listen })));
    const after = await lives.as(learned!);
    assert.equal(text((await after.get("k19"))?.value), "before 19");
  }));

Deno.test("a node that was away while keys rotated, twice, believes those for which the others have signed, and is back", () =>
  withPrivate(["b", "c"], async (lives) => {
    const { operator } = lives;
    const { address } = await lives.nodes.get("c")!.ready;
    await operator.put("k", "before");
    await lives.nodes.get("c")!.stop();
    for (const generation of [2, 3]) {
      await operator.rotateKeys();
      await until(`generation ${generation} to be used by all but c`, async () => {
        const { members, security } = await lives.view();
        const present = members.filter(({ id }) => id !== "c");
        return security!.keys.at(-1)!.state === "current" && security!.keys.at(-1)!.id === generation &&
          present.every(({ identity }) => identity!.uses === generation);
      });
    }
    await operator.put("k", "meanwhile");
    const c = await lives.again("c", { listen: address });
    await until(
      "only the newest generation to be left",
      async () => keysOf(await lives.view()) === "3:current",
    );
    await until(
      "c to be a member like the others",
      async () =>
        (await operator.members()).every(({ state, liveness }) => state === "active" && liveness === "alive"),
    );
    const keyring = Keyring.open({ directory: join(lives.directory, "c") });
    assert.deepEqual(keyring.generations.map(({ id, state }) => `${id}:${state}`).at(0), "3:current");
    assert.equal((await c.ready).address, address);
  }));

async function members(lives: PrivateLives): Promise<Profile["members"]> {
  return (await lives.view()).members.map(({ id, identity }) => ({ node: id, key: identity!.key }));
}

Deno.test("a node that is alone shows a certificate by its new keys at once, and clients of now get in", () =>
  withPrivate([], async (lives) => {
    await lives.operator.rotateKeys();
    await until(
      "generation 2 to be current",
      async () => (await lives.view()).security!.keys.at(-1)!.state === "current",
    );
    const authority = readAuthority((await lives.view()).security!.keys.at(-1)!.authority);
    const client = await connect({
      profile: { ...lives.profile, authorities: [authority] },
      timeoutMs: 3000,
    });
    await client.put("k", "v");
    client.close();
  }));

Deno.test("certificates renew by themselves, and connections go on", () =>
  withPrivate(["b"], async (lives) => {
    const certificate = (id: string) =>
      Keyring.open({ directory: join(lives.directory, id) }).certificates[0]!.der.toHex();
    const before = [certificate("a"), certificate("b")];
    await until(
      "both to have a new certificate",
      () => Promise.resolve(certificate("a") !== before[0] && certificate("b") !== before[1]),
    );
    await new Promise((done) => setTimeout(done, 5000));
    await lives.operator.put("k", "v");
    const late = await lives.as(lives.profile);
    assert.equal(text((await late.get("k"))?.value), "v");
    assert((await late.members()).every(({ liveness }) => liveness === "alive"));
  }, { certificateMs: 6000 }));

Deno.test("a token is refused with its reason: used up, over, forged, another network's, and where none is due", () =>
  withPrivate([], async (lives) => {
    const refuses = async (options: Parameters<typeof lives.start>[1], words: RegExp) => {
      const id = `n${refusals++}`;
      const node = await lives.start(id, { open: false, ...options });
      await assert.rejects(node.ready, words);
    };
    let refusals = 0;
    const { address } = await lives.nodes.get("a")!.ready;
    const used = await lives.token();
    await (await lives.start("b", { open: false, token: used })).ready;
    await refuses({ token: used }, /used up/);
    // Long enough to be agreed on by a busy machine before it is over.
    const over = await lives.token({ ttlMs: 2000 });
    await new Promise((done) => setTimeout(done, 2100));
    await refuses({ token: over }, /over/);
    const good = await lives.token();
    const wrong = { ...good, secret: new Uint8Array(16) };
    await refuses({ token: wrong }, /secret in the token is wrong/);
    await refuses({ token: { ...good, fingerprints: ["00".repeat(32)] } }, /does not know the authority/);
    await refuses({ token: { ...good, network: "0".repeat(32) } }, /is for 0{32}/);
    await refuses({ token: { ...good, id: "0".repeat(16) } }, /Invite "0{16}" is not known/);
    await withLives(async (open) => {
      const there = await (await open.start("o")).ready;
      await refuses({ token: { ...good, addresses: [there.address] } }, /open network/);
      await assert.rejects(
        (await open.start("p", { join: [address] })).ready,
        /is private, and lets nobody in by an address/,
      );
    });
    await (await lives.start("c", { open: false, token: good })).ready;
    assert.deepEqual((await lives.view()).members.map(({ id }) => id), ["a", "b", "c"]);
  }));

Deno.test("a joiner whose clock is off is told by how much, and which way", () =>
  withPrivate([], async (lives) => {
    const token = await lives.token();
    const seed = newSeed(), key = publicKeyOfSeed(seed);
    const ask = (offMs: number) =>
      askToJoin({
        addresses: token.addresses,
        member: {
          id: nodeId("late"),
          address: "127.0.0.1:1",
          zone: "",
          capacity: 1,
          state: "joining",
          disk: "0".repeat(16),
          identity: { key, holds: 0, uses: 0, statement: new Uint8Array(0) },
        },
        entry: { kind: "invite", token, key, sign: (bytes) => signWithSeed(seed, bytes) },
        network: null,
        fresh: true,
        renames: false,
        msMax: 2000,
        signal: new AbortController().signal,
        clock: () => Date.now() + offMs,
      });
    await assert.rejects(ask(600_000), /clock is 600 s ahead of that of node "a": .* Set the clock/);
    await assert.rejects(ask(-400_000), /clock is 400 s behind that of node "a"/);
    const { view, admission } = await ask(200_000);
    assert(view.members.some(({ id }) => id === "late"));
    assert.deepEqual(admission!.secrets.map(({ id }) => id), [1]);
  }));

Deno.test("a node whose journal is lost comes back as a new one with the key that it had", () =>
  withPrivate(["b", "c"], async (lives) => {
    await lives.operator.put("k", "v");
    const { address } = await lives.nodes.get("c")!.ready;
    await lives.nodes.get("c")!.stop();
    const data = join(lives.directory, "c");
    for await (const { name } of Deno.readDir(data)) {
      if (name.startsWith("journal-")) await Deno.remove(join(data, name));
    }
    const again = await lives.again("c", { listen: address });
    assert.equal((await again.ready).id, "c.2");
    await until("c.2 to be active and c to be gone", async () => {
      const states = new Map((await lives.view()).members.map(({ id, state }) => [id as string, state]));
      return states.get("c.2") === "active" && states.get("c") === "gone";
    });
    assert.equal(text((await lives.operator.get("k"))?.value), "v");
  }));

Deno.test("a founder that ended at any point before its first record begins the same network again", () =>
  withLives(async (lives) => {
    const owner = { network: "ab".repeat(16), disk: "cd".repeat(8) };
    const founding = (id: string) => ({
      directory: join(lives.directory, id),
      owner,
      sealing: null,
      profileOut: null,
      node: nodeId(id),
      address: "127.0.0.1:1",
      settings: { partitions: 4 },
    });
    // After each step: the keyring alone, the first generation too, all but node.json.
    await Deno.mkdir(join(lives.directory, "whole"));
    const whole = await foundingKeyring(founding("whole"), null);
    const { authority } = whole.generations[0]!;
    const steps = {
      keyring: () => {},
      generation: (keyring: Keyring) =>
        keyring.addGeneration({ id: 1, state: "current", authority, secret: whole.secretOf(1) }),
    };
    for (const [id, step] of Object.entries(steps)) {
      await Deno.mkdir(join(lives.directory, id));
      step(Keyring.create({ directory: join(lives.directory, id), ...owner }));
    }
    for (const id of ["keyring", "generation", "whole"]) {
      const { network, address } = await (await lives.start(id, { open: false })).ready;
      // A keyring with nothing in it promised nobody anything.
      assert.equal(network === owner.network, id !== "keyring");
      const profile = readProfile(join(lives.directory, id, "profile.json"));
      using client = await connect({ profile, addresses: [address], timeoutMs: 5000 });
      await client.put("k", "v");
      const { security, settings } = (await client.layout()).view;
      assert.deepEqual(security!.keys.map(({ state }) => state), ["current"]);
      assert.deepEqual(security!.access.map((access) => access.id), [profile.access!.id]);
      if (id === "whole") assert.equal(settings.partitions, 4);
      assert.equal(Keyring.open({ directory: join(lives.directory, id) }).founding, null);
    }
  }));

Deno.test("a data directory of an open network needs --dev, one of a private network refuses it, and --dev other addresses", () =>
  withLives(async (lives) => {
    for (const [id, open] of [["open", true], ["private", false]] as const) {
      const node = await lives.start(id, { open });
      await node.ready;
      await node.stop();
    }
    for (
      const [id, open, words] of [["open", false, /is of an open network/], [
        "private",
        true,
        /is of a private/,
      ]] as const
    ) {
      const node = await lives.start(id, { open });
      await assert.rejects(node.ready, words);
    }
    await assert.rejects(lives.start("x", { listen: "0.0.0.0:0" }), /cannot be reached at "0.0.0.0:0"/);
    await assert.rejects(
      lives.start("y", { advertise: "192.0.2.1:7070" }),
      /cannot be reached at "192.0.2.1:7070"/,
    );
  }));
