/**
 * The keys of one partition: newest records, history, and what ties keys to leases. All writing goes through write().
 *
 * Invariants
 *  K1  A record's history count is the number of its history rows and at most its history limit; both are 0 where no
 *      history is kept, and then a deleted key has no row at all.
 *  K2  A write is checked by problemOf() before any part of its operation is applied, so it applies whole or not at all.
 */
import type { Instant, LogIndex } from "../base/ids.ts";
import { LIMITS } from "../base/limits.ts";
import { equalBytes } from "../base/bytes.ts";
import { invariant, unreachable } from "../base/invariant.ts";
import type { WatchEvent } from "../wire/messages.ts";
import type { Expectation, KeyValue, PutOptions, Refused, Version } from "../wire/requests.ts";
import type { Lease, Leases } from "./leases.ts";
import {
  type Attachment,
  encodeRecord,
  hasOwnLease,
  historyCountOf,
  historyLimitOf,
  indexOf,
  isDeleted,
  keyValueOf,
  leaseOf,
  termOf,
  valueOf,
} from "./record.ts";
import { HISTORY, nestedEnd, type Rows, shareOf, VALUE, writeUint64 } from "./rows.ts";

/** Where and when a write happens. `now` is this replica's clock and only feeds deadlines. */
export interface Moment {
  readonly version: Version;
  readonly now: Instant;
}

export class KeySpace {
  readonly #rows: Rows;
  readonly #leases: Leases;
  readonly #emit: (event: WatchEvent) => void;

  constructor(rows: Rows, leases: Leases, emit: (event: WatchEvent) => void) {
    this.#rows = rows;
    this.#leases = leases;
    this.#emit = emit;
  }

  /** The key's newest record, null where absent or deleted. */
  find(key: string): Uint8Array | null {
    const row = this.#rows.get(this.#rows.key(VALUE, key));
    return row === null || isDeleted(row) ? null : row;
  }

  get(key: string): KeyValue | null {
    const row = this.find(key);
    return row === null ? null : keyValueOf(key, row);
  }

  /** Whether the key is as expected. */
  holds(key: string, expect: Expectation): boolean {
    const row = this.find(key);
    switch (expect.kind) {
      case "absent":
        return row === null;
      case "present":
        return row !== null;
      case "version":
        return row !== null && indexOf(row) === expect.version.index && termOf(row) === expect.version.term;
      case "value":
        return row !== null && equalBytes(valueOf(row)!, expect.value);
      default:
        return unreachable(expect);
    }
  }

  /**
   * Why a put with these options cannot be applied, or null. `before` counts keys that the same transaction
   * attaches to the same lease first.
   */
  problemOf(key: string, options: PutOptions, before = 0): Refused | null {
    if (options.lease !== undefined) {
      const lease = this.#leases.find(options.lease);
      if (lease === undefined || lease.own) return noLease(options.lease);
      if (lease.keys + before >= LIMITS.keysPerLeaseMax) return this.#fullLease(key, lease);
    }
    if (options.ttlMs !== undefined && this.#leases.find(key)?.own === false) {
      return {
        kind: "refused",
        reason: "conflict",
        message:
          `A lease was granted under the name ${
            JSON.stringify(key)
          }, so this key cannot have a lease of its ` +
          `own (ttlMs). Put it with lease: ${JSON.stringify(key)}, or revoke that lease`,
      };
    }
    return null;
  }

  #fullLease(key: string, lease: Lease): Refused | null {
    const row = this.find(key);
    if (row !== null && leaseOf(row) === lease.name) return null;
    return {
      kind: "refused",
      reason: "too-large",
      message: `The lease ${JSON.stringify(lease.name)} has ${lease.keys} keys, its limit ` +
        `(keysPerLeaseMax ${LIMITS.keysPerLeaseMax}); grant another lease`,
    };
  }

  /** Writes or, with null, deletes a key. True if there was a value. */
  write(key: string, value: Uint8Array | null, options: PutOptions, moment: Moment): boolean {
    const rowKey = this.#rows.newKey(VALUE, key);
    const old = this.#rows.get(rowKey);
    const existed = old !== null && !isDeleted(old);
    if (value === null && !existed) return false;
    const historyLimit = options.history ?? (old === null ? 0 : historyLimitOf(old));
    const historyCount = this.#keepOld(key, old, historyLimit);
    const attachment = value === null ? NONE : attachmentOf(options);
    this.#moveLease(key, existed ? old : null, attachment, moment);
    if (value === null && historyLimit === 0) {
      invariant(old !== null, "K1: what existed has a row");
      this.#rows.delete(rowKey, shareOf(VALUE, old));
      this.#tell(key, null, moment.version);
      return existed;
    }
    const record = { version: moment.version, value, historyLimit, historyCount, attachment };
    const row = encodeRecord(record, this.#rows.slab);
    this.#rows.set(rowKey, row, shareOf(VALUE, old));
    this.#tell(key, valueOf(row), moment.version);
    return existed;
  }

  /** Deletes every key of a lease, and the lease. */
  endLease(lease: Lease, moment: Moment): void {
    for (const key of this.#leases.keysOf(lease)) this.write(key, null, NO_OPTIONS, moment);
    // L3: an own lease went with its key.
    if (!lease.own) this.#leases.end(lease);
  }

  /** The earlier records of a key, oldest first, as rows. */
  *historyOf(key: string, reverse: boolean): Iterable<Uint8Array> {
    for (const [, row] of this.#rows.tables.range({ ...this.#historySpan(key), reverse })) yield row;
  }

  /** The record that was written at `index`, newest or earlier; null where it is not kept. */
  findVersion(key: string, index: LogIndex): Uint8Array | null {
    const newest = this.#rows.get(this.#rows.key(VALUE, key));
    if (newest === null || indexOf(newest) === index) return newest;
    return historyCountOf(newest) === 0 ? null : this.#rows.get(this.#historyKey(key, index));
  }

  #tell(key: string, value: Uint8Array | null, version: Version): void {
    this.#emit({ key, value, term: version.term, index: version.index });
  }

  /** Moves the newest record into the history and removes what is past the limit. The new history count. */
  #keepOld(key: string, old: Uint8Array | null, limit: number): number {
    if (old === null) return 0;
    let count = historyCountOf(old);
    if (limit > 0) {
      this.#rows.adopt(this.#historyKey(key, indexOf(old)), old, 0);
      count++;
    }
    if (count <= limit) return count;
    const oldest = [];
    for (const row of this.#rows.tables.range(this.#historySpan(key))) {
      oldest.push(row);
      if (oldest.length === count - limit) break;
    }
    for (const [rowKey, row] of oldest) this.#rows.delete(rowKey, shareOf(HISTORY, row));
    return limit;
  }

  /** Detaches the key from the lease it had, and attaches it to the one it is to have. */
  #moveLease(key: string, old: Uint8Array | null, to: Attachment, moment: Moment): void {
    const hadOwn = old !== null && hasOwnLease(old), had = old === null ? null : leaseOf(old);
    if (hadOwn && to.kind !== "own") this.#leases.end(this.#lease(key));
    if (had !== null && (to.kind !== "granted" || to.lease !== had)) {
      this.#leases.detach(this.#lease(had), key);
    }
    if (to.kind === "own") {
      const { version, now } = moment;
      this.#leases.start({ name: key, own: true, ttlMs: to.ttlMs, index: version.index, now });
    } else if (to.kind === "granted" && to.lease !== had) this.#leases.attach(this.#lease(to.lease), key);
  }

  #lease(name: string): Lease {
    const lease = this.#leases.find(name);
    invariant(
      lease !== undefined,
      () => `L3: the lease ${JSON.stringify(name)} that a record names is there`,
    );
    return lease;
  }

  #historyKey(key: string, index: LogIndex): Uint8Array {
    const rowKey = this.#rows.nestedKey(HISTORY, key, 8);
    writeUint64(rowKey, nestedEnd(rowKey), index);
    return rowKey;
  }

  #historySpan(key: string): { start: Uint8Array; end: Uint8Array } {
    const end = this.#rows.nestedKey(HISTORY, key, 8);
    end.fill(0xff, nestedEnd(end));
    return { start: this.#rows.nestedKey(HISTORY, key, 0), end };
  }
}

const NONE: Attachment = { kind: "none" };
const NO_OPTIONS: PutOptions = {};

function attachmentOf(options: PutOptions): Attachment {
  if (options.lease !== undefined) return { kind: "granted", lease: options.lease };
  return options.ttlMs === undefined ? NONE : { kind: "own", ttlMs: options.ttlMs };
}

/** There is no such lease. */
export function noLease(name: string): Refused {
  return {
    kind: "refused",
    reason: "not-found",
    message: `No lease was granted under the name ${
      JSON.stringify(name)
    }, or its time is over. Grant it first`,
  };
}
