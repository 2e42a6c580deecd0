/** What names, metadata and tags must keep to. All throw ObjectError "invalid" or "too-large". */
import { utf8Length } from "../../base/bytes.ts";
import { LIMITS } from "../../base/limits.ts";
import { ObjectError, type Pair } from "../types.ts";

/** S3's rules: 3 to 63 of a-z, 0-9, "-" and ".", letter or digit at both ends, no "..", not like an IPv4 address. */
export function checkBucketName(name: string): void {
  const wrong = name.length < 3 || name.length > LIMITS.bucketNameBytesMax ||
    !/^[a-z0-9][a-z0-9.-]*[a-z0-9]$/.test(name) || name.includes("..") ||
    /^\d+\.\d+\.\d+\.\d+$/.test(name) || name.startsWith("xn--") || name.endsWith("-s3alias");
  if (!wrong) return;
  throw new ObjectError(
    "invalid",
    `A bucket's name has 3 to 63 characters of a-z, 0-9, "-" and ".", begins and ends with a letter or digit, has no ".." and is ` +
      `no IP address; ${quote(name)} is none`,
  );
}

export function checkKey(key: string): void {
  if (key.length === 0) throw new ObjectError("invalid", "An object's key has at least 1 byte; name one");
  if (!key.isWellFormed() || key.includes("\0")) {
    throw new ObjectError(
      "invalid",
      `An object's key is well-formed Unicode without U+0000, and ${quote(key)} is not`,
    );
  }
  const bytes = utf8Length(key);
  if (bytes <= LIMITS.objectKeyBytesMax) return;
  throw new ObjectError(
    "too-large",
    `An object's key has at most ${LIMITS.objectKeyBytesMax} bytes in UTF-8 (objectKeyBytesMax), not ${bytes}; shorten it`,
  );
}

/** Sorted by name. */
export function checkedMetadata(pairs: readonly Pair[]): Pair[] {
  const bytes = sumOf(pairs);
  if (bytes > LIMITS.metadataBytesMax) {
    throw new ObjectError(
      "too-large",
      `An object's metadata has at most ${LIMITS.metadataBytesMax} bytes (metadataBytesMax), not ${bytes}`,
    );
  }
  checkNames(pairs, "metadata");
  return pairs.toSorted(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
}

export function checkTags(tags: readonly Pair[], max: number = LIMITS.tagsMax): void {
  if (tags.length > max) {
    throw new ObjectError("invalid", `There are at most ${max} tags, not ${tags.length}; leave some out`);
  }
  checkNames(tags, "tags");
  for (const [name, value] of tags) {
    if (name.length > 0 && name.length <= TAG_NAME_MAX && value.length <= TAG_VALUE_MAX) continue;
    throw new ObjectError(
      "invalid",
      `A tag's name has 1 to ${TAG_NAME_MAX} characters and its value up to ${TAG_VALUE_MAX}; ${
        quote(name)
      } has ` +
        `${name.length} and ${value.length}`,
    );
  }
}

/** Enough of a name to know it again. */
export function quote(name: string): string {
  return JSON.stringify(name.length <= 200 ? name : `${name.slice(0, 197)}…`);
}

const TAG_NAME_MAX = 128, TAG_VALUE_MAX = 256;

function checkNames(pairs: readonly Pair[], what: string): void {
  const seen = new Set<string>();
  for (const [name, value] of pairs) {
    if (!name.isWellFormed() || !value.isWellFormed() || utf8Length(name) > 1024) {
      throw new ObjectError(
        "invalid",
        `The names and values of ${what} are well-formed text; ${quote(name)} is not`,
      );
    }
    if (seen.has(name)) throw new ObjectError("invalid", `The ${what} name ${quote(name)} twice`);
    seen.add(name);
  }
}
function sumOf(pairs: readonly Pair[]): number {
  return pairs.reduce((sum, [name, value]) => sum + utf8Length(name) + utf8Length(value), 0);
}
