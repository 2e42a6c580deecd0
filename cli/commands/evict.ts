/** `space-opera evict`: shuts a member out for good. */
import { Command } from "commander";
import { type NodeId, nodeId, SYSTEM_PARTITION } from "../../core/base/ids.ts";
import { isFormer } from "../../core/wire/members.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { NodeStatus } from "../../core/wire/requests.ts";
import type { Client } from "../client/client.ts";
import { RequestError } from "../client/errors.ts";
import { print, tell } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { untilCurrent } from "./keys.ts";
import { confirm, presentMembers, securityOf } from "./private.ts";

const LOOK_MS = 100;
/** A member that can be reached has the newest view within a second or two. */
const CUT_OFF_MS_MAX = 20_000;

interface EvictFlags extends ConnectFlags {
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly wait: boolean;
}

export function evictCommand(): Command {
  return withConnection(new Command("evict"))
    .description("shut a member out for good, make all invites void, and give the network new keys")
    .argument("<node>")
    .option("--yes", "do not ask")
    .option("--force", "though a partition loses its majority with it, and may lose acknowledged writes")
    .option("--no-wait", "do not wait until all members that can be reached have cut it off")
    .addHelpText(
      "after",
      `
Examples:
  space-opera evict d3
  space-opera evict d3 --yes --json

For a node that was stolen, or is not trusted any more. It never comes back under its key; its data is replicated
elsewhere. What it holds on its own disk it keeps, and what it knew till now it knows: new data is encrypted with keys
that it never had. A node that may come back is drained or removed instead. An operator's access key is needed.`,
    )
    .action((id: string, flags: EvictFlags) =>
      withClient(flags, (client) => evict(client, nodeId(id), flags))
    );
}

async function evict(client: Client, id: NodeId, flags: EvictFlags): Promise<void> {
  const { view } = await client.layout();
  securityOf(view);
  const member = view.members.find((m) => m.id === id);
  if (member === undefined) throw new Error(`No member is named "${id}"; see: space-opera members`);
  if (flags.yes !== true && !confirm(`Shut node "${id}" at ${member.address} out for good?`)) {
    throw new Error("Nothing was changed");
  }
  warnOfOnlyCopies(view, id);
  const voters = await systemVoters(client, id);
  const version = await client.evict(id, { force: flags.force === true });
  if (2 * voters.left.length <= voters.all) return standsStill(id, version, voters, flags);
  const generation = securityOf(await viewOf(client, version)).keys.at(-1)!.id;
  const silent = flags.wait ? await untilCutOff(client, version) : null;
  if (!flags.json) print(evictedText(id, silent));
  const current = flags.wait ? await untilCurrent(client, generation) : false;
  if (flags.json) print(JSON.stringify({ node: id, state: "evicted", version, silent, generation, current }));
}

interface SystemVoters {
  /** How many vote on the network's own state. */
  readonly all: number;
  /** Those of them who can when the node is out. */
  readonly left: readonly NodeId[];
}

/** As the leader of the system partition counts them, or the layout where it cannot be asked. */
async function systemVoters(client: Client, id: NodeId): Promise<SystemVoters> {
  const { view, leaders } = await client.layout();
  const leader = leaders[SYSTEM_PARTITION] ?? null;
  const counted = leader === null ? undefined : (await statusOf(client, leader))?.replicas
    .find(({ partition, role }) => partition === SYSTEM_PARTITION && role === "leader");
  const voters = counted?.voters ?? view.assignment[SYSTEM_PARTITION] ?? [];
  const key = view.members.find((m) => m.id === id)?.identity?.key;
  const goes = new Set(
    view.members
      .filter((m) => m.id === id || isFormer(m.state) || (key !== undefined && m.identity?.key === key))
      .map((m) => m.id),
  );
  const dead = new Set((await client.members()).filter((m) => m.liveness === "dead").map((m) => m.id));
  return { all: voters.length, left: voters.filter((node) => !goes.has(node) && !dead.has(node)) };
}

/** Nothing more can be waited for: neither new keys nor another layout can be agreed on. */
function standsStill(id: NodeId, version: number, { all, left }: SystemVoters, { json }: EvictFlags): void {
  if (json) {
    const said = { silent: null, generation: null, current: false };
    print(JSON.stringify({ node: id, state: "evicted", version, ...said }));
  } else print(evictedText(id, null));
  throw new Error(
    `Without node "${id}" ${left.length} of the ${all} members that agree on the network's own state are left, and no ` +
      `majority: nothing can be agreed on, so there will be no new keys, and its data is not replicated elsewhere. Stop ` +
      `the nodes that are left, and go on with them: space-opera recover --help`,
  );
}

/** Whoever answers may be behind. */
async function viewOf(client: Client, version: number): Promise<SystemView> {
  for (;; await pause()) {
    const { view } = await client.layout();
    if (view.version >= version) return view;
  }
}

/**
 * Waits until the members have heard of the eviction that made the view of `version`. Returns those that did not say so
 * within CUT_OFF_MS_MAX: they cannot be reached.
 */
export async function untilCutOff(client: Client, version: number): Promise<readonly NodeId[]> {
  const present = presentMembers(await viewOf(client, version)).map((m) => m.id);
  const dead = new Set((await client.members()).filter((m) => m.liveness === "dead").map((m) => m.id));
  const away = present.filter((node) => dead.has(node));
  const waiting = new Set(present.filter((node) => !dead.has(node)));
  for (const giveUp = performance.now() + CUT_OFF_MS_MAX; waiting.size > 0; await pause()) {
    await Promise.all([...waiting].map(async (node) => {
      if (await knows(client, node, version)) waiting.delete(node);
    }));
    if (performance.now() < giveUp) continue;
    away.push(...waiting);
    break;
  }
  for (const node of away) tell(`Node "${node}" cannot be reached; it hears of it when it is back`);
  return away;
}

/** A host cuts off who is evicted as soon as its view says so. */
async function knows(client: Client, node: NodeId, version: number): Promise<boolean> {
  const status = await statusOf(client, node);
  return status !== null && status.view >= version;
}

/** null where it does not answer. */
async function statusOf(client: Client, node: NodeId): Promise<NodeStatus | null> {
  try {
    return await client.status(node);
  } catch (error) {
    if (error instanceof RequestError) return null;
    throw error;
  }
}

function evictedText(id: NodeId, silent: readonly NodeId[] | null): string {
  if (silent === null) return `Node "${id}" is evicted; members hear of it one after the other`;
  if (silent.length === 0) return `Node "${id}" is evicted, and every member has cut it off`;
  return `Node "${id}" is evicted; every member but ${silent.join(", ")} has cut it off`;
}

/** Nothing replicates elsewhere what one node alone has. */
function warnOfOnlyCopies({ assignment }: SystemView, id: NodeId): void {
  const alone = assignment.filter((replicas) => replicas.length === 1 && replicas[0] === id).length;
  if (alone > 0) {
    tell(`Node "${id}" alone holds ${alone} partitions (one replica): their data is lost with it`);
  }
}

function pause(): Promise<void> {
  return new Promise((done) => setTimeout(done, LOOK_MS));
}
