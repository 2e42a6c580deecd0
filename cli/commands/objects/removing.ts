/** `rm` and `restore`. */
import { Command } from "commander";
import { ObjectError } from "../../../core/objects/types.ts";
import { openStore } from "../../objects/open_store.ts";
import { print, tell } from "../../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { isPattern } from "./glob.ts";
import { nameOf, type ObjectLocation, parseKey, parseObject, SCHEME } from "./location.ts";
import { selected } from "./selection.ts";

/** Removals under way at once. */
const UNDER_WAY = 16;

interface RemoveFlags extends ConnectFlags {
  readonly recursive?: true;
  readonly version?: string;
  readonly dryRun?: true;
  readonly force?: true;
}

export function removeObjectsCommand(): Command {
  return withConnection(new Command("rm"))
    .description("remove objects; where versions are kept they can be restored")
    .argument("<object...>", `${SCHEME}BUCKET/KEY, or a pattern`)
    .option("-r, --recursive", "all that is below")
    .option("--version <id>", "that version, for good")
    .option("-n, --dry-run", "print what would be removed")
    .option("-f, --force", "an object that is not there is none the worse")
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
      if (many && flags.version !== undefined) {
        throw new UsageError("Option --version is about one object; name it alone");
      }
      return removeObjects(locations, flags);
    });
}

async function removeObjects(locations: readonly ObjectLocation[], flags: RemoveFlags): Promise<void> {
  await withClient(flags, async (client) => {
    const store = openStore(client);
    const failures: string[] = [];
    const one = async (bucket: string, key: string) => {
      const name = nameOf({ bucket, key });
      try {
        if (flags.dryRun) return print(flags.json ? JSON.stringify({ bucket, key }) : name);
        const { existed, version, marker } = await store.delete({ bucket, key, version: flags.version });
        if (!existed && !flags.force) throw new Error(`There is no "${name}"`);
        if (flags.json) print(JSON.stringify({ bucket, key, existed, version, marker }));
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        failures.push(error.message);
      }
    };
    const underWay = new Set<Promise<void>>();
    for (const location of locations) {
      for await (const { bucket, key } of selected(store, location, flags.recursive === true)) {
        const removal = one(bucket, key).finally(() => underWay.delete(removal));
        underWay.add(removal);
        if (underWay.size >= UNDER_WAY) await Promise.race(underWay);
      }
    }
    await Promise.all(underWay);
    for (const failure of failures) tell(failure);
    if (failures.length > 0) throw new Error(`${failures.length} could not be removed`);
  });
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
      withClient(flags, async (client) => {
        const store = openStore(client), { bucket, key } = location;
        const wanted = flags.version ?? await lastLiving(store, location);
        const version = await store.copy({ bucket, key, version: wanted }, { bucket, key });
        if (flags.json) {
          return print(
            JSON.stringify({ bucket, key, from: wanted, version: version.id, bytes: version.bytes }),
          );
        }
        print(`"${nameOf(location)}" is as in version ${wanted} again`);
      })
    );
}

/** The newest version that is no delete marker, where the newest is one. */
async function lastLiving(
  store: ReturnType<typeof openStore>,
  { bucket, key }: ObjectLocation,
): Promise<string> {
  const { versions } = await store.listVersions({ bucket, prefix: key, limit: 1000 });
  const own = versions.filter((each) => each.key === key);
  if (own[0] !== undefined && !own[0].version.deleted) {
    throw new Error(
      `"${
        nameOf({ bucket, key })
      }" was not removed; name the version that you want back, as \`versions\` lists it`,
    );
  }
  const living = own.find(({ version }) => !version.deleted);
  if (living === undefined) {
    throw new ObjectError(
      "no-such-version",
      `There is no version of "${nameOf({ bucket, key })}" to restore`,
    );
  }
  return living.version.isNull ? "null" : living.version.id;
}
