/** What a transfer is made of: each thing to carry, from where, to where, and how. */
import { join } from "node:path";
import { type Conditions, ObjectError, type ObjectVersion, type Pair } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { Progress } from "../../terminal.ts";
import type { ConnectFlags } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { Gate, withStore } from "./connected.ts";
import { contentOf, downloadFile, writeAll } from "./downloading.ts";
import { checkSame, contentTypeOf, type LocalFile, localFiles, placeBelow, removeEmpty } from "./files.ts";
import { isPattern } from "./glob.ts";
import { type Location, nameOf, type ObjectLocation, SCHEME } from "./location.ts";
import { runAll, type Task, withSignal } from "./running.ts";
import { type Selected, selected } from "./selection.ts";
import { counted, uploadFile } from "./uploading.ts";

const PART_BYTES = 64 * 1024 * 1024;
/** Things, or parts of one, under way at once. */
export const PARALLEL = 4;

/** As of a program that SIGPIPE ended. */
const PIPE_CODE = 141;

export interface TransferFlags extends ConnectFlags {
  readonly recursive?: true;
  readonly type?: string;
  readonly meta?: readonly Pair[];
  readonly tag?: readonly Pair[];
  readonly ifAbsent?: true;
  readonly ifMatch?: string;
  readonly version?: string;
  readonly partSize?: number;
  readonly parallel?: number;
  readonly resume: boolean;
  readonly quiet?: true;
}

export async function transfer(
  from: readonly Location[],
  to: Location,
  flags: TransferFlags,
  { move }: { readonly move: boolean },
): Promise<void> {
  checkFlags(from, to, flags);
  await withStore(flags, (store, owner) =>
    withSignal(async (signal) => {
      const parallel = flags.parallel ?? PARALLEL, gate = new Gate(parallel);
      const job: Job = { store, owner, flags, move, many: isMany(from, flags), parallel, gate, signal };
      if (to.kind === "pipe") return await toStdout(job, from);
      const tasks: Task[] = [];
      for (const source of from) {
        for await (const task of tasksOf(job, source, to)) {
          signal.throwIfAborted();
          tasks.push(task);
        }
      }
      refuseCollisions(tasks);
      await runAll(tasks, { ...flags, parallel }, signal);
      for (const source of move ? from : []) if (source.kind === "file") await removeEmpty(source.path);
    }));
}

interface Job {
  readonly store: ObjectStore;
  /** Of what is written. */
  readonly owner: string;
  readonly flags: TransferFlags;
  readonly move: boolean;
  /** Several things may come of it, so that the destination is a folder. */
  readonly many: boolean;
  readonly parallel: number;
  readonly gate: Gate;
  readonly signal: AbortSignal;
}

function isMany(from: readonly Location[], { recursive }: TransferFlags): boolean {
  return from.length > 1 || recursive === true ||
    from.some((source) => source.kind === "object" && isPattern(source.key));
}

/** What would be without effect is refused: it was given for one. */
function checkFlags(from: readonly Location[], to: Location, flags: TransferFlags): void {
  const { version, type, meta, tag, ifAbsent, ifMatch, partSize } = flags;
  if (version !== undefined && (isMany(from, flags) || from.some(({ kind }) => kind !== "object"))) {
    throw new UsageError("Option --version is about one object; name it alone");
  }
  if (ifAbsent && ifMatch !== undefined) throw new UsageError("Give --if-absent or --if-match, not both");
  if (ifMatch !== undefined && isMany(from, flags)) {
    throw new UsageError("Option --if-match is about one object; name it alone");
  }
  if (to.kind === "object") return;
  const given = Object.entries({
    "--type": type,
    "--meta": meta,
    "--tag": tag,
    "--if-absent": ifAbsent,
    "--if-match": ifMatch,
    "--part-size": partSize,
  }).find(([, value]) => value !== undefined);
  if (given !== undefined) {
    throw new UsageError(`Option ${given[0]} is about objects that are written; the destination is none`);
  }
}

async function* tasksOf(
  job: Job,
  source: Location,
  to: Exclude<Location, { kind: "pipe" }>,
): AsyncGenerator<Task> {
  const { store, flags } = job;
  switch (source.kind) {
    case "pipe":
      return yield pipeTask(job, objectOf(to));
    case "file":
      for await (const file of localFiles(source.path, flags.recursive === true)) {
        if ("error" in file) yield failedTask(file.path, file.error);
        else yield uploadTask(job, file, objectOf(to));
      }
      return;
    case "object":
      for await (const object of selected(store, source, flags.recursive === true)) {
        // What stands for the folder itself, as some clients store it.
        if (object.relative === "") continue;
        if (to.kind === "object") yield await copyTask(job, object, to);
        else if (isMarker(object)) yield folderTask(job, object, to.path);
        else yield await downloadTask(job, object, to.path);
      }
  }
}

function failedTask(from: string, error: Error): Task {
  return { from, to: null, bytes: 0, resumes: false, run: () => Promise.reject(error) };
}

function objectOf(to: Location): ObjectLocation {
  if (to.kind === "object") return to;
  throw new UsageError(`Neither end is in the network; write one of them as ${SCHEME}BUCKET/KEY`);
}

/** The key at the destination of what is called `relative`. */
function keyAt(job: Job, { key }: ObjectLocation, relative: string): string {
  if (key === "" || key.endsWith("/")) return key + relative;
  return job.many ? `${key}/${relative}` : key;
}

function putOptions({ flags, owner }: Job, name: string) {
  const { type, meta = [], tag = [] } = flags;
  const own = meta.map(([key, value]): Pair => [`x-amz-meta-${key.toLowerCase()}`, value]);
  const metadata: Pair[] = [...own, ["content-type", type ?? contentTypeOf(name)]];
  const tags: Pair[] = [...tag];
  for (const pairs of [metadata, tags]) pairs.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  return { owner, metadata, tags, conditions: conditionsOf(flags) };
}

function conditionsOf({ ifAbsent, ifMatch }: TransferFlags): Conditions {
  if (ifAbsent) return { ifNoneMatch: ["*"] };
  return ifMatch === undefined ? {} : { ifMatch: [ifMatch.replace(/^"|"$/g, "")] };
}

function pipeTask(job: Job, to: ObjectLocation): Task {
  if (to.key === "" || to.key.endsWith("/")) {
    throw new UsageError(`What comes through a pipe has no name; name the object, as in "${nameOf(to)}NAME"`);
  }
  const { bucket, key } = to;
  return {
    from: "-",
    to: nameOf(to),
    bytes: null,
    resumes: false,
    run: (progress) =>
      job.store.put(
        { bucket, key, bytes: null, ...putOptions(job, key) },
        counted(Deno.stdin.readable, progress),
        job.signal,
      ),
  };
}

function uploadTask(job: Job, file: LocalFile, to: ObjectLocation): Task {
  const { store, flags, signal } = job;
  const key = keyAt(job, to, file.relative), { bucket } = to;
  const partBytes = flags.partSize ?? PART_BYTES;
  return {
    from: file.path,
    to: nameOf({ bucket, key }),
    bytes: file.bytes,
    resumes: file.bytes >= 2 * partBytes,
    run: async (progress) => {
      const version = await uploadFile({
        store,
        bucket,
        key,
        file,
        ...putOptions(job, file.path),
        partBytes,
        parallel: job.parallel,
        gate: job.gate,
        resume: flags.resume,
        progress,
        signal,
      });
      if (job.move) {
        await checkSame(file);
        await Deno.remove(file.path);
      }
      return version;
    },
  };
}

async function copyTask(job: Job, object: Selected, to: ObjectLocation): Promise<Task> {
  const { store, flags, signal } = job, { bucket, key } = object;
  const target = { bucket: to.bucket, key: keyAt(job, to, object.relative) };
  if (job.move && target.bucket === bucket && target.key === key) {
    throw new UsageError(`"${nameOf(object)}" cannot be moved onto itself`);
  }
  const { meta, tag, type, version } = flags;
  return {
    from: nameOf(object),
    to: nameOf(target),
    bytes: object.version?.bytes ?? (await store.head({ bucket, key, version })).version.bytes,
    resumes: false,
    run: async (progress) => {
      const { version: source } = await store.head({ bucket, key, version });
      const given = putOptions(job, target.key);
      const { metadata } = meta === undefined && type === undefined ? source : given;
      const { tags } = tag === undefined ? source : given;
      const body = counted(contentOf({ store, bucket, key, signal }, source, 0), progress);
      const copied = await store.put(
        { ...target, ...given, metadata, tags, bytes: source.bytes },
        body,
        signal,
      );
      if (job.move) await removeMoved(job, object, source);
      return copied;
    },
  };
}

async function downloadTask(job: Job, object: Selected, path: string): Promise<Task> {
  const { store, flags, signal } = job, { bucket, key } = object;
  const from = nameOf(object);
  const isFolder = job.many || path.endsWith("/") || await isDirectory(path);
  let target: string;
  try {
    target = isFolder ? placeBelow(path, object.relative, { kind: "object", bucket, key }) : path;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return failedTask(from, error);
  }
  const { resume, version } = flags;
  return {
    from,
    to: target,
    bytes: object.version?.bytes ?? (await store.head({ bucket, key, version })).version.bytes,
    resumes: true,
    run: async (progress) => {
      const got = await downloadFile({
        store,
        bucket,
        key,
        version,
        path: target,
        resume,
        tidy: !job.many,
        progress,
        signal,
      });
      if (job.move) await removeMoved(job, object, got);
      return got;
    },
  };
}

/** An object without content whose name ends with "/" stands for a folder. */
function isMarker({ relative, version }: Selected): boolean {
  return relative.endsWith("/") && version?.bytes === 0;
}

function folderTask(job: Job, object: Selected, path: string): Task {
  const { relative, version } = object;
  return {
    from: nameOf(object),
    to: join(path, relative),
    bytes: 0,
    resumes: true,
    run: async () => {
      await Deno.mkdir(placeBelow(path, relative.slice(0, -1), { kind: "object", ...object }), {
        recursive: true,
      });
      if (job.move && version !== null) await removeMoved(job, object, version);
      return null;
    },
  };
}

/** Only what was carried: another may have written a newer one since. */
async function removeMoved(
  { store, owner, flags }: Job,
  { bucket, key }: Selected,
  { etag }: ObjectVersion,
): Promise<void> {
  const { version } = flags;
  try {
    const conditions = version === undefined ? { ifMatch: [etag] } : {};
    await store.delete({ bucket, key, version, owner, conditions });
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
    if (error.problem === "no-such-key") return;
    if (error.problem !== "precondition") throw error;
    throw new Error(
      `"${nameOf({ bucket, key })}" was written anew while it was moved; what is new stays there`,
    );
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

async function toStdout({ store, flags, signal }: Job, from: readonly Location[]): Promise<void> {
  for (const source of from) {
    if (source.kind !== "object") throw new UsageError(`"-" is both ends; name an object`);
    for await (const object of selected(store, source, flags.recursive === true)) {
      const { bucket, key } = object;
      const { version } = await store.head({ bucket, key, version: flags.version });
      const isSeen = flags.quiet || Deno.stdout.isTerminal();
      const progress = isSeen ? null : new Progress(nameOf(object), version.bytes, "bytes");
      try {
        for await (const chunk of contentOf({ store, bucket, key, signal }, version, 0)) {
          await writeAll(Deno.stdout, chunk);
          progress?.add(chunk.length);
        }
      } catch (error) {
        progress?.clear();
        // Whoever reads has enough, as `head` does.
        if (error instanceof Deno.errors.BrokenPipe) Deno.exit(PIPE_CODE);
        throw error;
      }
      progress?.end();
    }
  }
}

/** Two things with one destination: one of them would be lost without a word. */
function refuseCollisions(tasks: readonly Task[]): void {
  const seen = new Map<string, string>();
  for (const { from, to } of tasks) {
    if (to === null) continue;
    const other = seen.get(to);
    if (other !== undefined) throw new UsageError(`"${other}" and "${from}" would both become "${to}"`);
    seen.set(to, from);
  }
}
