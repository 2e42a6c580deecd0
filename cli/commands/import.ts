import { Command } from "commander";
import { utf8Encode } from "../../core/base/bytes.ts";
import { parseSky, type Star } from "../../sim/sky.ts";
import type { Client } from "../client/client.ts";
import { print, Progress } from "../terminal.ts";
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
    .argument("<file>", "CSV as in fixtures/sky")
    .addHelpText("after", "\nExample:\n  space-opera import stars fixtures/sky/bright.csv")
    .action(async (file: string, flags: ConnectFlags) => {
      const stars = parseSky(await readFile(file));
      await withClient(flags, async (client) => {
        const seconds = await importStars(client, stars);
        const summary = { stars: stars.length, seconds: Number(seconds.toFixed(3)) };
        if (flags.json) print(JSON.stringify(summary));
      });
    });
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
