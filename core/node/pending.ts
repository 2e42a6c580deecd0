import { type Instant, NEVER, type NodeId, type PartitionId } from "../base/ids.ts";
import type { Request, Response } from "../wire/requests.ts";

/**
 * Who waits for an answer: a client of this node, a peer that forwarded a client's request, this node itself, or a part of
 * it that is called back, perhaps within the call that asked.
 */
export type Asker =
  | { readonly kind: "client"; readonly client: number; readonly id: number }
  | { readonly kind: "peer"; readonly peer: NodeId; readonly id: number }
  | { readonly kind: "part"; readonly whole: number; readonly part: number }
  | { readonly kind: "self" }
  | { readonly kind: "inner"; readonly done: (response: Response, now: Instant) => void };

export interface Waiting {
  readonly token: number;
  readonly asker: Asker;
  readonly request: Request;
  /** The partition that answers it. */
  readonly partition: PartitionId;
  readonly deadline: Instant;
  /** The peer it was forwarded to, or null while it is worked on here. */
  to: NodeId | null;
  hops: number;
}

/** Requests under way, by token. All have the same patience, so the order of arrival is the order of deadlines. */
export class Pending {
  readonly #waiting = new Map<number, Waiting>();
  #next: number;

  /** `first`: an answer to an earlier life of this node may still come, and must find no request of this one. */
  constructor(first: number) {
    this.#next = first;
  }

  get size(): number {
    return this.#waiting.size;
  }

  add(asker: Asker, request: Request, partition: PartitionId, deadline: Instant): Waiting {
    const waiting = { token: this.#next++, asker, request, partition, deadline, to: null, hops: 0 };
    this.#waiting.set(waiting.token, waiting);
    return waiting;
  }

  get(token: number): Waiting | undefined {
    return this.#waiting.get(token);
  }

  /** Removes and returns it; undefined where it has been answered already. */
  take(token: number): Waiting | undefined {
    const waiting = this.#waiting.get(token);
    if (waiting !== undefined) this.#waiting.delete(token);
    return waiting;
  }

  nextDeadline(): Instant {
    if (this.#waiting.size === 0) return NEVER; // the common case, without an iterator
    for (const waiting of this.#waiting.values()) return waiting.deadline;
    return NEVER;
  }

  /** Removes and returns one request whose time is over, or null. */
  takeExpired(now: Instant): Waiting | null {
    for (const waiting of this.#waiting.values()) {
      if (waiting.deadline > now) return null;
      this.#waiting.delete(waiting.token);
      return waiting;
    }
    return null;
  }

  /** Tokens of the requests for which `test` holds, oldest first. */
  tokensWhere(test: (waiting: Waiting) => boolean): number[] {
    const tokens: number[] = [];
    for (const waiting of this.#waiting.values()) if (test(waiting)) tokens.push(waiting.token);
    return tokens;
  }
}
