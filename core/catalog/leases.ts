/**
 * The leases of one partition: rows that every replica has alike, and when each would be over, which is this replica's
 * own knowledge.
 *
 * Invariants
 *  L1  A lease's generation is the log index of the write that last started its time. It ends only by a command
 *      that names its generation, so an expiry that was under way when the lease was refreshed does nothing.
 *  L2  Deadlines never reach a row or an answer. Only a leader acts on them, and one that takes over
 *      starts every lease's time in full: a lease may last longer than asked for, never shorter.
 *  L3  An own lease (a key put with ttlMs) has its key's name and no lease-key rows; it is there exactly while the
 *      key's record says so. A granted lease has one lease-key row for each key.
 */
import { after, type Instant, type LogIndex, NEVER } from "../base/ids.ts";
import { utf8Decode, utf8Encode } from "../base/bytes.ts";
import { invariant } from "../base/invariant.ts";
import { LIMITS } from "../base/limits.ts";
import { DeadlineHeap, type Due } from "../base/deadline_heap.ts";
import {
  HEAD_BYTES,
  LEASE,
  LEASE_KEY,
  nestedEnd,
  readUint64,
  type Rows,
  SEAL_BYTES,
  shareOf,
  textOf,
  writeUint64,
} from "./rows.ts";

const OWN_AT = SEAL_BYTES,
  TTL_AT = OWN_AT + 1,
  GENERATION_AT = TTL_AT + 8,
  LEASE_ROW_BYTES = GENERATION_AT + 8;

/** One lease. Changed only by Leases. */
export interface Lease extends Due {
  readonly name: string;
  readonly own: boolean;
  ttlMs: number;
  generation: LogIndex;
  /** Keys attached; of an own lease always 1. */
  keys: number;
  /** What its row adds to the sum of all rows. */
  share: number;
}

/** A proposed expiry that was not applied by then is proposed again. */
const PROPOSE_AGAIN_US = 1_000_000;
/** Bounds of one expire command, so that a mass expiry does not hold up everything else. */
const EXPIRE_LEASES_MAX = 512;
const EXPIRE_KEYS_MAX = LIMITS.keysPerLeaseMax;

export class Leases {
  readonly #rows: Rows;
  readonly #byName = new Map<string, Lease>();
  readonly #due = new DeadlineHeap<Lease>();

  constructor(rows: Rows) {
    this.#rows = rows;
    this.load();
  }

  get size(): number {
    return this.#byName.size;
  }

  /** When the next lease would be over, by this replica's clock. */
  get nextDeadline(): Instant {
    return this.#due.next;
  }

  find(name: string): Lease | undefined {
    return this.#byName.get(name);
  }

  /** Reads the rows anew. No lease is due before startAll(). */
  load(): void {
    this.#byName.clear();
    this.#due.clear();
    for (const [key, row] of this.#rows.all(LEASE)) {
      const own = row[OWN_AT] === 1;
      this.#insert({
        name: textOf(key),
        own,
        ttlMs: readUint64(row, TTL_AT),
        generation: readUint64(row, GENERATION_AT) as LogIndex,
        keys: own ? 1 : 0,
        share: shareOf(LEASE, row),
        deadline: NEVER,
        slot: 0,
      });
    }
    for (const [key] of this.#rows.all(LEASE_KEY)) {
      const lease = this.#byName.get(utf8Decode(key.subarray(HEAD_BYTES + 2, nestedEnd(key))));
      invariant(lease !== undefined && !lease.own, "L3: a lease-key row belongs to a granted lease");
      lease.keys++;
    }
  }

  /** L2: starts the time of every lease in full. */
  startAll(now: Instant): void {
    this.#due.clear();
    for (const lease of this.#byName.values()) {
      lease.deadline = after(now, lease.ttlMs * 1000);
      this.#due.add(lease);
    }
  }

  /** Creates a lease or starts its time anew. True if it was there. */
  start(options: { name: string; own: boolean; ttlMs: number; index: LogIndex; now: Instant }): boolean {
    const { name, own, ttlMs, index, now } = options;
    const deadline = after(now, ttlMs * 1000);
    const known = this.#byName.get(name);
    if (known === undefined) {
      const lease = { name, own, ttlMs, generation: index, keys: own ? 1 : 0, share: 0, deadline, slot: 0 };
      this.#insert(lease);
      this.#write(lease);
      return false;
    }
    invariant(known.own === own, "L3: a name is either a granted lease or a key's own");
    known.ttlMs = ttlMs;
    known.generation = index;
    this.#due.move(known, deadline);
    this.#write(known);
    return true;
  }

  /** Removes a lease that has no keys any more, or whose only key is its own. */
  end(lease: Lease): void {
    invariant(lease.own || lease.keys === 0, "L3: a granted lease ends after its keys");
    this.#rows.delete(this.#rows.key(LEASE, lease.name), lease.share);
    this.#byName.delete(lease.name);
    this.#due.remove(lease);
  }

  attach(lease: Lease, key: string): void {
    this.#rows.set(this.#attachmentKey(lease.name, key), new Uint8Array(SEAL_BYTES), 0);
    lease.keys++;
  }

  detach(lease: Lease, key: string): void {
    const rowKey = this.#attachmentKey(lease.name, key), old = this.#rows.get(rowKey);
    invariant(old !== null, "L3: a key that names a granted lease has a lease-key row");
    this.#rows.delete(rowKey, shareOf(LEASE_KEY, old));
    lease.keys--;
  }

  /** The keys attached to a lease, in byte order. */
  keysOf(lease: Lease): string[] {
    if (lease.own) return [lease.name];
    const start = this.#rows.nestedKey(LEASE_KEY, lease.name, 0);
    const keys: string[] = [];
    for (const [key] of this.#rows.tables.range({ start, end: this.#rows.endOf(LEASE_KEY) })) {
      if (keys.length === lease.keys) break;
      keys.push(utf8Decode(key.subarray(start.length)));
    }
    return keys;
  }

  /** Some leases whose time is over, each to be named again only after a while. */
  takeDue(now: Instant): { lease: string; generation: LogIndex }[] {
    const due: { lease: string; generation: LogIndex }[] = [];
    let keys = 0;
    for (;;) {
      const lease = this.#due.first();
      if (lease === undefined || lease.deadline > now || due.length === EXPIRE_LEASES_MAX) return due;
      keys += lease.keys;
      if (due.length > 0 && keys > EXPIRE_KEYS_MAX) return due;
      due.push({ lease: lease.name, generation: lease.generation });
      this.#due.move(lease, after(now, PROPOSE_AGAIN_US));
    }
  }

  #insert(lease: Lease): void {
    this.#byName.set(lease.name, lease);
    this.#due.add(lease);
  }

  #write(lease: Lease): void {
    const row = new Uint8Array(LEASE_ROW_BYTES);
    row[OWN_AT] = lease.own ? 1 : 0;
    writeUint64(row, TTL_AT, lease.ttlMs);
    writeUint64(row, GENERATION_AT, lease.generation);
    lease.share = this.#rows.set(this.#rows.newKey(LEASE, lease.name), row, lease.share);
  }

  #attachmentKey(lease: string, key: string): Uint8Array {
    const bytes = utf8Encode(key);
    const rowKey = this.#rows.nestedKey(LEASE_KEY, lease, bytes.length);
    rowKey.set(bytes, rowKey.length - bytes.length);
    return rowKey;
  }
}
