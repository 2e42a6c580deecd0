/**
 * Chunks on behalf of clients: spread over their holders, and gathered again.
 *
 * Q1. Every request is answered once, within LIMITS.requestUs, unless its client is gone: then what is under way for it
 *     ends. What was answered goes on behind the client's back until every wanted fragment is durable or given up.
 * Q2. A put is answered "stored" when a quorum of different fragments is durable (writeQuorum), each at another member.
 * Q3. Fragment i goes to position i of the placement, if there are members enough. Where that one is away, refuses, fails,
 *     or answers nothing at all for putPatienceUs, the next member in the order that has none of this chunk gets it. One
 *     that is late may still turn out to have it as well: then there is one too many, which looks find.
 * Q4. A put that can reach its quorum no more is refused at once. Nothing is taken back: repeating it is harmless, and
 *     fragments of what was never registered are garbage.
 * Q5. Requests and bytes under way are bounded, those that go on behind the client's back among them: past it "busy".
 * Q6. A put shows that it is the segment's writer who asks (N1 in segment_id.ts); its token goes no further.
 */
import { DeadlineHeap, type Due } from "../base/deadline_heap.ts";
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import type { ErasureCoder } from "../base/ports.ts";
import type { Effects } from "../wire/kernel.ts";
import type { SegmentId } from "../wire/objects.ts";
import { refusal } from "../wire/ops.ts";
import type { ChunkRequestOp, Refused, Response } from "../wire/requests.ts";
import type { Asks, PutAnswer } from "./asks.ts";
import type { FetchedChunk, Fetcher } from "./fetch.ts";
import {
  CHUNK_END,
  fragmentCount,
  fragmentHash,
  fragmentOf,
  indexAt,
  isSegmentId,
  makeFragments,
  payloadBytes,
  schemeProblem,
  SEALED_BYTES_MAX,
  writeQuorum,
} from "./fragment.ts";
import type { Holders, Presence } from "./holders.ts";
import { segmentOfToken } from "./segment_id.ts";

const BUSY_RETRY_MS = 50;
/** Members after those that should hold a chunk, of whom each may take one's place. */
const SPARES_MAX = 8;

type PutOp = Extract<ChunkRequestOp, { kind: "chunk-put" }>;
type GetOp = Extract<ChunkRequestOp, { kind: "chunk-get" }>;

export interface GatewayOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly asks: Asks;
  readonly fetcher: Fetcher;
  readonly coder: ErasureCoder;
  readonly holders: () => Holders;
  readonly presence: (node: NodeId) => Presence;
  /** Data partitions of the network. */
  readonly partitions: () => number;
  readonly putPatienceUs: number;
}

/** Who waits for the answer. */
interface Asker {
  readonly client: number;
  readonly id: number;
}
/** A fragment that is wanted somewhere. */
interface Slot {
  readonly index: number;
  stored: boolean;
  /** Who was given it and has not answered, by the number of the question. */
  readonly asking: Map<number, { readonly node: NodeId; readonly lateAt: Instant }>;
}
interface Put extends Due {
  readonly asker: Asker;
  readonly segment: SegmentId;
  readonly chunk: number;
  /** By index. What came from the client is not kept besides: it may be part of a larger buffer. */
  readonly files: readonly Uint8Array[];
  readonly slots: Slot[];
  readonly spares: NodeId[];
  readonly quorum: number;
  readonly weight: number;
  readonly until: Instant;
  answered: boolean;
  ended: boolean;
  /** What holders had against it. */
  readonly problems: Set<PutAnswer>;
}
interface Get {
  readonly asker: Asker;
  readonly fetching: number;
  readonly weight: number;
}

export class Gateway {
  readonly #options: GatewayOptions;
  readonly #puts = new Set<Put>();
  readonly #due = new DeadlineHeap<Put>();
  readonly #gets = new Set<Get>();
  #bytes = 0;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  /** Requests under way, and their bytes. */
  get size(): number {
    return this.#puts.size + this.#gets.size;
  }
  get bytes(): number {
    return this.#bytes;
  }

  // ---- reading

  get(asker: Asker, op: GetOp, now: Instant): void {
    const { segment, chunk, scheme, length, attempt } = op;
    const refused = this.#problem(op, length) ?? this.#busy(length);
    if (refused !== null) return this.#reply(asker, refused);
    const fetching = this.#options.fetcher.fetchChunk(
      { segment, chunk, scheme, sealedBytes: length },
      { until: after(now, LIMITS.requestUs), attempt },
      now,
      (fetched) => {
        this.#endGet(get);
        this.#reply(asker, answerOf(op, fetched));
      },
    );
    const get: Get = { asker, fetching, weight: length };
    this.#gets.add(get);
    this.#bytes += length;
  }

  #endGet(get: Get): void {
    if (this.#gets.delete(get)) this.#bytes -= get.weight;
  }

  // ---- writing

  put(asker: Asker, op: PutOp, now: Instant): void {
    const { segment, chunk, scheme, bytes } = op, { holders, coder } = this.#options;
    const spread = scheme.kind === "replicated" ? 1 : fragmentCount(scheme);
    const weight = spread * payloadBytes(scheme, bytes.length);
    const refused = this.#problem(op, bytes.length) ?? notWriter(op) ?? this.#busy(weight);
    if (refused !== null) return this.#reply(asker, refused);
    const { active } = holders(), quorum = writeQuorum(scheme, active);
    if (quorum === null) return this.#reply(asker, tooSmall(op, active));
    const hash = fragmentHash(segment.segment, chunk), count = fragmentCount(scheme);
    const put: Put = {
      asker,
      segment,
      chunk,
      files: makeFragments(segment, chunk, { scheme, sealed: bytes, coder }),
      slots: [],
      spares: [...holders().spares(hash, count, SPARES_MAX)],
      quorum,
      weight,
      until: after(now, LIMITS.requestUs),
      answered: false,
      ended: false,
      problems: new Set(),
      deadline: after(now, LIMITS.requestUs),
      slot: 0,
    };
    this.#puts.add(put);
    this.#due.add(put);
    this.#bytes += weight;
    for (const [position, node] of holders().place(hash, count).entries()) {
      if (node === null) continue;
      const slot: Slot = { index: indexAt(scheme, position), stored: false, asking: new Map() };
      put.slots.push(slot);
      this.#give(put, slot, this.#presence(node) === "away" ? this.#spare(put) : node, now);
    }
    this.#judge(put, now);
  }

  /** Q3. */
  #spare(put: Put): NodeId | null {
    for (let node = put.spares.shift(); node !== undefined; node = put.spares.shift()) {
      if (this.#presence(node) === "here") return node;
    }
    return null;
  }

  #give(put: Put, slot: Slot, node: NodeId | null, now: Instant): void {
    if (node === null) return;
    const { asks, putPatienceUs } = this.#options, { segment, chunk, files, until } = put;
    const fragment = fragmentOf(segment, chunk, slot.index);
    const id = asks.put(
      node,
      { fragment, bytes: files[slot.index]!, until },
      now,
      (answer, at) => this.#given(put, slot, { id, answer }, at),
    );
    slot.asking.set(id, { node, lateAt: after(now, putPatienceUs) });
  }

  #given(put: Put, slot: Slot, { id, answer }: { id: number; answer: PutAnswer }, now: Instant): void {
    if (put.ended || !slot.asking.delete(id)) return;
    if (answer === "stored") {
      slot.stored = true;
      this.#forget(slot, now);
    } else {
      put.problems.add(answer);
      // Where another content stands under the name, it must not stand elsewhere besides.
      if (answer !== "refused" && !isWaiting(slot)) this.#give(put, slot, this.#spare(put), now);
    }
    this.#judge(put, now);
  }

  /** Its other holders are not waited for. */
  #forget(slot: Slot, now: Instant): void {
    for (const id of slot.asking.keys()) this.#options.asks.cancel(id, now);
    slot.asking.clear();
  }

  /** Answers, ends, or sees to being woken. */
  #judge(put: Put, now: Instant): void {
    const { slots, quorum, answered } = put;
    const stored = slots.filter((slot) => slot.stored).length;
    if (!answered && stored >= quorum) {
      put.answered = true; // Q2
      this.#reply(put.asker, { kind: "stored", fragments: stored, wanted: slots.length });
    }
    // Who waits for no answer any more waits for nobody who is late.
    const hopeful = slots.filter((slot) => isWaiting(slot) || (!put.answered && slot.asking.size > 0));
    if (!put.answered && stored + hopeful.length < quorum) { // Q4
      put.answered = true;
      this.#reply(put.asker, failure(put, stored));
      return this.#end(put, now);
    }
    if (hopeful.length === 0) return this.#end(put, now);
    let next = put.until;
    for (const { asking } of hopeful) {
      for (const { lateAt } of asking.values()) if (lateAt < next) next = lateAt;
    }
    this.#due.move(put, next);
  }

  #end(put: Put, now: Instant): void {
    put.ended = true;
    this.#puts.delete(put);
    this.#due.remove(put);
    this.#bytes -= put.weight;
    for (const slot of put.slots) this.#forget(slot, now);
  }

  // ---- time, and those who go

  wake(now: Instant): void {
    for (let put = this.#due.first(); put !== undefined && put.deadline <= now; put = this.#due.first()) {
      if (put.until > now) this.#late(put, now);
      else {
        if (!put.answered) this.#reply(put.asker, failure(put, storedOf(put)));
        put.answered = true;
        this.#end(put, now);
      }
    }
  }

  /** Who has much to do and answers others is slow, and not late: a spare in its place would make more to do for all. */
  #late(put: Put, now: Instant): void {
    const { asks, putPatienceUs } = this.#options;
    for (const slot of put.slots) {
      let late = false;
      for (const [id, { node, lateAt }] of slot.asking) {
        if (lateAt > now) continue;
        const silent = asks.owesFor(node, now) >= putPatienceUs;
        slot.asking.set(id, { node, lateAt: silent ? NEVER : after(now, putPatienceUs) });
        if (silent) late = true;
      }
      if (late && !isWaiting(slot)) this.#give(put, slot, this.#spare(put), now);
    }
    this.#judge(put, now);
  }

  nextWake(): Instant {
    return this.#due.next;
  }

  /** Q1. */
  clientGone(client: number, now: Instant): void {
    for (const put of this.#puts) if (put.asker.client === client && !put.answered) this.#end(put, now);
    for (const get of this.#gets) {
      if (get.asker.client !== client) continue;
      this.#options.fetcher.cancel(get.fetching, now);
      this.#endGet(get);
    }
  }

  // ---- what there is against it

  #problem({ segment, chunk, scheme }: PutOp | GetOp, bytes: number): Refused | null {
    if (!isSegmentId(segment)) {
      return refusal(
        "invalid",
        `A segment has 32 hexadecimal digits, not ${JSON.stringify(segment.segment)}`,
      );
    }
    const partitions = this.#options.partitions();
    if (segment.partition > partitions) {
      return refusal("invalid", `Partition ${segment.partition} is none of 1 to ${partitions}`);
    }
    if (!Number.isInteger(chunk) || chunk < 0 || chunk >= CHUNK_END) {
      return refusal("invalid", `A chunk is an integer from 0 below ${CHUNK_END}, not ${chunk}`);
    }
    const problem = schemeProblem(scheme);
    if (problem !== null) return refusal("invalid", problem);
    if (Number.isInteger(bytes) && bytes >= 1 && bytes <= SEALED_BYTES_MAX) return null;
    return refusal("too-large", `A sealed chunk has 1 to ${SEALED_BYTES_MAX} bytes, not ${bytes}`);
  }

  /** Q5. One request always fits. */
  #busy(bytes: number): Refused | null {
    const requests = this.size;
    const full = requests >= LIMITS.chunkRequestsMax ||
      (requests > 0 && this.#bytes + bytes > LIMITS.chunkBytesPendingMax);
    if (!full) return null;
    const message =
      `Node "${this.#options.self}" has ${requests} chunks with ${this.#bytes} bytes under way, which ` +
      `is enough: try again shortly`;
    return { ...refusal("busy", message), retryAfterMs: BUSY_RETRY_MS };
  }

  #presence(node: NodeId): Presence {
    return node === this.#options.self ? "here" : this.#options.presence(node);
  }

  #reply({ client, id }: Asker, response: Response): void {
    this.#options.effects.reply(client, id, response);
  }
}

/** Q6. */
function notWriter({ segment, token }: PutOp): Refused | null {
  return segmentOfToken(token) === segment.segment ? null : refusal(
    "denied",
    `The write token is not that of segment ${segment.segment}: only who began a segment writes its chunks`,
  );
}

/** Somebody has it who is not late: NEVER stands for late. */
function isWaiting({ asking }: Slot): boolean {
  for (const { lateAt } of asking.values()) if (lateAt !== NEVER) return true;
  return false;
}

function storedOf({ slots }: Put): number {
  return slots.filter((slot) => slot.stored).length;
}

function failure(put: Put, stored: number): Refused {
  const { segment, chunk, quorum, problems, slots } = put;
  const so =
    `Only ${stored} of ${slots.length} fragments of chunk ${chunk} of segment ${segment.segment} could be ` +
    `stored, and ${quorum} are needed`;
  if (problems.has("refused")) {
    return refusal("conflict", `${so}: another content stands under that name. Take a new segment`);
  }
  if (problems.has("no-space")) {
    return refusal("no-space", `${so}: members are short of disk space. Delete objects, or make room`);
  }
  return refusal("timeout", `${so}; try again`);
}

function tooSmall({ scheme }: PutOp, active: number): Refused {
  const needed = scheme.kind === "replicated" ? 1 : scheme.data + Math.ceil(scheme.parity / 2);
  return refusal(
    "conflict",
    `The network is too small for this scheme: ${active} members are active, and a chunk takes ${needed}. ` +
      `Wait for more, or use a scheme with fewer fragments`,
  );
}

function answerOf({ segment, chunk }: GetOp, fetched: FetchedChunk): Response {
  switch (fetched.kind) {
    case "found":
      return { kind: "chunk", bytes: fetched.sealed };
    case "absent":
      return refusal(
        "not-found",
        `Too few fragments of chunk ${chunk} of segment ${segment.segment} are held by any member`,
      );
    case "unsure":
      return refusal(
        "timeout",
        `Too few fragments of chunk ${chunk} of segment ${segment.segment} can be had now; try again`,
      );
  }
}
