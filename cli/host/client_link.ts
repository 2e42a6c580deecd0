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
import type { Response } from "../../core/wire/requests.ts";
import type { FrameSocket } from "./socket.ts";

const FRAME_BYTES_WANTED = 1024 * 1024;

/**
 * One client's connection. A client that asks more than it may have under way, or does not take its answers, is not
 * read from until it does; one that lets watch events pile up past twice the bound is cut off.
 */
export class ClientLink {
  readonly #socket: FrameSocket;
  #outbox: ClientResponseFrame[] = [];
  #underWay = 0;
  #paused = false;

  constructor(socket: FrameSocket) {
    this.#socket = socket;
  }

  /** The requests of one frame; one that cannot be understood is answered and the connection kept. */
  decode(payload: Uint8Array): readonly ClientRequestFrame[] {
    try {
      const requests = decodeRequests(payload);
      this.#underWay += requests.length;
      if (this.#underWay > LIMITS.requestsPerClientMax) this.#pause();
      return requests;
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const ids = requestIds(payload);
      if (ids.length === 0) throw error;
      const refused: Response = { kind: "refused", reason: "invalid", message: error.message };
      for (const id of ids) this.#outbox.push({ id, response: refused });
      this.flush();
      return [];
    }
  }

  /** True where nothing waited for flush() yet. */
  reply(id: number, response: Response): boolean {
    if (response.kind !== "events") this.#underWay--;
    return this.#outbox.push({ id, response }) === 1;
  }

  flush(): void {
    const replies = this.#outbox;
    if (replies.length === 0) return;
    this.#outbox = [];
    let from = 0, bytes = 0;
    for (let i = 0; i < replies.length; i++) {
      const size = sizeOf(replies[i]!.response);
      if (i > from && bytes + size > FRAME_BYTES_WANTED) {
        this.#send(replies.slice(from, i));
        from = i;
        bytes = 0;
      }
      bytes += size;
    }
    this.#send(from === 0 ? replies : replies.slice(from));
    if (this.#socket.waitingBytes > 2 * LIMITS.clientQueueBytesMax) this.#socket.destroy();
    else if (this.#socket.waitingBytes > LIMITS.clientQueueBytesMax) this.#pause();
    else this.#resume();
  }

  drained(): void {
    this.#resume();
  }

  close(why: string): void {
    this.#socket.close(why);
  }

  #send(replies: readonly ClientResponseFrame[]): void {
    this.#socket.send(seal(encodeResponses(replies, FRAME_HEADER_BYTES)));
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    if (this.#underWay > LIMITS.requestsPerClientMax / 2) return;
    if (this.#socket.waitingBytes > LIMITS.clientQueueBytesMax / 2) return;
    this.#paused = false;
    this.#socket.resume();
  }
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
