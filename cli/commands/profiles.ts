/** Profile files that commands write and look into. */
import { Command } from "commander";
import type { SystemView } from "../../core/wire/messages.ts";
import type { AccessKey } from "../../core/wire/security.ts";
import {
  type Profile,
  PROFILE_ADDRESSES_MAX,
  PROFILE_AUTHORITIES_MAX,
  writeProfile,
} from "../client/profile.ts";
import { Credentials } from "../host/identity/access_key.ts";
import { fingerprint, readAuthority } from "../host/identity/certificates.ts";
import { print, tell } from "../terminal.ts";
import {
  type ConnectFlags,
  findProfile,
  lookedAt,
  type ProfileFlags,
  withClient,
  withConnection,
  withProfile,
} from "./connection.ts";
import { UsageError } from "./errors.ts";
import { presentMembers, securityOf } from "./private.ts";
import { rightsText } from "./rights.ts";

/** `space-opera profile`: the file that lets a client in. */
export function profileCommand(): Command {
  return new Command("profile")
    .description("show or try the profile that commands use; its secret is never shown")
    .addHelpText(
      "after",
      `
Example:
  space-opera profile show

A profile names a network, its authority and an access key with its secret. Commands take the first that there is:
--profile FILE, SPACE_OPERA_PROFILE, ./space-opera-data/profile.json, ~/.config/space-opera/profile.json.`,
    )
    .addCommand(showCommand())
    .addCommand(checkCommand());
}

interface ShowFlags extends ProfileFlags {
  readonly json?: boolean;
}

function showCommand(): Command {
  return withProfile(new Command("show"))
    .description("print what is in the profile, without the secret")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  space-opera profile show --profile backup.json")
    .action((flags: ShowFlags) => {
      const found = findProfile(flags);
      if (found === null) throw new Error(noProfile(flags));
      const said = { path: found.path, ...publicPart(found.profile) };
      if (flags.json) return print(JSON.stringify(said));
      print([
        `profile    ${said.path}`,
        `network    ${said.network}`,
        `authority  ${said.fingerprint}`,
        `addresses  ${said.addresses.join(" ")}`,
        `members    ${said.members.join(" ") || "none"}`,
        `access     ${said.access ?? "none: it lets nobody log in"}`,
      ].join("\n"));
    });
}

function publicPart({ network, fingerprint, addresses, members, access }: Profile) {
  return {
    network,
    fingerprint,
    addresses,
    members: members.map(({ node }) => node),
    access: access?.id ?? null,
  };
}

function noProfile(flags: ProfileFlags): string {
  return `There is no profile: ${lookedAt(flags)}`;
}

function checkCommand(): Command {
  return withConnection(new Command("check"))
    .description("log in with the profile, and say as whom")
    .addHelpText("after", "\nExample:\n  space-opera profile check --profile backup.json")
    .action(async (flags: ConnectFlags) => {
      if (findProfile(flags) === null) throw new Error(noProfile(flags));
      await whoAmI(flags);
    });
}

/** `space-opera whoami`: as whom commands speak, and what they may do. */
export function whoamiCommand(): Command {
  return withConnection(new Command("whoami"))
    .description("as whom commands log in, and what they may do")
    .addHelpText("after", "\nExample:\n  space-opera whoami")
    .action(whoAmI);
}

async function whoAmI(flags: ConnectFlags): Promise<void> {
  await withClient(flags, async (client, profile) => {
    const { view } = await client.layout();
    const id = profile?.access?.id ?? null;
    const key: AccessKey | null = view.security?.access.find((key) => key.id === id) ?? null;
    const said = {
      network: view.network,
      open: view.security === null,
      node: client.home,
      access: id,
      name: key?.name ?? null,
      rights: key === null ? null : rightsText(key.rights),
    };
    if (flags.json) return print(JSON.stringify(said));
    print(`network  ${said.network}\nnode     ${said.node}`);
    if (said.open) return print("access   anyone: the network is open");
    print(`access   ${id}\nname     ${said.name ?? "-"}\nrights   ${said.rights ?? "-"}`);
  });
}

/** @throws {UsageError} where a file is there that would be lost */
export function checkProfileFree(path: string): void {
  try {
    Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new UsageError(`There is a file "${path}" already; name another with --profile-out`);
}

/** A profile for a new access key of the network that `view` is of. */
export function writeProfileFor(
  path: string,
  { view, known }: { readonly view: SystemView; readonly known: Profile | null },
  access: { readonly id: string; readonly secret: string },
): void {
  const authorities = securityOf(view).keys
    .filter(({ authority, state }) => authority.length > 0 && state !== "former")
    .map(({ authority }) => readAuthority(authority))
    .sort((a, b) => b.generation - a.generation)
    .slice(0, PROFILE_AUTHORITIES_MAX);
  const members = presentMembers(view);
  const addresses = [...new Set([...members.map(({ address }) => address), ...known?.addresses ?? []])];
  writeProfile(path, {
    network: view.network,
    addresses: addresses.slice(0, PROFILE_ADDRESSES_MAX),
    fingerprint: fingerprint(authorities[0]!.der),
    authorities,
    members: members.flatMap(({ id, identity }) =>
      identity === undefined ? [] : [{ node: id, key: identity.key }]
    ),
    access: new Credentials(access),
  });
  tell(`The profile "${path}" lets whoever has it log in: keep it to yourself`);
}
