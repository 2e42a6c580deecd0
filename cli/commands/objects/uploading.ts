/**
 * Files into objects. A large file goes in parts, several at a time, and goes on where it was broken off: what an
 * unfinished upload of the same key has is compared with the file, and parts whose size and MD5 are the file's are not
 * sent again. So nothing about a transfer is kept outside of the network, and a file that has changed is noticed.
 */
import { createHash } from "node:crypto";
import type { Conditions, ObjectVersion, Pair, Part, Upload } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { fileBytes } from "./files.ts";

const MiB = 1024 * 1024;
const PARTS_MAX = 10_000;
/** Parts of this key that one page of the list names. */
const PAGE = 1000;

export interface UploadOptions {
  readonly store: ObjectStore;
  readonly bucket: string;
  readonly key: string;
  readonly path: string;
  readonly bytes: number;
  readonly metadata: readonly Pair[];
  readonly tags: readonly Pair[];
  readonly conditions: Conditions;
  /** Files of at least twice this go in parts of it. */
  readonly partBytes: number;
  /** Parts under way at once. */
  readonly parallel: number;
  /** False: begin anew, whatever is there. */
  readonly resume: boolean;
  /** Told as bytes are done; `kept`: they were there before. */
  readonly progress: (bytes: number, kept: boolean) => void;
}

export async function uploadFile(options: UploadOptions): Promise<ObjectVersion> {
  const { store, bucket, key, path, bytes, metadata, tags, conditions, partBytes, progress } = options;
  if (bytes >= 2 * partBytes) return await uploadInParts(options);
  const body = counted(fileBytes(path, 0, bytes), progress);
  return await store.put({ bucket, key, bytes, metadata, tags, conditions }, body);
}

async function uploadInParts(options: UploadOptions): Promise<ObjectVersion> {
  const { store, bucket, key, bytes, conditions, metadata, tags } = options;
  const partBytes = Math.max(options.partBytes, Math.ceil(bytes / PARTS_MAX / MiB) * MiB);
  const parts = Math.ceil(bytes / partBytes);
  const before = options.resume ? await unfinished(options) : null;
  const upload = before?.id ?? (await store.createUpload({ bucket, key, metadata, tags })).id;
  const known = before === null ? new Map<number, Part>() : await partsOf(options, upload);
  const etags: string[] = [];
  let next = 0, failed = false;
  const one = async (index: number) => {
    const start = index * partBytes, end = Math.min(bytes, start + partBytes);
    const had = known.get(index + 1);
    if (
      had !== undefined && had.bytes === end - start && await md5Of(options.path, start, end) === had.etag
    ) {
      options.progress(end - start, true);
      etags[index] = had.etag;
      return;
    }
    const body = counted(fileBytes(options.path, start, end), options.progress);
    etags[index] =
      (await store.putPart({ bucket, key, upload, part: index + 1, bytes: end - start }, body)).etag;
  };
  await Promise.all(Array.from({ length: Math.min(options.parallel, parts) }, async () => {
    try {
      while (next < parts && !failed) await one(next++);
    } catch (error) {
      failed = true;
      throw error;
    }
  }));
  return await store.completeUpload({
    bucket,
    key,
    upload,
    parts: etags.map((etag, index) => ({ number: index + 1, etag })),
    conditions,
  });
}

/** The newest upload of this key that was to become the same object. */
async function unfinished({ store, bucket, key, metadata, tags }: UploadOptions): Promise<Upload | null> {
  const { uploads } = await store.listUploads({ bucket, prefix: key, limit: PAGE });
  const wanted = JSON.stringify([metadata, tags]);
  return uploads
    .filter((upload) => upload.key === key && JSON.stringify([upload.metadata, upload.tags]) === wanted)
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

async function md5Of(path: string, start: number, end: number): Promise<string> {
  const hash = createHash("md5");
  for await (const chunk of fileBytes(path, start, end)) hash.update(chunk);
  return hash.digest("hex");
}

export async function* counted(
  body: AsyncIterable<Uint8Array>,
  progress: (bytes: number, kept: boolean) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    yield chunk;
    progress(chunk.length, false);
  }
}
