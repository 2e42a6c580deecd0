/** `ls`, `stat` and `versions`: what there is. */
import { Command } from "commander";
import { ObjectError, type ObjectVersion } from "../../../core/objects/types.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { bytesText, print, shown, table } from "../../terminal.ts";
import { type ConnectFlags, withConnection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { schemeText, VERSIONING } from "./bucket.ts";
import { withStore } from "./connected.ts";
import { isPattern } from "./glob.ts";
import { nameOf, type ObjectLocation, parseKey, parseObject, SCHEME } from "./location.ts";
import { objectsBelow, selected, versionsOf, versionsOfKey, warnOf } from "./selection.ts";

const PAGE = 1000;

interface ListFlags extends ConnectFlags {
  readonly recursive?: true;
  readonly bytes?: true;
}

export function listCommand(): Command {
  return withConnection(new Command("ls"))
    .description("list buckets, or objects")
    .argument(
      "[object]",
      `${SCHEME}BUCKET/PREFIX, for all that begin so, or a pattern (default: all buckets)`,
    )
    .option("-r, --recursive", "all that is below, not the next folders alone")
    .option("--bytes", "sizes in bytes")
    .addHelpText(
      "after",
      `
Examples:
  space-opera ls
  space-opera ls ${SCHEME}album/2026/
  space-opera ls --recursive --json ${SCHEME}album
  space-opera ls '${SCHEME}album/**.jpg'`,
    )
    .action((name: string | undefined, flags: ListFlags) => {
      const location = name === undefined || name === SCHEME ? null : parseObject(name);
      return withStore(flags, async (store) => {
        if (location === null) return await listBuckets(store, flags);
        if (isPattern(location.key) || flags.recursive) return await listAll(store, location, flags);
        await listFolder(store, location, flags);
      });
    });
}

async function listBuckets(store: ObjectStore, { json }: ListFlags): Promise<void> {
  const buckets = await store.buckets();
  if (json) {
    for (const { name, createdMs, scheme, versioning } of buckets) {
      print(JSON.stringify({ name, created: isoText(createdMs), scheme, versioning }));
    }
    return;
  }
  if (buckets.length === 0) return;
  const rows = buckets.map(({ name, createdMs, scheme, versioning }) => [
    `${SCHEME}${name}`,
    timeText(createdMs),
    schemeText(scheme),
    VERSIONING[versioning],
  ]);
  print(table(["BUCKET", "CREATED", "STORED AS", "VERSIONS"], rows));
}

async function listAll(store: ObjectStore, location: ObjectLocation, flags: ListFlags): Promise<void> {
  const objects = isPattern(location.key)
    ? selected(store, location, false)
    : objectsBelow(store, location.bucket, location.key);
  let found = false;
  for await (const { key, version } of objects) {
    found = true;
    if (version !== null) printObject(key, version, location, flags);
  }
  if (!found) refuseNothing(location);
}

/** An empty bucket is nothing to complain of, a name that nothing has is. */
function refuseNothing({ bucket, key }: ObjectLocation): void {
  if (key !== "") throw new Error(`Nothing begins with "${nameOf({ bucket, key })}"`);
}

async function listFolder(
  store: ObjectStore,
  { bucket, key: prefix }: ObjectLocation,
  flags: ListFlags,
): Promise<void> {
  let found = false;
  for (let after: string | null = ""; after !== null;) {
    const page: Awaited<ReturnType<ObjectStore["list"]>> = await store.list({
      bucket,
      prefix,
      delimiter: "/",
      limit: PAGE,
      ...(after === "" ? {} : { after }),
    });
    warnOf(bucket, page.damaged);
    const items = [
      ...page.prefixes.map((name) => ({ name, version: null })),
      ...page.objects.map(({ key, version }) => ({ name: key, version })),
    ];
    items.sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { name, version } of items) {
      if (version !== null) printObject(name, version, { bucket }, flags);
      else if (flags.json) print(JSON.stringify({ bucket, prefix: name }));
      else print(`${" ".repeat(31)}${shown(nameOf({ bucket, key: name }))}`);
    }
    found ||= items.length > 0;
    after = page.next;
  }
  if (!found) refuseNothing({ kind: "object", bucket, key: prefix });
}

function printObject(
  key: string,
  version: ObjectVersion,
  { bucket }: { readonly bucket: string },
  flags: ListFlags,
): void {
  const { bytes, modifiedMs, etag } = version;
  if (flags.json) {
    return print(JSON.stringify({ bucket, key, bytes, modified: isoText(modifiedMs), etag }));
  }
  const size = flags.bytes ? String(bytes) : bytesText(bytes);
  print(`${timeText(modifiedMs)}${size.padStart(10)}  ${shown(nameOf({ bucket, key }))}`);
}

interface StatFlags extends ConnectFlags {
  readonly version?: string;
}

export function statCommand(): Command {
  return withConnection(new Command("stat"))
    .description("print what is known of an object")
    .argument("<object>", `${SCHEME}BUCKET/KEY`, parseKey)
    .option("--version <id>", "of that version")
    .addHelpText("after", `\nExample:\n  space-opera stat ${SCHEME}album/photo.jpg`)
    .action((location: ObjectLocation, flags: StatFlags) =>
      withStore(flags, async (store) => {
        const { version } = await head(store, location, flags.version);
        if (flags.json) {
          return print(JSON.stringify({ bucket: location.bucket, key: location.key, ...jsonOf(version) }));
        }
        const lines: [string, string][] = [
          ["object", nameOf(location)],
          ["size", sizeText(version.bytes)],
          ["modified", isoText(version.modifiedMs)],
          ["etag", version.etag],
          ["version", version.isNull ? "null" : version.id],
          ["stored as", storedAs(version)],
          ...(version.owner === "" ? [] : [["owner", version.owner] as [string, string]]),
          ...version.metadata.map(([name, value]): [string, string] => [name, value]),
          ...version.tags.map(([name, value]): [string, string] => [`tag ${name}`, value]),
        ];
        const width = Math.max(...lines.map(([name]) => name.length));
        for (const [name, value] of lines) print(`${shown(name).padEnd(width)}  ${shown(value)}`);
      })
    );
}

function sizeText(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${bytesText(bytes)} (${bytes} bytes)`;
}

/** @throws {ObjectError} which, where the object was removed, says how it comes back */
async function head(store: ObjectStore, location: ObjectLocation, version: string | undefined) {
  const { bucket, key } = location;
  try {
    return await store.head({ bucket, key, version });
  } catch (error) {
    if (!(error instanceof ObjectError) || error.problem !== "deleted" || version !== undefined) throw error;
    const name = nameOf(location);
    throw new ObjectError(
      "deleted",
      `"${name}" was removed; restore brings it back, versions lists what there is`,
    );
  }
}

function storedAs({ content }: ObjectVersion): string {
  if (content.kind === "inline") return "a value in the catalog";
  const schemes = new Set(content.segments.map(({ scheme }) => schemeText(scheme)));
  return content.pages > 0 ? `segments in ${content.pages} pages` : [...schemes].join(", ");
}

interface VersionsFlags extends ConnectFlags {
  readonly recursive?: true;
}

export function versionsCommand(): Command {
  return withConnection(new Command("versions"))
    .description("list the versions of an object, the newest first; --recursive: of all objects below")
    .argument("<object>", `${SCHEME}BUCKET/KEY`, parseObject)
    .option("-r, --recursive", "of all objects that begin so")
    .addHelpText("after", `\nExample:\n  space-opera versions ${SCHEME}album/photo.jpg`)
    .action((location: ObjectLocation, flags: VersionsFlags) => {
      const { bucket, key } = location;
      if (key === "" && !flags.recursive) {
        throw new UsageError(`"${nameOf(location)}" is no object; add --recursive for all that is below it`);
      }
      return withStore(flags, async (store) => {
        const rows: (string | number)[][] = [];
        let found = false;
        const versions = flags.recursive ? versionsOf(store, bucket, key) : versionsOfKey(store, location);
        for await (const { key, newest, version } of versions) {
          found = true;
          if (flags.json) print(JSON.stringify({ bucket, key, newest, ...jsonOf(version) }));
          else rows.push(versionLine(bucket, key, newest, version));
        }
        if (rows.length > 0) print(table(["VERSION", "MODIFIED", "SIZE", "", "OBJECT"], rows));
        if (!found && (key !== "" || !flags.recursive)) {
          throw new Error(`There is no version of "${nameOf(location)}"`);
        }
      });
    });
}

function versionLine(bucket: string, key: string, newest: boolean, version: ObjectVersion): string[] {
  const state = `${newest ? "newest" : ""}${version.deleted ? " deleted" : ""}`.trim();
  const size = version.deleted ? "" : bytesText(version.bytes);
  return [
    version.isNull ? "null" : version.id,
    timeText(version.modifiedMs),
    size,
    state,
    shown(nameOf({ bucket, key })),
  ];
}

function jsonOf({ id, isNull, deleted, bytes, etag, modifiedMs, owner, metadata, tags }: ObjectVersion) {
  return {
    version: isNull ? "null" : id,
    deleted,
    bytes,
    etag,
    modified: isoText(modifiedMs),
    owner,
    metadata: Object.fromEntries(metadata),
    tags: Object.fromEntries(tags),
  };
}

function isoText(ms: number): string {
  return new Date(ms).toISOString();
}

/** To the second, as people read it. */
function timeText(ms: number): string {
  return isoText(ms).slice(0, 19).replace("T", " ");
}
