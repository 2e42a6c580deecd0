/**
 * A client in the node's own process, as the node sees it: requests and answers pass by reference, without connection and
 * codec, and by the same rules as those of others (ClientLink): they wait for their turn (O1 to O3), what they take is
 * bounded (C2), and what is held for them counts (O5).
 *
 * What asks for no chunk does not wait behind chunks for room.
 *
 * H1. Every request is answered once by reply(), or lost() is told. What was lost may be answered all the same, late.
 */
import { LIMITS } from "../../core/base/limits.ts";
import type { ClientRequestFrame, ClientResponseFrame } from "../../core/wire/codec.ts";
import type { Op, Response } from "../../core/wire/requests.ts";
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

/** Requests that have not gone yet, in order. */
class Line {
  requests: ClientRequestFrame[] = [];
  /** Since when the first of them could have gone; Infinity: it could not. */
  since = Infinity;

  get first(): ClientRequestFrame | undefined {
    return this.requests[0];
  }
}

export class LocalLink implements Requester, Holder {
  readonly kind = "client";
  readonly #options: LocalLinkOptions;
  readonly #clock: () => number;
  readonly #ordinary = new Line();
  readonly #chunks = new Line();
  #waitingBytes = 0;
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
    for (const request of requests) {
      const { op } = request.request;
      (isChunk(op) ? this.#chunks : this.#ordinary).requests.push(request);
      this.#waitingBytes += sizeOfOp(op);
    }
    this.#look();
    this.#options.turns.ready(this);
  }

  get ready(): boolean {
    return this.since < Infinity;
  }

  get since(): number {
    return this.#gone ? Infinity : Math.min(this.#ordinary.since, this.#chunks.since);
  }

  serve(most: number): number {
    const taken: ClientRequestFrame[] = [];
    const weight = this.#take(this.#ordinary, most, taken), counted = taken.length;
    const all = weight + this.#take(this.#chunks, most - weight, taken);
    this.#look();
    if (taken.length === 0) return 0;
    this.#options.turns.taken(counted, this.#clock());
    this.#options.hand(taken);
    return all;
  }

  refuse(since: number): number {
    const refused: ClientRequestFrame[] = [];
    for (const line of [this.#ordinary, this.#chunks]) {
      if (line.since > since) continue;
      refused.push(...line.requests);
      line.requests = [];
    }
    for (const { request } of refused) this.#waitingBytes -= sizeOfOp(request.op);
    this.#look();
    if (refused.length > 0) {
      this.#options.answers(refused.map(({ id }) => ({ id, response: tooBusy() })));
    }
    return refused.length;
  }

  /** True where nothing waited for flush() yet. */
  reply(id: number, response: Response): boolean {
    this.#end(id, response.kind !== "refused");
    this.#look();
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
    for (const line of [this.#ordinary, this.#chunks]) line.requests = [];
    this.#waitingBytes = 0;
    this.#outbox = [];
    this.#look();
  }

  /** Takes what may go of a line, up to about a weight of `most`. Returns what it weighs. */
  #take(line: Line, most: number, taken: ClientRequestFrame[]): number {
    const now = this.#clock();
    let weight = 0, count = 0;
    for (const next of line.requests) {
      if (weight >= most || this.#gone || !this.#fits(next.request.op)) break;
      const { op } = next.request, bytes = sizeOfOp(op);
      this.#underWay.set(next.id, { since: now, bytes, counts: !isChunk(op) });
      this.#underWayBytes += bytes;
      this.#waitingBytes -= bytes;
      weight += weightOf(op);
      taken.push(next);
      count++;
    }
    if (count > 0) {
      line.requests = line.requests.slice(count);
      line.since = Infinity;
    }
    return weight;
  }

  /** Since when the first of each line could go: what waits for room does not wait for its turn (O3). */
  #look(): void {
    for (const line of [this.#ordinary, this.#chunks]) {
      const { first } = line, could = first !== undefined && !this.#gone && this.#fits(first.request.op);
      if (!could) line.since = Infinity;
      else if (line.since === Infinity) line.since = this.#clock();
    }
  }

  #end(id: number, served: boolean): void {
    const found = this.#underWay.get(id);
    if (found === undefined) return;
    this.#underWay.delete(id);
    this.#underWayBytes -= found.bytes;
    if (found.counts) this.#options.turns.answered(found.since, this.#clock(), served);
  }

  /** C2. */
  #fits(op: Op): boolean {
    if (this.#underWay.size >= LIMITS.requestsPerClientMax) return false;
    const bytes = sizeOfOp(op);
    if (this.#underWayBytes === 0 || bytes <= LARGE_BYTES) return true;
    return this.#underWayBytes + bytes <= Math.min(LIMITS.clientQueueBytesMax, this.#options.memory.share);
  }
}

/** Requests with less than this are not counted by their bytes alone. */
const LARGE_BYTES = 4096;

function isChunk(op: Op): boolean {
  return op.kind === "chunk-put" || op.kind === "chunk-get";
}
