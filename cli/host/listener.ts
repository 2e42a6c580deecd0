import net from "node:net";
import { formatAddress, parseAddress } from "./socket.ts";

/** Without a connection for this long, the listener connects to itself. */
const QUIET_MS = 4000;
const HEARD_MS_MAX = 2000;

/**
 * Takes connections at one address, and goes on doing so.
 *
 * A process that is out of file descriptors cannot take a connection, and the runtime's server never takes another one
 * after that, without a word. So a listener that has heard nothing for a while calls itself; if it does not hear that
 * either it listens anew.
 */
export class Listener {
  readonly #accept: (socket: net.Socket) => void;
  readonly #deaf: (address: string) => void;
  #server: net.Server | null = null;
  #host = "";
  #port = 0;
  #heardAt = 0;
  #timer: ReturnType<typeof setInterval> | null = null;
  #opening = false;
  /** To itself, under way. To #accept it is one that goes again without a word. */
  #call: net.Socket | null = null;
  #callTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(accept: (socket: net.Socket) => void, deaf: (address: string) => void) {
    this.#accept = accept;
    this.#deaf = deaf;
  }

  /**
   * Listens on `address`; port 0 takes a free one. Resolves to the address that it got.
   * @throws {Error} when the address cannot be listened on
   */
  async listen(address: string): Promise<string> {
    const { host, port } = parseAddress(address);
    this.#host = host;
    try {
      this.#port = await this.#open(port);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot listen on "${address}": ${why}. Choose another address with --listen`);
    }
    this.#heardAt = performance.now();
    this.#timer = setInterval(() => this.#check(), QUIET_MS / 2);
    return formatAddress(host, this.#port);
  }

  /** Resolves when its last connection is closed. */
  close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    if (this.#callTimer !== null) clearTimeout(this.#callTimer);
    this.#call?.destroy();
    const server = this.#server;
    return server === null ? Promise.resolve() : new Promise((done) => server.close(() => done()));
  }

  #open(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const server = net.createServer({ noDelay: true }, (socket) => this.#took(socket));
      server.on("error", reject);
      server.listen(port, this.#host, () => {
        this.#server = server;
        const bound = server.address();
        resolve(bound !== null && typeof bound === "object" ? bound.port : port);
      });
    });
  }

  #took(socket: net.Socket): void {
    this.#heardAt = performance.now();
    this.#accept(socket);
  }

  #check(): void {
    if (this.#server === null) return void this.#listenAnew();
    if (performance.now() - this.#heardAt < QUIET_MS || this.#call !== null) return;
    const host = this.#host === "0.0.0.0" ? "127.0.0.1" : this.#host === "::" ? "::1" : this.#host;
    const began = performance.now();
    let connected = false;
    const call = net.connect({ host, port: this.#port });
    this.#call = call;
    call.on("connect", () => connected = true);
    // As long as no connection can be made at all, listening anew would not help.
    call.on("error", () => {});
    this.#callTimer = setTimeout(() => {
      call.destroy();
      this.#call = null;
      if (connected && this.#heardAt < began) void this.#listenAnew();
    }, HEARD_MS_MAX);
  }

  async #listenAnew(): Promise<void> {
    if (this.#opening) return;
    this.#opening = true;
    this.#heardAt = performance.now();
    if (this.#server !== null) this.#deaf(formatAddress(this.#host, this.#port));
    this.#server?.close();
    this.#server = null;
    try {
      await this.#open(this.#port);
    } catch {
      // The next check tries again.
    } finally {
      this.#opening = false;
    }
  }
}
