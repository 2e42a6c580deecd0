import type { NodeId } from "../../core/base/ids.ts";
import {
  type ClientRequestFrame,
  type ClientResponseFrame,
  decodeResponses,
  encodeRequests,
  WireError,
} from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Request } from "../../core/wire/requests.ts";
import { clientHello, decodeHelloReply, encodeHello } from "../../core/wire/session.ts";
import type { HelloRefusal } from "../../core/wire/tags.ts";
import type { MemberCertificate } from "../host/identity/certificates.ts";
import { connectTo, type FrameSocket } from "../host/socket.ts";
import type { Trust } from "./trust.ts";

const FRAME_BYTES_WANTED = 1024 * 1024;
/** A process that is stuck still accepts connections: its system does. */
const GREET_MS_MAX = 3000;

export interface ConnectionOptions {
  readonly address: string;
  /** null: any. */
  readonly network: string | null;
  /** null: the network is open. */
  readonly trust: Trust | null;
  /** Who should answer there; null: whoever does. */
  readonly expected: NodeId | null;
  readonly opened: (node: NodeId, network: string | null) => void;
  readonly answers: (node: NodeId, responses: readonly ClientResponseFrame[]) => void;
  /** Exactly once. `refused`: the node would not have this client, and asking again will not help. */
  readonly closed: (node: NodeId | null, why: string, refused: Refusal | null) => void;
}

/** denied: the access key does not let it in, as far as the node knows. */
export type Refusal = "denied" | "for-good";

/** A client's connection to one node. Requests may be queued before it stands. */
export class ClientConnection {
  readonly #options: ConnectionOptions;
  /** null: it is not known yet whom to believe there. */
  #socket: FrameSocket | null = null;
  readonly #settled = Promise.withResolvers<boolean>();
  readonly #late: ReturnType<typeof setTimeout>;
  #node: NodeId | null;
  #refused: Refusal | null = null;
  /** The other end has proved who it is, or need not. */
  #connected = false;
  #closing = false;
  #outbox: ClientRequestFrame[] = [];
  open = false;
  /** It was open once: what was asked may have left. */
  stood = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#node = options.expected;
    this.#late = setTimeout(() => this.#close(`no answer within ${GREET_MS_MAX} ms`), GREET_MS_MAX);
    if (options.trust !== null && options.trust.dial() === null) void this.#enquireFirst(options.trust);
    else this.#connect();
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
    this.#close("the client was closed");
  }

  #close(why: string): void {
    this.#closing = true;
    this.#socket?.close(why);
  }

  async #enquireFirst(trust: Trust): Promise<void> {
    const enquiry = await trust.enquire(this.#options.address);
    if (enquiry.kind === "learned" && !this.#closing) return this.#connect();
    if (enquiry.kind === "refused") this.#refused = "for-good";
    this.#over(enquiry.kind === "refused" ? enquiry.why : "the node there does not say whom to believe");
  }

  #connect(): void {
    const { address, trust } = this.#options;
    this.#socket = connectTo(address, trust?.dial() ?? null, {
      connected: (certificate) => this.#hello(certificate),
      frames: (payloads) => this.#heard(payloads),
      closed: (why) => void this.#ended(why),
    });
  }

  /** One that never stood may be with a network that has new keys, or with another one: it is asked before giving up. */
  async #ended(why: string): Promise<void> {
    const { trust, address } = this.#options;
    if (this.#connected || this.#closing || trust === null) return this.#over(why);
    const enquiry = await trust.enquire(address);
    if (enquiry.kind === "refused") this.#refused = "for-good";
    this.#over(enquiry.kind === "refused" ? enquiry.why : why);
  }

  #over(why: string): void {
    clearTimeout(this.#late);
    this.open = false;
    this.#settled.resolve(false);
    this.#options.closed(this.#node, why, this.#refused);
  }

  #hello(certificate: MemberCertificate | null): void {
    this.#connected = true;
    const { network, trust } = this.#options;
    const proof = certificate === null ? null : trust?.proof(certificate) ?? null;
    this.#socket!.send(seal(encodeHello(clientHello(network, proof), FRAME_HEADER_BYTES)));
  }

  #send(requests: readonly ClientRequestFrame[]): void {
    this.#socket!.send(seal(encodeRequests(requests, FRAME_HEADER_BYTES)));
  }

  #heard(payloads: readonly Uint8Array[]): void {
    try {
      for (const payload of payloads) {
        if (this.open) this.#options.answers(this.#node!, decodeResponses(payload));
        else if (!this.#greeted(payload)) return;
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      if (error.reason === "version") this.#refused = "for-good";
      this.#socket!.breakOff(error);
    }
  }

  #refusalText(reason: HelloRefusal): string {
    const profile = this.#options.trust?.profile;
    switch (reason) {
      case "denied":
        if (profile === undefined) {
          return "the network is private, and lets in only who shows a profile (--profile)";
        }
        return profile.access === null
          ? "the profile has no access key to log in with"
          : `access key "${profile.access.id}" does not let it in: it was revoked, or its secret is wrong`;
      case "limited":
        return "there were too many wrong log-ins; wait a minute";
      default:
        return reason;
    }
  }

  #greeted(payload: Uint8Array): boolean {
    const reply = decodeHelloReply(payload);
    const { expected } = this.#options;
    if (!reply.accepted) {
      // Without an access key nobody ever lets it in.
      const denied = reply.reason === "denied" && this.#options.trust?.profile.access != null;
      if (denied) this.#refused = "denied";
      else if (FOR_GOOD.has(reply.reason!)) this.#refused = "for-good";
      this.#socket!.close(`node "${reply.node}" refused this client: ${this.#refusalText(reply.reason!)}`);
      return false;
    }
    if (expected !== null && reply.node !== expected) {
      this.#socket!.close(`node "${reply.node}" answered where "${expected}" was`);
      return false;
    }
    this.#node = reply.node;
    this.open = this.stood = true;
    clearTimeout(this.#late);
    this.#settled.resolve(true);
    this.#options.opened(reply.node, reply.network);
    return true;
  }
}

const FOR_GOOD: ReadonlySet<HelloRefusal> = new Set(["foreign", "version", "denied", "evicted"]);

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
    case "chunk-put":
      return 512 + op.bytes.length;
    default:
      return 512;
  }
}
