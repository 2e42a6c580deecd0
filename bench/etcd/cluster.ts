/** Three etcd processes on this machine with their own defaults, every write synced to disk, and load on them. */
import { join } from "node:path";
import { CLIENTS, type Rate, VALUE_BYTES } from "../cluster.ts";
import { freePorts, NotInstalled, outputOf, spawn } from "../external.ts";

const PACKAGES = "etcd-server etcd-client golang-go golang-etcd-server-dev";
const LOAD = "dist/etcdload";
const READY_MS_MAX = 15_000;
const GAP_WRITERS = 8;
const GAP_SECONDS = 6;
const KILL_AFTER_MS = 1000;

interface Member {
  readonly endpoint: string;
  readonly child: Deno.ChildProcess;
}

/** @throws {NotInstalled} where Go, the client's sources, etcd or etcdctl are missing */
export async function buildLoad(): Promise<void> {
  await Deno.mkdir("dist", { recursive: true });
  const env = { GO111MODULE: "off", GOPATH: "/usr/share/gocode", GOFLAGS: "-trimpath" };
  const args = ["build", "-o", LOAD, "bench/etcd/main.go"];
  try {
    await outputOf("go", { packages: PACKAGES, args, env, secondsMax: 300 });
  } catch (error) {
    const missing = error instanceof Error && error.message.includes("cannot find package");
    throw missing ? new NotInstalled("go.etcd.io/etcd/clientv3", PACKAGES) : error;
  }
  await outputOf("etcd", { packages: PACKAGES, args: ["--version"], secondsMax: 10 });
  await outputOf("etcdctl", { packages: PACKAGES, args: ["version"], secondsMax: 10 });
}

/** Starts three members in a temporary folder, and removes all of it afterwards. */
export async function withEtcd<T>(use: (members: readonly Member[]) => Promise<T>): Promise<T> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-etcd-" });
  const ports = freePorts(6);
  const names = ["a", "b", "c"];
  const peerUrl = (i: number) => `http://127.0.0.1:${ports[3 + i]}`;
  const cluster = names.map((name, i) => `${name}=${peerUrl(i)}`).join(",");
  const members: Member[] = [];
  try {
    for (const [i, name] of names.entries()) {
      const endpoint = `http://127.0.0.1:${ports[i]}`;
      const flags = {
        "name": name,
        "data-dir": join(directory, name),
        "listen-peer-urls": peerUrl(i),
        "initial-advertise-peer-urls": peerUrl(i),
        "listen-client-urls": endpoint,
        "advertise-client-urls": endpoint,
        "initial-cluster": cluster,
        "initial-cluster-state": "new",
        "logger": "zap",
        "log-level": "fatal",
      };
      const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`);
      members.push({
        endpoint,
        child: spawn("etcd", { packages: PACKAGES, args }, { stdout: "null", stderr: "null" }),
      });
    }
    await untilLed(members);
    return await use(members);
  } finally {
    await Promise.all(members.map(kill));
    await Deno.remove(directory, { recursive: true });
  }
}

export async function etcdRates(members: readonly Member[], seconds: number): Promise<Rate[]> {
  const rates: Rate[] = [];
  for (const clients of CLIENTS) {
    for (const operation of ["put", "get"] as const) {
      const { perSecond, p50Ms, p99Ms } = await load(members, operation, { clients, seconds });
      rates.push({ operation, clients, perSecond, p50: p50Ms, p99: p99Ms });
    }
  }
  return rates;
}

/** The longest time in milliseconds without any write done while the leader is killed. */
export async function etcdGap(members: readonly Member[]): Promise<number> {
  const leader = await leaderOf(members);
  if (leader === null) throw new Error("The etcd cluster has no leader to kill");
  const running = load(members, "gap", { clients: GAP_WRITERS, seconds: GAP_SECONDS });
  await new Promise((done) => setTimeout(done, KILL_AFTER_MS));
  await kill(leader);
  return (await running).gapMs;
}

/** What main.go prints: of a load the rates, of a gap the gap. */
interface Printed {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly gapMs: number;
}

async function load(
  members: readonly Member[],
  mode: "put" | "get" | "gap",
  { clients, seconds }: { clients: number; seconds: number },
): Promise<Printed> {
  const endpoints = members.map(({ endpoint }) => endpoint).join(",");
  const flags = { endpoints, clients, size: VALUE_BYTES, duration: `${seconds}s`, mode };
  const args = Object.entries(flags).map(([flag, value]) => `-${flag}=${value}`);
  return JSON.parse(await outputOf(LOAD, { packages: PACKAGES, args, secondsMax: seconds + 30 })) as Printed;
}

async function untilLed(members: readonly Member[]): Promise<void> {
  const giveUp = performance.now() + READY_MS_MAX;
  while (await leaderOf(members).catch(() => null) === null) {
    if (performance.now() > giveUp) throw new Error(`etcd had no leader within ${READY_MS_MAX / 1000} s`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

async function leaderOf(members: readonly Member[]): Promise<Member | null> {
  const endpoints = members.map(({ endpoint }) => endpoint).join(",");
  const args = [`--endpoints=${endpoints}`, "--write-out=json", "endpoint", "status"];
  const env = { ETCDCTL_API: "3" };
  const text = await outputOf("etcdctl", { packages: PACKAGES, args, env, secondsMax: 10 });
  // Member ids are larger than what a JavaScript number holds exactly.
  const statuses = JSON.parse(text.replace(/:(\d{12,})/g, ':"$1"')) as readonly {
    readonly Endpoint: string;
    readonly Status: { readonly leader?: string; readonly header: { readonly member_id: string } };
  }[];
  const led = statuses.find(({ Status: { leader, header } }) => leader === header.member_id);
  return members.find(({ endpoint }) => endpoint === led?.Endpoint) ?? null;
}

async function kill({ child }: Member): Promise<void> {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // It has ended already.
  }
  await child.status;
}
