/**
 * `deno task bench:tables [--rows N] [--value N]`: a node's tables on this machine's disk, encrypted: how fast rows are
 * written, read one by one and in ranges, how long opening takes, and how much is written for a byte that is put.
 */
import { join } from "node:path";
import type { Tables } from "../core/base/ports.ts";
import { Random } from "../core/base/random.ts";
import { DiskTables } from "../cli/host/tables/tables.ts";

export interface TablesUnderBench extends Tables {
  endStep(mark: number): void;
  durable(upTo: number): void;
  checkpoint(mark: number): Promise<void>;
  close(): Promise<void>;
}

/** Puts of one step, and bytes between two checkpoints, as a busy node has them. */
const STEP_ROWS = 50;
const CHECKPOINT_BYTES = 32 * 1024 * 1024;
const GETS = 200_000;
const HOT_ROWS = 10_000;

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** `open`: the tables in a folder, which is empty the first time. */
export async function measureTables(
  { open, folder, rows, valueBytes }: {
    open: (folder: string) => TablesUnderBench;
    folder: string;
    rows: number;
    valueBytes: number;
  },
): Promise<Figure[]> {
  const figures: Figure[] = [], random = Random.fromSeed(1);
  const note = (name: string, value: number, unit: string) => figures.push({ name, value, unit });
  let tables = open(folder);
  let mark = 0;
  const writtenBefore = bytesWritten();
  const load = async (key: (i: number) => Uint8Array) => {
    const began = performance.now();
    let since = 0, put = 0, pending: Promise<void> = Promise.resolve();
    for (let i = 0; i < rows; i += STEP_ROWS) {
      for (let j = i; j < i + STEP_ROWS; j++) {
        const value = new Uint8Array(valueBytes).fill(j), k = key(j);
        tables.set(k, value);
        since += k.length + valueBytes;
      }
      tables.endStep(++mark);
      tables.durable(mark);
      if (since >= CHECKPOINT_BYTES) {
        await pending;
        pending = tables.checkpoint(mark);
        put += since;
        since = 0;
      }
      // A node's loop turns between steps: what its threads say is heard.
      if (i % (STEP_ROWS * 4) === 0) await new Promise((done) => setImmediate(done));
    }
    await pending;
    await tables.checkpoint(mark);
    return { ms: performance.now() - began, bytes: put + since };
  };
  const shuffled = Uint32Array.from({ length: rows }, (_, i) => i);
  for (let i = rows - 1; i > 0; i--) {
    const j = random.below(i + 1), held = shuffled[i]!;
    shuffled[i] = shuffled[j]!;
    shuffled[j] = held;
  }
  const loaded = await load((i) => keyOf(shuffled[i]!));
  note("puts in random order", rows / loaded.ms * 1000, "rows/s");
  const again = await load((i) => keyOf(shuffled[(i * 7) % rows]!));
  note("the same again, over what is there", rows / again.ms * 1000, "rows/s");
  await tables.close();
  const written = bytesWritten();
  if (writtenBefore !== null && written !== null) {
    note("bytes written for a byte put", (written - writtenBefore) / (loaded.bytes + again.bytes), "");
  }
  note("on the disk", sizeOf(folder) / 2 ** 20, "MiB");

  let began = performance.now();
  tables = open(folder);
  tables.get(keyOf(1));
  note("opening, and a first get", performance.now() - began, "ms");
  const gets = (pick: () => number) => {
    const began = performance.now();
    let found = 0;
    for (let i = 0; i < GETS; i++) if (tables.get(keyOf(pick())) !== null) found++;
    if (found !== GETS) throw new Error(`Found ${found} of ${GETS} rows`);
    return GETS / (performance.now() - began) * 1000;
  };
  note("gets of any row, at first", gets(() => random.below(rows)), "rows/s");
  note("gets of any row", gets(() => random.below(rows)), "rows/s");
  gets(() => random.below(HOT_ROWS));
  note(`gets of ${HOT_ROWS} rows beside each other`, gets(() => random.below(HOT_ROWS)), "rows/s");
  began = performance.now();
  let absent = 0;
  for (let i = 0; i < GETS; i++) if (tables.get(keyOf(rows + i)) === null) absent++;
  note("gets of rows that are not there", absent / (performance.now() - began) * 1000, "rows/s");
  for (const reverse of [false, true]) {
    began = performance.now();
    let seen = 0;
    for (const row of tables.range({ start: null, end: null, reverse })) seen += row[1].length > 0 ? 1 : 0;
    if (seen !== rows) throw new Error(`Ranged over ${seen} of ${rows} rows`);
    note(
      reverse ? "a range over all, backwards" : "a range over all",
      rows / (performance.now() - began) * 1000,
      "rows/s",
    );
  }
  began = performance.now();
  for (let i = 0; i < 20_000; i++) {
    let left = 10;
    for (const _ of tables.range({ start: keyOf(random.below(rows - 10)), end: null })) {
      if (--left === 0) break;
    }
  }
  note("ranges of 10 rows", 20_000 / (performance.now() - began) * 1000, "ranges/s");
  note("memory of the process", Deno.memoryUsage().rss / 2 ** 20, "MiB");
  await tables.close();
  return figures;
}

function keyOf(i: number): Uint8Array {
  const key = new TextEncoder().encode(`0001/star/${String(i).padStart(10, "0")}/magnitude`);
  return key;
}

function sizeOf(folder: string): number {
  let sum = 0;
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    sum += isDirectory ? sizeOf(join(folder, name)) : Deno.statSync(join(folder, name)).size;
  }
  return sum;
}

/** By this process, to any file; null where the system does not tell. */
function bytesWritten(): number | null {
  try {
    return Number(/^wchar: (\d+)/m.exec(Deno.readTextFileSync("/proc/self/io"))?.[1] ?? NaN);
  } catch {
    return null;
  }
}

export function printFigures(figures: readonly Figure[]): void {
  for (const { name, value, unit } of figures) {
    const shown = value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(1);
    console.log(`${name.padEnd(44)} ${shown.padStart(12)} ${unit}`);
  }
}

if (import.meta.main) {
  const flag = (name: string, otherwise: number) => {
    const at = Deno.args.indexOf(name);
    return at < 0 ? otherwise : Number(Deno.args[at + 1]);
  };
  const secret = crypto.getRandomValues(new Uint8Array(32));
  const parent = await Deno.makeTempDir({ prefix: "space-opera-tables-" });
  try {
    const figures = await measureTables({
      open: (folder) =>
        new DiskTables({
          path: join(folder, "tables"),
          keys: { secrets: new Map([[1, secret]]), current: 1 },
          failed: (error) => {
            throw error;
          },
        }),
      folder: parent,
      rows: flag("--rows", 1_000_000),
      valueBytes: flag("--value", 100),
    });
    printFigures(figures);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}
