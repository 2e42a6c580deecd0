/** The recorder of the host on real files: bounded, dropping whole lives, never in the node's way. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { instant, nodeId } from "../../../core/base/ids.ts";
import { DEFAULT_SETTINGS } from "../../../core/base/limits.ts";
import { Random } from "../../../core/base/random.ts";
import { genesisView } from "../../../core/node/genesis.ts";
import type { NodeOptions } from "../../../core/node/options.ts";
import type { RecordedNode } from "../../../core/node/recorded_node.ts";
import { RecordingError } from "../../../core/wire/recording.ts";
import { LifeReplay } from "../../../sim/recording_replay.ts";
import { MemoryTables } from "../../../sim/tables.ts";
import { Recorder } from "../../../cli/host/recorder.ts";
import type { Vault } from "../../../core/base/vault.ts";
import { WatchedVault } from "../../support/watched_vault.ts";
import { findLives, type LifeFiles } from "../../../cli/host/recording_files.ts";

const MiB = 1024 * 1024;
const NETWORK = "0".repeat(32);

function optionsOf(tables = new MemoryTables()): NodeOptions {
  const id = nodeId("a"), address = "127.0.0.1:1";
  const member = { id, address, zone: "", capacity: 1, state: "active", disk: "" } as const;
  const view = genesisView({
    network: NETWORK,
    settings: { ...DEFAULT_SETTINGS, partitions: 1 },
    members: [member],
  });
  return { id, address, origin: { kind: "genesis", view }, random: Random.fromSeed(1), tables };
}

/** Steps one node, and makes durable at once what it persists. */
class Driver {
  readonly node: RecordedNode;
  #now = 0;
  #durable = 0;
  puts = 0;

  constructor(node: RecordedNode) {
    this.node = node;
    this.#step({ kind: "start" });
    while (!node.replicas().every(({ replica }) => replica.isLeader)) {
      this.#now = node.nextWake();
      this.#step({ kind: "wake" });
    }
  }

  put(bytes: number): void {
    const value = new Uint8Array(bytes).fill(this.puts);
    const op = { kind: "put", key: `key/${this.puts % 50}`, value } as const;
    this.#step({ kind: "requests", requests: [{ client: 1, id: this.puts++, request: { op } }] });
  }

  #step(input: Parameters<RecordedNode["step"]>[0]): void {
    const { persistedUpTo } = this.node.step(input, instant(++this.#now));
    if (persistedUpTo === this.#durable) return;
    this.#durable = persistedUpTo;
    this.#step({ kind: "persisted", upTo: persistedUpTo });
  }
}

interface Lab {
  readonly directory: string;
  readonly file: string;
  readonly warnings: string[];
  open(bytesMax?: number): Recorder;
}

async function withFiles(use: (lab: Lab) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-test-" });
  const file = join(directory, "flight"), warnings: string[] = [];
  const warn = (message: string) => void warnings.push(message);
  const open = (bytesMax = 64 * MiB) => Recorder.open({ file, bytesMax, program: "test", warn });
  try {
    await use({ directory, file, warnings, open });
  } finally {
    await Deno.remove(directory, { recursive: true }).catch(() => {});
  }
}

/** All bytes of all parts. */
function bytesIn(directory: string): number {
  return [...Deno.readDirSync(directory)].reduce(
    (sum, { name }) => sum + Deno.statSync(join(directory, name)).size,
    0,
  );
}

/** Replays a life to its end; null where its beginning is not whole. */
function replayed(life: LifeFiles): LifeReplay | null {
  const replay = LifeReplay.open(() => life.items());
  for (let found; (found = replay?.next() ?? null) !== null;) assert(found.equal);
  return replay;
}

Deno.test("Recorder drops whole lives, oldest first, and never takes more than it may", () =>
  withFiles(async ({ directory, file, open }) => {
    const puts = 40, bytes = 10_000;
    // Several processes, each with several lives.
    for (let i = 0; i < 3; i++) {
      const recorder = open(MiB);
      for (let life = 0; life < 3; life++) {
        const driver = new Driver(recorder.begin(optionsOf(), NETWORK));
        for (let put = 0; put < puts; put++) {
          driver.put(bytes);
          if (put % 10 === 0) await recorder.flush();
          assert(bytesIn(directory) <= MiB);
        }
        recorder.end("stopped");
      }
      await recorder.close();
      assert(bytesIn(directory) <= MiB);
    }
    const lives = findLives([file]);
    assert.equal(lives.length, 2);
    assert.deepEqual(lives.map((life) => life.parts[0]!.number), [8, 9]);
    for (const life of lives) assert.equal(replayed(life)?.end, "stopped");
  }));

Deno.test("Recorder pauses when the running life alone has filled the space, says so, and goes on with the next", () =>
  withFiles(async ({ directory, file, open, warnings }) => {
    const recorder = open(MiB);
    const driver = new Driver(recorder.begin(optionsOf(), NETWORK));
    for (let put = 0; put < 50; put++) {
      driver.put(50_000);
      await recorder.flush();
    }
    assert.equal(new Map(recorder.counters()).get("recording"), 0);
    assert.match(warnings.join(), /ends: it would take more than 1048576 bytes.*--record-bytes/);
    assert(bytesIn(directory) <= MiB);
    assert.equal(replayed(findLives([file])[0]!)?.end, "full");
    recorder.end("failed");
    const next = new Driver(recorder.begin(optionsOf(), NETWORK));
    next.put(500_000);
    assert.equal(new Map(recorder.counters()).get("recording"), 1);
    await recorder.close();
    const lives = findLives([file]);
    assert.deepEqual(lives.map((life) => replayed(life)?.end), ["stopped"]);
    assert(bytesIn(directory) <= MiB);
  }));

Deno.test("Recorder gives up a life that cannot be written as fast as the node runs, and the node goes on", () =>
  withFiles(async ({ file, open, warnings }) => {
    const recorder = open();
    const driver = new Driver(recorder.begin(optionsOf(), NETWORK));
    // The loop gets no turn, so nothing is written.
    for (let put = 0; put < 45; put++) driver.put(MiB);
    assert.match(warnings.join(), /as fast as the node runs/);
    assert.equal(driver.node.replicas().at(-1)?.replica.appliedIndex, 46);
    await recorder.close();
    assert.equal(replayed(findLives([file])[0]!)?.end, "overflow");
  }));

Deno.test("Recorder lets the node go on when a file cannot be made", () =>
  withFiles(async ({ directory, open, warnings }) => {
    const recorder = open();
    const driver = new Driver(recorder.begin(optionsOf(), NETWORK));
    await Deno.remove(directory, { recursive: true });
    driver.put(100);
    await recorder.flush();
    assert.match(warnings.join(), /The recording of this life ends: .*No such file.*The node goes on/);
    driver.put(100);
    assert.equal(new Map(recorder.counters()).get("recording"), 0);
    await recorder.close();
  }));

Deno.test("Recorder copies large tables while the node runs, as they were before its first step", () =>
  withFiles(async ({ file, open }) => {
    const key = (i: number) => new TextEncoder().encode(`\xff old ${String(i).padStart(4, "0")}`);
    const tables = new MemoryTables();
    for (let i = 0; i < 100; i++) tables.set(key(i), new Uint8Array(100_000).fill(i));
    const recorder = open();
    const driver = new Driver(recorder.begin(optionsOf(tables), NETWORK));
    driver.put(100);
    for (let i = 0; i < 100; i++) tables.set(key(i), new Uint8Array(1));
    await recorder.flush();
    assert.equal(replayed(findLives([file])[0]!), null, "cut off here, its beginning is not whole");
    for (let i = 0; i < 200; i++) {
      driver.put(100);
      await new Promise((done) => setTimeout(done, 5));
    }
    await recorder.close();
    const [life] = findLives([file]);
    assert.equal(replayed(life!)?.end, "stopped");
    const rows = [...life!.items()].flatMap((item) => item.kind === "rows" ? item.rows : []);
    assert.deepEqual(
      rows.map(([, value]) => [value.length, value[0]]),
      Array.from({ length: 100 }, (_, i) => [100_000, i]),
    );
  }));

Deno.test("Recorder encrypts what it writes, each part with the generation that is current, and drops what is to be forgotten", () =>
  withFiles(async ({ directory, file, warnings }) => {
    const secrets = new Map([1, 2].map((id) => [id, new Uint8Array(32).fill(id)] as const));
    let vault: Vault = new WatchedVault(secrets, 1, new Set());
    const warn = (message: string) => void warnings.push(message);
    const recorder = Recorder.open({ file, bytesMax: 64 * MiB, program: "test", warn, vault: () => vault });
    const live = async (puts: number) => {
      const driver = new Driver(recorder.begin(optionsOf(), NETWORK));
      for (let put = 0; put < puts; put++) driver.put(1000);
      await recorder.flush();
      return driver;
    };
    await live(20);
    recorder.end("stopped");
    const driver = await live(20);
    vault = vault.withCurrent(2);
    for (let put = 0; put < 20; put++) driver.put(1000);
    await recorder.flush();
    assert.deepEqual(recorder.generations, [1, 2]);
    recorder.end("stopped");
    await live(5);
    for (const { name } of Deno.readDirSync(directory)) {
      const bytes = Buffer.from(Deno.readFileSync(join(directory, name)));
      assert.equal(bytes.includes("key/1"), false, name);
    }
    const lives = findLives([file], vault);
    assert.equal(lives.length, 3);
    assert.equal(lives[1]!.parts.length, 2);
    for (const life of lives) assert(replayed(life)!.steps > 5);
    assert.throws(
      () => replayed(findLives([file])[0]!),
      /with key generation 1 of network .* Name the data directory/,
    );
    await recorder.drop([1]);
    assert.deepEqual(recorder.generations, [2]);
    assert.equal(findLives([file], vault.withoutGeneration(1)).length, 1);
    await recorder.close();
  }));

Deno.test("findLives() finds parts by name and by recording, and refuses a life without its beginning", () =>
  withFiles(async ({ directory, file, open }) => {
    const recorder = open(256 * MiB);
    const driver = new Driver(recorder.begin(optionsOf(), NETWORK));
    // Past the size of one part.
    for (let put = 0; put < 100; put++) {
      driver.put(MiB);
      await recorder.flush();
    }
    await recorder.close();
    const parts = [`${file}.000001`, `${file}.000002`];
    assert.deepEqual(findLives([file])[0]!.parts.map(({ path }) => path), parts);
    assert.equal(findLives([...parts, file]).length, 1);
    assert.equal(replayed(findLives(parts)[0]!)?.end, "stopped");
    const refused = (message: RegExp) => (error: unknown) =>
      error instanceof RecordingError && message.test(error.message);
    assert.throws(
      () => findLives([parts[1]!]),
      refused(/part 2 of a life of node "a", and part 1 is missing/),
    );
    assert.throws(() => findLives([join(directory, "other")]), refused(/No recording/));
  }));

Deno.test("Recorder.open() refuses a name under which something else lies", () =>
  withFiles(({ file, open }) => {
    Deno.writeTextFileSync(`${file}.000004`, "notes of a person");
    assert.throws(
      () => open(),
      /Cannot record to ".*flight": .*000004": it is no recording.*Choose another name/s,
    );
    return Promise.resolve();
  }));
