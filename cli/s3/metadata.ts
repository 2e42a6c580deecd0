/** What is kept with an object and comes and goes in headers: its type and such, the user's own metadata, tags. */
import { LIMITS } from "../../core/base/limits.ts";
import { utf8Length } from "../../core/base/bytes.ts";
import type { ObjectVersion, Pair } from "../../core/objects/types.ts";
import type { Call } from "./call.ts";
import { CHECKSUM_PREFIX, storedChecksums } from "./checksums.ts";
import { headerText, headerValue, httpDate, percentDecodeText } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import { type Element, malformed, type Xml, xml } from "./xml.ts";

const SYSTEM = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-type",
  "expires",
] as const;
const USER = "x-amz-meta-";

/** From the headers of a put, sorted. @throws {S3Error} for what would have to be kept and cannot */
export function readMetadata(headers: Headers): Pair[] {
  refuseUnsupported(headers);
  const pairs: Pair[] = [];
  for (const name of SYSTEM) {
    let value = headers.get(name);
    if (value !== null && name === "content-encoding") {
      value = value.split(",").map((part) => part.trim()).filter((part) => part !== "aws-chunked").join(",");
    }
    if (value !== null && value !== "") pairs.push([name, headerText(value)]);
  }
  let bytes = 0;
  for (const [name, value] of headers) {
    if (!name.startsWith(USER) || name === USER) continue;
    const text = headerText(value);
    bytes += name.length - USER.length + utf8Length(text);
    pairs.push([name, text]);
  }
  if (bytes > LIMITS.s3MetadataBytesMax) throw new S3Error("MetadataTooLarge");
  return sortPairs(pairs);
}

export function sortPairs(pairs: readonly Pair[]): Pair[] {
  return [...pairs].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
}

/** What asks for something that is not done must not be taken as if it were. */
function refuseUnsupported(headers: Headers): void {
  checkAcl(headers);
  const storageClass = headers.get("x-amz-storage-class");
  if (storageClass !== null && storageClass !== "STANDARD") throw new S3Error("InvalidStorageClass");
  for (const [name] of headers) {
    if (name.startsWith("x-amz-server-side-encryption")) {
      throw new S3Error(
        "NotImplemented",
        "Objects are always encrypted, with the network's own keys: ask for nothing else",
      );
    }
    if (name.startsWith("x-amz-object-lock-") || name === "x-amz-website-redirect-location") {
      throw new S3Error("NotImplemented", `Space Opera does nothing with "${name}"`);
    }
  }
  if (headers.has("x-amz-write-offset-bytes")) {
    throw new S3Error("NotImplemented", "Nothing is appended to objects");
  }
}

/** Everything is private to those with rights: no other ACL can be given. */
export function checkAcl(headers: Headers): void {
  const acl = headers.get("x-amz-acl");
  if (acl !== null && acl !== "private" && acl !== "bucket-owner-full-control") {
    throw new S3Error(
      "NotImplemented",
      `The only ACL is "private": rights come from the network's access keys`,
    );
  }
  for (const [name] of headers) {
    if (name.startsWith("x-amz-grant-")) {
      throw new S3Error("NotImplemented", "Rights come from the network's access keys");
    }
  }
}

/** What goes out with an object; `overrides`: the response-… parameters. */
export function objectHeaders(version: ObjectVersion, call: Call): Headers {
  const headers = new Headers({
    "accept-ranges": "bytes",
    "content-type": "binary/octet-stream",
    "last-modified": httpDate(version.modifiedMs),
    "etag": quote(version.etag),
  });
  let missing = 0;
  for (const [name, text] of version.metadata) {
    const isUser = name.startsWith(USER), value = headerValue(text);
    if (!isUser && !(SYSTEM as readonly string[]).includes(name)) continue;
    if (value !== null && /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) headers.set(name, value);
    else if (isUser) missing++;
  }
  if (missing > 0) headers.set("x-amz-missing-meta", String(missing));
  for (const name of SYSTEM) {
    const value = headerValue(call.parameter(`response-${name}`) ?? "");
    if (value !== null && value !== "") headers.set(name, value);
  }
  if (version.tags.length > 0) headers.set("x-amz-tagging-count", String(version.tags.length));
  setVersion(headers, version, call);
  return headers;
}

/** A bucket that keeps no versions shows none, unless one was asked for. */
export function setVersion(headers: Headers, version: ObjectVersion, call: Call | null): void {
  if (!version.isNull) headers.set("x-amz-version-id", version.id);
  else if (call?.parameter("versionId") !== null && call !== null) headers.set("x-amz-version-id", "null");
  if (version.deleted) headers.set("x-amz-delete-marker", "true");
}

export function versionId(version: ObjectVersion): string {
  return version.isNull ? "null" : version.id;
}

export function setChecksums(headers: Headers, metadata: readonly Pair[]): void {
  for (const [name, value] of storedChecksums(metadata)) headers.set(name, value);
}

export function checksumElements(metadata: readonly Pair[]): Xml[] {
  return storedChecksums(metadata).map(([name, value]) => {
    const rest = name.slice(CHECKSUM_PREFIX.length);
    return xml(rest === "type" ? "ChecksumType" : `Checksum${rest.toUpperCase()}`, value);
  });
}

export function quote(etag: string): string {
  return `"${etag}"`;
}

// ---- tags

export const OBJECT_TAGS_MAX = 10;
export const BUCKET_TAGS_MAX = 50;

/** The x-amz-tagging header: "a=1&b=2", encoded as queries are. */
export function readTagHeader(headers: Headers): Pair[] {
  const text = headers.get("x-amz-tagging");
  if (text === null) return [];
  const pairs = text.split("&").filter((part) => part !== "").map((part): Pair => {
    const at = part.indexOf("="), end = at < 0 ? part.length : at;
    const name = percentDecodeText(part.slice(0, end), true),
      value = percentDecodeText(part.slice(end + 1), true);
    if (name === null || value === null) throw new S3Error("InvalidTag", "The tags are not UTF-8");
    return [name, value];
  });
  return checkTags(pairs, OBJECT_TAGS_MAX);
}

/** A <Tagging>. */
export function readTagSet(tagging: Element, max: number): Pair[] {
  const set = tagging.allowing("TagSet").one("TagSet");
  if (set === null) throw malformed("There is no <TagSet>");
  return checkTags(set.allowing("Tag").all("Tag").map(readTag), max);
}

export function readTag(tag: Element): Pair {
  const name = tag.allowing("Key", "Value").textOf("Key"), value = tag.textOf("Value");
  if (name === null || value === null) throw malformed("A <Tag> has a <Key> and a <Value>");
  return [name, value];
}

export function tagSet(tags: readonly Pair[]): Xml {
  return xml("TagSet", tags.map(tagElement));
}

export function tagElement([name, value]: Pair): Xml {
  return xml("Tag", [xml("Key", name), xml("Value", value)]);
}

function checkTags(tags: readonly Pair[], max: number): Pair[] {
  if (tags.length > max) throw new S3Error("InvalidTag", `There may be ${max} tags, and are ${tags.length}`);
  for (const [name, value] of tags) {
    if (name === "" || name.length > 128) {
      throw new S3Error("InvalidTag", "A tag's key has 1 to 128 characters");
    }
    if (value.length > 256) throw new S3Error("InvalidTag", "A tag's value has at most 256 characters");
    if (name.startsWith("aws:")) throw new S3Error("InvalidTag", `A tag's key does not begin with "aws:"`);
  }
  if (new Set(tags.map(([name]) => name)).size < tags.length) {
    throw new S3Error("InvalidTag", "A tag's key is there twice");
  }
  return sortPairs(tags);
}
