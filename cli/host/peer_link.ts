import { LIMITS } from "../../core/base/limits.ts";
import { encodeMessages } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Message } from "../../core/wire/messages.ts";
import { encodeSecrets, type GenerationSecret } from "../../core/wire/session.ts";
import { PeerConnection, type PeerConnectionOptions } from "./peer_connection.ts";

/** Messages are put into one frame until about this many bytes. A single message never has twice as much. */
const FRAME_BYTES_WANTED = 1024 * 1024;

export interface PeerLinkOptions extends Omit<PeerConnectionOptions, "lost" | "opened" | "drained"> {
  /** The link broke, or could not be made, for the first time since it last stood. */
  readonly lost: (why: string) => void;
  readonly count: (name: string, by: number) => void;
}

/**
 * What this node says to one peer, but for what goes over the bulk lane (bulk_link.ts). While there is no connection
 * messages are dropped, as a network may: whoever sent them sends them again.
 */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  readonly #connection: PeerConnection;
  #outbox: Message[] = [];

  constructor(options: PeerLinkOptions) {
    this.#options = options;
    this.#connection = new PeerConnection({
      ...options,
      lost: (why, first) => first ? options.lost(why) : undefined,
    });
  }

  /** True where there was nothing to say yet in this turn: flush() is due. */
  queue(message: Message): boolean {
    return this.#outbox.push(message) === 1;
  }

  /** Sends all that was queued, in as few frames as can be. */
  flush(): void {
    const messages = this.#outbox;
    if (messages.length === 0) return;
    this.#outbox = [];
    if (!this.#connection.begin()) return this.#options.count("peer messages dropped", messages.length);
    let from = 0, bytes = 0;
    for (let i = 0; i < messages.length; i++) {
      const size = sizeOf(messages[i]!);
      if (i > from && bytes + size > FRAME_BYTES_WANTED) {
        this.#send(messages.slice(from, i));
        from = i;
        bytes = 0;
      }
      bytes += size;
    }
    this.#send(from === 0 ? messages : messages.slice(from));
  }

  /** The peer was just heard of: no reason to wait any longer. */
  hurry(): void {
    this.#connection.hurry();
  }

  /** Ends the connection where the peer may not be spoken to any more. After each change of the view. */
  reconsider(): void {
    this.#connection.reconsider();
  }

  /** What comes too early waits for the connection, which is made with the peer's own host or not at all. */
  sendSecrets(secrets: readonly GenerationSecret[]): void {
    this.reconsider();
    if (this.#connection.begin()) this.#connection.send(seal(encodeSecrets(secrets, FRAME_HEADER_BYTES)));
  }

  close(): void {
    this.#connection.close();
  }

  #send(messages: readonly Message[]): void {
    if (this.#connection.waitingBytes > LIMITS.peerQueueBytesMax) {
      return this.#options.count("peer messages dropped", messages.length);
    }
    this.#connection.send(seal(encodeMessages(messages, FRAME_HEADER_BYTES)));
  }
}

/** About how many bytes `message` takes. Only the kinds that may be large are looked into. */
function sizeOf(message: Message): number {
  let bytes = 128;
  switch (message.kind) {
    case "append":
      for (const entry of message.entries) bytes += entry.data.length + 24;
      return bytes;
    case "snapshot":
      for (const [key, value] of message.rows) bytes += key.length + value.length + 16;
      return bytes;
    case "watch-events":
      for (const event of message.events) bytes += event.key.length + (event.value?.length ?? 0) + 32;
      return bytes;
    case "layout-is":
      return bytes + message.view.members.length * 128 + message.view.assignment.length * 96;
    case "forward": {
      const { op } = message.request;
      if (op.kind === "transact") return FRAME_BYTES_WANTED;
      return bytes + 1024 + (op.kind === "put" || op.kind === "cas" ? op.value?.length ?? 0 : 0);
    }
    case "forward-reply": {
      const { response } = message;
      if (response.kind === "values" || response.kind === "transacted") return FRAME_BYTES_WANTED;
      return bytes + 1024 +
        (response.kind === "value" || response.kind === "cas" ? response.found?.value?.length ?? 0 : 0);
    }
    case "push-pull":
      return bytes + message.members.length * 96;
    case "beats":
      return bytes + message.beats.length * 24;
    case "beat-replies":
      return bytes + message.replies.length * 24;
    default:
      return bytes;
  }
}
