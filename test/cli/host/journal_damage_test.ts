/** What the host's journal says of bytes that a disk has changed. */
import assert from "node:assert/strict";
import { JournalFiles } from "../../../cli/host/journal.ts";
import { JournalWriteError } from "../../../cli/host/journal_segments.ts";
import { endingOf } from "../../../cli/host/life/ending.ts";
import { type LogIndex, nodeId, type PartitionId, type Term } from "../../../core/base/ids.ts";
import { Random } from "../../../core/base/random.ts";
import { OPEN_VAULT, Vault } from "../../../core/base/vault.ts";
import { JournalCorruptError } from "../../../core/wire/journal_recovery.ts";
import type { JournalRecord } from "../../../core/wire/kernel.ts";
import { MemoryFiles } from "./memory_files.ts";

const NODE = nodeId("sirius");
const SEED = 20_261_121;
const PARTITION = 1 as PartitionId;
const EVENTS = { durable: () => {}, failed: () => {} };

const KEYS = new Vault(new Map([[3, new Uint8Array(32).fill(3)]]), 3);

function entry(index: number): JournalRecord {
  const data = new Uint8Array(40).fill(index);
  return {
    kind: "entries",
    partition: PARTITION,
    entries: [{ index: index as LogIndex, term: 1 as Term, kind: "command", data }],
  };
}

/** The last index that recovery finds. */
function recoveredUpTo(files: MemoryFiles, keys: Vault): number {
  const vault = () => keys;
  const { journal, recovered } = JournalFiles.open({
    directory: "",
    node: NODE,
    events: EVENTS,
    files,
    vault,
  });
  void journal.close();
  const entries = recovered?.replicas.get(PARTITION)?.entries ?? [];
  for (const { index, data } of entries) assert.ok(data.every((byte) => byte === index), `entry ${index}`);
  return entries.length;
}

/** A finished checkpoint with entries behind it, and one that is not finished; all durable, all but the last proven. */
async function written(keys: Vault): Promise<{ files: MemoryFiles; appended: number }> {
  const files = new MemoryFiles(Random.fromSeed(SEED)), vault = () => keys;
  const { journal } = JournalFiles.open({ directory: "", node: NODE, events: EVENTS, files, vault });
  const through = async (promise: Promise<void>) => {
    let ended = false;
    promise.then(() => ended = true);
    while (!ended) {
      files.complete();
      await Promise.resolve();
    }
  };
  let index = 0;
  for (let segment = 1;; segment++) {
    for (let i = 0; i < 4; i++) {
      journal.append([entry(++index)], index);
      journal.commit();
    }
    if (segment === 2) await through(journal.finishCheckpoint());
    if (segment === 3) break;
    await through(journal.rotate(Array.from({ length: index }, (_, i) => entry(i + 1))));
  }
  const crashed = files.crash(Random.fromSeed(SEED));
  await journal.close();
  return { files: crashed, appended: index };
}

for (const keys of [OPEN_VAULT, KEYS]) {
  Deno.test(`a changed byte anywhere in the ${keys === KEYS ? "encrypted " : ""}journal is harmless, a torn end behind all that is proven, or told with file and place`, async () => {
    const { files, appended } = await written(keys);
    // The last sync proves nothing by itself: the record after it does.
    const proven = appended - 1;
    const names = files.list().sort();
    assert.deepEqual(names, ["journal-00000002.log", "journal-00000003.log"]);
    const seen = { harmless: 0, torn: 0, told: 0 };
    const random = Random.fromSeed(SEED);
    for (const name of names) {
      // The zeros behind the end are many and alike: some of them do.
      const length = files.read(name).findLastIndex((byte) => byte !== 0) + 300;
      for (let at = 0; at < length; at++) {
        const damaged = files.crash(Random.fromSeed(1));
        damaged.flip(name, at, 1 << random.below(8));
        try {
          const found = recoveredUpTo(damaged, keys);
          assert.ok(
            found >= proven,
            `${name} at ${at}: ends with ${found}, and ${proven} was proven (seed ${SEED})`,
          );
          seen[found === appended ? "harmless" : "torn"]++;
        } catch (error) {
          assert.ok(error instanceof JournalCorruptError, `${name} at ${at}: ${error}`);
          assert.equal(error.file, name);
          assert.ok(error.offset <= at, `${name} at ${at}: told at ${error.offset}`);
          seen.told++;
        }
      }
    }
    for (const [what, times] of Object.entries(seen)) assert.ok(times > 20, `${what}: ${times}`);
  });
}

Deno.test("JournalFiles says which error of the system ended it, and leaves no file open where it cannot be opened", async () => {
  for (const [kind, ending] of [["write", "no-space"], ["sync", "disk"]] as const) {
    const files = new MemoryFiles(Random.fromSeed(1));
    const failures: Error[] = [];
    const events = { durable: () => {}, failed: (error: Error) => void failures.push(error) };
    const { journal } = JournalFiles.open({ directory: "", node: NODE, events, files });
    files.fault = { kind, after: 0 };
    journal.append([entry(1)], 1);
    journal.commit();
    await journal.close();
    assert.equal(failures.length, 1);
    // By its code: a system may say it in words of its own.
    const worded = new JournalWriteError("journal", Object.assign(new Error("?"), failures[0]!.cause));
    assert.equal(endingOf(worded, { lived: false }).kind, ending);
    for (let failing = 0; failing < 2; failing++) {
      files.fault = { kind: "sync", after: failing };
      assert.throws(
        () => JournalFiles.open({ directory: "", node: NODE, events, files }),
        JournalWriteError,
      );
      assert.equal(files.openFiles, 0);
    }
  }
});
