import { LIMITS } from "../../core/base/limits.ts";
import {
  type ClientRequestFrame,
  type ClientResponseFrame,
  decodeRequests,
  encodeResponses,
  requestIds,
  WireError,
} from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Expectation, Op, Response } from "../../core/wire/requests.ts";
import { type ClientMemory, type Holder, type Requester, TokenBucket, tooBusy, type Turns } from "./load.ts";
import type { FrameSocket } from "./socket.ts";

const FRAME_BYTES_WANTED = 1024 * 1024;
/** Requests handed over before it is known how large this client's answers are: any of them may be of 1 MiB. */
const FIRST_REQUESTS = 32;
/** Requests with more than this are also counted by their bytes. */
const LARGE_BYTES = 4096;

/** Of a chunk, which count as one request more. */
const WEIGHT_BYTES = 32 * 1024;

/** What a decoded request takes beside its bytes, about. */
const REQUEST_BYTES = 256;

export interface ClientLinkOptions {
  /** The host's number of it. */
  readonly client: number;
  readonly socket: ClientSocket;
  /** Takes requests for the node. */
  readonly hand: (requests: readonly ClientRequestFrame[]) => void;
  readonly turns: Pick<Turns, "ready" | "gone" | "taken" | "answered">;
  readonly memory: Pick<ClientMemory, "share">;
  readonly count: (name: string, by?: number) => void;
  readonly clock?: () => number;
}

export type ClientSocket = Pick<
  FrameSocket,
  "send" | "pause" | "resume" | "close" | "destroy" | "breakOff" | "waitingBytes" | "heldBytes"
>;

/** The payload of a frame that nobody has looked into yet. */
interface Unread {
  readonly payload: Uint8Array;
  readonly at: number;
}

/**
 * One client's connection.
 *
 * C1. What a client's answers take is bounded: no more of its requests are handed over than have room for answers as
 *     large as its largest of late. It is not read from while any wait to be handed over, or while it does not take
 *     its answers.
 * C2. So is what its requests take that the node has and has not answered, with the chunks that they ask for: one that
 *     is too large for what is left of the bound waits, unless it is alone.
 * C3. A client that lets watch events pile up past twice the bound is cut off: nobody can hold those back.
 * C4. A frame is looked into when the first of its requests can go, so a client whose turn is far costs no more than
 *     the bytes of one read.
 */
export class ClientLink implements Requester, Holder {
  readonly kind = "client";
  readonly client: number;
  readonly #options: ClientLinkOptions;
  readonly #socket: ClientSocket;
  readonly #clock: () => number;
  readonly #bucket: TokenBucket;
  #outbox: ClientResponseFrame[] = [];
  /** Read and not looked into: what is left of one read. */
  #unread: Unread[] = [];
  #unreadBytes = 0;
  /** Of the frame looked into, those not handed over, and since when they wait. */
  #backlog: ClientRequestFrame[] = [];
  #backlogFrom = 0;
  #backlogBytes = 0;
  #backlogAt = 0;
  #underWay = 0;
  /** When those were handed over that the node's window counts, by the client's id of them. */
  readonly #handed = new Map<number, number>();
  /** Bytes of large requests under way, by the client's id of them, and of all together. */
  readonly #large = new Map<number, number>();
  #largeBytes = 0;
  /** Bytes of the largest answer, fading. */
  #largest = LIMITS.clientQueueBytesMax / FIRST_REQUESTS;
  #paused = false;
  #gone = false;
  /** Until its bucket has filled (O4). */
  #refill: ReturnType<typeof setTimeout> | null = null;

  constructor(options: ClientLinkOptions) {
    this.client = options.client;
    this.#options = options;
    this.#socket = options.socket;
    this.#clock = options.clock ?? (() => performance.now());
    this.#bucket = new TokenBucket(this.#clock());
  }

  /** What this node holds for it. */
  get heldBytes(): number {
    return this.#socket.heldBytes + this.#unreadBytes + this.#backlogBytes + this.#largeBytes;
  }

  /** Takes frames in. Their requests go as soon as they may. */
  receive(payloads: readonly Uint8Array[]): void {
    const at = this.#clock();
    for (const payload of payloads) {
      this.#unread.push({ payload, at });
      this.#unreadBytes += payload.length;
    }
    this.#options.turns.ready(this);
    this.#steer();
  }

  get ready(): boolean {
    return this.#waits && !this.#gone && this.#refill === null && this.#window() > this.#underWay &&
      this.#fits();
  }

  get since(): number {
    return this.#backlogFrom < this.#backlog.length ? this.#backlogAt : this.#unread[0]?.at ?? Infinity;
  }

  serve(most: number): number {
    let served = 0;
    while (served < most && this.#look()) {
      const free = Math.min(
        most - served,
        this.#window() - this.#underWay,
        this.#bucket.available(this.#clock()),
        this.#backlog.length - this.#backlogFrom,
      );
      const fitting = this.#fitting(Math.max(0, free));
      if (fitting === 0) break;
      const from = this.#backlogFrom;
      const taken = this.#backlog.slice(from, from + fitting);
      const weight = taken.reduce((sum, { request }) => sum + weightOf(request.op), 0);
      this.#backlogFrom += fitting;
      this.#underWay += fitting;
      this.#bucket.take(fitting);
      this.#note(taken);
      served += weight;
      this.#options.hand(taken);
    }
    this.#steer();
    return served;
  }

  /** Those of one frame at a time: each takes a while. */
  refuse(since: number): number {
    if (this.since > since || !this.#look()) return 0;
    const ids = this.#backlog.slice(this.#backlogFrom).map(({ id }) => id);
    this.#backlogFrom = this.#backlog.length;
    this.#send(ids.map((id) => ({ id, response: tooBusy() })));
    this.#bucket.refused(ids.length);
    this.#steer();
    return ids.length;
  }

  /** True where nothing waited for flush() yet. */
  reply(id: number, response: Response): boolean {
    if (response.kind !== "events") {
      // Of a watch that ended by itself two answers come.
      if (this.#underWay > 0) this.#underWay--;
      this.#largeBytes -= this.#large.get(id) ?? 0;
      this.#large.delete(id);
      this.#answered(id, response);
    }
    return this.#outbox.push({ id, response }) === 1;
  }

  /** Sends what was replied. take() may have more afterwards. */
  flush(): void {
    const replies = this.#outbox;
    if (replies.length === 0) return;
    this.#outbox = [];
    let from = 0, bytes = 0, largest = 0, events = false;
    for (let i = 0; i < replies.length; i++) {
      const { response } = replies[i]!;
      const size = sizeOf(response);
      if (response.kind === "events") events = true;
      else if (size > largest) largest = size;
      if (i > from && bytes + size > FRAME_BYTES_WANTED) {
        this.#send(replies.slice(from, i));
        from = i;
        bytes = 0;
      }
      bytes += size;
    }
    this.#send(from === 0 ? replies : replies.slice(from));
    if (largest > 0) this.#largest = Math.max(largest, Math.floor(this.#largest / 2));
    if (events && this.#socket.waitingBytes > 2 * LIMITS.clientQueueBytesMax) {
      this.#options.count("clients cut off: events");
      this.#socket.destroy();
    }
  }

  /** It may have room again: it took answers, or was answered. */
  proceed(): void {
    if (this.#waits) {
      this.#forgive();
      this.#options.turns.ready(this);
    }
    this.#steer();
  }

  cutOff(): void {
    this.#socket.destroy();
  }

  /** Its connection is closed. */
  gone(): void {
    this.#gone = true;
    if (this.#refill !== null) clearTimeout(this.#refill);
    this.#refill = null;
    this.#options.turns.gone(this);
    const now = this.#clock();
    for (const since of this.#handed.values()) this.#options.turns.answered(since, now, false);
    this.#handed.clear();
  }

  /**
   * A watch goes on until it is ended: it is not under way. How long chunks take says how quick disks and the network are,
   * not how busy this node is, and it has a bound of its own for them. Of two requests with one id the second one is not
   * counted.
   */
  #note(requests: readonly ClientRequestFrame[]): void {
    const now = this.#clock(), before = this.#handed.size;
    for (const { id, request } of requests) {
      const { kind } = request.op, counts = kind !== "watch" && kind !== "chunk-put" && kind !== "chunk-get";
      if (counts && !this.#handed.has(id)) this.#handed.set(id, now);
    }
    this.#options.turns.taken(this.#handed.size - before, now);
  }

  #answered(id: number, { kind }: Response): void {
    const since = this.#handed.get(id);
    if (since === undefined) return;
    this.#handed.delete(id);
    this.#options.turns.answered(since, this.#clock(), kind !== "refused");
  }

  #send(replies: readonly ClientResponseFrame[]): void {
    this.#socket.send(seal(encodeResponses(replies, FRAME_HEADER_BYTES)));
  }

  get #waits(): boolean {
    return this.#backlogFrom < this.#backlog.length || this.#unread.length > 0;
  }

  /** Looks into the next frame where the last one is done (C4). False: nothing waits. */
  #look(): boolean {
    while (this.#backlogFrom >= this.#backlog.length) {
      this.#backlogBytes = 0;
      const next = this.#unread.shift();
      if (next === undefined || this.#gone) return false;
      this.#unreadBytes -= next.payload.length;
      this.#backlog = this.#decode(next.payload);
      this.#backlogFrom = 0;
      this.#backlogAt = next.at;
      this.#backlogBytes = next.payload.length + REQUEST_BYTES * this.#backlog.length;
    }
    return true;
  }

  /** One that cannot be understood is answered and the connection kept, where it can be told what was asked. */
  #decode(payload: Uint8Array): ClientRequestFrame[] {
    try {
      return decodeRequests(payload);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const ids = requestIds(payload);
      if (ids.length === 0) {
        this.#unread = [];
        this.#unreadBytes = 0;
        this.#socket.breakOff(error);
        return [];
      }
      this.#options.count("frames refused");
      const refused: Response = { kind: "refused", reason: "invalid", message: error.message };
      this.#send(ids.map((id) => ({ id, response: refused })));
      this.#bucket.refused(1);
      return [];
    }
  }

  /** What waited for the client itself did not wait for its turn (O3). */
  #forgive(): void {
    const now = this.#clock();
    if (this.#blockedSince === null) return;
    const blocked = now - this.#blockedSince;
    this.#blockedSince = null;
    this.#backlogAt += blocked;
    this.#unread = this.#unread.map(({ payload, at }) => ({ payload, at: at + blocked }));
  }

  /** Since when its own bounds hold its requests back. */
  #blockedSince: number | null = null;

  /** Reads on or does not, and waits for the bucket where it is empty. */
  #steer(): void {
    if (this.#gone) return;
    const waits = this.#waits;
    if (waits && this.#refill === null && this.#bucket.available(this.#clock()) === 0) {
      this.#options.count("clients held back: too many requests");
      this.#refill = setTimeout(() => {
        this.#refill = null;
        this.proceed();
      }, this.#bucket.waitMs);
    }
    if (waits && !this.ready) this.#blockedSince ??= this.#clock();
    if (waits || this.#socket.waitingBytes > this.#bound) this.#pause();
    else this.#resume();
  }

  /** Bytes that its requests under way, and its answers, may take. */
  get #bound(): number {
    return Math.min(LIMITS.clientQueueBytesMax, this.#options.memory.share);
  }

  /** How many requests may be under way (C1). */
  #window(): number {
    const room = this.#bound - this.#socket.waitingBytes;
    return Math.min(LIMITS.requestsPerClientMax, Math.max(0, Math.ceil(room / this.#largest)));
  }

  /** Whether the next request may be under way by its bytes too. */
  #fits(): boolean {
    const next = this.#backlog[this.#backlogFrom];
    if (next === undefined || this.#underWay === 0) return true;
    const bytes = sizeOfOp(next.request.op);
    return bytes <= LARGE_BYTES || this.#large.has(next.id) || this.#largeBytes + bytes <= this.#bound;
  }

  /** How many of the next `free` requests may be under way by their bytes too (C2). Counts these as under way. */
  #fitting(free: number): number {
    for (let i = 0; i < free; i++) {
      const { id, request } = this.#backlog[this.#backlogFrom + i]!;
      const bytes = sizeOfOp(request.op);
      if (bytes <= LARGE_BYTES || this.#large.has(id)) continue;
      const alone = this.#underWay === 0 && i === 0;
      if (this.#largeBytes + bytes > this.#bound && !alone) return i;
      this.#large.set(id, bytes);
      this.#largeBytes += bytes;
    }
    return free;
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }
}

/** As how many requests it counts in a turn (O1): a chunk takes as long as many small ones. */
export function weightOf(op: Op): number {
  switch (op.kind) {
    case "chunk-put":
    case "chunk-get":
      return 1 + Math.floor(sizeOfOp(op) / WEIGHT_BYTES);
    default:
      return 1;
  }
}

/** About how many bytes `op` takes, where that may be many; or its answer, where that is known before. */
export function sizeOfOp(op: Op): number {
  switch (op.kind) {
    case "chunk-put":
      return op.bytes.length;
    case "chunk-get":
      return Math.min(op.length, LIMITS.fragmentBytesMax);
    case "put":
      return op.value.length;
    case "cas":
      return (op.value?.length ?? 0) + sizeOfExpectation(op.expect);
    case "transact": {
      let bytes = 0;
      for (const { expect } of op.conditions) bytes += sizeOfExpectation(expect);
      for (const item of op.then) if (item.kind === "put") bytes += item.value.length;
      for (const item of op.otherwise) if (item.kind === "put") bytes += item.value.length;
      return bytes;
    }
    default:
      return 0;
  }
}

function sizeOfExpectation(expect: Expectation): number {
  return expect.kind === "value" ? expect.value.length : 0;
}

/** About how many bytes `response` takes. */
function sizeOf(response: Response): number {
  switch (response.kind) {
    case "value":
    case "cas":
      return 256 + (response.found?.value?.length ?? 0);
    case "values":
      return response.items.reduce(
        (sum, item) => sum + 64 + item.key.length + (item.value?.length ?? 0),
        256,
      );
    case "events":
      return response.events.reduce(
        (sum, item) => sum + 64 + item.key.length + (item.value?.length ?? 0),
        256,
      );
    case "chunk":
      return 256 + response.bytes.length;
    case "transacted":
      return response.results.reduce((sum, item) => sum + 64 + (item?.value?.length ?? 0), 256);
    case "members":
      return 256 + response.members.length * 256;
    case "joined":
    case "layout":
      return 256 + response.view.members.length * 128 + response.view.assignment.length * 160;
    default:
      return 256;
  }
}
