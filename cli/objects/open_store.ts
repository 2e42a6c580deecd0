import * as buckets from "../../core/objects/programs/buckets.ts";
import { copy } from "../../core/objects/programs/copy.ts";
import { deleteObject, setTags } from "../../core/objects/programs/delete.ts";
import { getBody, head } from "../../core/objects/programs/get.ts";
import { list, listUploads, listVersions } from "../../core/objects/programs/list.ts";
import * as multipart from "../../core/objects/programs/multipart.ts";
import { put } from "../../core/objects/programs/put.ts";
import { getBucket } from "../../core/objects/programs/bucket_row.ts";
import { type ChunkRoom, type Sizes, World } from "../../core/objects/programs/world.ts";
import type { GetOptions, Program, Span } from "../../core/objects/types.ts";
import { partitionOf } from "../../core/placement/key.ts";
import { BodySink, BodySource } from "./bodies.ts";
import { drive, type Requests } from "./drive.ts";
import type { Body, Got, ObjectStore } from "./store.ts";

export type { Requests } from "./drive.ts";

export interface StoreOptions {
  /** For tests, which use small ones. */
  readonly sizes?: Partial<Sizes>;
  /** Shared with other stores. */
  readonly room?: ChunkRoom;
}

/**
 * Objects, with the rights that `client` has. It is not closed with anything: whoever made the client closes that.
 *
 * @example
 * ```ts ignore
 * const client = await connect({ addresses: ["127.0.0.1:7070"] });
 * const store = openStore(client);
 * await store.put({ bucket: "maps", key: "orion.jpg", bytes: null }, file.readable);
 * ```
 */
export function openStore(client: Requests, { sizes = {}, room }: StoreOptions = {}): ObjectStore {
  const world = new World({ partitionOf, sizes, ...(room === undefined ? {} : { room }) });

  const run = <T>(program: Program<T>, signal?: AbortSignal): Promise<T> =>
    drive(program, { requests: client, signal });

  const write = async <T>(program: Program<T>, body: Body, signal?: AbortSignal): Promise<T> => {
    const source = new BodySource(body);
    try {
      return await drive(program, { requests: client, source, signal });
    } finally {
      // What was not read is not wanted; what was, has ended.
      source.cancel();
    }
  };

  const read = (options: GetOptions, { version, span }: Omit<Got, "body">, signal?: AbortSignal): Got => {
    const { content } = version;
    if (content.kind === "inline") return { version, span, body: pieceOf(content.bytes, span) };
    const unwanted = new AbortController();
    const body = new BodySink({
      begin: () => {
        const program = getBody(world, options, version, span);
        // AbortSignal.any() costs more than many a read.
        const givesUp = () => unwanted.abort();
        if (signal?.aborted === true) givesUp();
        signal?.addEventListener("abort", givesUp, { once: true });
        drive(program, { requests: client, sink: body, signal: unwanted.signal })
          .then(() => body.end(), (error) => body.end({ error }))
          .finally(() => signal?.removeEventListener("abort", givesUp));
      },
      cancelled: () => unwanted.abort(),
    });
    return { version, span, body };
  };

  return {
    buckets: () => run(buckets.listBuckets(world)),
    bucket: (name) => run(getBucket(name)),
    createBucket: (name, options) => run(buckets.createBucket(name, options)),
    changeBucket: (name, change) => run(buckets.changeBucket(name, change)),
    deleteBucket: (name) => run(buckets.deleteBucket(world, name)),

    put: (options, body, signal) => write(put(world, options), body, signal),
    head: (options) => run(head(world, options)),
    get: async (options, signal) => read(options, await run(head(world, options), signal), signal),
    delete: (options) => run(deleteObject(world, options)),
    copy: (from, to, signal) => run(copy(world, from, to), signal),
    setTags: (options, tags) => run(setTags(world, options, tags)),
    list: (options) => run(list(world, options)),
    listVersions: (options) => run(listVersions(world, options)),

    createUpload: (options) => run(multipart.createUpload(world, options)),
    upload: (bucket, key, upload) => run(multipart.getUpload(bucket, key, upload)),
    putPart: (options, body, signal) => write(multipart.putPart(world, options), body, signal),
    copyPart: (from, to, signal) => run(multipart.copyPart(world, from, to), signal),
    listParts: (options) => run(multipart.listParts(world, options)),
    completeUpload: (options) => run(multipart.completeUpload(world, options)),
    abortUpload: (bucket, key, upload) => run(multipart.abortUpload(world, bucket, key, upload)),
    listUploads: (options) => run(listUploads(world, options)),
  };
}

async function* pieceOf(bytes: Uint8Array, { start, end }: Span): AsyncGenerator<Uint8Array, undefined> {
  if (start < end) yield bytes.slice(start, end);
}
