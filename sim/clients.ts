import type { Random } from "../core/base/random.ts";
import type { ClientRequest } from "../core/wire/kernel.ts";
import type { Request, Response } from "../core/wire/requests.ts";
import type { Principal } from "../core/wire/security.ts";
import type { Machine } from "./machine.ts";

/** A client process. It is called at its events and acts through the world's connect(), request() and wakeClient(). */
export interface Client {
  wake(now: number): void;
  received(connection: number, replies: readonly ClientReply[], now: number): void;
  /** The connection broke or was refused. */
  lost(connection: number, now: number): void;
}
export interface ClientReply {
  readonly id: number;
  readonly response: Response;
}
export interface IdentifiedRequest {
  readonly id: number;
  readonly request: Request;
}

/** What a connection proved, in a private network. */
export interface Login {
  /** Absent: nothing. */
  readonly who?: Principal;
  /** Of who is to come in: the public key that it has the private part of. */
  readonly key?: string;
  /** It has not gone over to the network's next authority, and takes a node for a member that was evicted. */
  readonly behind?: boolean;
}

/** One TCP connection from a client to a node. */
interface Connection {
  readonly client: number;
  readonly node: number;
  /** The life of the node it leads to: a connection does not outlive its process. */
  readonly life: number;
  readonly login: Login | undefined;
  open: boolean;
  /** When the last frame arrives in each direction: frames stay in order. */
  upAt: number;
  downAt: number;
}

/** Which client is connected to which node, and when its frames arrive. */
export class Connections {
  readonly #all: Connection[] = [];
  readonly #byNode: Set<number>[] = [];
  readonly #latencyUs: number;
  readonly #jitterUs: number;
  readonly #random: Random;

  constructor(options: { readonly latencyUs: number; readonly jitterUs: number; readonly random: Random }) {
    this.#latencyUs = options.latencyUs;
    this.#jitterUs = options.jitterUs;
    this.#random = options.random;
  }

  /** Numbers count from 0 and are never reused. */
  open(client: number, { index: node, life }: Pick<Machine, "index" | "life">, login?: Login): number {
    const number = this.#all.length;
    this.#all.push({ client, node, life, login, open: true, upAt: 0, downAt: 0 });
    while (this.#byNode.length <= node) this.#byNode.push(new Set());
    this.#byNode[node]!.add(number);
    return number;
  }

  get(connection: number): Readonly<Connection> | undefined {
    return this.#all[connection];
  }

  /** False where it was closed before. */
  close(connection: number): boolean {
    const entry = this.#all[connection];
    if (!entry?.open) return false;
    entry.open = false;
    this.#byNode[entry.node]!.delete(connection);
    return true;
  }

  /** The open connections to a node, oldest first. */
  ofNode(node: number): number[] {
    return [...this.#byNode[node] ?? []];
  }

  /** When a frame sent now from the client arrives at the node. */
  up(connection: number, now: number): number {
    const entry = this.#all[connection]!;
    return entry.upAt = Math.max(entry.upAt, now + this.#delay());
  }

  /** When a frame sent now from the node arrives at the client. */
  down(connection: number, now: number): number {
    const entry = this.#all[connection]!;
    return entry.downAt = Math.max(entry.downAt, now + this.#delay());
  }

  #delay(): number {
    return this.#latencyUs + (this.#jitterUs > 0 ? this.#random.below(this.#jitterUs + 1) : 0);
  }
}

/** What the node is handed: requests that arrived together, with the host's number of the connection. */
export function clientRequests(connection: number, requests: readonly IdentifiedRequest[]): ClientRequest[] {
  return requests.map(({ id, request }) => ({ client: connection, id, request }));
}
