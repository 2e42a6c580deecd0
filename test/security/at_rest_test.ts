/**
 * What lies on the disks of a private network: nothing that says what its users keep in it, to whoever has all files
 * but the keyrings. The same life in an open network shows that the search would find it.
 */
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { nodeId } from "../../core/base/ids.ts";
import { type Client, connect } from "../../cli/client/client.ts";
import { Credentials, makeAccessKey } from "../../cli/host/identity/access_key.ts";
import { Keyring } from "../../cli/host/identity/keyring.ts";
import { formatKeyring, parseKeyring } from "../../cli/host/identity/keyring_file.ts";
import { readAudit } from "../../cli/host/audit.ts";
import type { NodeProcess } from "../../cli/processes.ts";
import { untilSettled } from "../../cli/settled.ts";
import { FLAGS, programWith, type Ran, text, until, withLab } from "../cli/support.ts";
import { type PrivateLab, privateThree, withPrivateLab } from "../cli/private_support.ts";
import { type FileOnDisk, filesBelow, foldersBelow, generationOf, holding, stateOf } from "./disk_reading.ts";

/** Part of everything that is kept here. */
const MARK = "zanzibar";
const VALUE_BYTES = 60_000;
/** A journal segment is 32 MiB long, and a layer of tables 2 MiB. */
const PUTS = 620;
const UNDER_WAY = 16;
const SETTLED_MS_MAX = 120_000;
const LEFT = PUTS - Math.ceil(PUTS / 10);
/** The data directories lie in folders of their own, beside logs and recordings. */
const NODES = ["a", "b", "c", "d"];

/** What is looked for, by what it is. Each has MARK in it, and that is looked for everywhere. */
const WORDS = {
  key: `planet/${MARK}-key-3/`,
  value: `${MARK}-value-5 `,
  lease: `{port}${MARK}-lease`,
  leased: `{port}${MARK}-leased-key`,
  history: `${MARK}-version-2`,
  deleted: `planet/${MARK}-key-0/`,
  transacted: `${MARK}-transacted`,
} as const;

const encoder = new TextEncoder();
const keyOf = (i: number) => `planet/${MARK}-key-${i}/`;
const valueOf = (i: number) => `${MARK}-value-${i} `.repeat(VALUE_BYTES / (MARK.length + 9));
const isDeleted = (i: number) => i % 10 === 0;

/** Everything that a client can have kept: rows, leases, versions, what is deleted again, while somebody watches. */
async function live(client: Client, puts: number): Promise<void> {
  const watch = client.watch({ prefix: `planet/${MARK}` });
  await watch.established;
  const first = watch.next();
  let next = 0;
  await Promise.all(Array.from({ length: UNDER_WAY }, async () => {
    for (let i = next++; i < puts; i = next++) {
      await client.put(keyOf(i), valueOf(i));
      if (isDeleted(i)) await client.delete(keyOf(i));
    }
  }));
  assert.match((await first).value!.events[0]!.key, new RegExp(MARK));
  await watch.return();
  await client.grant(WORDS.lease, 3_600_000);
  await client.put(WORDS.leased, `${MARK} under a lease`, { lease: WORDS.lease });
  for (let i = 0; i < 4; i++) await client.put(`planet/${MARK}-old`, `${MARK}-version-${i}`, { history: 10 });
  assert((await client.history(`planet/${MARK}-old`)).length > 2);
  await client.transact({
    conditions: [{ key: `{t}${MARK}`, expect: { kind: "absent" } }],
    then: [{ kind: "put", key: `{t}${MARK}`, value: encoder.encode(WORDS.transacted) }],
  });
}

/** Rows are there, others are gone, and the lease holds. */
async function check(client: Client): Promise<void> {
  assert.equal(text((await client.get(keyOf(3)))?.value), valueOf(3));
  assert.equal((await client.get(keyOf(10)))?.value ?? null, null);
  let count = 0;
  for await (const _ of client.range({ prefix: `planet/${MARK}-key`, keysOnly: true })) count++;
  assert.equal(count, LEFT);
  await client.keepAlive(WORDS.lease);
}

/** The journal has gone on into later segments, and tables were merged. */
function checkTurnedOver(directory: string): void {
  const names = filesBelow(directory).map(({ path }) => basename(path));
  const segments = names.filter((name) => name.startsWith("journal-")).sort();
  assert(!segments[0]!.endsWith("00001.log"), `The first segment of ${directory} is gone: ${segments}`);
  const tables = names.filter((name) => name.endsWith(".tbl")).sort();
  assert(tables.length > 0, directory);
  assert(Number.parseInt(tables.at(-1)!) > tables.length, `Files of ${directory} were merged: ${tables}`);
}

/** Of data directories and recordings: keys of all members, and what else the network must not give away. */
function checkUnreadable(files: readonly FileOnDisk[], keyrings: readonly Keyring[]): void {
  assert.deepEqual(holding(files, MARK), []);
  const secrets = new Map<string, Uint8Array>();
  for (const keyring of keyrings) {
    for (const { id } of keyring.generations) secrets.set(keyring.secretOf(id).toHex(), keyring.secretOf(id));
  }
  assert(secrets.size > 0);
  for (const secret of secrets.values()) {
    const found = holding(files, secret).map((path) => basename(path));
    assert.deepEqual(found, keyrings.map(() => "keyring.json"));
  }
}

function checkRights(directory: string): void {
  for (const { path, mode } of filesBelow(directory)) assert.equal(mode.toString(8), "600", path);
  for (const { path, mode } of foldersBelow(directory)) assert.equal(mode.toString(8), "700", path);
}

function keyringsOf(directory: string): Keyring[] {
  return NODES.map((id) => Keyring.open({ directory: join(directory, id), readOnly: true }));
}

const recording = (directory: string, id: string) => [...FLAGS, "--record", join(directory, `flight-${id}`)];

Deno.test("no file of a private network shows a key, a value, a lease or a name, whatever became of its nodes", () =>
  withPrivateLab(async (lab) => {
    const { directory } = lab, flags = (id: string) => recording(directory, id);
    const nodes = new Map<string, NodeProcess>();
    nodes.set("a", await lab.start({ id: "a", flags: flags("a") }));
    const token = await lab.invite({ uses: 2 });
    for (const id of ["b", "c"]) nodes.set(id, await lab.start({ id, token, flags: flags(id) }));
    const client = await lab.client();
    await untilSettled(client, { members: 3, msMax: SETTLED_MS_MAX });
    await audited(lab, client);
    await live(client, PUTS);
    // A joiner that no log reaches back to is sent snapshots.
    nodes.set("d", await lab.start({ id: "d", token: await lab.invite(), flags: flags("d") }));
    await untilSettled(client, { members: 4, msMax: SETTLED_MS_MAX });
    assert((await client.status(nodeId("d"))).replicas.length > 0, "the joiner holds something");

    const late = client.put("planet/late", `${MARK} as it was killed`);
    await nodes.get("c")!.kill();
    await late;
    const after = filesBelow(directory);
    assert.deepEqual(holding(after.filter(({ path }) => path.startsWith(join(directory, "c"))), MARK), []);
    nodes.set("c", await lab.start({ id: "c", listen: nodes.get("c")!.address, flags: flags("c") }));
    await check(client);
    for (const node of nodes.values()) assert.equal(await node.stop(), 0);

    const files = filesBelow(directory);
    checkUnreadable(files, keyringsOf(directory));
    for (const id of NODES) {
      checkRights(join(directory, id));
      checkTurnedOver(join(directory, id));
    }
    for (const file of files.filter(({ path }) => basename(path).startsWith("flight-"))) {
      assert.equal(file.mode.toString(8), "600", file.path);
    }
    for (const file of files) assert.notEqual(generationOf(file), 0, `${file.path} is sealed`);
    // It is all there, for whoever has the keyring: the search was not for what nobody ever wrote.
    const asked = keyringsOf(directory).flatMap((keyring, i) =>
      readAudit({ directory: join(directory, NODES[i]!), vault: () => keyring.toVault(), limit: 1000 }).events
    );
    assert.match(asked.map(({ what }) => what).join(), new RegExp(`get "${MARK}-denied"`));
    await rotated(lab, nodes);
  }));

/** An access key whose name and prefix are nobody's business, and a request that is refused and written down. */
async function audited(lab: PrivateLab, client: Client): Promise<void> {
  const { id, secret, publicKey } = makeAccessKey();
  const rights = [{ prefix: `${MARK}-prefix/`, read: true, write: true, admin: false }];
  await client.setAccess({ id, publicKey, name: `${MARK}-name`, rights });
  const [first] = lab.profile.addresses;
  using limited = await connect({
    profile: { ...lab.profile, access: new Credentials({ id, secret }) },
    addresses: [first!],
  });
  await limited.put(`${MARK}-prefix/x`, `${MARK} of a limited key`);
  await assert.rejects(limited.get(`${MARK}-denied`), { reason: "denied" });
}

/** New keys for a network that is down: all files are sealed with them in the end, and the old ones are nowhere. */
async function rotated(lab: PrivateLab, nodes: ReadonlyMap<string, NodeProcess>): Promise<void> {
  const { directory } = lab;
  const secret = keyringsOf(directory)[0]!.secretOf(1);
  const started = await Promise.all(
    NODES.map((id) => lab.start({ id, listen: nodes.get(id)!.address })),
  );
  const client = await lab.client();
  await client.rotateKeys();
  await until("the former keys to be gone from all keyrings", () =>
    Promise.resolve(
      keyringsOf(directory).every(({ generations }) => generations.map(({ id }) => id).join() === "2"),
    ));
  await check(client);
  for (const node of started) assert.equal(await node.stop(), 0);
  const files = NODES.flatMap((id) => filesBelow(join(directory, id)));
  const generations = files.map((file) => [file.path, generationOf(file)] as const);
  assert.deepEqual(generations.filter(([, generation]) => generation !== null && generation !== 2), []);
  assert(generations.filter(([, generation]) => generation === 2).length > 12);
  const all = filesBelow(directory);
  assert.deepEqual(holding(all, secret), [], "what was forgotten");
  checkUnreadable(all, keyringsOf(directory));
  NODES.forEach((id) => checkRights(join(directory, id)));
  await Promise.all(NODES.map((id) => lab.start({ id, listen: nodes.get(id)!.address })));
  const again = await lab.client();
  await check(again);
  const { security } = (await again.layout()).view;
  assert(security!.access.some(({ name }) => name === `${MARK}-name`), "names came back from the disks");
}

Deno.test("the same search finds everything in the files of an open network", () =>
  withLab(async (lab) => {
    const { directory } = lab;
    const a = await lab.start({ id: "a", flags: recording(directory, "a") });
    const client = await lab.client(a);
    await live(client, 100);
    const b = await lab.start({ id: "b", join: a.address, flags: recording(directory, "b") });
    await untilSettled(client, { members: 2, msMax: SETTLED_MS_MAX });
    await b.kill();
    await a.stop();
    const files = filesBelow(directory);
    for (const [what, word] of Object.entries(WORDS)) {
      for (const kind of [/\/[ab]\/(journal-|tables\/)/, /\/flight-[ab]\./]) {
        assert(holding(files, word).some((path) => kind.test(path)), `${what} in files like ${kind}`);
      }
    }
    const among = new Set(holding(files, MARK).map((path) => path.slice(directory.length + 1)));
    for (const id of ["a", "b"]) {
      // A joiner is sent snapshots, which are put into the tables and never into the journal.
      for (const kind of [...(id === "a" ? ["a/journal-"] : []), `${id}/tables/`, `flight-${id}.`]) {
        assert([...among].some((path) => path.startsWith(kind)), `${kind} among ${[...among]}`);
      }
    }
    assert.equal(
      [...among].some((path) => path.endsWith(".log") && !path.includes("/")),
      false,
      "no log tells",
    );
    const generations = new Set(files.map(generationOf));
    assert.deepEqual([...generations].sort(), [0, null]);
  }));

Deno.test("the search finds what is written as hexadecimal or base64 text, wherever it begins", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const bytes = (word: string) => encoder.encode(word);
    const texts = ["", "x", "xy", "xyz"].flatMap((before) => {
      const all = bytes(`${before}${MARK}ü?>`);
      return [
        all.toHex(),
        all.toHex().toUpperCase(),
        all.toBase64(),
        all.toBase64({ alphabet: "base64url" }),
      ];
    });
    for (const [i, text] of texts.entries()) await Deno.writeTextFile(join(directory, String(i)), text);
    assert.equal(holding(filesBelow(directory), MARK).length, texts.length);
    assert.deepEqual(holding(filesBelow(directory), "mombasa"), []);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

const PASSPHRASE = "a passphrase for the first node";

Deno.test("a stolen directory opens without its own keyring to nobody, and is left as it was", () =>
  withPrivateLab(async (lab) => {
    const [a, b, c] = await privateThree(lab), client = await lab.client();
    for (let i = 0; i < 20; i++) await client.put(keyOf(i), `${MARK} ${i}`);
    for (const node of [c, b, a]) assert.equal(await node.stop(), 0);
    const keyring = (id: string) => Deno.readTextFile(join(lab.directory, id, "keyring.json"));
    const stolen = theft(lab);

    await stolen(
      "without",
      (path) => Deno.remove(path),
      /There is no keyring ".*keyring\.json"\. Restore it/,
    );
    const bs = await keyring("b");
    await stolen("other", (path) => Deno.writeTextFile(path, bs), /keyring\.json" belongs to another node/);
    await withPrivateLab(async (elsewhere) => {
      await (await elsewhere.start({ id: "a" })).stop();
      const foreign = await Deno.readTextFile(join(elsewhere.directory, "a", "keyring.json"));
      await stolen("foreign", (path) => Deno.writeTextFile(path, foreign), /belongs to network [0-9a-f]{32}/);
      // Whoever edits the file gets no further: its authority bears the network's name.
      const edited = underNameOf(await keyring("a"), foreign);
      await stolen("edited", (path) => Deno.writeFile(path, edited), /contradicts itself/);
    });

    const env = { SPACE_OPERA_PASSPHRASE: PASSPHRASE }, data = join(lab.directory, "a");
    succeeded(await programWith({ env }, "keys", "seal", "--data", data));
    const sealed = await keyring("a");
    const opens = JSON.parse(sealed);
    assert.equal(JSON.stringify(opens).includes(PASSPHRASE), false);
    const put = (path: string) => Deno.writeTextFile(path, sealed);
    await stolen("sealed", put, /passphrase is needed/);
    await stolen(
      "guessed",
      put,
      /The passphrase does not open the keyring ".*"\. Try again/,
      "a wrong passphrase",
    );
    // The owner's own passphrase does, so it is not for another reason that the others failed.
    const passphrase = await written(lab, "right", PASSPHRASE);
    const again = await lab.start({
      id: "a",
      listen: a.address,
      flags: [...FLAGS, "--passphrase-file", passphrase],
    });
    assert.equal(again.ready.origin, "recovered");
  }));

/** What one keyring holds, in a file that says that it belongs where the other does. */
function underNameOf(owner: string, content: string): Uint8Array {
  const [own, other] = [owner, content].map((text) => parseKeyring("keyring.json", encoder.encode(text)));
  assert(own!.kind === "open" && other!.kind === "open");
  return formatKeyring({ ...own!, content: other!.content });
}

function succeeded({ code, stderr }: Ran): void {
  assert.equal(code, 0, stderr);
}

async function written(lab: PrivateLab, name: string, text: string): Promise<string> {
  const path = join(lab.directory, name);
  await Deno.writeTextFile(path, text, { mode: 0o600 });
  return path;
}

/** Copies of a's directory, each with another keyring, on which a node is refused with such words. */
function theft(lab: PrivateLab) {
  checkRights(join(lab.directory, "a"));
  return async (
    name: string,
    change: (keyring: string) => Promise<void>,
    words: RegExp,
    passphrase?: string,
  ) => {
    const data = join(lab.directory, name);
    await copyFolder(join(lab.directory, "a"), data);
    await change(join(data, "keyring.json"));
    const before = await stateOf(data);
    assert(Object.keys(before).length > 5, Object.keys(before).join());
    const secret = passphrase === undefined
      ? []
      : ["--passphrase-file", await written(lab, `${name}.pass`, passphrase)];
    const { code, stdout, stderr } = await programWith(
      {},
      ...["node", "--data", data, "--listen", "127.0.0.1:0", "--log-level", "error", ...secret],
    );
    assert.equal(code, 1, stderr);
    assert.match(stderr, words);
    assert.equal(stdout, "");
    assert(passphrase === undefined || !stderr.includes(passphrase));
    assert.deepEqual(await stateOf(data), before, "nothing is changed on the disk");
  };
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { mode: 0o700 });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    const [source, target] = [join(from, name), join(to, name)];
    if (isDirectory) await copyFolder(source, target);
    else await Deno.copyFile(source, target);
  }
}
