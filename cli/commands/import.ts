import { Command } from "commander";
import { utf8Encode } from "../../core/base/bytes.ts";
import { parseSky, type Star } from "../../sim/sky.ts";
import type { Client } from "../client/client.ts";
import { print, Progress } from "../terminal.ts";
import { openStore } from "../objects/open_store.ts";
import { UsageError } from "./errors.ts";
import { nameOf, type ObjectLocation, parseKey } from "./objects/location.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";

/** Writes under way at once. */
const UNDER_WAY = 256;

/** `space-opera import`: data from files. */
export function importCommand(): Command {
  return new Command("import").description("store data from a file")
    .addHelpText("after", "\nExample:\n  space-opera import stars fixtures/sky/bright.csv")
    .addCommand(starsCommand());
}

function starsCommand(): Command {
  return withConnection(new Command("stars"))
    .description("store a star catalogue: one record a star, its key star/ and the star's Hipparcos number")
    .argument("[file]", "CSV as in fixtures/sky")
    .option(
      "--large",
      "the 118,216 stars to magnitude 14, from the npm package d3-celestial, which Deno downloads",
    )
    .option("--object <so://bucket/key>", "store the catalogue as one object instead", parseKey)
    .addHelpText(
      "after",
      "\nExamples:\n  space-opera import stars fixtures/sky/bright.csv\n  space-opera import stars --large\n" +
        "  space-opera import stars --large --object so://sky/stars.csv",
    )
    .action(async (file: string | undefined, flags: StarsFlags) => {
      const text = await catalogue(file, flags);
      const stars = parseSky(text);
      if (flags.object !== undefined) return await storeCatalogue(text, stars.length, flags.object, flags);
      await withClient(flags, async (client) => {
        const seconds = await importStars(client, stars);
        const summary = { stars: stars.length, seconds: Number(seconds.toFixed(3)) };
        if (flags.json) print(JSON.stringify(summary));
      });
    });
}

interface StarsFlags extends ConnectFlags {
  readonly large?: true;
  readonly object?: ObjectLocation;
}

async function storeCatalogue(
  text: string,
  stars: number,
  { bucket, key }: ObjectLocation,
  flags: StarsFlags,
): Promise<void> {
  const body = utf8Encode(text);
  await withClient(flags, async (client) => {
    const { etag } = await openStore(client).put(
      { bucket, key, bytes: body.length, metadata: [["content-type", "text/csv"]] },
      new Blob([body.slice()]).stream(),
    );
    if (flags.json) return print(JSON.stringify({ stars, bucket, key, bytes: body.length, etag }));
    print(`Stored ${stars} stars as ${nameOf({ bucket, key })}`);
  });
}

/** The text of the catalogue that is meant. */
async function catalogue(file: string | undefined, { large }: StarsFlags): Promise<string> {
  if ((file === undefined) === (large === undefined)) {
    throw new UsageError("Name one catalogue: a file, such as fixtures/sky/bright.csv, or --large");
  }
  if (file !== undefined) return await readFile(file);
  const { skyCatalogue } = await import("../sky_package.ts");
  try {
    return await skyCatalogue("large");
  } catch (error) {
    throw new Error(
      `Cannot have the large catalogue from the npm package d3-celestial: ${
        (error as Error).message
      }. Run from the ` +
        `sources, with the npm registry in reach, or make the file elsewhere with cli/sky_package.ts --large`,
    );
  }
}

async function readFile(file: string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message;
    throw new Error(`Cannot read "${file}": ${why}. Name a star catalogue, such as fixtures/sky/bright.csv`);
  }
}

/** The record of a star. */
export function starRecord(star: Star): { readonly key: string; readonly value: Uint8Array } {
  return { key: `star/${star.hip}`, value: utf8Encode(JSON.stringify(star)) };
}

/** Stores all of `stars`, many at once, with a progress bar. Returns the seconds it took. */
export async function importStars(client: Client, stars: readonly Star[]): Promise<number> {
  const progress = new Progress("Importing stars", stars.length);
  let next = 0;
  await Promise.all(Array.from({ length: UNDER_WAY }, async () => {
    for (let star = stars[next++]; star !== undefined; star = stars[next++]) {
      const { key, value } = starRecord(star);
      await client.put(key, value);
      progress.add();
    }
  }));
  return progress.end();
}
