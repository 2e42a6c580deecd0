/** Conditional headers and ranges, for the object itself and for the source of a copy. */
import type { ByteRange, Conditions } from "../../core/objects/types.ts";
import { parseHttpDate, parseWhole } from "./encoding.ts";
import { S3Error } from "./errors.ts";

/** `prefix`: "" or "x-amz-copy-source-". An ETag outweighs a date (RFC 9110, 13.2.2), so the date is left out then. */
export function readConditions(headers: Headers, prefix = ""): Conditions {
  const ifMatch = readEtags(headers.get(`${prefix}if-match`));
  const ifNoneMatch = readEtags(headers.get(`${prefix}if-none-match`));
  const unmodified = readDate(headers.get(`${prefix}if-unmodified-since`));
  const modified = readDate(headers.get(`${prefix}if-modified-since`));
  return {
    ...(ifMatch === null ? {} : { ifMatch }),
    ...(ifNoneMatch === null ? {} : { ifNoneMatch }),
    ...(unmodified === null || ifMatch !== null ? {} : { ifUnmodifiedSinceMs: unmodified + 999 }),
    ...(modified === null || ifNoneMatch !== null ? {} : { ifModifiedSinceMs: modified + 999 }),
  };
}

/** Puts and deletes are judged by ETags alone. */
export function readWriteConditions(headers: Headers): Conditions {
  const { ifMatch, ifNoneMatch } = readConditions(headers);
  return {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
  };
}

/** Without quotes. A weak ETag is compared as if it were not: ours are all strong. */
export function unquote(etag: string): string {
  return etag.trim().replace(/^W\//, "").replace(/^"(.*)"$/, "$1");
}

function readEtags(text: string | null): string[] | null {
  if (text === null) return null;
  const etags = text.split(",").map(unquote).filter((etag) => etag !== "");
  if (etags.length === 0) throw new S3Error("InvalidArgument", "A condition names no ETag");
  return etags;
}

/** A date that is none is no condition (RFC 9110, 13.1.3). HTTP dates have whole seconds, so they mean all of theirs. */
function readDate(text: string | null): number | null {
  return text === null ? null : parseHttpDate(text);
}

/** One range; null: there is none, or what is there is none or more than one, and the whole is given (RFC 9110, 14.2). */
export function readRange(text: string | null): ByteRange | null {
  const match = /^bytes=(\d{0,16})-(\d{0,16})$/.exec(text?.trim() ?? "");
  const [, first = "", last = ""] = match ?? [];
  const start = parseWhole(first, 0, Number.MAX_SAFE_INTEGER),
    end = parseWhole(last, 0, Number.MAX_SAFE_INTEGER);
  if (match === null || (start === null && end === null)) return null;
  if (start === null) return end === null ? null : { kind: "last", bytes: end };
  return end !== null && end < start ? null : { kind: "from", start, end };
}
