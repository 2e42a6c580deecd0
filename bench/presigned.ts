/** Presigned addresses of S3, for clients in benchmarks that do not sign themselves. */
import { uriEncode } from "../cli/s3/encoding.ts";
import {
  ALGORITHM,
  canonicalRequest,
  scopeText,
  sign,
  SigningKeys,
  stringToSign,
  UNSIGNED_PAYLOAD,
} from "../cli/s3/signature.ts";

export interface S3Target {
  /** "http://host:port" */
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

const VALID_SECONDS = 3600;
/** As clients of S3 do. */
const keys = new SigningKeys();

/** Where `method` may be asked for `path` ("/bucket/key") for an hour. */
export function presigned(target: S3Target, method: "GET" | "PUT" | "DELETE", path: string): string {
  const amzDate = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const scope = { date: amzDate.slice(0, 8), region: "us-east-1", service: "s3" };
  const query: [string, string][] = [
    ["X-Amz-Algorithm", ALGORITHM],
    ["X-Amz-Credential", `${target.accessKey}/${scopeText(scope)}`],
    ["X-Amz-Date", amzDate],
    ["X-Amz-Expires", String(VALID_SECONDS)],
    ["X-Amz-SignedHeaders", "host"],
  ];
  const escaped = uriEncode(path, true);
  const canonical = canonicalRequest({
    method,
    path: escaped,
    query,
    headers: [["host", new URL(target.endpoint).host]],
    payloadHash: UNSIGNED_PAYLOAD,
  });
  if (canonical === null) throw new TypeError(`"${path}" is no path`);
  const key = keys.of(target.accessKey, target.secretKey, scope);
  keys.remember(target.accessKey, target.secretKey, scope, key);
  const signature = sign(key, stringToSign(amzDate, scope, canonical));
  const text = [...query, ["X-Amz-Signature", signature] as const]
    .map(([name, value]) => `${name}=${uriEncode(value)}`)
    .join("&");
  return `${target.endpoint}${escaped}?${text}`;
}
