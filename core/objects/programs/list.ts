/**
 * Lists of what a bucket holds, in the order of the keys' UTF-8 bytes, a page at a time.
 *
 * A key that goes on beyond the next delimiter after the prefix is listed as the common prefix that ends with it. Keys and common
 * prefixes are the entries of one order, and a page holds the entries after `after`. Once a common prefix is listed, all that begin
 * with it are jumped over.
 *
 * Pages are not one moment: while they are read, others change what they show. What is there the whole time is shown, but for one
 * case: a version that becomes the newest because newer ones are removed by their ids may be passed over by listVersions().
 */
import { compareUtf8, prefixEnd, utf8Length } from "../../base/bytes.ts";
import { LIMITS } from "../../base/limits.ts";
import { WireError } from "../../wire/cbor.ts";
import type { KeyValue } from "../../wire/requests.ts";
import { tryDecode } from "../records.ts";
import { decodeUpload } from "../records_upload.ts";
import { decodeVersion, isVersionId, type VersionRecord } from "../records_version.ts";
import { newestRow, uploadRow, versionRow } from "../rows.ts";
import {
  type Listed,
  type ListedUploads,
  type ListedVersions,
  type ListOptions,
  type ListVersionsOptions,
  ObjectError,
  type Program,
  type Upload,
} from "../types.ts";
import { getBucket } from "./bucket_row.ts";
import { quote } from "./names.ts";
import { type RowCursor, rowsFrom } from "./paging.ts";
import type { World } from "./world.ts";

/** A page ends after this many rows even if nothing of them is to be shown. */
const ROWS_MAX = 10_000;
const DAMAGED_MAX = 100;

/** The keys whose newest version is no delete marker. */
export function* list(world: World, options: ListOptions): Program<Listed> {
  const listing = yield* beginListing(options);
  const { bucket } = options;
  const objects: Listed["objects"][number][] = [], prefixes: string[] = [], damaged: string[] = [];
  const page = (next: string | null): Listed => ({
    objects,
    prefixes,
    next,
    ...(damaged.length === 0 ? {} : { damaged }),
  });
  const cursor = listing.cursor(world, (key) => newestRow(bucket, key));
  if (cursor === null) return page(null);
  let last = "", scanned = 0;
  for (let row = yield* cursor.next(); row !== null; row = yield* cursor.next()) {
    const key = row.key.slice(newestRow(bucket, "").length);
    const record = recordOf(row);
    const full = objects.length + prefixes.length === listing.limit;
    if (record instanceof WireError) {
      if (damaged.length < DAMAGED_MAX && !full) damaged.push(key);
    } else if (!record.version.deleted) {
      if (full) return page(last);
      const prefix = listing.commonPrefix(key);
      if (prefix === null) objects.push({ key, version: record.version });
      else {
        prefixes.push(prefix);
        cursor.jump(prefixEnd(newestRow(bucket, prefix)));
      }
      last = prefix ?? key;
      continue;
    }
    if (++scanned === ROWS_MAX) return page(full ? last : key);
  }
  return page(null);
}

/** All versions, delete markers included: of each key the newest first. */
export function* listVersions(world: World, options: ListVersionsOptions): Program<ListedVersions> {
  const listing = yield* beginListing(options, options.afterVersion !== undefined);
  const { bucket } = options;
  const versions: ListedVersions["versions"][number][] = [], prefixes: string[] = [], damaged: string[] = [];
  const page = (next: ListedVersions["next"]): ListedVersions => ({
    versions,
    prefixes,
    next,
    ...(damaged.length === 0 ? {} : { damaged }),
  });
  const newest = listing.cursor(world, (key) => newestRow(bucket, key));
  const older = listing.cursor(world, (key) => versionRow(bucket, key, "").slice(0, -1));
  if (newest === null || older === null) return page(null);
  const past = pastOf(options);
  let last: ListedVersions["next"] = null, newestId = "", newestKey: string | null = null;
  for (;;) {
    const found = yield* nextVersionRow(bucket, newest, older);
    if (found === null) return page(null);
    const { key, row, isNewest } = found;
    const record = recordOf(row);
    const prefix = listing.commonPrefix(key);
    const full = versions.length + prefixes.length === listing.limit;
    if (prefix !== null) {
      if (full) return page(last);
      prefixes.push(prefix);
      newest.jump(prefixEnd(newestRow(bucket, prefix)));
      older.jump(prefixEnd(versionRow(bucket, prefix, "").slice(0, -1)));
      last = { key: prefix, version: null };
      continue;
    }
    if (record instanceof WireError) {
      if (damaged.length < DAMAGED_MAX && !full) damaged.push(key);
      continue;
    }
    const { version } = record;
    if (isNewest) [newestKey, newestId] = [key, version.id];
    // It was the newest a moment ago, and was listed as that.
    else if (key === newestKey && version.id <= newestId) continue;
    if (past(key, version.id, version.isNull)) continue;
    if (full) return page(last);
    versions.push({ key, newest: isNewest, version });
    last = { key, version: version.id };
  }
}

/** Uploads that were neither completed nor aborted. */
export function* listUploads(
  world: World,
  options: ListOptions & { readonly afterUpload?: string },
): Program<ListedUploads> {
  const { bucket, after, afterUpload } = options;
  const listing = yield* beginListing(options, afterUpload !== undefined);
  const uploads: Upload[] = [], prefixes: string[] = [], damaged: string[] = [];
  const page = (next: ListedUploads["next"]): ListedUploads => ({
    uploads,
    prefixes,
    next,
    ...(damaged.length === 0 ? {} : { damaged }),
  });
  const cursor = listing.cursor(world, (key) => uploadRow(bucket, key, "").slice(0, -1));
  if (cursor === null) return page(null);
  let last: ListedUploads["next"] = null;
  for (let row = yield* cursor.next(); row !== null; row = yield* cursor.next()) {
    const [key, id] = splitLast(row.key.slice(uploadRow(bucket, "", "").length - 1));
    if (key === after && afterUpload !== undefined && id <= afterUpload) continue;
    const full = uploads.length + prefixes.length === listing.limit;
    const prefix = listing.commonPrefix(key);
    if (prefix !== null) {
      if (full) return page(last);
      prefixes.push(prefix);
      cursor.jump(prefixEnd(uploadRow(bucket, prefix, "").slice(0, -1)));
      last = { key: prefix, upload: "" };
      continue;
    }
    const upload = uploadOf({ bucket, key, id }, row);
    if (upload instanceof WireError) {
      if (damaged.length < DAMAGED_MAX && !full) damaged.push(key);
      continue;
    }
    if (full) return page(last);
    uploads.push(upload);
    last = { key, upload: id };
  }
  return page(null);
}

export function uploadOf(name: Pick<Upload, "bucket" | "key" | "id">, row: KeyValue): Upload | WireError {
  return tryDecode(() => decodeUpload(name, row.value ?? new Uint8Array(0)));
}

/** "key NUL id" in two: neither has a NUL. */
export function splitLast(text: string): [key: string, id: string] {
  const at = text.lastIndexOf("\0");
  return [text.slice(0, at), text.slice(at + 1)];
}

function recordOf(row: KeyValue): VersionRecord | WireError {
  return tryDecode(() => decodeVersion(row.value ?? new Uint8Array(0)));
}

/** The options, checked, of a bucket that is there. `within`: entries of the key `after` itself are not all passed. */
function* beginListing(options: ListOptions, within = false): Program<Listing> {
  const listing = new Listing(options, within);
  yield* getBucket(options.bucket);
  return listing;
}

class Listing {
  readonly limit: number;
  readonly #prefix: string;
  readonly #delimiter: string;
  readonly #after: string | null;
  readonly #within: boolean;

  constructor({ prefix = "", delimiter = "", after, limit }: ListOptions, within: boolean) {
    if (!Number.isInteger(limit) || limit < 1 || limit > LIMITS.rangeItemsMax) {
      throw new ObjectError("invalid", `A page has 1 to ${LIMITS.rangeItemsMax} entries, not ${limit}`);
    }
    for (const text of [prefix, delimiter, after ?? ""]) {
      if (utf8Length(text) > LIMITS.objectKeyBytesMax || !text.isWellFormed()) {
        throw new ObjectError(
          "invalid",
          `Prefix, delimiter and start of a list have at most ${LIMITS.objectKeyBytesMax} bytes of well-formed text; ` +
            `${quote(text)} is none`,
        );
      }
    }
    this.limit = limit;
    this.#prefix = prefix;
    this.#delimiter = delimiter;
    this.#after = after ?? null;
    this.#within = within;
  }

  /** The common prefix under which the key is listed; null: as itself. */
  commonPrefix(key: string): string | null {
    if (this.#delimiter === "") return null;
    const at = key.indexOf(this.#delimiter, this.#prefix.length);
    return at < 0 ? null : key.slice(0, at + this.#delimiter.length);
  }

  /** Over the rows of the entries that may be listed; `row` gives what a key's rows begin with. null: there are none. */
  cursor(world: World, row: (key: string) => string): RowCursor | null {
    // No key has a NUL, but the names of rows do.
    if (this.#prefix.includes("\0")) return null;
    const all = row(this.#prefix), end = prefixEnd(all);
    const start = this.#start(row);
    if (start === null || (end !== null && compareUtf8(start, end) >= 0)) return null;
    return rowsFrom(world, { start: compareUtf8(start, all) > 0 ? start : all, end, wanted: this.limit + 1 });
  }

  #start(row: (key: string) => string): string | null {
    const after = this.#after;
    if (after === null) return "";
    const prefix = after.startsWith(this.#prefix) ? this.commonPrefix(after) : null;
    // The common prefix that `after` lies in is not after it.
    if (prefix !== null) return prefixEnd(row(prefix));
    if (this.#within) return row(after);
    // All rows of that key: it alone, or followed by a NUL; no key goes on with U+0000.
    return `${row(after)}\u0001`;
  }
}

/** Whether a version was listed before: of the key `after`, those up to and with `afterVersion`. */
function pastOf({ after, afterVersion }: ListVersionsOptions) {
  let passed = afterVersion === undefined;
  return (key: string, id: string, isNull: boolean): boolean => {
    if (passed || key !== after || afterVersion === undefined) return false;
    if (isVersionId(afterVersion)) return id <= afterVersion;
    // "null", as it is shown to people: up to the null version.
    passed = isNull;
    return true;
  };
}

/** The next row of both in order: a key's newest first, then its older ones. */
function* nextVersionRow(
  bucket: string,
  newest: RowCursor,
  older: RowCursor,
): Program<{ key: string; row: KeyValue; isNewest: boolean } | null> {
  const newestNext = yield* newest.peek(), olderNext = yield* older.peek();
  const skip = newestRow(bucket, "").length;
  const newestKey = newestNext === null ? null : newestNext.key.slice(skip);
  const olderKey = olderNext === null ? null : splitLast(olderNext.key.slice(skip))[0];
  const isNewest = newestKey !== null && (olderKey === null || compareUtf8(newestKey, olderKey) <= 0);
  const row = isNewest ? yield* newest.next() : yield* older.next();
  return row === null ? null : { key: (isNewest ? newestKey : olderKey)!, row, isNewest };
}
