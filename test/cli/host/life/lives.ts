/** Nodes in this process, on disks that fail when they are told to. */
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { type Client, connect } from "../../../../cli/client/client.ts";
import { ConnectError, RequestError } from "../../../../cli/client/errors.ts";
import type { Profile } from "../../../../cli/client/profile.ts";
import type { StartOptions } from "../../../../cli/host/life/options.ts";
import { type RunningNode, startNode } from "../../../../cli/host/start.ts";
import type { NodeStatus } from "../../../../core/wire/requests.ts";
import { systemError } from "../../../../sim/simulated_files.ts";

export interface Lives {
  readonly directory: string;
  start(id: string, options?: Partial<StartOptions>): Promise<RunningNode>;
  client(...addresses: string[]): Promise<Client>;
}

/** One partition and a short grace: what a test waits for comes soon. */
const SETTINGS = { partitions: 2, graceUs: 2_000_000, systemReplicas: 3 } as const;

export async function withLives(use: (lives: Lives) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "space-opera-test-" });
  const nodes: RunningNode[] = [];
  const clients: Client[] = [];
  try {
    await use({
      directory,
      async start(id, options = {}) {
        const node = await startNode({
          id,
          data: join(directory, id),
          listen: "127.0.0.1:0",
          settings: SETTINGS,
          open: true,
          log: getLogger("space-opera-test"),
          ...options,
        });
        nodes.push(node);
        return node;
      },
      async client(...addresses) {
        const client = await connect({ addresses, timeoutMs: 20_000 });
        clients.push(client);
        return client;
      },
    });
  } finally {
    for (const client of clients) client.close();
    await Promise.allSettled(nodes.map((node) => node.stop()));
    await Deno.remove(directory, { recursive: true });
  }
}

const STATUS_MS = 2000;
const STATUS_MS_MAX = 30_000;

/**
 * What the node at `address` says of itself, over a connection of its own. Asked anew where none stood to the end: when a
 * life ends, so do all connections, and a client finds no way back to a node that answers nothing but its status.
 */
export async function statusAt(address: string, profile?: Profile): Promise<NodeStatus> {
  for (const giveUp = performance.now() + STATUS_MS_MAX;;) {
    try {
      const addresses = [address];
      using client = await connect({
        addresses,
        timeoutMs: STATUS_MS,
        ...(profile === undefined ? {} : { profile }),
      });
      return await client.status(client.home);
    } catch (error) {
      const unanswered = error instanceof RequestError && error.reason === "timeout";
      if (!unanswered && !(error instanceof ConnectError) || performance.now() > giveUp) throw error;
    }
  }
}

type FileMethod = "writeSync" | "syncDataSync" | "syncData" | "syncSync";

/** While it lives, the named methods of all files throw a system's error of this code. */
export class FailingFiles implements Disposable {
  readonly #healthy = new Map<FileMethod, PropertyDescriptor>();
  calls = 0;

  constructor(code: string, text: string, methods: readonly FileMethod[]) {
    for (const method of methods) {
      this.#healthy.set(method, Object.getOwnPropertyDescriptor(Deno.FsFile.prototype, method)!);
      Object.defineProperty(Deno.FsFile.prototype, method, {
        configurable: true,
        value: () => {
          this.calls++;
          const error = systemError(code, text);
          if (method === "syncData") return Promise.reject(error);
          throw error;
        },
      });
    }
  }

  [Symbol.dispose](): void {
    for (const [method, descriptor] of this.#healthy) {
      Object.defineProperty(Deno.FsFile.prototype, method, descriptor);
    }
  }
}
