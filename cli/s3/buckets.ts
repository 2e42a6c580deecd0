/** Buckets and what is set on them. */
import { ObjectError, type Versioning } from "../../core/objects/types.ts";
import { type Context, empty, type Handler, xmlResponse } from "./answers.ts";
import { isoDate } from "./encoding.ts";
import { type S3Code, S3Error } from "./errors.ts";
import { BUCKET_TAGS_MAX, checkAcl, readTagSet, tagSet } from "./metadata.ts";
import { malformed, optional, parseXml, type Xml, xml } from "./xml.ts";

/** S3 has an account there; here it is the access key, and nobody in an open network. */
export function ownerElement(name: string, owner: string): Xml {
  const id = owner === "" ? "space-opera" : owner;
  return xml(name, [xml("ID", id), xml("DisplayName", id)]);
}

export const listBuckets: Handler = async ({ call, store }) => {
  const prefix = call.parameter("prefix") ?? "", after = call.parameter("continuation-token") ?? "";
  const limit = call.whole("max-buckets", 1, 10_000) ?? 10_000;
  const found = (await store.buckets())
    .filter(({ name }) => name.startsWith(prefix) && name > after)
    .sort((a, b) => a.name < b.name ? -1 : 1);
  const shown = found.slice(0, limit);
  return xmlResponse(xml("ListAllMyBucketsResult", [
    ownerElement("Owner", call.owner),
    xml(
      "Buckets",
      shown.map(({ name, createdMs }) =>
        xml("Bucket", [xml("Name", name), xml("CreationDate", isoDate(createdMs))])
      ),
    ),
    ...optional("ContinuationToken", found.length > shown.length ? shown.at(-1)?.name : null),
    ...optional("Prefix", prefix === "" ? null : prefix),
  ]));
};

export const createBucket: Handler = async ({ call, store }) => {
  const { bucket: name } = call;
  checkAcl(call.request.headers);
  if (call.header("x-amz-bucket-object-lock-enabled")?.toLowerCase() === "true") {
    throw new S3Error("NotImplemented", "Objects cannot be locked");
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) throw new S3Error("InvalidBucketName");
  // Where it is to lie is the network's choice: whatever place is named is fine.
  const bytes = await call.bytes(65_536);
  if (bytes.length > 0) {
    parseXml(bytes, "CreateBucketConfiguration");
  }
  try {
    await store.createBucket(name, { owner: call.owner });
  } catch (error) {
    if (!(error instanceof ObjectError) || error.problem !== "bucket-exists") throw error;
    const existing = await store.bucket(name);
    throw new S3Error(existing.owner === call.owner ? "BucketAlreadyOwnedByYou" : "BucketAlreadyExists");
  }
  return empty(200, new Headers({ location: `/${name}` }));
};

export const headBucket: Handler = async ({ call, store, region }) => {
  await store.bucket(call.bucket);
  return empty(200, new Headers({ "x-amz-bucket-region": region, "content-type": "application/xml" }));
};

export const deleteBucket: Handler = async ({ call, store }) => {
  await store.deleteBucket(call.bucket);
  return empty();
};

export const getLocation: Handler = async ({ call, store, region }) => {
  await store.bucket(call.bucket);
  return xmlResponse(xml("LocationConstraint", region === "us-east-1" ? "" : region));
};

// ---- versioning

const STATUS: { readonly [versioning in Versioning]: string | null } = {
  off: null,
  enabled: "Enabled",
  suspended: "Suspended",
};

export const getVersioning: Handler = async ({ call, store }) => {
  const { versioning } = await store.bucket(call.bucket);
  return xmlResponse(xml("VersioningConfiguration", optional("Status", STATUS[versioning])));
};

export const putVersioning: Handler = async ({ call, store }) => {
  const asked = (await call.document("VersioningConfiguration")).allowing("Status", "MfaDelete");
  if ((asked.textOf("MfaDelete") ?? "Disabled") !== "Disabled") {
    throw new S3Error("NotImplemented", "There is no MfaDelete");
  }
  const status = asked.textOf("Status");
  if (status !== "Enabled" && status !== "Suspended") throw malformed("The <Status> is Enabled or Suspended");
  await store.changeBucket(call.bucket, { versioning: status === "Enabled" ? "enabled" : "suspended" });
  return empty(200);
};

// ---- tags

export const getBucketTags: Handler = async ({ call, store }) => {
  const { tags } = await store.bucket(call.bucket);
  if (tags.length === 0) throw new S3Error("NoSuchTagSet");
  return xmlResponse(xml("Tagging", [tagSet(tags)]));
};

export const putBucketTags: Handler = async ({ call, store }) => {
  const tags = readTagSet(await call.document("Tagging"), BUCKET_TAGS_MAX);
  await store.changeBucket(call.bucket, { tags });
  return empty();
};

export const deleteBucketTags: Handler = async ({ call, store }) => {
  await store.changeBucket(call.bucket, { tags: [] });
  return empty();
};

// ---- what S3 has and this has not: said as S3 says it where nothing is set, so that clients go on

/** "Nothing is set", as an error. */
export function notSet(code: S3Code): Handler {
  return async ({ call, store }) => {
    await store.bucket(call.bucket);
    throw new S3Error(code);
  };
}

/** "Nothing is set", as a document. */
export function defaults(root: Xml): Handler {
  return async ({ call, store }) => {
    await store.bucket(call.bucket);
    return xmlResponse(root);
  };
}

/** To take away what is never there is no error. */
export const removeNothing: Handler = async ({ call, store }) => {
  await store.bucket(call.bucket);
  return empty();
};

// ---- access control lists: there is one, and it cannot be changed

export const getAcl: Handler = async (context) => {
  const owner = await ownerOf(context);
  const grantee = ownerElement("Grantee", owner);
  const type = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"';
  return xmlResponse(xml("AccessControlPolicy", [
    ownerElement("Owner", owner),
    xml("AccessControlList", [
      xml("Grant", [{ ...grantee, attributes: type }, xml("Permission", "FULL_CONTROL")]),
    ]),
  ]));
};

export const putAcl: Handler = async (context) => {
  const { call } = context;
  checkAcl(call.request.headers);
  const owner = await ownerOf(context);
  const bytes = await call.bytes(65_536);
  if (bytes.length === 0) {
    if (call.header("x-amz-acl") === null) throw new S3Error("InvalidRequest", "No ACL is given");
    return empty(200);
  }
  const policy = parseXml(bytes, "AccessControlPolicy");
  const self = owner === "" ? "space-opera" : owner;
  for (const grant of policy.one("AccessControlList")?.all("Grant") ?? []) {
    if (grant.textOf("Permission") !== "FULL_CONTROL" || grant.one("Grantee")?.textOf("ID") !== self) {
      throw new S3Error("NotImplemented", "Rights come from the network's access keys");
    }
  }
  return empty(200);
};

async function ownerOf({ call, store }: Context): Promise<string> {
  if (call.keyOrNull === null) return (await store.bucket(call.bucket)).owner;
  const { version } = await store.head({ bucket: call.bucket, key: call.key, version: call.version });
  return version.owner;
}
