/** Objects: put, get, head, delete one or many, their tags and attributes. */
import { EMPTY_BYTES, release } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import {
  type ByteRange,
  type Deleted,
  type GetOptions,
  ObjectError,
  type ObjectVersion,
  type Pair,
  type Span,
} from "../../core/objects/types.ts";
import type { Got } from "../objects/store.ts";
import { type Context, empty, type Handler, streamResponse, xmlResponse } from "./answers.ts";
import type { Call } from "./call.ts";
import type { CheckedBody } from "./checked_body.ts";
import { readConditions, readRange, readWriteConditions, unquote } from "./conditions.ts";
import { headerValue, parseHttpDate } from "./encoding.ts";
import { asS3Error, S3Error } from "./errors.ts";
import {
  checksumElements,
  OBJECT_TAGS_MAX,
  objectHeaders,
  quote,
  readMetadata,
  readTagHeader,
  readTagSet,
  setChecksums,
  setVersion,
  tagSet,
} from "./metadata.ts";
import { malformed, optional, type Xml, xml } from "./xml.ts";

export const putObject: Handler = async ({ call, store }) => {
  const { headers } = call.request, body = call.body();
  const metadata = readMetadata(headers), tags = readTagHeader(headers);
  const version = await reading(body, () =>
    store.put(
      {
        ...{ bucket: call.bucket, key: call.key, owner: call.owner, metadata, tags },
        bytes: body.bytes,
        conditions: readWriteConditions(headers),
        md5: body.md5,
        late: () => body.verified,
      },
      body,
      call.signal,
    ));
  const answer = new Headers({ etag: quote(version.etag) });
  setChecksums(answer, body.verified);
  setVersion(answer, version, null);
  return empty(200, answer);
};

/** What is wrong with a body is told as it was found, whatever the store made of it. */
export async function reading<T>(body: CheckedBody, work: () => Promise<T>): Promise<T> {
  try {
    await body.begin();
    return await work();
  } catch (error) {
    throw body.failure ?? error;
  }
}

/** GET and HEAD. */
export const getObject: Handler = async (context) => {
  const { call, store } = context, { headers } = call.request;
  const part = call.whole("partNumber", 1, 10_000);
  const asked = readRange(call.header("range")), same = asked === null ? null : await sameAs(context);
  if (part !== null && headers.has("range")) {
    throw new S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter");
  }
  const conditions = readConditions(headers),
    existing = part === null ? null : await existingPart(context, part);
  const find = async (range: ByteRange | null, etag?: string) => {
    const options: GetOptions = {
      bucket: call.bucket,
      key: call.key,
      version: call.version,
      conditions: etag === undefined || isOther(conditions.ifMatch, etag)
        ? conditions
        : { ...conditions, ifMatch: [etag] },
      ...(range === null ? {} : { range }),
      ...(existing === null ? {} : { part: existing }),
    };
    const got: { version: ObjectVersion; span: Span; body?: Got["body"] } = await explained(
      call,
      () => call.isHead ? store.head(options) : store.get(options, call.signal),
    );
    return { ...got, range };
  };
  const got = same === null ? await find(asked) : same === "changed"
    ? await find(null)
    // A part of another content would be joined to what the client has.
    : await find(asked, same.etag).catch((error) => {
      if (!isChanged(error) || conditions.ifMatch !== undefined) throw error;
      return find(null);
    });
  const { range } = got;
  const { version, span } = got, answer = objectHeaders(version, call);
  const isPart = range !== null || part !== null;
  answer.set("content-length", String(span.end - span.start));
  if (isPart && version.bytes > 0) {
    answer.set("content-range", `bytes ${span.start}-${span.end - 1}/${version.bytes}`);
  }
  if (part !== null && version.parts.length > 0) {
    answer.set("x-amz-mp-parts-count", String(version.parts.length));
  }
  if (!isPart && call.header("x-amz-checksum-mode")?.toUpperCase() === "ENABLED") {
    setChecksums(answer, version.metadata);
  }
  const status = isPart && version.bytes > 0 ? 206 : 200;
  const init = { status, headers: answer };
  if (got.body === undefined) return new Response(null, init);
  const bytes = span.end - span.start;
  // Streams cost more than the bytes where these are few.
  if (bytes <= LIMITS.s3WholeBytesMax) return new Response(await allOf(got.body, bytes), init);
  return streamResponse(pulled(got.body), init);
};

async function allOf(body: Got["body"], bytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const all = new Uint8Array(bytes);
  let at = 0;
  for await (const piece of body) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Pulled by the client: what it does not take is not read; when it goes away, reading ends. */
function pulled(body: Got["body"]): UnderlyingDefaultSource<Uint8Array> {
  let sent = EMPTY_BYTES;
  return {
    async pull(controller) {
      // The server has taken what was there before it asks for more, and holds on to the memory as long as it needs it.
      release(sent);
      sent = EMPTY_BYTES;
      const { done, value } = await body.next();
      if (!done) sent = value;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await body.return?.();
    },
  };
}

/** Of a range that is asked for only if the object is still the same (If-Range): that ETag, or that it is not; null: of any. */
async function sameAs({ call, store }: Context): Promise<{ readonly etag: string } | "changed" | null> {
  const same = call.header("if-range");
  if (same === null) return null;
  const { version } = await store.head({ bucket: call.bucket, key: call.key, version: call.version });
  const date = parseHttpDate(same);
  const isSame = date === null
    ? unquote(same) === version.etag
    : Math.floor(version.modifiedMs / 1000) * 1000 === date;
  return isSame ? { etag: version.etag } : "changed";
}

/** What the client itself wants to be matched is another. */
function isOther(ifMatch: readonly string[] | undefined, etag: string): boolean {
  return ifMatch !== undefined && !ifMatch.includes("*") && !ifMatch.includes(etag);
}
function isChanged(error: unknown): boolean {
  return error instanceof ObjectError && error.problem === "precondition";
}

/** The first part of what was not uploaded in parts is all of it. */
async function existingPart({ call, store }: Context, part: number): Promise<number | undefined> {
  const { version } = await store.head({ bucket: call.bucket, key: call.key, version: call.version });
  if (part > Math.max(1, version.parts.length)) throw new S3Error("InvalidPartNumber");
  return version.parts.length === 0 ? undefined : part;
}

/** Refusals of a read tell what was found: which marker hides it, how long it is, that the client's copy is the newest. */
async function explained<T>(call: Call, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ObjectError) || error.version === null) throw error;
    const { problem, version } = error, headers = new Headers();
    if (problem === "deleted") {
      setVersion(headers, version, call);
      headers.set("x-amz-delete-marker", "true");
      // A marker that is asked for by name cannot be read at all.
      const named = call.parameter("versionId") !== null;
      if (named) headers.set("allow", "DELETE");
      throw new S3Error(named ? "MethodNotAllowed" : "NoSuchKey", undefined, [["Key", call.key]], [
        ...headers,
      ]);
    }
    if (problem === "not-modified") {
      const kept = [...objectHeaders(version, call)]
        .filter(([name]) =>
          ["etag", "last-modified", "cache-control", "expires", "x-amz-version-id"].includes(name)
        );
      throw new S3Error("NotModified", undefined, [], kept);
    }
    if (problem === "range") {
      throw new S3Error("InvalidRange", undefined, [["ActualObjectSize", String(version.bytes)]], [
        ["content-range", `bytes */${version.bytes}`],
      ]);
    }
    throw error;
  }
}

export const deleteObject: Handler = async ({ call, store }) => {
  const { ifMatch } = readConditions(call.request.headers);
  const deleted = await store.delete({
    ...{ bucket: call.bucket, key: call.key, version: call.version, owner: call.owner },
    ...(ifMatch === undefined ? {} : { conditions: { ifMatch } }),
  });
  const headers = new Headers();
  // The one that was asked for, which may be anything.
  const version = headerValue(deleted.version ?? "");
  if (version !== null && version !== "") headers.set("x-amz-version-id", version);
  if (deleted.marker) headers.set("x-amz-delete-marker", "true");
  return empty(204, headers);
};

// ---- many at once

const DELETES_MAX = 1000;
/** Deletes of one request under way. */
const DELETES_AT_ONCE = 16;

export const deleteObjects: Handler = async ({ call, store }) => {
  const document = (await call.document("Delete", LIMITS.s3LongXmlBytesMax)).allowing("Object", "Quiet");
  const quiet = document.textOf("Quiet")?.trim() === "true", objects = document.all("Object");
  if (objects.length === 0 || objects.length > DELETES_MAX) {
    throw malformed(`There are 1 to ${DELETES_MAX} objects`);
  }
  const asked = objects.map((object) => {
    const key = object.allowing("Key", "VersionId", "ETag", "LastModifiedTime", "Size").textOf("Key");
    if (key === null || key === "") throw malformed("An <Object> has a <Key>");
    if (object.one("LastModifiedTime") !== null || object.one("Size") !== null) {
      throw new S3Error("NotImplemented", "The only condition of a delete is its <ETag>");
    }
    const etag = object.textOf("ETag"), version = object.textOf("VersionId");
    return { key, etag, version: version === "" ? null : version };
  });
  await store.bucket(call.bucket);
  const results: Xml[][] = asked.map(() => []);
  let next = 0;
  const worker = async () => {
    while (next < asked.length && !call.signal.aborted) {
      const at = next++, object = asked[at];
      if (object !== undefined) results[at] = await deleteOne(object);
    }
  };
  const deleteOne = async ({ key, etag, version }: typeof asked[number]): Promise<Xml[]> => {
    const named = [xml("Key", key), ...optional("VersionId", version)];
    try {
      const deleted = await store.delete({
        ...{ bucket: call.bucket, key, owner: call.owner, version: version ?? undefined },
        ...(etag === null ? {} : { conditions: { ifMatch: [unquote(etag)] } }),
      });
      return quiet ? [] : [xml("Deleted", [...named, ...deletedElements(deleted)])];
    } catch (error) {
      const { code, message } = asS3Error(error);
      return [xml("Error", [...named, xml("Code", code), xml("Message", message)])];
    }
  };
  await Promise.all(Array.from({ length: DELETES_AT_ONCE }, worker));
  return xmlResponse(xml("DeleteResult", results.flat()));
};

function deletedElements({ marker, version }: Deleted): Xml[] {
  return marker ? [xml("DeleteMarker", true), ...optional("DeleteMarkerVersionId", version)] : [];
}

// ---- tags

export const getTags: Handler = async ({ call, store }) => {
  const { version } = await explained(
    call,
    () => store.head({ bucket: call.bucket, key: call.key, version: call.version }),
  );
  return xmlResponse(xml("Tagging", [tagSet(version.tags)]), versionHeader(version, call));
};

const setTags = async ({ call, store }: Context, tags: readonly Pair[]): Promise<Headers> =>
  versionHeader(
    await store.setTags({ bucket: call.bucket, key: call.key, version: call.version }, tags),
    call,
  );

export const putTags: Handler = async (context) => {
  const tags = readTagSet(await context.call.document("Tagging"), OBJECT_TAGS_MAX);
  return empty(200, await setTags(context, tags));
};

export const deleteTags: Handler = async (context) => empty(204, await setTags(context, []));

function versionHeader(version: ObjectVersion, call: Call): Headers {
  const headers = new Headers();
  setVersion(headers, version, call);
  return headers;
}

// ---- attributes

const ATTRIBUTES = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

export const getAttributes: Handler = async ({ call, store }) => {
  const asked = (call.header("x-amz-object-attributes") ?? "").split(",").map((name) => name.trim());
  if (asked.some((name) => !ATTRIBUTES.includes(name))) {
    throw new S3Error("InvalidArgument", `x-amz-object-attributes names some of ${ATTRIBUTES.join(", ")}`);
  }
  const { version } = await explained(call, () =>
    store.head({
      ...{ bucket: call.bucket, key: call.key, version: call.version },
      conditions: readConditions(call.request.headers),
    }));
  const after = Number(call.header("x-amz-part-number-marker") ?? 0);
  const max = Math.min(1000, Number(call.header("x-amz-max-parts") ?? 1000));
  if (!Number.isSafeInteger(after) || !Number.isSafeInteger(max) || after < 0 || max < 0) {
    throw new S3Error("InvalidArgument", "x-amz-max-parts and x-amz-part-number-marker are whole numbers");
  }
  const parts = version.parts.slice(after, after + max), checksums = checksumElements(version.metadata);
  const elements: { readonly [name: string]: Xml[] } = {
    ETag: [xml("ETag", version.etag)],
    Checksum: checksums.length === 0 ? [] : [xml("Checksum", checksums)],
    ObjectParts: version.parts.length === 0 ? [] : [
      xml("ObjectParts", [
        xml("PartsCount", version.parts.length),
        xml("PartNumberMarker", after),
        xml("NextPartNumberMarker", after + parts.length),
        xml("MaxParts", max),
        xml("IsTruncated", after + parts.length < version.parts.length),
        ...parts.map((bytes, at) => xml("Part", [xml("PartNumber", after + at + 1), xml("Size", bytes)])),
      ]),
    ],
    StorageClass: [xml("StorageClass", "STANDARD")],
    ObjectSize: [xml("ObjectSize", version.bytes)],
  };
  const headers = versionHeader(version, call);
  headers.set("last-modified", new Date(version.modifiedMs).toUTCString());
  return xmlResponse(
    xml(
      "GetObjectAttributesResponse",
      ATTRIBUTES.flatMap((name) => asked.includes(name) ? elements[name] ?? [] : []),
    ),
    headers,
  );
};
