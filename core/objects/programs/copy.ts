/** Copies: a version read and written again, within one program. */
import type { GetOptions, ObjectVersion, Program, PutOptions } from "../types.ts";
import { head, openVersion, resolve } from "./get.ts";
import { putFrom } from "./put.ts";
import type { World } from "./world.ts";

/** Unless others are given, metadata and tags go with it. */
export function* copy(
  world: World,
  from: GetOptions,
  to: Omit<PutOptions, "bytes" | "md5">,
): Program<ObjectVersion> {
  const { version, span } = yield* head(world, from);
  const { metadata = version.metadata, tags = version.tags } = to;
  const reader = yield* openVersion(world, from, version, span);
  try {
    return yield* putFrom(world, { ...to, metadata, tags, bytes: span.end - span.start }, reader);
  } catch (error) {
    yield* reader.close();
    throw error;
  }
}

/** Makes an older version the newest again, as a new version with its content, metadata and tags. */
export function* restore(
  world: World,
  options: {
    readonly bucket: string;
    readonly key: string;
    readonly version: string;
    readonly owner?: string;
  },
): Program<ObjectVersion> {
  const { bucket, key, version, owner } = options;
  const found = yield* resolve(world, { bucket, key, version });
  return yield* copy(world, { bucket, key, version: found.version.id }, {
    bucket,
    key,
    owner: owner ?? found.version.owner,
  });
}
