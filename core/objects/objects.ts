/**
 * The bulk of objects at one node: it holds fragments, gets them from others, and spreads and gathers chunks for clients.
 * What a look finds is mended on top of this.
 *
 * Everything here answers by call back. Those that are due although nothing came from outside are made in settle(), which
 * the node calls until nothing is left, before a step ends.
 */
import type { Instant, NodeId } from "../base/ids.ts";
import { NEVER } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { ErasureCoder } from "../base/ports.ts";
import type { Tuning } from "../base/tuning.ts";
import type { Effects } from "../wire/kernel.ts";
import type { Message } from "../wire/messages.ts";
import {
  type ChunkResult,
  type ChunkStatus,
  type FragmentId,
  NO_CHUNKS,
  type SegmentId,
} from "../wire/objects.ts";
import { refusal } from "../wire/ops.ts";
import type { ChunkRequestOp, Refused } from "../wire/requests.ts";
import { Asks } from "./asks.ts";
import { ChunkDisk } from "./disk.ts";
import { Fetcher } from "./fetch.ts";
import { isSegmentId } from "./fragment.ts";
import { Gateway } from "./gateway.ts";
import { Holder } from "./holder.ts";
import type { Holders, Presence } from "./holders.ts";

export interface ObjectsOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly tuning: Tuning;
  readonly coder: ErasureCoder;
  readonly holders: () => Holders;
  /** Of others. */
  readonly presence: (node: NodeId) => Presence;
  /** This node is short of disk space. */
  readonly low: () => boolean;
  /** Others may give it fragments; left out: always. Who is on its way out takes none: it might have looked for the last time. */
  readonly takes?: () => boolean;
  /** Data partitions of the network. */
  readonly partitions: () => number;
  /** Of the view: what "done" says. */
  readonly version: () => number;
  /** From 1, and another in each life of the node. */
  readonly firstNumber: number;
}

/** What others want to know of what happens here. */
export interface ObjectsListener {
  /** A fragment is durable here. It may have been before. */
  written(fragment: FragmentId, bytes: number, now: Instant): void;
  removed(fragments: readonly FragmentId[], now: Instant): void;
  /** What stood under this name was rotten, and is being removed. */
  rotten(fragment: FragmentId, now: Instant): void;
  /** Somebody wanted this fragment, and it is not here. */
  absent(fragment: FragmentId, now: Instant): void;
  /** Somebody says that these are registered no more. */
  gone(segments: readonly SegmentId[], now: Instant): void;
  /** Whether a peer may be told now which of these are held: see surplus.ts. */
  mayTell(fragments: readonly FragmentId[], now: Instant): boolean;
  status(): ChunkStatus;
}

type ObjectMessage = Extract<Message, { kind: `fragment-${string}` | "segments-gone" }>;

export class Objects {
  readonly disk: ChunkDisk;
  readonly holder: Holder;
  readonly asks: Asks;
  readonly fetcher: Fetcher;
  /** Set by who mends; null: nobody listens. */
  listener: ObjectsListener | null = null;
  readonly #options: ObjectsOptions;
  readonly #gateway: Gateway;

  constructor(options: ObjectsOptions) {
    const { self, effects, tuning, coder, holders, presence, low, partitions, firstNumber } = options;
    this.#options = options;
    this.disk = new ChunkDisk({
      effects,
      firstOp: firstNumber,
      written: (fragment, bytes, now) => this.listener?.written(fragment, bytes, now),
      removed: (fragments, now) => this.listener?.removed(fragments, now),
    });
    this.holder = new Holder({
      effects,
      disk: this.disk,
      low,
      partitions,
      rotten: (fragment, now) => this.listener?.rotten(fragment, now),
      absent: (fragment, now) => this.listener?.absent(fragment, now),
    });
    this.asks = new Asks({ self, effects, local: this.holder, firstId: firstNumber });
    const { asks } = this, { hedgeUs, putPatienceUs } = tuning;
    this.fetcher = new Fetcher({ self, asks, holders, presence, coder, hedgeUs });
    const { fetcher } = this;
    this.#gateway = new Gateway({
      self,
      effects,
      asks,
      fetcher,
      coder,
      holders,
      presence,
      partitions,
      putPatienceUs,
    });
  }

  /** Requests of clients under way. */
  get requests(): number {
    return this.#gateway.size;
  }

  status(): ChunkStatus {
    return this.listener?.status() ?? NO_CHUNKS;
  }

  // ---- inputs

  handle(from: NodeId, message: ObjectMessage, now: Instant): void {
    switch (message.kind) {
      case "fragment-put":
        if (this.#options.takes?.() === false) return this.#decline(from, message.id);
        return this.holder.handlePut(from, message);
      case "fragment-get":
        return this.holder.handleGet(from, message);
      case "fragment-check":
        if (this.listener?.mayTell(message.fragments, now) === false) return;
        return this.holder.handleCheck(from, message);
      case "fragment-put-reply":
        return this.asks.handlePutReply(from, message, now);
      case "fragment-get-reply":
        return this.asks.handleGetReply(from, message, now);
      case "fragment-check-reply":
        return this.asks.handleCheckReply(from, message, now);
      case "segments-gone":
        return this.listener?.gone(message.segments, now);
      default:
        return unreachable(message);
    }
  }

  /** Who asks has an older view, and gives it to another. */
  #decline(from: NodeId, id: number): void {
    this.#options.effects.send(from, { kind: "fragment-put-reply", id, outcome: "failed" });
  }

  request(asker: { readonly client: number; readonly id: number }, op: ChunkRequestOp, now: Instant): void {
    switch (op.kind) {
      case "chunk-put":
        return this.#gateway.put(asker, op, now);
      case "chunk-get":
        return this.#gateway.get(asker, op, now);
      case "segments-gone": {
        const { effects, version } = this.#options;
        const refused = this.#tellGone(op.segments, now);
        return effects.reply(asker.client, asker.id, refused ?? { kind: "done", version: version() });
      }
      default:
        return unreachable(op);
    }
  }

  #tellGone(segments: readonly SegmentId[], now: Instant): Refused | null {
    const { self, effects, holders, partitions } = this.#options;
    if (segments.length > LIMITS.segmentsPerHintMax) {
      return refusal(
        "too-large",
        `${segments.length} segments are named, and ${LIMITS.segmentsPerHintMax} at once are the most`,
      );
    }
    if (!segments.every((segment) => isSegmentId(segment) && segment.partition <= partitions())) {
      return refusal("invalid", "A segment has 32 hexadecimal digits and one of the network's partitions");
    }
    for (const node of holders().all) {
      if (node !== self) effects.send(node, { kind: "segments-gone", segments });
    }
    this.listener?.gone(segments, now);
    return null;
  }

  results(results: readonly ChunkResult[], now: Instant): void {
    this.disk.results(results, now);
  }

  clientGone(client: number, now: Instant): void {
    this.#gateway.clientGone(client, now);
  }

  /** A peer is gone: it answers nothing that it was asked. */
  peerDown(peer: NodeId, now: Instant): void {
    this.asks.peerDown(peer, now);
  }

  // ---- time

  wake(now: Instant): void {
    this.asks.wake(now);
    this.fetcher.wake(now);
    this.#gateway.wake(now);
  }

  nextWake(): Instant {
    return Math.min(
      NEVER,
      this.asks.nextWake(),
      this.fetcher.nextWake(),
      this.#gateway.nextWake(),
    ) as Instant;
  }

  /** True: something was told that may have led to more. */
  settle(now: Instant): boolean {
    const asked = this.asks.settle(now);
    return this.fetcher.settle(now) || asked;
  }
}
