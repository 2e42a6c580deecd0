/**
 * `deno task bench:cluster [seconds]`: three real node processes on this machine, every write synced to disk on a
 * majority before it is answered. Puts and gets of 256 bytes a second, with latencies, at 1, 16, 64 and 256 clients
 * (each one operation at a time), and how long writes pause when a leader is killed. The network is private, with TLS
 * and encryption at rest; --open measures an open one, --pair both in turns (--rounds=N: medians). --json prints JSON.
 */
import type { Client } from "../mod.ts";
import { connectTo, type NodeProcess, startThree } from "../cli/processes.ts";
import { untilSettled } from "../cli/settled.ts";
import { table } from "../cli/terminal.ts";

export const CLIENTS = [1, 16, 64, 256] as const;
export const VALUE_BYTES = 256;
const KEYS_PER_CLIENT = 1000;
const GAP_WRITERS = 8;
const GAP_SECONDS = 6;

/** What was measured of one kind of operation with one number of clients. Latencies in milliseconds. */
export interface Rate {
  readonly operation: "put" | "get";
  readonly clients: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** Runs `operation` in a loop in each of `clients` loops for `seconds`. */
async function measure(
  { operation, clients, seconds, run }: {
    operation: Rate["operation"];
    clients: number;
    seconds: number;
    run: (client: number, round: number) => Promise<unknown>;
  },
): Promise<Rate> {
  const latencies: number[] = [];
  const began = performance.now();
  const end = began + seconds * 1000;
  await Promise.all(Array.from({ length: clients }, async (_, client) => {
    for (let round = 0;; round++) {
      const at = performance.now();
      if (at >= end) return;
      await run(client, round);
      latencies.push(performance.now() - at);
    }
  }));
  const took = (performance.now() - began) / 1000;
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))]!;
  return { operation, clients, perSecond: latencies.length / took, p50: at(0.5), p99: at(0.99) };
}

/** Puts, then gets of what was put, at each number of clients. */
export async function measureRates(
  client: Client,
  seconds: number,
  numbers: readonly number[] = CLIENTS,
): Promise<Rate[]> {
  const value = new Uint8Array(VALUE_BYTES).fill(0x78);
  const key = (c: number, round: number) => `bench/${c}/${round % KEYS_PER_CLIENT}`;
  const rates: Rate[] = [];
  for (const clients of numbers) {
    const put = (c: number, round: number) => client.put(key(c, round), value);
    const get = (c: number, round: number) => client.get(key(c, round));
    await measure({ operation: "put", clients, seconds: 0.5, run: put });
    rates.push(await measure({ operation: "put", clients, seconds, run: put }));
    rates.push(await measure({ operation: "get", clients, seconds, run: get }));
  }
  return rates;
}

/** The longest time without any write done, over all writers, while the node that leads most is killed. */
export async function measureGap(
  client: Client,
  nodes: readonly NodeProcess[],
): Promise<{ all: number; each: number }> {
  const { leaders } = await client.layout();
  const led = (node: NodeProcess) => leaders.filter((leader) => leader === node.ready.node).length;
  const victim = [...nodes].sort((a, b) => led(b) - led(a))[0]!;
  const end = performance.now() + GAP_SECONDS * 1000;
  let last = performance.now(), all = 0, each = 0;
  const writers = Array.from({ length: GAP_WRITERS }, async (_, w) => {
    for (let i = 0; performance.now() < end; i++) {
      const began = performance.now();
      await client.put(`gap/${w}/${i % KEYS_PER_CLIENT}`, "x");
      const now = performance.now();
      each = Math.max(each, now - began);
      all = Math.max(all, now - last);
      last = now;
    }
  });
  await new Promise((done) => setTimeout(done, 1000));
  await victim.kill();
  await Promise.all(writers);
  return { all, each };
}

export function ratesTable(rates: readonly Rate[]): string {
  return table(
    ["OPERATION", "CLIENTS", "PER SECOND", "P50 MS", "P99 MS"],
    rates.map((r) => [
      r.operation,
      r.clients,
      Math.round(r.perSecond),
      Number(r.p50.toFixed(2)),
      Number(r.p99.toFixed(2)),
    ]),
  );
}

/** Starts three nodes in a temporary folder, of a private network or an open one, and removes all of it afterwards. */
export async function withCluster<T>(
  use: (client: Client, nodes: NodeProcess[]) => Promise<T>,
  { open = false }: { readonly open?: boolean } = {},
): Promise<T> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-bench-" });
  let nodes: NodeProcess[] = [];
  try {
    const cluster = await startThree(directory, { open, flags: ["--log-level", "warning"] });
    nodes = cluster.nodes;
    using client = await connectTo(cluster);
    await untilSettled(client, { members: 3, msMax: 20_000 });
    return await use(client, nodes);
  } finally {
    await Promise.all(nodes.map((node) => node.kill()));
    await Deno.remove(directory, { recursive: true });
  }
}

interface Pair {
  readonly open: Rate;
  readonly private: Rate;
  /** Private to open. */
  readonly ratio: number;
}

/**
 * Puts and gets in an open and in a private network that run at the same time and take turns, each `seconds` a time.
 * Medians over the rounds, of each figure and of the ratios of those that were measured side by side.
 */
async function measurePairs(seconds: number, rounds: number): Promise<Pair[]> {
  return await withCluster((open) =>
    withCluster(async (secured) => {
      const pairs: Pair[] = [];
      for (const clients of CLIENTS) {
        const measured: { open: Rate[]; private: Rate[] }[] = [];
        for (let round = 0; round < rounds; round++) {
          measured.push({
            open: await measureRates(open, seconds, [clients]),
            private: await measureRates(secured, seconds, [clients]),
          });
        }
        for (const kind of [0, 1]) {
          const sides = measured.map((each) => ({ open: each.open[kind]!, private: each.private[kind]! }));
          pairs.push({
            open: medianRate(sides.map((each) => each.open)),
            private: medianRate(sides.map((each) => each.private)),
            ratio: median(sides.map((each) => each.private.perSecond / each.open.perSecond)),
          });
        }
      }
      return pairs;
    }), { open: true });
}

function medianRate(rates: readonly Rate[]): Rate {
  const of = (name: "perSecond" | "p50" | "p99") => median(rates.map((rate) => rate[name]));
  return { ...rates[0]!, perSecond: of("perSecond"), p50: of("p50"), p99: of("p99") };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function pairTable(pairs: readonly Pair[]): string {
  return table(
    ["OPERATION", "CLIENTS", "OPEN /S", "PRIVATE /S", "RATIO", "OPEN P99 MS", "PRIVATE P99 MS"],
    pairs.map(({ open, private: secured, ratio }) => [
      open.operation,
      open.clients,
      Math.round(open.perSecond),
      Math.round(secured.perSecond),
      ratio.toFixed(2),
      Number(open.p99.toFixed(2)),
      Number(secured.p99.toFixed(2)),
    ]),
  );
}

async function main(args: readonly string[]): Promise<void> {
  const seconds = Number(args.find((arg) => /^\d+(\.\d+)?$/.test(arg)) ?? 4);
  const json = args.includes("--json");
  if (args.includes("--pair")) {
    const rounds = Number(args.find((arg) => arg.startsWith("--rounds="))?.slice("--rounds=".length) ?? 1);
    const pairs = await measurePairs(seconds, rounds);
    return console.log(json ? JSON.stringify(pairs) : pairTable(pairs));
  }
  const results = await withCluster(async (client, nodes) => {
    const rates = await measureRates(client, seconds);
    return { rates, gap: await measureGap(client, nodes) };
  }, { open: args.includes("--open") });
  if (json) return console.log(JSON.stringify(results));
  console.log(ratesTable(results.rates));
  const { all, each } = results.gap;
  console.log(
    `After SIGKILL of a leader: no write at all for ${Math.round(all)} ms, the slowest write took ${
      Math.round(each)
    } ms`,
  );
}

if (import.meta.main) await main(Deno.args);
