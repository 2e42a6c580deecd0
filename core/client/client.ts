/**
 * A client of the network, without its connections: what to send to whom and when, and what the answers mean. The
 * TCP client and the simulator's workloads drive the same machine: after each call they take outgoing() and
 * completions(), and they call wake() when nextWake() says so.
 *
 * Invariants
 *  W1  A write keeps its session sequence over all its attempts, so that it is applied once however often it is sent.
 *      An answer to any attempt is the answer.
 *  W2  What has no session (the network's own state) is sent again only while no attempt can have been applied.
 *  W3  An operation ends once: with its answer, or at its deadline with "timeout" (nothing was applied)
 *      or "unsure" (it may have been, or may yet be).
 *  W4  Sequences that a partition has to remember span at most LIMITS.sessionAnswersMax; later writes wait.
 *  W5  Until a layout is known, only layouts are asked for. Who may not have one may do nothing else, and is told so.
 *  W6  A node that tells a watch nothing may have nothing to tell, or have lost its power, which no connection reports:
 *      after a while it is asked anew, and another one if it does not answer that.
 *  W7  A node that answers "busy" is asked less: requests to it leave one after the other, at intervals (pacing.ts).
 */
import { after, type Instant, NEVER, type NodeId, type PartitionId, SYSTEM_PARTITION } from "../base/ids.ts";
import { DeadlineHeap, type Due } from "../base/deadline_heap.ts";
import { LIMITS } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { SystemView } from "../wire/messages.ts";
import type { LocalOp, Op, Refused, Request, Response } from "../wire/requests.ts";
import { keyOf } from "../wire/ops.ts";
import { classOf, isStale, namedPartition, type OpClass, patienceUs, verdictOf } from "./ops.ts";
import { Routes } from "./routes.ts";
import { Pacing } from "./pacing.ts";
import { PartitionSessions, type SessionWrite } from "./sessions.ts";
import { WatchProgress } from "./watch_progress.ts";

/** Times in microseconds. */
export interface ClientSettings {
  /** How long an operation may take where submit() says nothing. */
  readonly deadlineUs: number;
  /** An attempt without an answer for this long is made again, elsewhere. */
  readonly attemptUs: number;
  /** Pauses between attempts double from the first to the second. */
  readonly backoffUsMin: number;
  readonly backoffUsMax: number;
  /** The pause after a lost connection: long enough for others to notice, short against a failover. */
  readonly reconnectUsMin: number;
  readonly reconnectUsMax: number;
  /** A layout older than this is asked for anew while there is something to do. */
  readonly layoutAgeUsMax: number;
  /** A watch that has told nothing for this long is begun anew where it was: its node may be gone without a word. */
  readonly watchSilenceUs: number;
}

export const DEFAULT_CLIENT_SETTINGS: ClientSettings = {
  deadlineUs: 10_000_000,
  attemptUs: 1_000_000,
  backoffUsMin: 20_000,
  backoffUsMax: 500_000,
  reconnectUsMin: 10_000,
  reconnectUsMax: 30_000,
  layoutAgeUsMax: 10_000_000,
  watchSilenceUs: 10_000_000,
};

export interface ClientMachineOptions {
  /** 32 hexadecimal digits in lower case, drawn at random and never used by another client. */
  readonly client: string;
  readonly random: Random;
  /** The partition of a key: placement's. */
  readonly partitionOf: (key: string, partitions: number) => PartitionId;
  readonly settings?: Partial<ClientSettings>;
}

export interface SubmitOptions {
  /** From now. At most LIMITS.retryUsMax. Of a watch: until it is first established. */
  readonly deadlineUs?: number;
  /** Ask this node and no other. */
  readonly node?: NodeId;
}

/** A request for the host to send. `node` null: to any node it can reach. */
export interface Outgoing {
  readonly node: NodeId | null;
  readonly id: number;
  readonly request: Request;
}

/** An answer for whoever submitted. Only a watch has several; `final` is true on the last. */
export interface Completion {
  readonly ticket: number;
  readonly response: Response;
  readonly final: boolean;
}

interface Pending extends Due, SessionWrite {
  readonly ticket: number;
  readonly op: Op;
  readonly class: OpClass;
  readonly pinned: NodeId | null;
  partition: PartitionId | null;
  /** When it is given up. */
  giveUpAt: Instant;
  /** The attempt under way; 0 between attempts. */
  attempt: number;
  askedNode: NodeId | null;
  /** The node that failed last and is not to be asked next; null where the same one will do. */
  failedNode: NodeId | null;
  /** Every attempt whose answer would still be good. */
  readonly attempts: number[];
  failures: number;
  /** An attempt may have been applied. */
  uncertain: boolean;
  /** It has waited for its turn to be sent (W7). */
  paced: boolean;
  readonly progress: WatchProgress | null;
  /** A watch: the attempt under way was answered. */
  heard: boolean;
}

/** The ticket of the machine's own question for the layout. */
const OWN_TICKET = 0;
const LAYOUT: LocalOp = { kind: "layout" };
/** The layout is not asked for more often than this. */
const LAYOUT_PAUSE_US = 100_000;

export class ClientMachine {
  readonly client: string;
  readonly #random: Random;
  readonly #partitionOf: ClientMachineOptions["partitionOf"];
  readonly #settings: ClientSettings;
  readonly #routes: Routes;
  readonly #pacing: Pacing;
  readonly #sessions = new PartitionSessions<Pending>();
  readonly #byTicket = new Map<number, Pending>();
  readonly #byAttempt = new Map<number, Pending>();
  readonly #due = new DeadlineHeap<Pending>();
  /** W5: submitted before the first layout. */
  #unrouted: Pending[] = [];
  #layoutAsked: Pending | null = null;
  #layoutAskedAt = 0 as Instant;
  #nextTicket = OWN_TICKET + 1;
  #nextAttempt = 1;
  #outgoing: Outgoing[] = [];
  #completions: Completion[] = [];

  constructor(options: ClientMachineOptions) {
    if (!/^[0-9a-f]{32}$/.test(options.client)) {
      throw new TypeError(
        `A client is named by 32 hexadecimal digits in lower case, not ${JSON.stringify(options.client)}`,
      );
    }
    this.client = options.client;
    this.#random = options.random;
    this.#partitionOf = options.partitionOf;
    this.#settings = { ...DEFAULT_CLIENT_SETTINGS, ...options.settings };
    this.#routes = new Routes(options.random);
    this.#pacing = new Pacing(options.random);
  }

  /** Operations that have not ended, watches included. */
  get pending(): number {
    return this.#byTicket.size;
  }

  /** The newest layout known, or null. Nodes' addresses are in it. */
  get view(): SystemView | null {
    return this.#routes.view;
  }

  /** Begins an operation. Its answer comes with the ticket, which is also what `unwatch` names. */
  submit(op: Op, now: Instant, options: SubmitOptions = {}): number {
    const span = Math.min(options.deadlineUs ?? this.#settings.deadlineUs, LIMITS.retryUsMax);
    const p = this.#begin(this.#nextTicket++, op, after(now, span), options.node ?? null);
    if (op.kind === "unwatch") this.#unwatch(p, op.watch);
    else if (this.#routes.view === null && (p.pinned === null || keyOf(op) !== null)) {
      this.#unrouted.push(p);
      this.#askLayout(now);
    } else this.#route(p, now);
    return p.ticket;
  }

  /** An answer to what was sent with this id, from `node`. One that nobody waits for is ignored. */
  handle(node: NodeId, id: number, response: Response, now: Instant): void {
    this.#routes.works(node);
    const p = this.#byAttempt.get(id);
    if (p === undefined) return;
    if (p.class === "watch") this.#watchAnswer(p, id, response, now);
    else if (response.kind === "refused") this.#refused(p, { id, node, response, now });
    else this.#answered(p, response, now);
  }

  /**
   * The connection to a node broke, or could not be made: what was asked there is asked again, or is unsure. `sent`: not
   * false unless nothing that was asked has left.
   */
  connectionLost(node: NodeId, now: Instant, sent = true): void {
    this.#routes.lost(node, now);
    for (const p of [...this.#byTicket.values()]) {
      if (p.attempt !== 0 && p.askedNode === node) this.#lost(p, now, sent);
    }
    const layout = this.#layoutAsked;
    if (layout !== null && layout.attempt !== 0 && (layout.askedNode ?? node) === node) {
      this.#lost(layout, now, sent);
    }
    if (this.#byTicket.size > 0) this.#askLayout(now);
  }

  /** A connection to `node` stands: what only that node may be asked, and is between two attempts, leaves now. */
  connected(node: NodeId, now: Instant): void {
    for (const p of [...this.#byTicket.values()]) {
      if (p.pinned === node && p.attempt === 0 && p.failures > 0 && !p.paced && now < p.giveUpAt) {
        this.#send(p, now);
      }
    }
  }

  /** Something was asked of that node and no other, and it has not said anything yet. */
  awaits(node: NodeId): boolean {
    for (const p of this.#byTicket.values()) {
      if (p.pinned === node && p.attempt !== 0 && !p.heard) return true;
    }
    return false;
  }

  /** The host knows a layout: from a disk, or from the node it runs in. `leaders` by partition. */
  setLayout(view: SystemView, leaders: readonly (NodeId | null)[], now: Instant): void {
    this.#routes.learn(view, leaders);
    const unrouted = this.#unrouted;
    this.#unrouted = [];
    for (const p of unrouted) if (!p.settled) this.#route(p, now);
  }

  /** Attempts again what is due, gives up what is past its deadline. */
  wake(now: Instant): void {
    for (let p = this.#due.first(); p !== undefined && p.deadline <= now; p = this.#due.first()) {
      if (now >= p.giveUpAt) this.#giveUp(p, now);
      else if (p.heard && p.attempt !== 0) this.#renewWatch(p, now);
      else if (p.attempt !== 0) this.#attemptTimedOut(p, now);
      else this.#send(p, now);
    }
  }

  /** When wake() has something to do. */
  nextWake(): Instant {
    return this.#due.next;
  }

  /** What is to be sent, each once. */
  outgoing(): readonly Outgoing[] {
    if (this.#outgoing.length === 0) return NOTHING;
    const taken = this.#outgoing;
    this.#outgoing = [];
    return taken;
  }

  /** What has been answered, each once. */
  completions(): readonly Completion[] {
    if (this.#completions.length === 0) return NOTHING;
    const taken = this.#completions;
    this.#completions = [];
    return taken;
  }

  // ---- from submission to the first attempt

  #begin(ticket: number, op: Op, giveUpAt: Instant, pinned: NodeId | null): Pending {
    const p: Pending = {
      ticket,
      op,
      class: classOf(op),
      pinned,
      partition: null,
      giveUpAt,
      attempt: 0,
      askedNode: null,
      failedNode: null,
      attempts: [],
      failures: 0,
      uncertain: false,
      paced: false,
      progress: op.kind === "watch" ? new WatchProgress(op) : null,
      heard: false,
      sequence: 0,
      settled: false,
      deadline: giveUpAt,
      slot: 0,
    };
    this.#due.add(p);
    if (ticket !== OWN_TICKET) this.#byTicket.set(ticket, p);
    return p;
  }

  #route(p: Pending, now: Instant): void {
    const key = keyOf(p.op), view = this.#routes.view;
    if (view !== null) {
      p.partition = key !== null
        ? this.#partitionOf(key, view.settings.partitions)
        : p.class === "change"
        ? SYSTEM_PARTITION
        : namedPartition(p.op);
    }
    if (p.class !== "write" || p.partition === null) return this.#send(p, now);
    const session = this.#sessions.of(p.partition);
    session.waiting.push(p);
    this.#admit(p.partition, now);
  }

  /** W4: sends the waiting writes that have room. */
  #admit(partition: PartitionId, now: Instant): void {
    const session = this.#sessions.of(partition);
    let taken = 0;
    while (taken < session.waiting.length && (session.waiting[taken]!.settled || session.hasRoom)) {
      const p = session.waiting[taken++]!;
      if (p.settled) continue;
      session.place(p);
      this.#send(p, now);
    }
    if (taken > 0) session.waiting.splice(0, taken);
  }

  #send(p: Pending, now: Instant, node: NodeId | null = p.pinned ?? this.#target(p, now)): void {
    p.heard = false;
    if (this.#waitsForTurn(p, node, now)) return;
    const id = this.#nextAttempt++;
    p.attempt = id;
    p.askedNode = node;
    p.attempts.push(id);
    this.#byAttempt.set(id, p);
    // W2: what must not be sent twice waits for its answer to the end.
    const patience = p.class === "change" ? NEVER : after(now, patienceUs(p.op, this.#settings.attemptUs));
    this.#schedule(p, patience);
    this.#outgoing.push({ node, id, request: this.#requestOf(p) });
    if (p !== this.#layoutAsked && this.#isLayoutStale(p, now)) this.#askLayout(now);
  }

  /** W7: true where it is to be sent later. */
  #waitsForTurn(p: Pending, node: NodeId | null, now: Instant): boolean {
    const hasTurn = p.paced || node === null;
    p.paced = false;
    if (hasTurn) return false;
    const { at, granted } = this.#pacing.next(node, now);
    if (granted && at <= now) return false;
    p.paced = granted;
    p.attempt = 0;
    this.#schedule(p, at);
    return true;
  }

  #isLayoutStale(p: Pending, now: Instant): boolean {
    if (p.partition !== null && this.#routes.leaderOf(p.partition) === null) return true;
    return after(this.#layoutAskedAt, this.#settings.layoutAgeUsMax) < now;
  }

  #requestOf(p: Pending): Request {
    if (p.progress !== null) return { op: p.progress.resumed() };
    if (p.class !== "write" || p.partition === null) return { op: p.op };
    return { op: p.op, session: this.#sessions.of(p.partition).sessionOf(this.client, p) };
  }

  /** After a failure, another node than the one that failed. */
  #target(p: Pending, now: Instant): NodeId | null {
    const not = p.failedNode;
    // Who may be gone for good is not the one to ask for a newer layout; the host may know others.
    if (p === this.#layoutAsked) return p.failures > 2 ? null : this.#routes.anyNode(not, now);
    if (p.partition === null) return this.#routes.anyNode(not, now);
    if (isStale(p.op)) return this.#routes.anyReplica(p.partition, not, now);
    return this.#routes.forLeader(p.partition, not, now);
  }

  #schedule(p: Pending, at: Instant): void {
    this.#due.move(p, Math.min(at, p.giveUpAt) as Instant);
  }

  // ---- answers

  #answered(p: Pending, response: Response, now: Instant): void {
    if (response.kind === "layout") this.setLayout(response.view, response.leaders, now);
    if (p.class === "write" && p.partition !== null) this.#sessions.of(p.partition).opened = true;
    this.#settle(p, response, now);
  }

  #refused(p: Pending, answer: { id: number; node: NodeId; response: Refused; now: Instant }): void {
    const { id, node, response, now } = answer;
    if (response.reason === "busy") this.#pacing.busy(node, now, response.retryAfterMs);
    if (p === this.#layoutAsked && response.reason === "denied") this.#failUnrouted(response, now);
    const verdict = p === this.#layoutAsked ? "elsewhere" : verdictOf(response.reason);
    if (verdict === "final") {
      return this.#settle(p, this.#mayBeApplied(p, id, response) ? unsure(response.message) : response, now);
    }
    if (verdict === "unknown" && p.class === "change") return this.#settle(p, unsure(response.message), now);
    // An attempt that was given up for lost may still be applied; only the one that is refused is not.
    if (id !== p.attempt) return;
    this.#byAttempt.delete(id);
    p.attempts.splice(p.attempts.indexOf(id), 1);
    if (verdict === "unknown") p.uncertain = true;
    // Final, unless an earlier attempt may have been applied: then only one that succeeds can tell.
    if (verdict === "no-space" && !p.uncertain && p.attempts.length === 0) {
      return this.#settle(p, response, now);
    }
    if (verdict === "expired") return this.#sessionExpired(p, now);
    p.failedNode = verdict === "again" || verdict === "no-space" ? null : node;
    if (verdict === "elsewhere") this.#learnRefusal(p, node, response, now);
    const told = response.reason === "moved" && response.leader !== undefined && response.leader !== node;
    this.#retry(p, now, told && p.failures < 3 ? 0 : this.#backoff(p));
  }

  /** Rights may have changed since an earlier attempt, which was given up for lost: it may be applied yet. */
  #mayBeApplied(p: Pending, id: number, { reason }: Refused): boolean {
    return reason === "denied" && p.class === "write" &&
      (p.uncertain || p.attempts.some((attempt) => attempt !== id));
  }

  /** W5. */
  #failUnrouted(response: Refused, now: Instant): void {
    const unrouted = this.#unrouted;
    this.#unrouted = [];
    for (const p of unrouted) if (!p.settled) this.#settle(p, response, now);
  }

  #learnRefusal(p: Pending, node: NodeId, response: Refused, now: Instant): void {
    if (response.reason === "closing" || response.reason === "down") this.#routes.avoid(node, now);
    if (p.partition !== null) this.#routes.setLeader(p.partition, response.leader ?? null);
    if (response.leader === undefined) this.#askLayout(now);
  }

  /**
   * The partition has forgotten this client, which wrote nothing for long. A write that was never sent before was
   * not applied: it opens the session anew. One whose earlier attempt got lost may have been.
   */
  #sessionExpired(p: Pending, now: Instant): void {
    if (p.partition === null || p.uncertain) {
      return this.#settle(
        p,
        unsure("The partition has forgotten this client's session between two attempts"),
        now,
      );
    }
    this.#sessions.of(p.partition).opened = false;
    this.#retry(p, now, p.failures < 3 ? 0 : this.#backoff(p));
  }

  #attemptTimedOut(p: Pending, now: Instant): void {
    if (p.askedNode !== null) this.#routes.avoid(p.askedNode, now);
    p.failedNode = p.askedNode;
    p.uncertain = true;
    if (p.class === "watch") this.#tellUnwatch(p);
    this.#retry(p, now, 0);
    if (p !== this.#layoutAsked) this.#askLayout(now);
  }

  #lost(p: Pending, now: Instant, sent: boolean): void {
    p.failedNode = p.askedNode;
    if (sent) p.uncertain = true;
    // W2: it may have been applied.
    if (p.class === "change" && p.uncertain) {
      return this.#settle(p, unsure("The connection broke before the answer came"), now);
    }
    if (p.class === "watch") this.#dropAttempts(p);
    const { reconnectUsMin, reconnectUsMax } = this.#settings;
    const pause = p.failures < 2 ? this.#random.between(reconnectUsMin, reconnectUsMax) : this.#backoff(p);
    this.#retry(p, now, pause);
  }

  /** Ends the attempt under way and makes another after a pause. */
  #retry(p: Pending, now: Instant, pauseUs: number): void {
    p.attempt = 0;
    p.failures++;
    if (p === this.#layoutAsked && this.#byTicket.size === 0) {
      // Nobody waits for it: a client with nothing to do stays silent, however long the network is gone.
      this.#layoutAsked = null;
      return this.#remove(p);
    }
    this.#schedule(p, after(now, pauseUs));
    if (pauseUs === 0 && now < p.giveUpAt) this.#send(p, now);
  }

  /** Doubles from attempt to attempt; at random between half of it and all, so that clients do not march in step. */
  #backoff(p: Pending): number {
    const { backoffUsMin, backoffUsMax } = this.#settings;
    const full = Math.min(backoffUsMax, backoffUsMin * 2 ** Math.min(p.failures, 20));
    return this.#random.between(full >> 1, full);
  }

  #giveUp(p: Pending, now: Instant): void {
    const sent = p.attempts.length > 0;
    const why = sent
      ? `No answer came in ${p.failures + 1} attempts`
      : "It waited for its turn until its deadline";
    const changes = p.class === "write" || p.class === "change";
    const applied = changes && (p.uncertain || p.attempt !== 0);
    this.#settle(p, applied ? unsure(why) : timedOut(why), now);
  }

  #settle(p: Pending, response: Response, now: Instant): void {
    this.#remove(p);
    if (p === this.#layoutAsked) this.#layoutAsked = null;
    else this.#completions.push({ ticket: p.ticket, response, final: true });
    if (p.class !== "write" || p.partition === null) return;
    this.#sessions.of(p.partition).advance();
    this.#admit(p.partition, now);
  }

  #remove(p: Pending): void {
    p.settled = true;
    p.attempt = 0;
    for (const id of p.attempts) this.#byAttempt.delete(id);
    p.attempts.length = 0;
    this.#byTicket.delete(p.ticket);
    this.#due.remove(p);
  }

  // ---- the layout

  #askLayout(now: Instant): void {
    if (this.#layoutAsked !== null) return;
    const known = this.#routes.view !== null;
    const asked = this.#begin(OWN_TICKET, LAYOUT, NEVER, null);
    const earliest = known ? Math.max(now, after(this.#layoutAskedAt, LAYOUT_PAUSE_US)) as Instant : now;
    this.#layoutAsked = asked;
    this.#layoutAskedAt = earliest;
    if (earliest > now) this.#schedule(asked, earliest);
    else this.#send(asked, now);
  }

  // ---- watches

  #watchAnswer(p: Pending, id: number, response: Response, now: Instant): void {
    // Only the newest attempt counts: two streams of the same events would tell them twice.
    if (id !== p.attempt || p.progress === null) return;
    if (response.kind === "refused") {
      if (verdictOf(response.reason) === "final") return this.#settle(p, response, now);
      if (response.reason === "busy" && p.askedNode !== null) {
        this.#pacing.busy(p.askedNode, now, response.retryAfterMs);
      }
      if ((response.reason === "closing" || response.reason === "down") && p.askedNode !== null) {
        this.#routes.avoid(p.askedNode, now);
      }
      p.failedNode = p.askedNode;
      this.#dropAttempts(p);
      return this.#retry(p, now, this.#backoff(p));
    }
    p.failures = 0;
    // Established, it goes on until it is ended.
    p.giveUpAt = NEVER;
    p.heard = true;
    this.#schedule(p, after(now, this.#settings.watchSilenceUs));
    const news = p.progress.take(response);
    if (news !== null) this.#completions.push({ ticket: p.ticket, response: news, final: false });
  }

  /** W6. */
  #renewWatch(p: Pending, now: Instant): void {
    this.#tellUnwatch(p);
    this.#dropAttempts(p);
    this.#send(p, now, p.askedNode);
  }

  #tellUnwatch(watch: Pending): void {
    if (watch.attempt === 0) return;
    const op: Op = { kind: "unwatch", watch: watch.attempt };
    this.#outgoing.push({ node: watch.askedNode, id: this.#nextAttempt++, request: { op } });
  }

  #dropAttempts(p: Pending): void {
    for (const id of p.attempts) this.#byAttempt.delete(id);
    p.attempts.length = 0;
  }

  #unwatch(p: Pending, ticket: number): void {
    const watch = this.#byTicket.get(ticket);
    this.#remove(p);
    if (watch === undefined || watch.class !== "watch") {
      const message = `No watch has the ticket ${ticket}, or it has ended`;
      this.#completions.push({
        ticket: p.ticket,
        response: { kind: "refused", reason: "not-found", message },
        final: true,
      });
      return;
    }
    this.#tellUnwatch(watch);
    this.#remove(watch);
    this.#completions.push({ ticket: p.ticket, response: { kind: "done", version: 0 }, final: true });
  }
}

const NOTHING: readonly never[] = [];

function unsure(why: string): Refused {
  return {
    kind: "refused",
    reason: "unsure",
    message: `${why}; the change may have been made, or may yet be. Read before you write again`,
  };
}

function timedOut(why: string): Refused {
  return { kind: "refused", reason: "timeout", message: `${why}; nothing was changed. Try again` };
}
