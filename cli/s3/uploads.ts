/** Multipart uploads. */
import { LIMITS } from "../../core/base/limits.ts";
import { ObjectError, type Pair } from "../../core/objects/types.ts";
import { type Context, empty, type Handler, patiently, xmlResponse } from "./answers.ts";
import { ownerElement } from "./buckets.ts";
import type { Call } from "./call.ts";
import {
  type Algorithm,
  ALGORITHMS,
  CHECKSUM_PREFIX,
  CHECKSUM_TYPE,
  checksumElement,
  type ChecksumType,
  combineChecksums,
  parseAlgorithm,
  parseChecksum,
} from "./checksums.ts";
import { readWriteConditions, unquote } from "./conditions.ts";
import { isoDate, parseWhole, uriEncode } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import {
  checksumElements,
  quote,
  readMetadata,
  readTagHeader,
  setChecksums,
  setVersion,
  sortPairs,
} from "./metadata.ts";
import { reading } from "./objects.ts";
import { type Element, malformed, optional, type Xml, xml } from "./xml.ts";

const PARTS_MAX = 10_000;
/** Kept with an upload, so that its end knows; the second is the type that stays with the object. */
const ALGORITHM_HEADER = "x-amz-checksum-algorithm";

export const createUpload: Handler = async ({ call, store }) => {
  const { headers } = call.request, metadata = readMetadata(headers), tags = readTagHeader(headers);
  const name = headers.get(ALGORITHM_HEADER), algorithm = name === null ? null : parseAlgorithm(name);
  if (name !== null && algorithm === null) {
    throw new S3Error("InvalidRequest", "Checksum algorithm provided is unsupported");
  }
  const type = algorithm === null
    ? null
    : readType(headers) ?? (algorithm === "crc64nvme" ? "FULL_OBJECT" : "COMPOSITE");
  const upload = await store.createUpload({
    ...{ bucket: call.bucket, key: call.key, owner: call.owner, tags },
    metadata: sortPairs([
      ...metadata,
      ...(algorithm === null ? [] : [[ALGORITHM_HEADER, algorithm.toUpperCase()] as const]),
      ...(type === null ? [] : [[CHECKSUM_TYPE, type] as const]),
    ]),
  });
  const answer = new Headers();
  if (algorithm !== null) answer.set(ALGORITHM_HEADER, algorithm.toUpperCase());
  if (type !== null) answer.set(CHECKSUM_TYPE, type);
  return xmlResponse(
    xml("InitiateMultipartUploadResult", [
      xml("Bucket", call.bucket),
      xml("Key", call.key),
      xml("UploadId", upload.id),
    ]),
    answer,
  );
};

export const putPart: Handler = async ({ call, store }) => {
  const body = call.body();
  const part = await reading(body, () =>
    store.putPart(
      {
        ...{ bucket: call.bucket, key: call.key, upload: uploadId(call), part: partNumber(call) },
        bytes: body.bytes,
        md5: body.md5,
      },
      body,
      call.signal,
    ));
  const answer = new Headers({ etag: quote(part.etag) });
  setChecksums(answer, body.verified.filter(([name]) => name !== CHECKSUM_TYPE));
  return empty(200, answer);
};

export const abortUpload: Handler = async ({ call, store }) => {
  await store.abortUpload(call.bucket, call.key, uploadId(call));
  return empty();
};

export const listParts: Handler = async ({ call, store }) => {
  const after = call.whole("part-number-marker", 0, 2_147_483_647) ?? 0;
  const limit = Math.min(1000, call.whole("max-parts", 0, 2_147_483_647) ?? 1000), id = uploadId(call);
  const encodes = call.parameter("encoding-type") === "url";
  const upload = await store.upload(call.bucket, call.key, id);
  const { parts, next } = limit === 0
    ? { parts: [], next: null }
    : await store.listParts({ bucket: call.bucket, key: call.key, upload: id, after, limit });
  return xmlResponse(xml("ListPartsResult", [
    xml("Bucket", call.bucket),
    xml("Key", encodes ? uriEncode(call.key, true) : call.key),
    xml("UploadId", id),
    ownerElement("Initiator", upload.owner),
    ownerElement("Owner", upload.owner),
    xml("StorageClass", "STANDARD"),
    xml("PartNumberMarker", after),
    ...optional("NextPartNumberMarker", next ?? parts.at(-1)?.number),
    xml("MaxParts", limit),
    xml("IsTruncated", next !== null),
    ...parts.map((part) =>
      xml("Part", [
        xml("PartNumber", part.number),
        xml("LastModified", isoDate(part.modifiedMs)),
        xml("ETag", quote(part.etag)),
        xml("Size", part.bytes),
      ])
    ),
  ]));
};

// ---- the end of an upload

interface NamedPart {
  readonly number: number;
  readonly etag: string;
  readonly checksums: ReadonlyMap<Algorithm, Uint8Array<ArrayBuffer>>;
}

export const completeUpload: Handler = async (context) => {
  const { call, store, requestId } = context;
  const document = await call.document("CompleteMultipartUpload", LIMITS.s3LongXmlBytesMax);
  const parts = document.allowing("Part").all("Part").map(readPart);
  if (parts.length === 0 || parts.length > PARTS_MAX) throw malformed(`There are 1 to ${PARTS_MAX} parts`);
  if (parts.some(({ number }, at) => at > 0 && number <= (parts[at - 1]?.number ?? 0))) {
    throw new S3Error("InvalidPartOrder");
  }
  const id = uploadId(call), conditions = readWriteConditions(call.request.headers);
  const upload = await whileThere(store.upload(call.bucket, call.key, id));
  return patiently(complete(), { requestId, resource: call.path });

  async function complete(): Promise<{ root: Xml; headers: Headers }> {
    const metadata = upload === null
      ? null
      : await whileThere(wholeChecksum(context, new Map(upload.metadata), id, parts));
    const version = await store.completeUpload({
      ...{ bucket: call.bucket, key: call.key, upload: id, conditions },
      parts: parts.map(({ number, etag }) => ({ number, etag })),
      metadata: metadata ?? [],
    });
    const headers = new Headers();
    setVersion(headers, version, null);
    return {
      root: xml("CompleteMultipartUploadResult", [
        xml("Location", `http://${call.host}${call.path}`),
        xml("Bucket", call.bucket),
        xml("Key", call.key),
        xml("ETag", quote(version.etag)),
        ...checksumElements(metadata ?? version.metadata),
      ]),
      headers,
    };
  }
};

/** null: the upload has ended. Who completes it twice, having had no answer, is told by the store what came of it. */
async function whileThere<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof ObjectError && error.problem === "no-such-upload") return null;
    throw error;
  }
}

function readPart(part: Element): NamedPart {
  part.allowing("PartNumber", "ETag", "Size", ...ALGORITHMS.map(checksumElement));
  const number = parseWhole(part.textOf("PartNumber")?.trim() ?? "", 1, PARTS_MAX),
    etag = part.textOf("ETag");
  if (number === null || etag === null) throw malformed("A <Part> has a <PartNumber> and an <ETag>");
  const checksums = new Map<Algorithm, Uint8Array<ArrayBuffer>>();
  for (const algorithm of ALGORITHMS) {
    const text = part.textOf(checksumElement(algorithm));
    if (text !== null && text !== "") checksums.set(algorithm, parseChecksum(algorithm, text.trim()));
  }
  return { number, etag: unquote(etag), checksums };
}

/**
 * What the object's checksum is by those of the parts, which the client tells again; none where it does not. One that is
 * given for the whole must be the same.
 */
async function wholeChecksum(
  { call, store }: Context,
  upload: ReadonlyMap<string, string>,
  id: string,
  parts: readonly NamedPart[],
): Promise<Pair[]> {
  const { headers } = call.request;
  const algorithm = parseAlgorithm(upload.get(ALGORITHM_HEADER) ?? "") ??
    ALGORITHMS.find((name) => headers.has(`${CHECKSUM_PREFIX}${name}`)) ?? null;
  if (algorithm === null) return [];
  const type: ChecksumType = readType(headers) ??
    (upload.get(CHECKSUM_TYPE) === "FULL_OBJECT" || !upload.has(CHECKSUM_TYPE) ? "FULL_OBJECT" : "COMPOSITE");
  const sizes = new Map<number, number>();
  if (type === "FULL_OBJECT") {
    for (let after: number | null = 0; after !== null;) {
      const page: Awaited<ReturnType<typeof store.listParts>> = await store.listParts({
        ...{ bucket: call.bucket, key: call.key, upload: id },
        ...{ after, limit: 1000 },
      });
      for (const part of page.parts) sizes.set(part.number, part.bytes);
      after = page.next;
    }
  }
  const known = parts.flatMap((part) => {
    const checksum = part.checksums.get(algorithm), bytes = type === "COMPOSITE" ? 0 : sizes.get(part.number);
    return checksum === undefined || bytes === undefined ? [] : [{ checksum, bytes }];
  });
  const name = `${CHECKSUM_PREFIX}${algorithm}`, given = headers.get(name);
  if (known.length < parts.length) return given === null ? [] : [[name, given], [CHECKSUM_TYPE, type]];
  const made = combineChecksums(algorithm, type, known);
  if (given !== null && given !== made && given !== made.replace(/-\d+$/, "")) {
    throw new S3Error("BadDigest", `The ${algorithm.toUpperCase()} given is not that of the parts`);
  }
  return [[name, made], [CHECKSUM_TYPE, type]];
}

function readType(headers: Headers): ChecksumType | null {
  const type = headers.get(CHECKSUM_TYPE);
  if (type === null || type === "FULL_OBJECT" || type === "COMPOSITE") return type;
  throw new S3Error("InvalidRequest", `"${type}" is no ${CHECKSUM_TYPE}`);
}

function uploadId(call: Call): string {
  const id = call.parameter("uploadId") ?? "";
  if (id === "" || id.length > 256) throw new S3Error("NoSuchUpload");
  return id;
}

function partNumber(call: Call): number {
  const number = call.whole("partNumber", 1, PARTS_MAX);
  if (number === null) {
    throw new S3Error("InvalidArgument", `partNumber must be a whole number from 1 to ${PARTS_MAX}`);
  }
  return number;
}
