/**
 * Uploads of parts.
 *
 * Invariants
 *  U1  A part is committed by a transaction that finds the upload as it was created, and writes it again: so the version of the upload's
 *      row in the catalog changes with every part, and parts do not come in each other's way.
 *  U2  An upload is completed or aborted by a transaction that finds that version as it was before the parts were read: what is made
 *      of the parts is made of all of them as they are then.
 *  U3  That transaction takes the upload's row, and leaves a row of garbage that says which parts' segments live on. No part is
 *      committed after it, so what the row of garbage removes is all that there ever will be.
 */
import { createHash } from "node:crypto";
import { prefixEnd } from "../../base/bytes.ts";
import { LIMITS } from "../../base/limits.ts";
import { WireError } from "../../wire/cbor.ts";
import type { KeyValue, TransactItem, TransactOp } from "../../wire/requests.ts";
import { hexOf, hexWire, tryDecode } from "../records.ts";
import { decodePart, encodeGarbage, encodePart, encodeUpload } from "../records_upload.ts";
import { bucketRow, fenceRow, garbageRow, newestRow, partRow, segmentRow, uploadRow } from "../rows.ts";
import {
  type Conditions,
  type Content,
  type GetOptions,
  ObjectError,
  type ObjectVersion,
  type Pair,
  type Part,
  type Program,
  type PutOptions,
  type Segment,
  type Upload,
} from "../types.ts";
import { ask, getRow, getRows, now, outcomeOf, random, strange } from "./ask.ts";
import { bucketOf, getBucket, liftFence } from "./bucket_row.ts";
import { change, collectQuietly, damagedRow, expectSame, newestOf, type Plan, sameRow } from "./change.ts";
import { bare, judgeWrite } from "./conditions.ts";
import {
  BODY,
  discard,
  type Draft,
  hintGone,
  livingRows,
  type Source,
  tookTooLong,
  writeDraft,
} from "./draft.ts";
import { head, openVersion } from "./get.ts";
import { uploadOf } from "./list.ts";
import { checkedMetadata, checkKey, checkTags, quote } from "./names.ts";
import { rowsFrom } from "./paging.ts";
import { planNewest, stage, type Staged, unstage } from "./put.ts";
import { DEFAULT_SCHEME, type Place, type World } from "./world.ts";

interface UploadName {
  readonly bucket: string;
  readonly key: string;
  readonly upload: string;
}
export interface PartOptions extends UploadName {
  /** 1 to 10,000. */
  readonly part: number;
  readonly bytes: number | null;
  readonly md5?: string | undefined;
}
export interface CompleteOptions extends UploadName {
  readonly parts: readonly { readonly number: number; readonly etag: string }[];
  readonly conditions?: Conditions | undefined;
  /** Added to the upload's own. */
  readonly metadata?: readonly Pair[];
}

export function* createUpload(
  world: World,
  options: Omit<PutOptions, "bytes" | "md5" | "conditions">,
): Program<Upload> {
  const { bucket, key, owner = "", tags = [] } = options;
  checkKey(key);
  checkTags(tags);
  const metadata = checkedMetadata([...options.metadata ?? [], ...options.late?.() ?? []]);
  const place = yield* world.place(bucket, key);
  yield* getBucket(bucket);
  const startedMs = yield* now(), fence = fenceRow(place.partition, bucket);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    // Each attempt has an id of its own: one that came late must not begin anew what was ended meanwhile.
    const upload: Upload = { id: hexOf(yield* random(16)), bucket, key, startedMs, owner, metadata, tags };
    const row = uploadRow(bucket, key, upload.id);
    const response = yield* ask({
      kind: "transact",
      conditions: [{ key: fence, expect: { kind: "absent" } }],
      then: [{ kind: "put", key: row, value: encodeUpload(upload) }],
      otherwise: [{ kind: "get", key: fence }],
    });
    if (outcomeOf(response) === "unknown") {
      if ((yield* getRow(row)) !== null) return upload;
      continue;
    }
    if (response.kind !== "transacted") throw strange(response);
    if (response.held) return upload;
    const [fenced] = response.results;
    if (fenced) yield* liftFence(place, fenced);
  }
  throw busy(options);
}

/** @throws {ObjectError} "no-such-upload" */
export function* getUpload(bucket: string, key: string, upload: string): Program<Upload> {
  const [row, bucketValue] = yield* getRows([uploadRowOf({ bucket, key, upload }), bucketRow(bucket)]);
  bucketOf(bucket, bucketValue!);
  return openUpload({ bucket, key, upload }, row!);
}

/** Writes the driver's body as a part; one of the same number is replaced. */
export function* putPart(world: World, options: PartOptions): Program<Part> {
  return yield* putPartFrom(world, options, BODY);
}

/** A version, or a range of it, as a part. */
export function* copyPart(
  world: World,
  from: GetOptions,
  to: Omit<PartOptions, "bytes" | "md5">,
): Program<Part> {
  const { version, span } = yield* head(world, from);
  const reader = yield* openVersion(world, from, version, span);
  try {
    return yield* putPartFrom(world, { ...to, bytes: span.end - span.start }, reader);
  } catch (error) {
    yield* reader.close();
    throw error;
  }
}

function* putPartFrom(world: World, options: PartOptions, source: Source): Program<Part> {
  const { bucket, key, part: number } = options;
  checkKey(key);
  if (!Number.isInteger(number) || number < 1 || number > LIMITS.uploadPartsMax) {
    throw new ObjectError("invalid", `Parts are numbered from 1 to ${LIMITS.uploadPartsMax}, not ${number}`);
  }
  const place = yield* world.place(bucket, key);
  const [uploadValue, bucketValue] = yield* getRows([uploadRowOf(options), bucketRow(bucket)]);
  const { scheme } = bucketOf(bucket, bucketValue!);
  openUpload(options, uploadValue!);
  const draft = yield* writeDraft(world, place, source, {
    scheme: scheme ?? DEFAULT_SCHEME,
    bytes: options.bytes,
    bytesMax: LIMITS.partBytesMax,
    inline: false,
    md5: options.md5,
  });
  const { bytes, md5: etag, segments } = draft;
  const part: Part = { number, bytes, etag, modifiedMs: yield* now(), segments };
  yield* commitPart(world, place, options, { upload: uploadValue!.value!, part, draft });
  return part;
}

/** U1. */
function* commitPart(
  { sizes: { unregisteredMs } }: World,
  place: Place,
  name: PartOptions,
  { upload, part, draft }: { readonly upload: Uint8Array; readonly part: Part; readonly draft: Draft },
): Program<void> {
  const uploadKey = uploadRowOf(name), key = partRow(name.bucket, name.key, name.upload, part.number);
  const value = encodePart(part);
  /** What was read before an attempt of which nothing is known. */
  let unknown: { readonly before: KeyValue | null } | null = null;
  try {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const [uploadNow = null, before = null] = yield* getRows([uploadKey, key]);
      if (unknown !== null) {
        if (before !== null && isSame(before.value, value)) return;
        if (!sameRow(before, unknown.before) || uploadNow === null) throw unknownPart(name);
      }
      openUpload(name, uploadNow);
      const nowMs = yield* now();
      if (!draft.registered && nowMs - draft.startedMs > unregisteredMs) throw tookTooLong();
      const replaced = before === null ? [] : replacedBy(before);
      const present = draft.registered ? draft.segments : [];
      const doubt: { readonly before: KeyValue | null } | null = unknown;
      unknown = { before };
      const response = yield* ask({
        kind: "transact",
        conditions: [
          { key: uploadKey, expect: { kind: "value", value: upload } },
          { key, expect: expectSame(before) },
          ...present.map(({ id }) => ({
            key: segmentRow(place, id),
            expect: { kind: "present" } as const,
          })),
        ],
        then: [
          { kind: "put", key: uploadKey, value: upload },
          { kind: "put", key, value },
          ...livingRows(place, part.segments, draft.proofs),
          ...replaced.map(({ id }): TransactItem => ({
            kind: "delete",
            key: segmentRow(place, id),
          })),
        ],
        otherwise: [{ kind: "get", key: uploadKey }, { kind: "get", key }],
      });
      if (outcomeOf(response) === "unknown") continue;
      unknown = doubt;
      if (response.kind !== "transacted") throw strange(response);
      if (response.held) return yield* hintGone(place, replaced);
      const [uploadThen, then] = response.results;
      if (uploadThen && sameRow(then ?? null, before) && doubt === null) throw tookTooLong();
    }
    throw busy(name);
  } catch (error) {
    if (unknown === null) yield* discard(place, draft);
    throw error;
  }
}

/** Segments of the part that lay there. One that cannot be read gives none. */
function replacedBy(row: KeyValue): readonly Segment[] {
  const part = partOf(row);
  return part instanceof WireError ? [] : part.segments;
}

export function* listParts(
  world: World,
  options: UploadName & { readonly after: number; readonly limit: number },
): Program<{ parts: Part[]; next: number | null }> {
  const { bucket, key, upload, after, limit } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMITS.rangeItemsMax) {
    throw new ObjectError("invalid", `A page has 1 to ${LIMITS.rangeItemsMax} parts, not ${limit}`);
  }
  yield* getUpload(bucket, key, upload);
  const parts: Part[] = [];
  const rows = yield* partRows(world, options, after, limit + 1);
  for (let row = yield* rows.next(); row !== null; row = yield* rows.next()) {
    const part = partOf(row);
    if (part instanceof WireError) continue;
    if (parts.length === limit) return { parts, next: parts.at(-1)!.number };
    parts.push(part);
  }
  return { parts, next: null };
}

/**
 * Makes an object of the parts named, in rising order. Asked for again with the same parts it answers the same, as long as the
 * newest version is the one that it made.
 */
export function* completeUpload(world: World, options: CompleteOptions): Program<ObjectVersion> {
  const { bucket, key } = options;
  checkKey(key);
  checkOrder(options);
  const place = yield* world.place(bucket, key);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const [row, newestValue, bucketValue] = yield* getRows([
      uploadRowOf(options),
      newestRow(bucket, key),
      bucketRow(bucket),
    ]);
    bucketOf(bucket, bucketValue!);
    if (row === null) {
      const newest = newestOf(place, newestValue!);
      if (newest?.upload === options.upload && newest.version.etag === etagOf(options.parts)) {
        return newest.version;
      }
    }
    const upload = openUpload(options, row!);
    const parts = yield* chosenParts(world, options);
    try {
      return yield* commitParts(world, place, options, { row: row!, upload, parts });
    } catch (error) {
      if (!(error instanceof PartsChanged)) throw error;
    }
  }
  throw busy(options);
}

/** U2: the upload is not as it was when the parts were read. It never leaves this file. */
class PartsChanged extends Error {
  override readonly name = "PartsChanged";
}

function* commitParts(
  world: World,
  place: Place,
  options: CompleteOptions,
  { row, upload, parts }: {
    readonly row: KeyValue;
    readonly upload: Upload;
    readonly parts: readonly Part[];
  },
): Program<ObjectVersion> {
  const metadata = checkedMetadata(merged(upload.metadata, options.metadata ?? []));
  const segments = parts.flatMap((part) => part.segments);
  const staged: Staged = yield* stage(world, place, segments, null);
  const content: Content = segments.length === 0
    ? { kind: "inline", bytes: new Uint8Array(0) }
    : staged.content;
  const conditions: TransactOp["conditions"] = [
    { key: row.key, expect: expectSame(row) },
    ...staged.conditions,
  ];
  const garbage = encodeGarbage({
    kind: "parts",
    upload: upload.id,
    keep: parts.map(({ number }) => number),
  });
  const then: TransactItem[] = [
    { kind: "delete", key: row.key },
    { kind: "put", key: garbageRow(place.bucket, place.key, upload.id), value: garbage },
    ...staged.then,
  ];
  const decide = function* (found: Parameters<typeof planNewest>[1]): Program<Plan<ObjectVersion>> {
    if (!sameRow(yield* getRow(row.key), row)) throw new PartsChanged();
    judgeWrite(options.conditions, place.key, found.newest?.version ?? null);
    const { plan } = yield* planNewest(place, found, staged.draw, {
      deleted: false,
      bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
      etag: etagOf(parts.map(({ number, etag }) => ({ number, etag }))),
      modifiedMs: yield* now(),
      owner: upload.owner,
      metadata,
      tags: upload.tags,
      content,
      parts: parts.map(({ bytes }) => bytes),
    }, upload.id);
    return {
      ...plan,
      conditions: [...plan.conditions, ...conditions],
      then: [...plan.then, ...then],
      leaves: true,
      lost: function* () {
        const claim = staged.claim === null ? null : yield* getRow(staged.claim.row);
        const at = staged.claim?.at ?? null;
        if (at !== null && (claim === null || claim.version.index !== at.index)) throw new PartsChanged();
      },
    };
  };
  return yield* change(world, place, decide, function* () {
    yield* unstage(world, place, staged);
  });
}

/** Throws the upload away, with all its parts. */
export function* abortUpload(world: World, bucket: string, key: string, upload: string): Program<void> {
  const name = { bucket, key, upload };
  const place = yield* world.place(bucket, key);
  yield* getBucket(bucket);
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const row = yield* getRow(uploadRowOf(name));
    // After an attempt of which nothing is known it is gone, whoever did it.
    if (row === null && attempt > 0) return;
    openUpload(name, row);
    const garbage = encodeGarbage({ kind: "parts", upload, keep: [] });
    const response = yield* ask({
      kind: "transact",
      conditions: [{ key: row!.key, expect: expectSame(row) }],
      then: [
        { kind: "delete", key: row!.key },
        { kind: "put", key: garbageRow(bucket, key, upload), value: garbage },
      ],
      otherwise: [],
    });
    if (response.kind === "transacted" && response.held) return yield* collectQuietly(world, place);
    if (response.kind === "refused" && outcomeOf(response) === "known") throw strange(response);
  }
  throw busy(name);
}

/** MD5 of the parts' MD5s, "-", their number. */
export function etagOf(parts: CompleteOptions["parts"]): string {
  const hash = createHash("md5");
  for (const { etag } of parts) hash.update(hexWire(bare(etag).toLowerCase()));
  return `${hash.digest("hex")}-${parts.length}`;
}

const ATTEMPTS_MAX = 100;

function checkOrder({ parts }: CompleteOptions): void {
  if (parts.length === 0) {
    throw new ObjectError("invalid", "An object is made of at least 1 part; name them, or abort the upload");
  }
  if (parts.length > LIMITS.uploadPartsMax) {
    throw new ObjectError(
      "invalid",
      `An object has at most ${LIMITS.uploadPartsMax} parts, not ${parts.length}`,
    );
  }
  const wrong = parts.findIndex(({ number }, i) => i > 0 && number <= parts[i - 1]!.number);
  if (wrong < 0) return;
  throw new ObjectError(
    "invalid-part-order",
    `Parts are named in rising order, and ${parts[wrong]!.number} follows ${parts[wrong - 1]!.number}`,
  );
}

/** @throws {ObjectError} "invalid-part", "too-small", "too-large" */
function* chosenParts(world: World, options: CompleteOptions): Program<Part[]> {
  const there = new Map<number, Part>();
  const rows = yield* partRows(world, options, 0);
  for (let row = yield* rows.next(); row !== null; row = yield* rows.next()) {
    const part = partOf(row);
    if (part instanceof WireError) throw damagedRow(`a part of the upload ${quote(options.upload)}`, part);
    there.set(part.number, part);
  }
  const parts: Part[] = [];
  for (const [i, { number, etag }] of options.parts.entries()) {
    const part = there.get(number);
    if (part === undefined || part.etag !== bare(etag).toLowerCase()) {
      throw new ObjectError(
        "invalid-part",
        part === undefined
          ? `The upload has no part ${number}; send it first`
          : `Part ${number} has the ETag ${quote(part.etag)}, not ${
            quote(etag)
          }; it was replaced, or changed on the way`,
      );
    }
    if (part.bytes < world.sizes.partBytesMin && i < options.parts.length - 1) {
      throw new ObjectError(
        "too-small",
        `Part ${number} has ${part.bytes} bytes, and all but the last have at least ${world.sizes.partBytesMin}`,
      );
    }
    parts.push(part);
  }
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  if (bytes <= LIMITS.objectBytesMax) return parts;
  throw new ObjectError("too-large", `An object has at most ${LIMITS.objectBytesMax} bytes, not ${bytes}`);
}

function* partRows(world: World, { bucket, key, upload }: UploadName, after: number, wanted?: number) {
  const { partition } = yield* world.place(bucket, key);
  const end = prefixEnd(partRow(bucket, key, upload, 0).slice(0, -5));
  const start = partRow(bucket, key, upload, Math.max(0, after) + 1);
  return rowsFrom(world, { start, end, partition, ...(wanted === undefined ? {} : { wanted }) });
}

function partOf(row: KeyValue): Part | WireError {
  return tryDecode(() => decodePart(row.value ?? new Uint8Array(0)));
}

/** @throws {ObjectError} "no-such-upload" for what is no id of one */
function uploadRowOf(name: UploadName): string {
  if (!/^[0-9a-f]{32}$/.test(name.upload)) throw noUpload(name);
  return uploadRow(name.bucket, name.key, name.upload);
}

function openUpload(name: UploadName, row: KeyValue | null): Upload {
  if (row === null) throw noUpload(name);
  const { bucket, key, upload: id } = name;
  const upload = uploadOf({ bucket, key, id }, row);
  if (upload instanceof WireError) throw damagedRow(`the upload ${quote(id)}`, upload);
  return upload;
}

/** Later pairs take the place of earlier ones of the same name. */
function merged(pairs: readonly Pair[], more: readonly Pair[]): Pair[] {
  return [...new Map([...pairs, ...more])];
}
function isSame(a: Uint8Array | null, b: Uint8Array): boolean {
  return a !== null && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
function noUpload({ key, upload }: UploadName): ObjectError {
  return new ObjectError(
    "no-such-upload",
    `There is no upload ${quote(upload)} of the object ${
      quote(key)
    }: it was completed or aborted, or never begun`,
  );
}
function busy({ key }: { readonly key: string }): ObjectError {
  return new ObjectError(
    "unavailable",
    `The upload of ${quote(key)} is being changed by many at once; try again`,
  );
}
function unknownPart({ key, part }: PartOptions): ObjectError {
  return new ObjectError(
    "unavailable",
    `It cannot be known whether part ${part} of ${
      quote(key)
    } was stored: no node answered in time, and others have changed ` +
      `the upload since. List its parts`,
  );
}
