/** Which objects are meant: one by its name, those of a pattern, all below a prefix. */
import { type ListedVersions, ObjectError, type ObjectVersion } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { shown, tell } from "../../terminal.ts";
import { UsageError } from "../errors.ts";
import { isPattern, literalPrefix, matcher, unescaped } from "./glob.ts";
import { nameOf, type ObjectLocation } from "./location.ts";

/** As large as a page of a list may be. */
const PAGE = 1000;

export interface Selected {
  readonly bucket: string;
  readonly key: string;
  /** What it is called under what was named. */
  readonly relative: string;
  /** null: it was named, and nobody has looked. */
  readonly version: ObjectVersion | null;
}

/** All objects that begin with `prefix`, in the order of their keys. */
export async function* objectsBelow(
  store: ObjectStore,
  bucket: string,
  prefix: string,
): AsyncGenerator<{ readonly key: string; readonly version: ObjectVersion }> {
  for (let after: string | null = ""; after !== null;) {
    const page: Awaited<ReturnType<ObjectStore["list"]>> = await store.list({
      bucket,
      prefix,
      limit: PAGE,
      ...(after === "" ? {} : { after }),
    });
    warnOf(bucket, page.damaged);
    yield* page.objects;
    after = page.next;
  }
}

export type ListedVersion = ListedVersions["versions"][number];

/** All versions of objects that begin with `prefix`, in the order of their keys, the newest first. */
export async function* versionsOf(
  store: ObjectStore,
  bucket: string,
  prefix: string,
): AsyncGenerator<ListedVersion> {
  let next: ListedVersions["next"] = null;
  do {
    const page: ListedVersions = await store.listVersions({
      bucket,
      prefix,
      limit: PAGE,
      ...(next === null ? {} : { after: next.key }),
      ...(next?.version == null ? {} : { afterVersion: next.version }),
    });
    warnOf(bucket, page.damaged);
    yield* page.versions;
    next = page.next;
  } while (next !== null);
}

/** The versions of one object, the newest first. */
export async function* versionsOfKey(
  store: ObjectStore,
  { bucket, key }: { readonly bucket: string; readonly key: string },
): AsyncGenerator<ListedVersion> {
  // Its own are the first of those that begin so.
  for await (const each of versionsOf(store, bucket, key)) {
    if (each.key !== key) return;
    yield each;
  }
}

/** Records that nobody can read are told of: what is said of the others is not all. */
export function warnOf(bucket: string, damaged: readonly string[] = []): void {
  for (const key of damaged) {
    tell(`The record of "${shown(nameOf({ bucket, key }))}" is damaged and left out`);
  }
}

/** Nothing is there of what was meant. */
export class NothingError extends Error {}

/** The keys that a name stands for: those that begin with `prefix` and fit, where that is not null; and `alone`. */
export interface KeyRange {
  readonly prefix: string | null;
  readonly fits: (key: string) => boolean;
  /** One key, whether there is such an object or not. */
  readonly alone: string | null;
  /** So much of a key is not part of what it is called under what was named. */
  readonly folderLength: number;
}

/**
 * A pattern is matched with whole keys. With `recursive` a name stands for all that begins with it and "/", the name
 * itself included; a bucket for all that is in it.
 */
export function rangeOf({ bucket, key }: Omit<ObjectLocation, "kind">, recursive: boolean): KeyRange {
  if (isPattern(key)) {
    const prefix = literalPrefix(key);
    return { prefix, fits: matcher(key), alone: null, folderLength: prefix.lastIndexOf("/") + 1 };
  }
  const name = unescaped(key);
  const isFolder = name === "" || name.endsWith("/");
  const folderLength = name.lastIndexOf("/") + 1;
  const fits = () => true;
  if (recursive && isFolder) return { prefix: name, fits, alone: null, folderLength };
  // Not all that begins with the name: that may be much more, and another's.
  if (recursive) return { prefix: `${name}/`, fits, alone: name, folderLength };
  if (isFolder) {
    const whole = nameOf({ bucket, key });
    throw new UsageError(`"${whole}" is no object; add --recursive for all that is below it`);
  }
  return { prefix: null, fits, alone: name, folderLength };
}

/** The objects that `location` means. @throws {NothingError} where it may mean several, and there are none */
export async function* selected(
  store: ObjectStore,
  location: ObjectLocation,
  recursive: boolean,
): AsyncGenerator<Selected> {
  const { bucket } = location;
  const { prefix, fits, alone, folderLength } = rangeOf(location, recursive);
  const relative = (key: string) => key.slice(folderLength);
  if (prefix === null) {
    if (alone !== null) yield { bucket, key: alone, relative: relative(alone), version: null };
    return;
  }
  let found = false;
  if (alone !== null) {
    const version = await versionOf(store, bucket, alone);
    if (version !== null) {
      found = true;
      yield { bucket, key: alone, relative: relative(alone), version };
    }
  }
  for await (const object of objectsBelow(store, bucket, prefix)) {
    if (!fits(object.key)) continue;
    found = true;
    yield { bucket, ...object, relative: relative(object.key) };
  }
  if (found) return;
  const what = isPattern(location.key) ? "No object is like" : "Nothing is below";
  throw new NothingError(`${what} "${nameOf(location)}"`);
}

/** null: there is none, or none that this access key may see. */
async function versionOf(store: ObjectStore, bucket: string, key: string): Promise<ObjectVersion | null> {
  try {
    return (await store.head({ bucket, key })).version;
  } catch (error) {
    const isNone = error instanceof ObjectError &&
      ["no-such-key", "deleted", "denied"].includes(error.problem);
    if (!isNone) throw error;
    return null;
  }
}
