/**
 * What this node says to one peer on the bulk lane: fragments of objects, which nothing else is to wait behind.
 *
 * Q1. Messages wait as they are, and are encoded only as the connection takes them: no more than WAITING_BYTES_MAX wait
 *     encoded, and no more than PASS_BYTES are encoded at a time, so whatever else the node does goes in between.
 * Q2. What waits is bounded (LIMITS.bulkQueueBytesMax). What comes past that, or finds no connection, is dropped, as a
 *     network may: whoever sent it sends it again, or elsewhere.
 * Q3. That this connection broke says nothing of the peer: it is lost when the other one is.
 * Q4. One that was not used for IDLE_MS is closed.
 */
import { LIMITS } from "../../core/base/limits.ts";
import type { Message } from "../../core/wire/messages.ts";
import { bulkFrame } from "./bulk_frame.ts";
import { PeerConnection, type PeerConnectionOptions } from "./peer_connection.ts";

const WAITING_BYTES_MAX = 2 * 1024 * 1024;
const PASS_BYTES = 2 * 1024 * 1024;
/** What a message has beside its fragment, about. */
const MESSAGE_BYTES = 128;
/** Under TLS nobody tells when less waits than before. */
const LOOK_MS = 2;
const IDLE_MS = 60_000;

/** Whether it goes over the bulk lane. The small ones that belong to it go with the others, which wait for nothing. */
export function isBulk(message: Message): boolean {
  return message.kind === "fragment-put" || (message.kind === "fragment-get-reply" && message.bytes !== null);
}

export interface BulkLinkOptions extends Omit<PeerConnectionOptions, "lost" | "opened" | "drained"> {
  readonly count: (name: string, by: number) => void;
  readonly idleMs?: number;
}

export class BulkLink {
  readonly #options: BulkLinkOptions;
  readonly #connection: PeerConnection;
  #queue: Message[] = [];
  /** How many of the queue were sent in the pass that runs. */
  #from = 0;
  #bytes = 0;
  #pass: ReturnType<typeof setTimeout> | null = null;
  #look: ReturnType<typeof setTimeout> | null = null;
  #usedAt = 0;
  #idle: ReturnType<typeof setTimeout> | null = null;
  #closed = false;

  constructor(options: BulkLinkOptions) {
    this.#options = options;
    this.#connection = new PeerConnection({
      ...options,
      lost: () => this.#drop(), // Q3
      opened: () => this.#pump(),
      drained: () => this.#pump(),
    });
  }

  /** Bytes that wait, encoded or not. */
  get waitingBytes(): number {
    return this.#bytes + this.#connection.waitingBytes;
  }

  send(message: Message): void {
    if (this.#closed) return;
    const bytes = sizeOf(message);
    if (this.waitingBytes + bytes > LIMITS.bulkQueueBytesMax || !this.#connection.begin()) {
      return this.#options.count("bulk messages dropped", 1); // Q2
    }
    this.#queue.push(message);
    this.#bytes += bytes;
    this.#usedAt = performance.now();
    this.#idle ??= this.#restLater();
    this.#pumpSoon();
  }

  hurry(): void {
    this.#connection.hurry();
  }

  reconsider(): void {
    this.#connection.reconsider();
  }

  close(): void {
    this.#closed = true;
    this.#drop();
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#connection.close();
  }

  /** After what runs now: a turn of the node sends much, and what it wrote down comes first. A timer: see bulk_intake.ts. */
  #pumpSoon(): void {
    this.#pass ??= setTimeout(() => {
      this.#pass = null;
      this.#pump();
    }, 0);
  }

  /** Q1 */
  #pump(): void {
    let sent = 0;
    while (this.#from < this.#queue.length && this.#connection.isOpen) {
      if (this.#connection.waitingBytes >= WAITING_BYTES_MAX) {
        this.#pumpLater();
        break;
      }
      if (sent >= PASS_BYTES) {
        this.#pumpSoon();
        break;
      }
      const message = this.#queue[this.#from++]!, bytes = sizeOf(message);
      this.#bytes -= bytes;
      sent += bytes;
      for (const piece of bulkFrame(message)) this.#connection.send(piece);
    }
    this.#queue.splice(0, this.#from);
    this.#from = 0;
  }

  #pumpLater(): void {
    this.#look ??= setTimeout(() => {
      this.#look = null;
      this.#pump();
    }, LOOK_MS);
  }

  #drop(): void {
    const left = this.#queue.length - this.#from;
    if (left > 0) this.#options.count("bulk messages dropped", left);
    this.#queue = [];
    this.#from = 0;
    this.#bytes = 0;
    if (this.#pass !== null) clearTimeout(this.#pass);
    if (this.#look !== null) clearTimeout(this.#look);
    this.#pass = this.#look = null;
  }

  /** Q4 */
  #restLater(): ReturnType<typeof setTimeout> {
    const { idleMs = IDLE_MS } = this.#options;
    return setTimeout(() => {
      this.#idle = null;
      if (performance.now() - this.#usedAt < idleMs || this.waitingBytes > 0) this.#idle = this.#restLater();
      else this.#connection.rest();
    }, idleMs);
  }
}

function sizeOf(message: Message): number {
  switch (message.kind) {
    case "fragment-put":
      return MESSAGE_BYTES + message.bytes.length;
    case "fragment-get-reply":
      return MESSAGE_BYTES + (message.bytes?.length ?? 0);
    default:
      return MESSAGE_BYTES;
  }
}
