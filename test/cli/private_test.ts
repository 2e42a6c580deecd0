/** The whole life of a private network, as people type it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { readProfile, writeProfile } from "../../cli/client/profile.ts";
import { Credentials, makeAccessKey } from "../../cli/host/identity/access_key.ts";
import { parseToken } from "../../cli/host/identity/token.ts";
import { NodeProcess } from "../../cli/processes.ts";
import { untilSettled } from "../../cli/settled.ts";
import { FLAGS, programWith, type Ran, until } from "./support.ts";
import { type PrivateLab, privateThree, withPrivateLab } from "./private_support.ts";

const json = (ran: Ran) => {
  assert.equal(ran.code, 0, ran.stderr);
  return JSON.parse(ran.stdout);
};
const said = (ran: Ran, words: RegExp) => {
  assert.equal(ran.code, 1, ran.stderr);
  assert.match(ran.stderr, words);
};

Deno.test("init, node, invite, join, access, evict, rotate, seal and start again, from the command line", () =>
  withPrivateLab(async (lab) => {
    const data = join(lab.directory, "a"), mine = join(lab.directory, "mine.json");
    const made = json(
      await programWith(
        {},
        ...["init", "--data", data, "--id", "a", "--partitions", "8", "--profile-out", mine, "--json"],
      ),
    );
    assert.deepEqual(Object.keys(made), ["network", "authority", "node", "profile", "access"]);
    assert.equal((await Deno.stat(mine)).mode! & 0o777, 0o600);
    const twice = await programWith({}, "init", "--data", data);
    assert.equal(twice.code, 2);
    assert.match(twice.stderr, /A node lives in ".*" already/);

    const a = await lab.start({ id: "a", flags: ["--log-level", "debug"] });
    assert.equal(a.ready.network, made.network);
    const as = (profile: string) => (...args: string[]) =>
      programWith({ env: { SPACE_OPERA_PROFILE: profile } }, ...args, "--connect", a.address);
    const so = as(mine);
    assert.equal((await so("kv", "put", "greeting", "hello")).code, 0);
    assert.equal(json(await so("whoami", "--json")).rights, ":rwa");
    assert.equal(json(await so("layout", "show", "--json")).settings.partitions, 8);

    const invited = await so("invite", "--zone", "north", "--uses", "2");
    assert.equal(invited.code, 0, invited.stderr);
    assert.match(invited.stdout, /^so1\.[\w-]+\n$/);
    assert.equal(json(await so("invite", "list", "--json"))[0].zone, "north");
    const token = invited.stdout.trim();
    const [b, c] = await Promise.all(["b", "c"].map((id) => lab.start({ id, token }))) as [
      NodeProcess,
      NodeProcess,
    ];
    await untilSettled(await lab.client({ profile: readProfile(mine) }), { members: 3, msMax: 90_000 });
    assert.equal(json(await so("invite", "list", "--json"))[0].state, "used up");

    await limited(lab, so, as);

    const evicted = json(await so("evict", "b", "--yes", "--json"));
    assert.deepEqual(evicted, { ...evicted, node: "b", state: "evicted", silent: [], current: true });
    await until(
      "the evicted node to say so",
      async () =>
        /Node "b" was evicted from network/.test(await Deno.readTextFile(join(lab.directory, "b.log"))),
    );
    const env = { SPACE_OPERA_PROFILE: mine };
    const there = await programWith(
      { env },
      ...["kv", "get", "greeting", "--connect", b.address],
      "--timeout",
      "2000",
    );
    assert.equal(there.code, 1, "it answers nothing any more");
    await b.kill();
    assert.equal((await so("kv", "get", "greeting")).stdout, "hello\n");

    assert.deepEqual(json(await so("keys", "rotate", "--json")), { generation: 3, current: true });
    const keys = json(await so("keys", "--json"));
    assert.deepEqual(keys.at(-1).holders, ["a", "c"]);
    assert.equal(keys.find(({ state }: { state: string }) => state === "current").id, 3);
    const audit = JSON.stringify(json(await so("audit", "--all", "--json")));
    for (const word of ["evict", "invite", "access", made.access]) assert(audit.includes(word), word);

    // With the third node there is a majority whenever the first one comes or goes.
    assert.notEqual(c.pid, b.pid);
    await a.stop();
    await sealed(lab, data, a.address, so);
  }));

/** A key for one prefix reads that, and nothing else. */
async function limited(
  lab: PrivateLab,
  so: (...args: string[]) => Promise<Ran>,
  as: (profile: string) => (...args: string[]) => Promise<Ran>,
): Promise<void> {
  const profile = join(lab.directory, "stargazer.json");
  const created = await so("access", "create", "stargazer", "--allow", "star/:r", "--profile-out", profile);
  assert.equal(created.code, 0, created.stderr);
  assert.equal((await Deno.stat(profile)).mode! & 0o777, 0o600);
  const { id, secret } = readProfile(profile).access!.reveal();
  assert(!created.stdout.includes(secret) && !created.stderr.includes(secret));
  const gazer = as(profile);
  assert.equal((await so("kv", "put", "star/1", "bright")).code, 0);
  assert.equal((await gazer("kv", "get", "star/1")).stdout, "bright\n");
  assert.equal((await gazer("kv", "range", "--prefix", "star/", "--keys-only")).stdout, "star/1\n");
  for (
    const args of [
      ["kv", "get", "greeting"],
      ["kv", "put", "star/1", "dim"],
      ["kv", "del", "star/1"],
      ["kv", "range"],
      ["kv", "range", "--prefix", "sta"],
      ["invite"],
      ["invite", "list"],
      ["evict", "b", "--yes"],
      ["keys", "rotate"],
      ["access", "create", "more", "--allow", "star/:rw"],
      ["audit"],
      ["drain", "b"],
    ]
  ) said(await gazer(...args), /may not|denied/i);
  assert.equal((await so("kv", "get", "star/1")).stdout, "bright\n");

  const changed = json(await so("access", "change", "stargazer", "--allow", "star/:rw", "--json"));
  assert.deepEqual(changed, { id, name: "stargazer", rights: "star/:rw" });
  assert.equal((await gazer("kv", "put", "star/1", "dim")).code, 0);
  assert.deepEqual(json(await so("access", "revoke", "stargazer", "--json")).revoked, true);
  said(await gazer("kv", "get", "star/1"), /denied|refused this client/);
}

/** Sealed with a passphrase, with another, with a key file, and open again. */
async function sealed(
  lab: PrivateLab,
  data: string,
  listen: string,
  so: (...args: string[]) => Promise<Ran>,
): Promise<void> {
  const file = async (name: string, text: string) => {
    const path = join(lab.directory, name);
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    return path;
  };
  const first = await file("first", "a first long passphrase\n"), second = "a second long passphrase";
  const keyFile = await file("key", "0123456789abcdef0123456789abcdef");
  const keys = (...args: string[]) =>
    programWith({}, "keys", args[0]!, "--data", data, "--json", ...args.slice(1));
  assert.equal(json(await keys("seal", "--passphrase-file", first)).seal, "passphrase");
  const starts = async (words: RegExp, ...flags: string[]) => {
    await assert.rejects(lab.start({ id: "a", listen, flags: [...FLAGS, ...flags] }), words);
  };
  await starts(/passphrase is needed/);
  await starts(/does not open the keyring/, "--passphrase-file", await file("wrong", "another passphrase"));
  await starts(/inside the data directory/, "--passphrase-file", await inside(data));
  const node = await lab.start({ id: "a", listen, flags: [...FLAGS, "--passphrase-file", first] });
  assert.equal((await so("kv", "get", "greeting")).stdout, "hello\n");
  said(await keys("unseal", "--passphrase-file", first), /another node runs on it/);
  await node.stop();

  const next = await file("second", second);
  const changed = await keys("passphrase", "--passphrase-file", first, "--new-passphrase-file", next);
  assert.equal(json(changed).seal, "passphrase");
  const env = { SPACE_OPERA_PASSPHRASE: second };
  const toKey = await programWith({ env }, ...[
    "keys",
    "passphrase",
    "--data",
    data,
    "--new-key-file",
    keyFile,
  ]);
  assert.match(toKey.stdout, /is sealed with a key file/);
  await starts(/sealed with a key file\. Name it with --key-file/);
  const again = await lab.start({ id: "a", listen, flags: [...FLAGS, "--key-file", keyFile] });
  await again.stop();
  assert.equal(json(await keys("unseal", "--key-file", keyFile)).seal, "open");
  const unneeded = await programWith({}, "node", "--data", data, "--listen", listen, "--key-file", keyFile);
  assert.equal(unneeded.code, 2);
  assert.match(unneeded.stderr, /is not sealed, and nothing is needed to open it/);
  await lab.start({ id: "a", listen });
  assert.equal((await so("kv", "get", "greeting")).stdout, "hello\n");
}

async function inside(data: string): Promise<string> {
  const path = join(data, "passphrase");
  await Deno.writeTextFile(path, "a first long passphrase", { mode: 0o600 });
  return path;
}

Deno.test("a sealed network needs a place for the profile that is not its directory", () =>
  withPrivateLab(async (lab) => {
    const data = join(lab.directory, "a"), env = { SPACE_OPERA_PASSPHRASE: "a long passphrase" };
    const nowhere = await programWith({ env }, "init", "--data", data);
    said(nowhere, /Name a place for it elsewhere with --profile-out/);
    const path = join(lab.directory, "p.json");
    const made = await programWith(
      { env },
      "init",
      "--data",
      data,
      "--profile-out",
      path,
      "--show-secret",
      "--json",
    );
    assert.equal(json(made).secret, readProfile(path).access!.reveal().secret);
    const weak = await programWith(
      { env: { SPACE_OPERA_PASSPHRASE: "short" } },
      "init",
      "--data",
      `${data}2`,
    );
    said(weak, /at least 10 characters/);
  }));

Deno.test("nothing secret is in arguments, logs, the agreed state, or what commands print", () =>
  withPrivateLab(async (lab) => {
    const nodes = await privateThree(lab);
    const token = await lab.invite();
    const outputs: string[] = [];
    for (
      const args of [
        ["status", "--json"],
        ["members", "--json"],
        ["layout", "show", "--json"],
        ["invite", "list", "--json"],
        ["access", "list", "--json"],
        ["profile", "show", "--json"],
        ["profile", "check", "--json"],
        ["whoami", "--json"],
        ["keys", "--json"],
        ["keys", "rotate", "--json"],
        ["audit", "--all", "--json"],
        ["evict", "c", "--yes", "--json"],
      ]
    ) {
      const { stdout, stderr, code } = await lab.run(...args);
      assert.equal(code, 0, `${args}: ${stderr}`);
      outputs.push(stdout, stderr);
    }
    for (const { pid } of nodes) {
      if (Deno.build.os === "linux") outputs.push(await argumentsOf(pid));
    }
    for (const id of ["a", "b", "c"]) {
      outputs.push(await Deno.readTextFile(join(lab.directory, `${id}.log`)));
      outputs.push(await Deno.readTextFile(join(lab.directory, id, "node.json")));
    }
    const secrets = [
      token,
      ...forms(parseToken(token).secret),
      lab.profile.access!.reveal().secret,
      ...await secretsOf(join(lab.directory, "a", "keyring.json")),
    ];
    assert(secrets.length > 6);
    for (const secret of secrets) {
      for (const output of outputs) assert(!output.includes(secret), `${output.slice(0, 100)} has a secret`);
    }
  }));

/** As every user of the machine sees them. The runtime reads /proc only where it may do everything. */
async function argumentsOf(pid: number): Promise<string> {
  const { success, stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/cmdline`] }).output();
  assert(success);
  const text = new TextDecoder().decode(stdout);
  assert.match(text, /--data/);
  return text;
}

function forms(bytes: Uint8Array): string[] {
  return [bytes.toHex(), bytes.toBase64(), bytes.toBase64({ alphabet: "base64url", omitPadding: true })];
}

/** Every value in a keyring that is called a seed or a secret, in each form. */
async function secretsOf(path: string): Promise<string[]> {
  const { keyring } = JSON.parse(await Deno.readTextFile(path));
  const { seed, generations } = keyring.content;
  return [seed, ...generations.map(({ secret }: { secret: string }) => secret)]
    .flatMap((hex) => forms(Uint8Array.fromHex(hex)));
}

Deno.test("a client whose profile is old follows the network, and the command line keeps what it learned", () =>
  withPrivateLab(async (lab) => {
    await privateThree(lab);
    // The first node was alone when it wrote the profile: the members are learned first.
    assert.equal((await lab.run("kv", "put", "k", "v")).code, 0);
    await until("the profile to name all members", async () => {
      await lab.run("kv", "get", "k");
      return lab.profile.members.length === 3;
    });
    const before = lab.profile.fingerprint;
    assert.equal((await lab.run("keys", "rotate")).code, 0);
    await until("the profile to follow", async () => {
      assert.equal((await lab.run("kv", "get", "k")).stdout, "v\n");
      return lab.profile.fingerprint !== before;
    });
  }));

Deno.test("who may not come in is told why, and a private profile is never shown to an open network", () =>
  withPrivateLab(async (lab) => {
    const a = await lab.start({ id: "a" });
    const at = ["--connect", a.address, "--timeout", "3000"];
    const stranger = await programWith({}, "kv", "put", "k", "v", ...at);
    said(stranger, /refused this client: the network is private, and lets in only who shows a profile/);
    assert.match(
      stranger.stderr,
      /\nNo profile was used: there is no --profile, no SPACE_OPERA_PROFILE, and no file/,
    );
    said(
      await lab.run("kv", "put", "k", "v", "--no-profile", ...at),
      /No profile was used: --no-profile was given/,
    );

    const { id, secret } = makeAccessKey();
    const forged = join(lab.directory, "forged.json");
    writeProfile(forged, { ...lab.profile, access: new Credentials({ id, secret }) });
    said(
      await programWith({}, "kv", "get", "k", "--profile", forged, ...at),
      /access key "SO.*" does not let it in: it was revoked, or its secret is wrong|too many wrong log-ins/,
    );
    const stolen = join(lab.directory, "stolen.json");
    writeProfile(stolen, { ...lab.profile, access: new Credentials({ id: lab.profile.access!.id, secret }) });
    said(
      await programWith({}, "kv", "get", "k", "--profile", stolen, ...at),
      /does not let it in|too many wrong log-ins/,
    );

    const open = await NodeProcess.start({
      id: "o",
      data: join(lab.directory, "o"),
      open: true,
      flags: FLAGS,
    });
    try {
      const there = ["--connect", open.address, "--timeout", "3000"];
      said(
        await lab.run("kv", "put", "k", "secret", ...there),
        /open network .* is there, and the profile is for/,
      );
      assert.equal((await lab.run("kv", "put", "k", "v", "--no-profile", ...there)).code, 0);
    } finally {
      await open.kill();
    }
  }));

Deno.test("a data directory stays private, or open, for life", () =>
  withPrivateLab(async (lab) => {
    const starts = (id: string, open: boolean) =>
      NodeProcess.start({ id, data: join(lab.directory, id), open, flags: FLAGS });
    for (const open of [true, false]) await (await starts(`${open}`, open)).kill();
    await assert.rejects(starts("true", false), /is of an open network: nothing in it is encrypted/);
    await assert.rejects(starts("false", true), /is of a private network\. Start without --dev/);
  }));
