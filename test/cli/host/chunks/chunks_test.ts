/** Fragments on a real disk, and on one that fails: B1 to B6 of cli/host/chunks/chunks.ts. */
import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { partitionId } from "../../../../core/base/ids.ts";
import { LIMITS } from "../../../../core/base/limits.ts";
import type { ChunkOp, ChunkResult, FragmentId } from "../../../../core/wire/objects.ts";
import { ChunkFiles } from "../../../../cli/host/chunks/chunks.ts";
import { type ChunkFileSystem, REAL_CHUNK_FILES } from "../../../../cli/host/chunks/files.ts";
import { fileName, parseFileName, parseFolderName } from "../../../../cli/host/chunks/names.ts";

type Unnumbered<T> = T extends ChunkOp ? Omit<T, "op"> : never;

const ONE = partitionId(1), TWO = partitionId(2);

function fragment(number: number, partition = ONE, chunk = 0, index = 0): FragmentId {
  return { partition, segment: number.toString(16).padStart(32, "0"), chunk, index };
}
function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values);
}

/** Chunk files in a folder of their own, with operations as promises. */
class Bench {
  readonly root = Deno.makeTempDirSync();
  readonly folder = join(this.root, "chunks");
  readonly warned: string[] = [];
  readonly #waiting = new Map<number, (result: ChunkResult) => void>();
  readonly chunks: ChunkFiles;
  answered = 0;
  #op = 0;

  constructor(changed: Partial<ChunkFileSystem> = {}) {
    this.chunks = new ChunkFiles({
      folder: this.folder,
      answer: (result) => {
        this.answered++;
        const done = this.#waiting.get(result.op);
        assert.ok(done !== undefined, "Each operation is answered once");
        this.#waiting.delete(result.op);
        done(result);
      },
      warn: (what) => this.warned.push(what),
      files: { ...REAL_CHUNK_FILES, ...changed },
    });
  }

  do(op: Unnumbered<ChunkOp>): Promise<ChunkResult> {
    const number = ++this.#op;
    return new Promise((done) => {
      this.#waiting.set(number, done);
      this.chunks.take({ ...op, op: number });
      assert.ok(this.#waiting.has(number), "Nothing is answered within take()");
    });
  }
  write(fragment: FragmentId, bytes: Uint8Array) {
    return this.do({ kind: "write", fragment, bytes });
  }
  async read(fragment: FragmentId): Promise<Uint8Array | null> {
    const result = await this.do({ kind: "read", fragment });
    assert.equal(result.kind, "read");
    return result.kind === "read" ? result.bytes : null;
  }
  async list(partition = ONE, after: FragmentId | null = null, max = 1000) {
    const result = await this.do({ kind: "list", partition, after, max });
    assert.ok(result.kind === "listed");
    return result;
  }
  async partitions() {
    const result = await this.do({ kind: "partitions" });
    assert.ok(result.kind === "partitions");
    return result.partitions;
  }
  /** All names below the folder. */
  names(): string[] {
    try {
      return [...Deno.readDirSync(this.folder)].flatMap(({ name, isDirectory }) =>
        isDirectory
          ? [...Deno.readDirSync(join(this.folder, name))].map((file) => `${name}/${file.name}`)
          : [name]
      ).sort();
    } catch {
      return [];
    }
  }
  async [Symbol.asyncDispose]() {
    await this.chunks.close();
    Deno.removeSync(this.root, { recursive: true });
  }
}

Deno.test("ChunkFiles keeps what was written for this user alone, and says what is not there", async () => {
  await using bench = new Bench();
  assert.equal((await bench.write(fragment(7), bytes(1, 2, 3))).kind, "written");
  assert.deepEqual(await bench.read(fragment(7)), bytes(1, 2, 3));
  assert.equal(await bench.read(fragment(8)), null);
  const path = join(bench.folder, "0001", `${"7".padStart(32, "0")}-00000000-00`);
  assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
  assert.equal(Deno.statSync(join(bench.folder, "0001")).mode! & 0o777, 0o700);
  assert.equal((await bench.write(fragment(7), bytes(9))).kind, "written");
  assert.deepEqual(await bench.read(fragment(7)), bytes(9));
  assert.deepEqual(bench.names(), [`0001/${fileName(fragment(7))}`]);
});

Deno.test("ChunkFiles finds what an earlier process wrote", async () => {
  await using bench = new Bench();
  await bench.write(fragment(7), bytes(1));
  await bench.chunks.close();
  const answers: ChunkResult[] = [], answered = Promise.withResolvers<void>();
  const next = new ChunkFiles({
    folder: bench.folder,
    answer: (result) => {
      answers.push(result);
      answered.resolve();
    },
    warn: assert.fail,
  });
  next.take({ kind: "read", op: 1, fragment: fragment(7) });
  await answered.promise;
  await next.close();
  assert.deepEqual(answers, [{ kind: "read", op: 1, bytes: bytes(1) }]);
});

Deno.test("B1: a crash at any step of a write leaves no part of a file under a fragment's name, nor takes the old one", async () => {
  const steps = ["write", "rename"] as const;
  for (const broken of steps) {
    // From then on nothing happens any more, as after a loss of power; the file written so far is half there.
    let dead = false;
    const { promise: never, reject: end } = Promise.withResolvers<never>();
    never.catch(() => {}); // perhaps before anybody waits for it
    await using bench = new Bench({
      write: async (path, content) => {
        if (dead && broken === "write") {
          await REAL_CHUNK_FILES.write(path, content.subarray(0, content.length >> 1));
          return await never;
        }
        await REAL_CHUNK_FILES.write(path, content);
      },
      rename: async (from, to) => dead ? await never : await REAL_CHUNK_FILES.rename(from, to),
    });
    await bench.write(fragment(1), bytes(1, 1, 1, 1));
    dead = true;
    void bench.write(fragment(1), bytes(2, 2, 2, 2));
    void bench.write(fragment(2), bytes(2, 2, 2, 2));
    while (bench.names().filter((name) => name.endsWith(".new")).length < 2) await turn();
    await using after = new Bench();
    Deno.renameSync(bench.folder, after.folder);
    assert.deepEqual(await after.read(fragment(1)), bytes(1, 1, 1, 1), broken);
    assert.equal(await after.read(fragment(2)), null, broken);
    assert.deepEqual((await after.list()).fragments.map(({ fragment }) => fragment), [fragment(1)], broken);
    Deno.mkdirSync(bench.folder);
    end(new Error("The power failed"));
  }
});

Deno.test("B1: nothing is answered before the name is durable, and writes together share a sync", async () => {
  const log: string[] = [];
  let syncs = 0;
  const gate = Promise.withResolvers<void>();
  await using bench = new Bench({
    syncFolder: async (folder) => {
      if (folder.endsWith("0001") && ++syncs === 1) await gate.promise;
      await REAL_CHUNK_FILES.syncFolder(folder);
      log.push(`synced ${syncs}`);
    },
  });
  const first = bench.write(fragment(0), bytes(0)).then(() => log.push("written 0"));
  while (syncs === 0) await turn();
  const others = [1, 2, 3, 4, 5, 6].map((number) =>
    bench.write(fragment(number), bytes(number)).then(() => log.push(`written ${number}`))
  );
  while (bench.names().filter((name) => !name.endsWith(".new")).length < 7) await turn();
  assert.ok(!log.some((line) => line.startsWith("written")));
  gate.resolve();
  await Promise.all([first, ...others]);
  assert.equal(syncs, 2, "one for the first, and one for all that came meanwhile");
});

Deno.test("B2: what is asked about one fragment is done in the order asked, B4: what is not durable is not listed", async () => {
  const gate = Promise.withResolvers<void>();
  await using bench = new Bench({
    write: async (path, content) => {
      if (content[0] === 1) await gate.promise;
      await REAL_CHUNK_FILES.write(path, content);
    },
  });
  const asked = [
    bench.write(fragment(1), bytes(1)),
    bench.read(fragment(1)),
    bench.write(fragment(1), bytes(2)),
    bench.read(fragment(1)),
    bench.do({ kind: "remove", fragments: [fragment(3), fragment(1)] }),
    bench.read(fragment(1)),
    bench.write(fragment(1), bytes(4)),
  ];
  await bench.write(fragment(2), bytes(2));
  assert.deepEqual((await bench.list()).fragments.map(({ fragment }) => fragment), [fragment(2)]);
  gate.resolve();
  const [, read1, , read2, removed, read3] = await Promise.all(asked);
  assert.deepEqual([read1, read2, read3], [bytes(1), bytes(2), null]);
  assert.ok(removed !== null && "kind" in removed! && removed.kind === "removed");
  assert.deepEqual((await bench.list()).fragments.map(({ fragment }) => fragment), [
    fragment(1),
    fragment(2),
  ]);
});

for (const [code, reason] of [["ENOSPC", "no-space"], ["EDQUOT", "no-space"], ["EIO", "disk"]] as const) {
  for (const step of ["write", "rename", "syncFolder"] as const) {
    Deno.test(`B3: ${code} in ${step} is answered "${reason}", leaves nothing beside, and the next write is served`, async () => {
      let failing = true;
      const failure = Object.assign(new Error(`the system says ${code}`), { code });
      const real = REAL_CHUNK_FILES;
      await using bench = new Bench({
        write: async (path, content) => {
          await real.write(path, content.subarray(0, 1));
          if (failing && step === "write") throw failure;
          await real.write(path, content);
        },
        rename: (from, to) => failing && step === "rename" ? Promise.reject(failure) : real.rename(from, to),
        syncFolder: (folder) =>
          failing && step === "syncFolder" ? Promise.reject(failure) : real.syncFolder(folder),
      });
      const result = await bench.write(fragment(1), bytes(1, 2));
      assert.deepEqual([result.kind, result.kind === "failed" && result.reason], ["failed", reason]);
      assert.deepEqual(bench.names().filter((name) => name.endsWith(".new")), []);
      await bench.write(fragment(1), bytes(1, 2));
      assert.equal(bench.warned.length, 1, "one line for one trouble");
      failing = false;
      assert.equal((await bench.write(fragment(1), bytes(3, 4))).kind, "written");
      assert.deepEqual(await bench.read(fragment(1)), bytes(3, 4));
    });
  }
}

Deno.test("B3: a file that cannot be read is answered so, and a folder that was taken away is made anew", async () => {
  const failure = Object.assign(new Error("bad sector"), { code: "EIO" });
  await using bench = new Bench({ read: () => Promise.reject(failure) });
  await bench.write(fragment(1), bytes(1));
  const result = await bench.do({ kind: "read", fragment: fragment(1) });
  assert.deepEqual([result.kind, result.kind === "failed" && result.reason], ["failed", "disk"]);
  Deno.removeSync(bench.folder, { recursive: true });
  assert.equal((await bench.write(fragment(2), bytes(1))).kind, "written");
  assert.deepEqual((await bench.list()).fragments.map(({ fragment }) => fragment), [fragment(2)]);
  assert.deepEqual(await bench.partitions(), [1]);
});

Deno.test("B5: a file longer than any fragment is not read, and comes as rotten", async () => {
  await using bench = new Bench();
  await bench.write(fragment(1), bytes(1));
  Deno.truncateSync(join(bench.folder, "0001", fileName(fragment(1))), LIMITS.fragmentBytesMax + 1);
  assert.deepEqual(await bench.read(fragment(1)), bytes());
  const most = new Uint8Array(LIMITS.fragmentBytesMax).fill(5);
  await bench.write(fragment(1), most);
  assert.deepEqual(await bench.read(fragment(1)), most);
});

Deno.test("B5: not more files are open at once than slots say, and all are served", async () => {
  let open = 0, most = 0;
  await using bench = new Bench({
    write: async (path, content) => {
      most = Math.max(most, ++open);
      await REAL_CHUNK_FILES.write(path, content);
      open--;
    },
  });
  const results = await Promise.all(
    Array.from({ length: 200 }, (_, i) => bench.write(fragment(i), bytes(i & 255))),
  );
  assert.ok(results.every(({ kind }) => kind === "written"));
  assert.ok(most > 1 && most <= 16, `${most} at once`);
  assert.equal((await bench.list()).fragments.length, 200);
});

Deno.test("B6: after close() nothing is answered, and what was under way has ended", async () => {
  await using bench = new Bench();
  for (let i = 0; i < 100; i++) void bench.write(fragment(i), bytes(1));
  await turn();
  await bench.chunks.close();
  const answered = bench.answered, names = bench.names();
  assert.ok(names.length < 100, `${names.length} were written before it was closed`);
  assert.deepEqual(names.filter((name) => name.endsWith(".new")), []);
  bench.chunks.take({ kind: "partitions", op: 5000 });
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(bench.answered, answered);
  assert.deepEqual(bench.names(), names);
});

Deno.test("list gives sorted pages of one partition, with sizes and ages that are never negative", async () => {
  await using bench = new Bench();
  const ids = [
    fragment(0x20, ONE, 0, 1),
    fragment(3, ONE, 256, 0),
    fragment(3, ONE, 16, 11),
    fragment(3, ONE, 16, 2),
    fragment(0x1f, ONE, 2 ** 32 - 1, 31),
  ];
  for (const [i, id] of ids.entries()) await bench.write(id, new Uint8Array(i + 1));
  await bench.write(fragment(1, TWO), bytes(1));
  const old = join(bench.folder, "0001", fileName(ids[0]!)),
    later = join(bench.folder, "0001", fileName(ids[1]!));
  const now = Date.now() / 1000;
  Deno.utimeSync(old, now - 100, now - 100);
  Deno.utimeSync(later, now + 100, now + 100);
  const sorted = [ids[3]!, ids[2]!, ids[1]!, ids[4]!, ids[0]!];
  const first = await bench.list(ONE, null, 2), second = await bench.list(ONE, sorted[1]!, 2);
  const third = await bench.list(ONE, sorted[3]!, 2);
  const all = [...first.fragments, ...second.fragments, ...third.fragments];
  assert.deepEqual(all.map(({ fragment }) => fragment), sorted);
  assert.deepEqual(all.map((listed) => listed.bytes), [4, 3, 2, 5, 1]);
  assert.deepEqual([first.done, second.done, third.done], [false, false, true]);
  assert.ok(all[4]!.ageMs >= 99_000 && all[4]!.ageMs < 200_000);
  assert.equal(all[2]!.ageMs, 0);
  assert.deepEqual(await bench.partitions(), [1, 2]);
});

Deno.test("list tells of what was written and removed since its first page, and never ends early", async () => {
  await using bench = new Bench();
  for (let i = 10; i < 20; i++) await bench.write(fragment(i), bytes(i));
  assert.equal((await bench.list(ONE, null, 3)).fragments.length, 3);
  await bench.write(fragment(5), bytes(1));
  await bench.write(fragment(17, ONE, 3), bytes(1));
  await bench.do({ kind: "remove", fragments: [13, 14, 15, 16].map((number) => fragment(number)) });
  // Those four names would be a page of their own; it goes on behind them.
  const next = await bench.list(ONE, fragment(12), 4);
  const listed = [17, 18, 19].map((number) => fragment(number));
  listed.splice(1, 0, fragment(17, ONE, 3));
  assert.deepEqual(next.fragments.map(({ fragment }) => fragment), listed);
  const rest = await bench.list(ONE, fragment(19), 4);
  assert.deepEqual([rest.fragments, rest.done], [[], true]);
});

Deno.test("partitions clears away what writes left behind, leaves foreign files alone and tells of them once", async () => {
  await using bench = new Bench();
  await bench.write(fragment(1), bytes(1));
  await bench.write(fragment(1, TWO), bytes(1));
  await bench.do({ kind: "remove", fragments: [fragment(1, TWO)] });
  const folder = join(bench.folder, "0001");
  const put = (path: string, ageS: number) => {
    Deno.writeTextFileSync(path, "x");
    Deno.utimeSync(path, Date.now() / 1000 - ageS, Date.now() / 1000 - ageS);
  };
  put(join(folder, `${fileName(fragment(2))}.new`), 120);
  put(join(folder, `${fileName(fragment(3))}.new`), 5);
  put(join(folder, "notes.new"), 120);
  put(join(folder, fileName(fragment(10)).toUpperCase()), 120);
  put(join(bench.folder, "README"), 120);
  Deno.mkdirSync(join(bench.folder, "0000"));
  Deno.mkdirSync(join(folder, fileName(fragment(9))));
  assert.deepEqual(await bench.partitions(), [1]);
  assert.deepEqual(
    bench.names(),
    [
      `0001/${fileName(fragment(1))}`,
      `0001/${fileName(fragment(3))}.new`,
      `0001/${fileName(fragment(10)).toUpperCase()}`,
      `0001/${fileName(fragment(9))}`,
      "0001/notes.new",
      "README",
    ].sort(),
  );
  assert.throws(() => Deno.statSync(join(bench.folder, "0002")), Deno.errors.NotFound);
  await bench.partitions();
  assert.equal(bench.warned.length, 1);
  assert.deepEqual((await bench.list()).fragments.map(({ fragment }) => fragment), [fragment(1)]);
});

Deno.test("Names of files are parsed strictly, and sort as fragments do", () => {
  const id = fc.record({
    partition: fc.constant(ONE),
    segment: fc.array(fc.integer({ min: 0, max: 15 }), { minLength: 32, maxLength: 32 })
      .map((digits) => digits.map((digit) => digit.toString(16)).join("")),
    chunk: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    index: fc.integer({ min: 0, max: LIMITS.stripeMax - 1 }),
  }, { noNullPrototype: true });
  fc.assert(
    fc.property(id, id, (a, b) => {
      assert.deepEqual(parseFileName(ONE, fileName(a)), a);
      const order = (a.segment < b.segment ? -1 : a.segment > b.segment ? 1 : 0) || a.chunk - b.chunk ||
        a.index - b.index;
      assert.equal(Math.sign(order), fileName(a) < fileName(b) ? -1 : fileName(a) > fileName(b) ? 1 : 0);
    }),
    { seed: 4711 },
  );
  const good = fileName(fragment(1));
  for (
    const bad of [
      `${good}0`,
      ` ${good}`,
      good.slice(1),
      good.replace(/-00$/, "-20"),
      `${good}\n`,
      "",
      ".",
      "..",
    ]
  ) {
    assert.equal(parseFileName(ONE, bad), null, JSON.stringify(bad));
  }
  for (const bad of ["0000", "0401", "1", "00001", "000G", "000A", ""]) {
    assert.equal(parseFolderName(bad), null);
  }
  assert.deepEqual(["0001", "0400", "00ff"].map(parseFolderName), [1, 1024, 255]);
});

function turn(): Promise<void> {
  return new Promise((done) => setTimeout(done, 1));
}
