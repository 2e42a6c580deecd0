/**
 * A client of the network in the process of one of its nodes. It asks that node alone, which passes on what others lead; and
 * it is the same machine as any other client's (core/client): what is asked is asked again, over the lives of the node,
 * and a write is applied once all the same.
 */
import { release } from "../../core/base/bytes.ts";
import { type NodeId, nodeId } from "../../core/base/ids.ts";
import { NEVER } from "../../core/base/ids.ts";
import { LIMITS } from "../../core/base/limits.ts";
import { Random } from "../../core/base/random.ts";
import { ClientMachine } from "../../core/client/client.ts";
import { partitionOf } from "../../core/placement/key.ts";
import type { ClientRequestFrame, ClientResponseFrame } from "../../core/wire/codec.ts";
import { refusal } from "../../core/wire/ops.ts";
import type { Op, Response } from "../../core/wire/requests.ts";
import { now } from "./clock.ts";

/** As whom it asks. node: as the member that this node is. In an open network nobody is anybody. */
export type Actor = { readonly kind: "node" } | { readonly kind: "access"; readonly id: string };

export interface LocalHearing {
  readonly answers: (responses: readonly ClientResponseFrame[]) => void;
  readonly lost: () => void;
}

/** What a local client asks through, as long as it does. */
export interface LocalWay {
  send(requests: readonly ClientRequestFrame[]): void;
  close(): void;
}

export interface LocalClientOptions {
  /** Opens a way into the node, whether it is up or not. */
  readonly open: (as: Actor, hearing: LocalHearing) => LocalWay;
  readonly as: Actor;
  /** How long an operation may take, retries included. */
  readonly timeoutMs?: number;
  /** A way that nothing was asked through for this long is closed; the next request opens another. */
  readonly restMs?: number;
  /** It was closed. */
  readonly closed?: () => void;
}

const TIMEOUT_MS = 20_000;
const REST_MS = 60_000;
/** A node answers what it took within LIMITS.requestUs; before that, asking again would only make it worse. */
const ATTEMPT_US = LIMITS.requestUs + 1_000_000;
/** Stands for the node in the machine: what its name is does not matter here. */
const HERE: NodeId = nodeId("here");

export class LocalClient {
  readonly #options: LocalClientOptions;
  readonly #machine: ClientMachine;
  readonly #waiting = new Map<number, (response: Response) => void>();
  readonly #restMs: number;
  #way: LocalWay | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #timerAt: number = NEVER;
  #rest: ReturnType<typeof setTimeout> | null = null;
  #scheduled = false;
  #closed = false;

  constructor(options: LocalClientOptions) {
    const { timeoutMs = TIMEOUT_MS, restMs = REST_MS } = options;
    this.#options = options;
    this.#restMs = restMs;
    const [a, b] = crypto.getRandomValues(new Uint32Array(2));
    this.#machine = new ClientMachine({
      client: crypto.getRandomValues(new Uint8Array(16)).toHex(),
      random: Random.fromSeed((a! & 0x1f_ffff) * 0x1_0000_0000 + b!),
      partitionOf,
      settings: { deadlineUs: timeoutMs * 1000, attemptUs: ATTEMPT_US },
    });
  }

  /** The answer, refusals too. Not for watches. */
  request(op: Op): Promise<Response> {
    if (op.kind === "watch") throw new TypeError("A local client asks, and does not watch");
    if (this.#closed) return Promise.resolve(CLOSED);
    const ticket = this.#machine.submit(op, now(), { node: HERE });
    this.#schedule();
    return new Promise((resolve) => this.#waiting.set(ticket, resolve));
  }

  /**
   * Requests and answers pass by reference: what was put was copied by the node before it said "stored", and what was got was
   * read for this answer alone.
   */
  release(bytes: Uint8Array): void {
    release(bytes);
  }

  /** What is under way is refused with "closing". */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#closeWay();
    for (const resolve of this.#waiting.values()) resolve(CLOSED);
    this.#waiting.clear();
    this.#options.closed?.();
  }

  /** After what the caller does in this turn, so that it goes together. */
  #schedule(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#run();
    });
  }

  #run(): void {
    if (this.#closed) return;
    for (let sent = this.#machine.outgoing(); sent.length > 0; sent = this.#machine.outgoing()) {
      this.#open().send(sent.map(({ id, request }) => ({ id, request })));
    }
    for (const { ticket, response } of this.#machine.completions()) {
      const resolve = this.#waiting.get(ticket);
      this.#waiting.delete(ticket);
      resolve?.(response);
    }
    this.#setTimer();
    this.#restSoon();
  }

  #open(): LocalWay {
    this.#way ??= this.#options.open(this.#options.as, {
      answers: (responses) => {
        const at = now();
        for (const { id, response } of responses) this.#machine.handle(HERE, id, response, at);
        this.#schedule();
      },
      lost: () => {
        this.#machine.connectionLost(HERE, now());
        this.#schedule();
      },
    });
    return this.#way;
  }

  #restSoon(): void {
    if (this.#rest !== null) clearTimeout(this.#rest);
    this.#rest = null;
    if (this.#way === null || this.#waiting.size > 0) return;
    this.#rest = setTimeout(() => this.#closeWay(), this.#restMs);
  }

  #closeWay(): void {
    if (this.#rest !== null) clearTimeout(this.#rest);
    this.#rest = null;
    this.#way?.close();
    this.#way = null;
  }

  #setTimer(): void {
    const wake = this.#machine.nextWake();
    if (this.#timer !== null) {
      if (this.#timerAt <= wake && wake !== NEVER) return;
      clearTimeout(this.#timer);
      this.#timer = null;
    }
    this.#timerAt = wake;
    if (wake === NEVER) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#timerAt = NEVER;
      this.#machine.wake(now());
      this.#run();
    }, Math.max(0, Math.ceil((wake - now()) / 1000)));
  }
}

const CLOSED = refusal("closing", "The client was closed");
