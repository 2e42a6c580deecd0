import type { Instant, NodeId } from "../core/base/ids.ts";
import { invariant } from "../core/base/invariant.ts";
import type { Random } from "../core/base/random.ts";
import { ClientMachine, type Outgoing } from "../core/client/client.ts";
import { partitionOf } from "../core/placement/key.ts";
import type { Op, Response, WatchOp } from "../core/wire/requests.ts";
import type { Client, ClientReply, IdentifiedRequest, Login } from "./clients.ts";
import type { World } from "./world.ts";

export type Done = (response: Response, now: number) => void;
/** Of a watch: `final` where it has ended. */
export type Told = (response: Response, final: boolean) => void;

/** The real client machine on the virtual network: opens connections, carries its requests, wakes it. */
export class ClientDriver implements Client {
  readonly machine: ClientMachine;
  readonly #world: World;
  readonly #random: Random;
  readonly #number: number;
  /** What its connections prove; undefined: nothing, in an open network. */
  #login: Login | undefined;
  readonly #waiting = new Map<number, Done>();
  readonly #watches = new Map<number, Told>();
  readonly #connections = new Map<NodeId, number>();
  readonly #nodes = new Map<number, NodeId>();
  #wakeAt = Infinity;
  #closed = false;
  /** Requests sent, each attempt counted. */
  attempts = 0;
  /** Connections that broke. */
  losses = 0;
  /** Attempts that were refused because too many others waited. */
  busy = 0;

  constructor(world: World, random: Random, login?: Login) {
    this.#world = world;
    this.#login = login;
    this.#random = random;
    this.#number = world.addClient(this);
    let client = "";
    for (let i = 0; i < 4; i++) client += random.uint32().toString(16).padStart(8, "0");
    this.machine = new ClientMachine({ client, random: random.fork("machine"), partitionOf });
  }

  get idle(): boolean {
    return this.#waiting.size === 0;
  }

  submit(op: Op, done: Done, deadlineUs?: number): void {
    const options = deadlineUs === undefined ? {} : { deadlineUs };
    this.#waiting.set(this.machine.submit(op, this.#now, options), done);
    this.#flush();
  }

  /** Begins a watch; the ticket ends it. */
  watch(op: WatchOp, told: Told): number {
    const ticket = this.machine.submit(op, this.#now);
    this.#watches.set(ticket, told);
    this.#flush();
    return ticket;
  }

  unwatch(ticket: number): void {
    if (!this.#watches.delete(ticket)) return;
    this.machine.submit({ kind: "unwatch", watch: ticket }, this.#now);
    this.#flush();
  }

  /** Its process ends: it hears nothing any more, and what it had asked for may happen or not. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#nodes.keys()) this.#world.disconnect(connection);
    this.#connections.clear();
    this.#nodes.clear();
    this.#waiting.clear();
    this.#watches.clear();
  }

  /** From now on with another access key: all connections are made anew. */
  relogin(login: Login): void {
    this.#login = login;
    for (const [node, connection] of [...this.#connections]) {
      this.#world.disconnect(connection);
      this.#connections.delete(node);
      this.#nodes.delete(connection);
      this.machine.connectionLost(node, this.#now);
    }
    this.#flush();
  }

  // ---- Client

  wake(): void {
    if (this.#closed) return;
    if (this.#world.loop.now >= this.#wakeAt) this.#wakeAt = Infinity;
    this.machine.wake(this.#now);
    this.#flush();
  }

  received(connection: number, replies: readonly ClientReply[]): void {
    const node = this.#nodes.get(connection);
    if (node === undefined) return;
    for (const { id, response } of replies) {
      if (response.kind === "refused" && response.reason === "busy") this.busy++;
      this.machine.handle(node, id, response, this.#now);
    }
    this.#flush();
  }

  lost(connection: number): void {
    const node = this.#nodes.get(connection);
    if (node === undefined) return;
    this.#nodes.delete(connection);
    this.#connections.delete(node);
    this.losses++;
    this.machine.connectionLost(node, this.#now);
    this.#flush();
  }

  // ---- what the machine asks for

  get #now(): Instant {
    return this.#world.loop.now as Instant;
  }

  #flush(): void {
    for (let out = this.machine.outgoing(); out.length > 0; out = this.machine.outgoing()) this.#send(out);
    for (const { ticket, response, final } of this.machine.completions()) {
      const told = this.#watches.get(ticket);
      if (told !== undefined) {
        if (final) this.#watches.delete(ticket);
        told(response, final);
        continue;
      }
      const done = this.#waiting.get(ticket);
      this.#waiting.delete(ticket);
      done?.(response, this.#world.loop.now);
    }
    const at = this.machine.nextWake();
    if (at < this.#wakeAt && at < Number.MAX_SAFE_INTEGER) {
      this.#wakeAt = at;
      this.#world.wakeClient(this.#number, at);
    }
  }

  #send(outgoing: readonly Outgoing[]): void {
    const frames = new Map<number, IdentifiedRequest[]>();
    for (const { node, id, request } of outgoing) {
      const connection = this.#connectionTo(node);
      const frame = frames.get(connection);
      if (frame === undefined) frames.set(connection, [{ id, request }]);
      else frame.push({ id, request });
      this.attempts++;
    }
    for (const [connection, requests] of frames) this.#world.request(connection, requests);
  }

  /** `node` null: wherever there is a connection, or to a node at random. */
  #connectionTo(node: NodeId | null): number {
    const to = node ?? this.#anyNode();
    const open = this.#connections.get(to);
    if (open !== undefined) return open;
    const machine = this.#world.machine(to);
    invariant(machine !== undefined, () => `A client is told of nodes that there are, not of "${to}"`);
    const connection = this.#world.connect(this.#number, machine, this.#login);
    this.#connections.set(to, connection);
    this.#nodes.set(connection, to);
    return connection;
  }

  #anyNode(): NodeId {
    const known = this.#world.machines.filter((machine) => machine.life > 0);
    // Nobody keeps the address of a machine that is gone for good, as long as there are others.
    const there = known.filter((machine) => !machine.retired);
    return this.#random.pick(there.length > 0 ? there : known).id;
  }
}
