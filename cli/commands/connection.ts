/** What every command that speaks to a network takes: where it is, and as whom to log in. */
import { type Command, Option } from "commander";
import { LIMITS } from "../../core/base/limits.ts";
import { type Client, connect } from "../client/client.ts";
import { ConnectError } from "../client/errors.ts";
import {
  type FoundProfile,
  type Profile,
  PROFILE_VARIABLE,
  ProfileError,
  profileFrom,
  writeProfile,
} from "../client/profile.ts";
import { tell } from "../terminal.ts";
import { variable } from "./environment.ts";
import { addressesOption, integerOption } from "./options.ts";

const ADDRESS = "127.0.0.1:7070";

export interface ProfileFlags {
  /** A file. false: none is to be used, be there one or not. */
  readonly profile?: string | false;
}

export interface ConnectFlags extends ProfileFlags {
  readonly connect?: string;
  readonly timeout: number;
  readonly json?: boolean;
}

export function withProfile(command: Command): Command {
  return command.option(
    "--profile <file>",
    `what lets you in (default: ${PROFILE_VARIABLE}, or the profile of a node started here or in your home)`,
  );
}

/** Adds what every command that speaks to a network takes. */
export function withConnection(command: Command): Command {
  return withProfile(command)
    .option("--no-profile", "use no profile, as for an open network (node --dev)")
    .addOption(
      new Option(
        "--connect <host:port>",
        `any node of the network, or several with commas (default: those of the profile, or ${ADDRESS})`,
      ).env("SPACE_OPERA_CONNECT"),
    )
    .addOption(
      new Option("--timeout <ms>", "how long an operation may take, retries included")
        .default(10_000)
        .argParser(integerOption("--timeout", 1, LIMITS.retryUsMax / 1000)),
    )
    .option("--json", "print JSON");
}

/** null where there is none, or none is wanted. @throws {ProfileError} */
export function findProfile({ profile }: ProfileFlags): FoundProfile | null {
  if (profile === false) return null;
  // Commander says true of an option that has a --no- form and was not given.
  return profileFrom(typeof profile === "string" ? { profile } : {}, variable);
}

/** Where a profile was looked for, in words. */
export function lookedAt({ profile }: ProfileFlags): string {
  if (profile === false) return "--no-profile was given";
  const home = variable("HOME") === undefined ? "" : ' or "~/.config/space-opera/profile.json"';
  return `there is no --profile, no ${PROFILE_VARIABLE}, and no file "space-opera-data/profile.json"${home}`;
}

/**
 * Runs `use` with a client that is closed afterwards, and the profile that it logs in with; null: none. What the client
 * learns of the network is kept in the profile's file.
 */
export async function withClient<T>(
  flags: ConnectFlags,
  use: (client: Client, profile: Profile | null) => Promise<T>,
): Promise<T> {
  const found = findProfile(flags);
  let learned: Profile | null = null;
  try {
    using client = await connectWith(flags, found, (profile) => learned = profile);
    return await use(client, found?.profile ?? null);
  } finally {
    if (found !== null && learned !== null) keep(found.path, learned);
  }
}

/** @throws {ConnectError} which says, too, where a profile was looked for in vain */
async function connectWith(
  flags: ConnectFlags,
  found: FoundProfile | null,
  profileChanged: (profile: Profile) => void,
): Promise<Client> {
  const addresses = flags.connect === undefined
    ? found?.profile.addresses ?? [ADDRESS]
    : addressesOption("--connect")(flags.connect, []);
  const { timeout: timeoutMs } = flags;
  if (found !== null) return await connect({ addresses, timeoutMs, profile: found.profile, profileChanged });
  try {
    return await connect({ addresses, timeoutMs });
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    throw new ConnectError(`${error.message}\nNo profile was used: ${lookedAt(flags)}`);
  }
}

/** What was asked has been done: that the profile could not be kept is told, and no more. */
function keep(path: string, profile: Profile): void {
  try {
    writeProfile(path, profile);
  } catch (error) {
    if (!(error instanceof ProfileError)) throw error;
    tell(error.message);
  }
}
