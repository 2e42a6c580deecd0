/** Who sends a request: its signature, in the Authorization header or in the query, held against the secret. */
import { LIMITS } from "../../core/base/limits.ts";
import { amzDate, parseAmzDate, parseHttpDate, parseWhole } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import {
  ALGORITHM,
  canonicalPaths,
  canonicalRequest,
  sameSignature,
  type Scope,
  scopeText,
  sign,
  SigningKeys,
  stringToSign,
  UNSIGNED_PAYLOAD,
} from "./signature.ts";

export interface Credentials {
  /** Of the access key with that id; null: there is no such, or it may not come in this way. */
  secretOf(accessId: string): Promise<string | null>;
}

/** What of a request the signature is about. */
export interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: readonly (readonly [string, string])[];
  readonly headers: Headers;
  readonly host: string;
}

export interface Identity {
  readonly accessId: string;
  /** What x-amz-content-sha256 says: a hash, or how the body is signed. */
  readonly payload: string;
  /** What goes on signing the chunks of the body. */
  readonly chunks: ChunkSigner;
}

export interface ChunkSigner {
  readonly key: Uint8Array;
  readonly amzDate: string;
  readonly scope: string;
  readonly seed: string;
}

interface Claim {
  readonly accessId: string;
  readonly scope: Scope;
  readonly amzDate: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly payload: string;
  /** null: in the header. */
  readonly expiresSeconds: number | null;
}

/** @throws {S3Error} saying what is wrong; null: the request is signed in no way */
export async function authenticate(
  request: SignedRequest,
  credentials: Credentials,
  nowMs: number,
  keys: SigningKeys = new SigningKeys(),
): Promise<Identity | null> {
  const claim = readClaim(request);
  if (claim === null) return null;
  checkTime(claim, nowMs);
  const headers = claim.signedHeaders.map((name) => {
    const value = name === "host" ? request.host : request.headers.get(name);
    return [name, value ?? ""] as const;
  });
  checkSignedHeaders(request, claim);
  const paths = canonicalPaths(request.path);
  if (paths === null) throw new S3Error("InvalidURI");
  const query = request.query.filter(([name]) => name !== "X-Amz-Signature");
  const candidates = paths.map((path) =>
    canonicalRequest({ method: request.method, path, query, headers, payloadHash: claim.payload })
  );
  const secret = await credentials.secretOf(claim.accessId);
  if (secret === null) {
    throw new S3Error("InvalidAccessKeyId", undefined, [["AWSAccessKeyId", claim.accessId]]);
  }
  const key = keys.of(claim.accessId, secret, claim.scope);
  const texts = candidates.map((canonical) => stringToSign(claim.amzDate, claim.scope, canonical));
  if (!texts.some((text) => sameSignature(sign(key, text), claim.signature))) {
    throw new S3Error("SignatureDoesNotMatch", undefined, [
      ["AWSAccessKeyId", claim.accessId],
      ["StringToSign", texts[0] ?? ""],
      ["CanonicalRequest", candidates[0] ?? ""],
    ]);
  }
  keys.remember(claim.accessId, secret, claim.scope, key);
  return {
    accessId: claim.accessId,
    payload: claim.payload,
    chunks: { key, amzDate: claim.amzDate, scope: scopeText(claim.scope), seed: claim.signature },
  };
}

function readClaim(request: SignedRequest): Claim | null {
  const query = new Map(request.query);
  const header = request.headers.get("authorization");
  if (query.has("X-Amz-Algorithm") || query.has("X-Amz-Signature")) {
    if (header !== null) throw new S3Error("InvalidArgument", "Only one way of signing is allowed, not two");
    return readPresigned(request, query);
  }
  if (query.has("AWSAccessKeyId") && query.has("Signature")) throw oldSignature();
  if (header === null) return null;
  if (!header.startsWith(`${ALGORITHM} `)) {
    if (/^AWS[4 ]/.test(header)) throw oldSignature();
    throw new S3Error("InvalidArgument", "Unsupported Authorization type");
  }
  return readAuthorization(request, header);
}

function oldSignature(): S3Error {
  return new S3Error("InvalidRequest", `The only way of signing is ${ALGORITHM} (signature version 4)`);
}

function readAuthorization({ headers }: SignedRequest, header: string): Claim {
  const fail = (message: string) => new S3Error("AuthorizationHeaderMalformed", message);
  const fields = new Map<string, string>();
  for (const field of header.slice(ALGORITHM.length).split(",")) {
    const at = field.indexOf("=");
    if (at < 0) throw fail("The Authorization header has a field without '='");
    fields.set(field.slice(0, at).trim(), field.slice(at + 1).trim());
  }
  const date = headers.get("x-amz-date") ?? headers.get("date");
  if (date === null) {
    throw new S3Error("AccessDenied", "A signed request has an X-Amz-Date or a Date header");
  }
  const ms = parseAmzDate(date) ?? parseHttpDate(date);
  if (ms === null) {
    throw new S3Error("AccessDenied", "The X-Amz-Date header is none: 20130524T000000Z is one");
  }
  const payload = headers.get("x-amz-content-sha256");
  if (payload === null) {
    throw new S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  }
  return {
    ...readCredential(fields.get("Credential") ?? "", fail),
    amzDate: amzDate(ms),
    signedHeaders: readSignedHeaders(fields.get("SignedHeaders") ?? "", fail),
    signature: readSignature(fields.get("Signature") ?? "", fail),
    payload,
    expiresSeconds: null,
  };
}

function readPresigned({ headers }: SignedRequest, query: ReadonlyMap<string, string>): Claim {
  const fail = (message: string) => new S3Error("AuthorizationQueryParametersError", message);
  if (query.get("X-Amz-Algorithm") !== ALGORITHM) throw fail(`X-Amz-Algorithm only supports "${ALGORITHM}"`);
  const date = query.get("X-Amz-Date") ?? "";
  if (parseAmzDate(date) === null) throw fail('X-Amz-Date must be as "20130524T000000Z"');
  const expires = parseWhole(query.get("X-Amz-Expires") ?? "", 1, LIMITS.s3PresignedSecondsMax);
  if (expires === null) throw fail("X-Amz-Expires must be from 1 to 604800, which is a week in seconds");
  return {
    ...readCredential(query.get("X-Amz-Credential") ?? "", fail),
    amzDate: date,
    signedHeaders: readSignedHeaders(query.get("X-Amz-SignedHeaders") ?? "", fail),
    signature: readSignature(query.get("X-Amz-Signature") ?? "", fail),
    payload: query.get("X-Amz-Content-Sha256") ?? headers.get("x-amz-content-sha256") ?? UNSIGNED_PAYLOAD,
    expiresSeconds: expires,
  };
}

type Fail = (message: string) => S3Error;

/** "AKIA…/20130524/us-east-1/s3/aws4_request"; the id itself may hold slashes. */
function readCredential(text: string, fail: Fail): { accessId: string; scope: Scope } {
  const match = /^([\x21-\x7e]{1,256})\/(\d{8})\/([\w-]{1,64})\/([\w-]{1,32})\/aws4_request$/.exec(text);
  const [, accessId, date, region, service] = match ?? [];
  if (accessId === undefined || date === undefined || region === undefined || service !== "s3") {
    throw fail("The Credential must be ID/YYYYMMDD/REGION/s3/aws4_request");
  }
  return { accessId, scope: { date, region, service } };
}

function readSignedHeaders(text: string, fail: Fail): string[] {
  const names = text.split(";");
  const sorted = names.every((name, at) =>
    /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name) && (at === 0 || name > (names[at - 1] ?? ""))
  );
  if (!sorted || !names.includes("host")) {
    throw fail("SignedHeaders must be names in lower case, sorted, with ';' between, and 'host' among them");
  }
  return names;
}

function readSignature(text: string, fail: Fail): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw fail("The Signature must be 64 hexadecimal digits in lower case");
  return text;
}

/** What speaks to the server must have been meant by whoever signed. The hash of the payload is signed in any case. */
function checkSignedHeaders({ headers }: SignedRequest, claim: Claim): void {
  for (const [name] of headers) {
    if (!name.startsWith("x-amz-") || name === "x-amz-content-sha256") continue;
    if (!claim.signedHeaders.includes(name)) {
      throw new S3Error("AccessDenied", "There were headers present in the request which were not signed", [
        ["HeadersNotSigned", name],
      ]);
    }
  }
}

function checkTime(claim: Claim, nowMs: number): void {
  const ms = parseAmzDate(claim.amzDate) ?? 0;
  const times = () => [["RequestTime", claim.amzDate], ["ServerTime", amzDate(nowMs)]] as const;
  if (claim.amzDate.slice(0, 8) !== claim.scope.date) {
    throw new S3Error(
      "SignatureDoesNotMatch",
      "The date of the Credential is not that of the request",
      times(),
    );
  }
  if (claim.expiresSeconds === null) {
    if (Math.abs(nowMs - ms) > LIMITS.s3SkewMs) throw new S3Error("RequestTimeTooSkewed", undefined, times());
    return;
  }
  if (nowMs < ms - LIMITS.s3SkewMs) throw new S3Error("AccessDenied", "Request is not valid yet", times());
  if (nowMs > ms + claim.expiresSeconds * 1000) {
    throw new S3Error("AccessDenied", "Request has expired", times());
  }
}
