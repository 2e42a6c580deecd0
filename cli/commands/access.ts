/** `space-opera access`: keys for clients, and what they may do. */
import { Command } from "commander";
import { utf8Length } from "../../core/base/bytes.ts";
import { LIMITS } from "../../core/base/limits.ts";
import type { Right } from "../../core/wire/security.ts";
import { makeAccessKey } from "../host/identity/access_key.ts";
import { secretRow } from "../../core/objects/rows.ts";
import type { Client } from "../client/client.ts";
import { RequestError } from "../client/errors.ts";
import { makeS3Secret, secretValue } from "../objects/s3_secrets.ts";
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
    .addCommand(s3Command())
    .addCommand(revokeCommand());
}

interface CreateFlags extends ConnectFlags {
  readonly allow?: readonly Right[];
  readonly profileOut?: string;
  readonly s3?: true;
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
    .option("--s3", "make and print, this once, the secret with which it signs S3 requests, too")
    .addHelpText(
      "after",
      `
Examples:
  space-opera access create backup --allow :r --profile-out backup.json
  space-opera access create crew --allow star/:rw --allow crew/:rwa
  space-opera access create photos --allow so://album/:rw --s3
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
        }
        const s3 = flags.s3 === true ? await setS3Secret(client, id) : null;
        const inJson = s3 === null ? said : { ...said, s3Secret: s3 };
        if (flags.profileOut !== undefined) {
          if (flags.json) return print(JSON.stringify({ ...inJson, profile: flags.profileOut }));
          print(`Access key ${id} may ${said.rights}; its profile is "${flags.profileOut}"`);
          return s3 === null ? undefined : printS3(id, s3);
        }
        if (flags.json) return print(JSON.stringify({ ...inJson, secret }));
        print(`id      ${id}\nsecret  ${secret}`);
        if (s3 !== null) printS3(id, s3);
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
        // First: nobody may do it any more who does not run the network, once the key is void.
        await client.delete(secretRow(id));
        await client.dropAccess(id);
        print(
          flags.json ? JSON.stringify({ id, name, revoked: true }) : `Access key ${id} ("${name}") is void`,
        );
      })
    );
}

function s3Command(): Command {
  return withConnection(new Command("s3"))
    .description("make and print, this once, the secret with which an access key signs S3 requests")
    .argument("<key>", "its id, or its name")
    .option("--drop", "it signs none from now on; nothing is made")
    .addHelpText(
      "after",
      `
Examples:
  space-opera access s3 photos
  space-opera access s3 photos --drop

A new secret takes the place of the one before, which is void a few seconds later. The network keeps it, encrypted, for
S3's signatures are checked with what they are made with; no command shows it again.`,
    )
    .action((which: string, flags: ConnectFlags & { readonly drop?: true }) =>
      withClient(flags, async (client) => {
        const { id, name } = findAccess(securityOf((await client.layout()).view), which);
        if (flags.drop === true) {
          const { existed } = await client.delete(secretRow(id));
          if (flags.json) return print(JSON.stringify({ id, name, s3Secret: null, dropped: existed }));
          return print(
            existed
              ? `Access key ${id} ("${name}") signs no S3 requests any more`
              : `Access key ${id} ("${name}") had no S3 secret`,
          );
        }
        const secret = await setS3Secret(client, id);
        if (flags.json) return print(JSON.stringify({ id, name, s3Secret: secret }));
        printS3(id, secret);
        tell(`The secret is shown this once: keep it now`);
      })
    );
}

/** The node that is asked may not know the access key yet, or not as it is now. */
const DENIED_MS = 3000;

async function setS3Secret(client: Client, id: string): Promise<string> {
  const secret = makeS3Secret();
  for (const giveUp = performance.now() + DENIED_MS;;) {
    try {
      await client.put(secretRow(id), secretValue(secret));
      return secret;
    } catch (error) {
      const early = error instanceof RequestError && error.reason === "denied" && performance.now() < giveUp;
      if (!early) throw error;
    }
    await new Promise((done) => setTimeout(done, 100));
  }
}

/** Named as S3's own tools name them. */
function printS3(id: string, secret: string): void {
  print(`aws_access_key_id      ${id}\naws_secret_access_key  ${secret}`);
}

function checkName(name: string): void {
  const length = utf8Length(name);
  if (length >= 1 && length <= LIMITS.accessNameBytesMax) return;
  throw new UsageError(
    `The name of an access key has 1 to ${LIMITS.accessNameBytesMax} bytes, not the ${length} of "${name}"`,
  );
}
