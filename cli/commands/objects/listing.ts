/** `ls`, `stat` and `versions`: what there is. */
import { Command } from "commander";
import type { ObjectVersion } from "../../../core/objects/types.ts";
import { openStore } from "../../objects/open_store.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { bytesText, print, table } from "../../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "../connection.ts";
import { schemeText } from "./bucket.ts";
import { isPattern } from "./glob.ts";
import { nameOf, type ObjectLocation, parseKey, parseObject, SCHEME } from "./location.ts";
import { objectsBelow, selected } from "./selection.ts";

const PAGE = 1000;

interface ListFlags extends ConnectFlags {
  readonly recursive?: true;
  readonly bytes?: true;
}

export function listCommand(): Command {
  return withConnection(new Command("ls"))
    .description("list buckets, or objects")
    .argument("[object]", `${SCHEME}BUCKET/PREFIX or a pattern (default: all buckets)`)
    .option("-r, --recursive", "all that is below, not the next folders alone")
    .option("--bytes", "sizes in bytes")
    .addHelpText(
      "after",
      `
Examples:
  space-opera ls
  space-opera ls ${SCHEME}album/2026/
  space-opera ls '${SCHEME}album/**.jpg'`,
    )
    .action((name: string | undefined, flags: ListFlags) => {
      const location = name === undefined || name === SCHEME ? null : parseObject(name);
      return withClient(flags, async (client) => {
        const store = openStore(client);
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
      print(JSON.stringify({ name, created: isoText(createdMs), scheme: schemeText(scheme), versioning }));
    }
    return;
  }
  if (buckets.length === 0) return;
  const rows = buckets.map(({ name, createdMs, scheme, versioning }) => [
    `${SCHEME}${name}`,
    timeText(createdMs),
    schemeText(scheme),
    versioning,
  ]);
  print(table(["BUCKET", "CREATED", "STORED AS", "VERSIONS"], rows));
}

async function listAll(store: ObjectStore, location: ObjectLocation, flags: ListFlags): Promise<void> {
  const objects = isPattern(location.key)
    ? selected(store, location, false)
    : objectsBelow(store, location.bucket, location.key);
  for await (const { key, version } of objects) {
    if (version !== null) printObject(key, version, location, flags);
  }
}

async function listFolder(
  store: ObjectStore,
  { bucket, key: prefix }: ObjectLocation,
  flags: ListFlags,
): Promise<void> {
  for (let after: string | null = ""; after !== null;) {
    const page: Awaited<ReturnType<ObjectStore["list"]>> = await store.list({
      bucket,
      prefix,
      delimiter: "/",
      limit: PAGE,
      ...(after === "" ? {} : { after }),
    });
    const items = [
      ...page.prefixes.map((name) => ({ name, version: null })),
      ...page.objects.map(({ key, version }) => ({ name: key, version })),
    ];
    items.sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { name, version } of items) {
      if (version !== null) printObject(name, version, { bucket }, flags);
      else if (flags.json) print(JSON.stringify({ bucket, prefix: name }));
      else print(`${" ".repeat(31)}${nameOf({ bucket, key: name })}`);
    }
    after = page.next;
  }
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
  print(`${timeText(modifiedMs)}${size.padStart(10)}  ${nameOf({ bucket, key })}`);
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
      withClient(flags, async (client) => {
        const { version } = await openStore(client).head({ ...location, version: flags.version });
        if (flags.json) return print(JSON.stringify({ ...location, kind: undefined, ...jsonOf(version) }));
        const lines: [string, string][] = [
          ["object", nameOf(location)],
          ["size", `${bytesText(version.bytes)} (${version.bytes} bytes)`],
          ["modified", isoText(version.modifiedMs)],
          ["etag", version.etag],
          ["version", version.isNull ? "null" : version.id],
          ["stored as", storedAs(version)],
          ...(version.owner === "" ? [] : [["owner", version.owner] as [string, string]]),
          ...version.metadata.map(([name, value]): [string, string] => [name, value]),
          ...version.tags.map(([name, value]): [string, string] => [`tag ${name}`, value]),
        ];
        const width = Math.max(...lines.map(([name]) => name.length));
        for (const [name, value] of lines) print(`${name.padEnd(width)}  ${value}`);
      })
    );
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
    .action((location: ObjectLocation, flags: VersionsFlags) =>
      withClient(flags, async (client) => {
        const { bucket, key: prefix } = location;
        const rows: (string | number)[][] = [];
        for await (const { key, newest, version } of versionsOf(openStore(client), bucket, prefix)) {
          if (!flags.recursive && key !== prefix) continue;
          if (flags.json) print(JSON.stringify({ bucket, key, newest, ...jsonOf(version) }));
          else rows.push(versionLine(bucket, key, newest, version));
        }
        if (flags.json) return;
        if (rows.length === 0) throw new Error(`There is no version of "${nameOf(location)}"`);
        print(table(["VERSION", "MODIFIED", "SIZE", "", "OBJECT"], rows));
      })
    );
}

function versionLine(bucket: string, key: string, newest: boolean, version: ObjectVersion): string[] {
  const state = `${newest ? "newest" : ""}${version.deleted ? " deleted" : ""}`.trim();
  const size = version.deleted ? "" : bytesText(version.bytes);
  return [
    version.isNull ? "null" : version.id,
    timeText(version.modifiedMs),
    size,
    state,
    nameOf({ bucket, key }),
  ];
}

async function* versionsOf(store: ObjectStore, bucket: string, prefix: string) {
  type Page = Awaited<ReturnType<ObjectStore["listVersions"]>>;
  let next: Page["next"] = null;
  do {
    const page: Page = await store.listVersions({
      bucket,
      prefix,
      limit: PAGE,
      ...(next === null ? {} : { after: next.key }),
      ...(next?.version == null ? {} : { afterVersion: next.version }),
    });
    yield* page.versions;
    next = page.next;
  } while (next !== null);
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
