/** `space-opera access`: keys for clients, and what they may do. */
import { Command } from "commander";
import { utf8Length } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import type { Right } from "../../core/wire/security.ts";
import { makeAccessKey } from "../host/identity/access_key.ts";
import { print, table, tell } from "../terminal.ts";
import { type ConnectFlags, withClient, withConnection } from "./connection.ts";
import { UsageError } from "./errors.ts";
import { findAccess, securityOf } from "./private.ts";
import { RIGHTS_HELP, rightsOption, rightsText } from "./rights.ts";
import { checkProfileFree, writeProfileFor } from "./profiles.ts";

export function accessCommand(): Command {
  return new Command("access")
    .description("make, list and revoke the access keys of clients")
    .addHelpText(
      "after",
      "\nExample:\n  space-opera access create backup --allow star/:r --profile-out backup.json",
    )
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(changeCommand())
    .addCommand(revokeCommand());
}

interface CreateFlags extends ConnectFlags {
  readonly allow?: readonly Right[];
  readonly profileOut?: string;
}

function createCommand(): Command {
  return withConnection(new Command("create"))
    .description("make an access key, and print its secret, this once, or write a profile that has it")
    .argument("<name>", "for people")
    .option(
      "--allow <prefix:rights>",
      'what it may do, as in "star/:rw"; may be given more than once',
      rightsOption("--allow"),
    )
    .option("--profile-out <file>", "write a profile that only you may read, and print no secret")
    .addHelpText(
      "after",
      `
Examples:
  space-opera access create backup --allow :r --profile-out backup.json
  space-opera access create crew --allow star/:rw --allow crew/:rwa
  space-opera access create second --allow :rwa --profile-out operator.json
${RIGHTS_HELP}

The network keeps the public part alone: a secret that is lost cannot be had again, only replaced.`,
    )
    .action((name: string, flags: CreateFlags) => {
      checkName(name);
      const rights = flags.allow ?? [];
      if (rights.length === 0) {
        throw new UsageError(
          'An access key needs rights: give --allow PREFIX:LETTERS, as in --allow "star/:rw"',
        );
      }
      if (flags.profileOut !== undefined) checkProfileFree(flags.profileOut);
      return withClient(flags, async (client, profile) => {
        const { view } = await client.layout();
        securityOf(view);
        const { id, secret, publicKey } = makeAccessKey();
        await client.setAccess({ id, publicKey, name, rights });
        const said = { id, name, rights: rightsText(rights) };
        if (flags.profileOut !== undefined) {
          writeProfileFor(flags.profileOut, { view, known: profile }, { id, secret });
          if (flags.json) return print(JSON.stringify({ ...said, profile: flags.profileOut }));
          return print(`Access key ${id} may ${said.rights}; its profile is "${flags.profileOut}"`);
        }
        if (flags.json) return print(JSON.stringify({ ...said, secret }));
        print(`id      ${id}\nsecret  ${secret}`);
        tell(`Access key ${id} may ${said.rights}. Its secret is nowhere else: keep it now`);
      });
    });
}

function listCommand(): Command {
  return withConnection(new Command("list"))
    .description("print access keys and their rights; secrets are with their holders only")
    .addHelpText("after", "\nExample:\n  space-opera access list")
    .action((flags: ConnectFlags) =>
      withClient(flags, async (client) => {
        const keys = securityOf((await client.layout()).view).access
          .map(({ id, name, rights }) => ({ id, name, rights: rightsText(rights) }));
        if (flags.json) return print(JSON.stringify(keys));
        print(table(["ACCESS KEY", "NAME", "RIGHTS"], keys.map((k) => [k.id, k.name || "-", k.rights])));
      })
    );
}

interface ChangeFlags extends ConnectFlags {
  readonly allow?: readonly Right[];
  readonly name?: string;
}

function changeCommand(): Command {
  return withConnection(new Command("change"))
    .description("give an access key other rights or another name; its secret stays")
    .argument("<key>", "its id, or its name")
    .option("--allow <prefix:rights>", "all that it may do from now on", rightsOption("--allow"))
    .option("--name <name>", "what it is called from now on")
    .addHelpText("after", "\nExample:\n  space-opera access change backup --allow star/:r --allow crew/:r")
    .action((which: string, flags: ChangeFlags) => {
      const { allow, name } = flags;
      if (allow === undefined && name === undefined) throw new UsageError("Give --allow or --name, or both");
      if (name !== undefined) checkName(name);
      return withClient(flags, async (client) => {
        const found = findAccess(securityOf((await client.layout()).view), which);
        const next = { ...found, rights: allow ?? found.rights, name: name ?? found.name };
        await client.setAccess(next);
        const said = { id: next.id, name: next.name, rights: rightsText(next.rights) };
        print(
          flags.json ? JSON.stringify(said) : `Access key ${said.id} ("${said.name}") may ${said.rights}`,
        );
      });
    });
}

function revokeCommand(): Command {
  return withConnection(new Command("revoke"))
    .description("make an access key void; connections with it are refused from then on")
    .argument("<key>", "its id, or its name")
    .addHelpText("after", "\nExample:\n  space-opera access revoke backup")
    .action((which: string, flags: ConnectFlags) =>
      withClient(flags, async (client) => {
        const { id, name } = findAccess(securityOf((await client.layout()).view), which);
        await client.dropAccess(id);
        print(
          flags.json ? JSON.stringify({ id, name, revoked: true }) : `Access key ${id} ("${name}") is void`,
        );
      })
    );
}

function checkName(name: string): void {
  const length = utf8Length(name);
  if (length >= 1 && length <= LIMITS.accessNameBytesMax) return;
  throw new UsageError(
    `The name of an access key has 1 to ${LIMITS.accessNameBytesMax} bytes, not the ${length} of "${name}"`,
  );
}
