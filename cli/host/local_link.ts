/**
 * A client in the node's own process, as the node sees it: requests and answers pass by reference, without connection and
 * codec, and by the same rules as those of others (ClientLink): they wait for their turn (O1 to O3), what they take is
 * bounded (C2), and what is held for them counts (O5).
 *
 * H1. Every request is answered once by reply(), or lost() is told. What was lost may be answered all the same, late.
 */
import { LIMITS } from "../../core/base/limits.ts";
import type { ClientRequestFrame, ClientResponseFrame } from "../../core/wire/codec.ts";
import type { Response } from "../../core/wire/requests.ts";
import { sizeOfOp, weightOf } from "./client_link.ts";
import { type ClientMemory, type Holder, type Requester, tooBusy, type Turns } from "./load.ts";

export interface LocalLinkOptions {
  /** Takes requests for the node. */
  readonly hand: (requests: readonly ClientRequestFrame[]) => void;
  readonly answers: (responses: readonly ClientResponseFrame[]) => void;
  /** What was asked will not be answered. */
  readonly lost: () => void;
  readonly turns: Pick<Turns, "ready" | "gone" | "taken" | "answered">;
  readonly memory: Pick<ClientMemory, "share">;
  readonly clock?: () => number;
}

interface UnderWay {
  readonly since: number;
  readonly bytes: number;
  /** The node's window counts it: how long chunks take says nothing of how much it can answer. */
  readonly counts: boolean;
}

export class LocalLink implements Requester, Holder {
  readonly kind = "client";
  readonly #options: LocalLinkOptions;
  readonly #clock: () => number;
  #waiting: ClientRequestFrame[] = [];
  #waitingBytes = 0;
  /** Since when the first of them could have gone. */
  #since = 0;
  readonly #underWay = new Map<number, UnderWay>();
  #underWayBytes = 0;
  #outbox: ClientResponseFrame[] = [];
  #gone = false;

  constructor(options: LocalLinkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
  }

  get heldBytes(): number {
    return this.#waitingBytes + this.#underWayBytes;
  }

  send(requests: readonly ClientRequestFrame[]): void {
    const ready = this.ready;
    for (const request of requests) {
      this.#waiting.push(request);
      this.#waitingBytes += sizeOfOp(request.request.op);
    }
    if (!ready) this.#since = this.#clock();
    this.#options.turns.ready(this);
  }

  get ready(): boolean {
    const next = this.#waiting[0];
    return next !== undefined && !this.#gone && this.#fits(next);
  }

  get since(): number {
    return this.ready ? this.#since : Infinity;
  }

  serve(most: number): number {
    const now = this.#clock(), taken: ClientRequestFrame[] = [];
    let weight = 0, counted = 0;
    for (const next of this.#waiting) {
      if (weight >= most || this.#gone || !this.#fits(next)) break;
      const { op } = next.request, bytes = sizeOfOp(op);
      const counts = op.kind !== "chunk-put" && op.kind !== "chunk-get";
      this.#underWay.set(next.id, { since: now, bytes, counts });
      this.#underWayBytes += bytes;
      this.#waitingBytes -= bytes;
      weight += weightOf(op);
      if (counts) counted++;
      taken.push(next);
    }
    if (taken.length === 0) return 0;
    this.#waiting = this.#waiting.slice(taken.length);
    this.#since = now;
    this.#options.turns.taken(counted, now);
    this.#options.hand(taken);
    return weight;
  }

  refuse(since: number): number {
    if (this.since > since) return 0;
    const refused = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#options.answers(refused.map(({ id }) => ({ id, response: tooBusy() })));
    return refused.length;
  }

  /** True where nothing waited for flush() yet. */
  reply(id: number, response: Response): boolean {
    const ready = this.ready;
    this.#end(id, response.kind !== "refused");
    if (!ready) this.#since = this.#clock();
    return this.#outbox.push({ id, response }) === 1;
  }

  flush(): void {
    const responses = this.#outbox;
    this.#outbox = [];
    if (responses.length > 0 && !this.#gone) this.#options.answers(responses);
  }

  /** It may have room again. */
  proceed(): void {
    if (this.ready) this.#options.turns.ready(this);
  }

  /** The life of the node that had its requests is over, or it held too much. */
  cutOff(): void {
    this.#forget();
    if (!this.#gone) this.#options.lost();
  }

  /** Nobody asks here any more. */
  gone(): void {
    this.#gone = true;
    this.#forget();
  }

  #forget(): void {
    this.#options.turns.gone(this);
    for (const id of [...this.#underWay.keys()]) this.#end(id, false);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#outbox = [];
  }

  #end(id: number, served: boolean): void {
    const found = this.#underWay.get(id);
    if (found === undefined) return;
    this.#underWay.delete(id);
    this.#underWayBytes -= found.bytes;
    if (found.counts) this.#options.turns.answered(found.since, this.#clock(), served);
  }

  /** C2. */
  #fits({ request }: ClientRequestFrame): boolean {
    if (this.#underWay.size === 0) return true;
    const bound = Math.min(LIMITS.clientQueueBytesMax, this.#options.memory.share);
    return this.#underWay.size < LIMITS.requestsPerClientMax &&
      this.#underWayBytes + sizeOfOp(request.op) <= bound;
  }
}
