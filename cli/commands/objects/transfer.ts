/** `put`, `get`, `cp` and `mv`: bytes between files, pipes and objects, whichever way round. */
import { Command } from "commander";
import type { Pair } from "../../../core/objects/types.ts";
import { withConnection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { bytesOption, integerOption } from "../options.ts";
import { type Location, nameOf, parseLocation, SCHEME } from "./location.ts";
import { PARALLEL, transfer, type TransferFlags } from "./tasks.ts";

const PART_BYTES_MIN = 5 * 1024 * 1024;

const NAMES_HELP = `
Objects are named ${SCHEME}BUCKET/KEY; "-" is standard input or output. A destination that ends with "/", and a
bucket, is a folder. "*", "?", "[a-c]" and "**" stand for names in the network: quote them, or the shell takes them;
a backslash before one takes it as it is. With --recursive a folder comes with its own name: photos becomes photos/…;
with "/" behind it, photos/, comes only what is in it.`;

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
  space-opera put --recursive photos ${SCHEME}album/       # becomes ${SCHEME}album/photos/…
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
      const other = from.find((each) => each.kind === "object");
      if (other !== undefined) {
        throw new UsageError(
          `"${nameOf(other)}" is in the network already; copy it with cp, or move it with mv`,
        );
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
  space-opera get --recursive ${SCHEME}album/2026/ photos   # what is in 2026 becomes photos/…
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
  space-opera ${name} --recursive ${SCHEME}album/2026 ${SCHEME}archive/    # becomes ${SCHEME}archive/2026/…
  space-opera ${name} '${SCHEME}album/*.jpg' ${SCHEME}archive/
${NAMES_HELP}`,
    )
    .action((names: string[], flags: TransferFlags) => {
      const { sources, target } = lastApart(names);
      const from = sources.map(parseLocation), to = parseLocation(target);
      if (to.kind !== "object" && from.some(({ kind }) => kind !== "object")) {
        throw new UsageError(`Neither end is in the network; write one of them as ${SCHEME}BUCKET/KEY`);
      }
      if (move && (to.kind === "pipe" || from.some(({ kind }) => kind === "pipe"))) {
        throw new UsageError('"-" is a pipe, and nothing is moved through one; use put, get or cp');
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
