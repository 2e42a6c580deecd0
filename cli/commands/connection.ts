/** What every command that speaks to a network takes: where it is, and as whom to log in. */
import { type Command, Option } from "commander";
import { LIMITS } from "../../core/base/limits.ts";
import { type Client, connect } from "../client/client.ts";
import { type FoundProfile, type Profile, PROFILE_VARIABLE, profileFrom } from "../client/profile.ts";
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

/** Runs `use` with a client that is closed afterwards, and the profile that it logs in with; null: none. */
export async function withClient<T>(
  flags: ConnectFlags,
  use: (client: Client, profile: Profile | null) => Promise<T>,
): Promise<T> {
  const found = findProfile(flags);
  const profile = found?.profile ?? null;
  using client = await connect({
    addresses: flags.connect === undefined
      ? profile?.addresses ?? [ADDRESS]
      : addressesOption("--connect")(flags.connect, []),
    timeoutMs: flags.timeout,
    ...(profile === null ? {} : { network: profile.network }),
  });
  return await use(client, profile);
}
