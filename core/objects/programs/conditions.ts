/** Conditions of HTTP, as S3 judges them. */
import { type Conditions, ObjectError, type ObjectVersion } from "../types.ts";
import { quote } from "./names.ts";

/**
 * Whether something may be written where `newest` is (null or a delete marker: there is nothing).
 * @throws {ObjectError} "precondition"; "no-such-key" where If-Match finds nothing
 */
export function judgeWrite(
  conditions: Conditions | undefined,
  key: string,
  newest: ObjectVersion | null,
): void {
  if (conditions === undefined) return;
  const { ifMatch, ifNoneMatch, ifUnmodifiedSinceMs } = conditions;
  const found = newest === null || newest.deleted ? null : newest;
  if (ifMatch !== undefined) {
    if (found === null) {
      throw new ObjectError(
        "no-such-key",
        `There is no object ${quote(key)} that could match (If-Match)`,
        newest,
      );
    }
    if (!matches(ifMatch, found)) throw failed(key, found, "has none of the ETags asked for (If-Match)");
  }
  if (ifNoneMatch !== undefined && found !== null && matches(ifNoneMatch, found)) {
    throw failed(
      key,
      found,
      ifNoneMatch.includes("*") ? "exists (If-None-Match: *)" : "has that ETag (If-None-Match)",
    );
  }
  if (ifUnmodifiedSinceMs !== undefined && found !== null && isAfter(found, ifUnmodifiedSinceMs)) {
    throw failed(key, found, "was changed since (If-Unmodified-Since)");
  }
}

/**
 * Whether a version is to be read: If-Match goes before If-Unmodified-Since, and If-None-Match before If-Modified-Since.
 * @throws {ObjectError} "precondition" or "not-modified"
 */
export function judgeRead(conditions: Conditions | undefined, key: string, version: ObjectVersion): void {
  if (conditions === undefined) return;
  const { ifMatch, ifNoneMatch, ifModifiedSinceMs, ifUnmodifiedSinceMs } = conditions;
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, version)) throw failed(key, version, "has none of the ETags asked for (If-Match)");
  } else if (ifUnmodifiedSinceMs !== undefined && isAfter(version, ifUnmodifiedSinceMs)) {
    throw failed(key, version, "was changed since (If-Unmodified-Since)");
  }
  const unchanged = ifNoneMatch !== undefined
    ? matches(ifNoneMatch, version)
    : ifModifiedSinceMs !== undefined && !isAfter(version, ifModifiedSinceMs);
  if (unchanged) {
    throw new ObjectError("not-modified", `The object ${quote(key)} is as the caller has it`, version);
  }
}

function matches(etags: readonly string[], version: ObjectVersion): boolean {
  return etags.some((etag) => etag === "*" || bare(etag) === version.etag);
}
/** Without quotes, and without the mark of a weak one. */
export function bare(etag: string): string {
  return etag.replace(/^(?:W\/)?"(.*)"$/, "$1");
}
/** Dates of HTTP have whole seconds. */
function isAfter(version: ObjectVersion, ms: number): boolean {
  return Math.floor(version.modifiedMs / 1000) > Math.floor(ms / 1000);
}
function failed(key: string, version: ObjectVersion, what: string): ObjectError {
  return new ObjectError("precondition", `The object ${quote(key)} ${what}`, version);
}
