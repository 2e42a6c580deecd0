/**
 * `deno task bench:objects [--quick] [--json]`: objects of 64 KiB, 1 MiB, 64 MiB and 1 GiB put and got through the S3 face
 * of real nodes of a private network on this machine, in three copies on three nodes and in stripes of 4+2 on six, by curl
 * (one at a time) and, for the small ones, by many clients at once. Beside them, in the same run, what the machine itself
 * can do: writing a file and syncing it, TCP on loopback, the cipher. --quick leaves the largest out.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { join } from "node:path";
import { openStore } from "../cli/objects/open_store.ts";
import { table } from "../cli/terminal.ts";
import type { Scheme } from "../core/wire/objects.ts";
import { presigned } from "./presigned.ts";
import { type S3Network, withS3Network } from "./s3_network.ts";

const KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB;

const SIZES: readonly { readonly name: string; readonly bytes: number; readonly rounds: number }[] = [
  { name: "64 KiB", bytes: 64 * KiB, rounds: 40 },
  { name: "1 MiB", bytes: MiB, rounds: 30 },
  { name: "64 MiB", bytes: 64 * MiB, rounds: 5 },
  { name: "1 GiB", bytes: GiB, rounds: 2 },
];
const SMALL_BYTES = [4 * KiB, 64 * KiB] as const;
const SMALL_CLIENTS = 32;
const SMALL_SECONDS = 5;
const LIMIT_BYTES = GiB;

interface Measured {
  readonly stored: string;
  readonly size: string;
  /** MiB a second, medians over rounds. */
  readonly put: number;
  readonly get: number;
}
interface SmallMeasured {
  readonly stored: string;
  readonly bytes: number;
  readonly putsPerSecond: number;
  readonly getsPerSecond: number;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

// ---- what the machine can do

/** MiB a second. */
async function fileLimit(directory: string): Promise<number> {
  const path = join(directory, "limit");
  const block = randomBytes(MiB);
  const rates: number[] = [];
  for (let round = 0; round < 3; round++) {
    const began = performance.now();
    using file = await Deno.open(path, { create: true, write: true, truncate: true });
    for (let done = 0; done < LIMIT_BYTES; done += MiB) await file.write(block);
    await file.syncData();
    rates.push(LIMIT_BYTES / MiB / (performance.now() - began) * 1000);
  }
  await Deno.remove(path);
  return median(rates);
}

async function loopbackLimit(): Promise<number> {
  const block = new Uint8Array(MiB);
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const rates: number[] = [];
  for (let round = 0; round < 3; round++) {
    const accepted = listener.accept();
    using out = await Deno.connect({ hostname: "127.0.0.1", port });
    using inside = await accepted;
    const began = performance.now();
    const reading = (async () => {
      const buffer = new Uint8Array(MiB);
      for (let left = LIMIT_BYTES; left > 0;) left -= await inside.read(buffer) ?? left;
    })();
    for (let done = 0; done < LIMIT_BYTES; done += MiB) {
      for (let at = 0; at < MiB;) at += await out.write(block.subarray(at));
    }
    await reading;
    rates.push(LIMIT_BYTES / MiB / (performance.now() - began) * 1000);
  }
  return median(rates);
}

function cipherLimit(): number {
  const key = randomBytes(32), block = randomBytes(MiB), nonce = new Uint8Array(12);
  const rates: number[] = [];
  for (let round = 0; round < 3; round++) {
    const began = performance.now();
    for (let i = 0; i < 256; i++) {
      const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
      cipher.update(block);
      cipher.final();
    }
    rates.push(256 / (performance.now() - began) * 1000);
  }
  return median(rates);
}

// ---- objects

/** Seconds that curl took, as it measures them itself: its own start does not count. */
async function curl(...args: string[]): Promise<number> {
  const { code, stdout, stderr } = await new Deno.Command("curl", {
    args: [
      "--silent",
      "--show-error",
      "--fail",
      "--write-out",
      "%{time_total}",
      "--output",
      "/dev/null",
      ...args,
    ],
    stdin: "null",
  }).output();
  if (code !== 0) throw new Error(`curl ended with ${code}: ${new TextDecoder().decode(stderr)}`);
  return Number(new TextDecoder().decode(stdout));
}

async function measureSizes(
  { s3, directory }: S3Network,
  { bucket, stored, quick }: { bucket: string; stored: string; quick: boolean },
): Promise<Measured[]> {
  const results: Measured[] = [];
  for (const { name, bytes, rounds } of SIZES) {
    if (quick && bytes === GiB) continue;
    const source = join(directory, "source");
    {
      using file = await Deno.open(source, { create: true, write: true, truncate: true });
      const block = randomBytes(Math.min(bytes, MiB));
      for (let done = 0; done < bytes; done += block.length) await file.write(block);
    }
    const puts: number[] = [], gets: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const path = `/${bucket}/${bytes}/${round}`;
      const seconds = await curl("--upload-file", source, presigned(s3, "PUT", path));
      puts.push(bytes / MiB / seconds);
      gets.push(bytes / MiB / await curl(presigned(s3, "GET", path)));
    }
    // What is measured next finds the disk as empty.
    for (let round = 0; round < rounds; round++) {
      await curl("--request", "DELETE", presigned(s3, "DELETE", `/${bucket}/${bytes}/${round}`));
    }
    results.push({ stored, size: name, put: median(puts), get: median(gets) });
    await Deno.remove(source);
  }
  return results;
}

async function measureSmall(
  { s3 }: S3Network,
  { bucket, stored, bytes }: { bucket: string; stored: string; bytes: number },
): Promise<SmallMeasured> {
  const body = new Uint8Array(randomBytes(bytes));
  const perSecond = async (run: (client: number, round: number) => Promise<void>) => {
    const began = performance.now(), end = began + SMALL_SECONDS * 1000;
    let done = 0;
    await Promise.all(Array.from({ length: SMALL_CLIENTS }, async (_, client) => {
      for (let round = 0; performance.now() < end; round++, done++) await run(client, round);
    }));
    return done / (performance.now() - began) * 1000;
  };
  const rounds: number[] = new Array(SMALL_CLIENTS).fill(0);
  const path = (client: number, round: number) => `/${bucket}/small-${bytes}/${client}/${round}`;
  const ask = async (method: "GET" | "PUT", at: string, init: RequestInit = {}) => {
    const answer = await fetch(presigned(s3, method, at), { method, ...init });
    const got = await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`${method} ${at}: ${answer.status} ${new TextDecoder().decode(got)}`);
    if (method === "GET" && got.byteLength !== bytes) throw new Error(`${at} has ${got.byteLength} bytes`);
  };
  const putsPerSecond = await perSecond(async (client, round) => {
    await ask("PUT", path(client, round), { body });
    rounds[client] = round + 1;
  });
  const getsPerSecond = await perSecond((client, round) => ask("GET", path(client, round % rounds[client]!)));
  return { stored, bytes, putsPerSecond, getsPerSecond };
}

/** The most memory that any of the nodes has had, in MiB. */
async function memoryMiB({ nodes }: S3Network): Promise<number> {
  const each = await Promise.all(nodes.map(async ({ pid }) => {
    const status = await Deno.readTextFile(`/proc/${pid}/status`);
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }));
  return Math.max(...each);
}

async function measureScheme(
  members: number,
  stored: string,
  scheme: Scheme,
  quick: boolean,
): Promise<{ sizes: Measured[]; small: SmallMeasured[]; memory: number }> {
  return await withS3Network(members, async (network) => {
    const bucket = "bench";
    await openStore(network.client).createBucket(bucket, { scheme });
    const small: SmallMeasured[] = [];
    for (const bytes of SMALL_BYTES) small.push(await measureSmall(network, { bucket, stored, bytes }));
    const sizes = await measureSizes(network, { bucket, stored, quick });
    return { sizes, small, memory: await memoryMiB(network) };
  });
}

async function main(args: readonly string[]): Promise<void> {
  const quick = args.includes("--quick");
  const directory = await Deno.makeTempDir({ prefix: "space-opera-bench-" });
  const limits = {
    file: await fileLimit(directory),
    loopback: await loopbackLimit(),
    cipher: cipherLimit(),
  };
  await Deno.remove(directory, { recursive: true });
  const copies = await measureScheme(3, "3 copies", { kind: "replicated", copies: 3 }, quick);
  const stripes = await measureScheme(6, "4+2", { kind: "striped", data: 4, parity: 2 }, quick);
  const slowest = Math.min(...Object.values(limits));
  if (args.includes("--json")) return console.log(JSON.stringify({ limits, copies, stripes }));
  console.log(
    `The machine: file and sync ${limits.file.toFixed(0)}, loopback ${limits.loopback.toFixed(0)}, cipher ${
      limits.cipher.toFixed(0)
    } MiB/s`,
  );
  console.log(table(
    ["STORED AS", "SIZE", "PUT MIB/S", "GET MIB/S", "GET : SLOWEST LIMIT"],
    [...copies.sizes, ...stripes.sizes].map(({ stored, size, put, get }) => [
      stored,
      size,
      Number(put.toFixed(1)),
      Number(get.toFixed(1)),
      (get / slowest).toFixed(2),
    ]),
  ));
  console.log(table(
    ["STORED AS", "BYTES", `PUTS/S, ${SMALL_CLIENTS} CLIENTS`, "GETS/S"],
    [...copies.small, ...stripes.small].map(({ stored, bytes, putsPerSecond, getsPerSecond }) => [
      stored,
      bytes,
      Math.round(putsPerSecond),
      Math.round(getsPerSecond),
    ]),
  ));
  console.log(
    `Most memory of a node: ${copies.memory.toFixed(0)} MiB of three, ${stripes.memory.toFixed(0)} of six`,
  );
}

if (import.meta.main) await main(Deno.args);
