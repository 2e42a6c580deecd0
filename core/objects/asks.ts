/**
 * What a node asks holders of fragments, other nodes and itself alike: put, get, check.
 *
 * A1. Every question ends in exactly one call back, or is cancelled and ends in none. Never within the call that asked:
 *     what is known at once is told by settle(), which the node calls before its step ends.
 * A2. An answer counts only from who was asked, and once. What it brings is proven here to be what was asked for.
 * A3. Bytes under way to and from one peer are bounded, so that its queue, here and there, need not drop any. What is over
 *     it waits here in the order asked.
 * A4. A network may lose messages: what has no answer is sent again, fragments at longer intervals. Holders take it twice.
 */
import { DeadlineHeap, type Due } from "../base/deadline_heap.ts";
import { after, type Instant, NEVER, type NodeId } from "../base/ids.ts";
import { unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Effects } from "../wire/kernel.ts";
import type { FragmentPutOutcome, MessageOf } from "../wire/messages.ts";
import type { FragmentId } from "../wire/objects.ts";
import { type Fragment, parseFragment } from "./fragment.ts";

const RESEND_US = 1_000_000;
const RESEND_BYTES_US = 2_500_000;
/** What a question weighs besides the fragment that it brings or asks for. */
const QUESTION_BYTES = 256;
/** A peer that owed an answer which nobody waits for any more counts as silent for so long, then it is tried anew. */
const SILENT_US = 10_000_000;

/** lost: no answer came, and none will be waited for. */
export type PutAnswer = FragmentPutOutcome | "lost";
/** none: it is not held there, or not whole. wrong: what came is not that fragment. */
export type GetAnswer =
  | { readonly kind: "found"; readonly fragment: Fragment }
  | { readonly kind: "none" | "wrong" | "lost" };

/** The node's own disk, asked as others are (core/objects/holder.ts). May answer within the call. */
export interface LocalHolder {
  put(fragment: FragmentId, bytes: Uint8Array, done: (outcome: FragmentPutOutcome) => void): void;
  /** "lost": not now. */
  get(fragment: FragmentId, done: (found: Fragment | null | "lost") => void): void;
  check(
    fragments: readonly FragmentId[],
    done: (held: readonly boolean[] | null) => void,
    verify?: boolean,
  ): void;
}

export interface AsksOptions {
  readonly self: NodeId;
  readonly effects: Effects;
  readonly local: LocalHolder;
  /** From 1, and another in each life of the node: answers for an earlier life may still come. */
  readonly firstId: number;
}

type Question =
  | {
    readonly kind: "put";
    readonly fragment: FragmentId;
    readonly bytes: Uint8Array;
    readonly done: (answer: PutAnswer, now: Instant) => void;
  }
  | {
    readonly kind: "get";
    readonly fragment: FragmentId;
    readonly done: (answer: GetAnswer, now: Instant) => void;
  }
  | {
    readonly kind: "check";
    readonly verify: boolean;
    readonly fragments: readonly FragmentId[];
    readonly done: (held: readonly boolean[] | null, now: Instant) => void;
  };

/** A question to a peer. `deadline` is when it is sent again or given up. */
interface Ask extends Due {
  readonly id: number;
  readonly to: NodeId;
  readonly question: Question;
  readonly weight: number;
  readonly until: Instant;
  sent: boolean;
}
interface Peer {
  /** Of what was sent and has no answer. */
  weight: number;
  readonly waiting: Ask[];
  /** Since when it owes an answer, waited for or not, and has given none to anything; NEVER: it owes none. */
  owesSince: Instant;
}

export class Asks {
  readonly #options: AsksOptions;
  readonly #asks = new Map<number, Ask>();
  readonly #local = new Set<number>();
  readonly #due = new DeadlineHeap<Ask>();
  readonly #peers = new Map<NodeId, Peer>();
  #ready: ((now: Instant) => void)[] = [];
  #next: number;

  constructor(options: AsksOptions) {
    this.#options = options;
    this.#next = options.firstId;
  }

  /** Questions to peers without an answer. */
  get size(): number {
    return this.#asks.size;
  }

  // ---- asking

  put(
    to: NodeId,
    { fragment, bytes, until }: { fragment: FragmentId; bytes: Uint8Array; until: Instant },
    now: Instant,
    done: (answer: PutAnswer, now: Instant) => void,
  ): number {
    return this.#ask(to, { kind: "put", fragment, bytes, done }, bytes.length, until, now);
  }

  /** `bytes`: about as many as will come. */
  get(
    to: NodeId,
    { fragment, bytes, until }: { fragment: FragmentId; bytes: number; until: Instant },
    now: Instant,
    done: (answer: GetAnswer, now: Instant) => void,
  ): number {
    return this.#ask(to, { kind: "get", fragment, done }, bytes, until, now);
  }

  /** Which of up to LIMITS.fragmentsPerCheckMax are held there, and where `verify`, whole; null: no answer. */
  check(
    to: NodeId,
    { fragments, verify = false, until }: {
      fragments: readonly FragmentId[];
      verify?: boolean;
      until: Instant;
    },
    now: Instant,
    done: (held: readonly boolean[] | null, now: Instant) => void,
  ): number {
    return this.#ask(to, { kind: "check", fragments, verify, done }, 0, until, now);
  }

  /** Its answer is not waited for any more. */
  cancel(id: number, now: Instant): void {
    this.#local.delete(id);
    const ask = this.#asks.get(id);
    if (ask !== undefined) this.#take(ask, now);
  }

  /** It has not answered anything for so long, and owes an answer. */
  owesFor(node: NodeId, now: Instant): number {
    const peer = this.#peers.get(node);
    return peer === undefined || isForgiven(peer, now) ? 0 : now - peer.owesSince;
  }

  #ask(to: NodeId, question: Question, bytes: number, until: Instant, now: Instant): number {
    const id = this.#next++;
    if (to === this.#options.self) {
      this.#local.add(id);
      this.#askSelf(id, question);
      return id;
    }
    const weight = QUESTION_BYTES + bytes;
    const ask: Ask = { id, to, question, weight, until, sent: false, deadline: until, slot: 0 };
    this.#asks.set(id, ask);
    this.#due.add(ask);
    let peer = this.#peers.get(to);
    if (peer === undefined) this.#peers.set(to, peer = { weight: 0, waiting: [], owesSince: NEVER });
    peer.waiting.push(ask);
    this.#send(peer, now);
    return id;
  }

  #askSelf(id: number, question: Question): void {
    const { local } = this.#options;
    const later = (tell: (now: Instant) => void) =>
      void this.#ready.push((now) => {
        if (this.#local.delete(id)) tell(now);
      });
    switch (question.kind) {
      case "put":
        return local.put(
          question.fragment,
          question.bytes,
          (outcome) => later((now) => question.done(outcome, now)),
        );
      case "get":
        return local.get(
          question.fragment,
          (found) => later((now) => question.done(foundHere(found), now)),
        );
      case "check":
        return local.check(
          question.fragments,
          (held) => later((now) => question.done(held, now)),
          question.verify,
        );
      default:
        return unreachable(question);
    }
  }

  /** A3. One question always fits. */
  #send(peer: Peer, now: Instant): void {
    while (peer.waiting.length > 0) {
      const ask = peer.waiting[0]!;
      if (peer.weight > 0 && peer.weight + ask.weight > LIMITS.fragmentBytesInFlightMax) return;
      peer.waiting.shift();
      if (isForgiven(peer, now)) peer.owesSince = now;
      peer.weight += ask.weight;
      ask.sent = true;
      this.#transmit(ask, now);
    }
  }

  #transmit(ask: Ask, now: Instant): void {
    const { id, to, question, until } = ask, { effects } = this.#options;
    const patience = question.kind === "put" ? RESEND_BYTES_US : RESEND_US;
    this.#due.move(ask, Math.min(until, after(now, patience)) as Instant); // A4
    switch (question.kind) {
      case "put":
        return effects.send(to, {
          kind: "fragment-put",
          id,
          fragment: question.fragment,
          bytes: question.bytes,
        });
      case "get":
        return effects.send(to, { kind: "fragment-get", id, fragment: question.fragment });
      case "check":
        return effects.send(to, {
          kind: "fragment-check",
          id,
          fragments: question.fragments,
          ...(question.verify ? { verify: true } : {}),
        });
      default:
        return unreachable(question);
    }
  }

  // ---- answers

  handlePutReply(from: NodeId, { id, outcome }: MessageOf<"fragment-put-reply">, now: Instant): void {
    const question = this.#answered(from, id, "put", now);
    if (question?.kind === "put") question.done(outcome, now);
  }

  handleGetReply(from: NodeId, { id, bytes }: MessageOf<"fragment-get-reply">, now: Instant): void {
    const question = this.#answered(from, id, "get", now);
    if (question?.kind !== "get") return;
    if (bytes === null) return question.done({ kind: "none" }, now);
    const fragment = parseFragment(bytes, question.fragment);
    if (fragment !== null) return question.done({ kind: "found", fragment }, now);
    this.#refuse(from, "fragment-get-reply", "It is not the fragment that was asked for");
    question.done({ kind: "wrong" }, now);
  }

  handleCheckReply(from: NodeId, { id, held }: MessageOf<"fragment-check-reply">, now: Instant): void {
    const question = this.#answered(from, id, "check", now);
    if (question?.kind !== "check") return;
    if (held.length === question.fragments.length) return question.done(held, now);
    this.#refuse(from, "fragment-check-reply", "It answers about another number of fragments");
    question.done(null, now);
  }

  /** A2. */
  #answered(from: NodeId, id: number, kind: Question["kind"], now: Instant): Question | null {
    const ask = this.#asks.get(id), peer = this.#peers.get(from);
    const counts = ask !== undefined && ask.to === from && ask.question.kind === kind && ask.sent;
    // Too late is an answer as well: it is not silent.
    if (peer !== undefined) peer.owesSince = peer.weight > (counts ? ask.weight : 0) ? now : NEVER;
    if (!counts) return null;
    this.#take(ask, now);
    return ask.question;
  }

  #take(ask: Ask, now: Instant): void {
    this.#asks.delete(ask.id);
    this.#due.remove(ask);
    const peer = this.#peers.get(ask.to);
    if (peer === undefined) return;
    if (ask.sent) peer.weight -= ask.weight;
    else peer.waiting.splice(peer.waiting.indexOf(ask), 1);
    this.#send(peer, now);
    const idle = peer.weight === 0 && peer.waiting.length === 0;
    if (idle && peer.owesSince === NEVER) this.#peers.delete(ask.to);
  }

  #refuse(from: NodeId, message: "fragment-get-reply" | "fragment-check-reply", why: string): void {
    this.#options.effects.note({ kind: "refused", from, message, why });
  }

  /** What it was asked has no answer any more. */
  peerDown(peer: NodeId, now: Instant): void {
    if (!this.#peers.has(peer)) return;
    const lost = [...this.#asks.values()].filter((ask) => ask.to === peer);
    // None of them moves up to be sent to who is gone.
    for (const ask of lost) {
      this.#asks.delete(ask.id);
      this.#due.remove(ask);
    }
    this.#peers.delete(peer);
    for (const { question } of lost) tellLost(question, now);
  }

  // ---- time

  wake(now: Instant): void {
    for (let ask = this.#due.first(); ask !== undefined && ask.deadline <= now; ask = this.#due.first()) {
      if (ask.until > now) {
        this.#transmit(ask, now);
        continue;
      }
      this.#take(ask, now);
      tellLost(ask.question, now);
    }
  }

  nextWake(): Instant {
    return this.#due.next;
  }

  /** A1. Called before a step ends. True: somebody was told something. */
  settle(now: Instant): boolean {
    if (this.#ready.length === 0) return false;
    while (this.#ready.length > 0) {
      const ready = this.#ready;
      this.#ready = [];
      for (const tell of ready) tell(now);
    }
    return true;
  }
}

function isForgiven({ weight, owesSince }: Peer, now: Instant): boolean {
  return owesSince === NEVER || (weight === 0 && now - owesSince > SILENT_US);
}

function tellLost(question: Question, now: Instant): void {
  if (question.kind === "put") question.done("lost", now);
  else if (question.kind === "get") question.done({ kind: "lost" }, now);
  else question.done(null, now);
}

function foundHere(found: Fragment | null | "lost"): GetAnswer {
  if (found === "lost") return { kind: "lost" };
  return found === null ? { kind: "none" } : { kind: "found", fragment: found };
}
