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
  if (uriEncode(path, true) === path) return [path];
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

/** Keys that have signed well: making one takes four times as long as what it signs. The oldest go first. */
export class SigningKeys {
  readonly #max: number;
  readonly #known = new Map<string, { readonly secret: string; readonly key: Uint8Array }>();

  constructor(max = 1024) {
    this.#max = max;
  }

  /** Made where it is not known. */
  of(accessId: string, secret: string, scope: Scope): Uint8Array {
    const known = this.#known.get(nameOf(accessId, scope));
    return known?.secret === secret ? known.key : signingKey(secret, scope);
  }

  /** Of whoever was seen to have the secret: nobody else makes a server remember anything. */
  remember(accessId: string, secret: string, scope: Scope, key: Uint8Array): void {
    const name = nameOf(accessId, scope);
    if (this.#known.get(name)?.key === key) return;
    this.#known.delete(name);
    this.#known.set(name, { secret, key });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= this.#max) break;
      this.#known.delete(oldest);
    }
  }
}

/** The id may hold anything but blanks. */
function nameOf(accessId: string, scope: Scope): string {
  return `${accessId} ${scopeText(scope)}`;
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
