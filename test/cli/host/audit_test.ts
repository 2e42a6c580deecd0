import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { AuditLog, readAudit } from "../../../cli/host/audit.ts";
import { nodeId } from "../../../core/base/ids.ts";
import { OPEN_VAULT, type Vault } from "../../../core/base/vault.ts";
import type { AuditEvent } from "../../../core/wire/requests.ts";
import { WatchedVault } from "../../support/watched_vault.ts";

const secretOf = (byte: number) => new Uint8Array(32).fill(byte);
const keys = (current: number, generations = [1, 2]): Vault =>
  new WatchedVault(new Map(generations.map((id) => [id, secretOf(id)])), current, seen);
/** Over all tests: no nonce is used twice. */
const seen = new Set<string>();

const event = (number: number): AuditEvent => ({
  timeMs: 1_700_000_000_000 + number,
  node: nodeId("sirius"),
  who: "access key 0badcafe (operator)",
  from: "192.0.2.7:4711",
  what: `evict vega, try ${number}`,
  outcome: "done",
});
const numbers = (events: readonly AuditEvent[]) => events.map(({ timeMs }) => timeMs - 1_700_000_000_000);

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-audit-" });
  try {
    await use(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

for (const vault of [OPEN_VAULT, keys(2)]) {
  const kind = vault === OPEN_VAULT ? "open" : "encrypted";
  Deno.test(`AuditLog gives back what was written, newest first, in this life and the next (${kind})`, () =>
    withDirectory(async (directory) => {
      const log = AuditLog.open({ directory, vault: () => vault });
      for (let i = 1; i <= 5; i++) log.write(event(i));
      assert.deepEqual(await log.read({ limit: 3 }), { events: [5, 4, 3].map(event), unread: [] });
      await log.close();
      const again = AuditLog.open({ directory, vault: () => vault });
      again.write(event(6));
      await again.close();
      const { events } = readAudit({ directory, vault: () => vault, limit: 100 });
      assert.deepEqual(numbers(events), [6, 5, 4, 3, 2, 1]);
      const path = join(directory, "audit.log"), bytes = Buffer.from(Deno.readFileSync(path));
      assert.equal(bytes.includes("vega"), vault === OPEN_VAULT);
      assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    }));

  Deno.test(`A1: AuditLog goes on behind a torn end, wherever it was torn (${kind})`, () =>
    withDirectory(async (directory) => {
      const path = join(directory, "audit.log"), options = { directory, vault: () => vault };
      const log = AuditLog.open(options);
      const ends: number[] = [];
      for (let i = 1; i <= 3; i++) {
        log.write(event(i));
        await log.flush();
        ends.push(Deno.statSync(path).size);
      }
      await log.close();
      const whole = Deno.readFileSync(path);
      for (let size = 0; size < whole.length; size += 7) {
        Deno.writeFileSync(path, whole.subarray(0, size));
        const torn = AuditLog.open(options);
        torn.write(event(9));
        await torn.close();
        const kept = ends.filter((end) => end <= size).length;
        assert.deepEqual(
          numbers(readAudit({ ...options, limit: 9 }).events),
          [9, 3, 2, 1].slice(0, 1).concat([3, 2, 1].slice(3 - kept)),
        );
      }
    }));

  Deno.test(`each bit of a log that changes is told, or cuts its last line (${kind})`, () =>
    withDirectory(async (directory) => {
      const path = join(directory, "audit.log"), options = { directory, vault: () => vault };
      const log = AuditLog.open(options);
      for (let i = 1; i <= 3; i++) log.write(event(i));
      await log.close();
      const whole = Deno.readFileSync(path);
      let told = 0;
      for (let bit = 0; bit < whole.length * 8; bit += 3) {
        const changed = whole.slice();
        changed[bit >> 3]! ^= 1 << (bit & 7);
        Deno.writeFileSync(path, changed);
        const { events, unread } = readAudit({ ...options, limit: 9 });
        // The zeros behind the header's checksum say nothing.
        if (events.length === 3) assert.ok(bit >> 3 >= 52 && bit >> 3 < 64, `bit ${bit}`);
        else assert.deepEqual(events, [3, 2, 1].slice(3 - events.length).map(event), `bit ${bit}`);
        told += unread.length;
      }
      assert.ok(told > 300, `${told}`);
    }));
}

/** Half a second and a sync, which takes long on a disk that is busy. */
const SOON_MS = 10_000;

Deno.test("A2: an event is on the disk soon, without anybody asking", () =>
  withDirectory(async (directory) => {
    const vault = () => keys(1);
    const log = AuditLog.open({ directory, vault });
    log.write(event(1));
    const until = Date.now() + SOON_MS;
    while (readAudit({ directory, vault, limit: 1 }).events.length === 0 && Date.now() < until) {
      await new Promise((done) => setTimeout(done, 20));
    }
    assert.deepEqual(readAudit({ directory, vault, limit: 1 }).events, [event(1)]);
    await log.close();
  }));

Deno.test("A3: two files of bytesMax hold the newest events, and reading crosses from one to the other", () =>
  withDirectory(async (directory) => {
    const vault = () => keys(1), bytesMax = 4000;
    const log = AuditLog.open({ directory, vault, bytesMax });
    for (let i = 1; i <= 200; i++) {
      log.write(event(i));
      if (i % 7 === 0) await log.flush();
    }
    const { events } = await log.read({ limit: 1000 });
    assert.ok(events.length > 25 && events.length < 80, `${events.length}`);
    assert.deepEqual(numbers(events), events.map((_, i) => 200 - i));
    await log.close();
    assert.deepEqual([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), [
      "audit.log",
      "audit.log.1",
    ]);
    for (const { name } of Deno.readDirSync(directory)) {
      assert.ok(Deno.statSync(join(directory, name)).size <= bytesMax);
    }
  }));

Deno.test("A4: a log that cannot be written says so once, keeps what is told, and goes on", () =>
  withDirectory(async (parent) => {
    const directory = join(parent, "not yet"), failures: string[] = [];
    const failed = (error: Error) => void failures.push(error.message);
    const log = AuditLog.open({ directory, vault: () => keys(1), failed });
    log.write(event(1));
    await log.flush();
    await log.flush();
    assert.equal(failures.length, 1);
    assert.match(failures[0]!, /^Cannot write the audit log in ".*not yet": /);
    Deno.mkdirSync(directory);
    log.write(event(2));
    assert.deepEqual((await log.read({ limit: 9 })).events, [event(2), event(1)]);
    await log.close();
    assert.equal(failures.length, 1);
  }));

Deno.test("A5: renew() writes both files anew with the current generation, and loses nothing", () =>
  withDirectory(async (directory) => {
    let vault = keys(1);
    const log = AuditLog.open({ directory, vault: () => vault, bytesMax: 4000 });
    for (let i = 1; i <= 40; i++) log.write(event(i));
    await log.flush();
    const before = (await log.read({ limit: 100 })).events;
    assert.deepEqual(log.generations, [1]);
    vault = keys(2);
    await log.renew();
    log.write(event(41));
    await log.flush();
    assert.deepEqual(log.generations, [2]);
    await log.close();
    vault = keys(2, [2]);
    assert.deepEqual(readAudit({ directory, vault: () => vault, limit: 100 }), {
      events: [event(41), ...before],
      unread: [],
    });
    assert.ok(Deno.statSync(join(directory, "audit.log.1")).isFile);
  }));

Deno.test("what no key opens is told, and stays where it is", () =>
  withDirectory(async (directory) => {
    const log = AuditLog.open({ directory, vault: () => keys(1) });
    log.write(event(1));
    await log.close();
    const vault = () => keys(2, [2]);
    const { events, unread } = readAudit({ directory, vault, limit: 9 });
    assert.deepEqual(events, []);
    assert.match(unread[0]!, /^Cannot read all of "audit\.log": Key generation 1 is not in the keyring\./);
    const next = AuditLog.open({ directory, vault });
    next.write(event(2));
    await next.renew();
    const page = await next.read({ limit: 9 });
    assert.deepEqual(page.events, [event(2)]);
    assert.match(page.unread[0]!, /"audit\.log\.1"/);
    await next.close();
  }));
