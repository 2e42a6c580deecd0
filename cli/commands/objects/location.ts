/** How commands name things: `so://bucket/key` in the network, `-` for standard input and output, anything else a file. */
import { UsageError } from "../errors.ts";

export const SCHEME = "so://";

export interface ObjectLocation {
  readonly kind: "object";
  readonly bucket: string;
  /** "" is the bucket itself. */
  readonly key: string;
}
export type Location =
  | ObjectLocation
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "pipe" };

export function parseLocation(text: string): Location {
  if (text === "-") return { kind: "pipe" };
  if (text.startsWith(SCHEME)) return parseObject(text);
  if (/^[a-z][a-z0-9+]*:\/\//i.test(text)) {
    throw new UsageError(`"${text}" is no place that is known here; objects are named ${SCHEME}BUCKET/KEY`);
  }
  if (text === "") {
    throw new UsageError(`A name is empty; objects are named ${SCHEME}BUCKET/KEY, files as usual`);
  }
  return { kind: "file", path: text };
}

/** @throws {UsageError} where `text` names no object or bucket */
export function parseObject(text: string): ObjectLocation {
  if (!text.startsWith(SCHEME)) {
    throw new UsageError(`"${text}" does not name an object; write ${SCHEME}BUCKET/KEY`);
  }
  const rest = text.slice(SCHEME.length);
  const slash = rest.indexOf("/");
  const bucket = slash < 0 ? rest : rest.slice(0, slash);
  if (bucket === "") throw new UsageError(`"${text}" names no bucket; write ${SCHEME}BUCKET/KEY`);
  return { kind: "object", bucket, key: slash < 0 ? "" : rest.slice(slash + 1) };
}

/** An argument's parser: one object, not a bucket. */
export function parseKey(text: string): ObjectLocation {
  const location = parseObject(text);
  if (location.key === "") {
    throw new UsageError(
      `"${text}" names a bucket; name an object in it, as in "${nameOf({ ...location, key: "KEY" })}"`,
    );
  }
  return location;
}

export function parseBucket(text: string): string {
  const { bucket, key } = parseObject(text.startsWith(SCHEME) ? text : `${SCHEME}${text}`);
  if (key !== "") {
    throw new UsageError(`"${text}" names an object; name its bucket alone, as in "${SCHEME}${bucket}"`);
  }
  return bucket;
}

export function nameOf({ bucket, key }: { readonly bucket: string; readonly key: string }): string {
  return `${SCHEME}${bucket}/${key}`;
}
