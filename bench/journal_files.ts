/**
 * What encryption costs the journal: records of one put each, appended and made durable a batch at a time, to an open
 * journal and to an encrypted one in turn.
 *
 *     deno run -A bench/journal_files.ts
 */
import { join } from "node:path";
import { JournalFiles } from "../cli/host/journal.ts";
import { logIndex, nodeId, partitionId, term } from "../core/base/ids.ts";
import { OPEN_VAULT, SECRET_BYTES, Vault } from "../core/base/vault.ts";
import type { JournalRecord } from "../core/wire/kernel.ts";

const ROUNDS = 7;
const MS_PER_RUN = 700;
const KEYS = new Vault(new Map([[1, new Uint8Array(SECRET_BYTES).fill(1)]]), 1);
const value = crypto.getRandomValues(new Uint8Array(256));

interface Measured {
  readonly perSecond: number;
  /** Processor time of one record, in microseconds. */
  readonly cpuUs: number;
}

async function measure(vault: Vault, batch: number): Promise<Measured> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-bench-" });
  let durable = 0, told = () => {};
  const { journal } = JournalFiles.open({
    directory,
    node: nodeId("sirius"),
    vault: () => vault,
    events: {
      durable: (upTo) => {
        durable = upTo;
        told();
      },
      failed: (error) => {
        throw error;
      },
    },
  });
  let count = 0;
  const indexes = new Map<number, number>();
  const records = (): JournalRecord[] =>
    Array.from({ length: batch }, (_, i) => {
      const partition = 1 + i % 64, index = (indexes.get(partition) ?? 0) + 1;
      indexes.set(partition, index);
      const entry = { term: term(3), index: logIndex(index), kind: "command", data: value } as const;
      return { kind: "entries", partition: partitionId(partition), entries: [entry] };
    });
  const began = performance.now(), cpuBegan = cpuMs();
  while (performance.now() - began < MS_PER_RUN) {
    journal.append(records(), count += batch);
    journal.commit();
    if (durable < count) await new Promise<void>((done) => told = done);
    told = () => {};
  }
  const ms = performance.now() - began, cpu = cpuMs() - cpuBegan;
  await journal.close();
  await Deno.remove(join(directory), { recursive: true });
  return { perSecond: Math.round(count / ms * 1000), cpuUs: cpu * 1000 / count };
}

function cpuMs(): number {
  const [user, system] = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ").slice(11, 13)
    .map(Number);
  return (user! + system!) * 10;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

for (const batch of [1, 8, 64]) {
  const open: Measured[] = [], encrypted: Measured[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    open.push(await measure(OPEN_VAULT, batch));
    encrypted.push(await measure(KEYS, batch));
  }
  const row = (name: string, runs: Measured[]) =>
    console.log(
      `${String(batch).padStart(3)} records a batch, ${name}  ${
        String(median(runs.map(({ perSecond }) => perSecond))).padStart(7)
      } records/s  ${
        median(runs.map(({ cpuUs }) => cpuUs)).toFixed(1).padStart(6)
      } µs of processor time each`,
    );
  row("open     ", open);
  row("encrypted", encrypted);
  const ratios = open.map(({ perSecond }, i) => encrypted[i]!.perSecond / perSecond);
  console.log(`    ratio of pairs, median: ${median(ratios).toFixed(3)}`);
}
