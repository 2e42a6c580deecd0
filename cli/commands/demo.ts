import { createHash } from "node:crypto";
import { join } from "node:path";
import { Command } from "commander";
import type { NodeId } from "../../core/base/ids.ts";
import { parseSky, type Star } from "../../sim/sky.ts";
import { type Client, connect, type ConnectOptions } from "../client/client.ts";
import { ConnectError, RequestError } from "../client/errors.ts";
import { fixture } from "../fixtures.ts";
import { Credentials, makeAccessKey } from "../host/identity/access_key.ts";
import { connectTo, NodeProcess, startThree } from "../processes.ts";
import { untilSettled } from "../settled.ts";
import { print, styled, table, tell } from "../terminal.ts";
import { untilCutOff } from "./evict.ts";
import { importStars } from "./import.ts";
import { untilCurrent } from "./keys.ts";
import { securityOf } from "./private.ts";

const FORM_MS_MAX = 20_000;
const FAILOVER_MS_MAX = 15_000;
const POLL_MS = 20;
const STRANGER_MS_MAX = 2_000;

/** `space-opera demo`: a network that survives a loss, on this machine, in under a minute. */
export function demoCommand(): Command {
  return new Command("demo")
    .description(
      "a private network of three node processes: a star catalogue in, one killed, every star still there",
    )
    .option("--json", "print what was measured as JSON")
    .addHelpText(
      "after",
      "\nExample:\n  space-opera demo\n\nEverything is in a temporary folder that is removed at the end.",
    )
    .action((flags: { json?: boolean }) => demo(flags.json === true));
}

async function demo(json: boolean): Promise<void> {
  const stars = parseSky(await Deno.readTextFile(fixture("sky/bright.csv")));
  const directory = await Deno.makeTempDir({ prefix: "space-opera-demo-" });
  const nodes: NodeProcess[] = [];
  const clean = once(async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await Deno.remove(directory, { recursive: true });
  });
  const interrupted = () => void clean().finally(() => Deno.exit(1));
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, interrupted);
  try {
    const measured = await show(directory, nodes, stars);
    if (json) print(JSON.stringify(measured));
  } finally {
    await clean();
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, interrupted);
  }
}

function once(action: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | null = null;
  return () => done ??= action();
}

interface Measured {
  readonly stars: number;
  readonly importSeconds: number;
  readonly writeGapMs: number;
  readonly newLeadersMs: number;
  readonly cutOffMs: number;
  readonly rotatedMs: number;
  readonly digest: string;
}

async function show(directory: string, nodes: NodeProcess[], stars: readonly Star[]): Promise<Measured> {
  heading("A private network of three nodes, each a process with a folder of its own");
  const cluster = await startThree(directory);
  nodes.push(...cluster.nodes);
  const profile = cluster.profile!;
  for (const node of nodes) {
    const how = node === nodes[0] ? "founded it" : "was let in by an invite";
    tell(`  ${node.ready.node} at ${node.address} ${how}, ready in ${ms(node.startMs)}, process ${node.pid}`);
  }
  using client = await connectTo(cluster);
  await untilSettled(client, { members: 3, msMax: FORM_MS_MAX });
  tell(leadersTable(await leadersOf(client)));

  heading("Strangers stay out");
  const addresses = nodes.map((node) => node.address);
  await showStranger("without a key", { addresses });
  const { id, secret } = makeAccessKey();
  await showStranger("with a key of its own making", {
    profile: { ...profile, access: new Credentials({ id, secret }) },
  });

  heading(`${stars.length} stars that the naked eye can see`);
  const importSeconds = await importStars(client, stars);
  for (const name of ["Sirius", "Betelgeuse", "Polaris"]) await showStar(client, stars, name);
  const before = await digestOf(client);
  tell(`  ${before.count} records, digest ${before.digest.slice(0, 16)}`);

  const leaders = await leadersOf(client);
  const victim = nodes.find((node) => node.ready.node === busiest(leaders))!;
  heading(
    `Node ${victim.ready.node} leads ${
      leaders.filter((l) => l === victim.ready.node).length
    } partitions: kill -9 ${victim.pid}`,
  );
  const { writeGapMs, newLeadersMs } = await killAndWatch(client, victim, leaders);
  tell(
    `  every write went on within ${writeGapMs} ms, every partition had its new leader within ${newLeadersMs} ms`,
  );
  tell(leadersTable(await leadersOf(client)));

  heading("Is every star still there?");
  const after = await digestOf(client);
  if (after.count !== before.count || after.digest !== before.digest) {
    throw new Error(
      `Records were lost: ${before.count} with digest ${before.digest} before, ${after.count} with ${after.digest} after`,
    );
  }
  tell(
    `  ${styled("green", "yes")}: ${after.count} records, digest ${
      after.digest.slice(0, 16)
    }, the same as before`,
  );

  heading(`${victim.ready.node} comes back on its data`);
  const again = await NodeProcess.start({
    id: victim.ready.node,
    data: join(directory, victim.ready.node),
    listen: victim.address,
  });
  nodes[nodes.indexOf(victim)] = again;
  await untilSettled(client, { members: 3, msMax: FORM_MS_MAX });
  tell(`  ready in ${ms(again.startMs)}, and it leads again`);
  tell(leadersTable(await leadersOf(client)));

  const { cutOffMs, rotatedMs } = await showEviction(client, nodes);
  await Promise.all(nodes.map((node) => node.stop()));
  return {
    stars: after.count,
    importSeconds,
    writeGapMs,
    newLeadersMs,
    cutOffMs,
    rotatedMs,
    digest: after.digest,
  };
}

function ms(time: number): string {
  return `${Math.round(time)} ms`;
}

/** @throws {Error} where it is let in */
async function showStranger(how: string, options: ConnectOptions): Promise<void> {
  try {
    using client = await connect({ ...options, timeoutMs: STRANGER_MS_MAX });
    await client.get("star/32349");
  } catch (error) {
    if (!(error instanceof ConnectError || error instanceof RequestError)) throw error;
    return tell(`  ${how}: ${error.message}`);
  }
  throw new Error(`A client ${how} was let into a private network`);
}

/** Shuts out a node, which loses nothing: the others have all the data. */
async function showEviction(
  client: Client,
  nodes: readonly NodeProcess[],
): Promise<{ cutOffMs: number; rotatedMs: number }> {
  const evicted = nodes.find((node) => node.ready.node !== client.home)!.ready.node as NodeId;
  heading(`${evicted} is shut out for good`);
  const began = performance.now();
  const version = await client.evict(evicted);
  const silent = await untilCutOff(client, version);
  if (silent.length > 0) throw new Error(`Nodes ${silent.join(", ")} did not hear of it`);
  const cutOffMs = Math.round(performance.now() - began);
  const { keys } = securityOf((await client.layout()).view);
  tell(`  every member has cut it off within ${cutOffMs} ms`);
  if (!await untilCurrent(client, keys.at(-1)!.id)) throw new Error("The network got no new keys");
  const rotatedMs = Math.round(performance.now() - began);
  tell(`  new keys, which it never had, after ${rotatedMs} ms`);
  return { cutOffMs, rotatedMs };
}

function heading(text: string): void {
  tell(`\n${styled("bold", text)}`);
}

type Leaders = readonly (NodeId | null)[];

async function leadersOf(client: Client): Promise<Leaders> {
  return (await client.layout()).leaders;
}

function leadersTable(leaders: Leaders): string {
  const counts = new Map<string, number>();
  for (const leader of leaders) counts.set(leader ?? "-", (counts.get(leader ?? "-") ?? 0) + 1);
  const rows = [...counts].sort(([a], [b]) => a < b ? -1 : 1).map((
    [node, count],
  ) => [`  ${node}`, count, "▪".repeat(count)]);
  return table(["  NODE", "LEADS", ""], rows);
}

function busiest(leaders: Leaders): NodeId {
  const counts = new Map<NodeId, number>();
  for (const leader of leaders) if (leader !== null) counts.set(leader, (counts.get(leader) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]![0];
}

async function showStar(client: Client, stars: readonly Star[], name: string): Promise<void> {
  const star = stars.find((candidate) => candidate.name === name);
  if (star === undefined) return;
  const key = `star/${star.hip}`;
  const found = await client.get(key);
  tell(`  ${key.padEnd(12)} ${found === null ? "not found" : new TextDecoder().decode(found.value!)}`);
}

async function digestOf(client: Client): Promise<{ count: number; digest: string }> {
  const hash = createHash("sha256");
  let count = 0;
  for await (const { key, value } of client.range({ prefix: "star/" })) {
    hash.update(key).update("\0").update(value!);
    count++;
  }
  return { count, digest: hash.digest("hex") };
}

/** Kills `victim` while writers write all over the network, and measures how long they and the leaders take. */
async function killAndWatch(
  client: Client,
  victim: NodeProcess,
  before: Leaders,
): Promise<{ writeGapMs: number; newLeadersMs: number }> {
  let writing = true;
  let gap = 0;
  const writers = Array.from({ length: 32 }, async (_, i) => {
    for (let last = performance.now(); writing; last = performance.now()) {
      await client.put(`demo/${i}`, new Date().toISOString());
      gap = Math.max(gap, performance.now() - last);
    }
  });
  const killed = performance.now();
  await victim.kill();
  const lost = before.flatMap((leader, partition) => leader === victim.ready.node ? [partition] : []);
  for (;;) {
    const leaders = await leadersOf(client);
    if (lost.every((p) => leaders[p] !== null && leaders[p] !== victim.ready.node)) break;
    if (performance.now() - killed > FAILOVER_MS_MAX) throw new Error("Some partitions found no new leader");
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  const newLeadersMs = Math.round(performance.now() - killed);
  await new Promise((done) => setTimeout(done, 500));
  writing = false;
  await Promise.all(writers);
  return { writeGapMs: Math.round(gap), newLeadersMs };
}
