/** `put`, `get`, `cp` and `mv`: bytes between files, pipes and objects, whichever way round. */
import { Command } from "commander";
import { join } from "node:path";
import type { Conditions, ObjectVersion, Pair } from "../../../core/objects/types.ts";
import { ObjectError } from "../../../core/objects/types.ts";
import { openStore } from "../../objects/open_store.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { print, Progress, tell } from "../../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { bytesOption, integerOption } from "../options.ts";
import { downloadFile } from "./downloading.ts";
import { contentTypeOf, type LocalFile, localFiles, placeBelow } from "./files.ts";
import { isPattern } from "./glob.ts";
import { type Location, nameOf, type ObjectLocation, parseLocation, SCHEME } from "./location.ts";
import { type Selected, selected } from "./selection.ts";
import { counted, uploadFile } from "./uploading.ts";

const PART_BYTES = 64 * 1024 * 1024;
const PART_BYTES_MIN = 5 * 1024 * 1024;
const PARALLEL = 4;

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

const NAMES_HELP = `
Objects are named ${SCHEME}BUCKET/KEY; "-" is standard input or output. A destination that ends with "/", and a
bucket, is a folder. "*", "?", "[a-c]" and "**" stand for names in the network: quote them, or the shell takes them.`;

export function putCommand(): Command {
  return withUploadOptions(withTransfer(new Command("put")))
    .description("store files, or what comes through a pipe, as objects")
    .usage(`[options] <source...> <${SCHEME}bucket/key>`)
    .argument("<names...>", 'files and folders, or "-"; and, last, the object or folder that they become')
    .addHelpText(
      "after",
      `
Examples:
  space-opera put photo.jpg ${SCHEME}album/
  space-opera put --recursive photos ${SCHEME}album/2026/
  pg_dump stars | space-opera put - ${SCHEME}backups/stars.sql
${NAMES_HELP}
A large file that was broken off goes on where it was: give the same command again.`,
    )
    .action((names: string[], flags: TransferFlags) => {
      const { sources, target } = lastApart(names);
      const to = parseLocation(target);
      if (to.kind !== "object") {
        throw new UsageError(`"${target}" does not name an object; write ${SCHEME}BUCKET/KEY`);
      }
      const from = sources.map(parseLocation);
      const other = from.find(({ kind }) => kind === "object");
      if (other !== undefined) {
        throw new UsageError(`"${SCHEME}…" is in the network already; copy it with cp, or move it with mv`);
      }
      return transfer(from, to, flags, { move: false });
    });
}

export function getCommand(): Command {
  return withTransfer(new Command("get"))
    .description("fetch objects into files, or into a pipe")
    .usage(`[options] <${SCHEME}bucket/key...> [file or folder]`)
    .argument(
      "<names...>",
      'objects or patterns; and, last, a file, a folder or "-" (default: the folder where you are)',
    )
    .option("--version <id>", "that version")
    .addHelpText(
      "after",
      `
Examples:
  space-opera get ${SCHEME}album/photo.jpg
  space-opera get '${SCHEME}album/2026/*.jpg' photos/
  space-opera get --recursive ${SCHEME}album/2026 photos
  space-opera get ${SCHEME}backups/stars.sql - | psql
${NAMES_HELP}
What was broken off goes on where it was: give the same command again.`,
    )
    .action((given: string[], flags: TransferFlags) => {
      // The last of several names is where they go, unless it is an object, too.
      const end = given.length > 1 ? parseLocation(given[given.length - 1]!) : null;
      const to: Location = end !== null && end.kind !== "object" ? end : { kind: "file", path: "./" };
      const from = (to === end ? given.slice(0, -1) : given).map(parseLocation);
      const other = given[from.findIndex(({ kind }) => kind !== "object")];
      if (other !== undefined) {
        throw new UsageError(`"${other}" does not name an object; write ${SCHEME}BUCKET/KEY`);
      }
      return transfer(from, to, flags, { move: false });
    });
}

export function copyCommand(): Command {
  return copyLike(new Command("cp"), { move: false })
    .description("copy objects, or files into the network, or out of it");
}

export function moveCommand(): Command {
  return copyLike(new Command("mv"), { move: true })
    .description("move objects: copied first, removed when the copy is safe");
}

function copyLike(command: Command, { move }: { readonly move: boolean }): Command {
  const name = command.name();
  return withUploadOptions(withTransfer(command))
    .usage("[options] <source...> <destination>")
    .argument("<names...>", "what, and last, where to")
    .option("--version <id>", "that version of the source")
    .addHelpText(
      "after",
      `
Examples:
  space-opera ${name} ${SCHEME}album/photo.jpg ${SCHEME}album/best.jpg
  space-opera ${name} --recursive ${SCHEME}album/2026 ${SCHEME}archive/
${NAMES_HELP}`,
    )
    .action((names: string[], flags: TransferFlags) => {
      const { sources, target } = lastApart(names);
      const from = sources.map(parseLocation), to = parseLocation(target);
      if (to.kind !== "object" && from.some(({ kind }) => kind !== "object")) {
        throw new UsageError(`Neither end is in the network; write one of them as ${SCHEME}BUCKET/KEY`);
      }
      if (move && from.some(({ kind }) => kind === "pipe")) {
        throw new UsageError('"-" cannot be moved; store it with put');
      }
      return transfer(from, to, flags, { move });
    });
}

function withTransfer(command: Command): Command {
  return withConnection(command)
    .option("-r, --recursive", "folders with all that is in them")
    .option(
      "--parallel <n>",
      `files, or parts of one, under way at once (default: ${PARALLEL})`,
      integerOption("--parallel", 1, 64),
    )
    .option("--no-resume", "begin anew what was broken off")
    .option("-q, --quiet", "no progress");
}

function withUploadOptions(command: Command): Command {
  return command
    .option("--type <media type>", "the content's type (default: by the name's end)")
    .option("--meta <name=value>", "kept with the object; may be given more than once", pairs("--meta"))
    .option("--tag <name=value>", "a tag; may be given more than once", pairs("--tag"))
    .option("--if-absent", "only where there is no such object yet")
    .option("--if-match <etag>", "only over an object with this ETag")
    .option(
      "--part-size <bytes>",
      "files of twice this go in parts, and can be resumed (default: 64MiB)",
      partSize,
    );
}

function partSize(text: string): number {
  const bytes = bytesOption("--part-size")(text);
  if (bytes >= PART_BYTES_MIN) return bytes;
  throw new UsageError(`Option --part-size takes 5MiB or more, not "${text}"`);
}

function pairs(option: string): (text: string, before: readonly Pair[] | undefined) => readonly Pair[] {
  return (text, before = []) => {
    const at = text.indexOf("=");
    if (at < 1) throw new UsageError(`Option ${option} takes NAME=VALUE, not "${text}"`);
    return [...before, [text.slice(0, at), text.slice(at + 1)]];
  };
}

/** Commander knows lists of arguments at the end only. */
function lastApart(
  names: readonly string[],
): { readonly sources: readonly string[]; readonly target: string } {
  const target = names[names.length - 1];
  if (target === undefined || names.length < 2) {
    throw new UsageError(`"${names.join(" ")}" is what; name where to as well`);
  }
  return { sources: names.slice(0, -1), target };
}

// ---- what is to be done

/** One thing to carry. */
interface Task {
  readonly from: string;
  readonly to: string;
  /** null: not known before it is done. */
  readonly bytes: number | null;
  readonly run: (progress: (bytes: number, kept: boolean) => void) => Promise<ObjectVersion>;
}

async function transfer(
  from: readonly Location[],
  to: Location,
  flags: TransferFlags,
  { move }: { readonly move: boolean },
): Promise<void> {
  await withClient(flags, async (client) => {
    const store = openStore(client);
    const job: Job = { store, flags, move, many: isMany(from, flags) };
    if (to.kind === "pipe") return await toStdout(job, from);
    const tasks: Task[] = [];
    for (const source of from) {
      for await (const task of tasksOf(job, source, to)) tasks.push(task);
    }
    refuseCollisions(tasks);
    await runAll(tasks, flags);
  });
}

interface Job {
  readonly store: ObjectStore;
  readonly flags: TransferFlags;
  readonly move: boolean;
  /** Several things may come of it, so that the destination is a folder. */
  readonly many: boolean;
}

function isMany(from: readonly Location[], { recursive, version }: TransferFlags): boolean {
  const many = from.length > 1 || recursive === true ||
    from.some((source) => source.kind === "object" && isPattern(source.key));
  if (many && version !== undefined) {
    throw new UsageError("Option --version is about one object; name it alone");
  }
  return many;
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
        yield uploadTask(job, file, objectOf(to));
      }
      return;
    case "object":
      for await (const object of selected(store, source, flags.recursive === true)) {
        yield to.kind === "object" ? copyTask(job, object, to) : await downloadTask(job, object, to.path);
      }
  }
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

function putOptions({ flags }: Job, name: string) {
  const { type, meta = [], tag = [] } = flags;
  const own = meta.map(([key, value]): Pair => [`x-amz-meta-${key.toLowerCase()}`, value]);
  const metadata: Pair[] = [...own, ["content-type", type ?? contentTypeOf(name)]];
  metadata.sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0);
  return { metadata, tags: [...tag].sort(([a], [b]) => a < b ? -1 : 1), conditions: conditionsOf(flags) };
}

function conditionsOf({ ifAbsent, ifMatch }: TransferFlags): Conditions {
  if (ifAbsent && ifMatch !== undefined) throw new UsageError("Give --if-absent or --if-match, not both");
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
    run: (progress) =>
      job.store.put(
        { bucket, key, bytes: null, ...putOptions(job, key) },
        counted(Deno.stdin.readable, progress),
      ),
  };
}

function uploadTask(job: Job, file: LocalFile, to: ObjectLocation): Task {
  const { store, flags } = job;
  const key = keyAt(job, to, file.relative), { bucket } = to;
  return {
    from: file.path,
    to: nameOf({ bucket, key }),
    bytes: file.bytes,
    run: async (progress) => {
      const version = await uploadFile({
        store,
        bucket,
        key,
        path: file.path,
        bytes: file.bytes,
        ...putOptions(job, file.path),
        partBytes: flags.partSize ?? PART_BYTES,
        parallel: flags.parallel ?? PARALLEL,
        resume: flags.resume,
        progress,
      });
      if (job.move) await Deno.remove(file.path);
      return version;
    },
  };
}

function copyTask(job: Job, object: Selected, to: ObjectLocation): Task {
  const { store, flags } = job, { bucket, key } = object;
  const target = { bucket: to.bucket, key: keyAt(job, to, object.relative) };
  if (job.move && target.bucket === bucket && target.key === key) {
    throw new UsageError(`"${nameOf(object)}" cannot be moved onto itself`);
  }
  const { meta, tag, type } = flags;
  const changed = meta === undefined && type === undefined
    ? {}
    : { metadata: putOptions(job, target.key).metadata };
  const tags = tag === undefined ? {} : { tags: putOptions(job, target.key).tags };
  return {
    from: nameOf(object),
    to: nameOf(target),
    bytes: object.version?.bytes ?? null,
    run: async (progress) => {
      const source = { bucket, key, version: flags.version };
      const version = await store.copy(source, {
        ...target,
        ...changed,
        ...tags,
        conditions: conditionsOf(flags),
      });
      progress(version.bytes, false);
      if (job.move) await removeMoved(job, object);
      return version;
    },
  };
}

async function downloadTask(job: Job, object: Selected, path: string): Promise<Task> {
  const { store, flags } = job, { bucket, key } = object;
  const isFolder = job.many || path.endsWith("/") || await isDirectory(path);
  const target = isFolder ? placeBelow(path, object.relative, { kind: "object", bucket, key }) : join(path);
  const { resume, version } = flags;
  return {
    from: nameOf(object),
    to: target,
    bytes: object.version?.bytes ?? (await store.head({ bucket, key, version })).version.bytes,
    run: async (progress) => {
      const got = await downloadFile({ store, bucket, key, version, path: target, resume, progress });
      if (job.move) await removeMoved(job, object);
      return got;
    },
  };
}

async function removeMoved({ store, flags }: Job, { bucket, key }: Selected): Promise<void> {
  await store.delete({ bucket, key, version: flags.version });
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function toStdout({ store, flags }: Job, from: readonly Location[]): Promise<void> {
  for (const source of from) {
    if (source.kind !== "object") throw new UsageError(`"-" is both ends; name an object`);
    for await (const { bucket, key } of selected(store, source, flags.recursive === true)) {
      const { body } = await store.get({ bucket, key, version: flags.version });
      for await (const chunk of body) {
        for (let at = 0; at < chunk.length;) at += await Deno.stdout.write(chunk.subarray(at));
      }
    }
  }
}

/** Two things with one destination: one of them would be lost without a word. */
function refuseCollisions(tasks: readonly Task[]): void {
  const seen = new Map<string, string>();
  for (const { from, to } of tasks) {
    const other = seen.get(to);
    if (other !== undefined) throw new UsageError(`"${other}" and "${from}" would both become "${to}"`);
    seen.set(to, from);
  }
}

// ---- doing it

async function runAll(tasks: readonly Task[], flags: TransferFlags): Promise<void> {
  const total = tasks.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  const isKnown = tasks.every(({ bytes }) => bytes !== null);
  const label = tasks.length === 1 ? tasks[0]!.to : `${tasks.length} objects`;
  const progress = flags.quiet ? null : new Progress(label, isKnown ? total : null, "bytes");
  const failures: string[] = [];
  let next = 0;
  await Promise.all(Array.from({ length: flags.parallel ?? PARALLEL }, async () => {
    for (let task = tasks[next++]; task !== undefined; task = tasks[next++]) {
      const { from, to } = task;
      try {
        const { bytes, etag, id, isNull } = await task.run((count, kept) => progress?.add(count, kept));
        const version = isNull ? null : id;
        if (flags.json) print(JSON.stringify({ from, to, bytes, etag, version }));
      } catch (error) {
        if (!isExpected(error)) throw error;
        failures.push(`${from}: ${error.message}`);
      }
    }
  }));
  progress?.end();
  for (const failure of failures) tell(failure);
  if (failures.length > 0) {
    const done = tasks.length - failures.length;
    throw new Error(
      `${failures.length} of ${tasks.length} failed, ${done} done; give the same command again`,
    );
  }
}

/** What is wrong with one thing does not keep the others from being carried. */
function isExpected(error: unknown): error is Error {
  return error instanceof ObjectError || (error instanceof Error && error.name === "RequestError") ||
    error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied;
}
