import type { NodeId } from "../../core/base/ids.ts";
import { WireError } from "../../core/wire/codec.ts";
import { FRAME_HEADER_BYTES, seal } from "../../core/wire/framing.ts";
import { decodeHelloReply, encodeHello, type Hello } from "../../core/wire/session.ts";
import type { HelloRefusal } from "../../core/wire/tags.ts";
import { type NodeCredentials, objectionTo } from "./credentials.ts";
import type { MemberCertificate } from "./identity/certificates.ts";
import { connectTo, type FrameSocket, type SecureDial } from "./socket.ts";

const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 3000;
/** A process that is stuck still accepts connections: its system does. */
const HELLO_MS_MAX = 3000;

/** Why a peer is lost that is of another network. */
export const REFUSED_FOREIGN = refusedText("foreign");
/** The same of a peer that says that this node was shut out. */
export const REFUSED_EVICTED = refusedText("evicted");

export interface PeerConnectionOptions {
  readonly peer: NodeId;
  /** Asked before each attempt: a peer may have moved. null: not known. */
  readonly address: () => string | null;
  readonly hello: () => Hello;
  /** null: the network is open. */
  readonly credentials: () => NodeCredentials | null;
  /** It broke, or could not be made. `first`: for the first time since it last stood. */
  readonly lost: (why: string, first: boolean) => void;
  /** It stands: what was sent early has left. */
  readonly opened?: () => void;
  /** Less waits to leave than before. */
  readonly drained?: () => void;
}

/**
 * A connection to one peer for what this node says to it, which is made when there is something to say and made anew when
 * it breaks. What the peer says comes over the connection that the peer made. Between attempts nothing can be sent.
 */
export class PeerConnection {
  readonly #options: PeerConnectionOptions;
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
  /** Frames that wait for the connection. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;

  constructor(options: PeerConnectionOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Bytes that the system has not taken yet. */
  get waitingBytes(): number {
    return (this.#socket?.waitingBytes ?? 0) + this.#earlyBytes;
  }

  /** Begins to connect where that is due. False: nothing can be sent now. */
  begin(): boolean {
    if (this.#state === "idle") this.#connect();
    return this.#state === "open" || this.#state === "connecting";
  }

  /** One or more sealed frames, after begin(). What comes before the connection stands waits for it. */
  send(frames: Uint8Array): void {
    if (this.#state === "open") return this.#socket!.send(frames);
    this.#early.push(frames);
    this.#earlyBytes += frames.length;
  }

  /** Nothing was said for a while: the next that is connects anew. */
  rest(): void {
    if (this.#state !== "open") return;
    const socket = this.#socket!;
    this.#leave();
    this.#state = "idle";
    socket.close("nothing to say");
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

  close(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#heard();
    this.#state = "closed";
    this.#socket?.close("this node is stopping");
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
      drained: () => this.#options.drained?.(),
      // One that rests may end after the next was made.
      closed: (why) => socket === this.#socket ? this.#closed(why) : undefined,
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
    this.#options.opened?.();
  }

  #heard(): void {
    if (this.#late !== null) clearTimeout(this.#late);
    this.#late = null;
  }

  #closed(why: string): void {
    this.#leave();
    if (this.#state !== "closed") this.#wait(why);
  }

  #leave(): void {
    this.#heard();
    this.#socket = null;
    this.#key = null;
    this.#dropEarly();
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
    const first = !this.#told;
    this.#told = true;
    this.#options.lost(why, first);
  }

  #dropEarly(): void {
    this.#early = [];
    this.#earlyBytes = 0;
  }
}

function refusedText(reason: HelloRefusal | null): string {
  return `refused: ${reason}`;
}
