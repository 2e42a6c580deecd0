import assert from "node:assert/strict";
import fc from "fast-check";
import { crc32 } from "../../../core/base/hash.ts";
import { Random } from "../../../core/base/random.ts";
import { OPEN_VAULT, UnknownKeyError, Vault } from "../../../core/base/vault.ts";
import { TablesCorruptError, TablesForeignError, TablesVersionError } from "../../../core/tables/errors.ts";
import { disownStore } from "../../../core/tables/store.ts";
import type { SimTableFiles } from "../../../sim/table_files.ts";
import { TableStore } from "../../../sim/table_store.ts";
import { checkTables } from "../../support/tables_conformance.ts";
import { type NoncesSeen, WatchedVault } from "../../support/watched_vault.ts";
import {
  checkedText,
  freshFiles,
  OWNER,
  SECRETS,
  storeOn,
  textOf,
  TINY_SIZES,
  Twin,
  VAULT,
  VAULTS,
} from "./stores.ts";

checkTables("TableStore", () => {
  const tables = storeOn(freshFiles());
  return { tables, close: () => tables.abandon() };
});

const key = fc.array(fc.constantFrom(0, 1, 0x61, 0x7f, 0x80, 0xff), { maxLength: 4 })
  .map((bytes) => Uint8Array.from(bytes));
const action = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant("set" as const), key, value: fc.uint8Array({ maxLength: 90 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("delete" as const), key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("delete-range" as const), start: key, end: key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("snapshot" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("close-snapshot" as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("step" as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("checkpoint" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("work" as const), pieces: fc.integer({ min: 1, max: 6 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reopen" as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("rotate" as const), to: fc.integer({ min: 1, max: 3 }) }),
  },
);

for (const vault of VAULTS) {
  const name = vault === OPEN_VAULT ? "in the clear" : "sealed";
  Deno.test(`TableStore ${name}: any run of writes, flushes, merges, snapshots and openings reads as a map does`, () => {
    let merged = 0;
    fc.assert(
      fc.property(fc.array(action, { minLength: 30, maxLength: 250, size: "max" }), (actions) => {
        const files = freshFiles(), twin = new Twin();
        let tables = storeOn(files, vault), mark = 0;
        let snapshots: { close(): void; text(): string[]; then: string[] }[] = [];
        for (const a of actions) {
          if (a.kind === "set") tables.set(a.key, a.value), twin.set(a.key, a.value);
          else if (a.kind === "delete") tables.delete(a.key), twin.delete(a.key);
          else if (a.kind === "delete-range") tables.deleteRange(a), twin.deleteRange(a);
          else if (a.kind === "step") tables.endStep(++mark), tables.durable(mark);
          else if (a.kind === "work") tables.work(a.pieces, 200);
          else if (a.kind === "checkpoint") {
            tables.endStep(++mark);
            let done = false;
            tables.checkpoint(mark, () => done = true);
            tables.durable(mark);
            assert(done, "a checkpoint ends");
          } else if (a.kind === "snapshot") {
            const taken = tables.snapshot();
            snapshots.push({ close: () => taken.close(), text: () => checkedText(taken), then: twin.text() });
          } else if (a.kind === "close-snapshot") snapshots.shift()?.close();
          else if (a.kind === "reopen") {
            for (const { close } of snapshots) close();
            snapshots = [];
            tables.endStep(++mark);
            tables.durable(mark);
            tables.close();
            assert.equal(files.openFiles, 0, "all files are closed");
            tables = storeOn(files, vault);
            mark = 0;
          } else if (vault !== OPEN_VAULT) tables.rotate(new Vault(SECRETS, a.to));
        }
        assert.deepEqual(checkedText(tables), twin.text());
        for (const { text, then, close } of snapshots) {
          assert.deepEqual(text(), then);
          close();
        }
        while (tables.work(1));
        assert.deepEqual(checkedText(tables), twin.text());
        merged += tables.levels().slice(1).reduce((sum, files) => sum + files, 0);
        tables.endStep(++mark);
        tables.durable(mark);
        tables.close();
        assert.equal(files.openFiles, 0, "all files are closed");
        tables = storeOn(files, vault);
        assert.deepEqual(checkedText(tables), twin.text());
        tables.abandon();
      }),
      { numRuns: 60 },
    );
    assert(merged > 40, `Files below level 0: ${merged}`);
  });
}

function filled(files: SimTableFiles, rows: number, vault = VAULT): TableStore {
  const tables = storeOn(files, vault);
  const random = Random.fromSeed(3);
  for (let i = 0; i < rows; i++) {
    tables.set(word(`key-${random.below(rows)}`), word(`value-${i}-${"x".repeat(random.below(60))}`));
    if (i % 7 === 0) tables.delete(word(`key-${random.below(rows)}`));
    if (i % 10 === 9) tables.endStep(i), tables.durable(i), tables.work(2);
  }
  tables.deleteRange({ start: word("key-3"), end: word("key-32") });
  tables.endStep(rows);
  tables.durable(rows);
  return tables;
}

const word = (text: string) => new TextEncoder().encode(text);

for (const vault of VAULTS) {
  const name = vault === OPEN_VAULT ? "in the clear" : "sealed";
  Deno.test(`TableStore ${name}: every changed byte of every file is found, or changes nothing`, () => {
    const files = freshFiles();
    const first = filled(files, 90, vault);
    const expected = textOf(first);
    first.close();
    const names = files.list();
    assert(names.length > 4, String(names));
    let found = 0, harmless = 0;
    for (const name of names) {
      const bytes = files.read(name)!;
      for (let at = 0; at < bytes.length; at++) {
        files.flip(name, at, 1 << (at % 8));
        try {
          const tables = storeOn(files, vault);
          try {
            assert.deepEqual(textOf(tables), expected, `${name} at ${at}`);
            harmless++;
          } finally {
            tables.abandon();
          }
        } catch (error) {
          assert(error instanceof TablesCorruptError, `${name} at ${at}: ${error}`);
          assert.equal(error.file, name);
          found++;
        }
        files.flip(name, at, 1 << (at % 8));
      }
    }
    assert(found > 3000, String(found));
    assert.equal(harmless, 0, "no byte is without meaning");
    assert.equal(files.openFiles, 0);
  });

  Deno.test(`TableStore ${name}: a file that is missing, cut, longer or another's is found`, () => {
    const files = freshFiles();
    filled(files, 300, vault).close();
    const [a, b] = files.list() as [string, string];
    const attempt = () => {
      const tables = storeOn(files, vault);
      try {
        return textOf(tables);
      } finally {
        tables.abandon();
      }
    };
    const whole = files.read(a)!;
    const replaced = (bytes: Uint8Array | null, expected: RegExp) => {
      files.remove(a);
      if (bytes !== null) files.create(a).append(bytes);
      assert.throws(attempt, (error) => {
        assert(error instanceof TablesCorruptError);
        assert.match(error.message, expected);
        return true;
      });
      if (bytes === null) files.create(a).append(new Uint8Array(0));
    };
    replaced(whole.subarray(0, whole.length - 1), /has \d+ bytes and not \d+/);
    replaced(Uint8Array.from([...whole, 0]), /has \d+ bytes and not \d+/);
    replaced(files.read(b), /header is not the one that the manifest names/);
    replaced(null, /it is missing/);
    replaced(new Uint8Array(0), /it ends before offset/);
    files.remove("manifest");
    assert.throws(attempt, /"manifest" is damaged: it is missing, and \d+ files of tables lie beside it/);
  });
}

Deno.test("TableStore: no key, no value and no part of either is in any file", () => {
  const files = freshFiles();
  const tables = storeOn(files);
  for (let i = 0; i < 400; i++) {
    tables.set(word(`secret-key-${i}`), word(`secret-value-${i}`));
    if (i % 10 === 0) tables.endStep(i), tables.durable(i), tables.work(1);
  }
  tables.deleteRange({ start: word("secret-key-1"), end: word("secret-key-2") });
  tables.endStep(400);
  tables.durable(400);
  tables.close();
  for (const name of files.list()) {
    const text = new TextDecoder("latin1").decode(files.read(name)!);
    assert(!/secret|-key|-value/.test(text), name);
  }
  // The check itself: in the clear they are all there.
  const clear = freshFiles();
  const open = storeOn(clear, OPEN_VAULT);
  open.set(word("secret-key-1"), word("secret-value-1"));
  open.endStep(1);
  open.durable(1);
  open.close();
  const all = clear.list().map((name) => new TextDecoder("latin1").decode(clear.read(name)!)).join();
  assert.match(all, /secret-key-1secret-value-1/);
});

Deno.test("TableStore seals nothing twice under one key and nonce, in all files and all lives", () => {
  const files = freshFiles(),
    seen: NoncesSeen = new Set(),
    vaultOf = (id: number) => new WatchedVault(SECRETS, id, seen);
  let tables = filled(files, 300, vaultOf(1));
  for (let i = 0; i < 6; i++) {
    tables.rotate(vaultOf(i % 3 + 1));
    for (let row = 0; row < 40; row++) tables.set(word(`key-${row * 7}`), word(`${i}-${"y".repeat(row)}`));
    tables.endStep(301 + i);
    tables.durable(301 + i);
    while (tables.work(2, 100));
    // Where a merge was cut short its rest is begun anew.
    if (i % 2 === 0) tables.abandon();
    else tables.close();
    tables = storeOn(files, vaultOf(i % 3 + 1));
  }
  tables.close();
  assert(seen.size > 100, `${seen.size} texts were sealed`);
});

Deno.test("TableStore keeps the order of its flushes where it seals them again", () => {
  const files = freshFiles(), shape = { ...TINY_SIZES.shape, level0Files: 9 };
  const sizes = { ...TINY_SIZES, shape }, tables = storeOn(files, VAULT, sizes);
  for (let round = 1; round <= 4; round++) {
    for (const name of ["a", "b", "c"].slice(0, 5 - round)) tables.set(word(name), word(`round ${round}`));
    if (round === 3) tables.deleteRange({ start: word("b"), end: word("c") });
    tables.endStep(round);
    tables.checkpoint(round, () => {});
    tables.durable(round);
  }
  assert.deepEqual(tables.levels().slice(0, 2), [4, 0]);
  const expected = checkedText(tables);
  tables.rotate(new Vault(SECRETS, 2));
  while (tables.work(1)) assert.deepEqual(checkedText(tables), expected);
  assert.deepEqual(tables.generations(), [2]);
  assert.deepEqual(tables.levels().slice(0, 2), [4, 0], "none was merged meanwhile");
  assert.deepEqual(checkedText(tables), expected);
  tables.close();
});

/** Each row is flushed when its step is durable, and stays in a file of its own until a merge. */
const FLUSHING = { ...TINY_SIZES, layerRowsMax: 1, shape: { ...TINY_SIZES.shape, level0Files: 9 } };

Deno.test("TableStore keeps what is buried until no manifest on the disk names it (S4)", () => {
  const files = freshFiles(), tables = storeOn(files, VAULT, FLUSHING);
  const step = (mark: number) => {
    tables.endStep(mark);
    tables.durable(mark);
  };
  tables.set(word("a"), word("first"));
  tables.endStep(1);
  tables.checkpoint(1, () => {});
  tables.durable(1);
  const [file] = files.list();
  tables.deleteRange({ start: word(""), end: word("z") });
  tables.set(word("b"), word("second"));
  step(2);
  tables.set(word("c"), word("third"));
  step(3);
  assert.equal(tables.levels()[0], 2, "the first file is live no more");
  assert(files.list().includes(file!), "the manifest names it");
  const left = files.crash(Random.fromSeed(1)), again = storeOn(left, VAULT, FLUSHING);
  assert.deepEqual(checkedText(again), [`${word("a").toHex()}=${word("first").toHex()}`]);
  again.abandon();
  tables.endStep(4);
  tables.checkpoint(4, () => {});
  tables.durable(4);
  assert.equal(files.list().includes(file!), false);
  tables.close();
});

Deno.test("TableStore leaves what a merge reads to the merge, though all of it is deleted meanwhile", () => {
  const files = freshFiles(), shape = { ...TINY_SIZES.shape, level0Files: 2, fileBytes: 1 << 20 };
  const tables = storeOn(files, VAULT, { ...TINY_SIZES, shape, layerBytesMax: 1 << 20, layerRowsMax: 1000 });
  const checkpoint = (mark: number) => {
    tables.endStep(mark);
    tables.checkpoint(mark, () => {});
    tables.durable(mark);
  };
  for (let mark = 1; mark <= 2; mark++) {
    for (let i = 0; i < 500; i++) tables.set(word(`key-${i}`), word(`${mark}`));
    checkpoint(mark);
  }
  const [first] = files.list();
  assert(tables.work(1, 1), "a merge is under way");
  assert.deepEqual(tables.levels().slice(0, 2), [2, 0]);
  tables.deleteRange({ start: word(""), end: word("z") });
  tables.set(word("key-1"), word("new"));
  checkpoint(3);
  assert(files.list().includes(first!), "it is still read");
  const expected = [`${word("key-1").toHex()}=${word("new").toHex()}`];
  while (tables.work(1, 1)) assert.deepEqual(checkedText(tables), expected);
  assert.deepEqual(checkedText(tables), expected);
  assert.equal(files.list().includes(first!), false);
  tables.close();
});

Deno.test("TableStore uses a generation as long as the manifest on the disk is sealed with it", () => {
  const tables = storeOn(freshFiles());
  assert.deepEqual(tables.generations(), [1]);
  tables.rotate(new Vault(SECRETS, 2));
  assert.deepEqual(tables.generations(), [1]);
  tables.checkpoint(0, () => {});
  tables.durable(0);
  assert.deepEqual(tables.generations(), [2]);
  tables.close();
});

Deno.test("TableStore finds every row of a file with thousands", () => {
  const files = freshFiles(), shape = { ...TINY_SIZES.shape, fileBytes: 1 << 20 };
  const sizes = { ...TINY_SIZES, shape, layerBytesMax: 1 << 20, layerRowsMax: 10_000 };
  let tables = storeOn(files, VAULT, sizes);
  for (let i = 0; i < 5000; i++) tables.set(word(`key-${i}`), word(`${i}`));
  tables.endStep(1);
  tables.checkpoint(1, () => {});
  tables.durable(1);
  assert.equal(tables.levels()[0], 1);
  tables.close();
  tables = storeOn(files, VAULT, sizes);
  assert.equal(checkedText(tables).length, 5000);
  tables.close();
});

Deno.test("TableStore belongs to who opened it first, and to nobody else until it is disowned", () => {
  const files = freshFiles();
  const open = (owner: typeof OWNER | null, vault = VAULT) =>
    new TableStore({ files, vault, owner, sizes: TINY_SIZES }).close();
  const others = [{ ...OWNER, node: "b" }, { ...OWNER, network: "2".repeat(32) }, {
    ...OWNER,
    disk: "e".repeat(16),
  }];
  open(null);
  open(OWNER);
  open(OWNER);
  for (const other of others) {
    assert.throws(() => open(other), (error) => {
      assert(error instanceof TablesForeignError);
      assert.equal(
        error.message,
        `Tables file "manifest" belongs to node "sirius" of network ${OWNER.network} on disk ${OWNER.disk}, ` +
          `not to node "${other.node}" of network ${other.network} on disk ${other.disk}`,
      );
      return true;
    });
  }
  // Whose they are is told without their keys.
  assert.throws(() => open(others[0]!, OPEN_VAULT), TablesForeignError);
  disownStore({ files, vault: VAULT });
  open(others[0]!);
  assert.throws(() => open(OWNER), TablesForeignError);
});

Deno.test("TableStore says that a key generation is missing, is another's, or that a newer build wrote it", () => {
  const files = freshFiles();
  filled(files, 50).close();
  assert.throws(() => storeOn(files, new Vault(new Map([[2, SECRETS.get(2)!]]), 2)), UnknownKeyError);
  assert.throws(() => storeOn(files, OPEN_VAULT), UnknownKeyError);
  const wrong = new Vault(new Map([[1, SECRETS.get(2)!]]), 1);
  assert.throws(() => storeOn(files, wrong), (error) => {
    assert(error instanceof TablesCorruptError);
    assert.match(error.message, /seal of its list of files is wrong, or key generation 1 has another secret/);
    return true;
  });
  const header = files.read("manifest")!.slice();
  header[11] = 9;
  files.overwrite("manifest", 0, header);
  assert.throws(() => storeOn(files), TablesCorruptError);
  resealed(files);
  assert.throws(() => storeOn(files), (error) => {
    assert(error instanceof TablesVersionError);
    assert.match(error.message, /has format 9 and this build reads up to 3. Start the build that wrote it/);
    return true;
  });
});

Deno.test("TableStore of a private network believes no list of files that is not sealed", () => {
  const files = freshFiles();
  filled(files, 50, OPEN_VAULT).close();
  const names = files.list();
  assert.throws(() => storeOn(files), (error) => {
    assert(error instanceof TablesCorruptError);
    assert.match(error.message, /it is not encrypted, and the network is private/);
    return true;
  });
  assert.deepEqual(files.list(), names, "nothing was touched");
});

/** Gives the manifest's header its right checksum. */
function resealed(files: SimTableFiles): void {
  const bytes = files.read("manifest")!.slice(), view = new DataView(bytes.buffer);
  const length = view.getUint32(12);
  view.setUint32(length - 4, crc32(bytes.subarray(0, length - 4)));
  files.overwrite("manifest", 0, bytes);
}

Deno.test("TableStore writes what an older key generation sealed again, and names those in use", () => {
  const files = freshFiles();
  let tables = filled(files, 300);
  const expected = textOf(tables);
  assert.deepEqual(tables.generations(), [1]);
  const before = tables.snapshot();
  tables.rotate(new Vault(SECRETS, 2));
  assert.deepEqual(tables.generations(), [1]);
  tables.set(word("z"), word("new"));
  tables.endStep(301);
  tables.durable(301);
  while (tables.work(1));
  assert.deepEqual(tables.generations(), [1, 2], "a snapshot still reads the old files");
  assert.deepEqual(textOf(before), expected);
  before.close();
  assert.deepEqual(tables.generations(), [2]);
  assert.deepEqual(textOf(tables), [...expected, `${word("z").toHex()}=${word("new").toHex()}`]);
  tables.close();
  const only = new Vault(new Map([[2, SECRETS.get(2)!]]), 2);
  tables = storeOn(files, only);
  assert.equal(textOf(tables).length, expected.length + 1);
  assert.throws(() => tables.rotate(new Vault(new Map([[1, SECRETS.get(1)!]]), 1)), UnknownKeyError);
  tables.abandon();
});

Deno.test("TableStore goes on with a merge where the keys that it is given anew are the same", () => {
  const files = freshFiles(), tables = filled(files, 300), expected = textOf(tables);
  tables.rotate(new Vault(SECRETS, 2));
  let rounds = 0;
  for (; tables.work(1, 50); rounds++) tables.rotate(new Vault(SECRETS, 2));
  assert(rounds > 10, String(rounds));
  assert.deepEqual(tables.generations(), [2]);
  assert.deepEqual(textOf(tables), expected);
  tables.close();
});

Deno.test("TableStore frees what was deleted: at once where a span holds whole files, else as it merges", () => {
  const files = freshFiles();
  const tables = filled(files, 600);
  while (tables.work(1));
  const full = files.size;
  tables.deleteRange({ start: word("key-"), end: word("key-9") });
  let done = false;
  tables.endStep(601);
  tables.checkpoint(601, () => done = true);
  tables.durable(601);
  assert(done);
  while (tables.work(1));
  assert(files.size < full / 2, `${files.size} of ${full} bytes are left`);
  const left = textOf(tables);
  assert(left.length > 0 && left.every((row) => row.startsWith(word("key-9").toHex())));
  tables.close();
});

Deno.test("TableStore keeps the files that a snapshot reads, and removes them when it is closed", () => {
  const files = freshFiles();
  const tables = filled(files, 300), expected = textOf(tables);
  const snapshot = tables.snapshot();
  const kept = files.list();
  tables.deleteRange({ start: word(""), end: word("z") });
  let mark = 301;
  const checkpoint = () => {
    tables.endStep(++mark);
    tables.checkpoint(mark, () => {});
    tables.durable(mark);
  };
  checkpoint();
  while (tables.work(1));
  assert.deepEqual(textOf(tables), []);
  assert.deepEqual(textOf(snapshot), expected);
  assert(kept.every((name) => files.list().includes(name)));
  snapshot.close();
  assert.throws(() => snapshot.get(word("a")), /The snapshot of the tables is closed/);
  checkpoint();
  assert(files.list().length < 5, String(files.list()));
  tables.close();
});

Deno.test("TableStore holds rows of every size, also those that fill many blocks", () => {
  const files = freshFiles();
  let tables = storeOn(files);
  const big = new Uint8Array(70_000).map((_, i) => i * 7);
  const rows: [Uint8Array, Uint8Array][] = [
    [word(""), word("")],
    [new Uint8Array(2000).fill(9), big],
    [word("b"), big.subarray(1)],
    [word("c"), word("small")],
  ];
  for (const [key, value] of rows) tables.set(key, value);
  tables.endStep(1);
  tables.durable(1);
  tables.close();
  tables = storeOn(files);
  for (const [key, value] of rows) assert.deepEqual(tables.get(key), value);
  assert.equal(checkedText(tables).length, 4);
  tables.abandon();
});
