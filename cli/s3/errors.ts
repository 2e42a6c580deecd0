/**
 * What S3 calls its errors. A handler throws S3Error or lets an ObjectError of the store through; app.ts makes the
 * answer of it.
 */
import { ObjectError, type ObjectProblem } from "../../core/objects/types.ts";

/** Status and what is said when the thrower has nothing better to say. */
const CODES = {
  AccessDenied: [403, "Access denied"],
  AccessForbidden: [403, "CORSResponse: this CORS request is not allowed"],
  AuthorizationHeaderMalformed: [400, "The Authorization header is malformed"],
  AuthorizationQueryParametersError: [400, "The query parameters of the signature are malformed"],
  BadDigest: [400, "The digest given is not that of the body received"],
  BucketAlreadyExists: [409, "The bucket exists and belongs to another"],
  BucketAlreadyOwnedByYou: [409, "The bucket exists already and is yours"],
  BucketNotEmpty: [409, "The bucket is not empty"],
  EntityTooLarge: [400, "The body is larger than may be"],
  EntityTooSmall: [400, "A part other than the last is smaller than 5 MiB"],
  IncompleteBody: [400, "The body has fewer bytes than announced"],
  InternalError: [500, "Something broke inside; try again"],
  InvalidAccessKeyId: [403, "No such access key"],
  InvalidArgument: [400, "Invalid argument"],
  InvalidBucketName: [400, "A bucket's name has 3 to 63 of a-z, 0-9, '-' and '.'"],
  InvalidDigest: [400, "The Content-MD5 given is none"],
  InvalidPart: [400, "A part named was not uploaded, or its ETag is another"],
  InvalidPartNumber: [416, "The object has no such part"],
  InvalidPartOrder: [400, "The parts are not in rising order"],
  InvalidRange: [416, "Nothing of the object lies in the range asked for"],
  InvalidRequest: [400, "Invalid request"],
  InvalidStorageClass: [400, "The only storage class is STANDARD"],
  InvalidTag: [400, "Invalid tag"],
  InvalidURI: [400, "The path is not well-formed"],
  KeyTooLongError: [400, "A key has at most 1,024 bytes"],
  MalformedTrailerError: [400, "The trailer is malformed"],
  MalformedXML: [400, "The XML is not well-formed, or not what is asked for here"],
  MaxMessageLengthExceeded: [400, "The document is too large"],
  MetadataTooLarge: [400, "Metadata has at most 2 KiB"],
  MethodNotAllowed: [405, "The method is not allowed on this"],
  MissingContentLength: [411, "Say x-amz-decoded-content-length"],
  NoSuchBucket: [404, "No such bucket"],
  NoSuchBucketPolicy: [404, "The bucket has no policy"],
  NoSuchCORSConfiguration: [404, "The bucket has no CORS configuration"],
  NoSuchKey: [404, "No such key"],
  NoSuchLifecycleConfiguration: [404, "The bucket has no lifecycle configuration"],
  NoSuchObjectLockConfiguration: [404, "The object has no lock"],
  NoSuchPublicAccessBlockConfiguration: [404, "The bucket has no public access block"],
  NoSuchTagSet: [404, "The bucket has no tags"],
  NoSuchUpload: [404, "No such upload; it may be complete, or given up"],
  NoSuchVersion: [404, "No such version"],
  NoSuchWebsiteConfiguration: [404, "The bucket is no website"],
  NotImplemented: [501, "Space Opera does not have this"],
  NotModified: [304, "Not modified"],
  ObjectLockConfigurationNotFoundError: [404, "The bucket locks no objects"],
  OperationAborted: [409, "Another request changed the same thing at the same time; try again"],
  OwnershipControlsNotFoundError: [404, "The bucket has no ownership controls"],
  PreconditionFailed: [412, "A condition of the request does not hold"],
  ReplicationConfigurationNotFoundError: [404, "The bucket has no replication configuration"],
  RequestTimeout: [400, "Nothing came of the body for too long"],
  RequestTimeTooSkewed: [403, "The clocks of client and node differ by more than 15 minutes"],
  ServerSideEncryptionConfigurationNotFoundError: [404, "The bucket has no encryption configuration"],
  ServiceUnavailable: [503, "Not enough members can be reached now; try again"],
  SignatureDoesNotMatch: [403, "The signature is not the one that this request and the secret make"],
  SlowDown: [503, "Too many requests at once; try again"],
  XAmzContentSHA256Mismatch: [400, "The x-amz-content-sha256 given is not that of the body received"],
} as const satisfies Record<string, readonly [number, string]>;

export type S3Code = keyof typeof CODES;

export class S3Error extends Error {
  override readonly name = "S3Error";
  readonly status: number;
  constructor(
    readonly code: S3Code,
    message?: string,
    /** More elements of the answer's XML. */
    readonly details: readonly (readonly [string, string])[] = [],
    /** More headers of the answer. */
    readonly headers: readonly (readonly [string, string])[] = [],
  ) {
    super(message ?? CODES[code][1]);
    this.status = CODES[code][0];
  }
}

const PROBLEMS: { readonly [problem in ObjectProblem]: S3Code } = {
  "invalid": "InvalidArgument",
  "too-large": "EntityTooLarge",
  "too-small": "EntityTooSmall",
  "no-such-bucket": "NoSuchBucket",
  "no-such-key": "NoSuchKey",
  "no-such-version": "NoSuchVersion",
  "no-such-upload": "NoSuchUpload",
  "deleted": "NoSuchKey",
  "bucket-exists": "BucketAlreadyExists",
  "bucket-not-empty": "BucketNotEmpty",
  "precondition": "PreconditionFailed",
  "not-modified": "NotModified",
  "range": "InvalidRange",
  "invalid-part": "InvalidPart",
  "invalid-part-order": "InvalidPartOrder",
  "bad-digest": "BadDigest",
  "conflict": "OperationAborted",
  "denied": "AccessDenied",
  "no-space": "ServiceUnavailable",
  "unavailable": "ServiceUnavailable",
  "damaged": "InternalError",
};

/** Whatever was thrown, as S3 says it. What is not foreseen says nothing of itself: it may name files or keys. */
export function asS3Error(error: unknown): S3Error {
  if (error instanceof S3Error) return error;
  if (!(error instanceof ObjectError)) return new S3Error("InternalError");
  return new S3Error(PROBLEMS[error.problem], error.message === "" ? undefined : error.message);
}
