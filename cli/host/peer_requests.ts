import type { MessageOf } from "../../core/wire/messages.ts";
import { isSystemOp } from "../../core/wire/ops.ts";
import { type Requester, tooBusy, type Turns } from "./load.ts";

export type Forward = MessageOf<"forward">;

/** More than all requests that a peer has under way for its clients (window.ts). */
const WAITING_MAX = 65_536;

export interface PeerRequestsOptions {
  /** Takes requests for the node. */
  readonly hand: (requests: readonly Forward[]) => void;
  readonly answer: (reply: MessageOf<"forward-reply">) => void;
  readonly turns: Pick<Turns, "ready">;
  readonly clock?: () => number;
}

/**
 * The requests that one peer forwards for its clients. They have turns as those of clients here have, and are told "busy"
 * as those are; whatever else the peer says is handed over at once, and does not wait behind them.
 */
export class PeerRequests implements Requester {
  readonly kind = "peer";
  readonly #options: PeerRequestsOptions;
  readonly #clock: () => number;
  #waiting: { readonly message: Forward; readonly at: number }[] = [];
  #from = 0;

  constructor(options: PeerRequestsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  receive(forwards: readonly Forward[]): void {
    const at = this.#clock();
    const room = WAITING_MAX - (this.#waiting.length - this.#from);
    for (const message of forwards.slice(0, room)) this.#waiting.push({ message, at });
    for (const message of forwards.slice(room)) this.#refuse(message);
    this.#options.turns.ready(this);
  }

  get ready(): boolean {
    return this.#from < this.#waiting.length;
  }

  get since(): number {
    return this.#waiting[this.#from]?.at ?? Infinity;
  }

  serve(most: number): number {
    const taken = this.#waiting.slice(this.#from, this.#from + most).map(({ message }) => message);
    this.#took(taken.length);
    if (taken.length > 0) this.#options.hand(taken);
    return taken.length;
  }

  refuse(since: number): number {
    let refused = 0;
    for (; this.since <= since; refused++) {
      this.#refuse(this.#waiting[this.#from]!.message);
      this.#from++;
    }
    this.#took(0);
    return refused;
  }

  #refuse({ id }: Forward): void {
    this.#options.answer({ kind: "forward-reply", id, response: tooBusy() });
  }

  #took(count: number): void {
    this.#from += count;
    // Not at each turn, so that a long line costs no more for each of them than a short one.
    if (this.#from < this.#waiting.length && this.#from < 4096) return;
    this.#waiting.splice(0, this.#from);
    this.#from = 0;
  }
}

/** Whether it waits for its turn: a client asked for it, and nothing that keeps the network going. */
export function waitsForTurn(message: { readonly kind: string }): message is Forward {
  return message.kind === "forward" && !isSystemOp((message as Forward).request.op);
}
