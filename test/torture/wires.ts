/** The network between the nodes of a run: this machine's loopback, or a namespace for each node on one bridge. */
import {
  type Abilities,
  droppedPackets,
  filterDrop,
  filterList,
  filterReset,
  filterSetup,
  must,
  type PacketFilter,
  run,
} from "./machine.ts";

/** How nodes and clients reach each other, and how that is disturbed. */
export interface Wires {
  /** Where a node listens. */
  listen(node: number): string;
  /** What a node's command is run through. */
  through(node: number): readonly string[];
  /** `node` loses so many percent of what comes from these nodes (and the clients). */
  drop(
    node: number,
    from: { readonly nodes: readonly number[]; readonly clients: boolean; readonly percent: number },
  ): Promise<void>;
  /** What `node` sends leaves no faster. */
  slow(node: number, kbit: number): Promise<void>;
  /** All is as it was at first. Returns what came of the disturbance, in words. */
  heal(): Promise<string>;
  close(): Promise<void>;
}

/** Without namespaces: nodes on free ports of this machine, and nothing to disturb. */
export class Loopback implements Wires {
  readonly #ports: readonly number[];

  constructor(nodes: number) {
    const listeners = Array.from({ length: nodes }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
    this.#ports = listeners.map((listener) => (listener.addr as Deno.NetAddr).port);
    for (const listener of listeners) listener.close();
  }

  listen(node: number): string {
    return `127.0.0.1:${this.#ports[node]!}`;
  }
  through(): readonly string[] {
    return [];
  }
  drop(): Promise<void> {
    return Promise.reject(new Error("Packets on the loopback are not dropped"));
  }
  slow(): Promise<void> {
    return Promise.reject(new Error("The loopback is not slowed"));
  }
  heal(): Promise<string> {
    return Promise.resolve("");
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

const PORT = 7070;
const CLIENTS_HOST = 254;

/** A namespace for each node, joined by a bridge; the clients are on the bridge too. */
export class Namespaces implements Wires {
  readonly #name: string;
  readonly #subnet: string;
  readonly #nodes: number;
  readonly #filter: PacketFilter | null;
  #slowed: number[] = [];

  private constructor(nodes: number, filter: PacketFilter | null) {
    const [a, b, c] = crypto.getRandomValues(new Uint8Array(3));
    this.#name = `so${[a!, b!].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    this.#subnet = `10.${64 + (a! & 63)}.${c!}`;
    this.#nodes = nodes;
    this.#filter = filter;
  }

  static async open(nodes: number, { filter }: Abilities): Promise<Namespaces> {
    const wires = new Namespaces(nodes, filter);
    try {
      await wires.#make();
      return wires;
    } catch (error) {
      await wires.close();
      throw error;
    }
  }

  listen(node: number): string {
    return `${this.#host(node + 1)}:${PORT}`;
  }

  through(node: number): readonly string[] {
    return ["ip", "netns", "exec", this.#namespace(node)];
  }

  async drop(
    node: number,
    { nodes, clients, percent }: {
      readonly nodes: readonly number[];
      readonly clients: boolean;
      readonly percent: number;
    },
  ): Promise<void> {
    const sources = nodes.filter((other) => other !== node).map((other) => this.#host(other + 1));
    if (clients) sources.push(this.#host(CLIENTS_HOST));
    if (sources.length === 0) return;
    await must(...this.through(node), ...filterDrop(this.#filter!, { sources, percent }));
  }

  async slow(node: number, kbit: number): Promise<void> {
    const tbf = ["root", "tbf", "rate", `${kbit}kbit`, "burst", "16kb", "latency", "400ms"];
    await must(...this.through(node), "tc", "qdisc", "add", "dev", "eth0", ...tbf);
    this.#slowed.push(node);
  }

  async heal(): Promise<string> {
    let dropped = 0;
    for (let node = 0; node < this.#nodes; node++) {
      if (this.#filter === null) continue;
      dropped += droppedPackets(await must(...this.through(node), ...filterList(this.#filter)));
      await must(...this.through(node), ...filterReset(this.#filter));
    }
    for (const node of this.#slowed.splice(0)) {
      await must(...this.through(node), "tc", "qdisc", "del", "dev", "eth0", "root");
    }
    return dropped === 0 ? "" : `${dropped} packets dropped`;
  }

  async close(): Promise<void> {
    for (let node = 0; node < this.#nodes; node++) {
      await run("ip", "netns", "del", this.#namespace(node));
      // It goes with its namespace, but only when the last process has left that.
      await run("ip", "link", "del", this.#outside(node));
    }
    await run("ip", "link", "del", this.#name);
  }

  async #make(): Promise<void> {
    await must("ip", "link", "add", this.#name, "type", "bridge");
    await must("ip", "addr", "add", `${this.#host(CLIENTS_HOST)}/24`, "dev", this.#name);
    await must("ip", "link", "set", this.#name, "up");
    for (let node = 0; node < this.#nodes; node++) {
      const namespace = this.#namespace(node), outside = this.#outside(node);
      await must("ip", "netns", "add", namespace);
      await must("ip", "link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", namespace);
      await must("ip", "link", "set", outside, "master", this.#name, "up");
      await must("ip", "-n", namespace, "addr", "add", `${this.#host(node + 1)}/24`, "dev", "eth0");
      await must("ip", "-n", namespace, "link", "set", "eth0", "up");
      await must("ip", "-n", namespace, "link", "set", "lo", "up");
      if (this.#filter === null) continue;
      for (const command of filterSetup(this.#filter)) await must(...this.through(node), ...command);
    }
  }

  #host(number: number): string {
    return `${this.#subnet}.${number}`;
  }
  #outside(node: number): string {
    return `${this.#name}v${node}`;
  }
  #namespace(node: number): string {
    return `${this.#name}n${node}`;
  }
}
