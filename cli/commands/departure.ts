/** How members leave a network: drained, which moves everything off first, or removed, which is for the dead. */
import { Command } from "commander";
import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { isFormer } from "../../core/wire/members.ts";
import type { SystemView } from "../../core/wire/messages.ts";
import type { NodeStatus } from "../../core/wire/requests.ts";
import type { Client } from "../client/client.ts";
import { RequestError } from "../client/errors.ts";
import { print, tell } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";

const LOOK_MS = 200;

interface DrainFlags extends ConnectFlags {
  readonly wait: boolean;
  readonly cancel?: boolean;
}

/** `space-opera drain`: moves everything off a node, so that it can go. */
export function drainCommand(): Command {
  return withConnection(new Command("drain"))
    .description("move everything off a node, and wait until nothing of it is needed any more")
    .argument("<node>")
    .option("--no-wait", "do not wait")
    .option("--cancel", "take a node back that is draining, drained or removed")
    .addHelpText(
      "after",
      `
Examples:
  space-opera drain d3
  space-opera drain d3 --cancel

A drained node may be stopped, and stays out when it starts again. Interrupted, the command goes on where it was
when it is given again; the network goes on in any case.`,
    )
    .action((id: string, flags: DrainFlags) =>
      withClient(flags, async (client) => {
        const state = flags.cancel === true
          ? await takeBack(client, nodeId(id))
          : await drain(client, nodeId(id), flags);
        if (flags.json) return print(JSON.stringify({ node: id, state }));
        print(`Node "${id}" ${SAID[state]}`);
      })
    );
}

/** How a command has left a node. */
const SAID = {
  draining: "is draining",
  drained: "is drained: it holds nothing, and no partition counts on it. It may be stopped",
  active: "is active again",
  joining: "is taken back: it becomes active once it runs",
} as const;

async function drain(
  client: Client,
  id: NodeId,
  { wait }: { wait: boolean },
): Promise<"draining" | "drained"> {
  const { view } = await client.layout();
  const state = stateOf(view, id);
  if (state === "gone") {
    throw new Error(
      `Node "${id}" is gone, and holds nothing that could be moved. To keep it from coming back: ` +
        `space-opera remove ${id}`,
    );
  }
  let since = view.version;
  if (state !== "draining" && state !== "removed") {
    warnOfFewCopies(view, id);
    since = await client.setState(id, "draining");
  }
  if (!wait && state !== "removed") return "draining";
  await untilUnneeded(client, id, since);
  return "drained";
}

function warnOfFewCopies({ members, settings }: SystemView, id: NodeId): void {
  const left = members.filter((m) => m.state === "active" && m.id !== id).length;
  const known = members.some((member) => member.id === id);
  if (!known || left === 0 || left >= settings.replicas) return;
  tell(
    `Without "${id}" the network has ${left} active ${
      left === 1 ? "member" : "members"
    }: each record will have ${left} of its ` +
      `${settings.replicas} copies`,
  );
}

/** Nobody would understand it, and it nobody: what it was given to hold would never come. */
function checkHasKeys({ members, security }: SystemView, id: NodeId): void {
  const holds = members.find((member) => member.id === id)?.identity?.holds;
  if (security === null || holds === undefined || holds >= security.keys[0]!.id) return;
  throw new Error(
    `Node "${id}" cannot be taken back: the newest keys that it has are of generation ${holds}, which the network has ` +
      `forgotten since. Let its machine join as a new node: on an empty --data, under a new --id, with an invite`,
  );
}

async function takeBack(client: Client, id: NodeId): Promise<"active" | "joining"> {
  const { view } = await client.layout();
  checkHasKeys(view, id);
  const state = stateOf(view, id);
  if (state === "active" || state === "joining") {
    throw new Error(`Node "${id}" is ${state}: there is nothing to take back`);
  }
  const next = state === "removed" ? "joining" : "active";
  await client.setState(id, next);
  return next;
}

/**
 * Waits until `id` has left, holds nothing, and no partition's leader counts on it any more. Whoever answers may be behind:
 * what is older than the view of version `since` says nothing.
 */
async function untilUnneeded(client: Client, id: NodeId, since: number): Promise<void> {
  for (let told = "";; await new Promise((done) => setTimeout(done, LOOK_MS))) {
    const { view } = await client.layout();
    if (view.version < since) continue;
    const state = stateOf(view, id);
    if (state !== null && state !== "draining" && !isFormer(state)) {
      throw new Error(`Node "${id}" is ${state}: the drain was cancelled by someone`);
    }
    const { held, knows, needed, unknown } = await counting(client, view, id);
    const left = state === null || isFormer(state);
    if (left && held === 0 && knows && needed === 0 && unknown.length === 0) return;
    const holds = held === null ? "does not answer" : `holds ${held} replicas`;
    const lost = unknown.length === 0 ? "" : `, no leader answers for ${unknown.join(" ")}`;
    const line = `Node "${id}" ${holds}, ${needed} partitions count on it${lost}`;
    if (left && held === null && needed === 0 && unknown.length === 0) {
      return tell(`Node "${id}" does not answer; no partition counts on it any more`);
    }
    if (line !== told) tell(line);
    told = line;
  }
}

interface Counting {
  /** Replicas that the node itself says it holds; null where it does not answer. */
  readonly held: number | null;
  /** It has heard itself that it has left. */
  readonly knows: boolean;
  /** Partitions whose leaders have it in their configuration, on the way in or out included. */
  readonly needed: number;
  /** Partitions whose leaders did not answer. */
  readonly unknown: readonly number[];
}

/** Asks everyone: the layout says only what is wished, and the node itself does not know who still counts on it. */
async function counting(client: Client, view: SystemView, id: NodeId): Promise<Counting> {
  const asked = view.members.filter((m) => m.id === id || !isFormer(m.state)).map((m) => m.id);
  const answers = await Promise.all(asked.map((node) => statusOf(client, node)));
  const leading = new Map<number, NodeStatus["replicas"][number]>();
  for (const replica of answers.flatMap((status) => status?.replicas ?? [])) {
    const known = leading.get(replica.partition);
    if (replica.role !== "leader" || (known !== undefined && known.term > replica.term)) continue;
    leading.set(replica.partition, replica);
  }
  const counts = [...leading.values()].filter(({ voters, learners }) =>
    voters.includes(id) || learners.includes(id)
  );
  const own = answers[asked.indexOf(id)] ?? null;
  return {
    knows: own === null || own.state === "outside" || own.state === "removed" || own.state === "gone",
    held: own?.replicas.length ?? (stateOf(view, id) === null ? 0 : null),
    needed: counts.length,
    unknown: view.assignment.map((_, partition) => partition).filter((p) => !leading.has(p)),
  };
}

/** null where the node does not answer, or is down for trouble with its disk and knows nothing. */
async function statusOf(client: Client, node: NodeId): Promise<NodeStatus | null> {
  try {
    const status = await client.status(node);
    return status.state === "down" ? null : status;
  } catch (error) {
    if (error instanceof RequestError) return null;
    throw error;
  }
}

/** null: no member has this name, or no more. */
function stateOf(view: SystemView, id: NodeId): SystemView["members"][number]["state"] | null {
  return view.members.find((member) => member.id === id)?.state ?? null;
}

/** Nothing replicates elsewhere what one node alone has. */
function warnOfOnlyCopies({ assignment }: SystemView, id: NodeId): void {
  const alone = assignment.filter((replicas) => replicas.length === 1 && replicas[0] === id).length;
  if (alone === 0) return;
  tell(
    `Node "${id}" alone holds ${alone} partitions (one replica): their data is lost with it. If its disk is left, ` +
      `drain it instead: space-opera drain ${id}`,
  );
}

/** `space-opera remove`: takes nodes out of the network for good. */
export function removeCommand(): Command {
  return withConnection(new Command("remove"))
    .description("take nodes that are gone for good out of the network; their data is replicated elsewhere")
    .argument("<node...>")
    .option("--force", "though it is alive, or was until just now")
    .addHelpText(
      "after",
      `
Examples:
  space-opera remove d3
  space-opera remove d3 d4 --force

A removed node stays out when it starts again. To take it back: space-opera drain d3 --cancel`,
    )
    .action((ids: string[], flags: ConnectFlags & { force?: boolean }) =>
      withClient(flags, async (client) => {
        for (const id of ids) {
          warnOfOnlyCopies((await client.layout()).view, nodeId(id));
          await client.setState(nodeId(id), "removed", { force: flags.force === true });
          print(flags.json ? JSON.stringify({ node: id, state: "removed" }) : `Node "${id}" is removed`);
        }
      })
    );
}
