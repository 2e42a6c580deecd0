/** What is looked at when the faults are over: whether the network is whole, and what each replica holds. */
import { createHash } from "node:crypto";
import type { NodeId, PartitionId } from "../../core/base/ids.ts";
import type { RangeOp, Response } from "../../core/wire/requests.ts";
import type { Client } from "../../cli/client/client.ts";
import type { ClientDriver } from "../../cli/client/driver.ts";
import type { Replica } from "./history_file.ts";
import type { NodeProcess } from "./processes.ts";
import type { Reach } from "./reach.ts";

const POLL_MS = 200;
const ASK_MS_MAX = 5000;
const WAITING_MS = 10_000;

/**
 * Waits until every process is a member that all members see alive, and each partition has a leader and the voters
 * of its layout. Returns null, or after `msMax` what is still missing; `waiting` hears of it meanwhile.
 */
export async function untilWhole(
  nodes: readonly NodeProcess[],
  { reach, msMax, waiting }: {
    readonly reach: Reach;
    readonly msMax: number;
    readonly waiting: (missing: string) => void;
  },
): Promise<string | null> {
  const began = performance.now(), giveUp = began + msMax;
  let toldAt = began;
  for (let missing = "an answer";; await delay(POLL_MS)) {
    try {
      using client = await reach.connect({ timeoutMs: ASK_MS_MAX });
      for (;; await delay(POLL_MS)) {
        const lacking = await whatIsMissing(client, nodes);
        if (lacking === null) return null;
        missing = lacking;
        if (performance.now() > giveUp) return missing;
        if (performance.now() < toldAt + WAITING_MS) continue;
        toldAt = performance.now();
        waiting(missing);
      }
    } catch (error) {
      missing = error instanceof Error ? error.message : String(error);
      if (performance.now() > giveUp) return missing;
    }
  }
}

async function whatIsMissing(client: Client, nodes: readonly NodeProcess[]): Promise<string | null> {
  const { view } = await client.layout();
  const active = view.members.filter(({ state }) => state === "active");
  for (const { address, name } of nodes) {
    if (!active.some((member) => member.address === address)) return `node "${name}" is no active member`;
  }
  if (active.length !== nodes.length) return `${active.length} members are active, not ${nodes.length}`;
  for (const { id } of active) {
    const seen = await client.members(id);
    const dead = seen.find(({ state, liveness }) => state === "active" && liveness !== "alive");
    if (dead !== undefined) return `member "${dead.id}" is ${dead.liveness} to "${id}"`;
  }
  return await whatIsUnsettled(client);
}

/**
 * In words, what a partition lacks: a leader, or the voters of its layout. Which of them leads does not matter: a leader
 * that has tried in vain to hand over to the preferred one keeps on, by design.
 */
async function whatIsUnsettled(client: Client): Promise<string | null> {
  const { view, leaders } = await client.layout();
  const joining = view.members.find(({ state }) => state === "joining");
  if (joining !== undefined) return `member "${joining.id}" is joining`;
  for (const [partition, replicas] of view.assignment.entries()) {
    const leader = leaders[partition] ?? null;
    if (replicas.length === 0) return `partition ${partition} is not placed`;
    if (leader === null || !replicas.includes(leader)) {
      return `partition ${partition} is led by ${leader}, not by one of ${replicas}`;
    }
  }
  for (const leader of new Set(leaders)) {
    const status = await client.status(leader!);
    for (const { partition, role, voters, learners } of status.replicas) {
      if (role !== "leader") continue;
      const wanted = view.assignment[partition] ?? [];
      if (
        learners.length === 0 && voters.length === wanted.length &&
        wanted.every((node) => voters.includes(node))
      ) {
        continue;
      }
      return `partition ${partition} has the voters ${voters} and the learners ${learners}, not ${wanted}`;
    }
  }
  return null;
}

/**
 * What each replica of each partition holds, asked at its own node. Followers may be a moment behind their leader:
 * asked again until replicas agree, for as long as `msMax`.
 */
export async function readReplicas(reach: Reach, msMax: number): Promise<Replica[]> {
  const giveUp = performance.now() + msMax;
  using client = await reach.connect({ timeoutMs: ASK_MS_MAX });
  const driver = reach.driver({ timeoutMs: ASK_MS_MAX });
  try {
    await driver.ready();
    const { view } = await client.layout();
    const replicas: Replica[] = [];
    for (let partition = 1; partition <= view.settings.partitions; partition++) {
      const holders = view.assignment[partition] ?? [];
      for (;; await delay(POLL_MS)) {
        const read = await Promise.all(
          holders.map((node) => readReplica(driver, node, partition as PartitionId)),
        );
        const equal = read.every(({ hash }) => hash === read[0]!.hash);
        if (!equal && performance.now() < giveUp) continue;
        replicas.push(...read);
        break;
      }
    }
    return replicas;
  } finally {
    driver.close();
  }
}

/** @throws {Error} when the node does not answer */
async function readReplica(driver: ClientDriver, node: NodeId, partition: PartitionId): Promise<Replica> {
  const hash = createHash("sha256");
  let keys = 0;
  for (let start: string | null = ""; start !== null;) {
    const op: RangeOp = {
      kind: "range",
      start,
      end: null,
      limit: 500,
      reverse: false,
      keysOnly: false,
      read: "stale",
      partition,
    };
    const page: Response = await new Promise((resolve) => driver.submit(op, resolve, { node }));
    if (page.kind !== "values") {
      const why = page.kind === "refused" ? page.message : page.kind;
      throw new Error(`Node "${node}" did not tell what its replica of partition ${partition} holds: ${why}`);
    }
    for (const { key, value, version } of page.items) {
      hash.update(`${key}\0${version.term}.${version.index}\0${value!.length}\0`);
      hash.update(value!);
    }
    keys += page.items.length;
    start = page.next;
  }
  return { type: "replica", node, partition, keys, hash: hash.digest("hex").slice(0, 16) };
}

/** Lines of a node's log that no node may write, whatever happens to it. */
export async function wrongLogLines(log: string): Promise<string[]> {
  const text = await Deno.readTextFile(log);
  return text.split("\n").filter((line) => WRONG.test(line));
}

const WRONG = new RegExp([
  "A rule of the core was found broken",
  "InvariantError",
  "TypeError",
  "RangeError",
  "ReferenceError",
  "Cannot read properties of",
  "[Uu]ncaught",
  "panicked",
  "The recording of this life ends",
].join("|"));

function delay(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
