/** Node processes of this same program, for the demo, the benchmarks and the tests. */
import { join } from "node:path";
import { type Client, connect } from "./client/client.ts";
import { type Profile, readProfile } from "./client/profile.ts";
import { makeInvite } from "./invites.ts";

export interface NodeProcessOptions {
  readonly id: string;
  readonly data: string;
  /** Default: a free port of this machine. */
  readonly listen?: string;
  /** Of an open network: a node of it. */
  readonly join?: string;
  /** Of a private network: what lets the node in. It never stands among the arguments, which others can read. */
  readonly token?: string;
  /** True: the network is open. */
  readonly open?: boolean;
  /** Further flags of the node command. */
  readonly flags?: readonly string[];
}

/** What a node prints when it is ready. */
interface Ready {
  readonly node: string;
  readonly network: string;
  readonly address: string;
  readonly origin: string;
}

const READY_MS_MAX = 20_000;
const STOP_MS_MAX = 15_000;

/** A node running as a process of its own. Its log goes to DATA.log. */
export class NodeProcess {
  readonly #child: Deno.ChildProcess;
  readonly #logged: Promise<void>;
  readonly ready: Ready;
  /** Milliseconds from its start to ready. */
  readonly startMs: number;

  private constructor(child: Deno.ChildProcess, logged: Promise<void>, ready: Ready, startMs: number) {
    this.#child = child;
    this.#logged = logged;
    this.ready = ready;
    this.startMs = startMs;
  }

  /** @throws {Error} with the end of its log when it does not get ready */
  static async start(
    { id, data, listen = "127.0.0.1:0", join: at, token, open = false, flags = [] }: NodeProcessOptions,
  ): Promise<NodeProcess> {
    const began = performance.now();
    const args = ["node", "--json", "--id", id, "--data", data, "--listen", listen, ...flags];
    if (open) args.push("--dev");
    if (at !== undefined) args.push("--join", at);
    if (token !== undefined) args.push("--join-file", "-");
    const child = ownCommand(args, token === undefined ? "null" : "piped").spawn();
    if (token !== undefined) await say(child, token);
    const log = `${data}.log`;
    const file = await Deno.open(log, { create: true, append: true });
    const logged = copyTo(file, child.stderr);
    const late = setTimeout(() => signal(child, "SIGKILL"), READY_MS_MAX);
    try {
      const ready = JSON.parse(await firstLine(child.stdout)) as Ready;
      return new NodeProcess(child, logged, ready, performance.now() - began);
    } catch {
      signal(child, "SIGKILL");
      await child.status;
      await logged;
      const tail = (await Deno.readTextFile(log)).trimEnd().split("\n").slice(-5).join("\n");
      throw new Error(`Node "${id}" did not get ready. Its log, ${log}, ends with:\n${tail}`);
    } finally {
      clearTimeout(late);
    }
  }

  get pid(): number {
    return this.#child.pid;
  }
  get address(): string {
    return this.ready.address;
  }

  /** SIGKILL: as a crash. */
  async kill(): Promise<void> {
    signal(this.#child, "SIGKILL");
    await this.#child.status;
    await this.#logged;
  }

  /** SIGTERM, and its exit code. */
  async stop(): Promise<number> {
    signal(this.#child, "SIGTERM");
    const late = setTimeout(() => signal(this.#child, "SIGKILL"), STOP_MS_MAX);
    const { code } = await this.#child.status;
    clearTimeout(late);
    await this.#logged;
    return code;
  }
}

/** Gives a process one line to read. */
export async function say(child: Deno.ChildProcess, line: string): Promise<void> {
  const writer = child.stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(`${line}\n`));
    await writer.close();
  } catch (error) {
    // It has ended already, and its log says why.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/**
 * Each line is in the file as soon as it was said: what a node is doing is read while it runs. What the file has no room
 * for is lost, and the node goes on: it may be the disk of its data that is full.
 */
async function copyTo(file: Deno.FsFile, stream: ReadableStream<Uint8Array>): Promise<void> {
  using open = file;
  for await (const chunk of stream) {
    try {
      for (let at = 0; at < chunk.length;) at += open.writeSync(chunk.subarray(at));
    } catch (error) {
      if ((error as { code?: unknown }).code !== "ENOSPC") throw error;
    }
  }
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    // It has ended already.
    if (!(error instanceof TypeError)) throw error;
  }
}

/** Nodes of one network, and what lets a client in; null: the network is open. */
export interface Cluster {
  readonly nodes: NodeProcess[];
  readonly profile: Profile | null;
}

const INVITE = { ttlMs: 60_000, uses: 2, zone: null };

/** Three nodes in `directory`: the first makes a network, the second and third join it. */
export async function startThree(
  directory: string,
  { open = false, flags = [] }: { readonly open?: boolean; readonly flags?: readonly string[] } = {},
): Promise<Cluster> {
  const data = (id: string) => join(directory, id);
  const first = await NodeProcess.start({ id: "a", data: data("a"), open, flags });
  const profile = open ? null : readProfile(join(data("a"), "profile.json"));
  try {
    const entry = profile === null ? { open, join: first.address } : { token: await inviteTo(profile) };
    const others = await Promise.all(
      ["b", "c"].map((id) => NodeProcess.start({ id, data: data(id), flags, ...entry })),
    );
    return { nodes: [first, ...others], profile };
  } catch (error) {
    await first.kill();
    throw error;
  }
}

async function inviteTo(profile: Profile): Promise<string> {
  using client = await connect({ profile });
  return (await makeInvite(client, INVITE)).token;
}

/** A client of `nodes`, or of those of them that are named. */
export function connectTo({ nodes, profile }: Cluster): Promise<Client> {
  return connect({
    addresses: nodes.map(({ address }) => address),
    ...(profile === null ? {} : { profile }),
  });
}

/** This program with other arguments: from source, from a bundle, or compiled. */
function ownCommand(args: readonly string[], stdin: "null" | "piped"): Deno.Command {
  const options = { stdin, stdout: "piped", stderr: "piped" } as const;
  if (Deno.build.standalone) return new Deno.Command(Deno.execPath(), { args: [...args], ...options });
  const main = import.meta.url.endsWith(".ts") ? new URL("./main.ts", import.meta.url).href : Deno.mainModule;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...NODE_PERMISSIONS, main, ...args],
    ...options,
  });
}

/** What a node needs and no more. */
export const NODE_PERMISSIONS = [
  "--allow-net",
  "--allow-read",
  "--allow-write",
  "--allow-env=SPACE_OPERA_PASSPHRASE",
  "--allow-sys=networkInterfaces,statfs",
];

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return text;
}
