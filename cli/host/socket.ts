import net from "node:net";
import type tls from "node:tls";
import { releaseWhole } from "../../core/base/bytes.ts";
import { FrameReader } from "../../core/wire/framing.ts";
import { WireError } from "../../core/wire/codec.ts";
import { PREAMBLE } from "../../core/wire/session.ts";
import { CertificateError, type MemberCertificate } from "./identity/certificates.ts";
import { type DialOptions, dialTls, peerCertificate, tlsErrorText } from "./tls.ts";
import { Carrier } from "./tls_stream.ts";

/** What happens on a connection. Nothing follows closed(), which comes exactly once. */
export interface SocketEvents {
  /** All frames that one read completed. */
  frames(payloads: readonly Uint8Array[]): void;
  /** Bytes came, whether they complete a frame or not. */
  read?(): void;
  /** Less than half of the bytes that were waiting are left. */
  drained?(): void;
  /** `broken` is what was wrong with the other end's frames, null where it was not that. */
  closed(why: string, broken: WireError | null): void;
}

/** A stream of frames to and from another process. All that depends on the kind of stream lies behind this. */
export class FrameSocket {
  readonly #socket: net.Socket | tls.TLSSocket;
  /** Under TLS; null: there is none. */
  readonly #carrier: Carrier | null;
  readonly #reader = new FrameReader();
  readonly #events: SocketEvents;
  #why: string | null = null;
  #broken: WireError | null = null;
  /** Since when the frame under way is; null: none is. */
  #frameSince: number | null = null;
  #sentBytes = 0;
  /** What the system had taken of it when that was looked at last, and since when it is so. */
  #taken = { bytes: 0, since: 0 };
  /** Of a frame that is not whole. */
  pendingBytesMax = Infinity;

  constructor(socket: net.Socket | tls.TLSSocket, events: SocketEvents, carrier: Carrier | null = null) {
    this.#socket = socket;
    this.#carrier = carrier;
    this.#events = events;
    // The runtime's TLS tells of what it cannot decrypt, and keeps the connection, which says nothing ever after.
    const failed = (error: Error) => {
      this.#why ??= tlsErrorText(error);
      this.#drop();
    };
    if (carrier === null) socket.setNoDelay(true);
    else carrier.on("error", failed);
    socket.on("data", (chunk: Uint8Array) => this.#read(chunk));
    socket.on("drain", () => events.drained?.());
    socket.on("error", failed);
    socket.on("end", () => this.close("the other end closed the connection"));
    socket.on("close", () => events.closed(this.#why ?? "the connection was closed", this.#broken));
  }

  /** Bytes accepted by send() that the system has not taken yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength + (this.#carrier?.waitingBytes ?? 0);
  }

  /** Bytes that came and make no whole frame yet, and those that wait to leave. */
  get heldBytes(): number {
    const unread = this.#socket.readableLength + (this.#carrier?.readableLength ?? 0);
    return this.#reader.pendingBytes + unread + this.waitingBytes;
  }

  /** One or more sealed frames. They leave at once where the system has room. */
  send(frames: Uint8Array): void {
    if (this.#why !== null) return;
    this.#sentBytes += frames.length;
    this.#socket.write(frames);
  }

  pause(): void {
    this.#carrier?.hold();
    this.#socket.pause();
  }

  resume(): void {
    // While nothing was read no frame could come to its end.
    if (this.#frameSince !== null) this.#frameSince = performance.now();
    this.#carrier?.release();
    this.#socket.resume();
  }

  /** Breaks the connection off where a frame has been under way for too long: each may hold 4 MiB. */
  checkFrame(now: number): void {
    if (this.#frameSince === null || this.#socket.isPaused()) return;
    if (now - this.#frameSince < FRAME_MS_MAX || this.#why !== null) return;
    this.breakOff(new WireError("frame", `A frame did not come to its end within ${FRAME_MS_MAX / 1000} s`));
  }

  /** Whether the other end has taken nothing of what was sent to it for too long. */
  isStalled(now: number): boolean {
    // Encrypted they are a few more: what matters is whether they become fewer.
    const waiting = this.waitingBytes, bytes = this.#sentBytes - waiting;
    if (bytes !== this.#taken.bytes || waiting === 0) this.#taken = { bytes, since: now };
    return now - this.#taken.since > STALLED_MS_MAX;
  }

  /** Closes once what was sent has left. */
  close(why: string): void {
    this.#why ??= why;
    this.#socket.end();
    // The other end may never take what was sent to it.
    const { destroy } = this;
    setTimeout(destroy, CLOSE_MS_MAX).unref();
  }

  /** Closes without sending what waits. */
  readonly destroy = (): void => {
    this.#why ??= "the connection was closed";
    this.#drop();
  };

  #drop(): void {
    this.#socket.destroy();
    this.#carrier?.destroy();
  }

  #read(chunk: Uint8Array): void {
    if (this.#why !== null) return;
    try {
      const payloads = this.#reader.push(chunk);
      if (this.#reader.pendingBytes === 0) this.#frameSince = null;
      else if (payloads.length > 0 || this.#frameSince === null) this.#frameSince = performance.now();
      if (payloads.every(({ buffer }) => buffer !== chunk.buffer)) releaseWhole(chunk);
      if (payloads.length > 0) this.#events.frames(payloads);
      this.#events.read?.();
      if (this.#reader.pendingBytes > this.pendingBytesMax) {
        throw new WireError("frame", `More than ${this.pendingBytesMax} bytes of a frame came too early`);
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.breakOff(error);
    }
  }

  /** Closes because the other end broke the rules. */
  breakOff(error: WireError): void {
    this.#broken ??= error;
    this.close(error.message);
  }
}

const CLOSE_MS_MAX = 1000;
/** 4 MiB in that time are 70 KiB a second. */
const FRAME_MS_MAX = 60_000;
/** Whoever reads at all takes something in that time. */
const STALLED_MS_MAX = 60_000;

/** How to speak to a node of a private network. */
export interface SecureDial extends DialOptions {
  readonly preamble: "member" | "client";
}

export interface DialEvents extends SocketEvents {
  /** `certificate`: of who answered; null without TLS. */
  connected(certificate: MemberCertificate | null): void;
}

/** Connects to `address` ("host:port"), in the clear where `secure` is null; failures come as closed(). */
export function connectTo(address: string, secure: SecureDial | null, events: DialEvents): FrameSocket {
  const { host, port } = parseAddress(address);
  const raw = net.connect({ host, port, noDelay: true });
  // Both wait in the socket until it is connected.
  raw.write(PREAMBLE[secure?.preamble ?? "open"]);
  const carrier = secure === null ? null : new Carrier(raw);
  const stream = secure === null || carrier === null ? raw : dialTls(carrier, secure);
  const late = setTimeout(() => {
    stream.destroy(new Error(`no answer within ${CONNECT_MS_MAX} ms`));
    raw.destroy();
  }, CONNECT_MS_MAX);
  const socket = new FrameSocket(stream, {
    ...events,
    frames: (payloads) => events.frames(payloads),
    closed: (why, broken) => {
      clearTimeout(late);
      events.closed(why, broken);
    },
  }, carrier);
  stream.on(secure === null ? "connect" : "secureConnect", () => {
    clearTimeout(late);
    try {
      const certificate = secure === null ? null : peerCertificate(stream as tls.TLSSocket);
      if (secure !== null && certificate === null) {
        throw new CertificateError("damaged", "it showed no certificate that can be read");
      }
      events.connected(certificate);
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      socket.close(error.message);
    }
  });
  return socket;
}

const CONNECT_MS_MAX = 3000;

/**
 * Splits "host:port"; an IPv6 host stands in brackets.
 * @throws {TypeError}
 */
export function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new TypeError(
      `An address is "host:port", as in "127.0.0.1:7070" or "[::1]:7070", not ${JSON.stringify(address)}`,
    );
  }
  return { host: match[1] ?? match[2]!, port };
}

export function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
