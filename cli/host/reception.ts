/**
 * From a socket that was taken to a connection that has said hello: preamble, TLS, the first frame. Whoever has not got
 * that far within GREET_MS_MAX goes.
 */
import type net from "node:net";
import type tls from "node:tls";
import { WireError } from "../../core/wire/codec.ts";
import { PREAMBLE, PREAMBLE_BYTES } from "../../core/wire/session.ts";
import { sourceOf } from "./gate.ts";
import { type Handshakes, looksLikeTls, TLS_START_BYTES } from "./handshakes.ts";
import { CertificateError, type MemberCertificate } from "./identity/certificates.ts";
import { formatAddress, FrameSocket } from "./socket.ts";
import { acceptTls, peerCertificate, type TlsMaterial } from "./tls.ts";
import { Carrier } from "./tls_stream.ts";

const GREET_MS_MAX = 5000;
/** Whoever has not said who it is costs little memory. */
const HELLO_BYTES_MAX = 4096;

/** How a connection came in. `shown`: the certificate that this node showed there, in DER. */
export type Channel =
  | { readonly kind: "open" }
  | { readonly kind: "member"; readonly certificate: MemberCertificate; readonly shown: Uint8Array }
  | { readonly kind: "client"; readonly shown: Uint8Array };

/** A connection that has not said who it is. `socket` is what the listener took, whatever lies over it. */
export interface Newcomer {
  readonly connection: FrameSocket;
  readonly socket: net.Socket;
  readonly channel: Channel;
  /** "host:port" of the other end, and its host alone. */
  readonly from: string;
  readonly host: string;
}

/** What a connection turned out to be once it had said hello. */
export interface Role {
  readonly take: (payloads: readonly Uint8Array[]) => void;
  readonly gone: () => void;
  readonly drained: () => void;
  /** Bytes came, whether they complete a frame or not. */
  readonly read?: () => void;
}

export interface ReceptionOptions {
  /** null: no TLS, the network is open or this node has no certificate yet. */
  readonly material: () => TlsMaterial | null;
  /** The frame that tells anyone whom to believe; null: not known yet, or that goes out often enough. */
  readonly answer: (source: string) => Uint8Array | null;
  readonly handshakes: Pick<Handshakes, "enter">;
  /** Answers the hello in `payload`. null: refused, and the connection closes. */
  readonly greet: (newcomer: Newcomer, payload: Uint8Array) => Role | null;
  readonly refused: (from: string, why: string) => void;
  readonly count: (name: string, by?: number) => void;
}

export class Reception {
  readonly #options: ReceptionOptions;
  readonly #connections = new Set<FrameSocket>();
  /** Those that are not connections yet. */
  readonly #sockets = new Set<net.Socket>();

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  get connections(): ReadonlySet<FrameSocket> {
    return this.#connections;
  }

  accept(socket: net.Socket): void {
    const visit = new Visit(socket, () => {
      this.#options.count("connections closed: no hello");
      visit.close(`no hello within ${GREET_MS_MAX} ms`);
    });
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    // Of a connection that breaks before it is one there is nothing to tell.
    socket.on("error", () => {});
    const read = () => {
      const preamble: Uint8Array | null = socket.read(PREAMBLE_BYTES);
      if (preamble === null) return;
      socket.removeListener("readable", read);
      this.#begin(visit, String.fromCharCode(...preamble));
    };
    socket.on("readable", read);
  }

  /** Closes whoever has said hello once what was sent has left, and the others at once. */
  close(why: string): void {
    for (const socket of this.#sockets) socket.destroy();
    for (const connection of this.#connections) connection.close(why);
  }

  #begin(visit: Visit, preamble: string): void {
    switch (preamble) {
      case PREAMBLE.open:
        return this.#converse(visit, visit.socket, null, { kind: "open" });
      case PREAMBLE.member:
        return this.#awaitTls(visit, true);
      case PREAMBLE.client:
        return this.#awaitTls(visit, false);
      case PREAMBLE.authorities:
        return this.#answer(visit);
      default:
        this.#options.count("connections refused: no preamble");
        this.#options.refused(visit.from, "it does not begin as a connection of this protocol does");
        return visit.close("no preamble");
    }
  }

  #answer(visit: Visit): void {
    const answer = this.#options.answer(sourceOf(visit.host));
    this.#options.count("authorities asked for");
    if (answer === null) return visit.close("closing");
    visit.socket.end(answer);
  }

  /** A handshake costs much: it begins when there is something to begin with, and its turn has come. */
  #awaitTls(visit: Visit, mutual: boolean): void {
    if (this.#options.material() === null) {
      this.#options.count("connections refused: no TLS here");
      return visit.close("no TLS");
    }
    const { socket } = visit;
    const read = () => {
      const start: Uint8Array | null = socket.read(TLS_START_BYTES);
      if (start === null) return;
      socket.removeListener("readable", read);
      if (!looksLikeTls(start)) {
        this.#options.count("connections refused: no TLS spoken");
        this.#options.refused(visit.from, "it does not begin a TLS handshake");
        return visit.close("no TLS");
      }
      socket.unshift(start);
      const leave = this.#options.handshakes.enter(sourceOf(visit.host), () => this.#secure(visit, mutual));
      socket.once("close", leave);
    };
    socket.on("readable", read);
    read();
  }

  #secure(visit: Visit, mutual: boolean): void {
    const material = this.#options.material();
    if (material === null || visit.socket.destroyed) return visit.close("no TLS");
    const carrier = new Carrier(visit.socket);
    this.#options.count("TLS handshakes");
    acceptTls(carrier, {
      material,
      mutual,
      secured: (stream) => {
        const channel = this.#channelOf(stream, mutual, material.own.der, visit.from);
        if (channel === null) return void stream.destroy();
        this.#converse(visit, stream, carrier, channel);
      },
      failed: (why) => {
        this.#options.count("TLS handshakes failed");
        this.#options.refused(visit.from, `TLS failed: ${why}`);
      },
    });
  }

  #channelOf(stream: tls.TLSSocket, mutual: boolean, shown: Uint8Array, from: string): Channel | null {
    // The runtime gives out tickets that any of its servers takes, also one that wants a certificate where the other did
    // not. Who it is, each connection proves anew.
    if (stream.isSessionReused()) {
      this.#options.count("connections refused: TLS session of before");
      this.#options.refused(from, "it takes up a TLS session of before");
      return null;
    }
    if (!mutual) return { kind: "client", shown };
    try {
      const certificate = stream.authorized ? peerCertificate(stream) : null;
      if (certificate !== null) return { kind: "member", certificate, shown };
      this.#options.refused(from, "it showed no certificate");
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      this.#options.refused(from, error.message);
    }
    this.#options.count("connections refused: certificate");
    return null;
  }

  /** Frames from now on, the first of which is a hello. */
  #converse(
    visit: Visit,
    stream: net.Socket | tls.TLSSocket,
    carrier: Carrier | null,
    channel: Channel,
  ): void {
    const { socket, from, host } = visit;
    let role: Role | null = null;
    const connection: FrameSocket = new FrameSocket(stream, {
      frames: (payloads) => {
        try {
          if (role !== null) return role.take(payloads);
          visit.greeted();
          role = this.#options.greet({ connection, socket, channel, from, host }, payloads[0]!);
          if (role === null) return;
          connection.pendingBytesMax = Infinity;
          if (payloads.length > 1) role.take(payloads.slice(1));
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
          connection.breakOff(error);
        }
      },
      read: () => role?.read?.(),
      drained: () => role?.drained(),
      closed: (why, broken) => {
        visit.greeted();
        this.#connections.delete(connection);
        if (broken !== null) this.#options.refused(from, why);
        role?.gone();
      },
    }, carrier);
    connection.pendingBytesMax = HELLO_BYTES_MAX;
    this.#connections.add(connection);
    this.#sockets.delete(socket);
    visit.connection = connection;
    // It was read from in pieces up to here.
    if (carrier === null) socket.resume();
  }
}

/** A socket from when it was taken until it has said hello. */
class Visit {
  readonly socket: net.Socket;
  readonly from: string;
  readonly host: string;
  connection: FrameSocket | null = null;
  readonly #late: ReturnType<typeof setTimeout>;

  constructor(socket: net.Socket, late: () => void) {
    this.socket = socket;
    this.host = socket.remoteAddress ?? "?";
    this.from = formatAddress(this.host, socket.remotePort ?? 0);
    this.#late = setTimeout(late, GREET_MS_MAX);
    socket.on("close", () => this.greeted());
  }

  /** The time for that is no longer counted. */
  greeted(): void {
    clearTimeout(this.#late);
  }

  close(why: string): void {
    this.greeted();
    if (this.connection !== null) this.connection.close(why);
    else this.socket.destroy();
  }
}
