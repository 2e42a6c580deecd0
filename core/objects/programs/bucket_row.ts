/** The bucket's row, for programs that work in buckets. */
import { WireError } from "../../wire/cbor.ts";
import type { KeyValue } from "../../wire/requests.ts";
import { type BucketRecord, decodeBucket, encodeBucket, tryDecode } from "../records.ts";
import { bucketRow } from "../rows.ts";
import { type Bucket, ObjectError, type Program } from "../types.ts";
import { ask, getRow, outcomeOf, strange } from "./ask.ts";
import { quote } from "./names.ts";
import type { Place } from "./world.ts";

/** @throws {ObjectError} "no-such-bucket", "damaged" */
export function recordOf(name: string, found: KeyValue | null): BucketRecord {
  if (found === null) {
    throw new ObjectError("no-such-bucket", `There is no bucket ${quote(name)}; create it first`);
  }
  const record = tryDecode(() => decodeBucket(name, found.value ?? new Uint8Array(0)));
  if (!(record instanceof WireError)) return record;
  throw new ObjectError(
    "damaged",
    `The record of the bucket ${quote(name)} cannot be read: ${record.message}`,
  );
}

export function bucketOf(name: string, found: KeyValue | null): Bucket {
  return recordOf(name, found).bucket;
}

/** @throws {ObjectError} "no-such-bucket" */
export function* getBucket(name: string): Program<Bucket> {
  return bucketOf(name, yield* getRow(bucketRow(name)));
}

/**
 * A fence stands where an object is to be made. Where the bucket is there, its removal is called off, and the fence taken down: B2
 * in buckets.ts.
 * @throws {ObjectError} "no-such-bucket" where the removal is done
 */
export function* liftFence({ bucket }: Place, fence: KeyValue): Program<void> {
  const found = yield* getRow(bucketRow(bucket));
  const record = recordOf(bucket, found);
  if (record.removal !== null) {
    const response = yield* ask({
      kind: "cas",
      key: bucketRow(bucket),
      expect: { kind: "version", version: found!.version },
      value: encodeBucket({ ...record, removal: null }),
    });
    // Somebody else was quicker, or it is not known: the caller comes again and finds out.
    if (outcomeOf(response) === "unknown") return;
    if (response.kind !== "cas") throw strange(response);
    if (!response.applied) return;
  }
  const lifted = yield* ask({
    kind: "cas",
    key: fence.key,
    expect: { kind: "version", version: fence.version },
    value: null,
  });
  if (outcomeOf(lifted) === "known" && lifted.kind !== "cas") throw strange(lifted);
}
