/**
 * Exactly-once writes: the answers of each client's writes that it may still ask for again.
 *
 * Invariants
 *  S1  A write is applied only where its sequence is neither kept nor below what its client acknowledged, and what is
 *      acknowledged never goes down.
 *  S2  Rows follow the sessions in memory once for each batch, by flush(): what a batch both keeps and drops is
 *      never written, and a client with many writes in it costs one row.
 *  S3  When a session was last used is this replica's own knowledge; sessions are forgotten by a command only, which
 *      names the last write that the proposer saw.
 *  S4  Where half of the room is taken, sessions are forgotten as soon as no client can still ask for their answers: else
 *      whoever may write one key could keep everyone from beginning a session, for as long as idle ones are kept.
 */
import { after, type Instant, type LogIndex, NEVER } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Refused, Session } from "../wire/requests.ts";
import {
  bytesOf,
  decodeLong,
  decodeSession,
  encodeLong,
  encodeSession,
  isLong,
  type Kept,
  keptOf,
  responseOf,
  type WriteResponse,
} from "./answers.ts";
import { bytesToHex, CLIENT_BYTES, hexToBytes } from "./client_name.ts";
import { ANSWER, HEAD_BYTES, type Rows, SESSION, shareOf, writeUint64 } from "./rows.ts";

interface Known {
  readonly client: string;
  readonly rowKey: Uint8Array;
  /** What its row adds to the sum of all rows. */
  share: number;
  /** Its row is older than what is here. */
  dirty: boolean;
  acknowledged: number;
  /** Log index of its last write. */
  lastIndex: LogIndex;
  readonly answers: Map<number, Kept>;
  /** Length of all kept answers. */
  bytes: number;
  usedAt: Instant;
}

/** A session proposed to be forgotten that is still there after this long is proposed again. */
const PROPOSE_AGAIN_US = 1_000_000;
const FORGET_MAX = 1000;
/** S4. No client retries for as long as half of that. */
const CROWDED = LIMITS.sessionsMax / 2;
const CROWDED_IDLE_US = 2 * LIMITS.retryUsMax;

export class Sessions {
  readonly #rows: Rows;
  readonly #byClient = new Map<string, Known>();
  readonly #dirty: Known[] = [];
  #nextSweep: Instant = NEVER;

  constructor(rows: Rows) {
    this.#rows = rows;
    this.load();
  }

  get size(): number {
    return this.#byClient.size;
  }

  /** When takeIdle() has something to look at. */
  get nextSweep(): Instant {
    return this.#nextSweep;
  }

  /** Reads the rows anew. */
  load(): void {
    this.#byClient.clear();
    this.#dirty.length = 0;
    this.#nextSweep = NEVER;
    for (const [rowKey, row] of this.#rows.all(SESSION)) {
      const client = bytesToHex(rowKey, HEAD_BYTES);
      const read = decodeSession(row, (sequence) => {
        const long = this.#rows.get(this.#longKey(rowKey, sequence));
        invariant(long !== null, "S2: a long answer that a session names has a row");
        return decodeLong(long);
      });
      let bytes = 0;
      for (const kept of read.answers.values()) bytes += bytesOf(kept);
      const share = shareOf(SESSION, row);
      this.#byClient.set(client, { client, rowKey, share, dirty: false, ...read, bytes, usedAt: NEVER });
    }
  }

  /** The whole idle time passes again before this replica, now the leader, proposes to forget anyone. */
  startAll(now: Instant): void {
    for (const known of this.#byClient.values()) known.usedAt = now;
    this.#nextSweep = this.#byClient.size === 0 ? NEVER : after(now, this.#idleUs);
  }

  /** The answer that a write has already, or why it cannot be applied; null where it is to be applied now. */
  check(session: Session, now: Instant): WriteResponse | null {
    const known = this.#byClient.get(session.client);
    if (known === undefined) return this.#checkUnknown(session);
    known.usedAt = now;
    const kept = known.answers.get(session.sequence);
    if (kept !== undefined) return responseOf(kept);
    if (session.sequence < known.acknowledged) return alreadyAnswered(session, known.acknowledged);
    return this.#checkRoom(session, known);
  }

  /** True where check() would find a kept answer. */
  isKept(session: Session): boolean {
    return this.#byClient.get(session.client)?.answers.has(session.sequence) === true;
  }

  /** Keeps the answer of a write that check() let pass, and drops those that it acknowledges. */
  record(session: Session, response: WriteResponse, index: LogIndex, now: Instant): void {
    const known = this.#byClient.get(session.client) ?? this.#open(session.client, now);
    invariant(!known.answers.has(session.sequence), "S1: a write is applied once");
    if (session.acknowledged > known.acknowledged) this.#acknowledge(known, session.acknowledged);
    const kept = keptOf(response);
    if (kept instanceof Uint8Array && isLong(kept)) {
      this.#rows.set(this.#longKey(known.rowKey, session.sequence), encodeLong(kept), 0);
    }
    known.answers.set(session.sequence, kept);
    known.bytes += bytesOf(kept);
    known.lastIndex = index;
    if (known.dirty) return;
    known.dirty = true;
    this.#dirty.push(known);
  }

  /** Writes the rows of the sessions that changed. */
  flush(): void {
    for (let i = 0; i < this.#dirty.length; i++) {
      const known = this.#dirty[i]!;
      if (!known.dirty) continue;
      const row = encodeSession(known.acknowledged, known.lastIndex, known.answers, this.#rows.slab);
      known.share = this.#rows.set(known.rowKey, row, known.share);
      known.dirty = false;
    }
    this.#dirty.length = 0;
  }

  /** Some sessions without use for long. */
  takeIdle(now: Instant): { client: string; lastIndex: LogIndex }[] {
    if (now < this.#nextSweep) return [];
    const idle: { client: string; lastIndex: LogIndex }[] = [], idleUs = this.#idleUs;
    let oldest: Instant = NEVER;
    for (const known of this.#byClient.values()) {
      if (after(known.usedAt, idleUs) > now || idle.length === FORGET_MAX) {
        if (known.usedAt < oldest) oldest = known.usedAt;
      } else idle.push({ client: known.client, lastIndex: known.lastIndex });
    }
    const again = after(now, PROPOSE_AGAIN_US), next = after(oldest, idleUs);
    // Of a crowd somebody is always due.
    this.#nextSweep = idle.length > 0 ? Math.min(next, again) as Instant : next;
    if (this.#crowded) this.#nextSweep = Math.max(this.#nextSweep, again) as Instant;
    return idle;
  }

  get #crowded(): boolean {
    return this.#byClient.size >= CROWDED;
  }
  get #idleUs(): number {
    return this.#crowded ? CROWDED_IDLE_US : LIMITS.sessionIdleUs;
  }

  /** Forgets a session unless it wrote after `lastIndex`. True if it did. */
  forget(client: string, lastIndex: LogIndex): boolean {
    const known = this.#byClient.get(client);
    if (known === undefined || known.lastIndex !== lastIndex) return false;
    for (const sequence of [...known.answers.keys()]) this.#drop(known, sequence);
    this.#rows.delete(known.rowKey, known.share);
    known.dirty = false;
    this.#byClient.delete(client);
    return true;
  }

  #checkUnknown(session: Session): Refused | null {
    if (session.opened) {
      return refuse(
        "session-expired",
        `The session of client ${session.client} is no longer known here; whether the write of sequence ` +
          `${session.sequence} was applied cannot be told. Read the key, and write with a new client id`,
      );
    }
    if (this.#byClient.size < LIMITS.sessionsMax) return null;
    return refuse(
      "busy",
      `The partition keeps ${this.#byClient.size} sessions, its limit (sessionsMax); idle ones are forgotten ` +
        `after ${CROWDED_IDLE_US / 60_000_000} minutes then. Try again later, or write without a session`,
    );
  }

  #checkRoom(session: Session, known: Known): Refused | null {
    let count = known.answers.size, bytes = known.bytes;
    if (count < LIMITS.sessionAnswersMax && bytes < LIMITS.sessionAnswerBytesMax) return null;
    for (const [sequence, kept] of known.answers) {
      if (sequence >= session.acknowledged) continue;
      count--;
      bytes -= bytesOf(kept);
    }
    if (count < LIMITS.sessionAnswersMax && bytes < LIMITS.sessionAnswerBytesMax) return null;
    return refuse(
      "busy",
      `Client ${session.client} has ${count} answers of ${bytes} bytes that it did not acknowledge, past ` +
        `${LIMITS.sessionAnswersMax} (sessionAnswersMax) or ${LIMITS.sessionAnswerBytesMax} bytes ` +
        `(sessionAnswerBytesMax). Acknowledge answers, then try again`,
    );
  }

  #acknowledge(known: Known, acknowledged: number): void {
    if (acknowledged - known.acknowledged <= known.answers.size) {
      for (let sequence = known.acknowledged; sequence < acknowledged; sequence++) {
        this.#drop(known, sequence);
      }
    } else {
      for (const sequence of [...known.answers.keys()]) {
        if (sequence < acknowledged) this.#drop(known, sequence);
      }
    }
    known.acknowledged = acknowledged;
  }

  #drop(known: Known, sequence: number): void {
    const kept = known.answers.get(sequence);
    if (kept === undefined) return;
    if (isLong(kept)) {
      const rowKey = this.#longKey(known.rowKey, sequence), row = this.#rows.get(rowKey);
      this.#rows.delete(rowKey, shareOf(ANSWER, row));
    }
    known.answers.delete(sequence);
    known.bytes -= bytesOf(kept);
  }

  #open(client: string, now: Instant): Known {
    const known: Known = {
      client,
      rowKey: this.#rows.keyOf(SESSION, hexToBytes(client)),
      share: 0,
      dirty: false,
      acknowledged: 0,
      lastIndex: 0 as LogIndex,
      answers: new Map(),
      bytes: 0,
      usedAt: now,
    };
    this.#byClient.set(client, known);
    this.#nextSweep = Math.min(this.#nextSweep, after(now, this.#idleUs)) as Instant;
    return known;
  }

  /** The key of a long answer's row, made from that of its session. */
  #longKey(sessionKey: Uint8Array, sequence: number): Uint8Array {
    const rest = new Uint8Array(CLIENT_BYTES + 8);
    rest.set(sessionKey.subarray(HEAD_BYTES));
    writeUint64(rest, CLIENT_BYTES, sequence);
    return this.#rows.keyOf(ANSWER, rest);
  }
}

function alreadyAnswered(session: Session, acknowledged: number): Refused {
  return refuse(
    "session-expired",
    `The write of sequence ${session.sequence} was acknowledged: its client said that it has all answers below ` +
      `${acknowledged}, so this one is no longer kept. Give each new write a new sequence`,
  );
}

function refuse(reason: "busy" | "session-expired", message: string): Refused {
  return { kind: "refused", reason, message };
}
