/**
 * Buckets, and how one is removed while others may be writing to it.
 *
 * Invariants
 *  B1  A bucket that is gone has no objects, versions or uploads: nothing of them is ever found without its bucket.
 *  B2  Every transaction that makes an object, version or upload finds the bucket's fence absent in its partition (P2), and begins
 *      from a bucket that was read shortly before. Who removes a bucket names the removal in the bucket's row, puts up fences in all
 *      partitions, and only then looks whether anything is there: what was made before is seen, and nothing is made after. The row
 *      goes only if it still names the removal. A write that meets a fence and finds the bucket there calls the removal off, by
 *      changing the row, and takes down the fence that it met: removals give way to writes, and none that crashed is in the way.
 *  B3  A fence is put up over another only by a removal that read it before it made sure that it still is the one that the row names.
 *      So no removal replaces the fence of a later one; and whoever takes down a fence does so as it read it, after it has seen that
 *      the row does not name its removal any more.
 *  B4  Fences end by themselves, long after the last write can arrive that began before the bucket was gone, and long after a removal
 *      has given itself up (REMOVAL_MS_MAX).
 */
import { prefixEnd, utf8Encode } from "../../base/bytes.ts";
import { LIMITS } from "../../base/limits.ts";
import type { PartitionId } from "../../base/ids.ts";
import { WireError } from "../../wire/cbor.ts";
import type { Scheme } from "../../wire/objects.ts";
import type { KeyValue, Op, Version } from "../../wire/requests.ts";
import { fragmentCount, schemeProblem, writeQuorum } from "../fragment.ts";
import { type BucketRecord, decodeBucket, encodeBucket, hexOf, tryDecode } from "../records.ts";
import { bucketRow, fenceRow, newestRow, uploadRow } from "../rows.ts";
import { type Bucket, ObjectError, type Program, type Versioning } from "../types.ts";
import { ask, askAll, getRow, getRows, now, outcomeOf, random, strange } from "./ask.ts";
import { getBucket, recordOf } from "./bucket_row.ts";
import { expectSame } from "./change.ts";
import { checkBucketName, checkTags, quote } from "./names.ts";
import { rowsFrom } from "./paging.ts";
import { askView, type World } from "./world.ts";

export { getBucket };

/** @throws {ObjectError} "bucket-exists", "invalid"; "too-small" where the network has too few members for the scheme */
export function* createBucket(
  name: string,
  { owner = "", scheme = null, versioning = "off" }: {
    readonly owner?: string;
    readonly scheme?: Scheme | null;
    readonly versioning?: Versioning;
  },
): Program<Bucket> {
  checkBucketName(name);
  if (scheme !== null) yield* checkScheme(scheme);
  const createdMs = yield* now();
  const bucket: Bucket = { name, createdMs, owner, scheme, versioning, lifecycle: [], cors: [], tags: [] };
  const value = encode({ bucket, removal: null });
  const done = yield* casBucket(name, null, value);
  if (done.kind === "applied") return bucket;
  throw new ObjectError("bucket-exists", `There is a bucket ${quote(name)} already; choose another name`);
}

/** All buckets, by name. One whose record cannot be read is left out. */
export function* listBuckets(world: World): Program<Bucket[]> {
  const start = bucketRow("");
  const rows = rowsFrom(world, { start, end: prefixEnd(start) });
  const buckets: Bucket[] = [];
  for (let row = yield* rows.next(); row !== null; row = yield* rows.next()) {
    const { key, value } = row;
    const record = tryDecode(() => decodeBucket(key.slice(start.length), value ?? new Uint8Array(0)));
    if (!(record instanceof WireError)) buckets.push(record.bucket);
  }
  return buckets;
}

/** Changes what `wanted` names, whatever others change at the same time. */
export function* changeBucket(
  name: string,
  wanted: Partial<Pick<Bucket, "versioning" | "lifecycle" | "cors" | "tags">>,
): Program<Bucket> {
  checkTags(wanted.tags ?? [], LIMITS.bucketTagsMax);
  checkCount("lifecycle rules", wanted.lifecycle?.length ?? 0, LIMITS.lifecycleRulesMax);
  checkCount("CORS rules", wanted.cors?.length ?? 0, LIMITS.corsRulesMax);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const found = yield* getRow(bucketRow(name));
    const record = recordOf(name, found);
    const bucket = { ...record.bucket, ...wanted };
    if (bucket.versioning === "off" && record.bucket.versioning !== "off") {
      throw new ObjectError(
        "invalid",
        `The bucket ${quote(name)} keeps versions, and cannot go back to before it did; suspend them instead`,
      );
    }
    const done = yield* casBucket(name, found, encode({ ...record, bucket }));
    if (done.kind === "applied") return bucket;
  }
  throw busy(name);
}

/** @throws {ObjectError} "bucket-not-empty"; "conflict" where somebody wrote to it meanwhile */
export function* deleteBucket(world: World, name: string): Program<void> {
  const startedMs = yield* now();
  const removal = hexOf(yield* random(16));
  const found = yield* getRow(bucketRow(name));
  const record = recordOf(name, found);
  // Most that are not empty are found to be so without ado.
  yield* checkEmpty(world, name);
  const named = yield* casBucket(name, found, encode({ ...record, removal }));
  if (named.kind === "other") throw conflict(name);
  const row: KeyValue = { key: bucketRow(name), value: null, version: named.version };
  try {
    yield* putUpFences(world, name, removal);
    yield* checkEmpty(world, name);
  } catch (error) {
    yield* callOff(world, row, { record, removal });
    throw error;
  }
  // B4: the fences that were put up first must still be there.
  if ((yield* now()) - startedMs > REMOVAL_MS_MAX) {
    yield* callOff(world, row, { record, removal });
    throw new ObjectError("unavailable", `Removing the bucket ${quote(name)} took too long; try again`);
  }
  const gone = yield* casBucket(name, row, null);
  if (gone.kind === "other") throw conflict(name);
}

/** Fences live for an hour. */
const FENCE_TTL_MS = 3_600_000, REMOVAL_MS_MAX = 15 * 60_000;
const ATTEMPTS_MAX = 100;

/** B3. */
function* putUpFences(world: World, name: string, removal: string): Program<void> {
  const rows: string[] = [], count = yield* world.partitions();
  for (let partition = 1; partition <= count; partition++) {
    rows.push(fenceRow(partition as PartitionId, name));
  }
  const value = utf8Encode(removal);
  let left = rows;
  for (let attempt = 0; left.length > 0; attempt++) {
    if (attempt === ATTEMPTS_MAX) throw busy(name);
    const standing = yield* getRows(left);
    const record = recordOf(name, yield* getRow(bucketRow(name)));
    if (record.removal !== removal) throw conflict(name);
    const ops = left.map((key, i): Op => ({
      kind: "cas",
      key,
      expect: expectSame(standing[i]!),
      value,
      ttlMs: FENCE_TTL_MS,
    }));
    const responses = yield* askAll(ops);
    const again: string[] = [];
    for (const [i, response] of responses.entries()) {
      if (response.kind === "cas" && response.applied) continue;
      if (response.kind !== "cas" && outcomeOf(response) === "known") throw strange(response);
      again.push(left[i]!);
    }
    left = again;
  }
}

/** @throws {ObjectError} "bucket-not-empty" */
function* checkEmpty(world: World, name: string): Program<void> {
  for (const start of [uploadRow(name, "", "").slice(0, -1), newestRow(name, "")]) {
    const row = yield* rowsFrom(world, { start, end: prefixEnd(start), wanted: 1 }).next();
    if (row === null) continue;
    const what = start === newestRow(name, "")
      ? `the object ${quote(row.key.slice(start.length))}, or versions of it`
      : "uploads that were neither completed nor aborted";
    throw new ObjectError("bucket-not-empty", `The bucket ${quote(name)} holds ${what}; empty it first`);
  }
}

/**
 * The bucket stays. Its fences are taken down, for who meets one may have rights on some of the bucket's objects alone, and not
 * call off what nobody is about any more. What does not come down now is taken down by others, or ends.
 */
function* callOff(
  world: World,
  row: KeyValue,
  { record, removal }: { readonly record: BucketRecord; readonly removal: string },
): Program<void> {
  const response = yield* ask({
    kind: "cas",
    key: row.key,
    expect: expectSame(row),
    value: encode({ ...record, removal: null }),
  });
  if (response.kind !== "cas") return;
  const expect = { kind: "value", value: utf8Encode(removal) } as const, ops: Op[] = [];
  const count = yield* world.partitions();
  for (let partition = 1; partition <= count; partition++) {
    ops.push({
      kind: "cas",
      key: fenceRow(partition as PartitionId, record.bucket.name),
      expect,
      value: null,
    });
  }
  yield* askAll(ops);
}

/**
 * Replaces the bucket's row (null: removes it) if it still is as it was found. Where it is not known whether it was done, what is
 * there tells: no two records that are written are alike but for those that mean the same.
 */
function* casBucket(
  name: string,
  found: KeyValue | null,
  value: Uint8Array | null,
): Program<{ readonly kind: "applied"; readonly version: Version } | { readonly kind: "other" }> {
  const key = bucketRow(name);
  for (let attempt = 1;; attempt++) {
    const response = yield* ask({ kind: "cas", key, expect: expectSame(found), value });
    if (response.kind === "cas" && response.applied) return { kind: "applied", version: response.version };
    const isFirst = attempt === 1;
    if (response.kind === "cas" && isFirst) return { kind: "other" };
    if (response.kind !== "cas" && outcomeOf(response) === "known") throw strange(response);
    const now = yield* getRow(key);
    if (now === null && value === null) return { kind: "applied", version: NO_VERSION };
    if (now !== null && value !== null && sameBytes(now.value, value)) {
      return { kind: "applied", version: now.version };
    }
    if (response.kind === "cas") return { kind: "other" };
    // A row may be absent twice: what was made and removed since would be made again.
    if (found === null || attempt === CAS_ATTEMPTS) throw strange(response);
  }
}
const CAS_ATTEMPTS = 3;
/** Of a row that is not there. */
const NO_VERSION: Version = { term: 0 as Version["term"], index: 0 as Version["index"] };

function* checkScheme(scheme: Scheme): Program<void> {
  const problem = schemeProblem(scheme);
  if (problem !== null) throw new ObjectError("invalid", problem);
  const active = (yield* askView()).members.filter(({ state }) => state === "active").length;
  const count = fragmentCount(scheme);
  if (writeQuorum(scheme, active) !== null && count <= active) return;
  throw new ObjectError(
    "too-small",
    `Each chunk would have ${count} fragments on as many members, and the network has ${active}; choose a scheme with fewer, or let ` +
      `more members join first`,
  );
}

function encode(record: BucketRecord): Uint8Array {
  const bytes = encodeBucket(record);
  if (bytes.length <= LIMITS.bucketBytesMax) return bytes;
  throw new ObjectError(
    "too-large",
    `A bucket's record, rules included, has at most ${LIMITS.bucketBytesMax} bytes (bucketBytesMax), not ${bytes.length}`,
  );
}
function checkCount(what: string, count: number, max: number): void {
  if (count > max) throw new ObjectError("too-large", `A bucket has at most ${max} ${what}, not ${count}`);
}
function sameBytes(a: Uint8Array | null, b: Uint8Array): boolean {
  return a !== null && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
function conflict(name: string): ObjectError {
  return new ObjectError(
    "conflict",
    `The bucket ${quote(name)} was changed or written to while it was being removed; it stays. Try again`,
  );
}
function busy(name: string): ObjectError {
  return new ObjectError(
    "unavailable",
    `The bucket ${quote(name)} is being changed by many at once; try again`,
  );
}
