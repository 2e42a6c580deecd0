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
import type { FrameSocket } from "./socket.ts";

const FRAME_BYTES_WANTED = 1024 * 1024;
/** Requests handed over before it is known how large this client's answers are: any of them may be of 1 MiB. */
const FIRST_REQUESTS = 32;
/** Requests with more than this are also counted by their bytes. */
const LARGE_BYTES = 4096;

/**
 * One client's connection.
 *
 * C1. What a client's answers take is bounded: no more of its requests are handed over than have room for answers as
 *     large as its largest of late. It is not read from while any wait to be handed over, or while it does not take
 *     its answers.
 * C2. So is what its requests take that the node has and has not answered: one that is too large for what is left of the
 *     bound waits, unless it is alone.
 * C3. A client that lets watch events pile up past twice the bound is cut off: nobody can hold those back.
 */
export class ClientLink {
  /** The host's number of it. */
  readonly client: number;
  readonly #socket: FrameSocket;
  #outbox: ClientResponseFrame[] = [];
  /** Read and not handed over: what is left of one read. */
  #backlog: ClientRequestFrame[] = [];
  #underWay = 0;
  /** Bytes of large requests under way, by the client's id of them, and of all together. */
  readonly #large = new Map<number, number>();
  #largeBytes = 0;
  /** Bytes of the largest answer, fading. */
  #largest = LIMITS.clientQueueBytesMax / FIRST_REQUESTS;
  #paused = false;

  constructor(client: number, socket: FrameSocket) {
    this.client = client;
    this.#socket = socket;
  }

  /** Takes the requests of one frame in. One that cannot be understood is answered and the connection kept: false. */
  receive(payload: Uint8Array): boolean {
    try {
      const requests = decodeRequests(payload);
      this.#backlog = this.#backlog.length === 0 ? requests : this.#backlog.concat(requests);
      return true;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const ids = requestIds(payload);
      if (ids.length === 0) throw error;
      const refused: Response = { kind: "refused", reason: "invalid", message: error.message };
      for (const id of ids) this.#send([{ id, response: refused }]);
      return false;
    }
  }

  /** The requests that may be handed to the node now. */
  take(): readonly ClientRequestFrame[] {
    const free = this.#fitting(Math.max(0, this.#window() - this.#underWay));
    let taken = this.#backlog;
    if (taken.length <= free) this.#backlog = [];
    else taken = taken.splice(0, free);
    this.#underWay += taken.length;
    if (this.#backlog.length > 0 || this.#socket.waitingBytes > LIMITS.clientQueueBytesMax) this.#pause();
    else this.#resume();
    return taken;
  }

  /** True where nothing waited for flush() yet. */
  reply(id: number, response: Response): boolean {
    if (response.kind !== "events") {
      this.#underWay--;
      this.#largeBytes -= this.#large.get(id) ?? 0;
      this.#large.delete(id);
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
    if (events && this.#socket.waitingBytes > 2 * LIMITS.clientQueueBytesMax) this.#socket.destroy();
  }

  close(why: string): void {
    this.#socket.close(why);
  }

  #send(replies: readonly ClientResponseFrame[]): void {
    this.#socket.send(seal(encodeResponses(replies, FRAME_HEADER_BYTES)));
  }

  /** How many requests may be under way (C1). */
  #window(): number {
    const room = LIMITS.clientQueueBytesMax - this.#socket.waitingBytes;
    return Math.min(LIMITS.requestsPerClientMax, Math.max(0, Math.ceil(room / this.#largest)));
  }

  /** How many of the next `free` requests may be under way by their bytes too (C2). Counts these as under way. */
  #fitting(free: number): number {
    for (let i = 0; i < free && i < this.#backlog.length; i++) {
      const { id, request } = this.#backlog[i]!;
      const bytes = sizeOfOp(request.op);
      if (bytes <= LARGE_BYTES || this.#large.has(id)) continue;
      const alone = this.#underWay === 0 && i === 0;
      if (this.#largeBytes + bytes > LIMITS.clientQueueBytesMax && !alone) return i;
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

/** About how many bytes `op` takes, where that may be many. */
function sizeOfOp(op: Op): number {
  switch (op.kind) {
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
