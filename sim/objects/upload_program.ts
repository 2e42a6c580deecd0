/** An object in parts, as one program of the workload. */
import { abortUpload, completeUpload, createUpload, putPart } from "../../core/objects/programs/multipart.ts";
import type { World } from "../../core/objects/programs/world.ts";
import type { Answer, ObjectVersion, Pair, Program } from "../../core/objects/types.ts";

export interface UploadPlan {
  readonly bucket: string;
  readonly key: string;
  readonly metadata: readonly Pair[];
  readonly parts: readonly Uint8Array[];
  /** Written as the first part before it is: what is replaced. */
  readonly draft: Uint8Array | null;
  /** Written, and not named in the end. */
  readonly surplus: Uint8Array | null;
  /** In the end it is thrown away. */
  readonly aborts: boolean;
}

/** null: it was aborted. */
export function* makeUpload(world: World, plan: UploadPlan): Program<ObjectVersion | null> {
  const { bucket, key, metadata, parts, draft, surplus } = plan;
  const { id: upload } = yield* createUpload(world, { bucket, key, metadata });
  const write = function* (part: number, body: Uint8Array) {
    const program = putPart(world, { bucket, key, upload, part, bytes: part % 2 === 0 ? null : body.length });
    return { number: part, etag: (yield* withBody(program, body)).etag };
  };
  if (draft !== null) yield* write(1, draft);
  const named: { readonly number: number; readonly etag: string }[] = [];
  for (const [i, body] of parts.entries()) named.push(yield* write(2 * i + 1, body));
  if (surplus !== null) yield* write(2, surplus);
  if (!plan.aborts) return yield* completeUpload(world, { bucket, key, upload, parts: named });
  yield* abortUpload(world, bucket, key, upload);
  return null;
}

/** Gives a program a body of its own to read. */
export function* withBody<T>(program: Program<T>, body: Uint8Array): Program<T> {
  let at = 0, answer: Answer = undefined;
  for (;;) {
    const next = program.next(answer);
    if (next.done === true) return next.value;
    const ask = next.value;
    if (ask.kind === "read") {
      answer = body.slice(at, at + ask.bytes);
      at += ask.bytes;
    } else answer = yield ask;
  }
}
