import type { NodeId } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { encodeMessages, WireError } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import type { Message } from "../../core/wire/messages.ts";
import {
  decodeHelloReply,
  encodeHello,
  encodeSecrets,
  type GenerationSecret,
  type Hello,
} from "../../core/wire/session.ts";
import type { HelloRefusal } from "../../core/wire/tags.ts";
import { type NodeCredentials, objectionTo } from "./credentials.ts";
import type { MemberCertificate } from "./identity/certificates.ts";
import { connectTo, type FrameSocket, type SecureDial } from "./socket.ts";

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 3000;
/** A process that is stuck still accepts connections: its system does. */
const HELLO_MS_MAX = 3000;
/** Messages are put into one frame until about this many bytes. A single message never has twice as much. */
const FRAME_BYTES_WANTED = 1024 * 1024;

/** Why a peer is lost that is of another network. */
export const REFUSED_FOREIGN = refusedText("foreign");
/** The same of a peer that says that this node was shut out. */
export const REFUSED_EVICTED = refusedText("evicted");

export interface PeerLinkOptions {
  readonly peer: NodeId;
  /** Asked before each attempt: a peer may have moved. null: not known. */
  readonly address: () => string | null;
  readonly hello: () => Hello;
  /** null: the network is open. */
  readonly credentials: () => NodeCredentials | null;
  /** The link broke, or could not be made, for the first time since it last stood. */
  readonly lost: (why: string) => void;
  readonly count: (name: string, by: number) => void;
}

/**
 * What this node says to one peer, over a connection of its own that is made when there is something to say and made
 * anew when it breaks. What the peer says comes over the connection that the peer made. Between attempts messages are
 * dropped, as a network may: whoever sent them sends them again.
 */
export class PeerLink {
  readonly #options: PeerLinkOptions;
  #state: "idle" | "connecting" | "open" | "waiting" | "closed" = "idle";
  #socket: FrameSocket | null = null;
  /** The key that the other end has proved to have; null in an open network, and before that. */
  #key: string | null = null;
  /** The last who answered was not the peer, as far as this node's view goes. */
  #objected = false;
  #retryMs = RETRY_MS_MIN;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #late: ReturnType<typeof setTimeout> | null = null;
  #told = false;
  #outbox: Message[] = [];
  /** Frames that wait for the connection. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;

  constructor(options: PeerLinkOptions) {
    this.#options = options;
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
    if (this.#state === "idle") this.#connect();
    if (this.#state !== "open" && this.#state !== "connecting") {
      return this.#options.count("peer messages dropped", messages.length);
    }
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
    if (this.#state !== "waiting") return;
    this.#retryMs = RETRY_MS_MIN;
    this.#connect();
  }

  /** Ends the connection where the peer may not be spoken to any more. After each change of the view. */
  reconsider(): void {
    const why = this.#key === null ? null : this.#objection(this.#key);
    if (why !== null) this.#socket?.close(why);
    // The peer may have been let in since, or have another key now.
    else if (this.#objected) this.hurry();
  }

  /** What comes too early waits for the connection, which is made with the peer's own host or not at all. */
  sendSecrets(secrets: readonly GenerationSecret[]): void {
    this.reconsider();
    if (this.#state === "idle") this.#connect();
    if (this.#state === "open" || this.#state === "connecting") {
      this.#sendFrame(seal(encodeSecrets(secrets, FRAME_HEADER_BYTES)));
    }
  }

  close(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#heard();
    this.#state = "closed";
    this.#socket?.close("this node is stopping");
  }

  #send(messages: readonly Message[]): void {
    const waiting = this.#socket!.waitingBytes + this.#earlyBytes;
    if (waiting > LIMITS.peerQueueBytesMax) {
      return this.#options.count("peer messages dropped", messages.length);
    }
    this.#sendFrame(seal(encodeMessages(messages, FRAME_HEADER_BYTES)));
  }

  #sendFrame(frame: Uint8Array): void {
    if (this.#state === "open") return this.#socket!.send(frame);
    this.#early.push(frame);
    this.#earlyBytes += frame.length;
  }

  #connect(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    const address = this.#options.address();
    if (address === null) return this.#wait(`no address of node "${this.#options.peer}" is known`);
    const hello = this.#options.hello();
    if (address === hello.address) return this.#wait("its address is this node's own now");
    const secure = this.#secureDial();
    if (secure === "no certificate") return this.#wait("this node has no certificate yet");
    this.#state = "connecting";
    const socket = connectTo(address, secure, {
      connected: (certificate) => {
        const why = this.#proved(certificate);
        if (why !== null) return socket.close(why);
        socket.send(seal(encodeHello(hello, FRAME_HEADER_BYTES)));
        this.#late = setTimeout(
          () => socket.close(`no answer to the hello within ${HELLO_MS_MAX} ms`),
          HELLO_MS_MAX,
        );
      },
      frames: (payloads) => this.#answered(socket, payloads[0]!),
      closed: (why) => this.#closed(why),
    });
    this.#socket = socket;
  }

  #secureDial(): SecureDial | "no certificate" | null {
    const credentials = this.#options.credentials();
    if (credentials === null) return null;
    const material = credentials.tls();
    if (material === null) return "no certificate";
    return { preamble: "member", own: material.own, authorities: material.authorities };
  }

  /** Nothing is said to whoever is not the peer. */
  #proved(certificate: MemberCertificate | null): string | null {
    if (this.#options.credentials() === null) return null;
    if (certificate === null) return "it showed no certificate";
    const why = this.#objection(certificate.key);
    this.#objected = why !== null;
    if (why === null) this.#key = certificate.key;
    return why;
  }

  #objection(key: string): string | null {
    const credentials = this.#options.credentials();
    if (credentials === null) return null;
    const view = credentials.view();
    if (view === null) return "not spoken to: the members are not known yet";
    const why = objectionTo(view, this.#options.peer, key);
    return why === null ? null : `not spoken to: ${why}`;
  }

  #answered(socket: FrameSocket, payload: Uint8Array): void {
    // Nothing but the answer to the hello comes this way.
    if (this.#state !== "connecting") return;
    this.#heard();
    try {
      const reply = decodeHelloReply(payload);
      if (!reply.accepted) return socket.close(refusedText(reply.reason));
      if (reply.node !== this.#options.peer) return socket.close(`node "${reply.node}" answered instead`);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      return socket.breakOff(error);
    }
    this.#state = "open";
    this.#retryMs = RETRY_MS_MIN;
    this.#told = false;
    for (const frame of this.#early) socket.send(frame);
    this.#dropEarly();
  }

  #heard(): void {
    if (this.#late !== null) clearTimeout(this.#late);
    this.#late = null;
  }

  #closed(why: string): void {
    this.#heard();
    this.#socket = null;
    this.#key = null;
    this.#dropEarly();
    if (this.#state !== "closed") this.#wait(why);
  }

  #wait(why: string): void {
    this.#state = "waiting";
    // Half of it at random, so that nodes that lost each other together do not return together.
    const ms = this.#retryMs / 2 + Math.random() * this.#retryMs / 2;
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
    // After the wait the next message connects: a peer that nobody speaks to any more is left alone.
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#state = "idle";
    }, ms);
    if (!this.#told) {
      this.#told = true;
      this.#options.lost(why);
    }
  }

  #dropEarly(): void {
    this.#early = [];
    this.#earlyBytes = 0;
  }
}

function refusedText(reason: HelloRefusal | null): string {
  return `refused: ${reason}`;
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
