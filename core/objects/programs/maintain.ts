/**
 * What is done in the background, partition by partition: deletions that were left half done, and the rules of buckets on how long
 * things are kept. Any number of nodes may do it at the same time, and again: every change is conditional on what was judged.
 *
 * A partition's rows are walked in the order of their names: garbage (g), newest versions (o), uploads (u), older versions (v), of
 * buckets with rules only. A call looks at a bounded number of rows and says where the next one goes on.
 *
 * By B1, U3 and P3 there is nothing else to be found: no objects without their bucket, no parts without their upload, no segments
 * without a name that do not end by themselves.
 */
import { compareUtf8, prefixEnd } from "../../base/bytes.ts";
import type { PartitionId } from "../../base/ids.ts";
import { WireError } from "../../wire/cbor.ts";
import type { KeyValue } from "../../wire/requests.ts";
import { tryDecode } from "../records.ts";
import { decodeVersion } from "../records_version.ts";
import { garbageRow, newestRow, uploadRow, versionRow } from "../rows.ts";
import {
  type Bucket,
  type LifecycleRule,
  ObjectError,
  type ObjectVersion,
  type Pair,
  type Program,
} from "../types.ts";
import { getRow, now } from "./ask.ts";
import { listBuckets } from "./buckets.ts";
import { deleteObject, removeIf } from "./delete.ts";
import { removeGarbage } from "./garbage.ts";
import { splitLast, uploadOf } from "./list.ts";
import { abortUpload } from "./multipart.ts";
import { rowsFrom } from "./paging.ts";
import type { World } from "./world.ts";

export interface MaintainOptions {
  readonly partition: PartitionId;
  /** Where the call before ended; null: from the beginning. */
  readonly cursor: string | null;
  /** About so many rows are looked at. */
  readonly rowsMax: number;
}
export interface Maintained {
  /** Where to go on; null: the partition is through. */
  readonly next: string | null;
  readonly rows: number;
  /** Rows of garbage that were done with. */
  readonly collected: number;
  /** Versions that were removed or hidden behind a marker by a rule. */
  readonly expired: number;
  /** Uploads that were aborted by a rule. */
  readonly aborted: number;
  /** Names of rows that cannot be read or dealt with; they stay. */
  readonly failed: readonly string[];
}

export function* maintain(world: World, options: MaintainOptions): Program<Maintained> {
  const walk = new Walk(world, options, yield* now());
  yield* walk.garbage();
  if (!walk.full) {
    const buckets = (yield* listBuckets(world)).filter(({ lifecycle }) => lifecycle.some(isActive));
    for (const bucket of buckets) yield* walk.newest(bucket);
    for (const bucket of buckets) yield* walk.uploads(bucket);
    for (const bucket of buckets) yield* walk.older(bucket);
  }
  return walk.result();
}

const DAY_MS = 24 * 3_600_000;

class Walk {
  readonly #world: World;
  readonly #options: MaintainOptions;
  readonly #nowMs: number;
  #next: string | null = null;
  #rows = 0;
  #collected = 0;
  #expired = 0;
  #aborted = 0;
  readonly #failed: string[] = [];

  constructor(world: World, options: MaintainOptions, nowMs: number) {
    this.#world = world;
    this.#options = options;
    this.#nowMs = nowMs;
  }

  get full(): boolean {
    return this.#next !== null;
  }

  result(): Maintained {
    return {
      next: this.#next,
      rows: this.#rows,
      collected: this.#collected,
      expired: this.#expired,
      aborted: this.#aborted,
      failed: this.#failed,
    };
  }

  *garbage(): Program<void> {
    const all = garbageRow("", "", "").slice(0, 2);
    yield* this.#each(all, function* (walk, row): Program<void> {
      const [bucket, key] = split3(row.key);
      const place = yield* walk.#world.place(bucket, key);
      if (yield* removeGarbage(walk.#world, place, row)) walk.#collected++;
    });
  }

  /** Current versions that are old enough, and markers that hide nothing. */
  *newest(bucket: Bucket): Program<void> {
    const start = newestRow(bucket.name, "");
    yield* this.#each(start, function* (walk, row): Program<void> {
      const key = row.key.slice(start.length), version = versionOf(row);
      if (version === null) {
        walk.#failed.push(row.key);
        return;
      }
      const rules = bucket.lifecycle.filter((rule) => applies(rule, key, version));
      if (version.deleted) {
        const due = rules.some((rule) => rule.expireMarkers || walk.#isDue(rule, version));
        if (due) yield* walk.#removeLoneMarker(bucket.name, key, version);
      } else if (rules.some((rule) => walk.#isDue(rule, version))) {
        // Only if it is still the newest: nothing that was written since is old enough.
        const conditions = { ifMatchVersion: version.id };
        const done = yield* deleteObject(walk.#world, { bucket: bucket.name, key }, conditions);
        if (done.existed) walk.#expired++;
      }
    });
  }

  *uploads(bucket: Bucket): Program<void> {
    // An upload has no size yet that a rule could be about.
    const rules = bucket.lifecycle.filter((rule) =>
      isActive(rule) && rule.abortUploadDays !== null && rule.sizeMin === null && rule.sizeMax === null
    );
    if (rules.length === 0) return;
    const start = uploadRow(bucket.name, "", "").slice(0, -1);
    yield* this.#each(start, function* (walk, row): Program<void> {
      const [key, id] = splitLast(row.key.slice(start.length));
      const upload = uploadOf({ bucket: bucket.name, key, id }, row);
      if (upload instanceof WireError) {
        walk.#failed.push(row.key);
        return;
      }
      const due = rules.some((rule) =>
        key.startsWith(rule.prefix) && hasTags(rule, upload.tags) &&
        walk.#isPast(upload.startedMs, rule.abortUploadDays!)
      );
      if (!due) return;
      yield* abortUpload(walk.#world, bucket.name, key, id);
      walk.#aborted++;
    });
  }

  /** Versions that are noncurrent for long enough, but for as many of the newest as are to be kept. */
  *older(bucket: Bucket): Program<void> {
    const rules = bucket.lifecycle.filter((rule) => isActive(rule) && rule.noncurrentDays !== null);
    if (rules.length === 0) return;
    const start = versionRow(bucket.name, "", "").slice(0, -1);
    let current = "", newer: ObjectVersion | null = null, count = 0;
    yield* this.#each(start, function* (walk, row): Program<void> {
      const [key] = splitLast(row.key.slice(start.length)), version = versionOf(row);
      if (version === null) {
        walk.#failed.push(row.key);
        return;
      }
      if (key !== current) {
        const newest = yield* getRow(newestRow(bucket.name, key));
        [current, count, newer] = [key, 0, newest === null ? null : versionOf(newest)];
      }
      count++;
      // It is noncurrent since the next newer one was written.
      const sinceMs = newer?.modifiedMs ?? null;
      newer = version;
      const due = sinceMs !== null &&
        rules.some((rule) =>
          applies(rule, key, version) && walk.#isPast(sinceMs, rule.noncurrentDays!) &&
          count > (rule.noncurrentKept ?? 0)
        );
      if (!due) return;
      const done = yield* removeIf(walk.#world, { bucket: bucket.name, key, version: version.id }, "older");
      if (done.existed) walk.#expired++;
    }, (row) => splitLast(row.key)[0]);
  }

  *#removeLoneMarker(bucket: string, key: string, marker: ObjectVersion): Program<void> {
    const done = yield* removeIf(this.#world, { bucket, key, version: marker.id }, "alone");
    if (done.existed) this.#expired++;
  }

  /**
   * Each row whose name begins so, from the cursor on. A row of which something cannot be done is noted, and does not keep the
   * others waiting. A call ends between two groups (rows alone, where `groupOf` is left out).
   */
  *#each(
    prefix: string,
    visit: (walk: Walk, row: KeyValue) => Program<void>,
    groupOf: (row: KeyValue) => string = ({ key }) => key,
  ): Program<void> {
    const { cursor, partition, rowsMax } = this.#options;
    const end = prefixEnd(prefix);
    if (this.full || (cursor !== null && end !== null && compareUtf8(cursor, end) >= 0)) return;
    const start = cursor !== null && compareUtf8(cursor, prefix) > 0 ? cursor : prefix;
    const rows = rowsFrom(this.#world, { start, end, partition, wanted: rowsMax });
    let group: string | null = null;
    for (let row = yield* rows.next(); row !== null; row = yield* rows.next()) {
      if (this.#rows >= rowsMax && groupOf(row) !== group) {
        this.#next = row.key;
        return;
      }
      group = groupOf(row);
      this.#rows++;
      try {
        yield* visit(this, row);
      } catch (error) {
        if (!(error instanceof ObjectError)) throw error;
        // Somebody else was quicker with these; the others are for the next time, or for a person.
        if (!QUICKER.has(error.problem) && this.#failed.length < FAILED_MAX) this.#failed.push(row.key);
      }
    }
  }

  #isDue(rule: LifecycleRule, version: ObjectVersion): boolean {
    const { expireDays, expireDateMs } = rule;
    return (expireDays !== null && this.#isPast(version.modifiedMs, expireDays)) ||
      (expireDateMs !== null && this.#nowMs >= expireDateMs);
  }

  /** As S3 counts: that many whole days after, at the next midnight in UTC. */
  #isPast(sinceMs: number, days: number): boolean {
    return this.#nowMs >= Math.ceil((sinceMs + days * DAY_MS) / DAY_MS) * DAY_MS;
  }
}

const FAILED_MAX = 100;
const QUICKER: ReadonlySet<string> = new Set([
  "no-such-key",
  "no-such-version",
  "no-such-upload",
  "no-such-bucket",
  "precondition",
]);

function isActive(rule: LifecycleRule): boolean {
  return rule.enabled;
}

function applies(rule: LifecycleRule, key: string, version: ObjectVersion): boolean {
  if (!isActive(rule) || !key.startsWith(rule.prefix)) return false;
  if (rule.sizeMin !== null && version.bytes <= rule.sizeMin) return false;
  if (rule.sizeMax !== null && version.bytes >= rule.sizeMax) return false;
  return hasTags(rule, version.tags);
}

function hasTags(rule: LifecycleRule, tags: readonly Pair[]): boolean {
  return rule.tags.every(([name, value]) => tags.some((tag) => tag[0] === name && tag[1] === value));
}

function versionOf(row: KeyValue): ObjectVersion | null {
  const record = tryDecode(() => decodeVersion(row.value ?? new Uint8Array(0)));
  return record instanceof WireError ? null : record.version;
}

/** Bucket and key of a row's name. */
function split3(row: string): [bucket: string, key: string] {
  const [bucket = "", key = ""] = row.slice(2).split("\0");
  return [bucket, key];
}
