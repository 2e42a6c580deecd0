/** Programs of the workload that make or list several things. */
import { createBucket, listBuckets } from "../../core/objects/programs/buckets.ts";
import { list, listVersions } from "../../core/objects/programs/list.ts";
import type { World } from "../../core/objects/programs/world.ts";
import {
  type Listed,
  ObjectError,
  type ObjectVersion,
  type Program,
  type Versioning,
} from "../../core/objects/types.ts";
import type { Scheme } from "../../core/wire/objects.ts";

export interface BucketPlan {
  readonly name: string;
  readonly scheme: Scheme | null;
  readonly versioning: Versioning;
}

/** Makes those that are not there yet. */
export function* createBuckets(world: World, plans: readonly BucketPlan[]): Program<void> {
  const there = new Set((yield* listBuckets(world)).map(({ name }) => name));
  for (const { name, scheme, versioning } of plans) {
    if (there.has(name)) continue;
    try {
      yield* createBucket(name, { scheme, versioning });
    } catch (error) {
      if (!(error instanceof ObjectError)) throw error;
      // What the network is too small for is kept as it can be.
      if (error.problem === "too-small") yield* createBucket(name, { scheme: null, versioning });
      else if (error.problem !== "bucket-exists") throw error;
    }
  }
}

export function listKeys(world: World, bucket: string, limit: number): Program<Listed> {
  return list(world, { bucket, limit });
}

/** All versions of one key, newest first, markers among them. */
export function* listOwn(world: World, bucket: string, key: string): Program<ObjectVersion[]> {
  const found: ObjectVersion[] = [];
  let after: { readonly after?: string; readonly afterVersion?: string } = {};
  for (;;) {
    const { versions, next } = yield* listVersions(world, { bucket, prefix: key, limit: 5, ...after });
    for (const each of versions) if (each.key === key) found.push(each.version);
    if (next === null) return found;
    after = { after: next.key, ...(next.version === null ? {} : { afterVersion: next.version }) };
  }
}
