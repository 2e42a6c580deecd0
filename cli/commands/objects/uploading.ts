/**
 * Files into objects. A large file goes in parts, several at a time, and goes on where it was broken off: what an
 * unfinished upload of the same key has is compared with the file, and parts whose size and MD5 are the file's are not
 * sent again. So nothing about a transfer is kept outside of the network, and a file that has changed is noticed.
 */
import { createHash } from "node:crypto";
import type { Conditions, ObjectVersion, Pair, Part, Upload } from "../../../core/objects/types.ts";
import { ObjectError } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { type Gate, persistently } from "./connected.ts";
import { checkSame, fileBytes, type LocalFile } from "./files.ts";
import { nameOf } from "./location.ts";

const MiB = 1024 * 1024;
const PARTS_MAX = 10_000;
/** Uploads of this key, and parts of one, that one page of the list names. */
const PAGE = 1000;
/** Of one part. */
const TRIES = 4;

/** Told as bytes are done; `kept`: they were there before. Negative: they have to be done again. */
export type CountBytes = (bytes: number, kept: boolean) => void;

export interface UploadOptions {
  readonly store: ObjectStore;
  readonly bucket: string;
  readonly key: string;
  readonly file: LocalFile;
  readonly owner: string;
  readonly metadata: readonly Pair[];
  readonly tags: readonly Pair[];
  readonly conditions: Conditions;
  /** Files of at least twice this go in parts of it. */
  readonly partBytes: number;
  /** Parts of this file under way at once; and of all files together, those that are through here. */
  readonly parallel: number;
  readonly gate: Gate;
  /** False: begin anew, whatever is there. */
  readonly resume: boolean;
  readonly progress: CountBytes;
  readonly signal: AbortSignal;
}

export async function uploadFile(options: UploadOptions): Promise<ObjectVersion> {
  const { store, bucket, key, file, owner, metadata, tags, conditions, progress, signal } = options;
  const { bytes } = file;
  if (bytes >= 2 * options.partBytes) return await uploadInParts(options);
  const body = counted(fileBytes(file, 0, bytes), progress);
  return await store.put({ bucket, key, bytes, owner, metadata, tags, conditions }, body, signal);
}

async function uploadInParts(options: UploadOptions): Promise<ObjectVersion> {
  const { store, bucket, key, file, owner, conditions, metadata, tags, signal } = options;
  const { bytes } = file;
  await judge(options);
  const partBytes = Math.max(options.partBytes, Math.ceil(bytes / PARTS_MAX / MiB) * MiB);
  const parts = Math.ceil(bytes / partBytes);
  const before = options.resume ? await unfinished(options) : null;
  const upload = before?.id ?? (await store.createUpload({ bucket, key, owner, metadata, tags })).id;
  const known = before === null ? new Map<number, Part>() : await partsOf(options, upload);
  const etags: string[] = [];
  let next = 0, failed = false;
  const one = async (index: number) => {
    const start = index * partBytes, end = Math.min(bytes, start + partBytes);
    const had = known.get(index + 1);
    if (had !== undefined && had.bytes === end - start && await md5Of(file, start, end) === had.etag) {
      options.progress(end - start, true);
      etags[index] = had.etag;
      return;
    }
    etags[index] = await options.gate.through(async () => {
      signal.throwIfAborted();
      return await putPart(options, upload, { number: index + 1, start, end });
    });
  };
  await Promise.all(Array.from({ length: Math.min(options.parallel, parts) }, async () => {
    try {
      while (next < parts && !failed) await one(next++);
    } catch (error) {
      failed = true;
      throw error;
    }
  }));
  // Its parts may be of different times.
  await checkSame(file);
  signal.throwIfAborted();
  return await store.completeUpload({
    bucket,
    key,
    upload,
    parts: etags.map((etag, index) => ({ number: index + 1, etag })),
    conditions,
  });
}

/** Returns the part's ETag. A part may be stored twice: the later takes the place of the earlier. */
function putPart(
  { store, bucket, key, file, progress, signal }: UploadOptions,
  upload: string,
  { number, start, end }: { readonly number: number; readonly start: number; readonly end: number },
): Promise<string> {
  return persistently(TRIES, signal, async () => {
    let sent = 0;
    const body = counted(fileBytes(file, start, end), (bytes, kept) => {
      sent += bytes;
      progress(bytes, kept);
    });
    try {
      return (await store.putPart({ bucket, key, upload, part: number, bytes: end - start }, body, signal))
        .etag;
    } catch (error) {
      progress(-sent, false);
      throw error;
    }
  });
}

/** Conditions are judged when all is there; what cannot hold is better known before. */
async function judge({ store, bucket, key, conditions }: UploadOptions): Promise<void> {
  const { ifMatch, ifNoneMatch } = conditions;
  if (ifMatch === undefined && ifNoneMatch === undefined) return;
  const etag = await etagOf(store, bucket, key), name = nameOf({ bucket, key });
  if (ifNoneMatch !== undefined && etag !== null) {
    throw new ObjectError("precondition", `There is an object "${name}" already`);
  }
  if (ifMatch !== undefined && (etag === null || !ifMatch.includes(etag))) {
    const found = etag === null ? "there is none" : `it has "${etag}"`;
    throw new ObjectError(
      "precondition",
      `"${name}" was to have the ETag "${ifMatch.join('", "')}", and ${found}`,
    );
  }
}

async function etagOf(store: ObjectStore, bucket: string, key: string): Promise<string | null> {
  try {
    return (await store.head({ bucket, key })).version.etag;
  } catch (error) {
    if (error instanceof ObjectError && (error.problem === "no-such-key" || error.problem === "deleted")) {
      return null;
    }
    throw error;
  }
}

/** The newest upload of this key that was to become the same object. */
async function unfinished(options: UploadOptions): Promise<Upload | null> {
  const { store, bucket, key, owner, metadata, tags } = options;
  const { uploads } = await store.listUploads({ bucket, prefix: key, limit: PAGE });
  const wanted = JSON.stringify([owner, metadata, tags]);
  return uploads
    .filter((upload) => {
      return upload.key === key && JSON.stringify([upload.owner, upload.metadata, upload.tags]) === wanted;
    })
    .reduce<Upload | null>(
      (newest, upload) => newest !== null && newest.startedMs > upload.startedMs ? newest : upload,
      null,
    );
}

async function partsOf({ store, bucket, key }: UploadOptions, upload: string): Promise<Map<number, Part>> {
  const known = new Map<number, Part>();
  for (let after: number | null = 0; after !== null;) {
    const { parts, next }: { parts: Part[]; next: number | null } = await store.listParts({
      bucket,
      key,
      upload,
      after,
      limit: PAGE,
    });
    for (const part of parts) known.set(part.number, part);
    after = next;
  }
  return known;
}

async function md5Of(file: LocalFile, start: number, end: number): Promise<string> {
  const hash = createHash("md5");
  for await (const chunk of fileBytes(file, start, end)) hash.update(chunk);
  return hash.digest("hex");
}

export async function* counted(
  body: AsyncIterable<Uint8Array>,
  progress: CountBytes,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    yield chunk;
    progress(chunk.length, false);
  }
}
