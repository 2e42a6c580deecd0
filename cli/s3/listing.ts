/** Lists: of objects in two versions, of their versions, of uploads. */
import { Buffer } from "node:buffer";
import type { ObjectVersion } from "../../core/objects/types.ts";
import { type Handler, xmlResponse } from "./answers.ts";
import { ownerElement } from "./buckets.ts";
import type { Call } from "./call.ts";
import { storedChecksums } from "./checksums.ts";
import { isoDate, uriEncode, utf8OrNull } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import { quote, versionId } from "./metadata.ts";
import { optional, type Xml, xml } from "./xml.ts";

const LIMIT = 1000;

/** What all lists are asked with. */
interface Asked {
  readonly bucket: string;
  readonly prefix: string;
  readonly delimiter: string;
  /** 0 is asked for too, and answered with nothing. */
  readonly limit: number;
  readonly encodes: boolean;
  /** Keys as they go into the answer. */
  readonly text: (key: string) => string;
}

function readAsked(call: Call, limitName: string): Asked {
  const encoding = call.parameter("encoding-type");
  if (encoding !== null && encoding !== "url" && encoding !== "") {
    throw new S3Error("InvalidArgument", "Invalid Encoding Method specified in Request");
  }
  const encodes = encoding === "url";
  return {
    bucket: call.bucket,
    prefix: call.parameter("prefix") ?? "",
    delimiter: call.parameter("delimiter") ?? "",
    limit: Math.min(LIMIT, call.whole(limitName, 0, 2_147_483_647) ?? LIMIT),
    encodes,
    text: (key) => encodes ? uriEncode(key, true) : key,
  };
}

function toList(asked: Asked): { bucket: string; prefix: string; limit: number; delimiter?: string } {
  const { bucket, prefix, delimiter, limit } = asked;
  return { bucket, prefix, limit: Math.max(1, limit), ...(delimiter === "" ? {} : { delimiter }) };
}

function commonElements(asked: Asked): Xml[] {
  return [
    xml("Name", asked.bucket),
    xml("Prefix", asked.text(asked.prefix)),
    ...optional("Delimiter", asked.delimiter === "" ? null : asked.text(asked.delimiter)),
    ...optional("EncodingType", asked.encodes ? "url" : null),
  ];
}

function prefixElements(asked: Asked, prefixes: readonly string[]): Xml[] {
  return prefixes.map((prefix) => xml("CommonPrefixes", [xml("Prefix", asked.text(prefix))]));
}

function contentElements(key: string, version: ObjectVersion, showsOwner: boolean): Xml[] {
  const algorithms = storedChecksums(version.metadata)
    .flatMap(([name]) => name.endsWith("-type") ? [] : [name.slice(name.lastIndexOf("-") + 1).toUpperCase()]);
  return [
    xml("Key", key),
    xml("LastModified", isoDate(version.modifiedMs)),
    xml("ETag", quote(version.etag)),
    ...algorithms.map((name) => xml("ChecksumAlgorithm", name)),
    xml("Size", version.bytes),
    ...(showsOwner ? [ownerElement("Owner", version.owner)] : []),
    xml("StorageClass", "STANDARD"),
  ];
}

export const listObjects: Handler = ({ call, store }: ListContext) =>
  call.parameter("list-type") === "2" ? listObjectsV2({ call, store }) : listObjectsV1({ call, store });

type ListContext = Pick<Parameters<Handler>[0], "call" | "store">;

async function listObjectsV1({ call, store }: ListContext): Promise<Response> {
  const asked = readAsked(call, "max-keys"), marker = call.parameter("marker") ?? "";
  const listed = await store.list({ ...toList(asked), ...(marker === "" ? {} : { after: marker }) });
  const nothing = asked.limit === 0;
  return xmlResponse(xml("ListBucketResult", [
    ...commonElements(asked),
    xml("Marker", asked.text(marker)),
    xml("MaxKeys", asked.limit),
    xml("IsTruncated", !nothing && listed.next !== null),
    ...optional("NextMarker", nothing || listed.next === null ? null : asked.text(listed.next)),
    ...(nothing
      ? []
      : listed.objects.map(({ key, version }) =>
        xml("Contents", contentElements(asked.text(key), version, true))
      )),
    ...(nothing ? [] : prefixElements(asked, listed.prefixes)),
  ]));
}

async function listObjectsV2({ call, store }: ListContext): Promise<Response> {
  const asked = readAsked(call, "max-keys"), startAfter = call.parameter("start-after") ?? "";
  const token = call.parameter("continuation-token"), after = token === null ? startAfter : readToken(token);
  const showsOwner = call.parameter("fetch-owner") === "true";
  const listed = await store.list({ ...toList(asked), ...(after === "" ? {} : { after }) });
  const nothing = asked.limit === 0, objects = nothing ? [] : listed.objects;
  const prefixes = nothing ? [] : listed.prefixes;
  return xmlResponse(xml("ListBucketResult", [
    ...commonElements(asked),
    ...optional("StartAfter", startAfter === "" ? null : asked.text(startAfter)),
    ...optional("ContinuationToken", token),
    ...optional("NextContinuationToken", nothing || listed.next === null ? null : writeToken(listed.next)),
    xml("KeyCount", objects.length + prefixes.length),
    xml("MaxKeys", asked.limit),
    xml("IsTruncated", !nothing && listed.next !== null),
    ...objects.map(({ key, version }) =>
      xml("Contents", contentElements(asked.text(key), version, showsOwner))
    ),
    ...prefixElements(asked, prefixes),
  ]));
}

/** Where a list goes on, in characters that every client sends back as they are. */
function writeToken(after: string): string {
  return Buffer.from(after).toString("base64url");
}

function readToken(token: string): string {
  const after = /^[\w-]+$/.test(token) ? utf8OrNull(Buffer.from(token, "base64url")) : null;
  if (after === null) throw new S3Error("InvalidArgument", "The continuation token provided is incorrect");
  return after;
}

export const listVersions: Handler = async ({ call, store }) => {
  const asked = readAsked(call, "max-keys"), keyMarker = call.parameter("key-marker") ?? "";
  const versionMarker = call.parameter("version-id-marker") ?? "";
  if (versionMarker !== "" && keyMarker === "") {
    throw new S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker");
  }
  const listed = await store.listVersions({
    ...toList(asked),
    ...(keyMarker === "" ? {} : { after: keyMarker }),
    ...(versionMarker === "" ? {} : { afterVersion: versionMarker }),
  });
  const nothing = asked.limit === 0, next = nothing ? null : listed.next;
  return xmlResponse(xml("ListVersionsResult", [
    ...commonElements(asked),
    xml("KeyMarker", asked.text(keyMarker)),
    xml("VersionIdMarker", versionMarker),
    ...optional("NextKeyMarker", next === null ? null : asked.text(next.key)),
    ...optional("NextVersionIdMarker", next?.version),
    xml("MaxKeys", asked.limit),
    xml("IsTruncated", next !== null),
    ...(nothing ? [] : listed.versions.map(({ key, newest, version }) => {
      const [keyElement, ...rest] = contentElements(asked.text(key), version, true);
      const which = [xml("VersionId", versionId(version)), xml("IsLatest", newest)];
      if (!version.deleted) {
        return xml("Version", [...optional("Key", keyElement?.content), ...which, ...rest]);
      }
      return xml("DeleteMarker", [
        xml("Key", asked.text(key)),
        ...which,
        xml("LastModified", isoDate(version.modifiedMs)),
        ownerElement("Owner", version.owner),
      ]);
    })),
    ...(nothing ? [] : prefixElements(asked, listed.prefixes)),
  ]));
};

export const listUploads: Handler = async ({ call, store }) => {
  const asked = readAsked(call, "max-uploads"), keyMarker = call.parameter("key-marker") ?? "";
  const uploadMarker = keyMarker === "" ? "" : call.parameter("upload-id-marker") ?? "";
  const listed = await store.listUploads({
    ...toList(asked),
    ...(keyMarker === "" ? {} : { after: keyMarker }),
    ...(uploadMarker === "" ? {} : { afterUpload: uploadMarker }),
  });
  const nothing = asked.limit === 0, next = nothing ? null : listed.next;
  return xmlResponse(xml("ListMultipartUploadsResult", [
    xml("Bucket", asked.bucket),
    ...commonElements(asked).slice(1),
    xml("KeyMarker", asked.text(keyMarker)),
    xml("UploadIdMarker", uploadMarker),
    ...optional("NextKeyMarker", next === null ? null : asked.text(next.key)),
    ...optional("NextUploadIdMarker", next?.upload),
    xml("MaxUploads", asked.limit),
    xml("IsTruncated", next !== null),
    ...(nothing ? [] : listed.uploads.map((upload) =>
      xml("Upload", [
        xml("Key", asked.text(upload.key)),
        xml("UploadId", upload.id),
        ownerElement("Initiator", upload.owner),
        ownerElement("Owner", upload.owner),
        xml("StorageClass", "STANDARD"),
        xml("Initiated", isoDate(upload.startedMs)),
      ])
    )),
    ...(nothing ? [] : prefixElements(asked, listed.prefixes)),
  ]));
};
