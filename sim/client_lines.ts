import type { Random } from "../core/base/random.ts";
import type { Input, Reply } from "../core/wire/kernel.ts";
import {
  type Client,
  type ClientReply,
  clientRequests,
  Connections,
  type IdentifiedRequest,
  type Login,
} from "./clients.ts";
import { EVENT } from "./events.ts";
import type { Loop } from "./loop.ts";
import type { Machine } from "./machine.ts";

/** A connection to a machine that answers nothing is given up after this long. */
const CONNECT_TIMEOUT_US = 3_000_000;

/** The lines between clients and nodes: what goes over them becomes events of the loop. */
export class ClientLines {
  readonly #loop: Loop;
  readonly #latencyUs: number;
  readonly #connections: Connections;
  readonly #clients: Client[] = [];

  constructor(
    options: {
      readonly loop: Loop;
      readonly latencyUs: number;
      readonly jitterUs: number;
      readonly random: Random;
    },
  ) {
    this.#loop = options.loop;
    this.#latencyUs = options.latencyUs;
    this.#connections = new Connections(options);
  }

  add(client: Client): number {
    this.#clients.push(client);
    return this.#clients.length - 1;
  }

  wakeAt(client: number, at: number): void {
    this.#loop.at(Math.max(at, this.#loop.now), EVENT.clientWake, client, 0, null);
  }

  // ---- from clients

  /** Connects a client with a node. The connection may be lost at once. */
  connect(client: number, machine: Machine, login?: Login): number {
    const connection = this.#connections.open(client, machine, login);
    if (!machine.running || (machine.shunned && login?.behind !== true)) {
      this.#connections.close(connection);
      const later = machine.silent ? CONNECT_TIMEOUT_US : 2 * this.#latencyUs;
      this.#loop.at(this.#loop.now + later, EVENT.clientLost, client, connection, null);
    }
    return connection;
  }

  request(connection: number, requests: readonly IdentifiedRequest[]): void {
    const entry = this.#connections.get(connection);
    if (!entry?.open) return;
    const at = this.#connections.up(connection, this.#loop.now);
    const input: Input = { kind: "requests", requests: clientRequests(connection, requests) };
    this.#loop.at(at, EVENT.request, entry.node, connection, input);
  }

  disconnect(connection: number): void {
    const entry = this.#connections.get(connection);
    if (!entry || !this.#connections.close(connection)) return;
    const at = this.#connections.up(connection, this.#loop.now);
    this.#loop.at(at, EVENT.clientGone, entry.node, connection, null);
  }

  loginOf(connection: number): Login | undefined {
    return this.#connections.get(connection)?.login;
  }

  // ---- from nodes

  /** Whether the connection leads to the process that runs now. */
  reaches(connection: number, machine: Machine): boolean {
    return this.#connections.get(connection)!.life === machine.life;
  }

  reply(replies: readonly Reply[]): void {
    for (let i = 0; i < replies.length; i++) {
      const connection = replies[i]!.client, entry = this.#connections.get(connection);
      if (!entry?.open) continue;
      const frame: ClientReply[] = [];
      for (; i < replies.length && replies[i]!.client === connection; i++) {
        frame.push({ id: replies[i]!.id, response: replies[i]!.response });
      }
      i--;
      const at = this.#connections.down(connection, this.#loop.now);
      this.#loop.at(at, EVENT.reply, entry.client, connection, frame);
    }
  }

  /** The node's side breaks the connection, and the client hears of it. */
  reset(connection: number): void {
    if (!this.#connections.close(connection)) return;
    const at = this.#connections.down(connection, this.#loop.now);
    this.#loop.at(at, EVENT.clientLost, this.#connections.get(connection)!.client, connection, null);
  }

  resetAll(machine: Machine): void {
    for (const connection of this.#connections.ofNode(machine.index)) this.reset(connection);
  }

  // ---- events

  replied(client: number, connection: number, replies: readonly ClientReply[]): void {
    if (this.#connections.get(connection)!.open) {
      this.#clients[client]!.received(connection, replies, this.#loop.now);
    }
  }

  wake(client: number): void {
    this.#clients[client]!.wake(this.#loop.now);
  }

  lost(client: number, connection: number): void {
    this.#clients[client]!.lost(connection, this.#loop.now);
  }
}
