/**
 * `deno task bench:chunks`: how quickly a node keeps fragments of objects, and sends them to another. Without a core:
 *
 *   disk   durable writes a second, and reads, of 64 KiB and 1 MiB, so many at once (cli/host/chunks), and how late a timer of
 *          the same thread came meanwhile
 *   lanes  fragments of 1 MiB and 64 KiB from one process to another over the bulk lane, and what a ping on the ordinary
 *          lane took there and back meanwhile
 *
 * `bench/chunks.ts disk|lanes` measures one of them, `--data FOLDER` elsewhere than in the system's temporary folder.
 */
import { cpuUsage } from "node:process";
import { parseArgs } from "node:util";
import { join } from "node:path";
import { type NodeId, nodeId, partitionId } from "../core/base/ids.ts";
import type { Message } from "../core/wire/messages.ts";
import type { ChunkOp, ChunkResult } from "../core/wire/objects.ts";
import { ChunkFiles } from "../cli/host/chunks/chunks.ts";
import { Transport } from "../cli/host/transport.ts";
import { authority, identity, NETWORK, World } from "../test/cli/host/members.ts";

const KiB = 1024, MiB = 1024 * KiB;
const SEED_A = new Uint8Array(32).fill(1), SEED_B = new Uint8Array(32).fill(2);

/** Like ciphertext: nothing on the way could make it shorter. */
function noise(bytes: number): Uint8Array {
  const all = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(all.subarray(at, at + 65_536));
  return all;
}

function quantile(sorted: readonly number[], share: number): string {
  return (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1);
}

function row(cells: readonly (string | number)[]): void {
  console.log(cells.map((cell, i) => i === 0 ? String(cell).padEnd(16) : String(cell).padStart(12)).join(""));
}

/** How late timers of this thread come, until it is told to end. */
class Lateness {
  readonly #late: number[] = [];
  #over = false;
  constructor() {
    void this.#measure();
  }
  async #measure(): Promise<void> {
    while (!this.#over) {
      const began = performance.now();
      await new Promise((done) => setTimeout(done, 1));
      this.#late.push(performance.now() - began - 1);
    }
  }
  end(): readonly number[] {
    this.#over = true;
    return this.#late.sort((a, b) => a - b);
  }
}

// ---- disk

async function disk(folder: string | undefined): Promise<void> {
  row(["", "at once", "a second", "MB/s", "p50 ms", "p99 ms", "late p99 ms", "late max"]);
  for (const bytes of [64 * KiB, MiB]) {
    const content = noise(bytes), count = bytes === MiB ? 300 : 1500;
    for (const atOnce of [1, 8, 32]) {
      const root = Deno.makeTempDirSync(folder === undefined ? {} : { dir: folder });
      const waiting = new Map<number, (result: ChunkResult) => void>();
      const chunks = new ChunkFiles({
        folder: join(root, "chunks"),
        answer: (result) => waiting.get(result.op)!(result),
        warn: (what) => console.error(what),
      });
      for (const kind of ["write", "read"] as const) {
        const opOf = (op: number): ChunkOp => {
          const segment = (op % count).toString(16).padStart(32, "0");
          const fragment = { partition: partitionId(1 + op % 64), segment, chunk: 0, index: 0 };
          return kind === "write" ? { kind, op, fragment, bytes: content } : { kind, op, fragment };
        };
        const lateness = new Lateness(), took: number[] = [], began = performance.now();
        let next = 0;
        await Promise.all(Array.from({ length: atOnce }, async () => {
          while (next < count) {
            const op = next++, from = performance.now();
            const { promise, resolve } = Promise.withResolvers<ChunkResult>();
            waiting.set(op, resolve);
            chunks.take(opOf(op));
            const result = await promise;
            if (result.kind === "failed") throw new Error(result.message);
            took.push(performance.now() - from);
          }
        }));
        const seconds = (performance.now() - began) / 1000, late = lateness.end();
        took.sort((a, b) => a - b);
        row([
          `${kind} ${bytes / KiB} KiB`,
          atOnce,
          Math.round(count / seconds),
          Math.round(count * bytes / seconds / 1e6),
          quantile(took, 0.5),
          quantile(took, 0.99),
          quantile(late, 0.99),
          quantile(late, 1),
        ]);
      }
      await chunks.close();
      Deno.removeSync(root, { recursive: true });
    }
  }
}

// ---- lanes

interface Far {
  readonly address: string;
  readonly secret: string;
  readonly der: string;
  readonly open: boolean;
}

/** One of the two, "a" or "b". Answers pings, and each fragment once it was handed over. */
async function end(
  name: "a" | "b",
  { by, far, open }: {
    by: Awaited<ReturnType<typeof authority>>;
    far: () => string | null;
    open: boolean;
  },
  heard: (message: Message) => void,
): Promise<{ transport: Transport; address: string }> {
  const world = new World(by), a = await identity(by, "a", SEED_A), b = await identity(by, "b", SEED_B);
  world.members.set("a", { key: a.key, state: "active" }).set("b", { key: b.key, state: "active" });
  const other = nodeId(name === "a" ? "b" : "a");
  const transport: Transport = new Transport({
    messages: (_: NodeId, messages) => {
      for (const message of messages) {
        if (message.kind === "fragment-put") {
          transport.send(other, { kind: "fragment-put-reply", id: message.id, outcome: "stored" });
        } else if (message.kind === "ping") {
          transport.send(other, { kind: "nack", sequence: message.sequence });
        } else heard(message);
      }
      transport.flush();
    },
    requests() {},
    clientGone() {},
    peerLost: (_, why) => console.error(`Lost: ${why}`),
    secrets() {},
    incident() {},
    refused: (_, why) => console.error(`Refused: ${why}`),
    deaf() {},
  });
  const address = await transport.listen("127.0.0.1:0");
  const credentials = open ? null : world.credentials(name === "a" ? a : b);
  transport.begin({ node: nodeId(name), network: NETWORK, address, credentials }, far);
  return { transport, address };
}

/** The other process: lives until its input ends. */
async function farEnd(text: string): Promise<void> {
  const { address, secret, der, open }: Far = JSON.parse(text);
  const by = { secret: Uint8Array.fromHex(secret), der: Uint8Array.fromHex(der) };
  const here = await end("b", { by, far: () => address, open }, () => {});
  console.log(here.address);
  for await (const _ of Deno.stdin.readable);
  await here.transport.close();
}

async function lanes(): Promise<void> {
  row(["", "fragment", "a second", "MB/s", "ping p50 ms", "p99 ms", "max ms", "cpu here %"]);
  for (const open of [true, false]) {
    for (const bytes of [0, 64 * KiB, MiB]) await lane(open, bytes);
  }
}

/** `bytes` 0: nothing but pings. */
async function lane(open: boolean, bytes: number): Promise<void> {
  const by = await authority();
  let far: string | null = null, stored = 0, more = () => {};
  const pings: number[] = [], since = new Map<number, number>();
  const here = await end("a", { by, far: () => far, open }, (message) => {
    if (message.kind === "fragment-put-reply") {
      stored++;
      more();
    } else if (message.kind === "nack") pings.push(performance.now() - since.get(message.sequence)!);
  });
  const given: Far = { address: here.address, secret: by.secret.toHex(), der: by.der.toHex(), open };
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      "--allow-read",
      "--allow-net=127.0.0.1",
      import.meta.filename!,
      "far",
      JSON.stringify(given),
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  far = (await lines.read()).value!.trim();
  const other = nodeId("b"),
    content = noise(bytes),
    UNDER_WAY = Math.max(8, Math.floor(16 * MiB / Math.max(bytes, MiB)));
  let sent = 0, sequence = 0, over = false;
  more = () => {
    for (; bytes > 0 && !over && sent - stored < UNDER_WAY; sent++) {
      const fragment = {
        partition: partitionId(1),
        segment: "0".repeat(32),
        chunk: sent,
        index: 0,
      };
      here.transport.send(other, { kind: "fragment-put", id: sent, fragment, bytes: content });
    }
  };
  const beat = setInterval(() => {
    since.set(++sequence, performance.now());
    here.transport.send(other, { kind: "ping", sequence, target: other, view: 1, updates: [] });
    here.transport.flush();
  }, 20);
  more();
  await new Promise((done) => setTimeout(done, 1500));
  pings.length = 0;
  const before = stored, cpu = cpuUsage(), began = performance.now();
  await new Promise((done) => setTimeout(done, 4000));
  const seconds = (performance.now() - began) / 1000, rate = (stored - before) / seconds;
  const used = cpuUsage(cpu);
  over = true;
  clearInterval(beat);
  pings.sort((a, b) => a - b);
  row([
    open ? "open" : "TLS",
    bytes === 0 ? "none" : `${bytes / KiB} KiB`,
    Math.round(rate),
    Math.round(rate * bytes / 1e6),
    quantile(pings, 0.5),
    quantile(pings, 0.99),
    quantile(pings, 1),
    Math.round((used.user + used.system) / 10_000 / seconds),
  ]);
  await child.stdin.close();
  await lines.cancel();
  await here.transport.close();
  await child.status;
}

if (import.meta.main) {
  const { positionals: [what, given], values: { data } } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: { data: { type: "string" } },
  });
  if (what === "far") await farEnd(given!);
  else {
    if (what !== "lanes") await disk(data);
    if (what !== "disk") await lanes();
    Deno.exit(0);
  }
}
