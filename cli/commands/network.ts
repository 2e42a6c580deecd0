/** What a network looks like, and who belongs to it. */
import { Command } from "commander";
import { nodeId } from "../../core/base/ids.ts";
import { assign } from "../../core/placement/assign.ts";
import { plan } from "../../core/placement/plan.ts";
import type { Member, SystemView } from "../../core/wire/messages.ts";
import type { ChunkStatus } from "../../core/wire/objects.ts";
import type { NodeStatus } from "../../core/wire/requests.ts";
import { bytesText, print, table, tell } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { collect } from "./options.ts";

/** `space-opera status`: how one node is doing. */
export function statusCommand(): Command {
  return withConnection(new Command("status"))
    .description("how a node is doing: what it holds, leads and counts")
    .option("--node <id>", "this node, asked through the one connected to (default: that one)")
    .addHelpText("after", "\nExample:\n  space-opera status --connect 127.0.0.1:7071 --json")
    .action((flags: ConnectFlags & { node?: string }) =>
      withClient(flags, async (client) => {
        const status = await client.status(flags.node === undefined ? client.home : nodeId(flags.node));
        print(flags.json ? JSON.stringify(status) : statusText(status));
      })
    );
}

/** What needs a word more. */
const STATES: Partial<Record<NodeStatus["state"], string>> = {
  draining: "draining: its data moves to others",
  down: "down: it takes part in nothing, and comes back by itself",
  removed: "removed: it holds nothing and stays out (space-opera drain --cancel takes it back)",
  outside: "outside: the network does not know it any more; start it anew, on an empty data directory",
};

function statusText(status: NodeStatus): string {
  const { node, network, view, epoch, state, replicas, counters, trouble, chunks } = status;
  const leads = replicas.filter(({ role }) => role === "leader").length;
  const lines = [
    `node      ${node}`,
    `network   ${network}`,
    `state     ${STATES[state] ?? state}`,
  ];
  if (trouble !== null) {
    lines.push(
      `trouble   ${trouble.what}`,
      `since     ${new Date(trouble.sinceMs).toISOString()}`,
      `waits for ${trouble.waitsFor}`,
    );
  }
  if (state !== "down") {
    lines.push(
      `layout    epoch ${epoch}, view ${view}`,
      `replicas  ${replicas.length}, of which it leads ${leads}`,
    );
  }
  const behind = replicas.filter(({ role, leader }) => role === "candidate" || leader === null);
  if (behind.length > 0) lines.push(`no leader ${behind.map(({ partition }) => partition).join(", ")}`);
  lines.push(...objectLines(chunks));
  return [...lines, "", ...counters.map(([name, value]) => `${name.padEnd(24)} ${value}`)].join("\n");
}

/** What a node holds of objects, what it lacks, and how that is mended. */
export function objectLines(chunks: ChunkStatus): string[] {
  const { fragments, bytes, missing, missingBytes, lost, surplus, looked, secondsLeft } = chunks;
  const { repaired, repairedBytes, fetchedBytes, rotten, removed, scrubbed, scrubs } = chunks;
  const lines = [`objects   ${countText(fragments, "fragment")}, ${bytesText(bytes)}`];
  if (missing > 0) {
    const left = secondsLeft === null
      ? "not known how long yet"
      : `whole in about ${durationText(secondsLeft)}`;
    lines.push(`missing   ${countText(missing, "fragment")}, ${bytesText(missingBytes)}; ${left}`);
  } else lines.push(`missing   none${looked ? "" : " found so far; the node is still looking"}`);
  if (lost > 0) {
    lines.push(
      `lost      ${countText(lost, "fragment")} that no node within reach has, or enough of the others of`,
    );
  }
  if (surplus > 0) {
    lines.push(`surplus   ${countText(surplus, "fragment")}, until those nodes have them that should`);
  }
  if (repaired > 0 || fetchedBytes > 0) {
    const amount = `${countText(repaired, "fragment")}, ${bytesText(repairedBytes)}`;
    lines.push(`repaired  ${amount} since it started; ${bytesText(fetchedBytes)} fetched for it`);
  }
  const round = fragments === 0 ? "" : `${Math.min(scrubbed, fragments)} of ${fragments} in this round, `;
  lines.push(
    `scrubbed  ${round}${countText(scrubs, "whole round")}; ${countText(rotten, "rotten fragment")} found`,
  );
  if (removed > 0) {
    lines.push(
      `removed   ${countText(removed, "fragment")} of what was deleted or has moved, since it started`,
    );
  }
  return lines;
}

function countText(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function durationText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}

/** `space-opera members`: who belongs to the network. */
export function membersCommand(): Command {
  return withConnection(new Command("members"))
    .description("who belongs to the network, and who can be reached")
    .addHelpText("after", "\nExample:\n  space-opera members")
    .action((flags: ConnectFlags) =>
      withClient(flags, async (client) => {
        const members = await client.members(client.home);
        if (flags.json) return print(JSON.stringify(members));
        print(table(
          ["NODE", "ADDRESS", "ZONE", "CAPACITY", "STATE", "LIVENESS", "REPLICAS", "LEADS"],
          members.map((
            m,
          ) => [m.id, m.address, m.zone || "-", m.capacity, m.state, m.liveness, m.replicas, m.leads]),
        ));
      })
    );
}

/** `space-opera layout`: which nodes hold which partitions. */
export function layoutCommand(): Command {
  return new Command("layout")
    .description("which nodes hold which partitions, and what a change would move")
    .addHelpText("after", "\nExample:\n  space-opera layout show")
    .addCommand(showCommand())
    .addCommand(planCommand());
}

function showCommand(): Command {
  return withConnection(new Command("show"))
    .description("each partition's replicas, the preferred leader first; partition 0 is the system's own")
    .addHelpText("after", "\nExample:\n  space-opera layout show")
    .action((flags: ConnectFlags) =>
      withClient(flags, async (client) => {
        const { view, leaders } = await client.layout();
        if (flags.json) return print(JSON.stringify({ ...view, leaders }));
        tell(`Epoch ${view.epoch}, view ${view.version}`);
        print(table(
          ["PARTITION", "LEADER", "REPLICAS"],
          view.assignment.map((
            replicas,
            partition,
          ) => [partition, leaders[partition] ?? "-", replicas.join(" ")]),
        ));
      })
    );
}

interface PlanFlags {
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
}

function planCommand(): Command {
  return withConnection(new Command("plan"))
    .description("what would move if members came or went; nothing is changed")
    .option("--add <id[:capacity[:zone]]>", "a member that would join; may be given more than once", collect)
    .option("--remove <id>", "a member that would leave; may be given more than once", collect)
    .addHelpText("after", "\nExample:\n  space-opera layout plan --add d4:100:north --remove d1")
    .action((flags: ConnectFlags & PlanFlags) =>
      withClient(flags, async (client) => {
        const { view } = await client.layout();
        const members = changedMembers(view, flags);
        const moves = plan(view.assignment, assign(view.assignment, members, view.settings));
        if (flags.json) return print(JSON.stringify(moves));
        const { add, remove, keep, leaders, changedPartitions } = moves.totals;
        tell(
          `${changedPartitions} of ${view.assignment.length} partitions change: ${add} replicas copied, ` +
            `${remove} dropped, ${keep} stay, ${leaders} leaders change`,
        );
        print(table(
          ["PARTITION", "ADD", "REMOVE", "KEEP"],
          moves.partitions.filter((p) => p.add.length + p.remove.length > 0).map((p) => [
            p.partition,
            p.add.join(" "),
            p.remove.join(" "),
            p.keep.join(" "),
          ]),
        ));
      })
    );
}

function changedMembers(view: SystemView, { add = [], remove = [] }: PlanFlags): Member[] {
  for (const id of remove) {
    if (!view.members.some((member) => member.id === id)) {
      throw new UsageError(`Node "${id}" is no member; see: space-opera members`);
    }
  }
  const kept = view.members.filter(({ id }) => !remove.includes(id));
  return [...kept, ...add.map(plannedMember)];
}

function plannedMember(text: string): Member {
  const [id = "", capacity = "100", zone = ""] = text.split(":");
  if (!/^\d+$/.test(capacity)) {
    throw new UsageError(`A capacity is an integer, not "${capacity}" as in "${text}"`);
  }
  return { id: nodeId(id), address: "", zone, capacity: Number(capacity), state: "active", disk: "" };
}
