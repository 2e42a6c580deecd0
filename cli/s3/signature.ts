/**
 * AWS Signature Version 4, the parts of it that are arithmetic: what is signed, and with what key. The names are those
 * of Amazon's documentation ("Authenticating Requests: AWS Signature Version 4", Amazon S3 API Reference).
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { percentDecode, uriEncode } from "./encoding.ts";

export const ALGORITHM = "AWS4-HMAC-SHA256";
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";
export const EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

export interface Scope {
  /** "20130524". */
  readonly date: string;
  readonly region: string;
  readonly service: string;
}

export function scopeText({ date, region, service }: Scope): string {
  return `${date}/${region}/${service}/aws4_request`;
}

export interface Signed {
  readonly method: string;
  /** One of canonicalPaths(). */
  readonly path: string;
  /** Decoded, in the order in which they came, without X-Amz-Signature. */
  readonly query: readonly (readonly [string, string])[];
  /** Sorted names in lower case, and the values as they came. */
  readonly headers: readonly (readonly [string, string])[];
  readonly payloadHash: string;
}

/**
 * The path as it is encoded by the rules; and as it came, where that is something else, for there are clients that sign
 * what they send ("%2F" in a key). null: it is not well-formed.
 */
export function canonicalPaths(path: string): string[] | null {
  const decoded = percentDecode(path);
  return decoded === null ? null : [...new Set([uriEncode(decoded, true), path])];
}

export function canonicalRequest({ method, path, query, headers, payloadHash }: Signed): string {
  const parameters = query
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
    .sort(([a, x], [b, y]) => a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0)
    .map(([name, value]) => `${name}=${value}`);
  return [
    method,
    path,
    parameters.join("&"),
    ...headers.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, " ")}`),
    "",
    headers.map(([name]) => name).join(";"),
    payloadHash,
  ].join("\n");
}

/** A canonical request holds header values of one character a byte. */
export function stringToSign(amzDate: string, scope: Scope, canonical: string): string {
  const hash = createHash("sha256").update(Buffer.from(canonical, "latin1")).digest("hex");
  return `${ALGORITHM}\n${amzDate}\n${scopeText(scope)}\n${hash}`;
}

export function signingKey(secret: string, { date, region, service }: Scope): Uint8Array {
  let key = hmac(Buffer.from(`AWS4${secret}`), date);
  for (const step of [region, service, "aws4_request"]) key = hmac(key, step);
  return key;
}

export function sign(key: Uint8Array, text: string): string {
  return Buffer.from(hmac(key, text)).toString("hex");
}

/** In time that does not tell how much of it is right. */
export function sameSignature(expected: string, given: string): boolean {
  const a = Buffer.from(expected), b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}

function hmac(key: Uint8Array, text: string): Uint8Array {
  return createHmac("sha256", key).update(text).digest();
}
