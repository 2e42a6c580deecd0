import { Buffer } from "node:buffer";
import type net from "node:net";
import { Duplex } from "node:stream";
import { releaseWhole } from "../../core/base/bytes.ts";

/**
 * Carries what TLS says over a socket.
 *
 * The runtime's TLS would take a socket itself, and read from it for ever: of a connection that is paused it decrypts and
 * keeps what comes (64 MiB in two seconds were seen), and what waits to leave it counts nowhere. Over a stream of
 * one's own both can be helped: hold() stops the reading where the bytes come from, and `waitingBytes` are known.
 */
export class Carrier extends Duplex {
  readonly #socket: net.Socket;
  #held = false;

  /** `socket` has been read from no further than where TLS begins. */
  constructor(socket: net.Socket) {
    super({ readableHighWaterMark: BUFFER_BYTES, writableHighWaterMark: BUFFER_BYTES });
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk: Uint8Array) => {
      if (!this.push(chunk)) socket.pause();
      // What is not kept for later has been read.
      if (this.readableLength === 0) releaseWhole(chunk);
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error: Error) => this.destroy(error));
    socket.on("close", () => this.destroy());
  }

  /** Bytes, encrypted, that the system has not taken yet. */
  get waitingBytes(): number {
    return this.writableLength + this.#socket.writableLength;
  }

  /** Reads no more from the socket until release(). */
  hold(): void {
    this.#held = true;
    this.#socket.pause();
  }

  release(): void {
    this.#held = false;
    this.#socket.resume();
  }

  override _read(): void {
    if (!this.#held) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, (error) => {
      releaseWhole(chunk);
      done(error);
    });
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

/** A few records of TLS, which have 16 KiB at most. */
const BUFFER_BYTES = 64 * 1024;
