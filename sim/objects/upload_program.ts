/** An object in parts, as one program of the workload. */
import { put } from "../../core/objects/programs/put.ts";
import type { World } from "../../core/objects/programs/world.ts";
import type { ObjectVersion, Pair, Program } from "../../core/objects/types.ts";

export interface UploadPlan {
  readonly bucket: string;
  readonly key: string;
  readonly metadata: readonly Pair[];
  /** Bytes of each part, which are read from the body one after the other. */
  readonly parts: readonly number[];
  /** In the end it is thrown away. */
  readonly aborts: boolean;
}

/** null: it was aborted. */
export function* makeUpload(world: World, plan: UploadPlan): Program<ObjectVersion | null> {
  const { bucket, key, metadata } = plan;
  return yield* put(world, { bucket, key, bytes: null, metadata });
}
