/**
 * The S3 face: a handler of requests over an ObjectStore. From outside in: taking the request apart (call.ts), who sends
 * it (authenticate.ts), which operation it is (the table of routes below), and what every answer has.
 *
 *     signature.ts authenticate.ts    Signature Version 4
 *     incoming.ts checked_body.ts aws_chunked.ts checksums.ts crc.ts    bodies that come in
 *     buckets.ts lifecycle.ts cors.ts listing.ts objects.ts copies.ts uploads.ts    the operations
 *     errors.ts xml.ts encoding.ts metadata.ts conditions.ts answers.ts    what they share
 *     serve.ts    a server for it
 */
import { Hono } from "hono";
import type { CorsRule } from "../../core/objects/types.ts";
import type { ObjectStore } from "../objects/store.ts";
import { errorElement, type Handler, hostId } from "./answers.ts";
import { authenticate, type Credentials } from "./authenticate.ts";
import * as buckets from "./buckets.ts";
import { Call, newRequestId } from "./call.ts";
import { copyObject, copyPart } from "./copies.ts";
import { allowOrigin, deleteCors, getCors, preflight, putCors } from "./cors.ts";
import { asS3Error, S3Error } from "./errors.ts";
import { Incoming } from "./incoming.ts";
import { deleteLifecycle, getLifecycle, putLifecycle } from "./lifecycle.ts";
import { listObjects, listUploads, listVersions } from "./listing.ts";
import * as objects from "./objects.ts";
import { SigningKeys } from "./signature.ts";
import { abortUpload, completeUpload, createUpload, listParts, putPart } from "./uploads.ts";
import { xml, xmlDocument } from "./xml.ts";

export type { Credentials } from "./authenticate.ts";

export interface S3Options {
  /** Objects with the rights of that access key; null: of whoever comes, in an open network. */
  readonly storeFor: (who: string | null) => ObjectStore;
  /** null: everybody is let in, signed or not. */
  readonly credentials: Credentials | null;
  /** What is told to whoever asks where a bucket lies. Signatures may name any. */
  readonly region: string;
  /** Buckets are hosts under it, too: "bucket.s3.example.com" for "s3.example.com". */
  readonly domain?: string | null;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** What pages of other origins may do, asked before they are known to be anybody; [] without it, in private networks. */
  readonly corsOf?: (bucket: string) => Promise<readonly CorsRule[]>;
  readonly log?: (entry: S3LogEntry) => void;
}

/** One request that was answered. Neither keys nor parameters: a parameter may be a signature. */
export interface S3LogEntry {
  readonly id: string;
  readonly method: string;
  readonly route: string;
  readonly bucket: string | null;
  readonly who: string | null;
  readonly status: number;
  readonly code: string | null;
  readonly ms: number;
  /** What broke, where that was not foreseen. */
  readonly error: unknown;
}

export interface S3App {
  /** `signal`: the client is gone. That of the request is not used: Deno aborts it after every answer. */
  readonly fetch: (request: Request, signal?: AbortSignal) => Promise<Response>;
  /** An answer without looking at the request: for who bounds how many there are. */
  readonly slowDown: () => Response;
}

type Bindings = { call: Call; requestId: string };

export function s3App(options: S3Options): S3App {
  const routes = routesOf(options), keys = new SigningKeys();
  return {
    slowDown: () => {
      const id = newRequestId();
      return finish(
        errorResponse(new S3Error("SlowDown", undefined, [], [["retry-after", "1"]]), id, "", false),
        id,
      );
    },
    async fetch(request, signal = new AbortController().signal) {
      const id = newRequestId(), startedMs = performance.now();
      const incoming = new Incoming(request);
      let call: Call | null = null, response: Response, code: string | null = null, broken: unknown = null;
      try {
        call = new Call(request, options.domain ?? null, incoming, signal);
        response = request.method === "OPTIONS"
          ? preflight(await corsOf(options, call), request.headers)
          : await answer(call, id);
      } catch (error) {
        const told = asS3Error(error);
        code = told.code;
        if (told.code === "InternalError" || told.code === "ServiceUnavailable") broken = error;
        response = errorResponse(told, id, call?.path ?? "", request.method === "HEAD");
        await incoming.drain();
      }
      finish(response, id);
      // Where there is no body, Deno gives no leave to send it, and botocore that waits for leave and gets the answer takes
      // the next answer on the same connection for none: so there is no next one.
      if (request.headers.has("expect") && request.headers.get("content-length") === "0") {
        response.headers.set("connection", "close");
      }
      const origin = request.headers.get("origin");
      if (origin !== null && call !== null && request.method !== "OPTIONS") {
        const rules = await corsOf(options, call).catch(() => []);
        allowOrigin(rules, origin, request.method, response.headers);
      }
      options.log?.({
        ...{ id, method: request.method, code, error: broken, status: response.status },
        ...{ route: call?.route ?? "", bucket: call?.bucketOrNull ?? null, who: call?.who ?? null },
        ms: performance.now() - startedMs,
      });
      return response;
    },
  };

  async function answer(call: Call, requestId: string): Promise<Response> {
    await admit(options, call, keys);
    return await routes.fetch(call.request, { call, requestId });
  }
}

async function admit(
  { storeFor, credentials, now }: S3Options,
  call: Call,
  keys: SigningKeys,
): Promise<void> {
  if (credentials === null) {
    call.admit(null, storeFor(null));
  } else {
    const { method } = call.request, { path, query, host } = call;
    const identity = await authenticate(
      { method, path, query, headers: call.request.headers, host },
      credentials,
      now(),
      keys,
    );
    if (identity === null) throw new S3Error("AccessDenied", "The request is not signed");
    call.payload = identity.payload;
    call.signer = identity.chunks;
    call.admit(identity.accessId, storeFor(identity.accessId));
  }
  const expected = call.header("x-amz-expected-bucket-owner");
  if (expected !== null && call.bucketOrNull !== null) {
    const { owner } = await call.store.bucket(call.bucketOrNull);
    if (owner !== expected) throw new S3Error("AccessDenied", "The bucket belongs to another");
  }
}

async function corsOf(options: S3Options, call: Call): Promise<readonly CorsRule[]> {
  if (call.bucketOrNull === null) return [];
  if (options.corsOf !== undefined) return await options.corsOf(call.bucketOrNull);
  return options.credentials === null ? (await options.storeFor(null).bucket(call.bucketOrNull)).cors : [];
}

function errorResponse(error: S3Error, id: string, resource: string, isHead: boolean): Response {
  const headers = new Headers();
  for (const [name, value] of error.headers) headers.set(name, value);
  if (isHead || error.status === 304) return new Response(null, { status: error.status, headers });
  headers.set("content-type", "application/xml");
  return new Response(xmlDocument(errorElement(error, id, resource)), { status: error.status, headers });
}

function finish(response: Response, id: string): Response {
  response.headers.set("x-amz-request-id", id);
  response.headers.set("x-amz-id-2", hostId(id));
  response.headers.set("server", "SpaceOpera");
  return response;
}

/** Routes are what Call.route says: hono picks among them by that and the method. GET stands for HEAD too. */
function routesOf({ region }: S3Options): Hono<{ Bindings: Bindings }> {
  const app = new Hono<{ Bindings: Bindings }>({
    getPath: (_, given) => {
      const env: Bindings | undefined = given?.env;
      return env?.call.route ?? "/";
    },
  });
  const on = (method: string, path: string, handler: Handler) =>
    app.on(
      method,
      path,
      ({ env: { call, requestId } }) => handler({ call, store: call.store, region, requestId }),
    );

  on("GET", "/service", buckets.listBuckets);

  app.get("/bucket", ({ env: { call, requestId } }) => {
    const handler = call.isHead ? buckets.headBucket : listObjects;
    return handler({ call, store: call.store, region, requestId });
  });
  on("PUT", "/bucket", buckets.createBucket);
  on("DELETE", "/bucket", buckets.deleteBucket);
  on("POST", "/bucket/delete", objects.deleteObjects);
  on("GET", "/bucket/versions", listVersions);
  on("GET", "/bucket/uploads", listUploads);
  on("GET", "/bucket/location", buckets.getLocation);
  on("GET", "/bucket/versioning", buckets.getVersioning);
  on("PUT", "/bucket/versioning", buckets.putVersioning);
  on("GET", "/bucket/tagging", buckets.getBucketTags);
  on("PUT", "/bucket/tagging", buckets.putBucketTags);
  on("DELETE", "/bucket/tagging", buckets.deleteBucketTags);
  on("GET", "/bucket/lifecycle", getLifecycle);
  on("PUT", "/bucket/lifecycle", putLifecycle);
  on("DELETE", "/bucket/lifecycle", deleteLifecycle);
  on("GET", "/bucket/cors", getCors);
  on("PUT", "/bucket/cors", putCors);
  on("DELETE", "/bucket/cors", deleteCors);
  on("GET", "/bucket/acl", buckets.getAcl);
  on("PUT", "/bucket/acl", buckets.putAcl);

  on("GET", "/bucket/policy", buckets.notSet("NoSuchBucketPolicy"));
  on("GET", "/bucket/policyStatus", buckets.notSet("NoSuchBucketPolicy"));
  on("GET", "/bucket/encryption", buckets.notSet("ServerSideEncryptionConfigurationNotFoundError"));
  on("GET", "/bucket/website", buckets.notSet("NoSuchWebsiteConfiguration"));
  on("GET", "/bucket/replication", buckets.notSet("ReplicationConfigurationNotFoundError"));
  on("GET", "/bucket/object-lock", buckets.notSet("ObjectLockConfigurationNotFoundError"));
  on("GET", "/bucket/publicAccessBlock", buckets.notSet("NoSuchPublicAccessBlockConfiguration"));
  on("GET", "/bucket/ownershipControls", buckets.notSet("OwnershipControlsNotFoundError"));
  on("GET", "/bucket/notification", buckets.defaults(xml("NotificationConfiguration")));
  on("GET", "/bucket/logging", buckets.defaults(xml("BucketLoggingStatus")));
  on("GET", "/bucket/accelerate", buckets.defaults(xml("AccelerateConfiguration")));
  const payer = xml("RequestPaymentConfiguration", [xml("Payer", "BucketOwner")]);
  on("GET", "/bucket/requestPayment", buckets.defaults(payer));
  for (
    const name of ["policy", "encryption", "website", "replication", "publicAccessBlock", "ownershipControls"]
  ) {
    on("DELETE", `/bucket/${name}`, buckets.removeNothing);
  }

  on("GET", "/object", objects.getObject);
  on("PUT", "/object", objects.putObject);
  on("PUT", "/object/copy", copyObject);
  on("DELETE", "/object", objects.deleteObject);
  on("GET", "/object/tagging", objects.getTags);
  on("PUT", "/object/tagging", objects.putTags);
  on("DELETE", "/object/tagging", objects.deleteTags);
  on("GET", "/object/attributes", objects.getAttributes);
  on("GET", "/object/acl", buckets.getAcl);
  on("PUT", "/object/acl", buckets.putAcl);
  on("GET", "/object/retention", buckets.notSet("NoSuchObjectLockConfiguration"));
  on("GET", "/object/legal-hold", buckets.notSet("NoSuchObjectLockConfiguration"));
  on("POST", "/object/uploads", createUpload);
  on("PUT", "/object/upload/part", putPart);
  on("PUT", "/object/upload/part/copy", copyPart);
  on("GET", "/object/upload", listParts);
  on("POST", "/object/upload", completeUpload);
  on("DELETE", "/object/upload", abortUpload);

  app.notFound(({ env: { call } }) => {
    throw call.keyOrNull === null && call.bucketOrNull === null && call.method !== "GET"
      ? new S3Error("MethodNotAllowed")
      : new S3Error("NotImplemented", `Space Opera does not have ${call.method} of ${call.route.slice(1)}`);
  });
  app.onError((error) => {
    throw error;
  });
  return app;
}
