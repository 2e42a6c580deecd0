/**
 * What clients may ask of a node, so that it stays in time for its peers.
 *
 * O1. Requests are handed to the node in turns, a few of each client at a time: one that asks much delays itself. Who has
 *     not waited goes first, with half of what a pass takes, so that who asks little waits for no round of the others.
 * O2. How many of them go into one pass of the event loop follows from how long passes take: more while they are
 *     short, fewer where they are long, for whatever reason. A peer's messages wait for no more than one pass.
 * O3. What has waited for its turn for longer than QUEUE_MS_MAX is answered "busy" instead: whoever asked is about to
 *     ask again elsewhere, and answering both would make it worse.
 * O4. A client is read from only as quickly as its bucket fills. A request that was answered "busy" empties it by more
 *     than one that was served, so who does not obey is heard less and less.
 * O5. What all clients together make the node hold is bounded: each may use a share that shrinks as they become more,
 *     and past the bound the one that holds most is cut off.
 * O6. What peers forward for their clients has turns too, before the clients here, and no part of the window (window.ts)
 *     that these have: it had one at the peer, and two nodes whose windows wait for each other would stand still.
 */
import { LIMITS } from "../../core/base/limits.ts";
import type { Refused } from "../../core/wire/requests.ts";
import { Window } from "./window.ts";

/** A pass of the event loop should take no longer: a peer's probe waits for 200 ms, a follower for 300. */
const PASS_MS_WANTED = 30;
const REQUESTS_PER_PASS_MIN = 32;
const REQUESTS_PER_PASS_MAX = 32_768;
const REQUESTS_PER_PASS_FIRST = 256;
/** Of one client before the next one's turn: fewer where there is little room for many. */
const TURN_REQUESTS = 64;
const TURN_REQUESTS_MIN = 4;
/** Shorter than a client waits for an answer before it asks elsewhere. */
export const QUEUE_MS_MAX = 500;
/** How often it is looked for those while no turn is given, for the window is full. */
const PARKED_MS = 50;
/** Answering "busy" takes time as well. */
const REFUSING_MS_MAX = 5;

/** One client's bucket: what it may ask a second in the long run, and at once. More than one node can answer. */
const REQUESTS_PER_SECOND = 50_000;
const REQUESTS_AT_ONCE = 50_000;
/** What a request that is answered "busy" takes out of it. */
const REFUSED_COST = 200;

/** What all clients together may make a node hold. */
export const CLIENT_BYTES_MAX = 384 * 1024 * 1024;
/** Past this, shares shrink. */
const CLIENT_BYTES_WANTED = CLIENT_BYTES_MAX / 2;
const SHARE_BYTES_MIN = 64 * 1024;
const LOOK_MS = 100;

type Count = (name: string, by?: number) => void;

/** Fills with time; what is taken out may go below nothing. */
export class TokenBucket {
  #tokens = REQUESTS_AT_ONCE;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  /** How many requests may come now. */
  available(now: number): number {
    this.#tokens = Math.min(REQUESTS_AT_ONCE, this.#tokens + (now - this.#at) * REQUESTS_PER_SECOND / 1000);
    this.#at = now;
    return Math.max(0, Math.floor(this.#tokens));
  }

  take(requests: number): void {
    this.#tokens -= requests;
  }

  refused(requests: number): void {
    this.#tokens -= requests * REFUSED_COST;
  }

  /** Milliseconds until there is something in it again. */
  get waitMs(): number {
    return Math.max(1, Math.ceil((TURN_REQUESTS - this.#tokens) * 1000 / REQUESTS_PER_SECOND));
  }
}

/** Who has waited for QUEUE_MS_MAX, others will: so long it takes to get through what is there. */
export function tooBusy(): Refused {
  return {
    kind: "refused",
    reason: "busy",
    message:
      `The node has more requests than it can answer, and this one waited for ${QUEUE_MS_MAX} ms: try again`,
    retryAfterMs: QUEUE_MS_MAX,
  };
}

/** A client that has sent requests, or a peer that forwards some. */
export interface Requester {
  readonly kind: "client" | "peer";
  /** Hands over up to `most` requests. Returns how many. */
  serve(most: number): number;
  /** It has some that could go now. */
  readonly ready: boolean;
  /** Since when the oldest of them waits. */
  readonly since: number;
  /** Answers "busy" to some that wait since then or before. Returns how many; 0: none do. */
  refuse(since: number): number;
}

/** Milliseconds of one clock. */
export type Clock = () => number;

/** Gives clients their turns (O1 to O3). */
export class Turns {
  readonly #count: Count;
  readonly #clock: Clock;
  readonly #window = new Window();
  readonly #peers = new Set<Requester>();
  /** Clients that have not waited for a turn yet, and those that have. */
  readonly #fresh = new Set<Requester>();
  readonly #waiting = new Set<Requester>();
  #perPass = REQUESTS_PER_PASS_FIRST;
  #left = this.#perPass;
  #passBegan: number | null = null;
  /** There were more requests than this pass took. */
  #short = false;
  #slowestMs = 0;
  #closed = false;
  /** Clients wait for room in the window, and no pass is due. */
  #parked: ReturnType<typeof setTimeout> | null = null;
  readonly #pass = () => this.#endPass();
  readonly #unpark = () => this.#begin();

  constructor(count: Count, clock: Clock = () => performance.now()) {
    this.#count = count;
    this.#clock = clock;
  }

  /** For a status answer. The slowest pass is since it was asked last. */
  counters(): readonly (readonly [string, number])[] {
    const slowest = Math.round(this.#slowestMs * 1000);
    this.#slowestMs = 0;
    return [
      ["clients waiting for their turn", this.#fresh.size + this.#waiting.size],
      ["requests taken in one pass at most", this.#perPass],
      ["requests under way", this.#window.inFlight],
      ["requests under way at most", this.#window.size],
      ["slowest pass microseconds", slowest],
    ];
  }

  /** It may have something to hand over. At once where nobody waits, else when its turn comes. */
  ready(client: Requester): void {
    if (this.#closed) return;
    const began = this.#clock(), idle = this.#peers.size + this.#fresh.size + this.#waiting.size === 0;
    if (idle && this.#left > 0) {
      const room = client.kind === "peer" ? Infinity : this.#window.room(began);
      this.#left -= client.serve(Math.min(this.#left, this.#perPass >> 2, room));
    }
    if (client.ready && !this.#waiting.has(client)) {
      (client.kind === "peer" ? this.#peers : this.#fresh).add(client);
    }
    this.#begin(began);
  }

  /** So many requests of a client were handed over. */
  taken(requests: number, now: number): void {
    this.#window.begin(requests, now);
  }

  /** One that was handed over at `since` was answered. `served`: not refused. */
  answered(since: number, now: number, served: boolean): void {
    if (served) this.#window.answered(since, now);
    else this.#window.drop(since, now);
    if (this.#parked !== null && this.#window.room(now) > 0) this.#begin(now);
  }

  gone(client: Requester): void {
    for (const clients of [this.#peers, this.#fresh, this.#waiting]) clients.delete(client);
  }

  close(): void {
    this.#closed = true;
    if (this.#parked !== null) clearTimeout(this.#parked);
    for (const clients of [this.#peers, this.#fresh, this.#waiting]) clients.clear();
  }

  #begin(now = this.#clock()): void {
    if (this.#parked !== null) clearTimeout(this.#parked);
    this.#parked = null;
    if (this.#passBegan !== null || this.#closed) return;
    this.#passBegan = now;
    setImmediate(this.#pass);
  }

  /**
   * All that this pass of the loop read has been read, and what was handed over has had its turn: the node asked for that
   * before this was asked for.
   */
  #endPass(): void {
    if (this.#closed) return;
    const now = this.#clock(), took = now - this.#passBegan!;
    this.#passBegan = null;
    this.#adapt(took);
    this.#left = this.#perPass;
    const waiting = this.#peers.size + this.#fresh.size + this.#waiting.size;
    if (waiting === 0) return;
    this.#refuse(now);
    if (this.#serve(now) > 0) {
      this.#passBegan = now;
      setImmediate(this.#pass);
    } else if (this.#fresh.size + this.#waiting.size > 0) {
      this.#parked = setTimeout(this.#unpark, PARKED_MS);
    }
  }

  #adapt(took: number): void {
    this.#slowestMs = Math.max(this.#slowestMs, took);
    if (took > PASS_MS_WANTED) {
      const less = Math.floor(this.#perPass * Math.max(0.5, PASS_MS_WANTED / took));
      this.#perPass = Math.max(REQUESTS_PER_PASS_MIN, less);
    } else if (this.#short && took < PASS_MS_WANTED / 2) {
      this.#perPass = Math.min(REQUESTS_PER_PASS_MAX, this.#perPass + (this.#perPass >> 2));
    }
    this.#short = false;
  }

  /** Returns how many were handed over. */
  #serve(now: number): number {
    const before = this.#left, clients = this.#fresh.size + this.#waiting.size;
    this.#round(this.#peers, clients === 0 ? before : before >> 1, TURN_REQUESTS);
    const room = Math.min(this.#left, this.#window.room(now));
    const turn = Math.floor(room / Math.max(1, clients));
    const requests = Math.max(TURN_REQUESTS_MIN, Math.min(TURN_REQUESTS, turn));
    const half = this.#waiting.size === 0 ? room : (room + 1) >> 1;
    const taken = this.#round(this.#fresh, half, requests);
    this.#round(this.#waiting, room - taken, requests);
    this.#short = this.#left <= 0 && this.#peers.size + this.#fresh.size + this.#waiting.size > 0;
    return before - this.#left;
  }

  /** Turns of up to `requests` each, `most` in all. */
  #round(line: Set<Requester>, most: number, requests: number): number {
    let taken = 0;
    for (const client of line) {
      if (taken >= most) break;
      // To the end of the line, so that every other one comes before it is served again.
      line.delete(client);
      const served = client.serve(Math.min(most - taken, requests));
      taken += served;
      this.#left -= served;
      if (client.ready) (client.kind === "peer" ? this.#peers : this.#waiting).add(client);
    }
    return taken;
  }

  #refuse(now: number): void {
    const late = now - QUEUE_MS_MAX;
    for (const line of [this.#waiting, this.#fresh, this.#peers]) {
      for (const client of line) {
        for (let refused = Infinity; refused > 0 && client.since <= late;) {
          refused = client.refuse(late);
          if (refused > 0) this.#count("requests refused: busy", refused);
          if (this.#clock() - now > REFUSING_MS_MAX) return;
        }
        if (!client.ready) line.delete(client);
      }
    }
  }
}

/** A client that the node holds bytes for. */
export interface Holder {
  readonly heldBytes: number;
  cutOff(): void;
}

/** Bounds what the node holds for clients (O5). */
export class ClientMemory {
  readonly #count: Count;
  readonly #holders = new Set<Holder>();
  readonly #max: number;
  #total = 0;
  #share: number = LIMITS.clientQueueBytesMax;
  #timer: ReturnType<typeof setInterval> | null = null;

  constructor(count: Count, max: number = CLIENT_BYTES_MAX) {
    this.#count = count;
    this.#max = max;
  }

  /** For a status answer. */
  counters(): readonly (readonly [string, number])[] {
    return [["bytes held for clients", this.#total]];
  }

  /** What one client's requests, and its answers, may take. */
  get share(): number {
    return this.#share;
  }

  /** There is no room for another client. */
  get full(): boolean {
    return this.#total > this.#max * 3 / 4;
  }

  add(holder: Holder): void {
    this.#holders.add(holder);
    this.#timer ??= setInterval(() => this.look(), LOOK_MS);
  }

  delete(holder: Holder): void {
    this.#holders.delete(holder);
    if (this.#holders.size === 0) this.close();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#total = 0;
  }

  /** Adds up what is held, and does what follows. */
  look(): void {
    let total = 0, holding = 0;
    for (const { heldBytes } of this.#holders) {
      total += heldBytes;
      if (heldBytes > SHARE_BYTES_MIN) holding++;
    }
    const share = Math.floor(CLIENT_BYTES_WANTED / Math.max(1, holding));
    this.#share = Math.min(LIMITS.clientQueueBytesMax, Math.max(SHARE_BYTES_MIN, share));
    if (total > this.#max) total -= this.#cutOff(total - this.#max);
    this.#total = total;
  }

  /** Cuts off whoever holds most until `excess` bytes are free. Returns how many are. */
  #cutOff(excess: number): number {
    const largest = [...this.#holders].map((holder) => ({ holder, bytes: holder.heldBytes }))
      .sort((a, b) => b.bytes - a.bytes);
    let freed = 0;
    for (const { holder, bytes } of largest) {
      if (freed >= excess) break;
      holder.cutOff();
      this.#count("clients cut off: memory");
      freed += bytes;
    }
    return freed;
  }
}
