/** What this machine lets a torture run do to it, tried out rather than believed. */
import { join } from "node:path";
import type { FaultKind } from "./plan.ts";

export interface CommandResult {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; one that is not there is as one that failed. */
export async function run(...command: string[]): Promise<CommandResult> {
  const [name, ...args] = command as [string, ...string[]];
  try {
    const options = { args, stdin: "null", stdout: "piped", stderr: "piped" } as const;
    const { success, stdout, stderr } = await new Deno.Command(name, options).output();
    const decoder = new TextDecoder();
    return { ok: success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr).trim() };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { ok: false, stdout: "", stderr: `there is no ${name}` };
  }
}

/** @throws {Error} with what the command said */
export async function must(...command: string[]): Promise<string> {
  const { ok, stdout, stderr } = await run(...command);
  if (!ok) throw new Error(`Cannot run "${command.join(" ")}": ${stderr || "it failed"}`);
  return stdout;
}

/** Drops packets in a namespace by one of two programs. */
export type PacketFilter = "nft" | "iptables";

export interface Abilities {
  /** Mounting a small file system. */
  readonly mounts: boolean;
  /** Network namespaces joined by a bridge. */
  readonly namespaces: boolean;
  readonly filter: PacketFilter | null;
  readonly shaping: boolean;
  /** Failing and slow system calls. */
  readonly strace: boolean;
  /** Why each of what cannot be done cannot be. */
  readonly why: ReadonlyMap<keyof Omit<Abilities, "why">, string>;
}

export async function probeAbilities(directory: string): Promise<Abilities> {
  const why = new Map<keyof Omit<Abilities, "why">, string>();
  const mounts = await canMount(directory);
  if (mounts !== null) why.set("mounts", mounts);
  const strace = await canTrace();
  if (strace !== null) why.set("strace", strace);
  const network = await canJoinNamespaces();
  if (network.why !== null) why.set("namespaces", network.why);
  if (network.why === null && network.filter === null) why.set("filter", "neither nft nor iptables works");
  if (network.why === null && !network.shaping) why.set("shaping", "tc tbf does not work");
  return {
    mounts: mounts === null,
    namespaces: network.why === null,
    filter: network.filter,
    shaping: network.shaping,
    strace: strace === null,
    why,
  };
}

/** What a kind of fault needs that is not there, in words; null: it can be done. */
export function whyNot(kind: FaultKind, abilities: Abilities): string | null {
  const need = (what: keyof Omit<Abilities, "why">, name: string) => {
    const missing = abilities.why.get(what);
    return missing === undefined ? null : `${name}: ${missing}`;
  };
  const spaces = () => need("namespaces", "network namespaces");
  switch (kind) {
    case "full":
    case "read-only":
      return need("mounts", "mounting a file system");
    case "io-error":
    case "slow-disk":
      return need("strace", "strace");
    case "cut":
    case "one-way":
    case "loss":
      return spaces() ?? need("filter", "dropping packets");
    case "slow-link":
      return spaces() ?? need("shaping", "slowing a link");
    default:
      return null;
  }
}

async function canMount(directory: string): Promise<string | null> {
  const place = join(directory, "probe");
  await Deno.mkdir(place);
  try {
    const { ok, stderr } = await run("mount", "-t", "tmpfs", "-o", "size=64k", "torture", place);
    if (!ok) return stderr;
    await must("umount", place);
    return null;
  } finally {
    await Deno.remove(place);
  }
}

async function canTrace(): Promise<string | null> {
  const inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-o", "/dev/null"];
  const { ok, stderr } = await run("strace", "-f", "-qq", ...inject, "true");
  return ok ? null : stderr;
}

async function canJoinNamespaces(): Promise<
  { readonly why: string | null; readonly filter: PacketFilter | null; readonly shaping: boolean }
> {
  const name = `probe${Deno.pid.toString(36)}`;
  const made = await run("ip", "netns", "add", name);
  if (!made.ok) return { why: made.stderr, filter: null, shaping: false };
  try {
    const inside = ["ip", "netns", "exec", name];
    const bridge = await run(...inside, "ip", "link", "add", "b0", "type", "bridge");
    if (!bridge.ok) return { why: `a bridge: ${bridge.stderr}`, filter: null, shaping: false };
    const pair = await run(...inside, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1");
    if (!pair.ok) return { why: `a veth pair: ${pair.stderr}`, filter: null, shaping: false };
    const tbf = ["root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "400ms"];
    const shaping = (await run(...inside, "tc", "qdisc", "add", "dev", "v0", ...tbf)).ok;
    for (const filter of ["nft", "iptables"] as const) {
      const lines = [
        ...filterSetup(filter),
        filterDrop(filter, { sources: ["10.0.0.1"], percent: 50 }),
        filterReset(filter),
      ];
      let works = true;
      for (const line of lines) works &&= (await run(...inside, ...line)).ok;
      if (works) return { why: null, filter, shaping };
    }
    return { why: null, filter: null, shaping };
  } finally {
    await must("ip", "netns", "del", name);
  }
}

/** Commands that make a namespace ready for drops. */
export function filterSetup(filter: PacketFilter): string[][] {
  if (filter === "iptables") {
    return [["iptables", "-N", "torture"], ["iptables", "-A", "INPUT", "-j", "torture"]];
  }
  return [
    ["nft", "add", "table", "inet", "torture"],
    ["nft", "add", "chain", "inet", "torture", "input", "{ type filter hook input priority 0; }"],
  ];
}

/** Drops so many percent of what comes in from `sources`. */
export function filterDrop(
  filter: PacketFilter,
  { sources, percent }: { readonly sources: readonly string[]; readonly percent: number },
): string[] {
  if (filter === "nft") {
    const some = percent >= 100 ? [] : ["numgen", "random", "mod", "100", "<", String(percent)];
    return [
      "nft",
      "add",
      "rule",
      "inet",
      "torture",
      "input",
      "ip",
      "saddr",
      `{ ${sources.join(", ")} }`,
      ...some,
      "counter",
      "drop",
    ];
  }
  const some = percent >= 100
    ? []
    : ["-m", "statistic", "--mode", "random", "--probability", String(percent / 100)];
  return ["iptables", "-A", "torture", "-s", sources.join(","), ...some, "-j", "DROP"];
}

/** Drops nothing any more. */
export function filterReset(filter: PacketFilter): string[] {
  return filter === "nft"
    ? ["nft", "flush", "chain", "inet", "torture", "input"]
    : ["iptables", "-F", "torture"];
}

/** Shows each rule with how many packets it dropped: droppedPackets() reads that. */
export function filterList(filter: PacketFilter): string[] {
  return filter === "nft"
    ? ["nft", "list", "chain", "inet", "torture", "input"]
    : ["iptables", "-nvxL", "torture"];
}

export function droppedPackets(listed: string): number {
  return [...listed.matchAll(/counter packets (\d+)|^\s*(\d+)\s+\d+ DROP/gm)]
    .reduce((sum, [, nft, iptables]) => sum + Number(nft ?? iptables), 0);
}
