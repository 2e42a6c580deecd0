/**
 * Objects in memory, with the promises of ObjectStore and nothing of what keeps them on real nodes: the S3 face is
 * tested over it.
 */
import { createHash } from "node:crypto";
import type { Body, Got, ObjectStore } from "../../../cli/objects/store.ts";
import {
  type Bucket,
  type Conditions,
  type GetOptions,
  ObjectError,
  type ObjectVersion,
  type Pair,
  type Part,
  type Span,
  type Upload,
} from "../../../core/objects/types.ts";
import { compareUtf8 } from "../../../core/base/bytes.ts";

interface Kept {
  version: ObjectVersion;
  bytes: Uint8Array;
}
interface Shelf {
  bucket: Bucket;
  /** Newest first. */
  keys: Map<string, Kept[]>;
  uploads: Map<string, { upload: Upload; parts: Map<number, { part: Part; bytes: Uint8Array }> }>;
}

export interface MemoryStore extends ObjectStore {
  /** Bodies that are being read, so that a test sees that reading ends. */
  readonly reading: { count: number };
  /** Pieces of what is read; and what comes before each. */
  pieceBytes: number;
  beforePiece: () => Promise<void>;
  /** Thrown by the next call of `method`. */
  fail(method: string, error: Error): void;
}

const PART_BYTES_MIN = 5 * 1024 * 1024;
const none: ObjectVersion["content"] = { kind: "inline", bytes: new Uint8Array(0) };

export function memoryStore(now: () => number = Date.now): MemoryStore {
  const shelves = new Map<string, Shelf>(), failures = new Map<string, Error>(), reading = { count: 0 };
  /** The uploads that versions were made of. */
  const madeOf = new WeakMap<ObjectVersion, string>();
  let serial = 0;

  const shelf = (name: string): Shelf => {
    const found = shelves.get(name);
    if (found === undefined) throw new ObjectError("no-such-bucket", `There is no bucket "${name}"`);
    return found;
  };
  const find = (options: GetOptions): Kept => {
    const kept = shelf(options.bucket).keys.get(options.key) ?? [];
    const found = options.version === undefined
      ? kept[0]
      : kept.find(({ version }) => (version.isNull ? "null" : version.id) === options.version);
    if (found === undefined) {
      throw new ObjectError(
        options.version === undefined ? "no-such-key" : "no-such-version",
        "It is not there",
      );
    }
    if (found.version.deleted) throw new ObjectError("deleted", "It is deleted", found.version);
    judge(options.conditions, found.version, true);
    return found;
  };
  const place = (
    bucket: string,
    key: string,
    bytes: Uint8Array,
    more: Partial<ObjectVersion>,
    conditions: Conditions | undefined,
  ): ObjectVersion => {
    const on = shelf(bucket), kept = on.keys.get(key) ?? [], newest = kept[0]?.version;
    judge(conditions, newest?.deleted ? undefined : newest, false);
    const isNull = on.bucket.versioning !== "enabled";
    const version: ObjectVersion = {
      ...{
        id: `${(++serial).toString(16).padStart(32, "0")}`,
        sequence: (newest?.sequence ?? 0) + 1,
        isNull,
      },
      ...{ deleted: false, bytes: bytes.length, etag: md5(bytes), modifiedMs: now(), owner: "" },
      ...{ metadata: [], tags: [], content: none, parts: [] },
      ...more,
    };
    on.keys.set(key, [{ version, bytes }, ...kept.filter((old) => !(isNull && old.version.isNull))]);
    return version;
  };
  const upload = (bucket: string, key: string, id: string) => {
    const found = shelf(bucket).uploads.get(id);
    if (found === undefined || found.upload.key !== key) {
      throw new ObjectError("no-such-upload", "No such upload");
    }
    return found;
  };
  const collect = async (
    body: Body,
    bytes: number | null,
    wanted: string | undefined,
  ): Promise<Uint8Array> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of body) pieces.push(new Uint8Array(piece));
    const whole = join(pieces);
    if (bytes !== null && whole.length !== bytes) {
      throw new ObjectError("invalid", "The body has another length");
    }
    if (wanted !== undefined && md5(whole) !== wanted) {
      throw new ObjectError("bad-digest", "The MD5 is another");
    }
    return whole;
  };
  const putPart = (
    to: { bucket: string; key: string; upload: string; part: number },
    bytes: Uint8Array,
  ): Part => {
    const part: Part = {
      number: to.part,
      bytes: bytes.length,
      etag: md5(bytes),
      modifiedMs: now(),
      segments: [],
    };
    upload(to.bucket, to.key, to.upload).parts.set(to.part, { part, bytes });
    return part;
  };

  const store: MemoryStore = {
    reading,
    pieceBytes: 1 << 20,
    beforePiece: () => Promise.resolve(),
    fail: (method, error) => void failures.set(method, error),
    async buckets() {
      return await Promise.resolve([...shelves.values()].map(({ bucket }) => bucket));
    },
    async bucket(name) {
      return await Promise.resolve(shelf(name).bucket);
    },
    async createBucket(name, options) {
      if (shelves.has(name)) throw new ObjectError("bucket-exists", `There is a bucket "${name}"`);
      const bucket: Bucket = {
        ...{ name, createdMs: now(), owner: options.owner ?? "", scheme: options.scheme ?? null },
        ...{ versioning: options.versioning ?? "off", lifecycle: [], cors: [], tags: [] },
      };
      shelves.set(name, { bucket, keys: new Map(), uploads: new Map() });
      return await Promise.resolve(bucket);
    },
    async changeBucket(name, change) {
      const on = shelf(name);
      on.bucket = { ...on.bucket, ...change };
      return await Promise.resolve(on.bucket);
    },
    async deleteBucket(name) {
      const on = shelf(name);
      if (on.keys.size + on.uploads.size > 0) throw new ObjectError("bucket-not-empty", "It is not empty");
      await Promise.resolve(shelves.delete(name));
    },
    async put(options, body) {
      shelf(options.bucket);
      const bytes = await collect(body, options.bytes, options.md5);
      const metadata = [...options.metadata ?? [], ...options.late?.() ?? []].sort(byName);
      return place(options.bucket, options.key, bytes, {
        metadata,
        tags: options.tags ?? [],
        owner: options.owner ?? "",
      }, options.conditions);
    },
    async head(options) {
      const { version } = find(options);
      return await Promise.resolve({ version, span: spanOf(options, version) });
    },
    async get(options) {
      const { version, bytes } = find(options), span = spanOf(options, version);
      reading.count++;
      const body = async function* (): Got["body"] {
        for (let at = span.start; at < span.end; at += store.pieceBytes) {
          await store.beforePiece();
          yield bytes.subarray(at, Math.min(span.end, at + store.pieceBytes));
        }
      }();
      let ended = false;
      const end = () => {
        if (!ended) reading.count--;
        ended = true;
      };
      const watched: Got["body"] = {
        async next() {
          const step = await body.next();
          if (step.done) end();
          return step;
        },
        async return() {
          end();
          return await body.return?.() ?? { done: true, value: undefined };
        },
        [Symbol.asyncIterator]() {
          return watched;
        },
      };
      return await Promise.resolve({ version, span, body: watched });
    },
    async delete({ bucket, key, version: id, conditions }) {
      const on = shelf(bucket), kept = on.keys.get(key) ?? [];
      judge(conditions, kept[0]?.version.deleted ? undefined : kept[0]?.version, false);
      const keep = (left: Kept[]) => left.length === 0 ? on.keys.delete(key) : on.keys.set(key, left);
      if (id !== undefined) {
        const gone = kept.find(({ version }) => (version.isNull ? "null" : version.id) === id);
        keep(kept.filter((other) => other !== gone));
        return await Promise.resolve({
          existed: gone !== undefined,
          version: id,
          marker: gone?.version.deleted ?? false,
        });
      }
      if (on.bucket.versioning === "off") {
        on.keys.delete(key);
        return { existed: kept.length > 0, version: null, marker: false };
      }
      const marker = place(bucket, key, new Uint8Array(0), { deleted: true, etag: "" }, undefined);
      return { existed: true, version: marker.isNull ? "null" : marker.id, marker: true };
    },
    async copy(from, to) {
      const { version, bytes } = find(from);
      return await Promise.resolve(place(to.bucket, to.key, bytes, {
        metadata: to.metadata ?? version.metadata,
        tags: to.tags ?? version.tags,
        owner: to.owner ?? "",
      }, to.conditions));
    },
    async setTags(options, tags) {
      const kept = find(options);
      kept.version = { ...kept.version, tags };
      return await Promise.resolve(kept.version);
    },
    async list({ bucket, prefix = "", delimiter = "", after = "", limit }) {
      const objects: { key: string; version: ObjectVersion }[] = [], prefixes: string[] = [];
      let last = "";
      for (const [key, kept] of sorted(shelf(bucket).keys)) {
        const version = kept[0]?.version;
        if (version === undefined || version.deleted || !key.startsWith(prefix)) continue;
        const common = commonPrefix(key, prefix, delimiter);
        if (compareUtf8(common ?? key, after) <= 0 || (common !== null && prefixes.at(-1) === common)) {
          continue;
        }
        if (objects.length + prefixes.length === limit) {
          return await Promise.resolve({ objects, prefixes, next: last });
        }
        if (common === null) objects.push({ key, version });
        else prefixes.push(common);
        last = common ?? key;
      }
      return { objects, prefixes, next: null };
    },
    async listVersions({ bucket, prefix = "", delimiter = "", after = "", afterVersion, limit }) {
      const versions: { key: string; newest: boolean; version: ObjectVersion }[] = [],
        prefixes: string[] = [];
      let last: { key: string; version: string | null } = { key: "", version: null };
      for (const [key, kept] of sorted(shelf(bucket).keys)) {
        if (!key.startsWith(prefix)) continue;
        const common = commonPrefix(key, prefix, delimiter), order = compareUtf8(common ?? key, after);
        if (order < 0 || (order === 0 && afterVersion === undefined && after !== "")) continue;
        if (common !== null && prefixes.at(-1) === common) continue;
        const name = (version: ObjectVersion) => version.isNull ? "null" : version.id;
        const skipped = order === 0 ? kept.findIndex(({ version }) => name(version) === afterVersion) + 1 : 0;
        for (const [at, { version }] of kept.entries()) {
          if (at < skipped) continue;
          if (versions.length + prefixes.length === limit) {
            return await Promise.resolve({ versions, prefixes, next: last });
          }
          if (common !== null) {
            prefixes.push(common);
            last = { key: common, version: null };
            break;
          }
          versions.push({ key, newest: at === 0, version });
          last = { key, version: name(version) };
        }
      }
      return { versions, prefixes, next: null };
    },
    async createUpload({ bucket, key, owner = "", metadata = [], tags = [] }) {
      const id = (++serial).toString(16).padStart(24, "0");
      const made: Upload = { id, bucket, key, startedMs: now(), owner, metadata, tags };
      shelf(bucket).uploads.set(id, { upload: made, parts: new Map() });
      return await Promise.resolve(made);
    },
    async upload(bucket, key, id) {
      return await Promise.resolve(upload(bucket, key, id).upload);
    },
    async putPart(options, body) {
      upload(options.bucket, options.key, options.upload);
      return putPart(options, await collect(body, options.bytes, options.md5));
    },
    async copyPart(from, to) {
      const { version, bytes } = find(from), span = spanOf(from, version);
      return await Promise.resolve(putPart(to, bytes.slice(span.start, span.end)));
    },
    async listParts({ bucket, key, upload: id, after, limit }) {
      const all = [...upload(bucket, key, id).parts.values()].map(({ part }) => part)
        .filter(({ number }) => number > after).sort((a, b) => a.number - b.number);
      const parts = all.slice(0, limit);
      return await Promise.resolve({ parts, next: all.length > limit ? parts.at(-1)?.number ?? null : null });
    },
    async completeUpload({ bucket, key, upload: id, parts, conditions, metadata = [] }) {
      const newest = shelf(bucket).keys.get(key)?.[0]?.version;
      if (newest !== undefined && madeOf.get(newest) === id) return newest;
      const found = upload(bucket, key, id);
      const named = parts.map(({ number, etag }, at) => {
        const part = found.parts.get(number);
        if (part === undefined || part.part.etag !== etag) {
          throw new ObjectError("invalid-part", `Part ${number} is not there`);
        }
        if (at < parts.length - 1 && part.bytes.length < PART_BYTES_MIN) {
          throw new ObjectError("too-small", "A part is too small");
        }
        return part;
      });
      const hashes = named.map(({ part }) => Uint8Array.fromHex(part.etag));
      const version = place(bucket, key, join(named.map(({ bytes }) => bytes)), {
        etag: `${md5(join(hashes))}-${named.length}`,
        parts: named.map(({ bytes }) => bytes.length),
        metadata: [...new Map([...found.upload.metadata, ...metadata])].sort(byName),
        tags: found.upload.tags,
        owner: found.upload.owner,
      }, conditions);
      shelf(bucket).uploads.delete(id);
      madeOf.set(version, id);
      return await Promise.resolve(version);
    },
    async abortUpload(bucket, key, id) {
      upload(bucket, key, id);
      await Promise.resolve(shelf(bucket).uploads.delete(id));
    },
    async listUploads({ bucket, prefix = "", after = "", afterUpload = "", limit }) {
      const all = [...shelf(bucket).uploads.values()].map(({ upload }) => upload)
        .filter(({ key }) => key.startsWith(prefix))
        .sort((a, b) => compareUtf8(a.key, b.key) || compareUtf8(a.id, b.id))
        .filter(({ key, id }) =>
          compareUtf8(key, after) > 0 || (key === after && afterUpload !== "" && id > afterUpload)
        );
      const uploads = all.slice(0, limit), last = uploads.at(-1);
      const next = all.length > limit && last !== undefined ? { key: last.key, upload: last.id } : null;
      return await Promise.resolve({ uploads, prefixes: [], next });
    },
  };
  return new Proxy(store, {
    get(target, name, receiver) {
      const error = typeof name === "string" ? failures.get(name) : undefined;
      if (error === undefined || typeof name !== "string") return Reflect.get(target, name, receiver);
      failures.delete(name);
      return () => Promise.reject(error);
    },
  });
}

function judge(
  conditions: Conditions | undefined,
  version: ObjectVersion | undefined,
  isRead: boolean,
): void {
  const { ifMatch, ifNoneMatch, ifModifiedSinceMs, ifUnmodifiedSinceMs } = conditions ?? {};
  const names = (etags: readonly string[]) =>
    version !== undefined && (etags.includes("*") || etags.includes(version.etag));
  const fails = (ifMatch !== undefined && !names(ifMatch)) ||
    (ifUnmodifiedSinceMs !== undefined && (version?.modifiedMs ?? 0) > ifUnmodifiedSinceMs);
  if (fails) throw new ObjectError("precondition", "A condition does not hold", version ?? null);
  const same = (ifNoneMatch !== undefined && names(ifNoneMatch)) ||
    (ifModifiedSinceMs !== undefined && (version?.modifiedMs ?? 0) <= ifModifiedSinceMs);
  if (same) {
    throw new ObjectError(isRead ? "not-modified" : "precondition", "It is the same", version ?? null);
  }
}

function spanOf({ range, part }: GetOptions, version: ObjectVersion): Span {
  const { bytes } = version;
  if (part !== undefined) {
    const start = version.parts.slice(0, part - 1).reduce((sum, size) => sum + size, 0);
    return { start, end: start + (version.parts[part - 1] ?? 0) };
  }
  if (range === undefined) return { start: 0, end: bytes };
  const start = range.kind === "last" ? Math.max(0, bytes - range.bytes) : range.start;
  if (start >= bytes) throw new ObjectError("range", "Nothing lies there", version);
  const end = range.kind === "last" || range.end === null ? bytes : Math.min(bytes, range.end + 1);
  return { start, end };
}

function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => compareUtf8(a, b));
}

function commonPrefix(key: string, prefix: string, delimiter: string): string | null {
  const at = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
  return at < 0 ? null : key.slice(0, at + delimiter.length);
}

function byName([a]: Pair, [b]: Pair): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
