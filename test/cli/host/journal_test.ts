import assert from "node:assert/strict";
import { join } from "node:path";
import { JournalFiles } from "../../../cli/host/journal.ts";
import { type LogIndex, nodeId, type PartitionId, type Term } from "../../../core/base/ids.ts";
import { Vault } from "../../../core/base/vault.ts";
import { encodeRecords, readSegmentHeader, sealBytes } from "../../../core/wire/journal.ts";
import type { JournalRecord, Recovered } from "../../../core/wire/kernel.ts";
import { formerSegmentHeader } from "../../support/journal_formats.ts";

const node = nodeId("sirius");

const vote = (partition: number, term: number): JournalRecord => ({
  kind: "vote",
  partition: partition as PartitionId,
  term: term as Term,
  votedFor: node,
});

function opened(directory: string, failures: string[] = []) {
  const durable: number[] = [];
  const events = {
    durable: (upTo: number) => void durable.push(upTo),
    failed: (error: Error) => void failures.push(error.message),
  };
  const { journal, recovered } = JournalFiles.open({ directory, node, events });
  const terms = new Map(
    [...recovered?.replicas ?? []].map(([p, replica]) => [Number(p), Number(replica.term)]),
  );
  return { journal, recovered, durable, terms };
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-journal-" });
  try {
    await use(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** What a crash would leave: the files as they are, in another folder. */
async function crashed(directory: string, use: (copy: string) => void | Promise<void>): Promise<void> {
  await withDirectory(async (copy) => {
    for await (const { name } of Deno.readDir(directory)) {
      await Deno.copyFile(join(directory, name), join(copy, name));
    }
    await use(copy);
  });
}

const segments = (directory: string) => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();

Deno.test("JournalFiles gives back what was committed, after a crash and after close()", () =>
  withDirectory(async (directory) => {
    const { journal, recovered, durable } = opened(directory);
    assert.equal(recovered, null);
    journal.append([vote(1, 1), vote(2, 1)], 2);
    journal.append([vote(1, 2)], 3);
    journal.commit();
    while (durable.at(-1) !== 3) await new Promise((done) => setTimeout(done, 1));
    await crashed(directory, (copy) => {
      const again = opened(copy);
      assert.deepEqual(again.terms, new Map([[1, 2], [2, 1]]));
      return again.journal.close();
    });
    await journal.close();
    const again = opened(directory);
    assert.deepEqual(again.terms, new Map([[1, 2], [2, 1]]));
    again.journal.append([vote(2, 7)], 1);
    await again.journal.close();
    const third = opened(directory);
    assert.deepEqual(third.terms, new Map([[1, 2], [2, 7]]));
    await third.journal.close();
  }));

Deno.test("JournalFiles goes on in a new segment after a checkpoint, and drops the old one once it counts (J2 to J4)", () =>
  withDirectory(async (directory) => {
    const { journal } = opened(directory);
    journal.append([vote(1, 1)], 1);
    const head = journal.rotate([vote(1, 1)]);
    journal.append([vote(1, 2)], 2);
    journal.commit();
    await head;
    assert.deepEqual(segments(directory), ["journal-00000001.log", "journal-00000002.log"]);
    // The mark is not written yet: a crash finds all in the first segment and the live record in the second.
    await crashed(directory, async (copy) => {
      const again = opened(copy);
      assert.deepEqual(again.terms, new Map([[1, 2]]));
      await again.journal.close();
    });
    await journal.finishCheckpoint();
    assert.deepEqual(segments(directory), ["journal-00000002.log"]);
    journal.append([vote(3, 5)], 3);
    await journal.close();
    const again = opened(directory);
    assert.deepEqual(again.terms, new Map([[1, 2], [3, 5]]));
    await again.journal.close();
  }));

Deno.test("JournalFiles cuts the torn end of a crash and writes on behind what is whole", () =>
  withDirectory(async (directory) => {
    const { journal } = opened(directory);
    journal.append([vote(1, 1)], 1);
    await journal.close();
    const path = join(directory, "journal-00000001.log");
    const whole = (await Deno.stat(path)).size;
    const second = opened(directory);
    second.journal.append([vote(1, 2)], 1);
    await second.journal.close();
    for (const size of [whole + 1, (await Deno.stat(path)).size - sealBytes(false) - 1]) {
      await crashed(directory, async (copy) => {
        await Deno.truncate(join(copy, "journal-00000001.log"), size);
        const torn = opened(copy);
        assert.deepEqual(torn.terms, new Map([[1, 1]]));
        torn.journal.append([vote(2, 9)], 1);
        await torn.journal.close();
        const after = opened(copy);
        assert.deepEqual(after.terms, new Map([[1, 1], [2, 9]]));
        await after.journal.close();
      });
    }
  }));

Deno.test("JournalFiles never tries a failed sync again and reports nothing durable after it (H2)", () =>
  withDirectory(async (directory) => {
    const failures: string[] = [];
    const { journal, durable } = opened(directory, failures);
    const { syncDataSync, syncData } = Deno.FsFile.prototype;
    let syncs = 0;
    const broken = () => {
      syncs++;
      throw new Error("Input/output error");
    };
    Deno.FsFile.prototype.syncDataSync = broken;
    Deno.FsFile.prototype.syncData = () => Promise.resolve().then(broken);
    try {
      journal.append([vote(1, 1)], 1);
      journal.commit();
      await new Promise((done) => setTimeout(done, 5));
    } finally {
      Object.assign(Deno.FsFile.prototype, { syncDataSync, syncData });
    }
    journal.append([vote(1, 2)], 2);
    journal.commit();
    await journal.close();
    assert.equal(syncs, 1);
    assert.deepEqual(durable, []);
    assert.equal(failures.length, 1);
    assert.match(failures[0]!, /journal-00000001\.log": Input\/output error$/);
  }));

Deno.test("JournalFiles refuses the journal of another node", () =>
  withDirectory(async (directory) => {
    const { journal } = opened(directory);
    journal.append([{ kind: "drop", partition: 1 as PartitionId }, {
      kind: "truncate",
      partition: 1 as PartitionId,
      from: 1 as LogIndex,
    }], 2);
    await journal.close();
    const events = { durable: () => {}, failed: () => {} };
    assert.throws(
      () => JournalFiles.open({ directory, node: nodeId("vega"), events }),
      /belongs to node "sirius"/,
    );
  }));

Deno.test("JournalFiles goes on from a journal of version 1 or 2 in a segment of version 3, which a checkpoint leaves alone", () =>
  withDirectory(async (parent) => {
    for (const version of [1, 2] as const) {
      const directory = join(parent, `version ${version}`);
      Deno.mkdirSync(directory);
      const header = { node, segment: 1, firstSequence: 1, salt: 5, version };
      const records = encodeRecords([vote(1, 1), vote(2, 3)], { firstSequence: 1, durableUpTo: 0, salt: 5 });
      const old = Uint8Array.from([...formerSegmentHeader(header), ...records]);
      Deno.writeFileSync(join(directory, "journal-00000001.log"), old);
      const { journal, terms } = opened(directory);
      assert.deepEqual(terms, new Map([[1, 1], [2, 3]]));
      journal.append([vote(1, 4)], 1);
      await journal.close();
      assert.deepEqual(Deno.readFileSync(join(directory, "journal-00000001.log")), old);
      const again = opened(directory);
      assert.deepEqual(again.terms, new Map([[1, 4], [2, 3]]));
      await again.journal.rotate([vote(1, 4), vote(2, 3)]);
      await again.journal.finishCheckpoint();
      await again.journal.close();
      assert.deepEqual(segments(directory), ["journal-00000003.log"]);
      const start = readSegmentHeader(Deno.readFileSync(join(directory, "journal-00000003.log")));
      assert.equal(start.kind === "segment" && start.header.version, 3);
      const third = opened(directory);
      assert.deepEqual(third.terms, new Map([[1, 4], [2, 3]]));
      await third.journal.close();
    }
  }));

Deno.test("JournalFiles seals what is durable once it rests, so that damage to the last record is told (J8)", () =>
  withDirectory(async (directory) => {
    const { journal } = opened(directory);
    journal.append([vote(1, 1)], 1);
    journal.commit();
    const before = journal.segmentBytes;
    while (journal.segmentBytes === before) await new Promise((done) => setTimeout(done, 1));
    assert.equal(journal.segmentBytes, before + sealBytes(false));
    await crashed(directory, (copy) => {
      const path = join(copy, "journal-00000001.log");
      const bytes = Deno.readFileSync(path);
      bytes[before - 1]! ^= 1;
      Deno.writeFileSync(path, bytes);
      assert.throws(() => opened(copy), /journal-00000001\.log" is damaged at byte 128/);
    });
    await journal.close();
  }));

Deno.test("JournalFiles writes a long head in pieces, and behind it what is added meanwhile (H5)", () =>
  withDirectory(async (directory) => {
    const { journal, durable } = opened(directory);
    const { syncData } = Deno.FsFile.prototype;
    let pooled = 0;
    Deno.FsFile.prototype.syncData = function () {
      pooled++;
      // Within a turn between two pieces of the head.
      journal.append([vote(2, pooled)], 1 + pooled);
      journal.commit();
      return syncData.call(this);
    };
    const head = Array.from({ length: 100_000 }, () => vote(1, 1));
    try {
      journal.append([vote(1, 1)], 1);
      await journal.rotate(head);
    } finally {
      Object.assign(Deno.FsFile.prototype, { syncData });
    }
    await journal.finishCheckpoint();
    assert.ok(pooled > 3, `${pooled} syncs through the pool`);
    assert.equal(durable[0], 1, "What was there before is durable before the head is");
    assert.equal(durable.at(-1), 1 + pooled);
    await crashed(directory, (copy) => {
      const again = opened(copy);
      assert.deepEqual(again.terms, new Map([[1, 1], [2, pooled]]));
      return again.journal.close();
    });
    await journal.close();
  }));

Deno.test("JournalFiles leaves a former generation at the next checkpoint, and begins a new segment when opened under another", () =>
  withDirectory(async (directory) => {
    const secret = (id: number) => new Uint8Array(32).fill(id);
    let vault = new Vault(new Map([[1, secret(1)]]), 1);
    const open = () => {
      const events = { durable: () => {}, failed: (error: Error) => assert.fail(error) };
      return JournalFiles.open({ directory, node, events, vault: () => vault });
    };
    const termOf = (recovered: Recovered | null) => Number(recovered?.replicas.get(1 as PartitionId)?.term);
    const checkpoint = async (journal: JournalFiles, term: number) => {
      await journal.rotate([vote(1, term)]);
      await journal.finishCheckpoint();
    };
    let { journal, recovered } = open();
    journal.append([vote(1, 1)], 1);
    vault = vault.withGeneration(2, secret(2)).withCurrent(2);
    journal.append([vote(1, 2)], 2);
    assert.deepEqual(journal.generations, [1]);
    const rotated = journal.rotate([vote(1, 2)]);
    await rotated;
    assert.deepEqual(journal.generations, [1, 2], "until the checkpoint is complete");
    await journal.finishCheckpoint();
    assert.deepEqual(journal.generations, [2]);
    await journal.close();

    vault = vault.withoutGeneration(1).withGeneration(3, secret(3)).withCurrent(3);
    ({ journal, recovered } = open());
    assert.equal(termOf(recovered), 2);
    assert.deepEqual(journal.generations, [2, 3]);
    assert.deepEqual(segments(directory), ["journal-00000002.log", "journal-00000003.log"]);
    journal.append([vote(1, 3)], 1);
    await journal.close();
    ({ journal, recovered } = open());
    assert.equal(termOf(recovered), 3);
    assert.deepEqual(journal.generations, [2, 3]);
    await checkpoint(journal, 3);
    assert.deepEqual(journal.generations, [3]);
    await journal.close();

    vault = vault.withoutGeneration(2);
    ({ journal, recovered } = open());
    assert.equal(termOf(recovered), 3);
    await journal.close();
    vault = new Vault(new Map([[2, secret(2)]]), 2);
    assert.throws(
      open,
      /encrypted with key generation 3, which is not in the keyring\. Restore the keyring\.json/,
    );
  }));
