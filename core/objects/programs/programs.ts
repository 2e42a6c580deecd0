/**
 * All programs on objects, under the names of ObjectStore (cli/objects/store.ts). A driver answers what they ask (Ask in ../types.ts), and
 * forgets what was begun and not waited for when one ends.
 *
 * What a program throws to its caller is an ObjectError. A driver that gives up for a reason of its own throws into the generator, so
 * that the program can tidy up; one that is abandoned leaves nothing that does not go by itself.
 *
 * put.ts, draft.ts and change.ts have the heart of it: how bytes become chunks, and how rows change. The invariants: W in draft.ts, P in
 * change.ts, G in garbage.ts, B in buckets.ts, U in multipart.ts.
 */
export { changeBucket, createBucket, deleteBucket, getBucket, listBuckets } from "./buckets.ts";
export { copy, restore } from "./copy.ts";
export { deleteObject, idShown, setTags } from "./delete.ts";
export { collect } from "./garbage.ts";
export { getBody, head } from "./get.ts";
export { list, listUploads, listVersions } from "./list.ts";
export { maintain, type Maintained, type MaintainOptions } from "./maintain.ts";
export {
  abortUpload,
  completeUpload,
  copyPart,
  createUpload,
  getUpload,
  listParts,
  putPart,
} from "./multipart.ts";
export { put } from "./put.ts";
export { DEFAULT_SCHEME, type Sizes, World, type WorldOptions } from "./world.ts";
