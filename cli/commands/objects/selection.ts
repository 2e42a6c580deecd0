/** Which objects are meant: one by its name, those of a pattern, all below a prefix. */
import type { ObjectVersion } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
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
    yield* page.objects;
    after = page.next;
  }
}

/**
 * What `location` means. A pattern is matched with whole keys. With `recursive` a name stands for all that begins with
 * it and "/", the name itself included; a bucket for all that is in it.
 */
export async function* selected(
  store: ObjectStore,
  { bucket, key }: ObjectLocation,
  recursive: boolean,
): AsyncGenerator<Selected> {
  if (isPattern(key)) {
    const fits = matcher(key), prefix = literalPrefix(key);
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    let found = false;
    for await (const object of objectsBelow(store, bucket, prefix)) {
      if (!fits(object.key)) continue;
      found = true;
      yield { bucket, ...object, relative: object.key.slice(folder.length) };
    }
    if (!found) throw new Error(`No object is like "${nameOf({ bucket, key })}"`);
    return;
  }
  const name = unescaped(key);
  if (!recursive) {
    if (name === "" || name.endsWith("/")) {
      throw new UsageError(
        `"${nameOf({ bucket, key })}" is no object; add --recursive to take all that is below it`,
      );
    }
    return yield { bucket, key: name, relative: name.slice(name.lastIndexOf("/") + 1), version: null };
  }
  const isFolder = name === "" || name.endsWith("/");
  const folder = isFolder ? name : name.slice(0, name.lastIndexOf("/") + 1);
  let found = false;
  for await (const object of objectsBelow(store, bucket, name)) {
    if (!isFolder && object.key !== name && !object.key.startsWith(`${name}/`)) continue;
    found = true;
    yield { bucket, ...object, relative: object.key.slice(isFolder ? name.length : folder.length) };
  }
  if (!found) throw new Error(`Nothing is below "${nameOf({ bucket, key: name })}"`);
}
