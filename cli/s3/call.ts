/** One request, taken apart: which operation of S3 it asks for, on what, and with what parameters. */
import { createHash, randomBytes } from "node:crypto";
import { LIMITS } from "../../core/base/limits.ts";
import { utf8Length } from "../../core/base/bytes.ts";
import type { ObjectStore } from "../objects/store.ts";
import type { ChunkSigner } from "./authenticate.ts";
import { CheckedBody } from "./checked_body.ts";
import { parseWhole, percentDecodeText } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import { Incoming } from "./incoming.ts";
import { UNSIGNED_PAYLOAD } from "./signature.ts";
import { type Element, parseXml } from "./xml.ts";

/**
 * Parameters that make another operation of a request, the first that is there: "GET /bucket?acl" is no list of objects.
 * Those that nothing answers are named too, so that they are refused and not taken for something else.
 */
const SUBRESOURCES = [
  ...["acl", "accelerate", "analytics", "attributes", "cors", "delete", "encryption", "intelligent-tiering"],
  ...[
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataTable",
    "metadataConfiguration",
  ],
  ...["metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus"],
  ...["publicAccessBlock", "replication", "requestPayment", "restore", "retention", "select", "session"],
  ...["tagging", "torrent", "uploads", "uploadId", "versioning", "versions", "website", "renameObject"],
  ...["append", "abac", "encryptionConfiguration"],
] as const;

/** How long the pieces of a request may be before anything is made of them. */
const PATH_CHARACTERS_MAX = 8192;
const QUERY_PARAMETERS_MAX = 64;

export class Call {
  readonly request: Request;
  /** GET for HEAD too. */
  readonly method: string;
  readonly isHead: boolean;
  readonly host: string;
  /** As it came. */
  readonly path: string;
  readonly query: readonly (readonly [string, string])[];
  /** null: the service. */
  readonly bucketOrNull: string | null;
  /** null: the bucket. */
  readonly keyOrNull: string | null;
  readonly incoming: Incoming;
  /** Gives up when the client is gone. */
  readonly signal: AbortSignal;

  // Known once the request is authenticated.
  who: string | null = null;
  payload: string;
  signer: ChunkSigner | null = null;
  #store: ObjectStore | null = null;

  /** @throws {S3Error} where the path is not well-formed */
  constructor(request: Request, domain: string | null, incoming: Incoming, signal: AbortSignal) {
    this.request = request;
    this.isHead = request.method === "HEAD";
    this.method = this.isHead ? "GET" : request.method;
    this.signal = signal;
    const [, authority = "", path = "/", query = ""] =
      /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)([^?#]*)(?:\?([^#]*))?/i.exec(request.url) ?? [];
    this.host = request.headers.get("host") ?? authority;
    this.path = path === "" ? "/" : path;
    if (path.length > PATH_CHARACTERS_MAX) throw new S3Error("InvalidURI", "The path is too long");
    this.query = readQuery(query);
    const place = splitPath(this.path, bucketOfHost(this.host, domain));
    this.bucketOrNull = place.bucket;
    this.keyOrNull = place.key;
    this.incoming = incoming;
    this.payload = request.headers.get("x-amz-content-sha256") ?? UNSIGNED_PAYLOAD;
  }

  /** The routes of app.ts: "/service", "/bucket", "/object", and what is asked of them. */
  get route(): string {
    const level = this.bucketOrNull === null ? "/service" : this.keyOrNull === null ? "/bucket" : "/object";
    const names = new Set(this.query.map(([name]) => name));
    const asked = SUBRESOURCES.find((name) => names.has(name));
    const copies = this.method === "PUT" && this.request.headers.has("x-amz-copy-source") ? "/copy" : "";
    if (asked === "uploadId") return `${level}/upload${names.has("partNumber") ? "/part" : ""}${copies}`;
    return asked === undefined ? `${level}${copies}` : `${level}/${asked}`;
  }

  get bucket(): string {
    if (this.bucketOrNull === null) throw new S3Error("InvalidURI");
    return this.bucketOrNull;
  }
  get key(): string {
    if (this.keyOrNull === null) throw new S3Error("InvalidURI");
    return this.keyOrNull;
  }
  get store(): ObjectStore {
    if (this.#store === null) throw new S3Error("AccessDenied");
    return this.#store;
  }
  /** The name of whoever is asking, as rows have it. */
  get owner(): string {
    return this.who ?? "";
  }
  admit(who: string | null, store: ObjectStore): void {
    this.who = who;
    this.#store = store;
  }

  header(name: string): string | null {
    return this.request.headers.get(name);
  }
  parameter(name: string): string | null {
    return this.query.find(([found]) => found === name)?.[1] ?? null;
  }
  /** @throws {S3Error} where it is there and no whole number in the bounds */
  whole(name: string, min: number, max: number): number | null {
    const text = this.parameter(name);
    if (text === null || text === "") return null;
    const value = parseWhole(text, min, max);
    if (value === null) {
      throw new S3Error("InvalidArgument", `${name} must be a whole number from ${min} to ${max}`, [
        ["ArgumentName", name],
        ["ArgumentValue", text],
      ]);
    }
    return value;
  }
  get version(): string | undefined {
    const version = this.parameter("versionId");
    if (version === "") throw new S3Error("InvalidArgument", "Version id cannot be the empty string");
    return version ?? undefined;
  }

  body(): CheckedBody {
    const { incoming, payload, signer } = this;
    return new CheckedBody({ headers: this.request.headers, incoming, payload, signer });
  }
  /** A document in the body. @throws {S3Error} */
  async document(root: string, bytesMax: number = LIMITS.s3XmlBytesMax): Promise<Element> {
    const bytes = await this.bytes(bytesMax);
    if (bytes.length === 0) throw new S3Error("MalformedXML", `The body is empty, and should be a <${root}>`);
    return parseXml(bytes, root);
  }
  /** A small body, which is as the client says it is. */
  async bytes(bytesMax: number): Promise<Uint8Array> {
    const body = this.body(), bytes = await Incoming.whole(body, bytesMax);
    if (body.md5 !== undefined && createHash("md5").update(bytes).digest("hex") !== body.md5) {
      throw new S3Error("BadDigest");
    }
    return bytes;
  }
}

/** Sixteen hexadecimal digits, as S3's are. */
export function newRequestId(): string {
  return randomBytes(8).toString("hex").toUpperCase();
}

function readQuery(text: string): [string, string][] {
  const parameters = text.split("&").filter((parameter) => parameter !== "");
  if (parameters.length > QUERY_PARAMETERS_MAX) {
    throw new S3Error("InvalidURI", "There are too many parameters");
  }
  return parameters.map((parameter) => {
    const at = parameter.indexOf("="), end = at < 0 ? parameter.length : at;
    const name = percentDecodeText(parameter.slice(0, end), true);
    const value = percentDecodeText(parameter.slice(end + 1), true);
    if (name === null || value === null) throw new S3Error("InvalidURI", "A parameter is not UTF-8");
    return [name, value];
  });
}

/** "bucket.s3.example.com:9000" is the bucket at the domain s3.example.com; null: it stands in the path. */
function bucketOfHost(host: string, domain: string | null): string | null {
  const name = host.replace(/:\d+$/, "").toLowerCase();
  if (domain === null || !name.endsWith(`.${domain.toLowerCase()}`)) return null;
  return name.slice(0, -domain.length - 1);
}

function splitPath(path: string, hostBucket: string | null): { bucket: string | null; key: string | null } {
  const rest = path.slice(1), slash = rest.indexOf("/");
  const rawBucket = slash < 0 ? rest : rest.slice(0, slash);
  const bucket = hostBucket ?? (rest === "" ? null : percentDecodeText(rawBucket));
  const rawKey = hostBucket !== null ? rest : slash < 0 ? "" : rest.slice(slash + 1);
  const key = percentDecodeText(rawKey);
  if (key === null || (bucket === null && rest !== "")) {
    throw new S3Error("InvalidURI", "The path is not UTF-8");
  }
  if (bucket !== null && (bucket === "" || bucket.length > 255)) throw new S3Error("InvalidBucketName");
  if (utf8Length(key) > LIMITS.s3KeyBytesMax) throw new S3Error("KeyTooLongError");
  if (key.includes("\0")) throw new S3Error("InvalidURI", "A key holds no zero byte");
  return { bucket, key: key === "" ? null : key };
}
