/** The real processes of a run: each may be killed, frozen and started again, on its own data directory. */
import { join } from "node:path";
import { NODE_PERMISSIONS, say } from "../../cli/processes.ts";
import type { Wires } from "./wires.ts";

export interface Entry {
  /** Addresses of nodes. */
  readonly join: readonly string[];
  /** Of a private network, where the node was no member before. */
  readonly token: string | null;
}

export interface ProcessOptions {
  readonly number: number;
  readonly name: string;
  /** Its data directory is `data` in here; its log lies beside. */
  readonly home: string;
  readonly wires: Wires;
  /** How it finds the network that it joins: asked before each start, since a node that lost its journal joins anew. */
  readonly entry: () => Entry;
  readonly flags: readonly string[];
  /** It ended though nobody asked it to. */
  readonly ended: (node: NodeProcess, code: number) => void;
}

const READY_MS_MAX = 20_000;
const STOP_MS_MAX = 15_000;
const MAIN = new URL("../../cli/main.ts", import.meta.url).href;

export class NodeProcess {
  readonly number: number;
  readonly name: string;
  readonly data: string;
  readonly log: string;
  readonly address: string;
  readonly #options: ProcessOptions;
  #child: Deno.ChildProcess | null = null;
  #logged: Promise<void> = Promise.resolve();
  /** The process that is meant to end. */
  #doomed: Deno.ChildProcess | null = null;
  #paused = false;
  starts = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
    this.number = options.number;
    this.name = options.name;
    this.data = join(options.home, "data");
    this.log = `${options.home}.log`;
    this.address = options.wires.listen(options.number);
  }

  get running(): boolean {
    return this.#child !== null;
  }
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** Starts the process. True when it got ready; false when it ended before, or did not in time. */
  async start(): Promise<boolean> {
    if (this.#child !== null) throw new Error(`Node "${this.name}" runs already`);
    const { wires, number, name, flags, entry } = this.#options;
    this.starts++;
    const { join, token } = entry();
    const node = ["node", "--json", "--id", name, "--data", this.data, "--listen", this.address, ...flags];
    const [command, ...args] = [
      ...wires.through(number),
      Deno.execPath(),
      ...["run", "--quiet", "--no-prompt", ...NODE_PERMISSIONS, MAIN, ...node],
      ...(token === null ? join.flatMap((address) => ["--join", address]) : ["--join-file", "-"]),
    ] as [string, ...string[]];
    const stdin = token === null ? "null" : "piped";
    const child = new Deno.Command(command, { args, stdin, stdout: "piped", stderr: "piped" }).spawn();
    if (token !== null) await say(child, token);
    this.#child = child;
    this.#paused = false;
    const log = await Deno.open(this.log, { create: true, append: true });
    this.#logged = child.stderr.pipeTo(log.writable);
    void child.status.then(({ code }) => {
      if (this.#child === child) this.#child = null;
      if (this.#doomed !== child) this.#options.ended(this, code);
    });
    const late = delay(READY_MS_MAX);
    const ready = await Promise.race([firstLine(child.stdout), late.promise]);
    late.cancel();
    return ready !== null && ready !== "";
  }

  /** SIGKILL: as a crash. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** SIGTERM; SIGKILL where that does not help in time. The exit code, null where it did not run. */
  async terminate(): Promise<number | null> {
    this.resume();
    const late = setTimeout(() => this.#signal("SIGKILL"), STOP_MS_MAX);
    const code = await this.#end("SIGTERM");
    clearTimeout(late);
    return code;
  }

  pause(): void {
    this.#signal("SIGSTOP");
    this.#paused = true;
  }
  resume(): void {
    if (this.#paused) this.#signal("SIGCONT");
    this.#paused = false;
  }

  async #end(signal: Deno.Signal): Promise<number | null> {
    const child = this.#child;
    if (child === null) return null;
    this.#doomed = child;
    this.#signal(signal);
    const { code } = await child.status;
    await this.#logged;
    if (this.#child === child) this.#child = null;
    return code;
  }

  #signal(signal: Deno.Signal): void {
    try {
      this.#child?.kill(signal);
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError)) throw error;
    }
  }
}

/** null when it ended without one. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string | null> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return null;
}

function delay(ms: number): { readonly promise: Promise<null>; cancel(): void } {
  const { promise, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), ms);
  return { promise, cancel: () => clearTimeout(timer) };
}
