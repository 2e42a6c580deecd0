/**
 * Peers and clients on one port. A connection begins with a hello that says which of the two it is (core/wire/session);
 * one that breaks the rules is answered where it can be, closed and counted, and the node goes on.
 */
import type net from "node:net";
import type { NodeId } from "../../core/base/ids.ts";
import { type ClientRequestFrame, decodeMessages, WIRE_VERSION, WireError } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Message } from "../../core/wire/messages.ts";
import type { Response } from "../../core/wire/requests.ts";
import { decodeHello, encodeHelloReply, type Hello, type HelloReply } from "../../core/wire/session.ts";
import { ClientLink } from "./client_link.ts";
import { Gate } from "./gate.ts";
import { Listener } from "./listener.ts";
import { ClientMemory, Turns } from "./load.ts";
import { PeerLink } from "./peer_link.ts";
import { formatAddress, FrameSocket } from "./socket.ts";

const HELLO_MS_MAX = 5000;
/** Whoever has not said who it is costs little memory. */
const HELLO_BYTES_MAX = 4096;
/** How often connections are looked over for frames that do not come to an end. */
const SWEEP_MS = 5000;

export interface TransportEvents {
  messages(from: NodeId, messages: readonly Message[]): void;
  requests(client: number, requests: readonly ClientRequestFrame[]): void;
  clientGone(client: number): void;
  peerLost(peer: NodeId, why: string): void;
  /** A connection that was refused, or closed for what it sent. */
  refused(from: string, why: string): void;
  /** The listener at `address` had stopped to hear connections; it listens anew. */
  deaf(address: string): void;
}

export interface Self {
  readonly node: NodeId;
  /** null: not known yet. */
  readonly network: string | null;
  /** What others are told. */
  readonly address: string;
}

export class Transport {
  readonly #events: TransportEvents;
  readonly #listener: Listener;
  readonly #sockets = new Set<FrameSocket>();
  readonly #peers = new Map<NodeId, PeerLink>();
  readonly #incoming = new Map<NodeId, FrameSocket>();
  readonly #clients = new Map<number, ClientLink>();
  readonly #counters = new Map<string, number>();
  readonly #gate = new Gate({ count: (name) => this.count(name) });
  readonly #turns = new Turns((name, by) => this.count(name, by));
  readonly #memory = new ClientMemory((name) => this.count(name));
  #self: Self | null = null;
  #addressOf: (peer: NodeId) => string | null = () => null;
  #clientNumber = 0;
  #dirtyPeers: PeerLink[] = [];
  #dirtyClients: ClientLink[] = [];
  /** Between begin() and pause(): peers are taken, and messages are sent. */
  #open = false;
  #closing = false;
  readonly #sweeper: ReturnType<typeof setInterval>;

  constructor(events: TransportEvents) {
    this.#events = events;
    this.#listener = new Listener((socket) => {
      if (this.#gate.enter(socket)) this.#accept(socket);
    }, (address) => events.deaf(address));
    this.#sweeper = setInterval(() => this.#sweep(performance.now()), SWEEP_MS);
  }

  /**
   * Listens on `address`; port 0 takes a free one. Resolves to the address that it got.
   * @throws {Error} when the address cannot be listened on
   */
  listen(address: string): Promise<string> {
    return this.#listener.listen(address);
  }

  /** Who answers hellos from now on. Until then nobody does. */
  introduce(self: Self): void {
    this.#self = self;
  }

  /** Takes peers from now on. */
  begin(self: Self, addressOf: (peer: NodeId) => string | null): void {
    this.#self = self;
    this.#addressOf = addressOf;
    this.#open = true;
  }

  /**
   * Closes all connections, and turns peers away until begin(). Clients are taken all the same: events.requests() has
   * to answer them.
   */
  pause(why: string): void {
    this.#open = false;
    for (const link of this.#peers.values()) link.close();
    this.#peers.clear();
    this.#dirtyPeers = [];
    this.#dirtyClients = [];
    for (const socket of this.#sockets) socket.close(why);
  }

  send(to: NodeId, message: Message): void {
    if (!this.#open) return;
    let link = this.#peers.get(to);
    if (link === undefined) {
      link = this.#link(to);
      this.#peers.set(to, link);
    }
    if (link.queue(message)) this.#dirtyPeers.push(link);
  }

  reply(client: number, id: number, response: Response): void {
    const link = this.#clients.get(client);
    if (link?.reply(id, response)) this.#dirtyClients.push(link);
  }

  /** Sends what send() and reply() queued since the last time. */
  flush(): void {
    if (this.#dirtyPeers.length > 0) {
      for (const link of this.#dirtyPeers) link.flush();
      this.#dirtyPeers = [];
    }
    if (this.#dirtyClients.length > 0) {
      const links = this.#dirtyClients;
      this.#dirtyClients = [];
      for (const link of links) {
        link.flush();
        link.proceed();
      }
    }
  }

  get clients(): number {
    return this.#clients.size;
  }

  /** For a status answer: what was counted, and how things stand. */
  counters(): (readonly [string, number])[] {
    return [
      ...this.#gate.counters(),
      ...this.#turns.counters(),
      ...this.#memory.counters(),
      ...[...this.#counters].sort(([a], [b]) => a < b ? -1 : 1),
    ];
  }

  /** Refuses new connections and closes the others once what was sent has left. */
  close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#sweeper);
    this.#turns.close();
    this.#memory.close();
    const closed = this.#listener.close();
    for (const link of this.#peers.values()) link.close();
    for (const socket of this.#sockets) socket.close("this node is stopping");
    return closed;
  }

  count(name: string, by = 1): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }

  /** Ends connections whose frames come to no end, and those that take nothing. */
  #sweep(now: number): void {
    for (const socket of this.#sockets) {
      socket.checkFrame(now);
      if (!socket.isStalled(now)) continue;
      this.count("connections cut off: take nothing");
      socket.destroy();
    }
  }

  #link(peer: NodeId): PeerLink {
    return new PeerLink({
      peer,
      address: () => this.#addressOf(peer),
      hello: () => this.#hello(),
      lost: (why) => this.#events.peerLost(peer, why),
      count: (name, by) => this.count(name, by),
    });
  }

  #hello(): Hello {
    const { node, network, address } = this.#self!;
    return { version: WIRE_VERSION, role: "peer", network, node, address, proof: null };
  }

  #accept(socket: net.Socket): void {
    const from = formatAddress(socket.remoteAddress ?? "?", socket.remotePort ?? 0);
    let take: ((payloads: readonly Uint8Array[]) => void) | null = null;
    let gone = () => {};
    let drained = () => {};
    const connection: FrameSocket = new FrameSocket(socket, {
      frames: (payloads) => {
        try {
          if (take !== null) return take(payloads);
          clearTimeout(late);
          const role = this.#greet({ connection, socket, from }, payloads[0]!);
          if (role === null) return;
          connection.pendingBytesMax = Infinity;
          ({ take, gone, drained } = role);
          if (payloads.length > 1) take(payloads.slice(1));
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
          connection.breakOff(error);
        }
      },
      drained: () => drained(),
      closed: (why, broken) => {
        clearTimeout(late);
        this.#sockets.delete(connection);
        if (broken !== null) this.#refuse(from, why);
        gone();
      },
    });
    const late = setTimeout(() => {
      this.count("connections closed: no hello");
      connection.close(`no hello within ${HELLO_MS_MAX} ms`);
    }, HELLO_MS_MAX);
    connection.pendingBytesMax = HELLO_BYTES_MAX;
    this.#sockets.add(connection);
  }

  #refuse(from: string, why: string): void {
    this.count("connections refused");
    this.#events.refused(from, why);
  }

  /** Answers the hello. null: refused. */
  #greet({ connection, socket, from }: Newcomer, payload: Uint8Array): Role | null {
    let hello: Hello;
    try {
      hello = decodeHello(payload);
    } catch (error) {
      if (!(error instanceof WireError) || error.reason !== "version") throw error;
      this.#answer(connection, "version");
      throw error;
    }
    const reason = this.#objection(hello) ?? (this.#hasRoom(socket, hello.role) ? null : "busy");
    this.#answer(connection, reason);
    if (reason !== null) {
      connection.close(`refused: ${reason}`);
      this.#refuse(from, reason);
      return null;
    }
    return hello.role === "peer" ? this.#takePeer(connection, hello.node!) : this.#takeClient(connection);
  }

  #objection(hello: Hello): HelloReply["reason"] {
    if (this.#closing || this.#self === null) return "closing";
    const { node, network } = this.#self;
    if (hello.network !== null && hello.network !== network) return network === null ? "closing" : "foreign";
    if (hello.role === "client") return null;
    if (hello.network === null) return "foreign";
    if (!this.#open) return "closing";
    return hello.node === node ? "self" : null;
  }

  #hasRoom(socket: net.Socket, role: Hello["role"]): boolean {
    if (role === "peer" || !this.#memory.full) {
      return this.#gate.admit(socket, role === "peer" ? "peer" : "client");
    }
    this.count("connections refused: memory");
    return false;
  }

  #answer(connection: FrameSocket, reason: HelloReply["reason"]): void {
    if (this.#self === null) return;
    const { node, network, address } = this.#self;
    connection.send(seal(encodeHelloReply(
      { version: WIRE_VERSION, accepted: reason === null, reason, network, node, address },
      FRAME_HEADER_BYTES,
    )));
  }

  #takePeer(connection: FrameSocket, peer: NodeId): Role {
    this.#peers.get(peer)?.hurry();
    return {
      take: (payloads) => {
        // Not at the hello already: it may have been for a node that had this address before, and goes no further.
        if (this.#incoming.get(peer) !== connection) {
          this.#incoming.get(peer)?.close("the peer made a new connection");
          this.#incoming.set(peer, connection);
        }
        for (const payload of payloads) this.#events.messages(peer, decodeMessages(payload));
      },
      gone: () => {
        if (this.#incoming.get(peer) === connection) this.#incoming.delete(peer);
      },
      drained: () => {},
    };
  }

  #takeClient(connection: FrameSocket): Role {
    const client = ++this.#clientNumber;
    const link = new ClientLink({
      client,
      socket: connection,
      hand: (requests) => this.#events.requests(client, requests),
      turns: this.#turns,
      memory: this.#memory,
      count: (name, by) => this.count(name, by),
    });
    this.#clients.set(client, link);
    this.#memory.add(link);
    return {
      take: (payloads) => link.receive(payloads),
      gone: () => {
        link.gone();
        this.#clients.delete(client);
        this.#memory.delete(link);
        this.#events.clientGone(client);
      },
      drained: () => link.proceed(),
    };
  }
}

/** A connection that has not said who it is. `socket` is what the listener took, whatever lies over it. */
interface Newcomer {
  readonly connection: FrameSocket;
  readonly socket: net.Socket;
  readonly from: string;
}

/** What a connection turned out to be once it had said hello. */
interface Role {
  readonly take: (payloads: readonly Uint8Array[]) => void;
  readonly gone: () => void;
  readonly drained: () => void;
}
