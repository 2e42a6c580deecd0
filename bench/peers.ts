/**
 * `deno task bench:peers [--rounds N] [--seconds N] [--open] [--json]`: our cluster of three next to three etcd processes
 * on the same machine, with every write synced to disk on a majority, in rounds that alternate; medians count. For reference
 * one redis-server that syncs every write, where there is one. What is not installed is named and left out.
 *
 * Ours is a private network, with TLS and encryption at rest, unless --open is given; the others have neither.
 *
 * Load: puts and linearizable gets of 256 bytes by 1, 16, 64 and 256 clients that each wait for an answer before they
 * ask again. Gap: eight writers while a leader is killed. etcd's is the longest time without any write done. Ours is
 * measured twice: the same way, and as the slowest single write, since each partition has a leader of its own.
 */
import { parseArgs } from "node:util";
import { table } from "../cli/terminal.ts";
import { CLIENTS, measureGap, measureRates, type Rate, withCluster } from "./cluster.ts";
import { buildLoad, etcdGap, etcdRates, withEtcd } from "./etcd/cluster.ts";
import { median, NotInstalled } from "./external.ts";
import { redisRates } from "./redis.ts";

/** Of one system: what each round measured. */
interface Results {
  readonly rates: Rate[][];
  readonly gapMs: number[];
  readonly slowestWriteMs: number[];
}

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "2" },
    open: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const rounds = positive("--rounds", flags.rounds), seconds = positive("--seconds", flags.seconds);

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`Option ${name} takes an integer of at least 1, not "${text}"`);
  Deno.exit(2);
}

/** Of load before what counts: fresh processes of ours compile their code as they run it. etcd gets the same. */
const WARM_SECONDS = 0.5;

/** Whether it could be done; says so on stderr where something is not installed. */
async function whereInstalled(action: () => Promise<void>): Promise<boolean> {
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof NotInstalled)) throw error;
    console.error(error.message);
    return false;
  }
}

async function measureOurs(into: Results): Promise<void> {
  await withCluster(async (client, nodes) => {
    await measureRates(client, WARM_SECONDS);
    into.rates.push(await measureRates(client, seconds));
    const { all, each } = await measureGap(client, nodes);
    into.gapMs.push(all);
    into.slowestWriteMs.push(each);
  }, { open: flags.open });
}

async function measureEtcd(into: Results): Promise<void> {
  await withEtcd(async (members) => {
    await etcdRates(members, WARM_SECONDS);
    into.rates.push(await etcdRates(members, seconds));
    into.gapMs.push(await etcdGap(members));
  });
}

const empty = (): Results => ({ rates: [], gapMs: [], slowestWriteMs: [] });
const ours = empty(), etcd = empty(), redis = empty();
const hasEtcd = await whereInstalled(buildLoad);
let hasRedis = true;
for (let round = 1; round <= rounds; round++) {
  await measureOurs(ours);
  if (hasEtcd) await measureEtcd(etcd);
  if (hasRedis) hasRedis = await whereInstalled(async () => void redis.rates.push(await redisRates()));
  console.error(`round ${round} of ${rounds}`);
}

/** The median over the rounds of one figure. */
function figure(results: Results, wanted: Pick<Rate, "operation" | "clients">, of: (rate: Rate) => number) {
  const found = results.rates.flat().filter((rate) =>
    rate.operation === wanted.operation && rate.clients === wanted.clients
  );
  return found.length === 0 ? null : median(found.map(of));
}

const cell = (value: number | null, digits = 0) => value === null ? "-" : Number(value.toFixed(digits));
const ratio = (one: number | null, other: number | null) =>
  one === null || other === null ? "-" : Number((one / other).toFixed(2));

function ratesTable(): string {
  const rows = (["put", "get"] as const).flatMap((operation) =>
    CLIENTS.map((clients) => {
      const perSecond = [ours, etcd, redis].map((results) =>
        figure(results, { operation, clients }, (rate) => rate.perSecond)
      );
      const latencies = [ours, etcd].flatMap((results) => [
        figure(results, { operation, clients }, (rate) => rate.p50),
        figure(results, { operation, clients }, (rate) => rate.p99),
      ]);
      const [own = null, theirs = null, reference = null] = perSecond;
      const rates = [cell(own), cell(theirs), ratio(own, theirs)];
      return [operation, clients, ...rates, ...latencies.map((value) => cell(value, 2)), cell(reference)];
    })
  );
  const latencies = ["OURS P50 MS", "P99 MS", "ETCD P50 MS", "P99 MS"];
  return table(["OPERATION", "CLIENTS", "OURS/S", "ETCD/S", "RATIO", ...latencies, "REDIS/S"], rows);
}

function gapTable(): string {
  const over = (values: readonly number[]) => values.length === 0 ? null : median(values);
  const rows = [
    [
      "no write at all, ms",
      cell(over(ours.gapMs)),
      cell(over(etcd.gapMs)),
      ratio(over(ours.gapMs), over(etcd.gapMs)),
    ],
    ["slowest write, ms", cell(over(ours.slowestWriteMs)), "-", "-"],
  ];
  return table(["SIGKILL OF A LEADER", "OURS", "ETCD", "RATIO"], rows);
}

if (flags.json) console.log(JSON.stringify({ rounds, seconds, ours, etcd, redis }));
else console.log(`${ratesTable()}\n\n${gapTable()}`);
