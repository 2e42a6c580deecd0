/** `rm` and `restore`. */
import { Command } from "commander";
import { type Deleted, type DeleteOptions, ObjectError } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { print, Progress, shown, tell } from "../../terminal.ts";
import { type ConnectFlags, withConnection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { withStore } from "./connected.ts";
import { named } from "./downloading.ts";
import { isPattern } from "./glob.ts";
import { nameOf, type ObjectLocation, parseKey, parseObject, SCHEME } from "./location.ts";
import { NothingError, rangeOf, selected, versionsOf, versionsOfKey } from "./selection.ts";

/** Removals under way at once. */
const UNDER_WAY = 64;

interface RemoveFlags extends ConnectFlags {
  readonly recursive?: true;
  readonly version?: string;
  readonly dryRun?: true;
  readonly allVersions?: true;
  readonly force?: true;
  readonly quiet?: true;
}

export function removeObjectsCommand(): Command {
  return withConnection(new Command("rm"))
    .description("remove objects; where versions are kept they can be restored")
    .argument("<object...>", `${SCHEME}BUCKET/KEY, or a pattern`)
    .option("-r, --recursive", "all that is below")
    .option("--version <id>", "that version, for good")
    .option("--all-versions", "with all versions there are, for good")
    .option("-n, --dry-run", "print what would be removed")
    .option("-f, --force", "an object that is not there is none the worse")
    .option("-q, --quiet", "no progress")
    .addHelpText(
      "after",
      `
Examples:
  space-opera rm ${SCHEME}album/photo.jpg
  space-opera rm '${SCHEME}album/*.tmp'
  space-opera rm --recursive ${SCHEME}album/2025`,
    )
    .action((names: string[], flags: RemoveFlags) => {
      const locations = names.map(parseObject);
      const many = locations.length > 1 || flags.recursive || locations.some(({ key }) => isPattern(key));
      if (flags.version !== undefined && (many || flags.allVersions)) {
        throw new UsageError("Option --version is about one version of one object; name it alone");
      }
      return removeObjects(locations, flags, many === true || flags.allVersions === true);
    });
}

/** null: there was nothing, and nothing was done: where versions are kept, no marker was made. */
async function removed(store: ObjectStore, options: DeleteOptions): Promise<Deleted | null> {
  try {
    const conditions = options.version === undefined ? { ifMatch: ["*"] } : {};
    const gone = await store.delete({ ...options, conditions });
    return gone.existed ? gone : null;
  } catch (error) {
    if (error instanceof ObjectError && ["no-such-key", "precondition"].includes(error.problem)) return null;
    throw error;
  }
}

/** What is to be removed. `version` undefined: the object. */
interface Target {
  readonly bucket: string;
  readonly key: string;
  readonly version: string | undefined;
}

async function removeObjects(
  locations: readonly ObjectLocation[],
  flags: RemoveFlags,
  many: boolean,
): Promise<void> {
  await withStore(flags, async (store, owner) => {
    const progress = many && !flags.quiet && !flags.dryRun ? new Progress("Removed", null) : null;
    const failures: string[] = [];
    const one = async ({ bucket, key, version }: Target) => {
      const name = nameOf({ bucket, key });
      if (flags.dryRun) return print(flags.json ? JSON.stringify({ bucket, key, version }) : shown(name));
      try {
        const gone = await removed(store, { bucket, key, version, owner });
        if (gone === null && !flags.force) throw new Error(`There is no object "${name}"`);
        if (gone === null) return;
        progress?.add();
        if (flags.json) print(JSON.stringify({ bucket, key, ...gone }));
      } catch (error) {
        if (!(error instanceof ObjectError || error instanceof Error && error.name === "Error")) throw error;
        if (!many) throw error;
        failures.push(`${shown(name)}: ${error.message}`);
      }
    };
    for (const location of locations) {
      try {
        await eachOf(targetsOf(store, location, flags), one);
      } catch (error) {
        if (!flags.force || !(error instanceof NothingError)) throw error;
      }
    }
    progress?.end();
    for (const failure of failures) tell(failure);
    if (failures.length > 0) throw new Error(`${failures.length} could not be removed`);
  });
}

async function* targetsOf(
  store: ObjectStore,
  location: ObjectLocation,
  { recursive: isRecursive, version, allVersions }: RemoveFlags,
): AsyncGenerator<Target> {
  const recursive = isRecursive === true;
  if (!allVersions) {
    for await (const { bucket, key } of selected(store, location, recursive)) yield { bucket, key, version };
    return;
  }
  const { bucket } = location;
  let found = false;
  for await (const { key, version } of allVersionsOf(store, location, recursive)) {
    found = true;
    yield { bucket, key, version: named(version) };
  }
  if (!found) throw new NothingError(`There is no version of "${nameOf(location)}"`);
}

/** Also of objects that were removed, which are in no list of objects. */
async function* allVersionsOf(store: ObjectStore, { bucket, key }: ObjectLocation, recursive: boolean) {
  const { prefix, fits, alone } = rangeOf({ bucket, key }, recursive);
  if (alone !== null) yield* versionsOfKey(store, { bucket, key: alone });
  if (prefix === null) return;
  for await (const each of versionsOf(store, bucket, prefix)) if (fits(each.key)) yield each;
}

/** Does `use` with all, many at a time. */
export async function eachOf<T>(
  all: AsyncIterable<T>,
  use: (one: T) => Promise<void>,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  for await (const one of all) {
    const work = use(one).finally(() => underWay.delete(work));
    underWay.add(work);
    if (underWay.size >= UNDER_WAY) await Promise.race(underWay);
  }
  await Promise.all(underWay);
}

interface RestoreFlags extends ConnectFlags {
  readonly version?: string;
}

export function restoreCommand(): Command {
  return withConnection(new Command("restore"))
    .description("make an older version the newest again; without --version the one before it was removed")
    .argument("<object>", `${SCHEME}BUCKET/KEY`, parseKey)
    .option("--version <id>", "that version, as `versions` lists it")
    .addHelpText("after", `\nExample:\n  space-opera restore ${SCHEME}album/photo.jpg`)
    .action((location: ObjectLocation, flags: RestoreFlags) =>
      withStore(flags, async (store, owner) => {
        const { bucket, key } = location;
        const wanted = flags.version ?? await lastLiving(store, location);
        const version = await store.copy({ bucket, key, version: wanted }, { bucket, key, owner });
        if (flags.json) {
          return print(
            JSON.stringify({ bucket, key, from: wanted, version: version.id, bytes: version.bytes }),
          );
        }
        print(`"${shown(nameOf(location))}" is as in version ${wanted} again`);
      })
    );
}

/** The newest version that is no delete marker, where the newest is one. */
async function lastLiving(store: ObjectStore, location: ObjectLocation): Promise<string> {
  const name = nameOf(location);
  for await (const { newest, version } of versionsOfKey(store, location)) {
    if (newest && !version.deleted) {
      throw new Error(`"${name}" was not removed; name the version that you want back, as versions lists it`);
    }
    if (!version.deleted) return named(version);
  }
  throw new ObjectError("no-such-version", `There is no version of "${name}" to restore`);
}
