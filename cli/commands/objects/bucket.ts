/** `bucket`: where objects are, and how they are kept. */
import { Command } from "commander";
import { LIMITS } from "../../../core/base/limits.ts";
import type { Bucket, LifecycleRule, ListedUploads, Upload } from "../../../core/objects/types.ts";
import type { Scheme } from "../../../core/wire/objects.ts";
import type { ObjectStore } from "../../objects/store.ts";
import { bytesText, print, shown, table } from "../../terminal.ts";
import { type ConnectFlags, withConnection } from "../connection.ts";
import { UsageError } from "../errors.ts";
import { choiceOption, integerOption } from "../options.ts";
import { withStore } from "./connected.ts";
import { named } from "./downloading.ts";
import { nameOf, parseBucket, SCHEME } from "./location.ts";
import { eachOf } from "./removing.ts";
import { versionsOf } from "./selection.ts";

const DAYS_MAX = 36_500;
const PAGE = 1000;

export function bucketCommand(): Command {
  return new Command("bucket")
    .description("make, change and remove buckets, and say how long what is in them is kept")
    .addHelpText("after", "\nExample:\n  space-opera bucket create album --versions")
    .addCommand(createCommand())
    .addCommand(showCommand())
    .addCommand(changeCommand())
    .addCommand(expireCommand())
    .addCommand(uploadsCommand())
    .addCommand(deleteCommand());
}

/** How the data of a bucket is made redundant, in words. */
export function schemeText(scheme: Scheme | null): string {
  if (scheme === null) return "up to 3 copies";
  if (scheme.kind === "replicated") return scheme.copies === 1 ? "1 copy" : `${scheme.copies} copies`;
  return `${scheme.data}+${scheme.parity} stripes`;
}

function stripeOption(text: string): Scheme {
  const match = /^(\d{1,2})\+(\d{1,2})$/.exec(text);
  const data = Number(match?.[1]), parity = Number(match?.[2]);
  if (match === null || data < 1 || parity < 1 || data + parity > LIMITS.stripeMax) {
    throw new UsageError(
      `Option --stripe takes DATA+PARITY, as in 4+2, up to ${LIMITS.stripeMax} together, not "${text}"`,
    );
  }
  return { kind: "striped", data, parity };
}

interface CreateFlags extends ConnectFlags {
  readonly copies?: number;
  readonly stripe?: Scheme;
  readonly versions?: true;
}

function createCommand(): Command {
  return withConnection(new Command("create"))
    .description("make a bucket")
    .argument("<bucket>", "3 to 63 of a-z, 0-9, - and .", parseBucket)
    .option(
      "--copies <n>",
      "so many copies, each on another node (default: up to 3, as many as there are nodes)",
      integerOption("--copies", 1, LIMITS.copiesMax),
    )
    .option(
      "--stripe <k+m>",
      "stripes: k parts of data and m of parity, any k of which suffice",
      stripeOption,
    )
    .option("--versions", "keep the versions that are overwritten or removed")
    .addHelpText(
      "after",
      `
Examples:
  space-opera bucket create album --versions
  space-opera bucket create archive --stripe 4+2    # six nodes or more; survives the loss of any two
Stripes of 4+2 take 1.5 times the space of the data, three copies 3 times.`,
    )
    .action((name: string, flags: CreateFlags) => {
      if (flags.copies !== undefined && flags.stripe !== undefined) {
        throw new UsageError("Give --copies or --stripe, not both");
      }
      const scheme = flags.stripe ??
        (flags.copies === undefined ? null : { kind: "replicated" as const, copies: flags.copies });
      return withStore(flags, async (store, owner) => {
        const versioning = flags.versions ? "enabled" : "off";
        printBucket(await store.createBucket(name, { scheme, versioning, owner }), flags);
      });
    });
}

function showCommand(): Command {
  return withConnection(new Command("show"))
    .description("print how a bucket is kept")
    .argument("<bucket>", undefined, parseBucket)
    .addHelpText("after", "\nExample:\n  space-opera bucket show album")
    .action((name: string, flags: ConnectFlags) =>
      withStore(flags, async (store) => printBucket(await store.bucket(name), flags))
    );
}

interface ChangeFlags extends ConnectFlags {
  readonly versions?: "on" | "off";
}

function changeCommand(): Command {
  return withConnection(new Command("change"))
    .description("keep versions from now on, or no more")
    .argument("<bucket>", undefined, parseBucket)
    .option("--versions <on|off>", "what there is stays", choiceOption("--versions", ["on", "off"]))
    .addHelpText("after", "\nExample:\n  space-opera bucket change album --versions on")
    .action((name: string, { versions, ...flags }: ChangeFlags) => {
      if (versions === undefined) throw new UsageError("Give --versions on or --versions off");
      return withStore(flags, async (store) => {
        const versioning = versions === "on" ? "enabled" : "suspended";
        printBucket(await store.changeBucket(name, { versioning }), flags);
      });
    });
}

interface ExpireFlags extends ConnectFlags {
  readonly prefix?: string;
  readonly days?: number;
  readonly olderVersionsDays?: number;
  readonly keep?: number;
  readonly uploadsDays?: number;
  readonly drop?: string;
}

const days = (name: string) => integerOption(name, 1, DAYS_MAX);

function expireCommand(): Command {
  return withConnection(new Command("expire"))
    .description("remove by itself what has become old: add a rule to the bucket, or drop one")
    .argument("<bucket>", undefined, parseBucket)
    .option("--prefix <prefix>", "for objects that begin so (default: all)")
    .option("--days <n>", "objects, so many days after they were written", days("--days"))
    .option(
      "--older-versions-days <n>",
      "versions, so many days after others took their place",
      days("--older-versions-days"),
    )
    .option("--keep <n>", "but not the n newest of them", integerOption("--keep", 1, 100))
    .option("--uploads-days <n>", "uploads that were never ended", days("--uploads-days"))
    .option("--drop <id>", "drop the rule with this id")
    .addHelpText(
      "after",
      "\nExamples:\n  space-opera bucket expire album --prefix tmp/ --days 7\n" +
        "  space-opera bucket expire album --older-versions-days 30 --keep 3\n" +
        "  space-opera bucket expire album --drop rule-1",
    )
    .action((name: string, flags: ExpireFlags) => {
      if (flags.drop === undefined) checkRule(flags);
      return withStore(flags, async (store) => {
        const { lifecycle } = await store.bucket(name);
        printBucket(await store.changeBucket(name, { lifecycle: changed(lifecycle, flags) }), flags);
      });
    });
}

function checkRule({ days, olderVersionsDays, keep, uploadsDays }: ExpireFlags): void {
  if (days === undefined && olderVersionsDays === undefined && uploadsDays === undefined) {
    throw new UsageError(
      "Say what expires: give --days, --older-versions-days or --uploads-days, or --drop a rule",
    );
  }
  if (keep !== undefined && olderVersionsDays === undefined) {
    throw new UsageError("Option --keep goes with --older-versions-days");
  }
}

function changed(rules: readonly LifecycleRule[], flags: ExpireFlags): LifecycleRule[] {
  if (flags.drop !== undefined) {
    if (!rules.some(({ id }) => id === flags.drop)) {
      throw new UsageError(`There is no rule "${flags.drop}"; \`bucket show\` lists those there are`);
    }
    return rules.filter(({ id }) => id !== flags.drop);
  }
  let number = rules.length + 1;
  while (rules.some(({ id }) => id === `rule-${number}`)) number++;
  return [...rules, {
    id: `rule-${number}`,
    enabled: true,
    prefix: flags.prefix ?? "",
    tags: [],
    sizeMin: null,
    sizeMax: null,
    expireDays: flags.days ?? null,
    expireDateMs: null,
    expireMarkers: false,
    noncurrentDays: flags.olderVersionsDays ?? null,
    noncurrentKept: flags.keep ?? null,
    abortUploadDays: flags.uploadsDays ?? null,
  }];
}

interface DeleteFlags extends ConnectFlags {
  readonly force?: true;
}

function deleteCommand(): Command {
  return withConnection(new Command("delete"))
    .description("remove a bucket, which has to be empty")
    .argument("<bucket>", undefined, parseBucket)
    .option("--force", "with all objects, versions and unfinished uploads that are in it")
    .addHelpText("after", "\nExample:\n  space-opera bucket delete album --force")
    .action((name: string, flags: DeleteFlags) =>
      withStore(flags, async (store) => {
        if (flags.force) await empty(store, name);
        await store.deleteBucket(name);
        print(flags.json ? JSON.stringify({ bucket: name, removed: true }) : `Bucket "${name}" is removed`);
      })
    );
}

async function empty(store: ObjectStore, bucket: string): Promise<void> {
  await eachOf(versionsOf(store, bucket, ""), async ({ key, version }) => {
    await store.delete({ bucket, key, version: named(version) });
  });
  await eachOf(uploadsOf(store, bucket), ({ key, id }) => store.abortUpload(bucket, key, id));
}

interface UploadsFlags extends ConnectFlags {
  readonly drop?: true;
}

function uploadsCommand(): Command {
  return withConnection(new Command("uploads"))
    .description("list uploads in parts that were begun and never ended; what they have takes space")
    .argument("<bucket>", undefined, parseBucket)
    .option("--drop", "and remove them: an interrupted put of these begins anew")
    .addHelpText("after", "\nExample:\n  space-opera bucket uploads album")
    .action((name: string, flags: UploadsFlags) =>
      withStore(flags, async (store) => {
        const rows: string[][] = [];
        for await (const { key, id, startedMs, owner } of uploadsOf(store, name)) {
          const bytes = await uploadedBytes(store, { bucket: name, key, upload: id });
          if (flags.drop) await store.abortUpload(name, key, id);
          const started = new Date(startedMs).toISOString();
          if (flags.json) print(JSON.stringify({ bucket: name, key, upload: id, started, owner, bytes }));
          else rows.push([started, bytesText(bytes), shown(nameOf({ bucket: name, key }))]);
        }
        if (rows.length > 0) print(table(["STARTED", flags.drop ? "DROPPED" : "HAS", "OBJECT"], rows));
      })
    );
}

async function* uploadsOf(store: ObjectStore, bucket: string): AsyncGenerator<Upload> {
  let next: ListedUploads["next"] = null;
  do {
    const page: ListedUploads = await store.listUploads({
      bucket,
      limit: PAGE,
      ...(next === null ? {} : { after: next.key, afterUpload: next.upload }),
    });
    yield* page.uploads;
    next = page.next;
  } while (next !== null);
}

async function uploadedBytes(
  store: ObjectStore,
  upload: { readonly bucket: string; readonly key: string; readonly upload: string },
): Promise<number> {
  let bytes = 0;
  for (let after: number | null = 0; after !== null;) {
    const page: Awaited<ReturnType<ObjectStore["listParts"]>> = await store.listParts({
      ...upload,
      after,
      limit: PAGE,
    });
    for (const part of page.parts) bytes += part.bytes;
    after = page.next;
  }
  return bytes;
}

export const VERSIONING = {
  off: "not kept",
  enabled: "kept",
  suspended: "kept so far; no more",
} as const;

function printBucket(
  { name, createdMs, owner, scheme, versioning, lifecycle }: Bucket,
  { json }: ConnectFlags,
): void {
  const created = new Date(createdMs).toISOString();
  if (json) {
    return print(JSON.stringify({ name, created, owner, scheme, versioning, lifecycle }));
  }
  print(`bucket    ${SCHEME}${name}`);
  print(`created   ${created}${owner === "" ? "" : ` by ${owner}`}`);
  print(`stored    ${schemeText(scheme)}`);
  print(`versions  ${VERSIONING[versioning]}`);
  for (const rule of lifecycle) print(`rule      ${ruleText(rule)}`);
}

function ruleText(rule: LifecycleRule): string {
  const { id, enabled, prefix, tags, sizeMin, sizeMax, expireDays, expireDateMs, expireMarkers } = rule;
  const { noncurrentDays, noncurrentKept, abortUploadDays } = rule;
  const kept = noncurrentKept === null ? "" : ` but the ${noncurrentKept} newest of them`;
  const parts = [
    expireDays === null ? "" : `objects after ${daysText(expireDays)}`,
    expireDateMs === null ? "" : `objects from ${new Date(expireDateMs).toISOString().slice(0, 10)} on`,
    expireMarkers ? "delete markers that hide nothing" : "",
    noncurrentDays === null ? "" : `older versions after ${daysText(noncurrentDays)}${kept}`,
    abortUploadDays === null ? "" : `unfinished uploads after ${daysText(abortUploadDays)}`,
  ].filter((part) => part !== "");
  const which = [
    prefix === "" ? "" : `"${shown(prefix)}…"`,
    ...tags.map(([name, value]) => `tag ${shown(name)}=${shown(value)}`),
    sizeMin === null ? "" : `above ${sizeMin} bytes`,
    sizeMax === null ? "" : `below ${sizeMax} bytes`,
  ].filter((part) => part !== "");
  const of = which.length === 0 ? "all" : which.join(", ");
  return `${shown(id)}${enabled ? "" : " (off)"}: of ${of}: ${parts.join(", ")}`;
}

function daysText(days: number): string {
  return days === 1 ? "1 day" : `${days} days`;
}
