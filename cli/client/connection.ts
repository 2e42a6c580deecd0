import type { NodeId } from "../../core/base/ids.ts";
import {
  type ClientRequestFrame,
  type ClientResponseFrame,
  decodeResponses,
  encodeRequests,
  WIRE_VERSION,
  WireError,
} from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Request } from "../../core/wire/requests.ts";
import { decodeHelloReply, encodeHello } from "../../core/wire/session.ts";
import { connectTo, type FrameSocket } from "../host/socket.ts";

const FRAME_BYTES_WANTED = 1024 * 1024;
/** A process that is stuck still accepts connections: its system does. */
const GREET_MS_MAX = 3000;

export interface ConnectionOptions {
  readonly address: string;
  /** null: any. */
  readonly network: string | null;
  /** Who should answer there; null: whoever does. */
  readonly expected: NodeId | null;
  readonly opened: (node: NodeId, network: string | null) => void;
  readonly answers: (node: NodeId, responses: readonly ClientResponseFrame[]) => void;
  /** Exactly once. `refused`: the node would not have this client, and asking again will not help. */
  readonly closed: (node: NodeId | null, why: string, refused: boolean) => void;
}

/** A client's connection to one node. Requests may be queued before it stands. */
export class ClientConnection {
  readonly #options: ConnectionOptions;
  readonly #socket: FrameSocket;
  readonly #settled = Promise.withResolvers<boolean>();
  readonly #late: ReturnType<typeof setTimeout>;
  #node: NodeId | null;
  #refused = false;
  #outbox: ClientRequestFrame[] = [];
  open = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#node = options.expected;
    this.#late = setTimeout(
      () => this.#socket.close(`no answer within ${GREET_MS_MAX} ms`),
      GREET_MS_MAX,
    );
    this.#socket = connectTo(options.address, {
      connected: () => {
        const { network } = options;
        const hello = {
          version: WIRE_VERSION,
          role: "client",
          network,
          node: null,
          address: null,
          proof: null,
        } as const;
        this.#socket.send(seal(encodeHello(hello, FRAME_HEADER_BYTES)));
      },
      frames: (payloads) => this.#heard(payloads),
      closed: (why) => {
        clearTimeout(this.#late);
        this.open = false;
        this.#settled.resolve(false);
        options.closed(this.#node, why, this.#refused);
      },
    });
  }

  /** True when it stands, false when it came to nothing. */
  get settled(): Promise<boolean> {
    return this.#settled.promise;
  }

  queue(request: ClientRequestFrame): void {
    this.#outbox.push(request);
  }

  flush(): void {
    const requests = this.#outbox;
    if (!this.open || requests.length === 0) return;
    this.#outbox = [];
    let from = 0, bytes = 0;
    for (let i = 0; i < requests.length; i++) {
      const size = sizeOf(requests[i]!.request);
      if (i > from && bytes + size > FRAME_BYTES_WANTED) {
        this.#send(requests.slice(from, i));
        from = i;
        bytes = 0;
      }
      bytes += size;
    }
    this.#send(from === 0 ? requests : requests.slice(from));
  }

  close(): void {
    this.#socket.close("the client was closed");
  }

  #send(requests: readonly ClientRequestFrame[]): void {
    this.#socket.send(seal(encodeRequests(requests, FRAME_HEADER_BYTES)));
  }

  #heard(payloads: readonly Uint8Array[]): void {
    try {
      for (const payload of payloads) {
        if (this.open) this.#options.answers(this.#node!, decodeResponses(payload));
        else if (!this.#greeted(payload)) return;
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#refused = error.reason === "version";
      this.#socket.breakOff(error);
    }
  }

  #greeted(payload: Uint8Array): boolean {
    const reply = decodeHelloReply(payload);
    const { expected } = this.#options;
    if (!reply.accepted) {
      this.#refused = reply.reason === "foreign" || reply.reason === "version";
      this.#socket.close(`node "${reply.node}" refused this client: ${reply.reason}`);
      return false;
    }
    if (expected !== null && reply.node !== expected) {
      this.#socket.close(`node "${reply.node}" answered where "${expected}" was`);
      return false;
    }
    this.#node = reply.node;
    this.open = true;
    clearTimeout(this.#late);
    this.#settled.resolve(true);
    this.#options.opened(reply.node, reply.network);
    return true;
  }
}

/** About how many bytes `request` takes. */
function sizeOf({ op }: Request): number {
  switch (op.kind) {
    case "put":
    case "cas":
      return 512 + op.key.length + (op.value?.length ?? 0);
    case "transact":
      return 512 +
        [...op.then, ...op.otherwise].reduce(
          (sum, item) => sum + 128 + (item.kind === "put" ? item.value.length : 0),
          0,
        );
    default:
      return 512;
  }
}
