/** Rules by which objects expire, as XML. Which are kept is not: nothing moves to another storage class. */
import type { LifecycleRule, Pair } from "../../core/objects/types.ts";
import { empty, type Handler, xmlResponse } from "./answers.ts";
import { isoDate, parseWhole } from "./encoding.ts";
import { S3Error } from "./errors.ts";
import { readTag, tagElement } from "./metadata.ts";
import { type Element, malformed, optional, type Xml, xml } from "./xml.ts";

const RULES_MAX = 1000;
const DAYS_MAX = 2_147_483_647;

export const getLifecycle: Handler = async ({ call, store }) => {
  const { lifecycle } = await store.bucket(call.bucket);
  if (lifecycle.length === 0) throw new S3Error("NoSuchLifecycleConfiguration");
  return xmlResponse(xml("LifecycleConfiguration", lifecycle.map(writeRule)));
};

export const putLifecycle: Handler = async ({ call, store }) => {
  const document = await call.document("LifecycleConfiguration");
  const elements = document.allowing("Rule").all("Rule");
  if (elements.length === 0 || elements.length > RULES_MAX) {
    throw malformed(`There are 1 to ${RULES_MAX} rules`);
  }
  const lifecycle = elements.map(readRule);
  if (new Set(lifecycle.map(({ id }) => id)).size < lifecycle.length) {
    throw new S3Error("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule");
  }
  await store.changeBucket(call.bucket, { lifecycle });
  return empty(200);
};

export const deleteLifecycle: Handler = async ({ call, store }) => {
  await store.changeBucket(call.bucket, { lifecycle: [] });
  return empty();
};

export function readRule(rule: Element, index: number): LifecycleRule {
  if (rule.one("Transition") !== null || rule.all("NoncurrentVersionTransition").length > 0) {
    throw new S3Error("NotImplemented", "There is one storage class: nothing moves to another");
  }
  rule.allowing(
    ...["ID", "Status", "Prefix", "Filter", "Expiration", "NoncurrentVersionExpiration"],
    "AbortIncompleteMultipartUpload",
  );
  const status = rule.textOf("Status");
  if (status !== "Enabled" && status !== "Disabled") throw malformed("The <Status> is Enabled or Disabled");
  const expiration = rule.one("Expiration")?.allowing("Days", "Date", "ExpiredObjectDeleteMarker") ?? null;
  const noncurrent =
    rule.one("NoncurrentVersionExpiration")?.allowing("NoncurrentDays", "NewerNoncurrentVersions") ??
      null;
  const abort = rule.one("AbortIncompleteMultipartUpload")?.allowing("DaysAfterInitiation") ?? null;
  if (expiration === null && noncurrent === null && abort === null) throw malformed("A rule does nothing");
  if (noncurrent !== null && noncurrent.one("NoncurrentDays") === null) {
    throw malformed("There are no <NoncurrentDays>");
  }
  const id = rule.textOf("ID") ?? "";
  if (id.length > 255) {
    throw new S3Error("InvalidArgument", "ID length should not exceed allowed limit of 255");
  }
  const filter = readFilter(rule);
  if (abort !== null && (filter.tags.length > 0 || filter.sizeMin !== null || filter.sizeMax !== null)) {
    throw new S3Error(
      "InvalidRequest",
      "AbortIncompleteMultipartUpload cannot be specified with Tags or sizes",
    );
  }
  return {
    id: id === "" ? `rule-${index + 1}` : id,
    enabled: status === "Enabled",
    ...filter,
    expireDays: whole(expiration, "Days", 1),
    expireDateMs: readDate(expiration),
    expireMarkers: readFlag(expiration, "ExpiredObjectDeleteMarker"),
    noncurrentDays: whole(noncurrent, "NoncurrentDays", 1),
    noncurrentKept: whole(noncurrent, "NewerNoncurrentVersions", 1),
    abortUploadDays: whole(abort, "DaysAfterInitiation", 1),
  };
}

function readFilter(rule: Element): Pick<LifecycleRule, "prefix" | "tags" | "sizeMin" | "sizeMax"> {
  const filter = rule.one("Filter"), and = filter?.one("And") ?? null;
  if (filter !== null && rule.one("Prefix") !== null) throw malformed("A rule has a <Filter> or a <Prefix>");
  if (filter !== null && filter.children.length > 1) {
    throw malformed("A <Filter> has one condition, or <And> with more");
  }
  const scope = and ?? filter;
  // A condition that is not understood, or not there, would make a rule of all objects.
  scope?.allowing(
    "Prefix",
    "Tag",
    "ObjectSizeGreaterThan",
    "ObjectSizeLessThan",
    ...(and === null ? ["And"] : []),
  );
  if (and?.children.length === 0) throw malformed("An <And> has conditions");
  return {
    prefix: rule.textOf("Prefix") ?? scope?.textOf("Prefix") ?? "",
    tags: (scope?.all("Tag") ?? []).map((tag): Pair => readTag(tag)),
    sizeMin: whole(scope, "ObjectSizeGreaterThan", 0, Number.MAX_SAFE_INTEGER),
    sizeMax: whole(scope, "ObjectSizeLessThan", 1, Number.MAX_SAFE_INTEGER),
  };
}

function whole(parent: Element | null, name: string, min: number, max = DAYS_MAX): number | null {
  const text = parent?.textOf(name) ?? null;
  if (text === null) return null;
  const value = parseWhole(text.trim(), min, max);
  if (value === null) throw new S3Error("InvalidArgument", `'${name}' must be a whole number from ${min}`);
  return value;
}

function readDate(expiration: Element | null): number | null {
  const text = expiration?.textOf("Date") ?? null;
  if (text === null) return null;
  const ms = /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d)?)?$/.test(text) ? Date.parse(text) : NaN;
  if (!(ms % 86_400_000 === 0)) throw new S3Error("InvalidArgument", "'Date' must be at midnight GMT");
  return ms;
}

function readFlag(parent: Element | null, name: string): boolean {
  const text = parent?.textOf(name) ?? "false";
  if (text !== "true" && text !== "false") throw malformed(`<${name}> is true or false`);
  return text === "true";
}

export function writeRule(rule: LifecycleRule): Xml {
  const expiration = [
    ...optional("Days", rule.expireDays),
    ...optional("Date", rule.expireDateMs === null ? null : isoDate(rule.expireDateMs)),
    ...optional("ExpiredObjectDeleteMarker", rule.expireMarkers ? true : null),
  ];
  const noncurrent = [
    ...optional("NoncurrentDays", rule.noncurrentDays),
    ...optional("NewerNoncurrentVersions", rule.noncurrentKept),
  ];
  return xml("Rule", [
    xml("ID", rule.id),
    xml("Filter", writeFilter(rule)),
    xml("Status", rule.enabled ? "Enabled" : "Disabled"),
    ...(expiration.length > 0 ? [xml("Expiration", expiration)] : []),
    ...(noncurrent.length > 0 ? [xml("NoncurrentVersionExpiration", noncurrent)] : []),
    ...(rule.abortUploadDays === null ? [] : [
      xml("AbortIncompleteMultipartUpload", [xml("DaysAfterInitiation", rule.abortUploadDays)]),
    ]),
  ]);
}

function writeFilter(rule: LifecycleRule): Xml[] {
  const conditions = [
    ...optional("Prefix", rule.prefix === "" ? null : rule.prefix),
    ...rule.tags.map(tagElement),
    ...optional("ObjectSizeGreaterThan", rule.sizeMin),
    ...optional("ObjectSizeLessThan", rule.sizeMax),
  ];
  if (conditions.length === 0) return [xml("Prefix")];
  return conditions.length === 1 ? conditions : [xml("And", conditions)];
}
