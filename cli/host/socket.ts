import net from "node:net";
import { FrameReader } from "../../core/wire/framing.ts";
import { WireError } from "../../core/wire/codec.ts";

/** What happens on a connection. Nothing follows closed(), which comes exactly once. */
export interface SocketEvents {
  /** All frames that one read completed. */
  frames(payloads: readonly Uint8Array[]): void;
  /** Less than half of the bytes that were waiting are left. */
  drained?(): void;
  /** `broken` is what was wrong with the other end's frames, null where it was not that. */
  closed(why: string, broken: WireError | null): void;
}

/** A stream of frames to and from another process. All that depends on the kind of stream lies behind this. */
export class FrameSocket {
  readonly #socket: net.Socket;
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

  constructor(socket: net.Socket, events: SocketEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => this.#read(chunk));
    socket.on("drain", () => events.drained?.());
    socket.on("error", (error: Error) => this.#why ??= error.message);
    socket.on("end", () => this.close("the other end closed the connection"));
    socket.on("close", () => events.closed(this.#why ?? "the connection was closed", this.#broken));
  }

  /** Bytes accepted by send() that the system has not taken yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  /** Bytes that came and make no whole frame yet, and those that wait to leave. */
  get heldBytes(): number {
    return this.#reader.pendingBytes + this.#socket.readableLength + this.#socket.writableLength;
  }

  /** One or more sealed frames. They leave at once where the system has room. */
  send(frames: Uint8Array): void {
    if (this.#why !== null) return;
    this.#sentBytes += frames.length;
    this.#socket.write(frames);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    // While nothing was read no frame could come to its end.
    if (this.#frameSince !== null) this.#frameSince = performance.now();
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
    const bytes = this.#sentBytes - this.#socket.writableLength;
    if (bytes !== this.#taken.bytes || this.#socket.writableLength === 0) this.#taken = { bytes, since: now };
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
    this.#socket.destroy();
  };

  #read(chunk: Uint8Array): void {
    if (this.#why !== null) return;
    try {
      const payloads = this.#reader.push(chunk);
      if (this.#reader.pendingBytes === 0) this.#frameSince = null;
      else if (payloads.length > 0 || this.#frameSince === null) this.#frameSince = performance.now();
      if (payloads.length > 0) this.#events.frames(payloads);
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

/** Connects to `address` ("host:port"); failures come as closed(). */
export function connectTo(address: string, events: SocketEvents & { connected(): void }): FrameSocket {
  const { host, port } = parseAddress(address);
  const socket = net.connect({ host, port, noDelay: true });
  socket.setTimeout(CONNECT_MS_MAX, () => socket.destroy(new Error(`no answer within ${CONNECT_MS_MAX} ms`)));
  socket.on("connect", () => {
    socket.setTimeout(0);
    events.connected();
  });
  return new FrameSocket(socket, events);
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
