/** Copies, of whole objects and into parts, which the store makes without the bytes going through the client. */
import type { GetOptions, Pair } from "../../core/objects/types.ts";
import { ObjectError } from "../../core/objects/types.ts";
import { type Context, type Handler, patiently } from "./answers.ts";
import type { Call } from "./call.ts";
import { readConditions, readRange, readWriteConditions } from "./conditions.ts";
import { isoDate, percentDecodeText } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import {
  checksumElements,
  quote,
  readMetadata,
  readTagHeader,
  setVersion,
  sortPairs,
  versionId,
} from "./metadata.ts";
import { storedChecksums } from "./checksums.ts";
import { xml } from "./xml.ts";

/** "/bucket/key?versionId=…", percent-encoded, the first slash or not. */
export function readSource(text: string): { bucket: string; key: string; version: string | undefined } {
  const at = text.lastIndexOf("?versionId=");
  const path = percentDecodeText(at < 0 ? text : text.slice(0, at));
  const version = at < 0 ? null : percentDecodeText(text.slice(at + "?versionId=".length));
  const [, bucket, key] = /^\/?([^/]+)\/(.+)$/s.exec(path ?? "") ?? [];
  if (bucket === undefined || key === undefined || version === "") {
    throw new S3Error(
      "InvalidArgument",
      "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
    );
  }
  return { bucket, key, version: version ?? undefined };
}

export const copyObject: Handler = (context) => {
  const { call, requestId } = context;
  const { headers } = call.request, source = readSource(call.header("x-amz-copy-source") ?? "");
  const replacesMetadata = readDirective(call, "x-amz-metadata-directive");
  const replacesTags = readDirective(call, "x-amz-tagging-directive");
  const metadata = readMetadata(headers), tags = readTagHeader(headers);
  if (
    source.bucket === call.bucket && source.key === call.key && source.version === undefined &&
    !replacesMetadata
  ) {
    throw new S3Error(
      "InvalidRequest",
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata",
    );
  }
  return patiently(copy(), { requestId, resource: call.path });

  async function copy() {
    const from = await pin(context, source);
    const version = await judgedAsSource(() =>
      context.store.copy(from.options, {
        ...{ bucket: call.bucket, key: call.key, owner: call.owner },
        conditions: readWriteConditions(headers),
        // What was verified of the bytes stays true of them.
        ...(replacesMetadata ? { metadata: sortPairs([...metadata, ...from.checksums]) } : {}),
        ...(replacesTags ? { tags } : {}),
      }, call.signal)
    );
    const answer = sourceHeaders(from.version);
    setVersion(answer, version, null);
    return {
      root: xml("CopyObjectResult", [
        xml("LastModified", isoDate(version.modifiedMs)),
        xml("ETag", quote(version.etag)),
        ...checksumElements(version.metadata),
      ]),
      headers: answer,
    };
  }
};

export const copyPart: Handler = (context) => {
  const { call, requestId } = context, source = readSource(call.header("x-amz-copy-source") ?? "");
  const upload = call.parameter("uploadId") ?? "", part = call.whole("partNumber", 1, 10_000);
  const rangeText = call.header("x-amz-copy-source-range"), range = readRange(rangeText);
  if (part === null) throw new S3Error("InvalidArgument", "There is no partNumber");
  if (rangeText !== null && (range?.kind !== "from" || range.end === null)) {
    throw new S3Error(
      "InvalidArgument",
      "The x-amz-copy-source-range value must be of the form bytes=first-last",
    );
  }
  return patiently(copy(part), { requestId, resource: call.path });

  async function copy(number: number) {
    const from = await pin(context, source);
    const copied = await judgedAsSource(() =>
      context.store.copyPart(
        { ...from.options, ...(range === null ? {} : { range }) },
        { bucket: call.bucket, key: call.key, upload, part: number },
        call.signal,
      )
    );
    return {
      root: xml("CopyPartResult", [
        xml("LastModified", isoDate(copied.modifiedMs)),
        xml("ETag", quote(copied.etag)),
      ]),
      headers: sourceHeaders(from.version),
    };
  }
};

/** True: REPLACE. */
function readDirective(call: Call, name: string): boolean {
  const directive = call.header(name) ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE") {
    throw new S3Error("InvalidArgument", `${name} is COPY or REPLACE`);
  }
  return directive === "REPLACE";
}

interface Pinned {
  readonly options: GetOptions;
  /** As it is named to the client; null: its bucket keeps no versions. */
  readonly version: string | null;
  readonly checksums: readonly Pair[];
}

/** The source as it is now, so that what is said of it is said of what is copied. */
async function pin({ call, store }: Context, source: ReturnType<typeof readSource>): Promise<Pinned> {
  const conditions = readConditions(call.request.headers, "x-amz-copy-source-");
  const { version } = await judgedAsSource(() => store.head({ ...source, conditions }));
  return {
    options: {
      ...source,
      version: version.isNull ? source.version : version.id,
      conditions: { ifMatch: [version.etag] },
    },
    version: version.isNull && source.version === undefined ? null : versionId(version),
    checksums: storedChecksums(version.metadata),
  };
}

/** A copy has no "not modified": a condition on its source holds, or does not. */
async function judgedAsSource<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ObjectError && error.problem === "not-modified") {
      throw new S3Error("PreconditionFailed");
    }
    throw error;
  }
}

function sourceHeaders(version: string | null): Headers {
  return new Headers(version === null ? {} : { "x-amz-copy-source-version-id": version });
}
