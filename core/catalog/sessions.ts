/**
 * Exactly-once writes: the answers of each client's writes that it may still ask for again.
 *
 * Invariants
 *  S1  A session has no row of its own. It is there exactly while it has kept answers, and there is always one: the
 *      answer of its newest write is dropped only by a later write that acknowledges it.
 *  S2  What the last write acknowledged and where it was applied follow from the kept answers: the newest write's row
 *      is among them, and nobody acknowledges less than before.
 *      A write that is refused "busy" leaves no answer and changes nothing, or a replica that reads
 *      its rows after a restart would know less than one that did not restart.
 *  S3  When a session was last used is this replica's own knowledge; sessions are forgotten by a command only, which
 *      names the last write that the proposer saw.
 */
import { after, type Instant, type LogIndex, NEVER } from "../base/ids.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Refused, Session } from "../wire/requests.ts";
import { acknowledgedOf, decodeAnswer, encodeAnswer, indexOfAnswer, type WriteResponse } from "./answers.ts";
import { bytesToHex, CLIENT_BYTES, hexToBytes } from "./command.ts";
import { ANSWER, HEAD_BYTES, readUint64, type Rows, writeUint64 } from "./rows.ts";

interface Known {
  readonly client: string;
  /** The key of this session's rows, its last 8 bytes left at zero. */
  readonly rowKey: Uint8Array;
  acknowledged: number;
  /** Log index of its last write. */
  lastIndex: LogIndex;
  /** The highest sequence seen: above it nothing needs to be looked up. */
  highest: number;
  /** Rows of kept answers by sequence, and their length. */
  readonly answers: Map<number, Uint8Array>;
  bytes: number;
  usedAt: Instant;
}

/** A forgotten session of a client that writes on: proposed again after this long if it was not applied. */
const PROPOSE_AGAIN_US = 1_000_000;
const FORGET_MAX = 1000;

export class Sessions {
  readonly #rows: Rows;
  readonly #byClient = new Map<string, Known>();
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

  load(): void {
    this.#byClient.clear();
    this.#nextSweep = NEVER;
    for (const [key, row] of this.#rows.all(ANSWER)) {
      const client = bytesToHex(key, HEAD_BYTES);
      const known = this.#byClient.get(client) ?? this.#open(client, NEVER);
      known.acknowledged = Math.max(known.acknowledged, acknowledgedOf(row));
      this.#keep(known, readUint64(key, HEAD_BYTES + CLIENT_BYTES), row);
    }
  }

  /** The whole idle time passes again before this replica, now the leader, proposes to forget anyone. */
  startAll(now: Instant): void {
    for (const known of this.#byClient.values()) known.usedAt = now;
    this.#nextSweep = this.#byClient.size === 0 ? NEVER : after(now, LIMITS.sessionIdleUs);
  }

  /** The answer that a write has already, or why it cannot be applied; null where it is to be applied now. */
  check(session: Session, now: Instant): WriteResponse | null {
    const known = this.#byClient.get(session.client);
    if (known === undefined) return this.#checkUnknown(session);
    known.usedAt = now;
    if (session.sequence <= known.highest) {
      const row = known.answers.get(session.sequence);
      if (row !== undefined) return decodeAnswer(row);
    }
    if (session.sequence < known.acknowledged) return alreadyAnswered(session, known.acknowledged);
    return this.#checkRoom(session, known);
  }

  /** True where check() would find a kept answer. */
  isKept(session: Session): boolean {
    return this.#byClient.get(session.client)?.answers.has(session.sequence) === true;
  }

  /** Keeps the answer of a write that check() let pass, and drops those that it acknowledges. */
  record(session: Session, response: WriteResponse, index: LogIndex, now: Instant): void {
    let known = this.#byClient.get(session.client);
    if (known === undefined) {
      known = this.#open(session.client, now);
      if (this.#nextSweep === NEVER) this.#nextSweep = after(now, LIMITS.sessionIdleUs);
    }
    if (session.acknowledged > known.acknowledged) this.#acknowledge(known, session.acknowledged);
    const row = encodeAnswer(known.acknowledged, index, response);
    this.#rows.set(rowKeyOf(known, session.sequence), row, null);
    this.#keep(known, session.sequence, row);
  }

  /** Some sessions without use for LIMITS.sessionIdleUs. */
  takeIdle(now: Instant): { client: string; lastIndex: LogIndex }[] {
    if (now < this.#nextSweep) return [];
    const idle: { client: string; lastIndex: LogIndex }[] = [];
    let oldest: Instant = NEVER;
    for (const known of this.#byClient.values()) {
      if (after(known.usedAt, LIMITS.sessionIdleUs) > now || idle.length === FORGET_MAX) {
        if (known.usedAt < oldest) oldest = known.usedAt;
      } else idle.push({ client: known.client, lastIndex: known.lastIndex });
    }
    this.#nextSweep = after(oldest, LIMITS.sessionIdleUs);
    if (idle.length > 0) this.#nextSweep = Math.min(this.#nextSweep, after(now, PROPOSE_AGAIN_US)) as Instant;
    return idle;
  }

  /** Forgets a session unless it wrote after `lastIndex`. True if it did. */
  forget(client: string, lastIndex: LogIndex): boolean {
    const known = this.#byClient.get(client);
    if (known === undefined || known.lastIndex !== lastIndex) return false;
    for (const [sequence, row] of known.answers) this.#rows.delete(rowKeyOf(known, sequence), row);
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
        `after ${LIMITS.sessionIdleUs / 60_000_000} minutes. Try again later, or write without a session`,
    );
  }

  #checkRoom(session: Session, known: Known): Refused | null {
    let count = known.answers.size, bytes = known.bytes;
    if (count < LIMITS.sessionAnswersMax && bytes < LIMITS.sessionAnswerBytesMax) return null;
    for (const [sequence, row] of known.answers) {
      if (sequence >= session.acknowledged) continue;
      count--;
      bytes -= row.length;
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
    const row = known.answers.get(sequence);
    if (row === undefined) return;
    this.#rows.delete(rowKeyOf(known, sequence), row);
    known.answers.delete(sequence);
    known.bytes -= row.length;
  }

  #open(client: string, now: Instant): Known {
    const rest = new Uint8Array(CLIENT_BYTES + 8);
    rest.set(hexToBytes(client));
    const known: Known = {
      client,
      rowKey: this.#rows.keyOf(ANSWER, rest),
      acknowledged: 0,
      lastIndex: 0 as LogIndex,
      highest: 0,
      answers: new Map(),
      bytes: 0,
      usedAt: now,
    };
    this.#byClient.set(client, known);
    return known;
  }

  #keep(known: Known, sequence: number, row: Uint8Array): void {
    invariant(!known.answers.has(sequence), "S2: a write is applied once");
    known.answers.set(sequence, row);
    known.bytes += row.length;
    known.lastIndex = Math.max(known.lastIndex, indexOfAnswer(row)) as LogIndex;
    known.highest = Math.max(known.highest, sequence);
  }
}

function rowKeyOf(known: Known, sequence: number): Uint8Array {
  const key = known.rowKey.slice();
  writeUint64(key, HEAD_BYTES + CLIENT_BYTES, sequence);
  return key;
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
