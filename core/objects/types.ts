/** Objects as the catalog keeps them, and how the programs that work on them speak with the world. */
import type { Op, Response } from "../wire/requests.ts";
import type { Scheme } from "../wire/objects.ts";

/** `off`: one version of each key. `suspended`: what is written becomes the version "null", what is there stays. */
export type Versioning = "off" | "enabled" | "suspended";

export interface Bucket {
  /** 3 to 63 of a-z, 0-9, "-" and ".", as S3 has it. */
  readonly name: string;
  readonly createdMs: number;
  /** The access key that made it; "" in an open network. */
  readonly owner: string;
  /** null: up to three copies, as many as there are members. */
  readonly scheme: Scheme | null;
  readonly versioning: Versioning;
  readonly lifecycle: readonly LifecycleRule[];
  readonly cors: readonly CorsRule[];
  readonly tags: readonly Pair[];
}
export type Pair = readonly [name: string, value: string];

/** Days are whole; `date` in milliseconds since 1970. What is left out does not apply. */
export interface LifecycleRule {
  readonly id: string;
  readonly enabled: boolean;
  readonly prefix: string;
  readonly tags: readonly Pair[];
  /** Larger than and less than, in bytes. */
  readonly sizeMin: number | null;
  readonly sizeMax: number | null;
  readonly expireDays: number | null;
  readonly expireDateMs: number | null;
  /** Delete markers that hide nothing are removed. */
  readonly expireMarkers: boolean;
  readonly noncurrentDays: number | null;
  /** As many of the newest noncurrent versions are kept. */
  readonly noncurrentKept: number | null;
  readonly abortUploadDays: number | null;
}
export interface CorsRule {
  readonly id: string;
  readonly origins: readonly string[];
  readonly methods: readonly string[];
  readonly headers: readonly string[];
  readonly expose: readonly string[];
  readonly maxAgeSeconds: number | null;
}

/** A run of chunks under one secret key: chunk n is bytes n × chunkBytes up to the next, the last one shorter. */
export interface Segment {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Of ChaCha20-Poly1305, 32 bytes. */
  readonly key: Uint8Array;
  readonly bytes: number;
  readonly chunkBytes: number;
  readonly scheme: Scheme;
}

/** inline: small values. segments: as many as go into one row; with `pages` more than 0, they are in that many rows instead. */
export type Content =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | { readonly kind: "segments"; readonly segments: readonly Segment[]; readonly pages: number };

export interface ObjectVersion {
  /** Names it among the versions of its key: see versionRow(). */
  readonly id: string;
  /** Counts the versions of one key; the newest has the highest. */
  readonly sequence: number;
  /** Shown as version "null": written while versions were not kept. */
  readonly isNull: boolean;
  /** A delete marker: no content. */
  readonly deleted: boolean;
  readonly bytes: number;
  /** Hexadecimal MD5 of the content; of several parts: MD5 of their MD5s, "-", their number. Without quotes. */
  readonly etag: string;
  readonly modifiedMs: number;
  readonly owner: string;
  /** "content-type", "x-amz-meta-…": names in lower case, sorted. */
  readonly metadata: readonly Pair[];
  readonly tags: readonly Pair[];
  readonly content: Content;
  /** Bytes of each part of a multipart upload; else empty. */
  readonly parts: readonly number[];
}

export interface Upload {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly startedMs: number;
  readonly owner: string;
  readonly metadata: readonly Pair[];
  readonly tags: readonly Pair[];
}
export interface Part {
  /** 1 to 10,000. */
  readonly number: number;
  readonly bytes: number;
  readonly etag: string;
  readonly modifiedMs: number;
  readonly segments: readonly Segment[];
}

// ---- programs

/**
 * Work on objects is written once, as generators that ask their driver for what they need: pure and synchronous, so that
 * the simulator runs the very programs that the command line and the S3 face run.
 */
export type Program<T> = Generator<Ask, T, Answer>;

export type Ask =
  /** Answered with a ticket at once; what comes of it is had with "wait". The answer to any op is a Response. */
  | { readonly kind: "begin"; readonly op: Op }
  /** Answered with the Response of that ticket. Each ticket is waited for once, or dropped. */
  | { readonly kind: "wait"; readonly ticket: number }
  /** Nobody will wait for it. */
  | { readonly kind: "drop"; readonly ticket: number }
  /** The next bytes of the body that is being written: exactly this many, fewer only at its end; Uint8Array. */
  | { readonly kind: "read"; readonly bytes: number }
  /** The next bytes of the body that is being read; answered when more can be taken. */
  | { readonly kind: "write"; readonly bytes: Uint8Array }
  /** From a cryptographic source; Uint8Array. */
  | { readonly kind: "random"; readonly bytes: number }
  /** Milliseconds since 1970. */
  | { readonly kind: "now" }
  | { readonly kind: "sleep"; readonly ms: number };

export type Answer = number | Response | Uint8Array | undefined;

/**
 * no-such-…: it is not there. deleted: the newest version is a delete marker. precondition: a condition does not hold.
 * not-modified: the caller's copy is the newest. range: nothing of the object lies there. too-small: the network has too
 * few members for the scheme, or a part too few bytes. unavailable: try again; nothing was lost. damaged: what is stored
 * is not what was written, or too little of it can be found.
 */
export type ObjectProblem =
  | "invalid"
  | "too-large"
  | "too-small"
  | "no-such-bucket"
  | "no-such-key"
  | "no-such-version"
  | "no-such-upload"
  | "deleted"
  | "bucket-exists"
  | "bucket-not-empty"
  | "precondition"
  | "not-modified"
  | "range"
  | "invalid-part"
  | "invalid-part-order"
  | "bad-digest"
  | "conflict"
  | "denied"
  | "no-space"
  | "unavailable"
  | "damaged";

export class ObjectError extends Error {
  override readonly name = "ObjectError";
  constructor(
    readonly problem: ObjectProblem,
    message: string,
    /** Where it is about one: the version, so that a delete marker can be named. */
    readonly version: ObjectVersion | null = null,
  ) {
    super(message);
  }
}

// ---- what is asked of the programs

export interface Conditions {
  /** ETags one of which it must have; "*": it must exist. */
  readonly ifMatch?: readonly string[] | undefined;
  /** ETags none of which it may have; "*": it must not exist. */
  readonly ifNoneMatch?: readonly string[] | undefined;
  readonly ifModifiedSinceMs?: number | undefined;
  readonly ifUnmodifiedSinceMs?: number | undefined;
}

export interface PutOptions {
  readonly bucket: string;
  readonly key: string;
  /** null: until the body ends. Otherwise a body of another length is refused. */
  readonly bytes: number | null;
  readonly owner?: string;
  readonly metadata?: readonly Pair[];
  readonly tags?: readonly Pair[];
  readonly conditions?: Conditions;
  /** Hexadecimal MD5 that the body must have. */
  readonly md5?: string | undefined;
  /** More metadata, known only when the body has ended: asked for once, then. Checksums come in trailers. */
  readonly late?: (() => readonly Pair[]) | undefined;
}

/** Bytes from `start` up to and with `end`; `last`: that many from the end. */
export type ByteRange =
  | { readonly kind: "from"; readonly start: number; readonly end: number | null }
  | { readonly kind: "last"; readonly bytes: number };

export interface GetOptions {
  readonly bucket: string;
  readonly key: string;
  readonly version?: string | undefined;
  readonly range?: ByteRange | undefined;
  /** One part of a multipart upload, from 1. Excludes `range`. */
  readonly part?: number | undefined;
  readonly conditions?: Conditions;
}

/** The part of an object that is asked for: `start` up to without `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface DeleteOptions {
  readonly bucket: string;
  readonly key: string;
  readonly version?: string | undefined;
  readonly owner?: string;
  readonly conditions?: Conditions;
}
export interface Deleted {
  /** There was something, or a marker was made. */
  readonly existed: boolean;
  /** The version that was removed, or the marker that was made; null: versions are not kept. */
  readonly version: string | null;
  readonly marker: boolean;
}

export interface ListOptions {
  readonly bucket: string;
  readonly prefix?: string;
  /** Keys that go on beyond the next delimiter are listed as one common prefix. */
  readonly delimiter?: string;
  /** Keys and prefixes after this one. */
  readonly after?: string;
  /** 1 to 1,000. */
  readonly limit: number;
}
export interface Listed {
  readonly objects: readonly { readonly key: string; readonly version: ObjectVersion }[];
  readonly prefixes: readonly string[];
  /** Where to go on (`after`); null at the end. A page may end early where much is deleted. */
  readonly next: string | null;
  /** Keys whose records cannot be read. */
  readonly damaged?: readonly string[];
}
export interface ListVersionsOptions extends ListOptions {
  /** With `after`: versions of that key after this one. */
  readonly afterVersion?: string;
}
export interface ListedVersions {
  readonly versions: readonly {
    readonly key: string;
    readonly newest: boolean;
    readonly version: ObjectVersion;
  }[];
  readonly prefixes: readonly string[];
  readonly next: { readonly key: string; readonly version: string | null } | null;
  readonly damaged?: readonly string[];
}
export interface ListedUploads {
  readonly uploads: readonly Upload[];
  readonly prefixes: readonly string[];
  readonly next: { readonly key: string; readonly upload: string } | null;
  readonly damaged?: readonly string[];
}
