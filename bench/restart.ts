/**
 * `deno task bench:restart [--records N,N] [--repeats N] [--json]`: one real node process of a private network with 10,000 and with
 * 1,000,000 records of 100 bytes, killed by SIGKILL and started again. Printed are the medians of the time from its
 * start to ready and to the first linearizable read, once right after a checkpoint and once with a journal that is
 * nearly due for one: what a start has to read again. The two sizes are measured in turns, on two directories.
 *
 * While the records are loaded, and once more while they are overwritten, the journal's files are added up again and
 * again and the node is asked for its slowest turn: the journal's largest size, and what a checkpoint costs whoever
 * waits for the node meanwhile.
 */
import { join } from "node:path";
import { type Client, connect } from "../mod.ts";
import { readProfile } from "../cli/client/profile.ts";
import { statOf } from "../cli/host/stat.ts";
import { NodeProcess } from "../cli/processes.ts";
import { table } from "../cli/terminal.ts";
import { LIMITS } from "../core/base/limits.ts";

const VALUE_BYTES = 100;
/** Puts under way at once. */
const PIPELINED = 512;
const SAMPLE_MS = 20;
const STATUS_MS = 250;
/** A journal that is nearly due for a checkpoint. */
const LONG_TAIL_BYTES = Math.floor(LIMITS.journalBytesPerCheckpoint * 0.85);
const MiB = 1024 * 1024;

/** What was seen while a node was written to. */
interface Load {
  readonly puts: number;
  readonly seconds: number;
  /** Of all the journal's files together, without the zeros ahead of the end. */
  readonly journalBytesMax: number;
  readonly checkpoints: number;
  /** The slowest turn of each stretch of STATUS_MS: with a checkpoint begun or under way in it, and without. */
  readonly turnMsAtCheckpoint: readonly number[];
  readonly turnMsElse: readonly number[];
}

interface Restart {
  readonly readyMs: number;
  readonly readMs: number;
}

/** A directory with a node in it that comes and goes. */
class Subject {
  readonly records: number;
  readonly data: string;
  #node: NodeProcess | null = null;
  #client: Client | null = null;
  readonly #value = new Uint8Array(VALUE_BYTES).fill(0x78);

  constructor(directory: string, records: number) {
    this.records = records;
    this.data = join(directory, `node-${records}`);
  }

  /** Starts the node; the times are from its start to ready, and to the answer of a read that a client then asks for. */
  async start(): Promise<Restart> {
    const began = performance.now();
    this.#node = await NodeProcess.start({
      id: "a",
      data: this.data,
      flags: ["--replicas", "1", "--log-level", "warning"],
    });
    const readyMs = this.#node.startMs;
    const profile = readProfile(join(this.data, "profile.json"));
    this.#client = await connect({ profile, addresses: [this.#node.address] });
    await this.#client.get(keyOf(0));
    return { readyMs, readMs: performance.now() - began };
  }

  async kill(): Promise<void> {
    this.#client?.close();
    await this.#node?.kill();
    this.#client = this.#node = null;
  }

  /** Puts of the keys from 0 on, over and over, until `until` says so. */
  async write(until: (puts: number) => boolean): Promise<Load> {
    const client = this.#client!;
    let puts = 0, journalBytesMax = 0, over = false;
    let checkpoints = 0, checkpointSeen = false, newest = this.#segments().newest;
    const turnMsAtCheckpoint: number[] = [], turnMsElse: number[] = [];
    const sample = () => {
      const { count, newest: now, bytes } = this.#segments();
      if (now !== newest) checkpoints++;
      if (now !== newest || count > 1) checkpointSeen = true;
      newest = now;
      journalBytesMax = Math.max(journalBytesMax, bytes);
    };
    await slowestTurnMs(client);
    const sampling = setInterval(sample, SAMPLE_MS);
    const asking = (async () => {
      while (!over) {
        await new Promise((done) => setTimeout(done, STATUS_MS));
        sample();
        const ms = await slowestTurnMs(client);
        (checkpointSeen ? turnMsAtCheckpoint : turnMsElse).push(ms);
        checkpointSeen = false;
      }
    })();
    const began = performance.now();
    await Promise.all(Array.from({ length: PIPELINED }, async () => {
      while (!until(puts)) await client.put(keyOf(puts++ % this.records), this.#value);
    }));
    const seconds = (performance.now() - began) / 1000;
    over = true;
    await asking;
    clearInterval(sampling);
    return { puts, seconds, journalBytesMax, checkpoints, turnMsAtCheckpoint, turnMsElse };
  }

  /** Overwrites until a checkpoint is done. */
  async checkpoint(): Promise<void> {
    const { newest } = this.#segments();
    await this.write(() => this.#segments().newest > newest);
    while (this.#segments().count > 1) await new Promise((done) => setTimeout(done, SAMPLE_MS));
  }

  /** Overwrites until the journal is nearly due for a checkpoint. */
  async fillJournal(): Promise<void> {
    await this.write((puts) => puts % PIPELINED === 0 && this.journalBytes >= LONG_TAIL_BYTES);
  }

  get journalBytes(): number {
    return this.#segments().bytes;
  }
  get tablesBytes(): number {
    const tables = join(this.data, "tables");
    return [...Deno.readDirSync(tables)].reduce(
      (sum, { name }) => sum + (statOf(join(tables, name))?.size ?? 0),
      0,
    );
  }

  #segments(): { count: number; newest: string; bytes: number } {
    let count = 0, newest = "", bytes = 0;
    for (const { name } of Deno.readDirSync(this.data)) {
      if (!/^journal-\d+\.log$/.test(name)) continue;
      count++;
      // A checkpoint removes files at any moment.
      bytes += statOf(join(this.data, name))?.size ?? 0;
      if (name > newest) newest = name;
    }
    return { count, newest, bytes };
  }
}

function keyOf(record: number): string {
  return `record/${String(record).padStart(8, "0")}`;
}

/** Since it was asked last. */
async function slowestTurnMs(client: Client): Promise<number> {
  const { counters } = await client.status();
  return new Map(counters).get("slowest turn microseconds")! / 1000;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}

interface Case {
  readonly records: number;
  readonly journal: "short" | "long";
  readonly readyMs: number;
  readonly readMs: number;
  /** The first start after the load: what was in the tables' log then the others do not find again. */
  readonly firstReadyMs: number;
  readonly journalBytes: number;
  readonly tablesBytes: number;
}

/** Restarts all subjects in turns. */
async function measureRestarts(
  subjects: readonly Subject[],
  journal: Case["journal"],
  repeats: number,
): Promise<Case[]> {
  const restarts = new Map<Subject, Restart[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < repeats; round++) {
    for (const subject of subjects) {
      restarts.get(subject)!.push(await subject.start());
      await subject.kill();
    }
  }
  return subjects.map((subject) => ({
    records: subject.records,
    journal,
    readyMs: median(restarts.get(subject)!.map(({ readyMs }) => readyMs)),
    readMs: median(restarts.get(subject)!.map(({ readMs }) => readMs)),
    firstReadyMs: restarts.get(subject)![0]!.readyMs,
    journalBytes: subject.journalBytes,
    tablesBytes: subject.tablesBytes,
  }));
}

async function run(sizes: readonly number[], repeats: number): Promise<{ cases: Case[]; loads: Load[] }> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-restart-" });
  const subjects = sizes.map((records) => new Subject(directory, records));
  try {
    const loads: Load[] = [];
    for (const subject of subjects) {
      await subject.start();
      loads.push(await subject.write((puts) => puts >= subject.records));
      await subject.checkpoint();
      await subject.kill();
    }
    const short = await measureRestarts(subjects, "short", repeats);
    for (const subject of subjects) {
      await subject.start();
      await subject.fillJournal();
      await subject.kill();
    }
    const long = await measureRestarts(subjects, "long", repeats);
    return { cases: [...short, ...long], loads };
  } finally {
    for (const subject of subjects) await subject.kill();
    await Deno.remove(directory, { recursive: true });
  }
}

function print({ cases, loads }: { cases: readonly Case[]; loads: readonly Load[] }): void {
  const columns = [
    "RECORDS",
    "JOURNAL",
    "READY MS",
    "AFTER THE LOAD MS",
    "READ MS",
    "JOURNAL MiB",
    "TABLES MiB",
  ];
  const mebibytes = (bytes: number) => Number((bytes / MiB).toFixed(1));
  console.log(table(
    columns,
    cases.map((c) => [
      c.records,
      c.journal,
      Math.round(c.readyMs),
      Math.round(c.firstReadyMs),
      Math.round(c.readMs),
      mebibytes(c.journalBytes),
      mebibytes(c.tablesBytes),
    ]),
  ));
  for (const journal of ["short", "long"] as const) {
    const of = cases.filter((c) => c.journal === journal);
    const [least, most] = [of[0]!, of[of.length - 1]!];
    const ratio = (most.readyMs / least.readyMs).toFixed(2);
    console.log(
      `${journal} journal: ready with ${most.records} records after ${ratio} × the time with ${least.records}`,
    );
  }
  const load = loads[loads.length - 1]!;
  const largest = load.journalBytesMax / LIMITS.journalBytesPerCheckpoint;
  console.log(
    `Load: ${
      Math.round(load.puts / load.seconds)
    } puts/s, ${load.checkpoints} checkpoints; the journal took up to ` +
      `${mebibytes(load.journalBytesMax)} MiB, ${largest.toFixed(2)} × what a checkpoint is due after`,
  );
  const turns = (name: string, ms: readonly number[]) => {
    if (ms.length > 0) {
      console.log(
        `Slowest turns ${name}: median ${median(ms).toFixed(1)} ms, most ${Math.max(...ms).toFixed(1)} ms`,
      );
    }
  };
  turns("with a checkpoint", load.turnMsAtCheckpoint);
  turns("without", load.turnMsElse);
}

if (import.meta.main) {
  const option = (name: string, otherwise: string) => {
    const at = Deno.args.indexOf(name);
    return at < 0 ? otherwise : Deno.args[at + 1] ?? otherwise;
  };
  const sizes = option("--records", "10000,1000000").split(",").map(Number);
  const repeats = Number(option("--repeats", "7"));
  const results = await run(sizes, repeats);
  if (Deno.args.includes("--json")) console.log(JSON.stringify(results));
  else print(results);
}
