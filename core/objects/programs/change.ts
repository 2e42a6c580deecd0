/**
 * How an object's rows are changed: what is there is read, what is to be follows from it, and one transaction makes it so if
 * nobody was quicker.
 *
 * Invariants
 *  P1  Every transaction that changes which versions an object has names the newest row as it was read. So there is one order of all
 *      changes of an object, conditions are judged against what was changed, and no change is lost. Last committed wins.
 *  P2  Such a transaction finds the bucket's fence absent in this partition (buckets.ts): no object is made in a bucket that is gone.
 *  P3  A segment that a committed version or part names has a row; and the transaction that takes the name away takes the rows with
 *      it, or leaves a row of garbage that names them (garbage.ts).
 *  P4  A write of which it is not known whether it was applied is never answered as if it were known: it is looked for. It can be
 *      tried again only while the newest row is as it was read, for then at most one of the attempts is ever applied; and not at all
 *      where there was none, for a row may be absent twice.
 */
import { garbageRow, newestRow } from "../rows.ts";
import { encodeGarbage } from "../records_upload.ts";
import { decodeVersion, drawOf, type VersionRecord } from "../records_version.ts";
import { bucketRow, fenceRow, segmentRow } from "../rows.ts";
import { type Bucket, ObjectError, type ObjectVersion, type Program, type Segment } from "../types.ts";
import type { KeyValue, TransactItem, TransactOp, Version } from "../../wire/requests.ts";
import { WireError } from "../../wire/cbor.ts";
import { tryDecode } from "../records.ts";
import { ask, getRows, outcomeOf, random, strange } from "./ask.ts";
import { bucketOf, liftFence } from "./bucket_row.ts";
import { hintGone } from "./draft.ts";
import { collect } from "./garbage.ts";
import { quote } from "./names.ts";
import type { Place, World } from "./world.ts";

/** A row of a version, and its own version in the catalog. */
export interface VersionRow extends VersionRecord {
  readonly row: string;
  readonly at: Version;
  readonly value: Uint8Array;
}

/** What an object and its bucket are before a change. */
export interface Found {
  readonly bucket: Bucket;
  readonly newest: VersionRow | null;
}

/** done: nothing is to be changed. */
export type Plan<T> =
  | { readonly kind: "done"; readonly value: T }
  | {
    readonly kind: "change";
    /** Besides P1 and P2. */
    readonly conditions: TransactOp["conditions"];
    readonly then: readonly TransactItem[];
    /** Versions whose content goes. */
    readonly removed: readonly ObjectVersion[];
    readonly value: T;
    /** A row of garbage is among `then`. */
    readonly leaves?: boolean;
    /**
     * After an attempt of which nothing is known: whether it was applied, given the newest row as it is now. null: that
     * cannot be known.
     */
    readonly applied: (newest: VersionRow | null) => Program<boolean | null>;
    /** A condition does not hold though the newest row is as it was: throws, or returns for another attempt. */
    readonly lost?: () => Program<void>;
  };

/**
 * P1: decides on what is found, and tries until that is what is changed. `giveUp` runs where it fails and is known not to have
 * been applied. `read`: what was found, where that was shortly before (B2).
 */
export function* change<T>(
  world: World,
  place: Place,
  decide: (found: Found) => Program<Plan<T>>,
  giveUp: () => Program<void> = nothing,
  read: Rows | null = null,
): Program<T> {
  /** P4: what was asked for last, as long as it is not known what came of it. */
  const doubt: Doubt<T> = { attempt: null, unanswered: 0 };
  try {
    for (let count = 1; count <= ATTEMPTS_MAX; count++) {
      const rows = count === 1 && read !== null ? read : yield* readRows(place);
      const done = yield* attemptOnce(world, place, { rows, decide, doubt });
      if (done !== null) {
        yield* finish(world, place, done);
        return done.value;
      }
      if (count > PATIENT_ATTEMPTS) yield* pause(count);
    }
    throw new ObjectError(
      "unavailable",
      `The object ${
        quote(place.key)
      } is being changed by so many that none of ${ATTEMPTS_MAX} attempts came through; try again`,
    );
  } catch (error) {
    if (doubt.attempt === null) yield* giveUp();
    else if (error instanceof ObjectError) throw notKnown(place, error);
    throw error;
  }
}

interface Doubt<T> {
  attempt: Attempt<T> | null;
  /** Attempts that found no answer. */
  unanswered: number;
}
interface Attempt<T> {
  readonly plan: Extract<Plan<T>, { kind: "change" }>;
  readonly newest: KeyValue | null;
  readonly then: readonly TransactItem[];
  /** A row of garbage was left. */
  readonly left: boolean;
}
/** What was changed, if anything. */
interface Done<T> {
  readonly value: T;
  readonly attempt: Attempt<T> | null;
}

/** An object's newest row and its bucket's, as they were read. */
export interface Rows {
  readonly newest: KeyValue | null;
  readonly bucket: KeyValue | null;
}

export function* readRows({ bucket, key }: Place): Program<Rows> {
  const [newest, of] = yield* getRows([newestRow(bucket, key), bucketRow(bucket)]);
  return { newest: newest!, bucket: of! };
}

interface Trying<T> {
  readonly rows: Rows;
  readonly decide: (found: Found) => Program<Plan<T>>;
  readonly doubt: Doubt<T>;
}

/** null: another attempt is needed. */
function* attemptOnce<T>(
  world: World,
  place: Place,
  { rows: { newest: newestValue, bucket: bucketValue }, decide, doubt }: Trying<T>,
): Program<Done<T> | null> {
  const row = newestRow(place.bucket, place.key), fence = fenceRow(place.partition, place.bucket);
  const newest = newestOf(place, newestValue);
  if (doubt.attempt !== null) {
    const { attempt } = doubt;
    const applied = yield* attempt.plan.applied(newest);
    if (applied === true) return { value: attempt.plan.value, attempt };
    if (!sameRow(attempt.newest, newestValue)) {
      if (applied === null) throw notKnown(place);
      doubt.attempt = null;
    }
  }
  const plan = yield* decide({ bucket: bucketOf(place.bucket, bucketValue), newest });
  if (plan.kind === "done") return { value: plan.value, attempt: null };
  const attempt = { plan, newest: newestValue, ...withRemovals(world, place, plan) };
  const before = doubt.attempt;
  doubt.attempt = attempt;
  const response = yield* ask({
    kind: "transact",
    conditions: [
      { key: row, expect: expectSame(newestValue) },
      { key: fence, expect: { kind: "absent" } },
      ...plan.conditions,
    ],
    then: attempt.then,
    otherwise: [{ kind: "get", key: fence }, { kind: "get", key: row }],
  });
  if (outcomeOf(response) === "unknown") {
    if (newestValue !== null && ++doubt.unanswered < UNANSWERED_MAX) return null;
    // P4: absent is absent; what was made and removed since would be made again.
    const [now] = yield* getRows([row]);
    if ((yield* plan.applied(newestOf(place, now!))) === true) return { value: plan.value, attempt };
    throw notKnown(place);
  }
  doubt.attempt = before;
  if (response.kind !== "transacted") throw strange(response);
  if (response.held) return { value: plan.value, attempt };
  const [fenced, now] = response.results;
  if (fenced) yield* liftFence(place, fenced);
  else if (sameRow(now ?? null, newestValue) && before === null) yield* plan.lost?.() ?? nothing();
  return null;
}

/** @throws {ObjectError} "damaged" */
export function versionRowOf(place: Place, found: KeyValue): VersionRow {
  const value = found.value ?? new Uint8Array(0);
  const record = tryDecode(() => decodeVersion(value));
  if (record instanceof WireError) throw damagedRow(`a version of the object ${quote(place.key)}`, record);
  return { ...record, row: found.key, at: found.version, value };
}

export function newestOf(place: Place, found: KeyValue | null): VersionRow | null {
  return found === null ? null : versionRowOf(place, found);
}

export function damagedRow(what: string, error: WireError): ObjectError {
  return new ObjectError("damaged", `The record of ${what} cannot be read: ${error.message}`);
}

/** The condition that a row is as it was read. */
export function expectSame(
  found: { readonly version: Version } | null,
): TransactOp["conditions"][number]["expect"] {
  return found === null ? { kind: "absent" } : { kind: "version", version: found.version };
}

export function sameRow(a: KeyValue | null, b: KeyValue | null): boolean {
  if (a === null || b === null) return a === b;
  return a.version.index === b.version.index && a.version.term === b.version.term;
}

/** P3: the rows of segments go in the same transaction where they are few, else by a row of garbage. */
function withRemovals<T>(
  world: World,
  place: Place,
  plan: Extract<Plan<T>, { kind: "change" }>,
): Pick<Attempt<T>, "then" | "left"> {
  const then = [...plan.then];
  let left = false;
  for (const { id, content } of plan.removed) {
    if (content.kind === "inline") continue;
    const rows = content.segments.map((segment): TransactItem => ({
      kind: "delete",
      key: segmentRow(place, segment.id),
    }));
    if (content.pages === 0 && then.length + rows.length <= world.sizes.rowsPerTransaction) {
      then.push(...rows);
    } else {
      const draw = drawOf(id);
      const value = encodeGarbage({ kind: "content", draw, content });
      then.push({ kind: "put", key: garbageRow(place.bucket, place.key, draw), value });
      left = true;
    }
  }
  return { then, left };
}

/** It is committed; what is left to be done hurries nobody and may fail. */
function* finish<T>(world: World, place: Place, { attempt }: Done<T>): Program<void> {
  if (attempt === null) return;
  const gone: Segment[] = [];
  for (const { content } of attempt.plan.removed) {
    if (content.kind === "segments") gone.push(...content.segments);
  }
  yield* hintGone(place, gone);
  if (attempt.left || attempt.plan.leaves === true) yield* collectQuietly(world, place);
}

/** What is not removed now, maintenance removes. */
export function* collectQuietly(world: World, place: Place): Program<void> {
  try {
    yield* collect(world, place.bucket, place.key);
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
  }
}

const ATTEMPTS_MAX = 100, UNANSWERED_MAX = 3, PATIENT_ATTEMPTS = 3, PAUSE_MS_MAX = 200;

/** Those who come in each other's way do not meet again at once. */
function* pause(attempt: number): Program<void> {
  const [byte] = yield* random(1);
  yield { kind: "sleep", ms: Math.min(PAUSE_MS_MAX, attempt * 4) * byte! >> 8 };
}

function* nothing(): Program<void> {}

function notKnown({ key }: Place, because: ObjectError | null = null): ObjectError {
  return new ObjectError(
    "unavailable",
    `It cannot be known whether the change of ${quote(key)} was made: ` +
      (because === null ? "no node answered in time" : because.message) +
      ". Look at the object, and try again",
  );
}
