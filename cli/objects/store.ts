/**
 * Objects for whoever uses them in the real world: the S3 face and the commands. One interface, over the programs of
 * core/objects; `openStore` (open_store.ts) makes one of any client of the network.
 */
import type {
  Bucket,
  Deleted,
  DeleteOptions,
  GetOptions,
  Listed,
  ListedUploads,
  ListedVersions,
  ListOptions,
  ListVersionsOptions,
  ObjectVersion,
  Pair,
  Part,
  PutOptions,
  Span,
  Upload,
  Versioning,
} from "../../core/objects/types.ts";
import type { Scheme } from "../../core/wire/objects.ts";

/** Bytes as they come. What a chunk is made of is not changed after it was handed over. */
export type Body = (AsyncIterable<Uint8Array> & Releasing) | ReadableStream<Uint8Array>;

export interface Releasing {
  /** This piece, whole as it was given, is not looked at any more. */
  release?(piece: Uint8Array): void;
}

export interface Got {
  readonly version: ObjectVersion;
  /** What of it the body is. */
  readonly span: Span;
  /** To be read to its end, or cancelled with return(). Throws ObjectError where it cannot go on. */
  readonly body: AsyncIterableIterator<Uint8Array>;
}

/** All reject with ObjectError; `signal` gives up. A `bucket` that is not there is "no-such-bucket" everywhere. */
export interface ObjectStore {
  buckets(): Promise<Bucket[]>;
  bucket(name: string): Promise<Bucket>;
  createBucket(
    name: string,
    options: { owner?: string; scheme?: Scheme | null; versioning?: Versioning },
  ): Promise<Bucket>;
  /** Changes what `change` names, whatever others change at the same time. Versioning never goes back to "off". */
  changeBucket(
    name: string,
    change: Partial<Pick<Bucket, "versioning" | "lifecycle" | "cors" | "tags">>,
  ): Promise<Bucket>;
  /** Only an empty one: without objects, versions and uploads. */
  deleteBucket(name: string): Promise<void>;

  put(options: PutOptions, body: Body, signal?: AbortSignal): Promise<ObjectVersion>;
  /** The newest version, or the one named. @throws ObjectError "deleted" with the marker */
  head(options: GetOptions): Promise<{ version: ObjectVersion; span: Span }>;
  get(options: GetOptions, signal?: AbortSignal): Promise<Got>;
  delete(options: DeleteOptions): Promise<Deleted>;
  /** Content and, unless others are given, metadata and tags of one version become the newest of another key. */
  copy(
    from: GetOptions,
    to: Omit<PutOptions, "bytes" | "md5">,
    signal?: AbortSignal,
  ): Promise<ObjectVersion>;
  setTags(options: GetOptions, tags: readonly Pair[]): Promise<ObjectVersion>;
  list(options: ListOptions): Promise<Listed>;
  listVersions(options: ListVersionsOptions): Promise<ListedVersions>;

  createUpload(options: Omit<PutOptions, "bytes" | "md5" | "conditions">): Promise<Upload>;
  upload(bucket: string, key: string, upload: string): Promise<Upload>;
  /** A part of the same number is replaced. */
  putPart(
    options: {
      bucket: string;
      key: string;
      upload: string;
      part: number;
      bytes: number | null;
      md5?: string | undefined;
    },
    body: Body,
    signal?: AbortSignal,
  ): Promise<Part>;
  copyPart(
    from: GetOptions,
    to: { bucket: string; key: string; upload: string; part: number },
    signal?: AbortSignal,
  ): Promise<Part>;
  listParts(
    options: { bucket: string; key: string; upload: string; after: number; limit: number },
  ): Promise<{ parts: Part[]; next: number | null }>;
  /** Parts as named, in rising order; all but the last have at least 5 MiB. What was not named is thrown away. */
  completeUpload(
    options: {
      bucket: string;
      key: string;
      upload: string;
      parts: readonly { number: number; etag: string }[];
      conditions?: PutOptions["conditions"];
      /** Added to the upload's own. */
      metadata?: readonly Pair[];
    },
  ): Promise<ObjectVersion>;
  abortUpload(bucket: string, key: string, upload: string): Promise<void>;
  listUploads(
    options: ListOptions & { afterUpload?: string },
  ): Promise<ListedUploads>;
}
