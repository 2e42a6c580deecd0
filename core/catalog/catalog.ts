/**
 * The replicated state machine of a data partition: keys with versions and history, leases, transactions on one
 * partition, and exactly-once sessions.
 *
 * Invariants
 *  C1  State, answers and digest follow from the entries applied and nothing else. `now` feeds only what this replica
 *      keeps for itself: when leases are due and when sessions were last used.
 *  C2  One apply() leaves the rows at one log position: data, position and sum change in the same step.
 *  C3  A command whose operation is refused changes nothing but its session's kept answers.
 *  C4  A snapshot becomes the state only whole: every row's seal and the sum of all must be right.
 *
 * The parts: rows.ts (how state lies in the tables), key_space.ts (L, K invariants), leases.ts, sessions.ts (S),
 * reads.ts, event_ring.ts (watchers), validate.ts (limits), command.ts (what the log carries).
 */
import { fmix32 } from "../base/hash.ts";
import type { Instant, LogIndex, PartitionId, Term } from "../base/ids.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import type { Row, Tables } from "../base/ports.ts";
import type { SnapshotSource, StateMachine } from "../partition/contracts.ts";
import { WireError } from "../wire/cbor.ts";
import type { Entry, WatchEvent } from "../wire/messages.ts";
import type { KeyValue, ReadOp, Response, TransactItem, TransactOp, WriteOp } from "../wire/requests.ts";
import type { WriteResponse } from "./answers.ts";
import {
  type Command,
  decodeCommand,
  encodeInternal,
  type ExpireCommand,
  type ForgetSessionsCommand,
} from "./command.ts";
import { EventRing } from "./event_ring.ts";
import { KeySpace, type Moment, noLease } from "./key_space.ts";
import { Leases } from "./leases.ts";
import { valueLengthOf } from "./record.ts";
import { read } from "./reads.ts";
import { Rows } from "./rows.ts";
import { Sessions } from "./sessions.ts";
import { Installation, RowsSource } from "./snapshot.ts";

export interface CatalogOptions {
  readonly partition: PartitionId;
  readonly tables: Tables;
  /** Told what changed, once for each apply() that changed something, in order. */
  readonly onEvents?: (events: readonly WatchEvent[]) => void;
  /** For watchers that catch up: LIMITS.watchEventsKept where left out. */
  readonly watchEventsKept?: number;
}

export class Catalog implements StateMachine {
  readonly partition: PartitionId;
  /** Retried writes that were answered from what was kept. */
  duplicates = 0;
  /** Leases that ended because their time was over. */
  leasesEnded = 0;
  readonly #rows: Rows;
  readonly #leases: Leases;
  readonly #sessions: Sessions;
  readonly #keys: KeySpace;
  readonly #ring: EventRing;
  readonly #onEvents: ((events: readonly WatchEvent[]) => void) | null;
  #fresh: WatchEvent[] = [];
  #installation: Installation | null = null;

  constructor(options: CatalogOptions) {
    this.partition = options.partition;
    this.#onEvents = options.onEvents ?? null;
    this.#rows = new Rows(options.tables, options.partition);
    this.#leases = new Leases(this.#rows);
    this.#sessions = new Sessions(this.#rows);
    this.#ring = new EventRing(this.#rows.index, options.watchEventsKept);
    this.#keys = new KeySpace(this.#rows, this.#leases, (event) => this.#tell(event));
  }

  get appliedIndex(): LogIndex {
    return this.#rows.index;
  }

  get appliedTerm(): Term {
    return this.#rows.term;
  }

  /** Leases that have not ended, for status and metrics. */
  get leases(): number {
    return this.#leases.size;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  apply(
    entries: readonly Entry[],
    now: Instant,
    answer: (index: LogIndex, response: Response) => void,
  ): void {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!;
      invariant(
        entry.index === this.#rows.index + 1,
        () => `Entries are applied in order: ${entry.index} does not follow ${this.#rows.index}`,
      );
      this.#rows.moveTo(entry.index, entry.term);
      if (entry.kind === "command") answer(entry.index, this.#applyCommand(entry, now));
    }
    this.#sessions.flush();
    if (entries.length > 0) this.#rows.writeMeta();
    if (this.#fresh.length > 0) {
      const events = this.#fresh;
      this.#fresh = [];
      this.#onEvents?.(events);
    }
  }

  /** Answers a read from the state as it is. `ageUs` is what the answer says of its age: 0 where it is linearizable. */
  read(op: ReadOp, ageUs: number): Response {
    return read(this.#rows, this.#keys, op, ageUs);
  }

  /** The events after a log index, of keys from `start` up to but without `end` (null: to the last). */
  eventsAfter(index: LogIndex, start: string, end: string | null): readonly WatchEvent[] | "compacted" {
    return this.#ring.after(index, start, end);
  }

  /** This replica now leads: all leases and sessions have their whole time from now on. */
  becameLeader(now: Instant): void {
    this.#leases.startAll(now);
    this.#sessions.startAll(now);
  }

  /** When a leader should call expired(). NEVER where there is nothing that can be over. */
  nextExpiry(): Instant {
    return Math.min(this.#leases.nextDeadline, this.#sessions.nextSweep) as Instant;
  }

  /**
   * For the leader: a command to propose because something's time is over, or null. What it names is not named
   * again for a second, so one call after the other comes to null.
   */
  expired(now: Instant): Uint8Array | null {
    const leases = this.#leases.takeDue(now);
    if (leases.length > 0) return encodeInternal({ kind: "expire", leases });
    const sessions = this.#sessions.takeIdle(now);
    return sessions.length > 0 ? encodeInternal({ kind: "forget-sessions", sessions }) : null;
  }

  stateDigest(): number {
    return fmix32(this.#rows.sum ^ fmix32(this.#rows.index) ^ Math.imul(this.#rows.term, 0x9e3779b1));
  }

  snapshot(): SnapshotSource {
    return new RowsSource(this.#rows);
  }

  beginInstall(): void {
    this.#rows.removeStaged();
    this.#installation = new Installation(this.#rows);
  }

  installRows(rows: readonly Row[]): string | null {
    invariant(this.#installation !== null, "Rows of a snapshot come after beginInstall()");
    const wrong = this.#installation.add(rows);
    if (wrong !== null) this.#abandonInstall();
    return wrong;
  }

  finishInstall(index: LogIndex, term: Term): string | null {
    invariant(this.#installation !== null, "The end of a snapshot comes after beginInstall()");
    const wrong = this.#installation.finish(index, term);
    if (wrong !== null) this.#abandonInstall();
    else {
      this.#installation = null;
      this.#reload();
    }
    return wrong;
  }

  #abandonInstall(): void {
    this.#rows.removeStaged();
    this.#installation = null;
  }

  drop(): void {
    this.#rows.drop();
    this.#installation = null;
    this.#reload();
  }

  /** One line for traces. */
  describe(): string {
    const digest = this.stateDigest().toString(16).padStart(8, "0");
    return `partition ${this.partition} applied ${this.appliedTerm}.${this.appliedIndex} digest ${digest} ` +
      `leases ${this.#leases.size} sessions ${this.#sessions.size}`;
  }

  #reload(): void {
    this.#leases.load();
    this.#sessions.load();
    this.#ring.clear(this.#rows.index);
    this.#fresh = [];
  }

  #tell(event: WatchEvent): void {
    this.#ring.push(event);
    if (this.#onEvents !== null) this.#fresh.push(event);
  }

  #applyCommand(entry: Entry, now: Instant): WriteResponse {
    const moment: Moment = { version: { term: entry.term, index: entry.index }, now };
    const command = decode(entry.data);
    if (typeof command === "string") return malformed(command);
    switch (command.kind) {
      case "write":
        return this.#applyWrite(command, moment);
      case "expire":
        return this.#expire(command, moment);
      case "forget-sessions":
        return this.#forget(command, moment);
      default:
        return unreachable(command);
    }
  }

  #applyWrite(command: Extract<Command, { kind: "write" }>, moment: Moment): WriteResponse {
    const { op, session } = command;
    if (session === null) return this.#applyOp(op, moment);
    const settled = this.#sessions.check(session, moment.now);
    if (settled !== null) {
      if (this.#sessions.isKept(session)) this.duplicates++;
      return settled;
    }
    const response = this.#applyOp(op, moment);
    this.#sessions.record(session, response, moment.version.index, moment.now);
    return response;
  }

  #applyOp(op: WriteOp, moment: Moment): WriteResponse {
    const { version } = moment;
    switch (op.kind) {
      case "put":
        return this.#keys.problemOf(op.key, op) ??
          { kind: "written", version, existed: this.#keys.write(op.key, op.value, op, moment) };
      case "delete":
        return { kind: "written", version, existed: this.#keys.write(op.key, null, NO_OPTIONS, moment) };
      case "cas":
        return this.#cas(op, moment);
      case "transact":
        return this.#transact(op, moment);
      case "grant":
        return this.#grant(op.lease, op.ttlMs, moment);
      case "keep-alive":
        return this.#keepAlive(op.lease, moment);
      case "revoke": {
        const lease = this.#leases.find(op.lease);
        if (lease !== undefined) this.#keys.endLease(lease, moment);
        return { kind: "written", version, existed: lease !== undefined };
      }
      default:
        return unreachable(op);
    }
  }

  #cas(op: Extract<WriteOp, { kind: "cas" }>, moment: Moment): WriteResponse {
    const { version } = moment;
    if (!this.#keys.holds(op.key, op.expect)) {
      return { kind: "cas", applied: false, version, found: this.#keys.get(op.key) };
    }
    const problem = op.value === null ? null : this.#keys.problemOf(op.key, op);
    if (problem !== null) return problem;
    this.#keys.write(op.key, op.value, op, moment);
    return { kind: "cas", applied: true, version, found: null };
  }

  #transact(op: TransactOp, moment: Moment): WriteResponse {
    const held = op.conditions.every(({ key, expect }) => this.#keys.holds(key, expect));
    const items = held ? op.then : op.otherwise;
    const problem = this.#branchProblem(items);
    if (problem !== null) return problem;
    const results: (KeyValue | null)[] = [];
    for (const item of items) {
      results.push(item.kind === "get" ? this.#keys.get(item.key) : null);
      if (item.kind === "put") this.#keys.write(item.key, item.value, item, moment);
      if (item.kind === "delete") this.#keys.write(item.key, null, NO_OPTIONS, moment);
    }
    return { kind: "transacted", held, version: moment.version, results };
  }

  /** K2: looks at every item before the first is applied. */
  #branchProblem(items: readonly TransactItem[]): WriteResponse | null {
    const attached = new Map<string, number>();
    let bytes = 0;
    for (const item of items) {
      if (item.kind === "get") {
        const row = this.#keys.find(item.key);
        if (row !== null) bytes += item.key.length + valueLengthOf(row);
      } else if (item.kind === "put") {
        const before = item.lease === undefined ? 0 : attached.get(item.lease) ?? 0;
        const problem = this.#keys.problemOf(item.key, item, before);
        if (problem !== null) return problem;
        if (item.lease !== undefined) attached.set(item.lease, before + 1);
      }
    }
    if (bytes <= LIMITS.commandBytesMax) return null;
    return {
      kind: "refused",
      reason: "too-large",
      message: `The values that the transaction reads have ${bytes} bytes, past ${LIMITS.commandBytesMax} ` +
        `(commandBytesMax); read fewer keys in it`,
    };
  }

  #grant(name: string, ttlMs: number, moment: Moment): WriteResponse {
    if (this.#leases.find(name)?.own === true) {
      return {
        kind: "refused",
        reason: "conflict",
        message:
          `The key ${JSON.stringify(name)} has a lease of its own (ttlMs) under that name. Grant the lease ` +
          `under another name, or put the key without ttlMs first`,
      };
    }
    const { version, now } = moment;
    const existed = this.#leases.start({ name, own: false, ttlMs, index: version.index, now });
    return { kind: "written", version, existed };
  }

  #keepAlive(name: string, moment: Moment): WriteResponse {
    const lease = this.#leases.find(name);
    if (lease === undefined) return noLease(name);
    const { version, now } = moment;
    this.#leases.start({ name, own: lease.own, ttlMs: lease.ttlMs, index: version.index, now });
    return { kind: "written", version, existed: true };
  }

  #expire(command: ExpireCommand, moment: Moment): WriteResponse {
    let existed = false;
    for (const { lease: name, generation } of command.leases) {
      const lease = this.#leases.find(name);
      // L1: refreshed after the leader looked, it has another generation and stays.
      if (lease === undefined || lease.generation !== generation) continue;
      this.#keys.endLease(lease, moment);
      this.leasesEnded++;
      existed = true;
    }
    return { kind: "written", version: moment.version, existed };
  }

  #forget(command: ForgetSessionsCommand, moment: Moment): WriteResponse {
    let existed = false;
    for (const { client, lastIndex } of command.sessions) {
      if (this.#sessions.forget(client, lastIndex)) existed = true;
    }
    return { kind: "written", version: moment.version, existed };
  }
}

const NO_OPTIONS = {};

/** The command, or what is wrong with the bytes. */
function decode(data: Uint8Array): Command | string {
  try {
    return decodeCommand(data);
  } catch (error) {
    if (error instanceof WireError) return error.message;
    throw error;
  }
}

function malformed(what: string): WriteResponse {
  return {
    kind: "refused",
    reason: "invalid",
    message: `The log holds a command that this version cannot read: ${what}. Update this node`,
  };
}
