/**
 * Peers and clients on one port. A connection begins with a hello that says which of the two it is (core/wire/session);
 * one that breaks the rules is answered where it can be, closed and counted, and the node goes on.
 */
import type { NodeId } from "../../core/base/ids.ts";
import { decodeMessages, WIRE_VERSION, WireError } from "../../core/wire/codec.ts";
import type { ClientRequestFrame } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Message } from "../../core/wire/messages.ts";
import { refusal } from "../../core/wire/ops.ts";
import type { Op, Response } from "../../core/wire/requests.ts";
import type { Principal } from "../../core/wire/security.ts";
import {
  decodeHello,
  decodeSecrets,
  encodeAdmission,
  encodeHelloReply,
  frameTag,
  type GenerationSecret,
  type Hello,
  type HelloReply,
  type Lane,
  peerHello,
} from "../../core/wire/session.ts";
import { FRAME, type HelloRefusal } from "../../core/wire/tags.ts";
import { ClientLink } from "./client_link.ts";
import { AuthorityDesk } from "./authority_desk.ts";
import { authorityAnswer, type NodeCredentials } from "./credentials.ts";
import { BulkIntake } from "./bulk_intake.ts";
import { BulkLink, isBulk } from "./bulk_link.ts";
import { Doorkeeper, type Guest, type Incident } from "./doorkeeper.ts";
import { Gate, sourceOf } from "./gate.ts";
import { Handshakes } from "./handshakes.ts";
import { Listener } from "./listener.ts";
import { ClientMemory, Turns } from "./load.ts";
import type { Actor, LocalHearing, LocalWay } from "./local_client.ts";
import { LocalLink } from "./local_link.ts";
import { PeerLink } from "./peer_link.ts";
import { PeerRequests, waitsForTurn } from "./peer_requests.ts";
import { type Newcomer, Reception, type Role } from "./reception.ts";
import type { FrameSocket } from "./socket.ts";

/** How often connections are looked over for frames that do not come to an end. */
const SWEEP_MS = 5000;

export interface TransportEvents {
  messages(from: NodeId, messages: readonly Message[]): void;
  /** `who`: null in an open network. */
  requests(client: number, requests: readonly ClientRequestFrame[], who: Principal | null): void;
  clientGone(client: number): void;
  peerLost(peer: NodeId, why: string): void;
  /** Secrets of the network's keys, from the host of a member. */
  secrets(from: NodeId, secrets: readonly GenerationSecret[]): void;
  /** Something that an operator wants to know of later. */
  incident(incident: Incident): void;
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
  /** null: the network is open, and neither encrypts nor asks who somebody is. */
  readonly credentials: NodeCredentials | null;
}

export class Transport {
  readonly #events: TransportEvents;
  readonly #listener: Listener;
  readonly #reception: Reception;
  readonly #doorkeeper: Doorkeeper;
  readonly #guests = new Map<FrameSocket, Guest>();
  readonly #peers = new Map<NodeId, PeerLink>();
  readonly #bulk = new Map<NodeId, BulkLink>();
  readonly #incoming: Readonly<Record<Lane, Map<NodeId, FrameSocket>>> = {
    ordinary: new Map(),
    bulk: new Map(),
  };
  readonly #intake = new BulkIntake((from, messages) => this.#events.messages(from, messages));
  readonly #clients = new Map<number, ClientLink | LocalLink>();
  /** Those of the clients that are in this process. */
  readonly #locals = new Set<LocalLink>();
  /** What each peer forwards for its clients. */
  readonly #forwards = new Map<NodeId, PeerRequests>();
  readonly #clientAddresses = new Map<number, string>();
  /** Of the clients those who came with an invite, and with which key. */
  readonly #joiners = new Map<number, Joiner>();
  readonly #counters = new Map<string, number>();
  readonly #gate = new Gate({ count: (name) => this.count(name) });
  readonly #handshakes = new Handshakes({ count: (name) => this.count(name) });
  readonly #desk = new AuthorityDesk();
  readonly #turns = new Turns((name, by) => this.count(name, by));
  readonly #memory = new ClientMemory((name) => this.count(name));
  #self: Self | null = null;
  #addressOf: (peer: NodeId) => string | null = () => null;
  #clientNumber = 0;
  #dirtyPeers: PeerLink[] = [];
  #dirtyClients: (ClientLink | LocalLink)[] = [];
  #flushDue: ReturnType<typeof setImmediate> | null = null;
  /** Between begin() and pause(): peers are taken, and messages are sent. */
  #open = false;
  #closing = false;
  readonly #sweeper: ReturnType<typeof setInterval>;

  constructor(events: TransportEvents) {
    this.#events = events;
    this.#listener = new Listener((socket) => {
      if (this.#gate.enter(socket)) this.#reception.accept(socket);
    }, (address) => events.deaf(address));
    this.#doorkeeper = new Doorkeeper({
      credentials: () => this.#self?.credentials ?? null,
      count: (name) => this.count(name),
      incident: (incident) => events.incident(incident),
    });
    this.#reception = new Reception({
      material: () => this.#self?.credentials?.tls() ?? null,
      answer: (source) => this.#authorities(source),
      handshakes: this.#handshakes,
      greet: (newcomer, payload) => this.#greet(newcomer, payload),
      refused: (from, why) => this.#refuse(from, why),
      count: (name, by) => this.count(name, by),
    });
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
    for (const link of [...this.#peers.values(), ...this.#bulk.values()]) link.close();
    this.#peers.clear();
    this.#bulk.clear();
    this.#intake.close();
    for (const requests of this.#forwards.values()) this.#turns.gone(requests);
    this.#forwards.clear();
    this.#dirtyPeers = [];
    this.#dirtyClients = [];
    this.#reception.close(why);
    for (const link of this.#locals) link.cutOff();
  }

  /** Takes requests from within this process. Closed, it is a client that has gone. */
  openLocal(as: Actor, hearing: LocalHearing): LocalWay {
    const client = ++this.#clientNumber;
    const link = new LocalLink({
      ...hearing,
      hand: (requests) => this.#events.requests(client, requests, this.#principalOf(as)),
      turns: this.#turns,
      memory: this.#memory,
    });
    this.#clients.set(client, link);
    this.#locals.add(link);
    this.#memory.add(link);
    return {
      send: (requests) => link.send(requests),
      close: () => {
        link.gone();
        this.#clients.delete(client);
        this.#locals.delete(link);
        this.#memory.delete(link);
        this.#events.clientGone(client);
      },
    };
  }

  #principalOf(as: Actor): Principal | null {
    const self = this.#self;
    if (self === null || self.credentials === null) return null;
    return as.kind === "node" ? { kind: "member", node: self.node } : as;
  }

  /** Closes connections with who may not be here any more. After each change of the view. */
  reconsider(): void {
    for (const link of [...this.#peers.values(), ...this.#bulk.values()]) link.reconsider();
    for (const [connection, guest] of [...this.#guests]) {
      const why = this.#doorkeeper.objection(guest);
      if (why === null) continue;
      this.count(`connections cut off: ${why}`);
      connection.destroy();
    }
  }

  /** Hands secrets to the host of a member, if it is connected and still the one that the view knows. */
  sendSecrets(to: NodeId, secrets: readonly GenerationSecret[]): void {
    if (this.#open) this.#linkTo(to).sendSecrets(secrets);
  }

  send(to: NodeId, message: Message): void {
    if (!this.#open) return;
    if (isBulk(message)) return this.#bulkLinkTo(to).send(message);
    const link = this.#linkTo(to);
    if (link.queue(message)) this.#dirtyPeers.push(link);
  }

  reply(client: number, id: number, response: Response): void {
    const joiner = this.#joiners.get(client);
    if (joiner !== undefined && response.kind === "joined") return this.#admit(client, id, response, joiner);
    this.#queue(client, id, response);
  }

  #queue(client: number, id: number, response: Response): void {
    const link = this.#clients.get(client);
    if (link?.reply(id, response)) this.#dirtyClients.push(link);
  }

  /** What a member needs goes before the answer to its join. */
  #admit(
    client: number,
    id: number,
    response: Extract<Response, { kind: "joined" }>,
    { connection, key, from }: Joiner,
  ): void {
    const node = response.view.members.find(({ identity }) => identity?.key === key)?.id;
    const credentials = this.#self?.credentials ?? null;
    const admission = node === undefined || credentials === null
      ? Promise.reject(new Error("the view does not name it"))
      : credentials.admit(node, key);
    admission.then((given): Response => {
      connection.send(seal(encodeAdmission(given, FRAME_HEADER_BYTES)));
      return response;
    }, (error: Error) => {
      // It asks again, here or elsewhere, and is let in again: G4 of core/system/security.ts.
      this.#events.refused(from, `cannot issue its certificate: ${error.message}`);
      return refusal("busy", "The node cannot issue a certificate now; ask another");
    }).then((answer) => {
      this.#queue(client, id, answer);
      this.flush();
    });
  }

  /** Sends what send() and reply() queued since the last time. Under TLS it leaves when the event loop goes on. */
  flush(): boolean {
    const any = this.#dirtyPeers.length + this.#dirtyClients.length > 0;
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
    return any && (this.#self?.credentials ?? null) !== null;
  }

  /** Where a client is, "host:port"; empty: it has gone. */
  addressOf(client: number): string {
    return this.#clientAddresses.get(client) ?? "";
  }

  /** Those who came over connections. */
  get clients(): number {
    return this.#clients.size - this.#locals.size;
  }

  /** For a status answer: what was counted, and how things stand. */
  counters(): (readonly [string, number])[] {
    return [
      ...this.#gate.counters(),
      ...this.#handshakes.counters(),
      ...this.#turns.counters(),
      ...this.#memory.counters(),
      [
        "bulk bytes waiting for peers",
        [...this.#bulk.values()].reduce((sum, link) => sum + link.waitingBytes, 0),
      ],
      ["bulk bytes waiting for the node", this.#intake.waitingBytes],
      ...[...this.#counters].sort(([a], [b]) => a < b ? -1 : 1),
    ];
  }

  /** Refuses new connections and closes the others once what was sent has left. */
  close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#sweeper);
    this.#turns.close();
    this.#memory.close();
    this.#handshakes.close();
    const closed = this.#listener.close();
    for (const link of [...this.#peers.values(), ...this.#bulk.values()]) link.close();
    this.#intake.close();
    this.#reception.close("this node is stopping");
    return closed;
  }

  count(name: string, by = 1): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }

  /** Ends connections whose frames come to no end, and those that take nothing. */
  #sweep(now: number): void {
    for (const socket of this.#reception.connections) {
      socket.checkFrame(now);
      if (!socket.isStalled(now)) continue;
      this.count("connections cut off: take nothing");
      socket.destroy();
    }
  }

  #linkTo(peer: NodeId): PeerLink {
    let link = this.#peers.get(peer);
    if (link === undefined) this.#peers.set(peer, link = this.#link(peer));
    return link;
  }

  #link(peer: NodeId): PeerLink {
    return new PeerLink({ ...this.#way(peer, "ordinary"), lost: (why) => this.#events.peerLost(peer, why) });
  }

  #bulkLinkTo(peer: NodeId): BulkLink {
    let link = this.#bulk.get(peer);
    if (link === undefined) this.#bulk.set(peer, link = new BulkLink(this.#way(peer, "bulk")));
    return link;
  }

  #way(peer: NodeId, lane: Lane) {
    return {
      peer,
      address: () => this.#addressOf(peer),
      credentials: () => this.#self?.credentials ?? null,
      hello: () => peerHello(this.#self!, lane),
      count: (name: string, by: number) => this.count(name, by),
    };
  }

  #authorities(source: string): Uint8Array | null {
    const self = this.#self;
    if (self === null || self.network === null || this.#closing) return null;
    const { network, credentials } = self;
    const view = credentials?.view() ?? null;
    if (credentials !== null && (view === null || view.security === null)) return null;
    const answer = this.#desk.tell(
      source,
      view ?? self,
      () => view === null ? { network, open: true, authorities: [], statements: [] } : authorityAnswer(view),
    );
    if (answer === null) this.count("authorities not told: asked too often");
    return answer;
  }

  #refuse(from: string, why: string): void {
    this.count("connections refused");
    this.#events.refused(from, why);
  }

  /** Answers the hello. null: refused. */
  #greet(newcomer: Newcomer, payload: Uint8Array): Role | null {
    const { connection, from } = newcomer;
    let hello: Hello;
    try {
      hello = decodeHello(payload);
    } catch (error) {
      if (!(error instanceof WireError) || error.reason !== "version") throw error;
      this.#answer(connection, "version");
      throw error;
    }
    const found = this.#objection(hello) ?? this.#guestOf(newcomer, hello);
    const reason = typeof found === "string" ? found : null;
    this.#answer(connection, reason);
    if (typeof found === "string") {
      connection.close(`refused: ${found}`);
      this.#refuse(from, found);
      return null;
    }
    this.#guests.set(connection, found);
    if (found.key !== null) this.#handshakes.proved(sourceOf(newcomer.host));
    const role = found.kind === "peer"
      ? this.#takePeer(connection, found.node, hello.lane)
      : this.#takeClient(newcomer, found);
    return {
      ...role,
      gone: () => {
        this.#guests.delete(connection);
        role.gone();
      },
    };
  }

  #objection(hello: Hello): HelloRefusal | null {
    if (this.#closing || this.#self === null) return "closing";
    const { node, network } = this.#self;
    if (hello.network !== null && hello.network !== network) return network === null ? "closing" : "foreign";
    if (hello.role === "client") return null;
    if (hello.network === null) return "foreign";
    if (!this.#open) return "closing";
    return hello.node === node ? "self" : null;
  }

  #guestOf(newcomer: Newcomer, hello: Hello): Guest | HelloRefusal {
    const found = this.#doorkeeper.examine(newcomer, hello);
    if (typeof found === "string") {
      this.count(`hellos refused: ${found}`);
      return found;
    }
    return this.#hasRoom(newcomer.socket, hello.role) ? found : "busy";
  }

  #hasRoom(socket: Newcomer["socket"], role: Hello["role"]): boolean {
    if (role === "peer" || !this.#memory.full) {
      return this.#gate.admit(socket, role === "peer" ? "peer" : "client");
    }
    this.count("connections refused: memory");
    return false;
  }

  #answer(connection: FrameSocket, reason: HelloReply["reason"]): void {
    if (this.#self === null) return;
    const { node, network, address } = this.#self, accepted = reason === null;
    const clockMs = reason === "clock" ? Date.now() : null;
    connection.send(seal(encodeHelloReply(
      { version: WIRE_VERSION, accepted, reason, network, node, address, clockMs },
      FRAME_HEADER_BYTES,
    )));
  }

  #takePeer(connection: FrameSocket, peer: NodeId, lane: Lane): Role {
    this.#peers.get(peer)?.hurry();
    this.#bulk.get(peer)?.hurry();
    const incoming = this.#incoming[lane];
    return {
      take: (payloads) => {
        // Not at the hello already: it may have been for a node that had this address before, and goes no further.
        if (incoming.get(peer) !== connection) {
          incoming.get(peer)?.close("the peer made a new connection");
          incoming.set(peer, connection);
        }
        if (lane === "bulk") return this.#intake.take(peer, connection, payloads);
        for (const payload of payloads) {
          if (frameTag(payload) === FRAME.secrets) this.#events.secrets(peer, decodeSecrets(payload));
          else this.#heard(peer, decodeMessages(payload));
        }
      },
      gone: () => {
        if (incoming.get(peer) === connection) incoming.delete(peer);
        this.#intake.forget(connection);
      },
      drained: () => {},
      ...(lane === "bulk" ? { read: () => this.#intake.heard(connection) } : {}),
    };
  }

  /** What its clients ask waits for its turn, the rest does not wait behind that (O6). */
  #heard(peer: NodeId, messages: readonly Message[]): void {
    const forwards = messages.filter(waitsForTurn);
    if (forwards.length === 0) return this.#events.messages(peer, messages);
    if (forwards.length < messages.length) {
      this.#events.messages(peer, messages.filter((message) => !waitsForTurn(message)));
    }
    let requests = this.#forwards.get(peer);
    if (requests === undefined) this.#forwards.set(peer, requests = this.#requestsOf(peer));
    requests.receive(forwards);
  }

  #requestsOf(peer: NodeId): PeerRequests {
    return new PeerRequests({
      hand: (requests) => this.#events.messages(peer, requests),
      answer: (reply) => {
        this.send(peer, reply);
        // It comes between the node's turns.
        this.#flushDue ??= setImmediate(() => {
          this.#flushDue = null;
          this.flush();
        });
      },
      turns: this.#turns,
    });
  }

  #takeClient({ connection, from }: Newcomer, { who, key }: Extract<Guest, { kind: "client" }>): Role {
    const client = ++this.#clientNumber;
    const link = new ClientLink({
      client,
      socket: connection,
      hand: (requests) => this.#hand(client, requests, who),
      turns: this.#turns,
      memory: this.#memory,
      count: (name, by) => this.count(name, by),
    });
    this.#clients.set(client, link);
    this.#clientAddresses.set(client, from);
    if (who?.kind === "invite" && key !== null) this.#joiners.set(client, { connection, key, from });
    this.#memory.add(link);
    return {
      take: (payloads) => link.receive(payloads),
      gone: () => {
        link.gone();
        this.#clients.delete(client);
        this.#clientAddresses.delete(client);
        this.#joiners.delete(client);
        this.#memory.delete(link);
        this.#events.clientGone(client);
      },
      drained: () => link.proceed(),
    };
  }

  /** Who came with an invite may bring in nobody but who holds the key that it showed. */
  #hand(client: number, requests: readonly ClientRequestFrame[], who: Principal | null): void {
    const joiner = this.#joiners.get(client);
    const foreign = (op: Op) => op.kind === "join" && op.member.identity?.key !== joiner?.key;
    const kept = joiner === undefined ? requests : requests.filter(({ request }) => !foreign(request.op));
    for (const { id } of joiner === undefined ? [] : requests.filter((each) => !kept.includes(each))) {
      this.#queue(client, id, refusal("denied", "A node joins with the key that it showed, and no other"));
    }
    if (kept.length > 0) this.#events.requests(client, kept, who);
    if (kept.length < requests.length) this.flush();
  }
}

interface Joiner {
  readonly connection: FrameSocket;
  readonly key: string;
  readonly from: string;
}
