/** The S3 port of a real node of a private network, attacked while a well-behaved client puts, gets and lists objects. */
import type { Client } from "../../cli/client/client.ts";
import { table } from "../../cli/terminal.ts";
import { makeS3Secret, secretValue } from "../../cli/objects/s3_secrets.ts";
import { secretRow } from "../../core/objects/rows.ts";
import { withPrivateLab } from "../cli/private_support.ts";
import { signed } from "../cli/s3/support.ts";
import { FLAGS } from "../cli/support.ts";
import { FuzzFailure } from "./run.ts";
import type { S3AttackTotals, S3Order } from "./s3_attacks.ts";

const MiB = 2 ** 20;
/** Before the attack, and after it. */
const CALM_MS = 1000;
const LATENCY_MS_MAX = 10_000;
const GROWTH_BYTES_MAX = 768 * MiB;
const LOOK_MS = 200;
/** Every so many objects one of several chunks. */
const LARGE_EACH = 16, LARGE_BYTES = 2 * MiB + 5;
const READY_MS_MAX = 60_000;

interface Latency {
  readonly operations: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface S3PortTotals {
  readonly ms: number;
  readonly attacks: S3AttackTotals;
  readonly latency: Readonly<Record<"before" | "during" | "after", Latency>>;
  readonly memory: { readonly before: number; readonly most: number };
}

/** @throws {FuzzFailure} where the client was not served, or memory grew past what is allowed */
export async function fuzzS3Port({ seed, ms }: { seed: number; ms: number }): Promise<S3PortTotals> {
  let totals: S3PortTotals | null = null;
  await withPrivateLab(async (lab) => {
    const port = freePort();
    await lab.start({ id: "a", flags: [...FLAGS, "--s3", `127.0.0.1:${port}`] });
    const client = await lab.client(), secret = makeS3Secret(), { id } = lab.profile.access!;
    await client.put(secretRow(id), secretValue(secret));
    const good = new GoodClient({ host: "127.0.0.1", port, id, secret }, seed);
    await good.begin();
    totals = await attackFace({ host: "127.0.0.1", port, id, secret, seed, ms }, good, client);
  });
  check(totals!, seed);
  return totals!;
}

async function attackFace(order: S3Order, good: GoodClient, client: Client): Promise<S3PortTotals> {
  const began = performance.now();
  const before = await good.work(CALM_MS), memoryBefore = await memoryOf(client);
  let most = memoryBefore;
  const watch = setInterval(() => {
    memoryOf(client).then((bytes) => most = Math.max(most, bytes), () => {});
  }, LOOK_MS);
  const attackMs = Math.max(1000, order.ms - 2 * CALM_MS);
  const [attacks, during] = await Promise.all([attack({ ...order, ms: attackMs }), good.work(attackMs)])
    .finally(() => clearInterval(watch));
  const after = await good.work(CALM_MS);
  await good.provesNothingForged();
  return {
    ms: performance.now() - began,
    attacks,
    latency: { before, during, after },
    memory: { before: memoryBefore, most },
  };
}

interface Answer {
  readonly status: number;
  readonly bytes: Uint8Array;
  readonly text: string;
}

class GoodClient {
  readonly #order: Pick<S3Order, "host" | "port" | "id" | "secret">;
  readonly #seed: number;
  #number = 0;

  constructor(order: Pick<S3Order, "host" | "port" | "id" | "secret">, seed: number) {
    this.#order = order;
    this.#seed = seed;
  }

  /** The node may have asked for the secret before it was there. */
  async begin(): Promise<void> {
    const giveUp = performance.now() + READY_MS_MAX;
    for (const path of ["/good", "/attacked"]) {
      while (true) {
        const { status, text } = await this.#send("PUT", path);
        if (status === 200) break;
        if (performance.now() > giveUp) throw new Error(`No bucket can be made: ${text}`);
        await new Promise((done) => setTimeout(done, 100));
      }
    }
  }

  /** Objects are put, got, listed and removed, one after the other: each time all goes well. */
  async work(ms: number): Promise<Latency> {
    const latencies: number[] = [], end = performance.now() + ms;
    while (performance.now() < end) {
      const n = this.#number++, path = `/good/objects/${n % 50}`;
      const body = new Uint8Array(n % LARGE_EACH === 0 ? LARGE_BYTES : 3000).fill(n);
      const began = performance.now();
      await this.#expect(200, "PUT", path, body);
      const { bytes } = await this.#expect(200, "GET", path);
      if (bytes.length !== body.length || bytes.some((byte) => byte !== body[0])) {
        this.#fail(`${path} has not the bytes that were put`);
      }
      const { text } = await this.#expect(200, "GET", "/good?list-type=2&prefix=objects%2F&max-keys=5");
      if (!text.includes("<Key>objects/")) this.#fail("a list does not show what was put");
      if (n % 5 === 0) await this.#expect(204, "DELETE", path);
      latencies.push((performance.now() - began) / 3);
      await new Promise((done) => setTimeout(done, 2));
    }
    latencies.sort((a, b) => a - b);
    const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))] ?? 0;
    return { operations: 3 * latencies.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  /** Nothing that was signed wrong, or cut off, is there. */
  async provesNothingForged(): Promise<void> {
    for (const key of ["forged", "forged2", "never"]) await this.#expect(404, "GET", `/attacked/${key}`);
  }

  async #expect(
    status: number,
    method: string,
    path: string,
    body?: Uint8Array<ArrayBuffer>,
  ): Promise<Answer> {
    const answer = await this.#send(method, path, body).catch((error: unknown) =>
      this.#fail(`${method} ${path} failed: ${error instanceof Error ? error.message : error}`)
    );
    if (answer.status !== status) {
      this.#fail(`${method} ${path} was answered ${answer.status}: ${answer.text.slice(0, 500)}`);
    }
    return answer;
  }

  async #send(method: string, path: string, body?: Uint8Array<ArrayBuffer>): Promise<Answer> {
    const { host, port, id, secret } = this.#order;
    const init = { id, secret, ...(body === undefined ? {} : { body }) };
    const headers = signed(method, path, `${host}:${port}`, init);
    const response = await fetch(`http://${host}:${port}${path}`, { method, headers, body: body ?? null });
    const bytes = await response.bytes();
    return {
      status: response.status,
      bytes,
      text: bytes.length > 100_000 ? "" : new TextDecoder().decode(bytes),
    };
  }

  #fail(what: string): never {
    throw new FuzzFailure("s3 port", this.#seed, new Uint8Array(0), `a well-behaved client: ${what}`);
  }
}

function attack(order: S3Order): Promise<S3AttackTotals> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./s3_attacks.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<S3AttackTotals>) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    worker.postMessage(order);
  });
}

async function memoryOf(client: Client): Promise<number> {
  return new Map((await client.status(client.home)).counters).get("memory bytes") ?? 0;
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

function check({ latency, memory }: S3PortTotals, seed: number): void {
  const fail = (what: string): never => {
    throw new FuzzFailure("s3 port", seed, new Uint8Array(0), what);
  };
  if (latency.during.max > LATENCY_MS_MAX) fail(`an operation took ${latency.during.max.toFixed(0)} ms`);
  const growth = memory.most - memory.before;
  if (growth > GROWTH_BYTES_MAX) fail(`the node's memory grew by ${(growth / MiB).toFixed(0)} MiB`);
}

export function s3PortReport({ attacks, latency, memory, ms }: S3PortTotals): string {
  const attacked = Object.entries(attacks).map(([name, { connections, closed, answers, sent }]) => [
    name,
    connections,
    closed,
    answers,
    Math.round(sent / 1024),
  ]);
  const latencies = Object.entries(latency).map(([when, { operations, p50, p99, max }]) => [
    when,
    operations,
    ...[p50, p99, max].map((value) => Number(value.toFixed(1))),
  ]);
  const mib = (bytes: number) => Math.round(bytes / MiB);
  return [
    `S3 port of a node of a private network: attacked for ${(ms / 1000).toFixed(0)} s`,
    table(["ATTACK", "CONNECTIONS", "CLOSED BY THE NODE", "ANSWERS", "SENT KIB"], attacked),
    table(["A GOOD CLIENT", "OPERATIONS", "P50 MS", "P99 MS", "MAX MS"], latencies),
    `Memory of the node: ${mib(memory.before)} MiB before, ${mib(memory.most)} at most`,
  ].join("\n");
}
