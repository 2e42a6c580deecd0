/** Pages of other origins in a browser: the rules of a bucket, and what is told to browsers by them. */
import type { CorsRule } from "../../core/objects/types.ts";
import { empty, type Handler, xmlResponse } from "./answers.ts";
import { parseWhole } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import { type Element, malformed, optional, type Xml, xml } from "./xml.ts";

const RULES_MAX = 100;
const METHODS = new Set(["GET", "PUT", "POST", "DELETE", "HEAD"]);
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

export const getCors: Handler = async ({ call, store }) => {
  const { cors } = await store.bucket(call.bucket);
  if (cors.length === 0) throw new S3Error("NoSuchCORSConfiguration");
  return xmlResponse(xml("CORSConfiguration", cors.map(writeRule)));
};

export const putCors: Handler = async ({ call, store }) => {
  const document = await call.document("CORSConfiguration");
  const rules = document.allowing("CORSRule").all("CORSRule");
  if (rules.length === 0 || rules.length > RULES_MAX) throw malformed(`There are 1 to ${RULES_MAX} rules`);
  await store.changeBucket(call.bucket, { cors: rules.map(readRule) });
  return empty(200);
};

export const deleteCors: Handler = async ({ call, store }) => {
  await store.changeBucket(call.bucket, { cors: [] });
  return empty();
};

export function readRule(rule: Element): CorsRule {
  rule.allowing("ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds");
  const texts = (name: string) => rule.all(name).map(({ text }) => text.trim());
  const origins = texts("AllowedOrigin"), methods = texts("AllowedMethod"), headers = texts("AllowedHeader");
  const maxAge = rule.textOf("MaxAgeSeconds");
  const maxAgeSeconds = maxAge === null ? null : parseWhole(maxAge.trim(), 0, 2_147_483_647);
  const method = methods.find((name) => !METHODS.has(name));
  if (method !== undefined) {
    throw new S3Error(
      "InvalidRequest",
      `Found unsupported HTTP method in CORS config. Unsupported method is ${method}`,
    );
  }
  if (origins.length === 0 || methods.length === 0 || (maxAge !== null && maxAgeSeconds === null)) {
    throw malformed();
  }
  for (const pattern of [...origins, ...headers]) {
    if (pattern.split("*").length > 2) {
      throw new S3Error("InvalidRequest", `"${pattern}" can not have more than one wildcard`);
    }
  }
  const expose = texts("ExposeHeader"), noName = expose.find((name) => !HEADER_NAME.test(name));
  if (noName !== undefined) {
    throw new S3Error("InvalidRequest", `ExposeHeader "${noName}" contains invalid character`);
  }
  return {
    id: rule.textOf("ID") ?? "",
    origins,
    methods,
    headers,
    expose,
    maxAgeSeconds,
  };
}

export function writeRule(rule: CorsRule): Xml {
  const each = (name: string, texts: readonly string[]) => texts.map((text) => xml(name, text));
  return xml("CORSRule", [
    ...optional("ID", rule.id === "" ? null : rule.id),
    ...each("AllowedOrigin", rule.origins),
    ...each("AllowedMethod", rule.methods),
    ...each("AllowedHeader", rule.headers),
    ...each("ExposeHeader", rule.expose),
    ...optional("MaxAgeSeconds", rule.maxAgeSeconds),
  ]);
}

/** The answer to what a browser asks before it asks. @throws {S3Error} AccessForbidden */
export function preflight(rules: readonly CorsRule[], request: Headers): Response {
  const origin = request.get("origin"), method = request.get("access-control-request-method");
  if (origin === null || method === null) {
    throw new S3Error("InvalidRequest", "Insufficient information. Origin request header needed");
  }
  const wanted = (request.get("access-control-request-headers") ?? "").split(",")
    .map((name) => name.trim().toLowerCase()).filter((name) => name !== "");
  const rule = rules.find((candidate) =>
    allows(candidate, origin, method) &&
    wanted.every((name) => candidate.headers.some((pattern) => matches(pattern.toLowerCase(), name)))
  );
  if (rule === undefined) throw new S3Error("AccessForbidden");
  const headers = new Headers();
  setCors(headers, rule, origin);
  if (wanted.length > 0) headers.set("access-control-allow-headers", wanted.join(", "));
  if (rule.maxAgeSeconds !== null) headers.set("access-control-max-age", String(rule.maxAgeSeconds));
  return empty(200, headers);
}

/** Adds to an answer what lets a page of `origin` see it, if a rule does. */
export function allowOrigin(
  rules: readonly CorsRule[],
  origin: string,
  method: string,
  headers: Headers,
): void {
  const rule = rules.find((candidate) => allows(candidate, origin, method));
  if (rule !== undefined) setCors(headers, rule, origin);
}

function setCors(headers: Headers, rule: CorsRule, origin: string): void {
  const anyone = rule.origins.includes("*");
  headers.set("access-control-allow-origin", anyone ? "*" : origin);
  // Whoever wrote the bucket's row need not have come this way.
  headers.set("access-control-allow-methods", rule.methods.filter((name) => METHODS.has(name)).join(", "));
  const expose = rule.expose.filter((name) => HEADER_NAME.test(name));
  if (expose.length > 0) headers.set("access-control-expose-headers", expose.join(", "));
  if (!anyone) headers.set("access-control-allow-credentials", "true");
  headers.append("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method");
}

function allows(rule: CorsRule, origin: string, method: string): boolean {
  return rule.methods.includes(method) && rule.origins.some((pattern) => matches(pattern, origin));
}

/** A pattern has at most one "*". */
function matches(pattern: string, text: string): boolean {
  const at = pattern.indexOf("*");
  if (at < 0) return pattern === text;
  const before = pattern.slice(0, at), after = pattern.slice(at + 1);
  return text.length >= before.length + after.length && text.startsWith(before) && text.endsWith(after);
}
