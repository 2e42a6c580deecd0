/** Who can write to a disk without having the keys: files of one's own making in the place of the node's. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { utf8Encode } from "../../core/base/bytes.ts";
import { crc32 } from "../../core/base/hash.ts";
import { nodeId } from "../../core/base/ids.ts";
import { OPEN_VAULT } from "../../core/base/vault.ts";
import { loadStore } from "../../core/tables/load.ts";
import { readManifestOwner } from "../../core/tables/manifest.ts";
import { DEFAULT_SHAPE } from "../../core/tables/plan.ts";
import { encodeMark, encodeRecords, encodeSegmentHeader } from "../../core/wire/journal.ts";
import { JournalPlainError } from "../../core/wire/journal_recovery.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import { Credentials, makeAccessKey } from "../../cli/host/identity/access_key.ts";
import { Keyring } from "../../cli/host/identity/keyring.ts";
import { AuditLog } from "../../cli/host/audit.ts";
import { salvage } from "../../cli/host/life/rebuild.ts";
import { DiskFiles } from "../../cli/host/tables/files.ts";
import { type PrivateLives, withPrivate } from "../cli/host/life/private_lives.ts";
import { text } from "../cli/support.ts";

const SEGMENT = /^journal-\d+\.log$/;

function namesIn(directory: string, wanted: (name: string) => boolean): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).filter(wanted).sort();
}

function segmentsIn(directory: string): string[] {
  return namesIn(directory, (name) => SEGMENT.test(name));
}

/** A whole journal in one segment, in the clear, that says nothing but `view`. */
function plainSegment(view: SystemView, segment: number, firstSequence: number): Uint8Array {
  const node = nodeId("a"), salt = 7;
  const header = encodeSegmentHeader({ node, segment, firstSequence, salt });
  const records = encodeRecords([{ kind: "view", view }], {
    firstSequence,
    durableUpTo: firstSequence - 1,
    salt,
    head: true,
  });
  const mark = encodeMark(1, { firstSequence: firstSequence + 1, durableUpTo: firstSequence, salt });
  return Uint8Array.from([...header, ...records, ...mark]);
}

/** The view with an access key of the thief's own in it, which may do everything. */
function withKeyOf(view: SystemView, { id, publicKey }: { id: string; publicKey: string }): SystemView {
  const access = [...view.security!.access, {
    id,
    publicKey,
    name: "thief",
    rights: [{ prefix: "", read: true, write: true, admin: true }],
  }].sort((a, b) => (a.id < b.id ? -1 : 1));
  return { ...view, version: view.version + 1000, security: { ...view.security!, access } };
}

/** Stops "a" and returns its directory and address. */
async function stopped(lives: PrivateLives): Promise<{ directory: string; listen: string }> {
  const node = lives.nodes.get("a")!, { address: listen } = await node.ready;
  await node.stop();
  return { directory: join(lives.directory, "a"), listen };
}

/** Starts "a", which is to end with an error at once. */
async function refusedBy(lives: PrivateLives, listen: string, check: (error: Error) => void): Promise<void> {
  const node = await lives.start("a", { open: false, listen });
  const error = await node.ready.then(() => null, (error: Error) => error);
  await node.done.catch(() => {}); // with the same
  assert(error !== null, "it starts");
  check(error);
}

Deno.test("attack: a journal in the clear, with the thief's access key in its view, is put beside or in place of the node's", () =>
  withPrivate([], async (lives) => {
    await lives.operator.put("k", "v");
    const view = await lives.view(), { directory, listen } = await stopped(lives);
    const key = makeAccessKey(), forged = withKeyOf(view, key);
    const own = segmentsIn(directory), kept = join(lives.directory, "kept");
    await Deno.mkdir(kept);

    // Behind the node's own: recovery would begin there.
    const behind = join(directory, "journal-00000099.log");
    await Deno.writeFile(behind, plainSegment(forged, 99, 1_000_000));
    const refused = () =>
      refusedBy(lives, listen, (error) => {
        assert(error instanceof JournalPlainError);
        assert.match(error.message, /is not encrypted, and the network of this data directory is private/);
      });
    await refused();
    await Deno.remove(behind);

    // In its place, as the first of all.
    for (const name of own) await Deno.rename(join(directory, name), join(kept, name));
    await Deno.writeFile(join(directory, "journal-00000001.log"), plainSegment(forged, 1, 1));
    await refused();
    // What a node that begins anew would ask of the same file: whom to turn to.
    const vault = Keyring.open({ directory }).toVault();
    assert.deepEqual(salvage(directory, vault), { view: null, peers: [] });
    await Deno.remove(join(directory, "journal-00000001.log"));

    // Nothing was changed: with its own files it is the node that it was, and does not know the thief.
    for (const name of own) await Deno.rename(join(kept, name), join(directory, name));
    await lives.again("a", { listen });
    const client = await lives.as(lives.profile);
    assert.equal(text((await client.get("k"))?.value), "v");
    await assert.rejects(
      lives.as({ ...lives.profile, access: new Credentials(key) }),
      /does not let it in/,
    );
  }));

Deno.test("attack: tables in the clear, or an older build's database, are put in place of the node's", () =>
  withPrivate([], async (lives) => {
    for (let i = 0; i < 20; i++) await lives.operator.put(`k${i}`, "true");
    const { directory, listen } = await stopped(lives);
    const tables = join(directory, "tables"), kept = join(lives.directory, "kept");
    const owner = readManifestOwner(new DiskFiles(tables));
    assert.notEqual(owner, null);
    const forged: [Uint8Array, Uint8Array][] = [[Uint8Array.of(0, 1, 1), utf8Encode("forged")]];

    await Deno.rename(tables, kept);
    loadStore({ files: new DiskFiles(tables), vault: OPEN_VAULT, owner, shape: DEFAULT_SHAPE }, forged);
    // It is damage like any other: they are set aside, and filled again from what is left, or by the others.
    await lives.again("a", { listen });
    let client = await lives.as(lives.profile);
    assert.equal(text((await client.get("k7"))?.value), "true");
    assert.notEqual(
      namesIn(directory, (name) => name.startsWith("damaged-")).length,
      0,
      "they are kept",
    );
    await lives.nodes.get("a")!.stop();

    const database = new DatabaseSync(join(directory, "tables.db"));
    database.exec(
      "PRAGMA user_version = 2; CREATE TABLE rows (key BLOB PRIMARY KEY, value BLOB, checksum INTEGER)",
    );
    for (const [key, value] of forged) {
      database.prepare("INSERT INTO rows VALUES (?, ?, ?)").run(key, value, crc32(value, crc32(key)));
    }
    database.close();
    await lives.again("a", { listen });
    client = await lives.as(lives.profile);
    assert.equal(text((await client.get("k7"))?.value), "true");
    assert(await exists(join(directory, "tables.db")), "it was not taken over");
  }));

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

Deno.test("attack: an audit log in the clear tells of what never was", () =>
  withPrivate([], async (lives) => {
    await lives.operator.addInvite({
      id: "ab".repeat(8),
      hash: "cd".repeat(32),
      zone: null,
      expiresMs: Date.now() + 60_000,
      uses: 1,
    });
    const { directory, listen } = await stopped(lives);
    for (const name of ["audit.log", "audit.log.1"]) {
      await Deno.remove(join(directory, name)).catch(() => {});
    }
    const plain = AuditLog.open({ directory, vault: () => OPEN_VAULT });
    plain.write({
      timeMs: 1,
      node: nodeId("a"),
      who: "key SOFRAMED",
      from: "",
      what: "evict b",
      outcome: "done",
    });
    await plain.close();
    await lives.again("a", { listen });
    const client = await lives.as(lives.profile);
    await client.dropInvite("ab".repeat(8));
    const events = await client.audit({});
    assert(!events.some(({ who }) => who === "key SOFRAMED"));
    assert(events.some(({ what }) => what.startsWith("invite-drop")), "and it goes on");
  }));

Deno.test("attack: files of one member are put into the directory of another, keyring and all", () =>
  withPrivate(["b"], async (lives) => {
    const { directory: a, listen } = await stopped(lives);
    const { address } = await lives.nodes.get("b")!.ready;
    await lives.nodes.get("b")!.stop();
    const b = join(lives.directory, "b"), kept = join(lives.directory, "kept");
    await Deno.mkdir(kept);
    const swapped = async (
      names: (name: string) => boolean,
      words: RegExp,
      alter = (bytes: Uint8Array) => bytes,
    ) => {
      for (const name of namesIn(a, names)) await Deno.rename(join(a, name), join(kept, name));
      for (const name of namesIn(b, names)) {
        await Deno.writeFile(join(a, name), alter(await Deno.readFile(join(b, name))), { mode: 0o600 });
      }
      await refusedBy(lives, listen, (error) => assert.match(error.message, words));
      for (const name of namesIn(a, names)) await Deno.remove(join(a, name));
      for (const name of namesIn(kept, names)) await Deno.rename(join(kept, name), join(a, name));
    };
    const isSegment = (name: string) => SEGMENT.test(name);
    await swapped((name) => name === "keyring.json", /belongs to another node/);
    await swapped(isSegment, /belongs to node "b", not to "a"/);
    // The same with the name in its header altered: what was sealed for b's segment does not open in a's.
    await swapped(isSegment, /does not open with what the keyring has for it/, (bytes) => {
      assert.equal(String.fromCharCode(bytes[64]!, bytes[65]!), "b\0");
      bytes[64] = "a".charCodeAt(0);
      const checksum = crc32(bytes.subarray(20, 128), crc32(bytes.subarray(8, 16)));
      new DataView(bytes.buffer).setUint32(16, checksum);
      return bytes;
    });
    await Promise.all([lives.again("a", { listen }), lives.again("b", { listen: address })]);
    const client = await lives.as(lives.profile);
    await client.put("still", "served");
  }));

Deno.test("attack: a private directory is made out to be an open one, and started as such", () =>
  withPrivate([], async (lives) => {
    const view = await lives.view(), { directory, listen } = await stopped(lives);
    const file = join(directory, "node.json");
    const identity = await Deno.readTextFile(file);
    await Deno.writeTextFile(file, identity.replace('"private": true', '"private": false'));
    const keyring = await Deno.readFile(join(directory, "keyring.json"));
    await Deno.remove(join(directory, "keyring.json"));
    for (const name of segmentsIn(directory)) await Deno.remove(join(directory, name));
    await Deno.writeFile(
      join(directory, "journal-00000001.log"),
      plainSegment({ ...view, security: null }, 1, 1),
    );
    // The service that starts it does not say --dev.
    const words = (error: Error) => assert.match(error.message, /is of an open network/);
    await refusedBy(lives, listen, words);
    await Deno.writeFile(join(directory, "keyring.json"), keyring, { mode: 0o600 });
    await refusedBy(lives, listen, words);
  }));
