/** One redis-server that syncs every write to disk, under the load of redis-benchmark. One copy, no agreement. */
import { CLIENTS, type Rate, VALUE_BYTES } from "./cluster.ts";
import { freePorts, outputOf, spawn } from "./external.ts";

const PACKAGES = "redis-server redis-tools";
const READY_MS = 1000;
/** Operations of a run, about a second's worth. */
const OPERATIONS = { one: 5000, many: 50_000 };
const KEYS = 1000;

/** @throws {NotInstalled} where Redis is missing */
export async function redisRates(): Promise<Rate[]> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-redis-" });
  const port = freePorts(1)[0]!;
  const flags = [
    "--port",
    port,
    "--bind",
    "127.0.0.1",
    "--dir",
    directory,
    "--save",
    "",
    "--appendonly",
    "yes",
  ];
  const args = [...flags, "--appendfsync", "always"].map(String);
  try {
    const child = spawn("redis-server", { packages: PACKAGES, args }, { stdout: "null", stderr: "null" });
    try {
      await new Promise((done) => setTimeout(done, READY_MS));
      const rates: Rate[] = [];
      for (const clients of CLIENTS) rates.push(...await benchmark(port, clients));
      return rates;
    } finally {
      child.kill("SIGKILL");
      await child.status;
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function benchmark(port: number, clients: number): Promise<Rate[]> {
  const operations = clients === 1 ? OPERATIONS.one : OPERATIONS.many;
  const load = ["-c", clients, "-n", operations, "-d", VALUE_BYTES, "-r", KEYS, "-t", "set,get", "--csv"];
  const args = ["-h", "127.0.0.1", "-p", port, ...load].map(String);
  const text = await outputOf("redis-benchmark", { packages: PACKAGES, args, secondsMax: 60 });
  // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms",…
  const [head, ...lines] = text.trim().split("\n").map((line) => line.replaceAll('"', "").split(","));
  const column = (name: string) => head!.indexOf(name);
  return lines.map((line) => ({
    operation: line[column("test")] === "SET" ? "put" : "get",
    clients,
    perSecond: Number(line[column("rps")]),
    p50: Number(line[column("p50_latency_ms")]),
    p99: Number(line[column("p99_latency_ms")]),
  }));
}
