/**
 * Who gets a connection, before anything is known of them but their address.
 *
 * A1. A handshake under way can always begin: where there are too many, the oldest one of the same address goes, or of
 *     the address that has most. So connections that never say who they are keep nobody out who does so in time.
 * A2. What has been admitted is bounded by address and in all, clients and peers each for themselves: clients cannot
 *     use up the room of peers.
 *     An address of IPv6 stands for its network of 64 bits, which one machine has for itself (sourceOf).
 * A3. Descriptors are kept back for files and for this node's own connections to peers.
 */
import type net from "node:net";
import { readFileSync } from "node:fs";
import { LIMITS } from "../../core/base/limits.ts";

/** Connections that have not said who they are, of all addresses and of one. */
const HANDSHAKES_MAX = 1024;
const HANDSHAKES_PER_ADDRESS_MAX = 256;
const CLIENTS_PER_ADDRESS_MAX = 4096;
const PEERS_PER_ADDRESS_MAX = 512;
/** For files, and for connections to and from peers. */
const DESCRIPTORS_KEPT = 256;

type Role = "handshake" | "peer" | "client";

interface Entry {
  readonly address: string;
  role: Role;
}

/** How many connections one address has. */
interface Tally {
  readonly handshakes: Set<net.Socket>;
  peers: number;
  clients: number;
}

export interface GateOptions {
  readonly count: (name: string) => void;
  /** What the process may open. Tests say. */
  readonly descriptors?: number;
}

export class Gate {
  readonly #count: (name: string) => void;
  readonly #entries = new Map<net.Socket, Entry>();
  readonly #tallies = new Map<string, Tally>();
  readonly #connectionsMax: number;
  readonly #clientsMax: number;
  #handshakes = 0;
  #peers = 0;
  #clients = 0;

  constructor({ count, descriptors = descriptorLimit() }: GateOptions) {
    this.#count = count;
    this.#connectionsMax = Math.max(DESCRIPTORS_KEPT, descriptors - DESCRIPTORS_KEPT);
    this.#clientsMax = Math.min(LIMITS.clientsMax, Math.floor(this.#connectionsMax * 3 / 4));
  }

  /** For a status answer. */
  counters(): readonly (readonly [string, number])[] {
    return [["connections", this.#entries.size], ["handshakes under way", this.#handshakes]];
  }

  /** Takes a connection in that has said nothing yet. False: it was closed at once. */
  enter(socket: net.Socket): boolean {
    // It broke before it was looked at.
    if (socket.remoteAddress === undefined) {
      socket.destroy();
      return false;
    }
    const address = sourceOf(socket.remoteAddress);
    if (this.#entries.size >= this.#connectionsMax && this.#handshakes === 0) {
      this.#count("connections refused: too many");
      socket.destroy();
      return false;
    }
    const tally = this.#tally(address);
    if (tally.handshakes.size >= HANDSHAKES_PER_ADDRESS_MAX) this.#cut(tally);
    else if (this.#handshakes >= HANDSHAKES_MAX || this.#entries.size >= this.#connectionsMax) {
      this.#cut(this.#busiest());
    }
    this.#entries.set(socket, { address, role: "handshake" });
    // Again: the one that was cut off may have been the last of this address.
    this.#tally(address).handshakes.add(socket);
    this.#handshakes++;
    socket.once("close", () => this.#left(socket));
    return true;
  }

  /** It has said who it is. False: there is no room for it. */
  admit(socket: net.Socket, role: "peer" | "client"): boolean {
    const entry = this.#entries.get(socket);
    if (entry === undefined) return false;
    if (entry.role !== "handshake") return true;
    const tally = this.#tally(entry.address);
    const full = role === "client"
      ? this.#clients >= this.#clientsMax || tally.clients >= CLIENTS_PER_ADDRESS_MAX
      : this.#peers >= LIMITS.membersMax || tally.peers >= PEERS_PER_ADDRESS_MAX;
    if (full) {
      this.#count(`connections refused: too many ${role}s`);
      return false;
    }
    tally.handshakes.delete(socket);
    this.#handshakes--;
    entry.role = role;
    if (role === "client") this.#clients++, tally.clients++;
    else this.#peers++, tally.peers++;
    return true;
  }

  #cut(tally: Tally): void {
    const [oldest] = tally.handshakes;
    if (oldest === undefined) return;
    this.#count("handshakes cut short");
    this.#left(oldest);
    oldest.destroy();
  }

  #busiest(): Tally {
    let busiest: Tally | null = null;
    for (const tally of this.#tallies.values()) {
      if (busiest === null || tally.handshakes.size > busiest.handshakes.size) busiest = tally;
    }
    return busiest!;
  }

  #tally(address: string): Tally {
    let tally = this.#tallies.get(address);
    if (tally === undefined) {
      tally = { handshakes: new Set(), peers: 0, clients: 0 };
      this.#tallies.set(address, tally);
    }
    return tally;
  }

  #left(socket: net.Socket): void {
    const entry = this.#entries.get(socket);
    if (entry === undefined) return;
    this.#entries.delete(socket);
    const tally = this.#tally(entry.address);
    if (entry.role === "handshake") {
      tally.handshakes.delete(socket);
      this.#handshakes--;
    } else if (entry.role === "client") this.#clients--, tally.clients--;
    else this.#peers--, tally.peers--;
    if (tally.handshakes.size + tally.peers + tally.clients === 0) this.#tallies.delete(entry.address);
  }
}

/** What counts as one address. */
export function sourceOf(address: string): string {
  if (!address.includes(":")) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const groups = (text: string) => text === "" ? [] : text.split(":");
  const before = groups(head), after = groups(tail ?? "");
  const zeros = Array(Math.max(0, 8 - before.length - after.length)).fill("0");
  return `${[...before, ...zeros, ...after].slice(0, 4).join(":")}::/64`;
}

/** Where the system does not tell, as many as the runtime commonly gets. */
const DESCRIPTORS_ASSUMED = 4096;

function descriptorLimit(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return found === null ? DESCRIPTORS_ASSUMED : Number(found[1]);
  } catch {
    // No such file, as on systems other than Linux, or no leave to read it.
    return DESCRIPTORS_ASSUMED;
  }
}
