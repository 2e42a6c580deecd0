/** A real node whose port is attacked while a well-behaved client works: what it does for that client, and what it costs. */
import type { Client } from "../../cli/client/client.ts";
import { table } from "../../cli/terminal.ts";
import type { NodeProcess } from "../../cli/processes.ts";
import { withPrivateLab } from "../cli/private_support.ts";
import { withLab } from "../cli/support.ts";
import type { AttackOrder, AttackTotals } from "./attacks.ts";
import { FuzzFailure } from "./run.ts";

const MiB = 2 ** 20;
/** Before the attack, and after it. */
const CALM_MS = 2000;
/** Longer than anything a client waits for by itself, and shorter than its operations' deadline. */
const LATENCY_MS_MAX = 8000;
const CALM_AGAIN_MS_MAX = 1000;
/** What all clients together may make the node hold (cli/host/load.ts), and as much again for the runtime's garbage. */
const GROWTH_BYTES_MAX = 768 * MiB;
const LOOK_MS = 200;
/** So often it is attacked until each kind of attack has been met with. Only the first time is measured. */
const ROUNDS_MAX = 4;

interface Latency {
  readonly operations: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface PortOptions {
  readonly network: "open" | "private";
  readonly seed: number;
  readonly ms: number;
}

export interface PortTotals {
  readonly network: "open" | "private";
  readonly ms: number;
  readonly attacks: AttackTotals;
  readonly latency: Readonly<Record<"before" | "during" | "after", Latency>>;
  readonly memory: { readonly before: number; readonly most: number; readonly after: number };
  readonly counters: ReadonlyMap<string, number>;
}

/** @throws {FuzzFailure} where the client was not served, or memory grew past what is allowed */
export async function fuzzPort(options: PortOptions): Promise<PortTotals> {
  let totals: PortTotals | null = null;
  if (options.network === "open") {
    await withLab(async (lab) => {
      const node = await lab.start({ id: "a" });
      totals = await attackNode(options, { node, client: await lab.client(node), profilePath: null });
    });
  } else {
    await withPrivateLab(async (lab) => {
      const node = await lab.start({ id: "a" });
      const { profilePath } = lab;
      totals = await attackNode(options, { node, client: await lab.client(), profilePath });
    });
  }
  check(totals!, options.seed);
  return totals!;
}

async function attackNode(
  { seed, ms, network }: PortOptions,
  { node, client, profilePath }: { node: NodeProcess; client: Client; profilePath: string | null },
): Promise<PortTotals> {
  const began = performance.now();
  const before = await work(client, CALM_MS, seed);
  const memoryBefore = await memoryOf(client);
  let most = memoryBefore;
  const watch = setInterval(() => {
    memoryOf(client).then((bytes) => most = Math.max(most, bytes), () => {});
  }, LOOK_MS);
  const [attacks, during] = await Promise.all([
    attack({ address: node.address, profilePath, seed, ms: Math.max(1000, ms - 2 * CALM_MS) }),
    work(client, Math.max(1000, ms - 2 * CALM_MS), seed),
  ]).finally(() => clearInterval(watch));
  // On a slow machine little of each attack gets through in a while.
  for (let round = 1; round < ROUNDS_MAX; round++) {
    if (uncounted(network, await countersOf(client)).length === 0) break;
    await attack({ address: node.address, profilePath, seed: seed + round, ms });
  }
  await new Promise((done) => setTimeout(done, 500));
  const after = await work(client, CALM_MS, seed);
  const counters = await countersOf(client);
  return {
    network,
    ms: performance.now() - began,
    attacks,
    latency: { before, during, after },
    memory: { before: memoryBefore, most, after: counters.get("memory bytes") ?? 0 },
    counters,
  };
}

function attack(order: AttackOrder): Promise<AttackTotals> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./attacks.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<AttackTotals>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    worker.postMessage(order);
  });
}

/** Puts and gets of its own keys, one after the other. What was put is there. */
async function work(client: Client, ms: number, seed: number): Promise<Latency> {
  const latencies: number[] = [];
  const end = performance.now() + ms;
  for (let i = 0; performance.now() < end; i++) {
    const key = `good/${i % 50}`, value = `${i}`;
    const began = performance.now();
    try {
      await client.put(key, value);
      const found = await client.get(key);
      if (new TextDecoder().decode(found?.value ?? new Uint8Array(0)) !== value) {
        throw new Error(`${key} has not the value that was put`);
      }
    } catch (error) {
      const what = `a well-behaved client failed: ${error instanceof Error ? error.message : error}`;
      throw new FuzzFailure("port", seed, new Uint8Array(0), what, { cause: error });
    }
    latencies.push((performance.now() - began) / 2);
    await new Promise((done) => setTimeout(done, 2));
  }
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))] ?? 0;
  return { operations: 2 * latencies.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

async function countersOf(client: Client): Promise<Map<string, number>> {
  return new Map((await client.status(client.home)).counters);
}

async function memoryOf(client: Client): Promise<number> {
  return (await countersOf(client)).get("memory bytes") ?? 0;
}

function check({ network, latency, memory, counters }: PortTotals, seed: number): void {
  const fail = (what: string): never => {
    throw new FuzzFailure("port", seed, new Uint8Array(0), what);
  };
  if (latency.during.max > LATENCY_MS_MAX) fail(`an operation took ${latency.during.max.toFixed(0)} ms`);
  if (latency.after.p99 > CALM_AGAIN_MS_MAX) {
    fail(`after the attack operations take ${latency.after.p99.toFixed(0)} ms`);
  }
  const growth = memory.most - memory.before;
  if (growth > GROWTH_BYTES_MAX) fail(`the node's memory grew by ${(growth / MiB).toFixed(0)} MiB`);
  for (const name of uncounted(network, counters)) fail(`status does not count "${name}"`);
}

/** What the attacks should make the node count, and have not. */
function uncounted(network: PortOptions["network"], counters: ReadonlyMap<string, number>): string[] {
  const names = ["connections refused", "frames refused", "authorities asked for"];
  if (network === "open") names.push("handshakes cut short");
  else names.push("TLS handshakes put off", "connections refused: no TLS spoken", "log-ins refused: denied");
  return names.filter((name) => (counters.get(name) ?? 0) === 0);
}

export function portReport({ network, attacks, latency, memory, counters, ms }: PortTotals): string {
  const attacked = Object.entries(attacks).map(([name, { connections, closed, sent }]) => [
    name,
    connections,
    closed,
    Math.round(sent / 1024),
  ]);
  const latencies = Object.entries(latency).map(([when, { operations, p50, p99, max }]) => [
    when,
    operations,
    ...[p50, p99, max].map((value) => Number(value.toFixed(1))),
  ]);
  const counted = [...counters].filter(([name]) =>
    /refused|cut|held|closed|clients|TLS|told|log-ins/.test(name)
  );
  const mib = (bytes: number) => Math.round(bytes / MiB);
  return [
    `Port of a node of ${network === "open" ? "an open" : "a private"} network: attacked for ${
      (ms / 1000).toFixed(0)
    } s`,
    table(["ATTACK", "CONNECTIONS", "CLOSED BY THE NODE", "SENT KIB"], attacked),
    table(["A GOOD CLIENT", "OPERATIONS", "P50 MS", "P99 MS", "MAX MS"], latencies),
    `Memory of the node: ${mib(memory.before)} MiB before, ${mib(memory.most)} at most, ${
      mib(memory.after)
    } after`,
    table(["COUNTED BY STATUS", "TIMES"], counted.map(([name, times]) => [name, times])),
  ].join("\n");
}
